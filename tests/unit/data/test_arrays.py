"""Images that a program hands over: converted where they mean one thing, else refused."""

import numpy as np
import pytest
import torch
from PIL import Image

import dasbench
from dasbench.data import arrays
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny import DIFFUSION, MODEL

RGB, GREY = (3, 8, 8), (1, 8, 8)
X = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
G = X[..., :1]


def objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


SAME = {
    "channels last": (X, RGB),
    "channels first": (X.transpose(0, 3, 1, 2), RGB),
    "a list of arrays": (list(X), RGB),
    "a tuple, channels first": (tuple(X.transpose(0, 3, 1, 2)), RGB),
    "pictures": ([Image.fromarray(x) for x in X], RGB),
    "pictures and arrays": ([Image.fromarray(X[0]), *X[1:]], RGB),
    "objects": (objects(list(X)), RGB),
    "a tensor": (torch.from_numpy(X), RGB),
    "a tensor, channels first": (torch.from_numpy(X).permute(0, 3, 1, 2), RGB),
    "a tensor in channels_last": (
        torch.from_numpy(X).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last),
        RGB,
    ),
    "tensors": ([torch.from_numpy(x) for x in X], RGB),
    "int64": (X.astype(np.int64), RGB),
    "a tensor of int64": (torch.from_numpy(X).long(), RGB),
    "big-endian": (X.astype(">i4"), RGB),
    "nested lists": (X.tolist(), RGB),
    "read-only": (np.broadcast_to(X, X.shape), RGB),
    "grey": (G, GREY),
    "grey without channels": (G[..., 0], GREY),
    "grey, channels first": (G.transpose(0, 3, 1, 2), GREY),
    "a list of grey": ([g[..., 0] for g in G], GREY),
    "a tensor of grey": (torch.from_numpy(G[..., 0].copy()), GREY),
    "grey pictures": ([Image.fromarray(g[..., 0]) for g in G], GREY),
    "a list of batches of one": ([G[i : i + 1] for i in range(5)], GREY),
}
ONE = {
    "an image": (X[0], RGB),
    "an image, channels first": (X[0].transpose(2, 0, 1), RGB),
    "a picture": (Image.fromarray(X[0]), RGB),
    "a tensor": (torch.from_numpy(X[0]), RGB),
    "a grey image": (G[0], GREY),
    "a grey image without channels": (G[0, ..., 0], GREY),
    "a list of one": ([X[0]], RGB),
}
REFUSED = {
    "from 0 to 1": (X / 255, RGB, r"float64 from 0\.0 to 1\.0.*x \* 255"),
    "from -1 to 1": ((X / 127.5 - 1).astype("f4"), RGB, r"float32 from -1\.0.*\(x \+ 1\)"),
    "floats to 255": (X.astype("f8"), RGB, r"numpy\.rint\(x\)"),
    "a tensor of floats": (torch.from_numpy(X / 255), RGB, "float64 from 0"),
    "half precision": (torch.from_numpy(X / 255).bfloat16(), RGB, "from 0"),
    "not a number": (np.full(X.shape, np.nan), RGB, "nan"),
    "bool": (X > 100, RGB, "bool"),
    "zeros and ones": ((X > 100).astype(np.uint8), RGB, "no other numbers than 0 and 1"),
    "16 bits": (X.astype(np.uint16), RGB, "uint16"),
    "negative": (X.astype(np.int16) - 128, RGB, "int16 from -128"),
    "too large": (X.astype(np.int64) * 2, RGB, "int64 from 0 to 510"),
    "none": ([], RGB, "empty"),
    "an empty array": (X[:0], RGB, "empty"),
    "grey for colour": (G, RGB, r"\[5, 8, 8, 1\].*\[n, 8, 8, 3\]"),
    "NHW for colour": (G[..., 0], RGB, r"\[5, 8, 8\]"),
    "colour for grey": (X, GREY, r"\[5, 8, 8, 3\].*\[n, 8, 8, 1\]"),
    "with alpha": (np.concatenate([X, G], -1), RGB, "channels"),
    "another size": (X[:, :4], RGB, "resize them"),
    "pictures of another size": ([Image.new("RGB", (9, 8))], RGB, r"\(8, 9\).*resize them"),
    "different sizes": ([X[0], X[0, :4]], RGB, "different shapes"),
    "text": ("a.png", RGB, "a str"),
    "a dict": ({"images": X}, RGB, "a dict"),
    "nothing": (None, RGB, "a NoneType"),
    "numbers as objects": (X.astype(object), RGB, "of object"),
    "a mask": (np.ma.masked_greater(X, 9), RGB, "a part is masked"),
    "a number": (3, GREY, r"\[\]"),
}


@pytest.mark.parametrize(("value", "shape"), SAME.values(), ids=SAME)
def test_what_is_clear_is_converted(value, shape):
    read = arrays.images(value, shape, "queries")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, X if shape == RGB else G)


@pytest.mark.parametrize(("value", "shape"), ONE.values(), ids=ONE)
def test_one_image_is_a_batch_of_one(value, shape):
    np.testing.assert_array_equal(
        arrays.images(value, shape, "queries"), (X if shape == RGB else G)[:1]
    )


@pytest.mark.parametrize(("value", "shape", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_clear_is_refused_in_a_sentence(value, shape, told):
    with pytest.raises(UserError, match=told) as error:
        arrays.images(value, shape, "queries")
    assert str(error.value).startswith("queries ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK", "1", "LA", "L", "I;16"])
def test_pictures_of_every_mode_are_converted_as_files_are(mode):
    picture = Image.fromarray(X[0]).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    read = arrays.images([picture], RGB, "queries")
    assert read.shape == (1, 8, 8, 3)
    assert read.max() > 200


def test_black_images_are_images():
    assert not arrays.images(np.zeros((2, 8, 8, 3), np.uint8), RGB, "queries").any()


@pytest.fixture(scope="module")
def pair():
    unet, process = pixel.build(MODEL, DIFFUSION, RGB, ("arrays", 0))
    return unet.eval(), process


def test_training_images_stand_first_behind_themselves_in_every_form(pair):
    sizes = {"timesteps": 3, "dimensions": 512, "damping": 1e-6}
    expected = dasbench.attribute(pair, X, X, **sizes)
    assert expected.argmax(0).tolist() == [0, 1, 2, 3, 4]
    for form in ("channels first", "pictures", "a tensor in channels_last", "int64"):
        np.testing.assert_array_equal(dasbench.attribute(pair, X, SAME[form][0], **sizes), expected)
        np.testing.assert_array_equal(dasbench.attribute(pair, SAME[form][0], X, **sizes), expected)
    assert dasbench.attribute(pair, X, X[2], **sizes).shape == (5, 1)


@pytest.mark.parametrize("form", ["from 0 to 1", "from -1 to 1", "bool", "none", "another size"])
def test_the_door_refuses_the_others(pair, form):
    with pytest.raises(UserError, match="^queries "):
        dasbench.attribute(pair, X, REFUSED[form][0], timesteps=2, dimensions=64)
    with pytest.raises(UserError, match="^training images "):
        dasbench.attribute(pair, REFUSED[form][0], X, timesteps=2, dimensions=64)
