"""What the sandbox tries against itself, run inside it as any organiser's program would be.

Every attempt either gets what it wants, and the way is open, or an exception stops it. `scorer.sandbox`
sends this file's text; nobody imports it for its own use.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

MORE_MEMORY_THAN_ALLOWED = 6 << 30


def attempt(secret: str, folder: str, parent: int, port: int, unix_path: str) -> dict[str, bool]:
    """For each way the name and whether it is open: True means that the attack succeeded."""

    def connect(family: int, address: tuple[str, int] | str) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect(address)

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
        "connect to a unix socket": lambda: connect(socket.AF_UNIX, unix_path),
        "start a program": execute,
        "fork": fork,
        "signal another process": lambda: os.kill(parent, 0),
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
