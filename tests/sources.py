"""Tiny archives in the exact official formats, written byte by byte."""

import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
from PIL import Image

from dasbench.data.photos import PHOTOGRAPHS


def pattern(count, shape, seed=0):
    """[count, *shape] uint8: noise, another one for every image."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def fashion(folder, count=8):
    """Four gzipped IDX files; labels count up modulo ten. Returns images and labels of both."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for prefix, seed in (("train", 0), ("t10k", 1)):
        images = pattern(count, (28, 28), seed)
        labels = np.arange(count, dtype=np.uint8) % 10
        files = {
            f"{prefix}-images-idx3-ubyte.gz": struct.pack(">4I", 0x803, count, 28, 28)
            + images.tobytes(),
            f"{prefix}-labels-idx1-ubyte.gz": struct.pack(">2I", 0x801, count) + labels.tobytes(),
        }
        for name, data in files.items():
            (folder / name).write_bytes(gzip.compress(data, mtime=0))
        made[prefix] = (images, labels)
    return made


def cifar_batches(count, classes=tuple(range(10))):
    """Five training batches and a test batch: name -> (rows [count, 3072] uint8, labels)."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    labels = [classes[i % len(classes)] for i in range(count)]
    return {name: (pattern(count, (3072,), seed), labels) for seed, name in enumerate(names)}


def cifar_binary(path, batches):
    """The binary archive: per image a byte of label, then red, green and blue planes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        add(archive, "cifar-10-batches-bin/batches.meta.txt", b"airplane\nautomobile\n")
        for name, (rows, labels) in batches.items():
            data = np.concatenate([np.asarray(labels, np.uint8)[:, None], rows], axis=1).tobytes()
            add(archive, f"cifar-10-batches-bin/{name}.bin", data)
    return path


def jpeg(seed, size=(178, 218)):
    """A smooth random picture, so that JPEG changes it little."""
    small = Image.fromarray(pattern(1, (4, 4, 3), seed)[0])
    file = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    return file.getvalue()


def png(seed, size=(40, 32)):
    """Noise, in the form that a PNG has."""
    file = io.BytesIO()
    Image.fromarray(pattern(1, (size[1], size[0], 3), seed)[0]).save(file, "PNG")
    return file.getvalue()


def celeba(folder, parts, zipped=False):
    """Aligned faces and the partition file; ``parts`` is a text such as "00122"."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:06d}.jpg" for i in range(1, len(parts) + 1)]
    lines = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    if zipped:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
            for seed, name in enumerate(names):
                archive.writestr(f"img_align_celeba/{name}", jpeg(seed))
    else:
        (folder / "img_align_celeba").mkdir()
        for seed, name in enumerate(names):
            (folder / "img_align_celeba" / name).write_bytes(jpeg(seed))


def artbench(path, styles, train, test, size=(256, 256)):
    """The ImageFolder archive: train/<style>/*.jpg and test/<style>/*.jpg."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for part, count in (("train", train), ("test", test)):
            for number, style in enumerate(styles):
                for i in range(count):
                    name = f"artbench-10-imagefolder-split/{part}/{style}/painter_{i:03d}.jpg"
                    add(archive, name, jpeg(number * 1000 + i + (part == "test") * 500, size))
    return path


def photos(folder, size=(256, 160)):
    """A smooth picture for each photograph, where Debian's packages put them; returns the paths."""
    paths = [folder / of.path for of in PHOTOGRAPHS]
    for seed, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed, size))
    return paths
