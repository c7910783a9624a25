"""The tables of classes: enrolments, personal codes and the competitions of a class."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.base.db import Base, UtcTime
from app.base.models import Id


class Role(StrEnum):
    """The roles in a class."""

    STUDENT = "student"
    ASSISTANT = "assistant"
    INSTRUCTOR = "instructor"


class BoardNames(StrEnum):
    """Under which names the students of a class sign in and stand on boards."""

    FREE = "free"
    """Each student chooses one when joining, or leaves it to the pseudonym."""
    PSEUDONYM = "pseudonym"
    """The pseudonym, always."""


class Classroom(Base):
    """A class of a course, with its students. Python has the word `class` for itself."""

    __tablename__ = "classroom"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    code: Mapped[str] = mapped_column(String(8), unique=True)
    """The class code, on the projector: it leads to the page to join and permits nothing alone."""
    columns: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    """Headers of rosters to fields, as an instructor has mapped them."""
    names: Mapped[str] = mapped_column(
        String(10), default=BoardNames.FREE.value, server_default=BoardNames.FREE.value
    )
    """See BoardNames; for accounts that are made from now on."""
    made_by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    archived_at: Mapped[datetime | None] = mapped_column(UtcTime)


class Enrolment(Base):
    """A member of a class, as the roster names it; it has an account from joining on."""

    __tablename__ = "enrolment"
    __table_args__ = (
        UniqueConstraint("classroom_id", "user_id"),
        UniqueConstraint("classroom_id", "pseudonym"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classroom_id: Mapped[int] = mapped_column(ForeignKey("classroom.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user_account.id"), index=True)
    role: Mapped[str] = mapped_column(String(10), default=Role.STUDENT.value)
    external_id: Mapped[str | None] = mapped_column(String(120))
    """The student number, or the platform's id where the roster has no other."""
    login: Mapped[str | None] = mapped_column(String(120))
    email: Mapped[str | None] = mapped_column(String(254))
    given: Mapped[str] = mapped_column(String(120), default="")
    family: Mapped[str] = mapped_column(String(120), default="")
    section: Mapped[str | None] = mapped_column(String(120))
    team: Mapped[str | None] = mapped_column(String(120))
    """The roster's group, of which a team can be made."""
    canvas_id: Mapped[str | None] = mapped_column(String(120))
    worksheet_id: Mapped[str | None] = mapped_column(String(120))
    """The identifier of a Moodle worksheet, also under blind marking."""
    pseudonym: Mapped[str] = mapped_column(String(40))
    is_by_hand: Mapped[bool] = mapped_column(default=False)
    """Added by hand and in no roster since: an import does not count it as gone."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    left_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """When a roster no longer had it; its files stay."""

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}".strip()


class JoinCode(Base):
    """A personal code with which a student joins; only a keyed hash is stored."""

    __tablename__ = "join_code"
    __table_args__ = (Index("ix_join_code_enrolment", "enrolment_id", "revoked_at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    enrolment_id: Mapped[int] = mapped_column(ForeignKey("enrolment.id"))
    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    made_by: Mapped[str] = mapped_column(String(60))
    created_at: Mapped[datetime] = mapped_column(UtcTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcTime)
    """By a newer code of the same student."""


class ClassCompetition(Base):
    """A competition of a class, with the rule by which its scores become grades."""

    __tablename__ = "class_competition"
    __table_args__ = (UniqueConstraint("classroom_id", "competition_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    classroom_id: Mapped[int] = mapped_column(ForeignKey("classroom.id"))
    competition_id: Mapped[int] = mapped_column(ForeignKey("competition.id"), index=True)
    grade_rule: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """See app.classes.grade_rules; None: the default."""
    created_at: Mapped[datetime] = mapped_column(UtcTime)
