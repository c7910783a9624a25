"""What letters say, composed when they are sent; and for whom they are written.

No letter holds a score, the words of another participant, or a secret other than its own link.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.models import Competition, Membership, User
from app.base.models_mail import Letter, LettersWritten, MailAddress
from app.base.models_messages import Announcement, Question
from app.delivery import addresses, outbox, passwords
from app.delivery.addresses import Kind

NEWS = timedelta(days=2)
"""Older things are not written about: mail that was just set up must not send the past."""
MOST_AT_ONCE = 20


@dataclass(frozen=True)
class Composed:
    """A letter as it is sent."""

    to: str
    subject: str
    text: str


class Dropped(Exception):
    """There is nothing to send any more; the text is the reason."""


def compose(session: Session, letter: Letter, *, url: str, key: str, now: datetime) -> Composed:
    """Return the text of a letter; raises Dropped. `url` is this server's, without a slash at its end.

    The secret of a link follows from the letter and the server's key, of which no table holds it: a repeated
    attempt sends the same link.
    """
    if letter.user_id is None:
        raise Dropped("no account has confirmed this address")
    user, row = session.get_one(User, letter.user_id), session.get(MailAddress, letter.user_id)
    if row is None:
        raise Dropped("the address was removed")
    if letter.kind == Kind.CONFIRM:
        return _confirmation(session, user, row, url, _secret(letter, key), now)
    if row.address is None:
        raise Dropped("the address is not confirmed")
    if letter.kind == Kind.PASSWORD:
        return _password(session, user, row.address, url, _secret(letter, key), now)
    if letter.kind not in row.kinds:
        raise Dropped("the account does not want this kind of mail")
    return _news(session, letter, row.address, url, now)


def _secret(letter: Letter, key: str) -> str:
    """Return 256 bits that the letter's random reference and the key determine."""
    about = f"letter {letter.kind} {letter.user_id} {letter.reference}"
    digest = hmac.digest(key.encode(), about.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _confirmation(
    session: Session, user: User, row: MailAddress, url: str, secret: str, now: datetime
) -> Composed:
    if row.wanted is None:
        raise Dropped("the address is confirmed")
    addresses.link(session, row, secret, now=now)
    return Composed(
        row.wanted,
        "Confirm your e-mail address",
        f"The account {user.name} at {url} gave this address.\n\n"
        f"If it is yours, confirm it within a day:\n{url}/account/mail/confirm?token={secret}\n\n"
        "If you do not know the account, do nothing: no other mail is sent.\n",
    )


def _password(session: Session, user: User, address: str, url: str, secret: str, now: datetime) -> Composed:
    if not passwords.link(session, user.id, secret, now=now):
        raise Dropped("its link has ended")
    return Composed(
        address,
        "Set a new password",
        f"A new password was asked for the account {user.name} at {url}.\n\n"
        f"Set it within half an hour:\n{url}/reset?token={secret}\n\n"
        "The link works once. If you did not ask, do nothing: your password stays.\n",
    )


def _news(session: Session, letter: Letter, address: str, url: str, now: datetime) -> Composed:
    footer = f"\n-- \nYou get this because of your choice at {url}/account.\n"
    if letter.kind == Kind.ANNOUNCEMENT:
        one = session.get(Announcement, int(letter.reference))
        if one is None or one.withdrawn_at is not None:
            raise Dropped("the announcement was withdrawn")
        competition = one.competition_id and session.get_one(Competition, one.competition_id)
        place = (
            f"{url}/competitions/{competition.slug}/announcements" if competition else f"{url}/announcements"
        )
        about = competition.title if competition else url
        return Composed(address, f"{one.title} ({about})", f"{one.text}\n\n{place}\n{footer}")
    if letter.kind == Kind.ANSWER:
        question = session.get(Question, int(letter.reference))
        if question is None or question.answer is None:
            raise Dropped("the question or its answer was removed")
        asked_in = session.get_one(Competition, question.competition_id)
        return Composed(
            address,
            f"Your question was answered ({asked_in.title})",
            f"The organisers of {asked_in.title} answered your question “{question.title}”.\n\n"
            f"{url}/competitions/{asked_in.slug}/questions\n{footer}",
        )
    finished = session.get(Competition, int(letter.reference))
    if finished is None or not finished.is_settled(now):
        raise Dropped("the results are not final")
    return Composed(
        address,
        f"Final results ({finished.title})",
        f"{finished.title} is closed, and its final results are on the board.\n\n"
        f"{url}/competitions/{finished.slug}/leaderboard\n{footer}",
    )


def write_news(session: Session, *, now: datetime) -> int:
    """Write the letters about what became visible since the last call; return how many.

    Everything is written about once, also if several processes call this.
    """
    written = 0
    for kind, reference, readers in _news_to_write(session, now):
        for user_id in readers:
            outbox.write(session, user_id, kind, reference, now=now)
            written += 1
        session.add(LettersWritten(kind=kind, reference=reference, at=now))
        session.flush()
    return written


def _news_to_write(session: Session, now: datetime) -> Iterator[tuple[Kind, str, list[int]]]:
    since = now - NEWS
    announced = (
        select(Announcement)
        .where(
            Announcement.publish_at.between(since, now),
            Announcement.withdrawn_at.is_(None),
            Announcement.is_automatic.is_(False),
        )
        .order_by(Announcement.id)
    )
    for one in session.scalars(announced.limit(200)).all():
        if _is_new(session, Kind.ANNOUNCEMENT, one.id):
            yield Kind.ANNOUNCEMENT, str(one.id), _readers(session, Kind.ANNOUNCEMENT, one.competition_id)
    answered = Question.answered_at.between(since, now), Question.answer.is_not(None)
    for question in session.scalars(select(Question).where(*answered).limit(200)).all():
        if _is_new(session, Kind.ANSWER, question.id):
            wants = _readers(session, Kind.ANSWER, question.competition_id, only=question.user_id)
            yield Kind.ANSWER, str(question.id), wants
    closed = Competition.closes_at.between(since - timedelta(days=5), now)
    for competition in session.scalars(select(Competition).where(closed).limit(200)).all():
        if competition.is_settled(now) and _is_new(session, Kind.RESULTS, competition.id):
            yield Kind.RESULTS, str(competition.id), _readers(session, Kind.RESULTS, competition.id)


def _is_new(session: Session, kind: Kind, reference: int) -> bool:
    return session.get(LettersWritten, (kind.value, str(reference))) is None


def _readers(
    session: Session, kind: Kind, competition_id: int | None, *, only: int | None = None
) -> list[int]:
    """Return the accounts that get a letter: confirmed, of this competition, and wanting the kind."""
    found = select(MailAddress.user_id, MailAddress.kinds).where(MailAddress.confirmed_at.is_not(None))
    if only is not None:
        found = found.where(MailAddress.user_id == only)
    elif competition_id is not None:
        members = select(Membership.user_id).where(Membership.competition_id == competition_id)
        found = found.where(MailAddress.user_id.in_(members))
    return [row.user_id for row in session.execute(found.order_by(MailAddress.user_id)) if kind in row.kinds]
