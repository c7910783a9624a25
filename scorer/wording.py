"""Wording that messages about files and folders share."""

from __future__ import annotations

from collections.abc import Sequence

ID_JOINT = "\x1f"
"""Joins the columns of an id that has several; text does not contain this control character."""

LISTED = 5
"""How many ids, columns or kinds of problem one message lists."""


def show(text: str) -> str:
    """Cut a received text to 40 characters; escape invisible ones."""
    cut = text if len(text) <= 40 else text[:39] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def some(names: Sequence[str]) -> str:
    """Return the first names for a sentence, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(show(name) for name in names[:LISTED]) + more


def printable(text: str) -> str:
    """Return foreign text without what a terminal obeys; line ends stay."""
    return "".join(c for c in text.expandtabs() if c.isprintable() or c == "\n")


def show_id(key: str) -> str:
    """Return an id for a message; of several columns as (a, b)."""
    parts = [show(part) for part in key.split(ID_JOINT)]
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def show_lines(lines: Sequence[int]) -> str:
    """Return 'Line 6', 'Lines 2-21' or 'Line 6 and 3 more'."""
    if len(lines) == 1:
        return f"Line {lines[0]}"
    if lines[-1] - lines[0] + 1 == len(lines):
        return f"Lines {lines[0]}-{lines[-1]}"
    return f"Line {lines[0]} and {len(lines) - 1} more"


def how_many(count: int) -> str:
    """Return ' 7 lines have this problem.', empty for one line."""
    return f" {count} lines have this problem." if count > 1 else ""


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.1f}".removesuffix(".0") + " MB"


def over_limit(limit_bytes: int, *, size_bytes: int | None = None, unpacked: bool = False) -> str:
    """Return that a file is too large: its size where it is known, or what it unpacks to."""
    limit = megabytes(limit_bytes)
    if unpacked:
        return f"The file unpacks to more than the limit of {limit}."
    if size_bytes is None:
        return f"The file is larger than the limit of {limit}."
    return f"The file has {megabytes(size_bytes)}; the limit is {limit}."
