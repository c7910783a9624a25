"""Changes of the choices that answer what the audit found."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scorer.authoring.choices import Choices
from scorer.checkup import CheckResult
from scorer.report import Finding
from scorer.wording import show

_DROPPED = frozenset(
    {"strong_feature", "target_copy", "post_outcome_feature", "target_encoding", "missingness_signal"}
)
"""Findings about a column that tells the target."""


@dataclass(frozen=True, slots=True)
class Mend:
    code: str
    """Of the finding."""
    words: str
    """What the change does."""
    option: str
    """The same for the command line."""
    change: tuple[tuple[str, Any], ...]
    """Entries of the choices and their values; of `drop` the columns to add."""

    def applied(self, choices: Choices) -> Choices:
        changed = dict(self.change)
        if "drop" in changed:
            changed["drop"] = sorted({*choices.drop, *changed["drop"]})
        return Choices.model_validate(choices.model_dump() | changed)


def mends(result: CheckResult, choices: Choices, columns: Sequence[str]) -> tuple[Mend, ...]:
    """Return one change for each finding that a change of the choices can answer."""
    found = [_mend(finding, choices, columns) for finding in result.findings if finding.severity != "info"]
    return tuple({mend.change: mend for mend in reversed(found) if mend is not None}.values())[::-1]


def _mend(finding: Finding, choices: Choices, columns: Sequence[str]) -> Mend | None:
    named = finding.scope.partition(": ")[2]
    column = named if named in columns else None
    if finding.code in _DROPPED and column is not None and column not in (choices.group, choices.time):
        return Mend(finding.code, f"leave out {show(column)}", f"--drop {_word(column)}", _to(drop=(column,)))
    if finding.code == "group_overlap" and column is not None:
        return Mend(
            finding.code,
            f"put each value of {show(column)} on one side",
            f"--group {_word(column)}",
            _to(strategy="grouped", group=column, time=None),
        )
    if (
        finding.code == "sequential_neighbours"
        and (time := finding.evidence.split(":")[0].removeprefix("By ")) in columns
    ):
        return Mend(
            finding.code,
            f"put the test after train in {show(time)}",
            f"--time {_word(time)}",
            _to(strategy="sequential", time=time, group=None),
        )
    if finding.code == "duplicate_rows" and not choices.without_duplicates:
        return Mend(
            finding.code, "give equal rows once", "--without-duplicates", _to(without_duplicates=True)
        )
    return None


def _to(**entries: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(entries.items())


def _word(text: str) -> str:
    """Return a text as a word of a shell's line."""
    return shlex.quote(text)
