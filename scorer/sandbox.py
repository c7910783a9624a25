"""Runs a program that nobody here has read, over frames, in a process that can reach nothing else.

`isolation` says what this machine's kernel really stops: it runs a table of attacks once. The levels:

    strong      namespaces, Landlock, seccomp and rlimits
    standard    Landlock, seccomp and rlimits: what a container with Docker's or Podman's defaults gives
    basic       seccomp and rlimits: files stay readable
    none        anything less, and every system but Linux

Below `standard` nothing runs unless the caller says so. Each run is a fork of its own from a process that
was started afresh (scorer/_zygote.py), so runs share nothing, with each other or with us. Frames go in as Arrow
data in sealed memory, the answer comes out as JSON; nothing that comes out is ever unpickled or executed.
Paths' names and files' sizes can be asked for from inside; contents cannot.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import json
import math
import os
import platform
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from scorer.report import HeldoutError

MAX_OUTPUT_BYTES = 64 * 1024
"""Of the answer, and of what is printed. Whoever gives more is stopped."""
MAX_MESSAGE = 2000
START_SECONDS = 60.0
GRACE_SECONDS = 10.0

Level = Literal["strong", "standard", "basic", "none"]

# What must be stopped for a level; the attacks are those of _attacks.py.
_BASIC = {
    "connect by TCP",
    "send by UDP",
    "connect to a unix socket",
    "start a program",
    "fork",
    "signal another process",
    "trace another process",
    "read another process's memory",
    "set up io_uring",
    "take memory that no limit counts",
    "mount a file system",
    "enter a new namespace",
    "take six gigabytes",
}
_STANDARD = _BASIC | {
    "read a file",
    "list a folder",
    "read /etc/passwd",
    "read another process's environment",
    "write a file",
    "write to /proc",
    "change a file's rights",
}


class SandboxFailed(HeldoutError):
    """The sandbox itself could not be set up or was killed; trying again may help. For the operator."""


class SandboxTooWeak(HeldoutError):
    """This machine cannot lock a program in well enough. For the operator and the organiser."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What this machine gives, found by trying."""

    level: Level
    kernel: str
    landlock_abi: int
    """Version of Landlock the kernel speaks; 0 if none, or if the container forbids it."""
    layers: tuple[str, ...] = ()
    """What a run puts on, of namespaces, rlimits, landlock and seccomp. A run that cannot is not made."""
    details: Mapping[str, str] = field(default_factory=dict)
    """For each attack "stopped" or "open"."""

    @property
    def is_enough(self) -> bool:
        return self.level in ("strong", "standard")

    def as_dict(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "kernel": self.kernel,
            "landlock_abi": self.landlock_abi,
            "layers": list(self.layers),
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """For one run."""

    wall_seconds: float = 60.0
    memory_mb: int = 1024
    """On top of Python and its libraries."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: with a value, unless `raised` or `stopped` says otherwise."""

    value: Any = None
    """What JSON can hold. A program can write what it likes here, nan included: check it."""
    raised: str | None = None
    """Name of the exception's class."""
    message: str = ""
    """The exception's text, cut to 2000 characters; written by the program, so not for participants."""
    stopped: str | None = None
    """Why the process ended before it answered, as the end of a sentence: "took longer than 2 seconds"."""
    log: str = ""
    """What it printed and the traceback; at most MAX_OUTPUT_BYTES."""


def run(
    program: bytes,
    function: str,
    frames: Sequence[pd.DataFrame] = (),
    positional: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
    *,
    file: str = "program.py",
    limits: Limits | None = None,
    allow_weak: bool = False,
) -> Outcome:
    """Execute a program's text in the sandbox and call one of its functions.

    Parameters
    ----------
    frames, positional, keywords
        The call's arguments, frames first. Frames have a default index and columns of one kind each, as a
        CSV reader makes them; the rest is what JSON can hold.
    file
        What tracebacks in the log call the program.
    allow_weak
        Run even where `isolation` is below standard, in what there is.

    Raises
    ------
    SandboxTooWeak
        If the machine gives less than standard, without `allow_weak`.
    SandboxFailed
        If the sandbox could not do its work, whatever the program is.
    ValueError
        If a frame cannot be sent.
    """
    given = isolation()
    if not given.is_enough and not (allow_weak and given.layers):
        raise SandboxTooWeak(too_weak(given))
    request = {
        "function": function,
        "positional": list(positional),
        "keywords": dict(keywords or {}),
        "file": file,
    }
    return _run(program, request, frames, limits or Limits(), given.layers)[0]


@cache
def isolation() -> Isolation:
    """What the sandbox of this machine stops, by attacking it; once, forks of this process know it too."""
    kernel = f"{platform.system()} {platform.release()}"
    if sys.platform != "linux":
        return Isolation("none", kernel, 0)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        secret = Path(folder, "secret")
        secret.write_text("label", encoding="ascii")
        unix_path = str(Path(folder, "socket"))
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(unix_path)
        unix.listen()
        request = {
            "function": "attempt",
            "positional": [str(secret), folder, os.getpid(), tcp.getsockname()[1], unix_path],
            "keywords": {},
            "file": "attacks.py",
        }
        program = Path(__file__).with_name("_attacks.py").read_bytes()
        outcome, layers = _run(program, request, (), Limits(wall_seconds=30), ())
    if not isinstance(outcome.value, dict):
        raise SandboxFailed(f"The attack on ourselves gave no answer: {outcome}")
    details = {name: "open" if is_open else "stopped" for name, is_open in outcome.value.items()}
    return Isolation(level_of(details, layers), kernel, _zygote().landlock_abi, layers, details)


def level_of(details: Mapping[str, str], layers: Sequence[str]) -> Level:
    """The level that those results and layers make; an attack that was not tried counts as open."""
    stopped = {name for name, state in details.items() if state == "stopped"}
    if "seccomp" not in layers or not stopped >= _BASIC:
        return "none"
    if "landlock" not in layers or not stopped >= _STANDARD:
        return "basic"
    return "strong" if "namespaces" in layers else "standard"


def too_weak(given: Isolation) -> str:
    """The one sentence for whoever wants an organiser's metric where it cannot be locked in."""
    if sys.platform != "linux":
        return "An organiser's own metric runs on Linux only, where it can be locked in; use a container."
    open_ways = ", ".join(name for name, state in given.details.items() if state == "open") or "none"
    return (
        f"An organiser's own metric needs isolation of level standard; this machine gives {given.level} "
        f"({given.kernel}, Landlock version {given.landlock_abi}, ways left open: {open_ways})."
    )


def start() -> None:
    """Start the process that runs are forked from, now rather than at the first run; forks of the caller share it."""
    _zygote()


# --- the zygote, from outside -----------------------------------------------------------------------


class _Zygote:
    """A started scorer/_zygote.py. It ends when the last process that holds its socket has ended.

    That end of file is the whole bond: the kernel's parent-death signal would come when the *thread* that
    started it ends.
    """

    def __init__(self) -> None:
        here = Path(__file__).parent
        libraries = ("numpy", "pandas", "pyarrow", "scipy", "sklearn")
        origins = [spec.origin for name in libraries if (spec := importlib.util.find_spec(name))]
        settings = {
            "packages": list(dict.fromkeys(str(Path(origin).parents[1]) for origin in origins if origin)),
            "shims": [str(here / "kaggle_metric_utilities.py")],
        }
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-u",
                    here / "_zygote.py",
                    str(theirs.fileno()),
                    json.dumps(settings),
                ],
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.socket.settimeout(START_SECONDS)
        try:
            hello = json.loads(self.socket.recv(MAX_OUTPUT_BYTES) or b'{"error": "it ended at once"}')
        except TimeoutError:
            self.process.kill()
            hello = {"error": f"it was not ready after {START_SECONDS:g} seconds"}
        if "error" in hello:
            self.close()
            raise SandboxFailed(f"The sandbox's process did not start: {hello['error']}.")
        self.landlock_abi: int = hello["landlock_abi"]

    def close(self) -> None:
        self.socket.close()
        # In a fork of the starter it is no child, and this returns at once.
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=GRACE_SECONDS)


_lock = threading.Lock()
_running: list[_Zygote] = []


def _zygote() -> _Zygote:
    with _lock:
        if not _running:
            _running.append(_Zygote())
        return _running[0]


def _drop(zygote: _Zygote) -> None:
    with _lock:
        if zygote in _running:
            _running.remove(zygote)
    zygote.socket.close()


@atexit.register
def _stop() -> None:
    for zygote in _running:
        zygote.close()


def _ask(fds: Sequence[int]) -> None:
    """Send one request; a message of this kind of socket is whole or not at all, so forks may all send."""
    for is_last in (False, True):
        zygote = _zygote()
        try:
            socket.send_fds(zygote.socket, [b"r"], list(fds))
        except OSError as error:
            # Killed when the machine's memory ran out, say: another one will do.
            _drop(zygote)
            if is_last:
                raise SandboxFailed(f"The sandbox's process does not answer: {error}.") from error
        else:
            return


# --- one run ----------------------------------------------------------------------------------------


def _run(
    program: bytes,
    request: Mapping[str, Any],
    frames: Sequence[pd.DataFrame],
    limits: Limits,
    layers: Sequence[str],
) -> tuple[Outcome, tuple[str, ...]]:
    """The outcome, and the layers that were put on: at least those asked for."""
    job = {
        **request,
        "layers": list(layers),
        # Only for when our own clock fails: threads use several processors at once.
        "cpu_seconds": math.ceil(limits.wall_seconds) * (os.cpu_count() or 1) + 1,
        "memory_bytes": limits.memory_mb << 20,
    }
    with ExitStack() as kept, ExitStack() as given:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept.enter_context(ours)
        given.enter_context(theirs)
        result, result_in = _pipe(kept, given)
        log, log_in = _pipe(kept, given)
        head = json.dumps(job).encode() + b"\n"
        inputs = [_sealed(given, head + program), *(_sealed(given, _arrow(frame)) for frame in frames)]
        _ask([theirs.fileno(), inputs[0], result_in, log_in, *inputs[1:]])
        # Without our copies the pipes end when the child does.
        given.close()
        printed, answer = bytearray(), bytearray()
        deadline = time.monotonic() + limits.wall_seconds
        status, stopped = _watch(ours, {log: printed, result: answer}, deadline)
    text = bytes(printed[:MAX_OUTPUT_BYTES]).decode("utf-8", "replace")
    if stopped == "time":
        stopped = f"took longer than {limits.wall_seconds:g} seconds"
    elif stopped == "output":
        stopped = f"gave out more than {MAX_OUTPUT_BYTES // 1024} KiB"
    elif not answer:
        stopped = _ending(status)
    if stopped:
        return Outcome(stopped=stopped, log=text), ()
    try:
        report = json.loads(answer)
        put_on = tuple(report.get("layers", ()))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return Outcome(stopped="answered in a form of its own", log=text), ()
    if "unfit" in report:
        raise SandboxFailed(f"The sandbox could not be put on: {report['unfit']}.")
    if "raised" in report:
        message = str(report.get("text", ""))[:MAX_MESSAGE]
        return Outcome(raised=str(report["raised"]), message=message, log=text), put_on
    return Outcome(value=report.get("value"), log=text), put_on


def _watch(
    channel: socket.socket, outputs: Mapping[int, bytearray], deadline: float
) -> tuple[int, str | None]:
    """Collect what comes until the child is gone: its wait status, and "time" or "output" if it was killed for that."""
    stopped: str | None = None
    status: int | None = None
    with selectors.DefaultSelector() as ready:
        ready.register(channel, selectors.EVENT_READ)
        for fd in outputs:
            ready.register(fd, selectors.EVENT_READ)
        while ready.get_map():
            # The child is gone: whatever it wrote is there already.
            events = ready.select(0 if status is not None else max(0.0, deadline - time.monotonic()))
            late = not events or (status is None and time.monotonic() > deadline)
            if late and status is not None:
                break
            for key, _ in events:
                if key.fileobj is channel:
                    message = channel.recv(64)
                    if not message:
                        raise SandboxFailed("The sandbox's process was killed during a run.")
                    status = int(message)
                    ready.unregister(channel)
                    continue
                fd = key.fd
                chunk = os.read(fd, MAX_OUTPUT_BYTES)
                if not chunk:
                    ready.unregister(fd)
                elif len(outputs[fd]) + len(chunk) <= MAX_OUTPUT_BYTES:
                    outputs[fd] += chunk
                elif stopped is None:
                    outputs[fd] += chunk[: MAX_OUTPUT_BYTES - len(outputs[fd])]
                    stopped, deadline = "output", _hang_up(channel)
            if late and status is None:
                if stopped is not None:
                    raise SandboxFailed("The sandbox's process did not end a run that it was told to end.")
                stopped, deadline = "time", _hang_up(channel)
    assert status is not None
    return status, stopped


def _hang_up(channel: socket.socket) -> float:
    """Have the child killed; by when it must be gone."""
    with suppress(OSError):
        channel.shutdown(socket.SHUT_WR)
    return time.monotonic() + GRACE_SECONDS


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"ended itself without an answer (exit code {code})"
    return f"was killed (signal {-code}, {signal.strsignal(-code)})"


def _pipe(kept: ExitStack, given: ExitStack) -> tuple[int, int]:
    reader, writer = os.pipe()
    kept.callback(os.close, reader)
    given.callback(os.close, writer)
    return reader, writer


def _arrow(frame: pd.DataFrame) -> memoryview:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ValueError(f"A frame cannot be given to the sandbox: {error}") from error
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _sealed(stack: ExitStack, content: bytes | memoryview) -> int:
    """Memory with a descriptor that nobody can change any more, not even we."""
    fd = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
