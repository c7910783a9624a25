"""Results and errors of the scorer, cheap to import.

This module imports the standard library only, so that the web process can use problems and reports without
loading a numeric library.

    HeldoutError
    ├── InvalidSubmission     the participant's file is wrong; .problems lists why
    ├── InvalidChallenge      the organiser's folder is wrong; .problems lists why
    └── ScoringFailed         the metric gave no finite number; a fault of Heldout or of the organiser
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a file or a folder is refused."""

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
    """Number of places with this problem; the fields above describe the first."""
    file: str | None = None
    """For challenge folders: the file, relative to the folder."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are not None."""
        return {k: v for k, v in asdict(self).items() if v is not None}


@dataclass(frozen=True, slots=True)
class Notice:
    """A fact about an accepted file, such as a constant prediction."""

    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


NOT_CHECKED = "not_checked"
"""The code of a finding about what could not be judged; it blocks where no label could be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check reports; severity is block, warn or info."""

    code: str
    severity: str
    scope: str
    evidence: str
    advice: str
    effect: float | None = None
    """In the check's unit: an AUC, a share of rows, ..."""
    p: float | None = None
    """Corrected for the number of columns or files tested; None if the finding is no test."""
    picture: Mapping[str, Any] | None = None
    """Data of a plot, where looking is better than reading; see scorer.leakage.check.Found."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Report:
    """The scores of one submission under one challenge version.

    Every float is finite.
    """

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
    """Base class of the errors of this package."""


class _WithProblems(HeldoutError):
    def __init__(self, problems: Sequence[Problem], total: int | None = None) -> None:
        self.problems = tuple(problems)
        self.total = sum(p.count for p in self.problems) if total is None else total
        super().__init__("\n".join(p.message for p in self.problems))


class InvalidSubmission(_WithProblems):
    """The submission is refused.

    `.problems` lists at most 20 problems, `.total` counts all.
    """


class InvalidChallenge(_WithProblems):
    """The folder is not a challenge.

    `.problems` lists every problem with its file and line.
    """


class ScoringFailed(HeldoutError):
    """The metric gave no finite number for an accepted file.

    The text is for the organiser only.
    """
