"""What a change reruns, and what it leaves alone: the promises of config/README.md."""

import os

import pytest

from clones import ROOT, Clone
from dasbench.experiments import config

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

EXPERIMENT = config.load("smoke", ROOT)
METHODS = {name: o for name, o in config.methods(EXPERIMENT).items() if config.kinds(o)}
TRAINING = ("train_base", "train_subsets", "train_removal")


@pytest.fixture
def copy(draft):
    """Most of these tests plan alone."""
    return draft


def trained(plan):
    return {rule for rule in plan if rule.startswith(TRAINING)}


def test_nothing_to_do(made):
    assert made.plan() == {}


def test_touching_files_reruns_nothing(fresh):
    for path in fresh.folder.rglob("*"):
        if path.is_file() and ".git/" not in f"{path}" and ".snakemake" not in f"{path}":
            os.utime(path)
    assert fresh.plan() == {}


def test_checkout_away_and_back_reruns_nothing(copy):
    copy.edit(
        "src/dasbench/diffusion/training.py", "optimizer.zero_grad()", "optimizer.zero_grad(True)"
    )
    assert trained(copy.plan())
    copy.call("git", "checkout", "-q", "--", "src")
    assert copy.plan() == {}


def test_a_comment_or_docstring_reruns_nothing(copy):
    last = "    return network.eval()"
    copy.edit("src/dasbench/diffusion/training.py", last, f"    # done\n{last}")
    copy.edit(
        "src/dasbench/attribution/spectrum.py", '"""The regularised kernel', '"""The ridge kernel'
    )
    copy.edit("scripts/score.py", '"""Write the scores', '"""Save the scores')
    assert copy.plan() == {}


def test_a_clone_that_pulls_has_nothing_to_do(made, tmp_path):
    made.call("git", "clone", "-q", made.folder, tmp_path / "clone")
    clone = Clone(tmp_path / "clone")
    clone.run("pull", "smoke")
    assert clone.plan() == {}
    assert "changed" not in clone.smoke_status()
    assert clone.hashes() == made.hashes()
    assert clone.call("git", "status", "--porcelain").stdout == ""
    clone.run("verify", "smoke")


def test_the_damping_grid_reruns_scores_and_what_follows(copy):
    """No subset models, no features; removal follows the scores that it removes by."""
    copy.edit("config/experiments/smoke.yaml", "exponents: [-8, 0]", "exponents: [-6, 0]")
    plan = copy.plan()
    assert plan["select_damping"] == plan["evaluate_lds"] == len(METHODS)
    assert trained(plan) == {"train_removal_methods_smoke"}
    # scores of a method that applies each damping while it has the gradients
    assert {rule for rule in plan if rule.startswith(("compute_", "decompose"))} == {
        "compute_ekfac"
    }
    assert "make_queries" not in plan
    assert "measure_outputs" not in plan


def test_one_methods_option_reruns_that_method(copy):
    copy.edit("config/experiments/smoke.yaml", "  dtrak: {}", "  dtrak: {leverage: true}")
    plan = copy.plan()
    assert plan["select_damping"] == plan["score"] == plan["evaluate_lds"] == 1
    assert not trained(plan)
    assert not any(rule.startswith(("compute_", "decompose")) for rule in plan)


def test_one_floors_grid_reruns_it_and_the_floor_and_all_partial_lds(copy):
    copy.edit(
        "config/experiments/smoke.yaml", "  pixel_rbf: {}", "  pixel_rbf: {grid: {width: [0.1]}}"
    )
    plan = copy.plan()
    assert plan["select_damping"] == plan["score"] == 2
    assert plan["predict_floor"] == 1
    assert plan["evaluate_lds"] == len(METHODS)
    assert trained(plan) == {"train_removal_methods_smoke"}  # by the floor's scores
    assert not any(rule.startswith(("compute_", "decompose")) for rule in plan)


def test_one_familys_file_reruns_that_family(copy):
    copy.edit(
        "src/dasbench/attribution/methods/similarity.py", "return scores\n", "return scores + 0\n"
    )
    plan = copy.plan()
    family = [o for o in METHODS.values() if o["module"] == "similarity"]
    assert plan["select_damping"] == plan["evaluate_lds"] == len(family)
    assert plan["train_removal_methods_smoke"] == 1  # pixel_cosine, which smoke removes by
    assert trained(plan) == {"train_removal_methods_smoke"}
    assert not any(rule.startswith(("compute_", "decompose")) for rule in plan)


def test_one_methods_features_decompose_that_kernel_alone(copy):
    copy.edit("config/experiments/smoke.yaml", "  dtrak: {}", "  dtrak: {features: {timesteps: 1}}")
    plan = copy.plan()
    assert plan["compute_features"] == plan["decompose"] == plan["evaluate_lds"] == 1
    assert not trained(plan)


def test_a_figures_style_reruns_figures_and_report(copy):
    copy.edit("src/dasbench/reports/figures/style.py", "\nimport", "\nNEW = 1\nimport")
    plan = copy.plan()
    drawn = {"plot_samples": 1, "plot_lds": 1, "plot_beyond": 1, "plot_removal": 1}
    drawn["plot_neighbours"] = 2
    # the charts of the report have the same colours
    assert plan == {**drawn, "render_report": 1}


def test_a_template_reruns_the_pages_that_use_it(copy):
    copy.edit("src/dasbench/reports/templates/timings.html.j2", "What it cost", "What it took")
    assert copy.plan() == {}
    copy.edit("src/dasbench/reports/templates/report/page.html.j2", "Answer", "What was found")
    assert copy.plan() == {"render_report": 1}


def test_more_subsets_train_only_the_new_shards(copy):
    copy.edit("config/experiments/smoke.yaml", "eval: {models: 8", "eval: {models: 12")
    plan = copy.plan()
    assert plan["train_subsets_eval_smoke"] == plan["measure_outputs"] == 2  # one shard a seed
    assert trained(plan) == {"train_subsets_eval_smoke"}
    assert plan["gather_outputs"] == 1
    assert plan["evaluate_lds"] == len(METHODS)
    assert "select_damping" not in plan
    assert "score" not in plan


def test_a_new_experiment_is_its_own_chain(copy):
    text = (copy.folder / "config/experiments/smoke.yaml").read_text()
    (copy.folder / "config/experiments/other.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    assert copy.plan("smoke") == {}
    plan = copy.plan("other")
    assert plan["train_base_other"] == 1
    assert "prepare_pool" not in plan


def test_an_experiment_without_removal_is_planned(copy):
    (copy.folder / "config/experiments/plain.yaml").write_text(
        "title: no removal\nparent: smoke\nmethods: {das: {}, dtrak: {features: {timesteps: 1}}}\n"
    )
    plan = copy.plan("plain")
    assert plan["evaluate_lds"] == 2
    assert not any("remov" in rule for rule in plan)


def test_a_child_experiment_trains_no_subsets(copy):
    (copy.folder / "config/experiments/child.yaml").write_text(
        "title: child\nparent: smoke\n"
        "methods: {das: {leverage: false}, pixel_cosine: {}, dtrak: {}}\n"
        "removal: {methods: [pixel_cosine], k: [12], queries: 2, random_sets: 2, null_models: 1}\n"
        "comparisons: [{a: das, b: dtrak}]\n"
    )
    plan = copy.plan("child")
    assert plan["evaluate_lds"] == 3
    assert not any(
        rule.startswith(("train_base", "train_subsets", "make_", "measure_outputs"))
        for rule in plan
    )


def test_a_damaged_artifact_names_itself_and_its_remedy(fresh):
    path = "results/smoke/features/loss-common/train.npy"
    (fresh.folder / path).write_bytes((fresh.folder / path).read_bytes()[:1000])
    assert path in fresh.run("verify", "smoke", check=False).stdout
    failed = fresh.run("smoke", check=False)
    told = failed.stdout + failed.stderr
    assert failed.returncode
    assert f"{path} is damaged" in told
    assert f"./run smoke --forcerun {path}" in told
    fresh.run("smoke", "--forcerun", path)
    assert fresh.plan() == {}
    assert fresh.run("verify", "smoke").returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("epochs: 2", "epoch: 2", "training.epoch"),
        ("  das_l1: {}", "  das_l7: {}", "das_l7"),
        ("fraction: 0.5", "fraction: 1.5", "subsets.fraction"),
    ],
)
def test_a_broken_experiment_file_is_told_in_a_sentence(copy, old, new, told):
    copy.edit("config/experiments/smoke.yaml", old, new)
    failed = copy.run("smoke", "-n", check=False)
    text = failed.stdout + failed.stderr
    assert failed.returncode
    assert told in text
    assert "config/experiments/smoke.yaml" in text
    assert "Traceback" not in text
