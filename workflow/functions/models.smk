# What rules that run a model share: its family's files, settings, code, and the inputs beside the
# examples. A child (`parent:`) uses its parent's model.

# experiments with models of latents, and those whose condition is a prompt
LATENT = {n: e for n, e in ROOTS.items() if registry.family(e["model"])["latents"]}
PROMPTED = {n: e for n, e in ROOTS.items() if registry.family(e["model"])["prompts"]}


def family_of(experiment):
    """The registry's entry of the experiment's kind of model."""
    return registry.family(EXPERIMENTS[experiment]["model"])


def home_of(experiment):
    """Folder of the experiment whose models are used."""
    return f"results/{EXPERIMENTS[experiment]['seed_name']}"


def base_files(experiment, folder=None):
    """The files of the base model's folder."""
    folder = folder or f"{home_of(experiment)}/models/base"
    return [f"{folder}/{name}" for name in family_of(experiment)["files"]]


def member_files(experiment, folder):
    """The files of the folder of a subset model, a checkpoint, a retrained model."""
    return [f"{folder}/{name}" for name in family_of(experiment)["member_files"]]


def base_model(wildcards):
    """Input function: the base model."""
    return base_files(wildcards.experiment)


def model_settings(experiment, /, **values):
    """Settings with the model's section and the module of its family."""
    return settings(
        experiment,
        model=EXPERIMENTS[experiment]["model"],
        family=family_of(experiment)["module"],
        **values,
    )


def literally(text):
    """Params function: a text in which nothing is a wildcard, not even the {class} of a prompt."""
    return lambda wildcards: text


def family_code(script):
    """Params function: hash of a script and of the family's own module."""

    def params(wildcards):
        return model_code(script, wildcards.experiment)

    return params


def model_code(script, experiment):
    return code(script, module_file(registry.FAMILY_FOLDER, family_of(experiment)["module"]))


def latent_files(experiment):
    """What encode_latents makes for an experiment, if anything."""
    name = EXPERIMENTS[experiment]["seed_name"]
    if name not in LATENT:
        return []
    mirrored = ["train-mirrored.npy"] * LATENT[name]["training"]["flip"]
    files = ["train.npy", "val.npy", *mirrored, "pretrained.json"]
    return [f"results/{name}/latents/{file}" for file in files]


def prompt_files(experiment):
    name = EXPERIMENTS[experiment]["seed_name"]
    return [f"results/{name}/prompts/embeddings.npy"] * (name in PROMPTED)


def given_files(experiment):
    """Inputs of every script that runs a model, besides the examples."""
    return latent_files(experiment) + prompt_files(experiment)


def given(wildcards):
    """Input function: see given_files."""
    return given_files(wildcards.experiment)


def given_options(experiment):
    """The same as command line options."""
    latents, prompts = latent_files(experiment), prompt_files(experiment)
    parts = ["--latents", str(Path(latents[0]).parent)] if latents else []
    return shlex.join(parts + (["--prompts", *prompts] if prompts else []))


def given_flags(wildcards):
    """Params function: see given_options."""
    return given_options(wildcards.experiment)


def seen_queries(wildcards):
    """Input function: see query_files."""
    return query_files(wildcards.experiment)


def query_files(e):
    """The queries as the model sees them, and their labels."""
    kinds = (
        [f"{kind}_latents" for kind in query_kinds.KINDS] if latent_files(e) else query_kinds.KINDS
    )
    names = [*kinds, *(f"{kind}_labels" for kind in query_kinds.KINDS)]
    return [f"{home_of(e)}/queries/{name}.npy" for name in names]


def only(names):
    """Wildcard constraint: these experiments; a pattern that nothing matches for none."""
    return "|".join(names) or "(?!)"


def except_for(names):
    """Wildcard constraint: the other experiments."""
    return only([name for name in EXPERIMENTS if name not in names])
