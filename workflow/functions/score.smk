# Inputs and settings of the rules in workflow/rules/score.smk.


def method_options(wildcards):
    return METHODS[wildcards.experiment][wildcards.method]


def method_kinds(wildcards):
    """The kinds of queries that a job is about: one, or all that the method applies to."""
    one = wildcards.get("kind")
    return [one] if one else experiments.kinds(method_options(wildcards))


# methods that, in some experiment, apply to some kinds of queries only; none is an impossible name
PARTIAL = sorted(
    name
    for methods in METHODS.values()
    for name, options in methods.items()
    if experiments.kinds(options) != query_kinds.KINDS
) or ["-"]


def score_files(experiment):
    """Scores of every method, of the kinds of queries that it applies to."""
    return [
        f"results/{experiment}/scores/{method}/{kind}.npy"
        for method, options in METHODS[experiment].items()
        for kind in experiments.kinds(options)
    ]


def method_files(wildcards):
    """Named inputs of a method: option name on the command line -> file or files."""
    options = method_options(wildcards)
    home = f"results/{EXPERIMENTS[wildcards.experiment]['seed_name']}"
    folder = f"results/{wildcards.experiment}"
    files = {
        "examples": f"{home}/examples/train.npz",
        "queries": [f"{home}/queries/{f}" for f in QUERY_FILES if f != "gen_noise.npy"],
    }
    sets = feature_sets.of_method(options, EXPERIMENTS[wildcards.experiment])
    sets = [f"{folder}/features/{name}" for name in sets]
    if options.get("features") == "embeddings":
        sets = [f"{folder}/features/embeddings"]
    splits = ("train", *query_kinds.KINDS)
    if feature_sets.keeps_timesteps(options):
        files["timesteps"] = [f"{sets[0]}/by_timestep/{split}.npy" for split in splits]
        sets = sets[1:]
    if sets:
        files["features"] = [f"{name}/{split}.npy" for name in sets for split in splits]
        if feature_sets.has_spectrum(options):
            files["spectrum"] = [f"{sets[0]}/spectrum/{name}.npy" for name in SPECTRUM]
    if options.get("journey"):
        files["journey"] = f"{sets[0]}/journey.npy"
    residuals = residual_name(wildcards.experiment, options)
    if residuals:
        form = "residuals-by-timestep" if residuals.endswith("by_timestep") else "residuals"
        files[form] = f"{folder}/residuals/{residuals}.npy"
    if "computed" in options:
        files["computed"] = [f"{folder}/network/{wildcards.method}/{f}.npy" for f in COMPUTED]
    if options.get("tuning"):  # what a method may see of retrained models; no rule gives it more
        files["tuning-masks"] = f"{home}/masks/tune.npy"
        for kind in query_kinds.KINDS:
            files[f"tuning-{kind}"] = f"{home}/outputs/tune/loss-{kind}.npy"
    for kind, path in options.get("scores", {}).items():
        files[f"scores-{kind}"] = path
    return files


def method_inputs(wildcards):
    """The files of a method, as a flat list."""
    files = method_files(wildcards).values()
    return [path for entry in files for path in ([entry] if isinstance(entry, str) else entry)]


def method_flags(wildcards):
    """The files of a method as command line options; those of a list go as their folders."""
    parts = []
    for name, entry in method_files(wildcards).items():
        listed = [] if isinstance(entry, str) else [str(Path(path).parent) for path in entry]
        parts += [f"--{name}", *(dict.fromkeys(listed) or [entry])]
    return shlex.join(parts)


def method_settings(*more):
    """Params function: a method's options and whole sections of the experiment file."""

    def params(wildcards):
        options = dict(method_options(wildcards))
        own, kinds = options.pop("transform"), method_kinds(wildcards)
        options.pop("inapplicable", None)  # what the tables say changes no score
        e = EXPERIMENTS[wildcards.experiment]
        chosen = {name: e[name] for name in more if name != "lds"}
        chosen |= e["lds"] if "lds" in more else {}
        return settings(
            wildcards.experiment,
            experiment=wildcards.experiment,
            method=wildcards.method,
            options=options,
            transform=own,
            kinds=kinds,
            **chosen,
        )

    return params


def method_code(script):
    """Params function: hash of a script and of the method's own module."""

    def params(wildcards):
        return code(
            script, module_file(registry.METHOD_FOLDER, method_options(wildcards)["module"])
        )

    return params


def tuning_tables(wildcards):
    return expand(
        "results/{experiment}/lds/methods/{method}/selection.csv",
        experiment=wildcards.experiment,
        method=METHODS[wildcards.experiment],
    )


def tuning_settings(wildcards):
    transforms = {name: o["transform"] for name, o in METHODS[wildcards.experiment].items()}
    return settings(wildcards.experiment, transforms=transforms)
