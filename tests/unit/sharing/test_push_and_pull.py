"""What is asked of DVC, and what is said when a remote cannot be had."""

import re

import pytest
import yaml

from dasbench.errors import UserError
from dasbench.sharing import remotes
from experiment_files import ROOT

KNOWN = {
    "pool@toy": ["data/toy/pool.npz"],
    "base@toy": ["results/toy/models/base", "results/toy/models/checkpoints"],
    "lds@toy": ["results/toy/lds"],
    "removal@toy": ["results/toy/models/removal", "results/toy/removal"],
    "report@toy": ["results/toy/report.html", "results/toy/provenance.json"],
}


def chosen(*only):
    outs = remotes.select(KNOWN, ["toy"], only)
    return {out.removeprefix("results/toy/") for out in outs} - {"provenance.json"}


def test_tables_are_no_models():
    assert chosen("tables") == {"lds", "removal", "report.html"}


def test_a_folder_stands_for_what_is_in_it():
    assert chosen("models") == {"models/base", "models/checkpoints", "models/removal"}
    assert chosen("models/base/") == {"models/base"}
    assert chosen("lds", "models/base") == {"lds", "models/base"}


def test_records_always_come_along():
    assert "results/toy/provenance.json" in remotes.select(KNOWN, ["toy"], ["lds"])


@pytest.mark.parametrize("word", ["model", "models/bas", "../other", "data/toy/pool.npz"])
def test_what_is_no_out_is_told(word):
    with pytest.raises(UserError, match="is nothing that toy has; expected tables, or one of"):
        remotes.select(KNOWN, ["toy"], [word])


def test_half_files_are_swept_and_no_others(tmp_path):
    half = [".aB3-_6789012345678901x.tmp", "models/.aB3-_6789012345678901x.tmp", "models/empty"]
    whole = ["models/.hidden", "models/a.tmp", "lds.csv"]
    home, outside = tmp_path / "results/toy", tmp_path / "other"
    for folder in (home / "models", outside):
        folder.mkdir(parents=True)
    (outside / "empty").touch()
    for name in half + whole:
        (home / name).write_text("" if name.endswith("empty") else "x")
    (home / "models/link").symlink_to("/dev/null")
    (home / "models/folder").symlink_to(outside)
    outs = [
        "results/toy/models",
        "results/toy/lds.csv",
        "results/toy/not",
        "other",
        "results/../other",
    ]
    assert remotes.sweep(tmp_path, outs) == sorted(home / name for name in half)
    assert all((home / name).exists() for name in [*whole, "models/link"])
    assert (outside / "empty").exists()


def megabytes(paths, sizes):
    return round(sum(sizes[path] for path in paths) / 1e6)


def test_the_page_tells_the_size_of_a_partial_pull():
    content = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"].values()
    sizes = {out["path"]: out["size"] for stage in content for out in stage.get("outs", [])}
    known = remotes.locked(ROOT, ["digits"])
    everything = [out for outs in known.values() for out in outs]
    tables = remotes.select(known, ["digits"], ["tables"])
    expected = f"{megabytes(tables, sizes)} MB of {megabytes(everything, sizes)} MB"
    page = (ROOT / "docs/sharing.md").read_text()
    (told,) = re.findall(r"For `digits`, the tables are (\d+ MB of \d+ MB)\.", page)
    assert told == expected, "docs/sharing.md does not tell what dvc.lock says: correct the page"
