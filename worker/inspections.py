"""The job for long work about a competition, named by string in app.base.queue: claim, look, record.

Like scoring it runs in a forked work-horse; no connection is held while numbers are crunched, and a
thread renews the lease and says how far the work is.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import copy_context
from dataclasses import asdict
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from sqlalchemy.orm import Session

from app.base import db, events, logs
from app.base.db import Database
from app.base.models import ChallengeVersion, Competition, Round, Score, State, TrainFile
from app.base.processes import die_with_parent
from app.integrity import cases, inspections, train_files
from app.integrity.cases import Seen
from app.integrity.inspections import Entrant, Kind, Superseded, Work
from scorer.challenges.challenge import Challenge
from scorer.overfitting import close_report, scan
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
from worker import jobs
from worker.jobs import Runner

log = logging.getLogger(__name__)

Tell = Callable[[float, str], None]


def inspect(inspection_id: int | None) -> int:
    """The job. Takes the inspection it names, else whichever waits; 1 if it finished one."""
    runner = jobs.runner()
    die_with_parent()
    jobs.limit_memory(runner.settings.job_memory_mb)
    horse = f"{runner.name}/{os.getpid()}"
    with runner.database.begin() as session:
        now = db.now(session)
        work = inspections.claim(
            session, horse, lease=runner.lease, now=now, inspection_id=inspection_id
        ) or inspections.claim(session, horse, lease=runner.lease, now=now)
    if work is None:
        return 0
    with logs.about(inspection=work.id, attempt=work.attempt, worker=runner.name):
        return _carry_out(runner, work)


def _carry_out(runner: Runner, work: Work) -> int:
    try:
        with Keeper(runner.database, work, runner.lease) as keeper:
            finish = _LOOK[work.kind](runner, work, keeper.tell)
        with runner.database.begin() as session:
            result = finish(session)
            inspections.finish(session, work, _plain(result), now=db.now(session))
    except Superseded as late:
        log.warning("another run has taken over: %s", late)
        return 0
    except Exception as fault:  # ours or the organiser's: recorded for them, and tried again
        log.exception("inspection %s, attempt %s", work.id, work.attempt)
        _give_back(runner, work, fault)
        return 0
    return 1


def _give_back(runner: Runner, work: Work, fault: Exception) -> None:
    words = "".join(traceback.format_exception(fault, limit=-8)).encode("utf-8", "replace").decode()
    try:
        with runner.database.begin() as session:
            inspections.give_back(session, work, words, now=db.now(session))
    except Superseded as late:
        log.warning("another run has taken over: %s", late)


def _plain(value: Any) -> Any:
    """For JSON, which knows no infinity and no nan: None stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


class Keeper:
    """Renews the lease from a thread while the block runs, with the progress last told."""

    def __init__(self, database: Database, work: Work, lease: timedelta) -> None:
        self._database, self._work, self._lease = database, work, lease
        self._progress, self._doing = 0.0, "reading"
        self._done = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._renew,), daemon=True)

    def tell(self, progress: float, doing: str) -> None:
        self._progress, self._doing = progress, doing

    def _renew(self) -> None:
        # Often enough for a page that shows the progress, and always well within the lease.
        while not self._done.wait(min(2.0, self._lease.total_seconds() / 3)):
            try:
                with self._database.begin() as session:
                    inspections.renew(
                        session,
                        self._work,
                        lease=self._lease,
                        now=db.now(session),
                        progress=self._progress,
                        doing=self._doing,
                    )
            except Superseded:
                log.warning("lease lost: inspection %s", self._work.id)
                return
            except Exception:
                log.exception("lease of inspection %s could not be renewed", self._work.id)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()


def _load(runner: Runner, work: Work) -> tuple[Challenge, list[Entrant]]:
    """The challenge of the inspected round, and who has scores under it."""
    with runner.database.read() as session:
        version = session.get_one(ChallengeVersion, session.get_one(Round, work.round_id).version_id)
        entrants = inspections.entrants(session, work)
    return runner.vault.load(version.digest), entrants


Finish = Callable[[Session], dict[str, Any] | None]
"""Writes what was found in the transaction that ends the inspection, and returns what to keep with it."""


def _scan(runner: Runner, work: Work, tell: Tell) -> Finish:
    challenge, entrants = _load(runner, work)
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
    found = scan.scan(challenge, teams, progress=tell)

    def finish(session: Session) -> dict[str, Any]:
        now = db.now(session)
        competition = session.get_one(Competition, work.competition_id)
        seen = [
            Seen(s.code, s.team_id, s.evidence, s.advice, s.strength, s.other_team_id, _plain(s.detail))
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


def _report(runner: Runner, work: Work, tell: Tell) -> Finish:
    challenge, entrants = _load(runner, work)
    with runner.database.read() as session:
        own = {
            (file.submission_id, file.kind): _reading(file)
            for entrant in entrants
            for file in train_files.of_team(session, entrant.team_id)
        }
    report = close_report.close_report(
        challenge, list(_team_files(runner, entrants, own)), progress=tell, seed=0
    )

    def finish(session: Session) -> dict[str, Any]:
        competition = session.get_one(Competition, work.competition_id)
        events.log(session, "report", "report finished", competition.slug, now=db.now(session))
        return report

    return finish


def _team_files(
    runner: Runner, entrants: Sequence[Entrant], own: Mapping[tuple[int, str], Reading | None]
) -> Iterator[close_report.TeamFile]:
    """Of each team that stands on the board the file that made its public rank and the one that counts."""
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
            yield close_report.TeamFile(
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


def _train_files(runner: Runner, work: Work, tell: Tell) -> Finish:
    """Score what a team sent beside a submission, and say what its scores mean together."""
    assert work.submission_id is not None, "train files are beside a submission"
    submission_id = work.submission_id
    with runner.database.read() as session:
        version = session.get_one(ChallengeVersion, session.get_one(Round, work.round_id).version_id)
        files = train_files.of(session, submission_id)
        score = session.get(Score, (submission_id, work.round_id))
        competition = session.get_one(Competition, work.competition_id)
        is_settled = competition.is_settled(db.now(session))
    challenge = runner.vault.load(version.digest)
    benchmark = version.benchmark or {}
    rows: dict[str, OwnRows] = {}
    refused: dict[str, list[dict[str, Any]]] = {}
    for number, (kind, file) in enumerate(sorted(files.items())):
        tell(number / len(files), train_files.KINDS[kind])
        try:
            look = score_oof if kind == "oof" else score_train
            rows[kind] = look(challenge, runner.storage.path(file.sha256))
        except InvalidSubmission as refusal:
            refused[kind] = [problem.as_dict() for problem in refusal.problems]
        except CannotScoreTrain as reason:
            refused[kind] = [{"code": "CANNOT_SCORE_TRAIN", "message": str(reason)}]
    said = _diagnosis(challenge, benchmark, rows, score, is_settled=is_settled)

    def finish(session: Session) -> None:
        for kind, file in files.items():
            if kind in refused:
                train_files.record(
                    session, submission_id, kind, file.sha256, state=State.REJECTED, problems=refused[kind]
                )
            else:
                # The gaps it rests on hold the benchmark's exact score, which participants must not have.
                result = _result(rows[kind]) | {"diagnosis": {"code": said.code, "words": said.words}}
                train_files.record(
                    session, submission_id, kind, file.sha256, state=State.SCORED, result=result
                )

    return finish


def _diagnosis(
    challenge: Challenge,
    benchmark: Mapping[str, Any],
    rows: Mapping[str, OwnRows],
    score: Score | None,
    *,
    is_settled: bool,
) -> Diagnosis:
    """Before the close only what the team may know: the shown score, and the benchmark's noise instead of its own."""
    noise = benchmark.get("se_public")
    public = None if score is None or noise is None else (score.shown, float(noise))
    private = None
    if is_settled and score is not None and noise is not None:
        n = challenge.solution.n_rows
        private = (score.private, float(noise) * math.sqrt(n["public"] / max(1, n["private"])))
    both = len(rows) == 2
    return diagnose(
        greater_is_better=challenge.task.greater_is_better,
        # As rounded as the board's scores, since the words that follow from it are the team's to read.
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


_LOOK: Mapping[Kind, Callable[[Runner, Work, Tell], Finish]] = {
    Kind.SCAN: _scan,
    Kind.REPORT: _report,
    Kind.TRAIN_FILES: _train_files,
}
