"""Render the report of an experiment as one self-contained HTML page."""

from pathlib import Path

from dasbench.core import artifacts, script_main, tables
from dasbench.core.writing import write_text
from dasbench.reports import report


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    for name in ("summary", "selection", "comparisons", "ceiling"):
        parser.add_argument(f"--{name}", required=True, help=f"lds/{name}.csv")
    parser.add_argument("--removal", help="removal/summary.csv, if the experiment has one")
    parser.add_argument("--removal-comparisons", help="removal/comparisons.csv, beside --removal")
    parser.add_argument("--leverage", help="lds/leverage.csv, if it was measured")
    parser.add_argument("--gains", help="ablation/gains.csv, if the experiment has an ablation")
    parser.add_argument("--groups", type=Path, help="folder groups/, if the experiment has a study")
    parser.add_argument("--explorer", help="explorer.json: lists of training images")
    parser.add_argument("--metrics", help="metrics.json")
    parser.add_argument("--data-card", help="JSON: source, licence, size, hash")
    parser.add_argument(
        "--figures", nargs="*", default=[], help="figures/*.svg, *.png; the stem decides the place"
    )
    parser.add_argument(
        "--timings", default="timings.html", help="relative link to the costs; empty for none"
    )
    parser.add_argument("--report", required=True, help="output: report.html")
    args = parser.parse_args()
    settings = args.settings
    names = ("summary", "comparisons", "noise", "general") if args.groups else ()
    page = report.render(
        report.Results(
            experiment=settings["experiment"],
            settings=settings["settings"],
            summary=tables.load_table(args.summary),
            selection=tables.load_table(args.selection),
            comparisons=tables.load_table(args.comparisons),
            ceiling=tables.load_table(args.ceiling),
            removal=tables.load_table(args.removal) if args.removal else None,
            figures=[Path(path) for path in args.figures],
            metrics=artifacts.load_json(args.metrics) if args.metrics else {},
            data_card={
                **settings.get("data_card", {}),
                **(artifacts.load_json(args.data_card) if args.data_card else {}),
            },
            versions=settings.get("versions", {}),
            inapplicable=settings.get("inapplicable", {}),
            timings=args.timings or None,
            gains=tables.load_table(args.gains) if args.gains else None,
            removed_pairs=(
                tables.load_table(args.removal_comparisons) if args.removal_comparisons else None
            ),
            leverage=tables.load_table(args.leverage) if args.leverage else None,
            variants=settings.get("variants", {}),
            floor=settings.get("floor"),
            explorer=artifacts.load_json(args.explorer) if args.explorer else None,
            groups={name: tables.load_table(args.groups / f"{name}.csv") for name in names} or None,
        )
    )
    write_text(args.report, page)


if __name__ == "__main__":
    script_main.main(run)
