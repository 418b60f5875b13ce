"""Experiment files: read, fill in, check, and derive what rules need from them.

An *experiment* is one file ``config/experiments/<name>.yaml``. ``workflow/schemas/
experiment.schema.yaml`` says which keys there are, ``config/README.md`` what they mean. Loading
gives a plain dict with every section complete, plus

* ``name``: the file's name;
* ``parent``: the experiment whose models are used, or None;
* ``seed_name``: the root of the chain of parents, or the experiment itself: the name that stands
  first in every seed, and under ``results/`` for what is shared.

Standard library, yaml and jsonschema only: this is imported by every planning run.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dasbench import config_checks
from dasbench.config_schema import (
    Problem,
    dotted,
    fill_defaults,
    on_one_line,
    read_schema,
    read_yaml,
    schema_problems,
    settle_numbers,
    suggestion,
)
from dasbench.errors import UserError
from dasbench.layout import KINDS
from dasbench.registry import METHODS

Experiment = dict[str, Any]

FOLDER = "config/experiments"
SCHEMA = "workflow/schemas/experiment.schema.yaml"
NAME = re.compile(r"[a-z][a-z0-9_]*")

# an experiment with a parent takes these over as they are
SHARED = ("seed", "data", "model", "diffusion", "training", "subsets", "queries", "outputs")
# and from these the keys that it does not give itself
INHERITED = ("features", "residuals", "damping", "embedding", "lds")

PHASES = tuple(
    "pool examples base tune eval queries outputs features scores lds removal report".split()
)
SUBCOMMANDS = tuple("test save push pull verify prune bundle attribute bench estimate help".split())
RESERVED = frozenset({*PHASES, *SUBCOMMANDS, "all", "none", "snakemake", "dvc"})

NO_EMBEDDING = "no image embeddings: embedding.model names no CLIP model"
_SUFFIXES = (("timesteps", "T"), ("draws", "E"), ("dimensions", "P"))


def names(root: str | Path) -> list[str]:
    """Names of all experiments, sorted; their files are not read."""
    files = Path(root, FOLDER).glob("*.yaml")
    return sorted(file.stem for file in files if not file.name.startswith("."))


def load_all(root: str | Path, reserved: Iterable[str] = ()) -> dict[str, Experiment]:
    """Load every experiment; see ``load``."""
    return {name: load(name, root, reserved) for name in names(root)}


def load(name: str, root: str | Path, reserved: Iterable[str] = ()) -> Experiment:
    """Load one experiment.

    Args:
        name: Name of the experiment, its file's name without ``.yaml``.
        root: Folder of the repository.
        reserved: Further names that an experiment may not bear, for example of rules.

    Returns:
        The experiment with defaults filled in and the parent's sections taken over.

    Raises:
        UserError: One sentence per problem, each naming file, key, value and expectation.
    """
    return _load(name, Path(root), frozenset(reserved), ())


def _load(name: str, root: Path, reserved: frozenset[str], children: tuple[str, ...]) -> Experiment:
    known = names(root)
    if name not in known:
        raise UserError(
            f"{name} is not an experiment; known: {', '.join(known)}{suggestion(name, known)}"
        )
    shown = f"{FOLDER}/{name}.yaml"
    _check_name(name, known, reserved | _rule_names(root))
    return _complete(root / shown, shown, root, reserved, (*children, name))


def load_file(path: str | Path, root: str | Path) -> Experiment:
    """Load an experiment that lies elsewhere, to plan with it; its data set may be unknown here.

    Args:
        path: The file; its stem is the experiment's name.
        root: Folder of the repository, for the schema and a parent.

    Raises:
        UserError: As ``load`` does.
    """
    path = Path(path)
    return _complete(path, str(path), Path(root), frozenset(), (path.stem,), planned=True)


def _complete(
    path: Path,
    shown: str,
    root: Path,
    reserved: frozenset[str],
    chain: tuple[str, ...],
    planned: bool = False,
) -> Experiment:
    """Read, fill in and check one file; ``chain`` ends with its name, after those of children."""
    name, data = chain[-1], read_yaml(path, shown)
    if not isinstance(data, dict):
        raise UserError(f"{shown}: expected a mapping of sections such as data, model and methods")
    schema = _schema(root / SCHEMA)
    parent, seed_name = data.get("parent"), name
    if isinstance(parent, str):
        origin = _parent(parent, root, reserved, chain)
        seed_name = origin["seed_name"]
        data = _with_parent(data, origin, shown)
    data = _spell_out_methods(data)
    filled = fill_defaults(data, schema)
    _report(schema_problems(filled, schema), shown)
    experiment = settle_numbers(filled, schema)
    found = config_checks.problems(experiment)
    unknown_data = ("data", "dataset")
    _report((p for p in found if not planned or p[0] != unknown_data), shown)
    return {**experiment, "name": name, "parent": parent, "seed_name": seed_name}


@functools.cache
def _schema(path: Path) -> dict[str, Any]:
    return read_schema(path)


def _check_name(name: str, known: Iterable[str], reserved: frozenset[str]) -> None:
    shown = f"{FOLDER}/{name}.yaml"
    if not NAME.fullmatch(name):
        raise UserError(
            f"{shown}: the name {name} must match {NAME.pattern} (lower case letters, digits, _); "
            "rename the file"
        )
    if name in RESERVED or name in reserved:
        raise UserError(
            f"{shown}: {name} is the name of a rule or a subcommand of ./run; rename the file"
        )
    for phase in PHASES:
        other = name.removeprefix(f"{phase}_")
        if other != name and other in known:
            raise UserError(
                f"{shown}: {name} is also the {phase} phase of experiment {other}; rename the file"
            )


def _rule_names(root: Path) -> frozenset[str]:
    """A rule and its script share a name."""
    return frozenset(script.stem for script in root.glob("scripts/*.py"))


def _parent(
    name: str, root: Path, reserved: frozenset[str], children: tuple[str, ...]
) -> Experiment:
    shown = f"{FOLDER}/{children[-1]}.yaml"
    if name in children:
        chain = " -> ".join((*children, name))
        raise UserError(f"{shown}: parent is {name}, which leads back to itself ({chain})")
    known = [other for other in names(root) if other not in children]
    if name not in known:
        raise UserError(
            f"{shown}: parent is {name}, expected one of the other experiments: {', '.join(known)}"
            f"{suggestion(name, known)}"
        )
    return _load(name, root, reserved, children)


def _with_parent(data: Mapping[str, Any], parent: Experiment, shown: str) -> dict[str, Any]:
    """Complete the sections of a child from its parent."""
    doubled = [key for key in SHARED if key in data]
    if doubled:
        raise UserError(
            f"{shown}: {doubled[0]} cannot stand beside parent: {parent['name']}, "
            f"whose {doubled[0]} is used; remove one of the two"
        )
    merged = dict(data)
    for key in SHARED:
        merged[key] = copy.deepcopy(parent[key])
    for key in INHERITED:
        own = data.get(key, {})
        merged[key] = {**copy.deepcopy(parent[key]), **own} if isinstance(own, dict) else own
    return merged


def _spell_out_methods(data: dict[str, Any]) -> dict[str, Any]:
    """``das:`` with nothing behind it means ``das: {}``; a new name with scores is external."""
    methods_ = data.get("methods")
    if not isinstance(methods_, dict):
        return data
    return {**data, "methods": {name: _spell_out(name, over) for name, over in methods_.items()}}


def _spell_out(name: str, overrides: Any) -> Any:
    if overrides is None:
        return {}
    if name not in METHODS and isinstance(overrides, dict) and "scores" in overrides:
        return {"like": "external", **overrides}
    return overrides


def _report(found: Iterable[Problem], shown: str) -> None:
    """Raise all problems, one sentence a line, ordered by path."""
    ordered = sorted(
        set(found), key=lambda problem: ([str(part) for part in problem[0]], problem[1])
    )
    if ordered:
        raise UserError(
            "\n".join(
                f"{shown}: {dotted(path)} {on_one_line(sentence)}" for path, sentence in ordered
            )
        )


def methods(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Options of every method of an experiment, in the file's order.

    Returns:
        Per name: the registry's entry with the overrides; gradient features are complete (with
        timesteps, draws, dimensions and projection), so this is all that a score depends on besides
        its inputs. Methods that apply to no query are left out, see ``inapplicable``.
    """
    found = _all_methods(experiment)
    return {name: options for name, options in found.items() if kinds(options)}


def _all_methods(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: _resolve(name, over, experiment) for name, over in experiment["methods"].items()}


def kinds(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Kinds of queries that a method, one of ``methods(experiment)``, has scores of."""
    return tuple(kind for kind in KINDS if kind not in options.get("inapplicable", {}))


def inapplicable(experiment: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Method -> kind of query -> why it has no scores; methods that apply to all are left out."""
    reasons = {name: o.get("inapplicable", {}) for name, o in _all_methods(experiment).items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _resolve(
    name: str, overrides: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, Any]:
    options = copy.deepcopy(METHODS[overrides.get("like", name)])
    for key, value in overrides.items():
        if key != "like":
            both = isinstance(value, dict) and isinstance(options[key], dict)
            options[key] = {**options[key], **value} if both else copy.deepcopy(value)
    if isinstance(options.get("features"), dict):
        options["features"] = {**experiment["features"], **options["features"]}
    if options.get("features") == "embeddings" and not experiment["embedding"]["model"]:
        options["inapplicable"] = dict.fromkeys(KINDS, NO_EMBEDDING)
    return options


def checkpoints(experiment: Mapping[str, Any]) -> list[int]:
    """Epochs after which the base model is kept: evenly spread, the last one included."""
    training = experiment["training"]
    count = min(training["checkpoints"], training["epochs"])
    return [training["epochs"] * (c + 1) // count for c in range(count)]


def feature_sets_of(
    options: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The sets of gradient features of one method, in the order in which it is given them.

    Args:
        options: ``methods(experiment)[name]``. With ``checkpoints`` there is one for each of them;
            the last checkpoint is the base model, whose features have no checkpoint in their name.
        experiment: As for ``feature_name``.

    Returns:
        name -> settings; empty for pixels, embeddings and methods without features.
    """
    features = options.get("features")
    if not isinstance(features, Mapping):
        return {}
    sets = [dict(features)]
    if "checkpoints" in options:
        every = range(len(checkpoints(experiment)))
        chosen = every if options["checkpoints"] == "all" else options["checkpoints"]
        sets = [
            {**features, **({"checkpoint": c} if c != every[-1] else {})} for c in sorted(chosen)
        ]
    return {feature_name(settings, experiment): settings for settings in sets}


def feature_sets(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of gradient features that some method needs: name -> settings, each once."""
    found = {}
    for options in methods(experiment).values():
        found |= feature_sets_of(options, experiment)
    return found


def feature_name(
    features: Mapping[str, Any] | str | None, experiment: Mapping[str, Any]
) -> str | None:
    """Readable name of a feature set, such as ``mean-normalised-keyed`` or ``loss-keyed-T100``.

    Args:
        features: ``methods(experiment)[name].get("features")``.
        experiment: Settings that equal the experiment's own are left out of the name.

    Returns:
        The name, or None for pixels and for methods without features.
    """
    if not isinstance(features, Mapping):
        return None
    parts = [features["readout"]]
    parts += [f"{kind}{n}" for kind, n in features.get("probes", {}).items() if n]
    parts += ["normalised"] if features["normalise"] else []
    parts += [features["noise"]]
    parts += ["released"] if features["timestep_rule"] == "released" else []
    usual = experiment["features"]
    parts += [
        f"{letter}{features[key]}" for key, letter in _SUFFIXES if features[key] != usual[key]
    ]
    if features["projection"] != usual["projection"]:
        parts.append({"none": "unprojected"}.get(features["projection"], features["projection"]))
    for key, none in (
        ("norms", ""),
        ("oversampling", "times"),
        ("parameters", ""),
        ("candidates", "all"),
        ("dtype", ""),
    ):
        if features[key] != usual[key]:
            parts.append(f"{none and key}{features[key] or none}")
    parts += [f"checkpoint{features['checkpoint']:02d}"] if "checkpoint" in features else []
    return "-".join(parts)


def residual_name(options: Mapping[str, Any], experiment: Mapping[str, Any]) -> str | None:
    """Name of the residuals that a method needs, such as ``scalar`` or ``scalar-T100``, or None.

    The scalar form is taken at the method's own feature timesteps, the released form at a grid of
    its own.
    """
    kind = options.get("residual", "none")
    if kind == "none":
        return None
    usual, own = experiment["features"], options["features"]
    parts = [kind]
    if kind == "scalar":
        parts += [f"T{own['timesteps']}"] * (own["timesteps"] != usual["timesteps"])
        parts += [f"E{own['draws']}"] * (own["draws"] != usual["draws"])
        parts += ["released"] * (own["timestep_rule"] == "released")
    return "-".join(parts)


def residual_sets(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every set of residuals that some method needs: name -> settings, each once."""
    found = {}
    for options in methods(experiment).values():
        name = residual_name(options, experiment)
        if name:
            own, released = options["features"], options["residual"] == "released"
            count = experiment["residuals"]["released_timesteps"]
            found[name] = {
                "kind": options["residual"],
                "timesteps": count if released else own["timesteps"],
                "timestep_rule": "released" if released else own["timestep_rule"],
                "draws": experiment["features"]["draws"] if released else own["draws"],
            }
    return found


def canonical(settings: Any) -> str:
    """One string per setting: sorted keys, no spaces; what a rule declares as ``params``.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
