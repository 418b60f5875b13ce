"""Folders under results/ and data/ that are no experiment's; and links into DVC's cache."""

import os
import shutil

import pytest

from dasbench.commands import cli, running
from dasbench.errors import UserError
from dasbench.sharing import provenance, records
from experiment_files import make_repository
from recorded import POOL, SCORES, toy


@pytest.fixture
def root(tmp_path):
    """Three recorded outputs beside an experiment ``smoke``, so that there is a list of names."""
    return toy(make_repository(tmp_path / "repository"))


@pytest.mark.parametrize("folder", ["results/toy", "data/toy"])
def test_a_copy_of_results_is_ignored_and_named(root, folder):
    before = provenance.verify(root)
    shutil.copytree(root / folder, root / f"{folder}_backup")
    assert records.ignored(root) == {f"{folder}_backup": f"it is a copy of {folder}"}
    assert records.partitions(root) == ["data/toy", "results/toy"]
    assert provenance.restore(root) == 0
    assert provenance.save(root) == []
    assert provenance.verify(root) == before
    assert provenance.prune(root, {POOL}, yes=True)
    assert (root / f"{folder}_backup").is_dir()


@pytest.mark.parametrize("text", ["{", "[]", '{"results/toy/x": 1, "../y": 2}', "\0"])
def test_what_else_is_no_experiment_is_ignored(root, text):
    """A folder of the user, whose file has the name of a manifest."""
    (root / "results/notes").mkdir()
    (root / "results/notes/provenance.json").write_text(text)
    (folder,) = records.ignored(root)
    assert folder == "results/notes"
    provenance.restore(root)


def test_a_deleted_experiment_can_still_be_pruned(root):
    assert records.ignored(root) == {}
    assert SCORES in provenance.prune(root, {POOL})


def test_a_copy_under_the_name_of_an_experiment_is_refused(root):
    """Snakemake would take files without records for complete."""
    shutil.copytree(root / "results/toy", root / "results/smoke")
    assert records.ignored(root) == {}
    with pytest.raises(UserError, match=r"results/smoke is a copy of results/toy: .* move"):
        provenance.restore(root)


def linked(root, cache):
    """The scores as a link into a folder, as DVC leaves them with ``cache.type symlink``."""
    place = root / SCORES
    target = cache / "files/md5/ab/cdef"
    target.parent.mkdir(parents=True)
    shutil.move(place, target)
    place.symlink_to(target)


@pytest.mark.parametrize("where", ["usual", "in the settings", "in the settings of this clone"])
def test_links_into_the_cache_of_dvc_are_followed(root, tmp_path, where):
    (root / ".dvc").mkdir()
    cache = root / ".dvc/cache" if where == "usual" else tmp_path / "shared/cache"
    if where != "usual":
        name = "config.local" if "clone" in where else "config"
        settings = "[core]\nremote = x\n['remote \"x\"']\nurl = %(y\n[cache]\n"
        (root / ".dvc" / name).write_text(f"{settings}dir = ../../shared/cache\n")
    linked(root, cache)
    assert provenance.verify(root).problems == []
    provenance.restore(root)
    os.truncate((root / SCORES).resolve(), 1)
    assert len(provenance.verify(root).problems) == 1


def test_other_links_are_refused(root, tmp_path):
    (root / "config/experiments/toy.yaml").touch()
    (root / ".dvc").mkdir()
    linked(root, tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a symbolic link leads out of the repository"):
        provenance.verify(root)


def test_prune_asks_for_the_studies_too(monkeypatch, capsys):
    """A run without targets makes no studies; what they recorded is not stale for that."""
    asked = []
    monkeypatch.setattr(cli, "_capture", lambda words, **_: asked.extend(words) or "header\n")
    assert cli.prune(["digits"]) == 0
    targets = {"digits", "tuning_digits", "grids_digits", "replicates_digits", "effects_ablation"}
    assert targets | {"costs_acceleration", "base_replicate_b1"} <= set(asked)
    assert not any(word.endswith("_smoke") for word in asked)
    asked.clear()
    cli.prune([])
    assert {"grids_smoke", "tuning_search", *targets} <= set(asked)
    capsys.readouterr()


def test_a_word_after_a_flag_is_an_experiment():
    assert cli.split(["--tolerance", "digits"]) == (["digits"], ["--tolerance"])
    assert cli.split(["-r", "store", "smoke"], {"-r"}) == (["smoke"], ["-r", "store"])
    assert running.arrange(["-k", "smoke", "-j", "2"]) == (["smoke"], ["-k", "-j", "2"])
    assert running.arrange(["--until", "smoke", "-n", "digits"]) == (
        ["digits"],
        ["--until", "smoke", "-n"],
    )
    assert running.arrange(["--executor", "slurm", "smoke"])[0] == ["smoke"]
    assert running.arrange(["--report", "smoke"]) == ([], ["--report", "smoke"])
