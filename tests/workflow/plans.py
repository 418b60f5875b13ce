"""What a plan says of its jobs, and how many the estimate counts."""

import re

import yaml

from dasbench.experiments import config, image_shapes
from dasbench.planning import planned_jobs, rule_costs, workload


def blocks(clone, *words):
    """Every job of a plan from nothing: (rule, what Snakemake says of it)."""
    text = clone.run(*words, "-n", "-p", "--forceall").stdout
    return re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, flags=re.M)


def planned(clone, *words):
    """Every job of a plan from nothing: (experiment or None, rule, resources)."""
    for rule, block in blocks(clone, *words):
        (resources,) = re.findall(r"^    resources: (.*)$", block, flags=re.M)
        pairs = re.findall(r"(\w+)=([^,\s]+)", resources)
        log = re.search(r"^    log: logs/(\w+)/", block, flags=re.M)
        asked = {k: int(v) if v.isdecimal() else v for k, v in pairs}
        yield log and log[1], rule, asked


def counted(clone, *names):
    """name -> rule -> (family, jobs) as the estimate counts them, without the target."""
    experiments = [config.load(name, clone.folder) for name in names]
    files = [clone.folder / config.FOLDER / f"{name}.yaml" for name in names]
    contents = [yaml.safe_load(file.read_text()) for file in files]
    jobs = planned_jobs.count(clone.folder, experiments, contents)
    return {
        name: {rule: (family, n) for rule, family, n in of_one if family != "target"}
        for name, of_one in zip(names, jobs, strict=True)
    }


def counts(clone, *names):
    """name -> rule -> jobs; as ``Clone.plan`` has them."""
    found = counted(clone, *names)
    return {name: {rule: n for rule, (_, n) in found[name].items()} for name in names}


def work(clone, name):
    experiment = config.load(name, clone.folder)
    return workload.Workload(experiment, image_shapes.shape_for(experiment, clone.folder))


def costs(clone, name):
    return rule_costs.of(work(clone, name))
