# Inputs and settings of the rules in workflow/rules/query.smk.

QUERY_FILES = list(query_kinds.QUERIES)


# queries as models of latents see them, beside the images
LATENT_QUERIES = ["val_latents.npy", "gen_latents.npy"]


def query_settings(wildcards):
    return model_settings(wildcards.experiment, **EXPERIMENTS[wildcards.experiment]["queries"])
