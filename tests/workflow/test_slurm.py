"""``profiles/slurm`` from end to end; sbatch, sacct and srun are stand-ins that run the jobs."""

import json
import os

import pytest

from clones import ROOT
from dasbench.tables import load_table

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

COMMANDS = ("sbatch", "sacct", "squeue", "scancel", "srun", "sinfo", "scontrol")
CHILD = "title: on a cluster\nparent: smoke\nmethods: {pixel_cosine: {}, class_match: {}}\n"
RESIDUALS = "results/smoke/residuals/scalar.npy"
# a cluster would be asked less often
PATIENCE = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The stand-ins on PATH; returns the folder of their state."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "state").mkdir()
    for command in COMMANDS:
        (tmp_path / "bin" / command).symlink_to(ROOT / "tests/shims/slurm")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SHIM_FOLDER", str(tmp_path / "state"))

    return tmp_path / "state"


def submitted(state):
    """Rule -> the calls of sbatch for its jobs."""
    calls = [json.loads(line) for line in (state / "calls.jsonl").read_text().splitlines()]
    found = {}
    for call in (c for c in calls if c[0] == "sbatch"):
        rule = call[call.index("--comment") + 1].removeprefix("rule_").split("_wildcards_")[0]
        found.setdefault(rule, []).append(call)
    return found


def slurm(clone, *words, flags=(), **kwargs):
    profile = ["--workflow-profile", "profiles/slurm", "--jobs", "2", *PATIENCE, *flags]
    return clone.run(*profile, "--", *words, **kwargs)


def number(call, flag):
    return int(call[call.index(flag) + 1])


def test_jobs_run_on_the_cluster_and_leave_nothing_to_do(made, copy, cluster):
    (copy.folder / RESIDUALS).unlink()
    (copy.folder / "config/experiments/child.yaml").write_text(CHILD)
    shown = slurm(copy, RESIDUALS, "lds_child").stderr
    assert "features: 1 of 1 job done" in shown
    calls = submitted(cluster)
    # the steps of two methods are one job; targets are no jobs
    (group,) = set(calls) - {"compute_residuals", "summarise_lds", "tabulate_lds"}
    assert group == "methods_evaluate_lds_score_select_damping"
    for rule, (call,) in calls.items():
        assert number(call, "--mem") >= 1000
        assert number(call, "-t") >= 10
        assert ("--gpus=1" in call) == (rule == "compute_residuals"), rule
    # as if they had run here: same bytes, costs, nothing left to do
    assert copy.hashes() == made.hashes()
    assert copy.plan() == {}
    assert not {"select_damping", "evaluate_lds", "summarise_lds"} & set(copy.plan("child"))
    copy.run("verify", "smoke", "child")
    for name in ("smoke", "child"):
        costs = load_table(copy.folder / f"results/{name}/costs.csv")
        assert (costs.seconds >= 0).all()
        assert costs[costs.rule.isin(["compute_residuals", "evaluate_lds"])].seconds.min() > 0


def test_training_runs_on_the_cluster_and_a_second_attempt_asks_for_twice_as_much(
    made, copy, cluster
):
    home = "results/smoke/models"
    (shard, *_) = sorted((copy.folder / home / "eval").rglob("*.safetensors"))
    trained = [f"{home}/base/unet/{shard.name}", str(shard.relative_to(copy.folder))]
    for path in trained:
        (copy.folder / path).unlink()
    (cluster / "fail-once").write_text("train_subsets_eval_smoke")
    slurm(copy, *trained)
    calls = submitted(cluster)
    assert set(calls) == {"train_base_smoke", "train_subsets_eval_smoke"}
    (base,), (first, second) = calls["train_base_smoke"], calls["train_subsets_eval_smoke"]
    assert all("--gpus=1" in call for call in (base, first, second))
    assert all("--cpus-per-task=1" in call for call in (base, first, second))
    for flag in ("--mem", "-t"):
        assert number(second, flag) == 2 * number(first, flag) > 0
    assert copy.hashes() == made.hashes()
    assert copy.plan() == {}


def test_a_job_that_fails_on_the_cluster_shows_its_log(copy, cluster):
    images = "results/smoke/examples/train.npz"
    (copy.folder / images).write_bytes(b"damaged")
    failed = slurm(copy, "base_smoke", check=False, flags=["--retries", "0"])
    assert failed.returncode
    assert "FAILED train_base_smoke" in failed.stderr
    assert f"{images} is damaged" in failed.stderr
    assert "try again: ./run --workflow-profile profiles/slurm" in failed.stderr
    assert "0 of 1 jobs done, 1 failed" in failed.stderr
