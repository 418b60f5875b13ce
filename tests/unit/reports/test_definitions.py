"""Texts about methods: every method has one, docs/methods.md shows them, links are safe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dasbench.experiments import config
from dasbench.experiments.files import pages
from dasbench.experiments.files.resolved import Resolved
from dasbench.registry import METHODS
from dasbench.reports import definitions

ROOT = Path(definitions.__file__).parents[3]


def test_every_method_has_one_definition() -> None:
    names = [name for entry in definitions.load() for name in entry.names]
    assert sorted(names) == sorted(METHODS)
    assert all(entry.title and entry.score and entry.source for entry in definitions.load())


def test_the_page_of_the_methods_shows_these_texts() -> None:
    """Replace the table there by what ``definitions.table`` returns."""
    page = (ROOT / "docs/methods.md").read_text()
    shown = page.split("<!-- methods:begin -->")[1].split("<!-- methods:end -->")[0]
    assert shown.strip() == definitions.table(definitions.load())


def test_a_variant_says_what_it_varies() -> None:
    methods = {"mine": {"like": "das", "leverage": False}, "das": {}, "unknown": {}}
    found = definitions.of(methods)
    assert list(found) == ["mine", "das"]
    assert found["mine"].score.startswith("as `das`, with leverage False: (φ_qᵀ")
    assert found["das"].title == found["mine"].title == "DAS"


def test_the_report_knows_what_a_variant_is_like() -> None:
    """Through the settings that the report gets."""
    experiment = Resolved(config.load("acceleration", ROOT))
    made = json.loads(pages.report_settings(experiment, ROOT))
    found = definitions.of({name: made["variants"].get(name, {}) for name in made["order"]})
    assert found["released"].title == "DAS as released"
    assert found["released"].score.startswith("as `das_released`, with features (")
    assert set(found) >= set(experiment.methods)
    controls = ["control" in experiment.methods[name] for name in made["order"]]
    assert controls == sorted(controls)


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("after 2410.18639", 'after <a href="https://arxiv.org/abs/2410.18639">2410.18639</a>'),
        ("github.com/a/b", '<a href="https://github.com/a/b">github.com/a/b</a>'),
        ("`das` & <b>", '<span class="name">das</span> &amp; &lt;b&gt;'),
        ("12410.18639 and 2410.1863", "12410.18639 and 2410.1863"),
    ],
)
def test_papers_become_links_and_the_rest_is_escaped(text: str, html: str) -> None:
    assert definitions.linked(text) == html


def test_a_hover_text_has_no_marks() -> None:
    assert definitions.plain("`das` with `l1`") == "das with l1"
