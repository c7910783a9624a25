"""Files of organisers are scored and take no part in anything that ranks or limits teams."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alembic import command
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from app import migrations
from app.base import db
from app.base.errors import Conflict, Forbidden
from app.base.models import (
    ChallengeVersion,
    PublicScore,
    Rung,
    Score,
    Standing,
    State,
    Submission,
    Team,
    User,
)
from app.competing import (
    competitions,
    evaluations,
    exclusions,
    hosts,
    leaderboard,
    picks,
    rescores,
    standings,
    statuses,
    submissions,
    teams,
)
from app.integrity import inspections
from app.operating import audit_log, doctor
from scorer.report import Report
from tests.app.conftest import LEASE, NOON, World, add_version
from tests.conftest import on_sqlite


@pytest.fixture
def hosted(world: World) -> World:
    """A competition in which the organiser's file is the best and sent before that of a team."""
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        teams.join(session, competition, world.viewer("grace"), now=NOON)
    world.score(0.0, 0.0, by="grace")
    world.score(0.3, 0.4, by="ada")
    return world


def test_an_organisers_file_takes_no_rank_pick_or_upload(hosted: World) -> None:
    with hosted.database.begin() as session:
        competition = competitions.by_slug(session, hosted.slug)
        view = leaderboard.board(session, competition, now=NOON, viewer_id=hosted.viewer("grace").id)
        assert [(row.rank, row.team, row.entries) for row in view.rows] == [(1, "ada", 1)]
        assert view.mine is None
        team = teams.of(session, competition, hosted.viewer("grace").id)
        assert team is not None
        (own,) = statuses.statuses(session, competition, now=NOON, team_id=team.id)
        assert (own.state, own.public, own.is_ranked) == (State.SCORED, 0.0, False)
        assert submissions.allowance(session, competition, team, now=NOON).used == 0
        with pytest.raises(Conflict, match="not ranked: submitted by the host"):
            picks.pick_final(session, competition, team, own.id, picked=True, now=NOON)
        assert [count for _, count in competitions.listed(session)] == [2]  # ada and bob


@on_sqlite
def test_an_organisers_files_have_no_limit_and_a_participant_gets_no_such_file(hosted: World) -> None:
    hosted.change(daily_limit=1, total_limit=1)
    for n in range(3):
        receipt = hosted.submit(f"try {n}", by="grace", sandbox=n == 1)
        assert not receipt.is_ranked
    before = hosted.count()
    with pytest.raises(Forbidden, match="Only an organiser can send a file that is scored and not ranked"):
        hosted.submit("mine", by="bob", sandbox=True)
    assert hosted.count() == before


def rejected(world: World, number: int) -> None:
    claim = world.claim(number)
    assert claim is not None
    world.reject(claim)


def failed(world: World, number: int) -> None:
    for attempt in range(evaluations.MAX_ATTEMPTS):
        claim = world.claim(number, now=NOON + attempt * LEASE)
        assert claim is not None
        world.give_back(claim, now=NOON + attempt * LEASE)
    with world.database.begin() as session:
        evaluations.retry(session, competitions.by_slug(session, world.slug), number, now=NOON)


@on_sqlite
@pytest.mark.parametrize("first", [None, rejected, failed])
def test_no_outcome_charges_an_organisers_file(
    hosted: World, first: Callable[[World, int], None] | None
) -> None:
    number = hosted.submit("again", by="grace").id
    if first is not None:
        first(hosted, number)
    if first is not rejected:
        claim = hosted.claim(number)
        assert claim is not None
        hosted.record(claim, 0.1, 0.1)
    with hosted.database.begin() as session:
        assert not session.get_one(Submission, number).is_charged
        while audit_log.is_any_unchained(session) and audit_log.chain(session, now=NOON):
            pass
        wrong = [c.name for c in doctor.check_database(session, now=NOON) if not c.is_ok]
        assert wrong in ([], ["Workers and sweepers run"])


def test_a_rescore_ranks_no_organisers_file(hosted: World) -> None:
    with hosted.database.begin() as session:
        competition = competitions.by_slug(session, hosted.slug)
        rescores.begin_rescore(session, competition, add_version(session, 2), reason="again", now=NOON)
    while (claim := hosted.claim()) is not None:
        hosted.record(claim, 0.5, 0.5)
    with hosted.database.begin() as session:
        (draft,) = rescores.finished_drafts(session)
        assert rescores.activate(session, draft, by="grace", now=NOON) == hosted.slug
        assert session.scalars(select(Team.name).join(Standing, Standing.team_id == Team.id)).all() == ["ada"]
        assert session.scalars(select(Submission.is_charged).order_by(Submission.id)).all() == [False, True]


@on_sqlite
def test_scans_and_reports_count_no_organisers_file(hosted: World) -> None:
    with hosted.database.begin() as session:
        competition = competitions.by_slug(session, hosted.slug)
        inspections.ask(session, competition, inspections.Kind.SCAN, by="grace", now=NOON)
        claim = inspections.claim(session, "host/1/2", lease=LEASE, now=NOON)
        assert claim is not None
        assert [entrant.name for entrant in inspections.entrants(session, claim)] == ["ada"]


def test_an_organisers_file_takes_no_rung_of_the_ladder(hosted: World) -> None:
    hosted.change(public_score=PublicScore.LADDER)
    with hosted.database.begin() as session:
        figures = {"public": 0.6, "step": 0.01, "se_public": 0.02}
        session.execute(update(ChallengeVersion).values(benchmark=figures))
    for by, rungs in (("grace", 0), ("ada", 1)):
        claim = hosted.claim(hosted.submit(f"better of {by}", by=by).id)
        assert claim is not None
        with hosted.database.begin() as session:
            report = Report(public=0.123, private=0.2)
            evaluations.record_scored(session, claim, report, now=NOON, se_difference=0.001)
            assert len(session.scalars(select(Rung)).all()) == rungs
            (shown,) = session.scalars(select(Score.shown).where(Score.submission_id == claim.submission_id))
            assert shown == pytest.approx(0.12)


@pytest.mark.parametrize(
    ("column", "trigger"),
    [
        ("is_ranked", "submission_ranked"),
        ("is_by_agent", "submission_by_agent"),
        ("is_late", "submission_late"),
    ],
)
def test_whether_a_file_is_ranked_late_or_by_an_agent_is_written_once_and_logged(
    hosted: World, column: str, trigger: str
) -> None:
    change = text(f"UPDATE submission SET {column} = true WHERE id = 1")
    with hosted.database.engine.connect() as connection, pytest.raises(DBAPIError, match="written once"):
        connection.execute(change)
    with hosted.database.begin() as session:
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text(f"DROP TRIGGER {trigger}"))
        else:
            session.execute(text(f"DROP TRIGGER {trigger} ON submission"))
        session.execute(change)
        audit_log.chain(session, now=db.now(session))
        assert any("submission 1" in fault.words for fault in audit_log.verify(session).faults)


def test_the_doctor_names_ranked_files_of_organisers_from_before_and_the_command_unranks_their_team(
    world: World,
) -> None:
    world.score(0.1, 0.2, by="ada")
    world.score(0.3, 0.4, by="bob")
    with world.database.begin() as session:
        session.execute(update(User).where(User.name == "ada").values(is_organiser=True))
    with world.database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0014_since_0003")
    migrations.upgrade(world.database)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        check = {check.name: check for check in doctor.check_database(session, now=NOON)}[
            "No organiser is on a board"
        ]
        assert (check.is_ok, check.words) == (False, "ada in biopsy")
        assert "`heldout team unrank biopsy ada --reason 'organisers only'`" in check.advice
        ada = teams.by_name(session, competition, "ada")
        exclusions.take_off_team(session, competition, ada, "organisers only", by="x", now=NOON)
        view = leaderboard.board(session, competition, now=NOON, viewer_id=None)
        assert [(row.rank, row.team) for row in view.rows] == [(1, "bob")]
        standings.refresh_all(session, competition)
        assert [team for _, team in hosts.ranked_teams(session)] == []
        assert all(check.is_ok for check in doctor.check_database(session, now=NOON) if "board" in check.name)
        assert audit_log.verify(session).faults == ()
