"""Manifests that are damaged or hostile: told, and none leads out of the clone."""

import json
import shutil

import pytest

import recorded
from dasbench.errors import UserError
from dasbench.sharing import provenance, records
from recorded import POOL, SCORES, TRAIN, content


@pytest.fixture
def root(tmp_path):
    return recorded.toy(tmp_path)


@pytest.fixture
def clone(root, tmp_path_factory):
    return recorded.pulled(root, tmp_path_factory.mktemp("clone"))


HOSTILE = [
    "/etc/passwd",
    "../outside",
    "results/toy/../../../outside",
    "results/other/x",
    "results/toy",
    "results/toy/",
    "results/toy//x",
    "results/toy/./x",
    "results/toy/x\0y",
    "",
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("action", ["restore", "verify", "prune"])
def test_a_path_that_leaves_its_folder_is_refused(root, path, action):
    name = root / "results/toy/provenance.json"
    manifest = content(root, name)
    name.write_text(json.dumps({**manifest, path: manifest[TRAIN]}))
    call = {
        "restore": lambda: provenance.restore(root),
        "verify": lambda: provenance.verify(root),
        "prune": lambda: provenance.prune(root, {POOL}, yes=True),
    }[action]
    with pytest.raises(UserError, match=r"results/toy/provenance\.json: entry .* is refused"):
        call()
    assert (root / TRAIN).exists()


@pytest.mark.parametrize("link", ["results/toy/link", "results/toy/folder"])
def test_links_out_are_refused(root, tmp_path_factory, link):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "file").write_text("secret")
    target = outside / "file" if link.endswith("link") else outside
    (root / link).symlink_to(target)
    path = link if link.endswith("link") else f"{link}/file"
    name = root / "results/toy/provenance.json"
    manifest = content(root, name)
    name.write_text(json.dumps({**manifest, path: manifest[TRAIN]}))
    with pytest.raises(UserError, match="symbolic link leads out"):
        provenance.prune(root, set(), yes=True)
    assert (outside / "file").exists()


def test_results_may_live_on_another_disk(root, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    shutil.move(root / "results", disk / "results")
    (root / "results").symlink_to(disk / "results")
    assert provenance.verify(root).problems == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "\xff",
        '{"results/toy/x": 1}',
        '{"results/toy/x": {"sha256": "md5"}}',
        "[" * 10**5,
    ],
)
def test_a_damaged_manifest_is_told(root, text):
    (root / "results/toy/provenance.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"results/toy/provenance\.json"):
        provenance.restore(root)


@pytest.mark.parametrize("when", [None, [], ["a", "b", None], [1, 2], {"a": 1}, [True, 2, 3]])
def test_damaged_runtimes_cost_only_the_times(clone, when):
    (clone / "results/toy/runtimes.json").write_text(json.dumps({TRAIN: when}))
    assert provenance.restore(clone) == 3


def test_damage_after_a_restore_without_times_is_not_blessed(clone):
    (clone / "results/toy/runtimes.json").unlink()
    provenance.restore(clone)
    recorded = records.sha256(clone / SCORES)
    (clone / SCORES).write_text("other!")
    provenance.save(clone)
    assert content(clone, "results/toy/provenance.json")[SCORES]["sha256"] == recorded
    (told,) = provenance.verify(clone).problems
    assert told.startswith(f"{SCORES} is damaged")


def test_verify_hashes_nothing_outside(root):
    name = root / "results/toy/provenance.json"
    manifest = content(root, name)
    manifest[SCORES]["input_checksums"] |= {"/dev/zero": "x", "../../dev/zero": "x"}
    name.write_text(json.dumps(manifest))
    assert provenance.verify(root).problems == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("rule", "$x"), ("rule", ["a"]), ("log", "a"), ("log", [1]), ("input_checksums", {"a": []})],
)
def test_a_record_that_is_none_is_refused(root, key, value):
    name = root / "results/toy/provenance.json"
    manifest = content(root, name)
    manifest[SCORES][key] = value
    name.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"entry .* is refused, because its"):
        provenance.verify(root)


@pytest.mark.parametrize("when", [[float("nan"), 1, None], [1, 1e300, None], [1, 2, float("inf")]])
def test_times_that_no_clock_shows_are_dropped(clone, when):
    (clone / "results/toy/runtimes.json").write_text(json.dumps({TRAIN: when}))
    assert provenance.restore(clone) == 3
    assert records.load(clone, "results/toy").times == {}
