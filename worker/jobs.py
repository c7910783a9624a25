"""The job named by string in app.queue: claim, score, record. Runs in a forked work-horse of RQ.

The parent process imports this module, and with it numpy, pandas and scikit-learn, but computes
nothing: OpenMP and polars hang in a child whose parent has used them. The child computes once and
ends, so whatever a file does to it is gone with it.
"""

from __future__ import annotations

import logging
import os
import resource
import socket
import threading
import time
import traceback
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import scorer
import scorer.scoring  # by name, so that the heavy imports happen before the fork
from app import challenges, db, points, releases, submissions
from app.config import Settings
from app.db import Database
from app.errors import Refused
from app.models import PublicScore
from app.processes import die_with_parent
from app.releases import Terms
from app.storage import Storage
from app.submissions import Claim, Fenced
from scorer.custom import MetricFailed
from scorer.overfitting import resampling
from scorer.overfitting.notes import notes
from scorer.overfitting.views import kind_of

DRAIN_SECONDS = 5.0
"""One job goes on to whatever else waits for this long: a fork costs more than scoring a small file."""

MANY_ROWS = 200_000
"""Above, a new file is compared with one earlier file of its team instead of three: remarks take less than a second."""

log = logging.getLogger(__name__)


class Runner:
    """What a work-horse needs, made once in the parent and inherited by every fork."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.storage = Storage(settings.storage)
        self.lease = timedelta(seconds=settings.lease_seconds)
        self.name = f"{this_host()}/{os.getpid()}"

    def run(self, submission_id: int | None) -> int:
        """Score the submission and then whatever else is due, for a short while; how many were finished."""
        die_with_parent()
        limit_memory(self.settings.job_memory_mb)
        horse = f"{self.name}/{os.getpid()}"
        until = time.monotonic() + DRAIN_SECONDS
        finished = 0
        claim = self._claim(horse, submission_id)
        if claim is None and submission_id is not None:
            claim = self._claim(horse, None)
        while claim is not None:
            self.score(claim)
            finished += 1
            claim = self._claim(horse, None) if time.monotonic() < until else None
        return finished

    def score(self, claim: Claim) -> None:
        """One evaluation from claim to record. No connection is held while numbers are crunched."""
        points.reach("score.claimed")
        try:
            with _Lease(self.database, claim, self.lease):
                challenge = self._load(claim)
                outcome = self._measure(challenge, claim)
                if isinstance(outcome, scorer.Report):
                    outcome = self._remark(challenge, claim, outcome)
                points.reach("score.measured")
                recorded = isinstance(outcome, scorer.Report) and self._record(challenge, claim, outcome)
            if not recorded:
                assert isinstance(outcome, scorer.InvalidSubmission)
                with self.database.begin() as session:
                    now = db.now(session)
                    submissions.record_rejected(session, claim, outcome.problems, outcome.total, now=now)
        except Fenced as late:
            log.warning("another run has taken over: %s", late)
        except Exception as fault:  # ours or the organiser's: recorded for them, and tried again
            log.exception("submission %s, attempt %s", claim.submission_id, claim.attempt)
            self._give_back(claim, fault)
        points.reach("score.finished")

    def _claim(self, horse: str, submission_id: int | None) -> Claim | None:
        with self.database.begin() as session:
            now = db.now(session)
            return submissions.claim(session, horse, lease=self.lease, now=now, submission_id=submission_id)

    def _load(self, claim: Claim) -> scorer.Challenge:
        home = challenges.vault_folder(self.settings.vault, claim.digest)
        return scorer.load(home, digest=claim.digest, prepared=self.settings.vault / "prepared")

    def _record(self, challenge: scorer.Challenge, claim: Claim, report: scorer.Report) -> bool:
        """Write the score, on the ladder after comparing the file with the team's best one so far.

        The comparison needs no lock and may take a while, so it is made before the transaction; if
        another file of the team has become its best meanwhile, it is made again.
        """
        while True:
            with self.database.read() as session:
                terms = releases.terms(session, claim.submission_id, claim.round_id)
            apart = self._apart(challenge, claim, terms) if terms.mode is PublicScore.LADDER else None
            try:
                with self.database.begin() as session:
                    submissions.record_scored(
                        session, claim, report, now=db.now(session), terms=terms, se_difference=apart
                    )
            except releases.RungMoved:
                continue
            return True

    def _remark(self, challenge: scorer.Challenge, claim: Claim, report: scorer.Report) -> scorer.Report:
        """Add what the team is told of its own file beside its own earlier ones; no label has a part in it."""
        if challenge.task.custom is not None:
            return report
        n_rows = len(challenge.solution.ids)
        with self.database.read() as session:
            earlier = submissions.earlier_files(session, claim, limit=3 if n_rows <= MANY_ROWS else 1)
        try:
            own = resampling.read(challenge, self.storage.path(claim.sha256))
            history = [resampling.read(challenge, self.storage.path(sha256)).columns for sha256 in earlier]
            found = notes(own.columns, kind_of(challenge.task.parts[0]), history)
        except (scorer.HeldoutError, Refused, OSError, MemoryError) as unable:
            # A remark is a kindness; the score is there and must not be lost for it.
            log.warning("no remarks on submission %s: %s", claim.submission_id, unable)
            return report
        known = {notice.code for notice in report.notices}
        return replace(report, notices=[*report.notices, *(n for n in found if n.code not in known)])

    def _apart(self, challenge: scorer.Challenge, claim: Claim, terms: Terms) -> float | None:
        """Standard error of the difference to the leader, over the public rows; None if it has none."""
        solution = challenge.solution
        own = resampling.read(challenge, self.storage.path(claim.sha256))
        if terms.leader_sha256 is None:
            leader = resampling.benchmark(challenge).aligned
        else:
            leader = resampling.read(challenge, self.storage.path(terms.leader_sha256))
        try:
            return resampling.se_of_difference(solution, own, leader, solution.public, seed=0)
        except resampling.NotResampled as unable:
            log.warning("submission %s cannot be compared with its leader: %s", claim.submission_id, unable)
            return None

    def _measure(self, challenge: scorer.Challenge, claim: Claim) -> scorer.Report | scorer.InvalidSubmission:
        try:
            # The reader goes by the file's content, never by the name a person gave it.
            return scorer.scoring.score(
                challenge,
                self.storage.path(claim.sha256),
                allow_weak_sandbox=self.settings.allow_weak_sandbox,
            )
        except scorer.InvalidSubmission as refusal:
            return refusal

    def _give_back(self, claim: Claim, fault: Exception) -> None:
        words = "".join(traceback.format_exception(fault, limit=-8))
        if isinstance(fault, MetricFailed):
            words = f"{fault.log[-3000:]}\n\n{fault}"  # the end is what is kept
        words = words.encode("utf-8", "replace").decode()  # a lone surrogate is no text for a database
        try:
            with self.database.begin() as session:
                submissions.give_back(session, claim, words[-4000:], now=db.now(session))
        except Fenced as late:
            log.warning("another run has taken over: %s", late)


def this_host() -> str:
    """The machine and its process ids' own world: two containers may share a host name, but not their pids."""
    namespace = Path("/proc/self/ns/pid")
    world = namespace.stat().st_ino if namespace.exists() else 0
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text()[:8] if boot.exists() else "0"
    return f"{socket.gethostname()[:60]}-{machine}-{world}"


class _Lease:
    """Renews the claim from a thread while the block runs, so that a slow file is not taken for a dead worker."""

    def __init__(self, database: Database, claim: Claim, lease: timedelta) -> None:
        self._database, self._claim, self._lease = database, claim, lease
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def _renew(self) -> None:
        while not self._done.wait(self._lease.total_seconds() / 3):
            try:
                with self._database.begin() as session:
                    submissions.renew(session, self._claim, lease=self._lease, now=db.now(session))
            except Fenced:
                # The outcome could no longer be written; the other run's will be.
                log.warning("lease lost: submission %s", self._claim.submission_id)
                return
            except Exception:
                # A database that is away for a moment may be back before the lease ends.
                log.exception("lease of submission %s could not be renewed", self._claim.submission_id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()


def limit_memory(add_mb: int) -> None:
    """Let this process grow by so much and no more: a hostile file meets MemoryError, not the machine's OOM killer."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limit = pages * resource.getpagesize() + add_mb * 1024 * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if pages and (hard == resource.RLIM_INFINITY or limit < hard):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


_runner: Runner | None = None


def configure(settings: Settings, database: Database) -> Runner:
    """Give this process its settings; called by the worker before it forks its first work-horse."""
    global _runner  # RQ calls the job by name alone, so what it needs lives in the module
    _runner = Runner(settings, database)
    return _runner


def runner() -> Runner:
    """What `configure` made in the parent."""
    assert _runner is not None, "worker.jobs.configure was not called before the fork"
    return _runner


def score_submission(submission_id: int) -> int:
    """The job. The id is only where to begin; the database says what is to be done."""
    return runner().run(submission_id)
