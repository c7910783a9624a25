"""What each part of this benchmark gives back: a figure, its aim, and whether it was met."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: str
    """As it is printed, with its unit and what it was counted over: "0 of 300", ".113"."""
    aim: str = ""
    met: bool | None = None
    """None where no aim was set."""
