"""DVC's view of a change is coarse, Snakemake's is exact; ``./run save`` makes them agree."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def test_a_comment_is_news_to_dvc_until_it_is_saved(copy):
    assert "changed" not in copy.smoke_status()
    copy.edit(
        "src/dasbench/experiments/subsets.py", "    n = len(labels)", "    # N\n    n = len(labels)"
    )
    shown = copy.smoke_status()
    assert shown.count("changed deps") == shown.count("@smoke:")
    assert "modified" in shown
    assert "changed outs" not in shown
    assert copy.plan() == {}
    copy.run("save", "smoke")
    assert "changed" not in copy.smoke_status()


def test_dvc_repro_is_the_same_door(copy):
    """A stage's command works without ./run around it, and finds nothing to do."""
    copy.edit(
        "src/dasbench/experiments/subsets.py", "    n = len(labels)", "    # N\n    n = len(labels)"
    )
    before = copy.hashes()
    copy.call("dvc", "repro", "--single-item", "lds@smoke")
    assert copy.hashes() == before


def test_bare_snakemake_makes_what_is_missing(copy):
    (copy.folder / "results/smoke/metrics.json").unlink()
    copy.call("snakemake", "--", "report_smoke")
    assert (copy.folder / "results/smoke/metrics.json").is_file()
    assert copy.plan() == {}


def test_what_dvc_says_stands_above_a_failed_save(copy):
    cache = copy.folder / ".dvc/cache"
    cache.rename(copy.folder / ".dvc/elsewhere")
    cache.write_text("a file where DVC has its folder")
    failed = copy.run("save", "smoke", check=False)
    assert failed.returncode
    said, _, summary = failed.stderr.rstrip().rpartition("\n")
    assert summary.endswith("`dvc commit` failed; see above")
    assert "Not a directory" in said
