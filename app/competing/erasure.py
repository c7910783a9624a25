"""Erase an account: the person's data go, scores and ranks stay under a random name.

What other teams have reached depends on the files that were scored, so teams, files and scores stay, under
a name that is drawn at random. The events of the audit log cannot be changed without breaking its chain:
they keep the name with which the account acted, and the preview states how many there are.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    String,
    cast,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.base import events
from app.base.errors import Conflict
from app.base.models import (
    Case,
    Event,
    Extension,
    FileCheck,
    FormerName,
    Inspection,
    Membership,
    SignIn,
    SignInAttempt,
    Submission,
    Team,
    Token,
    UploadTicket,
    User,
)
from app.base.models_classes import Classroom, Enrolment, JoinCode
from app.base.models_drafts import Draft, DraftState
from app.base.models_mail import Letter, MailAddress, PasswordLink
from app.base.models_messages import AnnouncementReading, Question
from app.base.models_roles import Host
from app.base.models_rules import RulesVersion
from app.base.models_teams import MergeOffer, OfferState, TeamInvite
from app.base.models_visibility import Admission, PrivateLink
from app.competing import roles
from app.people import names

FILENAME = "erased.csv"
SIGNED: tuple[InstrumentedAttribute[Any], ...] = (
    Extension.granted_by,
    Inspection.asked_by,
    Host.added_by,
    RulesVersion.made_by,
    TeamInvite.made_by,
    MergeOffer.made_by,
    PrivateLink.made_by,
    Admission.admitted_by,
    Classroom.made_by,
    JoinCode.made_by,
)
"""Columns that name the account that acted."""


@dataclass(frozen=True)
class Preview:
    """What erasing an account deletes, renames and leaves."""

    name: str
    sign_ins: int
    tokens: int
    classes: int
    teams: int
    submissions: int
    """Their names and messages go; files and scores stay."""
    events: int
    """Of the audit log, which keep the name."""
    problems: tuple[str, ...]
    """Why the account cannot be erased now."""

    def sentences(self) -> list[str]:
        """Return what happens, in words."""
        files = _count(self.submissions, "submission")
        secrets_ = f"{_count(self.sign_ins, 'signed-in browser')}, {_count(self.tokens, 'token')}"
        texts = f"former names, questions, and the names and messages of {files}"
        deleted = f"password, e-mail address, {secrets_}, {texts}"
        in_classes = _count(self.classes, "class", "classes")
        in_teams = _count(self.teams, "team")
        of_log = _count(self.events, "event")
        return [
            f"Deleted: {deleted}.",
            f"Emptied: name, student number and address in {in_classes}.",
            (
                f"Renamed at random: the account, and in {in_teams} a name that is yours alone. Uploaded "
                "files, scores and ranks stay: the ranks of others depend on them."
            ),
            (
                f"Kept with the old name: {of_log} of the audit log, to keep its proof. A hash of "
                "the name stays, so no other account can take it; the log ties it to the random one."
            ),
        ]


def preview(session: Session, user: User) -> Preview:
    """Return what erasing an account would do."""
    mine = user.id

    def count(*where: ColumnExpressionArgument[bool]) -> int:
        return session.scalar(select(func.count()).where(*where)) or 0

    problems = []
    others = User.is_organiser, User.id != mine
    if user.is_organiser and not count(*others):
        problems.append(
            f"{user.name} is the only organiser. Make another one first: `heldout user add NAME --organiser`."
        )
    if drafts := count(Draft.owner_id == mine, Draft.state != DraftState.OPEN):
        problems.append(
            f"{user.name} has {_count(drafts, 'draft')} of competitions. Open or delete them first, at "
            "/organise/drafts."
        )
    problems += [
        f"{user.name} is the only owner of {slug}. Make another account an owner first: "
        f"`heldout host add {slug} NAME --role owner`."
        for slug in roles.only_owned(session, mine)
    ]
    return Preview(
        name=user.name,
        sign_ins=count(SignIn.user_id == mine),
        tokens=count(Token.user_id == mine),
        classes=count(Enrolment.user_id == mine),
        teams=count(Membership.user_id == mine),
        submissions=count(Submission.user_id == mine),
        events=count(_of_log({user.name, *_former(session, user)})),
        problems=tuple(problems),
    )


def erase(session: Session, user: User, *, by: str | None = None, now: datetime) -> str:
    """Erase an account; return its random name. `by` is the operator, None for the account itself.

    Refuses the only organiser, the only owner of a competition, and an account with drafts. Files that wait
    are scored as usual.
    """
    # Two last organisers, or a merge of the team, at the same time: one waits for the other.
    session.execute(select(User.id).where(or_(User.is_organiser, User.id == user.id)).with_for_update())
    teams = select(Team.id).join(Membership, Membership.team_id == Team.id)
    session.execute(teams.where(Membership.user_id == user.id).with_for_update(of=Team))
    session.refresh(user)
    found = preview(session, user)
    if found.problems:
        raise Conflict(f"The account was not erased. {' '.join(found.problems)}")
    before, former = user.name, _former(session, user)
    pseudonym = _pseudonym(session)
    old = {before, *former}
    user.name, user.skeleton = pseudonym, names.stored(pseudonym)[0]
    user.password_hash, user.is_organiser = None, False
    session.flush()
    renamed = _rename_teams(session, user, old, pseudonym, now=now)
    for table in (
        SignIn,
        Token,
        FormerName,
        AnnouncementReading,
        UploadTicket,
        Admission,
        Letter,
        PasswordLink,
        MailAddress,
    ):
        session.execute(delete(table).where(table.user_id == user.id))
    for name in sorted(old):
        hashed = names.erased(name)
        session.add(FormerName(user_id=user.id, name="", skeleton=hashed, until=now))
        keys = [
            SignInAttempt.key == f"account {name}",
            SignInAttempt.key.startswith(f"here {name} ", autoescape=True),
        ]
        session.execute(delete(SignInAttempt).where(or_(*keys)))
        for column in SIGNED:
            session.execute(update(column.class_).where(column == name).values({column.key: pseudonym}))
    session.execute(
        update(Submission)
        .where(Submission.user_id == user.id)
        .values(filename=FILENAME, message="", idempotency_key=None)
    )
    session.execute(update(FileCheck).where(FileCheck.user_id == user.id).values(filename=FILENAME))
    _erase_questions(session, user.id)
    its = Host.user_id == user.id, Host.removed_at.is_(None)
    session.execute(update(Host).where(*its).values(removed_at=now))
    _empty_enrolments(session, user.id, now=now)
    _rename_in_findings(session, user.id, renamed)
    session.flush()
    events.log(session, by or pseudonym, "account erased", pseudonym, now=now, user=user.id)
    return pseudonym


def _former(session: Session, user: User) -> list[str]:
    found = session.scalars(select(FormerName.name).where(FormerName.user_id == user.id))
    return [name for name in found if name]


def _of_log(names_: set[str]) -> ColumnElement[bool]:
    """Return the condition of events that name an account, as the actor, the subject or in their detail."""
    detail = cast(Event.detail, String)
    return or_(
        Event.actor.in_(names_),
        Event.subject.in_(names_),
        *(detail.contains(f'"{name}"', autoescape=True) for name in sorted(names_)),
    )


def _pseudonym(session: Session) -> str:
    while True:
        name = f"former-participant-{secrets.token_hex(3)}"
        if names.is_free(session, name):
            return name


def _rename_teams(
    session: Session, user: User, old: set[str], pseudonym: str, *, now: datetime
) -> dict[str, str]:
    """Rename the account's teams of one and the teams that have its name; pass captaincies on.

    A team of one takes no members from now on, because its captain is gone. Returns the new name of each
    old one.
    """
    mine = select(Membership.team_id).where(Membership.user_id == user.id)
    wanted = {skeleton for name in old for skeleton in names.stored(name)}
    named = or_(Team.skeleton.in_(wanted), Team.look.in_(wanted))
    own = or_(Team.id.in_(mine), Team.merged_into_id.in_(mine))
    renamed = dict.fromkeys(old, pseudonym)
    for team in session.scalars(select(Team).where(or_(own, named), Team.is_baseline.is_(False))):
        members = session.scalars(
            select(Membership.user_id).where(Membership.team_id == team.id).order_by(Membership.joined_at)
        ).all()
        if team.captain_id == user.id or (team.captain_id is None and members[:1] == [user.id]):
            team.captain_id = next((member for member in members if member != user.id), None)
        is_alone = set(members) == {user.id}
        if is_alone:
            team.method = team.method_link = team.method_removed_why = None
            live = TeamInvite.team_id == team.id, TeamInvite.revoked_at.is_(None)
            session.execute(update(TeamInvite).where(*live).values(revoked_at=now))
            offers = or_(MergeOffer.team_id == team.id, MergeOffer.other_team_id == team.id)
            session.execute(
                update(MergeOffer)
                .where(offers, MergeOffer.state == OfferState.OPEN)
                .values(state=OfferState.WITHDRAWN, decided_at=now)
            )
        reads_like = team.skeleton in wanted or team.look in wanted
        if is_alone or reads_like or (not members and team.merged_into_id is not None):
            name = f"{pseudonym} {team.id}"
            renamed[team.name] = name
            team.name = name
            team.skeleton, team.look = names.stored(name)
    session.flush()
    return renamed


def _erase_questions(session: Session, user_id: int) -> None:
    """Delete questions that others do not see or that wait; of the others only the answer stays."""
    mine = Question.user_id == user_id
    unseen = or_(Question.is_public.is_(False) & Question.shown_as.is_(None), Question.answer.is_(None))
    session.execute(delete(Question).where(mine, unseen))
    words = {
        "title": "A question of a former participant",
        "text": "The question was erased with its account.",
    }
    session.execute(update(Question).where(mine).values(**words))


def _empty_enrolments(session: Session, user_id: int, *, now: datetime) -> None:
    """Empty what rosters hold of the person; the pseudonym stays for grades."""
    enrolled = select(Enrolment.id).where(Enrolment.user_id == user_id)
    session.execute(delete(JoinCode).where(JoinCode.enrolment_id.in_(enrolled)))
    session.execute(
        update(Enrolment)
        .where(Enrolment.user_id == user_id)
        .values(
            given="former",
            family="student",
            external_id=None,
            login=None,
            email=None,
            canvas_id=None,
            worksheet_id=None,
            section=None,
            team=None,
            left_at=func.coalesce(Enrolment.left_at, now),
        )
    )


def _rename_in_findings(session: Session, user_id: int, renamed: Mapping[str, str]) -> None:
    """Rename teams in the results of inspections and the evidence of cases, which name teams as texts."""
    mine = select(Membership.competition_id).where(Membership.user_id == user_id)
    for inspection in session.scalars(select(Inspection).where(Inspection.competition_id.in_(mine))):
        if inspection.result is not None:
            changed = _replaced(inspection.result, renamed)
            if changed != inspection.result:
                inspection.result = changed
    for case in session.scalars(select(Case).where(Case.competition_id.in_(mine))):
        detail = _replaced(case.detail, renamed)
        if detail != case.detail:
            case.detail = detail
        case.evidence, case.advice = (_words(text, renamed) for text in (case.evidence, case.advice))


def _replaced(value: Any, renamed: Mapping[str, str]) -> Any:
    """Return a JSON value in which the old names, as values, keys and words of texts, are the new ones."""
    if isinstance(value, str):
        return _words(value, renamed)
    if isinstance(value, list):
        return [_replaced(one, renamed) for one in value]
    if isinstance(value, dict):
        return {renamed.get(key, key): _replaced(one, renamed) for key, one in value.items()}
    return value


def _words(text: str, renamed: Mapping[str, str]) -> str:
    for old, new in renamed.items():
        if old in text:
            # As words of their own; new names have no backslash, so they are safe as a replacement.
            text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", new, text)
    return text


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
