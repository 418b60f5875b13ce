"""Draw training images from the training part of a pool, held-out images from its held-out part.

If the pool has no held-out part, both come from the training part, and no image is in both.
"""

from pathlib import Path

import numpy as np

from dasbench import seeds
from dasbench.core import artifacts, script_main
from dasbench.errors import UserError


def load(path: Path) -> tuple[artifacts.Examples, np.ndarray]:
    """Examples of a pool, and the part of each image: 0 training, 1 held-out."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in ("images", "labels", "ids", "parts")}
    # a damaged archive makes numpy raise anything from KeyError to zlib.error
    except Exception as error:
        raise UserError(f"{path} is damaged ({error}): {artifacts.remake(path)}") from error
    parts = arrays.pop("parts")
    return artifacts.Examples(**arrays), parts


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--train", required=True, help="output, .npz")
    parser.add_argument("--val", help="output, .npz: all that is left for it")
    args = parser.parse_args()
    settings = args.settings
    pool, parts = load(args.pool)
    rng = seeds.generator(*settings["axes"], "examples")
    order = rng.permutation(np.flatnonzero(parts == 0))
    train, held_out = order[: settings["train"]], rng.permutation(np.flatnonzero(parts == 1))
    val = held_out if len(held_out) else order[settings["train"] :]
    for name, required, available in (
        ("data.train", settings["train"], len(train)),
        ("queries.val", settings["val"], len(val)),
    ):
        if available < required:
            raise UserError(
                f"{name} asks for {required} images, {args.pool} has {available} for it; lower one "
                "of data.train and queries.val in the experiment file"
            )
    for path, part in ((args.train, train), (args.val, val)):
        if path is not None:
            artifacts.save_examples(path, pool.images[part], pool.labels[part], pool.ids[part])


if __name__ == "__main__":
    script_main.main(run)
