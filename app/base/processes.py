"""Processes on Linux: parent-death signal, priority, host name."""

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
    """Let the kernel kill this process when its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def lower_priority(niceness: int) -> None:
    """Lower the priority of this process and of its session.

    Linux schedules sessions first (autogroups), which have a niceness of their own.
    """
    total = os.nice(niceness)
    for _ in range(5):
        try:
            Path("/proc/self/autogroup").write_text(str(total))
        except (
            BlockingIOError
        ):  # unprivileged processes of a machine may write it ten times a second together
            time.sleep(0.11)
            continue
        except OSError:
            pass  # a kernel without autogroups
        return


def this_host() -> str:
    """Return a name for this machine and pid namespace.

    Two containers may share a host name, but not their pids.
    """
    namespace = Path("/proc/self/ns/pid")
    inode = namespace.stat().st_ino if namespace.exists() else 0
    boot = Path("/proc/sys/kernel/random/boot_id")
    machine = boot.read_text()[:8] if boot.exists() else "0"
    return f"{socket.gethostname()[:60]}-{machine}-{inode}"
