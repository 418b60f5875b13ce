"""Networks of any make at the door of attribution: right, or refused; and left as they were."""

import warnings

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.models.unets.unet_2d_blocks import UNetMidBlock2D
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

import dasbench
from dasbench.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype(np.uint8)
LARGE = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 1)).astype(np.uint8)
KINDS = ("kronecker", "rademacher")


class Net(nn.Module):
    """A small denoiser with a module in its middle."""

    def __init__(self, middle=None):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.time = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(1, 4)
        self.middle = middle if middle is not None else nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def change(self, h, t):
        return self.middle(h)

    def forward(self, x, t):
        h = self.first(x) + self.time(t[:, None].to(x) / 1000)[:, :, None, None]
        return self.last(functional.silu(self.change(functional.silu(h), t)))


def asked(network, images=IMAGES, total=1000, **options):
    form = {"method": "dtrak", "timesteps": 2, "dimensions": 400, **options}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="failed check")
        model = (network, DDPMScheduler(num_train_timesteps=total))
        return dasbench.attribute(model, images, images[:2], **form)


class Random(Net):
    def change(self, h, t):
        return functional.dropout(h, 0.3)


class FirstTimestep(Net):
    def change(self, h, t):
        return self.middle(h) * (1 if t[0] > 500 else 2)


class NoNumbers(Net):
    def change(self, h, t):
        odd = (t > 200) & (t < 800) & (t != 500)
        return self.middle(h) * torch.where(odd, torch.nan, 1.0)[:, None, None, None]


class Detached(Net):
    def forward(self, x, t):
        return super().forward(x, t).detach()


class Complex(Net):
    def __init__(self):
        super().__init__()
        self.spectrum = nn.Parameter(torch.ones(4, 8, 8, dtype=torch.complex64))


def zeros():
    network = Net()
    nn.init.zeros_(network.last.weight)
    network.last.requires_grad_(False)
    return network


def made_in_inference_mode():
    with torch.inference_mode():
        return Net()


REFUSED = {
    "random": (Random, "differs from call to call"),
    "first timestep": (FirstTimestep, "depends on the other images and timesteps of its batch"),
    "batch statistics": (
        lambda: Net(nn.BatchNorm2d(4, track_running_stats=False)),
        "depends on the other images and timesteps of its batch",
    ),
    "no numbers": (NoNumbers, "the gradient of training image 0 is not finite, as for 4 of 4"),
    "detached": (Detached, "does not depend on a parameter that requires a gradient"),
    "complex": (Complex, "complex numbers in spectrum, expected real"),
    "zeros": (zeros, "(is zero for every image|gradient of every image is zero)"),
    "lazy": (lambda: Net(nn.LazyConv2d(4, 3)), "lazy layers, which have no values yet"),
    "scripted": (lambda: torch.jit.script(nn.Conv2d(1, 1, 3)), "made by torch.jit"),
    "inference": (made_in_inference_mode, "first.weight was made in torch.inference_mode"),
}


@pytest.mark.parametrize("projection", KINDS)
@pytest.mark.parametrize(("build", "told"), REFUSED.values(), ids=REFUSED)
def test_a_network_without_features_is_told_in_a_sentence(build, told, projection):
    with pytest.raises(UserError, match=told) as caught:
        asked(build().eval(), timesteps=4, projection=projection)
    assert "\n" not in str(caught.value)


def weight_in_a_list():
    class Listed(Net):
        def change(self, h, t):
            return self.middle(h) + functional.conv2d(h, self.held[0], padding=1)

    network = Listed()
    network.held = [network.middle.weight]
    return network


def hooked():
    network = Net()
    network.middle.register_full_backward_hook(lambda module, inputs, outputs: inputs)
    return network


def table():
    class Looked(Net):
        def change(self, h, t):
            return h + self.middle(t)[:, :, None, None]

    return Looked(nn.Embedding(1000, 4, sparse=True))


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (weight_in_a_list, "a weight takes part in the network that is none of its parameters"),
        (hooked, "torch.func cannot differentiate the network .*; use projection: kronecker"),
        (table, "torch.func cannot differentiate the network .*; use projection: kronecker"),
    ],
)
def test_gradients_of_single_images_are_compared_with_autograd_too(build, told):
    with pytest.raises(UserError, match=told):
        asked(build(), projection="rademacher")


def test_what_torch_func_refuses_the_rules_can():
    assert np.isfinite(asked(table())).all()
    assert np.isfinite(asked(hooked())).all()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, "autocast"])
@pytest.mark.parametrize("projection", KINDS)
def test_the_caller_s_modes_change_nothing(context, projection):
    network = Net()
    expected = asked(network, projection=projection)
    entered = torch.autocast("cpu", torch.bfloat16) if context == "autocast" else context()
    with entered:
        assert np.array_equal(asked(network, projection=projection), expected)


@pytest.mark.parametrize("projection", KINDS)
def test_compiled_parts_are_run_as_they_were_written(projection):
    def network_of_blocks():
        torch.manual_seed(1)
        return Net(UNetMidBlock2D(in_channels=4, temb_channels=None, resnet_groups=2)).eval()

    expected = asked(network_of_blocks(), projection=projection)
    network = network_of_blocks()
    network.middle.compile(backend="eager")
    network(torch.zeros(2, 1, 8, 8), torch.tensor([1, 2]))  # compiled before it is asked about
    assert np.array_equal(asked(network, projection=projection), expected)


def test_views_of_weights_stay_views():
    network = Net()
    flat = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
    nn.utils.vector_to_parameters(flat, network.parameters())
    asked(network, LARGE)  # large enough for channels last
    flat.zero_()
    assert not any(p.any() for p in network.parameters())


def test_tensors_of_five_axes_do_not_stop_large_images():
    network = Net()
    network.register_buffer("kernel", torch.ones(1, 1, 2, 2, 2))
    assert np.array_equal(asked(network, LARGE), asked(Net(), LARGE))


@pytest.mark.parametrize(
    "change",
    [nn.utils.spectral_norm, lambda m: prune.random_unstructured(m, "weight", 0.5)],
    ids=["spectral_norm", "prune"],
)
def test_a_computed_weight_stays_a_tensor(change):
    network = Net(change(nn.Conv2d(4, 4, 3, padding=1))).eval()
    before = network.middle.weight
    asked(network, projection="rademacher")
    assert network.middle.weight is before
    before.detach().numpy()


def test_half_precision_that_cannot_be_copied_is_told():
    network = Net(nn.utils.spectral_norm(nn.Conv2d(4, 4, 3, padding=1)))
    network(torch.zeros(2, 1, 8, 8), torch.tensor([1, 2]))
    with pytest.raises(UserError, match=r"float16, and it cannot be copied .*network\.float\(\)$"):
        asked(network.half())


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True)])
def test_scales_of_every_norm_are_left_out_of_weights(norm):
    network = Net(norm).eval()
    expected = asked(network)
    norm.requires_grad_(False)
    assert np.array_equal(asked(network), expected)


class ConvNorm(nn.Conv2d):
    def forward(self, x):
        return functional.normalize(super().forward(x), dim=1)


def test_a_convolution_that_is_called_a_norm_is_no_norm():
    with pytest.raises(UserError, match=r"middle\.weight of a ConvNorm, whose forward is not"):
        asked(Net(ConvNorm(4, 4, 3, padding=1)))


@pytest.mark.parametrize("config", [{"sample_size": 8}, {"sample_size": "8", "in_channels": 1}])
def test_a_configuration_of_another_make_says_nothing(config):
    network = Net()
    network.config = config
    assert np.array_equal(asked(network), asked(Net()))


def test_parametrised_layers_have_gradients_of_single_images():
    network = Net(parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1)))
    assert np.isfinite(asked(network, projection="rademacher")).all()


def test_more_timesteps_than_the_model_has_are_told():
    with pytest.raises(UserError, match="timesteps is 6, but the model was trained with 5"):
        asked(Net(), total=5, timesteps=6)
