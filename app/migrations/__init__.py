"""The database's schema through time: Alembic as package data, without an ini file."""

from __future__ import annotations

from functools import lru_cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.db import Database
from app.errors import Misconfigured

UPGRADE_LOCK = 0x48454C44  # any fixed number: keeps two hosts from upgrading one PostgreSQL at once


def upgrade(database: Database) -> None:
    """Bring the schema to this program's version; nothing happens if it is there already."""
    database.ping()
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def check(database: Database) -> None:
    """Refuse to start on a schema that this program does not know."""
    database.ping()
    needed = head()
    with database.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != needed:
        has = f"is at version {found}" if found else "is empty"
        raise Misconfigured(f"The database {has}, this program needs {needed}: run `heldout db upgrade`.")


def is_usable(session: Session) -> bool:
    """The schema is this program's, or of a later one, which keeps what this one needs while both run."""
    found = session.scalar(text("SELECT version_num FROM alembic_version"))
    return found is not None and (found == head() or found not in _known())


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(s.revision for s in ScriptDirectory.from_config(_config()).walk_revisions())


@lru_cache(maxsize=1)
def head() -> str:
    """The schema's version that this program knows."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None, "there is a first version"
    return found


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "app:migrations")
    config.set_main_option("path_separator", "os")
    return config
