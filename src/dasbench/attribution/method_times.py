"""The cost of a method of the kernel family: seconds of each of its parts, in this process.

The parts, from a loaded model to scores:

features    features of the training images and of both kinds of queries; drawing the projections
            is included
residuals   residuals, if the method uses them
decompose   decomposition of its kernel, or of one kernel for each timestep
score       scores of all queries at one damping

Start-up, training, and reading or writing files are not included.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dasbench.attribution import candidates, decomposition
from dasbench.attribution.spectrum import Spectrum
from dasbench.core.query_kinds import KINDS

if TYPE_CHECKING:  # torch is loaded when a method is timed
    import torch

    from dasbench.diffusion.process import Process
    from dasbench.gradients import features

PARTS = ("features", "residuals", "decompose", "score")


def method(
    unet: torch.nn.Module,
    process: Process,
    images: Mapping[str, np.ndarray],
    own: Mapping[str, Any],
    axes: list,
) -> dict[str, float]:
    """Seconds of each part of one method, and P.

    Args:
        unet: The denoiser, in evaluation mode.
        process: The diffusion process of the denoiser.
        images: split -> [n, C, H, W] float32.
        own: Settings of the method: kernel (averaged, per_t), features, residuals (None: none).
        axes: Leading seed axes.
    """
    from dasbench.gradients import features, residuals

    marks, phi, settings = [time.perf_counter()], {}, own["features"]
    extractor = features.Extractor(unet, process, settings, axes)
    count = settings["candidates"] or len(images["train"])
    kinds = [kind for kind in KINDS if kind in images]
    queries = np.concatenate([images[kind] for kind in kinds])
    is_candidate = candidates.nearest(images["train"], queries, count).any(axis=1)
    for split, pixels in images.items():
        use = is_candidate if split == "train" else np.ones(len(pixels), bool)
        stacked = _stacked(extractor, own["kernel"], pixels[use], np.flatnonzero(use), split)
        phi[split] = np.zeros((len(stacked), len(pixels), stacked.shape[2]), np.float32)
        phi[split][:, use] = stacked
    marks.append(time.perf_counter())
    if own["residuals"]:
        ids = np.arange(len(images["train"]))
        residuals.compute(unet, process, images["train"], ids, own["residuals"], axes)
    marks.append(time.perf_counter())
    seconds = dict(zip(PARTS, [*np.diff(marks), 0.0, 0.0], strict=True))
    for step, train in enumerate(phi["train"]):
        start = time.perf_counter()
        decomposed = decomposition.decompose(train)
        middle = time.perf_counter()
        spectrum = Spectrum(train, decomposed=decomposed)
        spectrum.one_minus_leverage(0.01)
        for kind in kinds:
            spectrum.of(phi[kind][step]).inner(0.01)
        seconds["decompose"] += middle - start
        seconds["score"] += time.perf_counter() - middle
    return {part: float(s) for part, s in seconds.items()} | {"P": phi["train"].shape[2]}


def _stacked(
    extractor: features.Extractor, kernel: str, images: np.ndarray, examples: np.ndarray, split: str
) -> np.ndarray:
    """Features [K, n, P] for K kernels: K = 1 (averaged over timesteps), or K = T."""
    if kernel == "averaged":
        return np.hstack(extractor(images, examples, split))[None]
    return np.concatenate(extractor.by_timestep(images, examples, split), axis=2)
