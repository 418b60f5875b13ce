"""Scores judged by models without each group: measures, scopes, intervals, and the scripts."""

import importlib
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score

import planted
from dasbench.core import artifacts, tables
from dasbench.data import digits
from dasbench.diffusion import denoiser
from dasbench.errors import UserError
from dasbench.evaluation import groups
from dasbench.evaluation.bootstrap import Bootstrap, generator
from dasbench.evaluation.predictions import sum_scores
from dasbench.experiments.files import groups as files
from experiment_files import resolved

G, Q = 6, 5


def draws(kind):
    return generator(("tests", 0), f"groups-{kind}")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def own():
    """The groups 0, 1, 2, 0 are those of four queries; the fifth has none."""
    own = np.zeros((G, Q), dtype=bool)
    own[[0, 1, 2, 0], range(4)] = True
    return own


def test_a_change_is_the_output_of_all_images_minus_that_without_the_group():
    outputs = np.array([[[-1.0], [-1.5], [-0.75]], [[-2.0], [-2.0], [-4.0]]], dtype=np.float32)
    assert groups.changes(outputs).tolist() == [[[0.5], [-0.25]], [[0.0], [2.0]]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_ndcg_is_that_of_scikit_learn(seed, ties):
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, 3, (G, Q)) if ties else rng.standard_normal((G, Q))
    change = rng.standard_normal((G, Q))
    expected = [
        ndcg_score((c - c.min())[None], p[None], k=groups.TOP)
        for p, c in zip(predicted.T, change.T, strict=True)
    ]
    np.testing.assert_allclose(groups.ndcg(predicted, change), expected, atol=1e-12)


def test_ndcg_of_ties_is_the_mean_over_their_orders():
    """By the slowest code: every permutation of the groups breaks the ties once."""
    predicted, change = np.array([2, 1, 1, 1, 0.0]), np.array([0.5, 3, 0, 1, -2])
    gains, each = change - change.min(), []
    ideal = sum(g / math.log2(i + 2) for i, g in enumerate(sorted(gains, reverse=True)[:3]))
    for order in itertools.permutations(range(5)):
        ranked = sorted(order, key=lambda g: -predicted[g])[:3]
        each.append(sum(gains[g] / math.log2(i + 2) for i, g in enumerate(ranked)) / ideal)
    found = groups.ndcg(predicted[:, None], change[:, None])
    assert found == pytest.approx([np.mean(each)])
    assert np.isnan(groups.ndcg(predicted[:, None], np.ones((5, 1)))).all()


def test_top1_is_the_probability_to_name_the_largest_change():
    change = np.array([[5.0, 0, 0], [1, 7, 1], [0, 1, 9]])
    predicted = np.array([[3.0, 1, 0], [1, 1, 0], [2, 0, 0]])
    assert groups.top1(predicted, change).tolist() == [1, 0.5, pytest.approx(1 / 3)]
    assert groups.top1(-predicted, change)[0] == 0


def test_the_others_are_without_the_own_group(own, rng):
    values = rng.standard_normal((G, Q))
    expected = [[values[g, q] for g in range(G) if not own[g, q]] for q in range(4)]
    np.testing.assert_array_equal(groups.in_scope(values, own, "others"), np.transpose(expected))
    assert groups.in_scope(values, own, "all") is values


def test_a_method_is_judged_query_by_query(own, rng):
    predicted, change = rng.standard_normal((2, G, Q))
    table = groups.judge(predicted, change, own).set_index(["scope", "measure", "query"])["value"]
    for q in range(Q):
        expected = stats.spearmanr(predicted[:, q], change[:, q])[0]
        assert table["all", "spearman", q] == pytest.approx(expected)
    kept = ~own[:, 1]
    expected = stats.spearmanr(predicted[kept, 1], change[kept, 1])[0]
    assert table["others", "spearman", 1] == pytest.approx(expected)
    assert table["others"]["ndcg"].index.tolist() == [0, 1, 2, 3]  # the fifth has no own group


def test_without_own_groups_there_are_no_others(rng):
    none, change = np.zeros((G, Q), dtype=bool), rng.standard_normal((2, G, Q))
    assert groups.in_scope(change[0], none, "others").shape == (G - 1, 0)
    assert set(groups.judge(change[0], change[1], none)["scope"]) == {"all"}
    table = groups.noise(change, change[:, 0], none, Bootstrap(100), draws("val"))
    assert table["scope"].tolist() == ["all"]


def long(values, method, **names):
    """Rows of one method: query -> value."""
    names = {"queries": "val", "target": "loss", "scope": "all", "measure": "spearman"} | names
    return pd.DataFrame({"query": range(10, 10 + len(values)), "value": values}).assign(
        method=method, **names
    )


def test_summaries_are_means_with_the_draws_of_all_methods(rng):
    a, b = rng.standard_normal((2, Q))
    b[2] = np.nan
    per_query = pd.concat([long(a, "a"), long(b, "b"), long(a, "floor", scope="others")])
    boot = Bootstrap(200)
    rows = groups.summarise(per_query, G, boot, draws).set_index(["scope", "method"])
    known = np.nan_to_num(b)
    assert rows.loc[("all", "a"), "value"] == pytest.approx(a.mean())
    assert rows.loc[("all", "b"), "value"] == pytest.approx(known.mean())
    assert rows["undefined"].tolist() == [0, 1, 0]
    assert rows["groups"].tolist() == [G, G, G - 1]
    counts = boot.counts(draws("val"), Q)
    resampled = [sum(c * x for c, x in zip(count, known, strict=True)) / Q for count in counts]
    ends = np.percentile(resampled, [2.5, 97.5])
    assert rows.loc[("all", "b"), ["lo", "hi"]].tolist() == pytest.approx(ends)
    assert rows.loc[("others", "floor"), "lo"] == rows.loc[("all", "a"), "lo"]


def test_differences_are_paired(rng):
    a = rng.standard_normal(Q)
    per_query = pd.concat([long(a + 0.25, "a"), long(a, "floor")])
    (row,) = groups.compare(per_query, "floor", Bootstrap(200), draws).to_dict("records")
    assert (row["a"], row["b"], row["queries"], row["measure"]) == ("a", "floor", "val", "spearman")
    assert [row[end] for end in ("difference", "lo", "hi")] == pytest.approx([0.25] * 3)
    assert row["detectable"] == pytest.approx(0, abs=1e-9)
    other = pd.concat([per_query, long(a, "a", queries="gen")])  # where the floor has no scores
    assert len(groups.compare(other, "floor", Bootstrap(200), draws)) == 1


def test_noise_is_what_two_seeds_disagree_on(own, rng):
    change = rng.standard_normal((3, G, Q)) + 2 * rng.standard_normal((G, Q))
    null = rng.standard_normal((3, Q))
    table = groups.noise(change, null, own, Bootstrap(200), draws("val")).set_index("scope")
    pairs = [(0, 1), (0, 2), (1, 2)]
    each = [
        stats.spearmanr(change[a, :, q], change[b, :, q])[0] for a, b in pairs for q in range(Q)
    ]
    r = np.mean(each)
    assert table.loc["all", "agreement"] == pytest.approx(r)
    assert table.loc["all", "ceiling"] == pytest.approx(math.sqrt(3 * r / (1 + 2 * r)))
    assert table.loc["all", "lo"] <= table.loc["all", "ceiling"] <= table.loc["all", "hi"]
    assert table.loc["all", "change"] == pytest.approx(np.abs(change.mean(0)).mean())
    assert table["null"].tolist() == pytest.approx([np.abs(null).mean()] * 2)
    assert table[["groups", "S", "Q"]].to_numpy().tolist() == [[G, 3, Q], [G - 1, 3, 4]]


def test_a_planted_groups_influence_is_found():
    """In a world of exact models, influence of single images says what a group did."""
    world = planted.World()
    labels = np.arange(planted.GROUPS)
    members = labels[:, None] == world.labels["train"]
    full = world.loss(world.weight, "val")
    change = np.stack([world.loss(world.trained(~m), "val") for m in members]) - full
    own = labels[:, None] == world.labels["val"]
    scores = {
        "exact": world.leave_one_out("val"),
        "class": (world.labels["train"][:, None] == world.labels["val"]).astype(float),
        "noise": np.random.default_rng(1).standard_normal((planted.N, planted.QUERIES)),
    }
    mean = {
        name: groups.judge(sum_scores(members, s), change, own)
        .fillna({"value": 0})
        .groupby(["scope", "measure"])["value"]
        .mean()
        for name, s in scores.items()
    }
    assert (mean["exact"] > 0.9).all()
    assert mean["class"]["all", "top1"] == 1  # the own group is the trivial answer
    assert mean["class"]["others", "spearman"] == 0  # and says nothing beyond it
    assert abs(mean["noise"]["all", "spearman"]) < 0.3


@pytest.mark.slow
def test_the_scripts_of_the_study_fit_together(blank, tmp_path, monkeypatch):
    """From examples, queries and scores to tables, each script with its rule's string."""
    study = {"by": "label", "count": 3, "seeds": 2}
    pair = {"a": "class_match", "b": "random", "truth": ["groups"]}
    methods = {"random": {}, "class_match": {}}
    e = resolved(blank, groups=study, methods=methods, comparisons=[pair], removal={})
    home = tmp_path / e.folder
    pool, rng = digits.pool(), np.random.default_rng(0)
    few = np.flatnonzero(pool.labels < 4)
    images, labels = pool.images[few], pool.labels[few]
    artifacts.save_examples(home / "train.npz", images[:40], labels[:40], np.arange(40))
    for start, kind in ((100, "val"), (200, "gen")):
        rows = slice(start, start + 12)
        artifacts.save_array(home / f"queries/{kind}.npy", denoiser.to_model(images[rows]))
        artifacts.save_array(home / f"queries/{kind}_labels.npy", labels[rows])
        match = labels[:40, None] == labels[rows]
        for name, scores in (("random", rng.standard_normal((40, 12))), ("class_match", match)):
            artifacts.save_array(home / f"scores/{name}/{kind}.npy", scores.astype(np.float32))
    uses = {kind: {"tuning": [0, 1], "evaluation": list(range(2, 12))} for kind in ("val", "gen")}
    artifacts.save_json(home / "queries/uses.json", uses)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAS_DEVICE", "cpu")

    def call(script, settings, **options):
        words = [f"--{key}={value}" for key, value in options.items()]
        monkeypatch.setattr("sys.argv", [script, "--settings", settings, *words])
        importlib.import_module(script).run()

    plan, trained = home / "groups/plan", home / "models/groups"
    call("choose_groups", files.plan_settings(e), examples=home / "train.npz", out=plan)
    counts = np.bincount(labels[:40])
    chosen = sorted(sorted(range(4), key=lambda c: (-counts[c], c))[:3])
    assert np.load(plan / "labels.npy").tolist() == chosen
    for group in ("whole", *files.names(e)):
        options = {"examples": home / "train.npz", "masks": plan / group / "masks.npy"}
        call("train_removal", files.training_settings(e, group), **options, out=trained)
    for seed in files.seeds(e):
        for file in files.models_of_seed(e, str(seed)):
            assert (tmp_path / file).is_file()
        folder = trained / f"seed-{seed}"
        options = {"base": folder / "shard-whole/00", "models": folder}
        options |= {"queries": home / "queries", "out": home / f"groups/outputs/seed-{seed}"}
        call("measure_outputs", files.measure_settings(e), **options)
    options = {"examples": home / "train.npz", "queries": home / "queries", "home": home / "groups"}
    call("summarise_groups", files.summary_settings(e), **options)
    summary, pairs, noise, general, per_query = (
        tables.load_table(tmp_path / file) for file in files.tables(e)
    )
    assert len(summary) == 2 * 2 * 2 * 2 * 3  # methods, kinds, targets, scopes, measures
    void = summary[(summary.method == "class_match") & (summary.scope == "others")]
    assert (void[void.measure == "spearman"].undefined == void.Q[void.measure == "spearman"]).all()
    moved = np.load(home / "groups/outputs/seed-0/displacement-val.npy")
    assert (moved[0] == 0).all()  # from the model of all images with the same seed
    assert (moved[1:] < 0).all()
    assert set(pairs.kind) == {"primary"}  # there is no floor to compare others with
    assert set(zip(pairs.a, pairs.b, strict=True)) == {("class_match", "random")}
    assert (noise.null > 0).all()
    assert set(general.top) == {10}
    assert set(per_query["query"]) <= set(range(2, 12))


def test_too_few_labels_are_one_sentence(tmp_path, monkeypatch):
    labels = np.array([0, 0, 1])
    images = np.zeros((3, 2, 2, 1))
    artifacts.save_examples(tmp_path / "train.npz", images, labels, np.arange(3))
    words = json.dumps({"axes": [], "groups": ["000", "001", "002"], "seeds": 2})
    flags = [f"--examples={tmp_path / 'train.npz'}", f"--out={tmp_path}"]
    monkeypatch.setattr("sys.argv", ["choose_groups", "--settings", words, *flags])
    with pytest.raises(UserError, match="is 3, expected at most 2, the number of labels"):
        importlib.import_module("choose_groups").run()
