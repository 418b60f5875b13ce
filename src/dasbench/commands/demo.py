"""``./run demo``: a first answer, from the base model of an experiment, which the workflow trains.

Eight images are generated and asked about; the held-out images are the decoys. The files lie in
``demo/``, beside the results: the workflow neither needs nor makes them.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np

from dasbench import seeds
from dasbench.commands import attributed_model, subject, tool
from dasbench.commands.index import Index
from dasbench.core import artifacts, script_main

COUNT, STEPS = 8, 50  # generated images, sampling steps


def targets(experiment: str) -> list[str]:
    """The phases of the workflow that the demonstration needs."""
    return [f"base_{experiment}", f"examples_{experiment}"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="./run demo", description="A first answer page.", allow_abbrev=False
    )
    cli.add_argument("experiment", nargs="?", default="digits", help="whose base model (digits)")
    cli.add_argument("--no-browser", action="store_true", help="do not open the page")
    return cli


def answer(home: Path, out: Path, **features: Any) -> Path:
    """Build an index of an experiment's training images, generate images, and ask.

    Args:
        home: results/E.
        out: Folder of the index and the page.
        **features: Options of the features; see ``Index.build``.

    Returns:
        The page.

    Raises:
        UserError: If an index cannot hold the model: it takes latents, prompts or classes.
    """
    train, unseen = (artifacts.load_examples(home / f"examples/{s}.npz") for s in ("train", "val"))
    whom = subject.of(home / "models/base")
    attributed_model.check_unconditional(whom.opened, f"the model of {home}")
    labels, decoy_labels = ([f"label {c}" for c in part.labels] for part in (train, unseen))
    index = Index.build(
        home / "models/base",
        train.images,
        out / "index",
        labels=labels,
        decoys=unseen.images,
        decoy_labels=decoy_labels,
        **features,
    )
    found = index.ask(generated(whom))
    tool.show(found, top=3)
    print(tool.check_line(found))
    found.page(out / "answer.html")
    return out / "answer.html"


def generated(whom: subject.Subject) -> np.ndarray:
    """Images [COUNT, H, W, C] uint8 of a model, from noise that is always the same."""
    import torch

    from dasbench.diffusion import sampling

    noise = seeds.generator("demo").standard_normal((COUNT, *whom.shape), np.float32)
    like = next(whom.network.parameters())
    images = sampling.sample(whom.network, whom.process, torch.from_numpy(noise).to(like), STEPS)
    pixels = (images.clamp(-1, 1).float().cpu().numpy() + 1) * 127.5
    return np.rint(np.moveaxis(pixels, 1, 3)).astype(np.uint8)


def main() -> None:
    """Answer, and open the page."""
    args = parser().parse_args()
    subject.use_cores()
    page = answer(Path("results", args.experiment), Path("demo", args.experiment))
    print(f"the page is {page}")
    if not args.no_browser and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        webbrowser.open(page.absolute().as_uri())


if __name__ == "__main__":
    script_main.main(main)
