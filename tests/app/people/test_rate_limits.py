"""Rate limits of sign-in and sign-up, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.base import events
from app.base.db import Database
from app.base.errors import RateLimited
from app.base.models import SignInAttempt
from app.people import accounts, rate_limits
from app.people.rate_limits import Limit
from tests.app.conftest import World
from tests.conftest import on_sqlite

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def attempt(database: Database, limits: Sequence[Limit], now: datetime = NOON) -> list[int]:
    with database.begin() as session:
        return rate_limits.count(session, limits, now=now)


def fail_often(database: Database, *many: Sequence[Limit], now: datetime = NOON) -> None:
    """Record one failure for each, without the check before."""
    with database.begin() as session:
        session.add_all(SignInAttempt(key=limit.key, at=now) for limits in many for limit in limits)


def rows(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(SignInAttempt)) or 0


def refused(database: Database, limits: Sequence[Limit], now: datetime) -> bool:
    with database.read() as session:
        try:
            rate_limits.refuse(session, limits, now=now)
        except RateLimited:
            return True
    return False


@on_sqlite
def test_waits_for_an_account_grow_from_half_a_minute_to_a_quarter_of_an_hour(database: Database) -> None:
    now, waits = NOON, []
    for n in range(12):
        limits = rate_limits.to_sign_in(" ADA" if n % 2 else "ada", "192.0.2.1")
        wait = 0
        while refused(database, limits, now + wait * SECOND):
            wait += 15
        waits.append(wait)
        now += wait * SECOND
        attempt(database, limits, now)
    assert waits == [0, 0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900]


def test_a_refusal_names_the_longest_wait(database: Database) -> None:
    limits = rate_limits.to_sign_in("ada", "192.0.2.1")
    for _ in range(5):
        attempt(database, limits)
    with pytest.raises(RateLimited, match=r"for this account\..* Please wait 20 seconds"):
        attempt(database, limits, NOON + 10 * SECOND)


@on_sqlite
def test_failures_of_one_student_hold_up_neither_the_class_nor_the_student_elsewhere(
    database: Database,
) -> None:
    for n in range(100):
        limits = rate_limits.to_sign_in("ada", "192.0.2.1")
        if not refused(database, limits, NOON + n * SECOND):
            attempt(database, limits, NOON + n * SECOND)
    later = NOON + 100 * SECOND
    assert refused(database, rate_limits.to_sign_in("ada", "192.0.2.1"), later)
    assert not refused(database, rate_limits.to_sign_in("bob", "192.0.2.1"), later)
    assert not refused(database, rate_limits.to_sign_in("ada", "198.51.100.1"), later)


def test_a_class_may_mistype_a_hundred_times_within_a_minute(database: Database) -> None:
    fail_often(database, *(rate_limits.to_sign_in(f"user{n % 50}", "192.0.2.1") for n in range(100)))
    assert not refused(database, rate_limits.to_sign_in("ada", "192.0.2.1"), NOON)


@on_sqlite
def test_guesses_from_many_addresses_are_held_up_after_thirty(database: Database) -> None:
    for n in range(30):
        attempt(database, rate_limits.to_sign_in("ada", f"192.0.2.{n}"))
    fresh = rate_limits.to_sign_in("ada", "198.51.100.1")
    assert refused(database, fresh, NOON + 29 * SECOND)
    attempt(database, fresh, NOON + 30 * SECOND)
    assert refused(database, fresh, NOON + 89 * SECOND)


@on_sqlite
def test_a_known_browser_is_held_up_by_its_own_failures_alone(database: Database) -> None:
    for n in range(30):
        attempt(database, rate_limits.to_sign_in("ada", f"192.0.2.{n % 6}"))
    assert refused(database, rate_limits.to_sign_in("ada", "192.0.2.1"), NOON)
    known = rate_limits.to_sign_in("ada", "192.0.2.1", "1 a-browser")
    for _ in range(10):
        attempt(database, known)
    with pytest.raises(RateLimited, match=r"in this browser\. Please wait 30 seconds"):
        attempt(database, known)
    attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1", "1 another"))


@on_sqlite
def test_an_account_and_an_unknown_name_have_the_same_limits_and_words(world: World) -> None:
    said = []
    for name in ("ada", "nobody"):
        for _ in range(5):
            attempt(world.database, rate_limits.to_sign_in(name, "192.0.2.1"))
        with pytest.raises(RateLimited) as refusal:
            attempt(world.database, rate_limits.to_sign_in(name, "192.0.2.1"))
        said.append(refusal.value.message)
    assert said[0] == said[1]


def test_held_accounts_and_addresses_are_listed_and_can_be_lifted(world: World) -> None:
    database = world.database
    for n in range(5):
        attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"), NOON + n * SECOND)
        attempt(database, rate_limits.to_sign_in("my password", "192.0.2.1"))
    many = (rate_limits.to_sign_in(f"user{n}", "2001:db8:1:2::1") for n in range(rate_limits.PER_ADDRESS))
    fail_often(database, *many)
    with database.begin() as session:
        now = NOON + 10 * SECOND
        found = {(one.account, one.address): one for one in rate_limits.held(session, now=now)}
        assert set(found) == {("ada", "192.0.2.1"), (None, "2001:db8:1:2::/64")}
        assert found["ada", "192.0.2.1"].attempts == 5
        assert found["ada", "192.0.2.1"].until == NOON + 34 * SECOND
        rate_limits.lift(session, account=accounts.by_name(session, "ada"), by="grace", now=now)
        assert [one.address for one in rate_limits.held(session, now=now)] == ["2001:db8:1:2::/64"]
        rate_limits.lift(session, address="2001:db8:1:2::/64", by="grace", now=now)
        assert rate_limits.held(session, now=now) == []
        lifted = [(event.actor, event.subject) for event in events.latest(session, "ada")]
        assert ("grace", "ada") in lifted
    attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"), now)


@on_sqlite
def test_lifting_an_address_lets_every_account_sign_in_there(world: World) -> None:
    for name in ("ada", "bob"):
        for _ in range(5):
            attempt(world.database, rate_limits.to_sign_in(name, "192.0.2.1"))
            attempt(world.database, rate_limits.to_sign_in(name, "198.51.100.1"))
    with world.database.begin() as session:
        rate_limits.lift(session, address="192.0.2.1", by="grace", now=NOON)
        held = {(one.account, one.address) for one in rate_limits.held(session, now=NOON)}
    assert held == {("ada", "198.51.100.1"), ("bob", "198.51.100.1")}


@on_sqlite
def test_one_address_has_a_limit_below_that_of_all(database: Database) -> None:
    addresses = (f"2001:db8:1:2::{n:x}" for n in range(rate_limits.PER_ADDRESS))
    fail_often(database, *(rate_limits.to_sign_in(f"user{n}", a) for n, a in enumerate(addresses)))
    with pytest.raises(RateLimited, match="from your network"):
        attempt(database, rate_limits.to_sign_in("ada", "2001:db8:1:2:ffff::1"))
    attempt(database, rate_limits.to_sign_in("ada", "2001:db8:1:3::1"))


def test_all_addresses_together_have_three_hundred_attempts_a_minute(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rate_limits.to_sign_in("ada", None)[-1].most == 300
    monkeypatch.setattr(rate_limits, "IN_ALL", 3)
    for n in range(3):
        attempt(database, rate_limits.to_sign_in(f"user{n}", f"192.0.2.{n}"))
    with pytest.raises(RateLimited, match="Too many people"):
        attempt(database, rate_limits.to_sign_in("ada", "198.51.100.1"))


def test_two_addresses_do_not_hold_up_all(database: Database) -> None:
    assert 2 * rate_limits.PER_ADDRESS < rate_limits.IN_ALL
    for address in ("192.0.2.1", "198.51.100.1"):
        many = (rate_limits.to_sign_in(f"user{n}", address) for n in range(rate_limits.PER_ADDRESS))
        fail_often(database, *many)
    attempt(database, rate_limits.to_sign_in("ada", "203.0.113.1"))


def test_the_limit_of_all_is_listed_and_can_be_lifted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "IN_ALL", 6)
    for n in range(6):
        attempt(world.database, rate_limits.to_sign_in(f"user{n}", f"192.0.2.{n}"))
    with world.database.begin() as session:
        (held,) = rate_limits.held(session, now=NOON)
        assert (held.account, held.address, held.attempts) == (None, None, 6)
        rate_limits.lift(session, of_all=True, by="grace", now=NOON)
        assert rate_limits.held(session, now=NOON) == []
    attempt(world.database, rate_limits.to_sign_in("ada", "198.51.100.1"))


def test_a_success_removes_only_its_own_rows(database: Database) -> None:
    for _ in range(4):
        attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))
    counted = attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))
    with database.begin() as session:
        rate_limits.forget(session, counted)
    assert rows(database) == 4 * 4
    attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))
    with pytest.raises(RateLimited):
        attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))


@on_sqlite
def test_a_refused_attempt_writes_no_row(database: Database) -> None:
    limits = rate_limits.to_change_password(1)
    for _ in range(5):
        attempt(database, limits)
    with pytest.raises(RateLimited):
        attempt(database, limits)
    assert rows(database) == 5


def test_concurrent_attempts_do_not_exceed_the_limit(database: Database) -> None:
    def one(_n: int) -> bool:
        try:
            attempt(database, rate_limits.to_change_password(1))
        except RateLimited:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(16))) == 5


def test_rows_older_than_the_longest_window_are_purged(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = rate_limits.to_sign_up("192.0.2.1", 200)
    attempt(database, limits)
    attempt(database, limits, NOON + timedelta(minutes=59))
    monkeypatch.setattr(rate_limits, "PURGE_EVERY", 1)
    attempt(database, limits, NOON + timedelta(minutes=61))
    assert rows(database) == 2 * 2


@on_sqlite
def test_sign_ups_above_the_limit_are_refused_with_the_limit_and_the_wait(database: Database) -> None:
    for n in range(10):
        attempt(database, rate_limits.to_sign_up(f"192.0.2.{n // 2}", 2))
    with pytest.raises(RateLimited, match=r"2 new accounts an hour from your network .* wait 60 minutes"):
        attempt(database, rate_limits.to_sign_up("192.0.2.1", 2))
    with pytest.raises(RateLimited, match="10 new accounts an hour on this server"):
        attempt(database, rate_limits.to_sign_up("192.0.2.99", 2))


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("a proxy's nonsense", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str | None, counted_as: str) -> None:
    assert rate_limits.network(address) == counted_as
