"""Files and settings of the study of retrieval, and of parameters taken from another experiment."""

import json

from dasbench.experiments.files import phases, retrieval, scores
from experiment_files import child, raw, resolved


def test_labels_are_asked_for_held_out_queries_without_the_method_that_reads_them(blank):
    e = resolved(blank, retrieval={"truth": "labels", "top": 3})
    methods = retrieval.judged_methods(e)
    assert set(methods) == {"val"}
    assert "class_match" not in methods["val"]
    assert "random" in methods["val"]
    values = json.loads(retrieval.retrieval_settings(e))
    assert (values["truth"], values["top"], values["module"]) == ("labels", 3, "digits")
    files = retrieval.retrieval_inputs(e)
    assert "results/changed/scores/das/val.npy" in files
    assert "results/changed/examples/train.npz" in files
    assert not any(file.endswith("scores/das/gen.npy") for file in files)


def test_a_child_asks_its_parents_queries_with_its_own_scores(blank):
    e = child(blank, retrieval={"truth": "labels"})
    files = retrieval.retrieval_inputs(e)
    assert "results/smoke/queries/val.npy" in files
    assert "results/child/scores/das/val.npy" in files


def test_without_a_truth_there_is_no_study(blank):
    e = resolved(blank)
    assert not retrieval.has_retrieval(e)
    assert retrieval.retrieval_tables(e) == []
    assert not {"retrieval", "trajectory"} & set(phases.phase_files(e, {"changed": e}))


def test_copies_are_asked_for_and_compared(blank):
    data = {"dataset": "digits_repeated", "train": 100}
    e = resolved(blank, data=data, retrieval={"truth": "copies", "once": "smoke"})
    assert set(retrieval.judged_methods(e)) == {"val", "gen"}
    assert "class_match" in retrieval.judged_methods(e)["val"]
    files = retrieval.credit_inputs(e)
    for name in ("changed", "smoke"):
        assert f"results/{name}/scores/das/val.npy" in files
        assert f"results/{name}/examples/val.npz" in files
    assert json.loads(retrieval.credit_settings(e))["module"] == "digits_repeated"
    tables = phases.phase_files(e, {"changed": e})["retrieval"]
    names = ["retrieval.csv", "questions.csv", "credit.csv", "retrieval.svg", "retrieval.png"]
    assert [table.rpartition("/")[2] for table in tables] == names


def test_taken_parameters_are_those_of_the_other_experiment(blank):
    left_out = ("removal", "comparisons")
    data = {key: value for key, value in raw().items() if key not in left_out}
    sections = {"subsets": None, "parameters_of": "smoke", "methods": {"das": {}}}
    e = resolved(blank, removal={}, comparisons=[], **sections)
    assert scores.borrows(e)
    assert not scores.borrows(resolved(blank, **data))
    assert scores.chosen_file(e, "das") == "results/smoke/lds/methods/das/selection.csv"
    assert json.loads(scores.taken_settings(e, "das"))["kinds"] == ["val", "gen"]
