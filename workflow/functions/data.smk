# Inputs and settings of the rules in workflow/rules/data.smk.

# experiments whose data set is read from files; each has a pool of its own
FROM_FILES = [name for name, e in ROOTS.items() if registry.reads_files(e["data"]["dataset"])]


def dataset_file(name):
    return module_file(registry.DATASET_FOLDER, name)


def pool_settings(wildcards):
    return experiments.canonical({"module": registry.DATASETS[wildcards.dataset]["module"]})


def pool_code(wildcards):
    return code("prepare_pool", dataset_file(registry.DATASETS[wildcards.dataset]["module"]))


def read_settings(wildcards):
    """What decides which bytes are read and what becomes of them; `data.train` chooses later."""
    data = EXPERIMENTS[wildcards.experiment]["data"]
    chosen = {key: v for key, v in data.items() if key not in ("train", "card")}
    files = cards.load(ROOT)[data["dataset"]].get("files", {})
    return experiments.canonical(
        {"module": registry.DATASETS[data["dataset"]]["module"], "data": chosen, "files": files}
    )


def labels_of(wildcards):
    """The CSV with labels, where it is here: it may change and keep its name.

    Pictures are no inputs, they may be many; docs/datasets.md says what to do when they change.
    """
    table = EXPERIMENTS[wildcards.experiment]["data"]["labels"]
    path = Path(table or "").expanduser()
    wild = set("{}") & set(str(path))  # Snakemake would look for wildcards in it
    return [str(path)] if path.is_file() and not wild else []


def read_code(wildcards):
    dataset = EXPERIMENTS[wildcards.experiment]["data"]["dataset"]
    return code("read_images", dataset_file(registry.DATASETS[dataset]["module"]))


def pool_of(wildcards):
    return f"data/{experiments.pool_name(EXPERIMENTS[wildcards.experiment])}/pool.npz"


def examples_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    data = {name: e["data"][name] for name in ("classes", "train")}
    return settings(wildcards.experiment, val=e["queries"]["val"], **data)


def split_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(wildcards.experiment, val=e["queries"]["val"], train=e["data"]["train"])


def card_of(wildcards):
    return f"data/{experiments.pool_name(EXPERIMENTS[wildcards.experiment])}/card.json"


def frozen_settings(experiment, /, **values):
    """Of rules that run what stays frozen: none of what is trained on it, and no seed."""
    model = EXPERIMENTS[experiment]["model"]
    frozen = {key: model[key] for key in ("pretrained", "revision", "prompt") if key in model}
    chosen = {"model": frozen, "family": family_of(experiment)["module"]}
    return experiments.canonical(chosen | values)


def prompt_settings(wildcards):
    return frozen_settings(wildcards.experiment)


def latent_settings(name):
    """Params function: the held-out images that are queries, and whether mirrored ones are used."""
    val, flip = LATENT[name]["queries"]["val"], LATENT[name]["training"]["flip"]
    return literally(frozen_settings(name, val=val, flip=flip))
