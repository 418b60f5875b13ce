"""Files and settings of the factorial ablation."""

from __future__ import annotations

from dasbench.experiments import ablation_design, residual_sets
from dasbench.experiments.files.features import splits
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import drawn_settings, settings

ABLATION_TABLES = ("cells", "main_effects", "gains")
CELL_FILES = ("cells.csv", "draws.npy")


def readout_files(experiment: Resolved) -> list[str]:
    """Features of every form, as a pattern of the wildcard noise."""
    folder = f"{experiment.folder}/ablation/features"
    return [
        f"{folder}/{form}-{{noise}}/{split}.npy"
        for form in ablation_design.forms(experiment)
        for split in splits(experiment)
    ]


def readout_settings(experiment: Resolved, noise: str) -> str:
    """The string of the sets of features of one noise policy."""
    return drawn_settings(experiment, sets=ablation_design.feature_sets(experiment, noise))


def cell_features(experiment: Resolved, features: str) -> list[str]:
    """The features of one set of cells."""
    folder = f"{experiment.folder}/ablation/features/{features}"
    return [f"{folder}/{split}.npy" for split in splits(experiment)]


def cell_residuals(experiment: Resolved) -> dict[str, dict[str, str | None]]:
    """Kernel -> residual -> name of its file, None for none."""
    names: dict[str, dict[str, str | None]] = {}
    for options in ablation_design.residual_options(experiment):
        of_kernel = names.setdefault(options["kernel"], {})
        of_kernel[options["residual"]] = residual_sets.name_of(options, experiment)
    return names


def cell_residual_files(experiment: Resolved) -> list[str]:
    """The residuals of all cells."""
    kernels = cell_residuals(experiment).values()
    names = {name for of_kernel in kernels for name in of_kernel.values() if name}
    return [f"{experiment.folder}/residuals/{name}.npy" for name in sorted(names)]


def cell_settings(experiment: Resolved, features: str) -> str:
    """The string of all cells on one set of features."""
    plan = experiment["ablation"]
    return settings(
        experiment,
        labels=ablation_design.labels(experiment)[features],
        residuals=cell_residuals(experiment),
        order={name: plan[name] for name in ("kernels", "residuals")},
        fixed=plan["fixed"],
        damping=experiment["damping"],
        **experiment["lds"],
    )


def cell_tables(experiment: Resolved) -> list[str]:
    """The cells of every set of features."""
    folder = f"{experiment.folder}/ablation/cells"
    return [
        f"{folder}/{name}/{file}"
        for name in ablation_design.labels(experiment)
        for file in CELL_FILES
    ]


def ablation_settings(experiment: Resolved) -> str:
    """The string of the ablation's tables."""
    return settings(
        experiment,
        experiment=experiment["name"],
        sets=list(ablation_design.labels(experiment)),
        level=experiment["lds"]["level"],
    )


def ablation_gains(experiment: Resolved) -> list[str]:
    """The shares of the gain, if there is an ablation."""
    return [f"{experiment.folder}/ablation/gains.csv"] * ablation_design.wanted(experiment)


def ablation_flag(experiment: Resolved) -> str:
    """The shares of the gain as a command line option, or nothing."""
    return " ".join(f"--gains {path}" for path in ablation_gains(experiment))
