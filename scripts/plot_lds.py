"""Draw LDS per method: both targets, three transforms, the damping grid, fewer subset models."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import by_models, damping, lds, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--summary", required=True, help="lds/summary.csv")
    parser.add_argument("--ceiling", required=True, help="lds/ceiling.csv")
    parser.add_argument("--by-models", help="lds/by_models.csv, for --lds-by-models")
    for name in ("lds-loss", "lds-displacement", "lds-transforms", "damping", "lds-by-models"):
        parser.add_argument(
            f"--{name}", nargs="+", default=[], help="output: figures, .svg and/or .png"
        )
    args = parser.parse_args()
    families = args.settings.get("families")
    summary, ceiling = tables.load_table(args.summary), tables.load_table(args.ceiling)
    if args.lds_loss:
        style.save(lds.bars(summary, ceiling, "loss", families), args.lds_loss)
    if args.lds_displacement:
        style.save(lds.bars(summary, ceiling, "displacement", families), args.lds_displacement)
    if args.lds_transforms:
        style.save(lds.transforms(summary, "loss", families), args.lds_transforms)
    if args.damping:
        style.save(damping.paths(summary, "loss", families), args.damping)
    if args.lds_by_models:
        style.save(by_models.curves(tables.load_table(args.by_models)), args.lds_by_models)


if __name__ == "__main__":
    script_main.main(run)
