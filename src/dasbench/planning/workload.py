"""What an experiment asks of a machine: its jobs, and the work, memory and storage of each.

Everything follows from the experiment file; nothing here is measured (``dasbench.planning.rates``
is) and nothing runs. The rules of the workflow are repeated as counts, which a test compares with
``./run -n``.

Vocabulary: a *group* is the jobs of one rule; *work* is what a job does, in units that take equal
time: floating point operations of a kind (``train``, ``forward``, ``features:<projection>``,
``kernel``) or other counts (``bootstrap``). Letters as everywhere: N examples, Q queries, M models,
R seeds, T timesteps, E draws, P dimensions, D numbers in an image, B bootstrap draws, G dampings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dasbench import registry
from dasbench.core.query_kinds import KINDS, TARGETS
from dasbench.experiments import config, feature_sets, residual_sets
from dasbench.experiments.config_checks import subset_size
from dasbench.planning import storage, study_jobs, unet_cost
from dasbench.planning.job_groups import Group
from dasbench.planning.kernel_cost import TRANSFORMS, decomposition, score_bytes, scores, sums
from dasbench.registry import SOURCES
from dasbench.reports import figure_table

# projections by a p x P matrix
DENSE = ("rademacher", "gaussian")
_BATCH = {"forward": 256, "features": 64}
_FORMATS = 2
# a CLIP model's size is not in the experiment file: of ViT-B/32, per image and in all
_CLIP_FLOPS, _CLIP_BYTES = 8.8e9, 2**30
# nor is Stable Diffusion 1's text encoder: a prompt of 77 tokens; ten classes and the empty prompt
_PROMPT_FLOPS, _PROMPTS = 13.3e9, 11


def _readouts(features: Mapping[str, Any]) -> int:
    """Backward passes of a set of features for each forward pass."""
    return sum(features.get("probes", {}).values()) or 1


class Workload:
    """The jobs and files of one experiment.

    Args:
        experiment: From ``dasbench.experiments.config``.
        shape: (C, H, W) of its images.
    """

    def __init__(self, experiment: Mapping[str, Any], shape: tuple[int, int, int]):
        """Derive what several groups need."""
        self.experiment, self.shape = experiment, shape
        self.name = experiment["name"]
        self.own = experiment["seed_name"] == self.name  # it trains models of its own
        self.family = registry.family(experiment["model"])
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
        self.spectra = [self.dimensions(f) for f in self._distinct(used)]  # P of each kernel

    def _distinct(self, chosen: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Feature settings, each once."""
        return list({feature_sets.name_of(f, self.experiment): f for f in chosen}.values())

    def groups(self) -> list[Group]:
        """Every job of a run from nothing, in the order of the workflow."""
        parts = [self._models(), self._features()] if self.own else [self._features()]
        parts += [self._scores(), study_jobs.groups(self)]
        parts += [self._removal() if self.removal else (), self._report()]
        return [group for part in parts for group in part]

    @property
    def removal(self) -> Mapping[str, Any] | None:
        """The removal study, if there is one."""
        study = self.experiment["removal"]
        return study if study["methods"] else None

    def _light(self, family: str, jobs: int = 1, memory: int = 0) -> Group:
        return Group(family, family, jobs, {}, memory=memory)

    def trains(self, family: str, jobs: int, models: int, images: int) -> Group:
        """Jobs that train ``models`` models each on ``images`` images, one after the other."""
        training = self.experiment["training"]
        passes = models * training["epochs"] * images
        steps = models * training["epochs"] * -(-images // training["batch_size"])
        # images and an epoch's noise for all N; weights, gradients, two moments, average, a copy
        memory = self.frozen + 8 * self.n * self.d + 24 * self.model.parameters
        work = {"train": 3.0 * self.model.flops * passes}
        return Group(f"{family}_{self.name}", family, jobs, work, steps, memory)

    def _infers(self, family: str, jobs: int, images: int, times: int, models: int = 1) -> Group:
        """Jobs that pass ``images`` images ``times`` times through a network, ``models`` held."""
        memory = self.frozen + 4 * self.n * self.d + 4 * models * self.model.parameters
        work = {"forward": 1.0 * self.model.flops * images * times}
        return Group(family, family, jobs, work, times * -(-images // _BATCH["forward"]), memory)

    def _models(self) -> Iterator[Group]:
        """Data, base model, subset models, queries, outputs."""
        e = self.experiment
        images = 16 * self.n * self.d
        from_files = e["data"]["dataset"] in SOURCES
        yield self._light("read_images" if from_files else "prepare_pool", memory=images)
        yield self._light("split_examples" if from_files else "choose_examples", memory=images)
        yield from self._encodes(images)
        if e["base"]:
            imported = 24 * self.model.parameters
            yield Group(f"import_base_{self.name}", "import_base", 1, {}, memory=imported)
        else:
            yield self.trains("train_base", 1, 1, self.n)
        if e["subsets"]:
            yield from self._judges()
        steps = e["queries"]["sampling_steps"]
        # guidance asks twice
        steps *= 1 if e["queries"]["guidance"] == 1 else 2
        suffix = "_latents" * self.family["latents"]
        made = self._infers(f"make_queries{suffix}", 1, self.queries["gen"], steps)
        # labels of generated images: both sides in float64, squares, and all distances
        near = 20 * self.n * self.d + 8 * self.n * self.queries["gen"]
        yield made._replace(memory=made.memory + near * (not suffix))

    def _judges(self) -> Iterator[Group]:
        """Subset models and their outputs."""
        e = self.experiment
        subsets, per_job = e["subsets"], e["subsets"]["models_per_job"]
        shards = {
            u: subsets[u]["models"] // per_job * subsets[u]["seeds"] for u in ("tune", "eval")
        }
        for use, count in shards.items():
            yield self.trains(f"train_subsets_{use}", count, per_job, subset_size(e))
        # every batch of queries goes through the base model and through each of the job's
        wide = e["outputs"]["shards_per_job"]
        jobs = sum(
            -(-subsets[u]["models"] // per_job // wide) * subsets[u]["seeds"] for u in shards
        )
        held = -(-sum(shards.values()) * per_job // jobs) + 1
        times = e["outputs"]["timesteps"] * held
        yield self._infers("measure_outputs", jobs, self.q, times, held)
        largest = max(subsets[u]["models"] * subsets[u]["seeds"] for u in shards)
        yield self._light("gather_outputs", 2, largest * (2 * self.n + 32 * self.q))

    def _encodes(self, images: int) -> Iterator[Group]:
        """What is made once by what stays frozen."""
        if self.family["latents"]:
            rows = (self.n + self.queries["val"]) * (1 + self.experiment["training"]["flip"])
            work = {"forward": float(unet_cost.AUTOENCODER * self.d * rows)}
            name = f"encode_latents_{self.name}"
            memory = 2 * images + self.family["frozen_bytes"]
            yield Group(name, "encode_latents", 1, work, -(-rows // 16), memory)
        if self.family["prompts"]:
            work, memory = {"forward": _PROMPTS * _PROMPT_FLOPS}, self.family["frozen_bytes"]
            yield Group("embed_prompts", "embed_prompts", 1, work, 1, memory)

    def extracts(self, family: str, sets: list[Mapping[str, Any]]) -> Iterator[Group]:
        """Jobs that compute one set of features each; work is the mean over the sets."""
        grown: dict[str, list[float]] = {}
        apart = family != "compute_features"  # timesteps are; else their mean is projected
        for chosen in sets:
            draws = chosen["timesteps"] * chosen["draws"]
            # a forward pass, and a backward pass to the activations and weights for each readout
            each = (1.0 + 2.0 * _readouts(chosen)) * self.model.flops * draws
            each += self.projects(chosen) * (chosen["timesteps"] if apart else 1)
            flops = each * (self.n + self.q)
            grown.setdefault(chosen["projection"], []).append(flops)
        jobs = sum(map(len, grown.values()))
        if jobs:
            work = {f"features:{kind}": sum(f) / jobs for kind, f in grown.items()}
            draws = max(c["timesteps"] * c["draws"] for c in sets)
            calls = draws * -(-(self.n + self.q) // _BATCH["features"])
            memory = max(self._feature_memory(c, c["timesteps"] if apart else 8) for c in sets)
            if apart:  # numbers of every timestep are held and written
                memory += max(8 * c["timesteps"] * self.wide(c) for c in sets) * (self.n + self.q)
            yield Group(family, family, jobs, work, calls, memory)

    def projects(self, chosen: Mapping[str, Any]) -> float:
        """Operations of one gradient's product with a p x P matrix, where there is one."""
        dense = chosen["projection"] in DENSE
        return 2.0 * self.model.parameters * chosen["dimensions"] if dense else 0.0

    def wide(self, chosen: Mapping[str, Any]) -> int:
        """Numbers that a set of features has for an image and timestep."""
        whole = _readouts(chosen) * self.model.parameters
        return whole if chosen["projection"] == "none" else chosen["dimensions"]

    def _features(self) -> Iterator[Group]:
        yield from self.extracts("compute_features", list(self.features.values()))
        yield from self.extracts("compute_timesteps", self.by_timestep)
        if self.spectra:
            flops = [decomposition(self.n, wide) for wide in self.spectra]
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
            family, memory = f"compute_{by}", 8 * self.n * self.d + 24 * p
            images = passes * self.n + self.q
            work = {"features:kronecker": gradients * images}
            if by == "ekfac":
                work["kernel"] = 2.0 * grid * self.n * self.q * p
                # queries in two copies; of blocks of 256 images gradients, and what they become
                memory += 8 * self.q * p + 10 * 256 * p
            else:
                o = chosen[0]
                times = o["loss_timesteps"] * (len(o["steps"]) * self.q + 1)
                work["forward"] = 1.0 * self.model.flops * self.n * times
            calls = draws * -(-images // _BATCH["features"])
            yield Group(family, family, len(chosen), work, calls, memory)

    def _grid(self) -> int:
        """G, the number of dampings."""
        damping = self.experiment["damping"]
        first, last = damping["exponents"]
        return len(damping["mantissas"]) * (last - first + 1)

    def computed_dampings(self, options: Mapping[str, Any]) -> int:
        """How many dampings a method's scores are stored at; 0 without a rule of their own."""
        if "computed" not in options:
            return 0
        return len(options["steps"]) if "steps" in options else self._grid()

    def _beside(self) -> Iterator[Group]:
        """What some methods compare instead: features of trajectories, embeddings."""
        sets = {}
        for options in self.methods.values():
            if options.get("journey"):
                sets |= feature_sets.of_method(options, self.experiment)
        if sets:
            chosen, q = next(iter(sets.values())), self.queries["gen"]
            steps = self.experiment["queries"]["sampling_steps"]
            places = min(chosen["timesteps"], steps)
            taken = places * chosen["draws"]
            each = 3.0 * self.model.flops * taken + self.projects(chosen) * places
            work = {
                f"features:{chosen['projection']}": each * q,
                "forward": 1.0 * self.model.flops * steps * q,
            }
            memory = self._feature_memory(chosen)
            calls = (steps + taken) * -(-q // _BATCH["features"])
            yield Group("compute_journeys", "compute_journeys", len(sets), work, calls, memory)
        if any(o.get("features") == "embeddings" for o in self.methods.values()):
            yield self._embeds("compute_embeddings", "compute_embeddings", self.n + self.q)

    def _embeds(self, rule: str, family: str, images: int) -> Group:
        """One job that passes images through a CLIP model."""
        work, calls = {"forward": float(_CLIP_FLOPS * images)}, -(-images // _BATCH["features"])
        return Group(rule, family, 1, work, calls, 4 * images * self.d + _CLIP_BYTES)

    def _feature_memory(self, chosen: Mapping[str, Any], means: int = 8) -> int:
        """Bytes: of a batch and of ``means`` more gradients are whole, unless layers are apart."""
        p = self.model.parameters
        held = (1 + means) * p if chosen["projection"] in (*DENSE, "none") else 0
        dimensions = p if chosen["projection"] == "none" else chosen["dimensions"]
        return 4 * (_BATCH["features"] * held + 6 * p + (self.n + self.q) * dimensions)

    def dimensions(self, features: Any) -> int:
        """P of a method's features, D for pixels, 0 for none."""
        if not isinstance(features, Mapping):
            return self.d if features else 0
        return self.wide(features)

    def _kernels(self, options: Mapping[str, Any]) -> int:
        """Kernels that a method's own job decomposes, one for each timestep; 0 for a shared one."""
        return options["features"]["timesteps"] if feature_sets.keeps_timesteps(options) else 0

    def _linear_algebra(self, options: Mapping[str, Any], paths: int, models: int) -> float:
        """Operations of a method's scores for ``paths`` dampings, and of sums over M subsets."""
        wide, n, q = self.dimensions(options.get("features")), self.n, self.q
        if "kernel" not in options:
            return 2.0 * n * q * wide + sums(n, q, 1, models)
        return scores(n, q, wide, paths, models, self._kernels(options))

    def _score_memory(self, partial: bool) -> int:
        """Bytes of the largest job, of all methods or of those for one kind of query alone."""
        chosen = [o for o in self.methods.values() if not partial or config.kinds(o) != KINDS]
        sizes = [(self.dimensions(o.get("features")), self._kernels(o)) for o in chosen]
        most = max(self.queries.values())
        return max((score_bytes(self.n, most, *size) for size in sizes), default=0)

    def _scores(self) -> Iterator[Group]:
        e, subsets = self.experiment, self.experiment["subsets"]
        grid = self._grid()
        memory = self._score_memory(partial=False)
        applies = [config.kinds(o) for o in self.methods.values()]
        partial = sum(found != KINDS for found in applies)
        kinds = sum(len(found) for found in applies if found != KINDS)
        uses = {
            "select_damping": ("tune", grid),
            "score": (None, 1),
            "evaluate_lds": ("eval", grid),
        }
        if not subsets:
            yield self._light("fix_damping", len(self.methods))
            uses = {"score": (None, 1)}
        for rule, (use, paths) in uses.items():
            models = subsets[use]["models"] if use else 0
            flops = [self._linear_algebra(o, paths, models) for o in self.methods.values()]
            work = {"kernel": sum(flops) / len(flops)}
            if use == "eval":
                drawn = e["lds"]["draws"] * models * (self.q - 2 * e["queries"]["tuning"])
                work["bootstrap"] = float(drawn * TRANSFORMS * len(TARGETS))
            yield Group(
                rule, rule, len(self.methods) - partial * (rule == "score"), work, memory=memory
            )
            if rule == "score" and kinds:
                own = self._score_memory(partial=True)
                yield Group("score_kind", "score_kind", kinds, work, memory=own)

    def _removal(self) -> Iterator[Group]:
        e, r = self.experiment, self.removal
        arms = len(r["k"]) * len(r["methods"])
        steps = e["queries"]["sampling_steps"]
        left, sets, nulls = self.n - min(r["k"]), r["random_sets"], r["null_models"]
        jobs = {
            "methods": (arms, r["queries"], left, r["queries"] * steps),
            "random": (len(r["k"]), sets, left, sets * r["queries"] * steps),
            "null": (1, nulls, self.n, nulls * r["queries"] * steps),
        }
        count = sum(j[0] for j in jobs.values())
        yield self._light("choose_removals", count, 8 * self.n * self.q)
        for family, (number, models, images, _) in jobs.items():
            yield self.trains(f"train_removal_{family}", number, models, images)
        # every model, the base twice, on all generated queries; then one image per sampling
        times = e["outputs"]["timesteps"] * self.queries["gen"]
        forward = sum(j[0] * ((j[1] + 2) * times + j[3]) for j in jobs.values()) / count
        held = max(j[1] for j in jobs.values()) + 1
        group = self._infers("measure_removal", count, 1, int(forward), held)
        batches = -(-self.queries["gen"] // _BATCH["forward"])
        calls = max((j[1] + 2) * e["outputs"]["timesteps"] * batches + j[3] for j in jobs.values())
        yield group._replace(calls=calls)
        if not e["embedding"]["model"]:
            yield self._light("summarise_removal")
            return
        shown = sum(
            j[0] * (j[1] if f == "methods" else j[1] * r["queries"]) for f, j in jobs.items()
        )
        yield self._embeds(
            f"embed_removals_{self.name}", "embed_removals", shown + self.queries["gen"]
        )
        yield self._light("summarise_embedded_removal")

    def _report(self) -> Iterator[Group]:
        judged = self.experiment["subsets"]
        if judged:
            yield self._light("summarise_lds")
            yield self._light("tabulate_lds", memory=4 * len(self.methods) * self.n * self.q)
            yield self._light("write_metrics")
        for drawing in figure_table.drawings(self.experiment):
            kinds = drawing.rule == "plot_neighbours"  # a job each, which holds images and scores
            jobs, memory = (len(KINDS), 40 * self.n * self.d) if kinds else (1, 0)
            yield self._light(drawing.rule, jobs, memory)
        yield self._light("render_report" if judged else "render_examples")
        yield Group(self.name, "target", 1, {})

    def trained(self) -> dict[str, int]:
        """How many models each group of training jobs makes: family -> models of one job."""
        e, r = self.experiment, self.experiment["removal"]
        per_job = e["subsets"]["models_per_job"] if e["subsets"] else 0
        return {
            "train_base": 1,
            "import_base": 1,
            "train_subsets_tune": per_job,
            "train_subsets_eval": per_job,
            "train_removal_methods": r["queries"],
            "train_removal_random": r["random_sets"],
            "train_removal_null": r["null_models"],
        }

    def storage(self) -> dict[str, int]:
        """Bytes under results/<experiment>, folder -> bytes, as far as they grow with it."""
        return storage.folders(self)
