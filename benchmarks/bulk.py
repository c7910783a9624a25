"""Measure the download of all files of a competition as one zip: memory of the web process, time, size.

The zip is read from a running `heldout serve` and written to a file, while the resident memory of the web
process is read. A zip that is not whole, or lacks a file, ends the script with an error.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import urllib.request
import zipfile
from pathlib import Path

import _common as common
import board
from _common import resident_mb
from backup import FILE_BYTES, fill

from app.base import config, db
from app.base import storage as storages
from app.base.config import Settings
from app.people import accounts, tokens
from app.people.tokens import Scope


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--files", type=int, default=10_000, help="of 20 kB each (default 10,000)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.files = 200

    about = common.machine()
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as name:
        folder = Path(name)
        settings = Settings(data_dir=folder / "data")
        config.prepare_data_dir(settings)
        database = fill(settings, storages.open_(settings), asked.files)
        with database.begin() as session:
            now = db.now(session)
            user = accounts.register(session, "olga", None, now=now, is_organiser=True)
            session.flush()
            token = tokens.issue(session, user.id, "benchmark", now=now, scope=Scope.ORGANISE)
        database.dispose()
        with common.serving(settings.data_dir, workers=1) as server:
            (master,) = server.find_all("app.web", 1)
            (web,) = common.children(master)
            path = f"/api/v1/competitions/{board.SLUG}/organise"
            for what in ("submissions?limit=1", "files?team=1", "files", "submissions.csv"):
                target = folder / "answer"
                before = resident_mb(web)
                seconds, peak = taken(f"{server.address}{path}/{what}", token, target, web)
                if what == "files":
                    refuse_unless_whole(target, asked.files)
                size = target.stat().st_size / 1e6
                after = resident_mb(web)
                rows.append(
                    [what, f"{size:.1f}", f"{seconds:.1f}", *(f"{x:.1f}" for x in (before, peak, after))]
                )
    common.print_table(
        f"{asked.files:,} files of {FILE_BYTES / 1000:.0f} kB, SQLite. {about}",
        ("answer", "MB", "seconds", "web process before MB", "most MB", "after MB"),
        rows,
    )


def taken(address: str, token: str, target: Path, web: int) -> tuple[float, float]:
    """Write an answer to a file; return the seconds and the most memory of the web process meanwhile."""
    most, is_over = [0.0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.05):
            most[0] = max(most[0], resident_mb(web))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        asked.method = "POST" if "/files" in address else "GET"
        with urllib.request.urlopen(asked, timeout=600) as answer, target.open("wb") as file:
            while piece := answer.read(1 << 20):
                file.write(piece)
    finally:
        is_over.set()
        watcher.join()
    return time.perf_counter() - began, max(most[0], resident_mb(web))


def refuse_unless_whole(target: Path, files: int) -> None:
    with zipfile.ZipFile(target) as archive:
        damaged = archive.testzip()
        count = len(archive.namelist()) - 1
    if damaged is not None or count != files:
        raise RuntimeError(f"the zip has {count} files of {files}; damaged: {damaged}")


if __name__ == "__main__":
    main()
