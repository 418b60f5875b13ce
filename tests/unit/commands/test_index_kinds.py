"""An index of every kind of model that the project trains: its scores are the workflow's."""

import re
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import dasbench
from dasbench.attribution.spectrum import Spectrum
from dasbench.commands import index_inputs, index_manifest
from dasbench.core import hashed_chunks
from dasbench.diffusion.families import autoencoder, text_to_image
from dasbench.errors import UserError
from dasbench.gradients import features
from model_kinds import KINDS, PIXELS, SIZES, TEXTS, Kind

PROMPTED = "stable diffusion"


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    """Makes each kind once."""
    made = {}

    def kind(name):
        if name not in made:
            made[name] = Kind(name, tmp_path_factory.mktemp(name.replace(" ", "-")))
        return made[name]

    return kind


def build(kind, out, images=PIXELS, **options):
    # so that untrained networks, too, have a training image on top of itself
    given = {"damping": 1e-4, **SIZES, **kind.options, **kind.captions, **options}
    return dasbench.Index.build(kind.folder, images, out, **given)


def first(kind, count, start=0):
    return {key: values[start : start + count] for key, values in kind.captions.items()}


def of_the_workflow(kind, settings):
    """Scores [6, 3] by the workflow's engine on the workflow's inputs.

    The subset of parameters is "all": in the network of an adapter nothing else is trained.
    """
    network, process, condition = kind.workflow()
    if kind.entry["adapter"]:
        settings = {**settings, "parameters": "all"}
    engine = features.Extractor(network, process, settings, ("attribute", 0))
    some = condition and condition[:3]
    (train,) = engine.by_timestep(kind.inputs, np.arange(6), "train", condition)
    (query,) = engine.by_timestep(kind.inputs[:3], np.arange(3), "query", some)
    spectra = [Spectrum(*pair) for pair in zip(train, query, strict=True)]
    return np.mean([np.square(one.inner(1e-4)) for one in spectra], axis=0)


@pytest.mark.parametrize("name", KINDS)
def test_scores_are_those_of_the_workflow(kinds, name, tmp_path):
    kind = kinds(name)
    index = build(kind, tmp_path)
    expected = of_the_workflow(kind, index.manifest.options["features"])
    answer = dasbench.Index.open(tmp_path).ask(PIXELS[:3], **first(kind, 3))
    assert answer.scores.argmax(axis=0).tolist() == [0, 1, 2]
    # stored features have half precision
    np.testing.assert_allclose(answer.scores, expected, rtol=0.02, atol=0.002 * expected.max())
    assert index.manifest.options["features"]["parameters"] == (
        "lora" if kind.entry["adapter"] else "weights"
    )
    assert index.manifest.model["takes"] == (
        {"labels": "classes", "prompts": "prompts"}[next(iter(kind.captions))]
        if kind.captions
        else None
    )


CAPTIONED = [name for name, kind in KINDS.items() if {"lora", "num_class_embeds"} & set(kind[1])]


@pytest.mark.parametrize("name", CAPTIONED)
def test_another_caption_gives_other_scores(kinds, name, tmp_path):
    kind = kinds(name)
    index = build(kind, tmp_path)
    own, other = (index.ask(PIXELS[:1], **first(kind, 1, start)).scores for start in (0, 1))
    assert not np.allclose(own, other, rtol=0.05, atol=0.005 * own.max())


def content(folder):
    """Every file of an index but its locks, with its bytes."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    kept = [file for file in files if not file.name.startswith(".lock")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in kept}


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(index_manifest, "CHUNK", 2)


@pytest.fixture
def counted(monkeypatch):
    """Numbers of pictures that were encoded, and prompts that were embedded."""
    seen = {"pictures": 0, "prompts": []}
    encode, embed = autoencoder.encode_by, text_to_image._embed

    def encoding(network, images):
        seen["pictures"] += len(images)
        return encode(network, images)

    def embedding(tokenizer, encoder, texts):
        seen["prompts"] += texts
        return embed(tokenizer, encoder, texts)

    monkeypatch.setattr(autoencoder, "encode_by", encoding)
    monkeypatch.setattr(text_to_image, "_embed", embedding)
    return seen


def test_latents_and_prompts_are_computed_once_for_all_timesteps(
    kinds, tmp_path, counted, small_chunks
):
    kind = kinds(PROMPTED)
    counted.update(pictures=0, prompts=[])
    build(kind, tmp_path / "index", timesteps=5)
    # each once to try the model, once for the index, and once for its self-check
    assert counted["pictures"] == 3 * 6
    assert sorted(counted["prompts"]) == sorted(3 * [*TEXTS, ""])
    counted.update(pictures=0, prompts=[])
    build(kind, tmp_path / "index", timesteps=5)
    assert counted == {"pictures": 0, "prompts": []}


@pytest.mark.parametrize("damaged", ["latents/train/000000002-*", "prompts/*"])
def test_what_is_damaged_is_made_again_with_the_same_bytes(
    kinds, tmp_path, counted, small_chunks, damaged
):
    kind = kinds(PROMPTED)
    build(kind, tmp_path)
    whole = content(tmp_path)
    file = sorted(tmp_path.glob(damaged))[0]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    counted.update(pictures=0, prompts=[])
    build(kind, tmp_path)
    assert content(tmp_path) == whole
    assert (counted["pictures"], len(counted["prompts"])) == (
        (2, 0) if "lat" in damaged else (0, 1)
    )


def test_shares_are_joined_with_the_same_bytes(kinds, tmp_path, small_chunks):
    kind = kinds(PROMPTED)
    build(kind, tmp_path / "whole", decoys=255 - PIXELS, decoy_prompts=TEXTS[0])
    for shard in ("2/2", "1/2", None):
        place = tmp_path / "shares"
        build(kind, place, decoys=255 - PIXELS, decoy_prompts=TEXTS[0], shard=shard)
    assert content(tmp_path / "shares") == content(tmp_path / "whole")


def test_two_shares_may_embed_the_same_prompt_at_once(kinds, tmp_path, monkeypatch):
    kind = kinds(PROMPTED)
    model = build(kind, tmp_path / "index").model
    stored, digest = index_inputs.Prompts(tmp_path / "prompts"), hashed_chunks.digest

    def meanwhile(path):
        """The other share does it all between the writing and the naming of a file."""
        monkeypatch.setattr(hashed_chunks, "digest", digest)
        stored.fill(model, TEXTS)
        return digest(path)

    monkeypatch.setattr(hashed_chunks, "digest", meanwhile)
    stored.fill(model, TEXTS)
    assert len(list((tmp_path / "prompts").iterdir())) == len(TEXTS)
    for text, embedding in index_inputs.embedded(model, TEXTS):
        np.testing.assert_array_equal(stored[text], embedding)


def test_images_are_added_with_their_prompts(kinds, tmp_path, small_chunks):
    kind = kinds(PROMPTED)
    prompts = kind.captions["prompts"]
    part = build(kind, tmp_path / "part", PIXELS[:4], prompts=prompts[:4])
    part.add(PIXELS[4:], prompts=prompts[4:])
    found = dasbench.Index.open(tmp_path / "part").ask(PIXELS[3:5], prompts=prompts[3:5]).scores
    whole = build(kind, tmp_path / "whole").ask(PIXELS[3:5], prompts=prompts[3:5]).scores
    np.testing.assert_allclose(found, whole, rtol=0.02, atol=0.002 * whole.max())
    with pytest.raises(UserError, match="images without a prompt were given"):
        part.add(PIXELS[4:])


PIPELINES = {
    "latents": diffusers.LDMPipeline,
    "latent transformer": diffusers.DiTPipeline,
    "latent transformer with classes": diffusers.DiTPipeline,
    "stable diffusion": diffusers.StableDiffusionPipeline,
    "stable diffusion xl": diffusers.StableDiffusionXLPipeline,
    "stable diffusion 3": diffusers.StableDiffusion3Pipeline,
    "flux": diffusers.FluxPipeline,
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_in_memory_gives_the_scores_of_its_folder(kinds, name, tmp_path):
    kind = kinds(name)
    pipeline = PIPELINES[name].from_pretrained(kind.folder)
    given = {"damping": 1e-4, **SIZES, **kind.options, **kind.captions}
    if lora := given.pop("lora", None):
        pipeline.load_lora_weights(lora, adapter_name="default")  # the name keys the projection
    index = dasbench.Index.build(pipeline, PIXELS, tmp_path / "memory", **given)
    found = index.ask(PIXELS[:3], **first(kind, 3)).scores
    expected = build(kind, tmp_path / "folder").ask(PIXELS[:3], **first(kind, 3)).scores
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.002 * expected.max())
    with pytest.raises(UserError, match="built from a model in memory; give the model to Index"):
        dasbench.Index.open(tmp_path / "memory").ask(PIXELS[:3])
    again = dasbench.Index.open(tmp_path / "memory", pipeline).ask(PIXELS[:3], **first(kind, 3))
    np.testing.assert_array_equal(again.scores, found)


def test_a_pipeline_in_memory_needs_one_adapter(kinds, tmp_path):
    kind = kinds(PROMPTED)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(kind.folder)
    for count, told in ((0, r"has 0 adapters \(none\)"), (2, r"has 2 adapters \(a, b\)")):
        for name in "ab"[:count]:
            pipeline.load_lora_weights(kind.options["lora"], adapter_name=name)
        with pytest.raises(UserError, match=told):
            dasbench.Index.build(pipeline, PIXELS, tmp_path, **kind.captions)
    with pytest.raises(UserError, match="lora is for a folder; load it by pipeline.load_lora_w"):
        dasbench.Index.build(pipeline, PIXELS, tmp_path, lora=kind.options["lora"])


def test_another_adapter_or_encoder_is_another_model(kinds, tmp_path):
    kind = kinds(PROMPTED)
    build(kind, tmp_path / "index")
    for part, file in (
        ("lora", "pytorch_lora_weights.safetensors"),
        ("model", "vae/diffusion_pytorch_model.safetensors"),
        ("model", "text_encoder/model.safetensors"),
    ):
        for name in ("lora", "model"):
            shutil.copytree(kind.place / name, tmp_path / name, dirs_exist_ok=True)
        dasbench.Index.open(tmp_path / "index", tmp_path / "model", tmp_path / "lora")
        weights = load_file(tmp_path / part / file)
        name = sorted(weights)[0]
        metadata = safe_open(tmp_path / part / file, "pt").metadata()
        save_file({**weights, name: weights[name] + 1e-3}, tmp_path / part / file, metadata)
        with pytest.raises(UserError, match="is an index of another model"):
            dasbench.Index.open(tmp_path / "index", tmp_path / "model", tmp_path / "lora")


def refused(call):
    with pytest.raises(UserError) as error:
        call()
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"prompts": None},
            "the model takes prompts, and images without a prompt were given",
        ),
        ({"prompts": TEXTS}, "there are 3 prompts for 6 training images; give one for each"),
        ({"prompts": [*TEXTS, *TEXTS[:2], None]}, "images without a prompt were given"),
        ({"prompts": [1, 2, 3, 4, 5, 6]}, "the prompt 1 is a int, expected a text"),
        ({"labels": [0] * 6}, "labels were given, but the model takes prompts; give prompts"),
        ({"prompts": Path("p.csv")}, "the prompts are in p.csv, which names files of one folder"),
        ({"decoys": 255 - PIXELS}, "images without a prompt were given"),
        (
            {"lora": None},
            "StableDiffusionPipeline, of which the weights of an adapter",
        ),
        ({"lora": "gone"}, "gone has no .safetensors files; expected one"),
        ({"size": 7}, "size is 7, expected a multiple of 2, such as 16"),
        (
            {"scheduler": "s.json"},
            "s.json was given, but the model .*, which takes no scheduler",
        ),
    ],
)
def test_what_does_not_fit_prompts_is_refused(kinds, tmp_path, changes, told):
    kind = kinds(PROMPTED)
    found = refused(lambda: build(kind, tmp_path, **changes))
    assert re.search(told, found), found


def test_queries_need_prompts_too(kinds, tmp_path):
    index = build(kinds(PROMPTED), tmp_path)
    assert "images without a prompt were given" in refused(lambda: index.ask(PIXELS[:1]))
    told = refused(lambda: index.ask(PIXELS[:3], prompts=TEXTS[:2]))
    assert told == "there are 2 prompts for 3 queries; give one for each"
    assert "the model takes prompts; give prompts" in refused(
        lambda: index.ask(PIXELS[:1], labels=0)
    )


def test_models_without_prompts_or_adapters_refuse_them(kinds, tmp_path):
    latents, classes = kinds("latents"), kinds("transformer with classes")
    for changes, told in (
        ({"prompts": TEXTS[0]}, "prompts were given, but the model takes none; leave them out"),
        ({"lora": "x"}, "is read as a LDMPipeline, which takes no adapter (lora); leave it out"),
    ):
        assert told in refused(lambda c=changes: build(latents, tmp_path, **c))
    told = refused(lambda: build(classes, tmp_path, prompts=TEXTS[0]))
    assert told == "prompts were given, but the model takes none; give labels"
    assert "takes no other size" in refused(lambda: build(classes, tmp_path, size=8))
    told = refused(lambda: build(classes, tmp_path, labels=None))
    assert "the model takes classes, and images without a class were given" in told


def test_an_adapter_that_does_not_fit_is_refused(kinds, tmp_path):
    kind = kinds(PROMPTED)
    told = refused(lambda: build(kind, tmp_path, lora=kinds("flux").options["lora"]))
    assert "an adapter of this network alone is supported" in told
    weights = load_file(kind.options["lora"] / "pytorch_lora_weights.safetensors")
    wide = {name: torch.cat([value, value], -1) for name, value in weights.items()}
    save_file(wide, tmp_path / "wide.safetensors")
    told = refused(lambda: build(kind, tmp_path, lora=tmp_path / "wide.safetensors"))
    assert "wide.safetensors does not fit the UNet2DConditionModel" in told
    told = refused(lambda: dasbench.Index.build(kind.options["lora"], PIXELS, tmp_path))
    assert "holds an adapter alone; give the folder of its pipeline as the model" in told


def test_a_pipeline_that_does_not_state_its_size_needs_one(kinds, tmp_path):
    told = refused(lambda: build(kinds("flux"), tmp_path, size=None))
    assert told.startswith("the FluxPipeline does not state the size of its pictures; give")


def test_an_unknown_pipeline_is_refused(kinds, tmp_path):
    shutil.copytree(kinds("latents").folder, tmp_path / "model")
    file = tmp_path / "model/model_index.json"
    file.write_text(file.read_text().replace("LDMPipeline", "OtherPipeline"))
    told = refused(lambda: dasbench.Index.build(tmp_path / "model", PIXELS, tmp_path / "index"))
    assert "is a OtherPipeline and takes latents, expected one of DDPMPipeline, LDM" in told


def test_the_remedy_of_an_untrained_adapter_exists(tmp_path):
    """Other projections are not checked for prompts, so no error advises them."""
    kind = Kind("stable diffusion", tmp_path)
    [file] = (tmp_path / "lora").glob("*.safetensors")
    state = load_file(file)
    save_file({k: v * (0 if ".up." in k else 1) for k, v in state.items()}, file)
    with pytest.raises(UserError, match=r"before it was trained; give --parameters that leave it"):
        dasbench.Index.build(
            kind.folder, PIXELS, tmp_path / "index", prompts=TEXTS * 2, **kind.options, **SIZES
        )
