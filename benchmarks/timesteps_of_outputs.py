"""How many timesteps measure the subset models? The LDS with T_eval against 1000 timesteps.

Every evaluation model of an experiment is measured at every timestep on the evaluation val queries,
and the losses are kept by timestep. Noise is keyed by (query, timestep) and every point of a
smaller grid is itself a timestep, so the outputs for any grid are means over part of the same
numbers: what differs is the grid alone. Then the stored scores of every method are judged against
each, with the experiment's own bootstrap draws.

    python -m benchmarks.timesteps_of_outputs CACHE [--experiment digits] [--threads 1] [--jobs 2]

Losses are written into CACHE shard by shard (float32 [K, T, Q]); what is there is not measured
again, so the study may be stopped at any time. Files of another experiment or code do not mix: the
cache's own ``settings.json`` must agree.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.machine import ROOT
from dasbench import seeds as named
from dasbench.core import artifacts
from dasbench.errors import UserError
from dasbench.evaluation import lds, predictions, statistics
from dasbench.experiments import config

GRIDS = {
    **{f"T = {count}": (count, "midpoint") for count in (8, 16, 32, 64, 80, 125)},
    **{f"T = {count}, quadratic": (count, "quadratic") for count in (16, 32, 48)},
}
KIND = "val"
TARGET = "loss"


def study(
    experiment: config.Experiment, home: Path, cache: Path, threads: int = 1, jobs: int = 1
) -> dict[str, Any]:
    """Measure what the cache lacks, then compare.

    Args:
        experiment: The loaded file.
        home: Its results: models, queries, masks, scores.
        cache: Folder of the losses by timestep.
        threads: Of torch, in each process.
        jobs: Processes.

    Returns:
        ``outputs``: per grid the rank correlation over subsets with the outputs of all timesteps
        (mean over queries). ``lds``: per method and grid the LDS in points, the one with all
        timesteps with its interval, and whether the first lies inside.
    """
    fill(experiment, home, cache, threads, jobs)
    return compare(experiment, home, _gathered(experiment, cache))


def fill(
    experiment: config.Experiment, home: Path, cache: Path, threads: int = 1, jobs: int = 1
) -> None:
    """Measure every shard that the cache lacks; arguments as for ``study``."""
    _claim(cache, _settings(experiment))
    missing = [
        (seed, shard)
        for seed, shard in _shards(experiment)
        if not _file(cache, seed, shard).exists()
    ]
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork everywhere
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        waiting = [
            pool.submit(_measure, experiment, home, cache, place, threads) for place in missing
        ]
        for number, done in enumerate(concurrent.futures.as_completed(waiting), start=1):
            done.result()
            print(f"{number} of {len(missing)} shards measured", flush=True)


def _measure(
    experiment: config.Experiment, home: Path, cache: Path, place: tuple[int, int], threads: int
) -> None:
    """Losses of one shard at all timesteps, on the evaluation queries."""
    from dasbench.diffusion import checkpoints, outputs
    from dasbench.diffusion.families import pixel

    checkpoints.use_threads(threads)
    seed, shard = place
    folder = home / f"models/eval/seed-{seed}/shard-{shard:03d}"
    made = [pixel.load(folder / f"{k:02d}") for k in range(experiment["subsets"]["models_per_job"])]
    images = artifacts.load_array(home / f"queries/{KIND}.npy", (None,) * 4, np.float32)
    losses, _ = outputs.measure_by_timestep(
        [unet for unet, _ in made],
        None,
        made[0][1],
        images,
        KIND,
        np.arange(experiment["diffusion"]["timesteps"]),
        _axes(experiment),
        chosen=_judged(home),
    )
    artifacts.save_array(_file(cache, seed, shard), losses)


def compare(experiment: config.Experiment, home: Path, losses: np.ndarray) -> dict[str, Any]:
    """Judge thinned outputs against those of all timesteps.

    Args:
        experiment: The loaded file.
        home: Its results.
        losses: [R, M, T, Q] minus the loss, at every timestep.
    """
    whole = losses.mean(2, dtype=np.float64)
    by_grid = {name: _thinned(losses, *grid) for name, grid in GRIDS.items()}
    found = [
        {"grid": name, "rank_correlation": float(_ranks(thinned, whole).mean())}
        for name, thinned in by_grid.items()
    ]
    masks = artifacts.load_array(home / "masks/eval.npy", (whole.shape[1], None), bool)
    shape = experiment["lds"]["draws"], whole.shape[1], whole.shape[2]
    rng = named.generator(*_axes(experiment), "bootstrap", KIND)
    draws = statistics.Draws.make(rng, shape, experiment["lds"]["level"])
    ranks = statistics.ResampledRanks(whole.mean(0), draws.subsets)
    rows = []
    for method, options in config.methods(experiment).items():
        if KIND not in config.kinds(options):
            continue
        scores = artifacts.load_array(home / f"scores/{method}/{KIND}.npy")[:, _judged(home)]
        sums = predictions.sum_scores(masks, scores)
        lo, hi = statistics.interval(draws.mean(ranks.correlate(sums)), draws.level)
        rows += _rows(method, masks, scores, whole, by_grid, (float(lo), float(hi)))
    return {"experiment": experiment["name"], "outputs": found, "lds": rows}


def _thinned(losses: np.ndarray, count: int, spacing: str) -> np.ndarray:
    """[R, M, Q] outputs at a grid, of losses [R, M, T, Q] at all timesteps."""
    from dasbench.diffusion import outputs

    steps, weights = outputs.grid(count, losses.shape[2], spacing)
    return np.einsum("rmtq,t->rmq", losses[:, :, steps], weights)


def _rows(
    method: str,
    masks: np.ndarray,
    scores: np.ndarray,
    whole: np.ndarray,
    by_grid: dict[str, np.ndarray],
    interval: tuple[float, float],
) -> list[dict[str, Any]]:
    """One row per grid; LDS in points. The scores are stored with their transform applied."""

    def points(outputs: np.ndarray) -> float:
        return 100 * float(np.nan_to_num(lds.lds_per_query(masks, scores, outputs)).mean())

    lo, hi = (100 * end for end in interval)
    return [
        {
            "method": method,
            "grid": name,
            "lds": points(thinned),
            "lds_all": points(whole),
            "lo": lo,
            "hi": hi,
            "inside": bool(lo <= points(thinned) <= hi),
        }
        for name, thinned in by_grid.items()
    ]


def _ranks(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman over subsets of two outputs [R, M, Q], averaged over seeds first: [Q]."""
    return statistics.spearman(a.mean(0), b.mean(0))


def _gathered(experiment: config.Experiment, cache: Path) -> np.ndarray:
    """[R, M, T, Q] of all shards."""
    places, joined = _shards(experiment), {}
    for seed, shard in places:
        joined.setdefault(seed, []).append(artifacts.load_array(_file(cache, seed, shard)))
    return np.stack([np.concatenate(parts) for _, parts in sorted(joined.items())])


def _shards(experiment: config.Experiment) -> list[tuple[int, int]]:
    """(seed, shard) of every evaluation shard."""
    subsets = experiment["subsets"]
    count = subsets["eval"]["models"] // subsets["models_per_job"]
    return [(seed, shard) for seed in range(subsets["eval"]["seeds"]) for shard in range(count)]


def _file(cache: Path, seed: int, shard: int) -> Path:
    return cache / f"loss-{KIND}-{seed}-{shard:03d}.npy"


def _judged(home: Path) -> list[int]:
    """Positions of the evaluation queries."""
    return artifacts.load_json(home / "queries/uses.json")[KIND]["evaluation"]


def _axes(experiment: config.Experiment) -> tuple[str, int]:
    return experiment["seed_name"], experiment["seed"]


def _settings(experiment: config.Experiment) -> dict[str, Any]:
    """What the losses depend on."""
    sections = ("name", "seed", "data", "model", "diffusion", "training", "subsets", "queries")
    return {name: experiment[name] for name in sections}


def _claim(cache: Path, settings: dict[str, Any]) -> None:
    """Mark an empty folder as the cache of these settings; refuse one of others."""
    file, wanted = cache / "settings.json", config.canonical(settings)
    if not file.exists():
        with artifacts.atomic(file) as temporary:
            temporary.write_text(wanted, encoding="utf-8")
    elif file.read_text(encoding="utf-8") != wanted:
        raise UserError(f"{cache} holds losses of other settings; name another folder")


def tables(found: dict[str, Any]) -> str:
    """The study as two tables in Markdown."""
    outputs = pd.DataFrame(found["outputs"]).set_index("grid")["rank_correlation"]
    rows = pd.DataFrame(found["lds"])
    wide = rows.pivot(index="method", columns="grid", values="lds")[list(GRIDS)]
    inside = rows.pivot(index="method", columns="grid", values="inside")
    ends = rows.drop_duplicates("method").set_index("method")
    head = "| method | " + " | ".join(wide) + " | all timesteps |"
    lines = [head, "|---" * (len(wide.columns) + 2) + "|"]
    for method in ends.sort_values("lds_all", ascending=False).index:
        cells = [
            f"{wide.loc[method, t]:.1f}" + ("" if inside.loc[method, t] else " (outside)")
            for t in wide
        ]
        last = ends.loc[method]
        whole = f"{last.lds_all:.1f} ({last.lo:.1f} to {last.hi:.1f})"
        lines.append(f"| `{method}` | " + " | ".join(cells) + f" | {whole} |")
    correlations = " | ".join(f"{outputs[t]:.4f}" for t in wide)
    lines.append(f"| *rank correlation of outputs* | {correlations} | 1 |")
    return "\n".join(lines)


def main() -> None:
    """Run the study and write ``timesteps_of_outputs.json`` into the cache."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("cache", type=Path, help="folder of the losses, made if missing")
    parser.add_argument("--experiment", default="digits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    given = parser.parse_args()
    experiment = config.load(given.experiment, ROOT)
    home = ROOT / "results" / experiment["seed_name"]
    found = study(experiment, home, given.cache, given.threads, given.jobs)
    with artifacts.atomic(given.cache / "timesteps_of_outputs.json") as temporary:
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(tables(found))


if __name__ == "__main__":
    main()
