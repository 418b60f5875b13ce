# What the functions of all stages share.


def settings(experiment, /, **values):
    """The one string of settings that a rule uses, seed axes included; equal values, equal string."""
    e = EXPERIMENTS[experiment]
    return experiments.canonical({"axes": [e["seed_name"], e["seed"]], **values})


def sections(*names):
    """Params function: whole sections of the experiment file."""

    def params(wildcards):
        e = EXPERIMENTS[wildcards.experiment]
        return settings(wildcards.experiment, **{name: e[name] for name in names})

    return params


CODE = codehash.Tree(ROOT)


@functools.cache
def code(script, *modules):
    """Hash of what a script runs; `modules` are those it imports by name, such as a method's."""
    return CODE.code_hash(f"scripts/{script}.py", *modules)


def module_file(folder, name):
    """File of a module that a script imports by its name."""
    return f"{folder}/{name}.py"


def text_hash(path):
    """Hash of a file that is read as it is, such as a template."""
    return hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:16]


def filled(template):
    """Params function: a path with the wildcards filled in."""

    def path(wildcards):
        return template.format(**dict(wildcards.items()))

    return path


def shared(*paths):
    """Input function: files of the experiment, or of the parent whose models it shares."""

    def files(wildcards):
        home = f"results/{EXPERIMENTS[wildcards.experiment]['seed_name']}"
        found = [f"{home}/{path}" for path in paths]
        return found if len(found) > 1 else found[0]

    return files


def shards(experiment, use):
    """Numbers of the shards of one use, as they stand in paths."""
    s = EXPERIMENTS[experiment]["subsets"]
    return [f"{i:03d}" for i in range(s[use]["models"] // s["models_per_job"])]


def seeds(experiment, use):
    """Retraining seeds of one use."""
    return range(EXPERIMENTS[experiment]["subsets"][use]["seeds"])
