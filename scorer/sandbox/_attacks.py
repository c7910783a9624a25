"""Attack the sandbox from inside, as an organiser's program could.

An attack that gets what it wants is open; an exception stops it. `scorer.sandbox.sandbox` sends this file's
text and never imports it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path

MORE_MEMORY_THAN_ALLOWED = 6 << 30
PTRACE_SEIZE, CLONE_NEWUSER = 0x4206, 0x10000000
PTRACE, READ_MEMORY = (117, 270) if platform.machine() == "aarch64" else (101, 310)
IO_URING_SETUP, MEMFD_SECRET = 425, 447  # the same on every machine


def attempt(secret: str, folder: str, parent: int, port: int, unix_path: str) -> dict[str, bool]:
    """Return for each attack whether it succeeded."""

    def connect(family: int, address: tuple[str, int] | str) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect(address)

    def send_datagram() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"label", ("127.0.0.1", port))

    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        result: int = libc.syscall(number, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def read_memory() -> None:
        here = ctypes.create_string_buffer(8)
        mine = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
        theirs = (ctypes.c_size_t * 2)(8, 8)
        one = ctypes.c_ulong(1)
        try:
            call(READ_MEMORY, parent, mine, one, theirs, one, ctypes.c_ulong(0))
        except OSError as error:
            # EFAULT instead of EPERM: nothing lies at that address, but the access was permitted.
            if error.errno != errno.EFAULT:
                raise

    def mount() -> None:
        call_libc(libc.mount, b"none", folder.encode(), b"tmpfs", ctypes.c_ulong(0), None)
        libc.umount2(folder.encode(), 0)

    def call_libc(function: Callable[..., int], *arguments: object) -> None:
        if function(*arguments) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def execute() -> None:
        # A file that is not there: past the sandbox the answer would be that, not a refusal.
        with contextlib.suppress(FileNotFoundError):
            os.execv("/nonexistent", ["sh"])  # noqa: S606

    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    ways: dict[str, Callable[[], object]] = {
        "read a file": lambda: Path(secret).read_bytes(),
        "list a folder": lambda: os.listdir(folder),  # noqa: PTH208
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "read another process's environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "write a file": lambda: Path(folder, "written").write_bytes(b"x"),
        "change a file's rights": lambda: Path(secret).chmod(0o600),
        "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", port)),
        "send by UDP": send_datagram,
        "connect to a unix socket": lambda: connect(socket.AF_UNIX, unix_path),
        "start a program": execute,
        "fork": fork,
        "signal another process": lambda: os.kill(parent, 0),
        "trace another process": lambda: call(PTRACE, PTRACE_SEIZE, parent, None, None),
        "read another process's memory": read_memory,
        "write to /proc": lambda: Path("/proc/self/oom_score_adj").write_bytes(b"1000"),
        "set up io_uring": lambda: os.close(call(IO_URING_SETUP, 1, ctypes.create_string_buffer(120))),
        "take memory that no limit counts": lambda: os.close(call(MEMFD_SECRET, 0)),
        "mount a file system": mount,
        "enter a new namespace": lambda: call_libc(libc.unshare, CLONE_NEWUSER),
        "take six gigabytes": lambda: mmap.mmap(-1, MORE_MEMORY_THAN_ALLOWED).close(),
    }
    found = {}
    for name, way in ways.items():
        try:
            way()
            found[name] = True
        except (OSError, MemoryError):
            found[name] = False
    return found
