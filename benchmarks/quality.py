"""What projections cost in quality: LDS of one form of features minus LDS of another.

On the models, subsets and outputs of the experiment digits. All forms are judged as the workflow
judges: damping chosen on tuning subsets and tuning queries, each form for itself; evaluation on the
others; the same bootstrap draws for all, so that differences are paired. Unprojected features
[N + Q, p] are rotated into their own span before the kernel is decomposed: inner products, all that
a method sees, stay as they are. They are computed once, and the dense projection is applied to
them.

Forms: *kronecker* with oversampling 1 and with that of digits, *rademacher*, all three of P
dimensions, each against *none*; and *none* against *all*, the unprojected gradients with those of
the norm layers, which ``parameters: weights`` leaves out. Norms, where a method divides by them,
are exact in none, all and rademacher, and projected in kronecker, as the experiment has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.linalg
import torch

from benchmarks.machine import ROOT
from benchmarks.orchestration import EXPERIMENT
from benchmarks.problems import DIMENSIONS
from dasbench import seeds as named
from dasbench.attribution import spectrum as kernel
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import Spectrum
from dasbench.core import artifacts
from dasbench.core.query_kinds import KINDS, TARGETS
from dasbench.diffusion import checkpoints, denoiser
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from dasbench.evaluation import lds, predictions, statistics
from dasbench.experiments import config
from dasbench.gradients import features, layers
from dasbench.gradients.projection import Projection

METHODS = ("das_common", "trak_common", "dtrak_common")
PRIMARY = ("das_common", "val", "loss", "kronecker, oversampling 1", "none")
COLUMNS = 8192  # of the features in one float64 product


class Study(NamedTuple):
    """What the methods are judged with.

    Attributes:
        experiment: The loaded file.
        home: Its results.
        train: Its training examples.
        images: kind -> [Q, C, H, W].
        uses: kind -> {"tuning": positions, "evaluation": positions}.
        grid: Dampings.
    """

    experiment: config.Experiment
    home: Path
    train: artifacts.Examples
    images: dict[str, np.ndarray]
    uses: dict[str, Any]
    grid: np.ndarray

    @property
    def axes(self) -> tuple[str, int]:
        """Leading seed axes."""
        return self.experiment["seed_name"], self.experiment["seed"]


def measure(threads: int, repeats: int, quick: bool = False) -> dict[str, Any]:
    """Paired differences in LDS points (x 100), form minus base.

    Args:
        threads: Of torch.
        repeats: Unused; nothing is timed.
        quick: One method, one timestep, few dimensions, 20 draws.
    """
    del repeats
    checkpoints.use_threads(threads)
    study = load()
    rows = []
    for method in METHODS[:1] if quick else METHODS:
        options = config.methods(study.experiment)[method]
        small = {"timesteps": 1, "dimensions": 1024} if quick else {"dimensions": DIMENSIONS}
        judged = {
            form: _judged(study, options, parts, quick)
            for form, parts in forms(study, options["features"] | small)
        }
        for form in judged:
            base = "all" if form == "none" else "none"
            if form != "all":
                for kind in KINDS:
                    pair = (judged[form][kind], judged[base][kind])
                    head = {"method": method, "form": form, "base": base, "queries": kind}
                    rows += [head | found for found in _differences(*pair, study)]
    return {"dimensions": DIMENSIONS, "rows": rows}


def forms(study: Study, options: dict[str, Any]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Every form's name and features by split; what is large is let go before the next is made.

    Args:
        study: The experiment.
        options: Settings of the features, whose projection, norms and parameters are replaced.
    """
    weights = options | {"parameters": "weights"}
    whole = {"projection": "none", "norms": "exact"}
    plain = _features(study, options | whole | {"parameters": "all"})
    kept = None if options["normalise"] else {k: v[:, _weights(study)] for k, v in plain.items()}
    yield "all", _span(plain)
    del plain
    plain = kept or _features(study, weights | whole)  # a length is of the parameters that count
    del kept
    dense = Projection("rademacher", plain["train"].shape[1], options["dimensions"], study.axes)
    joined = dense(torch.from_numpy(np.concatenate(list(plain.values())))).numpy()
    ends = np.cumsum([len(part) for part in plain.values()])[:-1]
    projected = dict(zip(plain, np.split(joined, ends), strict=True))
    plain = _span(plain)
    yield "none", plain
    yield "rademacher", projected
    for oversampling in sorted({1, study.experiment["features"]["oversampling"]}):
        narrow = {"projection": "kronecker", "norms": "projected", "oversampling": oversampling}
        yield f"kronecker, oversampling {oversampling}", _features(study, weights | narrow)


def load(root: Path = ROOT) -> Study:
    """The experiment and its files.

    Raises:
        UserError: If its queries or models are not there.
    """
    experiment, home = config.load(EXPERIMENT, root), root / "results" / EXPERIMENT
    if not (home / "queries/val.npy").exists() or not (home / "models/base").is_dir():
        raise UserError(f"{EXPERIMENT} has not run; `./run {EXPERIMENT}` or `./run pull` first")
    images = {
        kind: artifacts.load_array(home / f"queries/{kind}.npy", (None,) * 4, np.float32)
        for kind in KINDS
    }
    return Study(
        experiment,
        home,
        artifacts.load_examples(home / "examples/train.npz"),
        images,
        artifacts.load_json(home / "queries/uses.json"),
        kernel.damping_grid(experiment["damping"]),
    )


def _features(study: Study, settings: dict[str, Any]) -> dict[str, np.ndarray]:
    """Split -> features of all its images."""
    unet, process = pixel.load(study.home / "models/base")
    splits = {"train": (denoiser.to_model(study.train.images), study.train.ids)}
    splits |= {kind: (images, np.arange(len(images))) for kind, images in study.images.items()}
    return {
        split: features.compute(unet, process, images, ids, split, settings, study.axes)
        for split, (images, ids) in splits.items()
    }


def _weights(study: Study) -> np.ndarray:
    """Which columns of unprojected features belong to ``parameters: weights``, [p]."""
    unet, _ = pixel.load(study.home / "models/base")
    own = {name for names in layers.members(unet, "weights").values() for name in names}
    return np.concatenate([np.full(p.numel(), n in own) for n, p in unet.named_parameters()])


def _span(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same vectors in an orthonormal basis of their span: [n, N + Q] with equal products."""
    stacked = np.concatenate(list(parts.values()))
    gram = np.zeros((len(stacked), len(stacked)))
    for start in range(0, stacked.shape[1], COLUMNS):
        some = stacked[:, start : start + COLUMNS].astype(np.float64)
        gram += some @ some.T
    values, vectors = scipy.linalg.eigh(gram, overwrite_a=True, check_finite=False)
    rotated = vectors * np.sqrt(np.maximum(values, 0))
    ends = np.cumsum([len(part) for part in parts.values()])[:-1]
    return dict(zip(parts, np.split(rotated, ends), strict=True))


def _judged(
    study: Study, options: dict[str, Any], parts: dict[str, np.ndarray], quick: bool
) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
    """Kind -> (summary, draws) on the evaluation subsets, as the rule evaluate_lds has them."""
    spectrum, found = Spectrum(parts["train"]), {}
    for kind in KINDS:
        inputs = _inputs(study, options, parts, kind, spectrum)

        def predict(use, kind=kind, inputs=inputs):
            masks = artifacts.load_array(study.home / f"masks/{use}.npy")
            asked = study.uses[kind]["tuning" if use == "tune" else "evaluation"]
            paths = interface.paths(options, inputs, study.grid, asked)
            return predictions.predict(paths, masks), asked

        tuned, asked = predict("tune")
        chosen = lds.select(tuned, _outputs(study, "tune", "loss", kind)[:, :, asked])
        judged, asked = predict("eval")
        outputs = {t: _outputs(study, "eval", t, kind)[:, :, asked] for t in TARGETS}
        found[kind] = lds.evaluate(judged, chosen, outputs, draws(study, kind, quick))[::2]
    return {kind: (lds.label(s, own=options["transform"]), d) for kind, (s, d) in found.items()}


def draws(study: Study, kind: str, quick: bool = False) -> statistics.Draws:
    """The bootstrap draws of the experiment itself."""
    judged = study.uses[kind]["evaluation"]
    subsets = study.experiment["subsets"]["eval"]["models"]
    wanted = study.experiment["lds"]
    rng = named.generator(*study.axes, "bootstrap", kind)
    shape = (20 if quick else wanted["draws"], subsets, len(judged))
    return statistics.Draws.make(rng, shape, wanted["level"])


def _outputs(study: Study, use: str, target: str, kind: str) -> np.ndarray:
    return artifacts.load_array(study.home / f"outputs/{use}/{target}-{kind}.npy")


def _inputs(
    study: Study,
    options: dict[str, Any],
    parts: dict[str, np.ndarray],
    kind: str,
    spectrum: Spectrum,
) -> interface.Inputs:
    residuals = None
    if options["residual"] != "none":
        residuals = artifacts.load_array(study.home / f"residuals/{options['residual']}.npy")
    return interface.Inputs(
        train_images=study.train.images,
        train_labels=study.train.labels,
        train_ids=study.train.ids,
        query_images=study.images[kind],
        query_labels=artifacts.load_array(study.home / f"queries/{kind}_labels.npy"),
        train_features=parts["train"],
        query_features=parts[kind],
        residuals=residuals,
        scores=None,
        axes=(*study.axes, "methods", kind),
        spectrum=spectrum,
    )


def _differences(
    form: tuple[pd.DataFrame, np.ndarray], base: tuple[pd.DataFrame, np.ndarray], study: Study
) -> list[dict[str, Any]]:
    """A row per target, held-out damping, in points."""
    table = lds.compare(form, base, level=study.experiment["lds"]["level"])
    rows = []
    for row in table[table.selection == "held_out"].itertuples():
        values = {name: 100 * getattr(row, name) for name in ("difference", "lo", "hi")}
        both = {"lds": _lds(form[0], row.target), "lds_base": _lds(base[0], row.target)}
        rows.append({"target": row.target, **values, **both})
    return rows


def _lds(summary: pd.DataFrame, target: str) -> float:
    """Held-out LDS of the method's own transform, in points."""
    rows = summary[summary.own & (summary.target == target) & (summary.selection == "held_out")]
    return 100 * float(rows.lds.iloc[0])


def flat(details: dict[str, dict[str, Any]]) -> dict[str, float]:
    """``das_common`` on held-out images, target loss, oversampling 1; others are in the details."""
    rows = next(iter(details.values()))["rows"]
    key = dict(zip(("method", "queries", "target", "form", "base"), PRIMARY, strict=True))
    chosen = next(row for row in rows if key.items() <= row.items())
    return {"lds_projected_minus_unprojected": chosen["difference"]}
