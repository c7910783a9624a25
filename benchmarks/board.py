"""Measure leaderboard pages of 10,000 teams with up to 200,000 submissions.

The rows are inserted in bulk and the board is derived from them by `standings.refresh_all`, as after a
rescore. Then Flask's test client requests pages: the time is that of the whole handler, from the WSGI call to
the last byte of HTML, without a socket. Statements are counted as they reach the database's driver.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import _common as common
from _common import median, ms, p95, p99
from flask.testing import FlaskClient
from sqlalchemy import Engine, event, insert, select
from sqlalchemy.orm import Session

from app import migrations
from app.base import config, db
from app.base.config import Settings
from app.base.db import Database
from app.base.models import (
    Challenge,
    ChallengeVersion,
    Competition,
    Evaluation,
    Membership,
    Score,
    State,
    Submission,
    Team,
)
from app.competing import competitions, leaderboard, standings
from app.people import accounts
from app.web.application import create_app

SLUG = "board-benchmark"
AIM_MS, AIM_QUERIES = 20, 5
FIRST_UPLOAD = datetime(2026, 1, 5, tzinfo=UTC)
DIGEST = "0" * 64
MANIFEST: dict[str, Any] = {
    "title": "Board benchmark",
    "metric": {"name": "log_loss", "greater_is_better": False},
    "split": {"strategy": "stratified", "public_fraction": 0.3},
    "competition": {
        "daily_limit": 5,
        "pending_limit": 3,
        "final_picks": 2,
        "max_team_size": 4,
        "timezone": "Europe/Berlin",
    },
}
PROVENANCE = {"file_sha256": DIGEST, "challenge": DIGEST, "metric": "log_loss", "metric_version": 1}


@dataclass(frozen=True)
class Page:
    name: str
    query: str
    is_signed_in: bool = False
    is_unchanged: bool = False
    """Asked with the tag that it has, of a process that keeps the board for a second."""


@dataclass(frozen=True)
class Measured:
    seconds: list[float]
    cpu_seconds: list[float]
    """Of this thread alone: what is left of the figure on a busy machine."""
    queries: int
    kilobytes: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--postgres", metavar="URL", help="measure this empty database as well")
    arguments.add_argument("--teams", type=int, default=10_000)
    arguments.add_argument(
        "--submissions", type=int, default=200_000, help="the larger size; a tenth is the smaller"
    )
    arguments.add_argument("--requests", type=int, default=100, help="for each page (default 100)")
    arguments.add_argument("--smoke", action="store_true", help="seconds instead of minutes")
    asked = arguments.parse_args()
    if asked.smoke:
        asked.teams, asked.submissions, asked.requests = 200, 2_000, 5

    about = common.machine()
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory(prefix="heldout-bench-") as folder:
        settings = Settings(data_dir=Path(folder), board_seconds=0)  # or only the first would be made
        config.prepare_data_dir(settings)
        rows += measure_database("SQLite", settings, settings.database, asked)
        if asked.postgres:
            rows += measure_database("PostgreSQL", settings, asked.postgres, asked)
    common.print_table(
        f"Leaderboard page in the handler, {asked.teams:,} teams (aim: under {AIM_MS} ms, "
        f"{AIM_QUERIES} queries, "
        f"flat). {about}; peak memory of this process {common.own_peak_mb():.0f} MB",
        (
            "page",
            "submissions",
            "median ms",
            "p95 ms",
            "p99 ms",
            "CPU ms, this process",
            "queries",
            "kB",
            "fastest, ratio to the smaller",
        ),
        rows,
    )


def measure_database(
    kind: str, settings: Settings, url: str, asked: argparse.Namespace
) -> list[list[object]]:
    database = Database(url)
    migrations.upgrade(database)
    application = create_app(settings, database=database)
    kept = create_app(replace(settings, board_seconds=3600.0), database=database)
    with database.begin() as session:
        competition = open_competition(session)
        team_ids = add_teams(session, competition, asked.teams)
        secret = sign_in_as_member(session, competition, team_ids[len(team_ids) // 2])
    rows: list[list[object]] = []
    smaller: dict[str, float] = {}
    had = 0
    for size in (asked.submissions // 10, asked.submissions):
        with database.begin() as session:
            competition = competitions.by_slug(session, SLUG)
            add_submissions(session, competition, team_ids, had, size)
        had = size
        began = time.perf_counter()
        with database.begin() as session:
            standings.refresh_all(session, competitions.by_slug(session, SLUG))
        refreshed = time.perf_counter() - began
        for page in pages(asked.teams):
            client = (kept if page.is_unchanged else application).test_client()
            if page.is_signed_in:
                with client.session_transaction() as cookie:
                    cookie["sign_in"] = secret
            found = measure(client, page, asked.requests)
            cpu = median(found.cpu_seconds)
            fastest = min(found.seconds)
            first = smaller.setdefault(page.name, fastest)
            rows.append(
                [
                    f"{kind}: {page.name}",
                    f"{size:,}",
                    ms(median(found.seconds)),
                    ms(p95(found.seconds)),
                    ms(p99(found.seconds)),
                    ms(cpu),
                    found.queries,
                    f"{found.kilobytes:.0f}",
                    f"{fastest / first:.2f}",
                ]
            )
        once = time_one_refresh(database, team_ids[0])
        rows.append([f"{kind}: (one team's row rewritten)", f"{size:,}", ms(once), "", "", "", "", "", ""])
        rows.append(
            [f"{kind}: (the whole board rewritten)", f"{size:,}", ms(refreshed), "", "", "", "", "", ""]
        )
    database.dispose()
    return rows


def pages(n_teams: int) -> list[Page]:
    last = -(-n_teams // leaderboard.PAGE_SIZE)
    return [
        Page("first page", ""),
        Page("middle page", f"?page={last // 2}"),
        Page("last page", f"?page={last}"),
        Page("search, few hits", "?q=team+0042"),
        Page("search, no hit", "?q=no-such-team"),
        Page("sorted by team", "?sort=team"),
        Page("sorted by entries", "?sort=-entries"),
        Page("signed in, own row elsewhere", "", is_signed_in=True),
        Page("polled, changed", "?part=live"),
        Page("polled, unchanged (304)", "?part=live", is_unchanged=True),
        Page("polled, own strip", "?part=mine", is_signed_in=True),
    ]


def measure(client: FlaskClient, page: Page, count: int) -> Measured:
    address = f"/competitions/{SLUG}/leaderboard{page.query}"
    headers = {"If-None-Match": client.get(address).headers["ETag"]} if page.is_unchanged else {}
    with counted_statements() as statements:
        answer = client.get(address, headers=headers)
    # The first request compiles the template and the statements; what is measured comes after it.
    expected = (
        (304, b"")
        if page.is_unchanged
        else (200, b'id="strip"' if "part=mine" in page.query else b'id="board"')
    )
    if answer.status_code != expected[0] or expected[1] not in answer.data:
        raise RuntimeError(f"{address} answered {answer.status_code}: {answer.data[:500]!r}")
    if page.is_signed_in and b"pinned" not in answer.data and "part" not in page.query:
        raise RuntimeError("the own row is not on the page")
    times = [timed(lambda: client.get(address, headers=headers)) for _ in range(count)]
    return Measured([t[0] for t in times], [t[1] for t in times], len(statements), len(answer.data) / 1000)


def timed(do: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock, and of this thread's processor time."""
    began, cpu_began = time.perf_counter(), time.thread_time()
    do()
    return time.perf_counter() - began, time.thread_time() - cpu_began


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "SET TRANSACTION")):
            seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


def time_one_refresh(database: Database, team_id: int) -> float:
    """Return the median time that recording a score adds.

    Of 20 transactions.
    """
    seconds = []
    for _ in range(20):
        with database.begin() as session:
            began = time.perf_counter()
            standings.refresh(session, team_id)
            seconds.append(time.perf_counter() - began)
    return median(seconds)


# -- a large competition, without any file -----------------------------------------------------


def open_competition(session: Session) -> Competition:
    now = FIRST_UPLOAD - timedelta(days=1)
    version = ChallengeVersion(
        challenge=Challenge(slug=SLUG, created_at=now),
        number=1,
        digest=DIGEST,
        solution_digest=DIGEST,
        metric_digest=DIGEST,
        manifest=MANIFEST,
        created_at=now,
    )
    session.add(version)
    session.flush()
    return competitions.open_(session, version, now=now, max_upload_bytes=10**7)


def add_teams(session: Session, competition: Competition, count: int) -> list[int]:
    """Eight of them are baselines."""
    rows = [
        {
            "competition_id": competition.id,
            "name": f"Team {number:05d}",
            "is_baseline": number % (count // 8) == 3,
            "created_at": FIRST_UPLOAD,
        }
        for number in range(count)
    ]
    session.execute(insert(Team), rows)
    return list(
        session.scalars(select(Team.id).where(Team.competition_id == competition.id).order_by(Team.id))
    )


def sign_in_as_member(session: Session, competition: Competition, team_id: int) -> str:
    now = db.now(session)
    user = accounts.register(session, "ada", None, now=now)
    session.flush()
    session.add(Membership(competition_id=competition.id, user_id=user.id, team_id=team_id, joined_at=now))
    return accounts.sign_in(session, user.id, now=now, days=1)


def add_submissions(
    session: Session,
    competition: Competition,
    team_ids: list[int],
    start: int,
    end: int,
    sha256: Callable[[int], str] = "{:064x}".format,
) -> None:
    """Add scored files `start` to `end`, dealt to the teams in turn.

    The team that signs in stays in the middle.
    """
    dice = random.Random(start)
    round_id = competitions.active_round(session, competition).id
    last_id = session.scalars(select(Submission.id).order_by(Submission.id.desc()).limit(1)).first() or 0
    for chunk in range(start, end, 10_000):
        numbers = range(chunk, min(end, chunk + 10_000))
        ids = range(last_id + 1, last_id + 1 + len(numbers))
        last_id += len(numbers)
        at = [FIRST_UPLOAD + timedelta(seconds=30 * number) for number in numbers]
        skill = [number % len(team_ids) / len(team_ids) for number in numbers]
        session.execute(
            insert(Submission),
            [
                {
                    "id": i,
                    "competition_id": competition.id,
                    "team_id": team_ids[number % len(team_ids)],
                    "received_at": moment,
                    "day": date(2026, 1, 5),
                    "filename": "predictions.csv",
                    "message": "",
                    "sha256": sha256(number),
                    "size_bytes": 20_000,
                    "is_charged": True,
                }
                for i, number, moment in zip(ids, numbers, at, strict=True)
            ],
        )
        session.execute(
            insert(Evaluation),
            [
                {
                    "submission_id": i,
                    "round_id": round_id,
                    "state": State.SCORED,
                    "attempt": 1,
                    "problem_count": 0,
                    "next_try_at": moment,
                    "started_at": moment,
                    "finished_at": moment,
                }
                for i, moment in zip(ids, at, strict=True)
            ],
        )
        session.execute(
            insert(Score),
            [
                {
                    # Three decimals of a thousand teams: ties are as common as on a real board.
                    "submission_id": i,
                    "round_id": round_id,
                    "public": shown,
                    "shown": shown,
                    "shown_also": {},
                    "private": round(0.3 + s + dice.random() / 10, 4),
                    "also": {},
                    "notices": [],
                    "provenance": PROVENANCE,
                }
                for i, s in zip(ids, skill, strict=True)
                for shown in (round(0.3 + s + dice.random() / 10, 3),)
            ],
        )


if __name__ == "__main__":
    main()
