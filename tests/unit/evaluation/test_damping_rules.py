"""Rules that choose a damping, on curves whose best damping is known."""

import numpy as np
import pandas as pd
import pytest

from dasbench.evaluation import damping_rules
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.evaluation.damping_curves import JUDGED

GRID = [1e-4, 1e-3, 1e-2, 1e-1]


def curve(experiment="one", method="das", kinds=("val", "gen"), grid=GRID, **columns):
    """A curve of one transform and target; ``columns`` has values along the grid."""
    parts = []
    for kind in kinds:
        part = pd.DataFrame({"damping": grid, "lds": 0.5, "undefined": 0, "edge": False})
        part = part.assign(
            **dict.fromkeys(JUDGED[2:7], 0.0), **dict.fromkeys(damping_rules.CRITERIA, 0.0)
        )
        for name, values in columns.items():
            part[name] = values[kind] if isinstance(values, dict) else values
        part["lost"] = part["lds"].max() - part["lds"]
        names = {
            "experiment": experiment,
            "set": experiment,
            "method": method,
            "transform": "square",
        }
        parts.append(part.assign(queries=kind, target="loss", **names))
    return pd.concat(parts, ignore_index=True)


def chosen(rules, kind="val"):
    """Rule -> damping."""
    mine = rules[rules["queries"] == kind]
    return dict(zip(mine["rule"], mine["damping"], strict=True))


def test_each_rule_follows_its_criterion():
    table = curve(
        lds=[0.1, 0.4, 0.3, 0.2],
        each_kind={"val": [0.5, 0.4, 0.1, 0.1], "gen": [0.0, 0.4, 0.6, 0.1]},
        finetuned=[0.1, 0.2, 0.3, 0.2],
        finetuned_asked=[0.3, 0.2, 0.1, 0.0],
        agreement=[0.1, 0.2, 0.3, 0.9],
        cross_draw=[2.0, 2.0, 3.0, 3.0],
        gcv_query=[3.0, 2.0, 1.0, 2.0],
        gcv_residual=[1.0, 2.0, 3.0, 4.0],
    )
    rules = damping_rules.choose(damping_rules.with_together(table), fixed=[0.002, 5.0])
    expected = {
        "each_kind": 1e-4,
        "together": 1e-3,  # 0.25, 0.4, 0.35, 0.1
        "finetuned": 1e-2,
        "finetuned_asked": 1e-4,
        "agreement": 1e-1,
        "cross_draw": 1e-3,
        "gcv_query": 1e-2,
        "gcv_residual": 1e-4,
        "fixed_0.002": 1e-3,
        "fixed_5": 1e-1,
        "oracle": 1e-3,
    }
    assert chosen(rules) == expected
    assert chosen(rules, "gen") == expected | {"each_kind": 1e-2}
    lost = rules[rules["queries"] == "gen"].set_index("rule")["lost"]
    assert lost[["each_kind", "together", "agreement", "oracle"]].tolist() == pytest.approx(
        [0.1, 0, 0.2, 0]
    )
    pd.testing.assert_frame_equal(rules[JUDGED], table.loc[rules.index, JUDGED])


def test_of_equal_values_the_largest_damping_is_chosen():
    rules = damping_rules.choose(damping_rules.with_together(curve()))
    assert set(chosen(rules).values()) == {1e-1}


def test_other_sets_choose_by_their_tuning_data_alone():
    mine = damping_rules.with_together(curve(each_kind=[9.0, 0, 0, 0], lds=[0.1, 0.2, 0.3, 0.4]))
    others = [
        curve("two", each_kind={"val": [0.1, 0.5, 0.4, 0], "gen": [0, 0, 0, 0.8]}),
        curve("three", each_kind={"val": [0.1, 0.1, 0.4, 0], "gen": [0, 0, 0, 0.8]}),
    ]
    others = pd.concat([damping_rules.with_together(one) for one in others])
    rules = damping_rules.from_others(mine, others)
    # each_kind chooses 1e-3 and 1e-2 for val, twice 1e-1 for gen
    same = {"other_together": 1e-1, "other_median": 1e-1}
    assert chosen(rules) == {"other_sets": 1e-2, **same}
    assert chosen(rules, "gen") == {"other_sets": 1e-1, **same}
    odd = others[(others["experiment"] == "two") | (others["queries"] == "val")]
    assert chosen(damping_rules.from_others(mine, odd))["other_median"] == 1e-2
    assert rules.loc[rules["rule"] == "other_sets", "lost"].tolist() == pytest.approx([0.1, 0.0])


def test_a_damping_or_a_method_that_a_set_lacks_is_no_choice():
    mine = damping_rules.with_together(curve())
    short = curve("two", grid=GRID[:2], each_kind=[0.1, 0.2])
    whole = curve("three", each_kind=[0.3, 0.1, 0.9, 0.9])
    others = pd.concat([damping_rules.with_together(one) for one in (short, whole)])
    assert chosen(damping_rules.from_others(mine, others))["other_sets"] == 1e-4
    lacking = damping_rules.from_others(mine, others.assign(method="trak"))
    assert len(lacking) == 0
    assert set(damping_rules.RULES) - {"own"} <= set(lacking)


def test_the_mean_over_methods_is_that_of_their_own_transforms():
    table = pd.concat(
        [curve(method="das", lds=[0.1, 0.2, 0.3, 0.4]), curve(method="trak", lds=[0.4, 0.1, 0, 0])],
        ignore_index=True,
    )
    table = pd.concat([table, table.assign(transform="identity", lds=0.0)], ignore_index=True)
    together = damping_rules.with_together(table)
    rules = damping_rules.choose(together, fixed=[1e-3])
    rules["own"] = rules["transform"] == "square"
    losses = np.repeat(table["lost"].to_numpy()[:, None], 50, axis=1)
    losses[:, 25:] += 0.1
    found = damping_rules.overall(rules, losses, Bootstrap(50)).set_index(["queries", "rule"])
    assert len(found) == 2 * 10
    row = found.loc["gen", "fixed_0.001"]
    assert row[["lost", "lost_lo", "lost_hi", "worst"]].tolist() == pytest.approx(
        [0.25, 0.25, 0.35, 0.3]
    )
    # the usual rule has the largest damping of both, which loses 0 and 0.4; resamples cancel
    assert row[["gain", "gain_lo", "gain_hi"]].tolist() == pytest.approx([-0.05] * 3)
    assert found.loc["gen", "each_kind"]["gain"] == 0


def test_a_gain_is_on_the_methods_that_the_rule_has():
    table = pd.concat([curve(method="das", lds=[0, 0, 0.3, 0.2]), curve(method="trak")])
    table = damping_rules.with_together(table.reset_index(drop=True))
    rules = damping_rules.choose(table, fixed=[0.01]).assign(own=True)
    rules = rules[(rules["rule"] != "fixed_0.01") | (rules["method"] == "das")]
    losses = np.repeat(table["lost"].to_numpy()[:, None], 50, axis=1)
    found = damping_rules.overall(rules, losses, Bootstrap(50)).set_index(["queries", "rule"])
    assert found.loc[("val", "fixed_0.01"), ["lost", "gain"]].tolist() == pytest.approx([0, 0.1])
