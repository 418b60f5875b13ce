"""Render the page of an experiment without subset models: the highest-scored images, no LDS."""

from pathlib import Path

from dasbench.core import artifacts, script_main
from dasbench.core.writing import write_text
from dasbench.reports import pages, report
from dasbench.reports.explorer import parts


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--data-card", required=True, help="JSON, what was measured of the images")
    parser.add_argument("--checks", nargs="*", default=[], help="scores/*/self_check.json")
    parser.add_argument("--explorer", required=True, help="explorer.json")
    parser.add_argument("--figures", nargs="*", default=[], help="figures/*.svg, *.png")
    parser.add_argument("--report", required=True, help="output: report.html")
    args = parser.parse_args()
    settings = args.settings
    card = {**settings["data_card"], **artifacts.load_json(args.data_card)}
    explorer = artifacts.load_json(args.explorer)
    kinds = explorer["contents"]["kinds"].values()
    scored = [name for name in settings["order"] if any(name in kind["lists"] for kind in kinds)]
    page = (
        pages.environment()
        .get_template("report/examples.html.j2")
        .render(
            **parts.parts(
                settings["experiment"],
                settings["settings"],
                card.get("classes") or {},
                explorer,
                scored,
                variants=settings["variants"],
                floor=settings["floor"],
            ),
            kinds=parts.KINDS,
            removal=None,
            experiment=settings["experiment"],
            title=settings["settings"]["title"],
            absent=report.absent(settings["settings"]),
            checks=pages.self_checks([Path(path) for path in args.checks]),
            figures=pages.figures([Path(path) for path in args.figures]),
            data_card=card,
            groups=report.flatten(settings["settings"]),
            versions=settings["versions"],
        )
    )
    write_text(args.report, page)


if __name__ == "__main__":
    script_main.main(run)
