"""Test a full disk, a full Redis and too few file descriptors.

Every acknowledged upload must be stored, and the service must recover.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import itertools
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import _common as common
import postgres
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from app.base import config, db
from app.base.config import Settings
from app.base.errors import NotFound, Refused
from app.base.installation import Installation
from app.base.models import Evaluation, Quota, Score, State, Submission
from app.competing import competitions, rescores
from app.operating import serve

ROWS = 5_000
PATIENCE_SECONDS = 120.0
SPARE_DESCRIPTORS = 12
STARVED_SECONDS = 2.0
"""After the last upload: long enough for what it left to be tried and to fail."""


def disk(
    *, uploads: int = 60, before: int = 5, disk_mib: int = 96, left_kib: int = 2_500, database: str = "sqlite"
) -> list[str]:
    """Upload and rescore while the disk is almost full; then make room.

    The file system is the run's own; PostgreSQL, which needs more of it, has its files there too.
    """
    broken: list[str] = []
    about = common.machine()
    on_postgres = database == "postgres"
    disk_mib, left_kib = (disk_mib + 160, left_kib - 1_000) if on_postgres else (disk_mib, left_kib)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_small_disk(disk_mib))
        url = ""
        if on_postgres:
            folder.chmod(0o755)  # the server has an account of its own
            url = stack.enter_context(postgres.running(folder)).url
        # Without the floor, which would refuse every upload before the disk is full.
        server = stack.enter_context(
            common.serving(folder / "data", workers=1, disk_floor_mb=0, database_url=url)
        )
        installation, slug, token = _publish(folder, url)
        common.wait_for_workers(server)
        statuses, receipts = Counter[int](), []
        for number in range(before):
            receipts += _send(server.address, slug, token, number, Counter())
        _wait(installation, broken)
        ballast = folder / "ballast"
        with ballast.open("wb") as file:
            file.write(b"\1" * (shutil.disk_usage(folder).free - left_kib * 1024))
        for number in range(before, before + uploads // 2):
            receipts += _send(server.address, slug, token, number, statuses)
        words = _rescore(installation, slug)
        for number in range(before + uploads // 2, before + uploads):
            receipts += _send(server.address, slug, token, number, statuses)
        log = server.log.read_text()
        died = log.count("starting it again")
        ballast.unlink()
        after = Counter[int]()
        again = _send(server.address, slug, token, 10_000, after, patience=PATIENCE_SECONDS)
        open_ = _wait(installation, broken)
        if words != "begun":
            broken += [
                f"a rescore after room was made: {said}"
                for said in [_rescore(installation, slug)]
                if said != "begun"
            ]
        rescored = _apply_rescore(installation, broken)
        lost = _lost(installation, [*receipts, *again])
        with installation.database.read() as session:
            sound = "ok" if on_postgres else session.scalar(text("PRAGMA integrity_check"))
            ids = set(session.scalars(select(Submission.id)))
        unknown_rows = len(ids) - len({r["id"] for r in [*receipts, *again]})
        incoming = len(list((folder / "data").rglob("incoming/*")))
        installation.database.dispose()
    common.print_table(
        f"Full disk, on {database}: {uploads} uploads of {ROWS} rows with {left_kib} KiB left of {disk_mib} "
        f"MiB, and a rescore. {about}",
        ("", "figure"),
        [
            ("answers by status", ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items()))),
            ("acknowledged, and not there or not scored", lost),
            ("rows without a receipt", unknown_rows),
            ("half files left", incoming),
            ("processes started again", died),
            ("a rescore begun while it was full", words),
            ("scores of the rescore", rescored),
            ("integrity_check", sound),
            ("after room was made", ", ".join(f"{s}: {n}" for s, n in sorted(after.items()))),
            ("still open", open_),
        ],
    )
    if lost or unknown_rows or sound != "ok" or not again or rescored != len(ids):
        broken.append("the full disk cost something")
    if statuses.keys() <= {201}:
        broken.append("the disk was never full, so this run has shown nothing")
    return broken


def _rescore(installation: Installation, slug: str) -> str:
    """Begin a rescore under the same version; return what came of it in words."""
    try:
        with installation.database.begin() as session:
            competition = competitions.by_slug(session, slug)
            rescores.begin_rescore(
                session, competition, competition.version, reason="once more", now=db.now(session)
            )
    except (DBAPIError, Refused) as refused:
        return f"refused: {type(refused).__name__}"
    return "begun"


def _apply_rescore(installation: Installation, broken: list[str]) -> int:
    """Wait until the rescore is finished and apply it; return its number of scores."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with installation.database.begin() as session:
            for draft_id in rescores.finished_drafts(session):
                rescores.activate(session, draft_id, by="benchmark", now=db.now(session))
                return session.scalar(select(func.count()).where(Score.round_id == draft_id)) or 0
        time.sleep(0.2)
    broken.append(f"the rescore was not finished after {PATIENCE_SECONDS:g} s")
    return 0


def redis(*, uploads: int = 60) -> list[str]:
    """Run with Redis at its maxmemory with noeviction.

    Every write to it is refused from then on.
    """
    broken: list[str] = []
    about = common.machine()
    with tempfile.TemporaryDirectory(prefix="heldout-chaos-") as name:
        folder = Path(name)
        with (
            _queue(folder) as client,
            common.serving(
                folder / "data", workers=1, redis_url=Settings(data_dir=folder / "queue").redis
            ) as server,
        ):
            installation, slug, token = _publish(folder)
            common.wait_for_workers(server)
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
            statuses, receipts = Counter[int](), []
            for number in range(uploads):
                receipts += _send(server.address, slug, token, number, statuses)
            began = time.monotonic()
            open_ = _wait(installation, broken)
            took = time.monotonic() - began
            lost = _lost(installation, receipts)
            refused = int(client.info("stats")["total_error_replies"])  # type: ignore[index]
            client.config_set("maxmemory", "0")
            receipts += _send(server.address, slug, token, 10_000, statuses)
            open_ += _wait(installation, broken)
            lost += _lost(installation, receipts[-1:])
            log_lines = server.log.read_text().count("\n")
            installation.database.dispose()
    common.print_table(
        f"Full Redis (maxmemory with noeviction): {uploads} uploads of {ROWS} rows, one more after. {about}",
        ("", "figure"),
        [
            ("answers by status", ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items()))),
            ("writes that Redis refused", refused),
            ("acknowledged, and not there or not scored", lost),
            ("still open", open_),
            ("from the last upload until all were scored, s", f"{took:.1f}"),
            ("lines in the server's log", log_lines),
        ],
    )
    if lost or open_ or statuses.keys() != {201}:
        broken.append("the full Redis cost something")
    if not refused:
        broken.append("Redis refused nothing, so this run has shown nothing")
    return broken


def descriptors(*, uploads: int = 4) -> list[str]:
    """Give web and worker a few spare descriptors, then none.

    From 0 to SPARE_DESCRIPTORS - 1 more than they hold; then the limit is lifted.
    """
    broken: list[str] = []
    about = common.machine()
    statuses, receipts, number = Counter[int](), [], 0
    unanswered: list[int] = []
    with tempfile.TemporaryDirectory(prefix="heldout-chaos-") as name:
        folder = Path(name)
        with common.serving(folder / "data", workers=1) as server:
            installation, slug, token = _publish(folder)
            common.wait_for_workers(server)
            for spare in range(SPARE_DESCRIPTORS):
                [web], [worker] = server.find_all("app.web", 1), server.find_all("worker", 1)
                for pid in (*common.children(web), worker):  # of the web its one process that answers
                    with _few_descriptors(pid, spare):
                        for _ in range(uploads):
                            answer = _send(server.address, slug, token, number, statuses, timeout=10)
                            receipts += answer
                            unanswered += [] if answer else [number]
                            number += 1
                        time.sleep(STARVED_SECONDS)
            after = Counter[int]()
            for each in (
                *unanswered,
                number,
            ):  # with the same key: an upload accepted without an answer gets its receipt now
                receipts += _send(server.address, slug, token, each, after, patience=PATIENCE_SECONDS)
            open_ = _wait(installation, broken)
            with installation.database.read() as session:
                states = Counter(State(state) for state in session.scalars(select(Evaluation.state)))
                rows = session.scalar(select(func.count()).select_from(Submission)) or 0
                used = session.scalar(select(func.sum(Quota.used)))
                attempts = session.scalar(select(func.sum(Evaluation.attempt - 1)))
            unstored = sum(not _is_stored(installation, str(r["sha256"])) for r in receipts)
            died = server.log.read_text().count("starting it again")
            installation.database.dispose()
    unknown_rows = rows - len({r["id"] for r in receipts})
    common.print_table(
        f"Few file descriptors: {number} uploads of {ROWS} rows while web or worker may open 0 to "
        f"{SPARE_DESCRIPTORS - 1} more than it holds. {about}",
        ("", "figure"),
        [
            (
                "answers by status (0: none within 10 s)",
                ", ".join(f"{s}: {n}" for s, n in sorted(statuses.items())),
            ),
            ("acknowledged, and not in storage", unstored),
            ("rows without a receipt", unknown_rows),
            ("scored", states[State.SCORED]),
            ("failed after three attempts, with an alarm and a refund", states[State.FAILED]),
            ("uploads that count", used),
            ("attempts beyond the first", attempts),
            ("processes started again", died),
            (
                "then, each without a receipt sent again, and one more",
                ", ".join(f"{s}: {n}" for s, n in sorted(after.items())),
            ),
            ("still open", open_),
        ],
    )
    if (
        unstored
        or unknown_rows
        or used != states[State.SCORED]
        or rows != states[State.SCORED] + states[State.FAILED]
    ):
        broken.append("too few descriptors cost something")
    if after[201] != len(unanswered) + 1:
        broken.append("it did not go on once there were descriptors again")
    if statuses.keys() <= {201} and not attempts:
        broken.append("no process was short of a descriptor, so this run has shown nothing")
    return broken


@contextlib.contextmanager
def _few_descriptors(pid: int, spare: int) -> Iterator[None]:
    """Let the process open so many more than it holds.

    Its forks inherit the limit.
    """
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    free = (number for number in itertools.count() if number not in held)
    # A limit is on the number that the next one would get: those free below it are what may still be opened.
    limit = next(itertools.islice(free, spare, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it died of it, and another was started
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def _queue(folder: Path) -> Iterator[Redis]:
    """Run Valkey as `heldout serve` does, with an account that may set its limits."""
    settings = Settings(data_dir=folder / "queue")
    config.prepare_data_dir(settings)
    admin = ("--user", "admin", "on", "nopass", "~*", "&*", "+@all")
    server = subprocess.Popen([*serve.valkey_command(settings), *admin])
    try:
        client = Redis.from_url(settings.redis, username="admin", password="any")
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(RedisError):
                client.ping()
                break
            time.sleep(0.05)
        yield client
    finally:
        server.kill()
        server.wait()


def _publish(folder: Path, database_url: str = "") -> tuple[Installation, str, str]:
    installation = Installation(Settings(data_dir=folder / "data", database_url=database_url))
    slug = common.publish(installation, common.write_challenge(folder / "bench", ROWS))
    return installation, slug, common.add_user(installation, "team", slug=slug)[1]


def _send(
    address: str,
    slug: str,
    token: str,
    number: int,
    statuses: Counter[int],
    *,
    patience: float = 0.0,
    timeout: float = 60.0,
) -> list[dict[str, object]]:
    """Upload a file; return its receipt, if it got one.

    Retried until `patience` seconds are over.
    """
    host, port = address.removeprefix("http://").rsplit(":", 1)
    body = common.predictions(ROWS, number)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "text/csv",
        "Idempotency-Key": f"full-{number}",
    }
    until = time.monotonic() + patience
    while True:
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            connection.request("POST", f"/api/v1/competitions/{slug}/submissions", body, headers)
            answer = connection.getresponse()
            status, content = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            status, content = 0, b""
        finally:
            connection.close()
        statuses[status] += 1
        if status == 201:
            return [json.loads(content)]
        if time.monotonic() >= until:
            return []
        time.sleep(1)


def _wait(installation: Installation, broken: list[str]) -> int:
    """Wait; return how many are still open at the end."""
    until, count = time.monotonic() + PATIENCE_SECONDS, -1
    while count and time.monotonic() < until:
        with installation.database.read() as session:
            states = session.scalars(select(Evaluation.state)).all()
        count = sum(state in (State.QUEUED, State.RUNNING) for state in states)
        time.sleep(0.2)
    if count:
        broken.append(f"{count} submissions were still open after {PATIENCE_SECONDS:g} s")
    return count


def _lost(installation: Installation, receipts: list[dict[str, object]]) -> int:
    with installation.database.read() as session:
        states = dict(session.execute(select(Evaluation.submission_id, Evaluation.state)).tuples().all())
    return sum(
        states.get(int(str(r["id"]))) != State.SCORED or not _is_stored(installation, str(r["sha256"]))
        for r in receipts
    )


def _is_stored(installation: Installation, sha256: str) -> bool:
    try:
        content = installation.storage.path(sha256).read_bytes()
    except NotFound:
        return False
    return hashlib.sha256(content).hexdigest() == sha256


@contextlib.contextmanager
def _small_disk(mib: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="heldout-chaos-") as name:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", name],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            raise SystemExit(
                "The run resources needs a small file system of its own, which only root may "
                f"mount: {mounted.stderr}"
            )
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "-l", name], check=True)
