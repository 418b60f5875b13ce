# Inputs and settings of the rules in workflow/rules/removal.smk.

# experiments with a removal study; `removal: {methods: []}`, the default, is none
REMOVAL = {name: e for name, e in EXPERIMENTS.items() if e["removal"]["methods"]}
# and those where a CLIP model compares the images too
EMBEDDED_REMOVALS = [name for name, e in REMOVAL.items() if e["embedding"]["model"]]


def removal_queries(experiment):
    """The first evaluation queries, as positions in gen.npy."""
    e = EXPERIMENTS[experiment]
    first = e["queries"]["tuning"]
    return list(range(first, first + e["removal"]["queries"]))


def removal_sets(experiment, arm):
    r = EXPERIMENTS[experiment]["removal"]
    return r["null_models"] if arm == "null" else r["random_sets"]


def removal_members(experiment, arm):
    """Folder names of an arm's models."""
    if arm in ("random", "null"):
        return [f"set-{s}" for s in range(removal_sets(experiment, arm))]
    return [f"query-{q}" for q in removal_queries(experiment)]


def removal_arms(experiment):
    """Every (arm, k) of the study."""
    r = EXPERIMENTS[experiment]["removal"]
    return [(arm, k) for k in r["k"] for arm in (*r["methods"], "random")] + [("null", 0)]


def removal_scores(wildcards):
    """A method's scores; the other arms need none."""
    if wildcards.arm in ("random", "null"):
        return []
    return f"results/{wildcards.experiment}/scores/{wildcards.arm}/gen.npy"


def removal_candidates(wildcards):
    """How many training images each query looks at, of a method; None: all, or no method."""
    options = METHODS[wildcards.experiment].get(wildcards.arm, {})
    features = options.get("features")
    return features["candidates"] if isinstance(features, dict) else None


def candidate_queries(wildcards):
    """The queries, where it matters which images they look at."""
    home = EXPERIMENTS[wildcards.experiment]["seed_name"]
    return f"results/{home}/queries/gen.npy" if removal_candidates(wildcards) else []


def choice_flags(wildcards):
    """Scores and queries of a method as command line options."""
    files = {"scores": removal_scores(wildcards), "asked": candidate_queries(wildcards)}
    return " ".join(f"--{name} {path}" for name, path in files.items() if path)


def choice_settings(wildcards):
    values = {"k": int(wildcards.k)}
    if wildcards.arm in ("random", "null"):
        values["sets"] = removal_sets(wildcards.experiment, wildcards.arm)
    else:
        values["queries"] = removal_queries(wildcards.experiment)
    if removal_candidates(wildcards):
        values["candidates"] = removal_candidates(wildcards)
    return settings(wildcards.experiment, **values)


def measure_removal_settings(wildcards):
    e, arm = EXPERIMENTS[wildcards.experiment], wildcards.arm
    return model_settings(
        wildcards.experiment,
        arm=arm if arm in ("random", "null") else "method",
        method=arm,
        k=int(wildcards.k),
        members=removal_members(wildcards.experiment, arm),
        queries=removal_queries(wildcards.experiment),
        grid=output_grid(wildcards.experiment),
        sampling_steps=e["queries"]["sampling_steps"],
        guidance=e["queries"]["guidance"],
    )


def removal_models(wildcards):
    folder = f"results/{wildcards.experiment}/models/removal/{wildcards.arm}/k-{wildcards.k}"
    members = removal_members(wildcards.experiment, wildcards.arm)
    return [
        file
        for member in members
        for file in member_files(wildcards.experiment, f"{folder}/{member}")
    ]


def part_files(experiment, folder):
    """Tables and images of every arm."""
    return [
        f"results/{experiment}/removal/{folder}/{arm}/k-{k}/{file}"
        for arm, k in removal_arms(experiment)
        for file in ("per_query.parquet", "images.npy")
    ]


def removal_parts(wildcards):
    return part_files(wildcards.experiment, "parts")


def embedded_removal_settings(name):
    """Params function: the CLIP model, and what it compares."""
    model = EXPERIMENTS[name]["embedding"]["model"]
    return literally(experiments.canonical({"model": model, "arms": removal_arms(name)}))


def removal_summary_settings(wildcards):
    e = EXPERIMENTS[wildcards.experiment]
    return settings(wildcards.experiment, arms=removal_arms(wildcards.experiment), **e["lds"])


def removal_summary(wildcards):
    """The removal table, where there is a study."""
    if wildcards.experiment not in REMOVAL:
        return []
    return f"results/{wildcards.experiment}/removal/summary.csv"


def removal_flag(wildcards):
    """The removal table as a command line option, or nothing."""
    path = removal_summary(wildcards)
    return f"--removal {path}" if path else ""
