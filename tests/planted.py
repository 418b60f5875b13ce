"""A small world in which what each training image did is known exactly, by construction.

The denoiser is one matrix, eps_theta(x_t, t) = W x_t. Trained to convergence on images with second
moments C it is, in closed form, W = E[b] (E[a^2] C + E[b^2])^-1 with a, b the coefficients of x_t =
a x + b eps over all timesteps. So a model of any subset, and its expected loss on any query,
E_t[||1 - b W||_F^2 + a^2 ||W x||^2] / D, cost one 16 x 16 inverse and have no noise at all.
Images come in groups of their own direction: an image teaches the queries of its group.
"""

from types import SimpleNamespace

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import nn

from dasbench.attribution import ensembles
from dasbench.attribution.by_timestep import Spectra
from dasbench.attribution.method_inputs import Computed
from dasbench.attribution.methods import ensembles as method
from dasbench.attribution.methods import interface
from dasbench.diffusion import denoiser, sampling
from dasbench.diffusion.model_inputs import Split
from dasbench.diffusion.process import Ddpm
from dasbench.experiments import config, feature_sets
from dasbench.gradients import (
    ekfac,
    features,
    influence,
    member_features,
    residuals,
    trajectories,
    unlearning,
)
from dasbench.registry import METHODS
from experiment_files import ROOT

SHAPE = (1, 4, 4)
GROUPS, EACH = 6, 6  # images in a group
N = GROUPS * EACH
TUNING, QUERIES = 12, 36  # the first queries are for tuning
SUBSETS = {"tune": 64, "eval": 64}
STEPS = 10  # of sampling
AXES = ("planted", 0)
CHECKPOINTS = (0.4, 0.7, 1.0)  # share of the way from nothing to the trained weights


class Matrix(nn.Module):
    """eps_theta(x_t, t) = W x_t, the same at every t."""

    def __init__(self, weight):
        super().__init__()
        d = len(weight)
        self.linear = nn.Linear(d, d, bias=False)
        self.linear.weight.data = torch.from_numpy(weight).float()

    def forward(self, x, t):
        return SimpleNamespace(sample=self.linear(x.flatten(1)).reshape(x.shape))


class World:
    """The images, the exact models, and the inputs of any registered method."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.process = Ddpm(DDPMScheduler(num_train_timesteps=1000))
        abar = self.process.scheduler.alphas_cumprod.double().numpy()
        self.a2, self.b, self.b2 = abar, np.sqrt(1 - abar), 1 - abar
        directions = rng.standard_normal((GROUPS, 16))
        directions *= 0.7 / np.abs(directions).max(1, keepdims=True)

        def images(labels):
            sizes = rng.uniform(0.5, 1.2, (len(labels), 1))
            made = sizes * directions[labels] + 0.1 * rng.standard_normal((len(labels), 16))
            levels = np.clip(np.round((made + 1) * 127.5), 0, 255).astype(np.uint8)
            return levels.reshape(-1, 4, 4, 1)

        self.labels = {"train": np.repeat(np.arange(GROUPS), EACH)}
        self.labels["val"] = np.arange(QUERIES) % GROUPS
        self.levels = images(self.labels["train"])
        self.x = {"train": denoiser.to_model(self.levels)}
        self.x["val"] = denoiser.to_model(images(self.labels["val"]))
        everything = np.ones(N, bool)
        self.weight = self.trained(everything)
        self.net = Matrix(self.weight).eval()
        self.start = rng.standard_normal((QUERIES, *SHAPE)).astype(np.float32)
        paths = sampling.trajectory(self.net, self.process, torch.from_numpy(self.start), STEPS)
        self.x["gen"] = list(paths)[-1][2].clamp(-1, 1).numpy()
        nearest = (self.flat("gen")[:, None] - self.flat("train")) ** 2
        self.labels["gen"] = self.labels["train"][nearest.sum(2).argmin(1)]
        self.masks = {
            use: np.stack([rng.permutation(N) < N // 2 for _ in range(m)])
            for use, m in SUBSETS.items()
        }
        self.made = {}
        smoke = config.load("smoke", ROOT)
        gradients = {"timesteps": 10, "draws": 4, "projection": "none", "parameters": "all"}
        self.experiment = {
            **smoke,
            "features": {**smoke["features"], **gradients},
            "training": {**smoke["training"], "epochs": 3, "checkpoints": len(CHECKPOINTS)},
            "embedding": {"model": "a random map of the pixels"},
            "methods": {name: {} for name in METHODS},
        }
        self.methods = config.methods(self.experiment)

    def flat(self, split):
        return self.x[split].reshape(-1, 16).astype(np.float64)

    def trained(self, mask):
        """W of a model trained to convergence on a subset."""
        x = self.flat("train")[mask]
        moments = self.a2.mean() * x.T @ x / len(x) + self.b2.mean() * np.eye(16)
        return self.b.mean() * np.linalg.inv(moments)

    def loss(self, weight, kind):
        """[Q] expected loss of every query."""
        rest = np.mean([np.sum((np.eye(16) - b * weight) ** 2) for b in self.b[::10]])
        return (rest + self.a2.mean() * np.sum((self.flat(kind) @ weight.T) ** 2, 1)) / 16

    def outputs(self, use, kind):
        """[1, M, Q] minus the loss of every subset's model."""
        return -np.stack([self.loss(self.trained(m), kind) for m in self.masks[use]])[None]

    def leave_one_out(self, kind):
        """[N, Q] how much each example lowered each query's loss."""
        full = self.loss(self.weight, kind)
        rest = [self.loss(self.trained(np.arange(N) != i), kind) for i in range(N)]
        return np.stack(rest) - full

    def inputs(self, name, kind):
        """What the rules would give to a method."""
        options = self.methods[name]
        sets = list(feature_sets.of_method(options, self.experiment).values())
        apart = feature_sets.keeps_timesteps(options)
        train = [self._features(settings, "train", apart) for settings in sets]
        query = [self._features(settings, kind, apart) for settings in sets]
        if options.get("journey"):
            query[0] = self._once(
                ("journey", str(sets[0])),
                lambda: trajectories.compute(
                    self.net, self.process, self.start, sets[0], AXES, STEPS
                ),
            )
        if options.get("features") == "embeddings":
            looks = np.random.default_rng(5).standard_normal((16, 24)).astype(np.float32)
            train, query = [self.flat("train") @ looks], [self.flat(kind) @ looks]
        return interface.Inputs(
            train_images=self.levels,
            train_labels=self.labels["train"],
            train_ids=np.arange(N),
            query_images=self.x[kind],
            query_labels=self.labels[kind],
            train_features=train[0] if train and not apart else None,
            query_features=query[0] if query and not apart else None,
            spectrum=Spectra(train[0]) if apart else None,
            query_timesteps=query[0] if apart else None,
            residuals=self._residuals(options),
            scores=None,
            axes=(*AXES, "methods", kind),
            others=tuple(zip(train[1:], query[1:], strict=True)),
            tuning_masks=self.masks["tune"],
            tuning_outputs=self.outputs("tune", kind)[0],
            tuning_queries=np.arange(TUNING),
            computed=self._computed(options, kind),
        )

    def _once(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def _features(self, settings, split, apart=False):
        def make():
            share = CHECKPOINTS[settings.get("checkpoint", -1)]
            net = self.net if share == 1 else Matrix(share * self.weight).eval()
            x = self.x[split]
            made = features.Extractor(net, self.process, settings, AXES)
            every = (made.by_timestep if apart else made)(x, np.arange(len(x)), split)
            return np.concatenate(every, axis=-1)

        return self._once((split, str(settings), apart), make)

    def _residuals(self, options):
        if options.get("residual", "none") in ("none", "vector"):
            return None
        form = {"timesteps": 10, "timestep_rule": "midpoint", "draws": 4}
        form["kind"] = options["residual"]
        args = (self.net, self.process, self.x["train"], np.arange(N), form, AXES)
        return self._once(options["residual"], lambda: residuals.compute(*args))

    def _computed(self, options, kind):
        if "computed" not in options:
            return None
        how = {
            key: self.experiment["features"][key] for key in ("timesteps", "draws", "parameters")
        }
        dampings = np.array([1e-4, 1e-3, 1e-2, 0.1, 1.0])
        if options["computed"] == "ensemble":
            return self._ensemble(options, kind, dampings)
        if options["computed"] == "influence":
            images, ids, queries = self.x["train"], np.arange(N), {kind: self.x[kind]}
            given = (self.net, self.process, how | options, AXES, images, ids, queries, dampings)
            return computed(influence.Problem(*given), options["computation"])
        how |= {key: options[key] for key in ("steps", "loss_timesteps", "noise") if key in options}
        family = {"ekfac": ekfac.Ekfac, "unlearning": unlearning.Unlearning}[options["computed"]]
        fitted = self._once(
            (options["computed"], options.get("noise")),
            lambda: family(self.net, self.process, how, AXES).fit(self.x["train"], np.arange(N)),
        )
        if options["computed"] == "unlearning":
            scores = np.stack([s for _, s in fitted.scores(self.x[kind], kind)], 2)
            return Computed(np.array(fitted.steps), scores.astype(np.float32))
        asked = fitted.features(self.x[kind], np.arange(QUERIES), kind)
        blocks = fitted.scores(self.x["train"], np.arange(N), asked, dampings)
        return Computed(dampings, np.concatenate([b for _, b in blocks], 1))

    def _ensemble(self, options, kind, dampings):
        """Average over models of subsets; with ``tuning``, the scores at one damping."""
        dampings = np.array(method.searched(dampings.tolist()))
        settings = {**self.experiment["features"], **METHODS["das_stepwise"]["features"]}
        settings |= {"timesteps": options["timesteps"]}
        masks = self.masks["tune"] if options["group"] == "tune" else np.ones((1, N), bool)
        splits = {s: Split(self.x[s], np.arange(len(self.x[s])), None) for s in ("train", kind)}
        total = 0.0
        for mask in masks[:4]:
            made = features.Extractor(
                Matrix(self.trained(mask)).eval(), self.process, settings, AXES
            )
            form = options["function"], options["order"]
            passes = member_features.by_step(made, splits, made.grid)
            total = total + ensembles.contributions(passes, dampings, *form)[kind]
        total = total[1:2] if options.get("tuning") else total
        return Computed(dampings[: len(total)], total.astype(np.float32))


def computed(problem, name):
    """The scores of a computation for the one kind of query of a problem."""
    module = influence.computation(name)
    values = module.values(problem)
    ((_, queries),) = problem.queries.items()
    scores = np.full((len(values), len(problem.images), len(queries)), np.nan, np.float32)
    for block in module.blocks(problem):
        scores[:, block.rows, block.columns] = block.scores
    return Computed(values, scores)
