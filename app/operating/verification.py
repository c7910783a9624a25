"""Verification: recompute a stored outcome and compare the bits.

It opens transactions and files, and needs a machine with the vault.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

import scorer
from app.base.errors import Conflict, NotFound
from app.base.installation import Installation
from app.base.models import ChallengeVersion, Evaluation, Round, RoundState, Score, State, Submission


@dataclass(frozen=True)
class Verification:
    """The stored and the recomputed outcome, and their differences."""

    submission_id: int
    state: State
    digest: str
    stored: Mapping[str, Any]
    again: Mapping[str, Any]
    differences: tuple[str, ...]
    provenance: Mapping[str, Any]

    @property
    def is_equal(self) -> bool:
        return not self.differences


def verify(installation: Installation, submission_id: int) -> Verification:
    """Score the stored file again under the active round.

    Refuse while the submission has no outcome.
    """
    with installation.database.read() as session:
        found = session.execute(
            select(Submission, Evaluation, ChallengeVersion.digest, Score)
            .join(Evaluation, Evaluation.submission_id == Submission.id)
            .join(Round, (Round.id == Evaluation.round_id) & (Round.state == RoundState.ACTIVE))
            .join(ChallengeVersion, ChallengeVersion.id == Round.version_id)
            .outerjoin(Score, (Score.submission_id == Submission.id) & (Score.round_id == Round.id))
            .where(Submission.id == submission_id)
        ).one_or_none()
    if found is None:
        raise NotFound(f"There is no submission {submission_id}.")
    submission, evaluation, digest, score = found
    state = State(evaluation.state)
    if state not in (State.SCORED, State.REJECTED):
        raise Conflict(f"Submission {submission_id} is {state}: there is no outcome to verify.")
    if submission.cancelled_at is not None:
        raise Conflict(f"Submission {submission_id} was cancelled: there is no outcome to verify.")
    file = installation.storage.path(submission.sha256)
    differences = []
    if _sha256(file) != submission.sha256:
        differences.append("the stored file has another sha256 than its receipt")
    stored = _numbers(score.public, score.private, score.also) if score else {}
    if not score:
        stored = {"problems": [problem["code"] for problem in evaluation.problems or []]}
    again = _again(installation, digest, file)
    differences += [
        f"{name}: {stored.get(name)!r} was stored, {again.get(name)!r} was computed now"
        for name in sorted(stored.keys() | again.keys())
        if not _same(stored.get(name), again.get(name))
    ]
    provenance = dict(score.provenance) if score else {}
    return Verification(submission_id, state, digest, stored, again, tuple(differences), provenance)


def _again(installation: Installation, digest: str, file: Path) -> Mapping[str, Any]:
    challenge = installation.vault.load(digest)
    try:
        with scorer.locked_in():
            report = scorer.score(
                challenge, file, allow_weak_sandbox=installation.settings.allow_weak_sandbox
            )
    except scorer.InvalidSubmission as refusal:
        return {"problems": [problem.code for problem in refusal.problems]}
    return _numbers(report.public, report.private, report.also)


def _numbers(public: float, private: float, also: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    sides = {f"{name} {split}": value for name, values in also.items() for split, value in values.items()}
    return {"public": public, "private": private, **sides}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("=d", one) == struct.pack("=d", other)
    return bool(one == other)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
