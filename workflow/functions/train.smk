# Inputs and settings of the rules in workflow/rules/train.smk.


# experiments that train a base model; the others import one (import.smk)
TRAINED = [name for name, e in ROOTS.items() if not e["base"]]
# and those that have subset models
RETRAINED = {name: e for name, e in ROOTS.items() if e["subsets"]}


def train_settings(experiment, /, **values):
    """Params function: model, diffusion and training settings; how many checkpoints are kept changes no weights."""
    e = EXPERIMENTS[experiment]
    training = {name: v for name, v in e["training"].items() if name != "checkpoints"}
    return literally(
        model_settings(experiment, diffusion=e["diffusion"], training=training, **values)
    )


def checkpoint_epochs(experiment):
    """Epochs after which the base model is kept."""
    return experiments.checkpoints(EXPERIMENTS[experiment])


def shard_files(experiment, use):
    """The files of one shard, with the wildcards seed and shard left open."""
    folder = f"results/{experiment}/models/{use}/seed-{{seed}}/shard-{{shard}}"
    per_job = EXPERIMENTS[experiment]["subsets"]["models_per_job"]
    files = [file for k in range(per_job) for file in member_files(experiment, f"{folder}/{k:02d}")]
    return [f"{folder}/masks.npy", *files]
