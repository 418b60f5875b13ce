# Reads a data set's source; writes data/<dataset>/pool.npz and results/<experiment>/examples/; for
# models of latents also latents/, for models with prompts also prompts/. Data sets that are read
# from files: images.smk.


include: "common.smk"


from dasbench import registry
from dasbench.experiments.files import data, models


rule prepare_pool:
    output:
        pool="data/{dataset}/pool.npz",
        card="data/{dataset}/card.json",
    log:
        "logs/prepare_pool/{dataset}.log",
    wildcard_constraints:
        dataset="|".join(n for n in registry.DATASETS if not registry.reads_files(n)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=pool_mem_mb,
        runtime=10,
    params:
        settings=of(data.pool_settings),
        code=pool_code,
    shell:
        "python scripts/prepare_pool.py --settings {params.settings:q} --pool {output.pool}"
        " --card {output.card} > {log} 2>&1"


rule choose_examples:
    input:
        of(data.pool_of),
    output:
        train="results/{experiment}/examples/train.npz",
        val="results/{experiment}/examples/val.npz",
    log:
        "logs/{experiment}/choose_examples.log",
    wildcard_constraints:
        experiment=only([n for n in HELD_OUT if n not in where(data.reads_files)]),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("choose_examples"),
        runtime=minutes("choose_examples"),
    params:
        settings=of(data.examples_settings),
        code=code("choose_examples"),
        val=of(data.held_out_option),
    shell:
        "python scripts/choose_examples.py --settings {params.settings:q} --pool {input}"
        " --train {output.train} {params.val} > {log} 2>&1"


use rule choose_examples as choose_examples_gen with:
    output:
        train="results/{experiment}/examples/train.npz",
    wildcard_constraints:
        experiment=only([n for n in GENERATED if n not in where(data.reads_files)]),


for name, e in where(models.encodes_latents).items():

    rule:
        name:
            f"encode_latents_{name}"
        input:
            train=f"results/{name}/examples/train.npz",
            val=f"results/{name}/examples/val.npz",
        output:
            models.latent_files(e),
        log:
            f"logs/{name}/encode_latents.log",
        benchmark:
            f"logs/benchmark/{name}/encode_latents.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("encode_latents", name),
            runtime=minutes("encode_latents", name),
            gpu=gpus(),
        params:
            settings=literally(data.latent_settings(e)),
            code=model_code("encode_latents", e),
            out=filled(f"results/{name}/latents"),
        shell:
            "python scripts/encode_latents.py --settings {params.settings:q} --train {input.train}"
            " --val {input.val} --out {params.out} --threads {threads} > {log} 2>&1"


rule embed_prompts:
    input:
        examples="results/{experiment}/examples/train.npz",
        card=of(data.card_of),
        frozen="results/{experiment}/latents/pretrained.json",
    output:
        prompts="results/{experiment}/prompts/embeddings.npy",
        texts="results/{experiment}/prompts/texts.json",
    log:
        "logs/{experiment}/embed_prompts.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("embed_prompts"),
        runtime=minutes("embed_prompts"),
        gpu=gpus(),
    params:
        settings=of(data.prompt_settings),
        code=family_code("embed_prompts"),
    shell:
        "python scripts/embed_prompts.py --settings {params.settings:q} --examples {input.examples}"
        " --card {input.card} --prompts {output.prompts} --texts {output.texts}"
        " --threads {threads} > {log} 2>&1"
