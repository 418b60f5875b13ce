"""``./run new-experiment NAME --images DIR``: an experiment file for the user's pictures.

Sizes follow from the number and the size of the pictures, and from the machine: the number of
subset models is the largest of ``SUBSETS`` whose predicted time (``dasbench.planning.rates``) on
all cores is at most ``HOURS``. The file has a comment at every choice. No job runs.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from dasbench.core.yaml_schema import read_schema
from dasbench.diffusion import own_checkpoint, process_table, unet_config
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.planning import planned_jobs, rates, rule_costs
from dasbench.planning.job_cost import on_device
from dasbench.planning.workload import Workload

HOURS = 3.0
SUBSETS = (64, 48, 32, 16)  # evaluation models, largest number first
PASSES = 60_000  # images that the base model sees while it trains, as for digits
MOST, FEWEST = 1000, 40  # training images; the user may set more in the file
SIDES = (64, 32, 16)
# side in pixels at which a core trains a small model in hours, not days
SIDE_ON_CPU = 16
LEVELS = {16: [16, 32, 32], 32: [32, 64, 64], 64: [64, 128, 128, 128]}

TEMPLATE = """\
# Written by `./run new-experiment {name}`; config/README.md explains every key.
# `./run {name} -n` shows the jobs, `./run estimate {name}` the hours, `./run {name}` does it.
title: {title}
seed: 0
data:
  dataset: folder
  path: {path}
{labels}  train: {train}             # of {count} pictures; of the others {val} are queries
  size: {size}               # side in pixels; here about {side}
  resize: crop           # or pad, stretch
  background: [255, 255, 255]   # behind transparent pixels
  channels: {channels}            # 1 for grey
  skip_bad: {skip_bad}        # true leaves out files that cannot be read, and lists them
  card:                  # what the report and exported cards say of the pictures
    source: {source}
    licence: not stated
model:
{model}diffusion: {diffusion}
training:                # {training_note}
  epochs: {epochs}
  batch_size: 32
  learning_rate: 0.001
  warmup_steps: {warmup}
  checkpoints: 5
{base}{subsets}queries: {{val: {val}, gen: {val}, tuning: {tuning}}}  # {tuning} are for tuning
outputs: {{timesteps: 48, spacing: quadratic}}
features: {{dimensions: 4096, norms: projected, oversampling: 4, parameters: weights}}
damping: {damping}
methods:                 # config/README.md has the others
{methods}{comparisons}report: {{queries: 6, top: 8}}
"""


class Request(NamedTuple):
    """The options of the command line, see ``parser``."""

    name: str
    images: Path
    labels: Path | None = None
    size: int | None = None
    grey: bool = False
    skip_bad: bool = False
    checkpoint: Path | None = None
    lds: bool = False


def parser() -> argparse.ArgumentParser:
    """The command line."""
    cli = argparse.ArgumentParser(
        prog="./run new-experiment", description=__doc__, allow_abbrev=False
    )
    cli.add_argument("name", help="of the experiment: lower case letters, digits, _")
    cli.add_argument("--images", type=_path, required=True, help="folder with the pictures")
    cli.add_argument("--labels", type=_path, help="CSV with the columns file and label")
    cli.add_argument("--size", type=int, help="side in pixels that the pictures are scaled to")
    cli.add_argument("--grey", action="store_true", help="one channel instead of three")
    cli.add_argument("--skip-bad", action="store_true", help="leave out files that cannot be read")
    cli.add_argument(
        "--checkpoint", type=_path, help="diffusers pipeline to attribute instead of training one"
    )
    cli.add_argument(
        "--lds", action="store_true", help="with --checkpoint: judge by subset models, too"
    )
    return cli


def _path(text: str) -> Path:
    """A path relative to the user's folder, made absolute."""
    return Path(os.environ.get("DASBENCH_CALLER_FOLDER", "."), Path(text).expanduser()).resolve()


def main(arguments: Sequence[str], root: str | Path = ".") -> int:
    """Write the file, and print its sizes and predicted hours.

    Raises:
        UserError: If the name is taken, or the pictures or the checkpoint cannot be used.
    """
    args = Request(**vars(parser().parse_args(arguments)))
    file = Path(root, config.FOLDER, f"{args.name}.yaml")
    if file.exists():
        raise UserError(f"{config.FOLDER}/{args.name}.yaml is there already; name another one")
    if not config.NAME.fullmatch(args.name):
        raise UserError(f"the name {args.name!r} must match {config.NAME.pattern}")
    values = plan(args, Path(root))
    sizes = SUBSETS if args.checkpoint is None or args.lds else (0,)
    texts = [TEMPLATE.format(**values, **_subsets(most, values)) for most in sizes]
    hours = _hours([_checked(file, text, root) for text in texts], texts, Path(root))
    # the largest number of models whose time fits, or else the smallest
    best = next((i for i, each in enumerate(hours) if each <= HOURS), len(hours) - 1)
    most, text, hours = sizes[best], texts[best], hours[best]
    file.write_text(text, encoding="utf-8")
    print(
        f"{config.FOLDER}/{args.name}.yaml: {values['train']} training pictures of "
        f"{values['size']} x {values['size']}, {most} evaluation models; about {hours:.1f} hours "
        f"on {_cores()} cores{' and an assumed GPU' * has_gpu()} by `./run estimate {args.name}`. "
        f"Next: ./run {args.name} -n"
    )
    return 0


def _cores() -> int:
    return os.cpu_count() or 1


def _checked(file: Path, text: str, root: str | Path) -> config.Experiment:
    """The experiment of a file with this text; the file is deleted again."""
    file.write_text(text, encoding="utf-8")
    try:
        return config.load(file.stem, root)
    finally:
        file.unlink()


def _hours(
    experiments: Sequence[config.Experiment], texts: Sequence[str], root: Path
) -> list[float]:
    """Predicted hours of each experiment on this machine; a GPU runs one job at a time."""
    known, gpu = rates.load(root / rates.FILE), rates.Gpu() if has_gpu() else None
    planned = planned_jobs.count(root, experiments, list(map(yaml.safe_load, texts)))
    hours = []
    for experiment, jobs in zip(experiments, planned, strict=True):
        data = experiment["data"]
        costs = rule_costs.of(Workload(experiment, (data["channels"], data["size"], data["size"])))
        seconds = 0.0
        for rule in jobs:
            cost = costs[rule.family]
            at_once = 1 if gpu and on_device(cost) else _cores()
            seconds += rule.jobs * known.seconds(cost, gpu) / at_once
        hours.append(seconds / 3600)
    return hours


def plan(request: Request, root: Path) -> dict[str, Any]:
    """Values of all fields of ``TEMPLATE``, except those of ``_subsets``.

    Raises:
        UserError: If there are too few pictures, or the pictures or the checkpoint cannot be used.
    """
    label_of = _labelled(request.images, request.labels)
    sides = _measure(request.images, label_of, request.skip_bad)
    side = int(median(sides or [0]))
    val = max(4, min(150, len(sides) // 5))
    train = min(MOST, len(sides) - val)
    if train < FEWEST:
        listed = f" that {request.labels} names" if request.labels else ""
        raise UserError(
            f"{request.images} holds {len(sides)} pictures{listed}, expected {FEWEST + 10} or more"
        )
    size, channels, base = request.size, 1 if request.grey else 3, None
    diffusion = "{timesteps: 1000, beta_schedule: linear, prediction_type: epsilon}"
    if request.checkpoint is not None:
        model = _checkpoint(request.checkpoint, len(set(label_of.values())), request.lds)
        base, (channels, size, _) = model.config, model.shape
        schema = _sections(root)["diffusion"]
        diffusion = json.dumps(process_table.section(model.schedule, str(model.scheduler), schema))
    elif size is None:
        smaller = [s for s in SIDES if s <= max(side, SIDES[-1])]
        size = smaller[0] if has_gpu() else min(smaller[0], SIDE_ON_CPU)
    methods = ["random", "pixel_cosine", "gradient_cosine", "trak", "dtrak", "das", "das_common"]
    if len(set(label_of.values())) > 1:
        methods.insert(1, "class_match")
    labels = f"  labels: {_text(request.labels)}\n" if request.labels else ""
    judged = request.checkpoint is None or request.lds
    return {
        "name": request.name,
        "title": _text(f"pictures of {request.images.name}"),
        "path": _text(request.images),
        "labels": labels,
        "train": train,
        "count": len(sides),
        "val": val,
        "size": size,
        "side": side,
        "channels": channels,
        "skip_bad": str(request.skip_bad).lower(),
        "source": _text(f"folder {request.images.name}"),
        "model": _model(base, size, root),
        "diffusion": diffusion,
        "training_note": _recipe(base is not None, judged, -(-PASSES // train)),
        "epochs": -(-PASSES // train),
        "warmup": min(50, train // 2),
        "tuning": max(1, val // 3),
        "base": f"base: {_text(request.checkpoint)}   # attributed as it is\n" if base else "",
        "damping": "{mantissas: [1, 2, 5], exponents: [-8, 0]}"
        if judged
        else "{mantissas: [1], exponents: [-4, -4]}   # times the largest eigenvalue",
        "methods": "".join(f"  {name}: {{}}\n" for name in methods),
        "comparisons": "comparisons:             # fixed before any output exists\n"
        "  - {a: das, b: dtrak}\n  - {a: das_common, b: das}\n"
        if judged
        else "",
    }


def _recipe(given: bool, judged: bool, times: int) -> str:
    """The comment at the training section; ``given``: the base model is a checkpoint."""
    if not given:
        return f"the base model sees {PASSES} pictures, each {times} times"
    if judged:
        return (
            f"subset models see each of their pictures {times} times; make it your model's recipe"
        )
    return "nothing is trained; it is for subset models, should you give some"


def _subsets(most: int, values: Mapping[str, Any]) -> dict[str, str]:
    if not most:
        return {
            "subsets": "subsets: null            # scores alone; give eval and tune to judge them\n"
        }
    return {
        "subsets": "subsets:                 # models retrained on random halves\n"
        f"  eval: {{models: {most}, seeds: 2}}\n  tune: {{models: {max(8, most // 2)}}}\n"
    }


def _labelled(folder: Path, labels: Path | None) -> dict[str, str]:
    """Every picture that the rule ``read_images`` will use -> its label."""
    from dasbench.data import folder as source

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; expected one with pictures")
    return source.labelled(folder, labels)


def _measure(folder: Path, names: Iterable[str], skip: bool) -> list[int]:
    """The shorter side of every readable picture, in pixels."""
    from dasbench.data import folder as source

    sides, bad = [], []
    for name in names:
        try:
            sides.append(_side(folder / name))
        except Exception as error:  # Pillow raises many classes for a damaged file
            bad.append((name, str(error)))
    source.tell(folder, bad, skip)
    return sides


def _side(file: Path) -> int:
    """The shorter side; the whole file is decoded, because a truncated file has a sound header."""
    from PIL import Image, ImageOps

    from dasbench.data import decode

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file) as picture:
            if picture.format == "JPEG":
                side = min(picture.size)
                picture.draft(None, (1, 1))  # 1/8 of the side takes 1/10 of the time
                picture.load()
                ImageOps.exif_transpose(picture)
                return side
    return min(decode.read(file, None).shape[:2])


def has_gpu() -> bool:
    """Whether the machine has a GPU, from its driver, because torch takes seconds to import."""
    return Path("/dev/nvidia0").exists()


def _checkpoint(folder: Path, labels: int, judged: bool) -> own_checkpoint.Found:
    """The model in a folder.

    Args:
        folder: See ``own_checkpoint.find``.
        labels: Number of labels of the pictures.
        judged: Whether subset models follow, which must be like this one.

    Raises:
        UserError: If an experiment cannot use the model.
    """
    found = own_checkpoint.find(folder)
    unet = found.config
    height, width = unet["sample_size"]
    if height != width:
        raise UserError(
            f"{found.unet / 'config.json'} has the sample_size [{height}, {width}], expected a "
            f"square one: an experiment has no others; {process_table.ASK}"
        )
    unet_config.say_learned_variance(unet)
    if judged and unet_config.learned_variance(unet):
        raise UserError(
            f"{folder} predicts variances, which subset models do not learn; leave out --lds"
        )
    classes = unet.get("num_class_embeds")
    if classes not in (None, labels):
        raise UserError(
            f"{folder} is a model of {classes} classes, the pictures have {labels} labels; "
            "expected as many: subfolders, or a CSV by --labels, whose names in the order of the "
            "alphabet are the model's classes 0, 1, ..."
        )
    return found


def _sections(root: Path) -> dict[str, Any]:
    """Section of an experiment -> key -> schema of the key."""
    schema = read_schema(root / config.SCHEMA)["properties"]
    return {name: part.get("properties", {}) for name, part in schema.items()}


def _model(base: Mapping[str, Any] | None, size: int, root: Path) -> str:
    """The ``model`` section, one key a line."""
    if base is not None:
        schema = _sections(root)["model"]
        # keep an allowed null: without the key, diffusers would use its default
        settings = {
            key: value
            for key, value in base.items()
            if key in schema and (value is not None or "null" in schema[key]["type"])
        }
        return "".join(f"  {key}: {json.dumps(value)}\n" for key, value in settings.items())
    widths = LEVELS[min(LEVELS, key=lambda side: abs(side - size))]
    down, up = (", ".join([f"{way}Block2D"] * len(widths)) for way in ("Down", "Up"))
    return (
        f"  block_out_channels: {widths}   # by the side of the pictures\n"
        f"  down_block_types: [{down}]\n  up_block_types: [{up}]\n"
        "  layers_per_block: 1\n  norm_num_groups: 8\n"
    )


def _text(value: object) -> str:
    """Quote any text for YAML."""
    return json.dumps(str(value), ensure_ascii=False)
