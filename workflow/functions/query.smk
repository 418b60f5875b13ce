# Inputs and settings of the rules in workflow/rules/query.smk.

QUERY_FILES = [
    "val.npy",
    "val_labels.npy",
    "gen.npy",
    "gen_labels.npy",
    "gen_noise.npy",
    "uses.json",
]


# queries as models of latents see them, beside the images
LATENT_QUERIES = ["val_latents.npy", "gen_latents.npy"]


def query_settings(wildcards):
    return model_settings(wildcards.experiment, **EXPERIMENTS[wildcards.experiment]["queries"])
