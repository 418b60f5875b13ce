"""Predicted seconds and requested memory against what was measured, from the file in git."""

import json

import pytest

from dasbench.errors import UserError
from dasbench.planning import rates
from dasbench.planning.job_cost import Cost, Jobs
from experiment_files import ROOT

RATES = rates.load(ROOT / rates.FILE)
OBSERVED = [(e, f, row) for e, rows in RATES.observed.items() for f, row in rows.items()]


def cost(family, row):
    return Cost(family, row["work"], memory=row["memory"])


def predicted(known, rows):
    return sum(row["jobs"] * known.seconds(cost(family, row)) for family, row in rows.items())


def measured(rows):
    return sum(row["seconds"] for row in rows.values())


@pytest.mark.parametrize("experiment", ["digits", "fashion"])
def test_totals_are_near_what_was_measured(experiment):
    rows = RATES.observed[experiment]
    assert predicted(RATES, rows) == pytest.approx(measured(rows), rel=0.25)


@pytest.mark.parametrize("left_out", ["train_subsets_eval", "measure_outputs"])
def test_a_rule_is_predicted_from_the_others(left_out):
    """Nothing measured on digits' own jobs of a rule is needed for their time."""
    rows = RATES.observed["digits"]
    others = {name: dict(of) for name, of in RATES.observed.items()}
    own = {left_out: others["digits"].pop(left_out)}
    assert predicted(rates.fit(others), own) == pytest.approx(measured(own), rel=0.35)
    assert left_out in rows


def test_the_file_is_the_fit_of_what_it_observed():
    again = rates.fit(RATES.observed, RATES.machine)
    for name in ("start", "rate", "peak_mb"):
        assert getattr(again, name) == pytest.approx(getattr(RATES, name), rel=1e-3), name


def test_a_made_up_machine_is_found_again():
    truth = rates.Rates({"network": 4.0, "plot": 1.0}, {"train": 2e-9}, {}, "", {})
    rows = {
        f"train_{k}": {
            "jobs": k + 1,
            "work": {"train": 1e9 * 10**k},
            "memory": 5_000_000,
            "peak_mb": 305.0 + k,
        }
        for k in range(4)
    }
    rows["plot"] = {"jobs": 3, "work": {}, "memory": 0, "peak_mb": None}
    for family, row in rows.items():
        row["seconds"] = row["jobs"] * truth.seconds(cost(family, row))
    found = rates.fit({"made_up": rows})
    assert found.start == pytest.approx(truth.start, rel=1e-4)
    assert found.rate == pytest.approx(truth.rate, rel=1e-4)
    assert found.peak_mb["network"] == 303.0  # less the 5 MB that are counted


@pytest.mark.parametrize(("experiment", "family", "row"), OBSERVED)
def test_jobs_ask_for_more_memory_than_they_were_seen_to_use(experiment, family, row):
    asked = RATES.mem_mb(cost(family, row))
    assert asked >= rates.LEAST_MB
    if row["peak_mb"] is not None:
        assert 1.2 * row["peak_mb"] <= asked <= max(rates.LEAST_MB, 4 * row["peak_mb"])


@pytest.mark.parametrize(("experiment", "family", "row"), OBSERVED)
def test_jobs_ask_for_more_time_than_they_were_seen_to_take(experiment, family, row):
    minutes = RATES.runtime(cost(family, row))
    assert 60 * minutes >= 2 * row["seconds"] / row["jobs"]
    assert minutes >= rates.SHORTEST


def test_a_gpu_does_the_networks_and_nothing_else():
    gpu = rates.Gpu(tflops=10.0, call=0.5)
    training = Cost("train", {"train": 1e15}, calls=3)
    assert RATES.seconds(training, gpu) == pytest.approx(RATES.start["network"] + 100)
    small = training._replace(work={"train": 1.0})  # the calls take their time nevertheless
    assert RATES.seconds(small, gpu) == pytest.approx(RATES.start["network"] + 1.5)
    score = Cost("score", {"kernel": 1e12})
    assert RATES.seconds(score, gpu) == RATES.seconds(score)


def test_an_unmeasured_projection_borrows_a_rate():
    known = rates.Rates({}, {"features:dense": 2.0}, {}, "", {})
    new = Cost("compute_features", {"features:new": 3.0})
    assert rates.kinds_of(new, known.rate) == {"features:new": "features:dense"}
    assert known.seconds(new) == 6.0


def test_costs_are_joined_where_all_jobs_are_recorded():
    costs = {"a": Cost("a", {}), "b": Cost("b", {}), "c": Cost("c", {"train": 1.0}, memory=4)}
    jobs = [Jobs("a_x", "a", 2), Jobs("b", "b", 3), Jobs("c", "c", 1)]
    nan = float("nan")
    measured = [
        {"rule": "a_x", "jobs": "2", "seconds": "5.0", "peak_mb": nan},
        {"rule": "b", "jobs": "2", "seconds": "5.0", "peak_mb": nan},
        {"rule": "c", "jobs": "1", "seconds": "7.5", "peak_mb": "300"},
    ]
    found = rates.observe(costs, jobs, measured)
    assert set(found) == {"a", "c"}
    assert found["a"]["peak_mb"] is None
    assert found["c"]["work"] == {"train": 1.0}
    assert (found["c"]["seconds"], found["c"]["peak_mb"], found["c"]["memory"]) == (7.5, 300.0, 4)


def test_saved_and_read_again(tmp_path):
    rates.save(tmp_path / "rates.json", RATES)
    assert rates.load(tmp_path / "rates.json") == RATES


@pytest.mark.parametrize("content", [None, "{", "[]", json.dumps({"start": {}})])
def test_a_damaged_file_is_told_in_a_sentence(tmp_path, content):
    file = tmp_path / "rates.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match="--measure"):
        rates.load(file)
