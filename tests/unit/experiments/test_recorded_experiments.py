"""The experiment files of the recorded data sets agree with each other where they must."""

import pytest

from dasbench.experiments import config
from experiment_files import ROOT


def test_digits_moved_is_digits_on_a_larger_canvas():
    """Fewer images and removals keep it within 90 minutes; models and queries are the same."""
    digits, moved = (config.load(name, ROOT) for name in ("digits", "digits_moved"))
    changed = {"title", "name", "seed_name", "base_home", "data", "subsets", "methods"}
    changed |= {"removal", "comparisons"}
    assert {key for key in digits if digits[key] != moved[key]} == changed
    assert set(digits["methods"]) - set(moved["methods"]) == {"unlearning"}
    assert {**moved["data"], "dataset": "digits", "train": 1000} == digits["data"]
    sizes = [moved["subsets"][use][key] for use, key in (("eval", "models"), ("eval", "seeds"))]
    assert [*sizes, moved["subsets"]["tune"]["models"]] == [48, 2, 24]
    assert not any("fixed" in pair for pair in moved["comparisons"])  # primary in the full sense


@pytest.mark.parametrize(
    "name", ["digits", "fashion", "emoji", "digits_moved", "photos", "removals"]
)
def test_three_scores_are_compared_with_the_floor_on_every_truth(name):
    """Sets that had been judged before the floors say when the comparison was fixed."""
    pairs = [pair for pair in config.load(name, ROOT)["comparisons"] if pair["b"] == "floor"]
    assert [pair["a"] for pair in pairs] == ["das_stepwise", "das_common", "das"]
    for pair in pairs:
        assert pair["truth"] == (
            ["removal"] if name == "removals" else ["loss", "displacement", "removal"]
        )
        fixed = pair.get("fixed", "")
        assert not fixed or fixed.endswith("before the floors were judged")
        assert bool(fixed) == (name in {"digits", "fashion", "emoji", "removals"})
