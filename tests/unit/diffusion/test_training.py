"""Training: the formula, and that a model depends on its name, subset and settings alone."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler

from dasbench import seeds
from dasbench.core import artifacts
from dasbench.diffusion import model_inputs, training
from dasbench.diffusion.families import pixel
from dasbench.diffusion.process import Ddpm
from dasbench.experiments import subsets
from tiny import AXES

SCRIPT = Path(__file__).parents[3] / "scripts" / "train_subsets.py"


def steps(count):
    return Ddpm(DDPMScheduler(count))


@pytest.fixture(scope="module")
def mask():
    return subsets.draw_mask(np.zeros(24), 0.5, False, seeds.generator("tests", "mask"))


@pytest.fixture
def fit(recipe, digits):
    """Build and train a model; keyword arguments change sections of the recipe."""

    def run(mask, axes=(*AXES, "eval", 0, 0), after_epoch=None, model=None, **training_options):
        diffusion = {**recipe["diffusion"]}
        if "prediction_type" in training_options:
            diffusion["prediction_type"] = training_options.pop("prediction_type")
        form = {**recipe["model"], **(model or {})}
        unet, process = pixel.build(form, diffusion, digits[1].shape[1:], axes)
        settings = {**recipe["training"], **training_options}
        accelerator = training.make_accelerator(1)
        trained = training.train(
            accelerator, unet, process, digits[1], mask, settings, axes, after_epoch
        )
        return trained, process

    return run


def weights(unet):
    return torch.cat([p.detach().flatten() for p in unet.parameters()]).clone()


def read(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def rate(step, settings, steps):
    """Linear warm-up, then half a cosine."""
    warm = settings["warmup_steps"]
    if step < warm:
        return settings["learning_rate"] * step / warm
    return settings["learning_rate"] * (1 + math.cos(math.pi * (step - warm) / (steps - warm))) / 2


def by_hand(unet, process, images, mask, settings, axes):
    """Ho et al. (2020), algorithm 1, image by image, with AdamW's formulas written out."""
    abar = process.scheduler.alphas_cumprod
    v_prediction = process.scheduler.config.prediction_type == "v_prediction"
    parameters = list(unet.train().parameters())
    average = [p.detach().clone() for p in parameters]
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    step, steps = 0, settings["epochs"] * -(-int(mask.sum()) // settings["batch_size"])
    for epoch in range(settings["epochs"]):
        draw = {s: seeds.generator(*axes, "training", s, epoch) for s in ("order", "timestep")}
        draw |= {s: seeds.generator(*axes, "training", s, epoch) for s in ("noise", "flip")}
        order = [i for i in draw["order"].permutation(len(images)) if mask[i]]
        t = draw["timestep"].integers(0, 1000, len(images))
        eps = torch.from_numpy(draw["noise"].standard_normal(images.shape, np.float32))
        flips = draw["flip"].integers(0, 2, len(images)) == 1
        while order:
            batch, order = order[: settings["batch_size"]], order[settings["batch_size"] :]
            loss = 0.0
            for i in batch:
                x, a = torch.from_numpy(images[i]), abar[t[i]]
                if settings["flip"] and flips[i]:
                    x = x.flip(2)
                wanted = a.sqrt() * eps[i] - (1 - a).sqrt() * x if v_prediction else eps[i]
                out = unet((a.sqrt() * x + (1 - a).sqrt() * eps[i])[None], int(t[i])).sample[0]
                loss = loss + ((wanted - out) ** 2).mean() / len(batch)
            gradients = torch.autograd.grad(loss, parameters)
            norm = torch.sqrt(sum((g**2).sum() for g in gradients))
            clip = settings["clip_norm"]
            shrink = 1.0 if clip is None else min(1.0, clip / float(norm))
            lr, (b1, b2) = rate(step, settings, steps), settings["betas"]
            step += 1
            s = step - 1
            decay = min(settings["ema_decay"] or 0, (1 + s) / (10 + s)) if s else 0.0
            with torch.no_grad():
                for p, g, m, v, mean in zip(
                    parameters, gradients, first, second, average, strict=True
                ):
                    m.mul_(b1).add_((1 - b1) * g * shrink)
                    v.mul_(b2).add_((1 - b2) * (g * shrink) ** 2)
                    p.mul_(1 - lr * settings["weight_decay"])
                    root = (v / (1 - b2**step)).sqrt() + 1e-8
                    p.sub_(lr * m / (1 - b1**step) / root)
                    mean.mul_(decay).add_((1 - decay) * p)
    final = parameters if settings["ema_decay"] is None else average
    return torch.cat([p.detach().flatten() for p in final])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"ema_decay": None, "clip_norm": None},
        {"flip": True},
        {"prediction_type": "v_prediction"},
        {"clip_norm": 0.05, "weight_decay": 3.0},
    ],
    ids=["plain", "no average no clipping", "flip", "v", "strong clipping and decay"],
)
def test_training_is_the_algorithm_of_the_paper(change, fit, mask, recipe, digits):
    axes = (*AXES, "eval", 4, 1)
    trained, process = fit(mask, axes, epochs=2, **change)
    fresh, _ = pixel.build(recipe["model"], recipe["diffusion"], digits[1].shape[1:], axes)
    start, settings = weights(fresh), {**recipe["training"], "epochs": 2, **change}
    expected = by_hand(fresh, process, digits[1], mask, settings, axes)
    # softmax does not see the keys' bias: its gradient is rounding, which Adam blows up
    blind = [torch.full_like(p, "to_k.bias" in n) for n, p in fresh.named_parameters()]
    seen = torch.cat([b.flatten() for b in blind]) == 0
    moved = (weights(trained) - start)[seen].norm()
    assert moved > 0.5
    assert (weights(trained) - expected)[seen].norm() < 1e-5 * moved
    assert not trained.training


def test_each_setting_matters(fit, mask):
    plain = weights(fit(mask)[0])
    changes = [{"ema_decay": None}, {"flip": True}, {"clip_norm": 0.05}, {"batch_size": 6}]
    changes += [{"prediction_type": "v_prediction"}, {"schedule": "constant"}, {"epochs": 2}]
    for change in changes:
        assert (weights(fit(mask, **change)[0]) - plain).norm() > 1e-3


def test_two_runs_give_the_same_bytes(fit, mask, tmp_path):
    for name in ("first", "second"):
        torch.manual_seed(len(name))  # the global generator does not matter
        pixel.save(tmp_path / name, *fit(mask, model={"dropout": 0.2}))
    assert read(tmp_path / "first") == read(tmp_path / "second")
    assert len(read(tmp_path / "first")) == 4


def test_name_and_subset_matter(fit, mask):
    runs = [
        fit(mask),
        fit(mask, (*AXES, "eval", 0, 1)),
        fit(mask, (*AXES, "eval", 1, 0)),
        fit(~mask),
    ]
    flat = [weights(unet) for unet, _ in runs]
    for i in range(4):
        for j in range(i):
            assert (flat[i] - flat[j]).norm() > 0.05


def test_a_model_does_not_depend_on_its_process(fit, recipe, digits, tmp_path):
    """Two jobs at once, each training model 0 and then 1, and this process training 1 alone."""
    labels, images = digits
    axes = list(AXES)
    settings = {"axes": axes, "models_per_job": 2, "fraction": 0.5, "stratify": False, **recipe}
    settings["family"] = "pixel"
    pixels = np.rint((images.transpose(0, 2, 3, 1) + 1) * 127.5)
    artifacts.save_examples(tmp_path / "train.npz", pixels, labels, np.arange(24))
    command = [sys.executable, SCRIPT, "--settings", json.dumps(settings), "--use", "eval"]
    command += [
        "--seed",
        "1",
        "--shard",
        "0",
        "--threads",
        "1",
        "--examples",
        tmp_path / "train.npz",
    ]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1] / "src"), "DAS_DEVICE": "cpu"}
    jobs = [
        subprocess.Popen(
            [*command, "--out", tmp_path / name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    mask = subsets.draw_mask(labels, 0.5, False, seeds.generator(*AXES, "eval", 1, "mask"))
    pixel.save(tmp_path / "alone", *fit(mask, (*AXES, "eval", 1, 1)))
    for job in jobs:
        said = job.communicate(timeout=300)
        assert job.returncode == 0, said
    one = read(tmp_path / "one")
    assert len(one) == 2 * 4 + 1
    assert one == read(tmp_path / "two")
    assert read(tmp_path / "alone") == read(tmp_path / "one" / "01")
    masks = artifacts.load_array(tmp_path / "one" / "masks.npy", (2, 24), bool)
    np.testing.assert_array_equal(masks[1], mask)
    assert (
        one["00/unet/diffusion_pytorch_model.safetensors"]
        != one["01/unet/diffusion_pytorch_model.safetensors"]
    )


@pytest.mark.parametrize("ema_decay", [0.9, None])
def test_checkpoints_do_not_change_the_model(ema_decay, fit, mask):
    seen = []

    def keep(epoch, unet):
        seen.append((epoch, weights(unet)))

    watched = weights(fit(mask, after_epoch=keep, ema_decay=ema_decay)[0])
    assert torch.equal(watched, weights(fit(mask, ema_decay=ema_decay)[0]))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert torch.equal(seen[-1][1], watched)
    assert (seen[0][1] - watched).norm() > 1e-3


def test_a_checkpoint_is_the_model_of_fewer_epochs(fit, mask):
    """With a constant rate; the cosine knows how long the run is."""
    seen = []
    fit(mask, after_epoch=lambda _, unet: seen.append(weights(unet)), schedule="constant")
    assert torch.equal(seen[1], weights(fit(mask, schedule="constant", epochs=2)[0]))


def test_training_lowers_the_loss(fit, digits, recipe):
    everything = np.ones(24, dtype=bool)
    trained, process = fit(everything, epochs=40, learning_rate=0.003)
    fresh, _ = pixel.build(recipe["model"], recipe["diffusion"], digits[1].shape[1:], AXES)
    x = torch.from_numpy(digits[1])
    eps = torch.from_numpy(seeds.generator("eps").standard_normal(digits[1].shape, np.float32))
    t = torch.arange(24) * 40
    x_t, _ = process.pair(x, eps, t)
    with torch.no_grad():
        before, after = ((u(x_t, t).sample - eps).square().mean() for u in (fresh.eval(), trained))
    assert after < 0.7 * before


def test_a_trained_folder_opens_with_diffusers_and_makes_images(fit, mask, tmp_path):
    trained, process = fit(mask)
    pixel.save(tmp_path, trained, process)
    pipeline = DDPMPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
    assert images.shape == (2, 8, 8, 1)
    assert 0.01 < images.std()
    assert torch.equal(weights(pipeline.unet), weights(trained))


def test_draws_are_named_by_run_and_epoch():
    draws = training.Draws(AXES, (7, 1, 2, 3), steps(50))
    order, timesteps, noise, flips = draws.epoch(0)
    assert sorted(order) == list(range(7))
    assert noise.shape == (7, 1, 2, 3)
    assert noise.dtype == np.float32
    assert flips.dtype == bool
    many = training.Draws(AXES, (4000, 1, 1, 1), steps(50)).epoch(0)
    assert (many[1].min(), many[1].max()) == (0, 49)
    assert np.abs(np.bincount(many[1]) / 4000 - 1 / 50).max() < 5 * (0.02 / 4000) ** 0.5
    assert abs(many[3].mean() - 0.5) < 5 * 0.5 / 4000**0.5
    for a, b in zip(draws.epoch(0), (order, timesteps, noise, flips), strict=True):
        np.testing.assert_array_equal(a, b)
    others = [draws.epoch(1), training.Draws((*AXES, 1), (7, 1, 2, 3), steps(50)).epoch(0)]
    for other in others:
        assert not np.array_equal(other[2], noise)
        assert not np.array_equal(other[1], timesteps)


def test_leaving_an_example_out_changes_no_draw_of_the_others():
    draws = training.Draws(AXES, (20, 1, 2, 2), steps(1000)).epoch(3)
    rest = np.ones(20, dtype=bool)
    rest[[4, 11]] = False

    def by_example(mask, size):
        batches = list(training._batches(draws, mask, size))
        assert all(len(batch[0]) == size for batch in batches[:-1])
        joined = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        return joined[0].tolist(), {
            i: (t, e.tobytes(), f) for i, t, e, f in zip(*joined, strict=True)
        }

    order, everything = by_example(np.ones(20, dtype=bool), 6)
    assert order == draws[0].tolist()
    shorter, without = by_example(rest, 6)
    assert shorter == [i for i in order if i not in (4, 11)]
    assert without == {i: v for i, v in everything.items() if i not in (4, 11)}
    assert everything[7] == (draws[1][7], draws[2][7].tobytes(), draws[3][7])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_average_to_the_loss_of_the_whole_batch(world, tiny):
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(tiny.images["train"]).double()
    noise = rng.standard_normal((5, *tiny.shape))
    batch = np.arange(5)[::-1].copy(), np.array([0, 9, 300, 700, 999]), noise, np.arange(5) % 2 == 0

    def loss(rank, world):
        accelerator = SimpleNamespace(process_index=rank, num_processes=world, device="cpu")
        args = (accelerator, tiny.unet, tiny.process, model_inputs.Data(pixels), batch, True)
        value = training._loss(*args)
        return value.item(), torch.autograd.grad(value, tiny.unet.conv_out.weight)[0]

    values, gradients = zip(*(loss(rank, world) for rank in range(world)), strict=True)
    whole, gradient = loss(0, 1)
    assert abs(sum(values) / world - whole) < 1e-12
    torch.testing.assert_close(sum(gradients) / world, gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("images", [1, 2, 5])
def test_parts_of_any_number_of_processes_and_pieces_average_to_the_whole_batch(
    images, recipe, digits
):
    """Also where a last batch has fewer images than there are parts."""
    unet, process = pixel.build(recipe["model"], recipe["diffusion"], (1, 8, 8), AXES)
    data, draws = (
        model_inputs.Data(torch.from_numpy(digits[1])),
        training.Draws(AXES, digits[1].shape, steps(9)),
    )
    everything = np.ones(24, dtype=bool)
    batch = next(training._batches(draws.epoch(0), everything, images))

    def loss(rank, world, piece, pieces):
        accelerator = SimpleNamespace(process_index=rank, num_processes=world, device="cpu")
        return training._loss(accelerator, unet, process, data, batch, True, piece, pieces)

    whole = loss(0, 1, 0, 1)
    for world, pieces in ((1, 2), (2, 1), (2, 2), (3, 1), (4, 1)):
        parts = [loss(r, world, p, pieces) for r in range(world) for p in range(pieces)]
        assert all(part.requires_grad for part in parts)
        assert sum(parts).item() / world == pytest.approx(whole.item(), rel=1e-5)


def test_accumulated_gradients_make_the_step_of_the_whole_batch(fit, mask):
    whole, pieces = (fit(mask, gradient_accumulation=n, epochs=1)[0] for n in (1, 3))
    torch.testing.assert_close(weights(pieces), weights(whole), rtol=1e-3, atol=1e-5)


def test_the_warm_up_may_be_a_share_of_all_steps(recipe, mask):
    network = torch.nn.Linear(2, 1)
    settings = {**recipe["training"], "epochs": 10, "batch_size": 6, "warmup_fraction": 0.1}
    optimizer, rate = training._optimizer(list(network.parameters()), settings, 12)
    seen = []
    for _ in range(20):
        seen.append(rate.get_last_lr()[0])
        optimizer.step()
        rate.step()
    assert seen[:3] == pytest.approx([0, settings["learning_rate"] / 2, settings["learning_rate"]])
    assert max(seen) == seen[2] > seen[3] > seen[-1]


def test_low_precision_changes_little_and_leaves_the_weights_float32(recipe, digits, mask):
    """In a process of its own: Accelerate keeps one precision for the whole process."""
    lines = [
        "import json, sys, numpy as np, torch",
        "from dasbench.diffusion import training",
        "from dasbench.diffusion.families import pixel",
        "recipe, axes = json.loads(sys.argv[1]), ('tests',)",
        "x = np.random.default_rng(0).uniform(-1, 1, (24, 1, 8, 8)).astype('f4')",
        "unet, s = pixel.build(recipe['model'], recipe['diffusion'], x.shape[1:], axes)",
        "before = torch.cat([p.detach().flatten() for p in unet.parameters()])",
        "accelerator = training.make_accelerator(1, sys.argv[2])",
        "everything = np.ones(24, bool)",
        "training.train(accelerator, unet, s, x, everything, recipe['training'], axes)",
        "after = torch.cat([p.detach().flatten() for p in unet.parameters()])",
        "out = unet(torch.zeros(1, 1, 8, 8), 3).sample",
        "print(json.dumps([str(after.dtype), str(out.dtype), (after - before).tolist()]))",
    ]
    short = {**recipe, "training": {**recipe["training"], "epochs": 1}}

    def steps(precision):
        words = [sys.executable, "-c", "\n".join(lines), json.dumps(short), precision]
        shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        *dtypes, step = json.loads(shown.splitlines()[-1])
        assert dtypes == ["torch.float32"] * 2
        return np.array(step)

    full, low = steps("no"), steps("bf16")
    assert 0 < np.linalg.norm(low - full) < 0.7 * np.linalg.norm(full)
