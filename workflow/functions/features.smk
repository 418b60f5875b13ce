# Inputs and settings of the rules in workflow/rules/features.smk.

SPECTRUM, COMPUTED = query_kinds.SPECTRUM, query_kinds.COMPUTED


def draw_axes(experiment):
    """Leading seed axes of what a replicate draws anew: noise, projections, residuals."""
    e = EXPERIMENTS[experiment]
    number = e["replicate"]["features"]
    return [e["seed_name"], e["seed"]] + ["replicate", number] * (number > 0)


def base_folder(wildcards):
    """Folder of the base model that is attributed."""
    return f"results/{EXPERIMENTS[wildcards.experiment]['base_home']}/models/base"


def attributed_model(wildcards):
    """Files of the base model that is attributed."""
    return base_files(wildcards.experiment, base_folder(wildcards))


def drawn_settings(experiment, chosen=(), /, **values):
    """Model settings with those axes; `draw` in a set of features is one more draw."""
    more = ["draw", chosen["draw"]] if "draw" in chosen else []
    return model_settings(experiment, **{"axes": draw_axes(experiment) + more, **values})


def feature_settings(wildcards):
    chosen = FEATURES[wildcards.experiment][wildcards.features]
    return drawn_settings(wildcards.experiment, chosen, features=chosen)


def timestep_settings(wildcards):
    chosen = TIMESTEPS[wildcards.experiment][wildcards.features]
    return drawn_settings(wildcards.experiment, chosen, sets={"by_timestep": chosen})


def feature_model(wildcards):
    """Folder of the model whose gradients are taken: the base model, or as it was in training."""
    chosen = feature_checkpoint(wildcards)
    kept = "base" if chosen is None else f"checkpoints/{chosen:02d}"
    return f"results/{EXPERIMENTS[wildcards.experiment]['base_home']}/models/{kept}"


def feature_checkpoint(wildcards):
    """Number of the checkpoint whose gradients are taken; None for the base model."""
    sets = FEATURES[wildcards.experiment] | TIMESTEPS[wildcards.experiment]
    return sets[wildcards.features].get("checkpoint")


def feature_model_files(wildcards):
    files = base_files if feature_checkpoint(wildcards) is None else member_files
    return files(wildcards.experiment, feature_model(wildcards))


def spectra(experiment):
    """Names of the averaged feature sets whose kernel some method needs."""
    chosen = [o["features"] for o in METHODS[experiment].values() if feature_sets.has_spectrum(o)]
    return sorted({feature_sets.name_of(f, EXPERIMENTS[experiment]) for f in chosen})


def journeys(experiment):
    """name -> settings of the features along sampling trajectories that some method needs."""
    found = {}
    for options in METHODS[experiment].values():
        if options.get("journey"):
            found |= feature_sets.of_method(options, EXPERIMENTS[experiment])
    return found


def journey_settings(wildcards):
    chosen = journeys(wildcards.experiment)[wildcards.features]
    steps = EXPERIMENTS[wildcards.experiment]["queries"]["sampling_steps"]
    return drawn_settings(wildcards.experiment, chosen, features=chosen, sampling_steps=steps)


def embedding_settings(wildcards):
    return settings(wildcards.experiment, **EXPERIMENTS[wildcards.experiment]["embedding"])


def embedding_model(wildcards):
    return embedding_files(wildcards.experiment)


def embedding_files(experiment):
    """Files of the CLIP model, where it is a folder; a name on the hub stands in the settings."""
    model = EXPERIMENTS[experiment]["embedding"]["model"]
    weights = sorted(file.name for file in (ROOT / model).glob("*.safetensors"))
    return [f"{model}/{name}" for name in ["config.json", *weights] if (ROOT / model).is_dir()]


def embedded(experiment):
    """Whether some method needs image embeddings."""
    return any(o.get("features") == "embeddings" for o in METHODS[experiment].values())


def computed(by, experiments=EXPERIMENTS):
    """Names of the methods whose scores the rule compute_<by> makes, as a pattern."""
    names = {m for e in experiments for m, o in METHODS[e].items() if o.get("computed") == by}
    return "|".join(sorted(names)) or "(?!)"


def computed_settings(*sections):
    """Params function: how gradients are taken, the method's own options, and whole sections."""

    def params(wildcards):
        e = EXPERIMENTS[wildcards.experiment]
        own = METHODS[wildcards.experiment][wildcards.method]
        gradients = {key: e["features"][key] for key in ("timesteps", "draws", "parameters")}
        gradients |= {key: own[key] for key in ("steps", "loss_timesteps") if key in own}
        if own.get("noise", "keyed") != "keyed":
            gradients["noise"] = own["noise"]
        more = {name: e[name] for name in sections}
        return drawn_settings(wildcards.experiment, gradients=gradients, **more)

    return params
