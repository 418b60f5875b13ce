"""``./run bench calibration`` at its smallest, and the page that it writes."""

import copy

import numpy as np
import pytest
from benchmarks import calibration, evidence_page, harness, machine

from dasbench.attribution.leave_one_out import Blind
from dasbench.core import artifacts
from dasbench.errors import UserError
from dasbench.experiments import config
from experiment_files import make_repository


@pytest.fixture(scope="module")
def measured():
    """Two half-models of a second; a third is trained on copies."""
    return calibration.measure(1, 1, quick=True)


def test_everything_is_counted(measured):
    assert (measured["training"], measured["unseen"]) == (60, 60)
    assert set(measured["scores"]) == set(calibration.SCORES)
    for score in measured["scores"].values():
        assert len(score["rates"]) == (4 + 2) * 6  # of generated queries, unseen candidates alone
        assert all(0 <= row["lo"] <= row["rate"] <= row["hi"] <= 1 for row in score["rates"])
        assert 0.4 < score["auc"]["auc"] < 0.6
        assert sum(score["p"]["training"]) == pytest.approx(1)
    for scores in measured["planted"].values():
        assert scores["match"]["found"] == 1  # copies are the nearest under any model


def test_the_page_changes_between_its_markers_alone(measured, tmp_path):
    file = tmp_path / "evidence.md"
    file.write_text(f"before\n{evidence_page.BEGIN}\nold\n{evidence_page.END}\nafter\n")
    part = {"machine": machine.describe(), "threads": {"1": measured}}
    evidence_page.write(tmp_path, part)
    once = file.read_text(), (tmp_path / "evidence.svg").read_bytes()
    evidence_page.write(tmp_path, part)
    assert (file.read_text(), (tmp_path / "evidence.svg").read_bytes()) == once
    assert once[0].startswith(f"before\n{evidence_page.BEGIN}\n2 half-models with 60")
    assert once[0].endswith(f"{evidence_page.END}\nafter\n")
    assert "\nold\n" not in once[0]
    assert once[0].count("| `match` |") == 2 * (4 + 2) + 1 + 2
    file.write_text("no markers\n")
    with pytest.raises(UserError, match="lacks the lines"):
        evidence_page.write(tmp_path, part)


def test_a_calibration_that_fails_or_is_in_doubt_is_said(measured):
    good = copy.deepcopy(measured)
    for row in good["scores"]["match"]["rates"]:
        row |= {"rate": 0.05, "lo": 0.04, "expected_lo": 0.04, "expected_hi": 0.06}
    good["scores"]["match"]["auc"]["auc"] = 0.481
    assert "Calibration of `match` holds at the rate of 5 %." in evidence_page.verdict(good)
    (row,) = [
        row
        for row in good["scores"]["match"]["rates"]
        if (row["nominal"], row["candidates"], row["decoys"]) == (0.05, "training", "pooled")
        and row["queries"] == "held-out"
    ]
    row["rate"] = 0.061
    expected = (
        "Calibration of `match` is **in doubt**: training images with pooled decoys, held-out "
        "queries have a rate of 0.061, above the binomial interval."
    )
    assert expected in evidence_page.verdict(good)
    row["lo"], good["scores"]["match"]["auc"]["auc"] = 0.051, 0.47
    expected = (
        "Calibration of `match` **fails**: training images with pooled decoys, held-out queries "
        "have a rate above 0.05; the AUC lies outside 0.48 to 0.52."
    )
    assert expected in evidence_page.verdict(good)
    row |= {"rate": 0.02, "lo": 0.01}
    assert "it is conservative, below the binomial interval, for" in evidence_page.verdict(good)


def test_planted_copies_are_found_only_with_all_their_q_values():
    """Of two queries, the copies of one stand out; of the other, one copy does not."""
    rng = np.random.default_rng(0)
    training, decoys = rng.random((50, 3)), rng.random((60, 3))
    training[:5, 1] = training[5:10, 2] = 2.0
    training[7, 2] = 0.0
    training[30, 1] = 3.0
    problem = calibration.Problem(None, {}, None, None, 1, 0, 0, None, 0)
    found = calibration._found(problem, "match", Blind(training, decoys.repeat(5, axis=0)))
    assert found["found"] == 0.5
    assert found["largest_q"] > 0.5
    assert found["others"] >= 0.5


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with the experiment smoke, two models in a shard, taken for digits."""
    root = make_repository(tmp_path / "root")
    file = root / config.FOLDER / "smoke.yaml"
    file.write_text(file.read_text().replace("models_per_job: 4", "models_per_job: 2"))
    monkeypatch.setattr(calibration, "ROOT", root)
    monkeypatch.setattr(calibration, "EXPERIMENT", "smoke")
    return root


def test_half_models_are_read_as_the_workflow_writes_them(repository):
    experiment = config.load("smoke", repository)
    subsets, home = experiment["subsets"], repository / "results/smoke"
    each, rng, masks = subsets["models_per_job"], np.random.default_rng(0), []
    model = calibration._model(experiment)
    for m in range(subsets["tune"]["models"]):
        shard = home / f"models/tune/seed-0/shard-{m // each:03d}"
        model.save_member(shard / f"{m % each:02d}", *model.build((1, 8, 8), ("tests", m)))
        masks.append(rng.permutation(40) < 20)
        if m % each == each - 1:
            artifacts.save_array(shard / "masks.npy", np.stack(masks[-each:]))
    for name, n in (("train", 40), ("val", 200)):
        images = rng.integers(0, 255, (n, 8, 8, 1))
        artifacts.save_examples(home / f"examples/{name}.npz", images, np.zeros(n), np.arange(n))
    problem = calibration._digits()
    assert problem.count == len(masks) == 2 * each
    asked = experiment["queries"]
    assert problem.held_out == min(16, asked["tuning"])  # as many as an index pools
    assert len(problem.queries) == problem.held_out + asked["val"] - asked["tuning"]
    for m in (0, len(masks) - 1):
        network, _, half = problem.halves(m)
        np.testing.assert_array_equal(half, masks[m])
        expected, _ = model.build((1, 8, 8), ("tests", m))
        for a, b in zip(network.parameters(), expected.parameters(), strict=True):
            assert (a == b).all()


def test_half_models_that_are_missing_are_named_with_the_command(repository):
    with pytest.raises(UserError, match="lacks half-models; make them with `./run -- tune_smoke`"):
        calibration._digits()


def test_it_runs_only_if_it_is_named():
    assert "calibration" in harness.NAMED
    assert calibration.flat({}) == {}


def test_the_page_of_the_repository_has_its_markers():
    text = (machine.ROOT / "docs/evidence.md").read_text()
    assert text.index(evidence_page.BEGIN) < text.index(evidence_page.END)
