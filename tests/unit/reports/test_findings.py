"""Pages with tables of results show what is kept in reference/findings, and nothing else."""

import shutil

import pandas as pd
import pytest

from dasbench.core import artifacts, tables
from dasbench.errors import UserError
from dasbench.evaluation import cost_quality
from dasbench.reports import default_methods, finding_tables, findings
from experiment_files import ROOT


@pytest.mark.parametrize("name", findings.PAGES)
def test_a_page_is_made_of_what_is_kept(name):
    page = (ROOT / name).read_text()
    assert findings.blocks(page)
    assert findings.fill(page, ROOT) == page


def test_the_table_of_default_methods_follows_from_the_other_tables(tmp_path):
    folder = ROOT / findings.KEPT
    kept = tables.load_table(folder / default_methods.KEPT)
    pd.testing.assert_frame_equal(kept, default_methods.joined(folder))
    fewest = kept[(kept.method == "das_stepwise") & (kept.timesteps == 1)]
    assert set(fewest.experiment) == {"digits"}
    assert not default_methods.renew(tmp_path)
    for name in (*default_methods.SETS.values(), default_methods.TIMED):
        shutil.copy(folder / name, tmp_path)
    assert default_methods.renew(tmp_path)
    assert not default_methods.renew(tmp_path)


def test_a_table_that_nobody_makes_is_refused():
    with pytest.raises(
        UserError, match="there is no table nothing; known: floors, default-methods, beyond"
    ):
        findings.fill("<!-- nothing:begin -->\n<!-- nothing:end -->", ROOT)


def test_results_are_copied_and_shown(tmp_path):
    rows = [("das", 64, 0.2), ("das", 32, 0.31), ("trak", 64, 0.1)]
    table = pd.DataFrame(rows, columns=["method", "models", "width"])
    table = table.assign(queries="val", target="loss")
    folder = tmp_path / "results/digits/lds"
    folder.mkdir(parents=True)
    table.to_csv(folder / "by_models.csv", index=False)
    assert findings.collect(tmp_path) == ["by_models.csv"]
    page = "a\n<!-- by-models:begin -->\nold\n<!-- by-models:end -->\nb\n"
    filled = findings.fill(page, tmp_path)
    assert "| 32 | 31.0 | – |\n| 64 | 15.0 | – |\n<!-- by-models:end -->\nb\n" in filled
    assert "old" not in filled


def test_what_an_experiment_cost_is_one_row(tmp_path):
    folder = tmp_path / "results/emoji"
    folder.mkdir(parents=True)
    made = {f"results/emoji/{i}": {"rule": "score", "log": [f"logs/{i}"]} for i in range(3)}
    # two jobs at once, a pause of an hour, a third
    times = [[0, 3600, 100.0], [1800, 5400, 300.0], [9000, 10800, None]]
    artifacts.save_json(folder / "provenance.json", made)
    artifacts.save_json(folder / "runtimes.json", dict(zip(made, times, strict=True)))
    assert findings.collect(tmp_path) == []  # it has not ended yet
    (folder / "report.html").touch()
    assert findings.collect(tmp_path) == ["emoji-cost.csv"]
    filled = findings.fill("<!-- emoji-cost:begin -->\n<!-- emoji-cost:end -->\n", tmp_path)
    assert "| `emoji` | 3 | 2.50 | 2.00 | 300 |" in filled


def comparisons():
    """A primary difference of both kinds of query, and what is not primary."""
    row = {"kind": "primary", "a": "das", "b": "trak", "target": "loss", "selection": "held_out"}
    row |= {"queries": "val", "difference": 0.1, "lo": 0.05, "hi": 0.15}
    others = [{"queries": "gen", "difference": -0.02, "lo": -0.1, "hi": 0.1}]
    others += [{"kind": "exploratory", "difference": 0.9}, {"selection": "oracle"}]
    return pd.DataFrame([row, *(row | other for other in others)])


def test_primary_comparisons_and_the_ceiling_are_shown():
    for fixed, mark in ((None, ""), ("on 2026-11-30", " †")):
        assert shown(finding_tables.PRIMARY.markdown(comparisons().assign(fixed=fixed))) == [
            f"| `das` - `trak`{mark} | loss | 10.0 (5.0 to 15.0) | -2.0 (-10.0 to 10.0) |"
        ]
    rows = [("loss", kind, 0.5, 0.4, 0.6) for kind in ("val", "gen")]
    ceiling = pd.DataFrame(rows, columns=["target", "queries", "ceiling", "lo", "hi"])
    assert (
        "| loss | 50.0 (40.0 to 60.0) | 50.0 (40.0 to 60.0) |"
        in finding_tables.CEILING.markdown(ceiling)
    )


@pytest.mark.parametrize("name", ["fashion", "emoji", "digits_moved"])
def test_the_real_experiments_have_their_tables(name):
    kinds = ("loss", "displacement", "transforms", "ceiling", "primary", "removal", "cost")
    tables = [finding_tables.TABLES[f"{name}-{kind}"] for kind in kinds]
    assert all(table.source.startswith(f"{name}/") for table in tables)
    assert {table.kept for table in tables} >= {f"{name}.csv", f"{name}-cost.csv"}


def shown(table):
    """The rows of a table of the page, its head left out."""
    return table.splitlines()[2:]


def test_costs_are_copied_and_shown(tmp_path):
    rows = [
        ("released", "val", 100, 0.5, 0.6, 0.0, 0.0, 0.0),
        ("slow", "val", 50, 0.5, 0.62, 0.02, -0.005, 0.04),
        ("quick", "val", 2.5, 0.4, 0.61, 0.01, -0.02, 0.03),
        ("released", "gen", 100, 0.2, 0.3, 0.0, 0.0, 0.0),
        ("slow", "gen", 50, 0.25, 0.31, 0.01, -0.03, 0.05),
        ("quick", "gen", 2.5, 0.3, 0.28, -0.02, -0.05, 0.01),
    ]
    columns = ["method", "queries", "seconds", "tuning", "lds"]
    columns += ["difference", "difference_lo", "difference_hi"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.assign(speedup=100 / table.seconds, front=table.method != "released")
    table = table.assign(lo=table.lds - 0.05, hi=table.lds + 0.05)
    folder = tmp_path / "results/acceleration"
    folder.mkdir(parents=True)
    table.to_csv(folder / "cost-quality.csv", index=False)
    found = {"reference": "released", "speedup": cost_quality.speedups(table, "released")}
    artifacts.save_json(folder / "cost-speedup.json", found)
    assert findings.collect(tmp_path) == ["cost-quality.csv", "cost-speedup.csv"]
    page = "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in ("costs", "speedup"))
    lines = findings.fill(page, tmp_path).splitlines()
    assert lines[3:6] == [
        "| `quick` | 2.50 | 40 | **61.0 (56.0 to 66.0)** | **28.0 (23.0 to 33.0)** |",
        "| `slow` | 50.00 | 2 | **62.0 (57.0 to 67.0)** | **31.0 (26.0 to 36.0)** |",
        "| `released` | 100.00 | 1 | 60.0 (55.0 to 65.0) | 30.0 (25.0 to 35.0) |",
    ]
    assert "| configuration | times cheaper than `released` |" in lines[8]
    quick = "`quick` | 40.0 | 1.0 (-2.0 to 3.0) | -2.0 (-5.0 to 1.0) |"
    slow = "`slow` | 2.0 | 2.0 (-0.5 to 4.0) | 1.0 (-3.0 to 5.0) |"
    none = "`none` | – | – | – |"
    expected = {
        "held-out images": [slow, quick, slow],
        "generated images": [quick, slow, none],
        "both": [slow, slow, none],
    }
    senses = finding_tables.SENSES.values()
    assert lines[10:19] == [
        f"| {wanted} | {sense} | {best}"
        for wanted, own in expected.items()
        for sense, best in zip(senses, own, strict=True)
    ]


def test_replicates_and_their_comparisons_are_shown():
    rows = [
        ("trak", "gen", 0.1, 0.0, 0.2, 0.01, 0.02),
        ("das", "val", 0.5, 0.3, 0.6, 0.1, None),
        ("trak", "val", 0.2, 0.1, 0.3, 0.03, 0.04),
    ]
    columns = ["method", "queries", "mean", "lowest", "highest", "sd_features", "sd_base"]
    table = pd.DataFrame(rows, columns=columns).assign(target="loss", selection="held_out")
    table = pd.concat([table, table.assign(selection="oracle", mean=0.9)], ignore_index=True)
    assert shown(finding_tables.REPLICATES.markdown(table)) == [
        "| `das` | 50.0 | 30.0 to 60.0 | 10.0 | – |  |  |  |  |",
        "| `trak` | 20.0 | 10.0 to 30.0 | 3.0 | 4.0 | 10.0 | 0.0 to 20.0 | 1.0 | 2.0 |",
    ]
    rows = [
        ("gen", "displacement", 0.01, -0.01, 0.03, 3),
        ("gen", "loss", 0.1, 0.05, 0.2, 4),
        ("val", "loss", 0.2, 0.15, 0.3, 4),
    ]
    columns = ["queries", "target", "mean", "lowest", "highest", "positive"]
    table = pd.DataFrame(rows, columns=columns).assign(a="das", b="trak", replicates=4)
    assert shown(finding_tables.REPLICATE_PAIRS.markdown(table)) == [
        "| `das` - `trak` | loss | 20.0 | 15.0 to 30.0 | 4 of 4 | 10.0 | 5.0 to 20.0 | 4 of 4 |",
        "| `das` - `trak` | displacement |  |  |  | 1.0 | -1.0 to 3.0 | 3 of 4 |",
    ]


def test_effects_and_gains_are_shown_for_the_loss():
    row = {"difference": 0.2, "lo": 0.1, "hi": 0.3, "queries": "gen", "target": "loss"}
    row |= {"scope": "all", "factor": "leverage", "level": True, "reference": False}
    row |= {"before": "trak", "after": "das", "switch": "noise", "from": "keyed", "to": "common"}
    others = ({"target": "displacement"}, {"order": "first", "switch": "readout"})
    table = pd.DataFrame([row | {"order": "shapley"} | other for other in ({}, *others)])
    expected = ["| all | leverage | True | False |  | 20.0 (10.0 to 30.0) |"]
    assert shown(finding_tables.MAIN_EFFECTS.markdown(table[:2])) == expected
    expected = ["| trak | das | noise | keyed | common |  | 20.0 (10.0 to 30.0) |"]
    assert shown(finding_tables.GAINS.markdown(table)) == expected


def test_cells_without_das_s_factors_are_copied_and_shown(tmp_path):
    row = {"readout": "loss", "normalise": False, "noise": "common", "residual": "none"}
    row |= {"leverage": False, "transform": "square", "kernel": "per_t", "queries": "val"}
    row |= {"damping_rule": "held_out", "target": "loss", "lds": 0.5, "lo": 0.4, "hi": 0.6}
    others = ({"queries": "gen", "lds": 0.45}, {"noise": "keyed", "lds": 0.3})
    left_out = ({"residual": "scalar"}, {"normalise": True}, {"kernel": "pooled"})
    table = pd.DataFrame([row] + [row | other for other in (*others, *left_out)])
    folder = tmp_path / "results/ablation/ablation"
    folder.mkdir(parents=True)
    table.to_csv(folder / "cells.csv", index=False)
    assert findings.collect(tmp_path) == ["loss-cells.csv"]
    filled = findings.fill("<!-- loss-cells:begin -->\n<!-- loss-cells:end -->\n", tmp_path)
    assert filled.splitlines()[3:-1] == [
        "| loss | keyed | per_t | square | 30.0 (40.0 to 60.0) |  |",
        "| loss | common | per_t | square | 50.0 (40.0 to 60.0) | 45.0 (40.0 to 60.0) |",
    ]


def test_removal_is_shown_beyond_chance():
    rows = [
        ("random", 50, "loss_change", 0.002, None, None, None),
        ("das", 50, "loss_change", 0.012, 0.01, 0.005, 0.0163),
        ("das", 50, "image_l2", 1.5, 0.25, 0.125, 0.5),
    ]
    columns = ["method", "k", "measure", "mean", "excess", "lo", "hi"]
    assert shown(finding_tables.REMOVAL.markdown(pd.DataFrame(rows, columns=columns))) == [
        "| `random` | 50 | 0.0020 in the mean |  |",
        "| `das` | 50 | 0.0100 (0.0050 to 0.0163) | 0.250 (0.125 to 0.500) |",
    ]


def test_removals_are_compared_query_by_query(tmp_path):
    rows = [("null", 0, query, 0, 9.0) for query in range(4)]
    for query, (own, base) in enumerate([(3, 1), (5, 3), (4, 2), (2, 0)]):
        rows += [("das", 10, query, None, own), ("das_common", 10, query, None, base)]
        rows += [("random", 10, query, n, 100.0) for n in range(2)]
    table = pd.DataFrame(rows, columns=["method", "k", "query", "set", "loss_change"])
    table["image_l2"] = table.loss_change.where(table.method == "das", 0.0) * (table["query"] - 1)
    folder = tmp_path / "results/removals/removal"
    folder.mkdir(parents=True)
    table.to_parquet(folder / "per_query.parquet")
    assert findings.collect(tmp_path) == ["removal-pairs.csv"]
    kept = pd.read_csv(tmp_path / findings.KEPT / "removal-pairs.csv").set_index("measure")
    # every query has the same difference, hence every resample has it; the image's is a mean
    assert kept.loc["loss_change", ["difference", "lo", "hi"]].tolist() == [2.0, 2.0, 2.0]
    image = kept.loc["image_l2"]
    assert image.difference == pytest.approx((-3 + 0 + 4 + 4) / 4)
    assert image.lo < image.difference < image.hi
    page = "<!-- removal-pairs:begin -->\n<!-- removal-pairs:end -->\n"
    assert "| `das` - `das_common` | 10 | 2.0000 (2.0000 to 2.0000) | 1.250 (" in findings.fill(
        page, tmp_path
    )


def test_the_best_candidates_of_the_search_are_shown():
    rows = [(f"m{i:02d}", kind, 0.5 - i / 100) for i in range(16) for kind in ("gen", "val")]
    table = pd.DataFrame(rows[1:], columns=["method", "queries", "lds"])
    beaten = pd.DataFrame({"method": ["das_common"] * 2, "queries": ["gen", "val"], "lds": 0.01})
    table = pd.concat([table, beaten])
    table = table.assign(transform="square", mean_lds=table.lds, own=table.method == "das_common")
    lines = shown(finding_tables.SEARCH.markdown(table))
    assert len(lines) == 16
    assert lines[-1] == "| `das_common` | square | 1.0 | 1.0 | 1.0 |"
    assert lines[:2] == [
        "| `m00` | square | 50.0 | 50.0 | – |",
        "| `m01` | square | 49.0 | 49.0 | 49.0 |",
    ]


def test_a_score_that_is_the_floor_itself_has_no_partial_lds():
    """Undefined for every query: absent, though its mean is recorded as 0."""
    row = {"own": True, "target": "loss", "selection": "held_out", "lds": 0.5, "Q": 3}
    ends = {"partial_lo": 0.0, "partial_hi": 0.2, "partial_class_undefined": 0}
    rows = [
        {**row, **ends, "method": name, "queries": "val", "partial": part, "partial_class": 0.4}
        | {"partial_undefined": absent, "partial_class_lo": 0.3, "partial_class_hi": 0.5}
        for name, part, absent in (("das", 0.1, 0), ("floor", 0.0, 3))
    ]
    shown = finding_tables.BEYOND.markdown(pd.DataFrame(rows))
    assert "| `das` | 10.0 (0.0 to 20.0) | 50.0 | 40.0 |" in shown
    assert "| `floor` | – | 50.0 | 40.0 |" in shown
