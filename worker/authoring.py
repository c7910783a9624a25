"""The work of a step of a draft.

As an inspection it runs in a forked work-horse under a lease, and holds no connection while it computes. It
alone decrypts what organisers upload, into a folder of the vault that is deleted afterwards. What it writes
to the database are names, counts and figures; of an exception only its type and its places in the code,
because the message of a library may quote a cell.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.authoring import draft_choices, draft_steps
from app.authoring.draft_choices import DraftChoices
from app.authoring.draft_steps import Claim
from app.base import db, inbox, logs
from app.base.errors import Refused
from app.base.leases import LeaseLost
from app.base.models import User
from app.base.models_drafts import Draft, DraftFile
from app.base.processes import die_with_parent
from scorer.authoring.table import Unusable
from scorer.report import InvalidChallenge
from worker import drafting, jobs
from worker.jobs import AWAY, Runner
from worker.lease_keeper import Keeper, write_outcome
from worker.poller import TookTooLong

log = logging.getLogger(__name__)

Finish = Callable[[Session, datetime], tuple[dict[str, Any], list[str]]]
"""Writes the result beside the step in its transaction; returns it, and stored files to remove."""


def work() -> int:
    """Do the step that waits longest; return how many were finished, 0 or 1."""
    runner = jobs.runner()
    die_with_parent()
    jobs.limit_memory(runner.settings.job_memory_mb)
    horse = f"{runner.name}/{os.getpid()}"
    with runner.database.begin() as session:
        claim = draft_steps.claim(session, horse, lease=runner.lease, now=db.now(session))
    if claim is None:
        return 0
    with logs.about(step=claim.id, attempt=claim.attempt, worker=runner.name):
        return _carry_out(runner, claim)


def _carry_out(runner: Runner, claim: Claim) -> int:
    progress = Progress()
    try:
        with _keep(runner, claim, progress) as keeper, ExitStack() as stack:
            try:
                given = _given(runner, claim, stack, progress)
                finish = drafting.RUN[claim.kind](given)
            except LeaseLost:
                raise
            except (MemoryError, TookTooLong) as limit:
                finish = _refused(_too_large(limit, runner))
            except (Unusable, InvalidChallenge, Refused) as refusal:
                if isinstance(refusal, AWAY):
                    raise
                finish = _refused(refusal)
            keeper.is_writing = True
            write_outcome(lambda: _finish(runner, claim, finish))
    except LeaseLost as late:
        log.warning("another run has taken over: %s", late)
        return 0
    except Exception as fault:  # noqa: BLE001  the program's: its places are recorded, and it is tried again
        words = fault.message if isinstance(fault, Refused) else places(fault)
        log.error("step %s (%s), attempt %s: %s", claim.id, claim.kind, claim.attempt, words)
        _give_back(runner, claim, words)
        return 0
    return 1


def _keep(runner: Runner, claim: Claim, progress: Progress) -> Keeper:
    def renew(session: Session, now: datetime) -> None:
        _renew(runner, claim, progress, session, now)

    # Often enough for a page that shows the progress.
    name = f"step {claim.id}"
    return Keeper(runner.database, renew, lease=runner.lease, at_least_every=1.0, name=name)


def _renew(runner: Runner, claim: Claim, progress: Progress, session: Session, now: datetime) -> None:
    draft_steps.renew(
        session, claim, lease=runner.lease, now=now, progress=progress.share, doing=progress.doing
    )


def _finish(runner: Runner, claim: Claim, finish: Finish) -> None:
    with runner.database.begin() as session:
        now = db.now(session)
        draft_steps.lock(session, claim.draft_id)
        result, removed = finish(session, now)
        draft_steps.finish(session, claim, drafting.finite(result), now=now)
    for sha256 in removed:
        runner.storage.remove(sha256)


def _refused(refusal: Unusable | InvalidChallenge | Refused) -> Finish:
    words = drafting.in_pages(str(refusal))
    if isinstance(refusal, InvalidChallenge):
        words = " ".join(drafting.problem_words(problem) for problem in refusal.problems[:5])

    def finish(_session: Session, _now: datetime) -> tuple[dict[str, Any], list[str]]:
        return {"refused": words[:2000]}, []

    return finish


def _too_large(limit: MemoryError | TookTooLong, runner: Runner) -> Unusable:
    """Return that the table exceeds the limits of a worker, which another attempt would not change."""
    settings = runner.settings
    what = (
        f"more than the {settings.job_memory_mb:,} MB of HELDOUT_JOB_MEMORY_MB"
        if isinstance(limit, MemoryError)
        else f"longer than {3 * settings.job_seconds / 60:g} minutes, three times HELDOUT_JOB_SECONDS"
    )
    return Unusable(f"The table is too large for a worker of this server: it needs {what}. Give fewer rows.")


def _give_back(runner: Runner, claim: Claim, fault: str) -> None:
    def write() -> None:
        with runner.database.begin() as session:
            draft_steps.give_back(session, claim, fault, now=db.now(session))

    try:
        write_outcome(write)
    except LeaseLost as late:
        log.warning("another run has taken over: %s", late)


def places(fault: BaseException) -> str:
    """Return the type of an exception and its last places in the code, without its message."""
    frames = traceback.extract_tb(fault.__traceback__)[-8:]
    listed = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(fault).__name__} at {listed}"


class Progress:
    """How far a step is: a share from 0 to 1, and a few words."""

    share = 0.0
    doing = "reading"

    def __call__(self, share: float, doing: str) -> None:
        self.share, self.doing = share, doing


def _given(runner: Runner, claim: Claim, stack: ExitStack, progress: Progress) -> drafting.Given:
    """Read what the step needs, and decrypt the files into a folder of the vault."""
    progress(0.02, "decrypting the files")
    with runner.database.read() as session:
        draft = session.get(Draft, claim.draft_id)
        if draft is None:
            raise LeaseLost(f"draft {claim.draft_id} was deleted")
        files = draft_steps.files_of(session, draft.id)
        keys = {file.key_id: inbox.private_key(session, runner.vault, file.key_id) for file in files}
        steps = draft_steps.current(session, draft)
        results = {kind: draft_steps.result_of(row) for kind, row in steps.items()}
        if claim.kind not in steps or steps[claim.kind].id != claim.id:
            raise LeaseLost(f"step {claim.id} is no longer needed")
        choices = draft_choices.read(draft.choices)
        owner = session.get_one(User, draft.owner_id).name
        title = draft.title
    folder = stack.enter_context(runner.vault.workspace())

    def hold() -> None:
        with runner.database.begin() as session:
            _renew(runner, claim, progress, session, db.now(session))

    return drafting.Given(
        runner=runner,
        draft_id=claim.draft_id,
        owner=owner,
        title=title,
        choices=_with_seed(choices, files, keys, claim.draft_id),
        files=files,
        keys=keys,
        results=results,
        folder=folder,
        progress=progress,
        hold=hold,
    )


def _with_seed(
    choices: DraftChoices, files: Sequence[DraftFile], keys: Mapping[int, bytes], draft_id: int
) -> DraftChoices:
    """Draw the seed from the private key of the first file, so that it is in no row and stays the same."""
    uploaded = [file for file in files if file.kind != draft_steps.BASELINE]
    if choices.seed is not None or not uploaded:
        return choices
    drawn = hmac.digest(keys[uploaded[0].key_id], f"the seed of draft {draft_id}".encode(), hashlib.sha256)
    return choices.model_copy(update={"seed": int.from_bytes(drawn[:8], "big") >> 1})
