"""The database's schema: Alembic as package data, without an ini file."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.orm import Session

from app.base import db
from app.base.db import Database
from app.base.errors import Misconfigured
from app.migrations.completeness import refuse_if_incomplete

if TYPE_CHECKING:
    from alembic.config import Config  # a worker starts without Alembic: it only compares versions

# Released revisions are never edited and import the column types from their module of that time.
sys.modules.setdefault("app.db", db)

_NAME = re.compile(r'^(revision|down_revision) = (?:"(.+)"|None)$', re.MULTILINE)
UPGRADE_LOCK = 0x48454C44  # any fixed number: one host at a time upgrades a PostgreSQL


def upgrade(database: Database, to: str = "head") -> None:
    """Upgrade the schema to this program's version.

    A later version that this program can use stays as it is.
    """
    database.ping()
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        found = _version(connection)
        if found is None or found in known():
            from alembic import command

            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, to)
            found = _version(connection)
        if to == "head":
            _refuse_unless_fits(connection, found)


def check(database: Database) -> None:
    """Refuse a schema that this program cannot use."""
    database.ping()
    with database.engine.connect() as connection:
        _refuse_unless_fits(connection, _version(connection))


def current(database: Database) -> str | None:
    """Return the schema's version; None for an empty database."""
    database.ping()
    with database.engine.connect() as connection:
        return _version(connection)


def is_usable(session: Session) -> bool:
    """Whether the schema is this program's, or a later one that it can use."""
    found = session.scalar(text("SELECT version_num FROM alembic_version"))
    return found is not None and _fits(found)


def _fits(found: str) -> bool:
    """Whether this program can use the schema version.

    A newer version states this in its name, because a program cannot know newer versions: `0007_since_0005`
    works with programs of 0005 and later, since all revisions after 0005 only widen the schema.
    """
    _, _, since = found.partition("_since_")
    return found == head() or (found not in known() and since[:4] in {name[:4] for name in known()})


def _refuse_unless_fits(connection: Connection, found: str | None) -> None:
    if found is not None and _fits(found):
        refuse_if_incomplete(connection, found, has_our_indexes=found in known())
        return
    if found is not None and found not in known():
        raise Misconfigured(
            f"The database is at version {found}, which this program, at {head()}, cannot use: "
            "start the newer program."
        )
    has = f"is at version {found}" if found else "is empty"
    raise Misconfigured(f"The database {has}, this program needs {head()}: run `heldout db upgrade`.")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


@lru_cache(maxsize=1)
def known() -> frozenset[str]:
    """Return all versions that this program can upgrade to."""
    return frozenset(_before())


@lru_cache(maxsize=1)
def head() -> str:
    """Return the newest version that this program knows."""
    (found,) = known() - set(_before().values())
    return found


@lru_cache(maxsize=1)
def _before() -> dict[str, str | None]:
    """Return each revision's predecessor, from the text of the files."""
    found = {}
    for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"):
        names = dict(_NAME.findall(path.read_text()))
        found[names["revision"]] = names["down_revision"] or None
    return found


def alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "app:migrations")
    config.set_main_option("path_separator", "os")
    return config
