"""Which methods an index takes, and their options."""

import pytest

from dasbench.commands import index_settings
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.registry import METHODS


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
