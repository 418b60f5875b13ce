"""Compute how much each training example's loss rises when the model unlearns a query."""

from pathlib import Path

import numpy as np

from dasbench.core import artifacts, memmaps, script_main
from dasbench.core.query_kinds import present
from dasbench.diffusion import model_inputs
from dasbench.gradients import unlearning


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    network, process = model.load(args.model)
    train = artifacts.load_examples(args.examples)
    images = model.images(train)
    options = (settings["gradients"], settings["axes"])
    forgetting = unlearning.Unlearning(network, process, *options).fit(images, train.ids)
    artifacts.save_array(args.out / "dampings.npy", np.array(forgetting.steps))
    for kind in present(args.queries):
        queries, _ = model.queries(args.queries, kind)
        shape = (len(forgetting.steps), len(images), len(queries))
        with memmaps.create(args.out / f"{kind}.npy", shape, np.float32) as stored:
            for q, scores in forgetting.scores(queries, kind):
                stored[:, :, q] = scores
                if q % 10 == 0:
                    print(f"{kind}: {q + 1} of {len(queries)} queries", flush=True)


if __name__ == "__main__":
    script_main.main(run)
