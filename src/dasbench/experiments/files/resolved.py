"""A loaded experiment with its methods, sets of features and folders."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench import model_families
from dasbench.errors import UserError
from dasbench.experiments import config, feature_sets, residual_sets


class Resolved(dict[str, Any]):
    """The dict of ``config.load``, with derived values as attributes.

    ``experiment["methods"]`` has the overrides of the experiment file, ``experiment.methods`` the
    complete options. A *child* is an experiment with ``parent:``; a *root* has none. A child's
    files are in two folders: its own are in ``folder``, its parent's in ``home``.

    Attributes:
        parents: The parent, the parent's parent and so on; empty unless ``load_sound`` or
            ``load_all`` loaded the experiment.
    """

    parents: tuple[Resolved, ...] = ()

    @property
    def folder(self) -> str:
        """Folder of the files that this experiment makes."""
        return f"results/{self['name']}"

    @property
    def home(self) -> str:
        """Folder of the root experiment, whose examples, queries and models this one uses."""
        return f"results/{self['seed_name']}"

    @property
    def base(self) -> str:
        """Folder of the base model that is attributed."""
        return f"results/{self['base_home']}/models/base"

    @property
    def is_root(self) -> bool:
        """Whether the experiment has no parent, so that its models are its own."""
        return self["seed_name"] == self["name"]

    @property
    def is_judged(self) -> bool:
        """Whether subset models judge the scores; with ``subsets: null`` nothing judges them."""
        return bool(self["subsets"])

    @property
    def family(self) -> dict[str, Any]:
        """The registry's entry of the family of models."""
        return model_families.family(self["model"])

    @functools.cached_property
    def methods(self) -> dict[str, dict[str, Any]]:
        """Method -> its complete options."""
        return config.methods(self)

    @functools.cached_property
    def features(self) -> dict[str, dict[str, Any]]:
        """Name -> settings of every set of features averaged over timesteps."""
        return feature_sets.sets(self)

    @functools.cached_property
    def timesteps(self) -> dict[str, dict[str, Any]]:
        """Name -> settings of every set of features by timestep."""
        return feature_sets.by_timestep(self)

    @functools.cached_property
    def residuals(self) -> dict[str, dict[str, Any]]:
        """Name -> settings of every set of residuals."""
        return residual_sets.sets(self)


def load_all(root: str | Path) -> dict[str, Resolved]:
    """Load every experiment: name -> experiment.

    Raises:
        UserError: As ``config.load`` does.
    """
    return _related(config.load_all(root))


def load_sound(root: str | Path) -> tuple[dict[str, Resolved], dict[str, UserError]]:
    """As ``config.load_sound``: the experiments, and name -> error of those that are broken."""
    loaded, broken = config.load_sound(root)
    return _related(loaded), broken


def _related(loaded: Mapping[str, config.Experiment]) -> dict[str, Resolved]:
    experiments = {name: Resolved(experiment) for name, experiment in loaded.items()}
    for experiment in experiments.values():
        chain = [experiment]
        while chain[-1]["parent"]:
            chain.append(experiments[chain[-1]["parent"]])
        experiment.parents = tuple(chain[1:])
    return experiments
