"""Cards and folders for the hub; test_remotes.py in tests/workflow exports real results."""

import re

import numpy as np
import pytest
import yaml

from dasbench import model_families
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.reports import export

CARD = {
    "name": "Toy <script>alert(1)</script>",
    "source": "nowhere",
    "licence": "CC BY 4.0",
    "content": "3 images",
    "images": 3,
    "shape": [2, 2, 1],
    "sha256": "00",
}

UNSAID = {"num_class_embeds": None, "lora": None, "revision": None}


def facts(**changes):
    experiment = config.load("smoke", ".")
    return {
        "experiment": experiment,
        "model": {**UNSAID, **experiment["model"]},
        "family": model_families.family(experiment["model"]),
        "scheduler": "FlowMatchEulerDiscreteScheduler",
        "prompts": [],
        "side": 8,
        "version": "0",
        "data": CARD,
        "uses": {kind: {"tuning": 1, "evaluation": 2} for kind in ("val", "gen")},
        "methods": config.methods(experiment),
        "shown": "das",
        "classes": "all",
        "removal": False,
        "table": "| a |\n|---|",
        "groups": [{"name": "model", "rows": [("layers", "1")]}],
        "score_groups": [],
        "parameters": 1234567,
        "rows": 3,
        **changes,
    }


@pytest.mark.parametrize("template", ["model_card.md.j2", "data_card.md.j2"])
def test_a_card_has_front_matter_and_escapes_what_is_not_ours(template):
    text = export._card(template, {"license": "mit", "tags": ["a"]}, facts())
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {"license": "mit", "tags": ["a"]}
    assert "<script>" not in body
    assert "Toy &lt;script&gt;" in body
    assert "removal.csv" not in body
    assert not re.search(r"\d{4}-\d\d-\d\d", body), "a date"


def test_numbers_of_the_model_card():
    body = export._card("model_card.md.j2", {}, facts())
    assert "1 234 567 weights" in body
    assert "with 95 % bootstrap intervals" in body
    assert "random 50 % of the training set (2 seeds each)" in body


KINDS = {
    "DDPMPipeline.from_pretrained": {"family": "pixel"},
    "class_labels=labels": {"family": "pixel", "num_class_embeds": 10},
    "LDMPipeline.from_pretrained": {"family": "latent", "pretrained": "a/b"},
    "DiTTransformer2DModel.from_pretrained": {"family": "transformer"},
    "DiTPipeline.from_pretrained": {"family": "latent_transformer", "pretrained": "a/b"},
    "transformer_adapter.load": {
        "family": "transformer_adapter",
        "frozen": "earlier",
        "lora": {"rank": 2},
    },
    "pipeline.vqvae.decode": {"family": "latent", "pretrained": "a/b", "num_class_embeds": 10},
    'pipeline("a \\"one\\"", height=8': {
        "family": "text_to_image",
        "pretrained": "a/b",
        "lora": {"rank": 2},
    },
}


@pytest.mark.parametrize("told", KINDS)
def test_a_card_says_how_its_kind_of_model_is_used(told):
    model = {**UNSAID, **KINDS[told]}
    body = export._card(
        "model_card.md.j2",
        {},
        facts(model=model, family=model_families.family(model), prompts=['a "one"']),
    )
    assert told in body
    code = body.split("```python\n")[1].split("```")[0]
    compile(code, "card", "exec")
    assert ("frozen.json" in body) == model_families.family(model)["latents"]


def test_places_on_the_users_disk_are_not_told(tmp_path):
    experiment = config.load("smoke", ".")
    experiment["data"]["path"] = str(tmp_path / "pictures")
    experiment["model"]["pretrained"] = "data"  # a folder here
    shown = export.published(experiment)
    assert shown["data"]["path"] == "pictures"
    assert experiment["data"]["path"] == str(tmp_path / "pictures")
    experiment["model"]["pretrained"] = "nobody/nothing"
    assert export.published(experiment)["model"]["pretrained"] == "nobody/nothing"


def test_scores_that_nothing_judges_are_not_exported(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "load", lambda name, root: {"subsets": None})
    with pytest.raises(UserError, match="mine has no subset models"):
        export.create(tmp_path, "mine", tmp_path / "out")


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY 4.0", {"license": "cc-by-4.0"}),
        ("Own, see there!", {"license": "other", "license_name": "own-see-there"}),
    ],
)
def test_licences_as_the_hub_spells_them(licence, expected):
    assert export._licence(licence) == expected


def test_a_card_without_a_licence_is_told(tmp_path):
    (tmp_path / "card.json").write_text('{"name": "x", "source": "y", "content": "z"}')
    with pytest.raises(UserError, match="card.json is damaged: it has no licence"):
        export._data_card(tmp_path / "card.json")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is there already; name another folder with --out"):
        export.create(tmp_path, "smoke", tmp_path)


def test_samples_are_drawn_grey_or_in_colour(tmp_path):
    from PIL import Image

    (tmp_path / "attribution").mkdir()
    (tmp_path / "figures").mkdir()
    for channels in (1, 3):
        queries = np.linspace(-1.5, 1.5, 12 * channels * 4, dtype=np.float32)
        np.save(tmp_path / "attribution/gen.npy", queries.reshape(12, channels, 2, 2))
        export._draw_samples(tmp_path)
        assert Image.open(tmp_path / "figures/samples.png").size == (680, 136)
