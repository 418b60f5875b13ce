"""Images as networks take them, and the one call of a network."""

import ast
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

import dasbench
import oracle
from dasbench.diffusion import conditions, denoiser
from dasbench.diffusion.conditions import Condition

PACKAGE = Path(dasbench.__file__).parent


def test_bytes_become_numbers_from_minus_one_to_one():
    images = np.zeros((1, 2, 3, 4), np.uint8)
    images[0, 1, 2, 3], images[0, 0, 1, 0] = 255, 51
    made = denoiser.to_model(images)
    assert made.shape == (1, 4, 2, 3)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert (made.min(), made.max(), made[0, 3, 1, 2]) == (-1, 1, 1)
    np.testing.assert_allclose(made[0, 0, 0, 1], 51 / 127.5 - 1, rtol=1e-6)


def test_predictions_do_not_depend_on_the_batch(tiny):
    x = torch.from_numpy(tiny.images["train"]).double()
    t = torch.tensor([5, 900, 100, 0, 999])
    with torch.no_grad():
        whole = denoiser.predict(tiny.unet, x, t)
        parts = denoiser.predict(tiny.unet, x, t, batch=2)
        alone = [oracle.predict(tiny.model, x[i], int(t[i])).reshape(tiny.shape) for i in range(5)]
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole, torch.stack(alone), rtol=1e-12, atol=1e-12)


def calls(tree):
    """(function around it, what is called) of every call, by its last name."""
    for outer in ast.walk(tree):
        if isinstance(outer, ast.FunctionDef):
            for node in ast.walk(outer):
                if isinstance(node, ast.Call):
                    yield outer.name, getattr(node.func, "attr", getattr(node.func, "id", None))


def test_one_place_calls_a_network():
    """Whoever wants a prediction asks ``predict``; a member of several hands the call on."""
    found = {
        (path.name, function, called)
        for path in PACKAGE.rglob("*.py")
        for function, called in calls(ast.parse(path.read_text()))
        if called in {"unet", "network", "denoiser", "functional_call"}
    }
    predict = (Path(denoiser.__file__).name, "predict", "network")
    member = ("lora.py", "__call__", "network")
    # adapters of pipelines have a network inside, whose arguments each pipeline words in its way
    pipelines = {("pipeline_lora.py", name, "network") for name in ("_xl", "_sd3", "_flux")}
    reference = {
        ("features.py", name, "functional_call")
        for name in ("network", "value", "per_example_gradients")
    }
    # a run as a function of its weights
    replay = {("replay.py", name, "functional_call") for name in ("network", "predict")}
    assert found - pipelines == {predict, member, *reference, *replay}


def test_arguments_make_the_condition_that_has_them():
    labels = Condition("class_labels", torch.tensor([2, 0, 1]))
    prompts = Condition("encoder_hidden_states", torch.tensor([1, 0]), torch.rand(2, 3, 4), 1)
    for condition in (labels, prompts):
        again = conditions.of(condition.arguments())
        assert again.keyword == condition.keyword
        for keyword, value in condition.arguments().items():
            assert torch.equal(again.arguments()[keyword], value)
    assert conditions.of({}) is None


def test_a_learned_variance_is_left_out():
    """Networks with a learned variance have twice the channels; the first half is the mean."""
    x, out = torch.zeros(2, 3, 4, 4), torch.randn(2, 6, 4, 4)

    def network(x_t, time):
        return SimpleNamespace(sample=out)

    assert torch.equal(denoiser.predict(network, x, torch.zeros(2)), out[:, :3])
