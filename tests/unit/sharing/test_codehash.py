"""What changes the hash of a script's code, and what does not."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clones import ROOT
from dasbench import registry
from dasbench.errors import UserError
from dasbench.sharing import codehash
from dasbench.sharing.codehash import closure, code_hash

FILES = {
    "src/dasbench/__init__.py": '"""Package."""\n_PUBLIC = {"product": "dasbench.kernel"}\n',
    "src/dasbench/kernel.py": "def product(a):\n    return a * 2\n",
    "src/dasbench/late.py": "VALUE = 1\n",
    "src/dasbench/unused.py": "VALUE = 1\n",
    "src/dasbench/typing_only.py": "VALUE = 1\n",
    "src/dasbench/methods/__init__.py": "\n",
    "src/dasbench/methods/one.py": "from ..kernel import product\nfrom . import helpers\n",
    "src/dasbench/methods/two.py": "import dasbench.kernel as kernel\n",
    "src/dasbench/methods/helpers.py": "from dasbench.kernel import product\n",
    "src/dasbench/coded/__init__.py": "READY = True\n",
    "src/dasbench/coded/three.py": "def f():\n    return 3\n",
    "scripts/score.py": (
        "from typing import TYPE_CHECKING\n"
        "from dasbench import kernel\n"
        "from dasbench.coded import three\n"
        "import beside\n"
        "if TYPE_CHECKING:\n    from dasbench import typing_only\n"
        "def run():\n"
        "    from dasbench.late import VALUE\n"
        "    return kernel.product(VALUE) + three.f()\n"
    ),
    "scripts/beside.py": "import json\n",
}
SCRIPT = "scripts/score.py"


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def rewrite(root, name, old, new):
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, new))


def move(root, old, new, *edits):
    """Move a file, and edit those that import it: (file, old text, new text)."""
    (root / new).parent.mkdir(parents=True, exist_ok=True)
    (root / old).rename(root / new)
    for name, before, after in edits:
        rewrite(root, name, before, after)


def test_closure_follows_imports_of_every_form(root):
    assert closure(root, SCRIPT) == {
        SCRIPT,
        "scripts/beside.py",
        "src/dasbench/kernel.py",
        "src/dasbench/late.py",
        "src/dasbench/coded/__init__.py",
        "src/dasbench/coded/three.py",
    }
    assert closure(root, "src/dasbench/methods/one.py") == {
        "src/dasbench/methods/one.py",
        "src/dasbench/kernel.py",
        "src/dasbench/methods/helpers.py",
    }
    assert "src/dasbench/kernel.py" in closure(root, "src/dasbench/methods/two.py")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("src/dasbench/kernel.py", "def product", "# a comment\n\n\ndef product"),
        ("src/dasbench/kernel.py", "(a):\n", '(a):\n    """Twice a."""\n'),
        ("src/dasbench/kernel.py", "a * 2", "(\n        a * 2\n    )"),
        ("src/dasbench/__init__.py", "Package", "The package"),
        ("src/dasbench/__init__.py", "{", '{"VALUE": "dasbench.late", '),
        ("src/dasbench/unused.py", "1", "2"),
        ("src/dasbench/typing_only.py", "1", "2"),
        ("src/dasbench/methods/one.py", "kernel", "late"),
        (SCRIPT, "from dasbench import kernel\n", "from dasbench import kernel as k, kernel\n"),
    ],
)
def test_what_does_not_count(root, name, old, new):
    before = code_hash(root, SCRIPT)
    rewrite(root, name, old, new)
    if "kernel as k" in new:
        rewrite(root, SCRIPT, "kernel as k, kernel", "kernel as k")
        rewrite(root, SCRIPT, "kernel.product", "k.product")
    assert code_hash(root, SCRIPT) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("src/dasbench/kernel.py", "2", "3"),
        ("src/dasbench/kernel.py", "product(a)", "product(a=1)"),
        ("src/dasbench/late.py", "1", "2"),
        ("src/dasbench/coded/__init__.py", "True", "False"),
        ("src/dasbench/methods/__init__.py", "\n", "import json\n"),
        ("scripts/beside.py", "json", "csv"),
        (SCRIPT, "product(VALUE)", "product(-VALUE)"),
        (SCRIPT, "import VALUE", "import VALUE as VALUE, __doc__ as d"),
        (SCRIPT, "from dasbench import kernel", "from dasbench import late as kernel"),
    ],
)
def test_what_counts(root, name, old, new):
    files = [SCRIPT, "src/dasbench/methods/two.py"]
    before = code_hash(root, *files)
    rewrite(root, name, old, new)
    assert code_hash(root, *files) != before


def test_a_move_is_invisible(root):
    before = code_hash(root, SCRIPT)
    move(
        root,
        "src/dasbench/kernel.py",
        "src/dasbench/algebra/spectrum.py",
        (SCRIPT, "from dasbench import kernel\n", "from dasbench.algebra import spectrum\n"),
        (SCRIPT, "kernel.product", "spectrum.product"),
    )
    # a formatter now sorts this import after the other one
    rewrite(
        root,
        SCRIPT,
        "from dasbench.algebra import spectrum\nfrom dasbench.coded import three\n",
        "from dasbench.coded import three\nfrom dasbench.algebra import spectrum\n",
    )
    move(
        root,
        "src/dasbench/late.py",
        "src/dasbench/algebra/late.py",
        (SCRIPT, "dasbench.late", "dasbench.algebra.late"),
    )
    assert code_hash(root, SCRIPT) == before


def test_imports_in_a_function_may_be_split_and_sorted(root):
    text = (
        "def f():\n    from dasbench import kernel, late\n    return kernel.product(late.VALUE)\n"
    )
    (root / "scripts/f.py").write_text(text)
    before = code_hash(root, "scripts/f.py")
    split = "from dasbench import late\n    from dasbench import kernel\n"
    rewrite(root, "scripts/f.py", "from dasbench import kernel, late\n", split)
    assert code_hash(root, "scripts/f.py") == before
    rewrite(root, "scripts/f.py", "product(late.VALUE)", "product(kernel.VALUE)")
    assert code_hash(root, "scripts/f.py") != before


def test_two_modules_that_change_places_count(root):
    """Each name now stands for the other module."""
    rewrite(
        root, "scripts/beside.py", "json", "json\nfrom dasbench import kernel, late\nkernel, late"
    )
    before = code_hash(root, "scripts/beside.py")
    rewrite(root, "scripts/beside.py", "\nkernel, late", "\nlate, kernel")
    assert code_hash(root, "scripts/beside.py") != before


def test_one_family_does_not_touch_another(root):
    files = [SCRIPT, "src/dasbench/methods/two.py"]
    before = code_hash(root, *files)
    rewrite(root, "src/dasbench/methods/one.py", "import helpers", "import helpers as h\nh")
    assert code_hash(root, *files) == before
    assert code_hash(root, *reversed(files)) == before
    assert before != code_hash(root, SCRIPT, "src/dasbench/methods/one.py")


def test_moving_code_between_files_counts(root):
    before = code_hash(root, SCRIPT)
    late, kernel = root / "src/dasbench/late.py", root / "src/dasbench/kernel.py"
    texts = late.read_text(), kernel.read_text()
    late.write_text(texts[1])
    kernel.write_text(texts[0])
    assert code_hash(root, SCRIPT) != before


def test_place_of_the_clone_does_not_count(root, tmp_path_factory):
    clone = tmp_path_factory.mktemp("clone") / "elsewhere"
    clone.parent.joinpath("elsewhere").symlink_to(root)
    assert code_hash(clone, SCRIPT) == code_hash(root, SCRIPT)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("scripts/gone.py", None, r"scripts/gone\.py does not exist"),
        ("scripts/new.py", "def :\n", r"scripts/new\.py is not valid Python"),
        ("scripts/new.py", "from dasbench.kernel import *\n", r"imports \*"),
        ("scripts/new.py", "import dasbench.kernel\n", "from dasbench import"),
        ("scripts/new.py", "from dasbench import product\n", "from the package's root"),
        ("scripts/new.py", "from dasbench.gone import x\n", r"dasbench\.gone\.x.*does not exist"),
    ],
)
def test_what_cannot_be_hashed_is_named(root, name, text, message):
    if text:
        (root / name).write_text(text)
    with pytest.raises(UserError, match=message):
        code_hash(root, name)


def test_a_circle_is_named(root):
    (root / "src/dasbench/late.py").write_text("from dasbench import unused\n")
    (root / "src/dasbench/unused.py").write_text("from dasbench import late\n")
    with pytest.raises(
        UserError, match=r"late\.py imports .*unused\.py imports .*late\.py, a circle"
    ):
        code_hash(root, SCRIPT)


# the project's own tree


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the package and the scripts that a test may change and must put back."""
    folder = tmp_path_factory.mktemp("tree")
    for part in ("src", "scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def entries(root):
    """All that the rules hash: scripts, and modules that scripts import by name."""
    folders = (registry.METHOD_FOLDER, registry.DATASET_FOLDER, registry.FAMILY_FOLDER)
    files = [
        *(root / "scripts").glob("*.py"),
        *(f for d in folders for f in (root / d).glob("*.py")),
    ]
    return sorted(f.relative_to(root).as_posix() for f in files if f.name != "__init__.py")


def hashes(root):
    hashed = codehash.Tree(root)
    return {file: hashed.code_hash(file) for file in entries(root)}


def test_one_changed_line_in_a_module_changes_exactly_what_imports_it(tree, deep):
    """Each module with --deep, otherwise every fifth."""
    before = hashes(tree)
    closures = {file: closure(tree, file) for file in before}
    modules = sorted(set().union(*closures.values()))
    assert len(modules) > len(before)
    for name in modules[:: 1 if deep else 5]:
        text = (tree / name).read_text()
        (tree / name).write_text(f"{text}\nCHANGED = 1\n")
        changed = {file for file, value in hashes(tree).items() if value != before[file]}
        (tree / name).write_text(text)
        assert changed == {file for file in before if name in closures[file]}, name


class Moved(ast.NodeTransformer):
    """Import the module ``noise`` of a package from two folders deeper, by another name."""

    def __init__(self, package):
        self.package, self.new = package, f"{package}.deep.deeper"

    def visit_ImportFrom(self, node):  # noqa: N802 (named by ast)
        if node.module == f"{self.package}.noise":
            node.module = f"{self.new}.random_draws"
        moved = [alias for alias in node.names if alias.name == "noise"]
        if node.module != self.package or not moved:
            return node
        others = [alias for alias in node.names if alias.name != "noise"]
        names = [ast.alias("random_draws", alias.asname or "noise") for alias in moved]
        kept = [ast.ImportFrom(self.package, others, 0)] if others else []
        return [ast.ImportFrom(self.new, names, 0), *kept]


def test_a_module_of_the_package_can_be_moved_and_renamed(tree):
    before = hashes(tree)
    old = next((tree / "src/dasbench").rglob("noise.py"))
    users = [file for file in before if old.relative_to(tree).as_posix() in closure(tree, file)]
    assert len(users) > 3
    new = old.parent / "deep" / "deeper" / "random_draws.py"
    new.parent.mkdir(parents=True)
    old.rename(new)
    package = ".".join(old.relative_to(tree / "src").parts[:-1])
    for path in tree.rglob("*.py"):
        moved = Moved(package).visit(ast.parse(path.read_text()))
        path.write_text(ast.unparse(ast.fix_missing_locations(moved)))
    assert hashes(tree) == before


def test_a_new_public_name_changes_no_hash_and_the_root_holds_nothing_else(tree):
    root = tree / "src/dasbench/__init__.py"
    body = ast.parse(root.read_text()).body
    assert not [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    kinds = [type(node).__name__ for node in body]
    assert kinds == ["Expr", "Assign", "Assign", "FunctionDef", "FunctionDef"], (
        "the root of the package holds a table of public names alone: its code is in no hash"
    )
    assert not any(
        path.endswith("dasbench/__init__.py") for f in entries(tree) for path in closure(tree, f)
    )


# a loader of modules named in settings, and the folder of templates beside pages
PLACES = {
    "__package__": {"interface.py", "files.py", "influence.py", "model_inputs.py"},
    "__file__": {"definitions.py", "pages.py"},
}


def test_no_code_that_is_hashed_asks_where_it_lies(tree):
    """The hash does not see it, so that code which depends on it must not exist."""
    seen = {"__file__": set(), "__package__": set(), "__name__": set(), "__path__": set()}
    for path in sorted(
        {Path(p) for f in entries(tree) for p in closure(tree, f) if p.startswith("src")}
    ):
        nodes = ast.walk(ast.parse((tree / path).read_text()))
        for name in {node.id for node in nodes if isinstance(node, ast.Name)} & set(seen):
            seen[name].add(path.name)
    assert {name: files for name, files in seen.items() if files} == PLACES


def test_public_names_are_listed_and_light():
    program = (
        "import sys, dasbench; names = dir(dasbench); assert 'torch' not in sys.modules;"
        "assert all(getattr(dasbench, name) for name in names); print(*names)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == sorted(codehash_public())


def codehash_public():
    import dasbench

    assert sorted(dasbench._PUBLIC) == sorted(dasbench.__all__)
    return dasbench.__all__


def test_the_cache_knows_files_by_content(root):
    before = code_hash(root, SCRIPT)
    rewrite(root, "src/dasbench/kernel.py", "2", "3")
    changed = code_hash(root, SCRIPT)
    rewrite(root, "src/dasbench/kernel.py", "3", "2")
    assert code_hash(root, SCRIPT) == before != changed
    assert codehash._parse.cache_info().hits
