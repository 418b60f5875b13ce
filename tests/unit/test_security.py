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

from dasbench import (
    artifacts,
    config,
    pages,
    tables,
    timings,
)
from dasbench.errors import UserError
from dasbench.families import pixel
from dasbench.figures import costs as drawing
from experiment_files import load, make_repository, raw
from hostile import HTML, assert_harmless

ROOT = Path(__file__).parents[2]

# modules and calls that can turn data into code
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    ("torch", "load"),
    ("pd", "read_pickle"),
    ("pandas", "read_pickle"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("os", "system"),
    ("os", "popen"),
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
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            names |= {(getattr(node, "module", None) or "").split(".")[0]}
            yield from ((node.lineno, name) for name in names & MODULES)
        elif isinstance(node, ast.Call):
            yield from _call_dangers(node)


def _call_dangers(node):
    called = node.func
    options = {word.arg: word.value for word in node.keywords}
    if isinstance(called, ast.Name) and called.id in CALLS:
        yield node.lineno, called.id
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        name = (called.value.id, called.attr)
        if name in METHODS:
            yield node.lineno, ".".join(name)
        loader = node.args[1] if len(node.args) > 1 else options.get("Loader")
        if name == ("yaml", "load") and getattr(loader, "id", "") != "_Loader":
            yield node.lineno, "yaml.load without the safe loader"
        if name == ("np", "load") and not _is_false(options.get("allow_pickle")):
            yield node.lineno, "np.load without allow_pickle=False"
    for option in ("allow_pickle", "trust_remote_code", "shell"):
        if option in options and not _is_false(options[option]):
            yield node.lineno, option
    if "use_safetensors" not in options and getattr(called, "attr", "") == "from_pretrained":
        owner = ast.unparse(called.value)
        # a scheduler is JSON, a tokenizer JSON and text
        if not re.search("Scheduler|Tokenizer", owner):
            yield node.lineno, f"{owner}.from_pretrained without use_safetensors"
    asked = getattr(called, "attr", getattr(called, "id", ""))
    if asked in FETCHERS and not _is_true(options.get("local_files_only")):
        yield node.lineno, f"{asked} may download, unpinned, what pooch did not check"


def _is_false(node):
    return isinstance(node, ast.Constant) and node.value is False


def _is_true(node):
    return isinstance(node, ast.Constant) and node.value is True


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
    "line",
    ["import pickle", "from joblib import load", "eval(x)", "torch.load(x)", "np.load(x)"]
    + ["np.load(x, allow_pickle=True)", "yaml.load(x, yaml.Loader)", "yaml.unsafe_load(x)"]
    + ["subprocess.run(x, shell=True)", "M.from_pretrained(x)", "import shelve as s"]
    + ["snapshot_download(x)", "M.from_pretrained(x, use_safetensors=True)"],
)
def test_the_scan_sees_what_it_looks_for(line):
    assert list(dangers(ast.parse(line)))


def test_the_safe_loader_is_safe():
    import yaml

    from dasbench import config_schema

    assert issubclass(config_schema._Loader, yaml.SafeLoader | yaml.CSafeLoader)


def test_rules_run_declared_scripts_alone():
    for file in [*ROOT.glob("workflow/**/*.smk"), ROOT / "Snakefile"]:
        words = {line.split("#")[0].strip() for line in file.read_text().splitlines()}
        assert not words & {"run:", "script:", "notebook:", "wrapper:"}, file
        assert not any("eval(" in word or "exec(" in word or "pickle" in word for word in words)


def test_weights_that_are_a_pickle_are_refused_and_not_run(tmp_path, recipe):
    unet, scheduler = pixel.build(recipe["model"], recipe["diffusion"], (1, 8, 8), ("x", 0))
    pixel.save(tmp_path / "model", unet, scheduler)
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


@pytest.mark.parametrize("template", sorted(pages.TEMPLATES.glob("*.html.j2")), ids=str)
def test_templates_switch_no_escaping_off(template):
    text = template.read_text()
    assert "safe" not in [word.strip() for word in text.replace("}}", "|").split("|")]
    assert "autoescape" not in text
    assert pages.environment().autoescape is True


def test_names_in_the_timings_are_shown_and_not_obeyed():
    table = timings.costs(
        {"results/x/a": {"rule": HTML, "log": [HTML]}}, {"results/x/a": [1.0, 2.0, None]}
    )
    page = timings.render(table, HTML, 1.0)
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
    from dasbench.figures import style

    table = timings.costs(
        {"results/x/a": {"rule": "--><script>alert(1)</script>", "log": []}},
        {"results/x/a": [1.0, 2.0, None]},
    )
    style.save(drawing.by_rule(table), tmp_path / "a.svg")
    tree = __import__("xml.etree.ElementTree").etree.ElementTree.parse(tmp_path / "a.svg")
    tags = {element.tag.split("}")[-1] for element in tree.iter()}
    assert tags
    assert "script" not in tags
