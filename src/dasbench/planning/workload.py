"""The sizes that an experiment gives its jobs, and the costs that several rules share.

All numbers follow from the experiment file. Elsewhere: ``dasbench.planning.rates`` has the measured
numbers, ``dasbench.planning.rule_costs`` the cost of every rule, and
``dasbench.planning.planned_jobs`` the number of jobs.

Letters as everywhere: N examples, Q queries, M models, R seeds, T timesteps, E draws, P dimensions,
D numbers in an image, B bootstrap draws, G dampings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dasbench import model_families
from dasbench.attribution.methods.ensembles import searched
from dasbench.attribution.spectrum import damping_grid
from dasbench.core.query_kinds import KINDS
from dasbench.experiments import config, feature_sets, residual_sets
from dasbench.planning import unet_cost
from dasbench.planning.job_cost import Cost

# projections by a p x P matrix
DENSE = ("rademacher", "gaussian")
BATCH = {"forward": 256, "features": 64}
SMALL = 256  # pixels: images below come in batches of 512 for features


def readouts(features: Mapping[str, Any]) -> int:
    """Number of backward passes for each forward pass of a set of features."""
    return sum(features.get("probes", {}).values()) or 1


class Workload:
    """The sizes of one experiment.

    Args:
        experiment: From ``dasbench.experiments.config``.
        shape: (C, H, W) of its images.
    """

    def __init__(self, experiment: Mapping[str, Any], shape: tuple[int, int, int]):
        """Derive the sizes that several rules need."""
        self.experiment, self.shape = experiment, shape
        self.name = experiment["name"]
        self.own = experiment["seed_name"] == self.name  # whether it trains models
        self.family = model_families.family(experiment["model"])
        self.seen = unet_cost.seen_shape(experiment["model"], shape)
        self.model = unet_cost.size(experiment["model"], self.seen)
        self.frozen = self.family["frozen_bytes"] if self.family["adapter"] else 0
        self.n, self.d = experiment["data"]["train"], shape[0] * shape[1] * shape[2]
        self.queries = {kind: experiment["queries"][kind] for kind in KINDS}
        self.q = sum(self.queries.values())
        self.methods = config.methods(experiment)
        self.features = feature_sets.sets(experiment)
        self.by_timestep = list(feature_sets.by_timestep(experiment).values())
        self.residuals = residual_sets.sets(experiment)
        used = [o["features"] for o in self.methods.values() if feature_sets.has_spectrum(o)]
        distinct = {feature_sets.name_of(f, experiment): f for f in used}
        self.spectra = [self.dimensions(f) for f in distinct.values()]  # P of each kernel

    @property
    def grid(self) -> list[float]:
        """The relative dampings, ascending."""
        return list(damping_grid(self.experiment["damping"]))

    @property
    def dampings(self) -> int:
        """G, the length of the grid."""
        return len(self.grid)

    def computed_dampings(self, options: Mapping[str, Any]) -> int:
        """Number of dampings in the stored scores of a method with ``computed``; 0 for others."""
        if "computed" not in options:
            return 0
        if options["computed"] == "ensemble":
            return len(searched(self.grid)) if not options.get("tuning") else 1
        return len(options["steps"]) if "steps" in options else self.dampings

    def points(self, options: Mapping[str, Any]) -> int:
        """Number of points in the grid of a method's parameters."""
        if "kernel" in options or "computed" in options:
            return self.computed_dampings(options) or self.dampings
        floors = options.get("members", [options])
        return sum(math.prod(map(len, one.get("grid", {}).values())) for one in floors)

    def trains(self, family: str, models: int, images: int) -> Cost:
        """A job that trains ``models`` models each on ``images`` images, one after the other."""
        training = self.experiment["training"]
        passes = models * training["epochs"] * images
        steps = models * training["epochs"] * -(-images // training["batch_size"])
        # images and an epoch's noise for all N; weights, gradients, two moments, average, a copy
        memory = self.frozen + 8 * self.n * self.d + 24 * self.model.parameters
        return Cost(family, {"train": 3.0 * self.model.flops * passes}, steps, memory, models)

    def infers(self, family: str, images: int, times: int, models: int = 1) -> Cost:
        """A job that holds ``models`` networks and passes images ``times`` times through one."""
        memory = self.frozen + 4 * self.n * self.d + 4 * models * self.model.parameters
        work = {"forward": 1.0 * self.model.flops * images * times}
        return Cost(family, work, times * -(-images // BATCH["forward"]), memory)

    def extracts(self, family: str, sets: Sequence[Mapping[str, Any]]) -> Cost:
        """A job that computes one set of features; the work is the mean over the sets."""
        flops: dict[str, float] = {}
        apart = family != "compute_features"  # each timestep is projected; otherwise their mean is
        for features in sets:
            draws = features["timesteps"] * features["draws"]
            # a forward pass, and a backward pass to the activations and weights for each readout
            each = (1.0 + 2.0 * readouts(features)) * self.model.flops * draws
            each += self.projects(features) * (features["timesteps"] if apart else 1)
            kind = f"features:{features['projection']}"
            flops[kind] = flops.get(kind, 0) + each * (self.n + self.q)
        work = {kind: total / len(sets) for kind, total in flops.items()}
        draws = max(f["timesteps"] * f["draws"] for f in sets)
        calls = draws * -(-(self.n + self.q) // BATCH["features"])
        memory = max(self.feature_memory(f, f["timesteps"] if apart else 8) for f in sets)
        if apart:
            memory += max(map(self.timestep_memory, sets))
        return Cost(family, work, calls, memory)

    def timestep_memory(self, features: Mapping[str, Any]) -> int:
        """Bytes of one batch's features at all timesteps, three times until they are in a file."""
        small = features["projection"] == "kronecker" and math.prod(self.seen[1:]) < SMALL
        batch = 512 if small else BATCH["features"]
        return 12 * min(batch, self.n + self.q) * features["timesteps"] * self.width(features)

    def projects(self, features: Mapping[str, Any]) -> float:
        """Operations to project one gradient by a p x P matrix; 0 for other projections."""
        dense = features["projection"] in DENSE
        return 2.0 * self.model.parameters * features["dimensions"] if dense else 0.0

    def width(self, features: Mapping[str, Any]) -> int:
        """P: the numbers of a set of features for one image and timestep."""
        whole = readouts(features) * self.model.parameters
        return whole if features["projection"] == "none" else features["dimensions"]

    def dimensions(self, features: Any) -> int:
        """P of a method's features, D for pixels, 0 for none."""
        if not isinstance(features, Mapping):
            return self.d if features else 0
        return self.width(features)

    def feature_memory(self, features: Mapping[str, Any], means: int = 8) -> int:
        """Bytes of a job that computes features.

        A dense projection, or none, needs whole gradients of a batch, and ``means`` more batches of
        them. Other projections go layer by layer.
        """
        p = self.model.parameters
        held = (1 + means) * p if features["projection"] in (*DENSE, "none") else 0
        dimensions = p if features["projection"] == "none" else features["dimensions"]
        return 4 * (BATCH["features"] * held + 6 * p + (self.n + self.q) * dimensions)
