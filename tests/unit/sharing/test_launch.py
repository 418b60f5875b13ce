"""Devices are given out one by one; several processes are started, and seen, or refused."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from dasbench.errors import UserError
from dasbench.experiments.config import load
from dasbench.planning import rates, rule_costs
from dasbench.planning.job_cost import on_device
from dasbench.planning.workload import Workload
from dasbench.sharing import launch
from experiment_files import ROOT

TELL = """\
import json, os, sys, time
print(json.dumps([os.environ.get("CUDA_VISIBLE_DEVICES"), sys.argv[1:]]), flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.fixture
def start(tmp_path):
    """Start a stand-in for a script through the launcher."""
    (tmp_path / "scripts").mkdir()
    for name in ("measure_outputs", "train_base", "score"):
        (tmp_path / f"scripts/{name}.py").write_text(TELL)
    started = []

    def run(name, *words, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "dasbench.sharing.launch", f"scripts/{name}.py", *words],
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
            | {"PYTHONPATH": str(ROOT / "src"), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_each_job_has_a_device_of_its_own(start):
    first, second = (start("measure_outputs", "60", DAS_DEVICES="0,3") for _ in range(2))
    seen = [json.loads(p.stdout.readline())[0] for p in (first, second)]
    assert sorted(seen) == ["0", "3"]
    third = start("measure_outputs", "0", DAS_DEVICES="0,3")
    time.sleep(1.0)
    assert third.poll() is None  # it waits
    first.kill()  # as a killed job does, without tidying up
    assert json.loads(third.stdout.readline())[0] == seen[0]
    assert third.wait(10) == 0


def test_what_runs_no_network_needs_no_device(start):
    busy = start("measure_outputs", "60", DAS_DEVICES="0")
    busy.stdout.readline()
    score = start("score", "0", "a b", DAS_DEVICES="0")
    assert json.loads(score.stdout.readline()) == [None, ["0", "a b"]]


def test_no_configuration_is_no_change(start):
    plain = start("train_base", "0", "x")
    assert json.loads(plain.stdout.readline()) == [None, ["0", "x"]]
    assert plain.wait(10) == 0


def test_processes_need_as_many_devices(start):
    refused = start("train_base", "0", DAS_DEVICES="0,1", DAS_PROCESSES="3")
    assert "3 processes need as many devices" in refused.communicate(timeout=20)[1]
    assert refused.returncode == 1


@pytest.mark.parametrize("name", launch.NETWORKS)
def test_the_base_model_and_the_features_are_split_and_nothing_else(name):
    script = f"scripts/{name}.py"
    made = launch.command(script, ["--x"], 4)
    if name not in {"train_base", "compute_features"}:
        assert made == [sys.executable, script, "--x"]
        return
    assert "--nproc-per-node=4" in made
    assert made[-5:] == ["dasbench.sharing.launch", "--worker", "4", script, "--x"]
    assert launch.command(script, ["--x"], 1) == [sys.executable, script, "--x"]


def test_jobs_that_are_split_ask_for_the_devices_memory_and_cores_of_all_processes():
    rules = (file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    blocks = [block for text in rules for block in re.split(r"^ *rule\b", text, flags=re.M)]
    asking = [r"mem_mb=mem_mb\(.*PROCESSES\)", r"gpu=gpus\(PROCESSES\)", r"cpus_per_task=cpus"]
    for block in blocks:
        for script in re.findall(r"python scripts/(\w+)\.py", block):
            found = {bool(re.search(words, block)) for words in asking}
            assert found == {script in launch.PARALLEL}, block


def test_a_process_that_sees_no_others_refuses():
    """What `accelerate launch --cpu --num_processes 2` silently does."""
    with pytest.raises(UserError, match="2 processes were asked for, but Accelerate sees 1"):
        launch.work(2, "scripts/train_base.py", [])


def test_networks_are_what_needs_a_device():
    studies = [load(name, ROOT) for name in ("ablation", "acceleration", "search")]
    experiments = [{**load("smoke", ROOT), "embedding": {"model": "clip"}}, *studies]
    costs = [c for e in experiments for c in rule_costs.of(Workload(e, (1, 8, 8))).values()]
    needing = {c.family.removesuffix("_tune").removesuffix("_eval") for c in costs if on_device(c)}
    arms = {f"train_removal_{arm}" for arm in ("methods", "random", "null")}
    # a rule with the script of another one
    known = {"train_removal", "compute_features"}
    assert needing - arms - {"compute_readouts"} <= set(launch.NETWORKS)
    assert known <= set(launch.NETWORKS)
    scripts = {
        script.stem
        for script in (ROOT / "scripts").glob("*.py")
        if re.search(r"pick_device|model_inputs\.open|Accelerator|training\.", script.read_text())
    }
    assert scripts - {"import_base"} == set(launch.NETWORKS)  # it copies weights alone
    assert rates.Gpu().tflops > 0
