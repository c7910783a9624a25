"""Run untrusted code (own metrics, baselines, the file reader) in isolation.

`isolation` measures what this machine's kernel stops: it runs a table of attacks once. The levels:

    strong      namespaces, Landlock, seccomp and rlimits
    standard    Landlock, seccomp and rlimits: what a container with Docker's or Podman's defaults gives
    basic       seccomp and rlimits: files stay readable
    none        anything less, and every system but Linux

Below `standard` no program runs unless the caller allows it. Each run is a fork of its own from a process
that was started afresh (scorer/sandbox/_zygote.py), so runs share nothing with each other or with this
process. `run` gives a program frames as Arrow data in sealed memory and takes one answer as JSON; a `Session`
answers any number of requests (scorer/reading/parsing.py). Nothing that comes out is ever unpickled or
executed. Names of paths and sizes of files can be found out from inside; contents cannot.
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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from scorer.report import HeldoutError
from scorer.sandbox._zygote import MAX_THREADS
from scorer.sandbox.levels import Isolation, level_of, too_weak
from scorer.wording import printable

MAX_OUTPUT_BYTES = 64 * 1024
"""Of the answer, and of what is printed. A run that writes more is stopped."""
MAX_MESSAGE = 2000
TOO_MANY_THREADS = f"had more than {MAX_THREADS} threads"
START_SECONDS = 60.0
GRACE_SECONDS = 10.0

Kind = Literal["metric", "baseline", "reader"]
"""What runs are for, and so what is imported before them: what most of them want, or the reader alone."""

_IMPORTS: Mapping[Kind, Sequence[str]] = {
    "metric": ("numpy", "pandas", "pyarrow.compute", "pyarrow.ipc", "scipy.stats", "sklearn.metrics"),
    "baseline": (
        "pandas",
        "sklearn.ensemble",
        "sklearn.linear_model",
        "sklearn.neighbors",
        "sklearn.neural_network",
        "sklearn.pipeline",
        "sklearn.preprocessing",
        "sklearn.svm",
        "sklearn.tree",
    ),
    "reader": ("scorer.reading._reader",),
}


class SandboxFailed(HeldoutError):
    """The sandbox could not be set up, or was killed.

    Trying again may help. For the operator.
    """


class SandboxTooWeak(HeldoutError):
    """This machine cannot isolate a program well enough.

    For the operator and the organiser.
    """


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run."""

    wall_seconds: float = 60.0
    memory_mb: int = 1024
    """On top of Python and its libraries."""
    cpu_seconds: int | None = None
    """Of all its threads; None leaves it to the wall clock."""
    output_bytes: int = 0
    """Of a file that it writes; 0: it writes none."""

    def as_job(self) -> dict[str, int]:
        # Without a limit of its own: in case the wall clock fails; threads use several processors at once.
        spare = math.ceil(self.wall_seconds) * (os.cpu_count() or 1) + 1
        return {
            "cpu_seconds": self.cpu_seconds or spare,
            "memory_bytes": self.memory_mb << 20,
            "output_bytes": self.output_bytes,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: a value, unless `raised` or `stopped`."""

    value: Any = None
    """What JSON can hold. A program can write what it likes here, nan included: check it."""
    raised: str | None = None
    """Name of the exception's class."""
    message: str = ""
    """The exception's text, cut to 2000 characters; written by the program, so not for participants."""
    stopped: str | None = None
    """Why the process ended before it answered, as the end of a sentence: "took longer than 2 seconds"."""
    log: str = ""
    """What it printed and the traceback, printable; at most MAX_OUTPUT_BYTES."""


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
    given = enough_isolation("An organiser's own metric", allow_weak=allow_weak)
    request = {
        "function": function,
        "positional": list(positional),
        "keywords": dict(keywords or {}),
        "file": file,
    }
    with ExitStack() as stack:
        inputs = [sealed(stack, _arrow(frame)) for frame in frames]
        return execute("metric", program, request, inputs, limits or Limits(), given.layers)[0]


def enough_isolation(what: str, *, allow_weak: bool) -> Isolation:
    """Return what this machine stops; refuse `what` where that is too little."""
    given = isolation()
    if not given.is_enough and not (allow_weak and given.layers):
        raise SandboxTooWeak(too_weak(given, what))
    return given


@cache
def isolation() -> Isolation:
    """Return what this machine's sandbox stops, by attacking it.

    Computed once; forks of this process share the result.
    """
    kernel = f"{platform.system()} {platform.release()}"
    if sys.platform != "linux":
        return Isolation("none", kernel, 0)
    # The name of a socket is short, and that of the temporary folder need not be.
    short = None if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108 - mkdtemp makes it private
    with tempfile.TemporaryDirectory(dir=short) as folder, ExitStack() as stack:
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
        outcome, layers = execute("reader", program, request, (), Limits(wall_seconds=30), ())
    if not isinstance(outcome.value, dict):
        raise SandboxFailed(f"The attacks of the sandbox on itself gave no answer: {outcome}")
    details = {name: "open" if is_open else "stopped" for name, is_open in outcome.value.items()}
    return Isolation(level_of(details, layers), kernel, _zygote("reader").landlock_abi, layers, details)


def start(kind: Kind) -> None:
    """Start the process that runs are forked from.

    Otherwise the first run starts it. Forks of the caller share it.
    """
    zygote = _running.get(kind)
    # Only the starter can check; a fork finds out at its next request, and then starts its own.
    if zygote is not None and zygote.starter == os.getpid() and zygote.process.poll() is not None:
        _drop(kind, zygote)
    _zygote(kind)


def stop(kind: Kind) -> None:
    """End the process that runs are forked from, and its runs, which fail."""
    zygote = _running.get(kind)
    if zygote is not None:
        _drop(kind, zygote)
        zygote.close()


# --- the zygote, from outside -----------------------------------------------------------------------


class _Zygote:
    """A started scorer/sandbox/_zygote.py.

    It ends when the last process that holds its socket has ended: it reads the end of file. The kernel's
    parent-death signal would come when the *thread* that started it ends.
    """

    def __init__(self, kind: Kind) -> None:
        here = Path(__file__).parent
        libraries = ("numpy", "pandas", "pyarrow", "scipy", "sklearn")
        origins = [spec.origin for name in libraries if (spec := importlib.util.find_spec(name))]
        settings = {
            "packages": list(dict.fromkeys(str(Path(origin).parents[1]) for origin in origins if origin)),
            # Imported before the fork, and not among what a fork may open.
            "path": [str(here.parents[1])] if kind == "reader" else [],
            "modules": list(_IMPORTS[kind]),
            # Arrow would import it when it first uses numpy, in every fork, which takes longer than most
            # files.
            "absent": ["pandas"] if kind == "reader" else [],
            "shims": [str(here.with_name("kaggle_metric_utilities.py"))] if kind == "metric" else [],
        }
        self.starter = os.getpid()
        with ExitStack() as failed:
            self.socket, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            failed.enter_context(self.socket)
            with child_end:
                self.process = subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        "-u",
                        here / "_zygote.py",
                        str(child_end.fileno()),
                        json.dumps(settings),
                    ],
                    env={},
                    cwd="/",
                    pass_fds=[child_end.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            failed.pop_all()
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
_running: dict[Kind, _Zygote] = {}


def _zygote(kind: Kind) -> _Zygote:
    with _lock:
        if kind not in _running:
            try:
                _running[kind] = _Zygote(kind)
            except OSError as error:  # no process, descriptor or memory
                raise SandboxFailed(f"The sandbox's process did not start: {error}.") from error
        return _running[kind]


def _drop(kind: Kind, zygote: _Zygote) -> None:
    with _lock:
        if _running.get(kind) is zygote:
            del _running[kind]
    zygote.socket.close()


@atexit.register
def _stop() -> None:
    for zygote in _running.values():
        zygote.close()


def _ask(kind: Kind, fds: Sequence[int]) -> None:
    """Send one request to the zygote.

    A message of this kind of socket is whole or not at all, so forks may all send.
    """
    for is_last in (False, True):
        zygote = _zygote(kind)
        try:
            socket.send_fds(zygote.socket, [b"r"], list(fds))
        except OSError as error:
            # Killed when the machine's memory ran out, for example: start another one.
            _drop(kind, zygote)
            if is_last:
                raise SandboxFailed(f"The sandbox's process does not answer: {error}.") from error
        else:
            return


# --- one run ----------------------------------------------------------------------------------------


def execute(
    kind: Kind,
    program: bytes,
    request: Mapping[str, Any],
    inputs: Sequence[int],
    limits: Limits,
    layers: Sequence[str],
) -> tuple[Outcome, tuple[str, ...]]:
    """Return the outcome and the layers that were applied.

    At least those of `layers`. `inputs` are descriptors that the run gets.
    """
    job = {**request, "layers": list(layers), **limits.as_job()}
    with ExitStack() as kept, ExitStack() as given:
        channel, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        kept.enter_context(channel)
        given.enter_context(child_end)
        result, result_in = _pipe(kept, given)
        log, log_in = _pipe(kept, given)
        head = sealed(given, json.dumps(job).encode() + b"\n" + program)
        _ask(kind, [child_end.fileno(), head, result_in, log_in, *inputs])
        # Without the copies here the pipes end when the child does.
        given.close()
        printed, answer = bytearray(), bytearray()
        deadline = time.monotonic() + limits.wall_seconds
        # A baseline may print how it goes for as long as it runs; the end of it says how it ended.
        tail = log if kind == "baseline" else None
        status, stopped = _watch(channel, {log: printed, result: answer}, deadline, tail=tail)
    text = printable(bytes(printed[:MAX_OUTPUT_BYTES]).decode("utf-8", "replace"))
    # The first line is written before foreign code runs, the rest may be written by it.
    first, _, rest = bytes(answer).partition(b"\n")
    hello = json.loads(first) if first else {}
    if "unfit" in hello:
        raise SandboxFailed(f"The sandbox could not be put on: {hello['unfit']}.")
    if stopped == "time":
        stopped = f"took longer than {limits.wall_seconds:g} seconds"
    elif stopped == "threads":
        stopped = TOO_MANY_THREADS
    elif stopped == "output":
        stopped = f"gave out more than {MAX_OUTPUT_BYTES // 1024} KiB"
    elif not rest:
        stopped = _ending(status)
    if stopped:
        return Outcome(stopped=stopped, log=text), ()
    try:
        report = json.loads(rest)
    except (ValueError, RecursionError):
        report = None
    if not isinstance(report, dict) or not report.keys() & {"raised", "value"}:
        return Outcome(stopped="answered in a form of its own", log=text), ()
    put_on = tuple(hello["layers"])
    if "raised" in report:
        message = str(report.get("text", ""))[:MAX_MESSAGE]
        return Outcome(raised=str(report["raised"]), message=message, log=text), put_on
    return Outcome(value=report["value"], log=text), put_on


def _watch(
    channel: socket.socket, outputs: Mapping[int, bytearray], deadline: float, *, tail: int | None
) -> tuple[int, str | None]:
    """Collect output until the child ends; return its wait status.

    Beside it "time", "output" or "threads" if the child was killed for that. Of the output `tail` only the
    end is kept.
    """
    stopped: str | None = None
    status: int | None = None
    with selectors.DefaultSelector() as ready:
        ready.register(channel, selectors.EVENT_READ)
        for fd in outputs:
            ready.register(fd, selectors.EVENT_READ)
        while ready.get_map():
            # The child has ended: all its output is there already.
            events = ready.select(0 if status is not None else max(0.0, deadline - time.monotonic()))
            late = not events or (status is None and time.monotonic() > deadline)
            if late and status is not None:
                break
            for key, _ in events:
                if key.fileobj is channel:
                    message = channel.recv(64)
                    if not message:
                        raise SandboxFailed("The sandbox's process was killed during a run.")
                    status, killed_for = _ended(message)
                    stopped = stopped or killed_for
                    ready.unregister(channel)
                    continue
                fd = key.fd
                chunk = os.read(fd, MAX_OUTPUT_BYTES)
                if not chunk:
                    ready.unregister(fd)
                elif fd == tail:
                    outputs[fd][:] = (outputs[fd] + chunk)[-MAX_OUTPUT_BYTES:]
                elif len(outputs[fd]) + len(chunk) <= MAX_OUTPUT_BYTES:
                    outputs[fd] += chunk
                elif stopped is None:
                    outputs[fd] += chunk[: MAX_OUTPUT_BYTES - len(outputs[fd])]
                    stopped, deadline = "output", _hang_up(channel)
            if late and status is None:
                if stopped is not None:
                    raise SandboxFailed(
                        "The sandbox's process did not end a run after the request to end it."
                    )
                stopped, deadline = "time", _hang_up(channel)
    assert status is not None
    return status, stopped


class Session:
    """A run that answers commands until it is closed.

    Parameters
    ----------
    entry
        "module:function" of what its kind has imported; called with a file to answer into, the descriptor
        that commands come from, and `inputs`.
    inputs
        Descriptors it may read.
    layers
        What it must put on; see `Isolation.layers`.

    Raises
    ------
    SandboxFailed
        From all that is done with it, if it could not be locked in, was killed, or its time is over.
    """

    def __init__(
        self, kind: Kind, entry: str, inputs: Sequence[int], *, limits: Limits, layers: Sequence[str]
    ) -> None:
        job = {"entry": entry, "layers": list(layers), **limits.as_job()}
        self._until = time.monotonic() + limits.wall_seconds
        with ExitStack() as kept, ExitStack() as given:
            self._channel, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            kept.enter_context(self._channel)
            given.enter_context(child_end)
            self._answers, answers_in = _pipe(kept, given)
            with suppress(OSError):  # the largest without privileges; a smaller one is only slower
                fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, 1 << 20)
            commands_out, self._commands = os.pipe()
            os.set_blocking(self._commands, False)  # a child that does not read must not block the caller
            kept.callback(os.close, self._commands)
            given.callback(os.close, commands_out)
            self._log, log = _pipe(kept, given)
            os.set_blocking(self._log, False)
            program = sealed(given, json.dumps(job).encode() + b"\n")
            _ask(kind, [child_end.fileno(), program, answers_in, log, commands_out, *inputs])
            given.close()
            self._ready = kept.enter_context(selectors.DefaultSelector())
            self._ready.register(self._answers, selectors.EVENT_READ)
            self._kept = kept.pop_all()
        try:
            hello = json.loads(self._line())
        except ValueError as error:
            self.close()
            raise SandboxFailed("The sandbox answered in a form of its own.") from error
        except SandboxFailed:
            self.close()
            raise
        if "unfit" in hello:
            self.close()
            raise SandboxFailed(f"The sandbox could not be put on: {hello['unfit']}.")

    def send(self, command: Mapping[str, Any]) -> None:
        """Send one command."""
        rest = memoryview(json.dumps(command).encode() + b"\n")
        with (
            selectors.DefaultSelector() as takes,
            suppress(BrokenPipeError),
        ):  # `read` reports the end with its reason
            takes.register(self._commands, selectors.EVENT_WRITE)
            while rest:
                self._wait(takes)
                rest = rest[os.write(self._commands, rest) :]

    def read(self, n_bytes: int) -> bytearray:
        """Return exactly so many bytes of answers.

        Raises Ended if the process ends before.
        """
        content = bytearray(n_bytes)
        rest = memoryview(content)
        while rest:
            self._wait(self._ready)
            n_read = os.readv(self._answers, [rest])
            if not n_read:
                raise Ended(*self._status(), self._printed())
            rest = rest[n_read:]
        return content

    def close(self) -> None:
        """End the run, whatever it is doing."""
        self._kept.close()

    def _wait(self, ready: selectors.BaseSelector) -> None:
        if not ready.select(max(0.0, self._until - time.monotonic())):
            raise SandboxFailed("The sandbox took too long and was ended.")

    def _line(self) -> bytes:
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self.read(1)
        return bytes(line)

    def _printed(self) -> str:
        try:
            said = os.read(self._log, MAX_OUTPUT_BYTES)[-MAX_MESSAGE:]
            return printable(said.decode("utf-8", "replace"))
        except BlockingIOError:
            return ""

    def _status(self) -> tuple[int, str | None]:
        self._channel.settimeout(GRACE_SECONDS)
        try:
            message = self._channel.recv(64)  # it ends by itself, and may still be printing the reason
        except TimeoutError:
            _hang_up(self._channel)  # it has closed its end and lives on
            message = self._last_message()
        if not message:
            raise SandboxFailed("The sandbox's process was killed during a run.")
        return _ended(message)

    def _last_message(self) -> bytes:
        try:
            return self._channel.recv(64)
        except TimeoutError:
            return b""


class Ended(SandboxFailed):
    """A session's process has ended; `.signal` is 0 without a signal."""

    def __init__(self, status: int, killed_for: str | None, printed: str) -> None:
        self.signal = max(0, -os.waitstatus_to_exitcode(status))
        ending = TOO_MANY_THREADS if killed_for == "threads" else _ending(status)
        super().__init__(f"The sandbox {ending}.\n{printed}".strip())


def _ended(message: bytes) -> tuple[int, str | None]:
    """Return the wait status in the zygote's message, and what it killed the child for."""
    status, _, reason = message.decode("ascii").partition(" ")
    return int(status), reason or None


def _hang_up(channel: socket.socket) -> float:
    """Have the child killed; return the deadline for its end."""
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


def sealed(stack: ExitStack, content: bytes | memoryview) -> int:
    """Return a descriptor of memory that cannot be changed any more."""
    fd = os.memfd_create("input", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, fd)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
