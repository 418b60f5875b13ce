"""The lock, and the other door to the same environment."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PIN = re.compile(r"([a-z0-9][a-z0-9_-]*)==([A-Za-z0-9.!]+)")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(lock="requirements.lock"):
    """Name -> version of every line of a lock that is no comment."""
    lines = (ROOT / lock).read_text().splitlines()
    found = {}
    for line in lines:
        if line.strip() and not line.strip().startswith("#"):
            match = PIN.fullmatch(line.strip())
            assert match, f"not a pin: {line}"
            assert match[1] not in found, f"pinned twice: {line}"
            found[match[1]] = match[2]
    return found


def wanted():
    """The direct dependencies."""
    lines = (ROOT / "requirements.in").read_text().splitlines()
    return [Requirement(line) for line in lines if line.partition("#")[0].strip()]


def name_of(need):
    return canonicalize_name(need.name)


def test_the_lock_has_a_version_that_every_direct_dependency_allows():
    locked = pins()
    assert [str(need) for need in wanted() if not allows(need, locked)] == []


def allows(need, locked):
    """Whether a lock has a version that a requirement allows."""
    return name_of(need) in locked and need.specifier.contains(locked[name_of(need)])


def needed(name, extras):
    """What an installed package needs here, with these extras: (name, extras)."""
    for text in metadata.requires(name) or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in (*extras, "")):
            yield name_of(need), frozenset(need.extras)


def test_the_lock_has_all_that_its_packages_need():
    """``dasbench.commands.environment`` installs without dependencies."""
    waiting = {(name_of(need), frozenset(need.extras)) for need in wanted()}
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


def test_lower_bounds_of_the_package_are_the_series_in_the_locks():
    """`pip install` may take newer versions, but none that is older than what is tested."""
    locked = pins() | pins("requirements-tests.lock")
    needs = [Requirement(text) for text in PROJECT["dependencies"]]
    extras = PROJECT["optional-dependencies"]["tests"]
    for need in [*needs, *map(Requirement, extras)]:
        assert allows(need, locked), str(need)
        version = Version(locked[name_of(need)])
        assert str(need.specifier) == f">={version.major}.{version.minor}", need.name
    assert {need.name for need in needs} <= {need.name for need in wanted()}


def test_metadata_agrees_with_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for key in ("version", "license", "authors"):
        assert PROJECT[key] == citation[key]
