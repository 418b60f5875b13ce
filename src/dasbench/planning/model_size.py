"""The size of a model, and of the layers that models consist of."""

from __future__ import annotations

from typing import NamedTuple


class Size(NamedTuple):
    """Operations and parameters of one model.

    Attributes:
        flops: Floating point operations of a forward pass of one image; a multiply-add is two.
        parameters: Numbers in its weights.
    """

    flops: int
    parameters: int

    def __add__(self, other: Size) -> Size:
        """Size of two models, one after the other."""
        return Size(self.flops + other.flops, self.parameters + other.parameters)


def conv(c_in: int, c_out: int, kernel: int, area: int) -> Size:
    """A convolution with bias, at ``area`` positions of its output."""
    weights = c_in * c_out * kernel**2
    return Size(2 * weights * area, weights + c_out)


def linear(c_in: int, c_out: int, rows: int) -> Size:
    """A linear layer with bias, on ``rows`` rows."""
    return conv(c_in, c_out, 1, rows)


def norm(channels: int) -> Size:
    """A norm layer with scale and shift."""
    return Size(0, 2 * channels)
