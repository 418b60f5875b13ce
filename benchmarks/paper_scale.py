"""What the paper's cifar10 would cost: counted operations times measured speed.

Operations are counted by torch on models without memory (device ``meta``): 2 for a multiply-add.
What is counted: convolutions, matrix products, attention; the rest is a few percent of these.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DModel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.problems import PROBLEMS

# the model of the paper's cifar experiments, as Ho et al. (2020) have it
CIFAR10 = {
    "sample_size": 32,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": (128, 256, 256, 256),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "resnet_time_scale_shift": "scale_shift",
    "dropout": 0.1,
}
EXAMPLES, QUERIES, TIMESTEPS, DIMENSIONS = 50_000, 2000, 100, 4096
DAY = 86_400


def operations(unet: torch.nn.Module, shape: tuple[int, int, int]) -> dict[str, float]:
    """Parameters, and operations per image: forward, and a training step.

    Args:
        unet: Its weights are not read; a copy without memory is run.
        shape: (C, H, W).
    """
    ghost = unet.to("meta")
    x, t = torch.empty(1, *shape, device="meta"), torch.zeros(1, device="meta", dtype=torch.long)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        ghost(x, t)
    with FlopCounterMode(display=False) as step:
        ghost(x, t).sample.square().mean().backward()
    return {
        "parameters": sum(w.numel() for w in ghost.parameters()),
        "forward": forward.get_total_flops(),
        "training_step": step.get_total_flops(),
    }


def counted() -> dict[str, dict[str, float]]:
    """Operations of the models that are timed, and of cifar10's."""
    found = {}
    for name, make in PROBLEMS.items():
        problem = make(1)
        found[name] = operations(problem.unet, problem.images.shape[1:])
    with torch.device("meta"):
        unet = UNet2DModel(**CIFAR10)
    found["cifar10"] = operations(unet, (3, 32, 32))
    return found


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Count; nothing is timed here.

    Args:
        threads: Unused.
        repeats: Unused.
        quick: Unused: counting takes seconds.
    """
    del threads, repeats, quick
    return {"operations": counted()}


def predicted(operations_of: dict[str, Any], measured: dict[str, Any]) -> dict[str, float]:
    """Core days of cifar10's features at the speed that was measured at fashion size.

    Speed is operations of a training step over its seconds; ours takes its measured ratio of a
    step. The released form takes its measured multiple of a step for gradients, and its dense
    product 2 p P operations per image at the speed measured for that product.

    Args:
        operations_of: From ``counted``.
        measured: Details of ``benchmarks.features`` at fashion size, one thread.
    """
    small, large = operations_of["fashion"], operations_of["cifar10"]
    engines, released = measured["engines"]["T=10"], measured["released"]["T=10"]
    step_seconds = engines["ms"]["training_step"]["median"] / 1e3
    speed = small["training_step"] / step_seconds
    step = large["training_step"] / speed
    images = EXAMPLES + QUERIES
    gradients = released["ms"]["gradients"]["median"] / 10 / 1e3 / step_seconds
    product_speed = (
        2 * small["parameters"] * DIMENSIONS / (released["ms"]["product"]["median"] / 1e3)
    )
    product = 2 * large["parameters"] * DIMENSIONS / product_speed
    return {
        "operations_per_second": speed,
        "training_step_seconds": step,
        "ours_days": images * TIMESTEPS * step * engines["ratio"]["median"] / DAY,
        "released_gradients_days": images * TIMESTEPS * step * gradients / DAY,
        "released_product_days": images * product / DAY,
        "dense_matrix_gb": 4 * large["parameters"] * DIMENSIONS / 1e9,
    }


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """No flat keys."""
    del details
    return {}
