"""Retrain without some examples, with the base model's own draws; the null arm has other seeds."""

from pathlib import Path

from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs, training


def run() -> None:
    """See the module's docstring."""
    parser = script_main.model_parser(__doc__)
    parser.add_argument("--examples", required=True)
    parser.add_argument("--masks", required=True, help="[members, N] .npy")
    parser.add_argument(
        "--out", type=Path, required=True, help="output folder, one folder a member"
    )
    args = parser.parse_args()
    settings, model, recipe = (args.settings, *(args.settings[k] for k in ("model", "training")))
    family, _, data = model_inputs.training(args.examples, args)
    members = settings["members"]
    masks = artifacts.load_array(args.masks, (len(members), len(data.x)), bool)
    accelerator = training.make_accelerator(args.threads, recipe["mixed_precision"])
    for number, (member, mask) in enumerate(zip(members, masks, strict=True)):
        seed = number + 1 if settings["other_seeds"] else 0
        axes = (*settings["axes"], "base", 0, seed)
        network, scheduler = family.build(model, settings["diffusion"], data.x.shape[1:], axes)
        training.train(accelerator, network, scheduler, data, mask, recipe, axes)
        family.save_member(args.out / member, network, scheduler, model)
        print(f"model {number + 1} of {len(members)} trained", flush=True)


if __name__ == "__main__":
    script_main.main(run)
