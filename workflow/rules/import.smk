# Reads a pipeline of the user, and the examples that the user names as its training set; writes
# models/base, which other experiments train.


include: "common.smk"


from dasbench.experiments.files import models

for name, e in where(models.imports_base).items():

    rule:
        name:
            f"import_base_{name}"
        input:
            examples=f"results/{name}/examples/train.npz",
        output:
            models.base_files(e),
        log:
            f"logs/{name}/import_base.log",
        priority: 10
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("import_base", name),
            runtime=minutes("import_base", name),
        params:
            settings=literally(models.import_settings(e)),
            code=model_code("import_base", e),
            folder=f"results/{name}/models/base",
        shell:
            "python scripts/import_base.py --settings {params.settings:q} --examples {input.examples}"
            " --model {params.folder} --threads {threads} > {log} 2>&1"
