"""Draw main effects and shares of the gain, for the target loss."""

from dasbench.core import script_main, tables
from dasbench.reports.figures import ablation, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--main-effects", required=True, help="ablation/main_effects.csv")
    parser.add_argument("--gains", required=True, help="ablation/gains.csv")
    parser.add_argument("--effects-figure", nargs="+", required=True, help="output, .svg, .png")
    parser.add_argument("--gains-figure", nargs="+", required=True, help="output, .svg, .png")
    args = parser.parse_args()
    effects, gains = tables.load_table(args.main_effects), tables.load_table(args.gains)
    style.save(ablation.main_effects(effects), args.effects_figure)
    style.save(ablation.gains(gains), args.gains_figure)


if __name__ == "__main__":
    script_main.main(run)
