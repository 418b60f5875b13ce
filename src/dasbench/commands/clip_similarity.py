"""Similarity by CLIP beside an answer: does the model's score say more than what images show?

Embeddings of the training images are computed at the first question and kept in the folder of the
index, in chunks; whoever stops it goes on with the next question.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dasbench.attribution.answer import Score
from dasbench.commands import index_work
from dasbench.commands.index_images import Images
from dasbench.commands.index_manifest import Manifest
from dasbench.core import resumable
from dasbench.core.hashed_chunks import Chunks

KEY = "embedding_cosine"
_TEXT = "A high value means that the image shows what the query shows, to a CLIP model."


def score(
    folder: Path, manifest: Manifest, training: Images, asked: Images, model: str | Path
) -> Score:
    """Cosines between the embeddings of all training images and of the queries.

    Args:
        folder: Of the index; embeddings go into ``clip-<hash of the CLIP model>``.
        manifest: Of the index.
        training: The N training images.
        asked: The Q queries.
        model: The CLIP model, see ``dasbench.diffusion.clip.load``.

    Raises:
        UserError: If the model cannot be loaded, or images have neither 1 nor 3 channels.
    """
    from dasbench.diffusion import checkpoints, clip, denoiser, opened  # loads torch

    network = clip.load(model, checkpoints.pick_device(), "clip")
    queries = clip.compute(network, denoiser.to_model(asked.pixels))
    mark = resumable.fingerprint(opened.digest(network), network.config.to_json_string())
    chunks = Chunks(folder / f"clip-{mark}", manifest.rows, queries.shape[1], np.float32)
    chunks.folder.mkdir(exist_ok=True)
    progress = index_work.Progress(1, len(training.pixels), "embedding by CLIP")
    index_work.fill(
        chunks,
        lambda rows: clip.compute(network, denoiser.to_model(training.pixels[rows])),
        None,
        lambda done, new: progress.step(0, done, new),
    )
    progress.close()
    values = _unit(chunks[:]) @ _unit(queries).T
    return Score(KEY, "similarity by CLIP", _TEXT, values.astype(np.float64))


def _unit(embeddings: np.ndarray) -> np.ndarray:
    """Embeddings [n, P] divided by their lengths."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
