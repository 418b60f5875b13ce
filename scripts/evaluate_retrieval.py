"""Judge scores as a search for the training images that an answer should contain."""

from pathlib import Path

import pandas as pd

from dasbench.core import artifacts, script_main, tables
from dasbench.core.query_kinds import among
from dasbench.data import files
from dasbench.evaluation import questions, retrieval
from dasbench.evaluation.bootstrap import Bootstrap, generator


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder: examples and queries")
    parser.add_argument("--scores", type=Path, required=True, help="folder of the scores")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings, queries = args.settings, args.home / "queries"
    draw = Bootstrap(settings["draws"], settings["level"])
    module = files.module(settings["module"])
    train = artifacts.load_examples(args.home / "examples/train.npz")
    uses = artifacts.load_json(queries / "uses.json")
    judged, counts = [], []
    for kind in among(settings["methods"]):
        images = artifacts.load_array(queries / f"{kind}.npy", (None,) * 4)
        labels = artifacts.load_array(queries / f"{kind}_labels.npy", (len(images),))
        evaluation = uses[kind]["evaluation"]
        asked = questions.ask(settings["truth"], module, train, kind, images, labels, evaluation)
        scores = {
            name: artifacts.load_array(args.scores / name / f"{kind}.npy", (len(train.ids), None))
            for name in settings["methods"][kind]
        }
        about = {name: settings[name] for name in ("experiment", "truth")} | {"queries": kind}
        rng = generator(settings["axes"], f"retrieval-{kind}")
        judged.append(retrieval.judge(scores, asked, settings["top"], draw, rng).assign(**about))
        numbers = {"evaluated": len(evaluation), "questions": len(asked.queries)}
        counts.append(about | numbers | {"relevant": int(asked.relevant.any(axis=1).sum())})
    rows = [table for table in judged if len(table)] or judged[:1]
    tables.save_table(args.out / "retrieval.csv", pd.concat(rows))
    tables.save_table(args.out / "questions.csv", pd.DataFrame(counts))


if __name__ == "__main__":
    script_main.main(run)
