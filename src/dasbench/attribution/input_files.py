"""The files of a method's inputs: the flags of the scripts that read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def _flag(words: str, several: bool = False) -> Any:
    """An optional field of ``Files``."""
    return field(default=() if several else None, metadata={"help": words, "several": several})


@dataclass(frozen=True)
class Files:
    """The files of a method; each field is a flag of the scripts, with its help text.

    One folder stands for all files with fixed names in it.
    """

    examples: Path = field(metadata={"help": "training split, .npz"})
    queries: Path = field(metadata={"help": "folder of the queries"})
    features: tuple[Path, ...] = _flag("folders with train.npy, val.npy, gen.npy", several=True)
    spectrum: Path | None = _flag("folder of the features' decomposition")
    journey: Path | None = _flag("[Q, P] .npy, instead of the features' gen.npy")
    timesteps: Path | None = _flag("folder like --features, by timestep")
    residuals: Path | None = _flag("[N] .npy")
    residuals_by_timestep: Path | None = _flag("[T, N] .npy")
    scores_val: Path | None = _flag("[N, Q] .npy, somebody else's scores")
    scores_gen: Path | None = _flag("[N, Q] .npy, somebody else's scores")
    tuning_masks: Path | None = _flag("[M, N] .npy of the tuning subsets")
    tuning_val: Path | None = _flag("[R, M, Q] .npy of the tuning subsets")
    tuning_gen: Path | None = _flag("[R, M, Q] .npy of the tuning subsets")
    uses: Path | None = _flag("uses of the queries, .json")
    computed: Path | None = _flag("folder with dampings.npy and scores")
