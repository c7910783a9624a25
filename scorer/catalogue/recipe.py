"""What the catalogue states of a challenge: where its table comes from, how it is split, what it teaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from scorer.catalogue.packages import Package, Packages

if TYPE_CHECKING:
    import numpy as np

    from scorer.catalogue.measuring import Lesson, Measured

Strategy = Literal["random", "stratified", "grouped", "sequential"]


class Source(BaseModel):
    """Where the data come from, as challenge.yaml states it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    licence: str
    citation: str | None = None


class Card(BaseModel):
    """The texts of a challenge, from cards/NAME.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    summary: str
    source: Source
    about: str
    """Markdown: what a row is, and what each column means."""
    trap: str
    """What goes wrong, in one sentence; for the instructor."""
    teaches: Sequence[str]
    minutes: int
    """In class, from opening the page to the second submission."""
    anchors: str
    mistakes: Sequence[str]
    questions: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """A simulated table, and the best prediction that its columns permit."""

    table: pd.DataFrame
    probability: NDArray[np.float64]
    """Of the positive class of each row, given all columns and the simulator's rules."""


@dataclass(frozen=True)
class Recipe:
    """One challenge of the catalogue."""

    name: str
    target: str
    metric: str
    strategy: Strategy
    make: Callable[[Packages, int], pd.DataFrame | Simulated]
    """The table from the packages and a seed, with every planted leak."""
    trap: Callable[[Lesson], list[Measured]]
    """Measures the trap on the table and its split."""
    time: str | None = None
    group: str | None = None
    test_share: float = 0.35
    packages: tuple[Package, ...] = ()
    leaks: tuple[str, ...] = ()
    """Columns of the teaching variant that reveal the target; the clean variant lacks them."""
    predicted: Literal["probabilities", "labels", "numbers"] | None = None
    without_duplicates: bool = False

    @cached_property
    def card(self) -> Card:
        text = files("scorer.catalogue").joinpath("cards", f"{self.name}.yaml").read_text(encoding="utf-8")
        return Card.model_validate(yaml.safe_load(text))

    @property
    def is_simulated(self) -> bool:
        """Whether the labels cannot be looked up."""
        return self.name in ("coupon-drift", "ward-readmission")

    def as_dict(self) -> Mapping[str, Any]:
        return {
            "name": self.name,
            "title": self.card.title,
            "summary": self.card.summary,
            "metric": self.metric,
            "split": self.strategy,
            "simulated": self.is_simulated,
            "packages": [f"{package.name}=={package.version}" for package in self.packages],
            "leaks": list(self.leaks),
            "trap": self.card.trap,
            "teaches": list(self.card.teaches),
            "minutes": self.card.minutes,
        }
