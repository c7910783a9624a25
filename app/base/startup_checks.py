"""Insecure settings that stop start-up, all reported together.

Not part of reading the settings: commands that only use the database do not need these checks.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from app.base.config import Settings, others_may_write
from app.base.errors import Misconfigured
from scorer.report import Problem

KEY_LENGTH = 32
EXAMPLES = ("change", "secret", "password", "example", "insecure", "0123456789", "abcdefghij")
_MAKE_ONE = "leave it empty to generate one, or use the output of `openssl rand -hex 32`"


def refuse_unsafe(settings: Settings, *, listens: bool = False) -> None:
    """Refuse insecure settings; `listens` where pages are served."""
    problems = [*_redis(settings), *_database(settings), *_secret_key(settings)]
    if listens:
        problems += _plain_http(settings)
    if problems:
        raise Misconfigured("; ".join(problems), [Problem("UNSAFE_SETTING", p) for p in problems])


def wide_modes(settings: Settings) -> list[str]:
    """Return folders that other users may enter or change, each with the command that closes it.

    New folders are made with mode 0700; one that existed before, or was copied, keeps its own.
    """
    folders = {folder.resolve() for folder in (settings.data_dir, settings.vault, settings.storage)}
    return [words for folder in sorted(folders) if folder.is_dir() for words in _wide(folder)]


def _wide(folder: Path) -> Iterator[str]:
    status = folder.stat()
    mode, named = stat.S_IMODE(status.st_mode), shlex.quote(str(folder))
    if mode & stat.S_IRWXO and all(parent.stat().st_mode & stat.S_IXOTH for parent in folder.parents):
        yield (
            f"{folder} has mode {mode:04o}, so every user of this machine may read what is readable in it: "
            f"chmod {'g-w,' if mode & stat.S_IWGRP else ''}o-rwx {named}"
        )
    # A group may read: a volume that is mounted in a container belongs to one.
    elif not mode & stat.S_IWOTH and others_may_write(status):
        yield (
            f"{folder} has mode {mode:04o}, so every user of its group may replace the files in it: "
            f"chmod g-w {named}"
        )


def is_loopback(host: str) -> bool:
    host = host.strip("[]").lower()
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _redis(settings: Settings) -> Iterator[str]:
    parsed = urlsplit(settings.redis_url)
    if parsed.scheme != "redis" or is_loopback(parsed.hostname or "localhost"):
        return
    if not parsed.password and "password" not in parse_qs(parsed.query):
        yield (
            f"HELDOUT_REDIS_URL: {parsed.hostname} has no password, so any client could write to the queue; "
            "use redis://:PASSWORD@HOST, rediss:// or a unix socket"
        )


def _database(settings: Settings) -> Iterator[str]:
    try:
        url = make_url(settings.database)
    except ArgumentError:
        return  # refused when it is opened
    if url.get_backend_name() != "postgresql" or url.password:
        return
    if any(name in url.query for name in ("password", "passfile", "sslcert", "service")):
        return
    if any(os.environ.get(name) for name in ("PGPASSWORD", "PGPASSFILE", "PGSSLCERT", "PGSERVICE")):
        return
    given = url.query.get("host", url.host or "")
    hosts = given.split(",") if isinstance(given, str) else given
    far = [host for host in hosts if host and not host.startswith("/") and not is_loopback(host)]
    if far:
        yield (
            f"HELDOUT_DATABASE_URL: {', '.join(far)} is another machine, and there is no password; "
            "use postgresql://USER:PASSWORD@HOST/NAME, or PGPASSFILE"
        )


def _secret_key(settings: Settings) -> Iterator[str]:
    if settings.secret_key:
        if words := _weakness(settings.secret_key):
            yield f"HELDOUT_SECRET_KEY: {words}; {_MAKE_ONE}"
        return
    file = settings.data_dir / "secret_key"
    try:
        # Access for the group is allowed: a volume that is mounted in a container belongs to one.
        if stat.S_IMODE(file.stat().st_mode) & stat.S_IRWXO:
            yield f"the secret key {file} can be read or changed by other users; chmod 600 {file}"
        words = _weakness(file.read_text(encoding="utf-8").strip())
    except (FileNotFoundError, NotADirectoryError):
        return  # generated at start-up with mode 0600, which also refuses an unusable data folder
    except (OSError, UnicodeDecodeError) as wrong:
        yield f"the secret key {file} cannot be read: {wrong}"
        return
    if words:
        yield f"the secret key in {file}: {words}; delete the file to generate a new one"


def _weakness(key: str) -> str | None:
    if len(key) < KEY_LENGTH:
        return f"it has {len(key)} characters and needs {KEY_LENGTH}"
    if key in (key + key)[1:-1]:
        return "it repeats itself, so it can be guessed"
    if any(word in key.lower() for word in EXAMPLES):
        return "it looks like an example, which is publicly known"
    return None


def _plain_http(settings: Settings) -> Iterator[str]:
    if settings.cookie_secure or settings.insecure_http:
        return
    if settings.proxies or not is_loopback(settings.host):
        where = f"HELDOUT_HOST={settings.host}" if not is_loopback(settings.host) else "HELDOUT_PROXIES"
        yield (
            f"{where}: other machines reach this server without TLS, so passwords and cookies can be read "
            "on the way; put a proxy with TLS in front and set HELDOUT_COOKIE_SECURE=true, or in a network "
            "that you trust set HELDOUT_INSECURE_HTTP=true"
        )
