"""Pages of other platforms as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

from scorer.importing.bundle import Bundle

MAX_PAGES = 20
_BLOCKS = ("p", "div", "br", "tr", "table", "ul", "ol", "section", "pre")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("script", "style"):
            self._silent += 1
        elif re.fullmatch(r"h[1-6]", tag):
            self.parts.append("\n\n" + "#" * int(tag[1]) + " ")
        elif tag == "li":
            self.parts.append("\n- ")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS or re.fullmatch(r"h[1-6]", tag):
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def as_markdown(text: str) -> str:
    """Return the words of an HTML page, with its headings and lists."""
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = [line.strip() for line in "".join(parser.parts).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def joined_pages(bundle: Bundle, names: Sequence[str]) -> str:
    """Return the pages that are there, one after the other."""
    pages = []
    for name in names[:MAX_PAGES]:
        if name in bundle:
            text = bundle.text(name)
            pages.append(as_markdown(text) if name.lower().endswith((".html", ".htm")) else text.strip())
    return "\n\n".join(page for page in pages if page)
