"""``./run estimate``: what it prints, what it takes, and that the page shows what it computes."""

import json
import re
import shutil

import pytest
import yaml

from dasbench.core import tables
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.planning import estimate, planned_jobs, rates, rule_costs, workload
from experiment_files import ROOT

CIFAR10 = "cifar10"


NAMES = ["smoke", "digits", "fashion", CIFAR10]
RUNS = ["digits", "fashion"]  # whose runs are recorded, and described in README


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Experiment -> its file with the sections of the recorded run; some may differ now."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    folder, files = tmp_path_factory.mktemp("recorded"), {}
    for name in RUNS:
        path = f"{config.FOLDER}/{name}.yaml"
        content = yaml.safe_load((ROOT / path).read_text())
        for stage, lock in stages.items():
            if stage.endswith(f"@{name}"):
                content |= lock.get("params", {}).get(path, {})
        files[name] = folder / f"recorded_{name}.yaml"
        files[name].write_text(yaml.safe_dump(content, sort_keys=False))
    return files


@pytest.fixture(scope="module")
def planned(recorded):
    """Jobs of experiments in the repository and of recorded runs, planned together once."""
    files = [*(estimate.file_of(name, ROOT) for name in NAMES), *recorded.values()]
    contents = [yaml.safe_load(file.read_text()) for file in files]
    experiments = [estimate.load(file, ROOT) for file in files]
    jobs = planned_jobs.count(ROOT, experiments, contents)
    return {e["name"]: planned for e, planned in zip(experiments, jobs, strict=True)}


@pytest.fixture(autouse=True)
def caller(planned, monkeypatch):
    """Files elsewhere are cifar10's with other numbers, so they have its jobs."""

    def count(root, experiments, files):
        return [planned.get(e["name"], planned[CIFAR10]) for e in experiments]

    monkeypatch.setattr(planned_jobs, "count", count)
    monkeypatch.setenv("DASBENCH_CALLER_FOLDER", str(ROOT))


def numbers(capsys, *arguments):
    assert estimate.main([*arguments, "--json"], ROOT) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    return plan


def test_the_page_shows_what_is_computed(tmp_path):
    copy = tmp_path / "scaling.md"
    shutil.copy(ROOT / "docs/scaling.md", copy)
    assert estimate.main([CIFAR10, "--gpu", "--write", str(copy)], ROOT) == 0
    assert copy.read_text() == (ROOT / "docs/scaling.md").read_text(), (
        f"renew it with ./run estimate {CIFAR10} --gpu --write docs/scaling.md"
    )


def test_the_page_s_core_hours_with_fewer_dimensions(capsys, tmp_path):
    page = (ROOT / "docs/scaling.md").read_text()
    said = re.search(r"with P = (\d+) the same plan has ([\d.]+) core hours", page)
    text = (ROOT / f"config/experiments/{CIFAR10}.yaml").read_text()
    (tmp_path / "few.yaml").write_text(text.replace("dimensions: 32768", f"dimensions: {said[1]}"))
    plan = numbers(capsys, str(tmp_path / "few.yaml"), "--gpu")
    assert plan["core_seconds"] < numbers(capsys, CIFAR10, "--gpu")["core_seconds"]
    assert said[2] == f"{plan['core_seconds'] / estimate.HOUR:.1f}"


@pytest.mark.parametrize("experiment", RUNS)
def test_an_estimate_is_what_the_run_was(capsys, recorded, experiment):
    """Job counts, models and hours of the runs that README describes."""
    plan = numbers(capsys, str(recorded[experiment]))
    observed = rates.load(ROOT / rates.FILE).observed[experiment]
    measured = sum(row["seconds"] for row in observed.values())
    assert plan["core_seconds"] == pytest.approx(measured, rel=0.25)
    ending = f"_recorded_{experiment}"
    counts = {row["rule"].removesuffix(ending): row["jobs"] for row in plan["rules"]}
    assert {family: row["jobs"] for family, row in observed.items()}.items() <= counts.items()
    assert plan["jobs"] == sum(counts.values())
    assert plan["gpu_seconds"] == 0


def test_fashion_s_hours_are_those_of_the_findings(capsys, recorded):
    """By the table of its costs, which holds every job of the run."""
    told = tables.load_table(ROOT / "reference/findings/fashion-cost.csv").job_hours.item()
    plan = numbers(capsys, str(recorded["fashion"]))
    assert plan["core_seconds"] / estimate.HOUR == pytest.approx(told, rel=0.25)


@pytest.mark.parametrize("experiment", RUNS)
def test_the_storage_is_what_dvc_recorded(capsys, recorded, experiment):
    """By the sizes in dvc.lock, which every clone has, also without results."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    outs = [out for name in stages for out in stages[name]["outs"]]
    stored = numbers(capsys, str(recorded[experiment]))["storage"]
    for folder in ("models", "features", "scores", "outputs", "residuals"):
        home = f"results/{experiment}/{folder}"
        sizes = [out["size"] for out in outs if f"{out['path']}/".startswith(f"{home}/")]
        assert stored[folder] == pytest.approx(sum(sizes), rel=0.25), folder


def test_the_papers_size(capsys):
    plan = numbers(capsys, CIFAR10, "--gpu")
    training = [row for row in plan["rules"] if row["rule"].startswith("train")]
    each = 3 * plan["flops"] * 200
    assert sum(r["flops"] for r in training) == each * 50_000 + (64 * 3 + 32) * each * 25_000
    assert plan["models"] == 1 + 64 * 3 + 32
    assert plan["storage"]["features"] > 4 * 8 * 52_000 * 32_768
    assert 35e6 < plan["parameters"] < 40e6
    faster = numbers(capsys, CIFAR10, "--tflops", "40")
    ratio = plan["gpu_seconds"] / faster["gpu_seconds"]
    assert 1.8 < ratio <= 2  # start-up stays
    assert plan["core_seconds"] == faster["core_seconds"]


def test_text_says_what_is_assumed(capsys):
    estimate.main([CIFAR10, "--gpu"], ROOT)
    shown = capsys.readouterr().out
    assert "Assumed, not measured: a GPU that sustains 20 TFLOP/s" in shown
    estimate.main(["smoke"], ROOT)
    shown = capsys.readouterr().out
    assert "Assumed" not in shown
    assert "Measured: " in shown


def test_an_unmeasured_projection_is_said(capsys, tmp_path):
    text = (ROOT / f"config/experiments/{CIFAR10}.yaml").read_text()
    (tmp_path / "other.yaml").write_text(text.replace("kronecker", "gaussian"))
    estimate.main([str(tmp_path / "other.yaml")], ROOT)
    shown = capsys.readouterr().out
    known = rates.load(ROOT / rates.FILE).rate
    if "features:gaussian" not in known:
        assert "taken as something else: features:gaussian (as features:" in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "nothing is not an experiment"),
        (["nothing.yaml"], "nothing.yaml does not exist"),
        (["smoke", "--tflops", "0"], "expected a positive number"),
        (["smoke", "--write", "README.md"], "README.md has no <!-- estimate:begin -->"),
    ],
)
def test_mistakes_are_told(arguments, told):
    with pytest.raises(UserError, match=told):
        estimate.main(arguments, ROOT)


def test_a_broken_file_names_itself(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text(
        (ROOT / f"config/experiments/{CIFAR10}.yaml")
        .read_text()
        .replace("epochs: 200", "epoch: 200")
    )
    with pytest.raises(UserError, match=r"broken\.yaml: training\.epoch"):
        estimate.main([str(file)], ROOT)


def test_measured_rates_are_written(planned, tmp_path, capsys):
    """From the costs of what has been made, and of nothing else."""
    for folder in ("config/experiments", "reference"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    with pytest.raises(UserError, match=r"\./run smoke"):
        estimate.main(["--measure"], tmp_path)
    work = workload.Workload(config.load("smoke", ROOT), (1, 8, 8))
    lines = ["rule,jobs,seconds,share,median_seconds,longest_seconds,peak_mb"]
    jobs, costs = planned["smoke"], rule_costs.of(work)
    lines += [f"{j.rule},{j.jobs},{j.jobs * 2.0},0,0,0,400" for j in jobs]
    (tmp_path / "results/smoke").mkdir(parents=True)
    (tmp_path / "results/smoke/costs.csv").write_text("\n".join(lines))
    assert estimate.main(["--measure"], tmp_path) == 0
    assert "smoke: " in capsys.readouterr().out
    made = rates.load(tmp_path / rates.FILE)
    assert set(made.observed) == {"smoke"}
    assert set(made.observed["smoke"]) == {j.family for j in jobs}
    seconds = sum(j.jobs * made.seconds(costs[j.family]) for j in jobs)
    assert seconds == pytest.approx(2.0 * sum(j.jobs for j in jobs), rel=0.2)
    with pytest.raises(UserError, match=r"digits has not been made here"):
        estimate.main(["--measure", "digits"], tmp_path)
