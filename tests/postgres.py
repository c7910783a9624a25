"""A separate PostgreSQL with a password, for late starts and kills."""

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
    """A data folder of PostgreSQL and the command that serves it."""

    folder: Path
    password: str
    command: list[str | Path]


@contextmanager
def files(password: str, *options: str, let_in: str = "") -> Iterator[Files]:
    """Make a data folder for the user heldout."""
    initdb = shutil.which("initdb") or next(
        map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )
    if initdb is None:
        missing("PostgreSQL", "apt-get install postgresql")
        raise AssertionError("not reached")
    programs = Path(initdb).resolve().parent
    folder = Path(
        tempfile.mkdtemp(prefix="heldout-pg-")
    )  # short, and not inside pytest's, which only its user may read
    secret, data = folder / "password", folder / "data"
    secret.write_text(password)
    as_user: list[str | Path] = []
    if folder.owner() == "root":  # the server refuses to run as root
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
