"""Debian's chromium for tests of pages; without it, or without Playwright, they are skipped."""

import shutil
from contextlib import contextmanager

import pytest


@pytest.fixture(scope="module")
def chromium():
    """A running browser. Playwright's event loop ends with the module, as other tests need none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium):
    """A function that opens a file: ``with opened(path, **options of the context) as page``.

    When the block ends, the page has asked for no other file, and reported no error or dialog.
    """

    @contextmanager
    def opening(path, fragment="", **options):
        troubles, address = [], path.as_uri()
        context = chromium.new_context(**options)
        context.route("**/*", lambda route: _answer(route, address, troubles))
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.goto(address + fragment)
        yield page
        page.wait_for_load_state("networkidle")
        context.close()
        assert troubles == []

    return opening


def _answer(route, address, troubles):
    """Let the page itself pass, and keep all other requests."""
    if route.request.url.partition("#")[0] == address:
        route.continue_()
    else:
        troubles.append(f"asks for {route.request.url[:200]}")
        route.abort()


def violations(page):
    """What axe finds, as a list of (rule, elements)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
