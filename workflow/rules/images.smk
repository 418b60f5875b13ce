# Reads a data set's files; writes data/<experiment>/pool.npz and results/<experiment>/examples/. Each
# experiment has a pool, because it sets size and classes. Held-out images come from the held-out part
# of the source.


include: "common.smk"


from dasbench.experiments.files import data


rule read_images:
    input:
        labels=of(data.labels_of),
    output:
        pool="data/{experiment}/pool.npz",
        card="data/{experiment}/card.json",
    log:
        "logs/{experiment}/read_images.log",
    wildcard_constraints:
        experiment=only(where(data.reads_files)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("read_images"),
        runtime=60,
    params:
        settings=of(data.read_settings, root=ROOT),
        code=read_code,
    shell:
        "python scripts/read_images.py --settings {params.settings:q} --registry data/registry.yaml"
        " --experiment config/experiments/{wildcards.experiment}.yaml"
        " --pool {output.pool} --card {output.card} > {log} 2>&1"


rule split_examples:
    input:
        of(data.pool_of),
    output:
        train="results/{experiment}/examples/train.npz",
        val="results/{experiment}/examples/val.npz",
    log:
        "logs/{experiment}/split_examples.log",
    wildcard_constraints:
        experiment=only([n for n in where(data.reads_files) if n in HELD_OUT]),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("split_examples"),
        runtime=minutes("split_examples"),
    params:
        settings=of(data.split_settings),
        code=code("split_examples"),
        val=of(data.held_out_option),
    shell:
        "python scripts/split_examples.py --settings {params.settings:q} --pool {input}"
        " --train {output.train} {params.val} > {log} 2>&1"


use rule split_examples as split_examples_gen with:
    output:
        train="results/{experiment}/examples/train.npz",
    wildcard_constraints:
        experiment=only([n for n in where(data.reads_files) if n in GENERATED]),
