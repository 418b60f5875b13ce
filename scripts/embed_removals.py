"""Compare generated images before and after retraining: the cosine of their CLIP embeddings."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, script_main, tables
from dasbench.diffusion import checkpoints
from dasbench.diffusion import clip as embeddings


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--parts", type=Path, required=True, help="folder with <method>/k-<k>/")
    parser.add_argument("--queries", type=Path, required=True, help="gen.npy, the images before")
    parser.add_argument("--out", type=Path, required=True, help="the same folder, made anew")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    checkpoints.use_threads(args.threads)
    clip = embeddings.load(args.settings["model"], checkpoints.pick_device())

    def embedded(images: np.ndarray) -> np.ndarray:
        return embeddings.compute(clip, np.clip(images, -1, 1))  # the range of displayed images

    images = artifacts.load_array(args.queries, (None, None, None, None), np.float32)
    before = embedded(images)
    for arm, k in args.settings["arms"]:
        part = Path(arm, f"k-{k}")
        table = tables.load_table(args.parts / part / "per_query.parquet")
        shape = (len(table), *images.shape[1:])
        after = artifacts.load_array(args.parts / part / "images.npy", shape, np.float32)
        table["embedding_cosine"] = embeddings.cosine(before[table["query"]], embedded(after))
        tables.save_table(args.out / part / "per_query.parquet", table)
        artifacts.save_array(args.out / part / "images.npy", after)


if __name__ == "__main__":
    script_main.main(run)
