"""Draw the highest-scored training images of some queries, one row per method."""

from dasbench.core import artifacts, script_main
from dasbench.errors import UserError
from dasbench.reports.figures import neighbours, style


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--queries", required=True, help="queries/val.npy or queries/gen.npy")
    parser.add_argument("--examples", required=True, help="examples/train.npz")
    parser.add_argument(
        "--scores",
        required=True,
        nargs="*",
        help="scores/<method>/<kind>.npy, in the order of settings.methods",
    )
    parser.add_argument(
        "--labels",
        help="labels of the queries: .npy [Q], or .npz of the examples they are the first of",
    )
    parser.add_argument(
        "--neighbours", required=True, nargs="+", help="output: figures, .svg and/or .png"
    )
    args = parser.parse_args()
    settings = args.settings
    if not settings["methods"]:
        raise UserError(
            "there are no methods to draw: name at least one under methods in the experiment file"
        )
    queries = artifacts.load_array(args.queries, (None, None, None, None), "float32")
    examples = artifacts.load_examples(args.examples)
    if len(args.scores) != len(settings["methods"]):
        raise UserError(
            f"--scores names {len(args.scores)} files for {len(settings['methods'])} methods: "
            "give one per method"
        )
    shape = (len(examples.ids), len(queries))
    scores = {
        method: artifacts.load_array(path, shape, "float32")
        for method, path in zip(settings["methods"], args.scores, strict=True)
    }
    labels = None
    if args.labels:
        load = (
            artifacts.load_array
            if args.labels.endswith(".npy")
            else lambda p: artifacts.load_examples(p).labels
        )
        labels = load(args.labels)[: len(queries)]
    tuning = settings.get("tuning", 0)
    shown = range(tuning, min(tuning + settings.get("queries", 6), len(queries)))
    figure = neighbours.rows(
        queries,
        examples,
        scores,
        shown,
        settings["kind"],
        count=settings.get("top", 8),
        labels=labels,
        classes=settings.get("classes"),
        families=settings.get("families"),
    )
    style.save(figure, args.neighbours)


if __name__ == "__main__":
    script_main.main(run)
