"""Landed revisions stay as they are, and a database that lacks something is refused in words."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import select, text

from app import migrations
from app.base import heartbeats
from app.base.db import Base, Database
from app.base.errors import Misconfigured
from app.base.models import Competition, Evaluation, Heartbeat, Score, State, Submission
from tests.app.conftest import NOON, World
from tests.conftest import run_as_admin
from tests.servers import heldout

VERSIONS = Path(migrations.__file__).parent / "versions"
DATA = Path(__file__).parents[2] / "data"
DIGESTS = DATA / "revisions.sha256"
EARLY = ("b320bb6", "35c6181", "6ce3f73")


def test_landed_revisions_are_never_edited() -> None:
    landed = {name: digest for digest, name in map(str.split, DIGESTS.read_text().splitlines())}
    now = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(VERSIONS.glob("0*.py"))
    }
    changed = [name for name, digest in landed.items() if now.get(name) != digest]
    assert not changed, (
        f"{', '.join(changed)} made databases already, so a change of it reaches none of them: "
        "restore it, and write a new revision (`git checkout origin/main -- app/migrations/versions`)"
    )
    missing = [f"{digest}  {name}" for name, digest in now.items() if name not in landed]
    assert not missing, f"add to tests/data/{DIGESTS.name} when the revision is finished:\n" + "\n".join(
        missing
    )


@pytest.fixture(params=EARLY)
def commit(request: pytest.FixtureRequest) -> str:
    """An early commit of Heldout, whose revisions were edited after it."""
    return str(request.param)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def early(request: pytest.FixtureRequest, commit: str, tmp_path: Path) -> Iterator[Database]:
    """A database that the commit made and filled."""
    statements = gzip.decompress(
        (DATA / f"older/schema-{commit}.{request.param}.sql.gz").read_bytes()
    ).decode()
    if request.param == "sqlite":
        connection = sqlite3.connect(tmp_path / "heldout.db")
        connection.executescript(statements)
        connection.close()
        database = Database(f"sqlite:///{tmp_path / 'heldout.db'}")
        yield database
        database.dispose()
        return
    server, name = request.getfixturevalue("postgres"), f"early_{commit}"
    run_as_admin(server, f"CREATE DATABASE {name}")
    database = Database(server.format(name=name))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statements)
    database.dispose()  # the dump changed the search path of its connection
    yield database
    database.dispose()
    run_as_admin(server, f"DROP DATABASE {name} WITH (FORCE)")


def differences(database: Database) -> list[object]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": not database.is_sqlite})
        return list(compare_metadata(context, Base.metadata))


def test_database_of_an_early_commit_is_mended_by_the_upgrade(early: Database) -> None:
    migrations.upgrade(early)
    migrations.check(early)
    assert differences(early) == []
    with early.begin() as session:
        assert session.scalars(select(Competition.grace_seconds)).all() == [120]
        assert session.scalars(select(Score.shown).order_by(Score.submission_id)).all() == [0.3, 0.2]
        assert session.scalars(select(Submission.is_ranked)).all() == [True] * 4
        assert session.scalars(select(Submission.is_by_agent)).all() == [False] * 4
        assert session.scalars(select(Submission.is_late)).all() == [False] * 4
        assert session.scalars(select(Competition.allows_late)).all() == [False]
        assert session.scalars(select(Competition.visibility)).all() == ["public"]
        assert session.scalars(select(Competition.is_archived)).all() == [False]
        states = select(Evaluation.state).order_by(Evaluation.submission_id)
        assert session.scalars(states).all() == ["scored", "scored", "rejected", "queued"]
        heartbeats.beat(session, "host/1", "worker", now=NOON, detail={"isolation": "strong"})
    world = World(early)
    assert world.state(world.score(0.1, by="bob")) is State.SCORED
    with early.begin() as session:
        assert session.scalars(select(Heartbeat.detail)).all() == [{"isolation": "strong"}]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("ALTER TABLE heartbeat DROP COLUMN detail", "column heartbeat.detail"),
        ("ALTER TABLE competition DROP COLUMN grace_seconds", "column competition.grace_seconds"),
        ("ALTER TABLE token DROP COLUMN hint", "column token.hint"),
        ("DROP INDEX ix_round_one_active", "index ix_round_one_active of round (competition_id)"),
        ("DROP INDEX ix_standing_last", "index ix_standing_last of standing (competition_id, last_at)"),
        ("DROP TABLE extension", "table extension"),
    ],
)
def test_database_that_lacks_something_is_refused_with_the_way_out(
    database: Database, damage: str, words: str
) -> None:
    with database.engine.begin() as connection:
        connection.execute(text(damage))
    for start in (migrations.upgrade, migrations.check):
        with pytest.raises(Misconfigured) as refused:
            start(database)
        sentence, _, statements = refused.value.message.partition("\n")
        assert words in sentence
        assert "Restore a backup" in sentence
    if "token.hint" in words:
        assert statements == "", "no value would be right in the rows that are there"
        return
    with database.engine.begin() as connection:
        for statement in statements.split("\n"):
            connection.execute(text(statement.removesuffix(";")))
    migrations.check(database)
    assert differences(database) == [] or "grace_seconds" in words


def test_upgrade_that_ends_incomplete_changes_nothing(early: Database) -> None:
    before = migrations.current(early)
    with early.engine.begin() as connection:
        connection.execute(text("ALTER TABLE user_account DROP COLUMN is_organiser"))
    with pytest.raises(Misconfigured, match=r"user_account.is_organiser.*Nothing was changed now"):
        migrations.upgrade(early)
    assert migrations.current(early) == before


def test_newer_schema_may_have_other_indexes_but_needs_every_column(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            text(f"UPDATE alembic_version SET version_num = '9999_since_{migrations.head()[:4]}'")
        )
        connection.execute(text("DROP INDEX ix_standing_last"))
    migrations.check(database)
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE heartbeat DROP COLUMN detail"))
    with pytest.raises(Misconfigured, match=r"9999_since.* column heartbeat.detail"):
        migrations.check(database)


@pytest.mark.parametrize(
    "command", [("db", "upgrade"), ("serve",), ("competition", "list")], ids=lambda words: " ".join(words)
)
def test_every_command_refuses_a_database_that_lacks_a_column(
    sqlite_template: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shutil.copy(sqlite_template, data_dir / "heldout.db")
    connection = sqlite3.connect(data_dir / "heldout.db")
    connection.execute("ALTER TABLE heartbeat DROP COLUMN detail")
    connection.close()
    ended = heldout(data_dir, *command, HELDOUT_PORT="0")
    assert ended.returncode == 2, ended
    assert "lacks what this program needs: column heartbeat.detail" in ended.stderr
    assert "ALTER TABLE heartbeat ADD COLUMN detail JSON;" in ended.stderr
