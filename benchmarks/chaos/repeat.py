"""Score every file three times and compare the bits.

Two rounds of a rescore besides the first score.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import _common as common
import postgres
from sqlalchemy import select

from app.base import db
from app.base.installation import Installation
from app.base.models import Evaluation, Score, State
from app.competing import competitions, rescores, submissions

ROWS = 200
PATIENCE_SECONDS = 600.0


def run(count: int, *, database: str) -> list[str]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heldout-chaos-")))
        more = {"database_url": stack.enter_context(postgres.running()).url} if database == "postgres" else {}
        about = common.machine()
        installation = stack.enter_context(common.serving(folder / "data", workers=2, **more)).installation
        stack.callback(installation.database.dispose)
        slug = common.publish(installation, common.write_challenge(folder / "bench", ROWS))
        viewer, _ = common.add_user(installation, "team", slug=slug)
        for number in range(count):
            path = folder / "file.csv"
            path.write_bytes(common.predictions(ROWS, number))
            blob = installation.storage.put_file(path)
            with installation.database.begin() as session:
                now = db.now(session)
                submissions.accept(
                    session,
                    competitions.by_slug(session, slug),
                    viewer,
                    blob,
                    filename="file.csv",
                    message="",
                    received_at=now,
                    now=now,
                )
        began = time.monotonic()
        _wait(installation, count)
        with installation.database.begin() as session:
            found = competitions.by_slug(session, slug)
            rescores.begin_rescore(
                session, found, found.version, reason="once more", now=db.now(session), repeats=1
            )
        _wait(installation, 3 * count)
        took = time.monotonic() - began
        with installation.database.read() as session:
            rows = (
                session.execute(select(Score.submission_id, Score.public, Score.private, Score.also))
                .tuples()
                .all()
            )
    outcomes: dict[int, list[bytes]] = {}
    for submission_id, public, private, also in rows:
        outcomes.setdefault(submission_id, []).append(_bits(public, private, also))
    rounds = Counter(len(bits) for bits in outcomes.values())
    different = sum(len(set(bits)) > 1 for bits in outcomes.values())
    common.print_table(
        f"Repeated scoring on {database}: {count:,} files of {ROWS} rows, each scored three times, "
        f"{took:.0f} s. {about}",
        ("", "figure"),
        [
            ("files scored three times", rounds[3]),
            (
                "different outcomes among the files (they should be many)",
                len({b[0] for b in outcomes.values()}),
            ),
            ("files whose three scores are not the same bits", different),
        ],
    )
    return [
        *([f"{different} files did not come out the same"] if different else []),
        *(["not every file was scored three times"] if rounds != {3: count} else []),
    ]


def _bits(public: float, private: float, also: Mapping[str, Any]) -> bytes:
    return struct.pack("=dd", public, private) + repr(sorted(also.items())).encode()


def _wait(installation: Installation, count: int) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with installation.database.read() as session:
            states = Counter(session.scalars(select(Evaluation.state)))
        if states[State.SCORED] >= count and not states[State.QUEUED] + states[State.RUNNING]:
            return
        time.sleep(0.3)
    raise RuntimeError(f"not everything was scored: {states}")
