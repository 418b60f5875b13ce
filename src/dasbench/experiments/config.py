"""Experiment files: read them, add defaults, check them, and derive options for the rules.

An *experiment* is one file ``config/experiments/<name>.yaml``. Its keys are defined in
``experiment.schema.yaml`` beside this module and explained in ``config/README.md``. Loading gives a
plain dict with every section complete, plus

* ``name``: the file's name without suffix;
* ``parent``: the experiment whose models this one uses, or None;
* ``seed_name``: the root of the chain of parents, or the experiment itself. This name is the first
  axis of every seed. Shared files are in ``results/<seed_name>``;
* ``base_home``: the experiment that trained the attributed base model: ``seed_name``, or a
  replicate in the chain of parents that trains a base model of its own;
* ``full_models``: number of models of the root that are trained on all examples: the base model
  and the null models of its removal study.

Standard library, yaml and jsonschema only: every planning run imports this module.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from dasbench import model_families
from dasbench.core.query_kinds import KINDS, NO_HELD_OUT, of
from dasbench.core.subcommands import SUBCOMMANDS
from dasbench.core.yaml_schema import (
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
from dasbench.experiments import config_checks, debug_size, study_checks
from dasbench.registry import METHODS, reads_files

Experiment = dict[str, Any]

FOLDER = "config/experiments"
SCHEMA = Path(str(resources.files("dasbench.experiments"))) / "experiment.schema.yaml"
NAME = re.compile(r"[a-z][a-z0-9_]*")

# a child uses these sections of its parent unchanged
SHARED = tuple("seed data model diffusion training base subsets queries outputs".split())
# in these sections, a child's keys override those of its parent
INHERITED = ("features", "residuals", "damping", "embedding", "lds")

PHASES = tuple(
    "pool examples base tune eval queries outputs features scores lds removal report".split()
)
# phases that are no stage of dvc.yaml
STUDIES = tuple(
    "tuning effects costs replicates grids replay rules left_out truths ranking bound retrieval "
    "trajectory adaptation".split()
)
RESERVED = frozenset({*PHASES, *STUDIES, *SUBCOMMANDS, "all", "none", "snakemake", "dvc"})
_RULE = re.compile(r"^ *(?:use rule \w+ as|rule) (\w+)", re.MULTILINE)

NO_FILE = "no file of scores is given"
NO_EMBEDDING = "no image embeddings: embedding.model names no CLIP model"


def names(root: str | Path) -> list[str]:
    """Names of all experiments, sorted; their files are not read."""
    files = Path(root, FOLDER).glob("*.yaml")
    return sorted(file.stem for file in files if not file.name.startswith("."))


def load_all(root: str | Path) -> dict[str, Experiment]:
    """Load every experiment; see ``load``."""
    return {name: load(name, root) for name in names(root)}


def load_sound(root: str | Path) -> tuple[dict[str, Experiment], dict[str, UserError]]:
    """Load every experiment that can be loaded, so that a broken file stops its own runs alone.

    Returns:
        The experiments; and name -> error of the others, children of a broken experiment included.
    """
    loaded, broken = {}, {}
    for name in names(root):
        try:
            loaded[name] = load(name, root)
        except UserError as error:
            broken[name] = error
    return loaded, broken


def load(name: str, root: str | Path) -> Experiment:
    """Load one experiment.

    Args:
        name: Name of the experiment, its file's name without ``.yaml``.
        root: Folder of the repository.

    Returns:
        The experiment with defaults filled in and the parent's sections taken over.

    Raises:
        UserError: One sentence per problem, each naming file, key, value and expectation.
    """
    return _load(name, Path(root), ())


def _load(name: str, root: Path, children: tuple[str, ...]) -> Experiment:
    known = names(root)
    if name not in known:
        raise UserError(
            f"{name} is not an experiment; known: {', '.join(known)}{suggestion(name, known)}"
        )
    shown = f"{FOLDER}/{name}.yaml"
    _check_name(name, known, _rule_names(root))
    return _complete(root / shown, shown, root, (*children, name))


def load_file(path: str | Path, root: str | Path) -> Experiment:
    """Load an experiment file outside ``config/experiments``, for planning only.

    The data set may be missing from the registry.

    Args:
        path: The file; its stem is the experiment's name.
        root: Folder of the repository, for the schema and a parent.

    Raises:
        UserError: As ``load`` does.
    """
    path = Path(path)
    return _complete(path, str(path), Path(root), (path.stem,), planned=True)


def _complete(
    path: Path,
    shown: str,
    root: Path,
    chain: tuple[str, ...],
    planned: bool = False,
) -> Experiment:
    """Read one file, add defaults and check it.

    ``chain`` has the names of the experiments that refer to this one, and last its own name.
    """
    name, data = chain[-1], read_yaml(path, shown)
    if not isinstance(data, dict):
        raise UserError(f"{shown}: expected a mapping of sections such as data, model and methods")
    schema = _schema(SCHEMA)
    parent, seed_name, base_home, origin = data.get("parent"), name, name, None
    if isinstance(parent, str):
        origin = _parent(parent, root, chain)
        seed_name, base_home = origin["seed_name"], origin["base_home"]
        data = _with_parent(data, origin, shown)
    large, small = data.get("debug_of"), data
    if isinstance(large, str):
        whole = _parent(large, root, chain, "debug_of")
        data = debug_size.merge(whole, data)
    data = _spell_out_methods(data)
    filled = fill_defaults(data, schema)
    _report(schema_problems(filled, schema), shown)
    experiment = settle_numbers(filled, schema)
    # the schema also added the defaults of keys that only other families use
    defaults = schema["properties"]["model"]["properties"]
    family = model_families.family(experiment["model"])
    experiment["model"] = {
        key: value
        for key, value in experiment["model"].items()
        if not (config_checks.refused(family, key) and value == defaults[key].get("default"))
    }
    defaults, taken = schema["properties"]["diffusion"]["properties"], experiment["diffusion"]
    experiment["diffusion"] = {
        key: value
        for key, value in taken.items()
        if config_checks.takes(taken["process"], key) or value != defaults[key].get("default")
    }
    experiment["full_models"] = (
        origin["full_models"] if origin else study_checks.full_models(experiment)
    )
    problems = config_checks.problems(experiment)
    unknown_data = ("data", "dataset")
    _report((p for p in problems if not planned or p[0] != unknown_data), shown)
    _report(study_checks.named(experiment, names(root)), shown)
    _report(_borrowed(experiment, root, chain), shown)
    if isinstance(large, str):
        _report(debug_size.problems(whole, experiment, small), shown)
    home = name if experiment["replicate"]["base"] else base_home
    names_ = {"name": name, "parent": parent, "seed_name": seed_name, "base_home": home}
    return {**experiment, **names_}


def _borrowed(
    experiment: Mapping[str, Any], root: Path, chain: tuple[str, ...]
) -> Iterable[Problem]:
    """Check what is taken from other experiments, which are loaded for it."""
    once = experiment["retrieval"]["once"]
    for key, name, check in (
        ("parameters_of", experiment.get("parameters_of"), study_checks.parameters),
        ("retrieval.once", once, study_checks.once),
    ):
        if name is not None:
            other = _parent(name, root, chain, key)
            yield from check(experiment, other, methods(experiment), methods(other))


@functools.cache
def _schema(path: Path) -> dict[str, Any]:
    return read_schema(path)


def _check_name(name: str, known: Iterable[str], rules: frozenset[str]) -> None:
    shown = f"{FOLDER}/{name}.yaml"
    if not NAME.fullmatch(name):
        raise UserError(
            f"{shown}: the name {name} must match {NAME.pattern} (lower case letters, digits, _); "
            "rename the file"
        )
    if name in RESERVED or name in rules:
        raise UserError(
            f"{shown}: {name} is the name of a rule or a subcommand of ./run; rename the file"
        )
    for rule in sorted({*PHASES, *STUDIES, *rules}):
        other = name.removeprefix(f"{rule}_")
        if other != name and other in known:
            raise UserError(
                f"{shown}: {name} is also the name of {rule} for experiment {other}; rename the "
                "file"
            )


@functools.cache
def _rule_names(root: Path) -> frozenset[str]:
    """Names of all rules: the names of the scripts, and of rules that share a script."""
    rules = [_RULE.findall(file.read_text()) for file in root.glob("workflow/rules/*.smk")]
    scripts = {script.stem for script in root.glob("scripts/*.py")}
    return frozenset(scripts.union(*rules))


def _parent(name: str, root: Path, children: tuple[str, ...], key: str = "parent") -> Experiment:
    shown = f"{FOLDER}/{children[-1]}.yaml"
    if name in children:
        chain = " -> ".join((*children, name))
        raise UserError(f"{shown}: {key} is {name}, which leads back to itself ({chain})")
    known = [other for other in names(root) if other not in children]
    if name not in known:
        raise UserError(
            f"{shown}: {key} is {name}, expected one of the other experiments: {', '.join(known)}"
            f"{suggestion(name, known)}"
        )
    return _load(name, root, children)


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
        section = data.get(key, {})
        merged[key] = (
            {**copy.deepcopy(parent[key]), **section} if isinstance(section, dict) else section
        )
    return merged


def _spell_out_methods(data: dict[str, Any]) -> dict[str, Any]:
    """Read ``das:`` without a value as ``das: {}``, and a new name with scores as external."""
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


def _report(problems: Iterable[Problem], shown: str) -> None:
    """Raise one UserError with all problems, one sentence a line, ordered by path."""
    ordered = sorted(
        set(problems), key=lambda problem: ([str(part) for part in problem[0]], problem[1])
    )
    if ordered:
        raise UserError(
            "\n".join(
                f"{shown}: {dotted(path)} {on_one_line(sentence)}" for path, sentence in ordered
            )
        )


def pool_name(experiment: Mapping[str, Any]) -> str:
    """Folder under ``data/`` with an experiment's pool.

    A data set from a package has one pool, with the name of the data set. The pool of a data set
    that is read from files depends on size and classes. It has the name of the root experiment.
    """
    dataset = experiment["data"]["dataset"]
    return experiment["seed_name"] if reads_files(dataset) else dataset


def methods(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Options of every method of an experiment, in the file's order.

    Returns:
        Name -> the registry's entry with the experiment's overrides. Gradient features have all
        their settings, such as timesteps, draws, dimensions and projection. So a score depends only
        on these options and its input files. Methods that apply to no kind of query are left out,
        see ``inapplicable``.
    """
    options_of = _all_methods(experiment)
    return {name: options for name, options in options_of.items() if kinds(options)}


def _all_methods(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    resolved = {n: _resolve(n, over, experiment) for n, over in experiment["methods"].items()}
    floors = [{"name": n, **o} for n, o in resolved.items() if "form" in o and kinds(o)]
    for options in resolved.values():
        if "members" in options:
            options["members"] = floors
            options["features"] = "embeddings" if any(map(_embeds, floors)) else "pixels"
    return resolved


def _embeds(options: Mapping[str, Any]) -> bool:
    """Whether a method compares embeddings."""
    return options.get("features") == "embeddings"


def kinds(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Kinds of queries for which a method has scores.

    Args:
        options: Options of the method, from ``methods(experiment)``.
    """
    return tuple(kind for kind in KINDS if kind not in options.get("inapplicable", {}))


def inapplicable(experiment: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Method -> kind of query -> reason for no scores; only methods that lack some scores."""
    reasons = {name: o.get("inapplicable", {}) for name, o in _all_methods(experiment).items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _resolve(
    name: str, overrides: Mapping[str, Any], experiment: Mapping[str, Any]
) -> dict[str, Any]:
    options = copy.deepcopy(METHODS[overrides.get("like", name)])
    for key, value in overrides.items():
        if key != "like":
            both = isinstance(value, dict) and isinstance(options.get(key), dict)
            options[key] = {**options[key], **value} if both else copy.deepcopy(value)
    if isinstance(options.get("features"), dict):
        options["features"] = {**experiment["features"], **options["features"]}
    if _embeds(options) and not experiment["embedding"]["model"]:
        options["inapplicable"] = dict.fromkeys(KINDS, NO_EMBEDDING)
    files = options.get("scores") or KINDS
    reasons = {kind: NO_FILE for kind in KINDS if kind not in files}
    reasons |= dict.fromkeys(sorted(set(KINDS) - set(of(experiment))), NO_HELD_OUT)
    if reasons:
        options["inapplicable"] = options.get("inapplicable", {}) | reasons
    return options


def checkpoints(experiment: Mapping[str, Any]) -> list[int]:
    """Epochs after which a checkpoint of the base model is kept: evenly spread, last included."""
    training = experiment["training"]
    count = min(training["checkpoints"], training["epochs"])
    return [training["epochs"] * (c + 1) // count for c in range(count)]


def canonical(settings: Any) -> str:
    """JSON of settings with sorted keys and no spaces: equal settings give equal strings.

    Rules declare these strings as ``params``.

    Raises:
        ValueError: If a number is not finite.
    """
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), allow_nan=False)
