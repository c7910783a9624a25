"""`python -m worker`, which may start no process or open no file while another file is there.

Its sandbox is killed when that begins, so that it has to be started again.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from pathlib import Path

from scorer.sandbox import _zygote, sandbox
from worker.__main__ import main
from worker.poller import Poller

LIMITS = {"processes": resource.RLIMIT_NPROC, "descriptors": resource.RLIMIT_NOFILE}

turn = Poller.turn


def limited_turn(poller: Poller) -> None:
    kind = LIMITS[os.environ["LIMIT"]]
    soft, hard = resource.getrlimit(kind)
    if not Path(os.environ["LIMITED"]).exists():
        resource.setrlimit(kind, (hard, hard))
    elif soft > 3:
        if os.getuid() == 0 and kind == resource.RLIMIT_NPROC:
            # It binds a user that is not root, here with root's files.
            os.setresuid(65534, 0, 0)
            _zygote.call(_zygote.libc.capset, struct.pack("=Ii", _zygote.CAPABILITY_VERSION_3, 0), bytes(24))
        for each in sandbox._running.values():
            each.process.kill()
            each.process.wait()
        resource.setrlimit(kind, (3, hard) if kind == resource.RLIMIT_NOFILE else (0, hard))
    turn(poller)


if __name__ == "__main__":
    Poller.turn = limited_turn  # type: ignore[method-assign]
    sys.exit(main())
