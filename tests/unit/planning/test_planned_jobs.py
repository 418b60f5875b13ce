"""Jobs as Snakemake plans them, whatever is here and wherever the experiment file lies."""

import pytest
import yaml

from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.planning import planned_jobs
from dasbench.planning.job_cost import Jobs
from experiment_files import ROOT, raw

ABROAD = {"dataset": "butterflies", "size": 8, "path": "nowhere", "train": 120}
CHILD = {
    "title": "child",
    "parent": "smoke",
    "methods": {
        "das": None,
        "theirs": {"scores": {"val": "far/val.npy", "gen": "far/gen.npy"}, "transform": "square"},
    },
}


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """Jobs of smoke, of smoke on an unknown data set, and of a child; by rule."""
    folder = tmp_path_factory.mktemp("files")
    smoke, abroad = raw(), raw() | {"data": ABROAD}
    named = {"smoke": smoke, "With-Odd-Name": abroad, "latents": CHILD}
    experiments = []
    for name, content in named.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        experiments.append(config.load_file(folder / f"{name}.yaml", ROOT))
    before = sorted(ROOT.iterdir())
    jobs = planned_jobs.count(ROOT, experiments, list(named.values()))
    assert sorted(ROOT.iterdir()) == before  # nothing is left where the user works
    return dict(zip(named, jobs, strict=True))


def test_jobs_are_those_of_the_file(planned):
    """By hand, of smoke: a base model, 4 + 16 subset models of four a job, two arms and k."""
    counts = {rule: jobs for rule, _, jobs in planned["smoke"]}
    expected = {
        "prepare_pool": 1,
        "train_base_smoke": 1,
        "train_subsets_tune_smoke": 1,
        "train_subsets_eval_smoke": 4,
        "train_removal_methods_smoke": 3,
        "gather_outputs": 2,
        "plot_neighbours": 2,
        "smoke": 1,
    }
    assert expected.items() <= counts.items()
    methods = config.methods(config.load("smoke", ROOT))
    assert counts["evaluate_lds"] == counts["select_damping"] == len(methods)
    families = {rule: family for rule, family, _ in planned["smoke"]}
    assert families["train_subsets_eval_smoke"] == "train_subsets_eval"
    assert (families["score"], families["smoke"]) == ("score", "target")


def test_a_file_elsewhere_on_an_unknown_data_set_has_the_same_jobs(planned):
    renamed = [
        Jobs(rule.replace("With-Odd-Name", "smoke"), *rest)
        for rule, *rest in planned["With-Odd-Name"]
    ]
    assert sorted(renamed) == sorted(planned["smoke"])


def test_a_child_has_no_jobs_of_its_parent_and_scores_from_elsewhere_may_be_absent(planned):
    counts = {rule: jobs for rule, _, jobs in planned["latents"]}
    assert (counts["score"], counts["evaluate_lds"]) == (2, 2)
    assert "compute_features" not in counts  # das of the parent has the same
    assert counts["latents"] == 1
    absent = ("prepare_pool", "choose", "train", "measure", "gather_outputs", "make_queries")
    assert not any(rule.startswith(absent) for rule in counts)


def test_a_plan_that_fails_says_why():
    broken = raw() | {"features": {"projections": "none"}}
    with pytest.raises(UserError, match=r"cannot plan: [^\0]*planned_0\.yaml: features"):
        planned_jobs.count(ROOT, [config.load("smoke", ROOT)], [broken])
