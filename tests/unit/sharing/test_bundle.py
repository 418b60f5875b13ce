"""Bundles: there and back, and nothing that a manifest does not name."""

import json
import tarfile

import pytest

from dasbench.commands import cli
from dasbench.errors import UserError
from dasbench.sharing import bundle, provenance, records, runlock


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one experiment, and the process in it."""
    root = tmp_path / "repository"
    (root / "config/experiments").mkdir(parents=True)
    (root / "config/experiments/smoke.yaml").touch()
    monkeypatch.chdir(root)
    monkeypatch.delenv("DASBENCH_CALLER_FOLDER", raising=False)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "")
    monkeypatch.setenv(runlock.INHERITED, "")
    return root


COSTS = ("costs.csv", "timings.html", "figures/cost-by-rule.svg", "figures/cost-by-rule.png")


def record(root, output, content):
    """One output, with Snakemake's record."""
    path = root / output
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    entry = dict.fromkeys(records.KEEP) | {"starttime": 1.0, "endtime": path.stat().st_mtime}
    inputs = ["data/digits/pool.npz"] if output.startswith("results") else []
    entry["input_checksums"] = {
        name: records.sha256(root / name) for name in inputs if (root / name).is_file()
    }
    place = records.record_path(root, output)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(entry))


@pytest.fixture
def packed(repository, tmp_path):
    """A bundle of two outputs and an empty clone to unpack it in."""
    record(repository, "data/digits/pool.npz", "pool")
    record(repository, "results/smoke/lds/summary.csv", "lds")
    assert cli.main(["bundle", "smoke", "--output", str(tmp_path / "b.tar")]) == 0
    clone = tmp_path / "clone"
    clone.mkdir()
    return tmp_path / "b.tar", clone


def test_bundle_round_trip(packed, repository):
    file, clone = packed
    assert bundle.unpack(clone, file) == 2
    assert (clone / "results/smoke/lds/summary.csv").read_text() == "lds"
    assert provenance.restore(clone) == 2
    assert not list(clone.glob(".part-*"))
    again = file.with_name("again.tar")
    bundle.create(repository, "smoke", again)
    assert again.read_bytes() == file.read_bytes()


def test_bundle_does_not_replace_other_results_unasked(packed):
    file, clone = packed
    bundle.unpack(clone, file)
    (clone / "results/smoke/lds/summary.csv").write_text("mine")
    with pytest.raises(UserError, match=r"differ from the bundle's.*--force replaces"):
        bundle.unpack(clone, file)
    assert (clone / "results/smoke/lds/summary.csv").read_text() == "mine"
    bundle.unpack(clone, file, force=True)
    assert (clone / "results/smoke/lds/summary.csv").read_text() == "lds"


def member(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    "extra",
    [
        member("results/smoke/more.csv"),
        member("../evil"),
        member("/tmp/evil"),
        member("run"),
        member("src/dasbench/commands/cli.py"),
        member("results/smoke/link", tarfile.SYMTYPE, link="/etc/passwd"),
        member("results/smoke/provenance.json", tarfile.LNKTYPE, link="run"),
        member("results/smoke/device", tarfile.CHRTYPE),
        member("results/smoke/folder", tarfile.DIRTYPE),
    ],
    ids=lambda info: info.name,
)
def test_hostile_bundles_are_refused_whole(packed, extra):
    file, clone = packed
    with tarfile.open(file, "a") as tar:
        tar.addfile(extra)
    with pytest.raises(UserError, match="refused"):
        bundle.unpack(clone, file)
    assert list(clone.iterdir()) == []
    assert not (clone.parent / "evil").exists()


def test_bundle_is_not_written_through_links(packed, tmp_path_factory):
    file, clone = packed
    outside = tmp_path_factory.mktemp("outside")
    (clone / "results").mkdir()
    (clone / "results/smoke").symlink_to(outside)
    with pytest.raises(UserError, match="symbolic link"):
        bundle.unpack(clone, file)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("cut", [0, 100, 3000])
def test_damaged_bundles_are_told(packed, cut):
    file, clone = packed
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(UserError, match=r"b\.tar"):
        bundle.unpack(clone, file)
    assert list(clone.iterdir()) == []


def test_damaged_outputs_are_not_packed(packed, repository, capsys):
    (repository / "results/smoke/lds/summary.csv").write_text("sdl")
    assert cli.main(["bundle", "smoke"]) == 1
    expected = "run: results/smoke/lds/summary.csv is missing or damaged"
    assert capsys.readouterr().err.startswith(expected)
    assert not (repository / "smoke.tar").exists()


def test_unpacking_draws_the_costs(packed, monkeypatch):
    """The report links to them, and ``./run save`` records them."""
    file, clone = packed
    monkeypatch.chdir(clone)
    for experiment in ("smoke", "digits"):
        (clone / f"config/experiments/{experiment}.yaml").parent.mkdir(parents=True, exist_ok=True)
        (clone / f"config/experiments/{experiment}.yaml").touch()
    assert cli.main(["pull", "--bundle", str(file)]) == 0
    for name in COSTS:
        assert (clone / "results/smoke" / name).is_file()
    (clone / "results/smoke/costs.csv").unlink()
    cli._record()
    assert (clone / "results/smoke/costs.csv").is_file()
    before = (clone / "results/smoke/timings.html").stat().st_mtime_ns
    cli._record()
    assert (clone / "results/smoke/timings.html").stat().st_mtime_ns == before


def test_verify_of_nothing_is_told(repository, capsys):
    assert cli.main(["verify"]) == 1
    assert capsys.readouterr().err == (
        "run: nothing is recorded for digits; make it with ./run digits or fetch it with "
        "./run pull\n"
    )
    record(repository, "results/smoke/lds/summary.csv", "lds")
    (repository / "config/experiments/digits.yaml").touch()
    assert cli.main(["verify", "smoke", "digits"]) == 1
    assert "nothing is recorded for digits" in capsys.readouterr().err


def test_verify_knows_what_a_killed_run_made(packed, repository, capsys):
    """The run made an output again and was killed before it could write that down."""
    record(repository, "results/smoke/lds/summary.csv", "more lds")
    assert cli.main(["verify", "smoke"]) == 0
    assert "2 outputs checked, 0 problems" in capsys.readouterr().out
    (repository / "results/smoke/lds/summary.csv").write_text("damaged")
    assert cli.main(["verify", "smoke"]) == 1
    assert "summary.csv is damaged" in capsys.readouterr().out
