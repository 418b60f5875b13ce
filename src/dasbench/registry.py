"""Methods and data sets; this module imports nothing of the package.

An entry of METHODS has a method's name, the module of its family, and its options. A job that
computes scores depends only on the entry of its method and on the code of the family, so an edit
of one method reruns only that method. To add a method, write one file in
``src/dasbench/attribution/methods/`` and one line here. A variant needs only the line, or
``{like: das, ...}`` in an experiment file.

``inapplicable`` maps a kind of query to the reason why a method has no scores for it. No scores of
that kind are computed, and the tables show the reason instead of a number.

Options of the kernel family (the axes of the ablation):

* ``features``: ``readout`` (the function that is differentiated), ``normalise`` (unit gradients
  before the mean over timesteps), ``noise`` (keyed, common, batch), ``timestep_rule`` (midpoint,
  released); with readout probe also ``probes`` (number of probes of each kind);
* ``journey`` (whether the queries' features are computed along their sampling trajectories);
* ``kernel`` (averaged: one kernel of the features averaged over timesteps, decomposed once for all
  methods that share them; for pooled and per_t see ``dasbench.attribution.by_timestep``);
* ``residual`` (none, scalar, released), ``leverage`` (divide by 1 - h), ``denominator`` (none,
  preconditioned_norm, feature_norm), ``transform`` (identity, square, signed_square).

Options of the vector family: ``features`` (Rademacher probes only), ``kernel`` (averaged, pooled),
``residual`` (vector), ``effect`` (loss, displacement).

Options of the similarity family: ``features`` (gradients as above, pixels, embeddings), ``measure``
(dot, cosine), ``checkpoints`` (all, or a list of numbers: the score is the mean over these
checkpoints of the base model). The family of ``gradient_cosine_stepwise`` compares the features of
each timestep (``by_timestep``).

Options of the floor family: ``form``, ``features`` (pixels, embeddings), ``grid`` (parameter -> its
values, of which tuning data select one); or ``members``, the floors of which they select one.
``nda`` has a ``grid``, too, and no ``form``: it is no member of ``floor``.

Options of other families: ``tuning`` (whether scores are computed from the tuning subsets'
outputs), ``computed`` (name X of the rule ``compute_X``, for scores that need the network itself),
``computation`` (for ``compute_influence``, the module of ``dasbench.gradients`` that computes the
scores), ``noise`` (for EK-FAC), ``effect`` (loss, displacement), ``probes`` (of a prediction at
each timestep), ``stepwise`` (gradients of a training example by timestep, or averaged), ``steps``,
``loss_timesteps`` and ``ascent`` (free, bounded; for unlearning); for averages over models,
``group`` (full, tune), ``models`` (how many), ``timesteps`` (of each), ``function`` and ``order``
(see ``dasbench.attribution.ensembles``).
"""

from __future__ import annotations

from typing import Any

METHOD_FOLDER = "src/dasbench/attribution/methods"
GRADIENT_FOLDER = "src/dasbench/gradients"
DATASET_FOLDER = "src/dasbench/data"
FAMILY_FOLDER = "src/dasbench/diffusion/families"

_KERNEL = "kernel_methods"
_SIMILARITY = "similarity"
_CONTROLS = "controls"
_VECTOR = "vector_residual"
_STEPWISE_SIMILARITY = "similarity_stepwise"
_EKFAC = "ekfac"
_EKFAC_STEPWISE = "ekfac_stepwise"
_UNLEARNING = "unlearning"
_UNLEARNING_PLUS = "unlearning_plus"
_DATAMODELS = "datamodels"
_FLOORS = "floors"
_NDA = "nda"
_ENSEMBLES = "ensembles"


def _features(
    readout: str,
    normalise: bool = False,
    noise: str = "keyed",
    timestep_rule: str = "midpoint",
    **more: Any,
) -> dict[str, Any]:
    """The options of a set of gradient features."""
    return {
        "readout": readout,
        "normalise": normalise,
        "noise": noise,
        "timestep_rule": timestep_rule,
        **more,
    }


def _control(name: str) -> dict[str, Any]:
    """A score that does not use the model's gradients."""
    return {"module": _CONTROLS, "control": name, "transform": "identity"}


def _similarity(features: dict[str, Any] | str, measure: str, **options: Any) -> dict[str, Any]:
    """Dot product or cosine of pixels, embeddings or gradients."""
    return {
        "module": _SIMILARITY,
        "features": features,
        "measure": measure,
        "transform": "identity",
        **options,
    }


def _kernel(features: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A method of the kernel family; the defaults are TRAK's."""
    plain = {"residual": "none", "leverage": False, "denominator": "none", "transform": "identity"}
    return {"module": _KERNEL, "features": features, "kernel": "averaged", **plain, **options}


def _das(features: dict[str, Any], residual: str = "scalar", leverage: bool = True) -> dict:
    """A variant of the Diffusion Attribution Score: squared, averaged kernel."""
    return _kernel(features, residual=residual, leverage=leverage, transform="square")


def _vector(effect: str, transform: str) -> dict[str, Any]:
    """A method with the vector residual: the whole prediction error instead of its norm.

    Its probes are isotropic, and their gradients are not normalised because the loss gradients that
    it compares them with are not.
    """
    return {
        "module": _VECTOR,
        "features": _features("probe", probes={"rademacher": 4}),
        "kernel": "averaged",
        "residual": "vector",
        "effect": effect,
        "transform": transform,
    }


def _ekfac(noise: str) -> dict[str, Any]:
    """Influence with the Kronecker-factored curvature of the loss."""
    return {"module": _EKFAC, "computed": "ekfac", "noise": noise, "transform": "identity"}


def _influence(module: str, **options: Any) -> dict[str, Any]:
    """Scores of the rule ``compute_influence``, whose module has the name of the family."""
    return {"module": module, "computed": "influence", "computation": module, **options}


def _ekfac_stepwise(effect: str, stepwise: bool, **probes: int) -> dict[str, Any]:
    """Root mean square over timesteps, and probes, of influences with EK-FAC's curvature."""
    form = {"noise": "common", "effect": effect, "stepwise": stepwise, **probes}
    return _influence(_EKFAC_STEPWISE, **form, transform="square")


def _unlearning_plus(ascent: str, steps: list) -> dict[str, Any]:
    """Unlearning with EK-FAC's curvature and the same noise for all images."""
    form = {"ascent": ascent, "steps": steps, "loss_timesteps": 4}
    return _influence(_UNLEARNING_PLUS, **form, transform="identity")


def _datamodel(estimate: str) -> dict[str, Any]:
    """An estimate from the outputs of retrained models: of tuning subsets only."""
    return {"module": _DATAMODELS, "estimate": estimate, "tuning": True, "transform": "identity"}


def _ensemble(group: str, models: int, timesteps: int, **more: Any) -> dict[str, Any]:
    """The score of ``das_stepwise`` averaged over models, by the rule ``compute_ensemble``."""
    form = {"models": models, "timesteps": timesteps, "function": "square", "order": "each"}
    computed = {"module": _ENSEMBLES, "computed": "ensemble", "group": group}
    return {**computed, **form, "transform": "identity", **more}


def _floor(form: str, features: str = "pixels", **grid: list) -> dict[str, Any]:
    """A similarity without a model, whose parameters tuning data select from a grid."""
    options = {"form": form, "features": features, "grid": grid}
    return {"module": _FLOORS, **options, "transform": "identity"}


_POWERS = [1, 2, 3, 4, 6, 8, 12, 16]
_WIDTHS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]
_RIDGE = {"width": _WIDTHS[2:], "penalty": [1e-4, 1e-3, 1e-2, 1e-1], "power": [1, 2]}
_COUNTS = [3, 10, 30, 100, 300]
_FLOORS_OF_PIXELS = {
    "pixel_cosine_power": _floor("cosine_power", centre=["zero", "black", "mean"], power=_POWERS),
    "pixel_rbf": _floor("rbf", width=_WIDTHS),
    "pixel_ridge": _floor("ridge", **_RIDGE),
    "nearest": _floor("nearest", count=_COUNTS),
    "ideal_denoiser": _floor("ideal_denoiser", power=[0.25, 0.5, 1]),
}

_PROBES = {"constant": 1, "rademacher": 1, "cosine": 2}
_LOSS_BY_TIMESTEP = _features("loss", noise="common", timesteps=100, dimensions=1024)

METHODS: dict[str, dict[str, Any]] = {
    "random": _control("random"),
    "class_match": _control("class_match"),
    "train_norm": {**_control("train_norm"), "features": _features("loss")},
    "pixel_dot": _similarity("pixels", "dot"),
    "pixel_cosine": _similarity("pixels", "cosine"),
    "embedding_dot": _similarity("embeddings", "dot"),
    "embedding_cosine": _similarity("embeddings", "cosine"),
    **_FLOORS_OF_PIXELS,
    "embedding_cosine_power": _floor(
        "cosine_power", "embeddings", centre=["zero", "mean"], power=_POWERS
    ),
    "embedding_rbf": _floor("rbf", "embeddings", width=_WIDTHS),
    "embedding_ridge": _floor("ridge", "embeddings", **_RIDGE),
    "embedding_nearest": _floor("nearest", "embeddings", count=_COUNTS),
    # an experiment's ``floor`` has the floors among its methods as members
    "floor": {
        "module": _FLOORS,
        "members": [{"name": name, **options} for name, options in _FLOORS_OF_PIXELS.items()],
        "features": "pixels",
        "transform": "identity",
    },
    "nda": {
        "module": _NDA,
        "features": "pixels",
        "grid": {"timestep": [50, 100, 200, 400], "patch": [3, 5, 7]},
        "transform": "identity",
    },
    "gradient_dot": _similarity(_features("loss"), "dot"),
    "gradient_cosine": _similarity(_features("loss"), "cosine"),
    "tracincp": _similarity(_features("loss"), "dot", checkpoints="all"),
    "gas": _similarity(_features("loss"), "cosine", checkpoints="all"),
    "gradient_cosine_stepwise": {
        **_similarity(_LOSS_BY_TIMESTEP, "cosine", by_timestep=True),
        "module": _STEPWISE_SIMILARITY,
    },
    "trak": _kernel(_features("loss")),
    "trak_common": _kernel(_features("loss", noise="common")),
    "relative_if": _kernel(_features("loss"), denominator="preconditioned_norm"),
    "renormalized_if": _kernel(_features("loss"), denominator="feature_norm"),
    "journey_trak": _kernel(
        _features("loss"),
        journey=True,
        inapplicable={"val": "a held-out image has no sampling trajectory"},
    ),
    "dtrak": _kernel(_features("square")),
    "dtrak_common": _kernel(_features("square", noise="common")),
    "das": _das(_features("mean", normalise=True)),
    "das_common": _das(_features("mean", normalise=True, noise="common")),
    "das_probes": _das(_features("probe", normalise=True, probes=_PROBES)),
    "das_probes_common": _das(_features("probe", normalise=True, noise="common", probes=_PROBES)),
    "das_l1": _das(_features("l1", normalise=True)),
    "das_released": _das(
        _features("mean", normalise=True, noise="batch", timestep_rule="released"),
        residual="released",
        leverage=False,
    ),
    "das_stepwise": _kernel(_LOSS_BY_TIMESTEP, kernel="per_t", transform="square"),
    "das_ensemble": _ensemble("tune", models=32, timesteps=3, tuning=True),
    "das_ensemble_full": _ensemble("full", models=5, timesteps=9),
    "das_vector": _vector("displacement", "square"),
    "vector_if": _vector("loss", "identity"),
    "empirical_influence": _datamodel("empirical_influence"),
    "datamodel": _datamodel("datamodel"),
    "ekfac_if": _ekfac("keyed"),
    "ekfac_if_common": _ekfac("common"),
    "ekfac_stepwise": _ekfac_stepwise("loss", stepwise=True),
    "ekfac_displacement": _ekfac_stepwise("displacement", stepwise=False, probes=2),
    "ekfac_displacement_stepwise": _ekfac_stepwise("displacement", stepwise=True, probes=2),
    "unlearning": {
        "module": _UNLEARNING,
        "computed": "unlearning",
        "steps": [0.001, 0.01, 0.1],
        "loss_timesteps": 4,
        "transform": "identity",
    },
    "unlearning_plus": _unlearning_plus("free", [0.1, 1, 10]),
    "unlearning_plus_bounded": _unlearning_plus("bounded", [0.01, 0.1, 0.5]),
    "external": {"module": "external", "scores": {}, "transform": "identity"},
}

_PLANTED = {"shape": (1, 8, 8), "files": True}

# data set -> its module; (C, H, W) of its images, None if the experiment file gives it; whether it
# is read from files (data/registry.yaml names their source) or comes with a package. A set with
# ``planted`` (marks, copies) is read like files, because it has a held-out part of its own, but it
# is made from a package's images; its module knows which images have the mark, or are copies
DATASETS: dict[str, dict[str, Any]] = {
    "digits": {"module": "digits", "shape": (1, 8, 8), "files": False},
    "digits_moved": {"module": "digits_moved", "shape": (1, 12, 12), "files": False},
    "digits_marked": {"module": "digits_marked", "planted": "marks", **_PLANTED},
    "digits_repeated": {"module": "digits_repeated", "planted": "copies", **_PLANTED},
    "digits_once": {"module": "digits_repeated", "planted": "copies", **_PLANTED},
    "fashion": {"module": "fashion", "shape": (1, 28, 28), "files": True},
    "cifar10": {"module": "cifar10", "shape": (3, 32, 32), "files": True},
    "photos": {"module": "photos", "shape": (3, 16, 16), "files": True},
    "celeba": {"module": "celeba", "shape": (3, 140, 140), "files": True},
    "artbench": {"module": "artbench", "shape": (3, 256, 256), "files": True},
    "folder": {"module": "folder", "shape": None, "files": True},
}


def reads_files(dataset: str) -> bool:
    """Whether a data set is read from files; each root experiment then has a pool of its own."""
    return dataset in DATASETS and DATASETS[dataset]["files"]
