"""Files and settings of the removal study: retraining without some images.

An *arm* of the study is one way to choose the k removed images: a method (its highest scores),
``bottom-<method>`` (its lowest scores), ``random`` (random sets, the same for all queries), or
``null`` (k = 0: only the seeds differ). An arm's *members* are its retrained models. A *family* of
arms shares one training rule.
"""

from __future__ import annotations

from typing import Any

from dasbench.experiments import config
from dasbench.experiments.files.evaluation import compared_pairs
from dasbench.experiments.files.models import member_files, train_settings
from dasbench.experiments.files.outputs import output_grid
from dasbench.experiments.files.resolved import Resolved
from dasbench.experiments.files.settings import model_settings, settings

CONTROLS = ("random", "null")
BOTTOM = "bottom-"  # no method has a name with a hyphen


def has_removal(experiment: Resolved) -> bool:
    """Whether there is a removal study; not with ``removal: {methods: []}``, the default."""
    return bool(experiment["removal"]["methods"])


def embeds_removals(experiment: Resolved) -> bool:
    """Whether the study also compares its images by embeddings of a CLIP model."""
    return has_removal(experiment) and bool(experiment["embedding"]["model"])


def arms(experiment: Resolved) -> list[tuple[str, int]]:
    """Every (arm, k) of the study."""
    each = (*_method_arms(experiment), "random")
    return [(arm, k) for k in experiment["removal"]["k"] for arm in each] + [("null", 0)]


def _method_arms(experiment: Resolved) -> list[str]:
    removal = experiment["removal"]
    return removal["methods"] + [f"{BOTTOM}{method}" for method in removal["bottom"]]


def arm_families(experiment: Resolved) -> dict[str, list[str]]:
    """Family -> its arms; all arms of a family have the same members."""
    return {
        "methods": _method_arms(experiment),
        "random": ["random"],
        "null": ["null"],
    }


def removal_queries(experiment: Resolved) -> list[int]:
    """The first evaluation queries, as positions in gen.npy."""
    first = experiment["queries"]["tuning"]
    return list(range(first, first + experiment["removal"]["queries"]))


def _sets(experiment: Resolved, arm: str) -> int:
    return experiment["removal"]["null_models" if arm == "null" else "random_sets"]


def members(experiment: Resolved, arm: str) -> list[str]:
    """Folder names of an arm's models."""
    if arm in CONTROLS:
        return [f"set-{number}" for number in range(_sets(experiment, arm))]
    return [f"query-{query}" for query in removal_queries(experiment)]


def removal_models(experiment: Resolved, arm: str, k: object) -> list[str]:
    """The files of an arm's models."""
    folder = f"{experiment.folder}/models/removal/{arm}/k-{k}"
    return [
        file
        for member in members(experiment, arm)
        for file in member_files(experiment, f"{folder}/{member}")
    ]


def retrained_files(experiment: Resolved, family: str) -> list[str]:
    """The files of the models of any arm of a family: a pattern of the wildcards arm and k."""
    arm = arm_families(experiment)[family][0]
    pattern = f"{experiment.folder}/models/removal/{{arm}}/k-{{k}}"
    return [
        file
        for member in members(experiment, arm)
        for file in member_files(experiment, f"{pattern}/{member}")
    ]


def retrain_settings(experiment: Resolved, family: str) -> str:
    """The string of the training of a family's arms."""
    arm = arm_families(experiment)[family][0]
    return train_settings(
        experiment, members=members(experiment, arm), other_seeds=family == "null"
    )


def removal_scores(experiment: Resolved, arm: str) -> list[str]:
    """A method's scores; random and null arms need none."""
    if arm in CONTROLS:
        return []
    return [f"{experiment.folder}/scores/{arm.removeprefix(BOTTOM)}/gen.npy"]


def removal_candidates(experiment: Resolved, arm: str) -> int | None:
    """Number of training images with scores for each query; None if all images have scores."""
    features = experiment.methods.get(arm.removeprefix(BOTTOM), {}).get("features")
    return features["candidates"] if isinstance(features, dict) else None


def candidate_queries(experiment: Resolved, arm: str) -> list[str]:
    """The queries, for a method whose candidates depend on them."""
    return [f"{experiment.home}/queries/gen.npy"] * bool(removal_candidates(experiment, arm))


def choice_flags(experiment: Resolved, arm: str) -> str:
    """Scores and queries of a method as command line options."""
    scores, queries = removal_scores(experiment, arm), candidate_queries(experiment, arm)
    flags = [("scores", path) for path in scores] + [("asked", path) for path in queries]
    return " ".join(f"--{name} {path}" for name, path in flags)


def choice_settings(experiment: Resolved, arm: str, k: str) -> str:
    """The string of the choice of the images that are removed."""
    values: dict[str, Any] = {"k": int(k)}
    if arm in CONTROLS:
        values["sets"] = _sets(experiment, arm)
    else:
        values["queries"] = removal_queries(experiment)
    if candidates := removal_candidates(experiment, arm):
        values["candidates"] = candidates
    return settings(experiment, **values)


def measure_removal_settings(experiment: Resolved, arm: str, k: str) -> str:
    """The string of the measurement of an arm's models."""
    queries = experiment["queries"]
    return model_settings(
        experiment,
        arm=arm if arm in CONTROLS else "method",
        method=arm,
        k=int(k),
        members=members(experiment, arm),
        queries=removal_queries(experiment),
        grid=output_grid(experiment),
        sampling_steps=queries["sampling_steps"],
        guidance=queries["guidance"],
    )


def part_files(experiment: Resolved, folder: str) -> list[str]:
    """Tables and images of every arm, in ``parts`` or in ``embedded``."""
    return [
        f"{experiment.folder}/removal/{folder}/{arm}/k-{k}/{name}"
        for arm, k in arms(experiment)
        for name in ("per_query.parquet", "images.npy")
    ]


def embedded_removal_settings(experiment: Resolved) -> str:
    """The string of the comparison by embeddings: the CLIP model, and the arms."""
    model = experiment["embedding"]["model"]
    return config.canonical({"model": model, "arms": arms(experiment)})


def removal_summary_settings(experiment: Resolved) -> str:
    """The string of the study's tables."""
    pairs = [pair for pair in compared_pairs(experiment) if "removal" in pair["truth"]]
    return settings(experiment, arms=arms(experiment), comparisons=pairs, **experiment["lds"])


def removal_summary(experiment: Resolved) -> list[str]:
    """The table of the study, if there is a study."""
    return [f"{experiment.folder}/removal/summary.csv"] * has_removal(experiment)


def removal_comparisons(experiment: Resolved) -> list[str]:
    """The table of the comparisons that removal judges, if there is a study."""
    return [f"{experiment.folder}/removal/comparisons.csv"] * has_removal(experiment)


def removal_flag(experiment: Resolved) -> str:
    """The table of the study as a command line option, or nothing."""
    return " ".join(f"--removal {path}" for path in removal_summary(experiment))


def removal_flags(experiment: Resolved) -> str:
    """The tables of the study and of its comparisons as command line options, or nothing."""
    pairs = [f"--removal-comparisons {path}" for path in removal_comparisons(experiment)]
    return " ".join([removal_flag(experiment), *pairs]).strip()
