"""Merges: two teams become one, by the rule of Kaggle.

The captain of a team offers it, and the captain of the other team accepts. Together the teams may have sent
no more than one team could have: the daily limit times the days so far, and the total limit. The team that
offered continues with its name, captain and extensions; the other ends, and its members and files change to
the first. In the same transaction the quota of each day becomes the sum of both, so that a merge gives no
upload back, and the standing is computed from all files.

    final picks     those of both, if they are within the limit; else all are taken back
    ladder          the better of the two last shown scores
    coarse scores   if an organiser coarsened those of either team
    extensions      those of the team that ends are revoked
    cases           stay with the ended team, and an action on it is one on the team that continues
    disqualified    such a team does not merge; nor does one of organisers that was taken off the board

A case is no reason to refuse: the refusal would tell the team of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from app.base import events, failpoints
from app.base.errors import Conflict, Forbidden, NotFound, QuotaExhausted
from app.base.models import (
    Case,
    ChallengeVersion,
    Competition,
    FileCheck,
    FinalPick,
    Membership,
    Quota,
    Round,
    Rung,
    Submission,
    Team,
)
from app.base.models_teams import MergeOffer, OfferState, TeamInvite
from app.competing import charges, competitions, extensions, standings, teams
from app.people.accounts import Viewer

MOST_OPEN = 10
"""Open offers that a team has made."""


@dataclass(frozen=True)
class Offer:
    """An open offer to merge, as a member of one of the teams may see it."""

    id: int
    team: str
    """The team that offers it and continues."""
    other_team: str
    is_ours: bool
    """Whether the viewer's team has made it."""
    members: tuple[str, ...]
    """Of both teams."""
    made_by: str
    created_at: datetime


@dataclass(frozen=True)
class Merged:
    """The team after a merge, and what became of the final picks."""

    team: Team
    keeps_picks: bool


def offer(
    session: Session, competition: Competition, viewer: Viewer, other_name: str, *, now: datetime
) -> MergeOffer:
    """Offer another team to merge; its captain decides."""
    competitions.lock(session, competition)
    team = _captains_team(session, competition, viewer, "offer to merge")
    teams.refuse_late_change(competition, now)
    other = teams.by_name(session, competition, " ".join(other_name.split()))
    if other.id == team.id:
        raise Conflict(f"{team.name} is your own team; name another.")
    _refuse_impossible(session, competition, team, other)
    mine = MergeOffer.team_id == team.id, MergeOffer.state == OfferState.OPEN
    known = session.scalar(select(MergeOffer).where(*mine, MergeOffer.other_team_id == other.id))
    if known is not None:
        return known
    count = session.scalar(select(func.count()).select_from(MergeOffer).where(*mine)) or 0
    if count >= MOST_OPEN:
        raise Conflict(f"{team.name} has {count} open offers, which is the limit; withdraw one first.")
    made = MergeOffer(
        team_id=team.id, other_team_id=other.id, state=OfferState.OPEN, made_by=viewer.name, created_at=now
    )
    session.add(made)
    session.flush()
    events.log(
        session,
        viewer.name,
        "merge offered",
        competition.slug,
        now=now,
        offer=made.id,
        team=team.id,
        other_team=other.id,
    )
    failpoints.reach("merge.offered")
    return made


def listed(session: Session, team: Team) -> list[Offer]:
    """Return the open offers that a team has made or got, oldest first."""
    ours, other = aliased(Team), aliased(Team)
    found = session.execute(
        select(MergeOffer, ours, other)
        .join(ours, ours.id == MergeOffer.team_id)
        .join(other, other.id == MergeOffer.other_team_id)
        .where(
            or_(MergeOffer.team_id == team.id, MergeOffer.other_team_id == team.id),
            MergeOffer.state == OfferState.OPEN,
        )
        .order_by(MergeOffer.id)
    ).all()
    members = teams.members_of(session, {id_ for o, *_ in found for id_ in (o.team_id, o.other_team_id)})
    return [
        Offer(
            id=one.id,
            team=first.name,
            other_team=second.name,
            is_ours=one.team_id == team.id,
            members=(*members[one.team_id], *members[one.other_team_id]),
            made_by=one.made_by,
            created_at=one.created_at,
        )
        for one, first, second in found
    ]


def decline(
    session: Session, competition: Competition, viewer: Viewer, offer_id: int, *, now: datetime
) -> None:
    """Decline an offer to the captain's team, or withdraw one of it."""
    competitions.lock(session, competition)
    made, team = _offer_of(session, competition, viewer, offer_id)
    _refuse_decided(made)
    teams.refuse_unless_captain(session, team, viewer, "answer an offer to merge")
    made.state = OfferState.WITHDRAWN if made.team_id == team.id else OfferState.DECLINED
    made.decided_at = now
    session.flush()
    events.log(session, viewer.name, f"merge {made.state}", competition.slug, now=now, offer=offer_id)


def accept(
    session: Session, competition: Competition, viewer: Viewer, offer_id: int, *, now: datetime
) -> Merged:
    """Merge two teams, as the captain of the team that got the offer; refuse what the rule does not allow."""
    competitions.lock(session, competition)
    made, ending = _offer_of(session, competition, viewer, offer_id)
    _refuse_decided(made)
    teams.refuse_unless_captain(session, ending, viewer, "answer an offer to merge")
    if made.team_id == ending.id:
        raise Conflict("Your team has made this offer; the captain of the other team accepts it.")
    teams.refuse_late_change(competition, now)
    session.execute(
        select(Team.id).where(Team.id.in_((made.team_id, ending.id))).order_by(Team.id).with_for_update()
    )
    team = session.get_one(Team, made.team_id, populate_existing=True)
    session.refresh(ending)
    _refuse_impossible(session, competition, team, ending)
    _refuse_too_many_files(session, competition, team, ending, now=now)
    made.state, made.decided_at = OfferState.ACCEPTED, now
    session.flush()
    failpoints.reach("merge.accepted")
    keeps_picks = end(session, competition, ending, into=team, by=viewer.name, now=now)
    return Merged(team, keeps_picks)


def end(
    session: Session, competition: Competition, ending: Team, *, into: Team, by: str, now: datetime
) -> bool:
    """Move members, files and quotas of a team into another; return whether all final picks are kept.

    The caller holds the competition's lock and has checked every rule.
    """
    members = teams.members(session, ending)
    for extension in extensions.of_team(session, ending):
        if extension.revoked_at is None:
            extensions.revoke(session, competition, extension.id, by=by, now=now)
    _close_offers(session, ending, now=now)
    live = TeamInvite.team_id == ending.id, TeamInvite.revoked_at.is_(None)
    session.execute(update(TeamInvite).where(*live).values(revoked_at=now))
    moved = select(Membership).where(Membership.team_id == ending.id).order_by(Membership.joined_at)
    for membership in session.scalars(moved).all():
        membership.team_id, membership.joined_at = into.id, now
    session.execute(update(FileCheck).where(FileCheck.team_id == ending.id).values(team_id=into.id))
    is_kept = _is_mentioned(session, ending)
    files = 0
    if is_kept:
        ending.merged_into_id = into.id
        earlier = update(Team).where(Team.merged_into_id == ending.id)
        session.execute(earlier.values(merged_into_id=into.id))
        session.flush()
        files = _move_files(session, ending, into)
    failpoints.reach("merge.moved")
    _add_quotas(session, ending, into)
    failpoints.reach("merge.added")
    keeps_picks = _unite_picks(session, competition, ending, into)
    _unite_rungs(session, ending, into)
    into.has_coarse_feedback = into.has_coarse_feedback or ending.has_coarse_feedback
    session.flush()
    standings.refresh(session, ending.id)
    standings.refresh(session, into.id)
    events.log(
        session,
        by,
        events.MERGED,
        competition.slug,
        now=now,
        team=into.id,
        ended=ending.id,
        name=ending.name,
        members=members,
        files=files,
        keeps_picks=keeps_picks,
    )
    if not is_kept:
        _delete(session, ending)
    failpoints.reach("merge.ended")
    return keeps_picks


def most_files(session: Session, competition: Competition, team: Team, *, now: datetime) -> int:
    """Return how many counted files one team could have sent until now: the limit of a merged team."""
    limits = extensions.limits(session, competition, team)
    days = (competition.day(now) - competition.day(competition.opens_at)).days + 1
    by_days = limits.daily_limit * max(1, days)
    return by_days if limits.total_limit is None else min(by_days, limits.total_limit)


def _refuse_impossible(session: Session, competition: Competition, team: Team, other: Team) -> None:
    """Refuse what no later day allows: size, organisers, baselines, disqualified teams."""
    members = teams.accounts_of(session, other)
    if other.is_baseline or not members:
        raise Conflict(f"{other.name} has no members, so it cannot merge.")
    for one in (team, other):
        if one.is_off_the_board:
            # Not the reason: only the team itself sees that.
            raise Conflict(f"{one.name} cannot merge.")
    teams.refuse_mixed(session, competition, team, [user.id for user in members])
    teams.refuse_too_many(session, competition, team, len(members))


def _refuse_too_many_files(
    session: Session, competition: Competition, team: Team, ending: Team, *, now: datetime
) -> None:
    sent = sum(charges.count(session, one) for one in (team, ending))
    most = most_files(session, competition, team, now=now)
    if sent <= most:
        return
    limits = extensions.limits(session, competition, team)
    words = (
        f"Together {team.name} and {ending.name} have {sent} counted submissions, and one team could have "
        f"sent {most} until today"
    )
    if limits.total_limit is not None and sent > limits.total_limit:
        raise QuotaExhausted(
            f"{words}, with {limits.total_limit} in the whole competition: they cannot merge."
        )
    days = -(-sent // limits.daily_limit)
    first = competition.day(competition.opens_at) + timedelta(days=days - 1)
    raise QuotaExhausted(
        f"{words}, {limits.daily_limit} a day. They can merge from {first:%Y-%m-%d} on if neither sends "
        "another."
    )


def _captains_team(session: Session, competition: Competition, viewer: Viewer, what: str) -> Team:
    team = teams.of(session, competition, viewer.id)
    if team is None:
        raise Forbidden(f"Join {competition.title} first.")
    teams.refuse_unless_captain(session, team, viewer, what)
    return team


def _offer_of(
    session: Session, competition: Competition, viewer: Viewer, offer_id: int
) -> tuple[MergeOffer, Team]:
    """Return an offer that the viewer's team has made or got, and this team."""
    team = teams.of(session, competition, viewer.id)
    made = session.get(MergeOffer, offer_id)
    sides = select(Team.id, Team.merged_into_id).where(
        Team.id.in_((made.team_id, made.other_team_id) if made is not None else ())
    )
    theirs = {id_ for pair in session.execute(sides) for id_ in pair}
    if team is None or made is None or team.id not in theirs:
        raise NotFound("There is no such offer of or to your team.")
    return made, team


def _refuse_decided(made: MergeOffer) -> None:
    if made.state != OfferState.OPEN:
        raise Conflict(f"This offer was {made.state} before.")


def _close_offers(session: Session, ending: Team, *, now: datetime) -> None:
    mine = or_(MergeOffer.team_id == ending.id, MergeOffer.other_team_id == ending.id)
    session.execute(
        update(MergeOffer)
        .where(mine, MergeOffer.state == OfferState.OPEN)
        .values(state=OfferState.WITHDRAWN, decided_at=now)
    )


def _is_mentioned(session: Session, ending: Team) -> bool:
    """Whether something beside members belongs to a team: its row then stays.

    An offer keeps its row and number too: a page of before must not accept another offer by it.
    """
    about = or_(Case.team_id == ending.id, Case.other_team_id == ending.id)
    offered = or_(MergeOffer.team_id == ending.id, MergeOffer.other_team_id == ending.id)
    return (
        teams.has_files(session, ending)
        or bool(extensions.of_team(session, ending))
        or session.scalar(select(MergeOffer.id).where(offered).limit(1)) is not None
        or session.scalar(select(Case.id).where(about).limit(1)) is not None
        or session.scalar(select(Team.id).where(Team.merged_into_id == ending.id).limit(1)) is not None
    )


def _move_files(session: Session, ending: Team, into: Team) -> int:
    moved = session.scalars(
        update(Submission)
        .where(Submission.team_id == ending.id)
        .values(team_id=into.id, first_team_id=func.coalesce(Submission.first_team_id, Submission.team_id))
        .returning(Submission.id)
    ).all()
    return len(moved)


def _add_quotas(session: Session, ending: Team, into: Team) -> None:
    """Add the used uploads of each day; a day above the limit has none left."""
    for theirs in session.scalars(select(Quota).where(Quota.team_id == ending.id)).all():
        session.refresh(theirs)
        ours = session.get(Quota, (into.id, theirs.day), populate_existing=True)
        if ours is None:
            ours = Quota(team_id=into.id, day=theirs.day, used=0, lim=theirs.lim)
            session.add(ours)
        ours.used, ours.lim = ours.used + theirs.used, max(ours.lim, ours.used + theirs.used)
        session.delete(theirs)
    session.flush()


def _unite_picks(session: Session, competition: Competition, ending: Team, into: Team) -> bool:
    """Give a team the final picks of another; take all back if there are more than allowed."""
    both = (into.id, ending.id)
    count = (
        session.scalar(select(func.count()).select_from(FinalPick).where(FinalPick.team_id.in_(both))) or 0
    )
    if count > competition.final_picks:
        session.execute(delete(FinalPick).where(FinalPick.team_id.in_(both)))
        return False
    session.execute(update(FinalPick).where(FinalPick.team_id == ending.id).values(team_id=into.id))
    return True


def _unite_rungs(session: Session, ending: Team, into: Team) -> None:
    """Keep the better of two last shown scores on each round's ladder."""
    mine = select(Rung, ChallengeVersion).join(Round, Round.id == Rung.round_id)
    mine = mine.join(ChallengeVersion, ChallengeVersion.id == Round.version_id)
    for theirs, version in session.execute(mine.where(Rung.team_id == ending.id)).all():
        ours = session.get(Rung, (theirs.round_id, into.id), populate_existing=True)
        sign = -1.0 if version.manifest["metric"]["greater_is_better"] else 1.0
        if ours is None:
            ours = Rung(round_id=theirs.round_id, team_id=into.id)
            session.add(ours)
        elif sign * ours.shown <= sign * theirs.shown:
            session.delete(theirs)
            continue
        ours.shown, ours.submission_id = theirs.shown, theirs.submission_id
        session.delete(theirs)
    session.flush()


def _delete(session: Session, ending: Team) -> None:
    """Delete a team that nothing is left of."""
    session.execute(delete(TeamInvite).where(TeamInvite.team_id == ending.id))
    session.execute(delete(Team).where(Team.id == ending.id))
    session.flush()
