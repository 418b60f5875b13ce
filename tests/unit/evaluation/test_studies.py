"""Costs against quality, replicates, curves against models, ensembles."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dasbench.attribution import spectrum
from dasbench.attribution.decomposition import decompose
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import Point, dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import tables
from dasbench.evaluation import cost_quality as acceleration
from dasbench.evaluation import lds, lds_by_models, replicates
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.experiments import config
from dasbench.registry import METHODS
from dasbench.reports.figures import by_models as curves
from dasbench.reports.figures import cost_quality, style
from experiment_files import ROOT
from stepwise import every_leverage, every_part, inputs


def test_the_front_is_what_nothing_beats():
    seconds = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    quality = np.array([0.1, 0.3, 0.2, 0.3, 0.5])
    beaten = [
        any(
            (s <= seconds[i] and q > quality[i]) or (s < seconds[i] and q >= quality[i])
            for s, q in zip(seconds, quality, strict=True)
        )
        for i in range(5)
    ]
    np.testing.assert_array_equal(acceleration.front(seconds, quality), ~np.array(beaten))


def point(method, queries, seconds, difference, lo, tuning):
    return {"method": method, "queries": queries, "seconds": seconds, "difference": difference} | {
        "difference_lo": lo,
        "difference_hi": 0.1,
        "speedup": 100 / seconds,
        "tuning": tuning,
    }


def test_speedups_are_of_the_cheapest_that_is_as_good():
    rows = [
        point("released", "val", 100, 0.0, 0.0, 0.5),
        point("released", "gen", 100, 0.0, 0.0, 0.2),
        point("a", "val", 1, -0.001, -0.002, 0.4),
        point("a", "gen", 1, 0.01, 0.0, 0.3),
        *[point("b", kind, 2, 0.01, -0.05, 0.4) for kind in ("val", "gen")],
        *[point("c", kind, 5, 0.02, -0.005, 0.45) for kind in ("val", "gen")],
        *[point("d", kind, 10, -0.003, -0.05, 0.5) for kind in ("val", "gen")],
    ]
    found = acceleration.speedups(pd.DataFrame(rows), "released")

    def of(kind, sense):
        return found[kind][sense]["method"], found[kind][sense]["speedup"]

    assert of("val", "at_equal_lds") == ("b", 50.0)
    assert of("val", "not_worse") == ("c", 20.0)
    assert of("gen", "not_worse") == ("a", 100.0)
    assert of("both", "at_equal_lds") == ("b", 50.0)
    # what tuning chose may turn out to be a little worse: that is then what is told
    assert of("gen", "chosen_on_tuning") == ("a", 100.0)
    assert of("both", "chosen_on_tuning") == ("d", 10.0)
    told = found["both"]["chosen_on_tuning"]["difference"]
    assert told == {kind: [-0.003, -0.05, 0.1] for kind in ("val", "gen")}
    none = acceleration.speedups(pd.DataFrame(rows[:4]), "released")
    assert none["both"]["at_equal_lds"] is None


def judged(seed, folder):
    rng = np.random.default_rng(seed)
    parts, drawn, tuned = [], [], []
    for kind in ("val", "gen"):
        draws = Bootstrap(30, 0.9).draw(np.random.default_rng(9), 8, 4)
        predicted = lds.Predicted(
            tuple(dampings([0.1, 1.0])), {n: rng.standard_normal((2, 8, 4)) for n in lds.TRANSFORMS}
        )
        outputs = {"loss": np.random.default_rng(3).standard_normal((2, 8, 4))}
        chosen = lds.select(predicted, outputs["loss"])
        summary, _, kept = lds.evaluate(predicted, chosen, outputs, draws)
        parts.append(lds.label(summary, own="square", queries=kind, method=folder.name))
        drawn.append(kept)
        tuned.append(chosen.assign(queries=kind))
    folder.mkdir(parents=True)
    pd.concat(tuned).to_csv(folder / "selection.csv", index=False)
    pd.concat(parts).to_csv(folder / "summary.csv", index=False)
    np.save(folder / "draws.npy", np.concatenate(drawn))
    return pd.concat(parts), np.concatenate(drawn)


def test_points_join_seconds_and_paired_differences(tmp_path):
    made = {name: judged(seed, tmp_path / name) for seed, name in enumerate(("slow", "fast"))}
    parts = dict.fromkeys(acceleration.PARTS, 1.0)
    times = pd.DataFrame(
        [
            {"method": "slow", "P": 5} | parts | {"features": 97.0},
            {"method": "fast", "P": 5} | parts,
        ]
    )
    table = acceleration.points(tmp_path, times, "slow", 0.9)
    assert len(table) == 4
    fast = table[(table.method == "fast") & (table.queries == "gen")].iloc[0]
    assert fast.seconds == 4.0
    assert fast.speedup == 25.0
    chosen = pd.read_csv(tmp_path / "fast/selection.csv")
    (wanted,) = chosen[(chosen.queries == "gen") & (chosen["transform"] == "square")].lds
    assert fast.tuning == pytest.approx(wanted)
    own = {}
    for name, (summary, draws) in made.items():
        rows = summary[summary.selection.isin(lds.DRAWN)].reset_index(drop=True)
        chosen = (rows["queries"] == "gen") & (rows["transform"] == "square")
        (place,) = np.flatnonzero(chosen & (rows.selection == "held_out"))
        own[name] = (rows.lds[place], draws[place].astype(float))
    assert fast.difference == pytest.approx(own["fast"][0] - own["slow"][0])
    lo, hi = np.percentile(own["fast"][1] - own["slow"][1], [5, 95])
    assert (fast.difference_lo, fast.difference_hi) == pytest.approx((lo, hi), abs=1e-6)
    slow = table[table.method == "slow"]
    assert (slow.difference == 0).all()
    assert len(cost_quality.points(table, "slow").axes) == 2


def test_forms_of_the_gradients_are_compared_by_their_features_alone():
    """What experiment projections says of a form is the form's: everything else is equal."""
    methods = config.methods(config.load("projections", ROOT))
    pairs = config.load("projections", ROOT)["comparisons"]
    forms = set()
    for pair in pairs:
        a, b = (methods[pair[side]] for side in "ab")
        assert {k: v for k, v in a.items() if k != "features"} == {
            k: v for k, v in b.items() if k != "features"
        }
        differing = {k for k in a["features"] if a["features"][k] != b["features"][k]}
        assert differing <= {"projection", "norms", "oversampling", "parameters"}
        forms.add((pair["a"].split("_")[1], pair["b"].split("_")[1]))
    against = "unprojected"
    assert forms == {("narrow", against), ("common", against), ("dense", against), (against, "all")}
    assert len(pairs) == 3 * len(forms)


def test_replicates_are_summarised_within_and_between_base_models():
    draws = {"r": (0, 0), "f": (0, 1), "b": (1, 0), "bf": (1, 1)}
    scores = {"r": (0.3, 0.1), "f": (0.5, 0.4), "b": (0.6, 0.1), "bf": (0.6, 0.7)}
    summaries = {}
    for name, values in scores.items():
        rows = [
            ("das", "square", "val", "loss", "held_out", values[0], True),
            ("das", "identity", "val", "loss", "held_out", 9.0, False),
            ("das", "square", "val", "loss", "path", 9.0, True),
            ("trak", "identity", "val", "loss", "held_out", values[1], True),
        ]
        summaries[name] = pd.DataFrame(rows, columns=[*replicates.KEY, "lds", "own"])
    numbers = {n: dict(zip(("base", "features"), d, strict=True)) for n, d in draws.items()}
    table = replicates.values(summaries, numbers)
    das = replicates.summary(table).set_index("method").loc["das"]
    assert das.replicates == 4
    assert das["mean"] == pytest.approx(0.5)
    assert (das.lowest, das.highest) == (0.3, 0.6)
    assert das.sd == pytest.approx(np.std([0.3, 0.5, 0.6, 0.6], ddof=1))
    assert das.sd_features == pytest.approx(np.sqrt((0.02 + 0) / 2))
    assert das.sd_base == pytest.approx(np.std([0.4, 0.6], ddof=1))
    pairs = [{"a": "das", "b": "trak"}, {"a": "das", "b": "absent"}]
    (row,) = replicates.comparisons(table, pairs).to_dict("records")
    assert row["positive"] == 3
    assert row["mean"] == pytest.approx(np.mean([0.2, 0.1, 0.5, -0.1]))


def test_fewer_models_mean_a_wider_interval_around_the_same_value(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.random((32, 20)) < 0.5
    scores = rng.standard_normal((20, 6))
    noisy = masks @ scores + rng.standard_normal((32, 6))
    outputs = {"loss": noisy[None]}
    table = lds_by_models.curve(
        {"m": scores}, masks, outputs, ("tests",), {"draws": 200, "level": 0.9}
    )
    assert list(table.models) == [4, 8, 12, 16, 24, 32]
    assert table.lds.iloc[-1] == pytest.approx(
        lds.lds_per_query(masks, scores, outputs["loss"]).mean(), abs=1e-6
    )
    assert (table.width.diff().dropna() < 0).all()
    np.testing.assert_allclose(table.lds, table.lds.iloc[-1], atol=0.12)
    assert (lds_by_models._choices(rng, 9, 4).sum(1) == 4).all()
    table = table.assign(queries="val")
    assert len(curves.curves(table).axes) == 1
    # what is drawn from the file is what would be drawn from the table that was computed
    tables.save_table(tmp_path / "by_models.csv", table)
    for name, drawn in (("here", table), ("there", tables.load_table(tmp_path / "by_models.csv"))):
        style.save(curves.curves(drawn), tmp_path / f"{name}.svg")
    assert (tmp_path / "here.svg").read_bytes() == (tmp_path / "there.svg").read_bytes()


def test_a_fraction_is_stated_only_above_a_positive_ceiling():
    rows = [("a", "val", "loss", "held_out", 0.3, 0.6), ("a", "gen", "loss", "oracle", 0.2, 0.1)]
    rows.append(("a", "val", "loss", "path", 0.1, 0.6))
    columns = ["method", "queries", "target", "selection", "lds", "ceiling"]
    summary = pd.DataFrame(rows, columns=columns)
    bounds = pd.DataFrame(
        [("val", "loss", 0.5, 0.7), ("gen", "loss", 0.0, 0.3)],
        columns=["queries", "target", "lo", "hi"],
    )
    table = lds_by_models.full_table(summary, bounds)
    assert list(table.selection) == ["held_out", "oracle"]
    assert table.fraction[0] == pytest.approx(0.5)
    assert np.isnan(table.fraction[1])


@pytest.fixture
def members():
    rng = np.random.default_rng(2)
    sets = [(rng.standard_normal((6, 4)), rng.standard_normal((3, 4))) for _ in range(3)]
    blank = inputs(np.zeros((1, 6, 2), "f4"), np.zeros((1, 3, 2), "f4"), rng.uniform(1, 2, 6))
    asked = replace(
        blank,
        train_features=sets[0][0],
        query_features=sets[0][1],
        spectrum=Spectrum(sets[0][0]),
        query_timesteps=None,
        others=tuple(sets[1:]),
    )
    return sets, asked


def alone(asked, train, query):
    return replace(asked, train_features=train, query_features=query, spectrum=None, others=())


def test_an_ensemble_of_scores_stacks_its_members(members):
    sets, asked = members
    options = {**METHODS["das"], "ensemble": [{"draw": 1}, {"draw": 2}]}
    made = every_part(options, asked, dampings([0.01, 0.1]))
    for point, stacked in made.items():
        assert stacked.shape == (3, 6, 3)
        for one, (train, query) in zip(stacked, sets, strict=True):
            ((_, own),) = interface.path(METHODS["das"], alone(asked, train, query), [point])
            for q in range(3):
                expected = own[:, q] / np.sqrt((own[:, q] ** 2).mean())
                np.testing.assert_allclose(one[:, q], expected, rtol=1e-9)


def test_an_ensemble_of_kernels_adds_kernels_of_unit_trace(members):
    sets, asked = members
    options = {**METHODS["trak"], "ensemble": [{"draw": 1}, {"draw": 2}], "combine": "kernels"}
    ((_, made),) = interface.path(options, asked, dampings([0.1]))
    # in the dual form the sum of members' Gram matrices is the whole kernel
    grams = [t @ t.T / np.trace(t @ t.T) for t, _ in sets]
    cross = sum(t @ q.T / np.trace(t @ t.T) for t, q in sets)
    total = sum(grams)
    damping = 0.1 * np.linalg.eigvalsh(total).max()
    expected = np.linalg.solve(total + damping * np.eye(6), cross)
    np.testing.assert_allclose(made, expected, rtol=1e-8)
    (h,) = every_leverage(options, asked, Point(damping=0.1))
    inverse = np.linalg.inv(total + damping * np.eye(6))
    np.testing.assert_allclose(h, np.diag(total @ inverse), rtol=1e-8)


@pytest.mark.parametrize(("combine", "kernels"), [("scores", 2), ("kernels", 1)])
def test_kernels_of_an_ensemble_are_decomposed_once_for_all_queries(
    members, combine, kernels, monkeypatch
):
    _, asked = members
    options = {**METHODS["das"], "ensemble": [{"draw": 1}, {"draw": 2}], "combine": combine}
    (whole,) = every_part(options, asked, dampings([0.1])).values()
    made = []
    monkeypatch.setattr(spectrum, "decompose", lambda rows: made.append(1) or decompose(rows))
    (found,) = every_part(options, asked, dampings([0.1]), memory=8 * 6).values()
    assert len(made) == kernels
    np.testing.assert_allclose(found, whole, rtol=1e-9)
