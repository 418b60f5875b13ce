"""The cost of one job, in numbers that follow from the experiment file alone, and counts of jobs.

*Work* is counted in units that take equal time: floating point operations of a kind (``train``,
``forward``, ``features:<projection>``, ``kernel``) or other counts (``bootstrap``).
``dasbench.planning.rates`` turns work into seconds.
"""

from __future__ import annotations

from typing import NamedTuple

# kinds of work that a GPU does where there is one
DEVICE = ("train", "forward", "features")


class Cost(NamedTuple):
    """Cost of one job of a rule: mean work over the rule's jobs, memory of the largest.

    Attributes:
        family: The rule's name without the experiment: ``train_subsets_eval``.
        work: kind -> amount.
        calls: Number of batches that go through a network.
        memory: Bytes of the arrays that grow with the experiment.
        models: How many models the job trains or imports.
    """

    family: str
    work: dict[str, float]
    calls: int = 0
    memory: int = 0
    models: int = 0

    def scaled(self, share: float) -> Cost:
        """The cost of a share of the job's work and calls, with the same memory and models."""
        work = {kind: share * amount for kind, amount in self.work.items()}
        return self._replace(work=work, calls=round(share * self.calls))


class Jobs(NamedTuple):
    """The planned jobs of one rule.

    Attributes:
        rule: Its name, as Snakemake shows it: ``train_subsets_eval_smoke``.
        family: The name without the experiment, as in ``Cost``.
        jobs: Number of jobs.
    """

    rule: str
    family: str
    jobs: int


def is_device(kind: str) -> bool:
    """Whether a network does this kind of work."""
    return kind.split(":")[0] in DEVICE


def on_device(cost: Cost) -> bool:
    """Whether a job runs a network."""
    return any(map(is_device, cost.work))
