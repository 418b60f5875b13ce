# Inputs and settings of the rules in workflow/rules/train.smk.


def train_settings(experiment, /, **values):
    """Model, diffusion and training settings; how many checkpoints are kept changes no weights."""
    e = EXPERIMENTS[experiment]
    training = {name: v for name, v in e["training"].items() if name != "checkpoints"}
    return settings(
        experiment, model=e["model"], diffusion=e["diffusion"], training=training, **values
    )


def checkpoint_epochs(experiment):
    """Epochs after which the base model is kept."""
    return experiments.checkpoints(EXPERIMENTS[experiment])


def shard_files(experiment, use):
    """The files of one shard, with the wildcards seed and shard left open."""
    folder = f"results/{experiment}/models/{use}/seed-{{seed}}/shard-{{shard}}"
    per_job = EXPERIMENTS[experiment]["subsets"]["models_per_job"]
    files = [file for k in range(per_job) for file in pipeline(f"{folder}/{k:02d}")]
    return [f"{folder}/masks.npy", *files]
