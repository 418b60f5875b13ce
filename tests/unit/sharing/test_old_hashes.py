"""Records that were made when a hash of code depended on where the code lay."""

import json
import re
import shutil

import pytest

from dasbench.sharing import old_hashes, provenance, records
from dasbench.sharing.old_hashes import TABLE, renewed

HASHES = json.loads(TABLE.read_text())
OLD, NEW = next(iter(HASHES.items()))
SETTINGS = '{"family":"dasbench.families.pixel","options":{"module":"dasbench.methods.controls"}}'


def record(code, settings=SETTINGS):
    return {"rule": "score", "params": sorted([repr(code), repr(settings)])}


def test_the_table_maps_hashes_to_other_hashes():
    assert all(re.fullmatch("[0-9a-f]{16}", text) for pair in HASHES.items() for text in pair)
    assert not set(HASHES) & set(HASHES.values())
    assert len(set(HASHES.values())) == len(HASHES)


def test_a_known_hash_is_renewed_and_modules_get_their_short_names():
    again = renewed(record(OLD))
    settings = '{"family":"pixel","options":{"module":"controls"}}'
    assert again == record(NEW, settings)
    assert again["params"] == sorted(again["params"])  # as Snakemake writes and compares them
    assert renewed(again) == again


@pytest.mark.parametrize(
    "entry",
    [record("0123456789abcdef"), {"rule": "score", "params": None}, {"params": [3, None]}, {}],
)
def test_what_is_not_known_is_left(entry):
    assert renewed(entry) == entry


def test_a_fetched_manifest_with_old_hashes_gives_snakemake_new_ones(tmp_path, monkeypatch):
    """Also where Snakemake already has a record of its own with the old hash."""
    folder = tmp_path / "results/smoke"
    folder.mkdir(parents=True)
    (tmp_path / ".snakemake/metadata").mkdir(parents=True)
    output = "results/smoke/scores.npy"
    (tmp_path / output).write_bytes(b"scores")
    kept = dict.fromkeys(records.KEEP) | record(OLD) | {"input": [], "log": []}
    when = (tmp_path / output).stat().st_mtime
    path = records.record_path(tmp_path, output)
    path.write_text(json.dumps(kept | {"starttime": when - 1, "endtime": when}))
    with monkeypatch.context() as patch:  # as the manifest was written before the change
        patch.setattr(old_hashes, "_table", dict)
        patch.setattr(provenance, "_AGREED", ".snakemake/das-manifests.json")
        provenance.save(tmp_path)
        assert repr(OLD) in (folder / "provenance.json").read_text()
    assert provenance.restore(tmp_path) == 1
    assert records.read_record(path)["params"] == renewed(record(OLD))["params"]
    assert provenance.restore(tmp_path) == 0
    provenance.save(tmp_path)
    assert OLD not in (folder / "provenance.json").read_text()
    shutil.rmtree(tmp_path / ".snakemake")
    assert provenance.restore(tmp_path) == 1
    assert records.read_record(path)["params"] == renewed(record(OLD))["params"]
