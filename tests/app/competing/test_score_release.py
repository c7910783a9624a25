"""Shown scores under each release rule, and the board that ranks by them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.base.errors import QuotaExhausted, Refused
from app.base.models import ChallengeVersion, PublicScore, Rung, Standing, Submission, Team
from app.competing import competitions, evaluations, leaderboard, rescores, score_release, statuses
from app.competing.score_release import RungMoved
from app.competing.statuses import Status
from app.integrity import cases
from app.integrity.cases import Action, Suspicion
from scorer.report import Report
from tests.app.conftest import NOON, World, add_version
from tests.conftest import on_sqlite

BENCHMARK: dict[str, Any] = {
    "name": "sample submission",
    "public": 0.69,
    "private": 0.69,
    "se_public": 0.02,
    "n_public": 600,
    "step": 0.005,
    "also_steps": {"accuracy": 0.01},
}


@pytest.fixture
def measured(world: World) -> World:
    """Return the world with a benchmark, as publishing stores it."""
    with world.database.begin() as session:
        session.query(ChallengeVersion).one().benchmark = BENCHMARK
    return world


def show(world: World, mode: PublicScore) -> None:
    world.change(public_score=mode)


def record(world: World, public: float, *, by: str = "ada", se: float | None = None, **also: float) -> int:
    receipt = world.submit(f"{by}{public}{also}", by=by)
    claim = world.claim(receipt.id)
    assert claim is not None
    report = Report(
        public=public, private=0.6, also={n: {"public": v, "private": v} for n, v in also.items()}
    )
    with world.database.begin() as session:
        inputs = score_release.release_inputs(session, claim.submission_id, claim.round_id)
        evaluations.record_scored(session, claim, report, now=NOON, inputs=inputs, se_difference=se)
    return receipt.id


def status(world: World, submission_id: int, *, for_organiser: bool = False) -> Status:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        (found,) = statuses.statuses(
            session, competition, now=NOON, submission_id=submission_id, for_organiser=for_organiser
        )
        return found


def board(world: World) -> list[tuple[int | None, str, float]]:
    with world.database.read() as session:
        view = leaderboard.board(session, competitions.by_slug(session, world.slug), now=NOON)
        return [(row.rank, row.team, row.score) for row in view.rows]


@on_sqlite
def test_exact_scores_are_shown_unchanged(measured: World) -> None:
    show(measured, PublicScore.EXACT)
    assert status(measured, record(measured, 0.123456789)).public == 0.123456789


def test_scores_that_round_to_the_same_number_share_a_rank(measured: World) -> None:
    show(measured, PublicScore.ROUNDED)
    better = record(measured, 0.4111, by="bob")
    record(measured, 0.4109, by="ada")
    assert sorted(board(measured)) == [(1, "ada", 0.41), (1, "bob", 0.41)]
    assert status(measured, better).public == 0.41
    assert status(measured, better).public_exact is None
    assert status(measured, better, for_organiser=True).public_exact == 0.4111


@on_sqlite
def test_side_metric_is_rounded_or_hidden_without_a_step(measured: World) -> None:
    show(measured, PublicScore.ROUNDED)
    found = status(measured, record(measured, 0.41, accuracy=0.87654, brier=0.123456))
    assert found.public_also == {"accuracy": 0.88}


@on_sqlite
def test_scores_worse_than_the_limit_are_shown_as_it_with_a_notice(measured: World) -> None:
    with measured.database.begin() as session:
        limits = {"range": [None, 1.4], "also_ranges": {"accuracy": [0.5, None]}}
        session.query(ChallengeVersion).one().benchmark = BENCHMARK | limits
    show(measured, PublicScore.ROUNDED)
    hostile = [record(measured, value, by="bob", accuracy=0.1) for value in (1e12, 1e24 + 1e20, 1.4101)]
    near = record(measured, 1.4001, accuracy=0.61)
    shown = [status(measured, number) for number in (*hostile, near)]
    assert [one.public for one in shown] == [1.4] * 4
    assert [one.public_also for one in shown] == [{"accuracy": 0.5}] * 3 + [{"accuracy": 0.61}]
    codes = [[notice["code"] for notice in one.notices] for one in shown]
    assert codes == [["NOTICE_WORSE_THAN_SHOWN"]] * 3 + [[]]
    assert "1.4" in shown[0].notices[0]["message"]
    assert status(measured, hostile[0], for_organiser=True).public_exact == 1e12
    assert sorted(board(measured)) == [(1, "ada", 1.4), (1, "bob", 1.4)]


@on_sqlite
def test_ladder_shows_a_new_score_only_for_a_significant_improvement(measured: World) -> None:
    show(measured, PublicScore.LADDER)
    first = record(measured, 0.5012, se=0.02)
    second = record(measured, 0.4901, se=0.02)  # better, but by less than three standard errors
    third = record(measured, 0.4003, se=0.02, accuracy=0.9)
    shown = [status(measured, number) for number in (first, second, third)]
    assert [one.public for one in shown] == [0.5, 0.5, 0.4]
    assert [n["code"] for n in shown[1].notices] == ["NOTICE_NO_IMPROVEMENT"]
    assert shown[2].public_also == {}
    assert board(measured) == [(1, "ada", 0.4)]


@on_sqlite
def test_ladder_starts_at_the_benchmark(measured: World) -> None:
    show(measured, PublicScore.LADDER)
    worse = status(measured, record(measured, 5.0, se=0.02))
    assert worse.public == 0.69
    assert "the benchmark" in worse.notices[0]["message"]


def test_concurrent_files_of_a_team_are_compared_one_after_the_other(measured: World) -> None:
    show(measured, PublicScore.LADDER)
    receipts = [measured.submit(f"file {n}") for n in range(2)]
    claims = [measured.claim(receipt.id) for receipt in receipts]
    with measured.database.read() as session:
        before = [
            score_release.release_inputs(session, claim.submission_id, claim.round_id)
            for claim in claims
            if claim
        ]
    for number, (claim, inputs) in enumerate(zip(claims, before, strict=True)):
        assert claim is not None
        with measured.database.begin() as session:
            record = evaluations.record_scored
            report = Report(public=0.4, private=0.5)
            if number == 0:
                record(session, claim, report, now=NOON, inputs=inputs, se_difference=0.01)
            else:
                with pytest.raises(RungMoved):
                    record(session, claim, report, now=NOON, inputs=inputs, se_difference=0.01)
                session.rollback()


@on_sqlite
def test_ladder_without_a_benchmark_is_refused(world: World) -> None:
    with world.database.begin() as session, pytest.raises(Refused, match="ladder is not possible"):
        competitions.open_(
            session,
            session.query(ChallengeVersion).one(),
            now=NOON,
            max_upload_bytes=10**6,
            slug="other",
            changes={"public_score": "ladder"},
        )


def test_coarse_feedback_continues_from_the_shown_score(measured: World) -> None:
    show(measured, PublicScore.ROUNDED)
    record(measured, 0.4111)
    with measured.database.begin() as session:
        competition = competitions.by_slug(session, measured.slug)
        team = session.query(Team).filter_by(name="ada").one()
        cases.record(session, competition, [Suspicion("probing", team.id, "e", "a", 3.0)], now=NOON)
        (view,) = cases.listed(session, competition)
        cases.act(
            session,
            competition,
            view.case.id,
            Action.COARSEN,
            reason="it probes the board",
            actor="grace",
            now=NOON,
        )
        assert session.query(Rung).one().shown == 0.41
    assert status(measured, record(measured, 0.39, se=0.01)).public == 0.41
    assert status(measured, record(measured, 0.3601, se=0.01)).public == 0.36
    # Other teams see no difference, and no notice gives a reason.
    assert status(measured, record(measured, 0.3901, by="bob")).public == 0.39


def test_total_limit_counts_only_charged_submissions(world: World) -> None:
    world.change(total_limit=3, pending_limit=100)
    first = world.submit("a")
    claim = world.claim(first.id)
    assert claim is not None
    world.reject(claim)
    for day in range(3):
        receipt = world.submit(f"b{day}", now=NOON + timedelta(days=day))
        assert receipt.remaining_today == 2 - day
    with pytest.raises(QuotaExhausted, match="all 3 submissions"):
        world.submit("c", now=NOON + timedelta(days=4))
    assert world.count(Submission) == 4


@on_sqlite
def test_challenge_without_a_benchmark_is_scored(world: World) -> None:
    with world.database.begin() as session:
        session.query(ChallengeVersion).one().benchmark = {
            "n_public": 60,
            "step": 0.02,
            "also_steps": {},
            "public": None,
            "se_public": None,
            "why": "own metric",
        }
    show(world, PublicScore.ROUNDED)
    assert status(world, record(world, 0.4111)).public == 0.42


@on_sqlite
def test_competition_on_the_ladder_refuses_a_version_without_a_benchmark(measured: World) -> None:
    show(measured, PublicScore.LADDER)
    with measured.database.begin() as session:
        competition = competitions.by_slug(session, measured.slug)
        other = add_version(session, 2, summary="an own metric")
        with pytest.raises(Refused, match="ladder is not possible"):
            rescores.take_version(session, competition, other, rescore=True, now=NOON)


def test_board_names_the_file_of_the_rung(measured: World) -> None:
    show(measured, PublicScore.LADDER)
    slow, quick = (
        measured.submit(name, now=NOON + timedelta(minutes=n)) for n, name in enumerate(("slow", "quick"))
    )
    for receipt, public in ((quick, 0.4), (slow, 0.9)):  # the older file is scored last
        claim = measured.claim(receipt.id, now=NOON + timedelta(minutes=5))
        assert claim is not None
        with measured.database.begin() as session:
            inputs = score_release.release_inputs(session, claim.submission_id, claim.round_id)
            report = Report(public=public, private=public)
            evaluations.record_scored(session, claim, report, now=NOON, inputs=inputs, se_difference=0.01)
    with measured.database.read() as session:
        standing = session.query(Standing).one()
    assert (standing.public_submission_id, standing.private_key) == (quick.id, 0.4)
