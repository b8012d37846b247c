"""Reads a page as a browser would, and checks that its tags close in order."""

import html.parser

VOID = {"meta", "img", "br"}


class _Checker(html.parser.HTMLParser):
    """Collects the text, and checks that tags are closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.references = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.references += [
            value for name, value in attributes if name in ("src", "href")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(page, between=""):
    """The text of a page, joined by `between`, and all that it refers to."""
    checker = _Checker()
    checker.feed(page)
    assert not checker.open
    return " ".join(between.join(checker.text).split()), checker.references
