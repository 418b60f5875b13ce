# Inputs and settings of the rules in workflow/rules/query.smk.

QUERY_FILES = [
    "val.npy",
    "val_labels.npy",
    "gen.npy",
    "gen_labels.npy",
    "gen_noise.npy",
    "uses.json",
]


def query_settings(wildcards):
    return settings(wildcards.experiment, **EXPERIMENTS[wildcards.experiment]["queries"])
