"""The package's wings: who may import whom, and who loads torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from clones import ROOT

PACKAGE = ROOT / "src/dasbench"
WINGS = (
    "core",
    "data",
    "experiments",
    "diffusion",
    "gradients",
    "attribution",
    "evaluation",
    "planning",
    "sharing",
    "reports",
    "commands",
)
# modules of the root, which import nothing
ANYWHERE = {"errors", "seeds", "registry", "model_families", "version"}
ENTRY = {"__main__"}  # of `python -m dasbench`: finds the command by its name
WITH_TORCH = {"diffusion", "gradients"}


def modules():
    """Dotted name below the package -> its file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = modules()


def imports(path):
    """Every module of the package that a file imports, also in functions and for type checkers."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not [a.name for a in node.names if a.name.startswith("dasbench.")], path
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dasbench":
            base = node.module.partition(".")[2]
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if full in MODULES else base
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in {path}"


GRAPH = {name: sorted(set(imports(path))) for name, path in MODULES.items()}


def test_every_module_lies_in_a_wing():
    heads = {name.split(".")[0] for name in MODULES} - {""}
    assert heads == {*WINGS, *ANYWHERE, *ENTRY}
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == set(WINGS)


@pytest.mark.parametrize("name", sorted(GRAPH))
def test_a_module_imports_from_its_own_wing_or_one_further_left(name):
    wing = name.split(".")[0]
    if wing in {*ANYWHERE, *ENTRY, ""}:
        assert not [other for other in GRAPH[name] if other], "a module of the root imports nothing"
        return
    allowed = {*ANYWHERE, *WINGS[: WINGS.index(wing) + 1]}
    wrong = [other for other in GRAPH[name] if other and other.split(".")[0] not in allowed]
    assert not wrong, f"{name} imports {wrong}; allowed: {sorted(allowed)}"


def test_there_are_no_circles():
    """Not even for type checkers."""
    done, active = set(), []

    def visit(name):
        assert name not in active, " imports ".join([*active[active.index(name) :], name])
        if name in done:
            return
        active.append(name)
        for other in GRAPH[name]:
            visit(other)
        active.pop()
        done.add(name)

    for name in GRAPH:
        visit(name)


@pytest.mark.parametrize("wing", [wing for wing in WINGS if wing not in WITH_TORCH])
def test_a_wing_without_networks_loads_no_torch(wing):
    """Jobs that score, judge or draw take half a second to start; torch takes four more."""
    names = [f"dasbench.{name}" for name in MODULES if name.split(".")[0] == wing]
    program = (
        f"import importlib, sys; [importlib.import_module(n) for n in {names}];"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "src", check=False)
    assert done.returncode == 0


# the script that fits the kernels of features may use a GPU's linear algebra
@pytest.mark.parametrize("name", ["score", "select_damping", "evaluate_lds", "summarise_lds"])
def test_scripts_that_score_and_judge_load_no_torch(name):
    program = f"import sys; import {name}; sys.exit('torch' in sys.modules)"
    path = f"{ROOT / 'src'}:{ROOT / 'scripts'}"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": path, "PATH": ""}, check=False
    )
    assert done.returncode == 0


def test_the_order_is_written_down_for_people():
    """CONTRIBUTING.md shows the order that this file checks."""
    text = Path(ROOT / "CONTRIBUTING.md").read_text()
    assert " < ".join(WINGS) in text
