"""An index of a tiny model: built, killed, damaged, shared, enlarged, and refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import dasbench
from dasbench.commands import index_features, index_manifest, index_work
from dasbench.core import artifacts, hashed_chunks
from dasbench.core.hashed_chunks import Chunks
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from tiny import DIFFUSION, MODEL
from tiny_index import MORE, PIXELS, SIZES, N, build, network_and_process


@pytest.fixture(scope="module")
def model():
    return network_and_process()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(index_manifest, "CHUNK", 8)


def content(folder):
    """Every file of an index but its locks, with its bytes."""
    files = [file for file in Path(folder).rglob("*") if file.is_file()]
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if not file.name.startswith(".lock")
    }


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """An index that nothing disturbed."""
    place = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_manifest, "CHUNK", 8)
        build(model, place)
    return place


def test_training_images_stand_first_behind_themselves(model, made):
    answer = dasbench.Index.open(made, model).ask(PIXELS[:3])
    assert answer.scores.shape == (N, 3)
    assert answer.scores.argmax(axis=0).tolist() == [0, 1, 2]
    assert (answer.checks.ranks.tolist(), answer.checks.share) == ([1] * 16, 1.0)
    assert list(answer.warnings) == []
    np.testing.assert_allclose(answer.by_timestep.mean(0), answer.scores, rtol=1e-5)
    assert answer.timesteps.tolist() == [250, 750]
    assert [other.key for other in answer.others] == ["pixel_cosine_power"]
    assert answer.others[0].values.argmax(axis=0).tolist() == [0, 1, 2]
    frame = answer.frame(top=2)
    assert frame["image"].tolist()[::2] == ["image 0", "image 1", "image 2"]
    assert (
        answer.facts["Hash of the model"]
        == json.loads((made / "index.json").read_text())["model"]["digest"][:16]
    )


def test_the_method_with_an_averaged_kernel_is_attribute_s(model, tmp_path):
    index = build(model, tmp_path, method="das_common")
    found = index.ask(PIXELS[:3]).scores
    expected = dasbench.attribute(model, PIXELS, PIXELS[:3], "das_common", **SIZES)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.002 * expected.max())
    assert index.ask(PIXELS[:1]).by_timestep is None


def test_scores_are_those_of_features_by_timestep(model, made):
    """Of the workflow's own functions, but for half precision."""
    from dasbench.attribution.spectrum import Spectrum
    from dasbench.diffusion import denoiser
    from dasbench.gradients import features

    index = dasbench.Index.open(made, model)
    engine = features.Extractor(*model, index.manifest.options["features"], ("attribute", 0))
    inputs = denoiser.to_model(PIXELS)
    (train,) = engine.by_timestep(inputs, np.arange(N), "train")
    (query,) = engine.by_timestep(inputs[:3], np.arange(3), "query")
    spectra = [Spectrum(*pair) for pair in zip(train, query, strict=True)]
    expected = np.mean([np.square(one.inner(0.05)) for one in spectra], axis=0)
    found = index.ask(PIXELS[:3]).scores
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.002 * expected.max())


def test_a_killed_building_goes_on_with_the_same_bytes(model, made, tmp_path, monkeypatch):
    """Killed after every second chunk; no chunk is computed twice."""
    saved, written = Chunks.save, []

    def save(self, rows, values):
        if len(written) % 3 == 2:
            written.append(None)
            raise KeyboardInterrupt
        written.append((self.folder, rows.start))
        saved(self, rows, values)

    monkeypatch.setattr(Chunks, "save", save)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build(model, tmp_path)
        with pytest.raises(UserError, match="is not complete; build it with the same settings"):
            dasbench.Index.open(tmp_path, model)
    build(model, tmp_path)
    chunks = [each for each in written if each]
    assert len(chunks) == len(set(chunks)) == 6
    assert content(tmp_path) == content(made)


@pytest.mark.parametrize(
    "damaged", ["slabs/000/train/000000008-*", "slabs/001/eigenv*", "pixels-*", "images-*"]
)
def test_what_is_damaged_is_made_again_alone(model, made, tmp_path, monkeypatch, damaged):
    shutil.copytree(made, tmp_path / "copy")
    file = next((tmp_path / "copy").glob(damaged))
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)
    computed, features = [], index_features.features

    def counted(*args):
        computed.append(args[-1])
        return features(*args)

    monkeypatch.setattr(index_features, "features", counted)
    build(model, tmp_path / "copy")
    assert content(tmp_path / "copy") == content(made)
    assert computed == ([slice(8, 16)] if "train" in damaged else [])


def test_shares_are_joined_with_the_same_bytes(model, made, tmp_path):
    for number in (2, 1):
        build(model, tmp_path, shard=f"{number}/2")
        with pytest.raises(UserError, match="is not complete"):
            dasbench.Index.open(tmp_path, model)
    build(model, tmp_path)
    assert content(tmp_path) == content(made)


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_share_that_is_none_is_refused(model, tmp_path, shard):
    with pytest.raises(UserError, match=f"shard is '{shard}', expected a number and a count"):
        build(model, tmp_path, shard=shard)


def test_images_are_added_and_only_their_features_computed(model, made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "copy")
    computed, features = [], index_features.features

    def counted(*args):
        computed.append((args[2], args[-1]))
        return features(*args)

    monkeypatch.setattr(index_features, "features", counted)
    larger = dasbench.Index.open(tmp_path / "copy", model).add(MORE)
    assert [rows for split, rows in computed if split == "train"] == [slice(20, 27)] * 2
    both = np.concatenate([PIXELS, MORE])
    found = dasbench.Index.open(tmp_path / "copy", model).ask(both[[3, 24]]).scores
    assert found.argmax(axis=0).tolist() == [3, 24]
    whole = build(model, tmp_path / "whole", both).ask(both[[3, 24]]).scores
    np.testing.assert_allclose(found, whole, rtol=0.02, atol=0.002 * whole.max())
    assert larger.manifest.parts == [20, 7]
    assert len(list((tmp_path / "copy").glob("pixels-*"))) == 1
    build(model, tmp_path / "copy", both)  # complete: nothing to do
    repaired = build(model, tmp_path / "copy", PIXELS)  # the images of the first command
    assert repaired.manifest.count == 27
    with pytest.raises(UserError, match="index of 27 training images, not of 19"):
        build(model, tmp_path / "copy", PIXELS[:19])


def test_another_index_is_refused_by_name(model, made, tmp_path):
    place = tmp_path / "copy"
    shutil.copytree(made, place)
    other, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("attribution", 1))
    for run, told in (
        (
            lambda: build((other, process), place),
            r"index of another model \(UNet2DModel, .*hash \w{12}\), not",
        ),
        (lambda: build(model, place, 255 - PIXELS), "is an index of other training images; give"),
        (lambda: build(model, place, damping=1e-2), r"index of damping 0\.05, not 0\.01; give"),
        (lambda: build(model, place, method="trak"), "index of method das_stepwise, not trak"),
        (lambda: build(model, place, decoys=MORE), "index of decoys 0, not 7"),
        (lambda: dasbench.Index.open(place, (other, process)), "index of another model"),
        (lambda: dasbench.Index.open(tmp_path), r"is no index: index\.json is missing"),
        (lambda: dasbench.Index.open(place).ask(PIXELS), "from a model in memory; give the model"),
    ):
        with pytest.raises(UserError, match=told) as error:
            run()
        assert len(str(error.value).splitlines()) == 1


def test_another_version_is_refused(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    file = tmp_path / "copy/index.json"
    for key, value in (("format", 0), ("versions", {"dasbench": "0.0.9"})):
        whole = json.loads((made / "index.json").read_text())
        file.write_text(json.dumps(whole | {key: value}))
        with pytest.raises(UserError, match=r"is an index of dasbench .*, this is .*; build it"):
            dasbench.Index.open(tmp_path / "copy")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "journey_trak"}, "'journey_trak' cannot be used here; choose one of"),
        ({"method": "random"}, "'random' cannot be used here"),
        ({"steps": 3}, r"\['steps'\] are no feature options; allowed"),
        ({"damping": 0}, "damping is 0, expected a positive number"),
        ({"timesteps": 2000}, "timesteps is 2000, but the model was trained with 1000"),
    ],
)
def test_settings_that_cannot_work_are_refused(model, tmp_path, options, told):
    with pytest.raises(UserError, match=told):
        build(model, tmp_path, **options)


def test_two_processes_at_one_index_are_told(model, tmp_path):
    with index_work.locked(tmp_path):
        for shard in (None, "1/2"):
            with pytest.raises(UserError, match="another process is building the index"):
                build(model, tmp_path, shard=shard)
    first, second = (index_work.Share(k, 2) for k in (1, 2))
    with index_work.locked(tmp_path, first), index_work.locked(tmp_path, second):
        with pytest.raises(UserError, match="another process"), index_work.locked(tmp_path):
            pass
        with pytest.raises(UserError, match="another process"), index_work.locked(tmp_path, first):
            pass


def test_a_large_answer_keeps_the_timesteps_of_its_list(model, made, monkeypatch):
    from dasbench.commands import questions

    index = dasbench.Index.open(made, model)
    whole = index.ask(PIXELS[:2])
    monkeypatch.setattr(questions, "KEPT", 10)
    monkeypatch.setattr(questions, "LISTED", 3)
    part = index.ask(PIXELS[:2])
    assert part.by_timestep is None
    assert set(part.listed) == set(np.argsort(-whole.scores, axis=0)[:3].ravel())
    for i in part.listed:
        expected = whole.timesteps_of(int(i), 1)
        np.testing.assert_allclose(part.timesteps_of(int(i), 1), expected, rtol=1e-3)
    absent = next(i for i in range(N) if i not in part.listed)
    assert part.timesteps_of(absent, 0) is None


def test_a_model_with_classes_needs_them_and_uses_them(tmp_path):
    unet, process = pixel.build({**MODEL, "num_class_embeds": 3}, DIFFUSION, (1, 8, 8), ("c", 0))
    torch.manual_seed(0)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    names = ["cat", "dog", "owl"]
    for i, image in enumerate(PIXELS):
        file = tmp_path / "train" / names[i % 3] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(file)
    model = unet.eval(), process
    with pytest.raises(
        UserError, match="the model takes classes, and images without a class were given"
    ):
        build(model, tmp_path / "none")
    index = build(model, tmp_path / "index", tmp_path / "train")
    assert index.manifest.classes == names
    first = tmp_path / "train/cat/00.png"
    values = {label: index.ask(first, labels=label).scores[:, 0] for label in ("cat", 2)}
    assert values["cat"].argmax() == 0
    assert not np.allclose(values["cat"], values[2])
    with pytest.raises(UserError, match="the model takes classes"):
        index.ask(first)
    with pytest.raises(
        UserError, match="'fish' is no class of the model, expected one of cat, dog, owl"
    ):
        index.ask(first, labels="fish")
    with pytest.raises(UserError, match="there are 2 labels for 1 queries"):
        index.ask(first, labels=["cat", "dog"])
    with pytest.raises(UserError, match="prompts were given, but the model takes none"):
        index.ask(first, prompts=["a cat"])


def test_work_that_does_not_fit_is_refused_before_it_begins(model, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))
    with pytest.raises(UserError, match=r"the index needs .* GB in .*, but .* GB are free; make"):
        build(model, tmp_path / "index")
    assert not list((tmp_path / "index").rglob("*.npy"))


def test_decoys_are_stored_and_judged(model, tmp_path):
    pytest.importorskip("dasbench.attribution.evidence")
    decoys = np.random.default_rng(2).integers(0, 256, (60, 8, 8, 1)).astype(np.uint8)
    index = build(model, tmp_path, decoys=decoys)
    answer = dasbench.Index.open(tmp_path, model).ask(MORE[:2])
    assert answer.evidence.decoys.shape == (60, 2)
    assert answer.evidence.q.shape == (N, 2)
    trained, others = index.held_out()
    assert (trained.shape, others.shape) == ((N, 15), (45, 15))
    assert "q_value" in answer.frame()


def test_nothing_in_an_index_is_pickled(made):
    for file in made.rglob("*.npy"):
        np.load(file, allow_pickle=False)
        assert file.stem.rpartition("-")[2] == hashed_chunks.digest(file)
    for file in made.rglob("*.json"):
        artifacts.load_json(file)
