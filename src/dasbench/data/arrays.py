"""Images that a Python program hands over, in one form: [n, H, W, C] uint8.

What can mean one thing only is converted: pictures of Pillow, whole numbers from 0 to 255 in either
order of axes, one image alone, lists of images, tensors on any device. The rest is refused, since a
wrong guess gives wrong scores without a word: floats and booleans, other sizes, other channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from dasbench.data import decode
from dasbench.errors import UserError, say

_WHITE = 255


def images(value: Any, shape: tuple[int, int, int], what: str) -> np.ndarray:
    """Convert images.

    Args:
        value: An array or tensor of images, one image, or a list of images.
        shape: (C, H, W) of the model.
        what: Name of the images, in the plural, for messages.

    Returns:
        [n, H, W, C] uint8, n at least 1.

    Raises:
        UserError: If it is not certain what the numbers mean, or they do not fit the model.
    """
    parts = _parts(value, shape, what)
    if parts is None:
        converted = _batch(_whole(_numpy(value, what), what), shape, what)
    else:
        for part in parts:
            if part.shape != parts[0].shape:
                raise UserError(
                    f"{what} have different shapes, such as {parts[0].shape} and {part.shape}; "
                    "resize them"
                )
        if not parts:
            raise UserError(f"{what} are empty; expected one image or more")
        # each part is one image: never an axis of a single image
        stacked = [_batch(part, shape, what, one=True) for part in parts]
        converted = np.concatenate(stacked)
    if not len(converted):
        raise UserError(f"{what} are empty; expected one image or more")
    if converted.max() == 1:
        raise UserError(
            f"{what} hold no other numbers than 0 and 1, expected 0 for black to {_WHITE} for "
            f"white; multiply them by {_WHITE}"
        )
    return np.ascontiguousarray(converted)


def _parts(value: Any, shape: tuple[int, int, int], what: str) -> list[np.ndarray] | None:
    """The images of a list, each an array of whole numbers; None for one array of images."""
    if isinstance(value, Image.Image):
        value = [value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = list(value.ravel()) if value.ndim else [value.item()]
    if not isinstance(value, list | tuple):
        return None
    if value and not any(isinstance(v, Image.Image) or hasattr(v, "__array__") for v in value):
        return None  # numbers in nested lists
    pictures = [v for v in value if isinstance(v, Image.Image)]
    converted = iter(_pillow(pictures, shape, what))
    return [
        next(converted) if isinstance(v, Image.Image) else _whole(_numpy(v, what), what)
        for v in value
    ]


def _pillow(
    pictures: list[Image.Image], shape: tuple[int, int, int], what: str
) -> list[np.ndarray]:
    """Arrays [H, W, C] uint8 of pictures; 16 bits must be filled by one of them."""
    channels, height, width = shape
    if pictures and channels not in (1, 3):
        raise UserError(f"{what} are pictures, the model has {channels} channels; give arrays")
    found, peaks = [], []
    for picture in pictures:
        try:
            array, peak = decode.converted(picture, channels)
        except decode.UnreadableError as error:
            raise UserError(f"{what} hold a picture that cannot be used: {error}") from error
        if array.shape[:2] != (height, width):
            raise UserError(
                f"{what} hold a picture with (height, width) {array.shape[:2]}, the model works on "
                f"{(height, width)}; resize them"
            )
        found.append(array)
        peaks += [] if peak is None else [peak]
    if 0 < max(peaks, default=0) <= decode.DARK:
        raise UserError(
            f"{what} hold pictures of 16 bits whose largest number anywhere is {max(peaks)}, so "
            "they would be nearly black; give arrays of uint8, scaled by what is white for them"
        )
    return found


def _numpy(value: Any, what: str) -> np.ndarray:
    """An array of any object that has one; tensors are brought to the CPU."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.is_floating_point():
            value = value.double()  # numpy has no bfloat16
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{what} are a {type(value).__name__} that is no array of images ({error}); expected "
            "[n, height, width, channels] uint8"
        ) from error
    if np.ma.is_masked(value):
        raise UserError(
            f"{what} are an array of which a part is masked, expected a number for every pixel; "
            "fill it by .filled(NUMBER)"
        )
    if array.dtype == object or array.dtype.kind not in "biuf":
        raise UserError(
            f"{what} are a {type(value).__name__} of {array.dtype}, expected [n, height, width, "
            "channels] uint8"
        )
    return array


def _whole(array: np.ndarray, what: str) -> np.ndarray:
    """The same numbers as uint8, if they are whole numbers from 0 to 255."""
    if array.dtype == np.uint8 or not array.size:
        return array.astype(np.uint8)
    low, high = array.min(), array.max()
    if array.dtype.kind == "b":
        how = f"multiply them by {_WHITE} as uint8 if True is white"
    elif array.dtype.kind == "f":
        scale = "(x + 1) * 127.5" if low < 0 else "x * 255" if high <= 1 else "x"
        how = f'give numpy.rint({scale}).astype("uint8") if that is what they mean'
    elif array.dtype == np.uint16 or low < 0 or high > _WHITE:
        how = "scale them to it"
    else:
        return array.astype(np.uint8)
    raise UserError(
        f"{what} are {array.dtype} from {low} to {high}, expected uint8 from 0 for black to "
        f"{_WHITE} for white; {how}"
    )


def _batch(
    array: np.ndarray, shape: tuple[int, int, int], what: str, one: bool = False
) -> np.ndarray:
    """[n, H, W, C] of an array in any order of axes; of two that fit, in this one."""
    channels, height, width = shape
    last, first, plain = (height, width, channels), (channels, height, width), (height, width)
    grey = channels == 1
    readings = [
        (not one and array.shape[1:] == last and array.ndim == 4, lambda: array),  # noqa: PLR2004
        (
            not one and array.shape[1:] == first and array.ndim == 4,  # noqa: PLR2004
            lambda: array.transpose(0, 2, 3, 1),
        ),
        (array.shape == last, lambda: array[None]),
        (array.shape == first, lambda: array.transpose(1, 2, 0)[None]),
        (not one and grey and array.shape[1:] == plain, lambda: array[..., None]),
        (grey and array.shape == plain, lambda: array[None, ..., None]),
        (one and array.shape in ((1, *last), (1, *first)), lambda: _batch(array[0], shape, what)),
    ]
    fitting = [reading for fits, reading in readings if fits]
    if channels == height == width > 1:
        say(
            f"{what} have the shape {list(array.shape)}, in which the channels may come first or "
            "last; they are read as [height, width, channels]"
        )
    if fitting:
        return fitting[0]()
    if not array.size:
        raise UserError(f"{what} are empty; expected one image or more")
    n = "" if one else "n, "
    raise UserError(
        f"{what} have the shape {list(array.shape)}, the model works on [{n}{height}, {width}, "
        f"{channels}] (height, width, channels); resize them, or give them as many channels"
    )
