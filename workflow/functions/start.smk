# Shared by all rules: the experiments, and the functions for inputs, params and resources. Besides
# its inputs, a job depends on two params: a canonical JSON string of settings, and a hash of code.
import gc
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))
# jobs import the package, too, also if dvc repro or the user starts Snakemake
paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(paths))

from dasbench import registry
from dasbench.core import query_kinds
from dasbench.sharing import launch
from dasbench.errors import UserError
from dasbench.experiments.files import models, resolved
from snakemake.exceptions import WorkflowError

# a plan has millions of small objects, few of them in cycles: collect these less often
gc.set_threshold(50_000, 20, 20)
for variable, limit in launch.MEMORY.items():
    os.environ.setdefault(variable, limit)

# a broken file stops only what is made from it
EXPERIMENTS, BROKEN = resolved.load_sound(ROOT)
if not EXPERIMENTS:
    raise WorkflowError("\n".join(map(str, BROKEN.values())))
if BROKEN and workflow.is_main_process:
    for sentence in dict.fromkeys("\n".join(map(str, BROKEN.values())).splitlines()):
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"warning: left out for that: {', '.join(BROKEN)}", file=sys.stderr)

# experiments that train models; a child (`parent:`) uses those of its parent
ROOTS = {name: e for name, e in EXPERIMENTS.items() if e.is_root}
# experiments with held-out images, whose queries are of every kind, and those without: the rules
# with the ending `_gen` are for these
HELD_OUT = [name for name, e in EXPERIMENTS.items() if query_kinds.of(e) == query_kinds.KINDS]
GENERATED = [name for name in EXPERIMENTS if name not in HELD_OUT]
GEN = ("gen",)
# experiments with subset models, which give the LDS of scores
JUDGED = [name for name, e in EXPERIMENTS.items() if e.is_judged]


wildcard_constraints:
    experiment="|".join(EXPERIMENTS),
    kind="|".join(query_kinds.KINDS),
    use="|".join(models.USES),
    seed=r"\d+",
    shard=r"\d{3}",
    k=r"\d+",
    features=r"[\w-]+",


include: "common.smk"
include: "code.smk"
include: "hooks.smk"
include: "resources.smk"


if workflow.is_main_process and not runlock.busy(ROOT):
    restore_records()


onstart:
    take_lock()
    rest_between_jobs()


onsuccess:
    if not record():
        sys.exit(1)  # otherwise Snakemake would report success


onerror:
    record()
    diagnose()
