"""Text that would run if a page let it, and a look at what a page would run."""

import html.parser

HTML = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Tags(html.parser.HTMLParser):
    """Elements, attributes and comments of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]


def assert_harmless(page):
    seen = Tags(page)
    assert "script" not in seen.tags
    assert not any(name.startswith("on") for name in seen.attributes)
    assert "<script" not in page
