"""Compare the seconds of the timed methods with their held-out LDS: table and speed-ups."""

from pathlib import Path

from dasbench.core import artifacts, script_main, tables
from dasbench.evaluation import cost_quality


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--times", type=Path, required=True, help="from time_methods, .csv")
    parser.add_argument("--methods", type=Path, required=True, help="folder lds/methods")
    parser.add_argument("--table", required=True, help="output, .csv")
    parser.add_argument("--speedups", required=True, help="output, .json")
    args = parser.parse_args()
    reference = args.settings["reference"]
    times = tables.load_table(args.times)
    table = cost_quality.points(args.methods, times, reference, args.settings["level"])
    tables.save_table(args.table, table)
    speedups = cost_quality.speedups(table, reference)
    cheapest = speedups["both"]["chosen_on_tuning"]
    headline = {"speedup_at_equal_lds": cheapest and cheapest["speedup"]}
    artifacts.save_json(args.speedups, {"reference": reference, **headline, "speedup": speedups})


if __name__ == "__main__":
    script_main.main(run)
