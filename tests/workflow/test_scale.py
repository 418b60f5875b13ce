"""What jobs ask for, and that profiles for other machines change nothing but where they run."""

import re

import pytest
from safetensors.numpy import load_file

from dasbench import config, estimate, rates, workload
from dasbench.tables import load_table

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

SHAPE = (1, 8, 8)
WEIGHTS = "results/smoke/models/base/unet/diffusion_pytorch_model.safetensors"
RESIDUALS = "results/smoke/residuals/scalar.npy"


def planned(clone, *words):
    """Every job of a plan from nothing: (rule, resources)."""
    text = clone.run(*words, "-n", "--forceall").stdout
    pattern = r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    resources: (.*)$"
    for rule, resources in re.findall(pattern, text, flags=re.M):
        pairs = re.findall(r"(\w+)=(\d+)(?:,|$)", resources)
        yield rule, {name: int(value) for name, value in pairs}


def groups(clone, name):
    return workload.Workload(config.load(name, clone.folder), SHAPE).groups()


@pytest.mark.parametrize("name", ["smoke", "digits"])
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
        if rule != "prepare_pool":
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
    stored = workload.Workload(config.load("smoke", made.folder), SHAPE).storage()
    for folder in ("models", "features", "scores", "residuals"):
        files = (made.folder / "results/smoke" / folder).rglob("*.*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        assert stored[folder] == pytest.approx(size, rel=0.25), folder


def test_machines_without_gpus_and_with_several_processes(made):
    jobs = list(planned(made, "smoke", "--config", "gpus=0"))
    assert not any(asked.get("gpu") for _, asked in jobs)
    jobs = dict(planned(made, "smoke", "--config", "processes=4"))
    assert jobs["train_base_smoke"]["gpu"] == 4
    assert jobs["train_subsets_eval_smoke"]["gpu"] == 1


@pytest.mark.parametrize("setting", ["gpus=many", "processes=0", "tflops=-1"])
def test_a_wrong_setting_is_told_in_a_sentence(made, setting):
    failed = made.run("smoke", "-n", "--config", setting, check=False)
    name, _, value = setting.partition("=")
    assert failed.returncode
    told = failed.stdout + failed.stderr
    assert f"config {name} is {value}, expected a number of at least" in told
    assert "Traceback" not in told


def test_kubernetes_plans_every_job_with_its_resources(made):
    """Its jobs' files need a storage plugin, which is not in the lock: the plan is the test's."""
    profile = ["smoke", "--workflow-profile", "profiles/kubernetes"]
    refused = made.run(*profile, "-n", check=False)
    assert refused.returncode
    assert "--default-storage-provider" in refused.stdout + refused.stderr
    jobs = list(planned(made, *profile, "--executor", "local"))
    assert len(jobs) == sum(group.jobs for group in groups(made, "smoke"))
    assert all({"mem_mb", "runtime"} <= set(asked) for _, asked in jobs)


def test_a_job_on_a_device_makes_the_same_bytes(made, copy):
    (copy.folder / RESIDUALS).unlink()
    copy.run("--workflow-profile", "profiles/gpu", "--", RESIDUALS)
    assert (copy.folder / ".snakemake/devices/0").exists()
    assert (copy.folder / RESIDUALS).read_bytes() == (made.folder / RESIDUALS).read_bytes()
    assert copy.plan() == {}


def test_two_processes_train_the_base_model_that_one_does(made, copy):
    """Both really start; their sums differ in rounding, which AdamW's first steps blow up."""
    (copy.folder / WEIGHTS).unlink()
    copy.run("--config", "processes=2", "--", "base_smoke")
    assert "2 processes over gloo" in (copy.folder / "logs/smoke/train_base.log").read_text()
    one, two = (load_file(clone.folder / WEIGHTS) for clone in (made, copy))
    off = sum(((one[key] - two[key]) ** 2).sum() for key in one) ** 0.5
    norm = sum((one[key] ** 2).sum() for key in one) ** 0.5
    assert 0 < off < 1e-3 * norm  # 1.3e-4 when it was measured
    assert "train_base_smoke" not in copy.plan()  # it was made, however many made it
    costs = load_table(copy.folder / "results/smoke/costs.csv").set_index("rule")
    assert costs.seconds["train_base_smoke"] > 0
