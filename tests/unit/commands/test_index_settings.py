"""Which methods an index takes, and their options."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dasbench.commands import index_settings
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.registry import METHODS
from dasbench.reports import default_methods

ROOT = Path(__file__).parents[3]


def test_the_default_method_is_smaller_than_the_registry_s():
    options = index_settings.complete(index_settings.DEFAULT_METHOD, {})
    found = {name: options["features"][name] for name in ("timesteps", "dimensions", "readout")}
    assert found == {"timesteps": 20, "dimensions": 1024, "readout": "loss"}
    given = index_settings.complete(index_settings.DEFAULT_METHOD, {"timesteps": 7})
    assert given["features"]["timesteps"] == 7
    assert index_settings.complete("das_common", {})["features"]["dimensions"] == 4096


@pytest.mark.parametrize("name", index_settings.usable(METHODS))
def test_every_method_of_the_kernel_family_fits(name):
    index_settings.check_kernel(index_settings.complete(name, {}))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kernel": "pooled"}, "kernel is pooled, expected averaged or per_t"),
        ({"journey": True}, "the method needs the sampling trajectory of each query"),
        ({"ensemble": [{"draw": 1}]}, "which an index cannot hold; leave it out"),
    ],
)
def test_what_an_index_cannot_hold_is_refused(changes, told):
    with pytest.raises(UserError, match=told):
        index_settings.check_kernel({**index_settings.complete("das", {}), **changes})


def test_the_schema_of_options_comes_with_the_package():
    """``pip install`` takes the files of the package alone."""
    place = index_settings.__file__.rpartition("/commands/")[0]
    assert str(config.SCHEMA).startswith(place)
    assert config.SCHEMA.suffix == ".yaml"


def test_default_dampings_are_the_medians_of_what_tuning_data_chose():
    chosen = []
    for name in default_methods.SETS.values():
        table = pd.read_csv(ROOT / "reference/findings" / name)
        own = table[table.own & (table.selection == "held_out") & (table.target == "loss")]
        chosen.append(own[["method", "damping"]])
    chosen = pd.concat(chosen)
    for method, damping in index_settings.DAMPINGS.items():
        values = np.sort(chosen.damping[chosen.method == method])
        assert damping == values[len(values) // 2], method
    assert set(index_settings.DAMPINGS) == set(chosen.method) & set(index_settings.usable(METHODS))
    assert index_settings.damping_of("das_stepwise") == index_settings.DAMPINGS["das_stepwise"]
    assert index_settings.damping_of("das_stepwise", np.float32(0.5)) == 0.5
    assert index_settings.damping_of("das_vector") == index_settings.OTHER_DAMPING
