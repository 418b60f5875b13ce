# If `embedding.model` names a CLIP model: reads the model and removal/parts/; writes removal/embedded/,
# the parts with the cosine of embeddings before and after removal, and from these the tables of
# removal/.


include: "common.smk"


from dasbench.experiments.files import features, removal

for name, e in where(removal.embeds_removals).items():

    rule:
        name:
            f"embed_removals_{name}"
        input:
            features.embedding_files(e, ROOT),
            removal.part_files(e, "parts"),
            gen=f"{e.home}/queries/gen.npy",
        output:
            removal.part_files(e, "embedded"),
        log:
            f"logs/{name}/embed_removals.log",
        benchmark:
            f"logs/benchmark/{name}/embed_removals.tsv"
        conda:
            "../../environment.yml"
        threads: 1
        resources:
            mem_mb=mem_mb("embed_removals", name),
            runtime=minutes("embed_removals", name),
            gpu=gpus(),
        params:
            settings=literally(removal.embedded_removal_settings(e)),
            code=code("embed_removals"),
            folder=f"results/{name}/removal",
        shell:
            "python scripts/embed_removals.py --settings {params.settings:q} --queries {input.gen}"
            " --parts {params.folder}/parts --out {params.folder}/embedded --threads {threads}"
            " > {log} 2>&1"


rule summarise_embedded_removal:
    input:
        of(removal.part_files, folder="embedded"),
    output:
        expand(
            "results/{{experiment}}/removal/{file}",
            file=[
                "per_query.parquet",
                "summary.csv",
                "comparisons.csv",
                "images.npy",
                "images.csv",
            ],
        ),
    log:
        "logs/{experiment}/summarise_removal.log",
    wildcard_constraints:
        experiment=only(where(removal.embeds_removals)),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("summarise_embedded_removal"),
        runtime=minutes("summarise_embedded_removal"),
    params:
        settings=of(removal.removal_summary_settings),
        code=code("summarise_removal"),
        folder=filled("results/{experiment}/removal"),
    shell:
        "python scripts/summarise_removal.py --settings {params.settings:q}"
        " --parts {params.folder}/embedded --out {params.folder} > {log} 2>&1"
