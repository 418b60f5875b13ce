"""The papers' experiments say plainly where they differ from what the papers report."""

import re

import pytest
import yaml

from dasbench.experiments import config
from experiment_files import ROOT, load, make_repository

NAMES = ["cifar2", "cifar10", "celeba", "artbench2", "artbench5"]


@pytest.mark.parametrize("name", NAMES)
def test_the_header_says_the_features_and_how_to_get_others(tmp_path, name):
    """T, parameters and norms stand above the settings, and the line that gives T = 100 works."""
    text = (ROOT / config.FOLDER / f"{name}.yaml").read_text()
    header, _ = text.split("title:")
    features = config.load(name, ROOT)["features"]
    for stated in ("T = {timesteps}", "parameters: {parameters}", "{norms} norms"):
        assert stated.format(**features) in header
    experiment = config.load(name, ROOT)
    judged = experiment["queries"]["val"] - experiment["queries"]["tuning"]
    for stated in (
        f"LDS over {judged} of {experiment['queries']['val']} queries",
        f"T_eval = {experiment['outputs']['timesteps']} of {experiment['diffusion']['timesteps']}",
    ):
        assert stated in header
    if experiment["model"]["family"] == "text_to_image":
        assert f"guidance {experiment['queries']['guidance']}" in header
        assert experiment["training"]["mixed_precision"] == "no"
        assert "no mixed precision" in header
    more = yaml.safe_load(re.search(r"`(das_t100: .*)`", header)[1])
    data = yaml.safe_load(text)
    changed = {**data, "methods": {**data["methods"], **more}}
    methods = config.methods(load(make_repository(tmp_path), changed))
    longer = {**methods["das"], "features": {**methods["das"]["features"], "timesteps": 100}}
    assert methods["das_t100"] == longer != methods["das"]
