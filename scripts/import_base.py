"""Import a trained diffusers pipeline, unchanged, as the base model of an experiment."""

from pathlib import Path

import numpy as np
import torch

from dasbench.core import artifacts, script_main
from dasbench.core.yaml_schema import shorten
from dasbench.diffusion import model_inputs, own_checkpoint, unet_config
from dasbench.errors import UserError

LEFT_OUT = ("sample_size",)  # ``check_images`` compares it


def check_images(unet, settings: dict, shape: tuple[int, ...]) -> None:
    """Refuse images [N, height, width, channels] of another shape than the model's."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    expected = (height, width, unet.config.in_channels)
    if shape[1:] != expected:
        raise UserError(
            f"the images have (height, width, channels) {shape[1:]}, {settings['base']} works on "
            f"{expected}; set data.size and data.channels"
        )


def check_alike(network, process, model: model_inputs.Model, shape: tuple[int, ...]) -> None:
    """Refuse a base model that differs from the settings, by which subset models are built."""
    settings, (_, height, width, channels) = model.settings, shape
    with torch.device("meta"):  # allocates no weights; only the configuration is compared
        like, planned = model.build((channels, height, width), settings["axes"])
    pairs = {
        "UNet": (compared(like), compared(network)),
        "scheduler": (planned.training, process.training),
    }
    for part, (expected, imported) in pairs.items():
        for key, value in expected.items():
            if value != imported[key]:
                raise UserError(
                    f"the {part}'s {key} is {shorten(value)} by the experiment file, "
                    f"{shorten(imported[key])} in {settings['base']}; subset models must be like "
                    "the base model: mend model and diffusion, or have scores alone by subsets: "
                    "null"
                )


def compared(part) -> dict[str, object]:
    """The entries of a configuration to compare; tuples become lists, as in JSON."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in part.config.items()
        if not key.startswith("_") and key not in LEFT_OUT
    }


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="output folder")
    args = parser.parse_args()
    settings, model = args.settings, model_inputs.open(args.settings, args.threads, device="cpu")
    folder = Path(settings["base"]).expanduser()
    try:
        network, process = own_checkpoint.load(folder)
    except UserError as error:
        raise UserError(f"base is {settings['base']}: {error}") from error
    unet_config.say_learned_variance(network.config)
    images = artifacts.load_examples(args.examples).images
    check_images(network, settings, np.shape(images))
    if settings["retrained"]:
        check_alike(network, process, model, np.shape(images))
    model.save(args.model, network, process)


if __name__ == "__main__":
    script_main.main(run)
