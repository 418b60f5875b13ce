"""The same small problems given to other people's packages: TRAK, the LDS, EK-FAC influence.

traker and dattri are in the locked environment. curvlinops and kronfluence ask for torchvision,
which that environment must not have. curvlinops works without it, and its comparison runs where it
can be imported: CONTRIBUTING.md says how to install it in a folder for tests. The comparison with
kronfluence runs where kronfluence is installed.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import curvature_problem
from curvature_problem import AXES, IDS, Net, samples
from dasbench.attribution.methods import interface
from dasbench.attribution.parameters import dampings
from dasbench.diffusion.process import Ddpm
from dasbench.evaluation import lds
from dasbench.gradients import ekfac, features
from dasbench.registry import METHODS

ONE = {"timesteps": 1, "timestep_rule": "midpoint", "draws": 1}


@pytest.fixture(scope="module")
def problem():
    """A network and its images; one timestep and one draw are asked for, as others can follow."""
    return curvature_problem.make()


def noised(problem, split):
    """(x_t, t, target) of every image of a split at the one timestep, float64."""
    found = []
    for i in range(len(IDS[split])):
        (one,) = samples(problem, split, i, grid=[500], draws=1)
        found.append(one)
    return tuple(torch.stack([torch.as_tensor(s[k]) for s in found]) for k in range(3))


def inputs(train, query):
    """Inputs of a method from features alone."""
    images, queries = np.zeros((len(train), 1, 1, 1)), np.zeros((len(query), 1, 1, 1))
    return interface.Inputs(images, None, None, queries, None, train, query, None, None, ())


def trak(train, query, relative):
    ((_, scores),) = interface.path(METHODS["trak"], inputs(train, query), dampings([relative]))
    return scores


@pytest.fixture(scope="module")
def gradients(problem):
    """Whole loss gradients of the package's own extractor, float32: train [N, p], val [Q, p]."""
    unet, process, images = problem
    settings = {
        **ONE,
        "readout": "loss",
        "normalise": False,
        "noise": "keyed",
        "projection": "none",
        "dimensions": 1,
        "parameters": "all",
    }
    return [
        features.compute(unet, process, images[s], IDS[s], s, settings, AXES)
        for s in ("train", "val")
    ]


@pytest.mark.parametrize("relative", [1e-3, 0.1])
def test_trak_is_that_of_dattri_from_images_to_scores(relative, problem, gradients, monkeypatch):
    """dattri differentiates the loss itself; its random projection is replaced by none."""
    pytest.importorskip("dattri")
    from dattri.algorithm import trak as theirs
    from dattri.task import AttributionTask

    unet = problem[0]

    def loss(params, data):
        x_t, t, wanted = (part[None] for part in data)
        out = torch.func.functional_call(unet, params, (x_t, t)).sample
        return (out - wanted).square().mean()

    monkeypatch.setattr(theirs, "random_project", lambda *_, **__: lambda g, ensemble_id: g.clone())
    task = AttributionTask(loss_func=loss, model=unet, checkpoints=unet.state_dict())
    size = sum(p.numel() for p in unet.parameters())
    absolute = relative * np.linalg.norm(gradients[0].astype(float), 2) ** 2
    attributor = theirs.TRAKAttributor(
        task=task,
        correct_probability_func=lambda *_: torch.zeros(1),  # no weight 1 - p: regression
        regularization=absolute / size,  # its gradients are divided by sqrt(p)
    )
    loaders = [DataLoader(TensorDataset(*noised(problem, s)), 3) for s in ("train", "val")]
    attributor.cache(loaders[0])
    found = attributor.attribute(loaders[1]).numpy()
    expected = trak(*gradients, relative)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_trak_is_that_of_traker_from_features_to_scores():
    """Up to one factor: traker divides the inverse by the mean of its entries."""
    pytest.importorskip("trak")
    from trak.score_computers import BasicScoreComputer

    rng = np.random.default_rng(0)
    train, query = rng.standard_normal((30, 8)), rng.standard_normal((6, 8))
    absolute = 0.01 * np.linalg.norm(train, 2) ** 2
    theirs = BasicScoreComputer(torch.float32, torch.device("cpu"), lambda_reg=absolute)
    phi, phi_q = (torch.from_numpy(a).float() for a in (train, query))
    found = torch.zeros(30, 6)
    theirs.get_scores(theirs.get_x_xtx_inv(phi, theirs.get_xtx(phi)), phi_q, found)
    expected = trak(train, query, 0.01)
    factor = np.linalg.norm(found) / np.linalg.norm(expected)
    np.testing.assert_allclose(found / factor, expected, rtol=1e-3, atol=1e-6)


def test_the_lds_is_that_of_dattri():
    pytest.importorskip("dattri")
    from dattri.metric import lds as theirs

    rng = np.random.default_rng(1)
    masks = np.stack([rng.permutation(20) < 10 for _ in range(15)])
    scores, outputs = rng.standard_normal((20, 7)), rng.standard_normal((3, 15, 7))
    outputs += masks @ scores / 3
    members = torch.from_numpy(np.stack([np.flatnonzero(m) for m in masks]))
    truth = torch.from_numpy(outputs.mean(0))
    found, _ = theirs(torch.from_numpy(scores), (truth, members))
    np.testing.assert_allclose(found, lds.lds_per_query(masks, scores, outputs), atol=1e-12)


class Mlp(nn.Module):
    """Linear layers without biases on a flattened image: what dattri's EK-FAC knows.

    (With a bias it reads rows of the weights and the bias as if they were interleaved.)
    """

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(48, 5, bias=False), nn.Tanh(), nn.Linear(5, 48, bias=False)
        )

    def forward(self, x, t=None):
        return SimpleNamespace(sample=self.layers(x.flatten(1)).reshape(x.shape))


class Curvature(ekfac.Ekfac):
    """With given gradients at the output, a function of the prediction, for sampled targets."""

    def __init__(self, unet, data, output_gradients):
        process = Ddpm(DDPMScheduler(1000))
        super().__init__(unet, process, {**ONE, "parameters": "all"}, AXES)
        self.data, self.output_gradients = data, output_gradients

    def _sampled(self, images, examples, see=None):
        x_t, t, _ = self.data
        yield from self.recorder.gradients(x_t, t, self.output_gradients, see)


def scores_of(curvature, problem, absolute):
    """[N, Q] of a fitted curvature."""
    images = problem[2]
    queries = curvature.features(images["val"], IDS["val"], "val")
    relative = absolute / curvature.scale
    blocks = curvature.scores(images["train"], IDS["train"], queries, [relative])
    return np.concatenate([block[0] for _, block in blocks])


def test_ekfac_influence_is_that_of_dattri(problem, monkeypatch):
    """dattri multiplies by eigenvectors where their transpose belongs; it is handed transposes.

    Its linear layers, its covariances, its corrected eigenvalues and its inverse are all its own.
    """
    pytest.importorskip("dattri")
    from dattri.algorithm.influence_function import IFAttributorEKFAC
    from dattri.func import fisher
    from dattri.task import AttributionTask

    torch.manual_seed(0)
    net, eigenvectors = Mlp().double(), fisher.estimate_eigenvector
    monkeypatch.setattr(
        fisher,
        "estimate_eigenvector",
        lambda found: {n: (a.T, s.T) for n, (a, s) in eigenvectors(found).items()},
    )

    def loss(params, data):
        x_t, wanted = data
        out = torch.func.functional_call(net, params, (x_t.reshape(-1, *wanted.shape[-3:]),))
        return (out.sample - wanted).square().mean()

    data = {split: noised(problem, split) for split in ("train", "val")}
    task = AttributionTask(loss_func=loss, model=net, checkpoints=net.state_dict())
    theirs = IFAttributorEKFAC(task=task, damping=1e-3)
    loaders = {
        s: DataLoader(TensorDataset(x_t, wanted), len(x_t)) for s, (x_t, _, wanted) in data.items()
    }
    theirs.cache(loaders["train"])
    found = theirs.attribute(loaders["train"], loaders["val"]).detach().numpy()
    wanted = data["train"][2]  # dattri takes the loss gradients themselves, not sampled targets
    ours = Curvature(net, data["train"], lambda out: [2 / 48 * (out - wanted)])
    ours.fit(problem[2]["train"], IDS["train"])
    expected = scores_of(ours, problem, 1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_ekfac_influence_is_that_of_kronfluence(problem, tmp_path):
    """Convolutions with strides and biases, linear layers on tokens, sampled targets."""
    pytest.importorskip("kronfluence")
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments, ScoreArguments
    from kronfluence.task import Task

    data = {}
    for split in ("train", "val"):
        x_t, t, wanted = noised(problem, split)
        xi = torch.stack(
            [curvature_problem.drawn("curvature", "keyed", split, i, 500, 0) for i in IDS[split]]
        )
        data[split] = TensorDataset(x_t.float(), t, wanted.float(), xi * (2 / 48) ** 0.5)

    class Denoising(Task):
        def compute_train_loss(self, batch, model, sample=False):
            x_t, t, wanted, xi = batch
            out = model(x_t, t).sample
            return (out * xi).sum() if sample else (out - wanted).square().flatten(1).mean(1).sum()

        def compute_measurement(self, batch, model):
            return self.compute_train_loss(batch, model)

    net = Net()
    net.load_state_dict(problem[0].state_dict())
    task = Denoising()
    analyzer = Analyzer(
        "check",
        prepare_model(net, task),
        task,
        cpu=True,
        output_dir=str(tmp_path),
        disable_tqdm=True,
    )
    analyzer.fit_all_factors(
        "factors", data["train"], factor_args=FactorArguments("ekfac"), per_device_batch_size=4
    )
    arguments = ScoreArguments(damping_factor=1e-2)
    analyzer.compute_pairwise_scores(
        "scores",
        "factors",
        data["val"],
        data["train"],
        score_args=arguments,
        per_device_query_batch_size=3,
        per_device_train_batch_size=4,
    )
    found = analyzer.load_pairwise_scores("scores")["all_modules"].T
    ours = ekfac.Ekfac(problem[0], problem[1], {**ONE, "parameters": "all"}, AXES)
    expected = scores_of(ours.fit(problem[2]["train"], IDS["train"]), problem, 1e-2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


class OnVectors(nn.Module):
    """A denoiser as curvlinops calls models: one argument, outputs [n, D]."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs):
        return self.network(inputs["x_t"], inputs["t"]).sample.flatten(1)


def loss_gradients(unet, parameters, x_t, t, target):
    """Of each image and parameter, by autograd: [parameters' shape, n] for each parameter."""
    each = []
    for i in range(len(x_t)):
        out = unet(x_t[i : i + 1], t[i : i + 1]).sample
        each.append(torch.autograd.grad((out - target[i : i + 1]).square().mean(), parameters))
    return [torch.stack(one, -1) for one in zip(*each, strict=True)]


@pytest.mark.parametrize("relative", [1e-3, 0.1])
@pytest.mark.parametrize("targets", ["sampled", "exact"])
def test_ekfac_influence_is_that_of_curvlinops(targets, relative, problem):
    """Convolutions with strides and biases, linear layers on tokens, a float64 network.

    *sampled*: both have the same targets, drawn around the prediction. *exact*: both have the
    Gauss-Newton matrix of the loss itself, one column of its square root after the other.
    """
    curvlinops = pytest.importorskip(
        "curvlinops", reason="curvlinops is not installed; CONTRIBUTING.md says how to install it"
    )
    unet, d = problem[0], 48
    x_t, t, wanted = noised(problem, "train")
    if targets == "sampled":
        xi = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(0), dtype=x_t.dtype)
        upstream = [xi * (2 / d) ** 0.5]
    else:
        columns = torch.eye(d, dtype=torch.float64).view(d, 1, *x_t.shape[1:]) * (2 / d) ** 0.5
        upstream = [column.expand_as(x_t) for column in columns]
    ours = Curvature(unet, (x_t, t, wanted), lambda _: upstream)
    ours.fit(problem[2]["train"], IDS["train"])
    damping = relative * ours.scale
    expected = scores_of(ours, problem, damping)

    model = OnVectors(unet)
    modules = [m for m in unet.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    parameters = [p for m in modules for p in m.parameters()]
    given = {"x_t": x_t, "t": t}
    # the gradient of its loss, 2 (f - y) / sqrt(D), is the one that was drawn
    y = model(given).detach() - upstream[0].flatten(1) * d**0.5 / 2
    curvature = curvlinops.EKFACLinearOperator(
        model,
        nn.MSELoss(),
        parameters,
        [(given, y)],
        fisher_type="empirical" if targets == "sampled" else "type-2",
        separate_weight_and_bias=False,
        batch_size_fn=lambda some: len(some["x_t"]),
    )
    inverse = curvlinops.KFACInverseLinearOperator(
        curvature, damping=damping, use_exact_damping=True
    )
    train = loss_gradients(unet, parameters, x_t, t, wanted)
    steps = inverse @ loss_gradients(unet, parameters, *noised(problem, "val"))
    found = sum(a.flatten(0, -2).T @ b.flatten(0, -2) for a, b in zip(train, steps, strict=True))
    np.testing.assert_allclose(
        expected, found.detach().numpy(), rtol=1e-5, atol=1e-6 * float(found.abs().max())
    )
