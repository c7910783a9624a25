"""Organisers' Markdown to safe HTML."""

from __future__ import annotations

from functools import lru_cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "td": {"align"}, "th": {"align"}, "ol": {"start"}}
MAX_CHARACTERS = 200_000

_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


@lru_cache(maxsize=64)
def render(text: str) -> Markup:
    """HTML of an allow-list of tags. Raw HTML stays text; pictures are left out, since pages load nothing from elsewhere."""
    tokens = _parser.parse(text[:MAX_CHARACTERS])
    for token in tokens:
        # The page's own title is the h1, so the text's headings begin one below.
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"
        if token.type in ("th_open", "td_open") and (style := token.attrGet("style")):
            # The policy forbids inline styles; a column's alignment is kept in the old attribute.
            token.attrs = {"align": str(style).removeprefix("text-align:")}
    html = nh3.clean(
        _parser.renderer.render(tokens, _parser.options, {}),
        tags=TAGS,
        attributes=ATTRIBUTES,
        link_rel="nofollow noopener",
        url_schemes={"http", "https", "mailto"},
    )
    # What scrolls sideways must be reachable by keyboard. In cleaned text these are tags, never words.
    html = html.replace("<pre>", '<pre tabindex="0">').replace("</table>", "</table></div>")
    html = html.replace(
        "<table>", '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    )
    return Markup(html)  # noqa: S704  (reduced to the allow-list just above)
