"""``./run new-experiment NAME --images DIR``: an experiment file for the user's pictures.

Sizes follow from the number and the size of the pictures, and from the machine: the number of
subset models is the largest of ``SUBSETS`` whose predicted time (``dasbench.planning.rates``) on
all cores is at most ``HOURS``. The file has a comment at every choice. No job runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from dasbench.commands import measure_pictures
from dasbench.commands.experiment_template import COMPARISONS, TEMPLATE
from dasbench.commands.new_experiment_options import Request, parser
from dasbench.core.yaml_schema import read_schema
from dasbench.data import folder as source
from dasbench.diffusion import own_checkpoint, process_table, unet_config
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.planning import planned_jobs, rates, rule_costs
from dasbench.planning.job_cost import on_device
from dasbench.planning.workload import Workload

HOURS = 3.0
SUBSETS = (64, 48, 32, 16)  # evaluation models, largest number first
PASSES = 60_000  # images that the base model sees while it trains, as for digits
QUICK = {"passes": 6_000, "train": 200, "queries": 12, "subsets": (16,), "steps": 10}  # a trial
MOST, FEWEST = 1000, 40  # training images; the user may set more in the file
FEWEST_OF_CHECKPOINT = {False: 2, True: 8}  # by whether subset models are trained, on halves
FEWEST_HELD_OUT = 2
SIDES = (64, 32, 16)
# side in pixels at which a core trains a small model in hours, not days
SIDE_ON_CPU = 16
LEVELS = {16: [16, 32, 32], 32: [32, 64, 64], 64: [64, 128, 128, 128]}


def main(arguments: Sequence[str], root: str | Path = ".") -> int:
    """Write the file, and print its sizes and predicted hours.

    Raises:
        UserError: If the name is taken, or the pictures or the checkpoint cannot be used.
    """
    args = Request(**vars(parser(__doc__).parse_args(arguments)))
    file = Path(root, config.FOLDER, f"{args.name}.yaml")
    if file.exists():
        raise UserError(f"{config.FOLDER}/{args.name}.yaml is there already; name another one")
    if not config.NAME.fullmatch(args.name):
        raise UserError(f"the name {args.name!r} must match {config.NAME.pattern}")
    values = plan(args, Path(root))
    sizes = (QUICK["subsets"] if args.quick else SUBSETS) if args.judged else (0,)
    texts = [TEMPLATE.format(**values, **_subsets(most, values)) for most in sizes]
    hours = _hours([_checked(file, text, root) for text in texts], texts, Path(root))
    # the largest number of models whose time fits, or else the smallest
    best = next((i for i, each in enumerate(hours) if each <= HOURS), len(hours) - 1)
    most, text, hours = sizes[best], texts[best], hours[best]
    file.write_text(text, encoding="utf-8")
    for note in values["notes"]:
        print(f"note: {note}")
    machine = f"{_cores()} cores{' and an assumed GPU' * has_gpu()}"
    print(
        f"{config.FOLDER}/{args.name}.yaml: {values['train']} training pictures of "
        f"{values['size']} x {values['size']}, {most or 'no'} evaluation models; "
        f"{_duration(hours)} on {machine} by `./run estimate {args.name}`. "
        f"Next: ./run {args.name} -n"
    )
    return 0


def _duration(hours: float) -> str:
    """Hours in words that do not round to nothing."""
    minutes = 60 * hours
    if minutes < 1:
        return "less than a minute"
    if minutes >= 60:  # noqa: PLR2004
        return f"about {hours:.1f} hours"
    return f"about {minutes:.0f} minute{'s' * (round(minutes) != 1)}"


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
    """Values of all fields of ``TEMPLATE``, except those of ``_subsets``; and ``notes`` to print.

    Raises:
        UserError: If there are too few pictures, or the pictures or the checkpoint cannot be used.
    """
    listing = source.listing(source.opened(request.images, "--images"), request.labels)
    sides, notes = measure_pictures.measure(
        request.images, listing, request.range, request.skip_bad, whole=request.held_out is None
    )
    side, labels = int(median(sides or [0])), set(listing.label_of.values())
    if request.range and not request.range[0] < request.range[1]:
        raise UserError(f"--range is {request.range}, expected BLACK WHITE, the smaller first")
    held_out, queried, more = _held_out(request, listing)
    notes += more
    train, val = _split(request, len(sides), held_out)
    size, channels, base = request.size, 1 if request.grey else 3, None
    diffusion = "{timesteps: 1000, beta_schedule: linear, prediction_type: epsilon}"
    if request.checkpoint is not None:
        model = _checkpoint(request.checkpoint, len(labels), request.lds)
        _check_held_out_classes(request, model.config, queried - labels)
        base, (channels, size, _) = model.config, model.shape
        schema = _sections()["diffusion"]
        diffusion = json.dumps(process_table.section(model.schedule, str(model.scheduler), schema))
        notes += _ignored(request, size, channels)
    elif size is None:
        size, why = _size(side)
        notes += why
    judged, quick = request.judged, request.quick
    passes = QUICK["passes"] if quick else PASSES
    gen = val or max(4, min(QUICK["queries"] if quick else 150, len(sides) // 5))
    epochs = -(-passes // train)
    return {
        "name": request.name,
        "title": _text(f"pictures of {request.images.name}"),
        "path": _text(request.images),
        "labels": f"  labels: {_text(request.labels)}\n" if request.labels else "",
        "held_out": f"  held_out: {_text(request.held_out)}\n" if request.held_out else "",
        "range": f"  range: {list(request.range)}   # black, white\n" if request.range else "",
        "train": train,
        "count": len(sides),
        "others": _others(request, train, len(sides), val, held_out),
        "val": val,
        "gen": gen,
        "size": size,
        "side": side,
        "channels": channels,
        "skip_bad": str(request.skip_bad).lower(),
        "source": _text(f"folder {request.images.name}"),
        "model": _model(base, size),
        "diffusion": diffusion,
        "training_note": _recipe(base is not None, judged, epochs, passes),
        "epochs": epochs,
        "warmup": min(50, train // 2),
        "tuning": max(1, gen // 3),
        "steps": f", sampling_steps: {QUICK['steps']}" if quick else "",
        "outputs": QUICK["steps"] if quick else 48,
        "few": "timesteps: 4, " if quick else "",
        "dimensions": 1024 if quick else 4096,
        "base": f"base: {_text(request.checkpoint)}   # attributed as it is\n" if base else "",
        "damping": "{mantissas: [1, 2, 5], exponents: [-8, 0]}"
        if judged
        else "{mantissas: [1], exponents: [-4, -4]}   # times the largest eigenvalue",
        "methods": "".join(f"  {line}\n" for line in _methods(len(labels) > 1, judged, quick)),
        "comparisons": COMPARISONS if judged else "",
        "notes": notes,
    }


def _methods(labelled: bool, judged: bool, quick: bool) -> list[str]:
    """Lines of the section ``methods``; floors are tuned, so they need subset models."""
    floors = ("pixel_cosine_power", "pixel_rbf", "pixel_ridge", "nearest", "ideal_denoiser")
    names = ["random", *["class_match"] * labelled, "pixel_cosine"]
    names += [*floors, "floor"] * judged
    names += ["gradient_cosine", "trak", "dtrak", "das", "das_common"]
    fewer = "das_stepwise: {features: {timesteps: 20}}   # 100 in the registry"
    return [f"{name}: {{}}" for name in names] + [fewer] * (not quick)


def _held_out(request: Request, training: source.Listing) -> tuple[int, set[str], list[str]]:
    """Number, labels and notes of the pictures in ``--held-out``.

    Raises:
        UserError: If they cannot be used, are too few, or are training pictures.
    """
    if request.held_out is None:
        return 0, set(), []
    found = source.listing(source.opened(request.held_out, "--held-out"))
    notes = source.compare([request.images, request.held_out], [training, found])
    sides, more = measure_pictures.measure(
        request.held_out, found, request.range, request.skip_bad, whole=False
    )
    if len(sides) < FEWEST_HELD_OUT:
        raise UserError(
            f"--held-out: {request.held_out} holds {len(sides)} pictures, expected "
            f"{FEWEST_HELD_OUT} or more"
        )
    return len(sides), set(found.label_of.values()), [*more, *notes]


def _split(request: Request, count: int, held_out: int) -> tuple[int, int]:
    """Numbers of training pictures and of held-out queries.

    Every picture of a checkpoint is a training picture: the model was trained on it.

    Args:
        request: The command line.
        count: Number of pictures.
        held_out: Number of pictures of ``--held-out``.

    Raises:
        UserError: If there are too few pictures.
    """
    most = QUICK["queries"] if request.quick else 150
    if request.checkpoint is not None:
        train, val, fewest = count, min(most, held_out), FEWEST_OF_CHECKPOINT[request.lds]
        expected = fewest
    else:
        val = min(most, held_out) if held_out else max(4, min(most, count // 5))
        train = min(QUICK["train"] if request.quick else MOST, count - (0 if held_out else val))
        fewest, expected = FEWEST, FEWEST + (0 if held_out else 10)
    if train < fewest:
        listed = f" that {request.labels} names" if request.labels else ""
        raise UserError(
            f"{request.images} holds {count} pictures{listed}, expected {expected} or more"
        )
    return train, val


def _others(request: Request, train: int, count: int, val: int, held_out: int) -> str:
    """The comment at ``data.train``: where the queries come from."""
    if held_out:
        return f"{val} of the {held_out} in held_out are queries"
    if request.checkpoint is not None:
        return "all of them are candidates; queries are generated"
    return f"of the others {val} are queries"


def _size(side: int) -> tuple[int, list[str]]:
    """Side in pixels of the images, and why it is smaller than that of the pictures."""
    fitting = next(s for s in SIDES if s <= max(side, SIDES[-1]))
    size = fitting if has_gpu() else min(fitting, SIDE_ON_CPU)
    if size == fitting:
        return size, []
    return size, [
        f"pictures of about {side} are scaled to {size} x {size}, since a core trains larger "
        f"models for days, not hours; --size {fitting} keeps more of them"
    ]


def _ignored(request: Request, size: int, channels: int) -> list[str]:
    """Options that the checkpoint settles otherwise."""
    notes = []
    if request.size not in (None, size):
        notes.append(f"--size {request.size} is not used: the checkpoint works on {size} x {size}")
    if request.grey and channels != 1:
        notes.append(f"--grey is not used: the checkpoint works on {channels} channels")
    return notes


def _recipe(given: bool, judged: bool, times: int, passes: int) -> str:
    """The comment at the training section; ``given``: the base model is a checkpoint."""
    if not given:
        return f"the base model sees {passes} pictures, each {times} times"
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
    found.check_weights()
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


def _check_held_out_classes(request: Request, model: Mapping[str, Any], strange: Set[str]) -> None:
    """Refuse held-out pictures without a class of a class-conditional model.

    Args:
        request: The command line.
        model: The config of the network.
        strange: Labels that only held-out pictures have.

    Raises:
        UserError: If there are any.
    """
    if strange and model.get("num_class_embeds"):
        names = ", ".join(map(repr, sorted(strange)))
        raise UserError(
            f"--held-out: {request.held_out} has pictures with the label {names}, which no "
            f"training picture has, but {request.checkpoint} is a model of classes; sort them "
            "into subfolders that are named like the labels of the training pictures"
        )


def _sections() -> dict[str, Any]:
    """Section of an experiment -> key -> schema of the key."""
    schema = read_schema(config.SCHEMA)["properties"]
    return {name: part.get("properties", {}) for name, part in schema.items()}


def _model(base: Mapping[str, Any] | None, size: int) -> str:
    """The ``model`` section, one key a line."""
    if base is not None:
        schema = _sections()["model"]
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
