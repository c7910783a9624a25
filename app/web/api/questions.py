"""The questions of a competition, their answers, and what organisers do with them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field
from sqlalchemy.orm import Session

from app.base import db
from app.base.models import Competition
from app.competing import visibility
from app.messages import questions
from app.messages.questions import (
    LONGEST_ANSWER,
    LONGEST_CANNED_TITLE,
    LONGEST_REASON,
    LONGEST_TEXT,
    LONGEST_TITLE,
    Settings,
)
from app.people.accounts import Viewer
from app.people.tokens import Scope
from app.web.api.access import assistant_of, organiser_of, sender
from app.web.api.models import Absent, Answer, Request, Time
from app.web.api.operations import operation, read_body
from app.web.context import bearer, parts
from app.web.json_answers import time_text

_ANSWERED = (403, 404, 422)


class Question(Answer):
    """A question that you may see."""

    id: int
    title: str = Field(description="Of a private question of others: the organisers' words.")
    text: str = Field(description="Plain text.")
    author: str | None = Field(description="Team or account; null of a private question of others.")
    account: str | None = Field(description="Only organisers get it.")
    is_own: bool
    is_public: bool
    at: Time = Field(description="When it was asked; of a private question of others, when it was answered.")
    is_open: bool = Field(description="Whether it waits for the organisers.")
    answer: str | None = Field(description="Markdown.")
    answered_at: Time | None
    is_new: bool = Field(description="An answer that you have not read; for organisers an open question.")
    shown_as: str | None = Field(description="The words below which all see the answer to a private one.")
    edited_at: Time | None = Field(description="When its asker changed its words.")
    is_editable: bool = Field(description="Whether you may change its words: your own, until it is answered.")
    hidden_why: str | None
    is_pinned: bool


class Questions(Answer):
    """The questions that you may see: pinned ones, then the newest."""

    competition: str
    questions: list[Question]
    allows_public: bool
    are_taken: bool = Field(description="Whether questions can be asked now.")


class NewQuestion(Request):
    """A question to all or to the organisers alone."""

    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    text: str = Field("", max_length=LONGEST_TEXT, description="Plain text.")
    is_public: bool = Field(description="False: only you and the organisers see it, not even your team.")


class QuestionWords(Request):
    """Other words of your own question."""

    title: str = Field(min_length=1, max_length=LONGEST_TITLE)
    text: str = Field("", max_length=LONGEST_TEXT, description="Plain text.")


class ReadAnswers(Answer):
    """How many answers were new."""

    read: int


class NewAnswer(Request):
    """The answer to a question."""

    answer: str = Field(min_length=1, max_length=LONGEST_ANSWER, description="Markdown.")
    shown_as: str = Field(
        "",
        max_length=LONGEST_TITLE,
        description="Of a private question: your words of it, below which all see the answer.",
    )


class QuestionMarks(Request):
    """What to do with a question; a field that is absent stays as it is."""

    is_open: bool | Absent = None
    is_pinned: bool | Absent = None
    hidden_why: str | None = Field(
        None, max_length=LONGEST_REASON, description="Hide it for this reason; null: show it again."
    )


class CannedAnswer(Answer):
    """A text that organisers insert into answers."""

    id: int
    title: str
    text: str = Field(description="Markdown.")


class CannedAnswers(Answer):
    """The texts that organisers insert into answers, by title."""

    canned: list[CannedAnswer]


class NewCannedAnswer(Request):
    """A text under a title, in place of the one that has it."""

    title: str = Field(min_length=1, max_length=LONGEST_CANNED_TITLE)
    text: str = Field(min_length=1, max_length=LONGEST_ANSWER, description="Markdown.")


class QuestionSettings(Request):
    """Which questions a competition takes."""

    allows_public: bool
    ends_with_competition: bool


@operation(
    "GET",
    "/competitions/<slug:slug>/questions",
    name="questions",
    says="The questions",
    answer=Questions,
    refuses=(404,),
)
def question_index(slug: str) -> Questions:
    """List the questions of a competition that you may see."""
    with parts().database.read() as session:
        now = db.now(session)
        user = bearer(session, now)
        return _listed(session, visibility.find(session, slug, user), user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/questions",
    name="ask_question",
    says="The questions",
    answer=Questions,
    status=201,
    refuses=(403, 404, 409, 422, 429),
    body=NewQuestion,
)
def question_ask(slug: str) -> Questions:
    """Ask all, or the organisers alone."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        wanted = read_body(NewQuestion)
        questions.ask(
            session, competition, user, wanted.title, wanted.text, is_public=wanted.is_public, now=now
        )
        return _listed(session, competition, user, now)


@operation(
    "PUT",
    "/competitions/<slug:slug>/questions/<id:question_id>/words",
    name="edit_question",
    says="The questions",
    answer=Questions,
    refuses=(403, 404, 409, 422, 429),
    body=QuestionWords,
)
def question_edit(slug: str, question_id: int) -> Questions:
    """Change the words of your question until it is answered; it is marked as edited."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        row = questions.own(session, competition, user, question_id)
        wanted = read_body(QuestionWords)
        questions.edit(session, competition, user, row, wanted.title, wanted.text, now=now)
        return _listed(session, competition, user, now)


@operation(
    "POST",
    "/competitions/<slug:slug>/questions/read",
    name="read_answers",
    says="How many were new",
    answer=ReadAnswers,
    refuses=(403, 404),
)
def question_read(slug: str) -> ReadAnswers:
    """Note that you have read the answers to your questions."""
    with parts().database.begin() as session:
        now = db.now(session)
        user = sender(session, now)
        competition = visibility.find(session, slug, user)
        return ReadAnswers(read=questions.mark_read(session, competition, user, now=now))


@operation(
    "POST",
    "/competitions/<slug:slug>/questions/<id:question_id>/answer",
    name="answer_question",
    says="The questions",
    answer=Questions,
    refuses=_ANSWERED,
    body=NewAnswer,
    scope=Scope.ORGANISE,
)
def question_answer(slug: str, question_id: int) -> Questions:
    """Answer a question, or change its answer."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        wanted = read_body(NewAnswer)
        text, shown_as = wanted.answer, wanted.shown_as
        questions.answer(session, competition, question_id, text, shown_as=shown_as, by=me.name, now=now)
        return _listed(session, competition, me, now)


@operation(
    "PATCH",
    "/competitions/<slug:slug>/questions/<id:question_id>",
    name="mark_question",
    says="The questions",
    answer=Questions,
    refuses=_ANSWERED,
    body=QuestionMarks,
    scope=Scope.ORGANISE,
)
def question_mark(slug: str, question_id: int) -> Questions:
    """Mark a question as answered or open, pin it, or hide it with a reason."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        wanted = read_body(QuestionMarks)
        if "hidden_why" in wanted.model_fields_set and wanted.hidden_why is not None:
            questions.hide(session, competition, question_id, wanted.hidden_why, by=me.name, now=now)
        elif "hidden_why" in wanted.model_fields_set:
            questions.show(session, competition, question_id, by=me.name, now=now)
        if wanted.is_open is not None:
            questions.mark(session, competition, question_id, is_open=wanted.is_open, by=me.name, now=now)
        if wanted.is_pinned is not None:
            questions.pin(session, competition, question_id, is_pinned=wanted.is_pinned, by=me.name, now=now)
        return _listed(session, competition, me, now)


@operation(
    "PUT",
    "/competitions/<slug:slug>/questions/settings",
    name="change_question_settings",
    says="The questions",
    answer=Questions,
    refuses=_ANSWERED,
    body=QuestionSettings,
    scope=Scope.ORGANISE,
)
def question_settings(slug: str) -> Questions:
    """Change which questions a competition takes."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = organiser_of(session, now, slug)
        wanted = Settings(**read_body(QuestionSettings).model_dump())
        questions.set_settings(session, competition, wanted, by=me.name, now=now)
        return _listed(session, competition, me, now)


@operation(
    "GET",
    "/competitions/<slug:slug>/questions/canned",
    name="canned_answers",
    says="The canned answers",
    answer=CannedAnswers,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def canned_index(slug: str) -> CannedAnswers:
    """List the texts that organisers insert into answers."""
    with parts().database.read() as session:
        _, competition = assistant_of(session, db.now(session), slug)
        return _canned(session, competition)


@operation(
    "POST",
    "/competitions/<slug:slug>/questions/canned",
    name="save_canned_answer",
    says="The canned answers",
    answer=CannedAnswers,
    refuses=(403, 404, 409, 422),
    body=NewCannedAnswer,
    scope=Scope.ORGANISE,
)
def canned_save(slug: str) -> CannedAnswers:
    """Save a text that organisers insert into answers."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        wanted = read_body(NewCannedAnswer)
        questions.save_canned(session, competition, wanted.title, wanted.text, by=me.name, now=now)
        return _canned(session, competition)


@operation(
    "DELETE",
    "/competitions/<slug:slug>/questions/canned/<id:canned_id>",
    name="delete_canned_answer",
    says="The canned answers",
    answer=CannedAnswers,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def canned_delete(slug: str, canned_id: int) -> CannedAnswers:
    """Delete a text that organisers insert into answers."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, competition = assistant_of(session, now, slug)
        questions.delete_canned(session, competition, canned_id, by=me.name, now=now)
        return _canned(session, competition)


def _listed(session: Session, competition: Competition, user: Viewer, now: datetime) -> Questions:
    settings = questions.settings(session, competition)
    return Questions(
        competition=competition.slug,
        questions=[
            Question(
                **{
                    **vars(one),
                    "at": one.at.isoformat(),
                    "answered_at": time_text(one.answered_at),
                    "edited_at": time_text(one.edited_at),
                }
            )
            for one in questions.listed(session, competition, user)
        ],
        allows_public=settings.allows_public,
        are_taken=settings.are_taken(competition, now),
    )


def _canned(session: Session, competition: Competition) -> CannedAnswers:
    return CannedAnswers(
        canned=[
            CannedAnswer(id=one.id, title=one.title, text=one.text)
            for one in questions.canned(session, competition)
        ]
    )
