"""What every rule declares, and that a file of rules includes everything that it uses."""

import ast
import builtins
import functools
import re
import symtable
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.api import SnakemakeApi  # noqa: F401 (the parser alone imports in a circle)
from snakemake.parser import parse
from snakemake.sourcecache import LocalSourceFile

from experiment_files import ROOT

FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))
# what Snakemake gives to every file
GIVEN = {*dir(builtins), "workflow", "config", "expand", "unpack", "report", "shell", "logger"}


def rules(text):
    """The rules of a file, each from its head to the next one's."""
    heads = r"^(?= *(?:use )?(?:rule|checkpoint)\b[^\n]*:$)"
    return re.split(heads, text, flags=re.M)[1:]


def declares(rule, keyword):
    return re.search(rf"^ +{keyword}:$", rule, flags=re.M)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_job_has_a_log(file):
    """A failed job shows the end of its log, and the records name its benchmark by it."""
    text = file.read_text()
    found = [rule for rule in rules(text) if declares(rule, "shell")]
    assert len(found) == len(re.findall(r"^ +shell:$", text, flags=re.M))
    for rule in found:
        assert declares(rule, "log"), rule
        assert "> {log} 2>&1" in rule, rule


@functools.cache
def compiled(file):
    """The Python that Snakemake makes of a file."""
    cache = SimpleNamespace(open=lambda source: Path(source.get_path_or_uri(True)).open())
    source = LocalSourceFile(str(file))
    return parse(source, SimpleNamespace(sourcecache=cache), linemap={})[0]


def included(code):
    """The paths of a file's include statements."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return [c.args[0].value for c in calls if getattr(c.func, "attr", None) == "include"]


def names(code):
    """The global names that a text of Python uses, and those that it binds."""
    used, bound, tables = set(), set(), [symtable.symtable(code, "file", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            top = table.get_type() == "module"
            if symbol.is_referenced() and (top or symbol.is_global()):
                used.add(symbol.get_name())
            if top and (symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()):
                bound.add(symbol.get_name())
    return used, bound


def test_names_are_told_apart():
    code = "import a\nfor b in c: pass\ndef d(e):\n    g = e\n    return lambda: (g, h, a)\n"
    assert names(code) == ({"c", "a", "h"}, {"a", "b", "d"})


def whole(file):
    """Names that a file and all that it includes use, and those that they bind."""
    used, bound, waiting, seen = set(), set(), [file.resolve()], set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            code = compiled(path)
            waiting += [(path.parent / other).resolve() for other in included(code)]
            more = names(code)
            used, bound = used | more[0], bound | more[1]
    return used, bound


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_of_rules_includes_what_it_uses(file):
    """Also what only a job or the end of a run would look up."""
    used, bound = whole(file)
    assert used - bound - GIVEN == set()


def test_a_name_from_elsewhere_is_noticed(tmp_path):
    file = tmp_path / "one.smk"
    file.write_text("rule one:\n    input:\n        lambda wildcards: base_model(wildcards),\n")
    used, bound = whole(file)
    assert used - bound - GIVEN == {"base_model"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_commands_are_plain_text(file):
    """Snakemake evaluates it when a job runs: a loop's variable is then that of its last turn."""
    for rule in rules(file.read_text()):
        command = rule.partition(" shell:\n")[2]
        assert not re.search(r"^ +f[\"']", command, flags=re.M), rule
