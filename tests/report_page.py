"""A report as its tests read it."""

from __future__ import annotations

from html.parser import HTMLParser

VERSIONS = {"python": "3.11", "torch": "2.99.0", "made-up": "0.1.2"}


class Page(HTMLParser):
    """Collects ids, tags, links, and the marked cells of the tables."""

    def __init__(self, html: str) -> None:
        """Parse at once."""
        super().__init__()
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.links: list[tuple[str, str]] = []
        self.cells: dict[tuple[str, str, str], str] = {}
        self._table = self._method = self._key = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag says."""
        found = {key: value or "" for key, value in attrs}
        self.tags.add(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [(key, found[key]) for key in ("src", "href") if key in found]
        if tag == "table":
            self._table = found.get("id", "")
        if tag == "tr":
            self._method = found.get("data-method", "")
        if tag == "td":
            self._key = found.get("data-value", "")

    def handle_endtag(self, tag: str) -> None:
        """A cell ends with its tag."""
        if tag == "td":
            self._key = ""

    def handle_data(self, data: str) -> None:
        """Text of a marked cell."""
        if self._key:
            key = (self._table, self._method, self._key)
            self.cells[key] = self.cells.get(key, "") + data
