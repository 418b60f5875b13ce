"""DVC's view of a change is coarse, Snakemake's is exact; ``./run save`` makes them agree."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.workflow]


def status(clone):
    stages = clone.call("dvc", "stage", "list", "--name-only").stdout.split()
    return clone.call("dvc", "status", *(s for s in stages if s.endswith("@smoke"))).stdout


def test_a_comment_is_news_to_dvc_until_it_is_saved(copy):
    assert "changed" not in status(copy)
    copy.edit("src/dasbench/subsets.py", "    n = len(labels)", "    # N\n    n = len(labels)")
    shown = status(copy)
    assert shown.count("changed deps") == shown.count("@smoke:")
    assert "modified" in shown
    assert "changed outs" not in shown
    assert copy.plan() == {}
    copy.run("save", "smoke")
    assert "changed" not in status(copy)
