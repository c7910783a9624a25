"""The rule by which a class grades a competition: kept as data, used only when grades are computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import NotFound, Refused
from app.base.models import Competition
from app.base.models_classes import ClassCompetition, Classroom

MOST_ANCHORS = 20


class Missing(StrEnum):
    """The grade of a student without a score that counts."""

    EMPTY = "empty"
    """None: a platform leaves such an item out of a total, or the instructor decides there."""
    ZERO = "zero"


@dataclass(frozen=True)
class Rule:
    anchors: Sequence[tuple[str, float]] = ()
    """A score or a baseline's name, and its percent; none: the default anchors."""
    missing: Missing = Missing.EMPTY

    def document(self) -> dict[str, Any]:
        return {"anchors": [list(pair) for pair in self.anchors], "missing": self.missing.value}


def read(document: Mapping[str, Any] | None) -> Rule:
    """Return the rule of a stored document; what it lacks is the default."""
    found = document or {}
    anchors = tuple((str(name), float(percent)) for name, percent in found.get("anchors", ()))
    return Rule(anchors, Missing(found.get("missing", Missing.EMPTY)))


def missing(word: str) -> Missing:
    try:
        return Missing(word)
    except ValueError:
        raise Refused(f"missing is {' or '.join(Missing)}, not {word[:20]!r}.") from None


def of(session: Session, classroom: Classroom, competition: Competition) -> Rule:
    return read(_row(session, classroom, competition).grade_rule)


def keep(
    session: Session, classroom: Classroom, competition: Competition, rule: Rule, *, by: str, now: datetime
) -> None:
    """Store a rule, which the caller has tried on the competition's baselines."""
    if len(rule.anchors) > MOST_ANCHORS:
        raise Refused(f"There are {len(rule.anchors)} anchors; at most {MOST_ANCHORS} are kept.")
    row = _row(session, classroom, competition)
    if row.grade_rule == rule.document():
        return
    row.grade_rule = rule.document()
    events.log(
        session,
        by,
        "grade rule set",
        f"class {classroom.slug}",
        now=now,
        competition=competition.slug,
        **rule.document(),
    )


def _row(session: Session, classroom: Classroom, competition: Competition) -> ClassCompetition:
    found = session.scalar(
        select(ClassCompetition).where(
            ClassCompetition.classroom_id == classroom.id, ClassCompetition.competition_id == competition.id
        )
    )
    if found is None:
        raise NotFound(f"{competition.slug} is no competition of this class.")
    return found
