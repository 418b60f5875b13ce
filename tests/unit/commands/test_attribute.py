"""The front door: the package and the command without the workflow."""

import numpy as np
import pytest
from PIL import Image

import dasbench
from dasbench.commands import (
    attribute,
    attribute_options,
    attributed_model,
    index_images,
    index_settings,
    training_files,
)
from dasbench.data import decode, folder
from dasbench.diffusion import opened
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from dasbench.experiments import config
from experiment_files import ROOT
from tiny import DIFFUSION, MODEL
from tiny_pipelines import autoencoder, stable_diffusion

SIZES = {"timesteps": 3, "dimensions": 512}


@pytest.fixture(scope="module")
def pair():
    unet, process = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("attribution", 0))
    return unet.eval(), process


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)


def test_a_training_image_stands_behind_itself(pair, images):
    found = dasbench.attribute(pair, images, images[:3], damping=1e-6, **SIZES)
    assert found.shape == (6, 3)
    assert found.argmax(axis=0).tolist() == [0, 1, 2]


def test_it_works_from_a_folder_and_repeats(pair, images, tmp_path):
    pixel.save(tmp_path / "pipeline", *pair)
    once = dasbench.attribute(tmp_path / "pipeline", images, images[:2], "dtrak", **SIZES)
    again = dasbench.attribute(pair, images, images[:2], "dtrak", **SIZES)
    np.testing.assert_array_equal(once, again)


def test_models_of_more_than_pixels_are_refused_in_one_sentence(pair, images, tmp_path):
    from diffusers import LDMPipeline

    unet, process = pixel.build({**MODEL, "num_class_embeds": 3}, DIFFUSION, (1, 8, 8), ("x", 0))
    pixel.save(tmp_path / "classes", unet, process)
    LDMPipeline(autoencoder(), *pair).save_pretrained(tmp_path / "latents")
    stable_diffusion(tmp_path / "prompts")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/pytorch_lora_weights.safetensors").touch()
    for name in ("classes", "latents", "prompts", "adapter"):
        takes = "prompts" if name == "adapter" else name
        with pytest.raises(UserError, match=f"{name} takes {takes}, expected an unconditional"):
            dasbench.attribute(tmp_path / name, images, images[:1], **SIZES)


def test_released_residual_has_its_own_grid(pair, images):
    options = index_settings.options_of("das_released")
    features = {**index_settings.FEATURE_DEFAULTS, **SIZES, **options["features"]}
    few, many = (
        attribute.scores(pair, images, images[:1], {**options, "features": features}, 1e-2, 0, n)
        for n in (2, 20)
    )
    assert not np.allclose(few / few.sum(), many / many.sum())


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [
        ("nope", {}, "das_common"),
        ("random", {}, "das_common"),
        ("das", {"steps": 1}, "timesteps"),
        ("das", {"damping": "small"}, "damping is 'small', expected a positive number"),
        ("das", {"damping": True}, "damping is True, expected"),
        ("das", {"timesteps": 2.5}, "timesteps is 2.5, expected an integer"),
        ("das", {"timesteps": "2"}, 'timesteps is "2", expected an integer'),
        ("das", {"draws": 0}, "draws is 0, expected an integer at least 1"),
        ("das", {"oversampling": 0}, "oversampling is 0, expected"),
        ("das", {"norms": "none"}, 'norms is "none", expected one of exact, projected'),
    ],
)
def test_mistakes_are_told(pair, images, method, options, told):
    with pytest.raises(UserError, match=told):
        dasbench.attribute(pair, images, images[:1], method, **options)


def test_numbers_of_numpy_are_numbers(pair, images):
    few = {key: np.int64(value) for key, value in SIZES.items()}
    given = dasbench.attribute(pair, images, images[:1], damping=np.float32(0.5), **few)
    wanted = dasbench.attribute(pair, images, images[:1], damping=0.5, **SIZES)
    np.testing.assert_array_equal(given, wanted)


def test_images_of_another_size_are_refused(pair, images):
    with pytest.raises(UserError, match="resize"):
        dasbench.attribute(pair, images[:, :4], images[:1], **SIZES)


def test_image_files_are_read_at_the_models_size(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((16, 16, 3), 255, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    assert attribute.read_images([tmp_path / "a.png"], (1, 8, 8)).shape == (1, 8, 8, 1)
    with pytest.raises(UserError, match=r"b\.png"):
        attribute.read_images([tmp_path / "b.png"], (1, 8, 8))


@pytest.fixture
def odd_pictures(tmp_path):
    """Not square: one partly transparent, one on its side by its orientation, one of 16 bits."""
    from PIL import Image

    clear = Image.new("RGBA", (12, 7), (0, 0, 0, 0))
    clear.paste((200, 30, 90, 255), (4, 1, 7, 6))
    clear.save(tmp_path / "clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.arange(12 * 5, dtype=np.uint8).reshape(5, 12) * 4
    Image.fromarray(ramp).convert("RGB").save(tmp_path / "side.jpg", exif=exif.tobytes())
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    return tmp_path


def as_a_data_set(place, **options):
    given = {"path": str(place), "labels": None, "size": 8, "classes": "all", "limit": None}
    return folder.read({**given, "skip_bad": False, **options}).images


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_prepared_as_for_training(odd_pictures, resize, channels):
    paths = sorted(odd_pictures.iterdir())
    data = {"resize": resize, "background": [10, 120, 240], "size": 8, "path": None}
    found = attribute.read_images(paths, (channels, 8, 8), data)
    changes = {"resize": resize, "background": [10, 120, 240], "channels": channels}
    np.testing.assert_array_equal(found, as_a_data_set(odd_pictures, **changes))


def test_images_of_a_model_from_elsewhere_are_cropped_on_white(odd_pictures):
    found = attribute.read_images(sorted(odd_pictures.iterdir()), (3, 8, 8))
    usual = {"resize": "crop", "background": [255, 255, 255], "channels": 3}
    np.testing.assert_array_equal(found, as_a_data_set(odd_pictures, **usual))
    assert found[0, 0, 0].tolist() == [255, 255, 255]


def test_a_model_that_is_not_square_takes_images_of_its_own_size(odd_pictures):
    path = odd_pictures / "clear.png"
    found = attribute.read_images([path], (3, 7, 12))
    np.testing.assert_array_equal(found[0], decode.read(path, None))
    with pytest.raises(UserError, match=r"clear\.png reads as .* \(7, 12, 3\), the model works on"):
        attribute.read_images([path], (3, 8, 12))


@pytest.fixture
def command(pair, odd_pictures, monkeypatch):
    """Run ``./run attribute``; the training images and queries of which scores are asked."""

    def run(*words):
        seen = {}

        def ask(model, settings, training, decoys, queries, args):
            seen.update(images=training.pixels, queries=queries.pixels, decoys=decoys)
            raise KeyboardInterrupt

        monkeypatch.setattr(attribute, "_ask", ask)
        monkeypatch.setattr("sys.argv", ["attribute", str(odd_pictures / "clear.png"), *words])
        with pytest.raises(KeyboardInterrupt):
            attribute.main()
        return seen

    return run


def test_a_model_s_folder_of_training_images_is_read_as_a_data_set(
    command, pair, odd_pictures, tmp_path_factory
):
    pipeline = tmp_path_factory.mktemp("pipeline")
    pixel.save(pipeline, *pair)
    (odd_pictures / ".hidden.png").write_text("no image")
    seen = command("--model", str(pipeline), "--data", str(odd_pictures))
    usual = {"resize": "crop", "background": [255, 255, 255], "channels": 1}
    wanted = as_a_data_set(odd_pictures, **usual)
    np.testing.assert_array_equal(seen["images"], wanted)
    np.testing.assert_array_equal(seen["queries"], wanted[:1])


def test_an_experiment_s_data_section_prepares_what_is_asked(
    command, pair, odd_pictures, tmp_path, monkeypatch
):
    experiment = config.load("smoke", ROOT)
    section = {"resize": "pad", "background": [10, 120, 240]}
    changed = {**experiment, "data": {**experiment["data"], **section}}
    monkeypatch.setattr(config, "load", lambda name, root: changed)
    monkeypatch.setattr(attributed_model, "load", lambda *_: opened.from_network(*pair))
    train = index_images.read(np.arange(320).reshape(5, 8, 8, 1) % 256, (1, 8, 8), "x")
    monkeypatch.setattr(training_files, "images", lambda *_: train)
    seen = command("--experiment", "smoke", "--method", "das", "--damping", "0.1")
    wanted = as_a_data_set(odd_pictures, **section, channels=1)
    np.testing.assert_array_equal(seen["queries"], wanted[:1])


def test_training_images_are_named_by_their_files(tmp_path):
    own = tmp_path / "own"
    (own / "cats").mkdir(parents=True)
    shades = {"cats/a.png": 10, "b.png": 20, "c.png": 20, "d.png": 40}
    for name, shade in shades.items():
        Image.new("L", (8, 8), shade).save(own / name)
    (own / "aa.png").write_bytes(b"")  # left out: numbers are no positions in the folder
    data = {"dataset": "folder", "path": str(own), "labels": None, "size": 8, "channels": 1}
    data |= {"resize": "crop", "background": [0, 0, 0], "range": None}
    images = np.stack([np.full((8, 8, 1), shade, np.uint8) for shade in (40, 20, 10, 99)])
    wanted = ["d.png", "b.png = c.png", "cats/a.png", ""]
    assert training_files.find(images, data) == wanted
    assert training_files.find(images, {**data, "path": str(tmp_path / "gone")}) == [""] * 4
    assert training_files.find(images, {**data, "dataset": "digits"}) == [""] * 4


def test_an_empty_path_is_not_this_folder(capsys):
    with pytest.raises(SystemExit):
        attribute_options.parser("").parse_args([""])
    assert "it is empty, expected a path" in capsys.readouterr().err
