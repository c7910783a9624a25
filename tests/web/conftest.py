"""Fixtures: an installation for each test, and its SQL statements."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.web.site import Site, build, reopen


@pytest.fixture(scope="session")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the installation once; each test gets a copy."""
    folder = tmp_path_factory.mktemp("foundation")
    site = build(folder)
    site.database.dispose()
    with sqlite3.connect(folder / "heldout.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder


@pytest.fixture
def site(foundation: Path, tmp_path: Path) -> Iterator[Site]:
    """An installation with participants Ada (joined) and Bob, and organiser Grace."""
    shutil.copytree(foundation, tmp_path, dirs_exist_ok=True)
    opened = reopen(tmp_path)
    yield opened
    opened.database.dispose()


@pytest.fixture
def statements(site: Site) -> Callable[[], list[str]]:
    """Return the SQL statements since the last call, without BEGIN."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    for engine in (site.database.engine, site.database._reader):
        event.listen(engine, "before_cursor_execute", note)

    def taken() -> list[str]:
        now, seen[:] = list(seen), []
        return now

    return taken
