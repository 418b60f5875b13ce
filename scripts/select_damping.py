"""Select the parameters of a method on tuning subsets and tuning queries only."""

from pathlib import Path

import numpy as np
import pandas as pd

from dasbench.attribution import method_inputs
from dasbench.attribution.input_files import Files
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import damping_grid
from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import lds, predictions


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    script_main.add_paths(parser, Files)
    parser.add_argument("--masks", required=True, help="[M, N] of the tuning subsets")
    parser.add_argument(
        "--outputs", type=Path, required=True, help="folder with those of the tuning subsets"
    )
    parser.add_argument("--selection", required=True, help="output, .csv")
    args = parser.parse_args()
    settings, files = args.settings, script_main.paths(args, Files)
    masks = artifacts.load_array(args.masks, (None, None), bool)
    points = interface.grid(settings["options"], damping_grid(settings["damping"]))
    uses = artifacts.load_json(files.queries / "uses.json")
    requests = {
        kind: interface.Request(inputs, points, uses[kind]["tuning"])
        for kind, inputs in method_inputs.load_all(files, settings).items()
    }
    predicted = predictions.predict(interface.blocks(settings["options"], requests), masks)
    tables_by_kind = []
    for kind, request in requests.items():
        outputs = artifacts.load_array(
            args.outputs / f"loss-{kind}.npy", (None, len(masks), None), np.float32
        )
        selected = lds.select(predicted[kind], outputs[:, :, request.queries])
        if settings["options"].get("tuning"):
            selected["lds"] = np.nan  # the scores use these outputs, so their LDS is biased
        names = {
            "experiment": settings["experiment"],
            "method": settings["method"],
            "queries": kind,
        }
        tables_by_kind.append(lds.label(selected, **names))
    tables.save_table(args.selection, pd.concat(tables_by_kind))


if __name__ == "__main__":
    script_main.main(run)
