"""``./run judge``: scores of one's own among those of an experiment."""

import numpy as np
import pandas as pd
import pytest

from dasbench.commands import judge
from dasbench.errors import UserError
from dasbench.evaluation import judging
from made_up_judge import judge_of, scores_of


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Call the command where ``made_up`` can be judged; what it printed."""
    judge_of().save(tmp_path / "made_up.npz")
    monkeypatch.setattr(judge, "FOLDER", tmp_path)
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", scores_of(1).astype(np.float32))
    np.save("words.npy", np.full((30, 8), "high"))

    def call(*words):
        judge.main([*words, "--on", "made_up"])
        return capsys.readouterr().out

    return call


def test_scores_stand_among_those_of_the_experiment(run):
    told = run("mine.npy", "--gen", "mine.npy", "--transform", "square", "--csv", "out.csv")
    assert "made up: 12 subsets, 2 retrained models of each" in told
    held_out, generated = told.split("transform square, as given")[1:]
    wanted, _ = judging.of_method(judge_of(), "mine", "val")
    wanted = wanted[wanted.own & (wanted.target == "loss")].iloc[0]
    assert (
        f"LDS {100 * wanted.lds:.1f} ({100 * wanted.lo:.1f} to {100 * wanted.hi:.1f})" in held_out
    )
    assert "minus floor: " in generated
    places = [line.split()[2:] for line in held_out.splitlines() if line.startswith("    ")]
    assert sorted(name for name, *_ in places) == ["class_match", "floor", "mine", "yours"]
    assert ["yours", "<"] in places
    table = pd.read_csv("out.csv")
    assert table.queries.tolist() == ["val", "gen"]
    assert table.lds[0] == pytest.approx(wanted.lds)


def test_tuning_data_choose_the_transform(run):
    told = run("mine.npy")
    tuned = judging.tuning(judge_of(), scores_of(1), "val")
    assert f"transform {tuned.idxmax()}, the best on tuning data" in told
    assert f"square {100 * tuned['square']:.1f}" in told
    alone = run("mine.npy", "--tuning")
    assert "LDS on tuning data" in alone
    assert "minus" not in alone


def test_the_images_are_there_to_compute_scores_from(run):
    told = run("--inputs", "inputs")
    assert "./run -- base_made_up" in told
    assert np.load("inputs/train_images.npy").shape == (30, 4, 4, 1)
    assert np.load("inputs/queries_gen.npy").shape == (8, 1, 4, 4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "there are no scores; give FILE.npy, --gen FILE.npy, or --inputs DIR"),
        (("absent.npy",), "absent.npy is missing"),
        (("words.npy",), "words.npy has dtype <U4, expected numbers; save it as float32"),
        (("mine.npy", "--name", "mine"), "mine is a method of made_up; choose another --name"),
    ],
)
def test_impossible_words_are_refused(run, words, told):
    with pytest.raises(UserError, match=told):
        run(*words)


def test_an_experiment_without_held_out_images_has_no_such_scores(run, tmp_path):
    judge_of(kinds=("gen",)).save(tmp_path / "made_up.npz")
    with pytest.raises(UserError, match="made_up has no held-out images; leave their scores out"):
        run("mine.npy")
    assert "generated images: LDS on tuning data" in run("--gen", "mine.npy", "--tuning")
