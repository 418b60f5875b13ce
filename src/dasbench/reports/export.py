"""Write a folder to publish: the base model, the scores and their LDS, with cards.

The folder has the form of a model on the Hugging Face hub. ``DDPMPipeline.from_pretrained(folder)``
reads it; a model of latents needs ``LDMPipeline``, an adapter ``load_lora_weights`` (its frozen
pipeline is not copied). ``README.md`` is the model card, ``attribution/README.md`` the data card of
the scores.

The folder holds positions in the pool and labels of the training and held-out images, but not the
images: a licence may forbid it, and images of a user are private. Equal results give equal bytes.
Nothing is uploaded.
"""

from __future__ import annotations

import csv
import html
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml

from dasbench import __version__, model_families
from dasbench.core import artifacts
from dasbench.core.writing import file_mode, staging
from dasbench.data import cards as facts
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.reports import pages, reference, report
from dasbench.sharing import records

# licence -> its name on the hub; others become `other`, with the name of the licence beside it
_HUB = {
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC0 1.0": "cc0-1.0",
    "MIT": "mit",
    "Apache 2.0": "apache-2.0",
}
_SETTINGS = ("data", "model", "diffusion", "training")
_CARDS = Path(__file__).parent / "cards"
_SCORE_SETTINGS = ("subsets", "queries", "features", "damping")
_FACTS = ("name", "source", "content", "licence", "images", "shape", "sha256")
_TABLES = ("summary", "ceiling", "comparisons", "selection", "inapplicable")
_COLUMNS, _ROWS, _SIDE = 10, 3, 64
# settings that may be paths: on another machine only the last part has a meaning
_PLACES = {("data", "path"), ("data", "labels"), ("model", "pretrained")}


def create(root: Path, name: str, target: Path) -> int:
    """Write the folder to publish.

    Args:
        root: Folder of the repository.
        name: The experiment; its results must be up to date.
        target: The folder to write; it may exist if it is empty.

    Returns:
        Number of files in the folder.

    Raises:
        UserError: If target is not empty, a result is missing or damaged, or the experiment has no
            subset models.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(
            f"{target} is there already; name another folder with --out, or delete this one"
        )
    experiment = config.load(name, root)
    if not experiment["subsets"]:
        raise UserError(
            f"{name} has no subset models, and scores that nothing judges are not exported; give "
            "subsets.eval and subsets.tune in its experiment file"
        )
    files = dict(_files(experiment))
    _check(root, name, files.values())
    with staging(target.parent, target) as temporary:
        for place, source in files.items():
            (temporary / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / source, temporary / place)
        _write_examples(root, experiment, temporary)
        _draw_samples(temporary)
        _write_cards(root, experiment, temporary)
        count = _write_checksums(temporary)
        # mkdtemp's folder is private: give it the usual mode, and x wherever it has r
        mode = file_mode()
        temporary.chmod(mode | (mode & 0o444) >> 2)
        temporary.replace(target)
    return count


def _files(experiment: config.Experiment) -> Iterator[tuple[str, str]]:
    """Yield (path in the folder, path of the result) of every file to copy."""
    home, results = f"results/{experiment['seed_name']}", f"results/{experiment['name']}"
    family = model_families.family(experiment["model"])
    for file in family["files"]:
        yield file, f"{home}/models/base/{file}"
    if family["latents"]:
        yield "frozen.json", f"{home}/latents/pretrained.json"
    if family["prompts"]:
        yield "attribution/prompts.json", f"{home}/prompts/texts.json"
    yield "attribution/gen.npy", f"{home}/queries/gen.npy"
    yield "attribution/uses.json", f"{home}/queries/uses.json"
    for method, options in config.methods(experiment).items():
        for kind in config.kinds(options):
            file = f"scores/{method}/{kind}.npy"
            yield f"attribution/{file}", f"{results}/{file}"
    for table in _TABLES:
        yield f"attribution/lds/{table}.csv", f"{results}/lds/{table}.csv"
    if experiment["removal"]["methods"]:
        yield "attribution/removal.csv", f"{results}/removal/summary.csv"
    yield "figures/lds-loss.png", f"{results}/figures/lds-loss.png"


def _check(root: Path, name: str, sources: Any) -> None:
    """Refuse a source that is missing or has other bytes than recorded."""
    entries: dict[str, Any] = {}
    for folder in records.partitions(root):
        entries |= records.load(root, folder).entries
    for source in sources:
        if not (root / source).is_file():
            raise UserError(
                f"{source} is not here; `./run pull {name}` fetches it, or `./run {name}` makes it"
            )
        if source in entries and records.sha256(root / source) != entries[source]["sha256"]:
            raise UserError(f"{source} is damaged; `./run verify {name}` tells more")


def _write_examples(root: Path, experiment: config.Experiment, folder: Path) -> None:
    """Write position in the pool and label of each training image and held-out query."""
    home = root / "results" / experiment["seed_name"] / "examples"
    for split in ("train", "val") if experiment["queries"]["val"] else ("train",):
        examples = artifacts.load_examples(home / f"{split}.npz")
        with (folder / f"attribution/{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row", "id", "label"])
            pairs = zip(examples.ids.tolist(), examples.labels.tolist(), strict=True)
            writer.writerows((row, *pair) for row, pair in enumerate(pairs))


def _draw_samples(folder: Path) -> None:
    """Draw the first generated images; the figure of the report also has training images."""
    from PIL import Image

    queries = artifacts.load_array(folder / "attribution/gen.npy", (None, None, None, None))
    pixels = np.rint((np.clip(queries, -1, 1) + 1) * 127.5).astype(np.uint8)
    pixels = pixels[: _COLUMNS * _ROWS].transpose(0, 2, 3, 1)  # [Q, H, W, C]
    step = _SIDE + 4
    sheet = Image.new(
        "RGB", (step * min(_COLUMNS, len(pixels)), step * -(-len(pixels) // _COLUMNS))
    )
    for i, picture in enumerate(pixels):
        colour = np.broadcast_to(picture, (*picture.shape[:2], 3))
        tile = Image.fromarray(np.ascontiguousarray(colour)).resize((_SIDE, _SIDE), Image.NEAREST)
        sheet.paste(tile, (step * (i % _COLUMNS) + 2, step * (i // _COLUMNS) + 2))
    sheet.save(folder / "figures/samples.png")


def published(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of an experiment in which paths on the user's disk are reduced to their last part.

    Args:
        experiment: From ``dasbench.experiments.config``.
    """
    copy = {name: dict(v) if isinstance(v, dict) else v for name, v in experiment.items()}
    for section, key in _PLACES:
        place = copy[section].get(key)
        if place and (Path(place).expanduser().exists() or place.startswith(("/", "~", "."))):
            copy[section][key] = Path(place).name
    return copy


def _write_cards(root: Path, experiment: config.Experiment, folder: Path) -> None:
    data = _data_card(
        root / "data" / config.pool_name(experiment) / "card.json", facts.of(experiment, root)
    )
    results = root / "results" / experiment["name"]
    uses = artifacts.load_json(folder / "attribution/uses.json")
    table = reference.table(reference.collect(results))
    methods = config.methods(experiment)
    experiment = published(experiment)
    model = experiment["model"]
    family = model_families.family(model)
    answers = {
        "experiment": experiment,
        "model": {"num_class_embeds": None, "lora": None, "revision": None, **model},
        "prompts": _prompts(folder),
        "side": artifacts.load_array(folder / "attribution/gen.npy").shape[-1],
        "version": __version__,
        "data": data,
        "uses": {kind: {use: len(rows) for use, rows in uses[kind].items()} for kind in uses},
        "methods": methods,
        "shown": "das" if "das" in methods else next(iter(methods)),
        "classes": experiment["data"]["classes"],
        "removal": (folder / "attribution/removal.csv").is_file(),
        # its names come from results, which may be from somebody else
        "table": html.escape(table, quote=False),
        "groups": report.flatten({key: experiment[key] for key in _SETTINGS}),
        "score_groups": report.flatten({key: experiment[key] for key in _SCORE_SETTINGS}),
        "family": family,
        "scheduler": _scheduler(folder),
        "parameters": _parameters(folder / family["files"][-1]),
        "rows": len((folder / "attribution/train.csv").read_text().splitlines()) - 1,
    }
    header = {**_licence(str(data["licence"])), "tags": ["data-attribution", "das-bench"]}
    hub = {"library_name": "diffusers", "pipeline_tag": family["tag"]}
    if family["adapter"] and "pretrained" in model:
        hub |= {"base_model": model["pretrained"]} if "/" in model["pretrained"] else {}
        hub["tags"] = [*header["tags"], "lora"]
    (folder / "README.md").write_text(_card("model_card.md.j2", {**header, **hub}, answers))
    pretty = {"pretty_name": f"Attribution scores of {experiment['name']}"}
    (folder / "attribution/README.md").write_text(
        _card("data_card.md.j2", {**header, **pretty}, answers)
    )


def _scheduler(folder: Path) -> str | None:
    """The class of diffusers of the scheduler; None for an adapter, whose folder has none."""
    path = folder / "scheduler/scheduler_config.json"
    return artifacts.load_json(path)["_class_name"] if path.is_file() else None


def _prompts(folder: Path) -> list[str]:
    """The prompts of the generated images, one for each class; empty without prompts."""
    path = folder / "attribution/prompts.json"
    return artifacts.load_json(path)[:-1] if path.is_file() else []


def _data_card(path: Path, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Facts about the data set, and measured facts about its images."""
    data = artifacts.load_json(path)
    data = {**(known or {}), **data} if isinstance(data, dict) else {}
    lacking = [key for key in _FACTS if key not in data]
    if lacking:
        raise UserError(f"{path} is damaged: it has no {lacking[0]}; {artifacts.remake(path)}")
    return data


def _licence(name: str) -> dict[str, str]:
    if name in _HUB:
        return {"license": _HUB[name]}
    return {"license": "other", "license_name": re.sub(r"\W+", "-", name.lower()).strip("-")}


def _card(template: str, header: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """A card: front matter for the hub, then the text; values in the text are escaped."""
    front = yaml.safe_dump(dict(header), sort_keys=True, allow_unicode=True)
    # not in the folder of the report's templates, because the report depends on that whole folder
    engine = pages.environment().overlay(loader=jinja2.FileSystemLoader(_CARDS))
    return f"---\n{front}---\n\n{engine.get_template(template).render(facts)}\n"


def _parameters(path: Path) -> int:
    """Number of weights, from the header of a safetensors file."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        shapes = [file.get_slice(key).get_shape() for key in file.keys()]
    return sum(math.prod(shape) for shape in shapes)


def _write_checksums(folder: Path) -> int:
    """Write SHA256SUMS, for ``sha256sum --check``; returns the number of all files."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    lines = [
        f"{records.sha256(p).removeprefix('sha256:')}  {p.relative_to(folder).as_posix()}\n"
        for p in paths
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return len(paths) + 1
