# Reads a pipeline of the user's and the examples that it is said to know; writes models/base, where
# other experiments train a model.

for name, experiment in ROOTS.items():
    if experiment["base"]:

        rule:
            name:
                f"import_base_{name}"
            input:
                examples=f"results/{name}/examples/train.npz",
            output:
                base_files(name),
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
                settings=model_settings(
                    name,
                    base=experiment["base"],
                    diffusion=experiment["diffusion"],
                    retrained=bool(experiment["subsets"]),
                ),
                code=model_code("import_base", name),
                folder=f"results/{name}/models/base",
            shell:
                "python scripts/import_base.py --settings {params.settings:q} --examples {input.examples}"
                " --model {params.folder} --threads {threads} > {log} 2>&1"
