"""Compare the score of all copies of an image with its score where the image stands once."""

from pathlib import Path

from dasbench.core import artifacts, script_main, tables
from dasbench.data import files
from dasbench.errors import UserError
from dasbench.evaluation import questions, retrieval
from dasbench.evaluation.bootstrap import Bootstrap, generator


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder with the copies")
    parser.add_argument("--once", type=Path, required=True, help="folder without copies")
    parser.add_argument("--out", required=True, help="output, .csv")
    args = parser.parse_args()
    settings, folders = args.settings, (args.home, args.once)
    module = files.module(settings["module"])
    train = [artifacts.load_examples(folder / "examples/train.npz") for folder in folders]
    val = [artifacts.load_examples(folder / "examples/val.npz") for folder in folders]
    images, others = (
        artifacts.load_array(folder / "queries/val.npy", (None,) * 4) for folder in folders
    )
    evaluation = artifacts.load_json(args.home / "queries/uses.json")["val"]["evaluation"]
    labels = val[0].labels[: len(images)]
    copied = questions.ask("copies", module, train[0], "val", images, labels, evaluation)
    try:
        once = questions.elsewhere(
            copied,
            tuple(module.digit_of(each.ids) for each in train),
            (val[0].ids[: len(images)], val[1].ids[: len(others)]),
        )
    except ValueError as error:
        raise UserError(f"{args.once}: {error}") from error
    sums = [
        {
            name: questions.total(artifacts.load_array(folder / f"scores/{name}/val.npy"), asked)
            for name in settings["methods"]
        }
        for folder, asked in ((args.home, copied), (args.once, once))
    ]
    draw = Bootstrap(settings["draws"], settings["level"])
    rng = generator(settings["axes"], "credit")
    table = retrieval.credit(*sums, copied.groups, draw, rng)
    tables.save_table(args.out, table.assign(experiment=settings["experiment"]))


if __name__ == "__main__":
    script_main.main(run)
