"""What holds for the models, queries and exports of an experiment, whatever its family."""

import hashlib

import numpy as np

from dasbench.core import artifacts


def array(clone, path):
    return artifacts.load_array(clone.folder / "results" / path)


def assert_every_model_differs(clone, name, shape):
    """Weights of all models, and outputs [seeds, models, queries] of the evaluation models."""
    models = sorted((clone.folder / f"results/{name}/models").rglob("*.safetensors"))
    trained = [m for m in models if "vqvae" not in m.parts]
    contents = {m.read_bytes() for m in trained}
    plans = (clone.folder / f"results/{name}/removal/plan").glob("*/k-*/masks.npy")
    kept = [mask.tobytes() for plan in plans for mask in np.load(plan)]
    # the last checkpoint is the base model, and the same images removed give the same model
    assert len(contents) == len(trained) - 1 - (len(kept) - len(set(kept)))
    for target in ("loss", "displacement"):
        for kind in ("val", "gen"):
            found = array(clone, f"{name}/outputs/eval/{target}-{kind}.npy")
            assert found.shape == shape
            assert len(np.unique(found)) == found.size


def assert_latents_are_seen(clone, name, images, latents):
    """Queries are images, and models see their latents; shapes of both."""
    for kind in ("val", "gen"):
        assert array(clone, f"{name}/queries/{kind}.npy").shape == images
        assert array(clone, f"{name}/queries/{kind}_latents.npy").shape == latents
    assert array(clone, f"{name}/queries/gen_noise.npy").shape == latents
    assert array(clone, f"{name}/removal/images.npy").shape[1:] == images[1:]
    plain, mirrored = (array(clone, f"{name}/latents/{s}.npy") for s in ("train", "train-mirrored"))
    assert plain.shape == mirrored.shape
    assert (plain != mirrored).any()


def exported(clone, name, folder):
    """What the code on an export's card makes, fewer steps apart."""
    clone.run("export", name, "--out", folder)
    card = (folder / "README.md").read_text()
    assert str(clone.folder) not in card
    code = card.split("```python\n")[1].split("```")[0].replace("FOLDER", str(folder))
    code = code.replace("=1000)", "=2)")
    if "set_timesteps" not in code:
        code = code.replace("scheduler.timesteps", "(999, 500)")
    code = code.replace("guidance_scale=7.5)", "guidance_scale=7.5, num_inference_steps=2)")
    made = {}
    exec(compile(code, name, "exec"), made)
    return made


def assert_frozen(folder, source):
    """An export names the bytes of the pipeline that a model is built on."""
    # model_index.json only names the parts; what the parts are is frozen
    files = [f for f in source.rglob("*") if f.is_file() and f.name != "model_index.json"]
    assert artifacts.load_json(folder / "frozen.json") == {
        f.relative_to(source).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
    }
