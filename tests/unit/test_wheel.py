"""The wheel that ``pip install .`` makes and installs."""

import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from clones import ROOT
from dasbench.diffusion.families import pixel
from dasbench.version import __version__
from tiny import DIFFUSION, MODEL

BUILD = "from setuptools import build_meta; build_meta.build_wheel('dist')"  # pip does the same
ASK = """
from importlib.metadata import entry_points
(command,) = entry_points(group="console_scripts", name="dasbench")
main = command.load()
sizes = ["--timesteps", "2", "--dimensions", "64"]
assert main(["index", "pipeline", "train", "--out", "index", *sizes]) == 0
assert main(["ask", "train/0.png", "--index", "index", "--page", "answer.html"]) == 0
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built in a copy of the files that a clone has."""
    folder = tmp_path_factory.mktemp("sources")
    caches = shutil.ignore_patterns("__pycache__", "*.egg-info", ".part-*")
    shutil.copytree(ROOT / "src", folder / "src", ignore=caches)
    (folder / "src/dasbench/__pycache__").mkdir()
    (folder / "src/dasbench/__pycache__/seeds.cpython-311.pyc").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    call(folder, "-c", BUILD)
    (made,) = (folder / "dist").iterdir()
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs Python in a folder; the unpacked wheel takes the place of the sources."""
    package = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(package)
    return lambda folder, *words: call(folder, *words, path=package)


def call(folder, *words, path=""):
    """Run Python in a folder; its standard output."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_has_every_file_of_the_package_and_nothing_else(wheel):
    source = ROOT / "src"
    files = [path for path in (source / "dasbench").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(source)) for path in files if "__pycache__" not in path.parts}
    about = f"dasbench-{__version__}.dist-info"
    found = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in found if not name.startswith(f"{about}/")} == wanted
    assert {"dasbench/py.typed", "dasbench/reports/templates/answer.html.j2"} <= wanted
    assert f"{about}/licenses/LICENSE" in found


def test_it_is_a_module(installed, tmp_path):
    assert installed(tmp_path, "-m", "dasbench", "--version").strip() == __version__


def test_its_command_answers_without_the_repository(installed, tmp_path):
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("attribution", 0))
    pixel.save(tmp_path / "pipeline", unet, process)
    (tmp_path / "train").mkdir()
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)):
        Image.fromarray(image).save(tmp_path / f"train/{i}.png")
    assert "self-check: 4 of 4" in installed(tmp_path, "-c", ASK)
    assert (tmp_path / "answer.html").read_text().startswith("<!")
