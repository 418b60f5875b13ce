"""Write all images of a data set's source in one format, and a card that describes them."""

import hashlib
from pathlib import Path

from dasbench.core import artifacts, script_main
from dasbench.data import files


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--pool", required=True, help="output, .npz")
    parser.add_argument("--card", required=True, help="output, .json")
    args = parser.parse_args()
    dataset = files.module(args.settings["module"])
    pool = dataset.pool()
    artifacts.save_examples(args.pool, pool.images, pool.labels, pool.ids)
    digest = hashlib.sha256(Path(args.pool).read_bytes()).hexdigest()
    measured = {"images": len(pool.ids), "shape": list(pool.images.shape[1:]), "sha256": digest}
    artifacts.save_json(args.card, {**dataset.CARD, **measured})


if __name__ == "__main__":
    script_main.main(run)
