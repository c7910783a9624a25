"""Measure the last minute before a close, and a busy board.

The board has hundreds of readers while files are uploaded. One process plays every client with a thread each,
on the same cores as the server: the waiting times are those of a machine that carries both.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import _common as common
import capacity
import postgres
from sqlalchemy import select

from app.base import db
from app.base.installation import Installation
from app.base.models import Quota, Submission
from app.competing import competitions

ROWS = 200
LATE_SECONDS = 3.0


@dataclass(frozen=True)
class Stampede:
    teams: int = 200
    limit: int = 5
    uploads: int = 1_000
    seconds: float = 60.0
    rush: float = 0.3
    """Share of the uploads in the last two seconds; a tenth more comes after the close."""


@dataclass(frozen=True)
class Readers:
    readers: int = 500
    uploads_a_second: int = 17
    seconds: float = 60.0
    teams: int = 100


@dataclass
class Answers:
    """Every answer of the server.

    The team, when the request was sent, how long it took, its status and its content.
    """

    requests: list[tuple[int, float, float, int, bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def stampede(size: Stampede, *, seed: int, database: str) -> list[str]:
    dice = random.Random(seed)
    about = common.machine()
    with _serving(database) as (server, installation, folder):
        slug, tokens = _publish(installation, folder, size.teams, size.limit)
        with installation.database.begin() as session:
            close = db.now(session) + timedelta(seconds=size.seconds + 5)
            competitions.by_slug(session, slug).closes_at = close
        closes = time.time() + (close - datetime.now(UTC)).total_seconds()
        rush, late = round(size.rush * size.uploads), size.uploads // 10
        at = [dice.uniform(-2, 0) for _ in range(rush)]
        at += [dice.uniform(-size.seconds, -2) for _ in range(size.uploads - rush)]
        at += [dice.uniform(0.05, LATE_SECONDS) for _ in range(late)]
        plans: dict[tuple[int, int], list[float]] = {
            (t, tab): [] for t in range(size.teams) for tab in (0, 1)
        }
        for moment in at:
            plans[dice.randrange(size.teams), dice.randrange(2)].append(closes + moment)
        answers = Answers()
        _all_at_once(
            threading.Thread(
                target=_tab, args=(server.address, slug, tokens[team], team, tab, sorted(moments), answers)
            )
            for (team, tab), moments in plans.items()
        )
        with installation.database.read() as session:
            stored = [(row.team_id, row.received_at) for row in session.scalars(select(Submission))]
            used = list(session.scalars(select(Quota.used)))
    accepted, over, closed, other = Counter[int](), Counter[int](), Counter[int](), Counter[str]()
    early_but_closed = 0
    for team, asked, _, status, content in answers.requests:
        if status == 201:
            accepted[team] += 1
        elif status == 429 and b"are used" in content:
            over[team] += 1
        elif b" closed on " in content:
            closed[team] += 1
            early_but_closed += asked < closes
        else:
            other[f"{status} {content[:100].decode(errors='replace')}"] += 1
    # The rule: of a team's files that were not too late, as many as its limit allows.
    rule = {t: min(size.limit, accepted[t] + over[t]) for t in range(size.teams)}
    after = sum(received >= close for _, received in stored)
    zero: dict[str, int] = {
        "teams with other than the rule's count": sum(accepted[t] != n for t, n in rule.items()),
        "received at or after the close, yet accepted": after,
        "asked for after the close, yet accepted": sum(
            status == 201 and asked >= closes for _, asked, _, status, _ in answers.requests
        ),
        "receipts without a row, or rows without a receipt": abs(len(stored) - accepted.total()),
        "quota used other than accepted": abs(sum(used) - accepted.total()),
        "other answers": other.total(),
    }
    took = sorted(took for _, _, took, _, _ in answers.requests)
    rushed = sorted(took for _, asked, took, _, _ in answers.requests if -2 <= asked - closes < 0)
    common.print_table(
        f"Deadline rush, {database}: {size.uploads:,} uploads in the last {size.seconds:g} s, "
        f"{rush} of them in the last 2 s, and {late} after the close, by {size.teams} teams of "
        f"limit {size.limit} with two tabs each. {about}",
        ("", "figure"),
        [
            ("accepted", accepted.total()),
            ("the rule's count", sum(rule.values())),
            ("refused over the limit / as closed", f"{over.total()} / {closed.total()}"),
            ("of those closed: begun by the client before the close", early_but_closed),
            *zero.items(),
            ("an upload's answer p50 / p99 / max, s", _three(took, 0.5, 0.99, 1)),
            ("the same in the last 2 s", _three(rushed, 0.5, 0.99, 1)),
        ],
    )
    return [f"{count} {what}" for what, count in zero.items() if count] + list(other)


def read_the_board(size: Readers, *, seed: int, database: str) -> list[str]:
    about = common.machine()
    with _serving(database) as (server, installation, folder):
        slug, tokens = _publish(installation, folder, size.teams, 10_000)
        pages, uploads = Answers(), Answers()
        common.wait_for_workers(server)
        for n, token in enumerate(tokens):  # a full page of the board from the start
            common.Api(server.address, token).submit(slug, common.predictions(ROWS, 900_000 + n))
        common.wait_until_all_scored(installation)
        spent = capacity.cpu_seconds(server, "app.web")
        begin = time.time() + 2
        end = begin + size.seconds
        _all_at_once(
            [
                *(
                    threading.Thread(
                        target=_reader,
                        args=(server.address, slug, random.Random(seed + n), begin, end, pages),
                    )
                    for n in range(size.readers)
                ),
                *(
                    threading.Thread(
                        target=_tab,
                        args=(
                            server.address,
                            slug,
                            tokens[n % size.teams],
                            n,
                            0,
                            [begin + n / size.uploads_a_second + s for s in range(int(size.seconds))],
                            uploads,
                        ),
                    )
                    for n in range(size.uploads_a_second)
                ),
            ]
        )
        lasted = time.time() - begin
        spent = capacity.cpu_seconds(server, "app.web") - spent
    odd = Counter(f"{status} for a page" for _, _, _, status, _ in pages.requests if status != 200)
    odd.update(f"{status} for an upload" for _, _, _, status, _ in uploads.requests if status != 201)
    common.print_table(
        f"Board readers, {database}: {size.readers} readers that pause for 5 s ± 2 s, "
        f"beside {size.uploads_a_second} uploads a second, for {size.seconds:g} s (it lasted "
        f"{lasted:.0f} s, and the web took {spent:.1f} s of processor time). {about}",
        ("", "answers", "p50 ms", "p95 ms", "p99 ms"),
        [
            (
                what,
                len(answers.requests),
                *(common.ms(_at(sorted(a[2] for a in answers.requests), q)) for q in (0.5, 0.95, 0.99)),
            )
            for what, answers in (("a page of the board", pages), ("an upload", uploads))
        ],
    )
    return [f"{count} times {what}" for what, count in odd.items()]


@contextlib.contextmanager
def _serving(database: str) -> Iterator[tuple[common.Server, Installation, Path]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heldout-chaos-")))
        more = {"database_url": stack.enter_context(postgres.running()).url} if database == "postgres" else {}
        server = stack.enter_context(common.serving(folder / "data", workers=1, **more))
        installation = server.installation
        stack.callback(installation.database.dispose)
        yield server, installation, folder


def _publish(installation: Installation, folder: Path, teams: int, limit: int) -> tuple[str, list[str]]:
    slug = common.publish(installation, common.write_challenge(folder / "bench", ROWS))
    with installation.database.begin() as session:
        competitions.by_slug(session, slug).daily_limit = limit
    return slug, [common.add_user(installation, f"team{n}", slug=slug)[1] for n in range(teams)]


def _all_at_once(threads: Iterable[threading.Thread]) -> None:
    begun = list(threads)
    for thread in begun:
        thread.start()
    for thread in begun:
        thread.join()


def _tab(
    address: str, slug: str, token: str, team: int, tab: int, moments: Sequence[float], answers: Answers
) -> None:
    bodies = [common.predictions(ROWS, team * 1000 + tab * 500 + n) for n in range(len(moments))]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
    for number, (moment, body) in enumerate(zip(moments, bodies, strict=True)):
        more = {**headers, "Idempotency-Key": f"{team}-{tab}-{number}"}
        _ask(address, "POST", f"/api/v1/competitions/{slug}/submissions", moment, team, answers, body, more)


def _reader(address: str, slug: str, dice: random.Random, begin: float, end: float, answers: Answers) -> None:
    moment = begin + dice.uniform(0, 5)
    while moment < end:
        _ask(address, "GET", f"/competitions/{slug}/leaderboard", moment, 0, answers)
        moment = time.time() + max(0.0, dice.gauss(5, 2))


def _ask(
    address: str,
    method: str,
    path: str,
    moment: float,
    team: int,
    answers: Answers,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> None:
    """Send one request over a new connection, without retries.

    As clients do that come after some seconds.
    """
    time.sleep(max(0.0, moment - time.time()))
    host, port = address.removeprefix("http://").rsplit(":", 1)
    asked = time.time()
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        status, content = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as wrong:
        status, content = 0, json.dumps(str(wrong)).encode()
    finally:
        connection.close()
    with answers.lock:
        answers.requests.append((team, asked, time.time() - asked, status, content[:300]))


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _three(ordered: Sequence[float], *parts: float) -> str:
    return " / ".join(f"{_at(ordered, part):.2f}" for part in parts)
