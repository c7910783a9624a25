"""What a check is: a pure function over a challenge's material, registered with what it needs.

    @check("row_order", scope="rows", needs=("listed",), cost="n log n")
    def row_order(material: Material) -> Iterator[Found]:
        ...

A check yields findings and nothing else: it neither prints nor decides about publishing. The audit gives a
finding its severity: "block" where the check asks for it and has `blocks`, else "warn" or "info". A check
that cannot be made raises `NotChecked` with the reason; that becomes a finding too, so that no check is
skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scorer.leakage.material import Material

Severity = Literal["block", "warn", "info"]
Need = Literal["train", "test", "train_target", "hidden", "listed", "sample", "public_files"]
"""train, test: the tables could be read. train_target: train holds the target as a simple column.
hidden: the solution's target is a simple column. listed: some public file names the test rows in an
order, and `hidden` holds. public_files: there is anything in public/."""
ALARM = 4.0
"""-log10 of the corrected p from which a check reports a finding."""
BLOCK = 6.0
"""-log10 of the corrected p from which a finding may block, together with an effect floor."""
SOFT_ALARM = 3.0
"""As `ALARM`, for checks that only warn and have little power in small tables."""
AUC_FLOOR = 0.55
"""AUC below which an association is too weak to matter, however small its p."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found at one place."""

    evidence: str
    """What was measured, in words with numbers. For the organiser: it may reveal hidden labels."""
    advice: str
    """What to do."""
    effect: float | None = None
    """Strength, in the unit the check documents (AUC, share of rows, ...)."""
    log10p: float | None = None
    """log10 of the corrected p value: -8.0 for 1e-8. None where the finding is a fact, not a test."""
    severity: Severity = "warn"
    """block counts only where the check is registered with blocks=True."""
    where: str = ""
    """Narrows the check's scope: a column, a file."""
    picture: Mapping[str, Any] | None = None
    """Data for a plot: {"kind": "line|bars|points", "title", "x_title", "y_title",
    "x": [...], "y": [...], "text": what the picture shows, in words}."""


@dataclass(frozen=True, slots=True)
class Check:
    code: str
    scope: str
    needs: tuple[Need, ...]
    cost: str
    blocks: bool
    version: int
    run: Callable[[Material], Iterator[Found]] = field(repr=False)
    title: str
    """The function's first docstring line, which participants may read."""


CHECKS: dict[str, list[Check]] = {}
"""By code; several functions may share one."""


def check(
    code: str, *, scope: str, needs: tuple[Need, ...], cost: str, blocks: bool = False, version: int = 1
) -> Callable[[Callable[[Material], Iterator[Found]]], Callable[[Material], Iterator[Found]]]:
    """Register a check.

    code: the finding's code. scope: rows, columns, files, split or challenge.
    """

    def register(run: Callable[[Material], Iterator[Found]]) -> Callable[[Material], Iterator[Found]]:
        title = (run.__doc__ or "").strip().split("\n")[0].rstrip(".")
        if not title:
            raise TypeError(f"check {code} has no docstring to be its title")
        CHECKS.setdefault(code, []).append(Check(code, scope, needs, cost, blocks, version, run, title))
        return run

    return register
