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


@functools.cache
def code(script, *modules):
    """Hash of what a script runs; `modules` are those it imports by name, such as a method's."""
    return codehash.code_hash(ROOT, f"scripts/{script}.py", *modules)


def module_file(module):
    """src/dasbench/methods/controls.py of dasbench.methods.controls."""
    return f"{Path('src', *module.split('.'))}.py"


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


def restore_records():
    """Tell Snakemake what made the artifacts that are here, and the user which are not as made."""
    altered = []
    try:
        restored = provenance.restore(ROOT, altered=altered)
    except UserError as error:
        raise WorkflowError(str(error))
    if restored:
        print(f"restored the provenance of {restored} artifacts", file=sys.stderr)
    if altered:
        more = f" and {len(altered) - 1} more" if len(altered) > 1 else ""
        print(
            f"warning: {altered[0]}{more} changed after being made; do not trust what is made from"
            " it before ./run verify has told the remedy",
            file=sys.stderr,
        )


def take_lock():
    """One run at a time; ./run, which started this one, may hold the lock for it already."""
    try:
        runlock.hold(ROOT)
        runlock.sweep(ROOT)
    except UserError as error:
        raise WorkflowError(str(error))


def rest_between_jobs():
    """Let Snakemake choose jobs when one ends, and not also by the clock, where it runs them itself.

    For its limit on jobs a second, 9.27 starts a timer after every choice, which brings about another
    one: with each job that ends there is one more choice a second, each asking for the size of all
    inputs, until that takes half a core. A cluster keeps the limit, which is for its sake.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def record():
    """Write down what has been made, and what it cost, for the experiments that changed."""
    try:
        record_costs()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)


def record_costs():
    files = [ROOT / f"results/{name}/runtimes.json" for name in EXPERIMENTS]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    for problem in provenance.mixed(ROOT, provenance.save(ROOT)):
        print(f"error: {problem}", file=sys.stderr)
    for file in files:
        if file.is_file() and file.read_bytes() != before.get(file):
            manifest = json.loads((file.parent / "provenance.json").read_text())
            runtimes = json.loads(file.read_text())
            timings.write(file.parent, file.parent.name, manifest, runtimes)
            page = file.parent / "report.html"
            if page.is_file():
                logger.info(f"the report is {page.relative_to(ROOT)}", extra={"news": True})


def diagnose():
    """Say what no job may have been able to say: the disk is full, or an artifact is damaged."""
    if shortage := room.shortage(ROOT):
        print(f"error: {shortage}", file=sys.stderr)
    try:
        problems = provenance.verify(ROOT).problems
    except UserError as error:
        problems = [str(error)]
    for problem in problems:
        if "is damaged" in problem:
            print(f"error: {problem}", file=sys.stderr)
