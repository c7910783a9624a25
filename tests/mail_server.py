"""A mail server for tests: takes letters over a real socket, and can refuse, hang, or encrypt."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """What the server took, and how it answers."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    answer_to: Callable[[str], str | None] = lambda _command: None
    """Return the answer to a command instead of the usual one; None for the usual."""
    before_data_ends: Callable[[EmailMessage], None] = lambda _mail: None
    context: ssl.SSLContext | None = None
    commands: list[str] = field(default_factory=list)

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.taken if mail["To"] == address]


class _Talk(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self._say("220 mail.test ready")
        while line := self.rfile.readline(2000).decode("ascii", "replace").strip():
            self.server.state.commands.append(line)
            if not self._answer(line):
                return

    def finish(self) -> None:
        super().finish()
        self.request.close()  # the server closes only the socket that TLS has replaced

    def _answer(self, line: str) -> bool:
        verb = line.split(" ")[0].upper()
        if (special := self.server.state.answer_to(line)) is not None:
            self._say(special)
            return True
        if verb == "EHLO":
            extra = ["STARTTLS"] if self.server.state.context and not self._is_encrypted else []
            lines = ["mail.test", *extra, "AUTH PLAIN", "8BITMIME"]
            self._say("\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{x}" for n, x in enumerate(lines)))
        elif verb == "STARTTLS":
            self._say("220 go ahead")
            assert self.server.state.context is not None
            self.request = self.server.state.context.wrap_socket(self.request, server_side=True)
            self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb", buffering=0)
        elif verb == "AUTH":
            self._say("235 welcome")
        elif verb == "DATA":
            self._say("354 end with a dot")
            lines_ = []
            while (raw := self.rfile.readline()) not in (b".\r\n", b""):
                lines_.append(raw[1:] if raw.startswith(b"..") else raw)
            mail = message_from_bytes(b"".join(lines_), policy=policy.default)
            assert isinstance(mail, EmailMessage)
            self.server.state.taken.append(mail)
            self.server.state.before_data_ends(mail)
            self._say("250 taken")
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("250 ok")
        return True

    @property
    def _is_encrypted(self) -> bool:
        return isinstance(self.request, ssl.SSLSocket)

    def _say(self, words: str) -> None:
        with suppress(OSError):  # the client was killed
            self.wfile.write(words.encode() + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    state: MailServer

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a client may hang up at any time."""


@contextmanager
def mail_server(context: ssl.SSLContext | None = None) -> Iterator[MailServer]:
    with _Server(("127.0.0.1", 0), _Talk) as server:
        server.state = MailServer(port=server.server_address[1], context=context)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server.state
        finally:
            server.shutdown()
            thread.join()
