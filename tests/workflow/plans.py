"""What a plan says of its jobs, and what the estimate says of them."""

import re

from dasbench.experiments import config, image_shapes
from dasbench.planning import workload


def blocks(clone, *words):
    """Every job of a plan from nothing: (rule, what Snakemake says of it)."""
    text = clone.run(*words, "-n", "--forceall").stdout
    return re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, flags=re.M)


def planned(clone, *words):
    """Every job of a plan from nothing: (rule, resources)."""
    for rule, block in blocks(clone, *words):
        (resources,) = re.findall(r"^    resources: (.*)$", block, flags=re.M)
        pairs = re.findall(r"(\w+)=([^,\s]+)", resources)
        yield rule, {k: int(v) if v.isdecimal() else v for k, v in pairs}


def groups(clone, name):
    return work(clone, name).groups()


def work(clone, name):
    experiment = config.load(name, clone.folder)
    return workload.Workload(experiment, image_shapes.shape_for(experiment, clone.folder))
