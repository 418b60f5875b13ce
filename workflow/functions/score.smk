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


@functools.cache
def method_files(experiment, method):
    """Named inputs of a method: option name on the command line -> file or files."""
    options = METHODS[experiment][method]
    return files_of_methods.files(method, EXPERIMENTS[experiment], options)


def method_inputs(wildcards):
    """The files of a method, as a flat list."""
    return files_of_methods.paths(method_files(wildcards.experiment, wildcards.method))


def method_flags(wildcards):
    """The files of a method as command line options."""
    return files_of_methods.flags(method_files(wildcards.experiment, wildcards.method))


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
