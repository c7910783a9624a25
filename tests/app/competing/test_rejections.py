"""The slowing of a team whose files are rejected again and again."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from app.base.errors import Conflict, QuotaExhausted
from app.base.models import ChallengeVersion, Evaluation, State
from app.competing import competitions, rejections, submissions, teams
from app.competing.submissions import Allowance
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

MINUTE = timedelta(minutes=1)


@pytest.fixture
def slowed(world: World) -> World:
    """A team at the limit of two rejected files."""
    world.change(rejected_limit=2)
    for n in range(2):
        reject(world, f"bad {n}")
    return world


def reject(world: World, content: str, *, now: datetime = NOON, seconds: float = 0) -> int:
    """Reject a file whose check ends at `now` and took so many seconds."""
    began = now - timedelta(seconds=seconds)
    receipt = world.submit(content, now=now)
    claim = world.claim(receipt.id, now=now)
    assert claim is not None
    with world.database.begin() as session:
        session.execute(
            update(Evaluation).where(Evaluation.submission_id == receipt.id).values(started_at=began)
        )
    world.reject(claim, now=now)
    return receipt.id


def allowance(world: World, now: datetime = NOON) -> Allowance:
    with world.database.read() as session:
        competition = competitions.by_slug(session, "biopsy")
        team = teams.of(session, competition, world.viewer("ada").id)
        assert team is not None
        return submissions.allowance(session, competition, team, now=now)


@on_sqlite
def test_a_corrected_file_is_accepted_and_scored_after_the_limit_of_rejected_files(slowed: World) -> None:
    submission = slowed.score(0.3)
    assert slowed.state(submission) is State.SCORED
    assert allowance(slowed).remaining == 4


@on_sqlite
def test_from_the_limit_on_files_are_checked_one_at_a_time(slowed: World) -> None:
    assert allowance(slowed).pending_limit == 1
    slowed.submit("another")
    with pytest.raises(QuotaExhausted, match="one at a time") as refused:
        slowed.submit("one more")
    assert refused.value.retry_after == submissions.CHECKED_SOON


@on_sqlite
def test_the_bytes_of_a_file_rejected_today_are_refused_naming_it(slowed: World) -> None:
    with pytest.raises(Conflict, match="the file of submission 1, which was rejected today"):
        slowed.submit("bad 0")
    assert slowed.count() == 2
    assert slowed.used() == 0
    assert slowed.submit("bad 0", by="bob").id == 3  # another team learns nothing of the file


@on_sqlite
def test_the_bytes_of_a_rejected_file_may_be_sent_again_the_next_day(slowed: World) -> None:
    assert slowed.submit("bad 0", now=NOON + timedelta(days=1)).id == 3


@on_sqlite
def test_a_file_rejected_under_an_earlier_version_may_be_sent_again(slowed: World) -> None:
    """A corrected challenge may accept it, and it was refused for the rest of the day."""
    with slowed.database.begin() as session:
        session.execute(update(ChallengeVersion).values(created_at=NOON + timedelta(seconds=1)))
    assert slowed.submit("bad 0").id == 3


@on_sqlite
def test_after_a_further_rejected_file_the_next_waits_a_minute_or_ten_times_its_check(slowed: World) -> None:
    now = NOON
    for n, (seconds, minutes) in enumerate(((0, 1), (0.3, 1), (6, 1), (30, 5), (300, 15), (0, 1))):
        reject(slowed, f"worse {n}", now=now, seconds=seconds)
        shown = allowance(slowed, now).rejected
        assert (shown.count, shown.next_at) == (3 + n, now + minutes * MINUTE)
        with pytest.raises(QuotaExhausted, match=rf"{3 + n} of your files were rejected today") as refused:
            slowed.submit("early", now=now + minutes * MINUTE - timedelta(seconds=2))
        assert refused.value.retry_after == timedelta(seconds=2)
        now += minutes * MINUTE
        assert allowance(slowed, now).rejected.next_at is None
    assert slowed.submit("at last", now=now).id


def test_after_forty_waits_of_a_minute_they_double() -> None:
    waits = [rejections.wait(20 + above, 20) / MINUTE for above in (0, 1, 40, 41, 42, 43, 44, 400)]
    assert waits == [0, 1, 1, 2, 4, 8, 15, 15]
    assert rejections.wait(64, 20, timedelta(hours=1)) == 15 * MINUTE


@given(st.lists(st.floats(0.01, 110), min_size=1, max_size=60))
def test_a_team_above_the_limit_holds_at_most_a_ninth_of_a_worker(checks: list[float]) -> None:
    waited = sum(
        rejections.wait(21 + n, 20, timedelta(seconds=check)).total_seconds()
        for n, check in enumerate(checks)
    )
    assert sum(checks) <= (sum(checks) + waited) / 9


def test_a_wait_written_before_the_clock_was_set_back_does_not_last(slowed: World) -> None:
    reject(slowed, "third", now=NOON + timedelta(hours=2))
    assert slowed.submit("good", now=NOON + MINUTE).id


def test_a_day_has_at_most_156_rejected_files() -> None:
    limit = competitions.REJECTED_LIMIT
    count, passed = limit, timedelta()
    while passed < timedelta(days=1):
        count += 1
        passed += rejections.wait(count, limit)
    assert count == 156


def test_slow_uploads_in_two_windows_do_not_escape_the_wait(slowed: World) -> None:
    # The wait is compared when the file has arrived, not when its upload began.
    reject(slowed, "third", now=NOON)
    with pytest.raises(QuotaExhausted, match="can be sent at 13:01:00"):
        slowed.submit("begun earlier", received_at=NOON - MINUTE, now=NOON + timedelta(seconds=1))


@on_sqlite
def test_the_days_last_refusal_names_the_reset_only_if_the_competition_is_open_then(world: World) -> None:
    for n in range(5):
        world.submit(str(n))
    with pytest.raises(QuotaExhausted, match="can be sent from 2026-03-29 00:00") as refused:
        world.submit("sixth")
    assert refused.value.retry_after == timedelta(hours=11)
    world.change(closes_at=NOON + timedelta(hours=11))
    with pytest.raises(QuotaExhausted, match="closes before the next day begins") as refused:
        world.submit("sixth")
    assert refused.value.retry_after is None
