"""Conditions: the class or the prompt that a network takes besides a noised image and a timestep.

Everywhere in the package, ``Condition`` holds the conditions of n images. It is None for a network
without conditions. Many images share one prompt, so a condition stores one row number of a table
for each image, and looks the rows up a batch at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Condition:
    """The conditions of n images.

    Attributes:
        keyword: Name of the argument of the network's forward pass that takes the condition.
        rows: [n] int64, row numbers of the table; without a table, the class labels themselves.
        table: [K, ...] embeddings, or None.
        nothing: Row that stands for "no condition", for guidance; None if there is no such row.
    """

    keyword: str
    rows: torch.Tensor
    table: torch.Tensor | None = None
    nothing: int | None = None

    def __getitem__(self, index: Any) -> Condition:
        """The conditions of some images, in the order of the index: slice, mask or positions."""
        return replace(self, rows=self.rows[index])

    def to(self, like: torch.Tensor) -> Condition:
        """A copy on the device of the tensor ``like``, with embeddings in its dtype."""
        table = None if self.table is None else self.table.to(like)
        return replace(self, rows=self.rows.to(like.device), table=table)

    def repeated(self, times: int) -> Condition:
        """The conditions of all images, repeated as ``Tensor.repeat`` repeats rows."""
        return replace(self, rows=self.rows.repeat(times))

    def dropped(self) -> Condition:
        """The same images without a condition.

        Raises:
            ValueError: If no row stands for "no condition".
        """
        if self.nothing is None:
            raise ValueError(f"{self.keyword} has no value that stands for no condition")
        return replace(self, rows=torch.full_like(self.rows, self.nothing))

    def arguments(self) -> dict[str, torch.Tensor]:
        """Keyword arguments of the forward pass, [n, ...]."""
        return {self.keyword: self.rows if self.table is None else self.table[self.rows]}


def of(keywords: Mapping[str, torch.Tensor]) -> Condition | None:
    """The condition with these keyword arguments of the forward pass; inverts ``arguments``."""
    return next((Condition(name, value) for name, value in keywords.items()), None)


def arguments(condition: Condition | None) -> dict[str, torch.Tensor]:
    """Keyword arguments of the forward pass; an empty dictionary without a condition."""
    return {} if condition is None else condition.arguments()
