"""The input files of a method in an experiment, and the flags that name them.

A family of methods lists its needs (``needs``), and ``dasbench.attribution.method_inputs`` defines
each need. This module derives the paths from the experiment file. Rules import it; scripts do not:
they receive the paths as flags.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasbench.attribution.method_inputs import Method, files_of
from dasbench.attribution.methods import interface
from dasbench.core.query_kinds import of, query_files
from dasbench.experiments import config, feature_sets, residual_sets


def method_of(name: str, options: Mapping[str, Any], experiment: Mapping[str, Any]) -> Method:
    """The ``Method`` of an experiment; the paths of its inputs follow from it.

    Args:
        name: Name of the method.
        options: ``config.methods(experiment)[name]``.
        experiment: From ``config.load``.
    """
    sets = list(feature_sets.of_method(options, experiment))
    if options.get("features") == "embeddings":
        sets = ["embeddings"]
    apart = feature_sets.keeps_timesteps(options)
    return Method(
        name=name,
        options=options,
        folder=f"results/{experiment['name']}",
        home=f"results/{experiment['seed_name']}",
        features=sets[1:] if apart else sets,
        timesteps=sets[0] if apart else None,
        spectrum=feature_sets.has_spectrum(options),
        residuals=residual_sets.name_of(options, experiment),
        kinds=of(experiment),
    )


def files(
    name: str, experiment: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> dict[str, str | list[str]]:
    """Flag -> file or files of one method of an experiment.

    Args:
        name: Name of the method.
        experiment: From ``config.load``.
        options: ``config.methods(experiment)[name]``; None: read from ``experiment``.
    """
    options = config.methods(experiment)[name] if options is None else options
    method = method_of(name, options, experiment)
    return {
        "examples": f"{method.home}/examples/train.npz",
        "queries": [
            f"{method.home}/queries/{file}"
            for file in query_files(method.kinds)
            if file != "gen_noise.npy"
        ],
        **files_of(method, interface.family(options).needs),
    }


def paths(named: Mapping[str, str | list[str]]) -> list[str]:
    """The files as a flat list."""
    entries = ([entry] if isinstance(entry, str) else entry for entry in named.values())
    return [path for entry in entries for path in entry]


def flags(named: Mapping[str, str | list[str]]) -> str:
    """The files as command line options; a list of files becomes a list of their folders."""
    parts = []
    for name, entry in named.items():
        folders = [] if isinstance(entry, str) else [str(Path(path).parent) for path in entry]
        parts += [f"--{name}", *(dict.fromkeys(folders) or [entry])]
    return shlex.join(parts)
