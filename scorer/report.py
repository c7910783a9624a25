"""What crosses the scorer's border: frozen values without behaviour, cheap to import.

This module imports the standard library only, so that the web process can speak of problems and
reports without loading a single numeric library.

    HeldoutError
    ├── InvalidSubmission     the participant's file is wrong; .problems says everything
    ├── InvalidChallenge      the organiser's folder is wrong; .problems says everything
    └── ScoringFailed         neither: the metric could not give a finite number; our fault or the organiser's
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, in words the person who made the file can act on."""

    code: str
    """Stable upper-case name, e.g. MISSING_IDS; see docs/reference/problems.md."""
    message: str
    """One or two sentences: what was given, what is allowed, how to fix it."""
    line: int | None = None
    """Physical line in the file, the header being line 1."""
    id: str | None = None
    """The row's id as received, cut to 40 characters."""
    column: str | None = None
    value: str | None = None
    """The received text, escaped and cut to 40 characters."""
    count: int = 1
    """How many places have this same problem; the fields above describe the first."""
    file: str | None = None
    """For challenge folders: the file, relative to the folder."""

    def as_dict(self) -> dict[str, Any]:
        """Only what is known: keys whose value is None are left out."""
        return {k: v for k, v in asdict(self).items() if v is not None}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something we did or saw that is not wrong: columns matched by name, a constant prediction."""

    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an audit says of a challenge; severity is block, warn or info."""

    code: str
    severity: str
    scope: str
    evidence: str
    advice: str
    effect: float | None = None
    """In the check's own unit: an AUC, a share of rows, ..."""
    p: float | None = None
    """Corrected for how many columns or files were tried; None where the finding is a fact and no test."""
    picture: Mapping[str, Any] | None = None
    """Data of a plot, where looking is better than reading; see scorer.leakage.check.Found."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of one submission under one challenge version. Every float is finite."""

    public: float
    private: float
    also: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Metrics shown beside the ranking one: name -> {"public": x, "private": y}."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """Scored rows: {"public": n, "private": n, "ignored": n}."""
    notices: Sequence[Notice] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Metric name, version and parameters, sha256 of the file, library versions."""


class HeldoutError(Exception):
    """The root of everything this package raises on purpose."""


class _WithProblems(HeldoutError):
    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = sum(p.count for p in self.problems) if total is None else total
        super().__init__("\n".join(p.message for p in self.problems))


class InvalidSubmission(_WithProblems):
    """The file was refused; `.problems` lists every problem (at most 20 shown), `.total` counts all."""


class InvalidChallenge(_WithProblems):
    """The folder is not a challenge; `.problems` lists every problem with its file and line."""


class ScoringFailed(HeldoutError):
    """The metric gave no finite number for an acceptable file. The text is for the organiser only."""
