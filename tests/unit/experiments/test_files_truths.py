"""Which truths enter the table of methods and truths, and what is said of the others."""

import json

import pytest
import yaml

from dasbench.experiments.files import groups, resolved, truths
from experiment_files import make_repository

GROUPS = {"by": "label", "count": 3}
METHODS = {"das": {}, "pixel_cosine": {}, "trak": {"leverage": True}}
REPLAY = {
    "fractions": [0.9],
    "models": [2],
    "models_per_job": 2,
    "queries": 3,
    "queries_per_job": 2,
}


@pytest.fixture
def family(tmp_path):
    """Smoke, two children with a study each, and their repository."""
    root = make_repository(tmp_path / "root")
    for name, sections in {
        "study": {"groups": GROUPS},
        "run_once": {"replay": REPLAY, "methods": {"das": {}, "trak": {}}},
    }.items():
        data = {"title": name, "parent": "smoke", "methods": METHODS, **sections}
        (root / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(data))
    everyone = resolved.load_all(root)
    return everyone["study"], everyone, root


def make(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_what_is_not_made_is_said_with_its_command(family):
    rows = truths.missing(*family)
    assert [row["truth"] for row in rows] == ["removal", "exact"]
    assert rows[0]["reason"] == "not made; ./run -- removal_smoke makes it"
    assert rows[1]["reason"] == "not made; ./run -- replay_run_once makes it"
    inputs = truths.inputs(*family)
    assert not any("removal" in file or "exact" in file for file in inputs)
    assert set(groups.tables(family[0])) < set(inputs)
    assert "results/smoke/lds/methods/das/draws.npy" in inputs
    assert "results/study/lds/methods/trak/draws.npy" in inputs  # its options are others


def test_what_is_made_enters_with_the_methods_of_equal_settings(family):
    study, everyone, root = family
    make(root, "results/smoke/removal/per_query.parquet")
    make(
        root,
        *(f"results/run_once/replay/exact/{p}-00{i}.npy" for p in ("val", "gen") for i in (0, 1)),
    )
    assert truths.missing(*family) == []
    values = json.loads(truths.truth_settings(*family))
    assert values["removals"] == {"smoke": ["das", "pixel_cosine"]}
    (run,) = values["replays"].values()
    assert run["methods"] == {"val": ["das"], "gen": ["das"]}  # its trak is another
    assert run["parts"]["gen-001"] == ["gen", [6]]
    inputs = truths.inputs(*family)
    assert "results/run_once/replay/exact/val-001.npy" in inputs
    assert "results/smoke/scores/das/val.npy" in inputs
    assert len(set(inputs)) == len(inputs)


def test_a_family_without_such_studies_says_so(family):
    study, everyone, root = family
    alone = {"study": study}
    assert {row["reason"] for row in truths.missing(study, alone, root)} == {
        "no experiment of the family has it"
    }
    assert truths.tables(everyone["smoke"]) == []
