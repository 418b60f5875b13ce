"""Two-sided features end to end: noise, timesteps, norms, the fold, precision, batches."""

import numpy as np
import pytest
import torch

import explicit
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from dasbench.gradients import features
from dasbench.gradients.features import READOUTS, Extractor
from tiny import AXES, DIFFUSION, MODEL, SHAPE

FORM = {
    "readout": "loss",
    "normalise": False,
    "noise": "keyed",
    "timesteps": 2,
    "timestep_rule": "midpoint",
    "draws": 1,
    "dimensions": 160,
    "projection": "kronecker",
    "norms": "projected",
    "oversampling": 2,
    "parameters": "all",
    "dtype": "float32",
}


def settings(**changes):
    return {**FORM, **changes}


def by_hand(tiny, made, split, form):
    """[n, P] float64: each image, timestep and draw in turn, with ``made``'s matrices."""
    unet, noise = tiny.unet, tiny.noise("features", form["noise"])
    images = torch.from_numpy(tiny.images[split]).double()
    total, pairs = 0, [(t, e) for t in (250, 750) for e in range(form["draws"])]
    for t, e in pairs:
        eps = np.stack([noise(split, i, t, e) for i in range(len(images))])
        eps = torch.from_numpy(eps).double()
        x_t = tiny.abar[t] ** 0.5 * images + (1 - tiny.abar[t]) ** 0.5 * eps
        steps = torch.full((len(images),), t)
        readout = READOUTS[form["readout"]]
        truth = explicit.gradients(unet, made.blocks, x_t, steps, eps, readout)
        g = explicit.blocks(made, truth)
        if form["normalise"]:
            exact = form["norms"] == "exact"
            g = g / (explicit.lengths(truth) if exact else g.norm(dim=1))[:, None]
        total = total + g / len(pairs)
    return (total @ made(torch.eye(made.width, dtype=torch.float64))).numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"draws": 3, "noise": "batch"},
        {"normalise": True},
        {"normalise": True, "norms": "exact", "readout": "l2"},
        {
            "normalise": True,
            "norms": "exact",
            "oversampling": 1,
            "noise": "common",
            "dimensions": 301,
        },
        {"parameters": "up_blocks", "normalise": True, "oversampling": 4},
        {"parameters": "weights", "readout": "linf"},
    ],
)
def test_against_explicit_gradients(changes, tiny):
    form = settings(**changes)
    made = Extractor(tiny.unet, tiny.process, form, AXES, batch=4)
    who = range(5) if form["noise"] == "batch" else tiny.ids["train"]
    (ours,) = made(tiny.images["train"], who, "train")
    theirs = by_hand(tiny, made.project, "train", form)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape == (5, made.dimensions)
    # only the cast to float32 at the end, half a unit in the last place of each number
    np.testing.assert_allclose(ours, theirs, rtol=2**-23, atol=1e-9 * np.abs(theirs).max())


@pytest.fixture(scope="module")
def single():
    """A denoiser in float32, at its first weights, with more images than the noise has periods."""
    unet, process = pixel.build(MODEL, DIFFUSION, SHAPE, (*AXES, "base", 0, 0))
    images = np.random.default_rng(5).uniform(-1, 1, (21, *SHAPE)).astype(np.float32)
    return unet.eval(), process, images, np.random.default_rng(6).permutation(100)[:21]


def compute(single, rows=slice(None), batch=None, **changes):
    unet, process, images, ids = single
    form = settings(**changes)
    args = (images[rows], ids[rows], "train", form, AXES)
    return features.compute(unet, process, *args, batch=batch)


def worst(found, wanted):
    """Largest relative error of a row."""
    return (np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max()


# float32 has 6e-8; sums over a network of a dozen layers lose a factor of ten, seldom a hundred
ROUNDING = 1e-5


@pytest.mark.parametrize("norms", ["exact", "projected"])
def test_batch_order_and_company_do_not_matter(norms, single):
    options = {"normalise": True, "norms": norms}
    whole = compute(single, **options)
    for batch in (1, 4, 21, 64):
        assert worst(compute(single, batch=batch, **options), whole) < ROUNDING
    order = np.random.default_rng(0).permutation(21)
    assert worst(compute(single, order, **options), whole[order]) < ROUNDING
    parts = [compute(single, slice(a, a + 8), **options) for a in (0, 8, 16)]
    assert worst(np.concatenate(parts), whole) < ROUNDING
    assert worst(whole[::-1], whole) > 0.01


def test_equal_batches_give_equal_bytes(single):
    assert compute(single).tobytes() == compute(single).tobytes()


def test_readouts_together_equal_each_alone(single):
    unet, process, images, ids = single
    asked = [("loss", False), ("loss", True), ("mean", True), ("l1", False)]
    form = settings(norms="exact")
    together = Extractor(unet, process, form, AXES, readouts=asked)(images, ids, "train")
    for (readout, normalise), found in zip(asked, together, strict=True):
        alone = compute(single, readout=readout, normalise=normalise, norms="exact")
        assert worst(found, alone) < ROUNDING


def test_large_images_take_the_fast_path_and_agree():
    """From 16 x 16 on, convolutions run with channels last; the network's layout comes back."""
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 16, 16), AXES)
    images = np.random.default_rng(5).uniform(-1, 1, (5, 1, 16, 16)).astype(np.float32)
    found, layouts = {}, set()
    inner = unet.mid_block.resnets[0].conv1
    inner.register_forward_pre_hook(
        lambda m, _: layouts.add(m.weight.is_contiguous(memory_format=torch.channels_last))
    )
    for large in (10**9, features._LARGE):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(features, "_LARGE", large)
            form = settings(normalise=True, norms="exact")
            found[large] = features.compute(
                unet.eval(), process, images, range(5), "val", form, AXES, batch=8
            )
        assert layouts == ({False} if large == 10**9 else {False, True})  # False in the check
        assert inner.weight.is_contiguous()
    plain, fast = found.values()
    assert worst(fast, plain) < ROUNDING


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("norms", ["exact", "projected"])
def test_half_precision_keeps_directions_and_lengths(norms, normalise, single):
    options = {"normalise": normalise, "norms": norms, "timesteps": 4}
    full, half = (compute(single, dtype=d, **options) for d in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    assert not np.array_equal(full, half)
    sizes = [np.linalg.norm(phi, axis=1) for phi in (full, half)]
    cosine = (full * half).sum(1) / (sizes[0] * sizes[1])
    assert cosine.min() > 0.99
    assert np.abs(sizes[1] / sizes[0] - 1).max() < 0.05


def test_half_precision_needs_the_two_sided_projection(single):
    with pytest.raises(UserError, match="bfloat16 needs projection: kronecker, got none"):
        compute(single, dtype="bfloat16", projection="none")


def test_projected_and_exact_norms_nearly_agree(single):
    """With P near p they are the same; with few dimensions they differ by the projection."""
    every = {"normalise": True, "dimensions": 10**6, "oversampling": 1}
    exact, projected = (compute(single, norms=n, **every) for n in ("exact", "projected"))
    assert worst(projected, exact) < ROUNDING
    few = {"normalise": True, "dimensions": 300, "timesteps": 1}
    apart = compute(single, norms="projected", oversampling=1, **few)
    np.testing.assert_allclose(np.linalg.norm(apart, axis=1), 1, rtol=1e-5)
    other = compute(single, norms="exact", oversampling=1, **few)
    assert np.abs(np.linalg.norm(other, axis=1) - 1).max() > 0.01


def test_whole_features_have_the_reference_kernel(single):
    """P at the number of parameters: the kernel of unprojected gradients."""
    exact = compute(single, dimensions=10**6, normalise=True, norms="exact")
    none = compute(single, projection="none", normalise=True)
    assert exact.shape == none.shape
    kernels = [phi.astype(np.float64) @ phi.T.astype(np.float64) for phi in (exact, none)]
    assert worst(*kernels) < ROUNDING


def test_an_image_without_a_gradient_has_zeros(single, monkeypatch):
    """Also where it is divided by its length."""
    unet, process, images, ids = single
    plain = READOUTS["loss"]

    def some(wanted, out):
        return plain(wanted, out) * (torch.arange(len(out)) % 3 > 0)

    monkeypatch.setitem(READOUTS, "loss", some)
    for norms in ("exact", "projected"):
        form = settings(normalise=True, norms=norms, timesteps=1)
        phi = features.compute(unet, process, images[:6], ids[:6], "train", form, AXES)
        assert not phi[[0, 3]].any()
        assert (np.linalg.norm(phi[[1, 2, 4, 5]], axis=1) > 0.1).all()


def test_the_model_is_left_as_it_was(single):
    unet = single[0]
    before = [p.clone() for p in unet.parameters()]
    compute(single, normalise=True, norms="exact")
    for p, old in zip(unet.parameters(), before, strict=True):
        assert p.requires_grad
        assert p.grad is None
        assert torch.equal(p, old)
    assert not any(m._forward_hooks for m in unet.modules())
