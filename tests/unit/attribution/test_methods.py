"""Every registered method against the oracle, from images to scores, in float64."""

import numpy as np
import pytest

import oracle
from dasbench.attribution import transforms
from dasbench.attribution.methods import controls, interface, similarity
from dasbench.attribution.parameters import Point, dampings
from dasbench.attribution.spectrum import Spectrum
from dasbench.gradients import probes, residuals
from dasbench.gradients.projection import Projection
from dasbench.registry import METHODS
from tiny import AXES

DAMPINGS = [1e-3, 0.1, 1.0]
GRID = {"midpoint": [250, 750], "released": [0, 500]}
KERNEL = "kernel_methods"
LABELS = {"train": np.array([3, 1, 3, 0, 1]), "val": np.array([3, 0, 2])}
# variants that no registered name stands for
VARIANTS = {
    "das without residual": {**METHODS["das"], "residual": "none"},
    "das without leverage": {**METHODS["das"], "leverage": False},
    "das signed": {**METHODS["das"], "transform": "signed_square"},
    "all factors": {**METHODS["das_common"], "denominator": "preconditioned_norm"},
}


PROBES = {"constant": 1, "rademacher": 1, "cosine": 2}


def form(readout, normalise=False, noise="keyed", timestep_rule="midpoint", **more):
    names = ("readout", "normalise", "noise", "timestep_rule")
    return dict(zip(names, (readout, normalise, noise, timestep_rule), strict=True)) | more


def kernel(features, residual="none", leverage=False, denominator="none", transform="identity"):
    return {
        "module": KERNEL,
        "features": features,
        "kernel": "averaged",
        "residual": residual,
        "leverage": leverage,
        "denominator": denominator,
        "transform": transform,
    }


def influence(module, **more):
    noise = {"noise": "common"} if module == "ekfac_stepwise" else {}
    return {"computed": "influence", "computation": module, **noise, **more}


# the sections of the method's description that define methods, once more by hand
DESCRIBED = {
    "random": {"control": "random"},
    "class_match": {"control": "class_match"},
    "train_norm": {"control": "train_norm"},
    "pixel_dot": {"features": "pixels", "measure": "dot"},
    "pixel_cosine": {"features": "pixels", "measure": "cosine"},
    "embedding_dot": {"features": "embeddings", "measure": "dot"},
    "embedding_cosine": {"features": "embeddings", "measure": "cosine"},
    "gradient_dot": {"features": form("loss"), "measure": "dot"},
    "gradient_cosine": {"features": form("loss"), "measure": "cosine"},
    "tracincp": {"features": form("loss"), "measure": "dot", "checkpoints": "all"},
    "gas": {"features": form("loss"), "measure": "cosine", "checkpoints": "all"},
    "trak": kernel(form("loss")),
    "trak_common": kernel(form("loss", noise="common")),
    "relative_if": kernel(form("loss"), denominator="preconditioned_norm"),
    "renormalized_if": kernel(form("loss"), denominator="feature_norm"),
    "journey_trak": {**kernel(form("loss")), "journey": True},
    "dtrak": kernel(form("square")),
    "dtrak_common": kernel(form("square", noise="common")),
    "das": kernel(form("mean", True), "scalar", True, transform="square"),
    "das_common": kernel(form("mean", True, "common"), "scalar", True, transform="square"),
    "das_probes": kernel(form("probe", True, probes=PROBES), "scalar", True, transform="square"),
    "das_probes_common": kernel(
        form("probe", True, "common", probes=PROBES), "scalar", True, transform="square"
    ),
    "das_stepwise": {
        **kernel({**form("loss", noise="common"), "timesteps": 100, "dimensions": 1024}),
        "kernel": "per_t",
        "transform": "square",
    },
    "das_l1": kernel(form("l1", True), "scalar", True, transform="square"),
    "das_released": kernel(
        form("mean", True, "batch", "released"), "released", False, transform="square"
    ),
    "das_vector": {
        "features": form("probe", probes={"rademacher": 4}),
        "residual": "vector",
        "effect": "displacement",
        "transform": "square",
    },
    "vector_if": {
        "features": form("probe", probes={"rademacher": 4}),
        "residual": "vector",
        "effect": "loss",
        "transform": "identity",
    },
    "empirical_influence": {"estimate": "empirical_influence", "tuning": True},
    "datamodel": {"estimate": "datamodel", "tuning": True},
    "ekfac_if": {"computed": "ekfac", "noise": "keyed"},
    "ekfac_if_common": {"computed": "ekfac", "noise": "common"},
    "ekfac_stepwise": influence("ekfac_stepwise", effect="loss", stepwise=True, transform="square"),
    "ekfac_displacement": influence(
        "ekfac_stepwise", effect="displacement", stepwise=False, transform="square"
    ),
    "ekfac_displacement_stepwise": influence(
        "ekfac_stepwise", effect="displacement", stepwise=True, transform="square"
    ),
    "unlearning": {"computed": "unlearning"},
    "unlearning_plus": influence("unlearning_plus", ascent="free"),
    "unlearning_plus_bounded": influence("unlearning_plus", ascent="bounded"),
    "gradient_cosine_stepwise": {
        "features": {**form("loss", noise="common"), "timesteps": 100, "dimensions": 1024},
        "measure": "cosine",
    },
    "nda": {"features": "pixels", "form": None},
    "external": {"scores": {}},
}


@pytest.mark.parametrize("name", DESCRIBED)
def test_names_stand_for_what_is_described(name):
    assert name in METHODS
    options = METHODS[name]
    assert {key: options.get(key) for key in DESCRIBED[name]} == DESCRIBED[name]
    if options["module"] == KERNEL:
        assert {k: v for k, v in options.items() if k != "inapplicable"} == DESCRIBED[name]
    elif "transform" not in DESCRIBED[name]:
        assert options.get("transform", "identity") == "identity"


@pytest.mark.parametrize("name", [n for n in METHODS if n.endswith("_common")])
def test_common_changes_the_noise_alone(name):
    plain, common = METHODS[name.removesuffix("_common")], METHODS[name]
    if "features" not in plain:
        assert plain == {**common, "noise": "keyed"}
        return
    assert common["features"]["noise"] == "common"
    assert plain["features"]["noise"] == "keyed"
    assert {**common, "features": {**common["features"], "noise": "keyed"}} == plain


class Truth:
    """The oracle's features and residuals, each computed once."""

    def __init__(self, tiny):
        self.tiny, self.features, self.residuals = tiny, {}, {}

    def phi(self, split, options, dimensions):
        probed = [(kind, k) for kind, n in options.get("probes", {}).items() for k in range(n)]
        parts = probed or [None]
        whole = [self.unprojected(split, options, probe) for probe in parts]
        width = dimensions // len(parts)
        matrix = Projection("rademacher", self.tiny.parameters, width, AXES).matrix()
        return np.hstack([each @ matrix for each in whole])

    def unprojected(self, split, options, probe):
        key = (split, *map(str, options.values()), probe)
        if key not in self.features:
            tiny, grid = self.tiny, GRID[options["timestep_rule"]]
            noise = tiny.noise("features", options["noise"])
            args = (tiny.model, tiny.images[split], split, noise, grid, 1)
            args += (options["readout"], options["normalise"], tiny.abar)
            v = probe and probes.probe(*probe, tiny.shape, AXES)
            self.features[key] = oracle.features(*args, v=v)
        return self.features[key]

    def residual(self, kind):
        if kind not in self.residuals:
            formula = {"scalar": oracle.residual_scalar, "released": oracle.residual_released}[kind]
            noise, grid = self.tiny.noise("residuals"), GRID["midpoint"]
            args = (self.tiny.model, self.tiny.images["train"], "train", noise, grid)
            self.residuals[kind] = formula(*args, self.tiny.abar)
        return self.residuals[kind]

    def scores(self, options, damping, dimensions):
        """The formula of section 3 that the options choose, identity transform."""
        if options["module"] == "controls":
            if options["control"] == "class_match":
                return oracle.class_match(LABELS["train"], LABELS["val"])
            return oracle.train_norm(self.phi("train", options["features"], dimensions), 3)
        if options["features"] == "pixels":
            pair = uint8_images(self.tiny) / 127.5 - 1, self.tiny.images["val"]
            pair = pair[0].transpose(0, 3, 1, 2), pair[1]
        elif options["features"] == "embeddings":
            pair = EMBEDDED["train"], EMBEDDED["val"]
        else:
            pair = (self.phi(s, options["features"], dimensions) for s in ("train", "val"))
        phi, phi_q = pair
        if options["module"] == "similarity":
            measure = {"dot": oracle.dot, "cosine": oracle.cosine}[options["measure"]]
            if "checkpoints" not in options:
                return measure(phi, phi_q)
            other = {**options["features"], **ANOTHER}
            others = (self.phi(s, other, dimensions) for s in ("train", "val"))
            return (np.array(measure(phi, phi_q)) + np.array(measure(*others))) / 2
        absolute = oracle.absolute_damping(phi, damping)
        base = {
            "none": oracle.trak,
            "preconditioned_norm": oracle.relative_if,
            "feature_norm": oracle.renormalized_if,
        }[options["denominator"]](phi, phi_q, absolute)
        if options["denominator"] == "none" and options["residual"] != "none":
            r = self.residual(options["residual"])
            form = {"leverage": options["leverage"], "transform": "identity"}
            return oracle.das(phi, phi_q, absolute, r, **form)
        factor = np.ones(len(phi))
        if options["residual"] != "none":
            factor = factor * self.residual(options["residual"])
        if options["leverage"]:
            factor = factor / (1 - oracle.leverages(phi, absolute))
        return base * factor[:, None]


ANOTHER = {"noise": "common"}  # features that stand for those of another checkpoint
EMBEDDED = {
    "train": np.random.default_rng(1).standard_normal((5, 4)),
    "val": np.random.default_rng(2).standard_normal((3, 4)),
}


def uint8_images(tiny):
    rng = np.random.default_rng(9)
    return rng.integers(0, 256, (5, *np.array(tiny.shape)[[1, 2, 0]])).astype(np.uint8)


@pytest.fixture(scope="module")
def truth(tiny):
    return Truth(tiny)


@pytest.fixture
def prepare(tiny, truth, features64):
    """Inputs of a method in float64, made by the package; residuals, once checked, the oracle's."""

    def inputs(options, dimensions):
        chosen, phi, others = options.get("features"), dict.fromkeys(("train", "val")), ()

        def made(chosen, split):
            settings = {**chosen, "timesteps": 2, "draws": 1, "dimensions": dimensions}
            ids = tiny.ids[split]
            who = range(len(ids)) if chosen["noise"] == "batch" else ids
            given = (tiny.images[split], who, split, {**settings, "projection": "rademacher"})
            return features64(tiny.unet, tiny.process, *given, AXES)

        if isinstance(chosen, dict):
            phi = {split: made(chosen, split) for split in phi}
        elif chosen == "embeddings":
            phi = EMBEDDED
        if "checkpoints" in options:
            others = (tuple(made({**chosen, **ANOTHER}, split) for split in phi),)
        r = None
        if options.get("residual", "none") != "none":
            settings = {"kind": options["residual"], "timesteps": 2, "timestep_rule": "midpoint"}
            args = (tiny.unet, tiny.process, tiny.images["train"], tiny.ids["train"])
            single = residuals.compute(*args, {**settings, "draws": 1}, AXES)
            r = truth.residual(options["residual"])
            np.testing.assert_allclose(single, r, rtol=1e-6)
        return interface.Inputs(
            train_images=uint8_images(tiny),
            train_labels=LABELS["train"],
            train_ids=np.array(tiny.ids["train"]),
            query_images=tiny.images["val"],
            query_labels=LABELS["val"],
            train_features=phi["train"],
            query_features=phi["val"],
            residuals=r,
            scores=np.arange(15, dtype=np.float32).reshape(5, 3),
            axes=(*AXES, "methods", "val"),
            others=others,
        )

    return inputs


COMPARED = {
    name: options
    for name, options in METHODS.items()
    # what is made from retrained models, by a rule, by timestep or in a family of its own has tests
    # of its own
    if name not in ("random", "external")
    and not {"tuning", "computed", "effect", "form", "members", "grid", "by_timestep"}
    & set(options)
    and options.get("kernel") != "per_t"
}


@pytest.mark.parametrize("dimensions", [3, 9], ids=["primal", "dual"])
@pytest.mark.parametrize("name", [*COMPARED, *VARIANTS])
def test_every_method_is_its_formula_from_images_to_scores(name, dimensions, prepare, truth):
    options = {**COMPARED, **VARIANTS}[name]
    if "probes" in (options.get("features") or ()):
        dimensions = {3: 4, 9: 8}[dimensions]  # as many for each of the four probes
    given = prepare(options, dimensions)
    made = list(interface.path(options, given, dampings(DAMPINGS)))
    has_damping = options["module"] == KERNEL
    assert [point for point, _ in made] == (dampings(DAMPINGS) if has_damping else [Point()])
    own = options.get("transform", "identity")
    for point, scores in made:
        damping = point.get("damping")
        assert scores.shape == (5, 3)
        assert scores.dtype == np.float64
        expected = truth.scores(options, damping, dimensions)
        # a pair that is nearly orthogonal has no relative accuracy of its own
        scale = np.abs(expected).max()
        np.testing.assert_allclose(scores, expected, rtol=1e-8, atol=1e-9 * scale)
        transformed = [[oracle.transformed(s, own) for s in row] for row in expected]
        ours = transforms.apply(scores, own)
        np.testing.assert_allclose(ours, transformed, rtol=1e-7, atol=1e-9 * scale**2)
        if name not in ("class_match", "train_norm"):
            assert len(np.unique(np.round(scores / scale, 7))) == 15


def test_every_damping_gives_other_scores(prepare):
    scores = [
        s for _, s in interface.path(METHODS["das"], prepare(METHODS["das"], 9), dampings(DAMPINGS))
    ]
    assert np.abs(scores[0] / scores[1] - 1).max() > 0.1
    assert np.abs(scores[1] / scores[2] - 1).max() > 0.1


def test_random_scores_are_normal_and_named(prepare):
    given = prepare(METHODS["random"], 9)
    (_, scores), (_, again) = (
        next(interface.path(METHODS["random"], given, dampings(DAMPINGS))) for _ in range(2)
    )
    np.testing.assert_array_equal(scores, again)
    assert scores.shape == (5, 3)
    images = np.zeros((200, 1, 1, 1), np.uint8)
    many = [
        controls.random(
            interface.Inputs(images, *[None] * 2, images, *[None] * 5, (*AXES, "methods", kind))
        )
        for kind in ("val", "gen")
    ]
    assert abs(many[0].mean()) < 5 / 200
    assert abs(many[0].var() - 1) < 5 * 2**0.5 / 200
    assert abs(np.corrcoef(many[0].ravel(), many[1].ravel())[0, 1]) < 5 / 200
    assert np.abs(np.corrcoef(many[0].T) - np.eye(200)).max() < 6 / 200**0.5


def test_external_scores_are_judged_as_they_are(prepare):
    given = prepare(METHODS["external"], 9)
    ((point, scores),) = interface.path(METHODS["external"], given, dampings(DAMPINGS))
    assert point == {}
    np.testing.assert_array_equal(scores, given.scores)
    assert scores.dtype == np.float64


@pytest.mark.parametrize(("n", "p"), [(12, 5), (5, 12)])
@pytest.mark.parametrize("damping", [1e-4, 0.1])
def test_the_score_is_the_change_of_a_refitted_prediction(n, p, damping):
    """D = 1: phi_q^T K^-1 phi_i r_i / (1 - h_i) is exactly the step of leaving i out."""
    rng = np.random.default_rng([n, p])
    phi, phi_q, y = rng.standard_normal((n, p)), rng.standard_normal((4, p)), rng.standard_normal(n)
    absolute = oracle.absolute_damping(phi, damping)

    def ridge(rows):
        stacked = np.concatenate([phi[rows], absolute**0.5 * np.eye(p)])
        return np.linalg.lstsq(stacked, np.concatenate([y[rows], np.zeros(p)]), rcond=None)[0]

    everything = np.arange(n)
    theta = ridge(everything)
    change = [phi_q @ (theta - ridge(np.delete(everything, i))) for i in range(n)]
    inputs = interface.Inputs(*[None] * 5, phi, phi_q, y - phi @ theta, None, ())
    options = {**METHODS["das"], "transform": "identity"}
    ((_, scores),) = interface.path(options, inputs, dampings([damping]))
    np.testing.assert_allclose(scores, change, rtol=1e-8, atol=1e-10 * np.abs(change).max())
    spectrum = Spectrum(phi, phi_q)
    r = y - phi @ theta
    by_hand = spectrum.inner(damping) * (r / spectrum.one_minus_leverage(damping))[:, None]
    np.testing.assert_allclose(by_hand, change, rtol=1e-8, atol=1e-10 * np.abs(change).max())
    # and without the leverage it is not
    ((_, scores),) = interface.path({**options, "leverage": False}, inputs, dampings([damping]))
    assert np.abs(scores / np.array(change) - 1).max() > 0.01


def test_examples_without_gradient_score_zero_not_nan():
    phi, phi_q = np.random.default_rng(0).standard_normal((2, 6, 9))
    phi[2] = 0
    inputs = interface.Inputs(*[None] * 5, phi, phi_q, np.ones(6), None, ())
    for name in ("trak", "relative_if", "das"):
        ((_, scores),) = interface.path(METHODS[name], inputs, dampings([1e-3]))
        assert np.isfinite(scores).all()
        assert np.abs(scores[2]).max() < 1e-9 * np.abs(scores).max()
    ((_, scores),) = interface.path(METHODS["renormalized_if"], inputs, dampings([1e-3]))
    assert np.isfinite(scores).all()
    cosines = similarity.similarity(phi, phi_q, "cosine")
    assert np.isfinite(cosines).all()
    assert not cosines[2].any()


def test_unknown_options_are_refused():
    with pytest.raises(ValueError, match="dot or cosine, got 'l2'"):
        similarity.similarity(np.ones((2, 3)), np.ones((2, 3)), "l2")
    inputs = interface.Inputs(*[None] * 5, np.eye(3), np.eye(3), None, None, ())
    with pytest.raises(ValueError, match="denominator must be .*got 'norm'"):
        list(interface.path({**METHODS["trak"], "denominator": "norm"}, inputs, dampings([0.1])))
