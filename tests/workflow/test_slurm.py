"""``profiles/slurm`` from end to end; Slurm's commands are stand-ins that run the jobs here.

``DASBENCH_WRITE_DOCS=1 ./run test tests/workflow/test_slurm.py`` writes the transcript in
docs/scaling.md.
"""

import json
import os

import pytest
import yaml
from transcript import Transcript, compare

from campaign import small
from clones import ROOT, checkout
from dasbench.core.tables import load_table
from dasbench.sharing.launch import NETWORKS

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PAGE = ROOT / "docs/scaling.md"
COMMANDS = ("sbatch", "sacct", "squeue", "scancel", "srun", "sinfo", "scontrol")
STEPS = {"select_damping", "score", "evaluate_lds"}  # which profiles/slurm puts into one job
GROUP = "methods_evaluate_lds_score_select_damping"
# a cluster would be asked less often
PATIENCE = ["--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "5"]
RATE = "profiles/slurm/config.yaml"
PROFILE = ["--workflow-profile", "profiles/slurm", "--jobs", "4", *PATIENCE]


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


def called(state):
    """Every call of a stand-in, as a list of words."""
    return [json.loads(line) for line in (state / "calls.jsonl").read_text().splitlines()]


def asked_for_states(state):
    """The commands that were asked how the jobs of the run are."""
    return {call[0] for call in called(state) if "--name" in call}


def submitted(state):
    """Rule -> the calls of sbatch for its jobs."""
    found = {}
    for call in (c for c in called(state) if c[0] == "sbatch"):
        rule = call[call.index("--comment") + 1].removeprefix("rule_").split("_wildcards_")[0]
        found.setdefault(rule, []).append(call)
    return found


def hurry(clone):
    """Snakemake ends only when the timespan does in which it counts the jobs submitted."""
    clone.edit(RATE, "100/1m", "100/1s")


def slurm(clone, *words, flags=(), **kwargs):
    hurry(clone)
    return clone.run(*PROFILE, *flags, "--", *words, **kwargs)


def number(call, flag):
    return int(call[call.index(flag) + 1])


def experiment():
    """A method without features, one with, and a control; no removal: half a minute of work."""
    data = yaml.safe_load(small())
    del data["removal"]
    data |= {
        "title": "small, on a cluster",
        "methods": {"random": {}, "pixel_cosine": {}, "das": {}},
        "comparisons": [{"a": "das", "b": "random"}],
    }
    return yaml.safe_dump(data, sort_keys=False)


def told(clone, calls):
    """What was typed and seen, and what ``sbatch`` was asked for, for the page."""
    transcript = Transcript({clone.folder: "~/das-bench"})
    transcript.add("login", clone.log)
    transcript.say(f"sbatch was called {sum(map(len, calls.values()))} times, among them:")
    for rule in ("train_base_small", "compute_features", GROUP):
        (call, *_) = calls[rule]
        words = [word for word in call if word.startswith(("--gpus", "--cpus-per-task"))]
        limits = f"--mem {number(call, '--mem')} -t {number(call, '-t')}"
        transcript.blocks.append(f"sbatch … {rule} … {limits} {' '.join(words)}")
    transcript.say(f"{len(clone.hashes('small'))} files, with the bytes of a run on one machine")
    return transcript.text()


def test_an_experiment_from_nothing_is_the_one_that_one_machine_makes(tmp_path, cluster):
    """Every job of it is a job of the cluster, but the target and the three steps of methods."""
    places = (tmp_path / name for name in ("alone", "spread"))
    alone, spread = (checkout(place, experiments=["smoke"]) for place in places)
    for clone in (alone, spread):
        (clone.folder / "config/experiments/small.yaml").write_text(experiment())
    alone.run("small")
    hurry(spread)
    planned = spread.plan("small")
    spread.log.clear()
    spread.run("small", *PROFILE)
    calls = submitted(cluster)
    assert {rule: len(of) for rule, of in calls.items()} == {
        **{rule: jobs for rule, jobs in planned.items() if rule not in STEPS | {"small"}},
        GROUP: 1,
    }
    for rule, of in calls.items():
        for call in of:
            assert number(call, "--mem") >= 1000
            assert number(call, "-t") >= 10
            assert ("--gpus=1" in call) == rule.startswith(NETWORKS), rule
    assert asked_for_states(cluster) == {"sacct"}
    # as if they had run here: same bytes, costs, nothing left to do
    plan = spread.run("small", "-n")
    assert "Nothing to be done" in plan.stdout + plan.stderr
    spread.run("verify", "small")
    assert spread.hashes("small") == alone.hashes("small")
    assert len(spread.hashes("small")) > 100
    costs = load_table(spread.folder / "results/small/costs.csv").set_index("rule").seconds
    assert (costs >= 0).all()
    assert costs[["train_base_small", "compute_features", "evaluate_lds"]].min() > 0
    compare(PAGE, told(spread, calls))


def test_training_runs_on_the_cluster_and_a_second_attempt_asks_for_twice_as_much(
    made, copy, cluster
):
    """Here the states come from squeue; a cluster without accounting has nothing else."""
    home = "results/smoke/models"
    (shard, *_) = sorted((copy.folder / home / "eval").rglob("*.safetensors"))
    trained = [f"{home}/base/unet/{shard.name}", str(shard.relative_to(copy.folder))]
    for path in trained:
        (copy.folder / path).unlink()
    (cluster / "fail-once").write_text("train_subsets_eval_smoke")
    slurm(copy, *trained, flags=["--slurm-status-command", "squeue"])
    assert asked_for_states(cluster) == {"squeue"}
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
