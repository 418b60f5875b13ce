"""Write down the one damping of an experiment that has no subset models to choose by."""

import pandas as pd

from dasbench import command, kernel, tables
from dasbench.layout import KINDS
from dasbench.transforms import TRANSFORMS


def run() -> None:
    """See the module's docstring."""
    parser = command.parser(__doc__)
    parser.add_argument("--selection", required=True, help="output, .csv")
    args = parser.parse_args()
    (damping,) = kernel.damping_grid(args.settings["damping"])
    rows = [
        {"queries": kind, "transform": name, "damping": float(damping)}
        for kind in KINDS
        for name in TRANSFORMS
    ]
    tables.save_table(args.selection, pd.DataFrame(rows))


if __name__ == "__main__":
    command.main(run)
