"""Everything that the installation keeps of one account, for its owner.

Of a team only what the account itself did: its memberships, its files and checks. Scores are those that the
owner may see now, so an export shows no private score before its time. Secrets are not in it, as only their
hashes are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from app.base.models import (
    Competition,
    Event,
    FileCheck,
    FormerName,
    Membership,
    SignIn,
    Submission,
    Team,
    Token,
    User,
)
from app.base.models_classes import Classroom, Enrolment
from app.base.models_mail import Letter, MailAddress
from app.base.models_roles import Host
from app.base.models_rules import RulesAcceptance
from app.base.models_visibility import Admission
from app.competing import statuses
from app.messages import announcements, questions
from app.people.accounts import Viewer


def collect(session: Session, viewer: Viewer, *, now: datetime) -> dict[str, Any]:
    """Return the data of an account as texts, numbers and lists, in the order of time."""
    user = session.get_one(User, viewer.id)
    mine = viewer.id
    slugs = {row.id: row.slug for row in session.execute(select(Competition.id, Competition.slug))}
    joined = select(Membership, Team).join(Team, Team.id == Membership.team_id)
    sign_ins = session.scalars(select(SignIn).where(SignIn.user_id == mine).order_by(SignIn.id))
    tokens = session.scalars(select(Token).where(Token.user_id == mine).order_by(Token.id))
    renames = select(FormerName).where(FormerName.user_id == mine).order_by(FormerName.until)
    former = session.scalars(renames).all()
    acceptances = session.scalars(select(RulesAcceptance).where(RulesAcceptance.user_id == mine))
    admissions = session.scalars(select(Admission).where(Admission.user_id == mine))
    roles = session.scalars(select(Host).where(Host.user_id == mine))
    enrolled = select(Enrolment, Classroom.slug).join(Classroom, Classroom.id == Enrolment.classroom_id)
    mail = session.get(MailAddress, mine)
    letters = session.scalars(select(Letter).where(Letter.user_id == mine).order_by(Letter.id))
    checks = session.scalars(
        select(FileCheck).where(FileCheck.user_id == mine).order_by(FileCheck.inspection_id)
    )
    done = select(Event.at, Event.action, Event.subject).where(_by(user, former)).order_by(Event.id)
    return {
        "account": {
            "name": user.name,
            "is_organiser": user.is_organiser,
            "created_at": user.created_at.isoformat(),
            "former_names": [{"name": one.name, "until": one.until.isoformat()} for one in former],
        },
        "sign_ins": [{"browser": one.browser, "created_at": one.created_at.isoformat()} for one in sign_ins],
        "tokens": [
            {
                "label": one.label,
                "scope": one.scope,
                "created_at": one.created_at.isoformat(),
                "last_used_at": _text(one.last_used_at),
            }
            for one in tokens
        ],
        "mail": mail
        and {
            "address": mail.address,
            "wanted": mail.wanted,
            "set_at": mail.set_at.isoformat(),
            "confirmed_at": _text(mail.confirmed_at),
            "kinds": mail.kinds,
        },
        "letters": [
            {"kind": one.kind, "written_at": one.created_at.isoformat(), "ended_at": _text(one.ended_at)}
            for one in letters
        ],
        "roles": [{"competition": slugs[one.competition_id], "role": one.role} for one in roles],
        "teams": [
            {
                "competition": slugs[membership.competition_id],
                "team": team.name,
                "joined_at": membership.joined_at.isoformat(),
                "off_the_board_since": _text(team.unranked_at),
                "off_the_board_why": team.unranked_why,
                "disqualified_at": _text(team.disqualified_at),
                "disqualified_why": team.disqualified_why,
                "method_removed_why": team.method_removed_why,
            }
            for membership, team in session.execute(joined.where(Membership.user_id == mine))
        ],
        "classes": [
            {
                "class": slug,
                "student_number": one.external_id,
                "login": one.login,
                "email": one.email,
                "given": one.given,
                "family": one.family,
                "section": one.section,
                "pseudonym": one.pseudonym,
                "added_at": one.created_at.isoformat(),
                "left_at": _text(one.left_at),
            }
            for one, slug in session.execute(enrolled.where(Enrolment.user_id == mine))
        ],
        "rules": [
            {
                "competition": slugs[one.competition_id],
                "version": one.number,
                "accepted_at": one.accepted_at.isoformat(),
            }
            for one in acceptances
        ],
        "admissions": [
            {
                "competition": slugs[one.competition_id],
                "way": one.way,
                "admitted_at": one.admitted_at.isoformat(),
                "removed_at": _text(one.removed_at),
            }
            for one in admissions
        ],
        "announcements_read": [
            {
                "competition": slugs[one.competition_id] if one.competition_id is not None else None,
                "title": one.title,
                "read_at": at.isoformat(),
            }
            for one, at in announcements.readings(session, mine)
        ],
        "questions": [
            {
                "competition": slugs[one.competition_id],
                "title": one.title,
                "text": one.text,
                "is_public": one.is_public,
                "asked_at": one.asked_at.isoformat(),
                "edited_at": _text(one.edited_at),
                "answer": one.answer,
                "answered_at": _text(one.answered_at),
                "answer_read_at": _text(one.answer_read_at),
                "hidden_why": one.hidden_why,
            }
            for one in questions.of_account(session, mine)
        ],
        "submissions": _submissions(session, viewer, now=now),
        "checks": [
            {
                "id": one.inspection_id,
                "filename": one.filename,
                "sha256": one.sha256,
                "received_at": one.received_at.isoformat(),
            }
            for one in checks
        ],
        "log": [
            {"at": at.isoformat(), "action": action, "subject": subject}
            for at, action, subject in session.execute(done)
        ],
    }


def _submissions(session: Session, viewer: Viewer, *, now: datetime) -> list[dict[str, Any]]:
    competitions = session.scalars(
        select(Competition)
        .where(Competition.id.in_(select(Submission.competition_id).where(Submission.user_id == viewer.id)))
        .order_by(Competition.id)
    ).all()
    return [
        {
            "id": entry.id,
            "competition": competition.slug,
            "team": entry.team,
            "filename": entry.filename,
            "message": entry.message,
            "sha256": entry.sha256,
            "size_bytes": entry.size_bytes,
            "received_at": entry.received_at.isoformat(),
            "state": entry.state.value,
            "public": entry.public,
            "private": entry.private,
            "is_withdrawn": entry.is_withdrawn,
            "off_the_board_why": entry.excluded_why,
        }
        for competition in competitions
        for entry in reversed(
            statuses.statuses(session, competition, now=now, user_id=viewer.id, limit=1_000_000)
        )
    ]


def _by(user: User, former: Sequence[FormerName]) -> ColumnElement[bool]:
    """Select the account's events: by each name while it had it, since a released name may be another's."""
    since = user.created_at
    held = []
    for one in former:
        held.append(and_(Event.actor == one.name, Event.at >= since, Event.at <= one.until))
        since = one.until
    return or_(*held, and_(Event.actor == user.name, Event.at >= since))


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
