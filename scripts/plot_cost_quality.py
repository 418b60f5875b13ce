"""Draw seconds against LDS."""

from dasbench.core import artifacts, script_main, tables
from dasbench.reports.figures import cost_quality, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--table", required=True, help="cost-quality.csv")
    parser.add_argument("--speedups", required=True, help="cost-speedup.json, names the reference")
    parser.add_argument("--cost-quality", nargs="+", required=True, help="output: .svg and/or .png")
    args = parser.parse_args()
    table, speedups = tables.load_table(args.table), artifacts.load_json(args.speedups)
    style.save(cost_quality.points(table, speedups["reference"]), args.cost_quality)


if __name__ == "__main__":
    script_main.main(run)
