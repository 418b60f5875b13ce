"""Checks of an experiment before a run or a plan: too slow, or in need of files, for each loading.

* ``architecture``: diffusers builds the network, on torch's meta device, which holds no weights.
  This imports torch, so a network that was built once is remembered.
* ``images``: the data set has as many images as the experiment takes.
* ``scores``: files of scores computed elsewhere have one finite number for each image and query.

``dasbench.experiments.config`` makes all other checks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from dasbench import model_families
from dasbench.core.writing import write_text
from dasbench.core.yaml_schema import Problem, dotted, on_one_line, shorten
from dasbench.data import folder
from dasbench.errors import UserError, first_line
from dasbench.experiments import config
from dasbench.experiments.image_shapes import shape_for
from dasbench.planning import unet_cost

# digests of networks that diffusers has built here
KNOWN = ".snakemake/das-networks.json"
# images of a registered data set for training, and whether held-out images are taken from them
IMAGES = {
    "digits": (1797, True),
    "digits_marked": (1000, False),
    "digits_repeated": (1000, False),
    "digits_once": (820, False),
    "fashion": (60_000, False),
    "photos": (1280, True),
    "cifar10": (50_000, False),
    "celeba": (162_770, False),
    "artbench": (50_000, False),
}


def check(
    experiments: Iterable[Mapping[str, Any]],
    root: str | Path,
    shown: Mapping[str, str] | None = None,
) -> None:
    """Check complete experiments.

    Args:
        experiments: From ``dasbench.experiments.config``.
        root: Folder of the repository.
        shown: name -> file, for files that are not in the usual folder.

    Raises:
        UserError: One sentence per problem, each naming file, key, value and expectation.
    """
    root, shown = Path(root), shown or {}
    sentences = [
        f"{_file_of(e['name'], shown)}: {dotted(path)} {on_one_line(sentence)}"
        for e in experiments
        for path, sentence in _problems(e, root)
    ]
    if sentences:
        raise UserError("\n".join(sentences))


def _problems(experiment: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    if experiment["seed_name"] == experiment["name"]:  # a child uses these sections of its parent
        yield from images(experiment, root)
        yield from architecture(experiment, root)
    yield from scores(experiment, root)


def _file_of(name: str, shown: Mapping[str, str]) -> str:
    return shown.get(name, f"{config.FOLDER}/{name}.yaml")


def images(experiment: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Compare ``data.train`` and ``queries.val`` with the images that there are.

    The numbers come from the pool, if it has been made, else from what is known of the data set, or
    from the user's folder, if it is here.
    """
    data, val = experiment["data"], experiment["queries"]["val"]
    pool = root / "data" / config.pool_name(experiment) / "pool.npz"
    train, shared, advice = data["train"], False, ""
    counted = _count(pool, data["classes"]) if pool.is_file() else None
    source = f"{pool.relative_to(root)} has"
    if counted and _enough(data, val, *counted):
        return
    if data["dataset"] == "folder" and (there := _pictures(data, root)):
        if counted and _enough(data, val, *there):  # pictures were added
            advice = f"; the folder has more now: remove {pool.relative_to(root)} to read it again"
        elif not counted:
            counted, source = there, f"{data['path']} holds"
    if counted:
        available, held_out = counted
        shared = not held_out
        if held_out and val > held_out:
            yield ("queries", "val"), f"is {val}, but {source} {held_out} held-out images{advice}"
    elif data["dataset"] in IMAGES:
        available, shared = IMAGES[data["dataset"]]
        source = f"{data['dataset']} has at most"
    else:
        return
    of = " of these classes" * (data["classes"] != "all")
    if train > available:
        yield (
            ("data", "train"),
            f"is {train}, but {source} {available} images{of} for training{advice}",
        )
    elif shared and train + val > available:
        yield (
            ("data", "train"),
            f"is {train} and queries.val {val}, but {source} {available} images{of} for both"
            f"{advice}",
        )


def _enough(data: Mapping[str, Any], val: int, available: int, held_out: int) -> bool:
    if held_out:
        return data["train"] <= available and val <= held_out
    return data["train"] + val <= available


def _pictures(data: Mapping[str, Any], root: Path) -> tuple[int, int] | None:
    """As ``_count``, of the user's folders; None if they are elsewhere, or a job will refuse them.

    Files are not opened, so bad ones are among them.
    """
    if data["classes"] != "all" or not data["path"]:
        return None
    try:
        place = folder.opened(root / Path(data["path"]).expanduser(), "data.path")
        table = data["labels"] and root / Path(data["labels"]).expanduser()
        found = [folder.listing(place, table)]
        if data["held_out"]:
            others = root / Path(data["held_out"]).expanduser()
            found.append(folder.listing(folder.opened(others, "data.held_out")))
    except UserError:
        return None
    counts = [len(each.label_of) for each in found]
    most = data["limit"] or max(counts)
    return min(counts[0], most), min(counts[1], most) if data["held_out"] else 0


def _count(pool: Path, classes: Any) -> tuple[int, int] | None:
    """Images of a pool for training, and held-out images; None if it cannot be read."""
    import numpy as np

    try:
        with np.load(pool, allow_pickle=False) as content:
            if "parts" in content:  # read from files: it has only the classes in use
                parts = content["parts"]
                return int((parts == 0).sum()), int((parts == 1).sum())
            labels = content["labels"]
    except Exception:  # the job that reads it says what is wrong with it
        return None
    chosen = np.ones(len(labels), bool) if classes == "all" else np.isin(labels, classes)
    return int(chosen.sum()), 0


def scores(experiment: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Check the files of scores computed elsewhere: shape, type, finite numbers."""
    for name, options in experiment["methods"].items():
        for kind, file in options.get("scores", {}).items():
            shape = (experiment["data"]["train"], experiment["queries"][kind])
            if problem := _score_problem(root / file, shape):
                yield ("methods", name, "scores", kind), f"is {file}, {problem}"


def _score_problem(path: Path, shape: tuple[int, int]) -> str | None:
    """What is wrong with a file of scores [N, Q], or None."""
    import numpy as np

    if not path.is_file():
        return "which does not exist"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        return f"which is no .npy file of numbers: {first_line(error)}"
    return _array_problem(array, shape)


def _array_problem(array: Any, shape: tuple[int, int]) -> str | None:
    import numpy as np

    if not isinstance(array, np.ndarray):
        return "which is an archive, expected one array saved by numpy.save"
    if array.dtype.kind != "f":
        return f"which has dtype {array.dtype}, expected a float; save it as float32"
    if array.shape != shape:
        return f"which has shape {array.shape}, expected {shape}: training images by queries"
    rows = max(1, 2**22 // shape[1])
    for start in range(0, shape[0], rows):
        wrong = np.argwhere(~np.isfinite(array[start : start + rows]))
        if len(wrong):
            row, column = wrong[0]
            return f"which is not finite at [{start + row}, {column}]; scores are finite numbers"
    return None


def architecture(experiment: Mapping[str, Any], root: Path) -> Iterator[Problem]:
    """Build the network of an experiment as diffusers would in a job, without weights."""
    model = experiment["model"]
    if model_families.family(model)["adapter"]:
        return  # its network is pretrained
    try:
        shape = unet_cost.seen_shape(model, shape_for(experiment, root))
    except UserError:
        return  # the size of the images is not known before they are here
    key = [model, shape, metadata.version("diffusers")]
    digest = hashlib.sha256(config.canonical(key).encode()).hexdigest()
    known = _known(root)
    if digest in known:
        return
    reason = _refusal(model, shape)
    if reason is None:
        write_text(root / KNOWN, json.dumps(sorted({*known, digest}), indent=1) + "\n")
        return
    blamed = [key for key in _optional(model) if _refusal(_without(model, key), shape) is None]
    if blamed:
        value = shorten(model[blamed[0]])
        yield ("model", blamed[0]), f"is {value}, which diffusers refuses: {reason}"
    else:
        yield ("model",), f"is refused by diffusers: {reason}"


def _known(root: Path) -> set[str]:
    try:
        return set(json.loads((root / KNOWN).read_text()))
    except (OSError, ValueError, TypeError):
        return set()


def _refusal(model: Mapping[str, Any], shape: tuple[int, int, int]) -> str | None:
    """Why diffusers does not build the network, or why it takes no image; None if it does."""
    try:
        unet_cost.by_building(model, shape)
    except Exception as error:  # diffusers and torch raise many classes
        return first_line(error).rstrip(".")
    return None


def _optional(model: Mapping[str, Any]) -> list[str]:
    """Keys of ``model`` that may be at fault, the ones with fewest effects on others first."""
    ours = {"family", "pretrained", "revision", "lora", "prompt", "block_out_channels"}
    blocks = ["up_block_types", "down_block_types"]
    return [*blocks, *sorted(model.keys() - {*ours, *blocks})]


def _without(model: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The section with a usual value in the place of ``key``, or with diffusers' default."""
    levels = len(model["block_out_channels"])
    usual = {
        "up_block_types": ["UpBlock2D"] * levels,
        "down_block_types": ["DownBlock2D"] * levels,
        "norm_num_groups": 1,
    }
    rest = {name: value for name, value in model.items() if name != key}
    return rest | ({key: usual[key]} if key in usual else {})
