"""The work of building an index: prediction, lock, chunks that are missing, and progress."""

from __future__ import annotations

import fcntl
import math
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dasbench.commands.index_manifest import Manifest
from dasbench.core.blocks import BLOCK
from dasbench.core.hashed_chunks import Chunks
from dasbench.errors import UserError
from dasbench.planning import kernel_cost

FLOPS = 2e10  # a second in float64, assumed of linear algebra: one core of a laptop
HEADROOM = 2.0**-4  # stored root mean square: half precision reaches from 2^-24 to 2^16
GROUPS = Path("/sys/fs/cgroup")  # limits of containers
OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Share:
    """The chunks that one of several processes computes: those at number, number + count and so on.

    Attributes:
        number: From 1.
        count: Of processes.
    """

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> Share:
        """The share of a text such as ``2/8``.

        Raises:
            UserError: If the text is something else.
        """
        number, _, count = text.partition("/") if isinstance(text, str) else ("", "", "")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UserError(f"shard is {text!r}, expected a number and a count such as 2/8")
        return cls(int(number), int(count))

    def of(self, rows: Sequence[Any]) -> list[Any]:
        """The chunks of this process."""
        return list(rows[self.number - 1 :: self.count])


@contextmanager
def device_of(share: Share | None) -> Iterator[None]:
    """Let "cuda" be another GPU for each share, in turn, unless the user has set DAS_DEVICE."""
    import torch

    free = share is not None and not os.environ.get("DAS_DEVICE")
    count = torch.cuda.device_count() if free else 0
    with torch.cuda.device((share.number - 1) % count) if count > 1 else nullcontext():
        yield


@contextmanager
def locked(folder: Path, share: Share | None = None) -> Iterator[None]:
    """Hold the lock of an index; it ends with the process. Different shares may work at once.

    Raises:
        UserError: If another process holds it, or the folder cannot be written.
    """
    kinds = [(folder / ".lock", fcntl.LOCK_SH if share else fcntl.LOCK_EX)]
    if share:
        kinds.append((folder / f".lock-{share.number}-of-{share.count}", fcntl.LOCK_EX))
    descriptors = []
    try:
        for path, kind in kinds:
            descriptors.append(_opened(path))
            try:
                fcntl.flock(descriptors[-1], kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"another process is building the index in {folder}; wait until it has ended, "
                    "or stop it"
                ) from error
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Delete what killed processes had begun to write. Whoever calls it holds the lock alone."""
    for part in [*folder.rglob(".part-*")]:
        shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.strerror}); give another folder, or mend its "
            "permissions"
        ) from error


def scale_of(features: np.ndarray) -> float:
    """A power of two that brings the root mean square of features to about ``HEADROOM``."""
    mean_square = float(np.square(features, dtype=np.float64).mean())
    if not np.isfinite(mean_square):
        raise UserError(
            "the gradient of a training image is not finite: the network gives no numbers at one "
            "of the timesteps; its weights and its noise process do not fit together"
        )
    return 2.0 ** round(np.log2(HEADROOM / np.sqrt(mean_square))) if mean_square else 1.0


class Missing(NamedTuple):
    """What a process has to compute of an index.

    Attributes:
        features: Images times slabs.
        kernels: Slabs.
        disk: Bytes of these, and of latents, residuals and pictures.
    """

    features: int
    kernels: int
    disk: int


def missing(
    folder: Path, manifest: Manifest, latents: Sequence[Chunks], share: Share | None
) -> Missing:
    """What is missing of an index; files that are there count as sound, to save time.

    Args:
        folder: Of the index.
        manifest: The index; pictures whose files it does not name are missing, too.
        latents: Of the training images and the decoys, if the model takes latents.
        share: Of this process; None: everything.
    """
    slabs, residuals = manifest.slabs(folder), manifest.residuals(folder)
    features = [chunks for slab in slabs for chunks in (slab.train, slab.decoys)]
    arrays = [*features, *latents, *([residuals] if residuals else [])]
    rows = [_absent(chunks, share) for chunks in arrays]
    numbers = zip(rows, arrays, strict=True)
    disk = sum(count * chunks.shape[1] * chunks.dtype.itemsize for count, chunks in numbers)
    small = min(manifest.count, manifest.width)
    kernel = 8 * small * (small + 1) + 8 * manifest.count
    unfitted = [] if share else [slab for slab in slabs if not slab.is_fitted()]
    for slab in unfitted:  # the arrays of a smaller index are replaced
        disk += max(0, kernel - sum(file.stat().st_size for file in slab.folder.glob("*.npy")))
    for name, count in (("pixels", manifest.count), ("decoys", manifest.decoys)):
        disk += 0 if name in manifest.files else count * math.prod(manifest.shape)
    return Missing(sum(rows[: len(features)]), len(unfitted), disk)


def _absent(chunks: Chunks, share: Share | None) -> int:
    """Number of images whose chunk is not there."""
    there = {file.stem.rpartition("-")[0] for file in chunks.folder.glob("*-*.npy")}
    pairs = list(zip(chunks.rows, chunks.paths, strict=True))
    pairs = share.of(pairs) if share else pairs
    return sum(rows.stop - rows.start for rows, path in pairs if path.stem not in there)


@dataclass(frozen=True)
class Prediction:
    """What building an index, or the rest of it, will take.

    Attributes:
        seconds: Of features and kernels.
        memory: Bytes.
        disk: Bytes.
    """

    seconds: float
    memory: int
    disk: int

    def __str__(self) -> str:
        """Such as ``12 minutes, 1.4 GB of memory, 1.3 GB of disk``."""
        return f"{duration(self.seconds)}, {_gb(self.memory)} of memory, {_gb(self.disk)} of disk"


def predict(manifest: Manifest, work: Missing, rate: float) -> Prediction:
    """Predict some work.

    Args:
        manifest: The index.
        work: What is missing of it.
        rate: Seconds of one image at one slab, as measured.
    """
    n, p = manifest.count, manifest.width
    small = min(n, p)
    kernel = kernel_cost.decomposition(n, p) + 2.0 * n * p * small
    seconds = rate * work.features + work.kernels * kernel / FLOPS
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    memory = resident + 4 * BLOCK + (40 * small**2 if work.kernels else 0)
    return Prediction(seconds, memory, work.disk)


def refuse(prediction: Prediction, folder: Path) -> None:
    """Refuse work that cannot fit.

    Raises:
        UserError: If the disk, or the memory of this machine or container, is too small.
    """
    present = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    free = shutil.disk_usage(present).free
    if prediction.disk > free:
        raise UserError(
            f"the index needs {_gb(prediction.disk)} in {folder}, but {_gb(free)} are free; make "
            "room, or build one with fewer timesteps or dimensions"
        )
    total = memory_limit()
    if prediction.memory > total:
        raise UserError(
            f"the index needs {_gb(prediction.memory)} of memory, but this machine or container "
            f"has {_gb(total)}; build one with fewer dimensions"
        )


def memory_limit() -> int:
    """Bytes of memory of this machine, or of the container if that has fewer."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    groups = OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.is_file() else []
    for _, kinds, group in (line.split(":", 2) for line in groups):
        if kinds not in ("", "memory"):
            continue
        place = GROUPS / kinds / group.lstrip("/")
        name = "memory.limit_in_bytes" if kinds else "memory.max"  # of versions 1 and 2
        # a container may see its own group as the topmost one
        for file in (folder / name for folder in (place, *place.parents)):
            text = file.read_text().strip() if file.is_file() else ""
            limits += [int(text)] if text.isdecimal() else []  # "max" is no limit
    return min(limits)


class Progress:
    """One line on standard error: slab, images, time left.

    Args:
        slabs: Number of slabs.
        images: Number of images of each.
        word: What a slab is, such as "timestep", or what is done with each.
    """

    def __init__(self, slabs: int, images: int, word: str):
        """Start the clock."""
        self.slabs, self.images, self.word = slabs, images, word
        self.start = self.shown = time.monotonic()  # quick work shows no line
        self.work, self.live = 0, False

    def step(self, slab: int, images: int, computed: int) -> None:
        """Show that ``images`` images of slab ``slab`` are done, ``computed`` of them just now."""
        self.work += computed
        now = time.monotonic()
        left = (self.slabs - slab) * self.images - images
        every = 0.2 if sys.stderr.isatty() else 30.0
        if now - self.shown < every:
            return
        self.shown, self.live = now, sys.stderr.isatty()
        rate = (now - self.start) / max(self.work, 1)
        line = (
            f"index: {self.word} {slab + 1} of {self.slabs}, image {images:,} of {self.images:,}, "
            f"{duration(rate * left)} left"
        )
        print(
            f"\r{line:<78}" if self.live else line, end="" if self.live else "\n", file=sys.stderr
        )

    def close(self) -> None:
        """End the line."""
        if self.live:
            print(file=sys.stderr)


def fill(
    chunks: Chunks,
    compute: Callable[[slice], np.ndarray],
    share: Share | None,
    tell: Callable[[int, int], Any],
) -> None:
    """Compute the chunks that are missing or damaged.

    Args:
        chunks: The chunks.
        compute: Function of rows to their values.
        share: Of this process; None: all.
        tell: Called with the images that are done, and those of them that were computed.
    """
    missing, done = {rows.start for rows in chunks.missing()}, 0
    for rows in share.of(chunks.rows) if share else chunks.rows:
        count = rows.stop - rows.start
        if rows.start in missing:
            chunks.save(rows, compute(rows))
        done += count
        tell(done, count if rows.start in missing else 0)


def duration(seconds: float) -> str:
    """Such as ``40 seconds``, ``12 minutes`` or ``3.5 hours``."""
    minute, hour = 60, 3600
    if seconds < 2 * minute:
        count = max(1, round(seconds))
        return f"{count} second{'s' if count > 1 else ''}"
    return (
        f"{seconds / minute:.0f} minutes" if seconds < 2 * hour else f"{seconds / hour:.1f} hours"
    )


def _gb(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count < 1e10 else f"{count / 1e9:.0f} GB"  # noqa: PLR2004
