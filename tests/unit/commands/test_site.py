"""``./run docs``: the pages make a site without a warning, and it asks the network for nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from browser import violations
from dasbench.commands import site
from dasbench.errors import UserError

ROOT = Path(site.__file__).parents[3]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, built with the packages that an earlier ``./run docs`` has installed."""
    done = ROOT / site.FOLDER / "packages/.done"
    if not done.is_file() or done.read_bytes() != (ROOT / site.LOCK).read_bytes():
        pytest.skip("Sphinx is not installed; `./run docs` installs it")
    out = tmp_path_factory.mktemp("site")
    site.build(ROOT, out)
    return out


def test_every_page_is_in_the_site(built):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in built.glob("*.html")} >= pages
    text = (built / "api.html").read_text()
    for name in ("dasbench.attribute", "dasbench.Index.build", "dasbench.Index.ask"):
        assert f'id="{name}"' in text


def test_no_page_loads_anything_from_elsewhere(built):
    """Links to papers are links; scripts, styles, fonts and pictures are files of the site."""
    for path in built.glob("*.html"):
        text = path.read_text()
        loaded = re.findall(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(https?:[^"]*)"', text)
        assert loaded == [], path.name


def test_axe_finds_nothing_that_the_pages_say_themselves(built, chromium):
    """In the content; the frame around it is the theme's."""
    context = chromium.new_context()
    page = context.new_page()
    for name in ("index", "reading", "related-work"):
        page.goto((built / f"{name}.html").as_uri())
        found = violations(page)
        assert [rule for rule, _ in found if rule not in THEME] == [], found
    context.close()


THEME = ("aria-required-attr", "landmark-unique")  # captions and drawers of its sidebars


def test_a_broken_link_is_an_error(built, tmp_path):
    """One page with a link into nowhere stops the build."""
    root = tmp_path / "repository"
    (root / "docs").mkdir(parents=True)
    (root / "docs/conf.py").write_text((ROOT / "docs/conf.py").read_text())
    (root / "docs/index.md").write_text("# Title\n\n[a page](nowhere.md)\n")
    (root / site.LOCK).write_bytes((ROOT / site.LOCK).read_bytes())
    (root / site.FOLDER).mkdir()
    os.symlink(ROOT / site.FOLDER / "packages", root / site.FOLDER / "packages")
    for _ in range(2):  # the second build must find it, too
        with pytest.raises(UserError, match="the pages have the errors above"):
            site.build(root, tmp_path / "out")


def test_packages_that_cannot_be_installed_are_one_sentence(tmp_path, monkeypatch):
    (tmp_path / site.LOCK).write_text("sphinx==0\n")

    def failing(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no such version\n")

    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(
        UserError, match=r"could not be installed \(ERROR: no such version\); check"
    ):
        site.installed(tmp_path)
