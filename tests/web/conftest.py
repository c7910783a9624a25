"""An installation for each test, and an eye on what it asks of the database."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.web.site import House, build, reopen


@pytest.fixture(scope="session")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; every test gets a copy."""
    folder = tmp_path_factory.mktemp("foundation")
    house = build(folder)
    house.database.dispose()
    with sqlite3.connect(folder / "heldout.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder


@pytest.fixture
def house(foundation: Path, tmp_path: Path) -> Iterator[House]:
    """Ada and Bob play, Grace organises; Ada has joined."""
    shutil.copytree(foundation, tmp_path, dirs_exist_ok=True)
    opened = reopen(tmp_path)
    yield opened
    opened.database.dispose()


@pytest.fixture
def statements(house: House) -> Callable[[], list[str]]:
    """The SQL statements since the last call, transactions' own beginnings left out."""
    seen: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    for engine in (house.database.engine, house.database._reader):
        event.listen(engine, "before_cursor_execute", note)

    def taken() -> list[str]:
        now, seen[:] = list(seen), []
        return now

    return taken
