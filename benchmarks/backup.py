"""Measure `heldout backup` and `heldout restore`, plain and encrypted.

How long they take, how large the archive is, and whether the restore is complete: a restore whose tables have
other checksums than the backup, or that lacks a file, ends the script with an error.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _common as common
import board

from app.base import config
from app.base import storage as storages
from app.base.config import Settings
from app.base.db import Database
from app.base.storage import Storage
from app.competing import competitions, standings
from app.migrations import upgrade
from app.operating import backup
from app.operating.backup import Summary

FILE_BYTES = 20_000
TEAMS = 500


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--submissions", type=int, default=10_000, help="of 20 kB each (default 10,000)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.submissions = 200

    about = common.machine()
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as name:
        folder = Path(name)
        settings = Settings(data_dir=folder / "data")
        config.prepare_data_dir(settings)
        kept = storages.open_(settings)
        database = fill(settings, kept, asked.submissions)
        for kind, passphrase in (("plain", None), ("encrypted", "correct horse battery staple")):
            archive = folder / kind
            there = Settings(data_dir=folder / f"restored-{kind}")
            written = timed(
                lambda archive=archive, passphrase=passphrase: backup.write(  # type: ignore[misc]
                    settings, database, kept, archive, with_solutions=False, passphrase=passphrase
                )
            )
            restored = timed(
                lambda archive=archive, passphrase=passphrase, there=there: backup.restore(  # type: ignore[misc]
                    there, archive, passphrase=passphrase
                )
            )
            refuse_unless_equal(written[0], restored[0], asked.submissions)
            rows.append(
                [
                    kind,
                    f"{asked.submissions:,}",
                    f"{sum(written[0].rows.values()):,}",
                    f"{archive.stat().st_size / 1e6:.1f}",
                    f"{written[1]:.1f}",
                    f"{written[2]:.1f}",
                    f"{restored[1]:.1f}",
                    f"{restored[2]:.1f}",
                ]
            )
        database.dispose()
    common.print_table(
        f"Backup and restore, SQLite, files of {FILE_BYTES / 1000:.0f} kB. {about}; "
        f"peak memory of this process {common.own_peak_mb():.0f} MB",
        ("archive", "submissions", "rows in all", "MB", "backup s", "CPU s", "restore s", "CPU s"),
        rows,
    )


def fill(settings: Settings, kept: Storage, count: int) -> Database:
    """Make an installation with so many scored submissions.

    Each has a file of its own.
    """
    dice = random.Random(7)
    names = []
    for _ in range(count):
        with kept.receive(FILE_BYTES) as incoming:
            digits = "".join(f"{number},{dice.random():.14f}\n" for number in range(10_000, 11_000))
            incoming.write(f"id,y\n{digits}".encode().ljust(FILE_BYTES, b"\n")[:FILE_BYTES])
            names.append(incoming.keep().sha256)
    database = Database(settings.database)
    upgrade(database)
    with database.begin() as session:
        competition = board.open_competition(session)
        team_ids = board.add_teams(session, competition, TEAMS)
        board.add_submissions(session, competition, team_ids, 0, count, sha256=names.__getitem__)
        standings.refresh_all(session, competitions.by_slug(session, board.SLUG))
    return database


def timed(do: Callable[[], Summary]) -> tuple[Summary, float, float]:
    """Return the result, seconds by the clock, and seconds of CPU."""
    os.sync()
    began, cpu_began = time.perf_counter(), time.process_time()
    found = do()
    return found, time.perf_counter() - began, time.process_time() - cpu_began


def refuse_unless_equal(written: Summary, restored: Summary, files: int) -> None:
    if written.checksums != restored.checksums or not written.files == restored.files == files:
        raise SystemExit(f"What was restored is not what was backed up: {written} {restored}")


if __name__ == "__main__":
    main()
