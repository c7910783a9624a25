"""Set the wall clock forward and back during evaluations.

By an hour. On SQLite every process of the machine jumps, and the database's clock with them. On PostgreSQL
the programs' own clocks jump, as on hosts without time synchronisation, while the database's goes on: the
jump must have no effect.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import _common as common
import full
import postgres
from sqlalchemy import func, select

from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Evaluation, Event, Quota, Score, Submission
from app.competing import competitions, evaluations

HOUR = 3600
JUMPS = (0, HOUR, 0, -HOUR, 0)
HORSE_SECONDS = 2.0
SENDERS = 4


def run(*, uploads: int = 20, database: str = "sqlite") -> list[str]:
    """Send uploads at each setting of the clock.

    Work-horses are killed just before it is set.
    """
    broken: list[str] = []
    about = common.machine()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heldout-chaos-")))
        more: dict[str, object] = {"lease_seconds": 5, "hint_seconds": 2, "sweep_seconds": 0.5}
        if database == "postgres":
            more["database_url"] = stack.enter_context(postgres.running()).url
        set_clock = stack.enter_context(_shifted(folder))
        server = stack.enter_context(common.serving(folder / "data", workers=2, **more))
        installation = Installation(
            Settings(data_dir=folder / "data", database_url=str(more.get("database_url", "")))
        )
        slug = common.publish(installation, common.write_challenge(folder / "bench", full.ROWS))
        with installation.database.begin() as session:
            competitions.by_slug(session, slug).opens_at -= timedelta(days=1)  # before any clock here
        token = common.add_user(installation, "team", slug=slug)[1]
        statuses, receipts, killed = Counter[int](), list[dict[str, object]](), 0
        with ThreadPoolExecutor(SENDERS) as senders:
            for setting, seconds in enumerate(JUMPS):
                set_clock(seconds)
                numbers = range(1_000 * setting, 1_000 * setting + uploads)
                sent = [
                    senders.submit(
                        full._send,
                        server.address,
                        slug,
                        token,
                        number,
                        statuses,
                        patience=full.PATIENCE_SECONDS,
                    )
                    for number in numbers
                ]
                killed += _kill_a_horse(installation)
                receipts += [receipt for each in sent for receipt in each.result()]
                # The next setting comes while the last files of this one wait or are being scored.
                killed += _kill_a_horse(installation)
        began = time.monotonic()
        open_ = full._wait(installation, broken)
        took = time.monotonic() - began
        lost = full._lost(installation, receipts)
        with installation.database.read() as session:
            outcomes = select(Event.subject).where(Event.action == "submission scored")
            twice = sum(count > 1 for count in Counter(session.scalars(outcomes)).values())
            scores = session.scalar(select(func.count()).select_from(Score))
            used = session.scalar(select(func.sum(Quota.used)))
            attempts = session.scalar(select(func.sum(Evaluation.attempt - 1)))
            logged = [
                e["seconds"] for e in session.scalars(select(Event.detail).where(Event.subject == "clock"))
            ]
        installation.database.dispose()
        fenced = server.log.read_text().count("another run has taken over")
    common.print_table(
        f"Clocks set to {', '.join(f'{s:+d}' for s in JUMPS)} s, on {database}: {uploads} uploads "
        f"of {full.ROWS} rows at each, lease 5 s, hint 2 s. {about}",
        ("", "figure"),
        [
            ("answers by status", ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items()))),
            ("work-horses killed", killed),
            ("acknowledged, and not there or not scored", lost),
            ("scored twice", twice),
            ("scores; uploads that count", f"{scores}; {used}"),
            ("attempts beyond the first", attempts),
            ("runs fenced", fenced),
            ("still open", open_),
            ("from the last upload until all were scored, s", f"{took:.1f}"),
            ("jumps in the log, s", ", ".join(f"{s:+d}" for s in logged) or "none"),
        ],
    )
    if lost or open_ or twice or not scores == used == len(receipts) == uploads * len(JUMPS):
        broken.append("the clock cost something")
    if bool(logged) != (database == "sqlite"):
        broken.append("a jump of the database's clock was not logged, or one was logged without a jump")
    return broken


def midnight(*, seconds: float = 20.0, limit: int = 15) -> list[str]:
    """Upload without a pause across midnight UTC, where a new day's uploads begin."""
    broken: list[str] = []
    about = common.machine()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heldout-chaos-")))
        set_clock = stack.enter_context(_shifted(folder))
        server = stack.enter_context(common.serving(folder / "data", workers=2))
        installation = Installation(Settings(data_dir=folder / "data"))
        slug = common.publish(installation, common.write_challenge(folder / "bench", full.ROWS))
        token = common.add_user(installation, "team", slug=slug)[1]
        with installation.database.begin() as session:
            competitions.by_slug(session, slug).daily_limit = limit
        now = datetime.now(UTC)
        until_midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC) - now
        set_clock(round(until_midnight.total_seconds() - seconds / 2))
        statuses, receipts = Counter[int](), list[dict[str, object]]()
        end = time.monotonic() + seconds

        def send(first: int) -> None:
            number = first
            while time.monotonic() < end:
                receipts.extend(full._send(server.address, slug, token, number, statuses))
                number += SENDERS
                time.sleep(0.1)

        with ThreadPoolExecutor(SENDERS) as senders:
            list(senders.map(send, range(SENDERS)))
        open_ = full._wait(installation, broken)
        lost = full._lost(installation, receipts)
        with installation.database.read() as session:
            used = dict(session.execute(select(Quota.day, Quota.used)).tuples().all())
            charged = Counter(s.received_at.date() for s in session.scalars(select(Submission)))
        installation.database.dispose()
    common.print_table(
        f"Midnight during uploads: {SENDERS} senders for {seconds:g} s, {limit} files a day. {about}",
        ("", "figure"),
        [
            ("answers by status", ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items()))),
            ("uploads by day", ", ".join(f"{day}: {n}" for day, n in sorted(charged.items()))),
            ("acknowledged, and not there or not scored", lost),
            ("still open", open_),
        ],
    )
    if lost or open_ or used != dict(charged) or set(used.values()) != {limit} or len(used) != 2:
        broken.append(f"the uploads of the two days are {dict(charged)}, and count as {used}")
    return broken


def _kill_a_horse(installation: Installation) -> int:
    """Kill a work-horse that holds an evaluation; return 1, else 0.

    0 if none is found in time.
    """
    until = time.monotonic() + HORSE_SECONDS
    while time.monotonic() < until:
        with installation.database.read() as session:
            holders = evaluations.LEASES.holders(session, "")
        for holder in holders:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(holder.rsplit("/", 1)[1]), signal.SIGKILL)
                return 1
    return 0


@contextlib.contextmanager
def _shifted(folder: Path) -> Iterator[Callable[[int], None]]:
    """Yield a function that sets the clock of processes started meanwhile."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit(
            "The run clocks sets clocks with a small library of its own, and needs a C compiler (cc)."
        )
    library, offset = folder / "shifted_clock.so", folder / "clock"
    source = Path(__file__).with_name("shifted_clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)

    def set_clock(seconds: int) -> None:
        with offset.open("r+b") as file:
            file.write(struct.pack("<q", seconds))

    offset.write_bytes(struct.pack("<q", 0))
    names = {"LD_PRELOAD": str(library), "SHIFTED_CLOCK": str(offset)}
    os.environ.update(names)
    try:
        yield set_clock
    finally:
        for name in names:
            del os.environ[name]
