"""Hints doubled, shuffled and lost, and a work-horse that sleeps through its lease: every file is scored
once.

HELDOUT_SLEEP_SECONDS=90 lets the work-horse sleep so long under the lease that an installation has, instead
of 2 s.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from random import Random

import pytest

from app.base.config import Settings
from app.base.models import Evaluation, Event, Quota, Score, State
from tests.conftest import on_sqlite
from tests.servers import eventually, work_horses_of
from tests.worker.conftest import Platform
from tests.worker.test_workers import _scoring_horse, done, process, redis_url

__all__ = ["redis_url"]  # a fixture

FILES = 40
SLEEP_SECONDS = float(os.environ.get("HELDOUT_SLEEP_SECONDS", "0"))
LEASE_SECONDS = Settings.lease_seconds if SLEEP_SECONDS else 2


@on_sqlite
def test_doubled_shuffled_and_lost_hints_score_each_file_once(platform: Platform, redis_url: str) -> None:
    dice = Random(7)
    sent = [platform.submit(platform.sample() + b"\n" * n, by=("ada", "bob")[n % 2]) for n in range(FILES)]
    kept = dice.sample(sent, FILES * 8 // 10)  # the others' hints are lost
    hints = [number for number in kept for _ in range(dice.randint(1, 3))]
    dice.shuffle(hints)
    with ExitStack() as stack:
        for module in ("worker", "worker", "worker.sweeper"):
            # Longer than a busy machine may stop a worker, which would be a second attempt.
            stack.enter_context(process(platform, module, HELDOUT_LEASE_SECONDS="60"))
        for number in hints:
            assert platform.installation.hints.send(number)
        eventually(lambda: done(platform, *sent), 90, what="every score")
        eventually(lambda: platform.installation.hints.depth() == 0, 60, what="the end of all hints")
        for number in dice.sample(hints, 10):  # and once more, for what is long done
            platform.installation.hints.send(number)
        eventually(lambda: platform.installation.hints.depth() == 0, 60, what="the end of the late hints")
        time.sleep(0.3)
    with platform.database.read() as session:
        assert {(e.state, e.attempt) for e in session.query(Evaluation)} == {(State.SCORED, 1)}
        assert sorted(s.submission_id for s in session.query(Score)) == sorted(sent)
        scored = Counter(e.subject for e in session.query(Event) if e.action == "submission scored")
        assert scored == {f"submission {number}": 1 for number in sent}
        assert sum(quota.used for quota in session.query(Quota)) == FILES


@pytest.mark.timeout(120 + 3 * SLEEP_SECONDS)
def test_a_work_horse_that_slept_through_its_lease_writes_nothing(
    platform: Platform, redis_url: str, tmp_path: Path
) -> None:
    logs = {name: tmp_path / f"{name}.log" for name in ("first", "second")}
    lease = str(LEASE_SECONDS)
    held = tmp_path / "held"
    held.touch()
    submission = platform.submit(platform.sample())
    with ExitStack() as stack:
        first = stack.enter_context(
            process(
                platform, "tests.worker.held", log=logs["first"], HELD=str(held), HELDOUT_LEASE_SECONDS=lease
            )
        )
        platform.installation.hints.send(submission)
        horse = eventually(
            lambda: _scoring_horse(platform, submission, first.pid), what="a work-horse at work"
        )
        assert horse is not None
        stop(horse, platform)
        began = time.monotonic()
        stack.callback(wake, horse)
        held.unlink()
        slept = platform.status(submission)
        assert (slept.state, slept.attempt) == (State.RUNNING, 1)
        stack.enter_context(process(platform, "worker", log=logs["second"], HELDOUT_LEASE_SECONDS=lease))
        stack.enter_context(process(platform, "worker.sweeper", HELDOUT_LEASE_SECONDS=lease))
        eventually(lambda: done(platform, submission), 60 + LEASE_SECONDS, what="the second worker's score")
        by_second = platform.status(submission)
        took_over = time.monotonic() - began
        time.sleep(max(0.0, SLEEP_SECONDS - took_over))
        wake(horse)
        eventually(lambda: horse not in work_horses_of(first.pid), what="the end of the first work-horse")
    said = {name: log.read_text() for name, log in logs.items()}
    fenced = {name: words.count("another run has taken over") for name, words in said.items()}
    print(
        f"slept {max(took_over, SLEEP_SECONDS):.1f} s, scored by another after {took_over:.1f} s, "
        f"lost leases {fenced}"
    )
    assert fenced == {"first": 1, "second": 0}, said
    status = platform.status(submission)
    assert status == by_second, "what the late one measured has changed nothing"
    assert (status.state, status.attempt) == (State.SCORED, 2)
    with platform.database.read() as session:
        assert session.query(Score).count() == 1
        assert session.query(Event).filter(Event.action == "submission scored").count() == 1
        assert sum(quota.used for quota in session.query(Quota)) == 1


def stop(horse: int, platform: Platform) -> None:
    """SIGSTOP, but on SQLite not while it writes: asleep inside the one lock it would keep everybody
    waiting.
    """
    while True:
        os.kill(horse, signal.SIGSTOP)
        if not platform.database.is_sqlite:
            return
        with closing(
            sqlite3.connect(str(platform.database.url.database), timeout=0.2, isolation_level=None)
        ) as own:
            try:
                own.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                wake(horse)
                time.sleep(0.05)
            else:
                own.execute("ROLLBACK")
                return


def wake(horse: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(horse, signal.SIGCONT)
