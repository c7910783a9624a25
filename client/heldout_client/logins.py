"""The saved sign-ins: one token for each address, in a file that only its owner can read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from heldout_client.errors import ClientError, NotAllowed


@dataclass(frozen=True)
class Login:
    """The address of an installation and a token for it."""

    address: str
    token: str


def folder(env: Mapping[str, str]) -> Path:
    """Return the folder of the user's settings; it may not exist."""
    if base := env.get("XDG_CONFIG_HOME") or env.get("APPDATA"):
        return Path(base) / "heldout"
    return Path(env.get("HOME") or Path.home()) / ".config" / "heldout"


def clean_address(text: str) -> str:
    """Return an address without path marks at its end; refuse what is no http address."""
    text = text.strip()
    address = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ClientError(f"{text!r} is not an address; write http://HOST:PORT.") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or port == 0:
        raise ClientError(f"{text!r} is not the address of a Heldout server; write http://HOST:PORT.")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def current(env: Mapping[str, str], address: str | None = None, token: str | None = None) -> Login:
    """Return the sign-in to use: arguments first, then the environment, then what `login` saved.

    A token is used only with the address that it was saved for.
    """
    saved = _read(env)
    asked = address or env.get("HELDOUT_URL") or saved.get("current")
    if not asked:
        raise NotAllowed("Sign in first: heldout login http://HOST (or set HELDOUT_URL and HELDOUT_TOKEN).")
    asked = clean_address(asked)
    found = token or env.get("HELDOUT_TOKEN") or saved.get("tokens", {}).get(asked)
    if not found:
        raise NotAllowed(f"There is no token for {asked}. Sign in first: heldout login {asked}")
    return Login(asked, found)


def known_address(env: Mapping[str, str]) -> str:
    """Return the address of the environment or of the last sign-in; empty if there is none."""
    return env.get("HELDOUT_URL") or _read(env).get("current") or ""


def save(env: Mapping[str, str], login: Login) -> Path:
    """Save a sign-in as the current one; return the file."""
    saved = _read(env)
    tokens = {**saved.get("tokens", {}), login.address: login.token}
    path = folder(env) / "logins.json"
    write_private(path, json.dumps({"current": login.address, "tokens": tokens}, indent=1))
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.chmod(beside, 0o600)  # noqa: PTH101 - also of a file that an earlier process left there
        file.write(text)
    os.replace(beside, path)  # noqa: PTH105 - Windows too replaces


def _read(env: Mapping[str, str]) -> dict[str, Any]:
    path = folder(env) / "logins.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as wrong:
        raise ClientError(f"{path} cannot be read ({wrong}). Delete it and sign in again.") from None
    return saved if isinstance(saved, dict) else {}
