"""By which rules the size limit and the schema of a version's submissions were computed."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.models import ChallengeVersion

FORM_RULES = 1
"""Rises when the rules change by which limit and schema of a submission follow from a version's files."""


def older_versions(session: Session) -> list[ChallengeVersion]:
    """Return the versions whose limits and schemas an older program computed."""
    every = session.scalars(select(ChallengeVersion).order_by(ChallengeVersion.id))
    return [version for version in every if version.manifest.get("form_rules") != FORM_RULES]
