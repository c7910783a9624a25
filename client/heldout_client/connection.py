"""Talk to the API of one installation: requests, uploads and downloads that survive a broken line."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import ssl
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote, urlencode, urlsplit

from heldout_client import VERSION
from heldout_client.content import Content
from heldout_client.errors import ClientError, NotAllowed, NotReachable, Refusal
from heldout_client.logins import Login
from heldout_client.progress import Bar

PAUSES = (0.5, 1.0)
"""Seconds before each repetition of a request."""
LONG_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""The same for uploads, downloads and waiting; a server that restarts is back within them."""

TIMEOUT_SECONDS = 60.0
BLOCK_BYTES = 1 << 16
_AWAY = (502, 503, 504)
_BROKEN = (OSError, http.client.HTTPException)

Say = Callable[[str], None]


class Connection:
    """The API of one installation with one token."""

    def __init__(
        self, login: Login, *, say: Say = lambda _: None, pauses: Sequence[float] | None = None
    ) -> None:
        self.address = login.address
        self._token = login.token
        self._say = say
        self._pauses = PAUSES if pauses is None else pauses
        self._parts = urlsplit(login.address)

    # --- requests -----------------------------------------------------------------------------------

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a resource; repeats the request on a broken line."""
        asked = {name: value for name, value in query.items() if value is not None}
        return _json(self._repeated("GET", path + (f"?{urlencode(asked)}" if asked else "")))

    def get_bytes(self, path: str) -> bytes:
        """Return the bytes of a public file."""
        return self._repeated("GET", path)

    def post(self, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """Send an action whose repetition changes nothing more."""
        data = b"" if document is None else json.dumps(document).encode()
        headers = {"Content-Length": str(len(data)), "Content-Type": "application/json"}
        return _json(self._repeated("POST", path, headers, lambda: iter([data])))

    def delete(self, path: str) -> Any:
        """Remove something that the path names."""
        return _json(self._repeated("DELETE", path))

    def submit(
        self, slug: str, content: Content, *, message: str, key: str, bar: Bar, sandbox: bool = False
    ) -> dict[str, Any]:
        """Send a file; return its receipt.

        A repetition carries the same key, so that the server counts the file once, wherever the line broke.
        """
        headers = {
            "Content-Type": "text/csv",
            "Content-Length": str(content.size),
            "X-Filename": quote(content.name),
            "X-Message": quote(message),
            "Idempotency-Key": key,
        }
        path = f"/competitions/{quote(slug, safe='')}/submissions{'?sandbox=true' if sandbox else ''}"

        def body() -> Iterator[bytes]:
            bar.restart()
            with content.open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block
                    bar.add(len(block))

        receipt: dict[str, Any] = _json(self._repeated("POST", path, headers, body))
        bar.close()
        return receipt

    def download(self, path: str, target: Path, *, size: int, sha256: str, bar: Bar) -> bool:
        """Fetch a file to a path, going on where an earlier download ended; return whether it was needed.

        The file gets its name only when its sha256 is right.
        """
        if target.is_file() and target.stat().st_size == size and _sha256(target) == sha256:
            return False
        partial = target.with_name(f"{target.name}.part")
        for fresh in (False, True):
            if fresh:
                partial.unlink()  # another version of the file, or a damaged one
            self._fetch(path, partial, size=size, sha256=sha256, bar=bar)
            if partial.stat().st_size == size and _sha256(partial) == sha256:
                os.replace(partial, target)  # noqa: PTH105 - Windows too replaces
                bar.close()
                return True
        raise Refusal(f"{target.name} arrived with another sha256 than the server states; try again.")

    def _fetch(self, path: str, partial: Path, *, size: int, sha256: str, bar: Bar) -> None:
        for pause in (*self._pauses, None):
            have = partial.stat().st_size if partial.exists() else 0
            if have > size:
                partial.unlink()
                have = 0
            bar.restart(have)
            if have == size and have:
                return
            headers = {"Range": f"bytes={have}-", "If-Range": f'"{sha256}"'} if have else {}
            try:
                with self._answered("GET", path, headers) as answer:
                    self._refuse(answer, path, expected=(200, 206))
                    with partial.open("ab" if answer.status == 206 else "wb") as file:
                        bar.restart(have if answer.status == 206 else 0)
                        while block := answer.read(BLOCK_BYTES):
                            file.write(block)
                            bar.add(len(block))
                    if partial.stat().st_size >= size:
                        return
                    broken: Exception = http.client.IncompleteRead(b"")
            except _BROKEN as error:
                broken = error
            except _Away as away:
                broken = away
            self._wait(pause, broken)

    # --- one request --------------------------------------------------------------------------------

    def _repeated(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Iterator[bytes]] | None = None,
    ) -> bytes:
        for pause in (*self._pauses, None):
            try:
                with self._answered(method, path, headers or {}, body) as answer:
                    self._refuse(answer, path)
                    content = answer.read()
                    if content or answer.getheader("Content-Length"):
                        return content
                    broken: Exception = http.client.IncompleteRead(content)  # its head broke off
            except _BROKEN as error:
                broken = error
            except _Away as away:
                broken = away
            self._wait(pause, broken)
        raise AssertionError("the last pause raises")

    def _wait(self, pause: float | None, broken: Exception) -> None:
        """Pause before a repetition; None: give up."""
        if isinstance(broken, ssl.SSLCertVerificationError):
            words = f"The certificate of {self.address} is not trusted ({broken.verify_message})."
            raise NotReachable(f"{words} Name your authority's file in SSL_CERT_FILE.")
        if pause is None:
            raise NotReachable(f"{self.address} cannot be reached: {_cause(broken)}.")
        self._say(f"{_cause(broken)}; trying again in {pause:g} s")
        time.sleep(pause)

    @contextmanager
    def _answered(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Callable[[], Iterator[bytes]] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        connection, target = self._open(f"{self._parts.path}/api/v1{path}")
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            sent = {
                "Authorization": f"Bearer {self._token}",
                "User-Agent": f"heldout-client/{VERSION}",
                "Accept": "application/json",
                **headers,
            }
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders()
            # A refusal may arrive before the whole file has been sent; without one the next line raises.
            with suppress(BrokenPipeError, ConnectionResetError):
                for block in body() if body is not None else ():
                    connection.send(block)
            answer = connection.getresponse()
            yield answer
        finally:
            connection.close()

    def _open(self, path: str) -> tuple[http.client.HTTPConnection, str]:
        """Return a connection, through the environment's proxy if there is one, and the request's target."""
        scheme, host = self._parts.scheme, self._parts.hostname or ""
        proxy = None if urllib.request.proxy_bypass(self._parts.netloc) else _proxies().get(scheme)
        port = self._parts.port or (443 if scheme == "https" else 80)
        if proxy is None:
            if scheme == "https":
                context = ssl.create_default_context()
                return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_SECONDS, context=context), path
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS), path
        through = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if scheme == "http":
            connection = http.client.HTTPConnection(
                through.hostname or "", through.port or 80, timeout=TIMEOUT_SECONDS
            )
            return connection, f"http://{self._parts.netloc}{path}"
        tunnel = http.client.HTTPSConnection(
            through.hostname or "",
            through.port or 80,
            timeout=TIMEOUT_SECONDS,
            context=ssl.create_default_context(),
        )
        tunnel.set_tunnel(host, port)
        return tunnel, path

    def _refuse(
        self, answer: http.client.HTTPResponse, path: str, expected: tuple[int, ...] = (200, 201)
    ) -> None:
        """Raise what an answer other than the expected ones means."""
        status = answer.status
        if status in expected:
            return
        if 300 <= status < 400:
            where = answer.getheader("Location") or "another address"
            raise ClientError(
                f"{self.address} sends on to {where[:200]}; sign in there: heldout login ADDRESS"
            )
        document = _document(answer.read())
        if status in _AWAY and document is None:
            raise _Away(f"the server answers {status}")
        words = str((document or {}).get("detail") or f"the server answers {status} to {path}")
        if status in (502, 503, 504):
            raise _Away(words.rstrip("."))
        problems = (document or {}).get("problems") or ()
        kind = NotAllowed if status in (401, 403) else Refusal
        raise kind(words, problems, status=status)


class _Away(Exception):
    """The server is not ready: the same request may succeed later."""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        raise NotReachable("The address answers, but not as a Heldout server does.") from None


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _cause(broken: Exception) -> str:
    if isinstance(broken, TimeoutError):
        return "no answer in time"
    if isinstance(broken, OSError) and broken.strerror:
        return broken.strerror[:1].lower() + broken.strerror[1:]
    if isinstance(broken, http.client.HTTPException):
        return "the connection broke"
    return str(broken) or type(broken).__name__


def _proxies() -> dict[str, str]:
    return urllib.request.getproxies()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
