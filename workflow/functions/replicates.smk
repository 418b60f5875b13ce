# Inputs and settings of the rules in workflow/rules/replicates.smk.

REPLICATES = {name: e for name, e in EXPERIMENTS.items() if any(e["replicate"].values())}
# replicates that train a base model of their own
OWN_BASES = {name: e for name, e in REPLICATES.items() if e["replicate"]["base"]}
REPLICATE_TABLES = ["values", "summary", "comparisons"]


def replicates(root):
    """The replicates of an experiment with models of its own."""
    return [name for name, e in REPLICATES.items() if e["seed_name"] == root and name != root]


def base_draw(name):
    """Number of the draw of the base model that an experiment attributes."""
    return EXPERIMENTS[EXPERIMENTS[name]["base_home"]]["replicate"]["base"]


def own_base_settings(name):
    """As for the root's base model, with other seed axes."""
    e = EXPERIMENTS[name]
    axes = [e["seed_name"], e["seed"], "replicate", e["replicate"]["base"]]
    return train_settings(name, axes=axes, checkpoints=checkpoint_epochs(name))


def replicate_summaries(wildcards):
    return expand(
        "results/{experiment}/lds/summary.csv",
        experiment=[wildcards.experiment, *replicates(wildcards.experiment)],
    )


def replicate_settings(wildcards):
    root = wildcards.experiment
    draws = {
        name: {"base": base_draw(name), "features": EXPERIMENTS[name]["replicate"]["features"]}
        for name in (root, *replicates(root))
    }
    return settings(root, draws=draws, comparisons=EXPERIMENTS[root]["comparisons"])
