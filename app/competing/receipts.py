"""Sign and verify receipts: one line that only this installation can write.

A participant can prove with it what was submitted and when, even if an operator rewrites the database. It is
signed (Ed25519) with a key derived from the installation's secret key; the public key is enough to check it.
It contains only immutable facts, so a submission has the same receipt at any time; its team is the one that
sent it, also after a merge. A receipt is signed only
while the row agrees with the event that the upload wrote.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Refused
from app.base.models import Competition, Event, Submission

_FORM = re.compile(
    r"(?P<signed>heldout-receipt-1 competition=(?P<competition>\S+) submission=(?P<submission>[0-9]{1,19}) "
    r"team=(?P<team>[0-9]{1,19}) sha256=(?P<sha256>[0-9a-f]{64}) size=(?P<size>[0-9]{1,19}) "
    r"received=(?P<received>\S+)) signature=(?P<signature>[A-Za-z0-9_-]{86})"
)


@dataclass(frozen=True)
class Facts:
    """The content of a receipt."""

    competition: str
    submission_id: int
    team_id: int
    sha256: str
    size_bytes: int
    received_at: datetime

    def __str__(self) -> str:
        received = self.received_at.astimezone(UTC).isoformat(timespec="microseconds")
        return (
            f"heldout-receipt-1 competition={self.competition} submission={self.submission_id} "
            f"team={self.team_id} sha256={self.sha256} size={self.size_bytes} received={received}"
        )


def recorded(session: Session, submission_ids: Iterable[int]) -> dict[int, Facts]:
    """Return the facts of submissions that agree with their upload event.

    A row that was changed, or that has no event, is left out and gets no receipt.
    """
    asked = list(submission_ids)
    by_subject: dict[str, list[Event]] = {}
    subjects = [events.subject_of(id_) for id_ in asked]
    for event in session.scalars(
        select(Event).where(Event.subject.in_(subjects), Event.action.in_((events.ACCEPTED, events.POSTED)))
    ):
        by_subject.setdefault(event.subject, []).append(event)
    rows = session.execute(
        select(Submission, Competition.slug)
        .join(Competition, Competition.id == Submission.competition_id)
        .where(Submission.id.in_(asked))
    )
    found = {}
    for row, slug in rows:
        uploads, facts = by_subject.get(events.subject_of(row.id), []), events.upload(row, slug)
        if uploads and all(events.is_upload(facts, event.detail) for event in uploads):
            found[row.id] = Facts(
                slug, row.id, row.sent_by_team_id, row.sha256, row.size_bytes, row.received_at
            )
    return found


class Signer:
    """Signs receipts and certificates with the key of one installation."""

    def __init__(self, secret_key: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(
            hmac.digest(secret_key.encode(), b"heldout receipt", hashlib.sha256)
        )
        self.public_key = _text(self._key.public_key().public_bytes_raw())

    def sign(self, facts: object) -> str:
        """Return the line of a receipt or certificate, whose text is `str(facts)`, with its signature."""
        return f"{facts} signature={_text(self._key.sign(str(facts).encode()))}"


def read(text: str, public_key: str) -> Facts:
    """Return the facts of a receipt, or refuse a bad signature."""
    # Mail programs break long lines; no part of a receipt contains a space.
    found = _FORM.fullmatch(" ".join(text.split()))
    if found is None:
        raise Refused(
            "This is not a complete receipt: give the line from `heldout-receipt-1` to the signature's end."
        )
    refuse_unless_signed(found["signed"], found["signature"], public_key)
    return Facts(
        found["competition"],
        int(found["submission"]),
        int(found["team"]),
        found["sha256"],
        int(found["size"]),
        datetime.fromisoformat(found["received"]),
    )


def refuse_unless_signed(signed: str, signature: str, public_key: str) -> None:
    """Refuse a line whose signature is not of this public key."""
    try:
        key = Ed25519PublicKey.from_public_bytes(_bytes(public_key))
    except ValueError:
        raise Refused("This is not a receipt key: 43 letters, digits, - and _.") from None
    try:
        raw = _bytes(signature)
        key.verify(raw, signed.encode())
        if _text(raw) != signature:  # the last character has unused bits
            raise InvalidSignature
    except InvalidSignature:
        raise Refused(
            "The signature does not fit: this line was changed, or it was signed with another "
            "installation's key or another secret key."
        ) from None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    # Without altchars and validate, characters outside the alphabet would be skipped.
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
