"""Records travel with the artifacts, and damage is found."""

import json
import os
import shutil

import pytest

import recorded
from dasbench.errors import UserError
from dasbench.sharing import provenance, records
from recorded import POOL, SCORES, TRAIN, content, make


@pytest.fixture
def root(tmp_path):
    return recorded.toy(tmp_path)


@pytest.fixture
def clone(root, tmp_path_factory):
    return recorded.pulled(root, tmp_path_factory.mktemp("clone"))


def test_each_folder_has_its_own_manifest(root):
    assert set(content(root, "data/toy/provenance.json")) == {POOL}
    assert set(content(root, "results/toy/provenance.json")) == {TRAIN, SCORES}
    assert content(root, "results/toy/runtimes.json") == {
        TRAIN: [1010.0, 1020.0, None],
        SCORES: [1020.0, 1030.5, 123.5],
    }


def test_manifest_holds_nothing_of_time_or_place(root):
    entry = content(root, "results/toy/provenance.json")[TRAIN]
    assert set(entry) == {*records.KEEP, "sha256", "size"}
    assert str(root) not in (root / "results/toy/provenance.json").read_text()


def test_round_trip(clone):
    assert provenance.restore(clone) == 3
    restored = dict(records.records(clone))
    assert {name: record["endtime"] for name, record in restored.items()} == {
        POOL: 1010.0,
        TRAIN: 1020.0,
        SCORES: 1030.5,
    }
    assert (clone / SCORES).stat().st_mtime == 1030.5
    assert provenance.restore(clone) == 0
    before = {path: path.read_bytes() for path in clone.rglob("*.json")}
    provenance.save(clone)
    assert {path: path.read_bytes() for path in clone.rglob("*.json")} == before


def test_touched_files_get_their_time_back(root):
    os.utime(root / TRAIN, (5000, 5000))
    assert provenance.restore(root) == 1
    assert (root / TRAIN).stat().st_mtime == 1020.0


@pytest.mark.parametrize("content_", ["other!", "longer than before"])
def test_other_bytes_get_no_record(clone, content_):
    (clone / SCORES).write_text(content_)
    assert provenance.restore(clone) == 2
    assert SCORES not in dict(records.records(clone))


def test_restored_outputs_are_not_incomplete(clone):
    mark = records.record_path(clone, SCORES, "incomplete")
    mark.parent.mkdir(parents=True)
    mark.write_text("{}")
    provenance.restore(clone)
    assert not mark.exists()


def test_a_long_name_is_stored_where_snakemake_looks(tmp_path):
    pytest.importorskip("snakemake")
    from snakemake.persistence.file import FilePersistence

    output = f"results/toy/{'long' * 60}/{'name' * 20}.npy"
    theirs = FilePersistence(path=tmp_path / ".snakemake")
    expected = theirs._record_path(theirs._metadata_path, output)
    assert str(records.record_path(tmp_path, output)) == expected
    make(tmp_path, output, "x")
    assert [name for name, _ in records.records(tmp_path)] == [output]


def redo(folder, params):
    """Another setting that led to the same bytes."""
    place = records.record_path(folder, SCORES)
    place.write_text(json.dumps(json.loads(place.read_text()) | {"params": params}))
    os.utime(folder / SCORES, (1030.5, 1030.5))


def params_of(folder):
    return json.loads(records.record_path(folder, SCORES).read_text())["params"]


def fetch(source, target):
    """What a pull brings: the manifest, and no bytes, because they are there."""
    name = f"results/toy/{records.MANIFEST}"
    shutil.copyfile(source / name, target / name)


@pytest.mark.parametrize("action", [provenance.restore, provenance.save])
def test_a_fetched_manifest_says_by_which_settings(root, clone, action):
    """The other person's setting gave the same bytes: neither a rerun nor a mixed manifest."""
    provenance.restore(clone)
    redo(clone, ["{'leverage': false}"])
    provenance.save(clone)
    fetch(clone, root)
    action(root)
    assert params_of(root) == ["{'leverage': false}"]
    assert records.load(root, "results/toy").entries == (records.load(clone, "results/toy").entries)


def test_a_record_made_here_outlives_its_old_manifest(root):
    """A run that was killed has written records, but no manifest: it is not undone."""
    redo(root, ["{'leverage': false}"])
    provenance.restore(root)
    assert params_of(root) == ["{'leverage': false}"]


def test_a_fetched_manifest_blesses_no_other_bytes(root, clone):
    provenance.restore(clone)
    make(clone, SCORES, "other", [TRAIN], (1020.0, 1030.5))
    provenance.save(clone)
    fetch(clone, root)
    provenance.restore(root)
    assert params_of(root) == ["{}"]
    assert (root / SCORES).read_text() == "scores"


def test_half_written_records_do_no_harm(root):
    records.record_path(root, TRAIN).write_text('{"rule": "tr')
    assert provenance.restore(root) == 1
    assert provenance.verify(root).problems == []


def test_what_was_not_fetched_stays_recorded(clone):
    (clone / TRAIN).unlink()
    provenance.restore(clone)
    make(clone, SCORES, "new scores", span=(2000.0, 2001.0))
    provenance.save(clone)
    manifest = content(clone, "results/toy/provenance.json")
    assert set(manifest) == {TRAIN, SCORES}
    assert manifest[SCORES]["sha256"] == records.sha256(clone / SCORES)


def test_save_can_be_limited(root):
    make(root, SCORES, "new scores", span=(2000.0, 2001.0))
    before = content(root, "results/toy/provenance.json")
    provenance.save(root, ["other"])
    assert content(root, "results/toy/provenance.json") == before
    provenance.save(root, ["toy"])
    assert content(root, "results/toy/provenance.json") != before


def test_verify_of_sound_results(root):
    assert provenance.verify(root) == provenance.Verdict([], 3, 0)


def test_verify_tells_damage_and_remedy(root):
    stamp = (root / SCORES).stat().st_mtime
    (root / SCORES).write_text("SCORES")
    os.utime(root / SCORES, (stamp, stamp))
    provenance.save(root)  # must not bless the damage
    assert provenance.verify(root).problems == [
        f"{SCORES} is damaged: its bytes are not the recorded ones; "
        f"`./run toy --forcerun {SCORES}` makes it again"
    ]


def test_damaged_data_name_an_experiment_that_uses_them(root):
    (root / POOL).write_text("LOOP")
    (problem,) = provenance.verify(root).problems
    assert f"`./run toy --forcerun {POOL}`" in problem


def test_verify_tells_another_input(root):
    make(root, TRAIN, "other training images", [POOL], (3000.0, 3001.0))
    provenance.save(root)
    (problem,) = provenance.verify(root).problems
    assert problem.startswith(f"{SCORES} was made from another {TRAIN}")


def test_a_run_tells_what_it_made_from_another_input_than_is_recorded(root):
    """The bytes of an input changed when nobody looked, and a job read them: no hash is needed."""
    assert provenance.save(root) == []
    (root / TRAIN).write_text("niart")
    make(root, SCORES, "other scores", [TRAIN], (1040.0, 1050.0))
    (root / TRAIN).write_text("train")
    made = provenance.save(root)
    assert made == [SCORES]
    (sentence,) = provenance.mixed(root, made)
    assert [sentence] == provenance.verify(root).problems
    assert f"{SCORES} was made from another {TRAIN}; `./run toy --forcerun" in sentence
    make(root, SCORES, "other scores", [TRAIN], (1060.0, 1070.0))
    assert provenance.mixed(root, provenance.save(root)) == []


def test_missing_is_told_unless_it_was_never_here(root, clone):
    (root / TRAIN).unlink()
    (clone / TRAIN).unlink()
    (problem,) = provenance.verify(root).problems
    assert problem.startswith(f"{TRAIN} is missing")
    assert provenance.verify(clone) == provenance.Verdict([], 3, 1)


def test_verify_of_one_experiment_follows_its_inputs(root):
    make(root, "results/other/x.npy", "x")
    provenance.save(root)
    assert provenance.verify(root, ["other"]).recorded == 1
    assert provenance.verify(root, ["toy"]).recorded == 3
    assert provenance.verify(root).recorded == 4


def test_prune_lists_and_deletes(root):
    wanted = {POOL, TRAIN}
    assert provenance.prune(root, wanted) == [SCORES]
    assert (root / SCORES).exists()
    assert provenance.prune(root, wanted, ["other"], yes=True) == []
    assert provenance.prune(root, wanted, yes=True) == [SCORES]
    assert not (root / SCORES).parent.exists()
    assert set(content(root, "results/toy/provenance.json")) == {TRAIN}
    assert set(content(root, "results/toy/runtimes.json")) == {TRAIN}
    provenance.save(root)
    assert provenance.prune(root, wanted) == []


def test_the_verdict_is_printed(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert provenance.tell(provenance.verify(".")) == 0
    assert capsys.readouterr().out == "3 outputs checked, 0 problems\n"
    (root / SCORES).write_text("SCORES")
    assert provenance.tell(provenance.verify(".", ["toy"])) == 1
    (root / "results/toy/provenance.json").write_text("{")
    with pytest.raises(UserError, match=r"results/toy/provenance\.json is damaged"):
        provenance.verify(".")


def test_an_output_of_a_stopped_job_is_incomplete_and_not_damaged(root):
    mark = records.record_path(root, SCORES, "incomplete")
    mark.parent.mkdir(parents=True)
    mark.touch()
    assert provenance.verify(root).problems == []
    (root / SCORES).write_text("other")
    (problem,) = provenance.verify(root).problems
    assert problem == (f"{SCORES} is incomplete, because its run was stopped; `./run toy` makes it")


def test_a_clusters_job_takes_its_seconds_from_its_benchmark(root):
    """There Snakemake writes down a start that lies after the end."""
    make(root, SCORES, "again", [TRAIN], (2000.002, 2000.0))
    provenance.save(root)
    times = content(root, "results/toy/runtimes.json")
    assert times[SCORES] == [1989.5, 2000.0, 123.5]
    shutil.rmtree(root / "logs")  # once written down, it needs no benchmark
    provenance.save(root)
    assert content(root, "results/toy/runtimes.json") == times
    make(root, TRAIN, "again", [POOL], (2000.002, 2000.0))  # a job without one
    provenance.save(root)
    assert content(root, "results/toy/runtimes.json")[TRAIN] == [2000.0, 2000.0, None]


def test_what_changed_after_being_made_is_told(root):
    """Not what is as recorded, not what was only touched, not what a stopped job left."""
    altered = []
    os.utime(root / TRAIN)
    provenance.restore(root, altered=altered)
    assert altered == []
    (root / SCORES).write_text("SCORES")
    os.utime(root / SCORES, (5e8, 5e8))
    provenance.restore(root, altered=altered)
    assert altered == [SCORES]
    records.record_path(root, SCORES, "incomplete").parent.mkdir(parents=True, exist_ok=True)
    records.record_path(root, SCORES, "incomplete").touch()
    altered.clear()
    provenance.restore(root, altered=altered)
    assert altered == []
