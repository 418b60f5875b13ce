"""The front door: the package and the command without the workflow."""

import numpy as np
import pytest

import dasbench
from dasbench import attribution
from dasbench.errors import UserError
from dasbench.families import pixel
from tiny import DIFFUSION, MODEL
from tiny_pipelines import autoencoder, stable_diffusion

SIZES = {"timesteps": 3, "dimensions": 512}


@pytest.fixture(scope="module")
def pair():
    unet, scheduler = pixel.build(MODEL, DIFFUSION, (1, 8, 8), ("attribution", 0))
    return unet.eval(), scheduler


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

    unet, scheduler = pixel.build({**MODEL, "num_class_embeds": 3}, DIFFUSION, (1, 8, 8), ("x", 0))
    pixel.save(tmp_path / "classes", unet, scheduler)
    LDMPipeline(autoencoder(), *pair).save_pretrained(tmp_path / "latents")
    stable_diffusion(tmp_path / "prompts")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/pytorch_lora_weights.safetensors").touch()
    for name in ("classes", "latents", "prompts", "adapter"):
        takes = "prompts" if name == "adapter" else name
        with pytest.raises(UserError, match=f"{name} takes {takes}, expected an unconditional"):
            dasbench.attribute(tmp_path / name, images, images[:1], **SIZES)


def test_released_residual_has_its_own_grid(pair, images):
    options = attribution._options("das_released", {})
    features = {**attribution.FEATURE_DEFAULTS, **SIZES, **options["features"]}
    few, many = (
        attribution.scores(pair, images, images[:1], {**options, "features": features}, 1e-2, 0, n)
        for n in (2, 20)
    )
    assert not np.allclose(few / few.sum(), many / many.sum())


@pytest.mark.parametrize(
    ("method", "options", "told"),
    [("nope", {}, "das_common"), ("random", {}, "das_common"), ("das", {"steps": 1}, "timesteps")],
)
def test_mistakes_are_told(pair, images, method, options, told):
    with pytest.raises(UserError, match=told):
        dasbench.attribute(pair, images, images[:1], method, **options)


def test_images_of_another_size_are_refused(pair, images):
    with pytest.raises(UserError, match="resize"):
        dasbench.attribute(pair, images[:, :4], images[:1], **SIZES)


def test_image_files_are_read_at_the_models_size(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((16, 16, 3), 255, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    assert attribution.read_images([tmp_path / "a.png"], (1, 8, 8)).shape == (1, 8, 8, 1)
    with pytest.raises(UserError, match=r"b\.png"):
        attribution.read_images([tmp_path / "b.png"], (1, 8, 8))
