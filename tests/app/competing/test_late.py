"""Late files: accepted when private scores are shown, scored, and never ranked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.base.errors import Closed, Conflict, QuotaExhausted
from app.base.models import Competition, Standing, State, Submission
from app.competing import cancellations, competitions, picks, standings, statuses, submissions, teams
from app.integrity import inspections
from app.operating import audit_log, doctor
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

MINUTE = timedelta(minutes=1)
CLOSE = NOON + MINUTE
SETTLED = CLOSE + 2 * MINUTE


def end(world: World, **terms: object) -> None:
    world.change(**{"closes_at": CLOSE, "allows_late": True, **terms})


def rows(world: World) -> list[tuple[object, ...]]:
    with world.database.read() as session:
        found = session.scalars(select(Standing).order_by(Standing.team_id))
        return [
            (
                row.team_id,
                row.entries,
                row.last_at,
                row.public_key,
                row.private_key,
                row.private_submission_id,
            )
            for row in found
        ]


@on_sqlite
@pytest.mark.parametrize(
    ("terms", "now", "words"),
    [
        ({"allows_late": False}, SETTLED, "closed on 2026-03-28 at 13:01 Europe/Berlin.$"),
        ({}, CLOSE, "Late files are accepted from 2026-03-28 at 13:03 Europe/Berlin on"),
        ({"extended_until": NOON + 9 * MINUTE}, SETTLED, "Late files are accepted from 2026-03-28 at 13:11"),
    ],
)
def test_after_the_close_a_file_is_refused_unless_private_scores_are_shown_and_late_files_allowed(
    world: World, terms: dict[str, object], now: object, words: str
) -> None:
    end(world, **terms)
    with pytest.raises(Closed, match=words):
        world.submit(now=now)  # type: ignore[arg-type]
    assert world.used() == 0


@on_sqlite
def test_an_upload_that_outlasts_the_grace_is_late(world: World) -> None:
    end(world)
    assert world.submit(received_at=NOON, now=SETTLED).is_late
    assert not world.submit("two", received_at=NOON, now=SETTLED - MINUTE).is_late


def test_a_late_file_changes_nothing_but_the_quota_of_its_team(world: World) -> None:
    for by, score in (("ada", 0.3), ("bob", 0.2)):
        world.score(score, score, by=by)
    end(world, total_limit=1, is_paused=True)
    before = rows(world)
    late = world.score(0.01, 0.01, now=SETTLED)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.of(session, competition, world.viewer("ada").id)
        assert team is not None
        (own,) = statuses.statuses(session, competition, now=SETTLED, submission_id=late)
        assert (own.is_late, own.is_ranked, own.public, own.private) == (True, False, 0.01, 0.01)
        left = submissions.allowance(session, competition, team, now=SETTLED)
        assert (left.is_late, left.used, left.remaining, left.total_limit) == (True, 2, 3, None)
        standings.refresh_all(session, competition)
        with pytest.raises(Closed):
            picks.pick_final(session, competition, team, late, picked=True, now=SETTLED)
    assert rows(world) == before
    with world.database.begin() as session:
        audit_log.chain(session, now=SETTLED)
        assert not audit_log.verify(session).faults
        names = ("Quotas equal the counted files", "Uploads count by their outcomes")
        checks = [check for check in doctor.check_database(session, now=SETTLED) if check.name in names]
        assert [check.is_ok for check in checks] == [True, True]


@on_sqlite
def test_late_files_use_the_daily_limit_and_a_rejected_or_cancelled_one_is_refunded(world: World) -> None:
    end(world, daily_limit=1)
    first = world.submit("one", now=SETTLED)
    with pytest.raises(QuotaExhausted, match="The next can be sent from 2026-03-29 00:00 Europe/Berlin"):
        world.submit("two", now=SETTLED)
    claim = world.claim(first.id, now=SETTLED)
    assert claim is not None
    world.reject(claim, now=SETTLED)
    assert world.used() == 0
    second = world.submit("two", now=SETTLED)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.of(session, competition, world.viewer("ada").id)
        assert team is not None
        cancellations.cancel(session, competition, team, second.id, by="ada", now=SETTLED)
    assert (world.used(), world.state(second.id)) == (0, State.REJECTED)


@on_sqlite
def test_a_late_file_that_waits_delays_no_close_report(world: World) -> None:
    world.score(0.3)
    end(world)
    world.submit("late", now=SETTLED)
    with world.database.read() as session:
        due = inspections.due(session, now=SETTLED)
        assert [kind.value for _, kind in due] == ["scan", "report"]


@on_sqlite
def test_late_files_are_refused_while_the_same_labels_rank_another_competition(world: World) -> None:
    end(world)
    with world.database.begin() as session:
        version = competitions.by_slug(session, world.slug).version
        competitions.open_(session, version, now=NOON, max_upload_bytes=10**7, slug="evening")
    with pytest.raises(Closed, match="refused until evening, another competition of this challenge, is over"):
        world.submit(now=SETTLED)
    with world.database.begin() as session:
        competitions.close(session, competitions.by_slug(session, "evening"), by="grace", now=SETTLED)
    assert world.submit(now=SETTLED).is_late


@on_sqlite
def test_a_key_of_an_upload_in_time_returns_its_receipt_after_the_end(world: World) -> None:
    world.submit(idempotency_key="k")
    end(world)
    again = world.submit(now=SETTLED, idempotency_key="k")
    assert (again.is_replay, again.is_late) == (True, False)
    with pytest.raises(Conflict):
        world.submit("other", now=SETTLED, idempotency_key="k")
    with world.database.read() as session:
        assert session.scalars(select(Submission.is_late)).all() == [False]
        assert session.scalars(select(Competition.allows_late)).all() == [True]
