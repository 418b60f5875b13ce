"""Files and settings of the study of sampling paths."""

import json

from dasbench.experiments.files import phases, trajectory
from experiment_files import child, resolved


def test_a_child_measures_the_models_of_its_parent(blank):
    e = child(blank, trajectory={"places": 3})
    models = trajectory.shard_models(e, "1", "000")
    assert models[0].startswith("results/smoke/models/eval/seed-1/shard-000/00/")
    folder = trajectory.shard_folder(e, "1", "000")
    numbers = {file.removeprefix(f"{folder}/").partition("/")[0] for file in models}
    assert sorted(numbers) == [f"{k:02d}" for k in range(e["subsets"]["models_per_job"])]
    files = trajectory.trajectory_inputs(e)
    assert "results/child/trajectory/seed-1/shard-001.npy" in files
    assert "results/smoke/outputs/eval/displacement-gen.npy" in files
    assert "results/child/scores/das/gen.npy" in files
    assert phases.phase_files(e, {"child": e})["trajectory"] == [
        "results/child/trajectory/lds.csv",
        "results/child/trajectory/places.csv",
        "results/child/figures/trajectory.svg",
        "results/child/figures/trajectory.png",
    ]


def test_a_measurement_depends_on_the_sampling_and_the_places_alone(blank):
    e = child(blank, trajectory={"places": 3})
    values = json.loads(trajectory.measure_settings(e))
    assert (values["places"], values["sampling_steps"]) == (3, e["queries"]["sampling_steps"])
    other = child(blank, trajectory={"places": 3}, methods={"dtrak": {}})
    assert trajectory.measure_settings(other) == trajectory.measure_settings(e)
    assert trajectory.trajectory_settings(other) != trajectory.trajectory_settings(e)
    assert not trajectory.has_trajectory(resolved(blank))
