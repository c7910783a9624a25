"""The steps of the work on a draft, done by workers under leases.

A step's key is a digest of what its result depends on. `advance` compares the keys that the draft needs now
with the rows: a finished step with the right key is used again, a missing one is queued, and one that is no
longer needed is deleted, whose run then loses its lease. So a changed metric repeats no split, and a killed
worker costs one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.authoring import draft_choices
from app.authoring.draft_choices import DraftChoices
from app.base import leases
from app.base.leases import MAX_ATTEMPTS, LeaseLost, Leases, WorkState
from app.base.models_drafts import Draft, DraftFile, DraftState, DraftStep, StepState

BACKOFF = timedelta(seconds=5)
KEPT = 4
"""Finished steps of one kind that are kept, for choices that are taken back."""
BASELINE = "baseline"
"""The kind of a file that a worker made."""


class Kind(StrEnum):
    PROFILE = "profile"
    """Read a table: columns, types, counts, missing shares, guesses."""
    AUDIT = "audit"
    """Propose what is not chosen, divide the rows, audit the result."""
    TRAIN = "train"
    """Train the baselines and score them."""
    CHECK = "check"
    """Check a solution and the files that came with it."""
    BUILD = "build"
    """Write the folder, check it as a whole, publish it and open the competition."""


LEASES = Leases(DraftStep, longest_pause=BACKOFF * MAX_ATTEMPTS)


@dataclass(frozen=True, kw_only=True)
class Claim(leases.Claim):
    """One step that this run, and no other, may finish."""

    kind: Kind
    draft_id: int

    @property
    def id(self) -> int:
        return self.key[0]


# -- what a draft needs ------------------------------------------------------------------------


def advance(session: Session, draft: Draft, *, now: datetime) -> list[int]:
    """Queue the steps that the draft needs and lacks; return their ids, for hints after the commit.

    The caller holds the draft's `lock`.
    """
    session.flush()
    rows = list(session.scalars(select(DraftStep).where(DraftStep.draft_id == draft.id)))
    wanted = needed(draft, files_of(session, draft.id), rows)
    for row in rows:
        if wanted.get(Kind(row.kind)) != row.key and row.state != StepState.DONE:
            session.delete(row)
    _prune(session, rows, wanted)
    session.flush()
    present = {(row.kind, row.key) for row in rows}
    queued = []
    for kind, key in wanted.items():
        if (kind, key) not in present:
            row = DraftStep(
                draft_id=draft.id,
                kind=kind,
                key=key,
                state=StepState.QUEUED,
                created_at=now,
                next_try_at=now,
                hinted_at=now,
            )
            session.add(row)
            session.flush()
            queued.append(row.id)
    return queued


def needed(draft: Draft, files: Sequence[DraftFile], rows: Sequence[DraftStep]) -> dict[Kind, str]:
    """Return the key of each step that can be done now, given the results of the others."""
    if draft.state == DraftState.OPEN or not files:
        return {}
    choices = draft_choices.read(draft.choices)
    given = [(file.kind, file.sha256) for file in files if file.kind != BASELINE]
    done = {(row.kind, row.key): row for row in rows if row.state == StepState.DONE}
    ended = done.keys() | {(row.kind, row.key) for row in rows if row.state == StepState.FAILED}
    build = draft_choices.digest(choices, list(DraftChoices.model_fields), given)
    if draft.source == "parts":
        if not any(kind == "solution" for kind, _ in given):
            return {}
        names = ("id", "columns", "metric", "metric_parameters", "overrides")
        wanted = {Kind.CHECK: draft_choices.digest(choices, names, given)}
        if draft.state == DraftState.OPENING:
            wanted[Kind.BUILD] = build
        return wanted
    wanted = {Kind.PROFILE: draft_choices.digest(choices, (), given)}
    profile = result_of(done.get((Kind.PROFILE, wanted[Kind.PROFILE])))
    if profile is None or choices.target is None:
        return wanted
    task = task_of(choices, profile)
    metric = choices.metric if choices.predicted is None else None
    wanted[Kind.AUDIT] = draft_choices.digest(choices, draft_choices.SPLIT, given, task, metric)
    audit = result_of(done.get((Kind.AUDIT, wanted[Kind.AUDIT])))
    if audit is None or reveals(audit, choices):
        return wanted
    wanted[Kind.TRAIN] = draft_choices.digest(choices, draft_choices.METRIC, wanted[Kind.AUDIT])
    if draft.state == DraftState.OPENING and (Kind.TRAIN, wanted[Kind.TRAIN]) in ended:
        wanted[Kind.BUILD] = build
    return wanted


def reveals(audit: Mapping[str, Any], choices: DraftChoices) -> bool:
    """Return whether the audit of a table stops the draft: a finding that no reason accepts, or a problem."""
    if audit["ok"]:
        return False
    blocking = {finding["code"] for finding in audit["findings"] if finding["severity"] == "block"}
    return bool(audit["problems"]) or not blocking <= choices.overrides.keys()


def result_of(row: DraftStep | None) -> Mapping[str, Any] | None:
    """Return the result of a finished step; None without one, or if it refused the choices."""
    if row is None or row.state != StepState.DONE or row.result is None or "refused" in row.result:
        return None
    return row.result


def task_of(choices: DraftChoices, profile: Mapping[str, Any]) -> str:
    """Return whether classes or numbers are predicted: as chosen, else as the target looks."""
    if choices.predicted is not None:
        return "numbers" if choices.predicted == "numbers" else "classes"
    return natural_task(choices, profile)


def natural_task(choices: DraftChoices, profile: Mapping[str, Any]) -> str:
    """Return whether the target looks like classes or numbers."""
    for column in profile["columns"]:
        if column["name"] == choices.target:
            return str(column["task"])
    return "classes"  # there is no such column, which the audit refuses


def current(session: Session, draft: Draft) -> dict[Kind, DraftStep]:
    """Return the step of each kind that fits the files and choices of now."""
    rows = list(session.scalars(select(DraftStep).where(DraftStep.draft_id == draft.id)))
    wanted = needed(draft, files_of(session, draft.id), rows)
    found = {Kind(row.kind): row for row in rows if wanted.get(Kind(row.kind)) == row.key}
    if draft.state == DraftState.EDITING:  # why the last attempt to open it was refused
        found |= {Kind(row.kind): row for row in rows if row.kind == Kind.BUILD}
    return found


def files_of(session: Session, draft_id: int) -> list[DraftFile]:
    """Return the files of a draft, oldest first."""
    mine = DraftFile.draft_id == draft_id
    return list(session.scalars(select(DraftFile).where(mine).order_by(DraftFile.id)))


def _prune(session: Session, rows: Sequence[DraftStep], wanted: Mapping[Kind, str]) -> None:
    """Delete the oldest finished steps that are not needed, with the files that they made."""
    for kind in Kind:
        old = [row for row in rows if row.kind == kind and wanted.get(kind) != row.key]
        old = [row for row in old if row.state == StepState.DONE]
        for row in sorted(old, key=lambda row: row.id)[:-KEPT]:
            _delete(session, row)


def _delete(session: Session, row: DraftStep) -> None:
    made = [one["file_id"] for one in (row.result or {}).get("baselines", ())]
    session.execute(delete(DraftFile).where(DraftFile.id.in_(made)))
    session.delete(row)


def lock(session: Session, draft_id: int) -> Draft | None:
    """Lock a draft until the transaction ends, before any of its steps; None if it was deleted."""
    session.flush()
    found = select(Draft).where(Draft.id == draft_id).with_for_update()
    return session.scalar(found.execution_options(populate_existing=True))


# -- the worker's side -------------------------------------------------------------------------


def claim(session: Session, worker: str, *, lease: timedelta, now: datetime) -> Claim | None:
    """Claim the step that waits longest; None if none is due."""
    first = select(DraftStep).where(LEASES.is_due(now)).order_by(DraftStep.next_try_at, DraftStep.id).limit(1)
    row = session.scalar(first.with_for_update(skip_locked=True))
    if row is None:
        return None
    taken = LEASES.take(session, (row.id,), worker, lease=lease, now=now, progress=0.0, doing="reading")
    return Claim(
        key=taken.key, attempt=taken.attempt, token=taken.token, kind=Kind(row.kind), draft_id=row.draft_id
    )


def is_any_due(session: Session, *, now: datetime) -> bool:
    """Return whether a worker could claim a step now."""
    return session.scalar(select(DraftStep.id).where(LEASES.is_due(now)).limit(1)) is not None


def renew(
    session: Session, claim: Claim, *, lease: timedelta, now: datetime, progress: float, doing: str
) -> None:
    """Extend the lease and write the progress; LeaseLost if another run holds it."""
    share = min(max(progress, 0.0), 1.0)
    LEASES.renew(session, claim, lease=lease, now=now, progress=share, doing=doing[:100])


def finish(session: Session, claim: Claim, result: Mapping[str, Any], *, now: datetime) -> list[int]:
    """Write the result and queue what can be done next, whose ids it returns.

    LeaseLost if another run holds the lease, or the step is no longer needed. A refused build leaves the
    draft to be edited.
    """
    draft = lock(session, claim.draft_id)
    LEASES.finish(session, claim, StepState.DONE, now=now, progress=1.0, doing="", result=dict(result))
    if draft is None:
        raise LeaseLost(f"draft {claim.draft_id} was deleted")
    if claim.kind is Kind.BUILD and "refused" in result:
        draft.state = _without_build(draft)
    session.flush()
    session.expire_all()
    return advance(session, draft, now=now)


def give_back(session: Session, claim: Claim, fault: str, *, now: datetime) -> list[int]:
    """Queue a failed attempt again; after the third one leave it to the organiser.

    Return the ids of steps that can be done next. `fault` holds no content of a file.
    """
    draft = lock(session, claim.draft_id)
    state = LEASES.give_back(session, claim, fault, pause=BACKOFF, now=now)
    return _after_failure(session, draft, claim.kind, now=now) if state is WorkState.FAILED else []


def _after_failure(session: Session, draft: Draft | None, kind: str, *, now: datetime) -> list[int]:
    if draft is None:
        return []
    if kind == Kind.BUILD:
        draft.state = _without_build(draft)
    session.flush()
    session.expire_all()
    return advance(session, draft, now=now)


def _without_build(draft: Draft) -> DraftState:
    """Return the state of a draft whose build ended early: one that is published cannot be edited again."""
    return DraftState.EDITING if draft.competition_id is None else DraftState.OPEN


def repeat(session: Session, draft: Draft, *, now: datetime) -> list[int]:
    """Queue failed steps again, for the owner's button; return their ids. The caller holds the lock."""
    for row in current(session, draft).values():
        if row.state == StepState.FAILED:
            session.delete(row)
    return advance(session, draft, now=now)


def forget_builds(session: Session, draft: Draft) -> None:
    """Delete what earlier attempts to open the draft left."""
    builds = DraftStep.draft_id == draft.id, DraftStep.kind == Kind.BUILD
    session.execute(delete(DraftStep).where(*builds))


# -- the sweeper's side ------------------------------------------------------------------------


def follow_clock(session: Session, *, lease: timedelta, now: datetime) -> int:
    """Shorten waits that a clock set back has made too long."""
    return LEASES.follow_clock(session, lease=lease, now=now)


def unfinished(session: Session, *, now: datetime, hint_after: timedelta, limit: int = 20) -> list[int]:
    """Return steps to send hints for, and mark them as announced."""
    return [id_ for (id_,) in LEASES.announce(session, now=now, hint_after=hint_after, limit=limit)]


def fail_exhausted(session: Session, *, now: datetime) -> list[int]:
    """Fail steps whose last attempt expired; return their ids."""
    exhausted = select(DraftStep.id, DraftStep.draft_id, DraftStep.kind).where(LEASES.is_exhausted(now))
    failed = []
    for row in session.execute(exhausted.limit(100)).all():
        draft = lock(session, row.draft_id)
        if LEASES.fail_exhausted(session, (row.id,), now=now):
            failed.append(row.id)
            _after_failure(session, draft, row.kind, now=now)
    return failed
