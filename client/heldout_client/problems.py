"""Problems and warnings of a file, in the form of the server: code, message, place, count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ID_JOINT = "\x1f"
"""Joins the columns of an id that has several."""

LISTED = 5
SPACES = " \t\r\n"
"""What may stand around a value; a no-break space may not."""


@dataclass(frozen=True)
class Problem:
    """One reason why a file is refused, or, as a warning, one doubt about it."""

    code: str
    message: str
    line: int | None = None
    id: str | None = None
    column: str | None = None
    value: str | None = None
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Unreadable(Exception):
    """The bytes are not a table of the asked form."""

    def __init__(self, code: str, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(code, message, line=line)


def show(text: str) -> str:
    """Cut a text to 40 characters; escape invisible ones."""
    cut = text if len(text) <= 40 else text[:39] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def show_id(key: str) -> str:
    """Return an id for a message; of several columns as (a, b)."""
    parts = [show(part) for part in key.split(ID_JOINT)]
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def show_names(names: Sequence[str]) -> str:
    """Return column names as a header, cut after twelve."""
    listed = ",".join(show(name) for name in names[:12])
    return listed if len(names) <= 12 else f"{listed},... ({len(names)} columns)"


def how_many(count: int) -> str:
    """Return ' 7 lines have this problem.', empty for one line."""
    return f" {count} lines have this problem." if count > 1 else ""


def megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.1f}".removesuffix(".0") + " MB"
