"""Baselines: scripts of a challenge that post ordinary submissions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.base.config import Settings
from app.base.errors import Refused
from app.base.models import Competition
from app.base.storage import Blob
from app.competing import submissions, teams

if TYPE_CHECKING:
    import scorer


@dataclass(frozen=True)
class BaselineFile:
    name: str
    filename: str
    content: bytes


class CannotRun(Refused):
    """This machine's sandbox is too weak for the scripts of an organiser."""


def run(challenge: scorer.Challenge, settings: Settings) -> Iterator[BaselineFile]:
    """Run the challenge's baseline scripts in the sandbox; yield their files."""
    # Imported here because it needs pandas: every command imports this module, and few publish.
    from scorer.sandbox import baselines

    names = {baseline.script: baseline.name or baseline.script for baseline in challenge.baselines}
    if not names:
        return
    refuse_unless_runnable(challenge, settings)
    failed: list[str] = []
    for made in baselines.run(
        challenge.folder,
        list(names),
        max_bytes=challenge.max_bytes,
        memory_mb=settings.job_memory_mb,
        allow_weak=settings.allow_weak_sandbox,
    ):
        if made.error is not None:
            failed.append(f"The baseline {made.script} failed: {made.error}")
            continue
        yield BaselineFile(names[made.script][:60], f"{Path(made.script).stem}.csv", made.content)
    if failed:
        raise Refused("\n".join(failed))


def refuse_unless_runnable(challenge: scorer.Challenge, settings: Settings) -> None:
    """Refuse where the scripts would run in a sandbox that is too weak."""
    from scorer.sandbox import sandbox

    if not challenge.baselines:
        return
    try:
        sandbox.enough_isolation("A baseline", allow_weak=settings.allow_weak_sandbox)
    except sandbox.SandboxTooWeak as weak:
        raise CannotRun(
            f"{weak} Publish on another machine or with --no-baselines, or allow it with "
            "HELDOUT_ALLOW_WEAK_SANDBOX=true."
        ) from weak


def post(
    session: Session, competition: Competition, made: BaselineFile, blob: Blob, *, now: datetime
) -> int | None:
    """Queue the file for the baseline's team; None if it is there."""
    team = teams.baseline(session, competition, made.name, now=now)
    return submissions.post_baseline(
        session, competition, team, blob, filename=made.filename, message="baseline", now=now
    )
