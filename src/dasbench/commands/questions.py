"""Answers of an index: scores, the floor beside them, evidence, checks, and what was asked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dasbench.attribution import indexed, self_check
from dasbench.attribution.answer import Answer, Evidence, Picture, Score, SelfCheck
from dasbench.commands import answers, clip_similarity, pixel_floor
from dasbench.commands.index_images import Images
from dasbench.commands.index_manifest import Manifest
from dasbench.commands.index_settings import FLOOR, FLOOR_POINT
from dasbench.commands.subject import Subject
from dasbench.core import arguments, artifacts, tables
from dasbench.data.pictures import shown
from dasbench.reports.answer_words import count

KEPT = 2**25  # numbers [T, N, Q] that an answer holds; above, those of the listed images alone
LISTED = 20  # images of each query in such a list
EXPLANATIONS = {
    "identity": "A high value means that training on the image lowers the model's loss on the "
    "query.",
    "square": "A high value means that training on the image changes the model's prediction of the "
    "query.",
    "signed_square": "A high value means that training on the image lowers the model's loss on the "
    "query; large values are stretched.",
}


class Answered(Answer):
    """An answer that can write its page."""

    def page(self, path: str | Path, top: int = 12) -> None:
        """Write the answer as one self-contained page.

        Args:
            path: The file, ``.html``.
            top: Training images that are shown for each query.
        """
        from dasbench.reports import answer_page

        answer_page.render(self, arguments.path("path", path), top)


class Source(Protocol):
    """What an answer needs of an index; see ``dasbench.commands.index.Index``."""

    folder: Path
    manifest: Manifest
    model: Subject
    slabs: list[indexed.Slab]
    training: Images
    residuals: np.ndarray | None
    checked: Mapping[str, Any]
    also: Sequence[Source]

    def query_features(self, images: Images) -> list[np.ndarray]:
        """Features [Q, P] of queries for each slab."""

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores of held-out decoys as queries: of training images and of decoys."""


def answer(index: Source, asked: Images, clip: str | Path | None = None) -> Answered:
    """The answer of an index to some queries.

    Args:
        index: The index.
        asked: The queries.
        clip: A CLIP model whose similarity stands beside the score, or None.
    """
    manifest, training = index.manifest, index.training
    phi = index.query_features(asked)
    apart = len(manifest.timesteps)
    whole = 0 < apart * manifest.count * len(asked.pixels) <= KEPT
    found = indexed.score(index.slabs, phi, index.residuals, by_slab=whole)
    main = _score(manifest, found.values)
    listed, by_listed = None, None
    if apart and not whole:
        listed = np.unique(np.argsort(-found.values, axis=0, kind="stable")[:LISTED])
        by_listed = indexed.score_some(index.slabs, phi, listed, index.residuals)
    evidence = _evidence(index, found)
    others, facts = [pixel_floor.score(training.pixels, asked.pixels)], _facts(manifest, evidence)
    for other in index.also:
        values = indexed.score(other.slabs, other.query_features(asked), other.residuals).values
        others.append(_score(other.manifest, values))
    if clip is not None:
        place = arguments.path("clip", clip)
        others.append(clip_similarity.score(index.folder, manifest, training, asked, place))
        facts["CLIP model"] = str(clip)
    return Answered(
        main=main,
        training=training.pictures,
        queries=asked.pictures,
        training_pixels=training.pixels,
        query_pixels=asked.pixels,
        others=others,
        timesteps=np.asarray(manifest.timesteps, np.int64),
        by_timestep=found.by_slab,
        listed=listed,
        listed_by_timestep=by_listed,
        evidence=evidence,
        checks=self_checked(index),
        facts=facts,
        warnings=_warnings(index, asked, found.values, evidence),
    )


def _score(manifest: Manifest, values: np.ndarray) -> Score:
    method, transform = manifest.method, manifest.options["transform"]
    return Score(method, f"influence by {method}", EXPLANATIONS[transform], values)


def _evidence(index: Source, found: indexed.Scores) -> Evidence | None:
    if found.decoys is None:
        return None
    from dasbench.attribution import evidence

    trained, others = index.held_out() or (None, None)
    judged = evidence.judge(found.matches, found.decoys, others, trained, standardise=False)
    return replace(judged, pooled=0 if others is None else others.shape[1])


def self_checked(index: Source) -> SelfCheck | None:
    """The self-check of an index; None if all its images are the same, so that none can fail."""
    if answers.all_same(index.training.pixels):
        return None
    names = [index.training.pictures[i].name for i in index.checked["rows"]]
    return SelfCheck(names, np.asarray(index.checked["ranks"]))


def _warnings(
    index: Source, asked: Images, values: np.ndarray, evidence: Evidence | None
) -> list[str]:
    """Sentences about checks that failed."""
    same = _themselves(index, asked)
    below = answers.failed(values, same)
    lines = [answers.NO_CHECK] if answers.all_same(index.training.pixels) else []
    lines += [
        f"{shown(asked.pictures[q].name)} is a training image and has rank {place} for itself"
        for q, place in below.items()
    ]
    ranks = [rank for rank in index.checked["ranks"] if rank > 1] + list(below.values())
    if ranks:
        count = len(index.checked["ranks"]) + len(same)
        lines.append(answers.sentence(len(ranks), count, ranks))
    if evidence is not None and getattr(evidence, "warning", None):
        lines.append(evidence.warning)
    return lines


def _themselves(index: Source, asked: Images) -> dict[int, np.ndarray]:
    """Query -> rows of itself among the training images: the same pixels, and the same caption."""
    same, training = self_check.itself(index.training.pixels, asked.pixels), index.training
    if index.model.takes is None:
        return same
    found = {}
    for q, rows in same.items():
        kept = [i for i in rows if str(training.labels[i]) == str(asked.labels[q])]
        found |= {q: np.asarray(kept)} if kept else {}
    return found


def _facts(manifest: Manifest, evidence: Evidence | None) -> dict[str, str]:
    """What was asked of what, in words."""
    held_out = 0 if evidence is None else evidence.pooled
    pooled = f", pooled over {count(held_out, 'held-out image')}" if held_out else ""
    options = manifest.options
    form = options["features"]
    grid: Sequence[int] = manifest.timesteps
    steps = f"{form['timesteps']}" + (f" ({grid[0]} to {grid[-1]})" if grid else ", averaged")
    facts = {
        "Model": manifest.model["name"],
        **({"Adapter": manifest.model["lora"]} if manifest.model["lora"] else {}),
        "Hash of the model": manifest.model["digest"][:16],
        "Training images": f"{manifest.count:,}",
        "Hash of the training images": ", ".join(digest[:16] for digest in manifest.data),
        "Method": manifest.method,
        "Readout and transform": f"{form['readout']}, {options['transform']}",
        "Timesteps": steps,
        "Dimensions": f"{manifest.width:,} of {form['parameters']} parameters, {manifest.dtype}",
        "Damping": f"{manifest.damping:g} of the largest eigenvalue",
        "Noise": f"{form['noise']}, seed {manifest.seed}",
        "Decoys": f"{manifest.decoys:,}{pooled}",
        "Floor": f"{FLOOR} {FLOOR_POINT}",
    }
    return facts | {f"Version of {name}": text for name, text in sorted(manifest.versions.items())}


def named(pictures: Sequence[Picture]) -> list[str]:
    """Names of pictures, safe to print, with their labels."""
    return [shown(one.name) + (f" ({shown(one.label)})" if one.label else "") for one in pictures]


def write(answer: Answered, args: argparse.Namespace) -> None:
    """Write the page, the table and the scores that a command line asks for."""
    if args.csv:
        tables.save_table(args.csv, answer.frame(args.top))
    if args.scores:
        artifacts.save_array(args.scores, answer.scores)
    if args.page:
        answer.page(args.page, args.top)
        print(f"the answer is in {args.page}")
