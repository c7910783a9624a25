"""The database's schema through time: Alembic as package data, without an ini file."""

from __future__ import annotations

import sys
from functools import lru_cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.base import db
from app.base.db import Database
from app.base.errors import Misconfigured

# Landed revisions are never edited; they import the column types by the place they had when they were written.
sys.modules.setdefault("app.db", db)

UPGRADE_LOCK = 0x48454C44  # any fixed number: keeps two hosts from upgrading one PostgreSQL at once


def upgrade(database: Database, to: str = "head") -> None:
    """Bring the schema to this program's version; nothing happens if it is there already, or at a later one that fits."""
    database.ping()
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        found = MigrationContext.configure(connection).get_current_revision()
        if found is not None and found not in known():
            _refuse_unless_fits(found)
            return
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def check(database: Database) -> None:
    """Refuse to start on a schema that this program does not know, unless it says that this program may."""
    _refuse_unless_fits(current(database))


def current(database: Database) -> str | None:
    """The schema's version as it is; None for an empty database."""
    database.ping()
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_usable(session: Session) -> bool:
    """The schema is this program's, or a later one which keeps what this one needs while both run."""
    found = session.scalar(text("SELECT version_num FROM alembic_version"))
    return found is not None and _fits(found)


def _fits(found: str) -> bool:
    """A schema newer than a program cannot be known to it, so its name tells: `0007_since_0005` takes
    programs of 0005 and later, because all that came after 0005 only widened what was there."""
    _, _, since = found.partition("_since_")
    return found == head() or (found not in known() and since[:4] in {name[:4] for name in known()})


def _refuse_unless_fits(found: str | None) -> None:
    if found is not None and _fits(found):
        return
    if found is not None and found not in known():
        raise Misconfigured(
            f"The database is at version {found}, which does not go together with this program's {head()}: "
            "start the newer program."
        )
    has = f"is at version {found}" if found else "is empty"
    raise Misconfigured(f"The database {has}, this program needs {head()}: run `heldout db upgrade`.")


@lru_cache(maxsize=1)
def known() -> frozenset[str]:
    """Every version that this program can bring a schema to."""
    return frozenset(s.revision for s in ScriptDirectory.from_config(alembic_config()).walk_revisions())


@lru_cache(maxsize=1)
def head() -> str:
    """The schema's version that this program knows."""
    found = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert found is not None, "there is a first version"
    return found


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app:migrations")
    config.set_main_option("path_separator", "os")
    return config
