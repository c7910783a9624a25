"""Hosts on one machine: network namespaces connected by switches.

Each has its own addresses, host name and process ids, and does not reach the machine's own network. A switch
is a namespace too. A cable is pulled at the switch: the host only notices that it gets no answers.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import missing

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Network:
    """Switches and their hosts.

    `at` puts this thread on a host; processes that it starts stay there.
    """

    def __init__(self, folder: Path) -> None:
        self._prefix = f"heldout-{os.urandom(3).hex()}"
        self._folder = folder
        self._made: list[str] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self._cables: dict[str, list[tuple[str, str]]] = {}

    def open(self, *switches: str) -> None:
        self._namespace("switches")
        for switch in switches:
            self._at_switches("link", "add", switch, "type", "bridge", "forward_delay", "0")
            self._at_switches("link", "set", switch, "up")

    def add(self, host: str, **addresses: str) -> None:
        """Add a host with a cable to each named switch, and no other connection."""
        name = self._namespace(host)
        _ip("-n", name, "link", "set", "lo", "up")
        cables = self._cables[host] = []
        for switch, address in addresses.items():
            cable = f"cable{sum(map(len, self._cables.values()))}"
            cables.append((cable, switch))
            self._at_switches("link", "add", cable, "type", "veth", "peer", switch, "netns", name)
            self._at_switches("link", "set", cable, "master", switch, "up")
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", switch)
            _ip("-n", name, "link", "set", switch, "up")

    def pull(self, host: str, *switches: str) -> None:
        """Pull a host's cables to these switches, or all."""
        for cable, switch in self._cables[host]:
            if not switches or switch in switches:
                self._at_switches("link", "set", cable, "nomaster")

    def plug(self, host: str) -> None:
        for cable, switch in self._cables[host]:
            self._at_switches("link", "set", cable, "master", switch)

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        """Make this thread's new sockets belong to the host."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self._prefix}-{host}", os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(home)
            os.close(there)
            os.close(home)

    def start(
        self, host: str, command: Sequence[str | Path], env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """Start a process on the host, in its own pid namespace."""
        with self.at(host), self.log(host).open("ab") as log:
            process = subprocess.Popen(
                ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
                 "sh", "-c", 'hostname "$1"; shift; exec "$@"', "sh", host, *command],
                env=dict(env), cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._running.append(process)
        return process

    def log(self, host: str) -> Path:
        return self._folder / f"{host}.log"

    def close(self) -> None:
        for process in self._running:
            end(process, signal.SIGKILL)
        for name in reversed(self._made):
            _ip("netns", "delete", name)

    def _namespace(self, host: str) -> str:
        name = f"{self._prefix}-{host}"
        _ip("netns", "add", name)
        self._made.append(name)
        return name

    def _at_switches(self, *words: str) -> None:
        _ip("-n", f"{self._prefix}-switches", *words)


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """Signal the namespace's first process and wait until all have ended."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for first in children.read_text().split() if children.exists() else ():
        os.kill(int(first), how)
    process.wait(20)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def network(folder: Path, *switches: str) -> Iterator[Network]:
    """Make a temporary network; skip if this user may not."""
    if os.getuid() != 0:
        pytest.skip("Hosts of their own need root, for network namespaces.")
    if shutil.which("ip") is None:
        missing("ip", "apt-get install iproute2")
    made = Network(folder)
    try:
        made.open(*switches)
    except subprocess.CalledProcessError as refused:
        made.close()
        pytest.skip(f"This container may not make network namespaces: {refused.stderr.strip()}")
    try:
        yield made
    finally:
        made.close()
