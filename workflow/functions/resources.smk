# Resources that jobs request (mem_mb, runtime, gpu). They follow from measured use, see
# src/dasbench/planning/rates.py; `./run estimate E` shows the numbers. Resources change no result and
# rerun no job. Options, for --config or under `config:` in a profile:
#   gpus=1        GPUs of each job that runs networks; 0 on machines without
#   tflops=20     10^12 operations a second that a GPU is assumed to sustain (limits of time)
#   processes=1   processes that together train a base model, or compute a set of features; each has
#                 `gpus` GPUs
#   disk=0        start also if the plan is predicted to fill the disk
#   devices=0,1   this machine's GPUs, one for each job that runs networks
import functools
from collections import defaultdict

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
)  # of a data set that has not been prepared: too large is safer than too small


@functools.cache
def requests(experiment):
    """family of jobs -> (MB, minutes) of one experiment."""
    e = EXPERIMENTS[experiment]
    try:
        shape = image_shapes.shape_for(e, ROOT)
    except UserError:
        shape = UNKNOWN_SHAPE
    try:
        costs = rule_costs.of(workload.Workload(e, shape))
    except UserError:  # no job of this model will succeed; do not stop other experiments
        return defaultdict(lambda: (1000, 60))
    return {family: (RATES.mem_mb(c), RATES.runtime(c, GPU)) for family, c in costs.items()}


def asked(family, column, experiment=None, times=1):
    """Resource function: a number of `requests`, more for each new attempt of a job."""

    def value(wildcards, attempt):
        name = experiment or wildcards.experiment
        return attempt * times * requests(name)[family][column]

    return value


def mem_mb(family, experiment=None, processes=1):
    """Memory of a job; each of its processes needs as much as a single one."""
    return asked(family, 0, experiment, processes)


def minutes(family, experiment=None):
    return asked(family, 1, experiment)


def gpus(processes=1):
    """GPUs of a job; None, because Kubernetes takes 0 for a request, on machines without GPUs."""
    return GPUS * processes or None


def cpus(wildcards, threads):
    """Resource function, for Slurm: cores of a job with several processes of `threads` threads."""
    return threads * PROCESSES


def users_of(dataset):
    """Experiments that train models on a data set; children of others do not."""
    return [name for name, e in ROOTS.items() if e["data"]["dataset"] == dataset]


def pool_mem_mb(wildcards, attempt):
    """Memory to prepare a data set, for its largest experiment."""
    return attempt * max(requests(name)["prepare_pool"][0] for name in users_of(wildcards.dataset))


if DEVICES or PROCESSES > 1:
    # the command of a job stays the same; `python` in it starts the launcher
    shell.prefix(
        "set -euo pipefail; "
        f"export DAS_DEVICES={shlex.quote(DEVICES)} DAS_PROCESSES={PROCESSES}; "
        'python() {{ command python -m dasbench.sharing.launch "$@"; }}; '
    )
