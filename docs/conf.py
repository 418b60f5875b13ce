"""Settings of Sphinx for `./run docs`."""

import json

project = "DAS-Bench"
author = "The DAS-Bench authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
root_doc = "index"
myst_heading_anchors = 4  # GitHub makes such anchors, too
autodoc_typehints = "none"
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = "DAS-Bench"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False

# files outside of this folder that have a page in the site
PAGES = {
    "../config/README.md": "configuration.md",
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changes.md",
    "../README.md": "index.md",
}


def _use_pages(app, name, source):
    """Read a notebook as Markdown, and let links to these files lead to their pages."""
    if source[0].startswith('{\n "cells"'):
        source[0] = _markdown(json.loads(source[0]))
    for file, page in PAGES.items():
        source[0] = source[0].replace(f"]({file}", f"]({page}")


def _markdown(notebook):
    """The cells of a notebook, without outputs."""
    fences = {"code": "```python\n{}\n```", "markdown": "{}"}
    cells = notebook["cells"]
    return "\n\n".join(fences[cell["cell_type"]].format("".join(cell["source"])) for cell in cells)


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", _use_pages)
