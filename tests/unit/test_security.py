"""What a collaborator sends can be refused or shown; it can never run, escape, or go unnoticed."""

import ast
import contextlib
import os
import pickle
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from dasbench.core import artifacts, tables
from dasbench.diffusion.families import pixel
from dasbench.errors import UserError
from dasbench.experiments import config
from dasbench.reports import cost_page, pages
from dasbench.reports.figures import costs as drawing
from experiment_files import load, make_repository, raw
from hostile import HTML, assert_harmless

ROOT = Path(__file__).parents[2]

# modules and calls that can turn data into code
MODULES = {
    "pickle",
    "pickletools",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "code",
}
BUILTINS = {"eval", "exec", "compile", "__import__"}
FUNCTIONS = {
    *BUILTINS,
    *(f"builtins.{name}" for name in BUILTINS),
    "torch.load",
    "torch.serialization.load",
    "pandas.read_pickle",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "yaml.full_load",
    "yaml.full_load_all",
    "os.system",
    "os.popen",
}
# these have a safe way to be called, and no other way to be named
SAFE = {
    "numpy.load": ("without allow_pickle=False", lambda call: _is(False, call, "allow_pickle")),
    "yaml.load": ("without the safe loader", lambda call: _loader(call) == "_Loader"),
    "yaml.load_all": ("without the safe loader", lambda call: _loader(call) == "_Loader"),
}
FETCHERS = {"from_pretrained", "snapshot_download", "hf_hub_download", "urlretrieve"}


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def dangers(tree):
    """What in a syntax tree could turn data into code, as (line, what)."""
    names = imported(tree)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            roots = {alias.name.split(".")[0] for alias in node.names}
            roots |= {(getattr(node, "module", None) or "").split(".")[0]}
            yield from ((node.lineno, root) for root in roots & MODULES)
        elif isinstance(node, ast.Name | ast.Attribute):
            name, call = dotted(node, names), calls.get(id(node))
            if name in FUNCTIONS:
                yield node.lineno, name
            if name in SAFE and not (call and SAFE[name][1](call)):
                yield node.lineno, f"{name} {SAFE[name][0]}"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _call_dangers(node, names))


def imported(tree):
    """Name in this file -> what it stands for, such as l -> numpy.load."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                names[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return names


def dotted(node, names):
    """What a name or attribute stands for; of an attribute of anything else only its own name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _call_dangers(call, names):
    options = {word.arg for word in call.keywords}
    for option in ("allow_pickle", "trust_remote_code", "shell"):
        if option in options and not _is(False, call, option):
            yield option
    owner, _, asked = dotted(call.func, names).rpartition(".")
    # a scheduler is JSON, a tokenizer JSON and text
    plain = re.search("Scheduler|Tokenizer", owner)
    if asked == "from_pretrained" and "use_safetensors" not in options and not plain:
        yield f"{owner}.from_pretrained without use_safetensors"
    if asked in FETCHERS and not _is(True, call, "local_files_only"):
        yield f"{asked} may download, unpinned, what pooch did not check"


def _option(call, name):
    return next((word.value for word in call.keywords if word.arg == name), None)


def _is(value, call, option):
    given = _option(call, option)
    return isinstance(given, ast.Constant) and given.value is value


def _loader(call):
    return getattr(call.args[1] if len(call.args) > 1 else _option(call, "Loader"), "id", "")


def test_nothing_that_is_loaded_can_become_code():
    files = [f for part in ("src", "scripts", "benchmarks") for f in ROOT.glob(f"{part}/**/*.py")]
    assert len(files) > 50
    found = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in files
        for line, what in dangers(ast.parse(file.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "lines",
    """
    import pickle
    import pickle as p
    import shelve as s
    from joblib import load
    from pickle import loads as l
    eval(x)
    import builtins; builtins.exec(x)
    import torch; torch.load(x)
    import torch as t; t.load(x)
    from torch import load; load(x)
    from torch import load as l; map(l, x)
    from torch import serialization as s; s.load(x)
    import numpy; numpy.load(x)
    import numpy as xx; xx.load(x)
    import numpy as np; np.load(x, allow_pickle=True)
    import numpy as np; map(np.load, x)
    from numpy import load; load(x)
    from numpy import load as l; l(x, allow_pickle=y)
    import numpy as np; np.save(x, y, allow_pickle=True)
    import pandas; pandas.read_pickle(x)
    from pandas import read_pickle as r; r(x)
    import yaml; yaml.load(x, yaml.Loader)
    import yaml as y; y.unsafe_load(x)
    from yaml import load; load(x, Loader=Loader)
    from yaml import full_load as l; l(x)
    from os import system as s; s(x)
    import subprocess; subprocess.run(x, shell=True)
    M.from_pretrained(x)
    M.from_pretrained(x, use_safetensors=True)
    from huggingface_hub import snapshot_download as s; s(x)
    """.strip().splitlines(),
)
def test_the_scan_sees_what_it_looks_for(lines):
    assert list(dangers(ast.parse(lines.strip())))


@pytest.mark.parametrize(
    "lines",
    """
    import numpy as n; n.load(x, allow_pickle=False)
    from numpy import load as l; l(x, allow_pickle=False)
    import yaml as y; y.load(x, _Loader)
    from json import load; load(x)
    from re import compile; compile(x)
    model.eval().load(x)
    M.from_pretrained(x, use_safetensors=True, local_files_only=True)
    """.strip().splitlines(),
)
def test_the_scan_leaves_alone_what_is_safe(lines):
    assert list(dangers(ast.parse(lines.strip()))) == []


def test_the_safe_loader_is_safe():
    import yaml

    from dasbench.core import yaml_schema

    assert issubclass(yaml_schema._Loader, yaml.SafeLoader | yaml.CSafeLoader)


def test_rules_run_declared_scripts_alone():
    for file in [*ROOT.glob("workflow/**/*.smk"), ROOT / "Snakefile"]:
        words = {line.split("#")[0].strip() for line in file.read_text().splitlines()}
        assert not words & {"run:", "script:", "notebook:", "wrapper:"}, file
        assert not any("eval(" in word or "exec(" in word or "pickle" in word for word in words)


def test_weights_that_are_a_pickle_are_refused_and_not_run(tmp_path, recipe):
    unet, process = pixel.build(recipe["model"], recipe["diffusion"], (1, 8, 8), ("x", 0))
    pixel.save(tmp_path / "model", unet, process)
    weights = tmp_path / "model/unet/diffusion_pytorch_model.safetensors"
    trap = pickle.dumps(Payload(tmp_path / "made"))
    for name in (weights, weights.with_suffix(".bin")):
        name.write_bytes(trap)
        with pytest.raises(UserError, match="is damaged"):
            pixel.load(tmp_path / "model")
    weights.unlink()
    with pytest.raises(UserError, match="is missing"):
        pixel.load(tmp_path / "model")
    assert not (tmp_path / "made").exists()
    pickle.loads(trap)
    assert (tmp_path / "made").exists()  # the trap was set


def test_a_parquet_extension_type_is_not_unpickled(tmp_path):
    """Old versions of pyarrow unpickled these when a file was opened (CVE-2023-47248)."""
    field = pa.field(
        "a",
        pa.int64(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Payload(tmp_path / "made")),
        },
    )
    table = pa.table([pa.array([1])], schema=pa.schema([field]))
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with contextlib.suppress(UserError):
        assert isinstance(tables.load_table(tmp_path / "a.parquet"), pd.DataFrame)
    assert not (tmp_path / "made").exists()


def test_json_and_csv_are_data_alone(tmp_path):
    (tmp_path / "a.csv").write_text("a\n=cmd|' /C calc'!A0\n@SUM(1)\n__import__('os')\n")
    table = tables.load_table(tmp_path / "a.csv")
    assert table.a.tolist() == ["=cmd|' /C calc'!A0", "@SUM(1)", "__import__('os')"]
    (tmp_path / "a.json").write_text("__import__('os').getpid()")
    with pytest.raises(UserError, match="is damaged"):
        artifacts.load_json(tmp_path / "a.json")


TAGS = [
    "!!python/object/apply:os.mkdir [made]",
    "!!python/object/new:os.mkdir [made]",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    "!!python/tuple [1]",
    "!include /etc/passwd",
    "!!binary aGk=",
    "!!set {a, b}",
]


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("key", ["title", "seed"])
def test_yaml_tags_do_nothing(tmp_path, monkeypatch, tag, key):
    monkeypatch.chdir(tmp_path)
    root = make_repository(tmp_path / "repository")
    text = (root / config.FOLDER / "smoke.yaml").read_text()
    old = next(line for line in text.splitlines() if line.startswith(f"{key}:"))
    with pytest.raises(UserError, match=r"^config/experiments/changed\.yaml: ") as caught:
        load(root, text.replace(old, f"{key}: {tag}"))
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "made").exists()


BREAKS = ["\n", "\r", "\u2028", "\0", "\x1b[2J", "\u202e"]


@pytest.mark.parametrize("end", BREAKS)
def test_names_cannot_hold_line_breaks_or_commands_to_terminals(tmp_path, end):
    """A method's name stands in paths and shell commands; ``$`` would let one line break pass."""
    root = make_repository(tmp_path / "repository")
    for data in (
        {**raw(), "methods": {f"mine{end}": {"like": "das"}}},
        {**raw(), "title": f"smoke{end}"},
        {**raw(), "data": {**raw()["data"], "classes": f"all{end}"}},
    ):
        with pytest.raises(UserError) as caught:
            load(root, data)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("template", sorted(pages.TEMPLATES.rglob("*.j2")), ids=str)
def test_templates_switch_no_escaping_off(template):
    text = template.read_text()
    assert "safe" not in [word.strip() for word in text.replace("}}", "|").split("|")]
    assert "autoescape" not in text
    assert pages.environment().autoescape is True


def test_names_in_the_timings_are_shown_and_not_obeyed():
    table = cost_page.costs(
        {"results/x/a": {"rule": HTML, "log": [HTML]}}, {"results/x/a": [1.0, 2.0, None]}
    )
    page = cost_page.render(table, HTML, 1.0)
    assert_harmless(page)
    assert "&lt;script&gt;" in page


def test_names_of_figures_are_shown_and_not_obeyed(tmp_path):
    figure = tmp_path / "other-'onload=alert(1) <script>.svg"
    figure.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    (item,) = pages.figures([figure])["other"]
    page = pages.environment().from_string(
        '<img id="{{ item.stem }}" src="{{ item.uri }}" alt="{{ item.stem }}">'
    )
    page = page.render(item=item)
    assert_harmless(page)
    assert item["uri"].startswith("data:image/svg+xml;base64,")  # in img a script does not run


def test_names_in_a_drawing_are_drawn_and_not_obeyed(tmp_path):
    """Text becomes outlines; the comment beside them cannot be left."""
    from dasbench.reports.figures import style

    table = cost_page.costs(
        {"results/x/a": {"rule": "--><script>alert(1)</script>", "log": []}},
        {"results/x/a": [1.0, 2.0, None]},
    )
    style.save(drawing.by_rule(table), tmp_path / "a.svg")
    tree = __import__("xml.etree.ElementTree").etree.ElementTree.parse(tmp_path / "a.svg")
    tags = {element.tag.split("}")[-1] for element in tree.iter()}
    assert tags
    assert "script" not in tags
