"""Write the parameters of a method without subset models, whose grid has a single point."""

import pandas as pd

from dasbench.attribution import spectrum
from dasbench.attribution.methods import interface
from dasbench.attribution.transforms import TRANSFORMS
from dasbench.core import script_main, tables


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--selection", required=True, help="output, .csv")
    args = parser.parse_args()
    dampings = spectrum.damping_grid(args.settings["damping"])
    (point,) = interface.grid(args.settings["options"], dampings)
    rows = [
        {"queries": kind, "transform": name, "parameters": str(point)} | {"damping": dampings[0]}
        for kind in args.settings["kinds"]
        for name in TRANSFORMS
    ]
    tables.save_table(args.selection, pd.DataFrame(rows))


if __name__ == "__main__":
    script_main.main(run)
