# Inputs and settings of the rules in workflow/rules/score.smk.


def method_options(wildcards):
    return METHODS[wildcards.experiment][wildcards.method]


def method_files(wildcards):
    """Named inputs of a method: option name on the command line -> file or files."""
    options = method_options(wildcards)
    home = f"results/{EXPERIMENTS[wildcards.experiment]['seed_name']}"
    folder = f"results/{wildcards.experiment}"
    files = {
        "examples": f"{home}/examples/train.npz",
        "queries": [f"{home}/queries/{f}" for f in QUERY_FILES if f != "gen_noise.npy"],
    }
    chosen = experiments.feature_name(options.get("features"), EXPERIMENTS[wildcards.experiment])
    if chosen:
        chosen = f"{folder}/features/{chosen}"
        files["features"] = [f"{chosen}/{split}.npy" for split in ("train", *layout.KINDS)]
        if "kernel" in options:
            files["spectrum"] = [f"{chosen}/spectrum/{name}.npy" for name in SPECTRUM]
    residuals = residual_name(wildcards.experiment, options)
    if residuals:
        files["residuals"] = f"{folder}/residuals/{residuals}.npy"
    if "computed" in options:
        files["computed"] = [f"{folder}/network/{wildcards.method}/{f}.npy" for f in COMPUTED]
    if options.get("tuning"):  # what a method may see of retrained models; no rule gives it more
        files["tuning-masks"] = f"{home}/masks/tune.npy"
        for kind in layout.KINDS:
            files[f"tuning-{kind}"] = f"{home}/outputs/tune/loss-{kind}.npy"
    for kind, path in options.get("scores", {}).items():
        files[f"scores-{kind}"] = path
    return files


def method_inputs(wildcards):
    """The files of a method, as a flat list."""
    files = method_files(wildcards).values()
    return [path for entry in files for path in ([entry] if isinstance(entry, str) else entry)]


def method_flags(wildcards):
    """The files of a method as command line options; several in one folder go as the folder."""
    parts = []
    for name, entry in method_files(wildcards).items():
        path = entry if isinstance(entry, str) else str(Path(entry[0]).parent)
        parts += [f"--{name}", path]
    return shlex.join(parts)


def method_settings(*more):
    """Params function: a method's options and whole sections of the experiment file."""

    def params(wildcards):
        options = dict(method_options(wildcards))
        own = options.pop("transform")
        e = EXPERIMENTS[wildcards.experiment]
        chosen = {name: e[name] for name in more if name != "lds"}
        chosen |= e["lds"] if "lds" in more else {}
        return settings(
            wildcards.experiment,
            experiment=wildcards.experiment,
            method=wildcards.method,
            options=options,
            transform=own,
            **chosen,
        )

    return params


def method_code(script):
    """Params function: hash of a script and of the method's own module."""

    def params(wildcards):
        return code(script, module_file(method_options(wildcards)["module"]))

    return params
