"""Write a method's scores, under its own transform and held-out damping."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, transforms
from dasbench.layout import KINDS
from dasbench.methods import interface


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    interface.add_arguments(parser)
    parser.add_argument("--selection", required=True, help="from select_damping, .csv")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    selection = artifacts.load_table(args.selection).set_index(["queries", "transform"])["damping"]
    for kind in KINDS:
        inputs = interface.load(args, kind, settings["axes"])
        damping = selection[kind, settings["transform"]]
        _, scores = next(interface.path(settings["options"], inputs, [damping]))
        own = transforms.apply(scores, settings["transform"]).astype(np.float32)
        artifacts.save_array(args.out / f"{kind}.npy", own)


if __name__ == "__main__":
    command.main(run)
