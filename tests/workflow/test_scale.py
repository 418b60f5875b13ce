"""What jobs ask for, and that profiles for other machines change nothing but where they run."""

import logging
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import snakemake_executor_plugin_kubernetes as kubernetes
import torch
from safetensors.numpy import load_file

from dasbench import artifacts, config, diffusion, estimate, launch, rates, shapes, workload
from dasbench.families import pixel
from dasbench.tables import load_table

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PAPERS = ["cifar2", "cifar10", "celeba", "artbench2", "artbench5"]
WEIGHTS = "results/smoke/models/base/unet/diffusion_pytorch_model.safetensors"
RESIDUALS = "results/smoke/residuals/scalar.npy"
SPLIT = ("train_base_smoke", "compute_features")


def planned(clone, *words):
    """Every job of a plan from nothing: (rule, resources)."""
    text = clone.run(*words, "-n", "--forceall").stdout
    pattern = r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)$"
    for rule, resources in re.findall(pattern, text, flags=re.M):
        pairs = re.findall(r"(\w+)=([^,\s]+)", resources)
        yield rule, {k: int(v) if v.isdecimal() else v for k, v in pairs}


def groups(clone, name):
    return work(clone, name).groups()


def work(clone, name):
    experiment = config.load(name, clone.folder)
    return workload.Workload(experiment, shapes.shape_for(experiment, clone.folder))


@pytest.mark.parametrize("name", ["smoke", "digits", *PAPERS])
def test_the_estimate_counts_the_jobs_of_the_plan_and_all_ask_for_what_was_measured(made, name):
    known = rates.load(made.folder / rates.FILE)
    jobs = list(planned(made, name))
    counted = {group.rule: group for group in groups(made, name)}
    assert {rule: sum(rule == r for r, _ in jobs) for rule in counted} == {
        rule: group.jobs for rule, group in counted.items()
    }
    assert len(jobs) == sum(group.jobs for group in counted.values())
    for rule, asked in jobs:
        group = counted[rule]
        if group.family == "target":
            continue
        assert asked["mem_mb"] == known.mem_mb(group), rule
        if rule not in {"prepare_pool", "read_images"}:  # seconds or minutes, as the data are
            assert asked["runtime"] == known.runtime(group, rates.Gpu()), rule
        assert asked.get("gpu", 0) == estimate.on_device(group), rule


def test_the_estimate_counts_a_childs_jobs(copy):
    (copy.folder / "config/experiments/child.yaml").write_text(
        "title: child\nparent: smoke\n"
        "methods: {das: {features: {timesteps: 1}}, pixel_cosine: {}, trak: {}}\n"
        "removal: {methods: [pixel_cosine], k: [12, 20], queries: 1, random_sets: 2}\n"
    )
    plan = copy.plan("child")
    counted = {g.rule: g.jobs for g in groups(copy, "child") if g.family != "target"}
    assert plan == counted


def test_the_estimate_knows_the_storage(made):
    stored = work(made, "smoke").storage()
    for folder in ("models", "features", "scores", "residuals"):
        files = (made.folder / "results/smoke" / folder).rglob("*.*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        assert stored[folder] == pytest.approx(size, rel=0.25), folder


def test_machines_without_gpus_and_with_several_processes(made):
    jobs = list(planned(made, "smoke", "--config", "gpus=0"))
    assert not any("gpu" in asked for _, asked in jobs)
    one, four = (dict(planned(made, "smoke", "--config", f"processes={n}")) for n in (1, 4))
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


def submitted(asked):
    """What the installed plugin would send to Kubernetes for a job's resources: the pod's spec."""
    executor, bodies = kubernetes.Executor.__new__(kubernetes.Executor), []
    settings = SimpleNamespace(deployment_method=set())
    vars(executor).update(
        logger=logging.getLogger(__name__),
        workflow=SimpleNamespace(deployment_settings=settings),
        run_namespace="das",
        namespace="das",
        container_image="image",
        persistent_volumes=[],
        secret_envvars={},
        k8s_service_account_name=None,
        k8s_cpu_scalar=0.95,
        privileged=False,
        batchapi=SimpleNamespace(create_namespaced_job=lambda _, body: bodies.append(body)),
        format_job_exec=lambda job: "true",
        report_job_submission=lambda job: None,
        _kubernetes_retry=lambda send: send(),
    )
    executor.run_job(
        SimpleNamespace(resources=asked, jobid=1, attempt=1, is_containerized=False, name="job")
    )
    return bodies[0].spec.template.spec


def plan_of_pods(clone, *words):
    """Every job of a plan with the profile for Kubernetes: (rule, resources, the pod's spec)."""
    profile = ["smoke", "--workflow-profile", "profiles/kubernetes", "--executor", "local"]
    jobs = list(planned(clone, *profile, *words))
    assert len(jobs) == sum(group.jobs for group in groups(clone, "smoke"))
    return [(rule, asked, submitted(asked)) for rule, asked in jobs]


def test_kubernetes_takes_every_job_with_its_resources(made):
    """Files need a storage plugin, which is not in the lock; that of the pods is, and is asked."""
    refused = made.run("smoke", "--workflow-profile", "profiles/kubernetes", "-n", check=False)
    assert refused.returncode
    assert "--default-storage-provider" in refused.stdout + refused.stderr
    with_gpus = 0
    for rule, asked, spec in plan_of_pods(made):
        limits = spec.containers[0].resources.limits
        assert limits["memory"] == f"{asked['mem_mb']}M", rule
        assert limits["ephemeral-storage"] == "32000M", rule
        # Kubernetes refuses a request for GPUs that is no limit
        assert limits.get("nvidia.com/gpu") == (str(asked["gpu"]) if "gpu" in asked else None), rule
        assert [t.key for t in spec.tolerations or ()] == ["nvidia.com/gpu"] * ("gpu" in asked)
        with_gpus += "gpu" in asked
    assert with_gpus > 10


def test_kubernetes_without_gpus_or_with_others(made):
    for _, _, spec in plan_of_pods(made, "--config", "gpus=0"):
        assert set(spec.containers[0].resources.limits) == {"cpu", "memory", "ephemeral-storage"}
        assert not spec.tolerations
    text = (made.folder / "docs/scaling.md").read_text()
    (flags,) = re.findall(r"^ +--default-resources (.*gpu_manufacturer=amd.*)$", text, flags=re.M)
    pods = plan_of_pods(made, "--default-resources", *flags.split())
    assert {
        spec.containers[0].resources.limits["amd.com/gpu"]
        for _, asked, spec in pods
        if "gpu" in asked
    } == {"1"}


def test_a_job_on_a_device_makes_the_same_bytes(made, copy):
    (copy.folder / RESIDUALS).unlink()
    copy.run("--workflow-profile", "profiles/gpu", "--", RESIDUALS)
    assert (copy.folder / ".snakemake/devices/0").exists()
    assert (copy.folder / RESIDUALS).read_bytes() == (made.folder / RESIDUALS).read_bytes()
    assert copy.plan() == {}


def loss(clone):
    """Mean squared error of the base model on all training images, at four timesteps."""
    home = clone.folder / "results/smoke"
    network, scheduler = pixel.load(home / "models/base")
    images = artifacts.load_examples(home / "examples/train.npz").images
    x = torch.from_numpy(diffusion.to_model(images)).repeat(4, 1, 1, 1)
    t = torch.tensor([50, 250, 500, 900]).repeat_interleave(len(images))
    eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    abar = diffusion.alphas(scheduler, t, x)
    with torch.no_grad():
        predicted = diffusion.predict(network, diffusion.noised(x, eps, abar), t, None)
    return float(torch.nn.functional.mse_loss(predicted, eps))


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
        "import compute_features as job\njob.CHUNK = 7\njob.command.main(job.run)\n"
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
