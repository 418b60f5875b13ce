"""What changes the hash of a script's code, and what does not."""

import pytest

from dasbench.codehash import closure, code_hash
from dasbench.errors import UserError

FILES = {
    "src/dasbench/__init__.py": '"""Package."""\n',
    "src/dasbench/kernel.py": "def product(a):\n    return a * 2\n",
    "src/dasbench/late.py": "VALUE = 1\n",
    "src/dasbench/unused.py": "VALUE = 1\n",
    "src/dasbench/typing_only.py": "VALUE = 1\n",
    "src/dasbench/methods/__init__.py": "\n",
    "src/dasbench/methods/one.py": "from ..kernel import product\nfrom . import helpers\n",
    "src/dasbench/methods/two.py": "import dasbench.kernel as kernel\n",
    "src/dasbench/methods/helpers.py": "from dasbench.methods.one import product\n",
    "scripts/score.py": (
        "from typing import TYPE_CHECKING\n"
        "from dasbench import kernel\n"
        "import beside\n"
        "if TYPE_CHECKING:\n    from dasbench import typing_only\n"
        "def run():\n    from dasbench.late import VALUE\n    return kernel.product(VALUE)\n"
    ),
    "scripts/beside.py": "import json\n",
}


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


def test_closure_follows_imports_of_every_form(root):
    assert set(closure(root, "scripts/score.py")) == {
        "scripts/score.py",
        "scripts/beside.py",
        "src/dasbench/__init__.py",
        "src/dasbench/kernel.py",
        "src/dasbench/late.py",
    }
    assert "src/dasbench/methods/__init__.py" in closure(root, "dasbench.methods.two")
    assert set(closure(root, "dasbench.methods.one")) == {
        "src/dasbench/methods/one.py",
        "src/dasbench/kernel.py",
        "src/dasbench/__init__.py",
        "src/dasbench/methods/__init__.py",
        "src/dasbench/methods/helpers.py",
    }


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("src/dasbench/kernel.py", "def product", "# a comment\n\n\ndef product"),
        ("src/dasbench/kernel.py", "(a):\n", '(a):\n    """Twice a."""\n'),
        ("src/dasbench/kernel.py", "a * 2", "(\n        a * 2\n    )"),
        ("src/dasbench/__init__.py", "Package", "The package"),
        ("src/dasbench/unused.py", "1", "2"),
        ("src/dasbench/typing_only.py", "1", "2"),
        ("src/dasbench/methods/one.py", "kernel", "late"),
    ],
)
def test_what_does_not_count(root, name, old, new):
    before = code_hash(root, "scripts/score.py")
    rewrite(root, name, old, new)
    assert code_hash(root, "scripts/score.py") == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("src/dasbench/kernel.py", "2", "3"),
        ("src/dasbench/kernel.py", "product(a)", "product(a=1)"),
        ("src/dasbench/late.py", "1", "2"),
        ("src/dasbench/__init__.py", '"""Package."""', "import json"),
        ("scripts/beside.py", "json", "csv"),
        ("scripts/score.py", "product(VALUE)", "product(-VALUE)"),
    ],
)
def test_what_counts(root, name, old, new):
    before = code_hash(root, "scripts/score.py")
    rewrite(root, name, old, new)
    assert code_hash(root, "scripts/score.py") != before


def test_one_family_does_not_touch_another(root):
    files = ["scripts/score.py", "dasbench.methods.two"]
    before = code_hash(root, *files)
    rewrite(root, "src/dasbench/methods/one.py", "import helpers", "import helpers as h")
    assert code_hash(root, *files) == before
    assert code_hash(root, *reversed(files)) == before
    assert before != code_hash(root, "scripts/score.py", "dasbench.methods.one")


def test_moving_code_between_files_counts(root):
    before = code_hash(root, "scripts/score.py")
    late, kernel = root / "src/dasbench/late.py", root / "src/dasbench/kernel.py"
    texts = late.read_text(), kernel.read_text()
    late.write_text(texts[1])
    kernel.write_text(texts[0])
    assert code_hash(root, "scripts/score.py") != before


def test_place_of_the_clone_does_not_count(root, tmp_path_factory):
    clone = tmp_path_factory.mktemp("clone") / "elsewhere"
    clone.parent.joinpath("elsewhere").symlink_to(root)
    assert code_hash(clone, "scripts/score.py") == code_hash(root, "scripts/score.py")


@pytest.mark.parametrize("file", ["scripts/gone.py", "dasbench.methods.gone"])
def test_a_missing_file_is_named(root, file):
    with pytest.raises(UserError, match="gone"):
        code_hash(root, file)


def test_a_broken_file_is_named(root):
    (root / "src/dasbench/late.py").write_text("def :\n")
    with pytest.raises(UserError, match=r"src/dasbench/late\.py is not valid Python"):
        code_hash(root, "scripts/score.py")
