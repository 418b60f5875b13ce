"""The settings of an index or of ``attribute``: methods that can be used, and their options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from dasbench import registry
from dasbench.attribution.parameters import Point
from dasbench.commands import attribute_options
from dasbench.commands.image_files import READING, RESIZE
from dasbench.errors import UserError

DEFAULT_METHOD = "das_stepwise"
DEFAULTS = (DEFAULT_METHOD, "das_common", "das")  # the first that an experiment has
# method -> median of the dampings that tuning data chose, over the recorded data sets and kinds of
# queries; in units of the largest eigenvalue of the kernel. A test compares it with the tables.
DAMPINGS = {
    "das": 1e-4,
    "das_common": 1e-5,
    "das_l1": 0.002,
    "das_probes": 0.002,
    "das_probes_common": 5e-4,
    "das_released": 1e-4,
    "das_stepwise": 0.05,
    "dtrak": 2e-4,
    "dtrak_common": 1e-4,
    "relative_if": 0.01,
    "renormalized_if": 0.05,
    "trak": 0.02,
    "trak_common": 0.005,
}
OTHER_DAMPING = 1e-4  # of methods that were judged nowhere
# beside every answer: a similarity that needs no model; fixed, from the benchmark's tuning data
FLOOR = "pixel_cosine_power"
FLOOR_POINT = Point(centre="mean", power=4)
FEATURE_DEFAULTS = {
    "timesteps": 10,
    "draws": 1,
    "dimensions": 4096,
    "projection": "kronecker",
    "norms": "projected",
    "oversampling": 4,
    "parameters": "weights",
}
FEATURE_OPTIONS = (*FEATURE_DEFAULTS, "dtype")
# an index stores the features of every timestep, so its default has fewer of both
SIZES = {DEFAULT_METHOD: {"timesteps": 20, "dimensions": 1024}}
RELEASED_TIMESTEPS = 100


def usable(methods: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Methods of the kernel family, without those that need the sampling trajectory of a query."""
    return [
        name
        for name, options in methods.items()
        if options["module"] == "kernel_methods" and not options.get("journey")
    ]


def options_of(method: str) -> dict[str, Any]:
    """The registry's options of a method.

    Raises:
        UserError: If it is not of the kernel family.
    """
    names = usable(registry.METHODS)
    if method not in names:
        raise UserError(f"method {method!r} cannot be used here; choose one of {', '.join(names)}")
    return registry.METHODS[method]


def damping_of(method: str, given: float | None = None) -> float:
    """The damping of a method: as given, or the default of the method.

    Raises:
        UserError: If the given damping is not a positive number.
    """
    if given is None:
        return DAMPINGS.get(method, OTHER_DAMPING)
    attribute_options.check_damping(given)
    return float(given)


def complete(
    method: str, features: Mapping[str, Any], parameters: str | None = None
) -> dict[str, Any]:
    """All options of a method for an index.

    Args:
        method: Name of the method.
        features: Options of its features that the user gave; ``FEATURE_OPTIONS`` lists them.
        parameters: Default of the model for the subset of that name, or None.

    Raises:
        UserError: If an option is unknown or impossible.
    """
    given = attribute_options.check_features(features, FEATURE_OPTIONS)
    options = options_of(method)
    sizes = SIZES.get(method, {}) | ({"parameters": parameters} if parameters else {})
    return {**options, "features": {**FEATURE_DEFAULTS, **options["features"], **sizes, **given}}


def add_features(cli: argparse.ArgumentParser) -> None:
    """An option of the command line for each of ``FEATURE_OPTIONS``."""
    for name in FEATURE_OPTIONS:
        kind = type(FEATURE_DEFAULTS.get(name, ""))
        cli.add_argument(f"--{name}", type=kind, help="of the features; see config/README.md")


def given_features(args: argparse.Namespace) -> dict[str, Any]:
    """The options of ``add_features`` that the user gave."""
    named = {name: getattr(args, name) for name in FEATURE_OPTIONS}
    return {name: value for name, value in named.items() if value is not None}


def check_kernel(options: Mapping[str, Any]) -> None:
    """Refuse kernels and features that an index cannot hold.

    Raises:
        UserError: For the kernel pooled, trajectories, ensembles and sets of candidates.
    """
    if options["kernel"] not in ("averaged", "per_t"):
        raise UserError(
            f"kernel is {options['kernel']}, expected averaged or per_t: an index has one kernel "
            "for each timestep, or one for their mean"
        )
    if options.get("journey"):
        raise UserError(
            "the method needs the sampling trajectory of each query, which a picture does not "
            f"have; choose one of {', '.join(usable(registry.METHODS))}"
        )
    for key, value in (("ensemble", options), ("candidates", options["features"])):
        if value.get(key):
            raise UserError(f"{key} is {value[key]}, which an index cannot hold; leave it out")


def checked_reading(reading: Mapping[str, Any] | None) -> dict[str, Any]:
    """How image files are read, without what is None: resize, background, range.

    Raises:
        UserError: If a key or a value is none of these.
    """
    if not isinstance(reading, Mapping | None):
        raise UserError(f"reading is {reading!r}, expected a dict of {', '.join(READING)}")
    given = {key: value for key, value in (reading or {}).items() if value is not None}
    if unknown := sorted(set(given) - set(READING)):
        raise UserError(f"reading has {unknown[0]!r}, expected {', '.join(READING)}")
    if given.get("resize", "crop") not in RESIZE:
        raise UserError(f"resize is {given['resize']!r}, expected one of {', '.join(RESIZE)}")
    ends = np.asarray(given.get("range", (0, 1)), np.float64)
    if ends.shape != (2,) or not np.isfinite(ends).all() or ends[0] >= ends[1]:
        raise UserError(
            f"range is {given['range']!r}, expected two finite numbers, of black and white, the "
            "smaller first"
        )
    return given
