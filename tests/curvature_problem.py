"""A network of convolutions and linear layers that loops can differentiate, and its images."""

import itertools
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import nn

import oracle
from dasbench import seeds
from dasbench.diffusion.process import Ddpm

AXES = ("tests", 5)
SHAPE = (2, 4, 6)
GRID = [250, 750]  # two timesteps by the midpoint rule
SETTINGS = {"timesteps": 2, "draws": 2, "parameters": "all"}
IDS = {"train": [11, 4, 29, 7], "val": [0, 1, 2]}


class Net(nn.Module):
    """Convolutions with strides, with and without bias, linear layers, a norm, the timestep."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.GroupNorm(1, 3)
        self.narrow = nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False)
        self.time = nn.Linear(1, 4)
        self.last = nn.Linear(4, 8)

    def forward(self, x, t):
        h = self.narrow(torch.tanh(self.norm(self.first(x))))
        h = h + torch.tanh(self.time(t[:, None].to(x) / 1000))[:, :, None, None]
        h = self.last(torch.tanh(h.flatten(2).transpose(1, 2)[:, :6]))
        return SimpleNamespace(sample=h.reshape(-1, *SHAPE))


def make():
    """A float64 network, its process and the images of each split."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    images = {s: rng.uniform(-1, 1, (len(i), *SHAPE)).astype("f4") for s, i in IDS.items()}
    process = Ddpm(DDPMScheduler(num_train_timesteps=1000))
    return Net().double(), process, images


def samples(problem, split, i, grid=GRID, draws=SETTINGS["draws"], policy="keyed"):
    """The noised image, timestep and noise of each timestep and draw, spelled out."""
    _, process, images = problem
    abar = process.scheduler.alphas_cumprod.double().numpy()
    found = []
    for t, draw in itertools.product(grid, range(draws)):
        named = ("keyed", split, IDS[split][i]) if policy == "keyed" else (policy,)
        eps = drawn("features", *named, t, draw)
        x_t = oracle.add_noise(torch.from_numpy(images[split][i]), t, eps, abar)
        found.append((x_t, t, eps.double()))
    return found


def drawn(stream, *named):
    rng = seeds.generator(*AXES, stream, *named)
    return torch.from_numpy(rng.standard_normal(SHAPE, np.float32))


def curvature_samples(problem, policy="keyed", grid=GRID, draws=SETTINGS["draws"]):
    """Every (x_t, t, xi) of the curvature, whose targets are each image's own in any case."""
    found = []
    for i, example in enumerate(IDS["train"]):
        pairs = itertools.product(grid, range(draws))
        noised = samples(problem, "train", i, grid, draws, policy)
        for (x_t, t, _), (_, draw) in zip(noised, pairs, strict=True):
            xi = drawn("curvature", "keyed", "train", example, t, draw).double() * (2 / 48) ** 0.5
            found.append((x_t, t, xi))
    return found
