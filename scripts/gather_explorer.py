"""Gather what a report's explorer shows: pictures, lists of images, judgements per query."""

import numpy as np
import pandas as pd

from dasbench.attribution import candidates
from dasbench.core import artifacts, script_main, tables
from dasbench.reports.explorer import contents, extremes


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True, help="examples/train.npz")
    parser.add_argument("--queries", required=True, help="folder queries/")
    parser.add_argument("--scores", required=True, help="folder scores/")
    parser.add_argument("--correlations", help="lds/per_query.parquet, if models were retrained")
    parser.add_argument("--removed", help="removal/per_query.parquet, if the experiment has it")
    parser.add_argument("--explorer", required=True, help="output: explorer.json")
    args = parser.parse_args()
    methods, train = args.settings["methods"], artifacts.load_examples(args.examples)
    uses = artifacts.load_json(f"{args.queries}/uses.json")
    queries, parts = {}, []
    for kind, names in methods.items():
        images = artifacts.load_array(f"{args.queries}/{kind}.npy", (None,) * 4, "float32")
        labels = artifacts.load_array(f"{args.queries}/{kind}_labels.npy", (len(images),))
        queries[kind] = contents.Queries(images, labels)
        shown = uses[kind]["evaluation"][: extremes.QUERIES]
        shape = (len(train.ids), len(images))
        for method in names:
            path = f"{args.scores}/{method}/{kind}.npy"
            scores = artifacts.load_array(path, shape, "float32")
            if count := args.settings["candidates"].get(method):
                near = candidates.nearest(candidates.pixels(train.images), images, count)
                scores = np.where(near, scores, -np.inf)
            listed = extremes.table(scores, train.ids, shown)
            parts.append(listed.assign(queries=kind, method=method))
    held = tables.load_table(args.correlations) if args.correlations else None
    if held is not None:
        held = held[held["method"].map(args.settings["transforms"]) == held["transform"]]
    gathered = contents.contents(
        pd.concat(parts, ignore_index=True),
        train,
        queries,
        held,
        tables.load_table(args.removed) if args.removed else None,
    )
    made = contents.noisiness(queries["gen"].images, train.images)
    value = None if np.isnan(made) else round(made, 3)
    artifacts.save_json(args.explorer, {"contents": gathered, "noisiness": value})


if __name__ == "__main__":
    script_main.main(run)
