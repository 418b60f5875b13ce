"""The two-sided projection: its statistics, whole networks, and what it refuses."""

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from peft import LoraConfig
from torch import nn

import explicit
from dasbench.errors import UserError
from dasbench.gradients import selection
from dasbench.gradients.features import READOUTS, per_example_gradients
from dasbench.gradients.kronecker import Kronecker
from explicit import inputs

SMALL = {
    "in_channels": 1,
    "out_channels": 1,
    "sample_size": 8,
    "layers_per_block": 1,
    "block_out_channels": (4, 8),
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}


def attention():
    torch.manual_seed(0)
    down, up = ("AttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "AttnUpBlock2D")
    return UNet2DModel(**SMALL, down_block_types=down, up_block_types=up)


def released():
    """The switches of the papers' CIFAR models: zeros right and below before each downsampling."""
    torch.manual_seed(0)
    changed = {"attention_head_dim": None, "downsample_padding": 0, "norm_eps": 1e-6}
    changed |= {"flip_sin_to_cos": False, "freq_shift": 1}
    down, up = ("AttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "AttnUpBlock2D")
    return UNet2DModel(**{**SMALL, **changed}, down_block_types=down, up_block_types=up)


def classes():
    """A class-conditional denoiser: the class, here from the timestep, has an embedding."""
    torch.manual_seed(0)
    blocks = {
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
    }
    unet = UNet2DModel(**SMALL, **blocks, num_class_embeds=3, resnet_time_scale_shift="scale_shift")
    return explicit.Denoiser(lambda self, x, t: self.unet(x, t, t % 3).sample, unet=unet)


def lora():
    """A text-conditional denoiser with adapters, bound to a text for each timestep."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        **SMALL,
        cross_attention_dim=6,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    places = ["to_q", "to_k", "to_v", "to_out.0", "conv1"]
    unet.add_adapter(LoraConfig(r=2, target_modules=places, init_lora_weights=False))
    texts = torch.randn(4, 5, 6, dtype=torch.float64)
    return explicit.Denoiser(
        lambda self, x, t: self.unet(x, t, texts[t % 4].to(x)).sample, unet=unet
    )


NETWORKS = [
    (attention, "all"),
    (attention, "weights"),
    (attention, "attention"),
    (attention, "up_blocks"),
    (released, "all"),
    (released, "weights"),
    (classes, "all"),
    (lora, "lora"),
    (lora, "attention"),
]


@pytest.mark.parametrize(("build", "parameters"), NETWORKS)
def test_networks_against_explicit_gradients(build, parameters):
    network = build().double().eval()
    flags = [p.requires_grad for p in network.parameters()]
    x, t, wanted = inputs()
    made = Kronecker(network, parameters, 400, ("tests", 1), exact_norms=True)
    found = made.gradients(x, t, wanted, [READOUTS["loss"]])[0]
    assert [p.requires_grad for p in network.parameters()] == flags
    assert all(p.grad is None for p in network.parameters())
    truth = explicit.gradients(network, made.blocks, x, t, wanted, READOUTS["loss"])
    chosen = selection.members(network, parameters)
    assert list(made.blocks) == list(chosen)
    numbers = sum(network.get_parameter(name).numel() for own in chosen.values() for name in own)
    assert sum(g[0].numel() for g in truth.values()) == numbers
    expected = explicit.blocks(made, truth)
    for name, block in made.blocks.items():
        ours, theirs = found[:, block.columns], expected[:, block.columns]
        # a key's bias alone changes nothing, so a block can be small; 1e-10 of the whole then
        scale = theirs.norm(dim=1).clamp_min(1e-5 * expected.norm(dim=1))
        assert ((ours - theirs).norm(dim=1) / scale).max() < 1e-10, name
    norms = made.squares[0].sqrt()
    torch.testing.assert_close(norms, explicit.lengths(truth), rtol=1e-10, atol=0)


def test_adapters_are_exactly_what_lora_means():
    network = lora().eval()
    names = [layer.name for layer in selection.select(network, "lora")]
    assert names
    assert all(".lora_A." in name or ".lora_B." in name for name in names)
    convolutions = [n for n in names if isinstance(network.get_submodule(n), nn.Conv2d)]
    assert convolutions
    assert len(convolutions) < len(names)


def test_the_reference_kind_has_the_same_gradients_of_a_subset():
    network = lora().double().eval()
    x, t, wanted = inputs()
    full = per_example_gradients(network, "loss", "lora")(x, t, wanted)
    made = Kronecker(network, "lora", 10**6, ("tests", 1))
    exact = made.gradients(x, t, wanted, [READOUTS["loss"]])[0]
    assert made.width == full.shape[1]
    torch.testing.assert_close(exact @ exact.T, full @ full.T, rtol=1e-10, atol=1e-14)


@pytest.fixture(scope="module")
def unet():
    return attention().double().eval()


def test_several_readouts_share_a_forward_pass(unet):
    x, t, wanted = inputs()
    chosen = [READOUTS[name] for name in ("loss", "mean", "linf", "l1")]
    made = Kronecker(unet, "all", 300, ("tests", 1), exact_norms=True)
    calls = []
    handle = unet.register_forward_hook(lambda *_: calls.append(1))
    together, norms = made.gradients(x, t, wanted, chosen), made.squares
    handle.remove()
    assert len(calls) == 1
    for readout, shared, square in zip(chosen, together, norms, strict=True):
        alone = made.gradients(x, t, wanted, [readout])[0]
        torch.testing.assert_close(shared, alone, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(square, made.squares[0], rtol=1e-12, atol=0)
    assert not torch.allclose(together[0], together[1])


def test_channels_last_changes_nothing():
    network = attention().double().eval()
    x, t, wanted = inputs(size=16)
    made = Kronecker(network, "all", 500, ("tests", 1), exact_norms=True)
    plain = made.gradients(x, t, wanted, [READOUTS["loss"]])[0]
    before = made.squares[0]
    network.to(memory_format=torch.channels_last)
    last = made.gradients(
        x.contiguous(memory_format=torch.channels_last), t, wanted, [READOUTS["loss"]]
    )[0]
    assert (last - plain).norm() < 1e-12 * plain.norm()
    torch.testing.assert_close(before, made.squares[0], rtol=1e-12, atol=0)


def test_factors_are_the_dense_matrix(unet):
    """Scaled mixes times kernels, and the constants as the last column."""
    made = Kronecker(unet, "all", 600, ("tests", 1))
    seen = 0
    for block in made.blocks.values():
        if block.factors is not None:
            factors = block.factors
            mixes, kernels, constants = factors.mixes, factors.kernels, factors.constants
            whole = torch.einsum("kc,ko->kco", mixes, kernels).flatten(1)
            dense = torch.cat([whole, constants[:, None]], 1)
            torch.testing.assert_close(block.inputs[0], dense, rtol=1e-14, atol=0)
            seen += 1
    assert seen > 3


@pytest.mark.parametrize("oversampling", [1, 2, 4])
def test_features_fill_their_dimensions(unet, oversampling):
    x, t, wanted = inputs()
    for dimensions in (300, 501, 1000):
        made = Kronecker(unet, "all", dimensions, ("tests", 1), oversampling=oversampling)
        found = made(made.gradients(x, t, wanted, [READOUTS["loss"]])[0])
        assert found.shape == (3, made.dimensions)
        assert made.width <= oversampling * dimensions
        if oversampling > 1:
            assert made.dimensions == dimensions
        else:  # sides are whole numbers
            assert 0.95 * dimensions < made.dimensions <= dimensions
        stops = [(b.columns.start, b.columns.stop) for b in made.blocks.values()]
        assert [start for start, _ in stops] == [0] + [stop for _, stop in stops[:-1]]
        assert stops[-1][1] == made.width


def test_every_block_number_goes_into_one_feature(unet):
    made = Kronecker(unet, "all", 300, ("tests", 1), oversampling=4)
    assert made.width > 900
    fold = made(torch.eye(made.width, dtype=torch.float64))
    assert torch.equal(fold.abs().sum(1), torch.ones(made.width, dtype=torch.float64))
    assert torch.equal(fold.abs(), fold.square())
    terms = fold.abs().sum(0)
    assert terms.max() == -(-made.width // 300)
    assert abs(fold.sum()) < 5 * made.width**0.5
    blocks = torch.randn(4, made.width, dtype=torch.float64)
    torch.testing.assert_close(made(blocks), blocks @ fold, rtol=1e-12, atol=1e-12)


def test_seeds_are_the_axes_alone(unet):
    def matrices(*axes):
        return Kronecker(unet, "all", 300, axes).blocks

    one, same, other = matrices("a", 0), matrices("a", 0), matrices("a", 1)
    for name, block in one.items():
        assert torch.equal(block.inputs, same[name].inputs)
        if block.inputs.shape[1] < block.inputs.shape[2]:
            assert not torch.allclose(block.inputs, other[name].inputs)


def test_a_gradient_that_is_zero_stays_zero(unet):
    x, t, wanted = inputs()
    some = [True, False, True]
    made = Kronecker(unet, "all", 300, ("tests", 1), exact_norms=True)

    def readout(wanted, out):
        return READOUTS["loss"](wanted, out) * torch.tensor(some).to(out)

    found = made.gradients(x, t, wanted, [readout])[0]
    assert torch.equal(found.abs().sum(1) > 0, torch.tensor(some))
    assert torch.equal(made.squares[0] > 0, torch.tensor(some))


def test_a_layer_that_the_readout_does_not_see_has_zeros():
    modules = {"seen": nn.Conv2d(1, 1, 3, padding=1), "dead": nn.Conv2d(1, 1, 3, padding=1)}

    def function(self, x, t):
        self.dead(x)
        return self.seen(x)

    network = explicit.Denoiser(function, **modules).double()
    x, t, wanted = inputs()
    made = Kronecker(network, "all", 12, ("tests", 1))
    found = made.gradients(x, t, wanted, [READOUTS["loss"]])[0]
    columns = {name: found[:, block.columns] for name, block in made.blocks.items()}
    assert columns["seen"].abs().min() > 0
    assert columns["dead"].abs().max() == 0


def test_refusals():
    with pytest.raises(UserError, match=r"dimensions is 3, too few for .*; give at least"):
        Kronecker(attention(), "all", 3, ("tests", 1))
    with pytest.raises(UserError, match="parameters: lora leaves none"):
        Kronecker(attention(), "lora", 300, ("tests", 1))
