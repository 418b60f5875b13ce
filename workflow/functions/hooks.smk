# Actions before the first job and after the last one.

import json
import sys

from dasbench.planning import needed_space
from dasbench.reports import cost_page, index_page
from dasbench.sharing import disk_space, provenance, records, runlock, stopping
from dasbench.errors import UserError
from snakemake.exceptions import WorkflowError


def restore_records():
    """Give Snakemake the records of the outputs here, and warn of outputs that changed since."""
    altered = []
    try:
        restored = provenance.restore(ROOT, altered=altered)
    except UserError as error:
        raise WorkflowError(str(error))
    for folder, reason in records.ignored(ROOT).items():
        print(f"warning: {folder} is ignored: no experiment has it, and {reason}", file=sys.stderr)
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
    """Allow one run at a time; the ./run that started this run may already hold the lock for it."""
    try:
        runlock.hold(ROOT)
        stopping.install()  # Snakemake has set its own handler of SIGTERM by now
        runlock.sweep(ROOT)
        need_space()
    except UserError as error:
        raise WorkflowError(str(error))


def need_space():
    """Refuse to start a run that is predicted to fill the disk; `--config disk=0` starts it."""
    if not int(config.get("disk", 1)):
        return
    outputs = [str(file) for job in workflow.dag.needrun_jobs() for file in job.output]
    if sentence := needed_space.shortage(outputs, EXPERIMENTS, ROOT):
        raise UserError(sentence)


def rest_between_jobs():
    """On this machine, let Snakemake select new jobs only when a job ends, not by the clock as well.

    For its limit on jobs a second, Snakemake 9.27 starts a timer after every selection, and the timer
    starts another selection. So each ended job adds one selection a second, which reads the sizes of
    all inputs. After fifty jobs this took a fifth of a core. A cluster keeps the limit.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def record():
    """Record the new outputs and their costs; False after an error, or if an output is wrong."""
    try:
        problems = record_costs()
    except UserError as error:
        problems = [error]
    # one write, because the logger may write lines in between
    sys.stderr.write("".join(f"error: {problem}\n" for problem in problems))
    return not problems


def record_costs():
    """Record outputs and costs; returns sentences on outputs from inputs other than recorded."""
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
    index_page.write(ROOT)
    return problems


def diagnose():
    """After a failed run, report causes that a job may not report: a full disk, a damaged output."""
    if stopping.received():
        return
    if shortage := disk_space.shortage(ROOT):
        print(f"error: {shortage}", file=sys.stderr)
    try:
        problems = provenance.verify(ROOT).problems
    except UserError as error:
        problems = [str(error)]
    for problem in problems:
        if "is damaged" in problem:
            print(f"error: {problem}", file=sys.stderr)
