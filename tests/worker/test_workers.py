"""Real workers on a real Valkey: hints, forgeries, and death at every place.

A queue and its workers are the same whatever the database; the kills run on both.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis

from app.base import config, db, heartbeats, queue
from app.base.models import Evaluation, Score, State
from app.base.queue import Hints
from tests.conftest import on_sqlite
from tests.servers import (
    ROOT,
    Forked,
    drop_hints,
    environment,
    eventually,
    parent_of,
    pids_of,
    valkey,
    work_horses_of,
)
from tests.worker.conftest import Platform
from worker.sweeper import ENOUGH_HINTS, sweep


@pytest.fixture
def redis_url(platform: Platform) -> Iterator[str]:
    with valkey(platform.installation.settings.data_dir) as url:
        yield url


@contextmanager
def process(
    platform: Platform, module: str, *, log: Path | None = None, starts_afresh: bool = False, **more: str
) -> Iterator[Forked | subprocess.Popen[bytes]]:
    """One of our programs, stopped at the end; what it says goes to the log, if one is given.

    One that starts afresh has a sandbox of its own, which may be killed.
    """
    settings = platform.installation.settings
    env = environment(
        settings.data_dir,
        {
            "HELDOUT_DATABASE_URL": settings.database,
            "HELDOUT_LEASE_SECONDS": str(settings.lease_seconds),
            "HELDOUT_HINT_SECONDS": "1",
            "HELDOUT_SWEEP_SECONDS": "0.2",
            **more,
        },
    )
    with Path(os.devnull).open("rb") as nothing, (log or Path(os.devnull)).open("ab") as said:
        files = (nothing, said, said) if log else ()
        running: Forked | subprocess.Popen[bytes]
        if starts_afresh:
            command = [sys.executable, "-m", module]
            running = subprocess.Popen(command, env=env, cwd=ROOT, stdin=nothing, stdout=said, stderr=said)
        else:
            running = Forked(module, env=env, files=files)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def done(platform: Platform, *ids: int) -> bool:
    return all(platform.status(i).state.is_final for i in ids)


@on_sqlite
def test_a_hint_makes_a_worker_score_at_once_without_a_sweeper(platform: Platform, redis_url: str) -> None:
    with process(platform, "worker"):
        submission = platform.submit(platform.sample())
        assert platform.installation.hints.send(submission)
        eventually(lambda: done(platform, submission), what="the score")
    assert platform.status(submission).state is State.SCORED


@on_sqlite
def test_a_lost_hint_is_found_by_the_sweeper(platform: Platform, redis_url: str) -> None:
    submission = platform.submit(platform.sample())
    with process(platform, "worker"), process(platform, "worker.sweeper"):
        eventually(lambda: done(platform, submission), what="the score")


@on_sqlite
def test_a_flushed_redis_loses_nothing(platform: Platform, redis_url: str) -> None:
    submissions = [platform.submit(platform.sample() + b"\n" * n) for n in range(5)]
    for submission in submissions:
        platform.installation.hints.send(submission)
    with Redis.from_url(redis_url) as redis:
        drop_hints(redis)
    with process(platform, "worker"), process(platform, "worker.sweeper"):
        eventually(lambda: done(platform, *submissions), what="the scores")


@on_sqlite
def test_a_worker_is_alive_for_the_organiser_and_gone_when_it_stopped(
    platform: Platform, redis_url: str
) -> None:
    def alive() -> list[str]:
        with platform.database.read() as session:
            return [h.kind for h in heartbeats.alive(session, now=db.now(session))]

    def isolation() -> list[str]:
        with platform.database.read() as session:
            return [
                (h.detail or {}).get("isolation", "") for h in heartbeats.alive(session, now=db.now(session))
            ]

    with process(platform, "worker"):
        eventually(lambda: alive() == ["worker"], what="the heartbeat")
        eventually(lambda: isolation() in (["basic"], ["standard"], ["strong"]), what="the sandbox's level")
    assert alive() == []


@on_sqlite
def test_a_worker_that_waits_for_hints_is_one_thread_and_exits_when_stopped(
    platform: Platform, redis_url: str
) -> None:
    """A fork of a process with threads may inherit a lock that is never released."""
    with process(platform, "worker") as worker, Redis.from_url(redis_url) as redis:
        eventually(
            lambda: redis.info("clients")["blocked_clients"] == 1, what="a worker that waits for hints"
        )
        assert len(list(Path(f"/proc/{worker.pid}/task").iterdir())) == 1
        worker.terminate()
        assert worker.wait(15) == 0


@on_sqlite
def test_a_worker_whose_sandbox_is_killed_while_it_starts_starts_it_again(
    platform: Platform, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    submission = platform.submit(platform.sample())
    with process(platform, "worker", log=log, starts_afresh=True, HELDOUT_REDIS_URL="none") as worker:
        for _ in range(2):
            sandboxes = eventually(
                lambda: [pid for pid in pids_of("_zygote.py") if parent_of(pid) == worker.pid],
                what="its sandbox",
            )
            _kill(sandboxes[0])
            eventually(lambda: sandboxes[0] not in pids_of("_zygote.py"), what="its death")  # noqa: B023
        eventually(lambda: done(platform, submission), 60, what="the score")
    assert "the sandbox did not start; attempt 2 of 3 follows" in log.read_text()


@pytest.mark.parametrize(
    "victim",
    [
        "work-horse",
        pytest.param("worker", marks=pytest.mark.storm),
        pytest.param("both", marks=pytest.mark.storm),
    ],
)
def test_kill_9_while_scoring_and_the_file_is_scored_once_by_another_attempt(
    platform: Platform, redis_url: str, tmp_path: Path, victim: str
) -> None:
    submission = platform.submit(platform.sample())
    held = tmp_path / "held"
    held.touch()
    with ExitStack() as stack:
        stack.enter_context(process(platform, "worker.sweeper"))
        first = stack.enter_context(process(platform, "tests.worker.held", HELD=str(held)))
        platform.installation.hints.send(submission)
        horse = eventually(
            lambda: _scoring_horse(platform, submission, first.pid), what="a work-horse at work"
        )
        if victim != "work-horse":
            os.kill(first.pid, signal.SIGKILL)
        if victim != "worker":
            _kill(horse)
        held.unlink()  # not before: on a busy machine the score would be there before the signal
        if victim != "work-horse":
            first.wait()
            # What `heldout serve` does when a worker dies: it starts another.
            stack.enter_context(process(platform, "worker"))
        eventually(lambda: done(platform, submission), 60, what="the score")
    status = platform.status(submission)
    assert (status.state, status.attempt) == (State.SCORED, 2)
    with platform.database.read() as session:
        assert session.query(Score).count() == 1
        assert session.query(Evaluation).one().lease_token is None


def _scoring_horse(platform: Platform, submission_id: int, worker_pid: int) -> int | None:
    if platform.status(submission_id).state is not State.RUNNING:
        return None
    horses = work_horses_of(worker_pid)
    return horses[0] if horses else None


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it may have died with its worker
        os.kill(pid, signal.SIGKILL)


# -- forgeries ---------------------------------------------------------------------------------


@on_sqlite
@pytest.mark.parametrize("kind", ["json", "pickle", "another key"])
def test_a_forged_job_in_redis_is_not_run(
    platform: Platform, redis_url: str, tmp_path: Path, kind: str
) -> None:
    proof = tmp_path / "owned"
    settings = platform.installation.settings
    with Redis.from_url(redis_url) as redis, process(platform, "worker"):
        forged = Hints(redis, "not the key", job_seconds=10)._queue
        job = forged.enqueue("os.system", f"touch {proof}", result_ttl=0)
        if kind == "json":
            redis.hset(job.key, "data", json.dumps(["os.system", None, [f"touch {proof}"], {}]).encode())
        elif kind == "pickle":
            redis.hset(
                job.key, "data", b"\x80\x04cposix\nsystem\n(S'touch " + str(proof).encode() + b"'\ntR."
            )
        # Work that came the right way is still done by the same worker.
        submission = platform.submit(platform.sample())
        Hints(redis, config.secret_key(settings), job_seconds=10).send(submission)
        eventually(lambda: done(platform, submission), what="the score")
        time.sleep(0.3)
    assert not proof.exists()


@on_sqlite
def test_only_the_signed_part_of_a_hint_is_used(platform: Platform, redis_url: str, tmp_path: Path) -> None:
    proof = tmp_path / "owned"
    (tmp_path / "evil.py").write_text(f"def f(*_):\n    open({str(proof)!r}, 'w')\n")
    submission = platform.submit(platform.sample())
    platform.installation.hints.send(submission)
    with Redis.from_url(redis_url) as redis:
        (key,) = redis.scan_iter("rq:job:*")
        redis.hset(key, "success_callback_name", "evil.f")
    with process(platform, "worker", PYTHONPATH=f"{ROOT}:{tmp_path}"):
        eventually(lambda: done(platform, submission), what="the score")
        time.sleep(0.3)
    assert not proof.exists()


@on_sqlite
def test_the_sweeper_sends_no_flood_of_hints(platform: Platform, redis_url: str) -> None:
    hints = platform.installation.hints
    ids = [platform.submit(platform.sample() + b"\n" * n) for n in range(3)]
    for _ in range(ENOUGH_HINTS + 1):
        hints.send(ids[0])
    assert sweep(platform.database, hints, hint_after=timedelta(0)) == 0
    with Redis.from_url(redis_url) as redis:
        drop_hints(redis)
    assert sweep(platform.database, hints, hint_after=timedelta(0)) == 3


def test_a_silent_redis_delays_one_of_many_uploads_and_no_page() -> None:
    """Those under way as it falls silent, and those that come as it is asked again."""

    def waited(ask: Callable[[], object]) -> float:
        began = time.monotonic()
        assert not ask()
        return time.monotonic() - began

    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(8) as crowd:
        connection = queue.connect(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        connection.connection_pool.connection_kwargs["socket_timeout"] = 2.0
        hints = Hints(connection, "k", job_seconds=10)
        asks = [lambda: hints.send(1), lambda: hints.send_inspection(1), hints.depth, lambda: hints.send(2)]
        for _ in range(2):
            times = sorted(crowd.map(waited, 2 * asks))
            assert times[-1] > 1.9, "one asks"
            assert times[-2] < 1.5
            # So long later; the request that was left alone keeps the lock until its socket gives it up.
            eventually(lambda: not hints._lock.locked(), what="the end of the first request")
            hints._silent_until = time.monotonic()


def test_a_hint_never_raises_when_redis_is_away(tmp_path: Path) -> None:
    hints = Hints(queue.connect(f"unix://{tmp_path}/nobody.sock"), "k", job_seconds=10)
    assert hints.send(1) is False
    assert hints.depth() is None
