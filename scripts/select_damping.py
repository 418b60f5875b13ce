"""Choose a method's damping on tuning subsets and tuning queries alone."""

import numpy as np
import pandas as pd

from dasbench.attribution import spectrum as kernel
from dasbench.attribution.methods import interface
from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import lds, predictions


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    interface.add_arguments(parser)
    parser.add_argument("--masks", required=True, help="[M, N] of the tuning subsets")
    parser.add_argument("--loss-val", required=True, help="[R, M, Q] of the tuning subsets")
    parser.add_argument("--loss-gen", required=True, help="[R, M, Q] of the tuning subsets")
    parser.add_argument("--selection", required=True, help="output, .csv")
    args = parser.parse_args()
    settings = args.settings
    masks = artifacts.load_array(args.masks, (None, None), bool)
    grid = kernel.damping_grid(settings["damping"])
    uses = artifacts.load_json(args.queries / "uses.json")
    found, spectrum = [], interface.load_spectrum(args)
    for kind in settings["kinds"]:
        chosen = uses[kind]["tuning"]
        outputs = artifacts.load_array(
            getattr(args, f"loss_{kind}"), (None, len(masks), None), np.float32
        )
        inputs = interface.load(args, kind, settings["axes"], spectrum)
        predicted = predictions.predict(
            interface.paths(settings["options"], inputs, grid, chosen), masks
        )
        selected = lds.select(predicted, outputs[:, :, chosen])
        if settings["options"].get("tuning"):
            selected["lds"] = np.nan  # made from these very outputs: an LDS here says nothing
        names = {
            "experiment": settings["experiment"],
            "method": settings["method"],
            "queries": kind,
        }
        found.append(lds.label(selected, **names))
    tables.save_table(args.selection, pd.concat(found))


if __name__ == "__main__":
    script_main.main(run)
