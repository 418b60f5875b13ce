"""Prompts, adapters and models of experiments on the command line, in tables and on the page."""

import csv
import re
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import dasbench
from dasbench.commands import attribute, index_settings, tool
from dasbench.core import artifacts
from dasbench.diffusion import opened
from dasbench.diffusion.families import transformer_adapter
from dasbench.errors import UserError
from dasbench.experiments import config
from model_kinds import DIT, FLOW, LORA, PIXELS, SIZES, TEXTS, Kind, drawn

WORDS = [word for name, value in SIZES.items() for word in (f"--{name}", value)]
CAPTIONS = [TEXTS[i % 3] for i in range(6)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A pipeline, an adapter, a folder of six pictures, and the CSV of their prompts."""
    folder = tmp_path_factory.mktemp("place")
    Kind("stable diffusion", folder)
    (folder / "train/sub").mkdir(parents=True)
    names = [f"{'sub/' if i > 3 else ''}{i}.png" for i in range(6)]
    for name, image in zip(names, PIXELS, strict=True):
        Image.fromarray(image[..., 0]).save(folder / "train" / name)
    (folder / "unseen").mkdir()
    for i, image in enumerate(PIXELS):
        Image.fromarray(255 - image[..., 0]).save(folder / f"unseen/{i}.png")
    write_csv(folder / "prompts.csv", names, CAPTIONS)
    write_csv(folder / "short.csv", names[:4], CAPTIONS[:4])
    write_csv(folder / "blank.csv", names, ["", *CAPTIONS[1:]])
    return folder


def write_csv(path, names, texts):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "prompt"])
        rows.writerows(zip(names, texts, strict=True))


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Call the command in ``place``; its status, and what it prints."""
    monkeypatch.chdir(place)

    def call(*words):
        status = tool.main(list(map(str, words)))
        return status, *capsys.readouterr()

    return call


def test_prompts_of_a_csv_are_captions_of_table_and_page(run, place, tmp_path):
    words = ["index", "model", "train", "--out", tmp_path / "index", "--lora", "lora"]
    assert run(*words, "--prompts", "prompts.csv", *WORDS)[0] == 0
    page, table = tmp_path / "answer.html", tmp_path / "answer.csv"
    words = ["ask", "train/2.png", "--index", tmp_path / "index", "--prompt", TEXTS[2]]
    status, told, _ = run(*words, "--page", page, "--csv", table)
    assert status == 0
    assert told.splitlines()[1] == f"train/2.png ({TEXTS[2]})"  # below the heads of the columns
    assert re.search(rf"\n +1 .*  train/2.png \({TEXTS[2]}\)\n", told)
    assert pd.read_csv(table)["label"][0] == TEXTS[2]
    assert all(text in page.read_text() for text in TEXTS)
    by_python = dasbench.Index.build(
        place / "model",
        PIXELS,
        tmp_path / "python",
        prompts=CAPTIONS,
        lora=place / "lora",
        **SIZES,
    )
    found = dasbench.Index.open(tmp_path / "index").ask("train/2.png", prompts=TEXTS[2]).scores
    expected = by_python.ask(PIXELS[[2]], prompts=TEXTS[2]).scores
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_prompt_serves_all_images_and_decoys(run, tmp_path):
    words = ["index", "model", "train", "--out", tmp_path / "index", "--lora", "lora"]
    assert run(*words, "--prompt", "a painting", "--decoys", "unseen", *WORDS)[0] == 0
    index = dasbench.Index.open(tmp_path / "index")
    for images in (index.training, index.decoys):
        assert images.labels == ["a painting"] * 6
    run("add", "train/1.png", "--index", tmp_path / "index", "--prompt", "a one painting")
    assert dasbench.Index.open(tmp_path / "index").training.labels[-2:] == [
        "a painting",
        "a one painting",
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the model takes prompts, and images without a prompt were given; give one for each"),
        (["--prompts", "short.csv"], "short.csv has no prompt of 2 of 6 images: "),
        (["--prompts", "blank.csv"], "blank.csv has rows without a prompt; mend the CSV"),
        (["--prompts", "gone.csv"], "the CSV of prompts gone.csv is missing; check the path"),
        (["--prompt", "x", "--lora", "gone"], "gone has no .safetensors files; expected one"),
    ],
)
def test_a_mistake_is_one_sentence(run, tmp_path, words, told):
    whole = ["index", "model", "train", "--out", tmp_path / "index", "--lora", "lora", *words]
    status, _, error = run(*whole)
    assert status == 1
    assert told in error
    assert "Traceback" not in error


@pytest.fixture
def ask(place, monkeypatch, capsys, tmp_path):
    """Call ``./run attribute`` in ``place``."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(index_settings, "FEATURE_DEFAULTS", index_settings.FEATURE_DEFAULTS | SIZES)

    def call(*words):
        given = [*words, "--cache", tmp_path / "cache", "--damping", 1e-4]
        monkeypatch.setattr(sys, "argv", ["attribute", *map(str, given)])
        attribute.main()
        return capsys.readouterr().out

    return call


def test_attribute_takes_an_adapter_and_prompts(ask):
    own = ("--model", "model", "--data", "train", "--lora", "lora", "--prompts", "prompts.csv")
    told = ask("train/1.png", "--prompt", TEXTS[1], *own)
    assert re.search(r"train/1.png.*\n +1 .*  train/1.png", told)
    with pytest.raises(UserError, match="images without a prompt were given"):
        ask("train/1.png", *own)
    with pytest.raises(UserError, match="--lora is lora, but the model is an experiment's; add"):
        ask("train/1.png", "--lora", "lora")


ADAPTER = {**DIT, "family": "transformer_adapter", "frozen": "earlier", "lora": LORA}


@pytest.fixture
def experiments(tmp_path, monkeypatch, place):
    """Two experiments with adapters: of a pipeline, and of the model of a third experiment."""
    (tmp_path / "config/experiments").mkdir(parents=True)
    earlier = Kind("transformer", tmp_path / "results/earlier")
    earlier.section, earlier.diffusion = ADAPTER, FLOW
    (tmp_path / "results/earlier/models").mkdir()
    earlier.folder.rename(tmp_path / "results/earlier/models/base")
    made = {
        "prompted": {"family": "text_to_image", "pretrained": str(place / "model"), "lora": LORA},
        "adapted": ADAPTER,
    }
    data = {"dataset": "digits", "size": None}
    monkeypatch.setattr(config, "load", lambda name, root: {"model": made[name], "data": data})
    monkeypatch.setattr(config, "pool_name", lambda experiment: "digits")
    for name in made:
        (tmp_path / f"config/experiments/{name}.yaml").touch()
    return tmp_path


def test_the_adapter_of_an_experiment_is_a_model(experiments, place, tmp_path):
    base = experiments / "results/prompted/models/base"
    base.mkdir(parents=True)
    file = "pytorch_lora_weights.safetensors"
    (base / file).write_bytes((place / "lora" / file).read_bytes())
    given = {"prompts": CAPTIONS, **SIZES}
    index = dasbench.Index.build(base, PIXELS, tmp_path / "one", **given)
    assert index.manifest.options["features"]["parameters"] == "lora"
    found = dasbench.Index.open(tmp_path / "one").ask(PIXELS[:2], prompts=TEXTS[:2]).scores
    folder = dasbench.Index.build(
        place / "model", PIXELS, tmp_path / "two", lora=place / "lora", **given
    )
    expected = folder.ask(PIXELS[:2], prompts=TEXTS[:2]).scores
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(UserError, match="is the model of the experiment prompted, which states"):
        dasbench.Index.build(base, PIXELS, tmp_path / "three", size=8, **given)


def test_the_training_set_of_an_experiment_has_its_prompts(experiments, place, ask, monkeypatch):
    home = experiments / "results/prompted"
    (home / "models").mkdir(parents=True)
    (place / "lora").rename(home / "models/base")
    labels = np.arange(6) % 3
    artifacts.save_examples(home / "examples/train.npz", PIXELS, labels, np.arange(6))
    artifacts.save_json(home / "prompts/texts.json", [*TEXTS, ""])
    monkeypatch.setattr(attribute, "ROOT", experiments)
    form = index_settings.complete("das_common", {"parameters": "lora"})
    monkeypatch.setattr(
        attribute, "_method", lambda *_: ("das_common", form, {"dataset": "digits"})
    )
    monkeypatch.setattr(attribute.answers, "measured", lambda *_: "")
    try:
        told = ask("train/2.png", "--experiment", "prompted", "--prompt", TEXTS[2])
    finally:
        (home / "models/base").rename(place / "lora")
    assert re.search(r"train/2.png.*\n +1 .*  id 2 \(label 2\)", told)


def test_the_adapter_of_an_experiment_s_model_is_a_model(experiments, tmp_path, monkeypatch):
    monkeypatch.chdir(experiments)
    model = opened.from_folder(experiments / "results/earlier/models/base")
    assert (model.kind, model.takes, model.adapter) == ("DiTTransformer2DModel", None, False)
    network, process = transformer_adapter.build(ADAPTER, FLOW, (1, 8, 8), ("adapted",))
    drawn(network)
    base = experiments / "results/adapted/models/base"
    transformer_adapter.save(base, network, process, ADAPTER)
    monkeypatch.chdir("/")
    index = dasbench.Index.build(base, PIXELS, tmp_path / "index", **SIZES)
    answer = index.ask(PIXELS[:3])
    assert answer.scores.argmax(axis=0).tolist() == [0, 1, 2]
    assert "of lora parameters" in answer.facts["Dimensions"]
