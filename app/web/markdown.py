"""Render Markdown of organisers as safe HTML."""

from __future__ import annotations

import re
from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
    "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "td": {"align"}, "th": {"align"}, "ol": {"start"}}
MAX_CHARACTERS = 200_000

_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@lru_cache(maxsize=64)
def render(text: str) -> Markup:
    """Return HTML with allowed tags only.

    Raw HTML stays text. Images are left out, because pages load nothing from other sites.
    """
    tokens = _parser.parse(text[:MAX_CHARACTERS])
    for token in tokens:
        # The page title is the h1, so headings of the text begin at h2.
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        if token.type in ("th_open", "td_open") and (style := token.attrGet("style")):
            # The content policy forbids inline styles, so the alignment goes into the old attribute.
            token.attrs = {"align": str(style).removeprefix("text-align:")}
    html = nh3.clean(
        _parser.renderer.render(tokens, _parser.options, {}),
        tags=TAGS,
        attributes=ATTRIBUTES,
        link_rel="nofollow noopener",
        url_schemes={"http", "https", "mailto"},
        attribute_filter=_own_path_or_scheme,
    )
    # Blocks that scroll sideways must be reachable by keyboard. In cleaned HTML these strings are tags.
    html = html.replace("<pre>", '<pre tabindex="0">').replace("</table>", "</table></div>")
    html = html.replace(
        "<table>", '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    )
    return Markup(html)  # noqa: S704  (reduced to the allow-list just above)


_ADDRESS = re.compile(r"https?://[^\s<>\"'`]+[^\s<>\"'`.,;:!?)\]}]")


def plain(text: str) -> Markup:
    """Return the text of a participant as HTML: paragraphs, and links that show their address."""
    made = []
    for paragraph in re.split(r"\n{2,}", text.strip()):
        parts, at = [], 0
        for found in _ADDRESS.finditer(paragraph):
            address = escape(found[0])
            parts.append(escape(paragraph[at : found.start()]))
            parts.append(Markup('<a href="{0}" rel="nofollow ugc noopener">{0}</a>').format(address))
            at = found.end()
        parts.append(escape(paragraph[at:]))
        made.append(Markup("<p>{}</p>").format(Markup("").join(parts)))
    return Markup("\n").join(made)


def _own_path_or_scheme(_tag: str, name: str, value: str) -> str | None:
    """Drop an address that looks like a path of this site and leads to another.

    Browsers read `//host` as another site, a backslash as a slash, and drop tabs and line ends.
    """
    if name != "href":
        return value
    read = "".join(c for c in value if c > " ").replace("\\", "/")
    return None if read.startswith("//") else value
