"""A process with all imports, which forks for each start of a program.

The suite starts the program some two hundred times, and each start costs seconds of CPU for imports
alone. `python -m tests.zygote ADDRESS` listens on a unix socket; whoever connects sends a module, its
words, folder and environment with three open files, gets a pid at once and the exit code at the end.
What runs is a process of its own, as after `python -m MODULE`, except that it shares the sandbox of this one.
That a start from nothing works too is proven by `heldout serve` and its children in tests/e2e, which never
come from here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import selectors
import socket
import sys
import tempfile
from typing import Any

from app.base.processes import die_with_parent
from scorer.sandbox import sandbox

MESSAGE_BYTES = 1 << 17


def listen(address: str) -> dict[str, Any] | None:
    """Serve until the tests end (None); return in each forked child what to run."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        selectors.DefaultSelector() as ready,
    ):
        listener.bind(address)
        listener.listen(64)
        ready.register(listener, selectors.EVENT_READ)
        ready.register(sys.stdin, selectors.EVENT_READ)  # closed when the tests end
        print("ready", flush=True)
        while True:
            for key, _ in ready.select():
                if key.fileobj is sys.stdin:
                    return None
                if key.fileobj is not listener:  # a pidfd: its process has ended
                    pid, caller = key.data
                    ready.unregister(key.fd)
                    os.close(key.fd)
                    _tell(caller, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    caller.close()
                    continue
                caller, _ = listener.accept()
                message, files, _, _ = socket.recv_fds(caller, MESSAGE_BYTES, 3)
                words: dict[str, Any] = json.loads(message)
                if "publish" in words["words"] and "--no-baselines" not in words["words"]:
                    sandbox.start("baseline")
                pid = os.fork()
                if pid == 0:
                    for number, file in enumerate(files):
                        os.dup2(file, number)
                        os.close(file)
                    return words
                for file in files:
                    os.close(file)
                ready.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, caller))
                _tell(caller, pid)


def _tell(caller: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # it may be closed already
        caller.send(str(number).encode())


def warm_up() -> None:
    """Import all that commands and workers import, also what they import late, and start the sandbox.

    Sandboxes start afresh by themselves, and forks of the process that started one share it, as the
    work-horses of a worker do.
    """
    import alembic.command  # noqa: F401
    import sklearn.discriminant_analysis
    import sklearn.ensemble
    import sklearn.model_selection  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import app.cli.main  # noqa: F401
    import scorer.challenges.scaffolding
    import scorer.checkup
    import scorer.scoring  # noqa: F401
    import worker.inspections  # noqa: F401
    from scorer.leakage.audit import all_checks

    all_checks()
    sandbox.isolation()
    tempfile.tempdir = None  # each program takes it from its own environment


def main() -> None:
    warm_up()

    # Consoles take their width from the environment, which each caller sets.
    for name in [name for name in sys.modules if name == "app.cli" or name.startswith("app.cli.")]:
        del sys.modules[name]
    del sys.modules["app"].cli

    gc.collect()
    gc.freeze()
    words = listen(sys.argv[1])
    if words is not None:
        die_with_parent()
        os.chdir(words["cwd"])
        os.environ.clear()
        os.environ.update(words["env"])
        sys.argv = [words["module"], *words["words"]]
        sys.path[:0] = [p for p in words["env"].get("PYTHONPATH", "").split(os.pathsep) if p not in sys.path]
        runpy.run_module(words["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
