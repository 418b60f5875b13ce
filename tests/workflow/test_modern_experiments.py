"""Miniatures of the experiments on Stable Diffusion 3 and FLUX, with tiny pipelines."""

import numpy as np
import pytest

import sources as made_of
import tiny_pipelines
from clones import checkout
from dasbench.core import tables
from dasbench.data.artbench import STYLES

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

PIPELINES = {
    "sd3_lora": ("stabilityai/stable-diffusion-3-medium-diffusers", "stable_diffusion_3"),
    "flux_lora": ("black-forest-labs/FLUX.1-dev", "flux"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with a tiny archive of paintings and both pipelines, in which both were made."""
    clone = checkout(tmp_path_factory.mktemp("modern") / "clone")
    archive = clone.folder / "data/sources/artbench/artbench-10-imagefolder-split.tar"
    made_of.artbench(archive, STYLES, 14, 4)
    for name, (place, write) in PIPELINES.items():
        folder = clone.folder / "data/pretrained" / place
        getattr(tiny_pipelines, write)(folder, channels=3)
        # in half precision there is no forward pass on every processor
        for precision in ("fp16", "bf16"):
            file = clone.folder / f"config/experiments/{name}.yaml"
            file.write_text(
                file.read_text().replace(f"mixed_precision: {precision}", 'mixed_precision: "no"')
            )
        clone.edit(f"config/experiments/{name}.yaml", "learning_rate: 0.000", "learning_rate: 0.0")
    clone.run(*(f"debug_{name}" for name in PIPELINES))
    return clone


@pytest.mark.parametrize("name", PIPELINES)
def test_a_miniature_is_judged(clone, name):
    home = clone.folder / f"results/debug_{name}"
    summary = tables.load_table(home / "lds/summary.csv")
    assert set(summary.method) == {"pixel_cosine", "trak", "dtrak_common", "das_common"}
    for method in set(summary.method):
        scores = np.load(home / f"scores/{method}/gen.npy", allow_pickle=False)
        assert scores.shape == (12, 4)
        assert np.ptp(scores) > 0
    weights = {file.read_bytes() for file in (home / "models/eval").rglob("*.safetensors")}
    assert len(weights) == 4 * 2
    assert clone.plan(f"debug_{name}") == {}
    assert "ukiyo" in (home / "report.html").read_text()
