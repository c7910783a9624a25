"""The work of an inspection.

As scoring it runs in a forked work-horse and holds no connection while it computes; a thread renews the lease
and writes the progress.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.base import db, events, logs
from app.base.leases import LeaseLost
from app.base.models import ChallengeVersion, Competition, Round, Score, State, TrainFile
from app.base.processes import die_with_parent
from app.integrity import cases, file_checks, inspections, train_files
from app.integrity.cases import Suspicion
from app.integrity.inspections import Claim, Entrant, Kind
from scorer.challenges.challenge import Challenge
from scorer.overfitting import close_report, scan
from scorer.overfitting.close_teams import BoardFile
from scorer.overfitting.diagnosis import (
    CannotScoreTrain,
    Diagnosis,
    OwnRows,
    Reading,
    diagnose,
    score_oof,
    score_train,
    share_same,
)
from scorer.release import modes
from scorer.report import InvalidSubmission
from scorer.submission.preflight import check_submission
from worker import jobs
from worker.jobs import Runner
from worker.lease_keeper import Keeper, fault_text, write_outcome

log = logging.getLogger(__name__)


def inspect(inspection_id: int | None) -> int:
    """Run the inspection named, else one that waits.

    Return how many were finished, 0 or 1.
    """
    runner = jobs.runner()
    die_with_parent()
    jobs.limit_memory(runner.settings.job_memory_mb)
    horse = f"{runner.name}/{os.getpid()}"
    with runner.database.begin() as session:
        now = db.now(session)
        claim = inspections.claim(
            session, horse, lease=runner.lease, now=now, inspection_id=inspection_id
        ) or inspections.claim(session, horse, lease=runner.lease, now=now)
    if claim is None:
        return 0
    with logs.about(inspection=claim.id, attempt=claim.attempt, worker=runner.name):
        return _carry_out(runner, claim)


def _carry_out(runner: Runner, claim: Claim) -> int:
    progress = Progress()
    try:
        with _keep(runner, claim, progress) as keeper:
            finish = _RUN[claim.kind](runner, claim, progress)
            keeper.is_writing = True
            write_outcome(lambda: _finish(runner, claim, finish))
    except LeaseLost as late:
        log.warning("another run has taken over: %s", late)
        return 0
    except Exception as fault:  # the program's or the organiser's: recorded for them, and tried again
        log.exception("inspection %s, attempt %s", claim.id, claim.attempt)
        _give_back(runner, claim, fault_text(fault))
        return 0
    return 1


def _keep(runner: Runner, claim: Claim, progress: Progress) -> Keeper:
    def renew(session: Session, now: datetime) -> None:
        inspections.renew(
            session, claim, lease=runner.lease, now=now, progress=progress.share, doing=progress.doing
        )

    # Often enough for a page that shows the progress.
    name = f"inspection {claim.id}"
    return Keeper(runner.database, renew, lease=runner.lease, at_least_every=2.0, name=name)


def _finish(runner: Runner, claim: Claim, finish: Finish) -> None:
    with runner.database.begin() as session:
        inspections.finish(session, claim, _finite(finish(session)), now=db.now(session))


def _give_back(runner: Runner, claim: Claim, fault: str) -> None:
    def write() -> None:
        with runner.database.begin() as session:
            inspections.give_back(session, claim, fault, now=db.now(session))

    try:
        write_outcome(write)
    except LeaseLost as late:
        log.warning("another run has taken over: %s", late)


def _finite(value: Any) -> Any:
    """Replace infinity and nan, which JSON lacks, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


class Progress:
    """How far an inspection is: a share from 0 to 1, and a few words."""

    share = 0.0
    doing = "reading"

    def __call__(self, share: float, doing: str) -> None:
        self.share, self.doing = share, doing


def _load(runner: Runner, claim: Claim) -> tuple[Challenge, list[Entrant]]:
    """Return the inspected round's challenge and teams with scores."""
    with runner.database.read() as session:
        version = session.get_one(ChallengeVersion, session.get_one(Round, claim.round_id).version_id)
        entrants = inspections.entrants(session, claim)
    return runner.vault.load(version.digest), entrants


Finish = Callable[[Session], dict[str, Any] | None]
"""Writes the result in the transaction that ends the inspection, and returns what to store with it."""


def _scan(runner: Runner, claim: Claim, progress: Progress) -> Finish:
    challenge, entrants = _load(runner, claim)
    teams = [
        scan.Team(
            id=entrant.team_id,
            name=entrant.name,
            is_baseline=entrant.is_baseline,
            files=[
                scan.File(f.submission_id, runner.storage.path(f.sha256), f.public, f.private)
                for f in entrant.files
            ],
            final_id=entrant.private_id,
        )
        for entrant in entrants
    ]
    found = scan.scan(challenge, teams, progress=progress)

    def finish(session: Session) -> dict[str, Any]:
        now = db.now(session)
        competition = session.get_one(Competition, claim.competition_id)
        seen = [
            Suspicion(s.code, s.team_id, s.evidence, s.advice, s.strength, s.other_team_id, _finite(s.detail))
            for s in found.suspicions
        ]
        new = cases.record(session, competition, seen, now=now)
        events.log(session, "scan", "scan finished", competition.slug, now=now, seen=len(seen), new=new)
        return {
            "seen": len(seen),
            "new": new,
            "not_judged": list(found.not_judged),
            "looked_at": dict(found.looked_at),
        }

    return finish


def _report(runner: Runner, claim: Claim, progress: Progress) -> Finish:
    challenge, entrants = _load(runner, claim)
    with runner.database.read() as session:
        own = {
            (file.submission_id, file.kind): _reading(file)
            for entrant in entrants
            for file in train_files.of_team(session, entrant.team_id)
        }
    report = close_report.close_report(
        challenge, list(_board_files(runner, entrants, own)), progress=progress, seed=0
    )

    def finish(session: Session) -> dict[str, Any]:
        competition = session.get_one(Competition, claim.competition_id)
        events.log(session, "report", "report finished", competition.slug, now=db.now(session))
        found = report.as_dict()
        scanned = inspections.latest(session, competition, Kind.SCAN, is_done=True)
        found["organiser"]["not_judged"] = (
            ["No scan has been finished: copies, probing, exact matches and too good scores were not judged."]
            if scanned is None
            else list((scanned.result or {}).get("not_judged", ()))
        )
        return found

    return finish


def _board_files(
    runner: Runner, entrants: Sequence[Entrant], own: Mapping[tuple[int, str], Reading | None]
) -> Iterator[BoardFile]:
    """Yield each team's file of its public rank and its final one."""
    for entrant in entrants:
        if entrant.is_baseline or entrant.public_id is None or entrant.private_id is None:
            continue
        readings = {
            kind: next(
                (r for id_ in (entrant.private_id, entrant.public_id) if (r := own.get((id_, kind)))), None
            )
            for kind in train_files.KINDS
        }
        for submission_id in dict.fromkeys((entrant.public_id, entrant.private_id)):
            file = entrant.file(submission_id)
            yield BoardFile(
                team_id=str(entrant.team_id),
                name=entrant.name,
                source=runner.storage.path(file.sha256),
                is_public_best=submission_id == entrant.public_id,
                is_final=submission_id == entrant.private_id,
                train=readings["train"],
                oof=readings["oof"],
                scores=(file.public, file.private),
            )


def _reading(file: TrainFile) -> Reading | None:
    result = file.result or {}
    return (result["value"], result["se"]) if result.get("se") is not None else None


def _train_files(runner: Runner, claim: Claim, progress: Progress) -> Finish:
    """Score a submission's train files and diagnose its scores."""
    assert claim.submission_id is not None, "train files are beside a submission"
    submission_id = claim.submission_id
    with runner.database.read() as session:
        version = session.get_one(ChallengeVersion, session.get_one(Round, claim.round_id).version_id)
        files = train_files.of(session, submission_id)
        score = session.get(Score, (submission_id, claim.round_id))
        competition = session.get_one(Competition, claim.competition_id)
        is_settled = competition.is_settled(db.now(session))
    challenge = runner.vault.load(version.digest)
    benchmark = version.benchmark or {}
    rows: dict[str, OwnRows] = {}
    refused: dict[str, list[dict[str, Any]]] = {}
    for number, (kind, file) in enumerate(sorted(files.items())):
        progress(number / len(files), train_files.KINDS[kind])
        try:
            score_rows = score_oof if kind == "oof" else score_train
            rows[kind] = score_rows(challenge, runner.storage.path(file.sha256))
        except InvalidSubmission as refusal:
            refused[kind] = [problem.as_dict() for problem in refusal.problems]
        except CannotScoreTrain as reason:
            refused[kind] = [{"code": "CANNOT_SCORE_TRAIN", "message": str(reason)}]
    diagnosis = _diagnosis(challenge, benchmark, rows, score, is_settled=is_settled)

    def finish(session: Session) -> None:
        for kind, file in files.items():
            if kind in refused:
                train_files.record(
                    session, submission_id, kind, file.sha256, state=State.REJECTED, problems=refused[kind]
                )
            else:
                # Its gaps are left out: they hold the benchmark's exact score, which participants must not
                # have.
                result = _result(rows[kind]) | {
                    "diagnosis": {"code": diagnosis.code, "words": diagnosis.words}
                }
                train_files.record(
                    session, submission_id, kind, file.sha256, state=State.SCORED, result=result
                )

    return finish


def _check(runner: Runner, claim: Claim, _progress: Progress) -> Finish:
    """Read a file as a submission; no label is compared with it."""
    with runner.database.read() as session:
        version = session.get_one(ChallengeVersion, session.get_one(Round, claim.round_id).version_id)
        sha256 = file_checks.file_of(session, claim.id)
    challenge = runner.vault.load(version.digest)
    began = time.monotonic()
    found: dict[str, Any] = {"problems": [], "problem_count": 0, "notices": []}
    try:
        notices = check_submission(
            runner.storage.path(sha256), challenge.solution, max_bytes=challenge.max_bytes
        )
        found["notices"] = [notice.as_dict() for notice in notices]
    except InvalidSubmission as refusal:
        found["problems"] = [problem.as_dict() for problem in refusal.problems]
        found["problem_count"] = refusal.total
    seconds = time.monotonic() - began

    def finish(session: Session) -> dict[str, Any]:
        file_checks.record(session, claim.id, is_rejected=bool(found["problems"]), seconds=seconds)
        return found

    return finish


def _diagnosis(
    challenge: Challenge,
    benchmark: Mapping[str, Any],
    rows: Mapping[str, OwnRows],
    score: Score | None,
    *,
    is_settled: bool,
) -> Diagnosis:
    """Diagnose a submission.

    Before the close only from what the team may know.

    That is the shown score, and the benchmark's noise instead of its own.
    """
    noise = benchmark.get("se_public")
    public = None if score is None or noise is None else (score.shown, float(noise))
    private = None
    if is_settled and score is not None and noise is not None:
        n = challenge.solution.n_rows
        private = (score.private, float(noise) * math.sqrt(n["public"] / max(1, n["private"])))
    both = len(rows) == 2
    return diagnose(
        greater_is_better=challenge.task.greater_is_better,
        # Rounded as the board's scores: the team reads the words that follow from it.
        benchmark=None if noise is None else (_shown(benchmark), float(noise)),
        train=rows["train"].reading if "train" in rows else None,
        oof=rows["oof"].reading if "oof" in rows else None,
        public=public,
        private=private,
        public_step=float(benchmark.get("step", 0.0)),
        same=share_same(rows["train"], rows["oof"]) if both else 0.0,
    )


def _shown(benchmark: Mapping[str, Any]) -> float:
    return modes.rounded(float(benchmark["public"]), float(benchmark["step"]))


def _result(own: OwnRows) -> dict[str, Any]:
    return {
        "value": own.value,
        "se": own.se,
        "why_no_se": own.why_no_se,
        "n": len(own.rows),
        "folds": [asdict(fold) for fold in own.folds],
        "picture": dict(own.picture),
    }


_RUN: Mapping[Kind, Callable[[Runner, Claim, Progress], Finish]] = {
    Kind.SCAN: _scan,
    Kind.REPORT: _report,
    Kind.TRAIN_FILES: _train_files,
    Kind.CHECK: _check,
}
