"""Embed the prompt of every class with the frozen text encoder; the empty prompt comes last."""

from dasbench.core import artifacts, script_main
from dasbench.diffusion import model_inputs


def run() -> None:
    """See the module's docstring."""
    parser = script_main.parser(__doc__)
    parser.add_argument("--examples", required=True, help="examples/train.npz")
    parser.add_argument("--card", required=True, help="card.json of the data set: names of classes")
    parser.add_argument("--prompts", required=True, help="output, .npy")
    parser.add_argument("--texts", required=True, help="output, .json")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    settings = args.settings
    names = artifacts.load_json(args.card).get("classes", {})
    labels = range(artifacts.load_examples(args.examples).labels.max() + 1)
    classes = [str(names.get(str(label), label)).replace("_", " ") for label in labels]
    texts = [settings["model"]["prompt"].replace("{class}", name) for name in classes] + [""]
    embeddings = model_inputs.open(settings, args.threads).embed(texts)
    artifacts.save_array(args.prompts, embeddings)
    artifacts.save_json(args.texts, texts)


if __name__ == "__main__":
    script_main.main(run)
