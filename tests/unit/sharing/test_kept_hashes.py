"""Code hashes on disk: those that are computed, until the code changes."""

import pytest

from dasbench.sharing import codehash, kept_hashes
from dasbench.sharing.kept_hashes import KeptHashes

SCRIPT = "scripts/train.py"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_hashes.atexit, "register", lambda _: None)
    for name, text in {
        "src/dasbench/__init__.py": "",
        "src/dasbench/noise.py": "LEVEL = 1\n",
        SCRIPT: "from dasbench.noise import LEVEL\nprint(LEVEL)\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def hashes(root):
    return KeptHashes(root, root / "kept/hashes.json")


def kept(root):
    first = hashes(root)
    first.code_hash(SCRIPT)
    first.keep()
    return first


def test_the_next_plan_parses_nothing(root, monkeypatch):
    expected = kept(root).code_hash(SCRIPT)
    assert expected == codehash.code_hash(root, SCRIPT)
    monkeypatch.setattr(codehash.ast, "parse", None)
    assert hashes(root).code_hash(SCRIPT) == expected


def test_what_else_is_asked_is_added(root):
    kept(root)
    both = (SCRIPT, "src/dasbench/noise.py")
    second = hashes(root)
    assert second.code_hash(*both) == codehash.code_hash(root, *both)
    second.keep()
    assert len(hashes(root).hashes) == 2


def test_a_change_of_any_module_is_a_new_hash(root):
    old = kept(root).code_hash(SCRIPT)
    (root / "src/dasbench/noise.py").write_text("LEVEL = 2\n")
    assert hashes(root).code_hash(SCRIPT) == codehash.code_hash(root, SCRIPT) != old


def test_a_change_during_a_plan_is_not_kept_under_the_old_code(root):
    plan = hashes(root)
    old = (root / "src/dasbench/noise.py").read_text()
    (root / "src/dasbench/noise.py").write_text("LEVEL = 2\n")
    plan.code_hash(SCRIPT)
    plan.keep()
    (root / "src/dasbench/noise.py").write_text(old)
    assert hashes(root).code_hash(SCRIPT) == codehash.code_hash(root, SCRIPT)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": 1}', "null"])
def test_a_damaged_file_is_written_again(root, content):
    state = kept(root)
    state.file.write_text(content)
    assert kept(root).code_hash(SCRIPT) == codehash.code_hash(root, SCRIPT)
    assert len(hashes(root).hashes) == 1


def test_a_folder_that_refuses_files_stops_nothing(root):
    (root / "kept").write_text("a file in the place of the folder")
    assert kept(root).code_hash(SCRIPT) == codehash.code_hash(root, SCRIPT)
