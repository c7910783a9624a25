"""Cards that a notebook shows, in light and dark colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heldout_client.checking import Verdict
    from heldout_client.participant import Submitted

# color-mix would need no two sets of colours, but notebooks run in older browsers too.
_STYLE = """<style>
.heldout-card{font:14px/1.5 system-ui,sans-serif;max-width:34rem;padding:.7rem 1rem;border-radius:.5rem;
border:1px solid #c9d1d9;border-left:4px solid #57606a;background:#fff;color:#1f2328}
.heldout-card b{font-size:1.05rem}
.heldout-card dl{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem;margin:.4rem 0 0}
.heldout-card dt{font-size:.8rem;color:#57606a}.heldout-card dd{margin:0;font-weight:600}
.heldout-card ul{margin:.4rem 0 0;padding-left:1.2rem}.heldout-card a{color:#0b57d0}
.heldout-card.good{border-left-color:#1a7f37}.heldout-card.bad{border-left-color:#cf222e}
@media (prefers-color-scheme:dark){.heldout-card{background:#161b22;color:#e6edf3;border-color:#3d444d}
.heldout-card dt{color:#9da7b3}.heldout-card a{color:#79b8ff}
.heldout-card.good{border-left-color:#3fb950}.heldout-card.bad{border-left-color:#f85149}}
[data-jp-theme-light=false] .heldout-card,.vscode-dark .heldout-card,html[theme=dark] .heldout-card
{background:#161b22;color:#e6edf3;border-color:#3d444d}
[data-jp-theme-light=false] .heldout-card dt,.vscode-dark .heldout-card dt{color:#9da7b3}
[data-jp-theme-light=false] .heldout-card a,.vscode-dark .heldout-card a{color:#79b8ff}
[data-jp-theme-light=true] .heldout-card,.vscode-light .heldout-card
{background:#fff;color:#1f2328;border-color:#c9d1d9}
[data-jp-theme-light=true] .heldout-card dt,.vscode-light .heldout-card dt{color:#57606a}
[data-jp-theme-light=true] .heldout-card a,.vscode-light .heldout-card a{color:#0b57d0}
</style>"""


def submission_card(sent: Submitted) -> str:
    """Return the card of a submission: state, place in the queue, score, rank and its change."""
    facts = {
        "place in the queue": sent.place_in_queue,
        sent.metric or "score": None if sent.score is None else f"{sent.score:.6g}",
        "rank": sent.rank_words.removeprefix("rank ") if sent.rank_words else None,
        "uploads left today": sent.remaining_today,
    }
    colour = {"scored": "good", "rejected": "bad", "failed": "bad"}.get(sent.state, "")
    lines = [*sent.problems, *sent.notices, *sent.warnings]
    title = f"{escape(sent.filename)}: {escape(sent.state)}"
    link = f'<a href="{escape(sent.page)}">Submission {sent.id} of {escape(sent.competition)}</a>'
    return _card(colour, title, facts, lines, link)


def verdict_card(name: str, verdict: Verdict) -> str:
    """Return the card of a check."""
    found = [problem.as_dict() for problem in (*verdict.problems, *verdict.warnings)]
    title = f"{escape(name)}: {'no problem found' if verdict.ok else 'would be refused'}"
    facts = {"rows": verdict.n_rows, "only the server checks": "; ".join(verdict.unchecked) or None}
    return _card("good" if verdict.ok else "bad", title, facts, found, "")


def _card(
    colour: str, title: str, facts: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], link: str
) -> str:
    shown = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in facts.items()
        if value is not None
    )
    items = "".join(f"<li>{escape(str(line.get('message', '')))}</li>" for line in lines)
    return (
        f'{_STYLE}<div class="heldout-card {colour}"><b>{title}</b><dl>{shown}</dl>'
        f"{f'<ul>{items}</ul>' if items else ''}{link}</div>"
    )
