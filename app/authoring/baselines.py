"""Baselines: scripts of a challenge that post ordinary submissions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.base.errors import Refused
from app.base.models import Competition
from app.base.processes import die_with_parent
from app.base.storage import Blob
from app.competing import submissions, teams

if TYPE_CHECKING:
    import scorer


@dataclass(frozen=True)
class BaselineFile:
    name: str
    filename: str
    file: Path


def run(challenge: scorer.Challenge) -> Iterator[BaselineFile]:
    """Run the challenge's baseline scripts; yield their files.

    A file may exist only until the next one is requested. The scripts are the organiser's own code and run
    with the publisher's rights, but without the installation's settings and secrets in their environment.
    """
    names = {baseline.script: baseline.name or baseline.script for baseline in challenge.baselines}
    if not names:
        return
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="heldout-baselines-") as out:
        command = [sys.executable, "-m", "scorer.sandbox.baselines", str(challenge.folder), out, *names]
        with subprocess.Popen(
            command, env=_bare_environment(), stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        ) as runner:
            assert runner.stdout is not None
            for line in runner.stdout:
                ended = json.loads(line)
                script = ended["script"]
                if ended["error"] is not None:
                    failed.append(f"The baseline {script} failed: {ended['error']}")
                    continue
                yield BaselineFile(
                    names[script][:60], f"{Path(script).stem}.csv", Path(out) / f"{script}.csv"
                )
        if runner.returncode != 0:
            failed.append("The baselines could not be run; see the message above.")
    if failed:
        raise Refused(" ".join(failed))


def post(
    session: Session, competition: Competition, made: BaselineFile, blob: Blob, *, now: datetime
) -> int | None:
    """Queue the file for the baseline's team; None if it is there."""
    team = teams.baseline(session, competition, made.name, now=now)
    return submissions.post_baseline(
        session, competition, team, blob, filename=made.filename, message="baseline", now=now
    )


def _bare_environment() -> dict[str, str]:
    """Return an environment without secrets, for one thread."""
    root = str(Path(__file__).resolve().parents[2])
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": root,
    }
