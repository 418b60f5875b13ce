"""Time each method of the kernel family, one after the other, in one process.

A first turn on few images warms up and does not count. If the first turn on all images is short,
the time is the median of three turns. If the job is killed, finished methods are not timed again.
"""

import json
import shutil
import statistics
from pathlib import Path

import pandas as pd

from dasbench.attribution import method_times
from dasbench.core import artifacts, resumable, script_main, tables
from dasbench.core.query_kinds import present
from dasbench.diffusion import model_inputs
from dasbench.evaluation.cost_quality import PARTS
from dasbench.sharing import codehash

ROOT = Path(__file__).resolve().parents[1]
SHORT, TURNS, WARM = 5.0, 3, 32  # seconds of a short turn, turns, images to warm up


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--times", type=Path, required=True, help="output, .csv")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, 1, args.latents, args.prompts)
    network, process = model.load(args.model)
    images = {"train": model.images(artifacts.load_examples(args.examples))}
    images |= {kind: model.queries(args.queries, kind)[0] for kind in present(args.queries)}
    few = {split: array[:WARM] for split, array in images.items()}
    code = codehash.code_hash(ROOT, "scripts/time_methods.py", model.family.__file__)
    files = (args.examples, *sorted(args.queries.glob("*.npy")), *sorted(args.model.rglob("*.*")))
    mark = resumable.fingerprint(str(settings["axes"]), code, *(f for f in files if f.is_file()))
    kept = args.times.parent / f".cost-times-{mark}"
    rows = []
    for name, method in settings["methods"].items():
        file = kept / f"{name}-{resumable.fingerprint(json.dumps(method, sort_keys=True))}.json"
        if not file.is_file():
            method_times.method(network, process, few, method, settings["axes"])
            turns = [method_times.method(network, process, images, method, settings["axes"])]
            while len(turns) < TURNS and sum(turns[0][part] for part in PARTS) < SHORT:
                turns.append(
                    method_times.method(network, process, images, method, settings["axes"])
                )
            median = {key: statistics.median(turn[key] for turn in turns) for key in turns[0]}
            artifacts.save_json(file, median | {"turns": len(turns)})
        rows.append({"method": name} | method["shown"] | artifacts.load_json(file))
        print(f"{name}: {sum(rows[-1][part] for part in PARTS):.1f} s", flush=True)
    tables.save_table(args.times, pd.DataFrame(rows))
    for folder in args.times.parent.glob(".cost-times-*"):  # also those of other code or models
        shutil.rmtree(folder)


if __name__ == "__main__":
    script_main.main(run)
