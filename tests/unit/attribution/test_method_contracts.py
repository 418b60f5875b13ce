"""What every registered method must do; a new one joins by standing in the registry.

A method is given everything that an ``Inputs`` can hold, random but fixed, and asked for its path.
A new field of ``Inputs`` gets a value in ``whole`` and, if it has one entry per example or query,
a place in ``EXAMPLE_AXIS``.
"""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from dasbench.attribution import method_inputs, transforms
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.methods import interface
from dasbench.attribution.spectrum import Spectrum
from dasbench.core.query_kinds import KINDS
from dasbench.evaluation import lds
from dasbench.experiments import config, feature_sets
from dasbench.registry import METHODS
from stepwise import every_part, predicted

N, Q, P, M, T = 11, 5, 7, 8, 3
DAMPINGS = [1e-4, 1e-2, 1.0]
# fields with an entry per training example, and the axis on which these stand
EXAMPLE_AXIS = {
    **dict.fromkeys(("train_images", "train_labels", "train_ids", "train_features"), 0),
    **{"residuals": 0, "scores": 0, "tuning_masks": 1},
}
# drawn by position, and for no example in particular
NOT_EQUIVARIANT = {"random"}
SECTIONS = ("Cost", "Direction", "Does not apply")


def arrays():
    """A value for every field of ``Inputs`` that is an array, in float64."""
    rng = np.random.default_rng(7)
    labels = np.arange(N) % 3
    return {
        "train_images": rng.integers(0, 256, (N, 4, 4, 1)).astype(np.uint8),
        "train_labels": labels,
        "train_ids": rng.permutation(100)[:N],
        "query_images": rng.uniform(-1, 1, (Q, 1, 4, 4)).astype(np.float32),
        "query_labels": np.arange(Q) % 3,
        "train_features": rng.standard_normal((N, P)).astype(np.float32),
        "query_features": rng.standard_normal((Q, P)).astype(np.float32),
        "residuals": rng.uniform(0.5, 1, N).astype(np.float32),
        "scores": rng.standard_normal((N, Q)).astype(np.float32),
        "tuning_masks": np.array([rng.permutation(N) < N // 2 for _ in range(M)]),
        "tuning_outputs": rng.standard_normal((M, Q)),
        "tuning_queries": np.array([1, 3]),
        "query_timesteps": rng.standard_normal((T, Q, P)).astype(np.float32),
    }


def whole(order=None, **changes):
    """Inputs with everything in them; ``order`` permutes the training examples."""
    order = np.arange(N) if order is None else order
    values = arrays() | changes
    values = {
        name: np.take(v, order, EXAMPLE_AXIS[name]) if name in EXAMPLE_AXIS else v
        for name, v in values.items()
    }
    rng = np.random.default_rng(8)
    train, query = rng.standard_normal((2, N + Q, P)).astype(np.float32)[:, : max(N, Q)]
    values["others"] = ((train[:N][order], query[:Q]),)
    values["axes"] = ("tests", 0, "methods", "val")
    scores = rng.standard_normal((len(DAMPINGS), N, Q)).astype(np.float32)
    values["computed"] = method_inputs.Computed(np.array(DAMPINGS), scores[:, order])
    known = {field.name for field in dataclasses.fields(interface.Inputs)}
    return interface.Inputs(**{name: v for name, v in values.items() if name in known})


def given(name, inputs):
    """The inputs; by timestep for a kernel that keeps them apart, as the rules have them."""
    if "steps" in METHODS[name]:
        computed = dataclasses.replace(inputs.computed, values=np.array(METHODS[name]["steps"]))
        return dataclasses.replace(inputs, computed=computed)
    if not feature_sets.keeps_timesteps(METHODS[name]):
        return inputs
    apart = np.random.default_rng(9).standard_normal((T, 1, P))
    return dataclasses.replace(inputs, spectrum=Spectra(inputs.train_features * apart))


def run(name, inputs, dampings=DAMPINGS):
    """{damping: scores [K, N, Q]} of a method."""
    points = interface.grid(METHODS[name], dampings)
    return every_part(METHODS[name], given(name, inputs), points)


every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_scores_are_finite_float64_of_every_example_and_query(name):
    found = run(name, whole())
    assert list(found) == interface.grid(METHODS[name], DAMPINGS)
    for scores in found.values():
        assert scores.shape[1:] == (N, Q)  # each part is transformed; then they are averaged
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()


@every_method
def test_the_same_inputs_give_the_same_bytes(name):
    first, second = run(name, whole()), run(name, whole())
    assert list(first) == list(second)
    for damping in first:
        np.testing.assert_array_equal(first[damping], second[damping])


@every_method
def test_inputs_are_not_changed(name):
    inputs = whole()
    run(name, inputs)
    for field, value in arrays().items():
        if hasattr(inputs, field):
            np.testing.assert_array_equal(getattr(inputs, field), value)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in NOT_EQUIVARIANT])
def test_permuting_the_examples_permutes_the_scores(name):
    order = np.random.default_rng(3).permutation(N)
    plain, permuted = run(name, whole()), run(name, whole(order))
    for damping, scores in plain.items():
        atol = 1e-9 * np.abs(scores).max()
        np.testing.assert_allclose(permuted[damping], scores[..., order, :], rtol=1e-7, atol=atol)


@every_method
def test_a_querys_scores_do_not_depend_on_the_other_queries(name):
    inputs, chosen = whole(), [4, 0, 2]
    everything, some = run(name, inputs), run(name, inputs.about(chosen))
    for damping, scores in everything.items():
        atol = 1e-12 * np.abs(scores).max()
        np.testing.assert_allclose(some[damping], scores[..., chosen], rtol=1e-10, atol=atol)


@every_method
def test_one_point_gives_what_the_grid_gives(name):
    for point, scores in run(name, whole()).items():
        ((same, alone),) = every_part(METHODS[name], given(name, whole()), [point]).items()
        assert same == point
        np.testing.assert_allclose(alone, scores, rtol=1e-10, atol=1e-12 * np.abs(scores).max())


@every_method
def test_a_decomposition_made_beforehand_changes_nothing(name):
    inputs = whole()
    shared = dataclasses.replace(inputs, spectrum=Spectrum(inputs.train_features))
    for damping, scores in run(name, inputs).items():
        np.testing.assert_allclose(run(name, shared)[damping], scores, rtol=1e-10)


@every_method
def test_an_example_without_any_gradient_is_no_accident(name):
    features, residuals = arrays()["train_features"], arrays()["residuals"]
    features[2], residuals[2] = 0, 0
    for scores in run(name, whole(train_features=features, residuals=residuals)).values():
        assert np.isfinite(scores).all()


@every_method
def test_scores_can_be_judged(name):
    """The path that the rules take: predictions of subsets for every transform, then a choice."""
    masks = np.array([np.random.default_rng(m).permutation(N) < 5 for m in range(M)])
    points = interface.grid(METHODS[name], DAMPINGS)
    made = predicted(METHODS[name], given(name, whole()), points, masks)
    outputs = np.random.default_rng(0).standard_normal((2, M, Q)).astype(np.float32)
    chosen = lds.select(made, outputs)
    assert np.isfinite(chosen["lds"]).all()
    assert set(chosen["transform"]) == set(transforms.TRANSFORMS)


@every_method
def test_the_entry_is_data_that_the_rules_can_use(name):
    options = METHODS[name]
    assert options["transform"] in transforms.TRANSFORMS
    assert json.loads(config.canonical(options)) == options
    reasons = options.get("inapplicable", {})
    assert set(reasons) < set(KINDS), "a method that never applies has no place in the registry"
    for reason in reasons.values():
        assert len(reason) > 10
        assert reason == reason.strip(" .")
    assert config.kinds(options) == tuple(kind for kind in KINDS if kind not in reasons)


@pytest.mark.parametrize("module", sorted({options["module"] for options in METHODS.values()}))
def test_a_family_says_what_it_costs_what_it_means_and_where_it_does_not_apply(module):
    text = interface.family({"module": module}).__doc__
    missing = [word for word in SECTIONS if f"{word}:" not in text]
    assert not missing, f"the docstring of {module} says nothing of {missing}"
    assert "arXiv" in text or "eference" in text


def test_every_field_of_the_inputs_is_tried():
    tried = {field.name for field in dataclasses.fields(interface.Inputs)}
    # these have their own tests
    apart = {"spectrum", "positions", "whole", "candidates", "prepared"}
    given = {name for name in tried if getattr(whole(), name) is not None}
    assert tried - apart <= given


def test_no_family_imports_torch():
    """Scores are computed in jobs of half a second; importing torch takes four."""
    names = sorted({options["module"] for options in METHODS.values()})
    program = (
        "import sys; from dasbench.attribution.methods import interface; "
        f"[interface.family({{'module': name}}) for name in {names}]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
