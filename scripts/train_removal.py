"""Retrain without some examples, with the seeds of the base model; the null arm uses others."""

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
    settings, recipe = args.settings, args.settings["training"]
    model = model_inputs.open(args.settings, args.threads, args.latents, args.prompts)
    _, data = model.training_set(args.examples)
    members = settings["members"]
    masks = artifacts.load_array(args.masks, (len(members), len(data.x)), bool)
    accelerator = training.make_accelerator(args.threads, recipe["mixed_precision"])
    for number, (member, mask) in enumerate(zip(members, masks, strict=True)):
        seed = number + 1 if settings["other_seeds"] else 0
        axes = (*settings["axes"], "base", 0, seed)
        network, process = model.build(data.x.shape[1:], axes)
        training.train(accelerator, network, process, data, mask, recipe, axes)
        model.save_member(args.out / member, network, process)
        print(f"model {number + 1} of {len(members)} trained", flush=True)


if __name__ == "__main__":
    script_main.main(run)
