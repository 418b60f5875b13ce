"""One definition of style, the same here and before a commit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("snakefmt", "--check", "Snakefile", "workflow"),
        ("snakemake", "--lint"),
    ],
    ids=["ruff", "ruff-format", "snakefmt", "snakemake-lint"],
)
def test_style(command):
    done = subprocess.run(
        [str(TOOLS / command[0]), *command[1:]],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_sizes_that_can_be_read():
    """Modules under 400 lines, rule files under 130, scripts under 80."""
    limits = [("src/**/*.py", 400), ("workflow/**/*.smk", 130), ("scripts/*.py", 80)]
    for pattern, limit in limits:
        files = list(ROOT.glob(pattern))
        assert files
        for file in files:
            assert len(file.read_text().splitlines()) <= limit, file
