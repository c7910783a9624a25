"""Upload over HTTP while every part is killed with -9.

Clients retry with the same Idempotency-Key until they hold a receipt or a refusal. Every team sends more than
its quota allows. Valkey loses its content at every kill. The tables' keys alone do not prove that a
submission was scored once: a trigger of this run counts every score ever written.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import math
import os
import random
import re
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import _common as common
import postgres
from sqlalchemy import create_engine, func, select, text
from sqlalchemy.exc import DBAPIError

from app.base.errors import NotFound
from app.base.installation import Installation
from app.base.models import Evaluation, Quota, Round, RoundState, Score, Standing, State, Submission
from app.competing import competitions

TEAMS = 25
CLIENTS = 8
ROWS = 200
BEYOND_LIMIT = 4
"""How many more files than its quota allows each team sends."""
GIVE_UP_SECONDS = 180.0
PROGRESS_SECONDS = 10.0
"""A kill waits so long at most for something to be finished since the last one."""

COUNT_EVERY_SCORE = {
    "sqlite": [
        (
            "CREATE TRIGGER bench_scored AFTER INSERT ON score "
            "BEGIN INSERT INTO bench_scored VALUES (NEW.submission_id); END"
        )
    ],
    "postgresql": [
        (
            "CREATE FUNCTION bench_scored() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO bench_scored VALUES (NEW.submission_id); RETURN NULL; END $$"
        ),
        ("CREATE TRIGGER bench_scored AFTER INSERT ON score FOR EACH ROW EXECUTE FUNCTION bench_scored()"),
    ],
}


@dataclass(frozen=True)
class Size:
    submissions: int
    kills: int
    seconds: float
    """Over which uploads and kills are spread."""
    lease_seconds: int = 30
    hint_seconds: int = 15
    sweep_seconds: float = 2.0
    stops: int = 5
    """How many work-horses are stopped amid a file until their lease has run out, and then let go on."""


TINY = Size(75, 5, 8, lease_seconds=5, hint_seconds=3, sweep_seconds=0.5, stops=1)
SMALL = Size(500, 25, 30, lease_seconds=5, hint_seconds=3, sweep_seconds=0.5, stops=1)
FULL = Size(10_000, 200, 600)


@dataclass
class Seen:
    """What the clients received and what was killed."""

    receipts: list[dict[str, object]] = field(default_factory=list)
    refused: int = 0
    retries: int = 0
    odd: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    stops: int = 0
    stopped: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def run(
    name: str, size: Size, *, seed: int, database: str, own_metric: bool = False, keep: Path | None = None
) -> list[str]:
    """Print the table; return the broken promises in words.

    With `own_metric` the organiser's code scores, and the processes of the sandbox are killed too. `keep` is
    where the server's log goes.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heldout-chaos-")))
        server_of_its_own = stack.enter_context(postgres.running()) if database == "postgres" else None
        more = {"database_url": server_of_its_own.url} if server_of_its_own else {}
        about = common.machine()
        server = stack.enter_context(
            common.serving(
                folder / "data",
                workers=2,
                lease_seconds=size.lease_seconds,
                hint_seconds=size.hint_seconds,
                sweep_seconds=size.sweep_seconds,
                **more,
            )
        )
        installation = server.installation
        slug = common.publish(
            installation, common.write_challenge(folder / "bench", ROWS, own_metric=own_metric)
        )
        limit = math.ceil(size.submissions / TEAMS)
        with installation.database.begin() as session:
            competitions.by_slug(session, slug).daily_limit = limit
        tokens = [common.add_user(installation, f"team{n}", slug=slug)[1] for n in range(TEAMS)]
        _count_every_score(installation)
        _wait_for_workers(server, installation)

        seen, began = Seen(), time.monotonic()
        work = [(t, n) for t in range(TEAMS) for n in range(limit + BEYOND_LIMIT)]
        random.Random(seed).shuffle(work)
        todo = iter(enumerate(work))
        clients = [
            threading.Thread(
                target=_client, args=(server.address, slug, tokens, todo, len(work), size, seed, began, seen)
            )
            for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        kinds = ["web", "worker", "work-horse", "sweeper", "Valkey"]
        kinds += ["PostgreSQL"] if server_of_its_own else []
        kinds += 4 * ["sandbox"] if own_metric else []
        dice = random.Random(seed + 1)
        _kill_at_random(server, server_of_its_own, installation, size, kinds, dice, began, seen)
        for client in clients:
            client.join()
        stuck = _wait_until_final(installation)
        figures, broken = _judge(installation, server.log, limit, seen, stuck)
        if keep is not None:
            shutil.copy(server.log, keep)
        installation.database.dispose()
    took = time.monotonic() - began
    kills = ", ".join(f"{what} {count}" for what, count in sorted(seen.kills.items()))
    common.print_table(
        f"Kill storm ({name}) on {database}: {len(work):,} uploads of {ROWS} rows by {TEAMS} teams "
        f"of limit {limit}, {'own metric' if own_metric else 'log loss'}, "
        f"{sum(seen.kills.values())} kill -9 ({kills}), lease {size.lease_seconds} s, {took:.0f} s. {about}",
        ("", "figure"),
        [*figures.items()],
    )
    return broken


# -- the clients -------------------------------------------------------------------------------------


def _client(
    address: str,
    slug: str,
    tokens: Sequence[str],
    todo: Iterator[tuple[int, tuple[int, int]]],
    total: int,
    size: Size,
    seed: int,
    began: float,
    seen: Seen,
) -> None:
    host, port = address.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    while True:
        with seen.lock:
            found = next(todo, None)
        if found is None:
            return
        place, (team, number) = found
        # Spread over the storm, so that something is always on its way when something is killed.
        time.sleep(max(0.0, began + size.seconds * place / total - time.monotonic()))
        body = common.predictions(ROWS, seed * 1_000_000 + team * 10_000 + number)
        headers = {
            "Authorization": f"Bearer {tokens[team]}",
            "Content-Type": "text/csv",
            "Idempotency-Key": f"{seed}-{team}-{number}",
        }
        until = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                connection.request("POST", f"/api/v1/competitions/{slug}/submissions", body, headers)
                answer = connection.getresponse()
                status, content = answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                status, content = 0, b""
            with seen.lock:
                if status == 201:
                    receipt = json.loads(content)
                    if receipt["sha256"] != hashlib.sha256(body).hexdigest():
                        seen.odd["receipt of another file"] += 1
                    seen.receipts.append(receipt)
                    break
                if status == 429 and b"are used" in content:
                    seen.refused += 1
                    break
                if 400 <= status < 500 and status != 429:
                    seen.odd[f"{status} {content[:120].decode(errors='replace')}"] += 1
                    break
                if time.monotonic() > until:
                    seen.odd[f"gave up after {GIVE_UP_SECONDS:g} s, last status {status}"] += 1
                    break
                seen.retries += 1
            time.sleep(0.2)


# -- the killer --------------------------------------------------------------------------------------


def _kill_at_random(
    server: common.Server,
    database: postgres.Postgres | None,
    installation: Installation,
    size: Size,
    kinds: Sequence[str],
    dice: random.Random,
    began: float,
    seen: Seen,
) -> None:
    for number in range(size.kills):
        due = began + size.seconds * (number + dice.random()) / size.kills
        time.sleep(max(0.0, due - time.monotonic()))
        _wait_for_progress(installation)
        if number % (size.kills // size.stops) == 0:
            seen.stops += _stop_for_longer_than_a_lease(installation, size, dice, seen.stopped)
        kind = dice.choice(kinds)
        if kind == "PostgreSQL":
            assert database is not None
            database.kill()
            time.sleep(0.3)
            database.start()
            seen.kills[kind] += 1
            continue
        until = time.monotonic() + 20
        # What was killed a moment ago may not be back yet; a work-horse lives only while there is work.
        while (
            not (pids := _victims(server, installation, kind, dice, seen.stopped))
            and time.monotonic() < until
        ):
            time.sleep(0.005)
        if kind == "Valkey":
            shutil.rmtree(
                server.data_dir / "valkey" / "appendonlydir", ignore_errors=True
            )  # wiped, not only killed
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        seen.kills[kind] += bool(pids)


def _wait_for_progress(installation: Installation) -> None:
    """Wait until more evaluations are finished.

    Otherwise a slow machine is only ever killed while it starts.
    """
    count = select(func.count().filter(Evaluation.finished_at.is_not(None)), func.count())
    before, until = None, time.monotonic() + PROGRESS_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(DBAPIError), installation.database.read() as session:
            finished, there = session.execute(count).tuples().one()
            before = finished if before is None else before
            if finished > before or finished == there:
                return
        time.sleep(0.02)


def _victims(
    server: common.Server, installation: Installation, kind: str, dice: random.Random, spared: set[int]
) -> list[int]:
    """Return children of this run's own server, never by name."""
    if kind == "web":
        masters = server.find("app.web")
        return [*masters, *(pid for master in masters for pid in common.children(master))]
    if kind == "work-horse":
        busy = [pair for pair in _busy(installation) if pair[1] not in spared]
        return [dice.choice(busy)[1]] if busy else []
    if kind == "sandbox":
        theirs = [pid for worker in server.find("worker") for pid in common.children(worker)]
        found = [pid for pid in theirs if "_zygote.py" in common.command(pid)]
        return [dice.choice(found)] if found else []
    found = server.find({"worker": "worker", "sweeper": "worker.sweeper", "Valkey": "valkey"}[kind])
    if kind == "worker":  # rather a busy one; not one whose stopped work-horse would die with it
        found = [worker for worker in found if not spared & set(common.children(worker))]
        found = sorted({worker for worker, _ in _busy(installation)} & set(found)) or found
    return [dice.choice(found)] if found else []


def _busy(installation: Installation) -> list[tuple[int, int]]:
    """Return workers and work-horses that hold a lease now.

    By the database.
    """
    held = select(Evaluation.lease_token).where(Evaluation.state == State.RUNNING)
    try:
        with installation.database.read() as session:
            tokens = [token for token in session.scalars(held) if token is not None]
    except DBAPIError:
        return []
    pids = [tuple(map(int, token.rsplit(":", 1)[0].split("/")[-2:])) for token in tokens]
    # A lease may outlive its holder; and only a child of that worker is this run's.
    return [(worker, horse) for worker, horse in pids if horse in common.children(worker)]


def _stop_for_longer_than_a_lease(
    installation: Installation, size: Size, dice: random.Random, stopped: set[int]
) -> bool:
    until = time.monotonic() + 20
    while not (busy := _busy(installation)) and time.monotonic() < until:
        time.sleep(0.005)
    if not busy:
        return False
    worker, horse = dice.choice(busy)
    with contextlib.suppress(ProcessLookupError):
        os.kill(horse, signal.SIGSTOP)
    stopped.add(horse)

    def go_on() -> None:
        if horse in common.children(worker):
            os.kill(horse, signal.SIGCONT)

    threading.Timer(size.lease_seconds + 2, go_on).start()
    return True


# -- what came of it ---------------------------------------------------------------------------------


def _wait_for_workers(server: common.Server, installation: Installation) -> None:
    """Wait until both workers have reported."""
    until = time.monotonic() + common.WAIT_SECONDS
    while time.monotonic() < until:
        with installation.database.read() as session:
            alive = session.scalar(text("SELECT count(*) FROM heartbeat WHERE kind = 'worker'"))
        if alive >= server.workers:
            return
        time.sleep(0.05)
    raise RuntimeError("the workers did not come up")


def _wait_until_final(installation: Installation) -> int:
    """Wait; return how many are still open at the end.

    The wait ends when none has been finished for GIVE_UP_SECONDS.
    """
    still = select(func.count()).where(Evaluation.state.in_((State.QUEUED, State.RUNNING)))
    until, count = time.monotonic() + GIVE_UP_SECONDS, -1
    while count and time.monotonic() < until:
        with contextlib.suppress(DBAPIError), installation.database.read() as session:
            found = session.scalar(still) or 0
            if found != count:
                count, until = found, time.monotonic() + GIVE_UP_SECONDS
        time.sleep(0.1)
    return count


def _judge(
    installation: Installation, log: Path, limit: int, seen: Seen, stuck: int
) -> tuple[dict[str, object], list[str]]:
    with installation.database.read() as session:
        submissions = {row.id: row for row in session.scalars(select(Submission))}
        evaluations = list(
            session.scalars(select(Evaluation).join(Round).where(Round.state == RoundState.ACTIVE))
        )
        scores = Counter(session.scalars(select(Score.submission_id)))
        written = dict(
            session.execute(text("SELECT submission_id, count(*) FROM bench_scored GROUP BY submission_id"))
            .tuples()
            .all()
        )
        quotas = {(row.team_id, row.day): row.used for row in session.scalars(select(Quota))}
        standings = {row.team_id: row.entries for row in session.scalars(select(Standing))}
        sound = (
            "ok" if not installation.database.is_sqlite else session.scalar(text("PRAGMA integrity_check"))
        )
    state = {e.submission_id: e.state for e in evaluations}
    failed = sum(e.state == State.FAILED for e in evaluations)
    counted = Counter((s.team_id, s.day) for s in submissions.values() if s.is_charged)
    scored = Counter(submissions[e.submission_id].team_id for e in evaluations if e.state == State.SCORED)
    waits = sorted(
        (e.finished_at - submissions[e.submission_id].received_at).total_seconds()
        for e in evaluations
        if e.finished_at is not None
    )
    final = (State.SCORED, State.REJECTED, State.FAILED)
    receipts = {int(str(r["id"])): r for r in seen.receipts}
    zero: dict[str, int] = {
        "lost (a receipt without a row, a file or an end)": sum(
            id_ not in submissions
            or state.get(id_) not in final
            or not _is_stored(installation, str(r["sha256"]))
            for id_, r in receipts.items()
        ),
        "two receipts of one submission": len(seen.receipts) - len(receipts),
        "rows without a receipt": len(submissions.keys() - receipts.keys()),
        "scored with other than one active score": sum(
            (scores[e.submission_id], written.get(e.submission_id, 0))
            != ((1, 1) if e.state == State.SCORED else (0, 0))
            for e in evaluations
        ),
        "accepted other than the limits allow": 0 if failed else abs(len(receipts) - TEAMS * limit),
        "teams over quota": sum(used > limit for used in quotas.values()),
        "quota used other than counted": sum(
            quotas.get(key, 0) != counted[key] for key in quotas.keys() | counted.keys()
        ),
        "receipts whose sha256 is not the stored file's": sum(
            not _is_stored(installation, str(r["sha256"])) for r in receipts.values()
        ),
        "still open, or a lease still held": stuck + sum(e.lease_token is not None for e in evaluations),
        "teams whose board row is not their scores": sum(
            standings.get(team, 0) != scored[team] for team in standings.keys() | scored.keys()
        ),
        **({"integrity_check not ok": int(sound != "ok")} if installation.database.is_sqlite else {}),
        "answers that should not be": seen.odd.total(),
    }
    figures: dict[str, object] = {"accepted (201)": len(receipts), "refused over the limit": seen.refused}
    figures |= zero
    figures |= {
        "failed (alarm, refunded)": failed,
        "client retries": seen.retries,
        "work-horses stopped for longer than a lease": seen.stops,
        "extra executions": sum(e.attempt - 1 for e in evaluations),
        "late runs fenced off": len(re.findall("another run has taken over", log.read_text())),
        "time to score p50 / p99 / max, s": " / ".join(
            f"{w:.1f}" for w in (waits[len(waits) // 2], waits[math.ceil(0.99 * len(waits)) - 1], waits[-1])
        ),
        "longest without progress, s": f"{_longest_pause([*submissions.values()], evaluations):.1f}",
    }
    broken = [f"{count} {what}" for what, count in zero.items() if count]
    broken += [f"{count} times: {what}" for what, count in seen.odd.items()]
    if not figures["extra executions"]:
        broken.append("no kill met a file at work, so this run has shown nothing")
    return figures, broken


def _is_stored(installation: Installation, sha256: str) -> bool:
    try:
        path = installation.storage.path(sha256)
    except NotFound:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _longest_pause(submissions: Sequence[Submission], evaluations: Sequence[Evaluation]) -> float:
    """Return the longest wait in which nothing was finished."""
    steps: list[tuple[datetime, int]] = [(s.received_at, 1) for s in submissions]
    steps += [(e.finished_at, -1) for e in evaluations if e.finished_at is not None]
    waiting, since, longest = 0, None, 0.0
    for at, step in sorted(steps):
        if since is not None and step < 0:
            longest = max(longest, (at - since).total_seconds())
        waiting += step
        if step < 0 or waiting == 1:
            since = at if waiting else None
    return longest


def _count_every_score(installation: Installation) -> None:
    engine = create_engine(installation.database.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE bench_scored (submission_id INTEGER)")
        for statement in COUNT_EVERY_SCORE[engine.dialect.name]:
            connection.exec_driver_sql(statement)
    engine.dispose()
