"""The schema, the clock, and the same guarantees on both databases."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app import migrations
from app.base import db
from app.base.db import Base, Database
from app.base.errors import Misconfigured
from app.base.models import Competition, Event, Score, State, Team
from tests.app.conftest import World


def test_the_migrations_produce_the_models_schema(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    migrations.upgrade(database)
    migrations.check(database)


def test_an_empty_database_is_refused_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"The database is empty.*heldout db upgrade"):
        migrations.check(Database(f"sqlite:///{tmp_path / 'new.db'}"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a database URL"),
        ("oracle://user:geheim@host/db", "not a database URL|not supported"),
        ("postgresql://heldout:geheim@127.0.0.1:1/heldout", "does not answer"),
        ("sqlite:////nonexistent/folder/x.db", "does not answer: unable to open"),
    ],
)
def test_a_wrong_url_is_refused_in_one_line_without_the_password(url: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words) as refused:
        Database(url).ping()
    assert "geheim" not in str(refused.value)
    assert "\n" not in refused.value.message


def test_the_databases_clock_is_aware_and_close_to_ours(database: Database) -> None:
    with database.read() as session:
        told = db.now(session)
    assert told.tzinfo is UTC
    assert abs(told - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_stored_time_is_read_back_equal(database: Database) -> None:
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC)
    with database.begin() as session:
        session.add(Event(at=moment, actor="a", action="b", subject="c", detail={}))
    with database.read() as session:
        assert session.query(Event).one().at == moment


def test_a_naive_time_is_refused(database: Database) -> None:
    naive = datetime(2026, 3, 29)  # noqa: DTZ001  the refused mistake
    with pytest.raises(Exception, match="naive"), database.begin() as session:
        session.add(Event(at=naive, actor="a", action="b", subject="c", detail={}))


def test_a_reading_transaction_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read() as session:
        session.execute(text("DELETE FROM event"))


def test_an_exception_rolls_back_the_whole_block(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.begin() as session:
        session.add(Event(at=db.now(session), actor="a", action="b", subject="c", detail={}))
        session.flush()
        raise ZeroDivisionError
    with database.read() as session:
        assert session.query(Event).count() == 0


def test_sqlite_writes_with_full_synchronisation(sqlite_template: Path, tmp_path: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "x.db")
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.begin() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        assert session.execute(text("PRAGMA synchronous")).scalar_one() == 2, "FULL"
        assert session.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


def test_an_upgraded_database_keeps_its_shown_scores(database_url: str) -> None:
    database = Database(database_url)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    with database.engine.begin() as connection:
        config = migrations.alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        rows = {
            "challenge": {"id": 1, "slug": "c", "created_at": at},
            "challenge_version": {
                "id": 1,
                "challenge_id": 1,
                "number": 1,
                "digest": "d",
                "solution_digest": "s",
                "metric_digest": "m",
                "manifest": "{}",
                "created_at": at,
            },
            "competition": {
                "id": 1,
                "slug": "c",
                "title": "C",
                "version_id": 1,
                "opens_at": at,
                "timezone": "UTC",
                "daily_limit": 5,
                "pending_limit": 3,
                "rejected_limit": 20,
                "final_picks": 2,
                "max_team_size": 4,
                "max_upload_bytes": 1000,
                "greater_is_better": False,
                "is_paused": False,
                "grace_seconds": 120,
                "created_at": at,
            },
            "round": {
                "id": 1,
                "competition_id": 1,
                "version_id": 1,
                "state": "active",
                "reason": "",
                "created_at": at,
            },
            "team": {"id": 1, "competition_id": 1, "name": "ada", "is_baseline": False, "created_at": at},
            "submission": {
                "id": 1,
                "competition_id": 1,
                "team_id": 1,
                "received_at": at,
                "day": at.date(),
                "filename": "f",
                "message": "",
                "sha256": "0",
                "size_bytes": 1,
                "is_charged": True,
            },
            "score": {
                "submission_id": 1,
                "round_id": 1,
                "public": 0.123456789,
                "private": 0.2,
                "also": '{"accuracy": {"public": 0.9, "private": 0.8}}',
                "notices": "[]",
                "provenance": "{}",
            },
        }
        for table, values in rows.items():
            names = ", ".join(values)
            places = ", ".join(f":{name}" for name in values)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)
    migrations.upgrade(database)
    with database.read() as session:
        score = session.query(Score).one()
        assert (score.shown, score.shown_also) == (0.123456789, {"accuracy": 0.9})
        assert session.query(Competition).one().public_score == "exact"
        assert session.query(Team).one().disqualified_at is None
    database.dispose()


def at_version(database: Database, name: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :name"), {"name": name})


def test_a_program_works_on_a_newer_schema_that_only_widened(world: World) -> None:
    at_version(world.database, f"9999_since_{migrations.head()[:4]}")
    with world.database.engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE submission ADD COLUMN colour VARCHAR(9) DEFAULT 'blue' NOT NULL")
        )
        connection.execute(text("CREATE TABLE newer (id INTEGER PRIMARY KEY)"))
    migrations.check(world.database)
    migrations.upgrade(world.database)
    assert world.state(world.score(0.4)) is State.SCORED


@pytest.mark.parametrize("name", ["9999", "9999_since_9998", "9999_since_", "9999_since_0"])
def test_a_program_refuses_a_newer_schema_that_it_cannot_use(database: Database, name: str) -> None:
    at_version(database, name)
    for start in (migrations.check, migrations.upgrade):
        with pytest.raises(Misconfigured, match="start the newer program"):
            start(database)


def test_a_program_refuses_an_older_schema_with_the_command_to_run(database: Database) -> None:
    at_version(database, "0001")
    with pytest.raises(Misconfigured, match=r"is at version 0001.*heldout db upgrade"):
        migrations.check(database)


def test_every_migrations_name_states_the_oldest_program_that_can_use_it() -> None:
    first_to_be_released = "0003"
    for name in sorted(migrations.known()):
        if name > first_to_be_released:
            assert re.fullmatch(r"\d{4}_since_\d{4}", name), name
            assert name[-4:] < name[:4], name
