"""The lock, and the other door to the same environment."""

import re
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==([A-Za-z0-9.!]+)")


def pins():
    """Name -> version of every line of the lock that is no comment."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    found = {}
    for line in lines:
        if line.strip() and not line.strip().startswith("#"):
            match = PIN.fullmatch(line.strip())
            assert match, f"not a pin: {line}"
            assert match[1] not in found, f"pinned twice: {line}"
            found[match[1]] = match[2]
    return found


def wanted():
    """Names of the direct dependencies."""
    lines = (ROOT / "requirements.in").read_text().splitlines()
    names = [re.split(r"[=<>~\[]", line.partition("#")[0].strip())[0] for line in lines]
    return {name.strip() for name in names if name.strip()}


def test_lock_pins_every_direct_dependency():
    assert wanted() <= set(pins())


def needed(name, extras):
    """What an installed package needs here, with these extras: (name, extras)."""
    for text in metadata.requires(name) or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in (*extras, "")):
            yield canonicalize_name(need.name), frozenset(need.extras)


def test_the_lock_has_all_that_its_packages_need():
    """``dasbench.commands.environment`` installs without dependencies."""
    lines = (ROOT / "requirements.in").read_text().splitlines()
    asked = [Requirement(line) for line in lines if line.partition("#")[0].strip()[:1].isalpha()]
    waiting = {(canonicalize_name(need.name), frozenset(need.extras)) for need in asked}
    seen = set()
    while waiting:
        seen |= waiting
        waiting = {need for one in waiting for need in needed(*one)} - seen
    names = {name for name, _ in seen}
    assert names <= set(pins())
    assert len(names) > 100


def test_snakemake_is_pinned_exactly():
    """The provenance module reads and writes this version's records."""
    assert pins()["snakemake"] == "9.27.1"


def test_lock_has_nothing_that_breaks_a_cpu():
    unwanted = [name for name in pins() if name == "torchvision" or name.startswith("nvidia")]
    assert unwanted == []


def test_conda_takes_the_pins_from_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, with_pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    assert with_pip == {"pip": [f"{name}=={version}" for name, version in pins().items()]}


def test_conda_and_run_use_the_same_python():
    python = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][0]
    version = tuple(int(part) for part in python.partition("=")[2].split("."))
    assert f"!= {version}" in (ROOT / "run").read_text()


def test_packages_that_the_package_needs_are_in_the_lock():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["dependencies"]) <= set(pins())
