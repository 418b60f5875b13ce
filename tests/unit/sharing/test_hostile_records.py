"""Manifests and bundles of a collaborator: any changed byte is found, any hostile path refused."""

import io
import json
import os
import random
import shutil
import tarfile

import numpy as np
import pytest

from dasbench.errors import UserError
from dasbench.reports import cost_page
from dasbench.sharing import bundle, provenance, records
from hostile import HTML, assert_harmless


@pytest.fixture
def repository(tmp_path):
    """A repository with three recorded outputs, all with the same rule."""
    root = tmp_path / "repository"
    rng = np.random.default_rng(0)
    names = ["data/toy/pool.npz", "results/toy/a/b.npy", "results/toy/lds/summary.csv"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.bytes(500))
        entry = dict.fromkeys(records.KEEP) | {"rule": "make", "log": ["logs/make.log"]}
        entry |= {"starttime": 1.0, "endtime": path.stat().st_mtime, "input_checksums": {}}
        if name != names[0]:
            entry["input_checksums"][names[0]] = records.sha256(root / names[0])
        record = records.record_path(root, name)
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(entry))
    provenance.save(root)
    return root


def test_verify_finds_any_changed_byte(repository):
    rng = random.Random(0)
    outputs = [o for part in ("data/toy", "results/toy") for o in records.load(repository, part)[0]]
    assert len(outputs) == 3
    for _ in range(300):
        name = rng.choice(outputs)
        path, sound = repository / name, (repository / name).read_bytes()
        stamp, place = path.stat(), rng.randrange(len(sound))
        change = rng.choice(["flip", "cut", "add", "swap"])
        if change == "flip":
            path.write_bytes(
                sound[:place] + bytes([sound[place] ^ rng.randrange(1, 256)]) + sound[place + 1 :]
            )
        elif change == "cut":
            path.write_bytes(sound[:place])
        elif change == "add":
            path.write_bytes(sound[:place] + b"\0" + sound[place:])
        else:
            path.write_bytes(
                (repository / rng.choice([o for o in outputs if o != name])).read_bytes()
            )
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        provenance.save(repository)  # must not bless it
        problems = provenance.verify(repository).problems
        assert any(p.startswith(f"{name} is damaged: ") for p in problems), (name, change)
        path.write_bytes(sound)
    assert provenance.verify(repository).problems == []


VALUES = [None, True, -1, 0, 1e308, "x", "\ud800", "a" * 5000, [], [None], {}, {"a": {}}, [[]]]
VALUES += [float("nan"), float("inf"), -float("inf"), "$\\frac$", HTML, "\x1b[2J", "../../x"]


def change(rng, data):
    """Put something odd in a random place of a manifest, as value or as key."""
    place, key = data, rng.choice(list(data))
    while isinstance(place[key], dict) and place[key] and rng.random() < 0.8:
        place, key = place[key], rng.choice(list(place[key]))
    value = rng.choice(VALUES)
    if isinstance(value, str) and rng.random() < 0.5:
        prefix = "results/toy/" if key.startswith("results/toy/") else ""
        place[prefix + value] = place.pop(key)
    elif isinstance(place[key], list) and place[key]:
        place[key][rng.randrange(len(place[key]))] = value
    else:
        place[key] = value


@pytest.mark.parametrize("file", [records.MANIFEST, records.RUNTIMES])
def test_a_hostile_manifest_is_refused_in_a_sentence_or_does_nothing(repository, tmp_path, file):
    """Whatever it holds: no traceback, nothing outside touched, and every page can be written."""
    rng, told = random.Random(1), []
    path = repository / "results/toy" / file
    sound = path.read_text()
    outside = {p for p in tmp_path.iterdir()}
    for _ in range(150):
        data = json.loads(sound)
        change(rng, data)
        path.write_text(json.dumps(data))
        shutil.rmtree(repository / ".snakemake", ignore_errors=True)
        try:
            provenance.restore(repository, [])
            for problem in provenance.verify(repository).problems:
                assert problem.isprintable()
            partition = records.load(repository, "results/toy")
            table = cost_page.costs(*partition)
            assert_harmless(cost_page.render(table, "toy", cost_page.elapsed(*partition)))
            provenance.prune(repository, {"x"})
        except UserError as error:
            told.append(str(error))
    assert {p for p in tmp_path.iterdir()} == outside
    assert all(sentence.isprintable() for sentence in told)  # one line, nothing that hides
    assert (len(told) > 50) == (file == records.MANIFEST)


def pack(file, *members):
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    "name",
    ["../evil", "/tmp/evil", "results/../../evil", "results/toy/\x1b[2J", "results/toy/\udc80"]
    + ["results/toy//x", "results//x", "./results/toy/x", "results/toy/" + "x" * 300],
)
def test_a_bundle_whose_manifest_names_hostile_paths_is_refused(tmp_path, repository, name):
    """The manifest agrees with the tar: both are the attacker's."""
    entry = json.loads((repository / "results/toy/provenance.json").read_text())
    entry = next(iter(entry.values())) | {"sha256": "sha256:" + "0" * 64, "size": 4}
    manifest = json.dumps({name: entry}).encode()
    info = tarfile.TarInfo("results/toy/provenance.json")
    pack(tmp_path / "b.tar", (info, manifest), (tarfile.TarInfo(name), b"evil"))
    root = tmp_path / "clone"
    root.mkdir()
    with pytest.raises(UserError, match="refused") as caught:
        bundle.unpack(root, tmp_path / "b.tar")
    assert str(caught.value).isprintable()
    assert list(root.iterdir()) == []
    assert not (tmp_path / "evil").exists()


def test_a_sparse_member_is_refused(tmp_path, repository):
    """It claims a size that the tar does not hold, so a small bundle could fill the disk."""
    source = repository / "results/toy/a/b.npy"
    info = tarfile.TarInfo("results/toy/a/b.npy")
    info.pax_headers = {"GNU.sparse.size": "1000000000000", "GNU.sparse.map": "0,500"}
    files = [repository / "results/toy/provenance.json", repository / "data/toy/provenance.json"]
    members = [(tarfile.TarInfo(str(f.relative_to(repository))), f.read_bytes()) for f in files]
    pack(tmp_path / "b.tar", *members, (info, source.read_bytes()))
    root = tmp_path / "clone"
    root.mkdir()
    with pytest.raises(UserError, match="refused"):
        bundle.unpack(root, tmp_path / "b.tar")
    assert list(root.iterdir()) == []
