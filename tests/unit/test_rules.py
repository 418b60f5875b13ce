"""What every rule declares."""

import re

import pytest

from experiment_files import ROOT

FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))


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
