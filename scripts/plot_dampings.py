"""Draw the points that each rule for the damping loses to the oracle."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import damping_rules, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--rules", required=True, help="dampings/rules.csv")
    parser.add_argument("--damping-rules", nargs="+", required=True, help="output: .svg, .png")
    args = parser.parse_args()
    style.save(damping_rules.losses(tables.load_table(args.rules)), args.damping_rules)


if __name__ == "__main__":
    script_main.main(run)
