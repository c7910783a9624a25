"""Measure the wait from upload to score, and throughput.

Starts `heldout serve` on embedded defaults (SQLite, Valkey) for one worker and for two. A participant uploads
a 1,000-row file over the API, polls every 5 ms for its score, and goes on to the next. The server's own times
divide the wait into legs. Then a queue is filled while the workers are stopped (SIGSTOP); what counts is the
time from the first hint to the last score.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import _common as common
from _common import Api, Server, median, ms, p95
from sqlalchemy import func, select

from app.base import db
from app.base.models import Evaluation
from app.competing import competitions, submissions
from app.people.accounts import Viewer

POLL_SECONDS = 0.005
AIM_MS = 150


@dataclass(frozen=True)
class Trip:
    """One upload, in seconds of each leg.

    Together they are the wait from the first byte sent to the score seen.
    """

    post: float
    """The POST request, as the client sees it."""
    to_claim: float
    """From the 201 to a worker's claim; below zero if the worker was faster than the answer."""
    scoring: float
    """From the claim to the moment the score was written, all in the work-horse."""
    to_visible: float
    """From there to the answer that shows it: the commit and the polling."""
    wait: float
    """From the 201 to the visible score: the figure with the aim."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--uploads", type=int, default=100, help="one after another (default 100)")
    arguments.add_argument("--queue", type=int, default=300, help="submissions waiting (default 300)")
    arguments.add_argument("--rows", type=int, default=1000, help="rows of a file (default 1000)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.uploads, asked.queue = 5, 10

    about = common.machine()
    rows: list[list[object]] = []
    rates: dict[int, float] = {}
    for workers in (1,) if asked.smoke else (1, 2):
        with (
            tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder,
            common.serving(Path(folder) / "data", workers=workers) as server,
        ):
            installation = server.installation
            slug = common.publish(installation, common.write_challenge(Path(folder) / "bench", asked.rows))
            viewer, token = common.add_user(installation, "ada", slug=slug)
            common.wait_for_workers(server)
            trips = upload_one_by_one(Api(server.address, token), slug, asked.uploads, asked.rows)
            rates[workers] = scored_per_second(server, slug, viewer, asked.queue, asked.rows)
            memory = f"{max(common.resident_mb(pid, 'VmHWM') for pid in server.find('worker')):.0f} MB"
        plural = "s" if workers > 1 else ""
        rows += [
            [
                f"{workers} worker{plural}: {name}",
                len(legs),
                ms(median(legs)),
                ms(p95(legs)),
                ms(max(legs)),
                "",
            ]
            for name, legs in (
                ("POST of the file", [trip.post for trip in trips]),
                ("**201 to score visible**", [trip.wait for trip in trips]),
                ("… 201 to claim", [trip.to_claim for trip in trips]),
                ("… claim to score written", [trip.scoring for trip in trips]),
                ("… written to visible", [trip.to_visible for trip in trips]),
            )
        ]
        ratio = f"{rates[workers]:.1f}/s, {rates[workers] / rates[1]:.2f} x one worker, worker peak {memory}"
        rows.append([f"{workers} worker{plural}: queue drained", asked.queue, "", "", "", ratio])

    common.print_table(
        f"Upload to score, {asked.rows:,} rows, SQLite and embedded Valkey (aim: p50 under "
        f"{AIM_MS} ms). {about}",
        ("leg", "n", "p50 ms", "p95 ms", "max ms", "rate"),
        rows,
    )


def upload_one_by_one(api: Api, slug: str, count: int, n_rows: int) -> list[Trip]:
    """Upload files in turn; the first, which warms caches, is not counted."""
    return [one_trip(api, slug, common.predictions(n_rows, seed)) for seed in range(count + 1)][1:]


def one_trip(api: Api, slug: str, body: bytes) -> Trip:
    begun = time.time()
    receipt = api.submit(slug, body)
    accepted = time.time()
    status = common.wait_until_scored(api, receipt["id"], every=POLL_SECONDS)
    seen = time.time()
    # The server's clock is this machine's, so its times and the client's can be compared.
    claimed, written = _seconds(status["started_at"]), _seconds(status["finished_at"])
    return Trip(
        post=accepted - begun,
        to_claim=claimed - accepted,
        scoring=written - claimed,
        to_visible=seen - written,
        wait=seen - accepted,
    )


def scored_per_second(server: Server, slug: str, viewer: Viewer, count: int, n_rows: int) -> float:
    installation = server.installation
    workers = server.find_all("worker", server.workers)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    ids = [
        accept(server, slug, viewer, common.predictions(n_rows, 1_000_000 + number))
        for number in range(count)
    ]
    begun = datetime.now(UTC)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)
    for submission_id in ids:
        installation.hints.send(submission_id)

    mine = Evaluation.submission_id.in_(ids)
    until = time.monotonic() + common.WAIT_SECONDS
    while time.monotonic() < until:
        with installation.database.read() as session:
            done, last = session.execute(
                select(func.count(), func.max(Evaluation.finished_at)).where(
                    mine, Evaluation.state == "scored"
                )
            ).one()
        if done == count:
            return count / (last - begun).total_seconds()
        time.sleep(0.05)
    raise RuntimeError(f"only {done} of {count} submissions were scored")


def accept(server: Server, slug: str, viewer: Viewer, body: bytes) -> int:
    """Time the web's acceptance of an upload, without HTTP and hint."""
    installation = server.installation
    with installation.storage.receive(len(body)) as incoming:
        incoming.write(body)
        blob = incoming.keep()
    with installation.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, slug)
        receipt = submissions.accept(
            session, competition, viewer, blob, filename="bench.csv", message="", received_at=now, now=now
        )
    return receipt.id


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


if __name__ == "__main__":
    main()
