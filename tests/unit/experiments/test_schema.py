"""The schema, the page that explains it, the registry and the recorded experiments agree."""

import json
from pathlib import Path

import yaml

from dasbench import registry
from dasbench.core.yaml_schema import dotted
from dasbench.experiments import config
from dasbench.registry import DATASETS, METHODS

ROOT = Path(__file__).parents[3]
RECORDED = ("digits", "smoke")


def raw(name):
    return yaml.safe_load((ROOT / config.FOLDER / f"{name}.yaml").read_text())


def test_registry_is_complete():
    for name, entry in METHODS.items():
        assert config.NAME.fullmatch(name)
        module = ROOT / registry.METHOD_FOLDER / f"{entry['module']}.py"
        assert module.is_file(), f"{name}: {module} is missing"
        json.dumps(entry)
    for name, entry in DATASETS.items():
        assert (ROOT / registry.DATASET_FOLDER / f"{entry['module']}.py").is_file(), name


def test_recorded_experiments_name_every_section():
    """DVC compares sections of the file, so a default must not hide there."""
    sections = set(yaml.safe_load(config.SCHEMA.read_text())["properties"])
    sections -= {"parent", "base", "debug_of", "parameters_of"}  # of other kinds of experiments
    for name in RECORDED:
        assert set(raw(name)) == sections


def walk(schema, path=()):
    yield path, schema
    for kind in ("properties", "patternProperties"):
        for key, part in schema.get(kind, {}).items():
            yield from walk(part, (*path, key))
    if "items" in schema:
        yield from walk(schema["items"], (*path, "items"))


def test_schema_describes_and_closes_everything():
    schema = yaml.safe_load(config.SCHEMA.read_text())
    for path, part in walk(schema):
        if "properties" in part or "patternProperties" in part:
            assert part["additionalProperties"] is False, path
        if path and path[-1] != "items":
            assert part.get("description"), path
        if {"integer", "number"} & set(
            [part.get("type")] if isinstance(part.get("type"), str) else part["type"]
        ):
            assert {"minimum", "exclusiveMinimum"} & set(part), path
            assert {"maximum", "exclusiveMaximum"} & set(part), path


def arguments_of(file, name):
    import ast
    import importlib.util

    folder = Path(importlib.util.find_spec("diffusers").origin).parent
    tree = ast.parse((folder / "models" / file).read_text())
    model = next(n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name)
    init = next(n for n in model.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    return {argument.arg for argument in init.args.args}


def test_model_keys_are_arguments_of_the_model():
    """Read from the source: importing diffusers takes seconds."""
    arguments = arguments_of("unets/unet_2d.py", "UNet2DModel")
    arguments |= arguments_of("transformers/dit_transformer_2d.py", "DiTTransformer2DModel")
    schema = yaml.safe_load(config.SCHEMA.read_text())
    ours = {"family", "pretrained", "revision", "lora", "prompt", "frozen"}
    assert set(schema["properties"]["model"]["properties"]) - ours <= arguments


def test_readme_explains_every_key():
    text = (ROOT / "config/README.md").read_text()
    schema = yaml.safe_load(config.SCHEMA.read_text())
    for path, part in walk(schema):
        if (
            path
            and path[-1] != "items"
            and "properties" not in part
            and "patternProperties" not in part
        ):
            keys = [key for key in path if key != "items" and not key.startswith("^")]
            if keys[0] == "methods":
                keys = keys[-1:]
            assert f"`{dotted(keys)}`" in text, path


def test_readme_states_the_defaults():
    text = (ROOT / "config/README.md").read_text()
    schema = yaml.safe_load(config.SCHEMA.read_text())
    for path, part in walk(schema):
        if "default" in part and part["default"] != {}:
            row = next(line for line in text.splitlines() if line.startswith(f"| `{dotted(path)}`"))
            stated = yaml.safe_load(row.split("|")[4].strip().strip("`"))
            assert stated == part["default"], path
