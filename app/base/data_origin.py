"""Tell a data folder that was made here from one that came with a downloaded folder.

The default data folder is `data/` of the current folder, which may be an unpacked or cloned folder of another
author. Its owner shows nothing, as unpacked files belong to the user.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

_MARK = Path("run", "made_here")
_USED = ("heldout.db", "secret_key", "blobs", "cache", "vault", "valkey", "restoring")
"""What a command would use: accounts and competitions, the key that signs the sign-ins, hidden solutions.

Each, and each file in `run/`, may also be a link, through which a command would write to another file of the
user.
"""

_MACHINE_ID = Path("/etc/machine-id")


def mark(folder: Path) -> None:
    """Note in a data folder that it is used on purpose: it was empty, or it was named."""
    if not is_marked(folder):
        # A name of its own: threads share a process id, and so may processes of two containers on one volume.
        draft, name = tempfile.mkstemp(prefix=f"{_MARK.name}.", dir=folder / _MARK.parent)
        with os.fdopen(draft, "w", encoding="ascii") as file:
            file.write(_expected(folder))
        Path(name).replace(folder / _MARK)  # never half a mark, which another process would refuse


def is_marked(folder: Path) -> bool:
    """Return whether a folder was marked on this machine and not copied since."""
    with suppress(OSError, UnicodeDecodeError):
        return (folder / _MARK).read_text(encoding="ascii") == _expected(folder)
    return False


def foreign_files(folder: Path) -> list[str]:
    """Return the files of a data folder that may be another author's."""
    found = [name for name in _USED if os.path.lexists(folder / name)]
    run = folder / _MARK.parent
    found += [str(path.relative_to(folder)) for path in (run, *sorted(run.glob("*"))) if path.is_symlink()]
    return [] if found and is_marked(folder) else found


def _expected(folder: Path) -> str:
    """Return the mark of a folder: another author knows neither its inode nor the machine's id."""
    machine = b""
    with suppress(OSError):
        machine = _MACHINE_ID.read_bytes()
    return hashlib.sha256(b"heldout data folder\0%d\0%s" % (folder.stat().st_ino, machine)).hexdigest()
