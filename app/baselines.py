"""An organiser's baselines: scripts that read public/ and write a submission, posted as shaded rows."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from app import submissions, teams
from app.errors import Refused
from app.models import Competition
from app.storage import Blob

LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Made:
    name: str
    filename: str
    file: Path


def scripts(folder: Path) -> list[Path]:
    return sorted((folder / "baselines").glob("[!_.]*.py"))


def run(folder: Path, script: Path) -> Made:
    """Run `python baselines/NAME.py OUT.csv` in the challenge's folder; its docstring's first line names the row."""
    handle, out = tempfile.mkstemp(prefix=f"{script.stem}-", suffix=".csv")
    os.close(handle)
    done = subprocess.run(
        [sys.executable, str(script.resolve()), out],
        cwd=folder,
        env=_bare_environment(),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT_SECONDS,
        check=False,
    )
    if done.returncode != 0 or not Path(out).stat().st_size:
        Path(out).unlink()
        last = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise Refused(f"The baseline {script.name} failed: {last}")
    doc = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    return Made(doc.splitlines()[0].rstrip(".")[:60], f"{script.stem}.csv", Path(out))


def post(session: Session, competition: Competition, made: Made, blob: Blob, *, now: datetime) -> int | None:
    """Queue the file for the baseline's own team; None if that very file is there already."""
    team = teams.baseline(session, competition, made.name, now=now)
    return submissions.post_baseline(
        session, competition, team, blob, filename=made.filename, message="baseline", now=now
    )


def _bare_environment() -> dict[str, str]:
    """No secret of the installation, and one thread: several of these may run beside a busy server."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
