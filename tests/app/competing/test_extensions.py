"""Extensions: a later close and more uploads, without revealing private scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from app.base import db
from app.base.errors import Closed, Conflict, NotFound, QuotaExhausted, Refused
from app.base.models import Event, Extension
from app.base.storage import Blob
from app.competing import competitions, extensions, leaderboard, submissions
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite
from tests.servers import eventually, heldout

CLOSE = NOON + timedelta(hours=1)
LATER = CLOSE + timedelta(days=1)
MINUTE = timedelta(minutes=1)


def grant(world: World, team: str = "ada", *, now: datetime = NOON, **more: Any) -> int:
    with world.database.begin() as session:
        found = competitions.by_slug(session, world.slug)
        return extensions.grant(
            session, found, team, reason="was ill for a day", by="grace", now=now, **more
        ).id


@on_sqlite
def test_later_close_is_for_one_team_alone(world: World) -> None:
    world.change(closes_at=CLOSE)
    grant(world, closes_at=LATER)
    after = CLOSE + MINUTE
    assert world.submit(by="ada", now=after).id
    with pytest.raises(Closed, match="closed on"):
        world.submit("b", by="bob", now=after)
    with pytest.raises(Closed, match="closed for your team"):
        world.submit("c", by="ada", now=LATER + MINUTE)


@on_sqlite
def test_private_scores_wait_for_the_last_extension(world: World) -> None:
    world.change(closes_at=CLOSE)
    world.score(0.4)
    grant(world, closes_at=LATER)

    def is_private(now: datetime) -> bool:
        with world.database.read() as session:
            return leaderboard.board(session, competitions.by_slug(session, world.slug), now=now).is_private

    assert not is_private(CLOSE + timedelta(hours=2))
    assert not is_private(LATER + MINUTE), "an upload begun in time may still arrive"
    assert is_private(LATER + timedelta(minutes=2))


def test_revoked_extension_ends_at_once(world: World) -> None:
    world.change(closes_at=CLOSE)
    number = grant(world, closes_at=LATER)
    with world.database.begin() as session:
        found = competitions.by_slug(session, world.slug)
        extensions.revoke(session, found, number, by="grace", now=NOON)
    assert world.competition().extended_until is None
    with pytest.raises(Closed):
        world.submit(now=CLOSE + MINUTE)


def test_extra_uploads_raise_the_daily_and_the_total_limit(world: World) -> None:
    world.change(daily_limit=1, total_limit=2)
    grant(world, daily_extra=2, total_extra=1)
    for n in range(3):
        receipt = world.submit(f"{n}")
    assert receipt.remaining_today == 0
    with pytest.raises(QuotaExhausted):
        world.submit("4")
    assert world.submit("b", by="bob").remaining_today == 0
    with pytest.raises(QuotaExhausted, match="All 1 submissions"):
        world.submit("b2", by="bob")
    assert world.used() == 4


def test_every_problem_of_an_extension_is_reported_at_once(world: World) -> None:
    with pytest.raises(Refused) as refusal, world.database.begin() as session:
        extensions.grant(
            session,
            competitions.by_slug(session, world.slug),
            "ada",
            reason="ill",
            by="grace",
            now=NOON,
            closes_at=LATER,
            total_extra=5000,
        )
    for words in ("shorter than 10", "0 to 1000", "no closing time to extend", "no limit over the whole"):
        assert words in refusal.value.message


@on_sqlite
def test_later_close_after_private_scores_are_shown_is_refused(world: World) -> None:
    world.change(closes_at=CLOSE)
    with pytest.raises(Refused, match="already shown"):
        grant(world, now=CLOSE + timedelta(hours=1), closes_at=LATER)


@on_sqlite
def test_extension_for_an_unknown_team_is_refused(world: World) -> None:
    with pytest.raises(NotFound, match="no team 'unknown'"):
        grant(world, "unknown", daily_extra=1)


def test_reason_is_stored_with_the_extension_and_in_the_log(world: World) -> None:
    grant(world, daily_extra=1)
    with world.database.read() as session:
        assert session.query(Extension).one().reason == "was ill for a day"
        event = session.query(Event).filter(Event.action == "extension granted").one()
    assert event.detail["reason"] == "was ill for a day"


def test_closing_a_competition_revokes_only_later_closes(world: World) -> None:
    world.change(closes_at=CLOSE)
    later, more = grant(world, closes_at=LATER), grant(world, "bob", daily_extra=1)
    with world.database.begin() as session:
        found = competitions.by_slug(session, world.slug)
        assert competitions.close(session, found, by="grace", now=NOON + MINUTE) == 1
    for name in ("ada", "bob"):
        with pytest.raises(Closed):
            world.submit(by=name, now=NOON + MINUTE, received_at=NOON)
    with world.database.read() as session:
        assert session.get_one(Extension, later).revoked_at == NOON + MINUTE
        assert session.get_one(Extension, more).revoked_at is None
        assert competitions.by_slug(session, world.slug).is_settled(NOON + MINUTE)
    with pytest.raises(Conflict, match="has been closed since"), world.database.begin() as session:
        competitions.close(session, competitions.by_slug(session, world.slug), by="grace", now=LATER)


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
def test_upload_accepted_during_a_close_was_in_time(world: World, tmp_path: Path) -> None:
    """The clock is read after taking the lock.

    Read before, closes were older than uploads that were already accepted.
    """
    url = world.database.url.render_as_string(hide_password=False)
    blob = Blob("a" * 64, 5)
    waits = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )

    def is_waiting() -> bool:
        with world.database.read() as session:
            return bool(session.scalar(waits))

    with ThreadPoolExecutor(1) as pool:
        with world.database.begin() as session:
            found = competitions.by_slug(session, world.slug)
            now = db.now(session)
            submissions.accept(
                session, found, world.viewer("ada"), blob, filename="f", message="", received_at=now, now=now
            )
            closing = pool.submit(
                heldout, tmp_path / "data", "competition", "close", world.slug, HELDOUT_DATABASE_URL=url
            )
            eventually(is_waiting, what="the command to wait for the upload")
            accepted_at = db.now(session)
        assert closing.result().returncode == 0
    closes_at = world.competition().closes_at
    assert closes_at is not None
    assert closes_at >= accepted_at
