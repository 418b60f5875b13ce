"""What jobs ask for, and that profiles for other machines change nothing but where they run."""

import re
import shlex
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from plans import blocks, costs, counted, counts, planned, work
from safetensors.numpy import load_file

from clones import PAPERS
from dasbench.core import artifacts
from dasbench.core.tables import load_table
from dasbench.diffusion import denoiser
from dasbench.diffusion.families import pixel
from dasbench.planning import rates, storage
from dasbench.planning.job_cost import on_device
from dasbench.sharing import launch

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

WEIGHTS = "results/smoke/models/base/unet/diffusion_pytorch_model.safetensors"
RESIDUALS = "results/smoke/residuals/scalar.npy"
SPLIT = ("train_base_smoke", "compute_features")


def test_the_estimate_counts_the_jobs_of_the_plan_and_all_ask_for_what_was_measured(made, deep):
    """With --deep of all experiments of papers, otherwise of the two that share a data set."""
    known = rates.load(made.folder / rates.FILE)
    names = ("smoke", "digits", *(PAPERS if deep else PAPERS[-2:]))
    rules, cost = counted(made, *names), {name: costs(made, name) for name in names}
    jobs = {name: Counter() for name in names}
    for name, rule, asked in planned(made, *names):
        if name not in names:  # the data set that two share, and the targets
            assert rule in ("prepare_pool", *names)
            continue
        jobs[name][rule] += 1
        one = cost[name][rules[name][rule][0]]
        assert asked["mem_mb"] == known.mem_mb(one), rule
        if rule != "read_images":  # seconds or minutes, as the data are
            assert asked["runtime"] == known.runtime(one, rates.Gpu()), rule
        assert asked.get("gpu", 0) == on_device(one), rule
    for name in ("smoke", "digits"):
        jobs[name]["prepare_pool"] = 1
    assert counts(made, *names) == jobs


def test_every_job_has_a_log_of_its_own(made):
    """Of two experiments at once, since logs of one must not be those of another."""
    jobs = blocks(made, "smoke", "digits")
    logs = [
        log
        for rule, block in jobs
        if rule not in {"smoke", "digits"}  # targets, which run nothing
        for log in re.findall(r"^    log: (.*)$", block, flags=re.M)
    ]
    assert len(logs) == len(set(logs)) == len(jobs) - 2
    assert not any("," in log or "(" in log for log in logs)
    of_smoke = [log for log in logs if log.startswith("logs/smoke/")]
    assert len(of_smoke) > 100
    assert [log for log in of_smoke if not (made.folder / log).is_file()] == []


def test_the_estimate_knows_the_storage(made):
    rules, cost = counted(made, "smoke")["smoke"], costs(made, "smoke")
    models = sum(jobs * cost[family].models for family, jobs in rules.values())
    stored = storage.folders(work(made, "smoke"), models)
    for folder in ("models", "features", "scores", "residuals"):
        files = (made.folder / "results/smoke" / folder).rglob("*.*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        assert stored[folder] == pytest.approx(size, rel=0.25), folder


def test_machines_without_gpus_and_with_several_processes(made):
    jobs = list(planned(made, "smoke", "--config", "gpus=0"))
    assert not any("gpu" in asked for *_, asked in jobs)
    one, four = (
        {rule: asked for _, rule, asked in planned(made, "smoke", "--config", f"processes={n}")}
        for n in (1, 4)
    )
    for rule, asked in four.items():
        times = 4 if rule in SPLIT else 1
        assert asked.get("gpu", 0) == times * one[rule].get("gpu", 0), rule
        assert asked["mem_mb"] == times * one[rule]["mem_mb"], rule
        assert asked.get("cpus_per_task", 1) == times, rule


@pytest.mark.parametrize("setting", ["gpus=many", "processes=0", "tflops=-1"])
def test_a_wrong_setting_is_told_in_a_sentence(made, setting):
    failed = made.run("smoke", "-n", "--config", setting, check=False)
    name, _, value = setting.partition("=")
    assert failed.returncode
    told = failed.stdout + failed.stderr
    assert f"config {name} is {value}, expected a number of at least" in told
    assert "Traceback" not in told


def test_a_job_on_a_device_makes_the_same_bytes(made, copy):
    (copy.folder / RESIDUALS).unlink()
    copy.run("--workflow-profile", "profiles/gpu", "--", RESIDUALS)
    assert (copy.folder / ".snakemake/devices/0").exists()
    assert (copy.folder / RESIDUALS).read_bytes() == (made.folder / RESIDUALS).read_bytes()
    assert copy.plan() == {}


def at_work(clone, script):
    """Processes that run a script in a clone: id -> the devices that it sees."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        try:
            if script in (process.info["cmdline"] or [])[1:2] and process.cwd() == str(
                clone.folder
            ):
                found[process.pid] = process.environ().get("CUDA_VISIBLE_DEVICES")
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_subset_models_train_one_per_device(made, copy):
    """Four jobs, two devices; a CPU does the work of both, so only the name of a device differs."""
    shards = sorted((copy.folder / "results/smoke/models/eval").rglob("shard-*"))
    targets = [next(shard.rglob("*.safetensors")) for shard in shards]
    for file in targets:
        file.unlink()
    run = copy.start(
        *("--workflow-profile", "profiles/gpu", "--config", "devices=0,1", "--resources", "gpu=2"),
        *("--cores", "2", "--", *(str(file.relative_to(copy.folder)) for file in targets)),
    )
    moments = []
    while run.poll() is None:
        moments.append(at_work(copy, "scripts/train_subsets.py"))
        time.sleep(0.2)
    assert run.returncode == 0
    held = [sorted(moment.values()) for moment in moments]
    assert all(devices in ([], ["0"], ["1"], ["0", "1"]) for devices in held)
    assert ["0", "1"] in held  # both at once
    assert len({pid for moment in moments for pid in moment}) == len(targets) == 4
    assert copy.hashes() == made.hashes()
    assert copy.plan() == {}


def loss(clone):
    """Mean squared error of the base model on all training images, at four timesteps."""
    home = clone.folder / "results/smoke"
    network, process = pixel.load(home / "models/base")
    images = artifacts.load_examples(home / "examples/train.npz").images
    x = torch.from_numpy(denoiser.to_model(images)).repeat(4, 1, 1, 1)
    t = torch.tensor([50, 250, 500, 900]).repeat_interleave(len(images))
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    x_t, target = process.pair(x, eps, t)
    with torch.no_grad():
        predicted = denoiser.predict(network, x_t, process.time(t))
    return float(torch.nn.functional.mse_loss(predicted, target))


def test_two_processes_train_the_base_model_that_one_does(made, copy):
    """Both really start; their sums differ in rounding, which AdamW's first steps blow up."""
    (copy.folder / WEIGHTS).unlink()
    copy.run("--config", "processes=2", "--", "base_smoke")
    assert "2 processes over gloo" in (copy.folder / "logs/smoke/train_base.log").read_text()
    one, two = (load_file(clone.folder / WEIGHTS) for clone in (made, copy))
    off = sum(((one[key] - two[key]) ** 2).sum() for key in one) ** 0.5
    norm = sum((one[key] ** 2).sum() for key in one) ** 0.5
    assert 0 < off < 1e-3 * norm  # 1.3e-4 when it was measured
    assert loss(copy) == pytest.approx(loss(made), rel=1e-3)
    assert "train_base_smoke" not in copy.plan()  # it was made, however many made it
    costs = load_table(copy.folder / "results/smoke/costs.csv").set_index("rule")
    assert costs.seconds["train_base_smoke"] > 0


def test_two_processes_compute_the_features_that_one_does(made, tmp_path):
    """Chunks of seven images, so that each has several; the command is that of the workflow."""
    home = "results/smoke/features/mean-normalised-keyed"
    target = f"{home}/train.npy"
    plan = made.run("-n", "-p", "--forcerun", target, "--", target).stdout
    script, arguments = re.search(
        r"python (scripts/compute_features\.py) (.*) > logs", plan
    ).groups()
    narrow = tmp_path / "compute_features.py"
    narrow.write_text(
        f"import sys\nsys.path.insert(0, {str((made.folder / script).parent)!r})\n"
        "import compute_features as job\njob.CHUNK = 7\njob.script_main.main(job.run)\n"
    )
    words, made_by = shlex.split(arguments), {}
    for processes in (1, 2):
        made_by[processes] = words[words.index("--out") + 1] = str(tmp_path / str(processes))
        line = launch.command(str(narrow), words, processes)
        told = made.call("env", f"PYTHONPATH={made.folder / 'src'}", *line).stdout
        assert ("2 processes over gloo" in told) == (processes == 2)
    for split in ("train", "val", "gen"):
        one, two = (Path(folder, f"{split}.npy").read_bytes() for folder in made_by.values())
        assert one == two
        usual = np.load(made.folder / home / f"{split}.npy", allow_pickle=False)
        here = np.load(Path(made_by[2], f"{split}.npy"), allow_pickle=False)
        np.testing.assert_allclose(here, usual, atol=1e-5 * abs(usual).max())
