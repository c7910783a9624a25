"""Rate limits of sign-in and sign-up, on both databases."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.base.db import Database
from app.base.errors import RateLimited
from app.base.models import SignInAttempt
from app.people import rate_limits
from app.people.rate_limits import Limit

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def attempt(database: Database, limits: Sequence[Limit], now: datetime = NOON) -> list[int]:
    with database.begin() as session:
        return rate_limits.count(session, limits, now=now)


def rows(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(SignInAttempt)) or 0


def test_the_sixth_attempt_for_an_account_waits_until_the_first_is_a_minute_old(database: Database) -> None:
    for n in range(5):
        attempt(database, rate_limits.to_sign_in("ada", f"192.0.2.{n}"), NOON + n * SECOND)
    sixth = rate_limits.to_sign_in(" ADA", "192.0.2.77")
    with pytest.raises(RateLimited, match=r"for this account\. Please wait 50 seconds"):
        attempt(database, sixth, NOON + 10 * SECOND)
    with (
        database.read() as session,
        pytest.raises(RateLimited, match=r"for this account\. Please wait 1 seconds"),
    ):
        rate_limits.refuse(session, sixth, now=NOON + 59.5 * SECOND)
    attempt(database, sixth, NOON + 60 * SECOND)
    with pytest.raises(RateLimited):  # the second of the five is still there
        attempt(database, sixth, NOON + 60.5 * SECOND)


def test_one_address_has_thirty_attempts_a_minute_over_all_accounts(database: Database) -> None:
    for n in range(30):
        attempt(database, rate_limits.to_sign_in(f"user{n}", f"2001:db8:1:2::{n:x}"))
    with pytest.raises(RateLimited, match="from your network"):
        attempt(database, rate_limits.to_sign_in("ada", "2001:db8:1:2:ffff::1"))
    attempt(database, rate_limits.to_sign_in("ada", "2001:db8:1:3::1"))


def test_all_addresses_together_have_three_hundred_attempts_a_minute(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rate_limits.to_sign_in("ada", None)[2].most == 300
    monkeypatch.setattr(rate_limits, "IN_ALL", 3)
    for n in range(3):
        attempt(database, rate_limits.to_sign_in(f"user{n}", f"192.0.2.{n}"))
    with pytest.raises(RateLimited, match="Too many people"):
        attempt(database, rate_limits.to_sign_in("ada", "198.51.100.1"))


def test_a_success_removes_only_its_own_rows(database: Database) -> None:
    for _ in range(4):
        attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))
    counted = attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))
    with database.begin() as session:
        rate_limits.forget(session, counted)
    assert rows(database) == 4 * 3
    attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))
    with pytest.raises(RateLimited):
        attempt(database, rate_limits.to_sign_in("ada", "192.0.2.1"))


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
