"""A full disk is a sentence."""

import shutil
import tempfile
from collections import namedtuple

import pytest

from dasbench.commands import cli, running
from dasbench.sharing import disk_space

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """Sets the free megabytes of all disks."""

    def set_to(megabytes):
        usage = Usage(0, 0, megabytes * 2**20)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    return set_to


def test_room_is_no_news(tmp_path, free):
    free(disk_space.MEGABYTES)
    assert disk_space.shortage(tmp_path) is None


def test_a_full_disk_is_named(tmp_path, free):
    free(1)
    assert disk_space.shortage(tmp_path) == (
        f"the disk of {tmp_path} is full (1.0 MB free, expected at least 16); make room, then run "
        "the same command again"
    )


def test_no_folder_for_temporary_files(tmp_path, monkeypatch):
    def fail():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", fail)
    assert "set TMPDIR" in disk_space.shortage(tmp_path)


def test_a_run_does_not_start_without_room_but_plans(monkeypatch, free, capsys):
    started = []
    monkeypatch.setattr(running, "snakemake", lambda words, _: started.append(words))
    monkeypatch.setattr(running.runlock, "hold", started.append)
    free(0)
    assert cli.main(["smoke"]) == 1
    assert started == []
    assert capsys.readouterr().err.startswith("run: the disk of ")
    cli.main(["smoke", "-n"])
    assert started == [["--logger", "dasbench", "-n", "--", "smoke"]]
