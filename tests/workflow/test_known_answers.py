"""Studies with a known answer in miniature: marks, copies, and the paths of samples."""

import numpy as np
import pytest
import yaml

from dasbench.core import artifacts, tables
from dasbench.data import digits_marked, digits_repeated
from experiment_files import raw

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

FLOORS = ("pixel_cosine_power", "pixel_rbf", "pixel_ridge", "nearest", "ideal_denoiser", "floor")
METHODS = ("random", "class_match", "pixel_cosine", *FLOORS, "das")
COPIED = ("pixel_cosine", "das")


def written(clone, name, dataset, train, methods=METHODS, **sections):
    """Smoke on planted images, with the parameters of smoke."""
    data = {**raw(), "title": name, "subsets": None, "parameters_of": "smoke", **sections}
    data["data"] = {"dataset": dataset, "train": train}
    data["training"] = {**data["training"], "epochs": 1, "batch_size": 64}
    data["methods"] = {method: {} for method in methods}
    for key in ("removal", "comparisons", "ablation", "acceleration", "replay", "replicate"):
        data.pop(key)
    (clone.folder / f"config/experiments/{name}.yaml").write_text(
        yaml.safe_dump(data, sort_keys=False)
    )


def test_marked_images_are_searched_with_the_parameters_of_smoke(copy):
    queries = {"val": 30, "gen": 6, "tuning": 2, "sampling_steps": 5}
    study = {"retrieval": {"truth": "marks", "top": 5}, "queries": queries}
    written(copy, "marked", "digits_marked", 1000, **study)
    before = copy.hashes("smoke")
    copy.run("marked")
    assert copy.hashes("smoke") == before
    assert copy.plan("marked") == {}
    home = copy.folder / "results/marked"
    train = artifacts.load_examples(home / "examples/train.npz")
    assert digits_marked.is_marked(train.ids).sum() == digits_marked.MARKED
    taken, chosen = (
        tables.load_table(copy.folder / f"results/{name}/lds/methods/das/selection.csv")
        for name in ("marked", "smoke")
    )
    assert list(taken.parameters) == list(chosen.parameters)
    counts = tables.load_table(home / "retrieval/questions.csv").set_index("queries")
    assert counts.loc["val", "questions"] == 28
    assert counts.loc["val", "relevant"] == digits_marked.MARKED
    gen = artifacts.load_array(home / "queries/gen.npy")[2:]
    assert counts.loc["gen", "questions"] == digits_marked.shows_mark(gen).sum()
    table = tables.load_table(home / "retrieval/retrieval.csv")
    held_out = table[table.queries == "val"]
    assert set(held_out.group) == {"class with marks", "class without marks"}
    assert set(held_out.method) == set(METHODS)
    # the slow way, for one method
    scores = np.load(home / "scores/pixel_cosine/val.npy")[:, 2:]
    first = digits_marked.is_marked(train.ids)[scores.argmax(0)]
    mine = held_out[held_out.method == "pixel_cosine"]
    assert np.average(mine["first"], weights=mine.questions) == pytest.approx(first.mean())


def test_copies_are_searched_and_compared_with_single_images(copy):
    queries = {"val": 977, "gen": 4, "tuning": 2, "sampling_steps": 5}
    common = {"queries": queries, "methods": COPIED}
    study = {"truth": "copies", "once": "once"}
    written(copy, "once", "digits_once", 820, **common)
    written(copy, "repeated", "digits_repeated", 1000, **common, retrieval=study)
    copy.call("snakemake", "--quiet", "all", "--", "retrieval_repeated")
    home = copy.folder / "results/repeated/retrieval"
    table = tables.load_table(home / "retrieval.csv")
    copies = {f"{c} copies" for c in digits_repeated.COPIES} | {"1 copy"}
    assert set(table.group) == copies
    credit = tables.load_table(home / "credit.csv").set_index(["method", "group"])
    # pixels know nothing of the model: all copies get as much as the single image
    for count in digits_repeated.COPIES:
        assert credit.loc[("pixel_cosine", f"{count} copies"), "credit"] == pytest.approx(count)
    assert credit.loc[("pixel_cosine", "1 copy"), "credit"] == pytest.approx(1)
    assert np.isfinite(credit.loc["das", "credit"]).all()


def test_a_child_judges_scores_along_the_paths_of_samples(copy):
    text = "title: paths\nparent: smoke\nmethods: {dtrak: {}, das: {}}\ntrajectory: {places: 3}\n"
    (copy.folder / "config/experiments/paths.yaml").write_text(text)
    before = copy.hashes("smoke")
    copy.call("snakemake", "--quiet", "all", "--", "trajectory_paths")
    assert copy.hashes("smoke") == before
    home = copy.folder / "results/paths"
    assert not (home / "models").exists()
    table = tables.load_table(home / "trajectory/lds.csv").set_index(["target", "method"])
    assert set(table.index.get_level_values(0)) == {"trajectory", "loss", "displacement"}
    summary = tables.load_table(copy.folder / "results/smoke/lds/summary.csv")
    for target in ("loss", "displacement"):  # the same numbers as those of the main table
        row = summary[(summary.method == "das") & (summary.target == target) & summary.own]
        row = row[(row.queries == "gen") & (row.selection == "held_out")]
        assert table.loc[(target, "das"), "lds"] == pytest.approx(row.lds.item(), abs=1e-6)
        assert table.loc[(target, "das"), "lo"] == pytest.approx(row.lo.item(), abs=1e-5)
    places = tables.load_table(home / "trajectory/places.csv")
    assert len(places) == 3
    assert (places.displacement > 0).all()
