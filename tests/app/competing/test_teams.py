"""Teams of several people: invites, members, merges; what of them is refused, raced and recomputed."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from multiprocessing.context import ForkServerContext
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.base.db import Database
from app.base.errors import Closed, Conflict, Forbidden, NotFound, QuotaExhausted, Refused
from app.base.models import (
    Competition,
    Event,
    Extension,
    FileCheck,
    FinalPick,
    Inspection,
    InspectionState,
    Membership,
    Quota,
    Rung,
    Standing,
    Submission,
    Team,
)
from app.base.models_teams import MergeOffer, TeamInvite
from app.competing import competitions, extensions, invites, merges, picks, receipts, submissions, teams
from app.integrity import cases
from app.integrity.cases import Suspicion
from app.operating import audit_log, doctor
from app.people import accounts
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite
from tests.servers import eventually

A_DAY = timedelta(days=1)
MORE = ("cyd", "dot", "eve", "fay")
OF_THE_MACHINE = ("Nothing is stuck", "Workers and sweepers run")
"""Checks of the doctor that need the processes of an installation."""


@pytest.fixture
def crowd(world: World) -> World:
    """The world with four more participants, who have not joined."""
    with world.database.begin() as session:
        for name in MORE:
            accounts.register(session, name, None, now=NOON)
    return world


def act(world: World, do: Callable[..., Any], by: str, *more: Any, now: datetime = NOON, **named: Any) -> Any:
    """Call a function of teams, invites or merges in a transaction."""
    viewer = world.viewer(by)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        return do(session, competition, viewer, *more, now=now, **named)


def join(world: World, *names: str) -> None:
    for name in names:
        act(world, teams.join, name)


def link(world: World, by: str = "ada", *, uses: int = 1, days: int = 7, now: datetime = NOON) -> str:
    _, secret = act(world, invites.make, by, days=days, uses=uses, now=now)
    return str(secret)


def enlist(world: World, captain: str, *names: str) -> None:
    for name in names:
        act(world, invites.accept, name, link(world, captain))


def merge(world: World, by: str, with_: str, *, now: datetime = NOON) -> merges.Merged:
    """Merge the teams of two captains; the first's continues."""
    made = act(world, merges.offer, by, team_name(world, with_), now=now)
    found: merges.Merged = act(world, merges.accept, with_, made.id, now=now)
    return found


def team_of(world: World, name: str) -> Team:
    with world.database.read() as session:
        team = teams.of(session, competitions.by_slug(session, world.slug), world.viewer(name).id)
    assert team is not None
    return team


def team_name(world: World, member: str) -> str:
    return team_of(world, member).name


def members(world: World, name: str) -> list[str]:
    with world.database.read() as session:
        return teams.members(session, team_of(world, name))


def used(world: World, name: str) -> dict[str, int]:
    team = team_of(world, name)
    with world.database.read() as session:
        found = session.scalars(select(Quota).where(Quota.team_id == team.id))
        return {quota.day.isoformat(): quota.used for quota in found}


def remaining(world: World, name: str, now: datetime = NOON) -> int:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        return submissions.allowance(session, competition, team_of(world, name), now=now).remaining


def healthy(world: World) -> None:
    """Recompute quotas, boards, charges and the audit log, as `heldout doctor` does."""
    with world.database.read() as session:
        found = [check for check in doctor.check_database(session, now=NOON) if not check.is_ok]
        assert [check for check in found if check.name not in OF_THE_MACHINE] == []
        assert audit_log.verify(session).faults == ()


def test_participant_joins_by_link_and_gives_up_the_team_of_one(crowd: World) -> None:
    before = team_of(crowd, "bob").id
    secret = link(crowd, "ada", uses=2)
    act(crowd, invites.accept, "bob", secret)
    act(crowd, invites.accept, "bob", secret)
    act(crowd, invites.accept, "cyd", secret)
    assert members(crowd, "ada") == members(crowd, "bob") == ["ada", "bob", "cyd"]
    with crowd.database.read() as session:
        assert session.get(Team, before) is None
        assert session.scalars(select(TeamInvite.uses)).all() == [2]
        hashes = session.scalars(select(TeamInvite.secret_hash)).all()
        assert secret.encode() not in hashes
        assert all(secret not in str(event.detail) for event in session.query(Event))
    healthy(crowd)


@on_sqlite
def test_link_that_is_not_valid_is_refused_in_the_same_words(crowd: World) -> None:
    """The words must not tell a link of before from a guess, or name the team."""
    join(crowd, "cyd")
    spent, revoked = link(crowd), link(crowd)
    act(crowd, invites.accept, "bob", spent)
    with crowd.database.read() as session:
        number = session.scalars(select(func.max(TeamInvite.id))).one()
    act(crowd, invites.revoke, "ada", number)
    act(crowd, invites.revoke, "ada", number)
    expired = link(crowd, days=1)
    words = set()
    for secret, now in ((spent, NOON), (revoked, NOON), (expired, NOON + A_DAY), ("guess", NOON), ("", NOON)):
        for do in (invites.accept, None):
            with pytest.raises(NotFound) as refused:
                if do is not None:
                    act(crowd, do, "cyd", secret, now=now)
                else:
                    with crowd.database.read() as session:
                        competition = competitions.by_slug(session, crowd.slug)
                        invites.team_behind(session, competition, secret, now=now)
            words.add(refused.value.message)
    assert len(words) == 1
    assert "ada" not in words.pop()


@on_sqlite
def test_only_the_captain_invites_removes_and_hands_over(crowd: World) -> None:
    enlist(crowd, "ada", "bob")
    join(crowd, "cyd")
    with crowd.database.read() as session:
        number = session.scalars(select(func.max(TeamInvite.id))).one()
    refusals: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
        (invites.make, (), {"days": 1, "uses": 1}),
        (invites.revoke, (number,), {}),
        (teams.remove, ("ada",), {}),
        (teams.hand_over, ("bob",), {}),
        (merges.offer, ("cyd",), {}),
    ]
    for do, more, named in refusals:
        with pytest.raises(Forbidden, match="Only the captain of ada, ada,"):
            act(crowd, do, "bob", *more, **named)
    for stranger, error in (("cyd", NotFound), ("dot", NotFound)):
        with pytest.raises(error):
            act(crowd, invites.revoke, stranger, number)
    with pytest.raises(NotFound, match="has no member 'cyd'"):
        act(crowd, teams.remove, "ada", "cyd")
    with pytest.raises(Conflict, match="leave the team instead"):
        act(crowd, teams.remove, "ada", "ada")
    act(crowd, teams.hand_over, "ada", "BOB")
    act(crowd, teams.remove, "bob", "ada")
    assert (members(crowd, "bob"), members(crowd, "ada")) == (["bob"], ["ada"])
    assert (team_name(crowd, "bob"), team_name(crowd, "ada")) == ("bob", "ada"), "ada's name is hers"
    with crowd.database.read() as session:
        logged = session.scalars(select(Event.action).order_by(Event.id)).all()
    assert logged[-2:] == ["captain changed", "member removed"]


@on_sqlite
def test_next_member_is_captain_after_the_captain_has_left(crowd: World) -> None:
    enlist(crowd, "ada", "bob", "cyd")
    act(crowd, teams.hand_over, "ada", "cyd")
    act(crowd, teams.leave, "cyd")
    with crowd.database.read() as session:
        head = teams.captain(session, team_of(crowd, "bob"))
    assert head is not None
    assert head.name == "ada"
    with pytest.raises(Conflict, match="only member"):
        act(crowd, teams.leave, "cyd")


@on_sqlite
def test_team_with_a_submission_keeps_its_members(crowd: World) -> None:
    """A member that left would get a second quota, and know what the team learnt."""
    enlist(crowd, "ada", "bob")
    crowd.reject(claimed(crowd, crowd.submit(by="bob").id))
    for do, by, more in ((teams.leave, "bob", ()), (teams.leave, "ada", ()), (teams.remove, "ada", ("bob",))):
        with pytest.raises(Conflict, match="keeps its members until the end"):
            act(crowd, do, by, *more)
    with pytest.raises(Conflict, match="cannot be left"):
        join(crowd, "cyd")
        act(crowd, invites.accept, "bob", link(crowd, "cyd"))
    with pytest.raises(Conflict, match="Leave your team"):
        enlist(crowd, "cyd", "dot")
        act(crowd, invites.accept, "dot", link(crowd, "ada"))


def claimed(world: World, submission_id: int) -> Any:
    claim = world.claim(submission_id)
    assert claim is not None
    return claim


@on_sqlite
def test_checks_follow_a_member_that_leaves(crowd: World) -> None:
    """Else a new team would be a new allowance of checks."""
    enlist(crowd, "ada", "bob")
    with crowd.database.begin() as session:
        round_id = competitions.active_round(session, competitions.by_slug(session, crowd.slug)).id
        for name in ("ada", "bob"):
            job = Inspection(
                competition_id=1, round_id=round_id, kind="check", asked_by=name, created_at=NOON
            )
            job.state, job.next_try_at, job.hinted_at = InspectionState.DONE, NOON, NOON
            session.add(job)
            session.flush()
            session.add(
                FileCheck(
                    inspection_id=job.id,
                    team_id=team_of(crowd, "ada").id,
                    user_id=crowd.viewer(name).id,
                    received_at=NOON,
                    day=NOON.date(),
                    filename="a.csv",
                    sha256="0" * 64,
                    size_bytes=1,
                    is_rejected=True,
                )
            )
    act(crowd, teams.leave, "bob")
    with crowd.database.read() as session:
        owners = session.scalars(select(FileCheck.team_id).order_by(FileCheck.inspection_id)).all()
    assert owners == [team_of(crowd, "ada").id, team_of(crowd, "bob").id]
    act(crowd, invites.accept, "bob", link(crowd))
    with crowd.database.read() as session:
        assert set(session.scalars(select(FileCheck.team_id))) == {team_of(crowd, "ada").id}


@on_sqlite
def test_teams_stay_as_they_are_after_their_deadline_and_the_close(crowd: World) -> None:
    enlist(crowd, "ada", "bob")
    join(crowd, "dot")
    offered = act(crowd, merges.offer, "ada", "dot").id
    secret = link(crowd)
    late = NOON + A_DAY
    crowd.change(teams_close_at=late)
    changes: list[tuple[Callable[..., Any], str, tuple[Any, ...]]] = [
        (teams.leave, "bob", ()),
        (teams.remove, "ada", ("bob",)),
        (invites.accept, "dot", (secret,)),
        (merges.offer, "ada", ("dot",)),
        (merges.accept, "dot", (offered,)),
    ]
    for do, by, more in changes:
        with pytest.raises(Closed, match="could change until 2026-03-29 at 14:00 Europe/Berlin"):
            act(crowd, do, by, *more, now=late)
    crowd.change(teams_close_at=None, closes_at=late)
    for do, by, more in changes:
        with pytest.raises(Closed, match="is closed; its teams keep their members"):
            act(crowd, do, by, *more, now=late)
    crowd.change(closes_at=None, entry_closes_at=late)
    for do, more in ((teams.join, ()), (invites.accept, (secret,))):
        with pytest.raises(Closed, match="could be joined until 2026-03-29 at 14:00"):
            act(crowd, do, "eve", *more, now=late)
    act(crowd, invites.accept, "dot", secret, now=late)
    assert members(crowd, "dot") == ["ada", "bob", "dot"]


@on_sqlite
def test_organisers_and_participants_form_no_team(crowd: World) -> None:
    join(crowd, "grace")
    for by, other in (("ada", "grace"), ("grace", "ada")):
        with pytest.raises(Conflict, match="cannot be in one team"):
            act(crowd, invites.accept, other, link(crowd, by))
        with pytest.raises(Conflict, match="cannot be in one team"):
            act(crowd, merges.offer, by, other)


@on_sqlite
@pytest.mark.parametrize(("days", "uses"), [(0, 1), (31, 1), (1, 0), (1, 4)])
def test_invite_has_a_life_and_uses_within_limits(crowd: World, days: int, uses: int) -> None:
    with pytest.raises(Refused, match="No invite was made"):
        act(crowd, invites.make, "ada", days=days, uses=uses)


def test_merged_team_has_files_quotas_and_members_of_both(crowd: World) -> None:
    enlist(crowd, "bob", "cyd")
    first = [crowd.score(0.5, 0.4), crowd.score(0.3, 0.6)]
    second = [crowd.score(0.2, 0.5, by=name) for name in ("bob", "cyd")]
    earlier = crowd.score(0.9, 0.9, by="cyd", now=NOON - A_DAY)
    waiting = crowd.submit("waits", by="bob")
    running = claimed(crowd, crowd.submit("runs", by="cyd").id)
    ended = team_of(crowd, "bob").id
    signed = {id_: signature(crowd, id_) for id_ in (second[0], waiting.id)}
    assert merge(crowd, "ada", "bob").keeps_picks
    assert members(crowd, "cyd") == ["ada", "bob", "cyd"]
    assert used(crowd, "ada") == {"2026-03-28": 6, "2026-03-27": 1}
    assert remaining(crowd, "ada") == 0
    with pytest.raises(QuotaExhausted):
        crowd.submit("one more", by="cyd")
    crowd.record(running, 0.1, 0.7)
    crowd.reject(claimed(crowd, waiting.id))
    assert used(crowd, "bob") == {"2026-03-28": 5, "2026-03-27": 1}
    with crowd.database.read() as session:
        standing = session.scalars(select(Standing)).one()
        assert (standing.team_id, standing.entries) == (team_of(crowd, "ada").id, 6)
        assert standing.public_submission_id == running.submission_id
        rows = session.execute(select(Submission.id, Submission.first_team_id).order_by(Submission.id)).all()
        sent_by = dict(rows)  # type: ignore[arg-type]
        assert [sent_by[id_] for id_ in first] == [None, None]
        assert {sent_by[id_] for id_ in (*second, earlier, waiting.id)} == {ended}
        assert teams.by_name(session, competitions.by_slug(session, "biopsy"), "ada").id == standing.team_id
        with pytest.raises(NotFound):
            teams.by_name(session, competitions.by_slug(session, "biopsy"), "bob")
        assert [count for _, count in competitions.listed(session)] == [1]
    assert {id_: signature(crowd, id_) for id_ in signed} == signed, "receipts name the team of the upload"
    healthy(crowd)
    join(crowd, "dot")
    act(crowd, rename, "ada", "bob")
    assert team_name(crowd, "ada") == "bob", "a merged team may take the name of either"


def rename(session: Session, competition: Competition, viewer: Any, name: str, *, now: datetime) -> None:
    team = teams.of(session, competition, viewer.id)
    assert team is not None
    teams.rename(session, competition, team, name, by=viewer.name, now=now)


def signature(world: World, submission_id: int) -> str:
    with world.database.read() as session:
        return str(receipts.recorded(session, [submission_id])[submission_id])


def test_merge_follows_the_rule_of_limit_times_days(crowd: World) -> None:
    crowd.change(daily_limit=2, opens_at=NOON - timedelta(hours=1))
    for n in range(2):
        crowd.submit(f"a{n}")
    crowd.submit("b", by="bob")
    offered = act(crowd, merges.offer, "ada", "bob").id
    with pytest.raises(QuotaExhausted) as refused:
        act(crowd, merges.accept, "bob", offered)
    assert "3 counted submissions, and one team could have sent 2 until today" in refused.value.message
    assert "can merge from 2026-03-29 on" in refused.value.message
    tomorrow = NOON + A_DAY
    crowd.change(total_limit=2)
    with pytest.raises(QuotaExhausted, match="2 in the whole competition: they cannot merge"):
        act(crowd, merges.accept, "bob", offered, now=tomorrow)
    crowd.change(total_limit=3)
    act(crowd, merges.accept, "bob", offered, now=tomorrow)
    assert (used(crowd, "bob"), remaining(crowd, "bob", tomorrow)) == ({"2026-03-28": 3}, 0)
    crowd.change(total_limit=None)
    assert remaining(crowd, "bob", tomorrow) == 2
    healthy(crowd)


@on_sqlite
def test_final_picks_of_both_teams_are_kept_within_the_limit(crowd: World) -> None:
    for kept in (True, False):
        mine, theirs = ("ada", "bob") if kept else ("ada", "cyd")
        if not kept:
            join(crowd, "cyd")
        for name in (mine, theirs) if kept else (theirs,):
            act(crowd, pick, name, crowd.score(0.5, by=name))
        assert merge(crowd, mine, theirs).keeps_picks is kept
    with crowd.database.read() as session:
        assert session.query(FinalPick).count() == 0
        event = session.scalars(
            select(Event).where(Event.action == "teams merged").order_by(-Event.id)
        ).first()
        assert event is not None
        assert event.detail["keeps_picks"] is False
    healthy(crowd)


def pick(session: Session, competition: Competition, viewer: Any, number: int, *, now: datetime) -> None:
    team = teams.of(session, competition, viewer.id)
    assert team is not None
    picks.pick_final(session, competition, team, number, picked=True, now=now)


@on_sqlite
def test_disqualified_full_baseline_and_own_teams_do_not_merge(crowd: World) -> None:
    join(crowd, *MORE)
    with crowd.database.begin() as session:
        competition = competitions.by_slug(session, crowd.slug)
        teams.baseline(session, competition, "Prior only", now=NOON)
        for name, column, value in (("dot", Team.disqualified_at, NOON), ("eve", Team.is_host, True)):
            session.execute(update(Team).where(Team.name == name).values({column: value}))
    for other, words in (
        ("ada", "your own team"),
        ("nobody", "has no team"),
        ("Prior only", "has no members"),
        ("dot", "dot cannot merge"),
        ("eve", "eve cannot merge"),
    ):
        with pytest.raises(Refused, match=words):
            act(crowd, merges.offer, "ada", other)
    with pytest.raises(Conflict, match="dot cannot merge"):
        act(crowd, merges.offer, "dot", "ada")
    for do, more in ((invites.accept, (link(crowd, "ada"),)),):
        with pytest.raises(Conflict, match="disqualified your team"):
            act(crowd, do, "dot", *more)
    with pytest.raises(Conflict, match="takes no members"):
        act(crowd, invites.accept, "fay", link(crowd, "dot"))
    crowd.change(max_team_size=2)
    offered = act(crowd, merges.offer, "ada", "bob").id
    enlist(crowd, "bob", "cyd")
    for do in (
        lambda: act(crowd, merges.accept, "bob", offered),
        lambda: act(crowd, merges.offer, "ada", "bob"),
        lambda: act(crowd, invites.make, "bob", days=1, uses=1),
    ):
        with pytest.raises(Refused, match=r"at most 2 members|all the 2 members"):
            do()


@on_sqlite
def test_merge_is_no_way_out_of_a_case_and_tells_nothing_of_it(crowd: World) -> None:
    """A refusal would show before the close that a check has fired."""
    crowd.score(0.5)
    crowd.score(0.4, by="bob")
    with crowd.database.begin() as session:
        competition = competitions.by_slug(session, crowd.slug)
        one = Suspicion("probing", team_of(crowd, "bob").id, "evidence", "advice", 1.0)
        cases.record(session, competition, [one], now=NOON)
        session.execute(update(Team).where(Team.name == "bob").values(has_coarse_feedback=True))
    merge(crowd, "ada", "bob")
    assert team_of(crowd, "ada").has_coarse_feedback
    with crowd.database.begin() as session:
        competition = competitions.by_slug(session, crowd.slug)
        number = cases.listed(session, competition)[0].case.id
        disqualify = cases.Action.DISQUALIFY
        cases.act(session, competition, number, disqualify, reason="read labels", actor="grace", now=NOON)
        assert session.query(Standing).count() == 0
    assert team_of(crowd, "ada").disqualified_at == NOON
    healthy(crowd)


@on_sqlite
def test_extensions_of_the_team_that_ends_are_revoked(crowd: World) -> None:
    later = NOON + 9 * A_DAY
    crowd.change(closes_at=NOON + 5 * A_DAY)
    for name, more in (("ada", {"daily_extra": 1}), ("bob", {"daily_extra": 7, "closes_at": later})):
        with crowd.database.begin() as session:
            competition = competitions.by_slug(session, crowd.slug)
            reason = "was in hospital"
            extensions.grant(session, competition, name, reason=reason, by="grace", now=NOON, **more)
    enlist(crowd, "ada", "bob")
    with crowd.database.read() as session:
        competition = competitions.by_slug(session, crowd.slug)
        limits = extensions.limits(session, competition, team_of(crowd, "bob"))
        assert limits == extensions.Limits(NOON + 5 * A_DAY, 6, None)
        assert competition.extended_until is None
        assert [e.revoked_at for e in session.scalars(select(Extension).order_by(Extension.id))] == [
            None,
            NOON,
        ]


@on_sqlite
@pytest.mark.parametrize(("ours", "theirs", "kept"), [(0.5, 0.3, 0.3), (0.3, 0.5, 0.3), (None, 0.5, 0.5)])
def test_ladder_of_a_merged_team_keeps_the_better_score(
    crowd: World, ours: float | None, theirs: float, kept: float
) -> None:
    numbers = {name: crowd.score(0.4, by=name) for name in ("ada", "bob")}
    with crowd.database.begin() as session:
        round_id = competitions.active_round(session, competitions.by_slug(session, crowd.slug)).id
        for name, shown in (("ada", ours), ("bob", theirs)):
            if shown is not None:
                rung = Rung(round_id=round_id, team_id=team_of(crowd, name).id, shown=shown)
                rung.submission_id = numbers[name]
                session.add(rung)
    merge(crowd, "ada", "bob")
    with crowd.database.read() as session:
        rung = session.scalars(select(Rung)).one()
    assert (rung.team_id, rung.shown) == (team_of(crowd, "ada").id, kept)
    assert rung.submission_id == numbers["ada" if kept == ours else "bob"]


@on_sqlite
def test_offers_are_declined_withdrawn_and_end_with_a_team(crowd: World) -> None:
    join(crowd, "cyd", "dot")
    first = act(crowd, merges.offer, "ada", "bob").id
    assert act(crowd, merges.offer, "ada", "bob").id == first
    for stranger in ("cyd", "eve"):
        for do in (merges.accept, merges.decline):
            with pytest.raises(NotFound, match="no such offer"):
                act(crowd, do, stranger, first)
    with pytest.raises(Conflict, match="has made this offer"):
        act(crowd, merges.accept, "ada", first)
    act(crowd, merges.decline, "bob", first)
    second = act(crowd, merges.offer, "ada", "bob").id
    act(crowd, merges.decline, "ada", second)
    crowd.score(0.5, by="cyd")
    third, fourth = (act(crowd, merges.offer, by, "cyd").id for by in ("ada", "dot"))
    act(crowd, merges.accept, "cyd", third)
    for number, state in (
        (first, "declined"),
        (second, "withdrawn"),
        (third, "accepted"),
        (fourth, "withdrawn"),
    ):
        with crowd.database.read() as session:
            assert session.get_one(MergeOffer, number).state == state
            assert merges.listed(session, team_of(crowd, "cyd")) == []
        with pytest.raises(Conflict, match=f"was {state}"):
            act(crowd, merges.accept, "ada", number)


@pytest.mark.parametrize(
    "change",
    [
        {"team_id": 2},
        {"team_id": 2, "first_team_id": 1},
        {"first_team_id": 2},
        {"team_id": 1, "first_team_id": None},
        {"user_id": 2},
    ],
    ids=str,
)
def test_database_moves_a_file_only_to_the_team_it_merged_into(
    crowd: World, change: dict[str, int | None]
) -> None:
    number = crowd.submit().id
    for into in (None, 3):
        with crowd.database.begin() as session:
            session.execute(update(Team).where(Team.name == "ada").values(merged_into_id=into))
        with pytest.raises(IntegrityError, match="written once"), crowd.database.begin() as session:
            session.execute(update(Submission).where(Submission.id == number).values(**change))


@on_sqlite
def test_audit_reports_a_file_that_no_merge_has_moved(crowd: World) -> None:
    number = crowd.submit().id
    with crowd.database.begin() as session:
        session.execute(update(Team).where(Team.name == "ada").values(merged_into_id=2))
        session.execute(update(Submission).values(team_id=2, first_team_id=1))
    with crowd.database.read() as session:
        [fault] = audit_log.verify(session).faults
    assert fault.words == f"submission {number} is not with the team that it merged into"


# -- races, with real processes ----------------------------------------------------------------


def _forkserver() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _step(url: str, verb: str, by: str, word: str) -> str:
    """Do one thing in a process of its own; return what came of it."""
    world = World(Database(url, pooled=False))
    try:
        if verb == "upload":
            return f"accepted {world.submit(word, by=by).id}"
        if verb == "score":
            while (claim := world.claim(int(word))) is None:
                return "not queued"
            world.record(claim, 0.25, 0.25)
            return "scored"
        do: Any = {"join": invites.accept, "leave": teams.leave, "merge": merges.accept}[verb]
        act(world, do, by, *([int(word) if verb == "merge" else word] if word else []))
    except Refused as refusal:
        return type(refusal).__name__
    return "done"


def race(world: World, *steps: tuple[str, str, str]) -> list[str]:
    url = world.database.url.render_as_string(hide_password=False)
    with _forkserver().Pool(len(steps)) as pool:
        return list(pool.starmap(_step, [(url, *step) for step in steps], chunksize=1))


def test_of_joins_for_the_last_place_one_wins(crowd: World) -> None:
    crowd.change(max_team_size=2)
    with crowd.database.begin() as session:
        session.execute(update(Competition).values(max_team_size=5))
    secret = link(crowd, uses=4)
    crowd.change(max_team_size=2)
    outcomes = race(crowd, *(("join", name, secret) for name in ("bob", *MORE)))
    assert sorted(outcomes) == ["Conflict"] * 4 + ["done"]
    assert len(members(crowd, "ada")) == 2
    healthy(crowd)


def test_merge_beside_uploads_and_a_scoring_loses_no_charge(crowd: World) -> None:
    crowd.change(daily_limit=20, pending_limit=50)
    scored = crowd.submit("scored", by="bob").id
    offered = act(crowd, merges.offer, "ada", "bob").id
    outcomes = race(
        crowd,
        ("upload", "bob", "1"),
        ("merge", "bob", str(offered)),
        ("score", "bob", str(scored)),
        ("upload", "ada", "2"),
        ("upload", "bob", "3"),
        ("upload", "ada", "4"),
    )
    assert outcomes[1:3] == ["done", "scored"]
    assert all(outcome.startswith("accepted") for outcome in (outcomes[0], *outcomes[3:]))
    assert used(crowd, "ada") == {"2026-03-28": 5}
    with crowd.database.read() as session:
        assert set(session.scalars(select(Submission.team_id))) == {team_of(crowd, "ada").id}
        assert session.scalars(select(Standing.entries)).all() == [1]
    healthy(crowd)


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_score_that_waited_for_a_merge_is_of_the_merged_team(crowd: World) -> None:
    """The worker has read the submission, with its team of before, when it waits for the lock."""
    running = claimed(crowd, crowd.submit(by="bob").id)
    offered = act(crowd, merges.offer, "ada", "bob").id
    viewer = crowd.viewer("bob")

    def is_waiting() -> bool:
        with crowd.database.read() as session:
            blocked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return bool(session.scalar(blocked))

    with ThreadPoolExecutor(1) as pool:
        with crowd.database.begin() as session:
            competition = competitions.by_slug(session, crowd.slug)
            merges.accept(session, competition, viewer, offered, now=NOON)
            recorded = pool.submit(crowd.record, running, 0.2, 0.2)
            eventually(is_waiting, seconds=60, what="the score to wait for the merge")
        recorded.result()
    with crowd.database.read() as session:
        assert session.scalars(select(Standing.team_id)).all() == [team_of(crowd, "ada").id]
    healthy(crowd)


def test_of_leaving_and_uploading_one_comes_first(crowd: World) -> None:
    """Either the team has a file and its members, or the member is out and the file counts for the rest."""
    enlist(crowd, "ada", "bob")
    left, sent = race(crowd, ("leave", "bob", ""), ("upload", "bob", "x"))
    assert sent.startswith("accepted")
    number = int(sent.split()[1])
    with crowd.database.read() as session:
        owner = session.get_one(Submission, number).team_id
    assert left in ("done", "Conflict")
    assert owner == team_of(crowd, "bob").id
    assert (team_of(crowd, "ada").id == owner) is (left == "Conflict")
    healthy(crowd)


# -- random sequences --------------------------------------------------------------------------


def head_of(world: World, member: str) -> str:
    with world.database.read() as session:
        head = teams.captain(session, team_of(world, member))
    assert head is not None
    return head.name


@on_sqlite
@pytest.mark.parametrize("seed", range(4))
def test_after_random_steps_everything_equals_a_recomputation(crowd: World, seed: int) -> None:
    """Quotas from charged files, standings from scores, teams from a plain model of the rules."""
    drawn = random.Random(seed)
    crowd.change(daily_limit=3, max_team_size=4, pending_limit=50)
    model: dict[str, set[str]] = {"ada": {"ada"}, "bob": {"bob"}}
    sent: dict[str, int] = dict.fromkeys(("ada", "bob", *MORE), 0)
    done: dict[str, int] = {}

    def group(name: str) -> set[str]:
        return model.get(name, set())

    early = ("join", "enlist", "enlist", "leave")
    for step in range(70):
        name, other = drawn.sample(("ada", "bob", *MORE), 2)
        verb = drawn.choice(
            early if step < 20 else (*early, "merge", "merge", "upload", "score", "upload", "score")
        )
        try:
            if verb == "join":
                act(crowd, teams.join, name)
                model.setdefault(name, {name})
            elif verb == "enlist":
                act(crowd, invites.accept, other, link(crowd, name))
                if other in group(name):
                    continue
                assert len(group(name)) < 4
                assert sum(sent[m] for m in group(other)) == 0
                united = group(name) | {other}
                model.update(dict.fromkeys(united, united))
            elif verb == "leave":
                act(crowd, teams.leave, name)
                assert sum(sent[m] for m in group(name)) == 0
                rest = group(name) - {name}
                model.update(dict.fromkeys(rest, rest), **{name: {name}})
            elif verb == "merge" and {name, other} <= set(model):
                merge(crowd, head_of(crowd, name), head_of(crowd, other))
                united = group(name) | group(other)
                assert len(united) <= 4
                model.update(dict.fromkeys(united, united))
            elif verb == "upload":
                crowd.submit(f"{drawn.random()}", by=name)
                sent[name] += 1
            elif verb == "score" and (claim := crowd.claim()) is not None:
                if drawn.random() < 0.3:
                    crowd.reject(claim)
                else:
                    crowd.record(claim, drawn.random(), drawn.random())
        except Refused:
            done["refused"] = done.get("refused", 0) + 1
            continue
        done[verb] = done.get(verb, 0) + 1
    assert {"enlist", "merge", "upload", "score", "refused"} <= set(done), done
    with crowd.database.read() as session:
        stored: dict[int, set[str]] = {}
        for team_id, user_id in session.execute(select(Membership.team_id, Membership.user_id)):
            stored.setdefault(team_id, set()).add(accounts.names(session, [user_id])[user_id])
        assert sorted(map(sorted, stored.values())) == sorted(
            sorted(group) for group in {frozenset(group) for group in model.values()}
        )
        charged = (
            select(Submission.team_id, Submission.day, func.count())
            .where(Submission.is_charged)
            .group_by(Submission.team_id, Submission.day)
        )
        counted = {(team, day): n for team, day, n in session.execute(charged)}
        quotas = {(q.team_id, q.day): q.used for q in session.scalars(select(Quota)) if q.used}
        assert quotas == counted
        assert {team for team, _ in counted} <= set(stored)
        for submission in session.scalars(select(Submission)):
            name = accounts.names(session, [submission.user_id or 0])[submission.user_id or 0]
            assert name in stored[submission.team_id]
        for head in session.scalars(select(Team).where(Team.id.not_in(stored))):
            assert head.merged_into_id in stored
    healthy(crowd)
