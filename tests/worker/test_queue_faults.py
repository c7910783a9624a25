"""A queue that is dead, hung, slow, full, or no Redis at all: files are scored, uploads do not wait."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from redis import Redis

from app.base import queue
from app.base.queue import Hints, Listener
from tests.conftest import on_sqlite
from tests.servers import eventually, valkey
from tests.worker.conftest import Platform
from tests.worker.test_workers import done, process, redis_url
from worker.jobs import Runner
from worker.poller import LOOK_SECONDS, Poller
from worker.stopping import Stop

__all__ = ["redis_url"]  # a fixture

TEN_SECONDS = 10.0
"""How late a worker may look into the database, whatever the queue does."""


def trickle(connection: socket.socket) -> None:
    """Send a long text byte by byte, so that no wait for a byte ends in a timeout."""
    connection.sendall(b"$1000000\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.2)


def answer(words: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(words)


SERVERS: dict[str, Callable[[socket.socket], None]] = {
    "is silent": lambda connection: None,
    "is a web server": answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "answers OK to everything": answer(b"+OK\r\n" * 50),
    "answers numbers": answer(b":7\r\n" * 50),
    "answers bytes that are no text": answer(b"+OK\r\n+OK\r\n*2\r\n$1\r\n\xff\r\n$1\r\n\xfe\r\n" * 20),
    "announces more than it sends": answer(b"$1000000\r\nabc"),
    "announces a length that is no number": answer(b"$many\r\n"),
    "nests lists without end": answer(b"*1\r\n" * 100_000),
    "is full": answer(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n" * 50),
    "is loading": answer(b"-LOADING Redis is loading the dataset in memory\r\n" * 50),
    "wants a password": answer(b"-NOAUTH Authentication required.\r\n" * 50),
    "hangs up": lambda connection: connection.close(),
    "trickles": trickle,
}


@contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen as a queue that behaves so after each request; yield its URL."""

    def talk(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            while connection.recv(65536):
                behave(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@on_sqlite
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.storm) for name in SERVERS])
def test_files_are_scored_beside_any_queue(platform: Platform, name: str, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with server(SERVERS[name]) as url, process(platform, "worker", log=log, HELDOUT_REDIS_URL=url) as worker:
        eventually(lambda: "the queue is away" in log.read_text(), 60, what="the worker's warning")
        for number in range(2):
            submission = platform.submit(platform.sample() + b"\n" * number)
            eventually(lambda: done(platform, submission), 2 * TEN_SECONDS, what="the score")  # noqa: B023
        worker.terminate()
        assert worker.wait(TEN_SECONDS) == 0
    assert len(log.read_text().splitlines()) < 40, "a log that does not fill the disk"


@pytest.mark.parametrize("name", SERVERS)
def test_hints_are_sent_or_not_without_a_long_wait_or_an_exception(name: str) -> None:
    with server(SERVERS[name]) as url:
        hints = Hints(queue.connect(url), "k", job_seconds=10)
        began = time.monotonic()
        for number in range(10):
            hints.send(number)
            hints.depth()
        took = time.monotonic() - began
        assert took < 10 * queue.ANSWER_SECONDS, "each of the twenty waited"


def test_hints_to_a_queue_that_is_not_there_are_not_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    for url in (f"unix://{tmp_path}/none.sock", "redis://127.0.0.1:1"):
        assert Hints(queue.connect(url), "k", job_seconds=10).send(1) is False
    assert time.monotonic() - began < 2 * queue.ANSWER_SECONDS


NIL, HINT = b"*-1\r\n", b"*2\r\n$1\r\nq\r\n$1\r\n7\r\n"


@on_sqlite
@pytest.mark.parametrize("popped", [NIL, HINT], ids=["nothing", "a hint"])
def test_a_queue_that_answers_at_once_makes_no_worker_spin(platform: Platform, popped: bytes) -> None:
    asked: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            while said := connection.recv(65536):
                for each in said.split(b"\r\n*"):
                    asked.extend([each] if b"BLPOP" in each else [])
                    hello = b"%1\r\n+proto\r\n:3\r\n" if b"HELLO" in each else b"+OK\r\n"
                    connection.sendall(popped if b"BLPOP" in each else hello)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=lambda: talk(listening.accept()[0]), daemon=True).start()
        listener = Listener(f"redis://127.0.0.1:{listening.getsockname()[1]}")
        runner, stop = Runner(platform.installation.settings, platform.database), Stop()
        poller = Poller(runner, lambda: None, stop, job_seconds=10, listener=listener)
        poller.turn()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            poller.turn()
        listener.close()
    assert 1 <= len(asked) <= 3 / LOOK_SECONDS, len(asked)


def test_a_hint_for_which_no_thread_starts_is_not_sent_and_the_next_one_is(tmp_path: Path) -> None:
    with valkey(tmp_path) as url:
        hints = Hints(queue.connect(url), "k", job_seconds=10)
        before = threading.stack_size(1 << 46)  # more than a process may map
        try:
            with pytest.raises(RuntimeError):
                threading.Thread(target=str).start()
            for number in range(3):
                sent = hints.send(number), hints.send_inspection(number)
                assert (*sent, hints.depth()) == (False, False, None)
        finally:
            threading.stack_size(before)
        assert (hints.send(1), hints.depth()) == (True, 1)


ADMIN = ("--user", "admin", "on", "nopass", "~*", "&*", "+@all")
"""An account that may do what the embedded Valkey refuses to its clients."""


@contextmanager
def dead(_redis: Redis, pid: int, _stack: ExitStack, restart: Callable[[], object]) -> Iterator[None]:
    os.kill(pid, signal.SIGKILL)
    yield
    restart()


@contextmanager
def hung(_redis: Redis, pid: int, _stack: ExitStack, _restart: object) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def full(redis: Redis, _pid: int, _stack: ExitStack, _restart: object) -> Iterator[None]:
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", "1")
    yield
    redis.config_set("maxmemory", "0")


@on_sqlite
@pytest.mark.storm
@pytest.mark.parametrize("fault", [dead, hung, full])
def test_workers_go_to_the_database_while_the_queue_fails_and_come_back(
    platform: Platform, tmp_path: Path, fault: Callable[..., object]
) -> None:
    """A stopped Valkey used to end all scoring for 210 s."""
    data_dir = platform.installation.settings.data_dir
    log = tmp_path / "worker.log"
    with ExitStack() as stack:
        url = stack.enter_context(valkey(data_dir, *ADMIN))
        redis = stack.enter_context(Redis.from_url(url, username="admin", password="any"))
        pid = int(redis.info("server")["process_id"])
        for _ in range(2):
            stack.enter_context(process(platform, "worker", log=log))
        stack.enter_context(process(platform, "worker.sweeper", log=log))
        listening = lambda: redis.info("clients")["blocked_clients"] == 2  # noqa: E731
        eventually(listening, 60, what="two workers that wait for hints")
        with fault(redis, pid, stack, lambda: stack.enter_context(valkey(data_dir, *ADMIN))):  # type: ignore[attr-defined]
            began = time.monotonic()
            for number in range(3):
                submission = platform.submit(platform.sample() + b"\n" * number)
                platform.installation.hints.send(submission)
                eventually(lambda: done(platform, submission), 2 * TEN_SECONDS, what="the score")  # noqa: B023
            took = time.monotonic() - began
        eventually(listening, 30, what="two workers that wait for hints again")
        submission = platform.submit(platform.sample() + b"\n" * 9)
        eventually(lambda: platform.installation.hints.send(submission), 20, what="a hint that is sent")
        eventually(lambda: done(platform, submission), what="the score")
        eventually(lambda: platform.installation.hints.depth() == 0, what="every hint taken")
    print(f"three files, one after another, within {took:.1f} s")
    if fault is not full:
        assert re.search("the queue is away.*the queue is back", log.read_text(), re.S)
