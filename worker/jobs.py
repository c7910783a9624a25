"""The scoring of submissions, in a work-horse.

The parent process imports this module, and with it numpy, pandas and scikit-learn, but computes nothing:
OpenMP and polars hang in a child whose parent has used them. The bytes of a file are parsed in another
process (scorer/reading/parsing.py), since the work-horse holds labels and a connection.
"""

from __future__ import annotations

import logging
import os
import resource
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

import scorer
import scorer.scoring  # by name, so that the heavy imports happen before the fork
from app.base import db, failpoints, logs, storage, vault
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import Refused, StorageFull, Unavailable
from app.base.leases import LeaseLost
from app.base.models import PublicScore
from app.base.processes import die_with_parent, this_host
from app.competing import evaluations, score_release
from app.competing.evaluations import Claim
from app.competing.score_release import ReleaseInputs
from scorer.custom import MetricFailed
from scorer.overfitting.notices import notices
from scorer.overfitting.views import kind_of
from scorer.reading import parsing
from scorer.resampling import resampling
from scorer.resampling.benchmark import benchmark
from scorer.resampling.units import Aligned, NotResampled, ScoresDiffer
from scorer.submission.sinks import Collected
from worker.lease_keeper import Keeper, fault_text, storable, write_outcome

DRAIN_SECONDS = 5.0
"""One job scores further files for this long: a fork costs more than scoring a small file."""

MANY_ROWS = 200_000
"""Above, a file is compared with one earlier file of its team instead of three, so that its notices take less
than a second.
"""

SLOW_SECONDS, SLOW_CELLS = 0.5, 100_000
"""A file is slow that takes more processor time to read than this, and a second for each so many cells: twice
what the exact reader takes for short ones. It is not read again for notices on the files after it.
"""

AWAY = (Unavailable, StorageFull, OSError)
"""Faults of storage, vault or machine, which may be over soon."""

log = logging.getLogger(__name__)


class Runner:
    """What a work-horse needs, inherited from the parent."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.storage = storage.open_(settings)
        self.vault = vault.open_(settings)
        self.lease = timedelta(seconds=settings.lease_seconds)
        self.name = f"{this_host()}/{os.getpid()}"

    def run(self) -> int:
        """Score what is due for a short while.

        Return how many were finished.
        """
        die_with_parent()
        limit_memory(self.settings.job_memory_mb)
        horse = f"{self.name}/{os.getpid()}"
        until = time.monotonic() + DRAIN_SECONDS
        finished = 0
        while (claim := self._claim(horse)) is not None:
            self.score(claim)
            finished += 1
            if time.monotonic() >= until:
                break
        return finished

    def score(self, claim: Claim) -> None:
        """Score one evaluation; no connection is held while it computes."""
        with logs.about(submission=claim.submission_id, attempt=claim.attempt, worker=self.name):
            began = time.monotonic()
            self._score(claim)
            log.info("done in %.0f ms", 1000 * (time.monotonic() - began))

    def _score(self, claim: Claim) -> None:
        failpoints.reach("score.claimed")
        try:
            with self._keep(claim) as keeper:
                challenge = self.vault.load(claim.digest)
                before = parsing.seconds_spent()
                collected = None if challenge.task.custom else Collected(len(challenge.solution.ids))
                outcome = self._measure(challenge, claim, collected)
                seconds = round(parsing.seconds_spent() - before, 2)
                facts = {"worker": self.name, "reading_seconds": seconds}
                if isinstance(outcome, scorer.Report) and collected is not None:
                    outcome = self._add_notices(challenge, claim, outcome, collected)
                failpoints.reach("score.measured")
                # Inside the lease: a database that is away for a while may be waited for without losing it.
                keeper.is_writing = True
                if isinstance(outcome, scorer.Report):
                    report = replace(outcome, provenance={**outcome.provenance, **facts})
                    write_outcome(lambda: self._record(challenge, claim, report, collected))
                else:
                    refusal = outcome
                    write_outcome(lambda: self._reject(claim, refusal))
        except LeaseLost as late:
            log.warning("another run has taken over: %s", late)
        except Exception as fault:  # ours or the organiser's: recorded for them, and tried again
            log.exception("submission %s, attempt %s", claim.submission_id, claim.attempt)
            self._give_back(claim, fault)
        failpoints.reach("score.finished")

    def _keep(self, claim: Claim) -> Keeper:
        def renew(session: Session, now: datetime) -> None:
            evaluations.renew(session, claim, lease=self.lease, now=now)

        return Keeper(self.database, renew, lease=self.lease, name=f"submission {claim.submission_id}")

    def _claim(self, horse: str) -> Claim | None:
        most = self.settings.workers_per_competition
        with self.database.begin() as session:
            evaluations.take_turn(session, most_workers=most)
            return evaluations.claim(session, horse, lease=self.lease, now=db.now(session), most_workers=most)

    def _record(
        self, challenge: scorer.Challenge, claim: Claim, report: scorer.Report, collected: Collected | None
    ) -> None:
        """Write the score.

        On the ladder, compare the file with the team's best one before.

        The comparison needs no lock and may take a while, so it is made before the transaction; if another
        file of the team has become its best meanwhile, it is made again.
        """
        while True:
            with self.database.read() as session:
                inputs = score_release.release_inputs(session, claim.submission_id, claim.round_id)
            se_difference = None
            if inputs.mode is PublicScore.LADDER and collected is not None:
                se_difference = self._se_to_leader(
                    challenge, claim, inputs, Aligned(collected.columns(), collected.vocabulary)
                )
            try:
                with self.database.begin() as session:
                    evaluations.record_scored(
                        session,
                        claim,
                        report,
                        now=db.now(session),
                        inputs=inputs,
                        se_difference=se_difference,
                    )
            except score_release.RungMoved:
                continue
            return

    def _reject(self, claim: Claim, refusal: scorer.InvalidSubmission) -> None:
        with self.database.begin() as session:
            evaluations.record_rejected(session, claim, refusal.problems, refusal.total, now=db.now(session))

    def _add_notices(
        self, challenge: scorer.Challenge, claim: Claim, report: scorer.Report, collected: Collected
    ) -> scorer.Report:
        """Add notices from the file and the team's earlier files.

        No label is used.
        """
        n_rows = len(challenge.solution.ids)
        n_cells = n_rows * (1 + len(challenge.columns))
        with self.database.read() as session:
            earlier = evaluations.earlier_files(
                session,
                claim,
                limit=3 if n_rows <= MANY_ROWS else 1,
                most_seconds=SLOW_SECONDS + n_cells / SLOW_CELLS,
            )
        try:
            files = [self.storage.path(sha256) for sha256 in earlier]
            with parsing.in_one_run(files, max_bytes=challenge.max_bytes):
                history = [resampling.read(challenge, file).columns for file in files]
            found = notices(collected.columns(), kind_of(challenge.task.parts[0]), history)
        except (scorer.HeldoutError, Refused, OSError, MemoryError) as unable:
            # Notices are optional: their failure must not lose the score.
            log.warning("no notices on submission %s: %s", claim.submission_id, unable)
            return report
        known = {notice.code for notice in report.notices}
        return replace(report, notices=[*report.notices, *(n for n in found if n.code not in known)])

    def _se_to_leader(
        self, challenge: scorer.Challenge, claim: Claim, inputs: ReleaseInputs, own: Aligned
    ) -> float | None:
        """Return the standard error of the difference to the leader.

        On the public rows; None if it has none.
        """
        solution = challenge.solution
        if inputs.leader_sha256 is None:
            leader = benchmark(challenge).aligned
        else:
            file = self.storage.path(inputs.leader_sha256)
            try:
                leader = resampling.read(challenge, file, scores=inputs.leader_scores)
            except ScoresDiffer as hostile:
                # Its rows could be chosen so that every small step looks significant.
                log.error(
                    "submission %s is not compared with its leader %s: %s",
                    claim.submission_id,
                    inputs.leader_id,
                    hostile,
                )
                return None
        try:
            return resampling.se_of_difference(solution, own, leader, solution.public, seed=0)
        except NotResampled as unable:
            log.warning("submission %s cannot be compared with its leader: %s", claim.submission_id, unable)
            return None

    def _measure(
        self, challenge: scorer.Challenge, claim: Claim, collected: Collected | None
    ) -> scorer.Report | scorer.InvalidSubmission:
        try:
            # The reader goes by the file's content, never by its uploaded name.
            return scorer.scoring.score(
                challenge,
                self.storage.path(claim.sha256),
                kept=collected,
                allow_weak_sandbox=self.settings.allow_weak_sandbox,
            )
        except scorer.InvalidSubmission as refusal:
            return refusal

    def _give_back(self, claim: Claim, fault: Exception) -> None:
        words = fault_text(fault)
        if isinstance(fault, MetricFailed):
            words = storable(f"{fault.log[-3000:]}\n\n{fault}")  # the end is what is stored
        try:
            write_outcome(lambda: self._return(claim, words, is_away=isinstance(fault, AWAY)))
        except LeaseLost as late:
            log.warning("another run has taken over: %s", late)

    def _return(self, claim: Claim, words: str, *, is_away: bool) -> None:
        with self.database.begin() as session:
            evaluations.give_back(session, claim, words, now=db.now(session), is_away=is_away)


def limit_memory(add_mb: int) -> None:
    """Limit how much memory this process may add.

    A hostile file then ends in MemoryError instead of the OOM killer.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    limit = pages * resource.getpagesize() + add_mb * 1024 * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if pages and (hard == resource.RLIM_INFINITY or limit < hard):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


_runner: Runner | None = None


def configure(settings: Settings, database: Database) -> Runner:
    """Set this process up, before its first fork."""
    global _runner  # a work-horse has it from its parent
    _runner = Runner(settings, database)
    return _runner


def runner() -> Runner:
    """Return what `configure` made in the parent."""
    assert _runner is not None, "worker.jobs.configure was not called before the fork"
    return _runner
