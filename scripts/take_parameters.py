"""Take the parameters of a method that the tuning data of another experiment chose."""

from dasbench.core import script_main, tables
from dasbench.errors import UserError


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--chosen", required=True, help="selection.csv of the other experiment")
    parser.add_argument("--selection", required=True, help="output, .csv")
    args = parser.parse_args()
    chosen = tables.load_table(args.chosen)
    kinds = args.settings["kinds"]
    if absent := set(kinds) - set(chosen["queries"]):
        raise UserError(
            f"{args.chosen} has no parameters for queries of kind {', '.join(sorted(absent))}; "
            "expected them for all kinds of this experiment: give it other queries"
        )
    columns = ["queries", "transform", "parameters", "damping"]
    tables.save_table(args.selection, chosen[chosen["queries"].isin(kinds)][columns])


if __name__ == "__main__":
    script_main.main(run)
