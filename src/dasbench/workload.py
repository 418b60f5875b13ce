"""What an experiment asks of a machine: its jobs, and the work, memory and storage of each.

Everything follows from the experiment file; nothing here is measured (``dasbench.rates`` is) and
nothing runs. The rules of the workflow are repeated as counts, which a test compares with
``./run -n``.

Vocabulary: a *group* is the jobs of one rule; *work* is what a job does, in units that take equal
time: floating point operations of a kind (``train``, ``forward``, ``features:<projection>``,
``kernel``) or other counts (``bootstrap``). Letters as everywhere: N examples, Q queries, M models,
R seeds, T timesteps, E draws, P dimensions, D numbers in an image, B bootstrap draws, G dampings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dasbench import config, unet_cost
from dasbench.config_checks import subset_size
from dasbench.errors import UserError
from dasbench.layout import KINDS, TARGETS

# (C, H, W) of data sets whose pool need not be here to plan with them
SHAPES = {
    "digits": (1, 8, 8),
    "fashion": (1, 28, 28),
    "cifar2": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "celeba": (3, 64, 64),
}
# kinds of work that a GPU does where there is one
DEVICE = ("train", "forward", "features")
# projections by a p x P matrix
DENSE = ("rademacher", "gaussian")
_BATCH = {"forward": 256, "features": 64}
_TRANSFORMS, _FORMATS = 3, 2
# a CLIP model's size is not in the experiment file: of ViT-B/32, per image and in all
_CLIP_FLOPS, _CLIP_BYTES = 8.8e9, 2**30


def _readouts(features: Mapping[str, Any]) -> int:
    """Backward passes of a set of features for each forward pass."""
    return sum(features.get("probes", {}).values()) or 1


class Group(NamedTuple):
    """The jobs of one rule.

    Attributes:
        rule: Its name, as Snakemake shows it.
        family: The name without the experiment: ``train_subsets_eval``.
        jobs: How many.
        work: kind -> amount of one job (the largest, where they differ).
        calls: Times that a batch goes through a network in one job.
        memory: Bytes of the arrays of one job that grow with the experiment.
    """

    rule: str
    family: str
    jobs: int
    work: dict[str, float]
    calls: int = 0
    memory: int = 0


def shape_of(dataset: str, root: str | Path) -> tuple[int, int, int]:
    """(C, H, W) of a data set: from its pool where that has been made, else as is known.

    Raises:
        UserError: If neither says it.
    """
    pool = Path(root, "data", dataset, "pool.npz")
    if pool.is_file():
        import zipfile

        import numpy as np

        with zipfile.ZipFile(pool) as archive, archive.open("images.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
            found = (read or np.lib.format.read_array_header_2_0)(file)[0]
        return (found[3], found[1], found[2])
    if dataset in SHAPES:
        return SHAPES[dataset]
    raise UserError(
        f"the size of the images of {dataset} is not known before they are here; say it with "
        "--shape CHANNELS,HEIGHT,WIDTH"
    )


class Workload:
    """The jobs and files of one experiment.

    Args:
        experiment: From ``dasbench.config``.
        shape: (C, H, W) of its images.
    """

    def __init__(self, experiment: Mapping[str, Any], shape: tuple[int, int, int]):
        """Derive what several groups need."""
        self.experiment, self.shape = experiment, shape
        self.name = experiment["name"]
        self.own = experiment["seed_name"] == self.name  # it trains models of its own
        self.model = unet_cost.size(experiment["model"], shape)
        self.n, self.d = experiment["data"]["train"], shape[0] * shape[1] * shape[2]
        self.queries = {kind: experiment["queries"][kind] for kind in KINDS}
        self.q = sum(self.queries.values())
        self.methods = config.methods(experiment)
        self.features = config.feature_sets(experiment)
        self.residuals = config.residual_sets(experiment)
        used = [o["features"] for o in self.methods.values() if "kernel" in o]
        self.spectra = [self.dimensions(f) for f in self._distinct(used)]  # P of each kernel

    def _distinct(self, chosen: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Feature settings, each once."""
        return list({config.feature_name(f, self.experiment): f for f in chosen}.values())

    def groups(self) -> list[Group]:
        """Every job of a run from nothing, in the order of the workflow."""
        parts = [self._models(), self._features()] if self.own else [self._features()]
        parts += [self._scores(), self._removal() if self.removal else (), self._report()]
        return [group for part in parts for group in part]

    @property
    def removal(self) -> Mapping[str, Any] | None:
        """The removal study, if there is one."""
        study = self.experiment["removal"]
        return study if study["methods"] else None

    def _light(self, family: str, jobs: int = 1, memory: int = 0) -> Group:
        return Group(family, family, jobs, {}, memory=memory)

    def _trains(self, family: str, jobs: int, models: int, images: int) -> Group:
        """Jobs that train ``models`` models each on ``images`` images, one after the other."""
        training = self.experiment["training"]
        passes = models * training["epochs"] * images
        steps = models * training["epochs"] * -(-images // training["batch_size"])
        # images and an epoch's noise for all N; weights, gradients, two moments, average, a copy
        memory = 8 * self.n * self.d + 24 * self.model.parameters
        work = {"train": 3.0 * self.model.flops * passes}
        return Group(f"{family}_{self.name}", family, jobs, work, steps, memory)

    def _infers(self, family: str, jobs: int, images: int, times: int, models: int = 1) -> Group:
        """Jobs that pass ``images`` images ``times`` times through a network, ``models`` held."""
        memory = 4 * self.n * self.d + 4 * models * self.model.parameters
        work = {"forward": 1.0 * self.model.flops * images * times}
        return Group(family, family, jobs, work, times * -(-images // _BATCH["forward"]), memory)

    def _models(self) -> Iterator[Group]:
        """Data, base model, subset models, queries, outputs."""
        e = self.experiment
        subsets, per_job = e["subsets"], e["subsets"]["models_per_job"]
        images = 16 * self.n * self.d
        yield self._light("prepare_pool", memory=images)
        yield self._light("choose_examples", memory=images)
        yield self._trains("train_base", 1, 1, self.n)
        shards = {
            u: subsets[u]["models"] // per_job * subsets[u]["seeds"] for u in ("tune", "eval")
        }
        for use, count in shards.items():
            yield self._trains(f"train_subsets_{use}", count, per_job, subset_size(e))
        steps = e["queries"]["sampling_steps"]
        yield self._infers("make_queries", 1, self.queries["gen"], steps)
        # every batch of queries goes through the base model and through each of the shard's
        times = e["outputs"]["timesteps"] * (per_job + 1)
        yield self._infers("measure_outputs", sum(shards.values()), self.q, times, per_job + 1)
        largest = max(subsets[u]["models"] * subsets[u]["seeds"] for u in shards)
        yield self._light("gather_outputs", 2, largest * (2 * self.n + 32 * self.q))

    def _features(self) -> Iterator[Group]:
        grown: dict[str, list[float]] = {}
        for chosen in self.features.values():
            draws = chosen["timesteps"] * chosen["draws"]
            # a forward pass, and a backward pass to the activations and weights for each readout
            each = (1.0 + 2.0 * _readouts(chosen)) * self.model.flops * draws
            if chosen["projection"] in DENSE:
                each += 2.0 * self.model.parameters * chosen["dimensions"]
            flops = each * (self.n + self.q)
            grown.setdefault(chosen["projection"], []).append(flops)
        jobs = sum(map(len, grown.values()))
        if jobs:
            # per job, the mean over the sets
            work = {f"features:{kind}": sum(f) / jobs for kind, f in grown.items()}
            draws = max(c["timesteps"] * c["draws"] for c in self.features.values())
            calls = draws * -(-(self.n + self.q) // _BATCH["features"])
            memory = max(self._feature_memory(c) for c in self.features.values())
            yield Group("compute_features", "compute_features", jobs, work, calls, memory)
        if self.spectra:
            flops = [self._decomposition(wide) for wide in self.spectra]
            wide = max(self.spectra)
            memory = 48 * min(self.n, wide) ** 2 + 4 * self.n * wide
            work = {"kernel": sum(flops) / len(flops)}
            yield Group("decompose", "decompose", len(flops), work, memory=memory)
        yield from self._beside()
        if self.residuals:
            times = max(r["timesteps"] * r["draws"] for r in self.residuals.values())
            mean = sum(r["timesteps"] * r["draws"] for r in self.residuals.values())
            group = self._infers("compute_residuals", len(self.residuals), self.n, times)
            mean = {"forward": self.model.flops * self.n * mean / len(self.residuals)}
            yield group._replace(work=mean)
        yield from self._network()

    def _network(self) -> Iterator[Group]:
        """Scores that need the network itself."""
        f, p = self.experiment["features"], self.model.parameters
        draws = f["timesteps"] * f["draws"]
        gradients, grid = 3.0 * self.model.flops * draws, self._grid()
        for by, passes in (("ekfac", 3), ("unlearning", 1)):
            chosen = [o for o in self.methods.values() if o.get("computed") == by]
            if not chosen:
                continue
            memory, images = 8 * self.n * self.d + 24 * p, passes * self.n + self.q
            work = {"features:kronecker": gradients * images}
            if by == "ekfac":
                work["kernel"] = 2.0 * grid * self.n * self.q * p
                memory += 8 * self.q * p + 4 * 2 * _BATCH["features"] * p
            else:
                asked = len(chosen[0]["steps"]) * self.q + 1
                times = chosen[0]["loss_timesteps"] * asked
                work["forward"] = 1.0 * self.model.flops * self.n * times
            calls = draws * -(-images // _BATCH["features"])
            yield Group(f"compute_{by}", f"compute_{by}", len(chosen), work, calls, memory)

    def _grid(self) -> int:
        """G, the number of dampings."""
        damping = self.experiment["damping"]
        first, last = damping["exponents"]
        return len(damping["mantissas"]) * (last - first + 1)

    def _computed_dampings(self, options: Mapping[str, Any]) -> int:
        """How many dampings a method's scores are stored at; 0 without a rule of their own."""
        return len(options.get("steps", range(self._grid()))) * ("computed" in options)

    def _beside(self) -> Iterator[Group]:
        """What some methods compare instead: features of trajectories, embeddings."""
        sets = {}
        for options in self.methods.values():
            if options.get("journey"):
                sets |= config.feature_sets_of(options, self.experiment)
        if sets:
            chosen, q = next(iter(sets.values())), self.queries["gen"]
            steps = self.experiment["queries"]["sampling_steps"]
            taken = min(chosen["timesteps"], steps) * chosen["draws"]
            work = {
                f"features:{chosen['projection']}": 3.0 * self.model.flops * taken * q,
                "forward": 1.0 * self.model.flops * steps * q,
            }
            memory = self._feature_memory(chosen)
            batches = -(-q // _BATCH["features"])
            calls = (steps + taken) * batches
            yield Group("compute_journeys", "compute_journeys", len(sets), work, calls, memory)
        if any(o.get("features") == "embeddings" for o in self.methods.values()):
            images = self.n + self.q
            work = {"forward": float(_CLIP_FLOPS * images)}
            memory = 4 * images * self.d + _CLIP_BYTES
            calls = -(-images // _BATCH["features"])
            yield Group("compute_embeddings", "compute_embeddings", 1, work, calls, memory)

    def _feature_memory(self, chosen: Mapping[str, Any]) -> int:
        """Bytes: whole gradients of 9 batches are held, except where layers are projected apart."""
        p = self.model.parameters
        held = 9 * p if chosen["projection"] in (*DENSE, "none") else 0
        dimensions = p if chosen["projection"] == "none" else chosen["dimensions"]
        return 4 * (_BATCH["features"] * held + 6 * p + (self.n + self.q) * dimensions)

    def dimensions(self, features: Any) -> int:
        """P of a method's features, D for pixels, 0 for none."""
        if not isinstance(features, Mapping):
            return self.d if features else 0
        whole = _readouts(features) * self.model.parameters
        return whole if features["projection"] == "none" else features["dimensions"]

    def _decomposition(self, wide: int) -> float:
        """Operations of the kernel, its eigenvectors, and the eigenvalues as squared lengths."""
        small = min(self.n, wide)
        return 3.0 * self.n * wide * small + 10.0 * small**3

    def _linear_algebra(self, options: Mapping[str, Any], paths: int, models: int) -> float:
        """Operations of a method's scores for ``paths`` dampings, and of sums over M subsets."""
        wide, n, q = self.dimensions(options.get("features")), self.n, self.q
        inner = 2.0 * n * q * wide
        if "kernel" in options:  # rotated features and queries, then every damping
            small = min(n, wide)
            inner = 2.0 * (n + q) * wide * small + 2.0 * paths * n * small * q
        else:
            paths = 1
        return inner + 2.0 * paths * _TRANSFORMS * models * n * q

    def _scores(self) -> Iterator[Group]:
        e, subsets = self.experiment, self.experiment["subsets"]
        grid = self._grid()
        wide = max((self.dimensions(o.get("features")) for o in self.methods.values()), default=0)
        small = min(self.n, wide)
        most = max(self.queries.values())
        memory = 12 * self.n * wide + 8 * small**2 + 24 * self.n * most
        applies = [config.kinds(o) for o in self.methods.values()]
        partial = sum(found != KINDS for found in applies)
        kinds = sum(len(found) for found in applies if found != KINDS)
        uses = {
            "select_damping": ("tune", grid),
            "score": (None, 1),
            "evaluate_lds": ("eval", grid),
        }
        for rule, (use, paths) in uses.items():
            models = subsets[use]["models"] if use else 0
            flops = [self._linear_algebra(o, paths, models) for o in self.methods.values()]
            work = {"kernel": sum(flops) / len(flops)}
            if use == "eval":
                drawn = e["lds"]["draws"] * models * (self.q - 2 * e["queries"]["tuning"])
                work["bootstrap"] = float(drawn * _TRANSFORMS * len(TARGETS))
            yield Group(
                rule, rule, len(self.methods) - partial * (rule == "score"), work, memory=memory
            )
            if rule == "score" and kinds:
                yield Group("score_kind", "score_kind", kinds, work, memory=memory)

    def _removal(self) -> Iterator[Group]:
        e, r = self.experiment, self.removal
        arms = len(r["k"]) * len(r["methods"])
        steps = e["queries"]["sampling_steps"]
        jobs = {
            "methods": (arms, r["queries"], self.n - min(r["k"]), r["queries"] * steps),
            "random": (
                len(r["k"]),
                r["random_sets"],
                self.n - min(r["k"]),
                r["random_sets"] * r["queries"] * steps,
            ),
            "null": (1, r["null_models"], self.n, r["null_models"] * r["queries"] * steps),
        }
        count = sum(j[0] for j in jobs.values())
        yield self._light("choose_removals", count, 8 * self.n * self.q)
        for family, (number, models, images, _) in jobs.items():
            yield self._trains(f"train_removal_{family}", number, models, images)
        # every model, the base twice, on all generated queries; then one image per sampling
        times = e["outputs"]["timesteps"] * self.queries["gen"]
        forward = sum(j[0] * ((j[1] + 2) * times + j[3]) for j in jobs.values()) / count
        held = max(j[1] for j in jobs.values()) + 1
        group = self._infers("measure_removal", count, 1, int(forward), held)
        batches = -(-self.queries["gen"] // _BATCH["forward"])
        calls = max((j[1] + 2) * e["outputs"]["timesteps"] * batches + j[3] for j in jobs.values())
        yield group._replace(calls=calls)
        yield self._light("summarise_removal")

    def _report(self) -> Iterator[Group]:
        yield self._light("summarise_lds")
        yield self._light("plot_samples")
        yield self._light("plot_lds")
        yield self._light("plot_neighbours", len(KINDS), 40 * self.n * self.d)
        if self.removal:
            yield self._light("plot_removal")
        yield self._light("write_metrics")
        yield self._light("render_report")
        yield Group(self.name, "target", 1, {})

    def trained(self) -> dict[str, int]:
        """How many models each group of training jobs makes: family -> models of one job."""
        e, r = self.experiment, self.experiment["removal"]
        per_job = e["subsets"]["models_per_job"]
        return {
            "train_base": 1,
            "train_subsets_tune": per_job,
            "train_subsets_eval": per_job,
            "train_removal_methods": r["queries"],
            "train_removal_random": r["random_sets"],
            "train_removal_null": r["null_models"],
        }

    def storage(self) -> dict[str, int]:
        """Bytes under results/<experiment>, folder -> bytes, as far as they grow with it."""
        e, subsets = self.experiment, self.experiment["subsets"]
        trained = self.trained()
        models = sum(g.jobs * trained[g.family] for g in self.groups() if g.family in trained)
        models += e["training"]["checkpoints"] if self.own else 0
        folders = {
            # a safetensors header and three JSON files beside the weights
            "models": models * (4 * self.model.parameters + 15_000),
            "features": 4 * (self.n + self.q) * sum(map(self.dimensions, self.features.values()))
            + sum(8 * min(self.n, wide) * (min(self.n, wide) + 1) for wide in self.spectra),
            "residuals": (4 * self.n + 128) * len(self.residuals),
            "scores": 4
            * self.n
            * sum(self.queries[kind] for o in self.methods.values() for kind in config.kinds(o)),
            "lds": len(self.methods) * (4 * 24 * e["lds"]["draws"] + 70_000),
        }
        dampings = sum(map(self._computed_dampings, self.methods.values()))
        folders |= {"network": 4 * self.n * self.q * dampings} if dampings else {}
        if self.own:
            measured = sum(subsets[u]["models"] * subsets[u]["seeds"] for u in ("tune", "eval"))
            asked = 4 * self.d * (self.queries["val"] + 2 * self.queries["gen"])
            folders |= {
                "examples": (self.n + self.queries["val"]) * self.d,
                "queries": asked,
                # by shard and gathered
                "outputs": 2 * 4 * len(TARGETS) * measured * self.q,
                "masks": 2 * measured * self.n,
            }
        return folders
