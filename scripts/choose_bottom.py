"""Choose the k images with a method's lowest scores for each query, to train without them."""

import numpy as np

from dasbench.attribution import candidates
from dasbench.core import artifacts, script_main
from dasbench.evaluation import removal


def run() -> None:
    """See the module's docstring. Only candidates are chosen; the others have no scores."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--scores", required=True, help="[N, Q] of the generated queries")
    parser.add_argument("--asked", help="the generated queries, if each has candidates of its own")
    parser.add_argument(
        "--masks", required=True, help="output, [members, N] .npy: what to train on"
    )
    args = parser.parse_args()
    settings = args.settings
    train = artifacts.load_examples(args.examples)
    lowest = -artifacts.load_array(args.scores, (len(train.ids), None), np.float32)
    if args.asked:
        queries = artifacts.load_array(args.asked, (lowest.shape[1], *[None] * 3), np.float32)
        pixels = candidates.pixels(train.images)
        near = candidates.nearest(pixels, queries, settings["candidates"])
        lowest = np.where(near, lowest, -np.inf)
    left_out = removal.top_k(lowest[:, settings["queries"]], train.ids, settings["k"])
    masks = np.ones((len(left_out), len(train.ids)), dtype=bool)
    np.put_along_axis(masks, left_out, False, axis=1)
    artifacts.save_array(args.masks, masks)


if __name__ == "__main__":
    script_main.main(run)
