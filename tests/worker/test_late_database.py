"""Processes that start before the database wait for it."""

from __future__ import annotations

import http.client
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app import migrations
from app.base import db, heartbeats
from app.base.db import Database
from tests import postgres
from tests.servers import Forked, environment, eventually

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("late database")]

PARTS = {"worker": "worker", "sweeper": "worker.sweeper", "web": "app.web"}
BEATING = {"worker", "sweeper"}
MOST = 12  # connections that the server accepts


@dataclass
class Late:
    files: postgres.Files

    def url(self, name: str = "postgres", password: str | None = None) -> str:
        password = password or self.files.password
        return f"postgresql://heldout:{password}@/{name}?host={self.files.folder}"

    @contextmanager
    def running(self) -> Iterator[Database]:
        server = subprocess.Popen(
            self.files.command, env=postgres.ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        database = Database(self.url(), pooled=False)
        try:
            eventually(lambda: _answers(database), what="the database")
            yield database
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM would wait for its clients
            server.wait(20)


def _answers(database: Database) -> bool:
    try:
        with database.read() as session:
            return bool(session.scalar(text("SELECT true")))
    except OperationalError:
        return False


@pytest.fixture(scope="module")
def late() -> Iterator[Late]:
    """A stopped server with an upgraded and an empty database."""
    with postgres.files(secrets.token_hex(8), f"max_connections={MOST}") as files:
        late = Late(files)
        with late.running() as database:
            migrations.upgrade(database)
            with database.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                    text("CREATE DATABASE unmade")
                )
        yield late


@dataclass
class Started:
    process: Forked
    log: Path

    def is_waiting(self) -> bool:
        return "waiting for the database" in self.log.read_text()


@contextmanager
def start(part: str, folder: Path, url: str, port: int = 0) -> Iterator[Started]:
    log = folder / f"{part}.log"
    more = {"HELDOUT_DATABASE_URL": url, "HELDOUT_REDIS_URL": "none", "HELDOUT_PORT": str(port)}
    words = ("app", "serve") if part == "serve" else (PARTS[part],)
    with log.open("wb") as written, Path("/dev/null").open("rb") as nothing:
        process = Forked(*words, env=environment(folder / part, more), files=[nothing, written, written])
    try:
        yield Started(process, log)
    finally:
        with suppress(ProcessLookupError):  # it has exited
            process.terminate()
        process.wait(20)


def alive(database: Database) -> set[str]:
    with database.read() as session:
        return {beat.kind for beat in heartbeats.alive(session, now=db.now(session))}


def healthy(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection, suppress(OSError):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    return False


def test_a_process_started_before_the_database_waits_and_logs_it_once(late: Late, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ExitStack() as stack:
        started = [stack.enter_context(start(part, tmp_path, late.url(), port)) for part in PARTS]
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        serve = stack.enter_context(start("serve", tmp_path, late.url(), taken))
        for one in (*started, serve):
            eventually(one.is_waiting, what="the first try")
        time.sleep(1.5)  # and some more attempts
        for one in (*started, serve):
            [line] = one.log.read_text().splitlines()
            assert late.files.password not in line
        assert not healthy(port)
        database = stack.enter_context(late.running())
        eventually(lambda: alive(database) == BEATING, what="their heartbeats")
        eventually(lambda: healthy(port), what="pages")
        assert serve.process.wait(20) == 2  # the step after the database
        assert "is in use by another program" in serve.log.read_text()
        for one in started:
            one.process.terminate()
            assert one.process.wait(20) == 0
        assert alive(database) == set()


def test_start_up_waits_for_a_database_without_free_connections(late: Late, tmp_path: Path) -> None:
    with late.running() as database, ExitStack() as stack:
        with ExitStack() as crowd:
            for _ in range(MOST):
                crowd.enter_context(database.engine.connect())
            started = [stack.enter_context(start(part, tmp_path, late.url())) for part in PARTS]
            for one in started:
                eventually(one.is_waiting, what="the first try")
                assert "too many clients" in one.log.read_text()
        eventually(lambda: alive(database) == BEATING, what="their heartbeats")


def test_a_waiting_process_ends_at_once_on_sigterm(late: Late, tmp_path: Path) -> None:
    with ExitStack() as stack:
        started = [stack.enter_context(start(part, tmp_path, late.url())) for part in (*PARTS, "serve")]
        for one in started:
            eventually(one.is_waiting, what="the first try")
        time.sleep(4)  # into a pause of four or five seconds
        for one in started:
            one.process.terminate()
        for one in started:
            assert one.process.wait(3) == 0


def test_a_permanent_fault_of_the_database_is_refused_in_one_line(late: Late, tmp_path: Path) -> None:
    wrong = {
        "password authentication failed": late.url(password="not this one"),
        "does not exist": late.url("nowhere"),
        "is empty, this program needs": late.url("unmade"),
    }
    with late.running():
        for words, url in wrong.items():
            for part in PARTS:
                with start(part, tmp_path, url) as refused:
                    assert refused.process.wait(20) == 2
                [line] = refused.log.read_text().splitlines()
                assert words in line


def test_a_process_stopped_without_its_database_exits_normally(late: Late, tmp_path: Path) -> None:
    with ExitStack() as stack:
        with late.running() as database:
            started = [stack.enter_context(start(part, tmp_path, late.url())) for part in BEATING]
            eventually(lambda: alive(database) == BEATING, what="their heartbeats")
        for one in started:
            one.process.terminate()
            assert one.process.wait(20) == 0
            assert "stopped without the database" in one.log.read_text()
