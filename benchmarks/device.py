"""The engine on this machine's accelerator: arithmetic, layouts, compilation, many tiny models.

``./run bench device --repeats 3`` needs nothing but the repository. It is sized for 8 minutes on
one GPU, which nobody has measured yet. Without a GPU it runs on the CPU, where TF32, streams and
CUDA graphs are left out, and the page says that no GPU was measured.

Many tiny models fill a GPU only together. Three ways are timed: one after the other; each in a CUDA
stream of its own; and stacked, all models in one pass. A stacked convolution is ``unfold`` and a
batched product, because vmap turns ``conv2d`` into a grouped one, which is slow (pytorch#73764).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional

from benchmarks import timing
from benchmarks.problems import PROBLEMS, feature_settings
from dasbench.diffusion import checkpoints, denoiser

TOLERANCE = 1e-3  # of scores against the CPU's, relative to the largest
STEPS = 480  # optimizer steps of a subset model of digits


class Size(NamedTuple):
    """How much is timed: images of features and of a step, tiny models, examples of a kernel."""

    features: int
    step: int
    models: int
    examples: int
    dimensions: int


FULL, QUICK = Size(512, 128, 32, 5000, 4096), Size(4, 4, 3, 64, 1024)


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Throughputs, and differences from the CPU.

    Args:
        threads: Of torch.
        repeats: Turns that count.
        quick: Tiny sizes, to see that it runs.
    """
    checkpoints.use_threads(threads)
    device, size = checkpoints.pick_device(), QUICK if quick else FULL
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if gpu else None
    return {
        "gpu": name,
        "features": _features(device, size, repeats),
        "training_step": _steps(device, size, repeats, compiled=not quick),
        "tiny_models": _tiny(device, size, repeats),
        "kernel": _kernel(device, size, repeats),
        "agreement": agreement(device, size),
    }


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Matrix products and convolutions of a GPU with TF32, or without."""
    places = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = on
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            place.allow_tf32 = value


def _waited(device: torch.device, run: Callable[[], object]) -> Callable[[], object]:
    """The function, and then everything that it queued on the device."""

    def call() -> object:
        result = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    return call


def _rates(
    device: torch.device, things: dict[str, Callable[[], object]], count: int, repeats: int
) -> dict[str, dict[str, float]]:
    """Count per second of each thing, median and extremes."""
    waited = {name: _waited(device, run) for name, run in things.items()}
    turns = timing.interleaved(waited, repeats)
    return {name: timing.summary([count / s for s in turns[name]]) for name in things}


def _features(device: torch.device, size: Size, repeats: int) -> dict[str, Any]:
    """Images a second at T = 1, by the arithmetic of the network."""
    problem = PROBLEMS["fashion"](size.features)
    problem.unet.to(device)

    def run(dtype: str, fast: bool) -> Callable[[], object]:
        settings = feature_settings(1, size.dimensions, dtype=dtype, norms="projected")
        engine = problem.extractor(settings)

        def call() -> object:
            with tf32(fast):
                return engine(problem.images, range(len(problem.images)), "train")

        return call

    things = {"float32": run("float32", False), "bfloat16": run("bfloat16", False)}
    if device.type == "cuda":
        things["TF32"] = run("float32", True)
    return _rates(device, things, size.features, repeats)


def _steps(device: torch.device, size: Size, repeats: int, compiled: bool) -> dict[str, Any]:
    """Images a second of forward, backward and AdamW, by arithmetic, layout and compilation."""
    gpu = device.type == "cuda"
    things = {
        "float32": _step(device, size),
        "bfloat16": _step(device, size, autocast=True),
        "float32, channels last": _step(device, size, layout=torch.channels_last),
        "bfloat16, channels last": _step(device, size, autocast=True, layout=torch.channels_last),
    }
    if gpu:
        things["TF32"] = _step(device, size, fast=True)
    if compiled:
        things["bfloat16, compiled"] = _step(device, size, autocast=True, mode="default")
    if compiled and gpu:
        things["bfloat16, CUDA graphs"] = _step(device, size, autocast=True, mode="reduce-overhead")
    return _rates(device, things, size.step, repeats)


def _step(
    device: torch.device,
    size: Size,
    autocast: bool = False,
    fast: bool = False,
    layout: torch.memory_format = torch.contiguous_format,
    mode: str | None = None,
) -> Callable[[], object]:
    problem = PROBLEMS["fashion"](size.step)
    network = problem.unet.to(device, memory_format=layout).train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    called = network if mode is None else torch.compile(network, mode=mode)
    x_t, time, target = _batch(problem, device)
    x_t = x_t.contiguous(memory_format=layout)

    def run() -> None:
        arithmetic = torch.autocast(device.type, torch.bfloat16) if autocast else nullcontext()
        with tf32(fast), arithmetic:
            loss = (denoiser.predict(called, x_t, time) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def _batch(problem: Any, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """All images of a problem, noised; time arguments; targets."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(problem.images).to(device)
    noise = torch.from_numpy(rng.standard_normal(x.shape, np.float32)).to(device)
    t = torch.from_numpy(rng.integers(0, problem.process.total, len(x))).to(device)
    x_t, target = problem.process.pair(x, noise, t)
    return x_t, problem.process.time(t), target


def _tiny(device: torch.device, size: Size, repeats: int) -> dict[str, Any]:
    """Models an hour, each of ``STEPS`` gradients at digits' size and batch of 64."""
    problems = [PROBLEMS["digits"](64) for _ in range(size.models)]
    batch = _batch(problems[0], device)
    networks = [problem.unet.to(device) for problem in problems]
    things = {
        "one by one": lambda: [gradients(network, *batch) for network in networks],
        "stacked": lambda: stacked(networks, *batch),
    }
    if device.type == "cuda":
        streams = [torch.cuda.Stream(device) for _ in networks]

        def in_streams() -> None:
            for stream, network in zip(streams, networks, strict=True):
                with torch.cuda.stream(stream):
                    gradients(network, *batch)

        things["streams"] = in_streams
    return _rates(device, things, 3600 * size.models / STEPS, repeats)


def gradients(
    network: torch.nn.Module, x_t: torch.Tensor, time: torch.Tensor, target: torch.Tensor
) -> list[torch.Tensor]:
    """Gradients of the mean loss of one model, in the order of its parameters."""
    loss = (denoiser.predict(network, x_t, time) - target).square().mean()
    return list(torch.autograd.grad(loss, list(network.parameters())))


def stacked(
    networks: list[torch.nn.Module], x_t: torch.Tensor, time: torch.Tensor, target: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Gradients of the mean loss of many models at once, each [M, ...]."""
    weights, buffers = stack_module_state(networks)

    def loss(own: dict[str, torch.Tensor], fixed: dict[str, torch.Tensor]) -> torch.Tensor:
        def network(*args: Any) -> Any:
            return functional_call(networks[0], (own, fixed), args)

        return (denoiser.predict(network, x_t, time) - target).square().mean()

    with unfolded():
        return vmap(grad(loss))(weights, buffers)


@contextmanager
def unfolded() -> Iterator[None]:
    """Convolutions as products of patches, which vmap turns into batched products."""
    usual = torch.nn.Conv2d.forward

    def forward(self: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        if self.groups != 1 or self.padding_mode != "zeros":
            return usual(self, x)
        patches = functional.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        out = self.weight.flatten(1) @ patches
        if self.bias is not None:
            out = out + self.bias[:, None]
        sides = [
            (side + 2 * p - d * (k - 1) - 1) // s + 1
            for side, p, d, k, s in zip(
                x.shape[2:], self.padding, self.dilation, self.kernel_size, self.stride, strict=True
            )
        ]
        return out.unflatten(2, sides)

    torch.nn.Conv2d.forward = forward
    try:
        yield
    finally:
        torch.nn.Conv2d.forward = usual


def _kernel(device: torch.device, size: Size, repeats: int) -> dict[str, Any]:
    """Kernels a second: product and eigendecomposition in float64."""
    phi = torch.randn(size.examples, size.dimensions, dtype=torch.float64)
    places = {"CPU": phi} | ({"GPU": phi.to(device)} if device.type == "cuda" else {})
    things = {name: lambda one=one: torch.linalg.eigh(one @ one.T) for name, one in places.items()}
    return _rates(device, things, 1, min(repeats, 2))


def agreement(device: torch.device, size: Size) -> dict[str, float]:
    """Largest difference of D-TRAK-like scores from the CPU's, relative to the largest score."""
    count = min(size.features, 64)
    problem = PROBLEMS["digits"](count)
    settings = feature_settings(2, min(size.dimensions, 1024), norms="projected")
    settings |= {"readout": "square", "normalise": False}

    def scores() -> np.ndarray:
        with tf32(False):
            (phi,) = problem.extractor(settings)(problem.images, range(count), "train")
        phi = phi.astype(np.float64)
        kernel = phi @ phi.T
        damping = 1e-2 * np.linalg.eigvalsh(kernel)[-1]
        return np.linalg.solve(kernel + damping * np.eye(count), kernel)

    here = scores()
    problem.unet.to(device)
    there = scores()
    worst = float(np.abs(here - there).max() / np.abs(here).max())
    return {"worst": worst, "tolerance": TOLERANCE}


def flat(by_threads: dict[str, Any]) -> dict[str, float]:
    """No number of this part has a limit."""
    return {}
