"""Take a pipeline that somebody trained as the model that is attributed, unchanged."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, inputs
from dasbench.errors import UserError


def check(unet, settings: dict, shape: tuple[int, ...]) -> None:
    """The model takes these images and, where subset models follow, is what they will be.

    Raises:
        UserError: If it is another model.
    """
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    wanted = (height, width, unet.config.in_channels)
    if shape != wanted:
        raise UserError(
            f"the images have (height, width, channels) {shape}, {settings['base']} works on "
            f"{wanted}; set data.size and data.channels"
        )
    given = {k: v for k, v in settings["model"].items() if k in unet.config}
    for key, value in given.items() if settings["retrained"] else ():
        found = unet.config[key]
        if value != (list(found) if isinstance(found, tuple) else found):
            raise UserError(
                f"model.{key} is {value}, {settings['base']} has {found}; subset models must be "
                "like the base model"
            )


def run() -> None:
    """See the module's docstring."""
    parser = command.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--model", required=True, help="output folder")
    args = parser.parse_args()
    settings, family = args.settings, inputs.family(args.settings)
    folder = Path(settings["base"]).expanduser()
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"base is {folder}, which is no diffusers pipeline here; expected a folder with "
            "model_index.json, unet/ and scheduler/"
        )
    network, scheduler = family.load(folder, "cpu", settings["model"])
    images = artifacts.load_examples(args.examples).images
    check(network, settings, tuple(np.shape(images)[1:]))
    family.save(args.model, network, scheduler, settings["model"])


if __name__ == "__main__":
    command.main(run)
