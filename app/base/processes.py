"""What Linux is asked for when one of our processes is born, and what names it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is gone, so that a kill -9 leaves no orphan at work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def lower_priority(niceness: int) -> None:
    """Let other processes of this machine go first. Linux weighs sessions first, by a niceness of their own."""
    total = os.nice(niceness)
    for _ in range(5):
        try:
            Path("/proc/self/autogroup").write_text(str(total))
        except BlockingIOError:  # without privileges this may be said ten times a second, by all of a machine
            time.sleep(0.11)
            continue
        except OSError:
            pass  # a kernel that does not
        return


def this_host() -> str:
    """The machine and its process ids' own world: two containers may share a host name, but not their pids."""
    namespace = Path("/proc/self/ns/pid")
    world = namespace.stat().st_ino if namespace.exists() else 0
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text()[:8] if boot.exists() else "0"
    return f"{socket.gethostname()[:60]}-{machine}-{world}"
