"""A PostgreSQL server of a run's own, which can be killed.

With fsync on. It is killed with all its processes and started again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import _common as common

READY_SECONDS = 60.0


class Postgres:
    def __init__(self, folder: Path) -> None:
        found = shutil.which("initdb") or next(
            map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
        )
        if found is None:
            raise SystemExit(
                "PostgreSQL is not on this machine: install its server to use --database postgres"
            )
        self._bin = Path(found).resolve().parent
        self._folder = folder
        self._run: list[str] = ["env", "LC_ALL=C.UTF-8"]
        if os.getuid() == 0:  # the server refuses to run as root
            shutil.chown(folder, "postgres", "postgres")
            self._run = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *self._run]
        self.url = f"postgresql+psycopg://heldout@/postgres?host={folder}"
        self.process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [
            *(*self._run, self._bin / "initdb", "-D", folder / "data"),
            *("-U", "heldout", "-A", "trust", "-E", "UTF8"),
        ],
            check=True, capture_output=True,
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers.

        Retried while its killed predecessor still exists.
        """
        until = time.monotonic() + READY_SECONDS
        options = [
            "-c",
            "listen_addresses=",
            "-c",
            f"unix_socket_directories={self._folder}",
            "-c",
            "fsync=on",
        ]
        while time.monotonic() < until:
            if self.process is None or self.process.poll() is not None:
                with (self._folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        [*self._run, self._bin / "postgres", "-D", self._folder / "data", *options],
                        stdout=log,
                        stderr=log,
                    )
            ready = [self._bin / "pg_isready", "-q", "-h", self._folder, "-U", "heldout"]
            if subprocess.run(ready, check=False).returncode == 0 and self.process.poll() is None:
                return
            time.sleep(0.1)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill the postmaster and every process that it started."""
        assert self.process is not None
        for pid in (self.process.pid, *common.children(self.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once, without waiting for clients
            self.process.wait(30)


@contextlib.contextmanager
def running(inside: Path | None = None) -> Iterator[Postgres]:
    """Run a server with its files in a temporary folder, `inside` another."""
    # A short path: a unix socket's name may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=inside))
    server = Postgres(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
