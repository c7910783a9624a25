"""Questions of participants and the answers of the organisers.

A public question is for all; a private one for its asker, not for its team, and for those that organise the
competition. Its answer can be made public beside a question in the organisers' own words: the asker's words
and name stay private. Others learn nothing of a private question, neither that there is one nor when.

Names are read when a page is made: of the asker's team, as on the board, or of the account. See the module of
the tables for what of a person they hold.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Closed, Conflict, Forbidden, NotFound, Refused
from app.base.models import Competition, Membership, Phase, Team, User
from app.base.models_messages import CannedAnswer, Question, QuestionSettings
from app.people import rate_limits
from app.people.accounts import Viewer
from scorer.report import Problem

LONGEST_TITLE = 120
LONGEST_TEXT = 4000
LONGEST_ANSWER = 10_000
LONGEST_REASON = 300
LONGEST_CANNED_TITLE = 80
MOST_CANNED = 100
MOST_OPEN = 20
"""Questions of an account that wait in one competition."""
MOST_SHOWN = 500


@dataclass(frozen=True)
class Settings:
    """Which questions a competition takes."""

    allows_public: bool = True
    ends_with_competition: bool = False

    def are_taken(self, competition: Competition, now: datetime) -> bool:
        """Return whether questions can be asked now."""
        is_over = self.ends_with_competition and competition.phase(now) is Phase.CLOSED
        return not (is_over or competition.is_archived)


@dataclass(frozen=True)
class Entry:
    """A question as one viewer sees it."""

    id: int
    title: str
    text: str
    author: str | None
    """The team or account; None of a private question that others see in the organisers' words."""
    account: str | None
    """The account, for organisers."""
    is_own: bool
    is_public: bool
    at: datetime
    """When it was asked; when it was answered, of a private question of others."""
    is_open: bool
    answer: str | None
    answered_at: datetime | None
    is_new: bool
    """Whether it is new to this viewer: the answer for the asker, an open question for organisers."""
    shown_as: str | None
    edited_at: datetime | None
    """When its asker changed it; None for those that do not see its words."""
    is_editable: bool
    """Whether the viewer may change it."""
    hidden_why: str | None
    """Why it is hidden, for its asker and organisers; None if it is not."""
    is_pinned: bool


def settings(session: Session, competition: Competition) -> Settings:
    """Return which questions a competition takes."""
    row = session.get(QuestionSettings, competition.id)
    return Settings(row.allows_public, row.ends_with_competition) if row is not None else Settings()


def set_settings(
    session: Session, competition: Competition, wanted: Settings, *, by: str, now: datetime
) -> None:
    """Change which questions a competition takes; those that were asked stay."""
    if settings(session, competition) == wanted:
        return
    session.merge(QuestionSettings(competition_id=competition.id, **vars(wanted)))
    session.flush()
    events.log(session, by, "question settings changed", competition.slug, now=now, **vars(wanted))


def listed(session: Session, competition: Competition, viewer: Viewer | None) -> list[Entry]:
    """Return the questions that a viewer may see: pinned ones first, then by time, the newest first."""
    organises = viewer is not None and viewer.assists(competition.id)
    its_team = and_(
        Membership.user_id == Question.user_id, Membership.competition_id == Question.competition_id
    )
    found = (
        select(Question, User.name, Team.name)
        .join(User, User.id == Question.user_id)
        .outerjoin(Membership, its_team)
        .outerjoin(Team, Team.id == Membership.team_id)
        .where(Question.competition_id == competition.id)
        .order_by(Question.pinned_at.is_(None), Question.asked_at.desc(), Question.id)
        .limit(MOST_SHOWN)
    )
    if not organises:
        found = found.where(_is_visible(viewer))
    entries = [
        _entry(row, account, team or account, viewer, organises=organises)
        for row, account, team in session.execute(found).all()
    ]
    return sorted(entries, key=lambda one: (not one.is_pinned, -one.at.timestamp(), one.id))


def ask(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    title: str,
    text: str,
    *,
    is_public: bool,
    now: datetime,
) -> int:
    """Ask a question, and return its id; refuse with every problem."""
    taken = settings(session, competition)
    if session.get(Membership, (competition.id, viewer.id)) is None and not viewer.assists(competition.id):
        raise Forbidden(f"Join {competition.title} first: questions are for participants.")
    if not taken.are_taken(competition, now):
        raise Closed(f"{competition.title} takes no questions any more: they ended with the competition.")
    if is_public and not taken.allows_public:
        raise Refused(f"{competition.title} takes questions to the organisers only: ask it privately.")
    title, text = " ".join(title.split()), _lines(text)
    _refuse_lengths(("title", title, 1, LONGEST_TITLE, True), ("text", text, 0, LONGEST_TEXT, False))
    mine = Question.user_id == viewer.id, Question.competition_id == competition.id, Question.is_open
    if (session.scalar(select(func.count()).select_from(Question).where(*mine)) or 0) >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} of your questions wait for an answer: ask again when some have one.")
    rate_limits.count(session, rate_limits.to_ask(viewer.id), now=now)
    made = Question(
        id=secrets.randbelow(2**53 - 1) + 1,  # a JSON number holds it
        competition_id=competition.id,
        user_id=viewer.id,
        title=title,
        text=text,
        is_public=is_public,
        asked_at=now,
    )
    session.add(made)
    session.flush()
    _log(session, "question asked", made, competition, viewer.name, now, public=is_public)
    return made.id


def own(session: Session, competition: Competition, viewer: Viewer, question_id: int) -> Question:
    """Return a question that the viewer has asked, locked: an answer waits until it has changed."""
    mine = Question.id == question_id, Question.competition_id == competition.id
    row = session.scalar(select(Question).where(*mine, Question.user_id == viewer.id).with_for_update())
    if row is None:
        raise NotFound(f"There is no question {question_id} here.")
    return row


def edit(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    row: Question,
    title: str,
    text: str,
    *,
    now: datetime,
) -> None:
    """Change the words of one's own question while it waits for its answer; it is marked as edited.

    Afterwards an answer would stand below words that it does not answer.
    """
    if not is_editable(row):
        raise Conflict("The organisers have answered or hidden this question: ask another one.")
    title, text = " ".join(title.split()), _lines(text)
    _refuse_lengths(("title", title, 1, LONGEST_TITLE, True), ("text", text, 0, LONGEST_TEXT, False))
    if (title, text) == (row.title, row.text):
        return
    rate_limits.count(session, rate_limits.to_ask(viewer.id), now=now)
    row.title, row.text, row.edited_at = title, text, now
    session.flush()
    _log(session, "question edited", row, competition, viewer.name, now, public=row.is_public)


def is_editable(row: Question) -> bool:
    """Return whether a question still waits for its answer."""
    return row.answer is None and row.is_open and row.hidden_at is None


def answer(
    session: Session,
    competition: Competition,
    question_id: int,
    text: str,
    *,
    shown_as: str = "",
    by: str,
    now: datetime,
) -> None:
    """Answer a question, or change its answer, which is new to the asker again.

    `shown_as` makes the answer to a private question public, beside these words instead of the asker's.
    """
    row = _row(session, competition, question_id)
    text, shown_as = _lines(text), " ".join(shown_as.split())
    _refuse_lengths(
        ("answer", text, 1, LONGEST_ANSWER, False), ("shown_as", shown_as, 0, LONGEST_TITLE, True)
    )
    if shown_as and row.is_public:
        raise Refused("This question is public in the asker's own words: leave the other words out.")
    row.answer, row.answered_at, row.answer_read_at = text, now, None
    row.shown_as, row.is_open = shown_as or None, False
    session.flush()
    is_public = row.is_public or row.shown_as is not None
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    _log(session, "question answered", row, competition, by, now, public=is_public, sha256=sha256)


def mark(
    session: Session, competition: Competition, question_id: int, *, is_open: bool, by: str, now: datetime
) -> None:
    """Mark a question as answered, or open it again."""
    row = _row(session, competition, question_id)
    if row.is_open != is_open:
        row.is_open = is_open
        session.flush()
        action = "question reopened" if is_open else "question marked answered"
        _log(session, action, row, competition, by, now)


def pin(
    session: Session, competition: Competition, question_id: int, *, is_pinned: bool, by: str, now: datetime
) -> None:
    """Show a question before the others, or among them again."""
    row = _row(session, competition, question_id)
    if (row.pinned_at is not None) != is_pinned:
        row.pinned_at = now if is_pinned else None
        session.flush()
        _log(session, "question pinned" if is_pinned else "question unpinned", row, competition, by, now)


def hide(
    session: Session, competition: Competition, question_id: int, why: str, *, by: str, now: datetime
) -> None:
    """Hide a question from all but its asker, which reads the reason, and the organisers."""
    row = _row(session, competition, question_id)
    why = " ".join(why.split())
    _refuse_lengths(("reason", why, 1, LONGEST_REASON, True))
    row.hidden_at, row.hidden_why, row.is_open = now, why, False
    session.flush()
    _log(session, "question hidden", row, competition, by, now, reason=why)


def show(session: Session, competition: Competition, question_id: int, *, by: str, now: datetime) -> None:
    """Show a hidden question again."""
    row = _row(session, competition, question_id)
    if row.hidden_at is not None:
        row.hidden_at, row.hidden_why, row.is_open = None, None, row.answer is None
        session.flush()
        _log(session, "question shown", row, competition, by, now)


def mark_read(session: Session, competition: Competition, viewer: Viewer, *, now: datetime) -> int:
    """Note that a viewer has read the answers to its questions; return how many were new."""
    done = session.execute(
        update(Question)
        .where(Question.competition_id == competition.id, *unread_answers(viewer))
        .values(answer_read_at=now)
        .returning(Question.id)
    )
    return len(done.all())


def unread_answers(viewer: Viewer) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a viewer's own questions with an answer that it has not read."""
    return (
        Question.user_id == viewer.id,
        Question.answered_at.is_not(None),
        Question.answer_read_at.is_(None),
    )


def is_waiting() -> ColumnElement[bool]:
    """Return the condition of questions that organisers have yet to answer."""
    return and_(Question.is_open, Question.hidden_at.is_(None))


def of_account(session: Session, user_id: int) -> list[Question]:
    """Return an account's questions for its personal data, oldest first."""
    found = select(Question).where(Question.user_id == user_id).order_by(Question.asked_at)
    return list(session.scalars(found))


# -- canned answers ----------------------------------------------------------------------------


def canned(session: Session, competition: Competition) -> list[CannedAnswer]:
    """Return the texts that organisers insert into answers, by title."""
    its = CannedAnswer.competition_id == competition.id
    return list(session.scalars(select(CannedAnswer).where(its).order_by(CannedAnswer.title)))


def save_canned(
    session: Session, competition: Competition, title: str, text: str, *, by: str, now: datetime
) -> None:
    """Save a text under a title, in place of the one that has it."""
    title, text = " ".join(title.split()), _lines(text)
    _refuse_lengths(("title", title, 1, LONGEST_CANNED_TITLE, True), ("text", text, 1, LONGEST_ANSWER, False))
    saved = canned(session, competition)
    row = next((one for one in saved if one.title == title), None)
    if row is None and len(saved) >= MOST_CANNED:
        raise Conflict(f"A competition keeps {MOST_CANNED} canned answers at most: delete one first.")
    if row is None:
        row = CannedAnswer(competition_id=competition.id, title=title, text=text)
        session.add(row)
    row.text = text
    session.flush()
    events.log(session, by, "canned answer saved", competition.slug, now=now, title=title)


def delete_canned(
    session: Session, competition: Competition, canned_id: int, *, by: str, now: datetime
) -> None:
    """Delete a text that organisers insert into answers; answers that have it stay."""
    row = session.get(CannedAnswer, canned_id)
    if row is None or row.competition_id != competition.id:
        raise NotFound(f"There is no canned answer {canned_id} here.")
    session.delete(row)
    session.flush()
    events.log(session, by, "canned answer deleted", competition.slug, now=now, title=row.title)


def inserted(session: Session, competition: Competition, canned_id: int, text: str) -> str:
    """Return the text of an answer with a canned one below it."""
    found = next((one.text for one in canned(session, competition) if one.id == canned_id), None)
    if found is None:
        raise NotFound(f"There is no canned answer {canned_id} here.")
    return "\n\n".join(filter(None, [text.rstrip(), found]))


def _is_visible(viewer: Viewer | None) -> ColumnElement[bool]:
    """Return the condition of the questions that an account without a role in the competition sees."""
    for_all = and_(Question.hidden_at.is_(None), or_(Question.is_public, Question.shown_as.is_not(None)))
    return for_all if viewer is None else or_(for_all, Question.user_id == viewer.id)


def _entry(row: Question, account: str, author: str, viewer: Viewer | None, *, organises: bool) -> Entry:
    is_own = viewer is not None and row.user_id == viewer.id
    sees_words = organises or is_own or row.is_public
    waits_for_reading = is_own and row.answered_at is not None and row.answer_read_at is None
    waits_for_answer = organises and row.is_open and row.hidden_at is None
    return Entry(
        id=row.id,
        title=row.title if sees_words else row.shown_as or "",
        text=row.text if sees_words else "",
        author=author if sees_words else None,
        account=account if organises else None,
        is_own=is_own,
        is_public=row.is_public,
        at=row.asked_at if sees_words or row.answered_at is None else row.answered_at,
        is_open=row.is_open,
        answer=row.answer,
        answered_at=row.answered_at,
        is_new=waits_for_reading or waits_for_answer,
        shown_as=row.shown_as if organises or is_own else None,
        edited_at=row.edited_at if sees_words else None,
        is_editable=is_own and is_editable(row),
        hidden_why=row.hidden_why if organises or is_own else None,
        is_pinned=row.pinned_at is not None,
    )


def _row(session: Session, competition: Competition, question_id: int) -> Question:
    row = session.get(Question, question_id)
    if row is None or row.competition_id != competition.id:
        raise NotFound(f"There is no question {question_id} here.")
    return row


def _lines(text: str) -> str:
    """Return a text without control characters, which can reorder letters, and blanks at ends of lines."""
    kept = ("".join(c for c in line if c.isprintable() or c == "\t") for line in text.strip().splitlines())
    return "\n".join(line.rstrip() for line in kept)


def _refuse_lengths(*given: tuple[str, str, int, int, bool]) -> None:
    """Refuse texts that are too short, too long or not printable.

    Each is given as its name, the text, the least and the most characters, and whether it is one line.
    """
    wrong = []
    for name, text, least, most, is_line in given:
        if not least <= len(text) <= most or (is_line and text and not text.isprintable()):
            words = f"{name} has {least} to {most} characters; this one has {len(text)}"
            wrong.append(Problem("BAD_VALUE", words, column=name))
    if wrong:
        raise Refused(f"Nothing was saved: {'; '.join(one.message for one in wrong)}.", wrong)


def _log(
    session: Session,
    action: str,
    row: Question,
    competition: Competition,
    by: str,
    now: datetime,
    **detail: Any,
) -> None:
    known: Mapping[str, Any] = {"question": row.id, **detail}
    events.log(session, by, action, competition.slug, now=now, **known)
