"""Scores that need the network itself, computed block by block for a method's whole grid.

A *computation* is a module of this wing with two functions. The option ``computation`` of a method
names it, and the rule ``compute_influence`` runs it:

values(problem)    the values of the method's parameter, [G] float64, such as its dampings.
blocks(problem)    yields ``Block``s that together hold the scores of all examples and queries.

Shapes: N training examples, Q queries of a kind, G values.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from dasbench.diffusion.process import Process


class Problem(NamedTuple):
    """What a computation receives.

    Attributes:
        network: The denoiser, in evaluation mode.
        process: Its process.
        settings: timesteps, draws and parameters of the gradients, and the method's options.
        axes: Leading seed axes: experiment, seed.
        images: [N, C, H, W] float32, the training examples as inputs of the network.
        examples: [N] ids, which key the noise.
        queries: Kind -> [Q, C, H, W] float32, in the order in which ``Block`` names kinds.
        dampings: The experiment's relative dampings; None for a method without damping.
    """

    network: torch.nn.Module
    process: Process
    settings: Mapping[str, Any]
    axes: Sequence[str | int]
    images: np.ndarray
    examples: np.ndarray
    queries: Mapping[str, np.ndarray]
    dampings: np.ndarray | None = None


class Block(NamedTuple):
    """Scores of some examples and some queries of one kind.

    Attributes:
        kind: "val" or "gen".
        rows: The examples.
        columns: The queries.
        scores: [G, n, q], finite.
    """

    kind: str
    rows: slice
    columns: slice
    scores: np.ndarray


def computation(name: str) -> ModuleType:
    """The module of a computation: the file of this name beside this one."""
    return importlib.import_module(f"{__package__}.{name}")
