"""A line between client and server that breaks where a test wants it to."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Break:
    """Where one connection breaks: after so many bytes from the client, or with the answer withheld."""

    after_bytes: int | None = None
    before_answer: bool = False
    answer_bytes: int | None = None


@dataclass
class Line:
    address: str
    breaks: list[Break]
    """Of the connections in turn; later ones do not break."""
    n_connections: int = 0
    sent: list[bytes] = field(default_factory=list)


@contextmanager
def line_to(address: str, *breaks: Break, port: int = 0) -> Iterator[Line]:
    """Relay connections to an address."""
    host, _, its_port = address.rpartition("/")[2].partition(":")
    listener = socket.create_server(("127.0.0.1", port))
    line = Line(f"http://127.0.0.1:{listener.getsockname()[1]}", list(breaks))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                wanted = line.breaks.pop(0) if line.breaks else Break()
                line.n_connections += 1
                _relay(client, socket.create_connection((host, int(its_port)), timeout=20), wanted, line)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield line
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _relay(client: socket.socket, server: socket.socket, wanted: Break, line: Line) -> None:
    """Relay one request and its answer, as far as wanted."""
    client.settimeout(20)
    with client, server:
        received = b""
        while not _is_whole(received):
            block = client.recv(1 << 16)
            if not block:
                return
            received += block
            if wanted.after_bytes is not None and len(received) > wanted.after_bytes:
                server.sendall(received[: wanted.after_bytes])
                return
        line.sent.append(received)
        answer = b""
        with contextlib.suppress(ConnectionError):  # an early refusal leaves the rest of the file unread
            server.sendall(received)
            server.shutdown(socket.SHUT_WR)  # werkzeug reads what it refused until its end
        with contextlib.suppress(ConnectionError):
            while block := server.recv(1 << 16):
                answer += block
        if not wanted.before_answer:
            with contextlib.suppress(OSError):
                client.sendall(answer[: wanted.answer_bytes])


def _is_whole(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    if not found:
        return False
    lines = [text.lower() for text in head.split(b"\r\n")]
    sizes = [int(text.partition(b":")[2]) for text in lines if text.startswith(b"content-length:")]
    return len(body) >= (sizes[0] if sizes else 0)


@contextmanager
def tunnels() -> Iterator[tuple[str, list[str]]]:
    """Run a proxy that only tunnels; yield its address and the targets it was asked for."""
    asked: list[str] = []

    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.request.recv(1)
            method, target, _ = head.decode().split(" ", 2)
            asked.append(f"{method} {target}")
            host, _, port = target.partition(":")
            with socket.create_connection((host, int(port)), timeout=20) as server:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server, self.request))
                back.start()
                _copy(self.request, server)
                back.join(20)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}", asked
        proxy.shutdown()
        thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(1 << 16):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
