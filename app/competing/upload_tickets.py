"""Upload tickets: permission to send one file first and submit it afterwards.

Clients that upload in three calls (start, send, submit) get a ticket in the first. Its secret is the address
that takes the file, once, without any other credentials, and then names the file in the last call, which
alone is charged.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.base.errors import Conflict, NotFound, QuotaExhausted, Refused
from app.base.models import Competition, Submission, UploadTicket
from app.base.storage import Blob
from app.competing import submissions, teams
from app.competing.submissions import Receipt
from app.people.accounts import Viewer

LIFE = timedelta(hours=1)
MOST_OPEN = 10
"""Open tickets of an account: their files are on the disk and are not charged yet."""
REPEATED_WITHIN = timedelta(minutes=5)
"""A client that lost the last answer begins anew: the same file and message are one submission."""
MAX_FILENAME_LENGTH = 200
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
    submissions.refuse_too_large(competition, size_bytes)
    team = teams.of(session, competition, viewer.id)
    if team is not None:
        submissions.refuse_beyond_room(session, team.id, size_bytes, most_bytes=most_bytes)
    session.execute(
        delete(UploadTicket).where(UploadTicket.user_id == viewer.id, UploadTicket.expires_at <= now)
    )
    mine = select(func.count()).select_from(UploadTicket).where(UploadTicket.user_id == viewer.id)
    if (session.scalar(mine) or 0) >= MOST_OPEN:
        raise QuotaExhausted(
            f"You have begun {MOST_OPEN} uploads in the last hour without submitting them, which is the "
            "limit. Submit one of them, or wait until they expire."
        )
    secret = secrets.token_urlsafe(32)
    session.add(
        UploadTicket(
            token_hash=_digest(secret),
            user_id=viewer.id,
            competition_id=competition.id,
            filename=filename or "submission.csv",
            size_bytes=size_bytes,
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    return secret


def waiting(session: Session, secret: str, *, now: datetime) -> UploadTicket:
    """Return the ticket that still waits for its file."""
    ticket = _live(session, secret, now=now)
    if ticket.sha256 is not None:
        raise Conflict("This address has taken its file already; begin a new upload.")
    return ticket


def fill(session: Session, ticket_id: int, blob: Blob, *, received_at: datetime) -> None:
    """Record the file of a ticket, once."""
    empty = UploadTicket.id == ticket_id, UploadTicket.sha256.is_(None)
    values = {"sha256": blob.sha256, "received_at": received_at}
    if not session.execute(
        update(UploadTicket).where(*empty).values(**values).returning(UploadTicket.id)
    ).first():
        raise Conflict("This address has taken its file already; begin a new upload.")


def submit(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    secret: str,
    *,
    message: str,
    most_bytes: int,
    now: datetime,
) -> Receipt:
    """Submit a ticket's file, in the caller's transaction.

    The upload counts as received when its file began to arrive. A ticket submitted twice, or a new ticket
    with the same file and message within minutes, returns the first receipt.
    """
    ticket = _live(session, secret, now=now)
    if (ticket.user_id, ticket.competition_id) != (viewer.id, competition.id):
        raise _unknown()
    if ticket.sha256 is None or ticket.received_at is None:
        raise Refused("The file of this upload has not arrived; send it, then submit it.")
    key = f"{_KEY}{ticket.id}"
    blob = Blob(ticket.sha256, ticket.size_bytes)
    return submissions.accept(
        session,
        competition,
        viewer,
        blob,
        filename=ticket.filename,
        message=message,
        received_at=ticket.received_at,
        now=now,
        idempotency_key=_key_of_repetition(session, competition, ticket, message) or key,
        most_bytes=most_bytes,
    )


def _key_of_repetition(
    session: Session, competition: Competition, ticket: UploadTicket, message: str
) -> str | None:
    """Return the key of the submission that this ticket repeats, if any."""
    if ticket.received_at is None:
        return None
    return session.scalar(
        select(Submission.idempotency_key)
        .where(
            Submission.competition_id == competition.id,
            Submission.user_id == ticket.user_id,
            Submission.sha256 == ticket.sha256,
            Submission.message == message,
            Submission.idempotency_key.startswith(_KEY, autoescape=True),
            Submission.received_at > ticket.received_at - REPEATED_WITHIN,
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
