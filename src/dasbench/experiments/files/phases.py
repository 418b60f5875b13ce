"""The phases of an experiment and the files of each; ``<phase>_<experiment>`` is their target."""

from __future__ import annotations

from collections.abc import Mapping

from dasbench.core.query_kinds import SPECTRUM, computed, of
from dasbench.experiments import ablation_design, figure_table
from dasbench.experiments.files import groups, inherited, truths
from dasbench.experiments.files.ablation import ABLATION_TABLES
from dasbench.experiments.files.adaptation import adaptation_tables, has_adaptation
from dasbench.experiments.files.costs import COST_FILES, has_times
from dasbench.experiments.files.dampings import has_dampings, rule_files
from dasbench.experiments.files.data import pool_of
from dasbench.experiments.files.ensembles import (
    BOUND_TABLE,
    TUNING_TABLE,
    has_ensembles,
    study_files,
)
from dasbench.experiments.files.features import (
    journeys,
    needs_embeddings,
    spectra,
)
from dasbench.experiments.files.grids import grid_tables
from dasbench.experiments.files.models import USES, base_files, shard_masks
from dasbench.experiments.files.pages import drawn_files, figure_files
from dasbench.experiments.files.removal import has_removal, removal_summary
from dasbench.experiments.files.replay import has_replay, replay_tables
from dasbench.experiments.files.replicates import REPLICATE_TABLES, has_base, replicates
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.retrieval import has_retrieval, retrieval_tables
from dasbench.experiments.files.scores import score_files
from dasbench.experiments.files.trajectory import has_trajectory, trajectory_tables


def phase_files(experiment: Resolved, experiments: Mapping[str, Resolved]) -> dict[str, list[str]]:
    """Phase -> its files; a child lacks the phases whose files it shares with its parent."""
    phases = _scored(experiment) | _studies(experiment, experiments)
    return phases | _shared(experiment) if experiment.is_root else phases


def _scored(experiment: Resolved) -> dict[str, list[str]]:
    folder = experiment.folder
    phases = {
        "features": [f for f in compared_files(experiment) if f.startswith(f"{folder}/")],
        "scores": score_files(experiment),
        "report": [f"{folder}/report.html"],
    }
    if experiment.is_judged:
        tables = ("summary", "table", "by_models")
        phases["tuning"] = [f"{folder}/search/tuning.csv"]
        phases["lds"] = [f"{folder}/lds/{table}.csv" for table in tables]
        phases["report"].append(f"{folder}/metrics.json")
    return phases


def compared_files(experiment: Resolved) -> list[str]:
    """Inputs of methods: features, residuals, and scores that need the network itself.

    A child shares some of them with a parent, see ``dasbench.experiments.files.inherited``.
    """
    features = f"{experiment.folder}/features"
    files = [f"{features}/{name}/train.npy" for name in experiment.features]
    files += [f"{features}/{name}/by_timestep/train.npy" for name in experiment.timesteps]
    files += [
        f"{features}/{name}/spectrum/{file}.npy"
        for name in spectra(experiment)
        for file in SPECTRUM
    ]
    files += [f"{features}/{name}/journey.npy" for name in journeys(experiment)]
    files += [f"{features}/embeddings/train.npy"] * needs_embeddings(experiment)
    files += [f"{experiment.folder}/residuals/{name}.npy" for name in experiment.residuals]
    files += [
        f"{experiment.folder}/network/{method}/{name}.npy"
        for method, options in experiment.methods.items()
        if "computed" in options
        for name in computed(of(experiment))
    ]
    return inherited.paths(experiment, files)


def _studies(experiment: Resolved, experiments: Mapping[str, Resolved]) -> dict[str, list[str]]:
    phases, folder = {}, experiment.folder
    if has_removal(experiment):
        phases["removal"] = removal_summary(experiment)
    if has_replay(experiment):
        phases["replay"] = replay_tables(experiment)
    if has_dampings(experiment):
        phases["rules"] = rule_files(experiment)
    if groups.has_groups(experiment):
        phases["left_out"] = groups.tables(experiment) + drawn_files(experiment, "plot_groups")
        phases["truths"] = truths.tables(experiment) + drawn_files(experiment, "plot_truths")
    if has_ensembles(experiment):
        phases["ranking"] = study_files(experiment, TUNING_TABLE)
        phases["ranking"] += [f"{folder}/figures/ensembles.{f}" for f in figure_table.FORMATS]
        phases["bound"] = study_files(experiment, BOUND_TABLE)
    if has_retrieval(experiment):
        phases["retrieval"] = retrieval_tables(experiment)
    if has_trajectory(experiment):
        phases["trajectory"] = trajectory_tables(experiment)
    if has_adaptation(experiment):
        phases["adaptation"] = adaptation_tables(experiment)
    if ablation_design.wanted(experiment):
        phases["effects"] = [f"{folder}/ablation/{table}.csv" for table in ABLATION_TABLES]
    if has_times(experiment):
        phases["costs"] = [f"{folder}/{name}" for name in COST_FILES]
        phases["costs"] += figure_files(experiment, reported=False)
    if has_base(experiment):
        phases["base"] = base_files(experiment, f"{folder}/models/base")
    if replicates(experiment, experiments):
        phases["replicates"] = [f"{folder}/replicates/{name}.csv" for name in REPLICATE_TABLES]
    return phases


def _shared(experiment: Resolved) -> dict[str, list[str]]:
    """Phases whose files children share with their parent."""
    folder = experiment.folder
    phases = {
        "pool": [pool_of(experiment)],
        "examples": [f"{folder}/examples/train.npz"],
        "base": base_files(experiment),
        "queries": [f"{folder}/queries/uses.json"],
    }
    if experiment.is_judged:
        phases |= {use: shard_masks(experiment, use) for use in USES}
        phases["outputs"] = [f"{folder}/masks/{use}.npy" for use in USES]
        phases["grids"] = grid_tables(experiment)
    return phases
