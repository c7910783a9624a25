"""How well a machine isolates untrusted code, in four levels."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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


@dataclass(frozen=True, slots=True)
class Isolation:
    """What isolation this machine gives, measured by attacks."""

    level: Level
    kernel: str
    landlock_abi: int
    """Version of Landlock that the kernel offers; 0 if none, or if the container forbids it."""
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


def level_of(details: Mapping[str, str], layers: Sequence[str]) -> Level:
    """Return the level that these results and layers make.

    An attack that was not tried counts as open.
    """
    stopped = {name for name, state in details.items() if state == "stopped"}
    if "seccomp" not in layers or not stopped >= _BASIC:
        return "none"
    if "landlock" not in layers or not stopped >= _STANDARD:
        return "basic"
    return "strong" if "namespaces" in layers else "standard"


def too_weak(given: Isolation, what: str = "An organiser's own metric") -> str:
    """Return the message that this machine isolates too little for `what`."""
    if sys.platform != "linux":
        return f"{what} runs on Linux only, where it can be locked in; use a container."
    open_ways = ", ".join(name for name, state in given.details.items() if state == "open") or "none"
    return (
        f"{what} needs isolation of level standard; this machine gives {given.level} "
        f"({given.kernel}, Landlock version {given.landlock_abi}, ways left open: {open_ways})."
    )
