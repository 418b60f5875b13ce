"""Decompose the training kernel of one set of features, once for all methods that share it."""

from pathlib import Path

import numpy as np

from dasbench.attribution import decomposition
from dasbench.core import memmaps, script_main


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--train", required=True, help="[N, P] .npy, training features")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    train = memmaps.load(args.train, (None, None), np.float32)
    form = "dual" if decomposition.is_dual(train.shape) else "primal"
    print(f"{len(train)} examples, {train.shape[1]} dimensions: {form}", flush=True)
    decomposition.save(args.out, decomposition.decompose(train))


if __name__ == "__main__":
    script_main.main(run)
