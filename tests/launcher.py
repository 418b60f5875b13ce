"""``./run`` in a repository where Snakemake, pytest and the benchmarks are stand-ins."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dasbench.experiments import config
from dasbench.planning import preflight

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "sh", "dirname", "cmp", "sed", "env", "cat")
STAND_IN = """\
import sys
print("{name}", *sys.argv[1:])
"""


@functools.cache
def built_networks():
    """What a checkout remembers once diffusers has built the networks of smoke and digits."""
    with tempfile.TemporaryDirectory() as folder:
        preflight.check([config.load(name, ROOT) for name in ("smoke", "digits")], folder)
        return Path(folder, preflight.KNOWN).read_text()


def stood_in(tmp_path):
    """A repository with ``run``, the package, two experiments, and stand-ins for the programs.

    Its networks have been built before, as each call of ``./run`` would import torch for it.
    """
    root = tmp_path / "repository"
    (root / preflight.KNOWN).parent.mkdir(parents=True)
    (root / preflight.KNOWN).write_text(built_networks())
    (root / "src").mkdir(parents=True)
    for name in ("run", "requirements.lock", "dvc.yaml"):
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "config/experiments", root / "config/experiments")
    (root / "src/dasbench").symlink_to(ROOT / "src/dasbench")
    for name in ("snakemake", "pytest", "benchmarks"):
        (root / f"src/{name}.py").write_text(STAND_IN.format(name=name))
    return root


def usual_tools(tmp_path):
    """A folder for PATH that has the usual tools, but no Python and no uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool))
    return folder


def start(repository, *arguments, path=None, folder=None, **variables):
    """Call ``./run`` with an environment of its own."""
    if path is None:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        [str(repository / "run"), *arguments],
        env={"PATH": str(path), "HOME": str(repository), **variables},
        cwd=folder or repository,
        capture_output=True,
        text=True,
        check=False,
    )


def active(repository, *arguments, **variables):
    return start(repository, *arguments, DAS_ENV="active", **variables)
