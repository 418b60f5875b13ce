"""Networks of one layer for the guard of the rules, and the gradients that the rules must have."""

import torch
from diffusers import DDPMScheduler
from torch import nn

import explicit
from dasbench.diffusion.process import Ddpm
from dasbench.gradients.features import per_example_gradients
from dasbench.gradients.kronecker import Kronecker
from dasbench.gradients.recorder import Recorder

PROCESS = Ddpm(DDPMScheduler(100))
C, SIDE = 4, 6
SHAPE = (C, SIDE, SIDE)
SETTINGS = {"readout": "loss", "normalise": False, "noise": "keyed", "timesteps": 2, "draws": 1}
SETTINGS |= {"timestep_rule": "midpoint", "dimensions": 300, "parameters": "all"}


def network_of(function, **modules):
    return explicit.Denoiser(function, **modules).double().eval()


def through(layer):
    torch.manual_seed(0)
    first = nn.Conv2d(C, C, 1)
    return network_of(lambda self, x, t: self.layer(self.first(x)).tanh(), first=first, layer=layer)


def check(network, consumer):
    if consumer == "features":
        made = Kronecker(network, "all", 300, ("tests", 0), exact_norms=True)
    else:
        made = Recorder(network, "all")
    made.check(PROCESS, SHAPE)


def gradients_without_rules(network):
    """Those of the reference engine are autograd's, image by image."""
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(3, *SHAPE, generator=rng, dtype=torch.float64)
    t, target = torch.tensor([3, 50, 90]), x.sin()
    found = per_example_gradients(network, "loss")(x, t, target)
    trained = [p for p in network.parameters() if p.requires_grad]
    assert found.shape == (3, sum(p.numel() for p in trained))
    for i in range(3):
        out = network(x[i : i + 1], t[i : i + 1]).sample
        loss = (out - target[i : i + 1]).square().mean()
        expected = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
        flat = torch.cat([g.flatten() for g in expected])
        assert (found[i] - flat).norm() < 1e-10 * flat.norm()
