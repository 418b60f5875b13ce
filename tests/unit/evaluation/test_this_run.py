"""Scores judged by one run: agreement with derivatives, LDS of replays, linearity of the run."""

import importlib

import numpy as np
import pytest
from scipy import stats

from dasbench.core import artifacts, tables
from dasbench.data import digits
from dasbench.diffusion import denoiser
from dasbench.evaluation import this_run
from dasbench.evaluation.bootstrap import Bootstrap
from dasbench.experiments.files import replay
from experiment_files import resolved

N, Q, M = 30, 4, 12


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def exact(rng):
    return rng.standard_normal((N, Q))


@pytest.fixture
def masks(rng):
    masks = np.ones((M, N), dtype=bool)
    for row in masks:
        row[rng.choice(N, 3, replace=False)] = False
    return masks


def test_agreement_is_spearman_over_examples(exact, rng):
    scores = {"noisy": exact + rng.standard_normal(exact.shape), "square": exact**2, "same": exact}
    table = this_run.agreement(scores, exact, Bootstrap(200), np.random.default_rng(1))
    assert list(table["method"]) == list(scores)
    rows = table.set_index("method")
    expected = np.mean([stats.spearmanr(scores["noisy"][:, q], exact[:, q])[0] for q in range(Q)])
    assert rows.loc["noisy", "correlation"] == pytest.approx(expected)
    assert rows.loc["noisy", "lo"] < expected < rows.loc["noisy", "hi"]
    assert rows.loc["same", ["correlation", "lo", "hi"]].tolist() == pytest.approx([1, 1, 1])
    assert rows.loc["square", ["size", "size_lo", "size_hi"]].tolist() == pytest.approx([1, 1, 1])
    assert abs(rows.loc["square", "correlation"]) < 0.5


def test_judging_is_the_lds_of_one_run(exact, masks, rng):
    outputs = 5 + masks @ exact + 0.5 * rng.standard_normal((M, Q))
    draws = Bootstrap(100).shared(("tests", 0), "val", M, Q)
    scores = {"exact": exact, "constant": np.ones((N, Q)), "floor": rng.standard_normal((N, Q))}
    rows = this_run.judge(scores, masks, outputs, draws, "floor").set_index("method")
    predicted = masks @ exact
    expected = np.mean([stats.spearmanr(predicted[:, q], outputs[:, q])[0] for q in range(Q)])
    assert rows.loc["exact", "lds"] == pytest.approx(expected)
    assert rows.loc["exact", "lo"] <= expected <= rows.loc["exact", "hi"]
    assert rows.loc["constant", ["lds", "undefined"]].tolist() == [0, Q]
    assert rows.loc["exact", "partial"] > 0.5
    assert rows.loc["floor", "partial"] == 0  # determined by itself
    assert rows.loc["exact", ["M", "Q"]].tolist() == [M, Q]
    without = this_run.judge({"exact": exact}, masks, outputs, draws)
    assert without.loc[0, "lds"] == pytest.approx(expected)
    assert without["partial"].isna().all()


def test_a_linear_run_is_explained_by_its_derivatives(exact, masks, rng):
    whole = rng.standard_normal(Q)
    outputs = whole - (~masks) @ exact
    assert this_run.linearity(exact, masks, outputs, whole) == pytest.approx((1, 1, 1))
    halved = this_run.linearity(exact, masks, whole - 0.5 * (~masks) @ exact, whole)
    assert halved == pytest.approx((1, 0.5, 0))
    turned = this_run.linearity(exact, masks, whole + (~masks) @ exact, whole)
    assert turned == pytest.approx((-1, -1, -3))


def test_masks_that_do_not_differ_are_refused(exact, masks):
    same = np.repeat(masks[:1], 2, axis=0)
    with pytest.raises(ValueError, match="constant over the masks"):
        this_run.linearity(exact, same, np.zeros((2, Q)), np.ones(Q))


def test_metasmoothness_weighs_changes_of_direction():
    start, middle = np.zeros(4), np.array([1.0, -1, 2, 0])
    assert this_run.metasmoothness(start, middle, 2 * middle) == 1
    # the third value turns back half of its way: of the changes 2, 2 and 1, a fifth disagrees
    assert this_run.metasmoothness(start, middle, np.array([2.0, -2, 1, 0])) == pytest.approx(0.6)
    assert np.isnan(this_run.metasmoothness(start, middle, start))


def test_a_smooth_function_is_metasmooth_for_small_steps(rng):
    curve = rng.standard_normal((50, 3))

    def values(w):
        return np.sin(curve @ w)

    w, v = rng.standard_normal((2, 3))
    near, far = (
        this_run.metasmoothness(*(values(w + k * h * v) for k in range(3))) for h in (1e-3, 5)
    )
    assert near > 0.99
    assert far < 0.7


STUDY = {
    "fractions": [0.9, 0.5],
    "models": [4, 2],
    "models_per_job": 2,
    "halves": 2,
    "queries": 2,
    "queries_per_job": 1,
}


@pytest.mark.slow
def test_the_scripts_of_the_study_fit_together(blank, tmp_path, monkeypatch):
    """From examples and queries to tables, each script with the string that its rule gives it."""
    e = resolved(blank, replay=STUDY, methods={"random": {}}, comparisons=[], removal={})
    home = tmp_path / e.folder
    pool, rng = digits.pool(), np.random.default_rng(0)
    artifacts.save_examples(home / "train.npz", pool.images[:N], pool.labels[:N], np.arange(N))
    for start, kind in ((100, "val"), (200, "gen")):
        rows = slice(start, start + 12)
        artifacts.save_array(home / f"queries/{kind}.npy", denoiser.to_model(pool.images[rows]))
        artifacts.save_array(home / f"queries/{kind}_labels.npy", pool.labels[rows])
        scores = rng.standard_normal((N, 12)).astype(np.float32)
        artifacts.save_array(home / f"scores/random/{kind}.npy", scores)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAS_DEVICE", "cpu")

    def call(script, settings, **options):
        options = {"examples": home / "train.npz", "queries": home / "queries", **options}
        words = [f"--{key}={value}" for key, value in options.items() if value is not None]
        monkeypatch.setattr("sys.argv", [script, "--settings", settings, *words])
        importlib.import_module(script).run()

    models = home / "models/replay"
    for name in replay.runs(e):
        settings = replay.replay_settings(e, name)
        for shard in replay.shards(e, name):
            out = models / name / f"shard-{shard}"
            call("train_replay", settings, queries=None, shard=int(shard), out=out)
        folders = {"base": models / "whole/shard-000/00", "models": models / name}
        out = home / f"replay/outputs/{name}"
        call("measure_outputs", replay.measure_settings(e, name), examples=None, **folders, out=out)
    for part in replay.parts(e):
        out = home / f"replay/exact/{part}.npy"
        call("compute_magic", replay.exact_settings(e, part), out=out)
    evaluation = replay.evaluation_settings(e)
    call("evaluate_replay", evaluation, examples=None, queries=None, home=home, out=home / "replay")
    for file in (*replay.evaluation_inputs(e), *replay.replay_tables(e)):
        assert (tmp_path / file).is_file()
    agreement, lds, linearity = (tables.load_table(tmp_path / f) for f in replay.replay_tables(e))
    assert agreement.set_index("method").loc["exact", "correlation"].tolist() == [1, 1]
    assert len(lds) == 2 * 2 * 2  # methods, shares, kinds of queries
    assert lds.set_index(["fraction", "queries"]).loc[(0.9, "val"), "M"].tolist() == [4, 4]
    assert linearity["metasmoothness"].between(-1, 1).all()
    masks = [
        np.load(tmp_path / replay.shard_files(e, f"{k}-0.9", "000")[0]) for k in ("kept", "half")
    ]
    np.testing.assert_array_equal(*masks)
    assert masks[0].sum(1).tolist() == [27, 27]
