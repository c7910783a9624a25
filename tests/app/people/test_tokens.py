"""API tokens: scope, expiry, number, last use, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from alembic import command
from sqlalchemy import text

from app import migrations
from app.base.db import Database
from app.base.errors import Conflict, Forbidden, InsufficientScope, NotFound, NotSignedIn, Refused
from app.people import accounts, tokens
from app.people.tokens import Scope
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def made(world: World, name: str = "ada", scope: Scope = Scope.SUBMIT, days: int = 90) -> str:
    with world.database.begin() as session:
        return tokens.issue(session, world.viewer(name).id, "laptop", now=NOON, scope=scope, days=days)


@on_sqlite
def test_a_token_names_its_account_and_scope(world: World) -> None:
    secret = made(world)
    with world.database.read() as session:
        grant = tokens.check(session, secret, now=NOON)
        (row,) = tokens.listed(session, world.viewer("ada").id)
    assert (grant.viewer, grant.scope, grant.label) == (world.viewer("ada"), Scope.SUBMIT, "laptop")
    assert grant.expires_at == NOON + 90 * DAY
    assert secret.encode() not in row.token_hash
    assert len(row.hint) < 10


@on_sqlite
@pytest.mark.parametrize(
    ("has", "includes"),
    [("read", ["read"]), ("submit", ["read", "submit"]), ("organise", ["read", "submit", "organise"])],
)
def test_each_scope_includes_those_before_it(has: str, includes: list[str], world: World) -> None:
    secret = made(world, "grace", Scope(has))
    with world.database.read() as session:
        grant = tokens.check(session, secret, now=NOON)
    for needed in Scope:
        if needed in includes:
            grant.require(needed)
        else:
            with pytest.raises(InsufficientScope, match=f"has the scope {has}; this needs {needed}"):
                grant.require(needed)


def test_unknown_revoked_and_expired_tokens_are_refused_with_the_reason(world: World) -> None:
    ada, bob = world.viewer("ada"), world.viewer("bob")
    old, gone = made(world, days=1), made(world)
    with world.database.begin() as session:
        newest, _ = tokens.listed(session, ada.id)
        with pytest.raises(NotFound):
            tokens.revoke(session, bob.id, newest.id, now=NOON)
        tokens.revoke(session, ada.id, newest.id, now=NOON)
        assert tokens.check(session, old, now=NOON + DAY - MINUTE).viewer == ada
        for secret, words in (
            (old, r"hld_\S{4}\.\.\. \(laptop\) expired on 2026-03-29 12:00 UTC"),
            (gone, r"\(laptop\) was revoked on 2026-03-28 12:00 UTC"),
            ("hld_made_up", "There is no such token"),
            ("", "There is no such token"),
        ):
            with pytest.raises(NotSignedIn, match=words):
                tokens.check(session, secret, now=NOON + DAY)


@on_sqlite
def test_a_scope_that_does_not_exist_or_exceeds_the_account_is_refused(world: World) -> None:
    with world.database.begin() as session:
        ada = world.viewer("ada").id
        with pytest.raises(Refused, match="'admin' is not a scope of a token: use read, submit, organise"):
            tokens.issue(session, ada, "x", now=NOON, scope="admin")
        with pytest.raises(Forbidden, match="ada is not an organiser; the widest scope is submit"):
            tokens.issue(session, ada, "x", now=NOON, scope=Scope.ORGANISE)
        for days in (0, -1, 367, 10**9):
            with pytest.raises(Refused, match="valid for 1 to 366 days"):
                tokens.issue(session, ada, "x", now=NOON, days=days)


def test_an_account_has_at_most_twenty_tokens_that_are_valid(world: World) -> None:
    ada = world.viewer("ada").id

    def one(_n: int) -> bool:
        try:
            made(world, days=1)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(one, range(24))) == 20
    with world.database.begin() as session:
        with pytest.raises(Conflict, match=r"ada has 20 tokens, the most allowed\. Revoke one"):
            tokens.issue(session, ada, "x", now=NOON)
        tokens.issue(session, ada, "x", now=NOON + DAY)
    made(world, "bob")


@on_sqlite
def test_a_new_password_revokes_tokens_unless_they_are_kept(world: World) -> None:
    ada = world.viewer("ada")
    secret, other = made(world), made(world, "bob")
    with world.database.begin() as session:
        accounts.set_password(session, ada.id, "a hash", now=NOON, keep_tokens=True)
        assert tokens.check(session, secret, now=NOON).viewer == ada
        accounts.set_password(session, ada.id, "a hash", now=NOON)
        with pytest.raises(NotSignedIn, match="was revoked"):
            tokens.check(session, secret, now=NOON)
        tokens.check(session, other, now=NOON)


def test_the_last_use_is_noted_at_most_once_a_minute(world: World) -> None:
    secret = made(world)
    noted = []
    for seconds in (0, 30, 59, 60, 119, 121):
        now = NOON + timedelta(seconds=seconds)
        with world.database.begin() as session:
            grant = tokens.check(session, secret, now=now)
            if grant.is_use_due(now):
                tokens.note_use(session, grant.token_id, now=now)
                noted.append(seconds)
            tokens.note_use(session, grant.token_id, now=now)  # another process, at the same time
    assert noted == [0, 60, 121]


def test_tokens_of_a_database_before_scopes_keep_all_rights_and_do_not_expire(database: Database) -> None:
    with database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0006_since_0003")
        values = {"at": NOON, "hash": tokens._digest("hld_old")}
        connection.execute(text("INSERT INTO user_account VALUES (1, 'ada', NULL, true, :at)"), values)
        connection.execute(
            text(
                "INSERT INTO token (id, user_id, label, token_hash, hint, created_at) "
                "VALUES (1, 1, 'old', :hash, 'hld_old', :at)"
            ),
            values,
        )
    migrations.upgrade(database)
    with database.read() as session:
        grant = tokens.check(session, "hld_old", now=NOON + 1000 * DAY)
    assert (grant.scope, grant.expires_at, grant.last_used_at) == (Scope.ORGANISE, None, None)
