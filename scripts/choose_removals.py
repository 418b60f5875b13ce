"""Choose images to remove: a method's top k for each query, random sets, or none (null)."""

import numpy as np

from dasbench import seeds
from dasbench.attribution import candidates
from dasbench.core import artifacts, script_main
from dasbench.evaluation import removal


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--scores", help="[N, Q] of the generated queries, for a method")
    parser.add_argument("--asked", help="the generated queries, if each has candidates of its own")
    parser.add_argument(
        "--masks", required=True, help="output, [members, N] .npy: what to train on"
    )
    args = parser.parse_args()
    settings = args.settings
    train = artifacts.load_examples(args.examples)
    ids = train.ids
    k = settings["k"]
    if args.scores:
        scores = artifacts.load_array(args.scores, (len(ids), None), np.float32)
        if args.asked:
            queries = artifacts.load_array(args.asked, (scores.shape[1], *[None] * 3), np.float32)
            pixels = candidates.pixels(train.images)
            near = candidates.nearest(pixels, queries, settings["candidates"])
            scores = np.where(near, scores, -np.inf)
        left_out = removal.top_k(scores[:, settings["queries"]], ids, k)
    elif k:
        rng = seeds.generator(*settings["axes"], "removal", "random", k)
        left_out = removal.random_sets(rng, len(ids), k, settings["sets"])
    else:
        left_out = np.empty((settings["sets"], 0), dtype=np.int64)
    masks = np.ones((len(left_out), len(ids)), dtype=bool)
    for mask, positions in zip(masks, left_out, strict=True):
        mask[positions] = False
    artifacts.save_array(args.masks, masks)


if __name__ == "__main__":
    script_main.main(run)
