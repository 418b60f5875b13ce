"""DVC's command line with a lock file that is read and written once."""

import subprocess
import types

import pytest
import yaml

from dasbench.sharing import dvc_once, remotes

STAGES = ("one", "two", "three")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DVC repository with three stages whose outputs exist and are recorded nowhere."""
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    stages = {name: {"cmd": f"echo {name} > {name}", "outs": [name]} for name in STAGES}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    for name in STAGES:
        (tmp_path / name).write_text(f"{name}\n")
    return tmp_path


@pytest.fixture
def count(monkeypatch):
    """How often DVC parses and writes ``dvc.lock``: a dict that changes."""
    from dvc import dvcfile

    counts = {"read": 0, "written": 0}

    def counted(name, owner, key):
        function = getattr(owner, name)

        def call(self, *args, **kwargs):
            counts[key] += str(self.path).endswith("dvc.lock")
            return function(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    counted("_load_yaml", dvcfile.FileMixin, "read")
    counted("dump_stages", dvcfile.Lockfile, "written")
    return counts


def test_all_stages_are_written_at_once_as_dvc_writes_them(repository, count):
    assert dvc_once.main(["commit", "--force", *STAGES]) == 0
    assert count["written"] == 1
    ours = (repository / "dvc.lock").read_text()
    assert list(yaml.safe_load(ours)["stages"]) == list(STAGES)
    (repository / "dvc.lock").unlink()
    subprocess.run(["dvc", "commit", "--force", *STAGES], check=True)
    assert (repository / "dvc.lock").read_text() == ours


def test_the_lock_file_is_parsed_once_until_it_changes(repository, count):
    dvc_once.main(["commit", "--force", *STAGES])
    count["read"] = 0
    assert dvc_once.main(["status", *STAGES]) == 0
    assert count["read"] == 1
    lock = repository / "dvc.lock"
    lock.write_text(lock.read_text().replace("cmd: echo two", "cmd: echo 2"))
    assert dvc_once.main(["status", *STAGES]) == 0
    assert count["read"] == 2


def test_if_a_stage_fails_none_is_recorded(repository):
    (repository / "three").unlink()
    command = [*remotes.DVC_ONCE, "commit", "--force", *STAGES]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode
    assert "three" in failed.stderr
    assert not (repository / "dvc.lock").exists()


def test_another_version_of_dvc_works_as_it_is(monkeypatch):
    from dvc import dvcfile

    other = types.SimpleNamespace()
    monkeypatch.setattr(dvcfile, "FileMixin", other)
    monkeypatch.setattr(dvcfile, "Lockfile", other)
    dvc_once.remember_files()
    with dvc_once.write_lock_files_at_the_end():
        assert vars(other) == {}
