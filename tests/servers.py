"""Real processes for tests: Valkey, `heldout serve`, and waiting for them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

from redis import Redis

from app.base import queue
from app.base.config import Settings, prepare_data_dir
from app.operating import serve

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def eventually(check: Callable[[], T], seconds: float = 60.0, *, what: str = "it") -> T:
    """Call `check` until its result is true; return it."""
    until = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not happen within {seconds:g} s; last seen: {found!r}")
        time.sleep(0.05)


def environment(data_dir: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("HELDOUT_")}
    packages = os.pathsep.join([str(ROOT), str(ROOT / "client")])
    return kept | {"HELDOUT_DATA_DIR": str(data_dir), "PYTHONPATH": packages} | dict(more or {})


@functools.cache
def zygote() -> str:
    """Return the address of a process that forks for each start of a program."""
    folder = tempfile.mkdtemp(prefix="heldout-zygote-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = f"{folder}/socket"
    # It ends with its standard input, and so with this process.
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.zygote", address],
        env=environment(Path(folder)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(running.wait, 10)
    atexit.register(_close, running)
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    return address


def _close(process: subprocess.Popen[str]) -> None:
    for stream in (process.stdin, process.stdout):
        assert stream is not None
        stream.close()


class Forked:
    """A forked start of a module, like subprocess.Popen, without imports."""

    def __init__(
        self,
        module: str,
        *words: str,
        env: Mapping[str, str],
        cwd: Path = ROOT,
        files: Sequence[IO[Any]] = (),
    ) -> None:
        self.returncode: int | None = None
        self._caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._caller.connect(zygote())
        message = {"module": module, "words": words, "cwd": str(cwd), "env": dict(env)}
        with Path(os.devnull).open("rb") as nothing:
            numbers = [file.fileno() for file in files] or [nothing.fileno(), 1, 2]
            socket.send_fds(self._caller, [json.dumps(message).encode()], numbers)
        self.pid = int(self._caller.recv(16))

    def __del__(self) -> None:
        self._caller.close()  # of a killed one without a wait

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._caller], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.returncode = int(self._caller.recv(16))
            self._caller.close()
        return self.returncode

    def terminate(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


def heldout(data_dir: Path, *words: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process."""
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        running = Forked("app", *words, env=environment(data_dir, env), cwd=data_dir.parent, files=files)
        code = running.wait()
        for file in files:
            file.seek(0)
        return subprocess.CompletedProcess(["heldout", *words], code, files[1].read(), files[2].read())


@contextmanager
def valkey(data_dir: Path, *options: str) -> Iterator[str]:
    """Start the embedded Valkey, with more options; yield its URL."""
    settings = Settings(data_dir=data_dir)
    prepare_data_dir(settings)
    server = subprocess.Popen([*serve.valkey_command(settings), *options])
    client = queue.connect(settings.redis)
    try:
        eventually(lambda: _pings(client), what="Valkey's answer")
        yield settings.redis
    finally:
        client.close()
        server.kill()
        server.wait()


def drop_hints(redis: Redis) -> None:
    """Delete every hint; the embedded Valkey refuses FLUSHALL."""
    for key in redis.scan_iter("rq:*"):
        redis.delete(key)


def _pings(client: object) -> bool:
    try:
        return bool(client.ping())  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001  not started yet, for any reason
        return False


@dataclass
class Served:
    process: subprocess.Popen[str]
    address: str
    data_dir: Path
    log: Path
    env: dict[str, str] = field(default_factory=dict)

    def children(self, module: str) -> list[int]:
        """Return the pids of direct children that run the module."""
        return [pid for pid in pids_of(module) if parent_of(pid) == self.process.pid]


@contextmanager
def served(data_dir: Path, *words: str, **env: str) -> Iterator[Served]:
    """Run `heldout serve` on a free port with one worker."""
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir.parent / f"{data_dir.name}.log"
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", *words],
            env=environment(data_dir, {"HELDOUT_PORT": "0", "HELDOUT_WORKERS": "1", **env}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.search(r"http://\S+", line)
            assert match, f"serve did not start: {line!r}\n{log.read_text()}"
            yield Served(process, match[0], data_dir, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)
            assert process.stdout is not None
            process.stdout.close()


def pids_of(*parts: str) -> list[int]:
    """Return the processes whose command line holds every part."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue  # it ended meanwhile
            if all(part in command or any(part in word for word in command) for part in parts):
                found.append(int(entry.name))
    return found


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def work_horses_of(worker: int) -> list[int]:
    """Return a worker's work-horses, without the sandbox's processes."""
    children = [
        int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and parent_of(int(e.name)) == worker
    ]
    return [pid for pid in children if pid not in pids_of("_zygote.py")]


def is_healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def processes_of(data_dir: Path) -> list[int]:
    """Return all processes of this data folder."""
    marker = f"HELDOUT_DATA_DIR={data_dir.resolve()}".encode()
    found = []
    for pid in pids_of(""):
        try:
            if pid != os.getpid() and marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found
