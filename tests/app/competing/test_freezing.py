"""The frozen board equals a recomputation from the files before the freeze, whatever happens after it."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.base.errors import Refused
from app.base.models import Score, Submission, Team
from app.competing import (
    changes,
    competitions,
    exclusions,
    leaderboard,
    positions,
    standings,
    teams,
    withdrawals,
)
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

WHY = "labels from elsewhere"
STEPS = (*["upload"] * 3, "withdraw", "exclude", "team", "freeze", "thaw", "all")
MINUTE = timedelta(minutes=1)
Rows = list[tuple[str, int, float]]


def board(world: World, now: datetime) -> Rows:
    with world.database.read() as session:
        found = competitions.by_slug(session, world.slug)
        rows, _ = leaderboard.whole(session, found, now=now)
    return [(row.team, row.rank or 0, row.score) for row in rows]


def expected(world: World, before: datetime | None, *, private: bool = False) -> Rows:
    """Return the board of the files before a time, from scores alone: lower is better."""
    best: dict[str, float] = {}
    with world.database.read() as session:
        rows = session.execute(
            select(Team.name, Submission.received_at, Score.shown)
            .join(Submission, Submission.team_id == Team.id)
            .join(Score, Score.submission_id == Submission.id)
            .where(
                Submission.withdrawn_at.is_(None),
                Submission.excluded_at.is_(None),
                Team.unranked_at.is_(None),
            )
        )
        for team, at, shown in rows:
            if before is None or at < before:
                best[team] = min(shown, best.get(team, shown))
    return [
        (team, 1 + sum(other < score for other in best.values()), score)
        for team, score in sorted(best.items(), key=lambda each: each[1])
    ]


def change(world: World, now: datetime, **wished: object) -> None:
    with world.database.begin() as session:
        found = competitions.by_slug(session, world.slug)
        changes.apply(session, found, wished, by="grace", now=now, most_upload_mb=100)


@on_sqlite
@pytest.mark.parametrize("seed", range(4))
def test_after_any_sequence_the_frozen_board_equals_a_recomputation(world: World, seed: int) -> None:
    dice = random.Random(seed)
    end = NOON + timedelta(days=1)
    world.change(closes_at=end, daily_limit=500, pending_limit=500, public_score="exact")
    now, sent, frozen_at = NOON, list[tuple[str, int]](), None
    for _ in range(40):
        now += MINUTE
        match dice.choice(STEPS):
            case "upload":
                by = dice.choice(("ada", "bob"))
                sent.append((by, world.score(round(dice.random(), 3), dice.random(), by=by, now=now)))
            case "withdraw" if sent:
                by, number = sent.pop(dice.randrange(len(sent)))
                with world.database.begin() as session:
                    found = competitions.by_slug(session, world.slug)
                    team = teams.of(session, found, world.viewer(by).id)
                    assert team is not None
                    withdrawals.withdraw(session, found, team, number, by=by, now=now)
            case "exclude" if sent:
                _, number = sent.pop(dice.randrange(len(sent)))
                with world.database.begin() as session:
                    found = competitions.by_slug(session, world.slug)
                    exclusions.take_off_file(session, found, number, WHY, by="grace", now=now)
            case "team":
                with world.database.begin() as session:
                    found = competitions.by_slug(session, world.slug)
                    team = teams.by_name(session, found, "bob")
                    is_off = team.unranked_at is not None
                    move = exclusions.put_back_team if is_off else exclusions.take_off_team
                    move(session, found, team, WHY, by="grace", now=now)
            case "freeze":
                frozen_at = now + dice.choice((0, 0, 3)) * MINUTE
                change(world, now, board_frozen_at=frozen_at)
            case "thaw":
                frozen_at = None
                change(world, now, board_frozen_at=None)
            case "all":
                with world.database.begin() as session:
                    standings.refresh_all(session, competitions.by_slug(session, world.slug))
        is_frozen = frozen_at is not None and now >= frozen_at
        assert board(world, now) == expected(world, frozen_at if is_frozen else None)
    settled = end + timedelta(hours=1)
    with world.database.read() as session:
        found = competitions.by_slug(session, world.slug)
        assert found.is_settled(settled)
        public = leaderboard.board(session, found, now=settled, shows_public=True)
    assert [(row.team, row.rank, row.score) for row in public.rows] == expected(world, None)


@on_sqlite
def test_a_team_that_came_after_the_freeze_has_no_row_and_no_rank(world: World) -> None:
    world.score(0.4, by="ada", now=NOON)
    change(world, NOON + MINUTE, board_frozen_at=NOON + MINUTE)
    world.score(0.1, by="bob", now=NOON + 2 * MINUTE)
    world.score(0.2, by="ada", now=NOON + 2 * MINUTE)
    later = NOON + 3 * MINUTE
    with world.database.read() as session:
        found = competitions.by_slug(session, world.slug)
        ada, bob = (positions.of(session, found, world.viewer(name).id, now=later) for name in ("ada", "bob"))
        assert ada is not None
        assert bob is not None
        assert (ada.rank, ada.teams, ada.score, bob.rank, bob.score) == (1, 1, 0.4, None, None)
        assert positions.ranked_teams(session, found, now=later) == 1
    change(world, later, board_frozen_at=None)
    assert board(world, later) == [("bob", 1, 0.1), ("ada", 2, 0.2)]


@on_sqlite
def test_a_freeze_sent_again_shows_no_later_file_and_a_late_one_is_refused(world: World) -> None:
    world.change(closes_at=NOON + timedelta(hours=1))
    world.score(0.4, now=NOON)
    frozen_at = NOON + MINUTE
    change(world, frozen_at, board_frozen_at=frozen_at)
    world.score(0.1, now=NOON + 2 * MINUTE)
    change(world, NOON + 3 * MINUTE, board_frozen_at=frozen_at, title="Other")
    assert board(world, NOON + 3 * MINUTE) == [("ada", 1, 0.4)]
    with pytest.raises(Refused, match="is not before closes_at"):
        change(world, NOON + 3 * MINUTE, board_frozen_at=NOON + timedelta(hours=2))
