"""What a reader of a format hands over: one challenge, in the words of this project."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scorer.importing.account import Account
from scorer.importing.bundle import Bundle
from scorer.importing.forms import Columns


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the owner of a bundle states beside it."""

    sample: Path | None = None
    """A sample submission, where the bundle has none."""
    public_share: float = 0.3
    """Of the rows whose score is public, where the bundle has no split."""
    metric: str | None = None
    greater_is_better: bool | None = None


@dataclass
class Foreign:
    title: str
    id: str
    truth: Columns
    """The id and all other columns of the solution, without Usage."""
    columns: Sequence[str]
    """What is predicted."""
    sample: Columns | None = None
    usage: Sequence[str] | None = None
    """Of each row; None where the bundle does not divide its rows."""
    slug: str = ""
    summary: str = ""
    description: str = ""
    metric: str | None = None
    """The text of an own metric; None where the metric has only a name."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    truth_values: Mapping[str, int] = field(default_factory=dict)
    """The numbers that the words of the truth stand for, where a metric of ours needs numbers."""
    names: Sequence[str] = ()
    """What the metric is called there."""
    code: Sequence[str] = ()
    """The programs that compute it, to see which functions they call."""
    greater_is_better: bool | None = None
    complete: bool = False
    """Whether ids repeat, so that the metric gets the whole submission."""
    takes_sample: bool = False
    """Whether the reader took the stated sample, in a form of its own, itself."""
    public: Mapping[str, Path] = field(default_factory=dict)
    """Files for public/, by their names there."""
    competition: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, str] | None = None


def limit_of(value: Any, most: int) -> int | None:
    """Return a stated limit of submissions or picks; None where it is none from 1 to `most`."""
    text = str(value or "")
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,8}", text) and int(text) <= most else None


class Format(Protocol):
    """A module of scorer.importing.formats."""

    NAME: str

    def recognise(self, bundle: Bundle, /) -> str | None:
        """Return what shows the format, or None."""

    def read(self, bundle: Bundle, account: Account, wishes: Wishes, /) -> Foreign:
        """Return the challenge; raises CannotImport, or Incomplete with what is missing."""
