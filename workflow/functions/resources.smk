# What jobs ask of a machine (mem_mb, runtime, gpu), from measured use: src/dasbench/planning/rates.py says how
# measured becomes requested, `./run estimate E` shows the numbers. Nothing here changes a result or
# reruns a job. Set with --config, or under `config:` in a profile:
#   gpus=1        GPUs of each job that runs networks; 0 on machines without
#   tflops=20     10^12 operations a second that a GPU is assumed to sustain (limits of time)
#   processes=1   processes that train a base model, or compute a set of features, together, each with
#                 `gpus` GPUs
#   devices=0,1   this machine's GPUs, one for each job that runs networks
import functools

from dasbench.experiments import image_shapes
from dasbench.planning import rates, rule_costs, workload


def option(name, default, kind=int, least=0):
    """A number from Snakemake's config."""
    value = config.get(name, default)
    try:
        number = kind(value)
        if number < least:
            raise ValueError
    except (TypeError, ValueError):
        raise WorkflowError(
            f"config {name} is {value}, expected a number of at least {least}, as in --config {name}={default}"
        )
    return number


GPUS = option("gpus", 1)
PROCESSES = option("processes", 1, least=1)
GPU = rates.Gpu(option("tflops", rates.Gpu().tflops, float, 0.001)) if GPUS else None
DEVICES = str(config.get("devices", ""))
RATES = rates.load(ROOT / rates.FILE)
UNKNOWN_SHAPE = (
    3,
    64,
    64,
)  # a data set that has not been made yet, rather too large than too small


@functools.cache
def requests(experiment):
    """family of jobs -> (MB, minutes) of one experiment."""
    e = EXPERIMENTS[experiment]
    try:
        shape = image_shapes.shape_for(e, ROOT)
    except UserError:
        shape = UNKNOWN_SHAPE
    costs = rule_costs.of(workload.Workload(e, shape))
    return {family: (RATES.mem_mb(c), RATES.runtime(c, GPU)) for family, c in costs.items()}


def asked(family, column, experiment=None, times=1):
    """Resource function: a number of `requests`; a job that is tried again asks for more."""

    def value(wildcards, attempt):
        name = experiment or wildcards.experiment
        return attempt * times * requests(name)[family][column]

    return value


def mem_mb(family, experiment=None, processes=1):
    """Each process of a job that is split holds what one alone would hold."""
    return asked(family, 0, experiment, processes)


def minutes(family, experiment=None):
    return asked(family, 1, experiment)


def gpus(processes=1):
    """None leaves the resource out, on machines without: Kubernetes takes a 0 for a request, too."""
    return GPUS * processes or None


def cpus(wildcards, threads):
    """Resource function, for Slurm: cores of a job that is split; `threads` are those of a process."""
    return threads * PROCESSES


def users_of(dataset):
    """Experiments with models of their own that read a data set."""
    return [name for name, e in ROOTS.items() if e["data"]["dataset"] == dataset]


def pool_mem_mb(wildcards, attempt):
    """What the largest experiment on a data set makes of it."""
    return attempt * max(requests(name)["prepare_pool"][0] for name in users_of(wildcards.dataset))


if DEVICES or PROCESSES > 1:
    # a job's command is the same; only what `python` starts differs
    shell.prefix(
        "set -euo pipefail; "
        f"export DAS_DEVICES={shlex.quote(DEVICES)} DAS_PROCESSES={PROCESSES}; "
        'python() {{ command python -m dasbench.sharing.launch "$@"; }}; '
    )
