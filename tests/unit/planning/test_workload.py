"""The cost of one job of each rule, and the storage, from the experiment file."""

import numpy as np
import pytest

from dasbench.attribution.methods import nda
from dasbench.core import artifacts
from dasbench.errors import UserError
from dasbench.experiments import config, image_shapes
from dasbench.planning import kernel_cost, rule_costs, storage, workload
from dasbench.planning.job_cost import on_device
from dasbench.sharing import launch
from experiment_files import ROOT, load, make_repository, raw

SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def smoke():
    return workload.Workload(config.load("smoke", ROOT), SHAPE)


def test_training_is_counted_image_by_image(smoke):
    costs, each = rule_costs.of(smoke), 3 * smoke.model.flops
    assert costs["train_base"].work == {"train": each * 120 * 2}
    assert costs["train_base"].calls == 2 * 8  # 120 images in batches of 16
    assert costs["train_subsets_eval"].work == {"train": each * 4 * 60 * 2}
    assert costs["train_subsets_eval"].models == 4
    assert costs["train_removal_methods"].work == {"train": each * 2 * 108 * 2}


def test_measuring_is_counted_image_by_image(smoke):
    costs, each = rule_costs.of(smoke), smoke.model.flops
    assert costs["make_queries"].work == {"forward": each * 12 * 5}
    assert costs["measure_outputs"].work == {
        "forward": each * 24 * 4 * 8
    }  # 20 models in three jobs
    assert costs["compute_residuals"].work == {"forward": each * 120 * (2 + 5) / 2}
    # nine sets with one readout and two with four probes, which share their forward passes
    passes = (9 * 3 + 2 * (1 + 2 * 4)) / 11
    work = costs["compute_features"].work
    assert work == {"features:kronecker": pytest.approx(passes * each * 2 * (120 + 24))}
    # five steps of sampling, at two of them gradients
    journeys = {"features:kronecker": 3 * each * 2 * 12, "forward": each * 5 * 12}
    assert costs["compute_journeys"].work == journeys


def test_scores_that_need_the_network_are_counted_image_by_image(smoke):
    costs, each = rule_costs.of(smoke), smoke.model.flops
    assert costs["compute_unlearning"].work == {
        "features:kronecker": 3 * each * 2 * (120 + 24),
        "forward": each * 120 * 4 * (3 * 24 + 1),
    }
    ekfac = costs["compute_ekfac"].work
    assert ekfac["features:kronecker"] == 3 * each * 2 * (3 * 120 + 24)
    assert ekfac["kernel"] == 2 * 27 * 120 * 24 * smoke.model.parameters


def test_influence_is_the_mean_over_its_methods(tmp_path):
    root, data = make_repository(tmp_path), raw()
    data |= {"removal": {}, "comparisons": []}

    def cost(**methods):
        data["methods"] = {"random": {}, **methods}
        work = workload.Workload(load(root, data), SHAPE)
        return rule_costs.of(work)["compute_influence"], work

    one, work = cost(ekfac_displacement={})
    each, p = work.model.flops, work.model.parameters
    assert one.work["features:kronecker"] == 3 * each * 2 * (3 * 120 + 2 * 24)
    assert one.work["kernel"] == 2 * 27 * 120 * 24 * p * 2 * 2  # timesteps, probes
    more, _ = cost(ekfac_displacement={"draws": 3})
    assert more.work["features:kronecker"] == 3 * one.work["features:kronecker"]
    assert more.work["kernel"] == one.work["kernel"]
    forgetting, _ = cost(unlearning_plus={})
    assert forgetting.work == {
        "features:kronecker": 3 * each * 2 * (2 * 120 + 24),
        "forward": each * 120 * 4 * (3 * 24 + 1),
    }
    both, _ = cost(ekfac_displacement={}, unlearning_plus={})
    assert both.work["kernel"] == one.work["kernel"] / 2
    assert both.work["forward"] == forgetting.work["forward"] / 2
    assert both.memory == max(one.memory, forgetting.memory) == one.memory


def test_patches_are_counted_pair_by_pair(tmp_path):
    root, data, counted = make_repository(tmp_path), raw(), []
    data |= {"removal": {}, "comparisons": []}
    for method in ("nda", "pixel_cosine"):
        data["methods"] = {method: {}}
        work = workload.Workload(load(root, data), SHAPE)
        counted.append(rule_costs.of(work)["score"].work["kernel"])
    pairs = 120 * 24 * 64 * 64
    assert counted == [pairs * (2 * (9 + 25 + 49) / 3 + 300), 2 * 120 * 24 * 64]
    assert kernel_cost.SIDE == nda.SIDE
    at_most = kernel_cost.patches(1, 1, (1, 16, 16), [3])
    assert kernel_cost.patches(1, 1, (1, 32, 32), [3]) == at_most == 256**2 * 318


def test_exact_influence_is_steps_of_training(tmp_path):
    """One run, another one in segments, its graph, and 2.5 steps of training for each query."""
    root, data = make_repository(tmp_path), raw()
    data["replay"] = {"fractions": [0.9], "models": [8], "queries": 6, "queries_per_job": 4}
    work = workload.Workload(load(root, data), SHAPE)
    costs = rule_costs.of(work)
    run = 3 * work.model.flops * 120 * 2
    assert costs["train_replay_whole"].work == {"train": run}
    assert costs["train_replay_masks"].work == {"train": 8 * run}
    assert costs["compute_magic"].work == {"train": pytest.approx(run * (3 + 2.5 * 4))}
    assert costs["measure_replay"].models == 0
    assert storage.folders(work, 9)["replay"] == 4 * 24 * 2 * 9 + 8 * 120 * 6


def test_fine_tuning_is_a_share_of_training(tmp_path):
    """Two of eight models in a job, one epoch of 60 of the 120 images."""
    root, data = make_repository(tmp_path), raw()
    data["methods"] = {"das": {}, "other": {"like": "das", "features": {"draw": 1}}}
    tuned = {"models": 8, "models_per_job": 2, "epochs": 1}
    data |= {"dampings": {"twins": {"das": "other"}, "finetuned": tuned}}
    data |= {"removal": {}, "comparisons": []}
    work = workload.Workload(load(root, data), SHAPE)
    costs = rule_costs.of(work)
    assert costs["finetune_halves"].work == {"train": 2 * 3 * work.model.flops * 60}
    assert costs["finetune_halves"].models == 2
    assert costs["measure_finetuned"].work == {"forward": work.model.flops * 24 * 4 * 9}
    once = kernel_cost.scores(120, 24, 256, 27, 4 + 8 + 8) + kernel_cost.scores(120, 24, 256, 27, 0)
    assert costs["compare_dampings"].work["kernel"] == once
    assert costs["compare_dampings"].work["bootstrap"] == 200 * 8 * 16 * 27 * 3 * 2
    rows = 27 * 3 * 2 * 2
    assert storage.folders(work, 9)["dampings"] == 4 * 24 * 2 * 8 + rows * (4 * 200 + 300)


def test_models_without_a_group_are_trained_on_nearly_all_images(tmp_path):
    root, data = make_repository(tmp_path), raw()
    data["groups"] = {"by": "label", "count": 4, "seeds": 3}
    work = workload.Workload(load(root, data), SHAPE)
    costs = rule_costs.of(work)
    one = work.trains("one", 1, work.n).work["train"]
    assert costs["train_groups_rest"].work == {"train": 3 * one}
    assert costs["train_groups_whole"].work == {"train": 6 * one}  # and as many null models
    passes = costs["measure_groups"].work["forward"] / (work.model.flops * work.q)
    assert passes == 4 * (4 + 2 + 1)  # timesteps; groups, whole and null, and the base
    assert storage.folders(work, 9)["groups"] == 3 * 6 * (4 * 24 * 2 + 120)
    assert "train_groups_rest" not in rule_costs.of(workload.Workload(load(root, raw()), SHAPE))


def test_paths_are_passes_of_the_base_model_and_of_each_model_at_every_place(tmp_path):
    root, data = make_repository(tmp_path), raw()
    data["trajectory"] = {"places": 3}
    work = workload.Workload(load(root, data), SHAPE)
    costs = rule_costs.of(work)
    passes = 5 + (4 + 1) * 3  # five steps of sampling; four models of a shard and the base model
    assert costs["measure_trajectory"].work == {"forward": work.model.flops * 12 * passes}
    assert storage.folders(work, 9)["trajectory"] == 4 * (8 * 2) * 3 * 12
    assert "evaluate_retrieval" not in costs


def test_a_search_of_known_images_holds_the_scores_of_all_methods(tmp_path):
    root, data = make_repository(tmp_path), raw()
    data["retrieval"] = {"truth": "labels"}
    work = workload.Workload(load(root, data), SHAPE)
    costs = rule_costs.of(work)
    assert costs["evaluate_retrieval"].memory == 8 * (len(work.methods) + 2) * 120 * 12
    assert {"evaluate_credit", "take_parameters"} <= set(costs)


def test_a_dense_projection_is_work_of_its_own(tmp_path):
    root, data = make_repository(tmp_path), raw()
    data["features"].update(projection="rademacher", dimensions=64)
    work = workload.Workload(load(root, data), SHAPE)
    each, dense = work.model.flops, 2 * work.model.parameters * 64
    expected = pytest.approx(((9 * 3 + 2 * 9) / 11 * each * 2 + dense) * (120 + 24))
    assert rule_costs.of(work)["compute_features"].work == {"features:rademacher": expected}


def test_a_dense_projection_is_made_as_often_as_gradients_are_kept_apart(tmp_path):
    root, counted = make_repository(tmp_path), []
    for dimensions in (64, 65):
        data = raw()
        data["features"].update(projection="gaussian", dimensions=dimensions)
        data["methods"] = {"journey_trak": {}, "das": {"kernel": "pooled"}}
        data |= {"removal": {}, "comparisons": []}
        work = workload.Workload(load(root, data), SHAPE)
        costs = rule_costs.of(work)
        names = ("compute_features", "compute_timesteps", "compute_journeys")
        counted.append([costs[name].work["features:gaussian"] for name in names])
    one, grown = 2 * work.model.parameters, [b - a for a, b in zip(*counted, strict=True)]
    # the mean of two timesteps; each of two; each of two steps of a path
    assert grown == [one * 144, 2 * one * 144, 2 * one * 12]


@pytest.mark.parametrize("name", ["smoke", "cifar2", "artbench2"])
def test_jobs_that_ask_for_a_gpu_have_work_for_it(name):
    e = config.load(name, ROOT)
    for family, cost in rule_costs.of(
        workload.Workload(e, image_shapes.shape_for(e, ROOT))
    ).items():
        assert on_device(cost) == family.startswith(launch.NETWORKS), family


def test_storage_counts_numbers(smoke):
    models = 1 + 16 + 4 + 2 * 2 + 2 + 1  # base, eval, tune, removal
    stored = storage.folders(smoke, models)
    # eleven sets of P = 256; where they have a kernel, eigenvalues and vectors of the N x N form;
    # one by timestep, T = 3, P = 64
    kernels = len(smoke.spectra)
    numbers = 4 * (11 * 256 + 3 * 64) * (120 + 24)
    assert stored["features"] == numbers + kernels * 8 * 120 * 121
    assert stored["scores"] == 4 * 120 * (32 * 24 + 12)  # one method of generated images alone
    assert stored["network"] == 4 * (27 + 3) * 120 * 24  # dampings of ekfac_if, steps of unlearning
    # and two checkpoints of the base model
    assert stored["models"] == (models + 2) * (4 * smoke.model.parameters + 15_000)


def test_more_work_takes_more(tmp_path):
    root = make_repository(tmp_path)
    changes = {
        "train": ("train_base", lambda e: e["training"].update(epochs=4)),
        "features": ("compute_features", lambda e: e["features"].update(timesteps=4)),
        "forward": ("measure_outputs", lambda e: e["outputs"].update(timesteps=8)),
        "bootstrap": ("evaluate_lds", lambda e: e["lds"].update(draws=400)),
        "kernel": ("select_damping", lambda e: e["features"].update(dimensions=512)),
    }
    before = rule_costs.of(workload.Workload(load(root, raw()), SHAPE))
    for kind, (family, change) in changes.items():
        data = raw()
        change(data)
        after = rule_costs.of(workload.Workload(load(root, data), SHAPE))
        grown = [sum(v for k, v in g[family].work.items() if kind in k) for g in (before, after)]
        assert grown[1] > grown[0], kind


def per_t(tmp_path, **changes):
    """Costs of each rule, with one method and its kernel averaged, pooled or for each timestep."""
    root, costs = make_repository(tmp_path), {}
    for kernel in ("averaged", "pooled", "per_t"):
        data = raw() | {"methods": {"dtrak": {"kernel": kernel}}, "comparisons": [], "removal": {}}
        data["features"].update(changes)
        costs[kernel] = rule_costs.of(workload.Workload(load(root, data), SHAPE))
    return costs


def test_kernels_by_timestep_are_decomposed_and_held_one_by_one(tmp_path):
    """N = 120, 12 queries of each kind, P = 256, T = 2; 10 n^3 operations for eigenvectors."""
    costs = {kernel: by_rule["score"] for kernel, by_rule in per_t(tmp_path).items()}
    one = 2 * (120 + 24) * 256 * 120 + 2 * 120 * 120 * 24
    made = 3 * 120 * 256 * 120 + 10 * 120**3
    assert costs["averaged"].work["kernel"] == one
    assert costs["per_t"].work["kernel"] == 2 * (one + made)
    # a kernel while it is decomposed; two kinds of queries are added up
    added = 8 * 2 * 120 * 12
    decomposed = 40 * 120**2
    assert costs["per_t"].memory == costs["averaged"].memory + decomposed + added
    vectors = 8 * (240**2 - 120**2)  # of all gradients, when pooled
    assert costs["pooled"].memory == costs["averaged"].memory + vectors + 40 * 240**2 + added


def test_memory_of_a_job_by_timestep_is_that_of_one_timestep(tmp_path):
    few, many = (per_t(tmp_path / str(t), timesteps=t)["per_t"] for t in (2, 100))
    for rule in ("score", "select_damping", "evaluate_lds"):
        assert many[rule].memory == few[rule].memory
    # features come from batches of up to 512 small images, and smoke has 144
    more = many["compute_timesteps"].memory - few["compute_timesteps"].memory
    assert more == 98 * 3 * 4 * 144 * 256


def test_a_child_stores_no_models(tmp_path):
    root = make_repository(tmp_path)
    data = {"title": "child", "parent": "smoke", "methods": {"das": {}, "pixel_cosine": {}}}
    work = workload.Workload(load(root, data, "child"), SHAPE)
    assert len(work.features) == 1
    stored = storage.folders(work, 0)
    assert stored["models"] == 0
    assert "outputs" not in stored


def test_the_pool_knows_the_shape(tmp_path):
    assert image_shapes.shape_of("digits", tmp_path) == (1, 8, 8)
    with pytest.raises(UserError, match="--shape"):
        image_shapes.shape_of("mine", tmp_path)
    images = np.zeros((4, 5, 6, 3), np.uint8)
    (tmp_path / "data/mine").mkdir(parents=True)
    artifacts.save_examples(tmp_path / "data/mine/pool.npz", images, np.zeros(4), np.arange(4))
    assert image_shapes.shape_of("mine", tmp_path) == (3, 5, 6)
