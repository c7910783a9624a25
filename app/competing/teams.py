"""Teams: joining a competition makes a team of one, which others may join.

Every participant of a competition has exactly one team. While a team has sent no file its members may leave
it; a member that leaves is a team of one again. After its first file a team keeps its members, as on Kaggle:
they would take a second quota and the knowledge of the files along. Teams with files can merge
(app/competing/merges.py). Every change of members takes the competition's lock, under which no upload is
accepted and no score is recorded.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Closed, Conflict, Forbidden, NotFound, Refused
from app.base.models import Competition, FileCheck, Membership, Phase, Submission, Team, User
from app.competing import competitions, hosts, rules
from app.people import names
from app.people.accounts import Viewer


def of(session: Session, competition: Competition, user_id: int) -> Team | None:
    """Return the user's team, or None before joining."""
    return session.scalar(
        select(Team)
        .join(Membership, Membership.team_id == Team.id)
        .where(Membership.competition_id == competition.id, Membership.user_id == user_id)
    )


def of_user(session: Session, user_id: int) -> set[int]:
    """Return the ids of the competitions that the user has joined."""
    return set(session.scalars(select(Membership.competition_id).where(Membership.user_id == user_id)))


def members(session: Session, team: Team) -> list[str]:
    """Return the names of a team's members, in the order of joining."""
    return [user.name for user in accounts_of(session, team)]


def accounts_of(session: Session, team: Team) -> list[User]:
    """Return the accounts of a team's members, in the order of joining."""
    joined = select(User).join(Membership, Membership.user_id == User.id)
    mine = joined.where(Membership.team_id == team.id).order_by(Membership.joined_at, User.id)
    return list(session.scalars(mine))


def members_of(session: Session, team_ids: Collection[int]) -> dict[int, list[str]]:
    """Return the names of the members of several teams, in the order of joining."""
    found: dict[int, list[str]] = {id_: [] for id_ in team_ids}
    wanted = list(found)
    joined = select(Membership.team_id, User.name).join(User, User.id == Membership.user_id)
    for begin in range(0, len(wanted), 1000):  # a statement has a limited number of values
        some = Membership.team_id.in_(wanted[begin : begin + 1000])
        for team_id, name in session.execute(joined.where(some).order_by(Membership.joined_at, User.id)):
            found[team_id].append(name)
    return found


def captain(session: Session, team: Team) -> User | None:
    """Return the captain: the chosen member, else the first; None for a team without members."""
    found = accounts_of(session, team)
    return next((user for user in found if user.id == team.captain_id), found[0] if found else None)


def has_files(session: Session, team: Team) -> bool:
    """Return whether a team has sent a submission, of whatever outcome."""
    return session.scalar(select(Submission.id).where(Submission.team_id == team.id).limit(1)) is not None


def of_submission(session: Session, submission: Submission, viewer: Viewer, *, what: str) -> Team:
    """Return the viewer's team, locked, if the submission is its own; `what` only a team can do.

    The lock of the competition comes first: a merge may have moved the file since it was read.
    """
    competitions.hold(session, submission.competition_id)
    session.refresh(submission)
    team = session.scalar(
        select(Team)
        .join(Membership, Membership.team_id == Team.id)
        .where(Team.id == submission.team_id, Membership.user_id == viewer.id)
        .with_for_update(of=Team)
        .execution_options(populate_existing=True)
    )
    if team is None:
        raise NotFound(f"Only the team itself can {what}.")
    return team


def join(
    session: Session,
    competition: Competition,
    viewer: Viewer,
    *,
    now: datetime,
    accepts_rules: int | None = None,
) -> Team:
    """Join as a team of one, named like the user; accept the rules of this version.

    Joining twice has no further effect.
    """
    team = of(session, competition, viewer.id)
    if team is not None:
        return team
    refuse_late_entry(competition, now)
    if accepts_rules is not None:
        rules.accept(session, competition, viewer, accepts_rules, now=now)
    rules.refuse_unaccepted(session, competition, viewer.id)
    try:
        with session.begin_nested():
            team = _team_of_one(session, competition, viewer, now=now)
            session.add(
                Membership(competition_id=competition.id, user_id=viewer.id, team_id=team.id, joined_at=now)
            )
    except IntegrityError:
        # The same user joined in another tab.
        team = of(session, competition, viewer.id)
        if team is None:
            raise Conflict("The team could not be made; please try again.") from None
        return team
    events.log(
        session, viewer.name, "competition joined", competition.slug, now=now, team=team.id, name=team.name
    )
    return team


def add_member(session: Session, team: Team, user_id: int, *, now: datetime) -> None:
    """Add a participant without a team; Conflict if the account has joined in another tab meanwhile."""
    try:
        with session.begin_nested():
            session.add(
                Membership(
                    competition_id=team.competition_id, user_id=user_id, team_id=team.id, joined_at=now
                )
            )
    except IntegrityError:
        raise Conflict("You have joined the competition meanwhile; open the link again.") from None


def leave(session: Session, competition: Competition, viewer: Viewer, *, now: datetime) -> Team:
    """Leave a team without submissions; return the leaver's new team of one."""
    competitions.lock(session, competition)
    team = _own(session, competition, viewer)
    return _part(session, competition, team, viewer, by=viewer.name, now=now)


def remove(session: Session, competition: Competition, viewer: Viewer, member: str, *, now: datetime) -> Team:
    """Remove a member from the captain's team without submissions; return the captain's team."""
    competitions.lock(session, competition)
    team = _own(session, competition, viewer)
    refuse_unless_captain(session, team, viewer, "remove members")
    user = _member(session, team, member)
    if user.id == viewer.id:
        raise Conflict("You cannot remove yourself; leave the team instead.")
    removed = Viewer(user.id, user.name, user.is_organiser)
    _part(session, competition, team, removed, by=viewer.name, now=now)
    return team


def hand_over(
    session: Session, competition: Competition, viewer: Viewer, member: str, *, now: datetime
) -> Team:
    """Make another member the captain of the captain's team."""
    competitions.lock(session, competition)
    team = _own(session, competition, viewer)
    refuse_unless_captain(session, team, viewer, "hand the team over")
    user = _member(session, team, member)
    team.captain_id = user.id
    session.flush()
    events.log(
        session, viewer.name, "captain changed", competition.slug, now=now, team=team.id, captain=user.name
    )
    return team


def refuse_unless_captain(session: Session, team: Team, viewer: Viewer, what: str) -> None:
    head = captain(session, team)
    if head is None or head.id != viewer.id:
        raise Forbidden(f"Only the captain of {team.name}{f', {head.name},' if head else ''} can {what}.")


def refuse_late_entry(competition: Competition, now: datetime) -> None:
    """Refuse to join a competition after its close or its entry deadline."""
    if competition.phase(now) is Phase.CLOSED:
        raise Closed(f"{competition.title} is closed; it can no longer be joined.")
    if competition.entry_closes_at is not None and now >= competition.entry_closes_at:
        raise Closed(
            f"{competition.title} could be joined until {_words(competition, competition.entry_closes_at)}."
        )


def refuse_late_change(competition: Competition, now: datetime) -> None:
    """Refuse a change of a team's members after the close or the deadline of teams."""
    if competition.phase(now) is Phase.CLOSED:
        raise Closed(f"{competition.title} is closed; its teams keep their members.")
    if competition.teams_close_at is not None and now >= competition.teams_close_at:
        raise Closed(
            f"Teams of {competition.title} could change until "
            f"{_words(competition, competition.teams_close_at)}; they keep their members."
        )


def refuse_mixed(session: Session, competition: Competition, team: Team, newcomers: Collection[int]) -> None:
    """Refuse a team of hosts and participants: files of the first are not ranked."""
    members = {*(user.id for user in accounts_of(session, team)), *newcomers}
    found = hosts.hosts_among(session, competition, members)
    if found and found != members:
        raise Conflict(
            "Organisers and participants cannot be in one team: files of organisers are not ranked."
        )


def refuse_too_many(session: Session, competition: Competition, team: Team, joining: int) -> None:
    """Refuse members above the limit; the caller holds the competition's lock."""
    mine = select(func.count()).select_from(Membership).where(Membership.team_id == team.id)
    there, most = session.scalar(mine) or 0, competition.max_team_size
    if there + joining > most:
        raise Conflict(
            f"A team of {competition.title} has at most {most} members, and {team.name} would have "
            f"{there + joining}."
        )


def rename(
    session: Session,
    competition: Competition,
    team: Team,
    name: str,
    *,
    by: str,
    now: datetime,
    is_organiser: bool = False,
) -> None:
    """Rename a team; after the close only an organiser may, so that results keep their names."""
    name = " ".join(unicodedata.normalize("NFC", name[: names.MOST_CHARACTERS]).split())
    if not 1 <= len(name) <= 60 or not name.isprintable() or not names.is_visible(name):
        raise Refused("A team's name has 1 to 60 printable characters.")
    if name == team.name:
        return
    if not is_organiser and competition.phase(now) is Phase.CLOSED:
        raise Closed(f"{competition.title} is closed. Ask an organiser to rename your team.")
    names.refuse_reserved(name, is_organiser=is_organiser)
    members = session.scalars(select(Membership.user_id).where(Membership.team_id == team.id)).all()
    names.refuse_taken(session, name, own=members, team=team)
    before, (skeleton, look) = team.name, names.stored(name)
    _give_up_name(session, team, name)
    try:
        with session.begin_nested():
            team.name, team.skeleton, team.look = name, skeleton, look
    except IntegrityError:
        raise Conflict(f"The name {name} is taken in this competition; choose another.") from None
    events.log(
        session, by, "team renamed", competition.slug, now=now, team=team.id, before=before, after=name
    )


def by_name(session: Session, competition: Competition, name: str) -> Team:
    found = select(Team).where(
        Team.competition_id == competition.id, Team.name == name, Team.merged_into_id.is_(None)
    )
    team = session.scalar(found)
    if team is None:
        raise NotFound(f"{competition.title} has no team {name[:60]!r}.")
    return team


def baseline(session: Session, competition: Competition, name: str, *, now: datetime) -> Team:
    """Return the team of a baseline, which has no members."""
    name = name[:48]
    # A participant may have taken the name first, or one that looks like it.
    named = Team.competition_id == competition.id, Team.name.in_([name, f"{name} (baseline)"])
    team = session.scalar(select(Team).where(*named, Team.is_baseline))
    if team is not None:
        return team
    is_named = session.scalar(select(Team.id).where(*named).limit(1)) is not None
    if is_named or not names.is_free(session, name, baseline=True):
        name = f"{name} (baseline)"
    skeleton, look = names.stored(name)
    team = Team(
        competition_id=competition.id,
        name=name,
        skeleton=skeleton,
        look=look,
        is_baseline=True,
        created_at=now,
    )
    session.add(team)
    session.flush()
    return team


def _free_name(session: Session, competition: Competition, viewer: Viewer) -> str:
    """Return the user's own name, with the first free number if a team here looks like it."""
    named = Team.competition_id == competition.id, Team.name == viewer.name
    own = [viewer.id]
    if session.scalar(select(Team.id).where(*named)) is None and names.is_free(session, viewer.name, own=own):
        return viewer.name
    numbered = (f"{viewer.name} {n}" for n in range(2, 1_000_000))
    return next(name for name in numbered if names.is_free(session, name, own=own))


def _team_of_one(session: Session, competition: Competition, viewer: Viewer, *, now: datetime) -> Team:
    name = _free_name(session, competition, viewer)
    skeleton, look = names.stored(name)
    team = Team(competition_id=competition.id, name=name, skeleton=skeleton, look=look, created_at=now)
    session.add(team)
    session.flush()
    return team


def _part(
    session: Session, competition: Competition, team: Team, leaver: Viewer, *, by: str, now: datetime
) -> Team:
    """Move a member into a team of one; refuse it once the team has submissions."""
    refuse_late_change(competition, now)
    if has_files(session, team):
        raise Conflict(
            f"{team.name} has submissions, so it keeps its members until the end: a member that left would "
            "get a second quota. The captain can hand the team over."
        )
    if len(accounts_of(session, team)) == 1:
        raise Conflict("You are the only member of your team; join another team to give it up.")
    if team.captain_id == leaver.id:
        team.captain_id = None
    membership = session.get_one(Membership, (competition.id, leaver.id))
    _give_name_back(session, competition, team, leaver)
    alone = _team_of_one(session, competition, leaver, now=now)
    membership.team_id, membership.joined_at = alone.id, now
    # Checks of the day and rejected ones follow the member: a new team is no second allowance of them.
    sent = select(FileCheck).where(FileCheck.team_id == team.id, FileCheck.user_id == leaver.id)
    for check in session.scalars(sent):
        check.team_id = alone.id
    session.flush()
    action = "team left" if by == leaver.name else "member removed"
    events.log(
        session, by, action, competition.slug, now=now, team=team.id, member=leaver.name, new_team=alone.id
    )
    return alone


def _own(session: Session, competition: Competition, viewer: Viewer) -> Team:
    team = of(session, competition, viewer.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} first.")
    return team


def _member(session: Session, team: Team, name: str) -> User:
    wanted = names.canonical(name)
    user = next((user for user in accounts_of(session, team) if user.name == wanted), None)
    if user is None:
        raise NotFound(f"{team.name} has no member {name[:60]!r}.")
    return user


def _give_name_back(session: Session, competition: Competition, team: Team, leaver: Viewer) -> None:
    """Rename a team that has the leaver's name after the member that is now its captain."""
    staying = [user for user in accounts_of(session, team) if user.id != leaver.id]
    if names.is_free(session, team.name, own=[user.id for user in staying]):
        return
    head = next((user for user in staying if user.id == team.captain_id), staying[0])
    team.name = _free_name(session, competition, Viewer(head.id, head.name, head.is_organiser))
    team.skeleton, team.look = names.stored(team.name)
    session.flush()


def _give_up_name(session: Session, team: Team, name: str) -> None:
    """Let a team take the name of a team that merged into it, which gets another."""
    held = session.scalar(
        select(Team).where(
            Team.competition_id == team.competition_id, Team.name == name, Team.merged_into_id == team.id
        )
    )
    if held is not None:
        held.name = f"{name[:40]} (merged {held.id})"[:60]
        held.skeleton, held.look = names.stored(held.name)
        session.flush()


def _words(competition: Competition, moment: datetime) -> str:
    return f"{moment.astimezone(competition.zone):%Y-%m-%d at %H:%M} {competition.timezone}"
