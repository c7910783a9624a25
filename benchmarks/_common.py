"""Shared by benchmarks: a challenge, a server, a client and tables."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import platform
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import scorer
from app.authoring import publishing
from app.base import db
from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Heartbeat, State
from app.base.processes import die_with_parent
from app.competing import competitions, statuses, teams
from app.people import accounts, tokens
from app.people.accounts import Viewer

READY = "Heldout is ready on "
FINAL = ("scored", "rejected", "failed")
WAIT_SECONDS = 300.0
MB = 1024 * 1024

console = Console(width=240, soft_wrap=True, highlight=False)


# -- figures -------------------------------------------------------------------------------------


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """Return the smallest value that at least 95 % do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def p99(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if abs(seconds) < 0.1 else f"{seconds * 1000:.0f}"


def machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}), {platform.system()}, "
        f"Python {platform.python_version()}, load {load:.1f} before the run"
    )


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one Markdown table, ready for docs/benchmarks.md."""
    table = Table(box=MARKDOWN, title=title, title_justify="left", title_style="")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print()
    console.print(table)


# -- processes and their memory --------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """Return the direct children of a process; none if it ended."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def work_horses(worker: int) -> list[int]:
    """Return a worker's forks at work.

    Its other children are the processes that sandboxed runs are forked from.
    """
    return [pid for pid in children(worker) if "_zygote.py" not in command(pid)]


def command(pid: int) -> str:
    """Return the command line of a process; empty if it ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


def resident_mb(pid: int, what: str = "VmRSS") -> float:
    """Return resident memory now (VmRSS) or at its peak (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024 / MB
    raise ValueError(f"{what} is not known of process {pid}")


def proportional_mb(pid: int) -> float:
    """Return resident memory, shared pages divided by their sharers (Pss)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MB
    raise ValueError(f"Pss is not known of process {pid}")


def own_peak_mb() -> float:
    return resident_mb(os.getpid(), "VmHWM")


# -- a server --------------------------------------------------------------------------------------


class Server:
    """`heldout serve` on a folder of its own.

    Its children are found by their command lines.
    """

    def __init__(self, data_dir: Path, *, workers: int = 1, port: int = 0, **settings: object) -> None:
        self.data_dir = data_dir
        self.workers = workers
        self.port = port
        self.database_url = str(settings.get("database_url", ""))
        self.more = {f"HELDOUT_{name.upper()}": str(value) for name, value in settings.items()}
        self.log = data_dir.with_name(f"{data_dir.name}.log")
        self.process: subprocess.Popen[str] | None = None
        self.address = ""

    @property
    def installation(self) -> Installation:
        """The same data folder and database, seen from this process."""
        return Installation(Settings(data_dir=self.data_dir, database_url=self.database_url))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> float:
        """Start it and return the seconds until pages are served."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("HELDOUT_")}
        env |= {
            "HELDOUT_DATA_DIR": str(self.data_dir),
            "HELDOUT_PORT": str(self.port),
            "HELDOUT_WORKERS": str(self.workers),
            **self.more,
        }
        begun = time.perf_counter()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "serve"],
                cwd=self.data_dir.parent,  # a folder without a heldout.toml
                env=env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=die_with_parent,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(READY):
            raise RuntimeError(f"`heldout serve` did not start:\n{self.log.read_text()[-3000:]}")
        self.address = line.removeprefix(READY).strip()
        self.port = int(self.address.rsplit(":", 1)[1])
        return time.perf_counter() - begun

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def find(self, what: str) -> list[int]:
        """Pids of supervised processes: `app.web`, `worker`, `worker.sweeper` or `valkey`."""
        found = []
        for pid in children(self.pid):
            words = command(pid).split()
            module = words[words.index("-m") + 1] if "-m" in words else ""
            if module == what or (what == "valkey" and words and "valkey" in words[0]):
                found.append(pid)
        return found

    def find_all(self, what: str, count: int) -> list[int]:
        """The same, once there are so many of them."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            found = self.find(what)
            if len(found) == count:
                return found
            time.sleep(0.01)
        raise RuntimeError(f"there are not {count} processes {what}")


@contextlib.contextmanager
def serving(data_dir: Path, **more: Any) -> Iterator[Server]:
    """Yield a started server; stop it in order at the end.

    Its log is shown if the block fails.
    """
    server = Server(data_dir, **more)
    try:
        server.start()
        yield server
    except BaseException:
        console.print(f"The server's log ended with:\n{_tail(server.log)}", markup=False)
        raise
    finally:
        server.stop()


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:]) if log.exists() else "(no log)"


def wait_for_workers(server: Server) -> None:
    """Wait until every worker has reported.

    Heavy imports are then over and jobs are taken.
    """
    want = {str(pid) for pid in server.find_all("worker", server.workers)}
    database = server.installation.database
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        with database.read() as session:
            alive = {
                beat.name.rsplit("/", 1)[1] for beat in session.query(Heartbeat) if beat.kind == "worker"
            }
        if want <= alive:
            database.dispose()
            return
        time.sleep(0.05)
    raise RuntimeError("the workers did not come up")


# -- a challenge and participants --------------------------------------------------------


OWN_METRIC = """\
import numpy as np

def score(solution, submission, row_id_column_name):
    p = np.clip(submission["malignant"], 1e-15, 1 - 1e-15)
    return float(-np.log(np.where(solution["malignant"] == 1, p, 1 - p)).mean())
"""


def write_challenge(folder: Path, n_rows: int, *, seed: int = 7, own_metric: bool = False) -> Path:
    """Write a challenge like biopsy with `n_rows` test rows.

    Binary, log loss or an organiser's own code for it, stratified, 30 % public.
    """
    random = np.random.default_rng(seed)
    truth = (random.random(n_rows) < 0.37).astype(int)
    usage = np.full(n_rows, "Private")
    for label in (0, 1):
        rows = np.flatnonzero(truth == label)
        usage[random.permutation(rows)[: round(0.3 * len(rows))]] = "Public"
    ids = range(1, n_rows + 1)
    (folder / "public").mkdir(parents=True)
    (folder / "private").mkdir()
    (folder / "challenge.yaml").write_text(
        "format: 1\n"
        "title: Benchmark\n"
        "summary: A generated challenge to measure with.\n"
        f"metric: {'{file: metric.py, greater_is_better: false}' if own_metric else 'log_loss'}\n"
        "submission: {id: id, columns: [malignant]}\n"
        "competition: {daily_limit: 10000, pending_limit: 1000, timezone: UTC}\n"
        "split: {strategy: stratified, public_fraction: 0.3}\n"
    )
    (folder / "description.md").write_text("A generated challenge.\n")
    if own_metric:
        (folder / "private/metric.py").write_text(OWN_METRIC)
    features = random.normal(size=(n_rows, 3)).round(4).tolist()
    test = "".join(f"{i},{a},{b},{c}\n" for i, (a, b, c) in zip(ids, features, strict=True))
    (folder / "public/test.csv").write_text("id,a,b,c\n" + test)
    (folder / "public/sample_submission.csv").write_text(
        "id,malignant\n" + "".join(f"{i},0.5\n" for i in ids)
    )
    solution = "".join(f"{i},{t},{u}\n" for i, t, u in zip(ids, truth, usage, strict=True))
    (folder / "private/solution.csv").write_text("id,malignant,Usage\n" + solution)
    return folder


def predictions(n_rows: int, seed: int) -> bytes:
    """Return a valid file for that challenge; each seed gives another."""
    values = np.random.default_rng(seed).uniform(0.01, 0.99, n_rows).round(6).tolist()
    return ("id,malignant\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values, 1))).encode()


def publish(installation: Installation, folder: Path) -> str:
    """Open a competition of the folder; return its slug.

    No limit is low enough for a benchmark to reach.
    """
    slug = publishing.publish(installation, scorer.load(folder), actor="benchmark").competitions[0]
    with installation.database.begin() as session:
        competition = competitions.by_slug(session, slug)
        competition.daily_limit = competition.pending_limit = 10_000_000
    return slug


def add_user(
    installation: Installation, name: str, *, slug: str = "", password: str = ""
) -> tuple[Viewer, str]:
    """Add a user with an API token.

    A member of the competition, if one is named.
    """
    hashed = accounts.hash_password(password) if password else None
    with installation.database.begin() as session:
        now = db.now(session)
        user = accounts.register(session, name, hashed, now=now)
        session.flush()
        viewer = Viewer(user.id, user.name, user.is_organiser)
        if slug:
            teams.join(session, competitions.by_slug(session, slug), viewer, now=now)
        return viewer, tokens.issue(session, user.id, "benchmark", now=now)


class Api:
    """The JSON API over one kept connection, as a careful client."""

    def __init__(self, address: str, token: str) -> None:
        host, port = address.removeprefix("http://").rsplit(":", 1)
        self._connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self._headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        headers = dict(self._headers)
        if body is not None:
            # The key lets an upload be repeated without counting twice.
            headers |= {"Content-Type": "text/csv", "Idempotency-Key": secrets.token_hex(16)}
        try:
            self._connection.request(method, f"/api/v1/{path}", body, headers)
            answer = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):
            # The server closes a connection that was idle for a while; a fresh one is opened once.
            self._connection.close()
            self._connection.request(method, f"/api/v1/{path}", body, headers)
            answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {content[:500]!r}")
        found: dict[str, Any] = json.loads(content)
        return found

    def submit(self, slug: str, body: bytes, filename: str = "predictions.csv") -> dict[str, Any]:
        return self.call("POST", f"competitions/{slug}/submissions?filename={quote(filename)}", body)

    def status(self, submission_id: int) -> Mapping[str, Any]:
        return self.call("GET", f"submissions/{submission_id}")


def wait_until_scored(api: Api, submission_id: int, *, every: float = 0.02) -> Mapping[str, Any]:
    """Return the status once it has a score.

    Any other final state is an error here.
    """
    until = time.monotonic() + WAIT_SECONDS
    while (status := api.status(submission_id))["state"] not in FINAL:
        if time.monotonic() > until:
            raise RuntimeError(f"submission {submission_id} is still {status['state']}")
        time.sleep(every)
    if status["state"] != "scored":
        raise RuntimeError(f"submission {submission_id} was {status['state']}: {status['problems']}")
    return status


def wait_until_all_scored(installation: Installation) -> None:
    """Wait until nothing is queued or running.

    A submission that was not scored is an error here.
    """
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        with installation.database.read() as session:
            counts = statuses.state_counts(session)
        if not counts[State.QUEUED] + counts[State.RUNNING]:
            if counts[State.REJECTED] + counts[State.FAILED]:
                raise RuntimeError(f"not every submission was scored: {counts}")
            return
        time.sleep(0.05)
    raise RuntimeError(f"submissions still wait: {counts}")
