"""The first organiser: exactly one of concurrent requests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from app.base.db import Database
from app.base.errors import NotFound
from app.base.models import User
from app.people import first_organiser

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
KEY = "9f2c61d07be845a3b1c4e6d8f0a27351"


def test_one_of_many_concurrent_requests_becomes_the_organiser(database: Database) -> None:
    def one(n: int) -> bool:
        try:
            with database.begin() as session:
                first_organiser.make(session, f"root{n}", "a hash", now=NOON)
        except NotFound:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(8))) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(User)) == 1


def test_the_invitation_ends_with_the_first_organiser(database: Database) -> None:
    token = first_organiser.token(KEY)
    assert len(token) == 43
    assert token != first_organiser.token(KEY[::-1])
    with database.begin() as session:
        invitation = first_organiser.invitation(session, KEY, "http://127.0.0.1:7777")
        assert invitation == f"No organiser yet: make one at http://127.0.0.1:7777/setup?token={token}"
        first_organiser.admit(session, token, KEY)
        first_organiser.make(session, "root", "a hash", now=NOON)
        assert first_organiser.invitation(session, KEY, "http://127.0.0.1:7777") is None
        with pytest.raises(NotFound):
            first_organiser.admit(session, token, KEY)
