"""Similarity by CLIP beside an answer: transformers' own numbers, kept with the index."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import tiny_pipelines
from dasbench.commands import tool
from dasbench.diffusion import clip as embeddings
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny_index import MORE, PIXELS, build, network_and_process

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP model of random weights."""
    return tiny_pipelines.clip(tmp_path_factory.mktemp("clip"))


def cosines(folder, training, queries):
    """Between images [n, H, W, 1] uint8, by transformers."""
    clip = transformers.CLIPModel.from_pretrained(folder).eval()
    both = torch.from_numpy(np.concatenate([training, queries])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        pixels = embeddings.preprocess(both, 12)
        unit = clip(input_ids=torch.ones(1, 3, dtype=torch.long), pixel_values=pixels).image_embeds
    return (unit[: len(training)] @ unit[len(training) :].T).numpy()


@pytest.fixture
def counted(monkeypatch):
    """How many images were embedded by each call."""
    counts, compute = [], embeddings.compute

    def counting(clip, images, *rest):
        counts.append(len(images))
        return compute(clip, images, *rest)

    monkeypatch.setattr(embeddings, "compute", counting)
    return counts


def test_it_stands_beside_the_score_and_is_computed_once(tmp_path, folder, counted):
    index = build(network_and_process(), tmp_path / "index")
    answer = index.ask(MORE, clip=folder)
    score = answer.others[-1]
    assert [other.key for other in answer.others] == ["pixel_cosine_power", "embedding_cosine"]
    np.testing.assert_allclose(score.values, cosines(folder, PIXELS, MORE), rtol=1e-4, atol=1e-5)
    assert counted == [7, 20]
    again = index.ask(MORE[:2], clip=str(folder))
    np.testing.assert_allclose(again.others[-1].values, score.values[:, :2], rtol=1e-6)
    assert counted == [7, 20, 2]
    np.testing.assert_array_equal(again.scores, index.ask(MORE[:2]).scores)
    assert "rank_embedding_cosine" in answer.frame()
    answer.page(tmp_path / "answer.html")
    page = (tmp_path / "answer.html").read_text()
    assert "similarity by CLIP" in page
    assert str(folder) in page


def test_damaged_and_new_embeddings_alone_are_computed(tmp_path, folder, counted):
    index = build(network_and_process(), tmp_path / "index")
    first = index.ask(MORE[:1], clip=folder).others[-1].values
    (file,) = (tmp_path / "index").glob("clip-*/*.npy")
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    np.testing.assert_array_equal(index.ask(MORE[:1], clip=folder).others[-1].values, first)
    larger = index.add(MORE)
    values = larger.ask(MORE[:1], clip=folder).others[-1].values
    assert counted == [1, 20, 1, 20, 1, 7]
    np.testing.assert_array_equal(values[:20], first)
    assert values[20:].argmax() == 0  # the query is now a training image


def test_a_command(tmp_path, folder):
    network, process = network_and_process()
    pixel.save(tmp_path / "pipeline", network, process)
    (tmp_path / "train").mkdir()
    for i, image in enumerate(PIXELS):
        Image.fromarray(image[..., 0]).save(tmp_path / f"train/{i:02d}.png")
    place, table = tmp_path / "index", tmp_path / "answer.csv"
    model = [tmp_path / "pipeline", tmp_path / "train", "--out", place]
    small = ["--timesteps", 2, "--dimensions", 64]
    asked = [tmp_path / "train/03.png", "--index", place, "--clip", folder, "--csv", table]
    for words in (["index", *model, *small], ["ask", *asked]):
        assert tool.main(list(map(str, words))) == 0
    first = pd.read_csv(table).sort_values("rank_embedding_cosine").iloc[0]
    assert first["image"].endswith("03.png")


@pytest.mark.parametrize("given", ["nowhere", 3])
def test_what_is_no_clip_model_is_refused(tmp_path, given):
    index = build(network_and_process(), tmp_path / "index")
    with pytest.raises(UserError, match=f"clip (is )?{given}"):
        index.ask(MORE[:1], clip=given)
