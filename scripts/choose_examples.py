"""Choose an experiment's training and held-out images from the pool."""

import numpy as np

from dasbench import seeds
from dasbench.core import artifacts, script_main
from dasbench.errors import UserError


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--pool", required=True)
    parser.add_argument("--train", required=True, help="output, .npz")
    parser.add_argument("--val", help="output, .npz: all that is left")
    args = parser.parse_args()
    settings = args.settings
    pool = artifacts.load_examples(args.pool)
    classes = settings["classes"]
    candidates = (
        np.arange(len(pool.ids))
        if classes == "all"
        else np.flatnonzero(np.isin(pool.labels, classes))
    )
    needed = settings["train"] + settings["val"]
    if len(candidates) < needed:
        raise UserError(
            f"data.train + queries.val asks for {needed} images, {args.pool} has {len(candidates)} "
            "of these classes; lower one of them in the experiment file"
        )
    order = seeds.generator(*settings["axes"], "examples").permutation(candidates)
    for path, part in (
        (args.train, order[: settings["train"]]),
        (args.val, order[settings["train"] :]),
    ):
        if path is not None:
            artifacts.save_examples(path, pool.images[part], pool.labels[part], pool.ids[part])


if __name__ == "__main__":
    script_main.main(run)
