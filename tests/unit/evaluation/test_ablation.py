"""Cells of the ablation are the methods of the same options; effects follow from the cells."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest

from dasbench.attribution import spectrum
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.decomposition import decompose
from dasbench.attribution.parameters import dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.evaluation import ablation, ablation_effects, lds
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.experiments import ablation_design
from dasbench.registry import METHODS
from dasbench.reports.figures import ablation as figures
from stepwise import inputs, predicted

T, N, P, Q, TUNING = 2, 12, 7, 5, 2
GRID = np.array([1e-3, 1e-1, 1.0])


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    train = rng.standard_normal((T, N, P)).astype("f4")
    query = rng.standard_normal((T, Q, P)).astype("f4")
    masks = {use: rng.random((m, N)) < 0.5 for use, m in (("tune", 6), ("eval", 9))}
    uses = {
        "tune": ablation.Use(masks["tune"], range(TUNING)),
        "eval": ablation.Use(masks["eval"], range(TUNING, Q)),
    }
    tuning = rng.standard_normal((1, 6, TUNING))
    outputs = {t: rng.standard_normal((2, 9, Q - TUNING)) for t in ("loss", "displacement")}
    draws = Bootstrap(50, 0.9).draw(rng, 9, Q - TUNING)
    r = rng.uniform(0.5, 2, (T, N)).astype("f4")
    residuals = {
        "averaged": {"none": 1.0, "scalar": r.mean(0), "released": r[0]},
        "pooled": {"none": 1.0, "scalar": r.mean(0), "released": r[0]},
        "per_t": {"none": 1.0, "scalar": r, "released": r[0]},
    }
    judge = ablation.Judge(tuning, outputs, draws, fixed=[0.11])
    table, drawn = ablation.cells(
        Spectra(train), {"val": query}, residuals, GRID, {"val": uses}, {"val": judge}
    )
    return {
        "train": train,
        "query": query,
        "uses": uses,
        "tuning": tuning,
        "outputs": outputs,
        "draws": draws,
        "residuals": residuals,
        "table": table,
        "drawn": drawn,
    }


def by_methods(problem, kernel, residual, leverage):
    """The same as a method of the kernel family is judged."""
    values = problem["residuals"][kernel][residual]
    asked = inputs(problem["train"], problem["query"], None if residual == "none" else values)
    options = {**METHODS["das"], "kernel": kernel, "leverage": leverage}
    options["residual"] = "none" if residual == "none" else "scalar"
    if kernel == "averaged":
        phi = [problem[side].mean(0, dtype=np.float64) for side in ("train", "query")]
        asked = replace(
            asked, train_features=phi[0], query_features=phi[1], spectrum=Spectrum(phi[0])
        )
    tuned, judged = (
        predicted(options, asked, dampings(GRID), use.masks, use.queries)
        for use in problem["uses"].values()
    )
    chosen = lds.select(tuned, problem["tuning"])
    return lds.evaluate(judged, chosen, problem["outputs"], problem["draws"])


@pytest.mark.parametrize("kernel", ["averaged", "pooled", "per_t"])
@pytest.mark.parametrize("residual", ["none", "scalar", "released"])
@pytest.mark.parametrize("leverage", [False, True])
def test_a_cell_is_the_method_with_its_options(problem, kernel, residual, leverage):
    summary, _, draws = by_methods(problem, kernel, residual, leverage)
    table = problem["table"]
    mine = table[
        (table.kernel == kernel) & (table.residual == residual) & (table.leverage == leverage)
    ]
    drawn = summary[summary.selection != "path"].reset_index(drop=True)
    assert len(mine) == len(drawn) * 3 // 2  # and the fixed damping
    for place, row in drawn.iterrows():
        own = mine[
            (mine["transform"] == row["transform"])
            & (mine.target == row.target)
            & (mine.damping_rule == row.selection)
        ]
        (index,) = own.index
        for name in ("damping", "edge", "lds", "lo", "hi", "undefined"):
            assert own[name].iloc[0] == pytest.approx(row[name], abs=1e-6), name
        np.testing.assert_allclose(problem["drawn"][index], draws[place], atol=1e-6)
    assert set(mine[mine.damping_rule == "fixed_0.11"].damping) == {0.1}


@pytest.mark.parametrize(("kernel", "kernels"), [("averaged", 1), ("pooled", 1), ("per_t", T)])
def test_a_kernel_is_decomposed_once_for_all_kinds_of_queries(
    problem, kernel, kernels, monkeypatch
):
    made, given = [], problem["residuals"][kernel]
    monkeypatch.setattr(spectrum, "decompose", lambda rows: made.append(1) or decompose(rows))
    queries = {"val": problem["query"], "gen": problem["query"][:, ::-1]}
    uses = dict.fromkeys(queries, problem["uses"])
    spectra = Spectra(problem["train"])
    both = ablation.predict(spectra, kernel, queries, given, GRID, uses)
    assert len(made) == kernels
    for kind, query in queries.items():
        one = {kind: query}, given, GRID, {kind: problem["uses"]}
        alone = ablation.predict(Spectra(problem["train"]), kernel, *one)
        for use, by_transform in alone[kind].items():
            for name, expected in by_transform.items():
                np.testing.assert_array_equal(both[kind][use][name], expected)


def factorial(seed=1, factors=None):
    """A table of made-up cells of two levels each, with draws."""
    rng = np.random.default_rng(seed)
    levels = {
        "readout": ["square", "mean"],
        "normalise": [False, True],
        "noise": ["keyed", "common"],
        "residual": ["none", "scalar"],
        "leverage": [False, True],
        "transform": ["identity", "square"],
        "kernel": ["averaged", "per_t"],
        "damping_rule": ["held_out", "oracle"],
    }
    cells = list(product(*levels.values(), ["val", "gen"], ["loss"]))
    table = pd.DataFrame(cells, columns=[*ablation_design.FACTORS, "queries", "target"])
    table["lds"] = rng.standard_normal(len(table))
    draws = table.lds.to_numpy()[:, None] + rng.standard_normal((len(table), 40)) / 10
    return ablation_effects.Cells(table, draws.astype("f4"), 0.9)


def test_a_main_effect_is_the_mean_of_paired_differences():
    cells = factorial()
    table = ablation_effects.main_effects(cells)
    own = table[(table.scope == "all") & (table.factor == "noise") & (table["queries"] == "val")]
    differences, drawn = [], []
    for row in cells.table.itertuples():
        if row.noise == "common" and row.queries == "val" and row.damping_rule == "held_out":
            options = {name: getattr(row, name) for name in ablation_design.FACTORS}
            other = cells.find({**options, "noise": "keyed"}, ("val", "loss"))
            differences.append(row.lds - cells.table.lds[other])
            drawn.append(cells.draws[row.Index].astype(float) - cells.draws[other])
    assert own.pairs.iloc[0] == len(differences) == 2**6
    assert own.difference.iloc[0] == pytest.approx(np.mean(differences))
    lo, hi = np.percentile(np.mean(drawn, axis=0), [5, 95])
    assert (own.lo.iloc[0], own.hi.iloc[0]) == pytest.approx((lo, hi))
    at_das = table[(table.scope == "das") & (table.factor == "noise")].set_index("queries")
    das = ablation_effects.METHODS["das"]
    rows = [cells.find({**das, "noise": noise}, ("gen", "loss")) for noise in ("common", "keyed")]
    expected = cells.table.lds[rows[0]] - cells.table.lds[rows[1]]
    assert at_das.difference["gen"] == pytest.approx(expected)
    assert set(table.scope) == {"all", "dtrak", "das", "das_common"}  # no loss readout, no trak


def test_shares_are_means_over_all_orders_and_add_up():
    cells = factorial(2)
    table = ablation_effects.gains(cells)
    assert set(zip(table.before, table.after, strict=True)) == {
        ("dtrak", "das"),
        ("dtrak", "das_common"),
    }
    a, b = ablation_effects.METHODS["dtrak"], ablation_effects.METHODS["das"]
    switches = [f for f in ablation_design.FACTORS if a[f] != b[f]]
    mine = table[(table.after == "das") & (table["queries"] == "gen")]
    by_order = {s: [] for s in switches}
    for order in permutations(switches):
        options = dict(a)
        for switch in order:
            before = cells.table.lds[cells.find(options, ("gen", "loss"))]
            options[switch] = b[switch]
            after = cells.table.lds[cells.find(options, ("gen", "loss"))]
            by_order[switch].append((order.index(switch), after - before))
    for switch, found in by_order.items():
        own = mine[mine.switch == switch].set_index("order").difference
        assert own["shapley"] == pytest.approx(np.mean([d for _, d in found]))
        assert own["first"] == pytest.approx(next(d for place, d in found if place == 0))
        last = next(d for place, d in found if place == len(switches) - 1)
        assert own["last"] == pytest.approx(last)
    whole = mine[mine.switch == "all"].difference.iloc[0]
    assert mine[mine.order == "shapley"].difference.sum() == pytest.approx(whole)


def test_a_design_without_a_path_has_no_shares():
    cells = factorial(3)
    few = cells.table[cells.table.readout == "square"]
    left = ablation_effects.Cells(few, cells.draws[few.index], 0.9)
    assert not len(ablation_effects.gains(left))
    assert set(ablation_effects.main_effects(left).factor) == set(ablation_design.FACTORS) - {
        "readout"
    }


def test_figures_show_every_level_and_switch():
    cells = factorial(4)
    table = ablation_effects.main_effects(cells)
    drawn = figures.main_effects(table)
    assert len(drawn.axes) == 2
    assert len(drawn.axes[0].get_yticks()) == len(ablation_design.FACTORS)
    gains = ablation_effects.gains(cells)
    drawn = figures.gains(gains)
    assert len(drawn.axes[0].get_yticks()) == len(
        gains.drop_duplicates(["before", "after", "switch"])
    )
