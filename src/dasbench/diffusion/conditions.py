"""What a network takes besides a noised image and its timestep: a class, a prompt, or nothing.

Everywhere in the package a *condition* belongs to n images as ``Condition``, or is None where the
network takes nothing more. Prompts are many images to one, so a condition is a row of a table for
each image, and the rows are looked up a batch at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class Condition:
    """The condition of n images.

    Attributes:
        keyword: Argument of the network's forward pass that takes it.
        rows: [n] int64, row numbers of the table; without a table, the class labels themselves.
        table: [K, ...] embeddings, or None.
        nothing: Row that stands for no condition, for guidance; None where there is none.
    """

    keyword: str
    rows: torch.Tensor
    table: torch.Tensor | None = None
    nothing: int | None = None

    def __getitem__(self, index: Any) -> Condition:
        """Of some of the images, in the order of the index (a slice, a mask, or positions)."""
        return replace(self, rows=self.rows[index])

    def to(self, like: torch.Tensor) -> Condition:
        """On the device of a tensor; embeddings in its dtype."""
        table = None if self.table is None else self.table.to(like)
        return replace(self, rows=self.rows.to(like.device), table=table)

    def repeated(self, times: int) -> Condition:
        """Of the images repeated as a whole, as ``Tensor.repeat`` does."""
        return replace(self, rows=self.rows.repeat(times))

    def dropped(self) -> Condition:
        """The same images without a condition.

        Raises:
            ValueError: If nothing stands for that.
        """
        if self.nothing is None:
            raise ValueError(f"{self.keyword} has no value that stands for no condition")
        return replace(self, rows=torch.full_like(self.rows, self.nothing))

    def arguments(self) -> dict[str, torch.Tensor]:
        """Keyword arguments of the forward pass, [n, ...]."""
        return {self.keyword: self.rows if self.table is None else self.table[self.rows]}


def of(keywords: Mapping[str, torch.Tensor]) -> Condition | None:
    """The condition with these arguments of the forward pass, the inverse of ``arguments``."""
    return next((Condition(name, value) for name, value in keywords.items()), None)


def arguments(condition: Condition | None) -> dict[str, torch.Tensor]:
    """Keyword arguments of the forward pass; none for no condition."""
    return {} if condition is None else condition.arguments()
