"""The judge files that the repository ships have the numbers of the reference."""

import numpy as np
import pytest

from dasbench.core import artifacts, tables
from dasbench.core.query_kinds import TARGETS
from dasbench.evaluation import judging, statistics
from dasbench.reports import judge_files
from experiment_files import ROOT

FILES = sorted((ROOT / judge_files.FOLDER).glob("*.npz"))


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.stem)
def shipped(request):
    return judging.load(request.param)


def test_every_method_has_its_lds(shipped):
    reference = artifacts.load_json(ROOT / f"reference/{shipped.about['experiment']}.json")
    wanted = {(r["method"], r["queries"], r["target"]): r["lds"] for r in reference["lds"]}
    found = {}
    for kind in shipped.kinds:
        outputs = shipped.outputs(kind, "eval")
        for target in TARGETS:
            truth = outputs[target].mean(axis=0, dtype=np.float64)
            for method in shipped.methods(kind):
                per_query = statistics.spearman(shipped.arrays[f"ranks/{method}/{kind}"], truth)
                found[method, kind, target] = np.nan_to_num(per_query).mean()
    assert found == pytest.approx(wanted, abs=2e-6)


def test_primary_comparisons_have_their_intervals(shipped):
    reference = artifacts.load_json(ROOT / f"reference/{shipped.about['experiment']}.json")
    pair = next(
        row for row in reference["comparisons"] if (row["b"], row["queries"]) == ("floor", "val")
    )
    sides = [judging.of_method(shipped, pair[side], "val") for side in "ab"]
    table = judging.lds.compare(*sides, level=shipped.about["level"]).set_index("target")
    for name in ("difference", "lo", "hi"):
        assert table.loc[pair["target"], name] == pytest.approx(pair[name], abs=2e-6)


@pytest.mark.slow
@pytest.mark.workflow
def test_results_that_are_here_have_the_numbers_of_their_judge_file(made):
    judge = judge_files.collect(made.folder, "smoke")
    summary = tables.load_table(made.folder / "results/smoke/lds/summary.csv")
    summary = summary[summary.own & (summary.selection == "held_out")]
    assert set(judge.methods("gen")) == set(summary["method"])
    for method, kind in (("das", "val"), ("trak", "gen")):
        mine, _ = judging.of_method(judge, method, kind)
        same = (summary["method"] == method) & (summary["queries"] == kind)
        for name in ("lds", "lo", "hi", "ceiling"):
            np.testing.assert_allclose(mine[mine.own][name], summary[same][name], atol=1e-6)


def test_a_file_is_small():
    assert FILES
    assert all(file.stat().st_size < 2e6 for file in FILES)
