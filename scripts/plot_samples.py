"""Draw samples of the base model beside images of its training set."""

from dasbench.core import artifacts, script_main
from dasbench.reports.figures import samples, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--generated", required=True, help="queries/gen.npy")
    parser.add_argument("--examples", required=True, help="examples/train.npz")
    parser.add_argument(
        "--samples", required=True, nargs="+", help="output: figures, .svg and/or .png"
    )
    args = parser.parse_args()
    settings = args.settings
    figure = samples.grid(
        artifacts.load_array(args.generated, (None, None, None, None), "float32"),
        artifacts.load_examples(args.examples).images,
        rows=settings.get("rows", 5),
        columns=settings.get("columns", 10),
    )
    style.save(figure, args.samples)


if __name__ == "__main__":
    script_main.main(run)
