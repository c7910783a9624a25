"""Upload tickets: permission to send one file first and submit it afterwards.

Clients that upload in three calls (start, send, submit) get a ticket in the first. Its secret is the address
that takes the file, once, without any other credentials, and then names the file in the last call, which
alone is charged.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from app.base.errors import Conflict, Forbidden, NotFound, QuotaExhausted, Refused
from app.base.models import (
    Competition,
    Evaluation,
    Phase,
    Round,
    RoundState,
    State,
    Submission,
    Team,
    UploadTicket,
    User,
)
from app.base.storage import ORPHAN_AGE, Blob
from app.competing import extensions, submissions, teams, upload_room
from app.competing.submissions import Receipt
from app.people.accounts import Viewer

LIFE = timedelta(hours=1)
KEPT = LIFE + ORPHAN_AGE
"""How long a file that was sent and not submitted counts: no clean-up removes a younger one."""
MOST_UNSUBMITTED = 10
"""Unsubmitted tickets of an account: their files are on the disk and not charged."""
REPEATED_WITHIN = timedelta(minutes=5)
"""A client that lost the last answer begins anew: the same file and message are one submission."""
_KEY = "upload-ticket:"


def issue(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    *,
    filename: str,
    size_bytes: int,
    most_bytes: int,
    now: datetime,
) -> str:
    """Return the secret of a new ticket; refuse what `submissions.accept` would.

    Clients show the reason of a refusal here, and not that of a refused file.
    """
    submissions.admit(session, competition, viewer, received_at=now)
    if size_bytes <= 0:
        raise Refused("The file is empty. Choose a file with predictions.")
    upload_room.refuse_too_large(competition, size_bytes)
    # Locked: two concurrent requests would both see room for one.
    session.scalars(select(User).where(User.id == viewer.id).with_for_update()).one()
    waiting, waiting_bytes = session.execute(
        select(func.count(), func.sum(UploadTicket.size_bytes)).where(
            UploadTicket.user_id == viewer.id, UploadTicket.submitted_at.is_(None), _counts(now)
        )
    ).one()
    if waiting >= MOST_UNSUBMITTED:
        raise QuotaExhausted(
            f"You have begun {MOST_UNSUBMITTED} uploads without submitting them, which is the limit. Submit "
            f"them, or wait: each counts for an hour, and for {KEPT.total_seconds() / 3600:g} hours once its "
            "file has arrived."
        )
    team = teams.of(session, competition, viewer.id)
    if team is not None:
        adding = size_bytes + int(waiting_bytes or 0)
        upload_room.refuse_beyond_room(session, team.id, adding, most_bytes=most_bytes)
    secret = secrets.token_urlsafe(32)
    session.add(
        UploadTicket(
            token_hash=_digest(secret),
            user_id=viewer.id,
            competition_id=competition.id,
            filename=submissions.safe_filename(filename),
            size_bytes=size_bytes,
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    return secret


def _counts(now: datetime) -> ColumnElement[bool]:
    """Return whether a ticket may still hold a file or get one."""
    arrived = and_(UploadTicket.sha256.is_not(None), UploadTicket.created_at > now - KEPT)
    return or_(UploadTicket.expires_at > now, arrived)


def begin(session: Session, secret: str, *, now: datetime) -> UploadTicket:
    """Return the ticket whose file begins to arrive; from now on it takes no other."""
    ticket = _live(session, secret, now=now)
    empty = UploadTicket.id == ticket.id, UploadTicket.received_at.is_(None)
    if not session.execute(update(UploadTicket).where(*empty).values(received_at=now)).rowcount:  # type: ignore[attr-defined]
        raise Conflict("This address has taken its file already; begin a new upload.")
    return ticket


def abandon(session: Session, ticket_id: int) -> None:
    """Let a ticket whose file did not arrive take another."""
    empty = UploadTicket.id == ticket_id, UploadTicket.sha256.is_(None)
    session.execute(update(UploadTicket).where(*empty).values(received_at=None))


def fill(session: Session, ticket_id: int, blob: Blob) -> None:
    """Record the file of a ticket that `begin` returned."""
    session.execute(update(UploadTicket).where(UploadTicket.id == ticket_id).values(sha256=blob.sha256))


def submit(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    secret: str,
    *,
    message: str,
    most_bytes: int,
    now: datetime,
    sandbox: bool = False,
    is_by_agent: bool = False,
) -> Receipt:
    """Submit a ticket's file, in the caller's transaction.

    The upload counts for the day on which it is submitted. After the close, within the grace, it is in time
    if its file began to arrive before. A ticket submitted twice, or a new ticket with the same file and
    message within minutes, returns the first receipt.
    """
    ticket = _live(session, secret, now=now)
    if (ticket.user_id, ticket.competition_id) != (viewer.id, competition.id):
        raise _unknown()
    if ticket.sha256 is None or ticket.received_at is None:
        raise Refused("The file of this upload has not arrived; send it, then submit it.")
    team = teams.of(session, competition, viewer.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} before submitting to it.")
    is_over = extensions.limits(session, competition, team).phase(competition, now) is Phase.CLOSED
    receipt = submissions.accept(
        session,
        competition,
        viewer,
        Blob(ticket.sha256, ticket.size_bytes),
        filename=ticket.filename,
        message=message,
        received_at=ticket.received_at if is_over else now,
        now=now,
        idempotency_key=_key_of_repetition(session, team, ticket, message, now) or f"{_KEY}{ticket.id}",
        most_bytes=most_bytes,
        sandbox=sandbox,
        is_by_agent=is_by_agent,
    )
    ticket.submitted_at = now
    return receipt


def _key_of_repetition(
    session: Session, team: Team, ticket: UploadTicket, message: str, now: datetime
) -> str | None:
    """Return the key of the submission that this ticket repeats, if any.

    One that was rejected or failed is not repeated but sent again.
    """
    return session.scalar(
        select(Submission.idempotency_key)
        .join(Evaluation, Evaluation.submission_id == Submission.id)
        .join(Round, and_(Round.id == Evaluation.round_id, Round.state == RoundState.ACTIVE))
        .where(
            Submission.team_id == team.id,
            Submission.user_id == ticket.user_id,
            Submission.sha256 == ticket.sha256,
            Submission.message == submissions.one_line(message),
            Submission.idempotency_key.startswith(_KEY, autoescape=True),
            Submission.received_at > now - REPEATED_WITHIN,
            Evaluation.state.in_((State.QUEUED, State.RUNNING, State.SCORED)),
        )
        .order_by(Submission.id.desc())
        .limit(1)
    )


def _live(session: Session, secret: str, *, now: datetime) -> UploadTicket:
    ticket = session.scalar(
        select(UploadTicket).where(UploadTicket.token_hash == _digest(secret), UploadTicket.expires_at > now)
    )
    if ticket is None:
        raise _unknown()
    return ticket


def _unknown() -> NotFound:
    return NotFound("There is no such upload of yours, or it is older than an hour; begin a new one.")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
