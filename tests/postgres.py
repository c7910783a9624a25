"""A PostgreSQL of one's own, opened by a password: to be started late, and killed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import missing

ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}


@dataclass
class Files:
    """What initdb made. The server runs wherever `command` is run."""

    folder: Path
    password: str
    command: list[str | Path]


@contextmanager
def files(password: str, *options: str, let_in: str = "") -> Iterator[Files]:
    """For the user heldout, over a socket in the folder and from the addresses let in."""
    initdb = shutil.which("initdb") or next(
        map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )
    if initdb is None:
        missing("PostgreSQL", "apt-get install postgresql")
        raise AssertionError("not reached")
    programs = Path(initdb).resolve().parent
    folder = Path(
        tempfile.mkdtemp(prefix="heldout-pg-")
    )  # short, and not below pytest's, which is its user's alone
    secret, data = folder / "password", folder / "data"
    secret.write_text(password)
    as_user: list[str | Path] = []
    if folder.owner() == "root":  # as whom the server refuses to run
        for path in (folder, secret):
            shutil.chown(path, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    try:
        subprocess.run(
            [*as_user, programs / "initdb", "-D", data, "-U", "heldout", "-A", "scram-sha-256", "-E", "UTF8",
             "--no-sync", f"--pwfile={secret}"],
            env=ENVIRONMENT, check=True, capture_output=True,
        )  # fmt: skip
        if let_in:
            with (data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all heldout {let_in} scram-sha-256\n")
        settings = (f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off", *options)
        yield Files(
            folder,
            password,
            [
                *as_user,
                programs / "postgres",
                "-D",
                data,
                *(word for one in settings for word in ("-c", one)),
            ],
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
