# Reads the examples, the queries and the base model; writes features/<name>/by_timestep/, for kernels
# that keep timesteps apart.


rule compute_timesteps:
    input:
        given,
        seen_queries,
        examples=shared("examples/train.npz"),
        model=feature_model_files,
    output:
        expand(
            "results/{{experiment}}/features/{{features}}/by_timestep/{split}.npy",
            split=["train", "val", "gen"],
        ),
    log:
        "logs/{experiment}/compute_timesteps/{features}.log",
    benchmark:
        "logs/benchmark/{experiment}/compute_timesteps/{features}.tsv"
    priority: 8
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=mem_mb("compute_timesteps"),
        runtime=minutes("compute_timesteps"),
        gpu=gpus(),
    params:
        settings=timestep_settings,
        code=family_code("compute_timesteps"),
        given=given_flags,
        folder=shared(""),
        model=feature_model,
        out=filled("results/{experiment}/features/{features}"),
    shell:
        "python scripts/compute_timesteps.py --settings {params.settings:q}"
        " --examples {input.examples} --queries {params.folder}queries"
        " --model {params.model} --out {params.out}"
        " {params.given} --threads {threads} > {log} 2>&1"
