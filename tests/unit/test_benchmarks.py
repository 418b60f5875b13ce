"""The harness of ``./run bench``: turns, tables, records, and the released approach it times."""

import json
import time

import numpy as np
import pytest
import torch
from benchmarks import (
    device,
    evaluation,
    features,
    goals,
    harness,
    machine,
    orchestration,
    page,
    paper_scale,
    problems,
    released,
    scaling,
    timing,
)

from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.gradients.projection import Projection

RESULTS = {
    "features_vs_training_step_digits": 0.9,
    "features_vs_released_digits": 4.0,
    "noop_seconds": 6.0,
}


def summary(value):
    return {"median": value, "min": value, "max": value}


def test_turns_are_interleaved_after_one_that_does_not_count():
    called = []
    turns = timing.interleaved({name: lambda n=name: called.append(n) for name in "ab"}, 3)
    assert called == list("abababab")
    assert {name: len(seconds) for name, seconds in turns.items()} == {"a": 3, "b": 3}
    called.clear()
    turns = timing.interleaved({"a": lambda: called.append("a")}, 2, warm=False)
    assert (called, len(turns["a"])) == (["a", "a"], 2)


def test_ratios_are_taken_within_a_turn():
    """A machine that slows down threefold changes no ratio."""
    assert timing.ratio([2, 6, 4], [1, 3, 2]) == summary(2)
    assert timing.summary([3, 1, 2]) == {"median": 2, "min": 1, "max": 3}


@pytest.fixture(scope="module")
def small():
    made = problems.digits(3)
    return problems.Problem(made.name, made.unet.double(), made.process, made.images, 2)


def test_noised_images_are_those_of_the_features(small):
    """Every image at every timestep; the last image fills a pass with both of its timesteps."""
    seen = list(small.noised(2))
    assert [t.tolist() for _, t, _ in seen] == [[250, 250], [750, 750], [250, 750]]
    assert torch.equal(seen[0][2][0], seen[2][2][0])  # common noise


def test_the_released_engine_projects_full_gradients_with_signs():
    problem = problems.digits(3)
    wide, narrow = released.engine(problem, 2)(), released.engine(problem, 2, 64)()
    own = [m for m in problem.unet.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert wide.shape == (3, sum(w.numel() for m in own for w in m.parameters()))
    assert (np.linalg.norm(wide, axis=1) <= 1 + 1e-5).all()  # means of unit gradients
    signs = Projection("rademacher", wide.shape[1], 64, problems.AXES).matrix()
    np.testing.assert_allclose(narrow, wide @ signs, rtol=1e-3, atol=1e-5)


def test_the_flat_numbers_are_those_of_the_default_engine(small):
    assert features.ours(small, 1, 1024)()[0].shape == (3, 1024)
    engine = small.extractor(problems.feature_settings(1, 1024))
    assert engine.project.width <= 1024  # nothing to fold
    timed = {"engines": {"T=10": {"ratio": summary(0.7), "own_ratio": summary(0.9)}}}
    timed["released"] = {
        t: {"speedup": summary(s), "own_speedup": summary(1.0)}
        for t, s in (("T=10", 6), ("T=1", 9))
    }
    assert features.flat({"1": dict.fromkeys(problems.PROBLEMS, timed)}) == {
        "features_vs_training_step_digits": 0.7,
        "features_vs_training_step_fashion": 0.7,
        "features_vs_released_digits": 6,
        "features_vs_released_fashion": 6,
        "features_vs_released_t1": 9,
    }


def test_the_dense_product_multiplies_with_signs():
    identity = torch.eye(5)
    block = released.dense_product(identity, 4)()
    assert block.shape == (5, 4)
    assert set(block.unique().tolist()) == {-1.0, 1.0}


def test_slope_of_a_power():
    x = [1, 2, 4, 8]
    assert scaling.slope(x, [3 * v**1.5 for v in x]) == pytest.approx(1.5)
    assert scaling.slope(x, [7, 7, 7, 7]) == pytest.approx(0)


def test_peak_memory_grows_with_what_is_held():
    before = scaling.peak_mb()
    held = np.ones(40_000_000)
    assert scaling.peak_mb() > before + 100
    assert held.nbytes == 320_000_000


def test_operations_of_a_single_convolution():
    """A training step is a forward pass and the gradient of the weights; the input needs none."""

    class Single(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(2, 3, 3, padding=1, bias=False)

        def forward(self, x, t):
            made = self.layer(x)
            return type("Output", (), {"sample": made})

    found = paper_scale.operations(Single(), (2, 5, 7))
    forward = 2 * (2 * 9) * 3 * 5 * 7  # a multiply-add is two, 18 inputs an output
    assert found == {"parameters": 54, "forward": forward, "training_step": 2 * forward}


def test_a_prediction_is_operations_over_speed():
    operations = {
        "fashion": {"parameters": 10, "training_step": 100.0},
        "cifar10": {"parameters": 1000, "training_step": 5000.0},
    }
    measured = {
        "engines": {"T=10": {"ms": {"training_step": summary(1000.0)}, "ratio": summary(0.5)}},
        "released": {"T=10": {"ms": {"gradients": summary(20_000.0), "product": summary(500.0)}}},
    }
    found = paper_scale.predicted(operations, measured)
    assert found["operations_per_second"] == 100
    assert found["training_step_seconds"] == 50  # 50 times the operations, one second there
    days = (50_000 + 2000) * 100 * 50 / 86_400
    assert found["ours_days"] == pytest.approx(0.5 * days)
    assert found["released_gradients_days"] == pytest.approx(2 * days)
    assert found["released_product_days"] == pytest.approx(52_000 * 50 / 86_400)


def test_where_a_run_goes(tmp_path, monkeypatch):
    """Two cores: 100 s of loops less 2 x 5 s of start-up, 20 s of others, a pause left out."""
    manifest = {
        "a": {"rule": "train_subsets_eval_toy", "log": ["a"]},
        "b": {"rule": "measure_outputs", "log": ["b"]},
        "c": {"rule": "score", "log": ["c"]},
    }
    runtimes = {"a": [0, 60, 1.0], "b": [20, 60, 1.0], "c": [1000, 1020, 1.0]}
    (tmp_path / "provenance.json").write_text(json.dumps(manifest))
    (tmp_path / "runtimes.json").write_text(json.dumps(runtimes))
    asked = []
    monkeypatch.setattr(orchestration, "starting", lambda script: asked.append(script) or 5.0)
    found = orchestration.recorded_run(tmp_path, planning=10, cores=2)
    assert sorted(asked) == ["measure_outputs", "train_subsets"]
    assert found["wall_seconds"] == 10 + 60 + 20
    assert found["pauses"] == 1
    assert found["core_seconds"] == {
        "loops": 90,
        "starting": 10,
        "other_jobs": 20,
        "idle": 180 - 120,
    }
    assert found["in_loops"] == pytest.approx(90 / 180)


def test_loops_are_what_their_own_processes_took(tmp_path, monkeypatch):
    """The job took 60 s, its process 50, 5 to start; one without a record counts whole."""
    manifest = {
        "a": {"rule": "train_base", "log": ["logs/toy/a.log"]},
        "b": {"rule": "train_base", "log": ["logs/toy/b.log"]},
    }
    (tmp_path / "provenance.json").write_text(json.dumps(manifest))
    (tmp_path / "runtimes.json").write_text(json.dumps({"a": [0, 60, 1], "b": [0, 20, 1]}))
    (tmp_path / "logs/benchmark/toy").mkdir(parents=True)
    (tmp_path / "logs/benchmark/toy/a.tsv").write_text("s\tcpu_time\n50.0\t40.0\n")
    monkeypatch.setattr(orchestration, "starting", lambda script: 5.0)
    monkeypatch.setattr(orchestration, "ROOT", tmp_path)
    used = orchestration.recorded_run(tmp_path, cores=2)["core_seconds"]
    assert used == {"loops": 45 + 15, "starting": 20, "other_jobs": 0, "idle": 40}


def test_memory_is_watched_while_it_is_held():
    with scaling.Watch() as watch:
        held = np.ones(20_000_000)
        time.sleep(0.1)
        del held
    assert watch.most > scaling.held_mb() + 100


def test_short_gaps_belong_to_the_run():
    assert orchestration._wall([(0, 10), (5, 20), (30, 40)]) == (40, 0)
    assert orchestration._wall([(0, 10), (100, 110)]) == (20, 1)


def test_every_loop_is_a_script():
    scripts = {file.stem for file in (machine.ROOT / "scripts").glob("*.py")}
    assert set(orchestration.LOOPS) <= scripts
    assert orchestration._script("train_removal_methods_digits") == "train_removal"
    assert orchestration._script("evaluate_lds") is None


def test_the_shard_is_trained_and_measured_as_the_rules_say(tmp_path):
    experiment = config.load("digits", machine.ROOT)
    made = evaluation._commands(experiment, tmp_path, tmp_path, 1, quick=False)
    train, measure = (
        json.loads(words[words.index("--settings") + 1])
        for words in (made["train_one"], made["measure"])
    )
    assert train["models_per_job"] == 1
    assert train["training"]["epochs"] == experiment["training"]["epochs"]
    assert "checkpoints" not in train["training"]
    assert measure["models_per_job"] == experiment["subsets"]["models_per_job"]
    assert measure["grid"]["count"] == experiment["outputs"]["timesteps"]
    assert len(measure["shards"]) == experiment["outputs"]["shards_per_job"]


def test_goals_are_judged_by_their_side():
    assert goals.goals_met(RESULTS) == {
        "features_vs_training_step_digits": True,
        "features_vs_released_digits": False,
        "noop_seconds": False,
    }
    assert set(goals.GOALS) == set(harness.KEYS)


def test_scores_at_full_size_stay_within_their_budget():
    details = harness.load(harness.ROOT / "benchmarks", "details")
    (found,) = details["score_memory"]["threads"].values()
    assert (found["n"], found["q"], found["p"]) == (50_000, 2_000, 4096)
    peaks = [found[f"{part}_peak_mb"] / 1e3 for part in ("decompose", "score", "path")]
    assert max(peaks) <= page.BUDGET_GB
    shown = (harness.ROOT / "docs/performance.md").read_text()
    assert f"budget is {page.BUDGET_GB:g} GB" in shown
    assert all(f" | {peak:.1f} |\n" in shown for peak in peaks)


def test_the_page_changes_between_its_markers_alone(tmp_path):
    details = {"paper_scale": {"machine": machine.describe(), "threads": {"1": operations()}}}
    file = tmp_path / "performance.md"
    file.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.write(tmp_path, RESULTS, details)
    once = file.read_text()
    page.write(tmp_path, RESULTS, details)
    assert file.read_text() == once
    assert once.startswith(f"before\n{page.BEGIN}\n| quantity |")
    assert once.endswith(f"{page.END}\nafter\n")
    assert "old" not in once
    assert (
        "| features: released / ours, digits, T = 10 | 4.00 | at least 5.00 | **not met** |" in once
    )
    assert "| digits | 5 | 0.0 | 0.0 |" in once
    assert {f.suffix for f in tmp_path.glob("performance.*")} == {".md", ".svg", ".png"}
    file.write_text("no markers\n")
    with pytest.raises(UserError, match="lacks the lines"):
        page.write(tmp_path, RESULTS, details)


def test_the_table_shows_what_two_threads_gave():
    details = {
        "damping_path": {"threads": {n: {"speedup_per_transform": 3.0 * int(n)} for n in "12"}},
        "orchestration": {"threads": {"1": {"plan": {"seconds": summary(3.0)}}}},
    }
    results = {"damping_path_vs_released": 3.0, "plan_1000_jobs_seconds": 3.0}
    rows = goals.table(results, details).splitlines()[2:]
    assert [row.split(" | ")[1::3] for row in rows] == [["3.00", "6.00 |"], ["3.00", " |"]]


def operations():
    return {"operations": {"digits": {"parameters": 5, "forward": 2.0, "training_step": 6.0}}}


def test_the_page_of_the_repository_has_its_markers():
    text = (machine.ROOT / "docs/performance.md").read_text()
    assert text.index(page.BEGIN) < text.index(page.END)


def test_parts_are_merged(tmp_path):
    """A part that is measured again replaces its own numbers and no others."""
    one = {"plan": {"seconds": summary(3.0)}}
    harness.keep(tmp_path, "orchestration", {"cores": 2}, {"1": one})
    harness.keep(tmp_path, "damping_path", {}, {"1": {"speedup_per_transform": 7.0}})
    harness.keep(tmp_path, "damping_path", {}, {"1": {"speedup_per_transform": 6.0}})
    assert json.loads((tmp_path / "results.json").read_text()) == {
        "damping_path_vs_released": 6.0,
        "plan_1000_jobs_seconds": 3.0,
    }
    assert set(harness.load(tmp_path, "details")) == {"orchestration", "damping_path"}


def test_a_part_that_fails_leaves_the_others(tmp_path, monkeypatch, capsys):
    def apart(name, *_):
        if name == "evaluation":
            raise UserError("no results")
        return {"operations": {}}

    monkeypatch.setattr(harness, "_apart", apart)
    failed = harness.run(["evaluation", "paper_scale"], tmp_path, 1, quick=True)
    assert failed == {"evaluation": "no results"}
    assert set(harness.load(tmp_path, "details")) == {"paper_scale"}
    assert "failed: no results" in capsys.readouterr().out


def test_stacked_models_have_the_gradients_of_single_ones():
    """Convolutions by patches and batched products, at the size of digits."""
    networks = [problems.digits(3).unet.double() for _ in range(3)]
    for number, network in enumerate(networks):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.01 * (number + 1))
    batch = device._batch(problems.digits(3), torch.device("cpu"))
    x_t, t, target = (part.double() if part.is_floating_point() else part for part in batch)
    together = device.stacked(networks, x_t, t, target)
    for number, network in enumerate(networks):
        alone = device.gradients(network, x_t, t, target)
        for (name, _), g in zip(network.named_parameters(), alone, strict=True):
            torch.testing.assert_close(together[name][number], g, rtol=1e-8, atol=1e-12)
    assert torch.nn.Conv2d.forward.__module__ == "torch.nn.modules.conv"


def test_the_device_part_runs_small_and_says_that_no_gpu_was_measured(monkeypatch):
    monkeypatch.setenv("DAS_DEVICE", "cpu")
    found = device.measure(1, 1, quick=True)
    assert found["gpu"] is None
    assert found["agreement"]["worst"] <= device.TOLERANCE
    assert {"float32", "bfloat16"} <= set(found["training_step"])
    text = page._device({"1": found})
    assert "No GPU was measured" in text
    assert text.count("| tiny models, models/hour |") == 2
    measured = {**found, "gpu": "NVIDIA H200", "agreement": {"worst": 1.0, "tolerance": 1e-3}}
    assert "Measured on NVIDIA H200. " in page._device({"1": measured})
    assert "**outside**" in page._device({"1": measured})
    assert "device" in harness.NAMED


@pytest.mark.slow
def test_the_index_part_runs_small_and_has_its_section():
    from benchmarks import index

    found = index.measure(1, 1, quick=True)
    assert index.flat({"1": found}).keys() <= set(harness.KEYS)
    peers = found["peers"]
    assert {index.OURS, "dattri", "trak"} >= set(peers) >= {index.OURS}
    for each in peers.values():
        assert each["ms"] > 0
        assert each["peak_mb"] >= each["before_mb"] > 0
    section = index.section(found)
    assert all(f"\n| {name} | " in section for name in peers)
