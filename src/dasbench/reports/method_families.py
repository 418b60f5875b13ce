"""Families of methods, which have one colour in all figures and charts.

Source of the colours: M. Okabe and K. Ito, Color Universal Design (2008), https://jfly.uni-koeln.de/color/.
"""

from __future__ import annotations

from collections.abc import Mapping

FAMILIES = {
    "das": "#c8500a",
    "dtrak": "#0a66a8",
    "trak": "#00866a",
    "influence": "#a0508c",
    "gradient": "#b58900",
    "similarity": "#6f6256",
    "retraining": "#1d232b",
    "control": "#8a929b",
    "other": "#4b3fb5",
}
CONTROLS = ("random", "class_match", "train_norm")
MEMBERS = {
    "trak": ("trak", "journey_trak"),
    "influence": (
        *("relative_if", "renormalized_if", "ekfac_if", "unlearning", "ekfac_stepwise"),
        *("ekfac_displacement", "ekfac_displacement_stepwise"),
        *("unlearning_plus", "unlearning_plus_bounded"),
    ),
    "gradient": (
        *("gradient_dot", "gradient_cosine", "tracincp", "gas", "gradient_cosine_stepwise"),
    ),
    "similarity": (
        *("pixel_dot", "pixel_cosine", "embedding_dot", "embedding_cosine"),
        *("pixel_cosine_power", "pixel_rbf", "pixel_ridge", "nearest", "ideal_denoiser", "floor"),
        *("embedding_cosine_power", "embedding_rbf", "embedding_ridge", "embedding_nearest", "nda"),
    ),
    "retraining": ("empirical_influence", "datamodel"),
    "control": (*CONTROLS, "null"),
}


def family(method: str, families: Mapping[str, str] | None = None) -> str:
    """The family of a method: from ``families``, else from ``MEMBERS``, else by its prefix."""
    if families and families.get(method) in FAMILIES:
        return families[method]
    for name, members in MEMBERS.items():
        if method in members:
            return name
    stem = method.split("_")[0]
    return stem if stem in ("das", "dtrak", "trak") else "other"
