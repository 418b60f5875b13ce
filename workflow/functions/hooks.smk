# What happens before the first job and after the last one.

import json
import sys

from dasbench.reports import cost_page
from dasbench.sharing import disk_space, provenance, runlock
from dasbench.errors import UserError
from snakemake.exceptions import WorkflowError


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
    inputs, which took a fifth of a core after fifty jobs. A cluster keeps the limit, for its own sake.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def record():
    """Write down what has been made, and what it cost; False if that, or what was made, is wrong."""
    try:
        problems = record_costs()
    except UserError as error:
        problems = [error]
    # in one go, because the logger writes lines meanwhile
    sys.stderr.write("".join(f"error: {problem}\n" for problem in problems))
    return not problems


def record_costs():
    """For the experiments that changed; returns what was made from other inputs than recorded."""
    files = [ROOT / f"results/{name}/runtimes.json" for name in EXPERIMENTS]
    before = {file: file.read_bytes() for file in files if file.is_file()}
    problems = provenance.mixed(ROOT, provenance.save(ROOT))
    for file in files:
        if file.is_file() and file.read_bytes() != before.get(file):
            manifest = json.loads((file.parent / "provenance.json").read_text())
            runtimes = json.loads(file.read_text())
            cost_page.write(file.parent, file.parent.name, manifest, runtimes)
            page = file.parent / "report.html"
            if page.is_file():
                logger.info(f"the report is {page.relative_to(ROOT)}", extra={"news": True})
    return problems


def diagnose():
    """Say what no job may have been able to say: the disk is full, or an artifact is damaged."""
    if shortage := disk_space.shortage(ROOT):
        print(f"error: {shortage}", file=sys.stderr)
    try:
        problems = provenance.verify(ROOT).problems
    except UserError as error:
        problems = [str(error)]
    for problem in problems:
        if "is damaged" in problem:
            print(f"error: {problem}", file=sys.stderr)
