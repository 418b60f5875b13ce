"""Choosing a damping without seeing what is reported, judging it, comparing methods."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dasbench.attribution import transforms
from dasbench.attribution.parameters import Point
from dasbench.evaluation import lds
from dasbench.evaluation.bootstrap import Bootstrap, Draws
from dasbench.evaluation.predictions import predict
from stepwise import blocks_of

N, Q, M, R = 30, 6, 24, 2
GRID = (1e-3, 1e-2, 1e-1, 1.0)


def make_masks(rng, subsets, examples=N):
    """[M, N] bool, half of the examples in each subset."""
    order = np.argsort(rng.random((subsets, examples)), axis=1)
    return order < examples // 2


def make_problem(seed, queries=Q, subsets=M):
    """Masks, outputs of two targets [R, M, Q], and a path whose noise differs by damping."""
    rng = np.random.default_rng(seed)
    masks, truth = make_masks(rng, subsets), rng.normal(size=(N, queries))
    clean = masks @ truth
    outputs = {
        "loss": clean + rng.normal(size=(R, subsets, queries)),
        "displacement": clean**2 / 10 + rng.normal(size=(R, subsets, queries)),
    }
    noise = rng.permutation([0.3, 1.0, 2.0, 4.0])[:, None, None] * rng.normal(
        size=(4, *truth.shape)
    )
    return masks, outputs, list(zip(GRID, truth + noise, strict=True))


def points(path):
    """A path of points from one of dampings; None is no parameter."""
    return ((Point() if g is None else Point(damping=g), scores) for g, scores in path)


def select(path, masks, loss_outputs):
    """The choice from scores, all queries in one block."""
    return lds.select(predict(blocks_of([points(path)]), masks)["val"], loss_outputs)


def evaluate(path, selection, masks, outputs, draws):
    """The judgement from scores, all queries in one block."""
    return lds.evaluate(predict(blocks_of([points(path)]), masks)["val"], selection, outputs, draws)


@pytest.fixture(scope="module")
def judged():
    """Selection and evaluation of one method on separate subsets and queries of one problem."""
    tuning, tuning_outputs, tuning_path = make_problem(0)
    selection = select(tuning_path, tuning, tuning_outputs["loss"])
    masks, outputs, path = make_problem(1)
    draws = Bootstrap(100).draw(np.random.default_rng(2), M, Q)
    result = evaluate(path, selection, masks, outputs, draws)
    return selection, result, (masks, outputs, path, draws)


def row_of(summary, **wanted):
    """The one row with these values."""
    match = np.logical_and.reduce([summary[name] == value for name, value in wanted.items()])
    assert match.sum() == 1
    return summary[match].iloc[0]


def mean_lds(masks, scores, outputs):
    """Mean over queries, for scores without undefined queries."""
    return lds.lds_per_query(masks, scores, outputs["loss"]).mean()


def least_squares(masks, outputs):
    """Scores [N, Q] that predict the mean loss outputs exactly."""
    return np.linalg.lstsq(masks.astype(float), outputs["loss"].mean(axis=0), rcond=None)[0]


def test_lds_is_scipys_correlation_of_summed_scores_and_mean_output():
    masks, outputs, path = make_problem(3)
    scores = path[0][1]
    got = lds.lds_per_query(masks, scores, outputs["loss"])
    for q in range(Q):
        sums = [sum(scores[n, q] for n in range(N) if masks[m, n]) for m in range(M)]
        expected = scipy.stats.spearmanr(sums, outputs["loss"][:, :, q].mean(axis=0)).statistic
        assert got[q] == pytest.approx(expected, abs=1e-12)


def test_helpful_scores_have_positive_lds_and_harmful_ones_negative():
    masks, outputs, _ = make_problem(3)
    influence = least_squares(masks, outputs)
    assert mean_lds(masks, influence, outputs) > 0.9
    assert mean_lds(masks, -influence, outputs) < -0.9


@given(st.floats(0.01, 10), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_lds_ignores_the_unit_of_scores_and_outputs(unit, seed):
    masks, outputs, path = make_problem(seed)
    base = lds.lds_per_query(masks, path[0][1], outputs["loss"])
    monotone = np.exp(unit * outputs["loss"].mean(axis=0) / 30)[None]
    scaled = lds.lds_per_query(masks, path[0][1] * unit, monotone)
    np.testing.assert_allclose(scaled, base, atol=1e-12)


def test_selection_takes_the_best_damping_of_each_transform():
    masks, outputs, path = make_problem(5)
    got = select(iter(path), masks, outputs["loss"]).set_index("transform")
    assert list(got.index) == list(transforms.TRANSFORMS)
    for name in transforms.TRANSFORMS:
        means = [mean_lds(masks, transforms.apply(s, name), outputs) for _, s in path]
        assert got.loc[name, "lds"] == pytest.approx(max(means))
        assert got.loc[name, "damping"] == GRID[int(np.argmax(means))]
        assert got.loc[name, "edge"] == (np.argmax(means) in (0, 3))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_ties_go_to_the_larger_damping(order):
    masks, outputs, path = make_problem(6)
    best = max((s for _, s in path), key=lambda s: mean_lds(masks, s, outputs))
    worse = np.random.default_rng(0).normal(size=best.shape)
    tied = [(1e-3, best), (1e-2, best * 3), (1e-1, best * 2), (1.0, worse)]
    got = select([tied[i] for i in order], masks, outputs["loss"]).set_index("transform")
    assert got.loc["identity", "damping"] == 1e-1
    assert not got.loc["identity", "edge"]


@pytest.mark.parametrize(("best_at", "edge"), [(0, True), (1, False), (2, False), (3, True)])
def test_a_choice_at_either_end_of_the_grid_is_flagged(best_at, edge):
    masks, outputs, path = make_problem(7)
    good = max((s for _, s in path), key=lambda s: mean_lds(masks, s, outputs))
    noise = np.random.default_rng(1).normal(size=(4, *good.shape))
    path = [(g, good if i == best_at else noise[i]) for i, g in enumerate(GRID)]
    selection = select(path, masks, outputs["loss"]).set_index("transform")
    assert selection.loc["identity", "edge"] == edge
    draws = Bootstrap(5).draw(np.random.default_rng(2), M, Q)
    summary = evaluate(path, selection.reset_index(), masks, outputs, draws)[0]
    for kind in lds.DRAWN:
        assert row_of(summary, transform="identity", target="loss", selection=kind)["edge"] == edge


def test_an_undefined_lds_enters_the_selection_as_0():
    """A damping that is defined for one query alone must not win by its mean over that query."""
    masks, outputs, _ = make_problem(8)
    influence = least_squares(masks, outputs)
    mostly_undefined = np.where(np.arange(Q) == 0, influence, 1.0)
    noisy = influence + 1.0 * np.random.default_rng(0).normal(size=influence.shape)
    path = [(0.1, noisy), (1.0, mostly_undefined)]
    alone = lds.lds_per_query(masks, mostly_undefined, outputs["loss"])
    assert np.nanmean(alone) > mean_lds(masks, noisy, outputs) > alone[0] / Q
    assert select(path, masks, outputs["loss"])["damping"][0] == 0.1


def test_the_choice_never_reads_evaluation_subsets_or_queries():
    """Whatever stands in the evaluation part of the arrays, the choice is the same."""
    masks, outputs, path = make_problem(9, queries=2 * Q, subsets=2 * M)

    def choose(masks, loss, path):
        """What a script does: the first queries and the tuning subsets go in, nothing else."""
        return select(((g, scores[:, :Q]) for g, scores in path), masks[:M], loss[:, :M, :Q])

    hidden_loss = outputs["loss"].copy()
    hidden_loss[:, M:], hidden_loss[:, :, Q:] = np.nan, np.nan
    hidden_masks = np.where(np.arange(2 * M)[:, None] < M, masks, False)
    hidden_path = [(g, np.where(np.arange(2 * Q) < Q, scores, np.nan)) for g, scores in path]
    chosen = choose(masks, outputs["loss"], path)
    pd.testing.assert_frame_equal(choose(hidden_masks, hidden_loss, hidden_path), chosen)
    with pytest.raises(ValueError, match="finite"):
        select([(g, s[:, :Q]) for g, s in path], masks, hidden_loss[:, :, :Q])


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_the_judgement_keeps_the_choice_whatever_the_reported_outputs_are(seed):
    """Outputs built to favour another damping move the oracle and not the held-out rows."""
    masks, outputs, path = make_problem(10)
    selection = select(path, masks, outputs["loss"])
    rng = np.random.default_rng(seed)
    favoured = rng.integers(len(path))
    adverse = (masks @ path[favoured][1])[None] + 0.01 * rng.normal(size=(R, M, Q))
    outputs, draws = {"loss": adverse, "displacement": adverse}, Bootstrap(5).draw(rng, M, Q)
    summary = evaluate(path, selection, masks, outputs, draws)[0]
    for target in ("loss", "displacement"):
        key = {"transform": "identity", "target": target}
        assert row_of(summary, **key, selection="oracle")["damping"] == GRID[favoured]
        assert row_of(summary, **key, selection="held_out")["damping"] == selection["damping"][0]


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_oracle_is_never_below_held_out_and_is_the_top_of_the_path(seed):
    tuning, tuning_outputs, tuning_path = make_problem(seed)
    masks, outputs, path = make_problem(seed + 1)
    selection = select(tuning_path, tuning, tuning_outputs["loss"])
    draws = Bootstrap(5).draw(np.random.default_rng(0), M, Q)
    summary = evaluate(path, selection, masks, outputs, draws)[0]
    for _, rows in summary.groupby(["transform", "target"]):
        oracle = row_of(rows, selection="oracle")["lds"]
        assert oracle >= row_of(rows, selection="held_out")["lds"]
        assert oracle == rows.loc[rows["selection"] == "path", "lds"].max()


def test_summary_estimates_are_the_undrawn_ones(judged):
    selection, (summary, per_query, _), (masks, outputs, path, _) = judged
    assert len(summary) == len(transforms.TRANSFORMS) * 2 * (2 + len(GRID))
    scores = dict(path)
    for row in summary.itertuples():
        transformed = transforms.apply(scores[row.damping], row.transform)
        values = lds.lds_per_query(masks, transformed, outputs[row.target])
        assert row.lds == pytest.approx(values.mean(), abs=1e-12)
        assert (row.M, row.R, row.Q, row.undefined) == (M, R, Q, 0)
        if row.selection == "path":
            assert np.isnan([row.lo, row.hi]).all()
            continue
        key = {"transform": row.transform, "target": row.target, "selection": row.selection}
        stored = per_query[np.logical_and.reduce([per_query[k] == v for k, v in key.items()])]
        np.testing.assert_allclose(stored.sort_values("query")["lds"], values, atol=1e-12)
    chosen = summary[summary["selection"] == "held_out"].groupby("transform")["damping"].unique()
    assert all(list(chosen[r.transform]) == [r.damping] for r in selection.itertuples())


def test_rows_of_the_draws_are_the_held_out_and_oracle_rows_in_order(judged):
    _, (summary, _, resampled), (masks, outputs, path, draws) = judged
    rows = summary[summary["selection"] != "path"].reset_index(drop=True)
    assert resampled.shape == (len(rows), 100)
    assert resampled.dtype == np.float32
    scores = dict(path)
    for row, got in zip(rows.itertuples(), resampled, strict=True):
        predicted = masks @ transforms.apply(scores[row.damping], row.transform)
        truth = outputs[row.target].mean(axis=0)
        for b in (0, 57):  # the definition: copy the drawn rows and columns
            m, q = (np.repeat(np.arange(len(c)), c) for c in (draws.subsets[b], draws.queries[b]))
            cells = [scipy.stats.spearmanr(predicted[m, i], truth[m, i]).statistic for i in q]
            assert got[b] == pytest.approx(np.mean(cells), abs=1e-5)
        np.testing.assert_allclose([row.lo, row.hi], np.percentile(got, [2.5, 97.5]), atol=1e-6)


def test_undefined_queries_count_as_0_and_are_counted():
    masks, outputs, _ = make_problem(11)
    influence = least_squares(masks, outputs)
    influence[:, [1, 4]] = 0.7
    selection = select([(None, influence)], masks, outputs["loss"])
    draws = Bootstrap(50).draw(np.random.default_rng(0), M, Q)
    summary, per_query, _ = evaluate([(None, influence)], selection, masks, outputs, draws)
    row = row_of(summary, transform="identity", target="loss")
    values = lds.lds_per_query(masks, influence, outputs["loss"])
    assert row["undefined"] == 2
    assert row["lds"] == pytest.approx(np.nansum(values) / Q)
    stored = per_query[(per_query["transform"] == "identity") & (per_query["target"] == "loss")]
    assert np.isnan(stored["lds"]).tolist() == [False, True, False, False, True, False]


def test_a_control_that_stratified_masks_make_constant_scores_0_by_count():
    rng, per_class = np.random.default_rng(12), 14
    masks = np.concatenate([make_masks(rng, M, per_class) for _ in range(2)], axis=1)
    labels = np.repeat([0, 1], per_class)
    scores = (labels[:, None] == np.arange(Q) % 2).astype(np.float32)
    outputs = {"loss": rng.normal(size=(R, M, Q))}
    selection = select([(None, scores)], masks, outputs["loss"])
    draws = Bootstrap(20).draw(rng, M, Q)
    summary = evaluate([(None, scores)], selection, masks, outputs, draws)[0]
    assert (summary["undefined"] == Q).all()
    assert (summary[["lds", "lo", "hi"]] == 0).all(axis=None)


def test_a_method_without_damping_has_held_out_rows_only():
    masks, outputs, path = make_problem(13)
    single = [(None, path[0][1])]
    selection = select(single, masks, outputs["loss"])
    assert selection["damping"].isna().all()
    assert not selection["edge"].any()
    draws = Bootstrap(20).draw(np.random.default_rng(0), M, Q)
    summary, per_query, resampled = evaluate(single, selection, masks, outputs, draws)
    assert set(summary["selection"]) == {"held_out"} == set(per_query["selection"])
    assert summary["damping"].isna().all()
    assert len(summary) == len(resampled) == 6
    assert summary[["lo", "hi"]].notna().all(axis=None)


def test_the_choice_may_pass_through_a_text_file(judged, tmp_path):
    selection, (summary, *_), (masks, outputs, path, draws) = judged
    selection.to_csv(tmp_path / "selection.csv", index=False)
    read = pd.read_csv(tmp_path / "selection.csv")
    pd.testing.assert_frame_equal(evaluate(path, read, masks, outputs, draws)[0], summary)


def test_evaluation_refuses_what_does_not_fit(judged):
    selection, _, (masks, outputs, path, draws) = judged
    with pytest.raises(ValueError, match="not on the path"):
        evaluate(path[:1], selection.assign(parameters='{"damping":0.5}'), masks, outputs, draws)
    with pytest.raises(ValueError, match="signed_square"):
        evaluate(path, selection[:2], masks, outputs, draws)
    with pytest.raises(ValueError, match="draws"):
        evaluate(
            path, selection, masks, outputs, Draws(draws.bootstrap, draws.subsets, draws.subsets)
        )
    broken = outputs | {"loss": np.where(np.arange(Q) == 0, np.nan, outputs["loss"])}
    with pytest.raises(ValueError, match="finite"):
        evaluate(path, selection, masks, broken, draws)


def test_ceilings_are_those_in_the_summary(judged):
    _, (summary, *_), (_, outputs, _, draws) = judged
    table = lds.ceilings(outputs, draws)
    assert list(table) == [name for name in lds.CEILING_COLUMNS if name in table]
    for row in table.itertuples():
        assert (summary.loc[summary["target"] == row.target, "ceiling"] == row.ceiling).all()
        r = [scipy.stats.spearmanr(*outputs[row.target][:, :, q]).statistic for q in range(Q)]
        assert row.reliability == pytest.approx(np.mean(r))
        assert row.rho == pytest.approx(2 * np.mean(r) / (1 + np.mean(r)))
        assert row.lo <= row.ceiling <= row.hi


def test_the_true_influences_reach_the_ceiling_and_noisy_ones_do_not():
    rng = np.random.default_rng(15)
    masks, truth = make_masks(rng, 300), rng.normal(size=(N, 40))
    outputs = {"loss": masks @ truth + 3 * rng.normal(size=(R, 300, 40))}
    ceiling = lds.ceilings(outputs, Bootstrap(20).draw(rng, 300, 40))["ceiling"][0]
    assert mean_lds(masks, truth, outputs) == pytest.approx(ceiling, abs=0.03)
    assert mean_lds(masks, truth + rng.normal(size=truth.shape), outputs) < ceiling - 0.1


def label_both(judged):
    """(summary, draws) of the judged method and of a worse one without damping, both labelled."""
    _, (summary, _, resampled), (masks, outputs, _, draws) = judged
    noise = np.random.default_rng(16).normal(size=(N, Q))
    selection = select([(None, noise)], masks, outputs["loss"])
    other, _, other_draws = evaluate([(None, noise)], selection, masks, outputs, draws)
    better = (lds.label(summary, own="identity"), resampled)
    return better, (lds.label(other, own="square"), other_draws)


def test_comparison_is_paired_draw_by_draw(judged):
    a, b = label_both(judged)
    got = lds.compare(a, b)
    assert list(got["target"]) == ["loss", "displacement"]
    assert set(got["selection"]) == {"held_out"}  # the other has no oracle
    assert (got["transform_a"] == "identity").all()
    assert (got["transform_b"] == "square").all()
    for row in got.itertuples():
        points, drawn = [], []
        for (table, draws), transform in zip(
            (a, b), (row.transform_a, row.transform_b), strict=True
        ):
            rows = table[table["selection"] != "path"].reset_index(drop=True)
            key = {"transform": transform, "target": row.target, "selection": "held_out"}
            points.append(row_of(rows, **key)["lds"])
            drawn.append(draws[row_of(rows, **key).name].astype(float))
        assert row.difference == pytest.approx(points[0] - points[1])
        paired = drawn[0] - drawn[1]
        np.testing.assert_allclose([row.lo, row.hi], np.percentile(paired, [2.5, 97.5]), atol=1e-7)
        assert row.detectable == pytest.approx(2.80158 * paired.std(ddof=1), rel=1e-4)


def test_a_method_does_not_differ_from_itself_and_swapping_changes_the_sign(judged):
    a, b = label_both(judged)
    same = lds.compare(a, a)
    assert len(same) == 4
    assert (same[["difference", "lo", "hi", "detectable"]] == 0).all(axis=None)
    one, two = lds.compare(a, b, ("square", "square")), lds.compare(b, a, ("square", "square"))
    np.testing.assert_allclose(one["difference"], -two["difference"])
    np.testing.assert_allclose(one["lo"], -two["hi"], atol=1e-7)


def test_comparison_refuses_what_it_cannot_pair(judged):
    a, b = label_both(judged)
    with pytest.raises(ValueError, match="own"):
        lds.compare((a[0].drop(columns="own"), a[1]), b)
    with pytest.raises(ValueError, match="rows of draws"):
        lds.compare((a[0], a[1][:-1]), b)
    with pytest.raises(ValueError, match="cube"):
        lds.compare(a, b, ("cube", "square"))
    with pytest.raises(ValueError, match="pair"):
        lds.compare((a[0], a[1][:, :-1]), b)


def test_labelled_tables_have_the_columns_of_the_contract(judged):
    selection, (summary, per_query, _), (_, outputs, _, draws) = judged
    names = {"experiment": "digits", "queries": "val"}
    assert list(lds.label(selection, **names, method="das")) == lds.SELECTION_COLUMNS
    named = lds.label(summary, own="square", **names, method="das")
    assert list(named) == [name for name in lds.SUMMARY_COLUMNS if name in named]
    assert set(named.loc[named["own"], "transform"]) == {"square"}
    assert list(lds.label(per_query, **names, method="das")) == lds.PER_QUERY_COLUMNS
    assert list(lds.label(lds.ceilings(outputs, draws), **names)) == lds.CEILING_COLUMNS
