"""An index: the gradient features of a training set in files, so that a question takes seconds.

``Index.build`` computes the features once, ``Index.ask`` scores the training images for any
pictures. ``dasbench.commands.tool`` is its command line. Memory is that of one timestep's kernel
and a chunk of images, whatever the number of timesteps and of training images.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dasbench.attribution import indexed, self_check
from dasbench.attribution.answer import Picture
from dasbench.commands import (
    answers,
    index_also,
    index_features,
    index_inputs,
    index_manifest,
    index_settings,
    index_soundness,
    index_work,
    questions,
    subject,
)
from dasbench.commands.index_images import Images
from dasbench.commands.index_inputs import Inputs
from dasbench.commands.index_manifest import Manifest
from dasbench.commands.index_settings import DEFAULT_METHOD, damping_of
from dasbench.commands.index_soundness import AGAIN, CHECKED
from dasbench.commands.index_work import Share
from dasbench.commands.subject import Subject
from dasbench.core import arguments, artifacts, hashed_chunks, memmaps
from dasbench.errors import UserError

HELD_OUT = 16  # decoys that are asked about, for the calibration of the others


class Index:
    """An index in a folder; ``build`` and ``open`` make these objects.

    Attributes:
        folder: The folder.
        manifest: Its settings, hashes and files.
    """

    def __init__(self, folder: Path, manifest: Manifest, model: Subject | None = None):
        """Keep the parts; see ``build`` and ``open``."""
        self.folder, self.manifest, self._model = folder, manifest, model
        self._verified = False

    @classmethod
    def build(  # noqa: PLR0913 - all but the first three have defaults that few change
        cls,
        model: Any,
        images: Any,
        out: str | Path,
        *,
        labels: Any = None,
        prompts: Any = None,
        decoys: Any = None,
        decoy_labels: Any = None,
        decoy_prompts: Any = None,
        method: str = DEFAULT_METHOD,
        also: Sequence[str] = (),
        damping: float | None = None,
        seed: int = 0,
        scheduler: str | Path | None = None,
        lora: str | Path | None = None,
        size: int | None = None,
        shard: str | None = None,
        reading: Mapping[str, Any] | None = None,
        skip_bad: bool = False,
        **feature_options: Any,
    ) -> Index:
        """Compute an index, or what is missing of it: killed and started again, it goes on.

        Args:
            model: The folder of a diffusers pipeline, of a ``UNet2DModel`` with a scheduler, or of
                an experiment's model; a pipeline; or (network, scheduler), of pixels.
            images: Its training images: a folder, files, an array [N, H, W, C] uint8, pictures of
                Pillow, or a ``datasets.Dataset``.
            out: Folder of the index.
            labels: Classes of the images, for a model with classes; None: those of the subfolders
                or of the Dataset.
            prompts: Prompts of the images, for a model with prompts: one for each, one for all, or
                the ``pathlib.Path`` of a CSV with the columns file and prompt, for a folder; None:
                those of the Dataset.
            decoys: Images like the training images that the model has not seen, for q-values.
            decoy_labels: As ``labels``.
            decoy_prompts: As ``prompts``; None: ``prompts``, if that is one for all.
            method: A gradient method of ``dasbench.registry`` whose kernel is averaged or per_t.
            also: Other methods whose scores stand beside it. Each costs as much again, since its
                gradients are others.
            damping: Relative to the largest eigenvalue of each kernel; None: the median of those
                that tuning data chose for this method (``index_settings.DAMPINGS``).
            seed: Of noise and projection.
            scheduler: For a folder without one, the ``scheduler_config.json`` of its training.
            lora: For the folder of a text-to-image pipeline, the adapter that was trained: a file
                or folder in the format of diffusers, peft or kohya.
            size: For a pipeline of latents, pixels of a side of its pictures; None: as it states.
            shard: Such as "2/8": compute only the second of eight shares, as one of eight
                processes; a last call without it joins them. Several GPUs are taken in turn, unless
                DAS_DEVICE names one.
            reading: resize, background and range of image files.
            skip_bad: Leave out files that are no images.
            **feature_options: timesteps, draws, dimensions, projection, norms, oversampling,
                parameters, dtype; ``config/README.md`` says what they mean.

        Raises:
            UserError: If the folder holds another index or another process builds it, the work
                does not fit, the images do not fit the model, or a setting is impossible.
        """
        folder, seed = arguments.path("out", out), arguments.whole("seed", seed, 0)
        reading = index_settings.checked_reading(reading)
        index_settings.complete(method, feature_options)
        others = index_also.checked(also, method, feature_options)
        damping = damping_of(method, damping)
        share = Share.read(shard) if shard else None
        if decoy_prompts is None and isinstance(prompts, str):
            decoy_prompts = prompts
        with index_work.device_of(share):
            whom = subject.of(model, scheduler, images, lora, size)
            options = index_settings.complete(method, feature_options, whom.parameters)
            read = functools.partial(whom.read, reading=reading, skip_bad=skip_bad)
            training = read(images, "training images", labels, prompts)
            unseen = None if decoys is None else read(decoys, "decoys", decoy_labels, decoy_prompts)
            settings = {"method": method, "options": options, "damping": damping, "seed": seed}
            settings["reading"] = dict(reading)
            index = cls.make(whom, settings, training, folder, unseen, share)
            for name in others:
                options = index_settings.complete(name, feature_options, whom.parameters)
                own = {"method": name, "options": options, "damping": damping_of(name)}
                place = folder / index_also.FOLDER / name
                cls.make(whom, settings | own, training, place, None, share)
                index_also.share_images(folder, place)
            return index

    @classmethod
    def make(
        cls,
        model: Subject,
        settings: Mapping[str, Any],
        training: Images,
        folder: Path,
        decoys: Images | None = None,
        share: Share | None = None,
    ) -> Index:
        """Compute an index, or what is missing of it, from parts that have been read.

        Args:
            model: The model.
            settings: method, options (complete), damping, seed.
            training: Its training images.
            folder: Of the index.
            decoys: The decoys, or None.
            share: Of this process; None: everything.

        Raises:
            UserError: As ``build``.
        """
        index_settings.check_kernel(settings["options"])
        with index_work.locked(folder, share):
            manifest = index_features.begin(folder, model, settings, training, decoys, share)
            if share is None:  # not before: until then the folder could be another one
                index_work.remove_parts(folder)
            index = cls(folder, manifest, model)
            added = manifest.count != len(training.pixels)
            index._work(index._sources(None if added else training, decoys), share)
        return index

    @classmethod
    def open(
        cls,
        folder: str | Path,
        model: Any = None,
        lora: str | Path | None = None,
        complete: bool = True,
    ) -> Index:
        """Open an index.

        Args:
            folder: Its folder.
            model: The model, in a form of ``build``; None: the folder that it was built from.
            lora: Its adapter, as for ``build``; None: where it was.
            complete: Whether to refuse an index that is not complete.

        Raises:
            UserError: If there is no such index, or it is of another model.
        """
        folder = arguments.path("folder", folder)
        manifest = index_manifest.load(folder)
        given = model is not None or lora is not None
        whom = index_manifest.model_of(folder, manifest, model, lora) if given else None
        index = cls(folder, manifest, whom)
        if complete and not all(each.is_complete() for each in (index, *index.also)):
            raise UserError(
                f"the index in {folder} is not complete; {AGAIN}, which computes what is missing"
            )
        return index

    def add(
        self, images: Any, labels: Any = None, prompts: Any = None, skip_bad: bool = False
    ) -> Index:
        """Add training images: features of these alone, then the kernels again.

        If it is stopped, the same addition goes on.

        Args:
            images: In a form of ``build``; files are read as those of the index were.
            labels: As for ``build``.
            prompts: As for ``build``.
            skip_bad: Leave out files that are no images.

        Returns:
            The larger index, in the same folder.

        Raises:
            UserError: As ``build``; and if an image is a decoy, or a file of the index is damaged.
        """
        with index_work.locked(self.folder):
            manifest = index_manifest.load(self.folder)  # another process may have added some
            index, how = Index(self.folder, manifest, self.model), manifest.reading or None
            more = self.model.read(images, "training images", labels, prompts, how, skip_bad)
            every = (index, *index.also)
            equal = all(each.manifest.data == manifest.data for each in every)
            stopped = not (equal and all(each.is_complete() for each in every))
            for each in every:
                each._extend(more, stopped)
                index_also.share_images(self.folder, each.folder)
        return Index(self.folder, index_manifest.load(self.folder), self.model)

    def _extend(self, more: Images, stopped: bool) -> None:
        """Add images, or go on with their addition if one was stopped."""
        index, begun = self, self.manifest.data[1:][-1:] == [more.digest]
        if self.is_complete() and not (stopped and begun):
            index_soundness.verify(self.folder, self.manifest, self.slabs)
            manifest = index_features.extend(self.folder, self.manifest, self._sources(), more)
            index = Index(self.folder, manifest, self.model)
        elif begun:
            index_soundness.verify_images(self.folder, self.manifest)
            index_features.announce(self.folder, self.manifest, self._sources())
        else:
            told = "or repeat the addition that was stopped"
            raise UserError(f"the index in {self.folder} is not complete; {AGAIN}, {told}")
        index._work(index._sources())
        index_manifest.remove_others(self.folder, index.manifest)

    def ask(
        self,
        pictures: Any,
        prompts: Any = None,
        labels: Any = None,
        clip: str | Path | None = None,
        **reading: Any,
    ) -> questions.Answered:
        """The training images behind some pictures.

        Args:
            pictures: The queries, in a form of ``build``.
            prompts: Their prompts, for a model with prompts; one for each, or one for all.
            labels: Their classes, for a model with classes; one for each, or one for all.
            clip: A CLIP model, as a folder or its name in the local cache of the hub: its
                similarity stands beside the score. Embeddings of the training images are computed
                at the first question and kept in the index.
            **reading: resize, background, range, skip_bad for image files; by default, they are
                read as those of the index were.

        Raises:
            UserError: If the pictures do not fit the model, what the model takes is missing, or a
                file of the index is damaged.
        """
        if labels is not None and self.model.takes is None:
            raise UserError("a label was given, but the model takes no classes; leave it out")
        skip_bad = reading.pop("skip_bad", False)
        how = {**self.manifest.reading, **index_settings.checked_reading(reading)}
        asked = self.model.read(pictures, "queries", labels, prompts, how or None, skip_bad)
        self.verify()
        return questions.answer(self, asked, clip)

    def is_complete(self) -> bool:
        """Whether the self-check, which is made last, is there and of all images."""
        return index_soundness.is_complete(self.folder, self.manifest)

    def verify(self) -> None:
        """Compare the bytes of all files that an answer reads with the hashes in their names, once.

        Raises:
            UserError: If a file is missing or damaged.
        """
        if not self._verified:
            index_soundness.verify(self.folder, self.manifest, self.slabs)
            for other in self.also:
                other.verify()
        self._verified = True

    @functools.cached_property
    def also(self) -> list[Index]:
        """The indexes of other methods, whose scores stand beside the score of this one."""
        found = index_also.folders(self.folder)
        return [Index(each, index_manifest.load(each), self.model) for each in found]

    @functools.cached_property
    def model(self) -> Subject:
        """The model of the index.

        Raises:
            UserError: If it is not where it was, or another one is there.
        """
        if self._model is None:
            self._model = index_manifest.model_of(self.folder, self.manifest)
        return self._model

    @functools.cached_property
    def slabs(self) -> list[indexed.Slab]:
        """One for each kernel."""
        return self.manifest.slabs(self.folder)

    @functools.cached_property
    def training(self) -> Images:
        """The training images; their pixels stay in the file."""
        return self._stored("images", "pixels", self.manifest.count)

    @functools.cached_property
    def decoys(self) -> Images | None:
        """The decoys, or None."""
        if not self.manifest.decoys:
            return None
        return self._stored("decoy_images", "decoys", self.manifest.decoys)

    @functools.cached_property
    def residuals(self) -> np.ndarray | None:
        """Residuals [N] of the training images; None for a method without."""
        chunks = self.manifest.residuals(self.folder)
        return None if chunks is None else chunks[:][:, 0]

    @functools.cached_property
    def checked(self) -> Mapping[str, Any]:
        """The self-check: rows and ranks; and the names of the held-out scores, if any."""
        return index_soundness.checked(self.folder)

    def query_features(self, images: Images, word: str = "query features") -> list[np.ndarray]:
        """Features [Q, P] of queries for each slab; ``word`` is that of a line of progress."""
        inputs = index_inputs.of(self.model, images, self.manifest.classes)
        return index_features.of_queries(self.manifest, inputs, word)

    def held_out(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores of held-out decoys as queries: of training images [N, H] and of decoys [D, H]."""
        names = self.checked.get("held_out")
        return names and tuple(memmaps.load(self.folder / name, (None, None)) for name in names)

    def _stored(self, listing: str, pixels: str, count: int) -> Images:
        files = self.manifest.files
        content = artifacts.load_json(self.folder / files[listing])
        loaded = memmaps.load(self.folder / files[pixels], (count, None, None, None), np.uint8)
        pictures = [Picture(*each) for each in content["pictures"]]
        return Images(loaded, pictures, content["labels"])

    def _sources(
        self, training: Images | None = None, decoys: Images | None = None
    ) -> dict[str, Inputs]:
        """Inputs of the given images, or else of the stored ones."""
        images = (training or self.training, decoys or self.decoys)
        return index_features.sources(self.folder, self.manifest, self.model, *images)

    def _work(self, sources: Mapping[str, Inputs], share: Share | None = None) -> None:
        """Compute what is missing."""
        index_features.compute(self.folder, self.manifest, sources, share)
        if share is None and not self.is_complete():
            self._check()

    def _check(self) -> None:
        """Ask training images about themselves, and held-out decoys about all."""
        count = self.manifest.count
        rows = self_check.choose(count)
        asked = self.training.some(rows)
        phi = self.query_features(asked, "self-check")
        values = indexed.score(self.slabs, phi, self.residuals).values
        answers.check_scores(values, self.manifest.damping)
        same = self_check.itself(self.training.pixels, asked.pixels)
        ranks = [self_check.rank(values[:, q], same[q]) for q in range(len(rows))]
        record: dict[str, Any] = {"count": count, "rows": rows.tolist(), "ranks": ranks}
        held = min(HELD_OUT, self.manifest.decoys // 4)
        if held:
            some = self.decoys.some(np.arange(held))
            phi = self.query_features(some, "self-check with decoys")
            found = indexed.score(self.slabs, phi, self.residuals)
            # a decoy that asks is no decoy of the pool
            arrays = {"held-out-training": found.matches, "held-out-decoys": found.decoys[held:]}
            record["held_out"] = [
                hashed_chunks.save(self.folder / f"{name}.npy", array).name
                for name, array in arrays.items()
            ]
        artifacts.save_json(self.folder / CHECKED, index_manifest.sealed(record))
