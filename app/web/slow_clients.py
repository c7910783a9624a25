"""Keep slow clients out of gunicorn's threads.

gunicorn gives a thread to every new connection, waits in it for each byte of a request, and closes
connections in its only loop. A few dozen clients that send slowly, or do not hang up, then block all others
for minutes.

Here the loop collects the head of a request, the body of a form and of a small upload, and drains request
bodies that the application did not read. Only a request that has arrived gets a thread, except a large
upload, whose body is read in a thread. Uploads have no time limit but a minimum rate, wherever they are read.
The part of an answer that a slow client has not taken yet, such as a large file, is sent by the loop.
"""

from __future__ import annotations

import errno
import os
import re
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from app.web.upload_slots import split_threads
from app.web.uploads import BODY_ARRIVED, FORM_LIMIT_BYTES, HEAD_AT

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

HEAD_SECONDS = 10.0
FORM_SECONDS = 30.0  # from the start of the request
LINGER_SECONDS = 5.0
MAX_STALL_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 5_000  # of an upload; slower ones are dropped
SMALL_BYTES = 1 << 20  # a larger upload is read in a thread
MAX_BUFFERED_BYTES = 64 << 20  # of all small uploads; beyond that, the oldest continues in a thread
HEAD_BYTES = 32 * 1024
LINGER_BYTES = 32 << 20
CHUNK_BYTES = 64 * 1024
MAX_REST_BYTES = 1 << 20  # of an answer other than a file; a page has a tenth of it
NO_DESCRIPTOR_SECONDS = 0.05  # by then a thread may have closed a file
SHUTDOWN_SECONDS = 2.0  # for clients that still send when the server stops

_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*0*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
# Addresses of uploads. A wrong guess is only slower: other large bodies are refused unread (request_checks).
_UPLOAD = re.compile(
    rb"(POST [^ ?#]*/(submissions|check|mcp|train-files/[a-z]+|drafts|drafts/[0-9]+/files"
    rb"|classes/[A-Za-z0-9._-]+/(import|roster|grades/fill))"
    rb"|PUT [^ ?#]*/(uploads|blobs)/[A-Za-z0-9_-]+)[? ]"
)


class PacedReader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads a request body with a minimum rate.

    Each byte extends the deadline, at most `MAX_STALL_SECONDS` ahead.
    """

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.until = 0.0
        self.head_at = 0.0
        """When the head of this request had arrived, on the monotonic clock."""

    def begin(self, received: bytes, head_at: float, until: float) -> None:
        self.head_at, self.until = head_at, until
        self.unread(received)

    @property
    def bytes_buffered(self) -> int:
        """Return the bytes that can be read without waiting."""
        count: int = self.buf.getbuffer().nbytes
        return count

    def chunk(self, size_hint: int | None = None) -> bytes:
        now = time.monotonic()
        if now >= self.until:
            raise TimeoutError("the client is too slow")
        self.sock.settimeout(self.until - now)
        try:
            chunk_bytes: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(None)
        self.until = extended(self.until, len(chunk_bytes))
        return chunk_bytes


def extended(until: float, count: int) -> float:
    """Return the deadline of an upload after `count` more bytes."""
    return min(time.monotonic() + MAX_STALL_SECONDS, until + count / MIN_BYTES_PER_SECOND)


class BufferedSocket(socket.socket):
    """A socket whose sends never block.

    Bytes that cannot be sent at once are left for the loop.
    """

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.rest = bytearray()
        self.file: int | None = None
        self.offset = self.count = 0

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        if len(self.rest) > MAX_REST_BYTES:
            self._send_paced()
        self.rest += data
        if self.file is None:
            self.send_rest(socket.MSG_DONTWAIT)

    def _send_paced(self) -> None:
        """Send what waits, from a thread; refuse a client that takes it slower than an upload may be."""
        until = time.monotonic() + MAX_STALL_SECONDS
        while self.rest:
            count = self.send(self.rest[: 4 * CHUNK_BYTES])
            del self.rest[:count]
            until = extended(until, count)
            if time.monotonic() >= until:
                raise ConnectionAbortedError("the client takes the answer too slowly")

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self.file, self.offset = os.dup(file.fileno()), offset
        self.count = os.fstat(self.file).st_size - offset if count is None else count
        return self.count

    def send_rest(self, flags: int = 0) -> None:
        """Send as much as possible without waiting.

        A file is sent only in the loop, where the socket does not block.
        """
        try:
            if self.rest:
                del self.rest[: self.send(self.rest, flags)]
            elif self.file is not None:
                sent = os.sendfile(self.fileno(), self.file, self.offset, min(self.count, 4 * CHUNK_BYTES))
                if not sent:
                    raise ConnectionAbortedError("the file became shorter")
                self.offset, self.count = self.offset + sent, self.count - sent
        except BlockingIOError:
            return
        if not self.count:
            self._forget_file()

    @property
    def is_sent(self) -> bool:
        return not self.rest and self.file is None

    def _forget_file(self) -> None:
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def close(self) -> None:
        self._forget_file()
        super().close()


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, *facts: Any) -> None:
        super().__init__(*facts)
        self.data_ready = True  # tells gunicorn that no thread must wait for the first byte
        self.received = bytearray()
        self.began = self.head_at = time.monotonic()
        self.needed: int | None = None
        """Bytes of the request that must arrive; None before the head has."""
        self.is_paced = False
        """True for a small upload, from its head to its answer."""
        self.buffered = 0
        """Its bytes within the worker's `buffered`."""
        self.has_slot = False
        """True while a thread works on this small upload."""

    def init(self) -> None:
        super().init()
        if not isinstance(self.parser.unreader, PacedReader):
            self.parser.unreader = PacedReader(self.sock)
        until = self.timeout if self.is_paced else time.monotonic() + MAX_STALL_SECONDS
        self.parser.unreader.begin(bytes(self.received), self.head_at, until)
        self.received.clear()

    def is_complete(self) -> bool:
        """Return whether a thread would wait only for a large upload."""
        if self.needed is None:
            end = self.received.find(b"\r\n\r\n") + 4
            if end < 4:
                return False
            self.head_at = time.monotonic()
            head = bytes(self.received[: end - 2])
            length = _LENGTH.search(head)
            body = int(length[1]) if length else 0
            is_upload = _UPLOAD.match(head) is not None
            self.needed = end if body > (SMALL_BYTES if is_upload else FORM_LIMIT_BYTES) else end + body
            self.is_paced = is_upload and self.needed > end
            self.timeout = self.head_at + MAX_STALL_SECONDS if self.is_paced else self.began + FORM_SECONDS
            if len(self.received) < self.needed and _EXPECT.search(head):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return len(self.received) >= self.needed


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    wsgi: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.slow: dict[Connection, None] = {}
        """Connections that the loop waits for, oldest first."""
        self.buffered = 0
        """Bytes of all small uploads in memory, until they are answered."""
        self.complete: deque[Connection] = deque()
        """Small uploads that have arrived.

        Few of them get a thread at once, so that pages do not wait behind many of them.
        """
        _, self.free_slots = split_threads(self.cfg.threads)
        self.checked_at = self.warned_at = 0.0

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = _with_arrival_and_close(self.wsgi)

    def accept(self, listener: socket.socket) -> None:
        if self.nr_conns >= self.worker_connections - 1:
            self._drop_oldest()
        try:
            sock, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._without_descriptor()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        # A client that takes no byte of a long answer for so long is dropped as well.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(MAX_STALL_SECONDS), 0))
        self._wait_for_request(Connection(self.cfg, BufferedSocket(sock), address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Wait for the next request on a keep-alive connection."""
        if conn not in self.keepalived_conns:
            return  # dropped since the loop reported the event
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._wait_for_request(conn)

    def _wait_for_request(self, conn: Connection, received: bytes = b"") -> None:
        conn.received += received
        conn.needed = None
        conn.began = time.monotonic()
        self._wait(conn, HEAD_SECONDS, self._receive)
        if received:
            self._run(conn, lambda c: self._after_bytes(c, len(received)))

    def _receive(self, conn: Connection) -> None:
        chunk = conn.sock.recv(CHUNK_BYTES)
        if chunk:
            conn.received += chunk
            self._after_bytes(conn, len(chunk))
        elif conn.is_paced:
            self._start(conn)  # an incomplete file gets a refusal
        else:
            self._drop(conn)

    def _after_bytes(self, conn: Connection, count: int) -> None:
        """Decide what happens after `count` more bytes."""
        is_complete = conn.is_complete()
        if conn.is_paced:
            self.buffered += len(conn.received) - conn.buffered
            conn.buffered = len(conn.received)
            conn.timeout = extended(conn.timeout, count)
        if is_complete:
            self._start(conn)
        elif conn.is_paced and self.buffered > MAX_BUFFERED_BYTES:
            oldest = next(c for c in self.slow if c.is_paced)
            oldest.is_paced = False  # its wait for a thread does not count against its rate
            self._start(oldest)
        elif conn.needed is None and len(conn.received) > HEAD_BYTES:
            refusal = LimitRequestHeaders(f"over {HEAD_BYTES} bytes")
            self.handle_error(None, conn.sock, conn.client, refusal)
            self._unregister(conn)
            self._linger(conn)

    def _release_buffer(self, conn: Connection) -> None:
        self.buffered -= conn.buffered
        conn.buffered = 0

    def _start(self, conn: Connection) -> None:
        """Give the connection a thread, or queue it for one."""
        self._unregister(conn)
        if conn.is_paced and conn.is_complete():
            self.complete.append(conn)
            self._start_complete()
        else:
            self._release_buffer(conn)  # the thread streams it to storage
            self.enqueue_req(conn)

    def _start_complete(self) -> None:
        while self.complete and self.free_slots:
            conn = self.complete.popleft()
            self.free_slots -= 1
            conn.has_slot = True
            self.enqueue_req(conn)

    def _end_upload(self, conn: Connection) -> None:
        self._release_buffer(conn)
        self.free_slots += conn.has_slot
        conn.has_slot = conn.is_paced = False
        self._start_complete()

    def finish_request(self, conn: Connection, done: Future[Any]) -> None:
        self._end_upload(conn)
        try:
            self._after_answer(conn, done)
        except (OSError, ValueError):  # a failed answer may have closed it already
            self.nr_conns -= 1
            conn.close()

    def _after_answer(self, conn: Connection, done: Future[Any]) -> None:
        keep = not done.cancelled() and done.exception() is None and bool(done.result())
        if not conn.sock.is_sent:
            self._wait(conn, MAX_STALL_SECONDS, lambda c: self._send_rest(c, done), selectors.EVENT_WRITE)
            return
        if not keep:
            self._linger(conn)
        elif pipelined := conn.parser.unreader.take_buffered():
            self._wait_for_request(conn, pipelined)
        else:
            super().finish_request(conn, done)

    def _send_rest(self, conn: Connection, done: Future[Any]) -> None:
        conn.sock.send_rest()
        conn.timeout = time.monotonic() + MAX_STALL_SECONDS
        if conn.sock.is_sent:
            self._unregister(conn)
            self.finish_request(conn, done)

    def _keepalive_after(self, conn: Connection, keepalive: Any) -> bool:
        conn.parser.unreader.until = 0.0  # never wait for the rest of an unread body
        return bool(super()._keepalive_after(conn, keepalive))

    def _linger(self, conn: Connection) -> None:
        """Drain what the client still sends, then close.

        Closing with unread bytes resets the connection, and the client would lose the answer.
        """
        conn.sock.shutdown(socket.SHUT_WR)
        conn.parser = None  # frees its buffer of unread bytes
        conn.needed = LINGER_BYTES
        self._wait(conn, LINGER_SECONDS, self._drain)

    def _drain(self, conn: Connection) -> None:
        chunk = conn.sock.recv(CHUNK_BYTES)
        conn.needed = (conn.needed or 0) - len(chunk)
        if not chunk or conn.needed <= 0:
            self._drop(conn)

    def _wait(
        self,
        conn: Connection,
        seconds: float,
        then: Callable[[Connection], None],
        event: int = selectors.EVENT_READ,
    ) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + seconds
        self.poller.register(conn.sock, event, lambda _sock: self._run(conn, then))
        self.slow[conn] = None

    def _run(self, conn: Connection, then: Callable[[Connection], None]) -> None:
        if conn not in self.slow:
            return  # dropped since the loop reported the event
        try:
            then(conn)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(conn)

    def _unregister(self, conn: Connection) -> None:
        if conn in self.slow:  # a failed connection may be unregistered already
            del self.slow[conn]
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._unregister(conn)
        self._end_upload(conn)
        self.nr_conns -= 1
        conn.close()

    def _without_descriptor(self) -> None:
        """Free a file descriptor, or wait for one.

        The pending connection is reported again at each turn of the loop, some 30,000 times a second.
        """
        now = time.monotonic()
        if now - self.warned_at >= 1:
            self.warned_at = now
            self.log.warning("no file descriptor is left for a connection")
        if self.slow or self.keepalived_conns:
            self._drop_oldest()
        else:
            time.sleep(NO_DESCRIPTOR_SECONDS)

    def _drop_oldest(self) -> None:
        """Drop an idle connection first, an upload last.

        Any client can claim to upload, so uploads may hold at most half of all connections.
        """
        if self.keepalived_conns:
            idle = self.keepalived_conns.popleft()
            self.poller.unregister(idle.sock)
            self.nr_conns -= 1
            idle.close()
            return
        paced = [conn for conn in self.slow if conn.is_paced]
        others = (conn for conn in self.slow if not conn.is_paced)
        if len(paced) > self.worker_connections // 2:
            self._drop(paced[0])
        elif (oldest := next(others, paced[0] if paced else None)) is not None:
            self._drop(oldest)

    def murder_pending(self) -> None:
        """Drop connections past their deadline, twice a second."""
        now = time.monotonic()
        if now - self.checked_at < 0.5:
            return
        self.checked_at = now
        for conn in list(self.slow):
            if not self.alive and not conn.is_paced:
                conn.timeout = min(conn.timeout, now + SHUTDOWN_SECONDS)
            if conn.timeout <= now:
                # A late upload gets a thread, which finds the deadline passed and answers.
                (self._start if conn.is_paced else self._drop)(conn)


def _with_arrival_and_close(app: Any) -> Any:
    """Wrap the application: add arrival times, close after unread bodies.

    The environment says when the head had arrived, however long the request then waited for a thread, and
    whether the whole body has. An answer to a request whose body was not read says `Connection: close`.
    """

    def answered(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = start_response.__self__
        unreader: PacedReader = response.req.unreader
        length = getattr(response.req.body.reader, "length", None)  # unknown for a chunked body
        environ[HEAD_AT] = unreader.head_at
        environ[BODY_ARRIVED] = length is not None and length <= unreader.bytes_buffered

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            reader = response.req.body.reader
            if getattr(reader, "length", 0) or getattr(reader, "parser", None) is not None:
                response.force_close()
            return start_response(status, headers, exc_info)

        answer: Iterable[bytes] = app(environ, start)
        return answer

    return answered
