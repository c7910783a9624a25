"""One run of a work-horse: from claim to record, on both databases, without a queue."""

from __future__ import annotations

import gzip
import multiprocessing
import shutil
import time
from datetime import datetime, timedelta
from multiprocessing.queues import SimpleQueue
from typing import Any

import numpy as np
import pytest

import scorer
from app.base import db, failpoints
from app.base.models import Evaluation, Quota, Score, State
from app.competing import evaluations
from scorer.reading import parsing
from tests.conftest import missing, on_sqlite
from tests.worker.conftest import Platform
from worker import jobs, sweeper
from worker.jobs import Runner
from worker.poller import Poller
from worker.stopping import Stop


def run(platform: Platform, submission_id: int | None = None) -> int:
    """The job in a process of its own, as it always is: it limits its memory and dies with its parent."""
    forking = multiprocessing.get_context("fork")
    answer = forking.SimpleQueue()
    platform.database.dispose()  # a child must not inherit connections
    child = forking.Process(target=_run, args=(platform, submission_id, answer))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return answer.get()


def _run(platform: Platform, submission_id: int | None, answer: SimpleQueue[int]) -> None:
    runner = Runner(platform.installation.settings, platform.database)
    answer.put(runner.run())


def test_a_good_file_is_scored_with_its_provenance(platform: Platform) -> None:
    submission = platform.submit(platform.sample())
    assert run(platform, submission) == 1
    status = platform.status(submission)
    expected = scorer.score(scorer.load(platform.folder), platform.folder / "public/sample_submission.csv")
    assert status.state is State.SCORED
    assert (status.public_exact, status.private) == (expected.public, expected.private)
    assert status.public == 0.7  # what the board shows: rounded to a step no finer than chance
    assert status.provenance
    assert status.provenance["file_sha256"] == status.sha256


@on_sqlite
def test_a_compressed_file_scores_the_same(platform: Platform) -> None:
    plain, packed = platform.submit(platform.sample()), platform.submit(gzip.compress(platform.sample()))
    run(platform)
    assert platform.status(plain).public == platform.status(packed).public


def test_a_bad_file_is_rejected_with_every_problem_and_refunded(platform: Platform) -> None:
    lines = platform.sample().decode().splitlines()
    lines[1] = lines[1].split(",")[0] + ",seven"
    lines[2] = lines[2].split(",")[0] + ",1.5"
    submission = platform.submit("\n".join(lines[:-1]).encode())
    run(platform, submission)
    status = platform.status(submission)
    assert status.state is State.REJECTED
    assert {p["code"] for p in status.problems} == {"MISSING_IDS", "NOT_A_NUMBER", "OUT_OF_RANGE"}
    with platform.database.read() as session:
        assert session.query(Quota).one().used == 0


@on_sqlite
def test_one_job_scores_all_waiting_files(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "DRAIN_SECONDS", 60.0)  # a busy machine takes its time for the first
    first, second = platform.submit(platform.sample()), platform.submit(platform.sample(), by="bob")
    assert run(platform, second) == 2
    assert platform.status(first).state is platform.status(second).state is State.SCORED


@on_sqlite
def test_a_hint_for_a_scored_file_does_nothing(platform: Platform) -> None:
    submission = platform.submit(platform.sample())
    run(platform, submission)
    assert run(platform, submission) == 0
    with platform.database.read() as session:
        assert session.query(Score).count() == 1


@on_sqlite
def test_a_missing_vault_queues_the_file_again(platform: Platform) -> None:
    digest = scorer.load(platform.folder).digest
    home = platform.installation.settings.vault / digest
    shutil.move(home, home.with_name("away"))
    submission = platform.submit(platform.sample())
    run(platform, submission)
    status = platform.status(submission)
    assert (status.state, status.attempt) == (State.QUEUED, 1)
    assert status.fault
    assert "`heldout vault put FOLDER`" in status.fault
    shutil.move(home.with_name("away"), home)
    with platform.database.begin() as session:  # as if the pause before the next try were over
        evaluation = session.query(Evaluation).one()
        assert evaluation.next_try_at > db.now(session) + timedelta(seconds=15), "no time to put it back"
        evaluation.next_try_at = db.now(session)
    run(platform, submission)
    assert platform.status(submission).state is State.SCORED


def test_a_lease_is_renewed_while_a_slow_file_is_measured(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one stand-in here: a metric that takes longer than the lease, which no small real file does."""
    measure = Runner._measure

    def slowly(self: Runner, challenge: object, claim: object, kept: object) -> object:
        first = lease_ends()
        later = first + timedelta(seconds=1)
        while (renewed := lease_ends()) == first:
            time.sleep(0.1)
        with self.database.begin() as session:
            other = evaluations.claim(session, "other/1/1", lease=self.lease, now=later)
        assert renewed > later
        assert other is None, "another worker could take it"
        return measure(self, challenge, claim, kept)  # type: ignore[arg-type]

    def lease_ends() -> datetime:
        with platform.database.read() as session:
            ends = session.query(Evaluation).one().lease_until
        assert ends is not None
        return ends

    monkeypatch.setattr(Runner, "_measure", slowly)
    submission = platform.submit(platform.sample())
    run(platform.with_settings(lease_seconds=6), submission)
    status = platform.status(submission)
    assert (status.state, status.attempt) == (State.SCORED, 1)


@pytest.mark.parametrize("other", [None, "other/1/1:token"])
def test_a_lost_lease_is_logged_only_if_another_run_has_taken_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, other: str | None
) -> None:
    """A renewal that waits while our own record is written finds the token gone as well."""
    runner = Runner(platform.installation.settings, platform.database)
    platform.submit(platform.sample())
    with platform.database.begin() as session:
        claim = evaluations.claim(session, "us/1/1", lease=timedelta(minutes=1), now=db.now(session))
    assert claim is not None
    runner.lease = timedelta(seconds=1.5)

    def listener(point: str) -> None:
        if point == "score.measured" and other is not None:
            with platform.database.begin() as session:
                session.query(Evaluation).one().lease_token = other
        if point == ("record.ranked" if other is None else "score.measured"):
            time.sleep(0.8)  # until a renewal is due

    monkeypatch.setattr(failpoints, "listener", listener)
    with caplog.at_level("WARNING", logger="worker.jobs"):
        runner.score(claim)
    said = [record.getMessage() for record in caplog.records]
    with platform.database.read() as session:
        assert (session.query(Score).count(), len(said)) == ((1, 0) if other is None else (0, 2)), said
    if other is not None:
        assert (said[0], "another run has taken over" in said[1]) == ("lease lost: submission 1", True)


@on_sqlite
def test_notices_compare_a_file_with_the_teams_earlier_ones(platform: Platform) -> None:
    rng = np.random.default_rng(0)
    ids = [line.split(",")[0] for line in platform.sample().decode().splitlines()[1:]]
    useful = rng.random(len(ids))

    def send(values: np.ndarray[Any, Any]) -> list[str]:
        rows = "\n".join(f"{key},{value:.6f}" for key, value in zip(ids, values, strict=True))
        submission = platform.submit(f"id,target\n{rows}\n".encode())
        run(platform, submission)
        return [notice["code"] for notice in platform.status(submission).notices]

    assert send(useful) == []
    assert send(np.clip(useful + rng.normal(size=len(ids)) * 0.1, 0, 1)) == []
    assert send(useful) == ["NOTICE_SAME_PREDICTIONS"]
    assert send(1 - useful) == ["NOTICE_LOOKS_INVERTED"]


@on_sqlite
def test_a_file_that_was_slow_is_not_read_again_for_notices(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow file cost its time again with each later file of its team."""
    monkeypatch.setattr(jobs, "SLOW_SECONDS", 0.15)
    rng = np.random.default_rng(0)
    ids = [line.split(",")[0] for line in platform.sample().decode().splitlines()[1:]]
    plain = "id,target\n" + "".join(f"{key},{rng.random():.6f}\n" for key in ids)
    with scorer.locked_in():
        if parsing.level() == "none":
            missing("A sandbox", "only a reader in the sandbox reports its time")
        codes = []
        for content in (plain + ",\n" * 400_000, plain, plain):
            submission = platform.submit(content.encode())
            run(platform, submission)
            codes.append([notice["code"] for notice in platform.status(submission).notices])
    assert "NOTICE_SAME_PREDICTIONS" not in codes[1]
    assert "NOTICE_SAME_PREDICTIONS" in codes[2]
    with platform.database.read() as session:
        seconds = [score.provenance["reading_seconds"] for score in session.query(Score).all()]
    assert seconds[0] > 0.15 > max(seconds[1:])


def test_a_cap_of_workers_holds_for_claims_polls_and_hints(platform: Platform) -> None:
    """The setting reaches everybody who looks for work."""
    capped = platform.with_settings(workers_per_competition=1, redis_url="none")
    settings, hints = capped.installation.settings, capped.installation.hints
    slow, waiting = platform.submit(platform.sample()), platform.submit(platform.sample() + b"\n")
    runner = Runner(settings, platform.database)
    poller = Poller(runner, lambda: None, Stop(), job_seconds=10)

    class Once(Stop):
        def wait(self, seconds: float) -> None:
            self.ask()

    def announced() -> set[int]:
        """By a sweep, once what their uploads announced is long ago."""
        with platform.database.begin() as session:
            session.connection().exec_driver_sql("UPDATE evaluation SET hinted_at = NULL")
        sweeper.run(settings, platform.database, hints, Once())
        with platform.database.read() as session:
            rows = session.query(Evaluation).where(Evaluation.hinted_at.is_not(None))
            return {row.submission_id for row in rows}

    assert announced() == {slow, waiting}
    claim = runner._claim("host/1/2")
    assert claim is not None
    assert claim.submission_id == slow
    assert (runner._claim("host/1/3"), poller.due(), announced()) == (None, None, set())
    runner.score(claim)
    assert poller.due() is not None
    assert announced() == {waiting}
    assert runner._claim("host/1/3") is not None
