"""Compute what the model forgets of the training set when it unlearns each query."""

from pathlib import Path

import numpy as np

from dasbench import artifacts, command, inputs, mapped, models, unlearning
from dasbench.layout import KINDS


def run() -> None:
    """See the module's docstring."""
    parser = command.model_parser(__doc__)
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True, help="folder of the queries")
    parser.add_argument("--model", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    args = parser.parse_args()
    settings = args.settings
    models.use_threads(args.threads)
    family = inputs.family(settings)
    unet, scheduler = family.load(args.model, models.pick_device(), settings["model"])
    train = artifacts.load_examples(args.examples)
    images = inputs.examples(train, args)
    how = (settings["gradients"], settings["axes"])
    forgetting = unlearning.Unlearning(unet, scheduler, *how).fit(images, train.ids)
    artifacts.save_array(args.out / "dampings.npy", np.array(forgetting.steps))
    for kind in KINDS:
        asked, _ = inputs.queries(args.queries, kind, args)
        shape = (len(forgetting.steps), len(images), len(asked))
        with mapped.create(args.out / f"{kind}.npy", shape, np.float32) as stored:
            for q, scores in forgetting.scores(asked, kind):
                stored[:, :, q] = scores
                if q % 10 == 0:
                    print(f"{kind}: {q + 1} of {len(asked)} queries", flush=True)


if __name__ == "__main__":
    command.main(run)
