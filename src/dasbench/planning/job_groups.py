"""The jobs of one rule and what they ask for, as ``dasbench.planning.workload`` counts them."""

from __future__ import annotations

from typing import NamedTuple

# kinds of work that a GPU does where there is one
DEVICE = ("train", "forward", "features")


class Group(NamedTuple):
    """The jobs of one rule.

    Attributes:
        rule: Its name, as Snakemake shows it.
        family: The name without the experiment: ``train_subsets_eval``.
        jobs: How many.
        work: kind -> amount of one job (the largest, where they differ).
        calls: Times that a batch goes through a network in one job.
        memory: Bytes of the arrays of one job that grow with the experiment.
    """

    rule: str
    family: str
    jobs: int
    work: dict[str, float]
    calls: int = 0
    memory: int = 0
