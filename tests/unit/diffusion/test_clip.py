"""Image embeddings, with a CLIP model of a few thousand random weights."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import tiny_pipelines
from dasbench.core import artifacts, tables
from dasbench.diffusion import clip as embeddings
from dasbench.errors import UserError

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_pipelines.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (7, 1, 8, 8)).astype(np.float32)


def test_embeddings_are_the_models_own(folder, images):
    clip = embeddings.load(folder)
    phi = embeddings.compute(clip, images, batch=3)
    assert phi.shape == (7, 8)
    assert phi.dtype == np.float32
    pixels = embeddings.preprocess(torch.from_numpy(images), 12)
    with torch.no_grad():
        ids = torch.ones(1, 3, dtype=torch.long)
        unit = clip(input_ids=ids, pixel_values=pixels).image_embeds.numpy()
    lengths = np.linalg.norm(phi, axis=1, keepdims=True)
    np.testing.assert_allclose(phi / lengths, unit, rtol=1e-4, atol=1e-6)
    assert np.abs(lengths - 1).max() > 1e-2
    assert np.abs(phi - phi[:1]).max() > 1e-3
    np.testing.assert_array_equal(phi, embeddings.compute(embeddings.load(folder), images, 3))


def test_preprocessing_is_what_it_says():
    grey = torch.full((2, 1, 8, 8), 0.5)
    seen = embeddings.preprocess(grey, 12)
    expected = (0.75 - torch.tensor(embeddings.MEAN)) / torch.tensor(embeddings.DEVIATION)
    torch.testing.assert_close(seen, expected[:, None, None].expand(2, 3, 12, 12))
    colour = torch.rand(1, 3, 12, 12) * 2 - 1
    mean, deviation = (
        torch.tensor(v)[:, None, None] for v in (embeddings.MEAN, embeddings.DEVIATION)
    )
    # an image of the model's size is not resampled
    torch.testing.assert_close(
        embeddings.preprocess(colour, 12), ((colour + 1) / 2 - mean) / deviation
    )
    with pytest.raises(UserError, match="2 channels, expected 1 or 3"):
        embeddings.preprocess(torch.zeros(1, 2, 8, 8), 12)


def test_weights_other_than_safetensors_are_refused(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    weights = transformers.CLIPModel.from_pretrained(folder).state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"cannot be loaded as a CLIP model .*model\.safetensors"):
        embeddings.load(tmp_path)


def test_missing_weights_are_not_replaced_by_random_ones(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(UserError, match="weights do not fit .*visual_projection"):
        embeddings.load(tmp_path)


def test_removals_are_compared_as_they_would_be_shown(folder, images, tmp_path):
    """Arm by arm: the query's image with itself, with another one, and outside of [-1, 1]."""
    artifacts.save_array(tmp_path / "gen.npy", images)
    loud = images[4] * 3
    shown = {"das": np.stack([images[2], images[5]]), "null": np.stack([images[2], loud])}
    for (arm, after), queries in zip(shown.items(), ([2, 3], [2, 4]), strict=True):
        table = pd.DataFrame({"method": arm, "query": queries, "embedding_cosine": np.nan})
        place = tmp_path / "parts" / arm / "k-1"
        tables.save_table(place / "per_query.parquet", table)
        artifacts.save_array(place / "images.npy", after)
    settings = json.dumps({"model": str(folder), "arms": [["das", 1], ["null", 1]]})
    call = ["--settings", settings, "--queries", tmp_path / "gen.npy"]
    call += ["--parts", tmp_path / "parts", "--out", tmp_path / "out"]
    subprocess.run([sys.executable, "scripts/embed_removals.py", *call], check=True)
    clip = embeddings.load(folder)

    def by_hand(a, b):
        one, other = (embeddings.compute(clip, x[None])[0].astype(float) for x in (a, b))
        return one @ other / np.sqrt((one @ one) * (other @ other))

    found = {arm: tables.load_table(tmp_path / f"out/{arm}/k-1/per_query.parquet") for arm in shown}
    expected = {
        "das": [1, by_hand(images[3], images[5])],
        "null": [1, by_hand(images[4], np.clip(loud, -1, 1))],
    }
    for arm, table in found.items():
        np.testing.assert_allclose(table["embedding_cosine"], expected[arm], rtol=1e-5)
        assert table["embedding_cosine"].max() <= 1 + 1e-6
        kept = artifacts.load_array(tmp_path / f"out/{arm}/k-1/images.npy")
        np.testing.assert_array_equal(kept, shown[arm])
    assert found["das"]["embedding_cosine"][1] < 1 - 1e-6
