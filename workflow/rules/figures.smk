# Reads tables, scores, queries and images; writes figures/.


include: "../functions/report.smk"


rule plot_samples:
    input:
        generated=shared("queries/gen.npy"),
        examples=shared("examples/train.npz"),
    output:
        figure("samples"),
    log:
        "logs/{experiment}/plot_samples.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("plot_samples"),
        runtime=minutes("plot_samples"),
    params:
        code=code("plot_samples"),
    shell:
        "python scripts/plot_samples.py --settings '{{}}' --generated {input.generated} --examples {input.examples}"
        " --samples {output} > {log} 2>&1"


rule plot_lds:
    input:
        summary="results/{experiment}/lds/summary.csv",
        ceiling="results/{experiment}/lds/ceiling.csv",
    output:
        loss=figure("lds-loss"),
        displacement=figure("lds-displacement"),
        transforms=figure("lds-transforms"),
        damping=figure("damping"),
    log:
        "logs/{experiment}/plot_lds.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("plot_lds"),
        runtime=minutes("plot_lds"),
    params:
        code=code("plot_lds"),
    shell:
        "python scripts/plot_lds.py --settings '{{}}' --summary {input.summary} --ceiling {input.ceiling}"
        " --lds-loss {output.loss} --lds-displacement {output.displacement}"
        " --lds-transforms {output.transforms} --damping {output.damping} > {log} 2>&1"


rule plot_removal:
    input:
        summary="results/{experiment}/removal/summary.csv",
        per_query="results/{experiment}/removal/per_query.parquet",
        images="results/{experiment}/removal/images.npy",
        index="results/{experiment}/removal/images.csv",
        queries=shared("queries/gen.npy"),
    output:
        removal=figure("removal"),
        before=figure("before-after"),
    log:
        "logs/{experiment}/plot_removal.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("plot_removal"),
        runtime=minutes("plot_removal"),
    params:
        settings=removal_figure_settings,
        code=code("plot_removal"),
    shell:
        "python scripts/plot_removal.py --settings {params.settings:q} --summary {input.summary}"
        " --per-query {input.per_query} --images {input.images} --index {input.index}"
        " --queries {input.queries} --removal {output.removal} --before-after {output.before}"
        " > {log} 2>&1"


rule plot_neighbours:
    input:
        scores=neighbour_scores,
        queries=shared("queries/{kind}.npy"),
        labels=shared("queries/{kind}_labels.npy"),
        examples=shared("examples/train.npz"),
    output:
        figure("neighbours-{kind}"),
    log:
        "logs/{experiment}/plot_neighbours/{kind}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("plot_neighbours"),
        runtime=minutes("plot_neighbours"),
    params:
        settings=neighbour_settings,
        code=code("plot_neighbours"),
    shell:
        "python scripts/plot_neighbours.py --settings {params.settings:q} --queries {input.queries}"
        " --labels {input.labels} --examples {input.examples} --scores {input.scores}"
        " --neighbours {output} > {log} 2>&1"


rule plot_ablation:
    input:
        effects="results/{experiment}/ablation/main_effects.csv",
        gains="results/{experiment}/ablation/gains.csv",
    output:
        effects=figure("ablation-effects"),
        gains=figure("ablation-gains"),
    log:
        "logs/{experiment}/plot_ablation.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=mem_mb("plot_ablation"),
        runtime=minutes("plot_ablation"),
    params:
        code=code("plot_ablation"),
    shell:
        "python scripts/plot_ablation.py --settings '{{}}' --main-effects {input.effects}"
        " --gains {input.gains} --effects-figure {output.effects} --gains-figure {output.gains}"
        " > {log} 2>&1"
