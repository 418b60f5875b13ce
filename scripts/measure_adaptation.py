"""Measure the loss of a network before and after fine-tuning, on new images and on its own."""

from pathlib import Path

from dasbench.core import script_main, tables
from dasbench.diffusion import model_inputs, outputs
from dasbench.evaluation import adaptation
from dasbench.evaluation.bootstrap import Bootstrap


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of the adapted model")
    parser.add_argument("--queries", type=Path, required=True, help="folder of the new images")
    parser.add_argument("--own", type=Path, required=True, help="queries of the frozen model")
    parser.add_argument("--out", type=Path, required=True, help="output, .csv")
    args = parser.parse_args()
    settings = args.settings
    model = model_inputs.open(settings, args.threads, args.latents, args.prompts)
    grid, losses = outputs.grid(**settings["grid"]), {}
    for name, folder in (("new", args.queries), ("own", args.own)):
        images, condition = model.queries(folder, "val")
        found = []
        adapted, process = model.load(args.base)
        # an adapter that is new changes nothing: this is the frozen network
        frozen = model.build(images.shape[1:], settings["axes"])[0].eval().to(model.device)
        for network in (frozen, adapted):
            minus, _ = outputs.measure(
                [network], adapted, process, images, "val", grid, settings["axes"], condition
            )
            found.append(-minus[0])
        losses[name] = tuple(found)
    table = adaptation.table(losses, Bootstrap(**settings["lds"]), settings["axes"])
    tables.save_table(args.out, table)


if __name__ == "__main__":
    script_main.main(run)
