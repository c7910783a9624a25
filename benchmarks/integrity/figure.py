"""A figure of the benchmark, its aim, and whether it was met."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: str
    """As it is printed, with its unit and what it was counted over: "0 of 300", ".113"."""
    aim: str = ""
    met: bool | None = None
    """None where no aim was set."""


def measure(name: str, *, smoke: bool) -> tuple[str, list[Figure], float]:
    """A part's title, its figures, and the seconds they took."""
    part = import_module(name)
    began = time.perf_counter()
    return part.TITLE, part.figures(smoke=smoke), time.perf_counter() - began
