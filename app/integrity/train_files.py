"""Train files: predictions for training rows, beside a submission.

Their labels are public, so their scores may be shown in full and at once. Together with the public score they
show whether a model underfits, overfits, or was selected by the board.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.base import failpoints
from app.base.errors import Closed, Conflict, NotFound, QuotaExhausted, Refused
from app.base.models import (
    Competition,
    Evaluation,
    Inspection,
    Round,
    RoundState,
    State,
    Submission,
    TrainFile,
)
from app.base.storage import Blob
from app.integrity import inspections
from app.integrity.inspections import Kind

DAILY_LIMIT = 20
A_DAY = timedelta(days=1)
KINDS = {"oof": "out-of-fold predictions", "train": "predictions in sample"}


def refuse_impossible(competition: Competition, kind: str) -> None:
    """Refuse an unknown kind, or a challenge without folds."""
    if kind not in KINDS:
        raise Refused(f"A train file is one of {', '.join(KINDS)}, not {kind[:20]!r}.")
    folds = competition.version.manifest.get("folds") or {}
    if "sha256" not in folds:
        why = folds.get("why", "this version was published before there were folds")
        raise Refused(f"{competition.title} takes no predictions for the training rows: {why}.")


def admit(
    session: Session, competition: Competition, submission: Submission, kind: str, *, now: datetime
) -> None:
    """Refuse before the file is received."""
    if competition.is_archived:
        raise Closed(f"{competition.title} is archived and takes no files.")
    refuse_impossible(competition, kind)
    _refuse_rejected(session, submission)
    _refuse_too_many(session, submission, now)


def attach(
    session: Session,
    competition: Competition,
    submission: Submission,
    kind: str,
    blob: Blob,
    *,
    by: str,
    now: datetime,
) -> Inspection:
    """Attach a file to the submission and queue it.

    It replaces one of the same kind.
    """
    admit(session, competition, submission, kind, now=now)
    key = submission.id, kind
    present = session.get(TrainFile, key, with_for_update=True)
    if present is not None and present.state == State.QUEUED:
        raise Conflict(f"The {KINDS[kind]} sent before are still being scored; wait for them.")
    if present is None:
        present = TrainFile(submission_id=submission.id, kind=kind)
        session.add(present)
    present.sha256, present.size_bytes, present.received_at = blob.sha256, blob.size_bytes, now
    present.state, present.result, present.problems = State.QUEUED, None, None
    session.flush()
    failpoints.reach("train_file.attached")
    return inspections.ask(
        session, competition, Kind.TRAIN_FILES, by=by, now=now, submission_id=submission.id
    )


def _refuse_rejected(session: Session, submission: Submission) -> None:
    """Refuse files beside a rejected submission, whose score they would be compared with."""
    state = session.scalar(
        select(Evaluation.state)
        .join(Round, Round.id == Evaluation.round_id)
        .where(Evaluation.submission_id == submission.id, Round.state == RoundState.ACTIVE)
    )
    if state == State.REJECTED:
        raise Conflict(
            f"Submission {submission.id} was rejected and has no score to compare with. Send the file beside "
            "a submission that is scored or still waits."
        )


def _refuse_too_many(session: Session, submission: Submission, now: datetime) -> None:
    """Refuse files above the daily limit, which costs no submissions."""
    mine = select(Submission.id).where(Submission.team_id == submission.team_id)
    sent, first = session.execute(
        select(func.count(), func.min(Inspection.created_at)).where(
            Inspection.kind == Kind.TRAIN_FILES,
            Inspection.submission_id.in_(mine),
            Inspection.created_at > now - A_DAY,
        )
    ).one()
    if sent >= DAILY_LIMIT:
        raise QuotaExhausted(
            f"{sent} train files of your team were scored within a day, which is the limit. The next can be "
            f"sent at {first + A_DAY:%Y-%m-%d %H:%M} UTC.",
            retry_after=first + A_DAY - now,
        )


def of(session: Session, submission_id: int) -> dict[str, TrainFile]:
    """Return a submission's train files by kind."""
    found = session.scalars(select(TrainFile).where(TrainFile.submission_id == submission_id))
    return {file.kind: file for file in found}


def of_team(session: Session, team_id: int) -> list[TrainFile]:
    """Return a team's scored train files, without those beside late files."""
    found = select(TrainFile).join(Submission, Submission.id == TrainFile.submission_id)
    mine = Submission.team_id == team_id, ~Submission.is_late
    return list(session.scalars(found.where(*mine, TrainFile.state == State.SCORED)))


def get(session: Session, submission_id: int, kind: str) -> TrainFile:
    found = session.get(TrainFile, (submission_id, kind))
    if found is None:
        raise NotFound("There is no such file.")
    return found


def record(
    session: Session,
    submission_id: int,
    kind: str,
    sha256: str,
    *,
    state: State,
    result: Mapping[str, Any] | None = None,
    problems: list[dict[str, Any]] | None = None,
) -> None:
    """Write the result of one file.

    A file that replaced it meanwhile has another hash and stays queued.
    """
    session.execute(
        update(TrainFile)
        .where(TrainFile.submission_id == submission_id, TrainFile.kind == kind, TrainFile.sha256 == sha256)
        .values(state=state, result=result, problems=problems)
    )
    failpoints.reach("train_file.recorded")
