# Inputs and settings of the rules in workflow/rules/features.smk.

SPECTRUM = ["eigenvalues", "eigenvectors"]
COMPUTED = ["dampings", *layout.KINDS]  # scores that need the network, at all their dampings


def feature_settings(wildcards):
    chosen = FEATURES[wildcards.experiment][wildcards.features]
    return settings(wildcards.experiment, features=chosen)


def feature_model(wildcards):
    """Folder of the model whose gradients are taken: the base model, or as it was in training."""
    chosen = FEATURES[wildcards.experiment][wildcards.features]
    kept = f"checkpoints/{chosen['checkpoint']:02d}" if "checkpoint" in chosen else "base"
    return f"results/{EXPERIMENTS[wildcards.experiment]['seed_name']}/models/{kept}"


def feature_model_files(wildcards):
    return pipeline(feature_model(wildcards))


def spectra(experiment):
    """Names of the feature sets whose kernel some method needs."""
    chosen = [o["features"] for o in METHODS[experiment].values() if "kernel" in o]
    return sorted({experiments.feature_name(f, EXPERIMENTS[experiment]) for f in chosen})


def journeys(experiment):
    """name -> settings of the features along sampling trajectories that some method needs."""
    found = {}
    for options in METHODS[experiment].values():
        if options.get("journey"):
            found |= experiments.feature_sets_of(options, EXPERIMENTS[experiment])
    return found


def journey_settings(wildcards):
    chosen = journeys(wildcards.experiment)[wildcards.features]
    steps = EXPERIMENTS[wildcards.experiment]["queries"]["sampling_steps"]
    return settings(wildcards.experiment, features=chosen, sampling_steps=steps)


def embedding_settings(wildcards):
    return settings(wildcards.experiment, **EXPERIMENTS[wildcards.experiment]["embedding"])


def embedding_model(wildcards):
    """Files of the CLIP model, where it is a folder; a name on the hub stands in the settings."""
    model = EXPERIMENTS[wildcards.experiment]["embedding"]["model"]
    weights = sorted(file.name for file in (ROOT / model).glob("*.safetensors"))
    return [f"{model}/{name}" for name in ["config.json", *weights] if (ROOT / model).is_dir()]


def embedded(experiment):
    """Whether some method needs image embeddings."""
    return any(o.get("features") == "embeddings" for o in METHODS[experiment].values())


def residual_name(experiment, options):
    """Name of the residuals that a method needs, or None."""
    return experiments.residual_name(options, EXPERIMENTS[experiment])


def residual_sets(experiment):
    """name -> settings of every set of residuals that some method needs."""
    return experiments.residual_sets(EXPERIMENTS[experiment])


def residual_settings(wildcards):
    chosen = residual_sets(wildcards.experiment)[wildcards.residuals]
    return settings(wildcards.experiment, residuals=chosen)


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
        more = {name: e[name] for name in sections}
        return settings(wildcards.experiment, gradients=gradients, **more)

    return params
