"""Choose the groups, the labels with most training images, and say what each model trains on."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main
from dasbench.errors import UserError


def run() -> None:
    """See the module's docstring. Of labels with equally many images, the smaller comes first."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--out", type=Path, required=True, help="output folder of the plan")
    args = parser.parse_args()
    groups, seeds = args.settings["groups"], args.settings["seeds"]
    train = artifacts.load_examples(args.examples)
    labels, counts = np.unique(train.labels, return_counts=True)
    if len(labels) < len(groups):
        raise UserError(
            f"groups.count is {len(groups)}, expected at most {len(labels)}, the number of labels "
            "among the training images; lower it"
        )
    chosen = np.sort(labels[np.argsort(-counts, kind="stable")[: len(groups)]])
    artifacts.save_array(args.out / "labels.npy", chosen)
    everything = np.ones((2 * seeds, len(train.labels)), dtype=bool)
    artifacts.save_array(args.out / "whole/masks.npy", everything)
    for group, label in zip(groups, chosen, strict=True):
        masks = np.tile(train.labels != label, (seeds, 1))
        artifacts.save_array(args.out / group / "masks.npy", masks)


if __name__ == "__main__":
    script_main.main(run)
