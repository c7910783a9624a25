"""`heldout verify`, and workers without Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from sqlalchemy import text

from app.base import config
from app.base.errors import Conflict
from app.base.models import Evaluation, State, Submission
from app.competing.receipts import Facts, Signer
from app.operating import verification
from tests.conftest import on_sqlite
from tests.servers import ROOT, environment, eventually, heldout, valkey, work_horses_of
from tests.worker.conftest import Platform
from worker.jobs import Runner


def start(platform: Platform, redis: str) -> subprocess.Popen[bytes]:
    settings = platform.installation.settings
    env = environment(
        settings.data_dir,
        {"HELDOUT_DATABASE_URL": settings.database, "HELDOUT_REDIS_URL": redis, "HELDOUT_LEASE_SECONDS": "5"},
    )
    return subprocess.Popen([sys.executable, "-m", "worker"], env=env, cwd=ROOT)


def stop(worker: subprocess.Popen[bytes]) -> int:
    worker.terminate()
    return worker.wait(20)


def test_a_score_and_a_rejection_are_recomputed_bit_for_bit(platform: Platform) -> None:
    good, bad = platform.submit(platform.sample()), platform.submit(b"id,nonsense\n1,2\n")
    pid = os.fork()
    if pid == 0:
        os._exit(Runner(platform.installation.settings, platform.database).run() != 2)
    assert os.waitpid(pid, 0)[1] == 0
    proven = verification.verify(platform.installation, good)
    assert proven.is_equal
    assert (
        proven.stored["public"] == platform.status(good).public_exact or proven.stored["public"] is not None
    )
    assert proven.provenance["worker"].count("/") == 1
    assert verification.verify(platform.installation, bad).is_equal
    waiting = platform.submit(platform.sample() + b"\n")
    with pytest.raises(Conflict, match="queued: there is no outcome"):
        verification.verify(platform.installation, waiting)
    with platform.database.engine.begin() as connection:
        on = "" if platform.database.is_sqlite else " ON score"
        connection.execute(text(f"DROP TRIGGER score_update{on}"))
        connection.execute(text("UPDATE score SET private = private + 0.000000001"))
    assert [d.split(":")[0] for d in verification.verify(platform.installation, good).differences] == [
        "private"
    ]


@on_sqlite
def test_without_redis_a_worker_polls_the_database(platform: Platform) -> None:
    ids = [platform.submit(platform.sample() + b"\n" * n) for n in range(3)]
    worker = start(platform, "none")
    try:
        eventually(lambda: all(platform.status(i).state is State.SCORED for i in ids), what="the scores")
    finally:
        assert stop(worker) == 0


@on_sqlite
def test_without_redis_the_file_of_a_killed_work_horse_is_scored_again(platform: Platform) -> None:
    worker = start(platform, "none")
    try:
        eventually(lambda: platform.database.url and _alive(platform), what="the worker's first sign")
        with platform.database.engine.begin() as connection:
            connection.execute(text("UPDATE competition SET is_paused = is_paused"))
        number = platform.submit(platform.sample())

        def killed() -> bool:
            horses = work_horses_of(worker.pid)
            if horses:
                os.kill(horses[0], signal.SIGKILL)
            return bool(horses)

        eventually(killed, what="a work-horse to kill")
        eventually(lambda: platform.status(number).state is State.SCORED, what="the score")
        with platform.database.read() as session:
            assert session.query(Evaluation).one().lease_token is None
    finally:
        stop(worker)


def _alive(platform: Platform) -> bool:
    with platform.database.read() as session:
        return bool(session.execute(text("SELECT count(*) FROM heartbeat")).scalar())


@on_sqlite
def test_scoring_continues_while_redis_is_down_and_hints_work_afterwards(platform: Platform) -> None:
    settings = platform.installation.settings
    with valkey(settings.data_dir) as url:
        worker = start(platform, url)
        first = platform.submit(platform.sample())
        platform.installation.hints.send(first)
        eventually(lambda: platform.status(first).state is State.SCORED, what="the first score")
    try:
        began = time.monotonic()
        second = platform.submit(platform.sample() + b"\n")
        eventually(lambda: platform.status(second).state is State.SCORED, 60, what="a score without Redis")
        assert time.monotonic() - began < 60
        assert worker.poll() is None
        with valkey(settings.data_dir):
            third = platform.submit(platform.sample() + b"\n\n")
            # Whether it still polls or listens again: the hint or the poll finds the third.
            platform.installation.hints.send(third)
            eventually(lambda: platform.status(third).state is State.SCORED, what="the score after")
            assert stop(worker) == 0
    finally:
        worker.kill()
        worker.wait()


@on_sqlite
def test_commands_report_their_result_in_words_and_exit_code(platform: Platform) -> None:
    number = platform.submit(platform.sample())
    pid = os.fork()
    if pid == 0:
        os._exit(Runner(platform.installation.settings, platform.database).run() != 1)
    assert os.waitpid(pid, 0)[1] == 0
    settings = platform.installation.settings

    def run(*words: str) -> tuple[int, str]:
        done = heldout(settings.data_dir, *words, HELDOUT_DATABASE_URL=settings.database)
        return done.returncode, done.stdout + done.stderr

    code, words = run("verify", str(number))
    assert (code, "is the same, bit for bit" in words) == (0, True)
    code, words = run("audit", "verify")
    assert (code, "the log is whole" in words) == (0, True)
    code, words = run("doctor", "--all")
    assert code == 1, "no worker runs"
    assert "BAD  Workers and sweepers run: no worker is alive; no sweeper is alive" in words
    assert words.count("BAD") == 1
    assert "1 recomputed" in words
    code, words = run("audit", "verify", "--head", "e" * 64)
    assert (code, "was rewritten" in words) == (1, True)
    code, words = run("rescore", "coins", "--diff")
    assert (code, "There is no rescore of coins" in words) == (2, True)
    code, words = run(
        "extension", "grant", "coins", "ada", "--daily-extra", "2", "--reason", "was ill for a day"
    )
    assert (code, words) == (0, "coins: extension 1 for ada.\n")
    code, words = run("extension", "list", "coins")
    assert "was ill for a day" in words


def test_a_receipt_shows_that_its_row_was_changed_or_removed(platform: Platform) -> None:
    number = platform.submit(platform.sample())
    settings = platform.installation.settings
    with platform.database.read() as session:
        row = session.get_one(Submission, number)
        facts = Facts("coins", row.id, row.team_id, row.sha256, row.size_bytes, row.received_at)
    signer = Signer(config.secret_key(settings))
    receipt = signer.sign(facts)

    def verify(*words: str) -> tuple[int, str]:
        done = heldout(settings.data_dir, "receipt", "verify", *words, HELDOUT_DATABASE_URL=settings.database)
        return done.returncode, done.stdout + done.stderr

    code, words = verify(*receipt.split())  # pasted without quotes
    assert code == 0, words
    assert "from ada" in words
    assert "queued; it counts against the quota" in words
    assert verify(receipt.replace("team=", "team=1"))[0] == 2
    key = heldout(settings.data_dir, "receipt", "key").stdout.strip()
    assert key == signer.public_key
    assert verify(receipt, "--key", key)[0] == 0
    with platform.database.engine.begin() as connection:  # with all rights on the database
        on = "" if platform.database.is_sqlite else " ON submission"
        connection.execute(text(f"DROP TRIGGER submission_update{on}"))
        connection.execute(text("UPDATE submission SET size_bytes = 1"))
    code, words = verify(receipt)
    assert code == 1
    assert "CHANGED since" in words
    gone = signer.sign(Facts("coins", 99, row.team_id, row.sha256, row.size_bytes, row.received_at))
    code, words = verify(gone)
    assert code == 1
    assert "does NOT exist" in words
