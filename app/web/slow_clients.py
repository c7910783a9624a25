"""Slow clients wait in the server's loop, where they cost a little memory; only a request that is here gets a thread.

gunicorn gives a thread to every new connection, waits in it for each byte of a request, and closes connections in its
one loop, so that a few dozen clients that dribble, or do not hang up, keep everybody else out for minutes. Here the loop
collects the head of a request, a form's body and a small upload's, and hears out who is not read to the end. A large upload
is the one body that is read in a thread. Uploads have no time limit but must keep up a pace, wherever they are read. What a
slow reader has not taken of its answer, a large file above all, the loop sends when the thread has long gone on.
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

from app.web.upload_slots import shares
from app.web.uploads import ASKED, FORM_LIMIT_BYTES, HERE

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

HEAD_SECONDS = 10.0
FORM_SECONDS = 30.0  # from the request's first moment
LINGER_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
BYTES_A_SECOND = 5_000  # of an upload; who is slower for long is given up
SMALL_BYTES = 1 << 20  # an upload that is collected before it gets a thread
KEPT_BYTES = 64 << 20  # of all so collected; beyond, the oldest that still arrives goes on in a thread
HEAD_BYTES = 32 * 1024
LINGER_BYTES = 32 << 20
CHUNK_BYTES = 64 * 1024
REST_BYTES = 1 << 20  # of an answer that is no file; a page is a tenth of it
STARVED_SECONDS = 0.05  # until a thread may have closed something
HURRY_SECONDS = 2.0  # for who is still sending when the server stops

_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:[ \t]*0*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect[ \t]*:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
# What takes a file; a wrong guess either way is only slower, for `app.web.request_checks` refuses other bodies unread.
_UPLOAD = re.compile(rb"POST [^ ?#]*/(submissions|train-files/[a-z]+)[? ]")


class Paced(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads a connection for as long as it keeps up a pace: every byte buys time, and a minute is the most there is."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.until = 0.0
        self.asked = 0.0
        """When the head of the request at hand was here, on the monotonic clock."""

    def begin(self, heard: bytes, asked: float, until: float) -> None:
        self.asked, self.until = asked, until
        self.unread(heard)

    @property
    def bytes_here(self) -> int:
        """Which reading need not wait for."""
        count: int = self.buf.getbuffer().nbytes
        return count

    def chunk(self, size_hint: int | None = None) -> bytes:
        now = time.monotonic()
        if now >= self.until:
            raise TimeoutError("the client is too slow")
        self.sock.settimeout(self.until - now)
        try:
            got: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(None)
        self.until = bought(self.until, len(got))
        return got


def bought(until: float, count: int) -> float:
    """Until when an upload is waited for after so many bytes more."""
    return min(time.monotonic() + PATIENCE_SECONDS, until + count / BYTES_A_SECOND)


class Line(socket.socket):
    """A socket that never waits for its reader: what cannot go out at once is left for the loop."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(fileno=accepted.detach())
        self.rest = bytearray()
        self.file: int | None = None
        self.offset = self.count = 0

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        if len(self.rest) > REST_BYTES:
            super().sendall(self.rest)
            self.rest.clear()
        self.rest += data
        if self.file is None:
            self.pour(socket.MSG_DONTWAIT)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self.file, self.offset = os.dup(file.fileno()), offset
        self.count = os.fstat(self.file).st_size - offset if count is None else count
        return self.count

    def pour(self, flags: int = 0) -> None:
        """Send what goes; of a file only in the loop, where the socket does not block."""
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
        self.data_ready = True  # no thread has to wait for the first byte
        self.heard = bytearray()
        self.began = self.asked = time.monotonic()
        self.needs: int | None = None
        """Bytes of the request that must be here; None until its head is."""
        self.is_paced = False
        """A small upload, from its head to its answer."""
        self.kept = 0
        """Bytes of it that count among all that is kept."""
        self.has_place = False
        """Among the uploads that threads work on."""

    def init(self) -> None:
        super().init()
        if not isinstance(self.parser.unreader, Paced):
            self.parser.unreader = Paced(self.sock)
        until = self.timeout if self.is_paced else time.monotonic() + PATIENCE_SECONDS
        self.parser.unreader.begin(bytes(self.heard), self.asked, until)
        self.heard.clear()

    def is_whole(self) -> bool:
        """Whether a thread would not have to wait for anything but a large upload."""
        if self.needs is None:
            end = self.heard.find(b"\r\n\r\n") + 4
            if end < 4:
                return False
            self.asked = time.monotonic()
            head = bytes(self.heard[: end - 2])
            length = _LENGTH.search(head)
            body = int(length[1]) if length else 0
            is_upload = _UPLOAD.match(head) is not None
            self.needs = end if body > (SMALL_BYTES if is_upload else FORM_LIMIT_BYTES) else end + body
            self.is_paced = is_upload and self.needs > end
            self.timeout = self.asked + PATIENCE_SECONDS if self.is_paced else self.began + FORM_SECONDS
            if len(self.heard) < self.needs and _EXPECTS.search(head):
                self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return len(self.heard) >= self.needs


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    wsgi: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.slow: dict[Connection, None] = {}
        """Whom the loop waits for, in the order in which they began."""
        self.kept = 0
        """Bytes of small uploads, from their first to their answer."""
        self.ready: deque[Connection] = deque()
        """Small uploads that are here. Few at once get a thread, so that pages need not stand behind a crowd of them."""
        _, self.places = shares(self.cfg.threads)
        self.looked = self.warned = 0.0

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = _says_when_it_came_and_closes(self.wsgi)

    # -- before a request ------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        if self.nr_conns >= self.worker_connections - 1:
            self._give_up_oldest()
        try:
            sock, address = listener.accept()
        except OSError as wrong:
            if wrong.errno in (errno.EMFILE, errno.ENFILE):
                self._go_without()
            elif wrong.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        # Who takes no byte of a long answer for so long is given up as well.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(PATIENCE_SECONDS), 0))
        self._listen(Connection(self.cfg, Line(sock), address, listener.getsockname()))

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """A kept connection sends its next request."""
        if conn not in self.keepalived_conns:
            return  # given up since the loop was told of it
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._listen(conn)

    def _listen(self, conn: Connection, heard: bytes = b"") -> None:
        conn.heard += heard
        conn.needs = None
        conn.began = time.monotonic()
        self._wait(conn, HEAD_SECONDS, self._hear)
        if heard:
            self._attend(conn, lambda c: self._consider(c, len(heard)))

    def _hear(self, conn: Connection) -> None:
        chunk = conn.sock.recv(CHUNK_BYTES)
        if chunk:
            conn.heard += chunk
            self._consider(conn, len(chunk))
        elif conn.is_paced:
            self._start(conn)  # half a file is refused in words
        else:
            self._drop(conn)

    def _consider(self, conn: Connection, count: int) -> None:
        """What is to be done after so many bytes more."""
        is_whole = conn.is_whole()
        if conn.is_paced:
            self.kept += len(conn.heard) - conn.kept
            conn.kept = len(conn.heard)
            conn.timeout = bought(conn.timeout, count)
        if is_whole:
            self._start(conn)
        elif conn.is_paced and self.kept > KEPT_BYTES:
            oldest = next(c for c in self.slow if c.is_paced)
            oldest.is_paced = False  # the wait for its thread is none of its own
            self._start(oldest)
        elif conn.needs is None and len(conn.heard) > HEAD_BYTES:
            refusal = LimitRequestHeaders(f"over {HEAD_BYTES} bytes")
            self.handle_error(None, conn.sock, conn.client, refusal)
            self._leave(conn)
            self._linger(conn)

    def _unkeep(self, conn: Connection) -> None:
        self.kept -= conn.kept
        conn.kept = 0

    def _start(self, conn: Connection) -> None:
        """Give it a thread, or a turn for one."""
        self._leave(conn)
        if conn.is_paced and conn.is_whole():
            self.ready.append(conn)
            self._start_ready()
        else:
            self._unkeep(conn)  # the thread writes it to storage as it comes
            self.enqueue_req(conn)

    def _start_ready(self) -> None:
        while self.ready and self.places:
            conn = self.ready.popleft()
            self.places -= 1
            conn.has_place = True
            self.enqueue_req(conn)

    def _forget_upload(self, conn: Connection) -> None:
        self._unkeep(conn)
        self.places += conn.has_place
        conn.has_place = conn.is_paced = False
        self._start_ready()

    # -- after a request -------------------------------------------------------------------------

    def finish_request(self, conn: Connection, done: Future[Any]) -> None:
        self._forget_upload(conn)
        try:
            self._go_on(conn, done)
        except (OSError, ValueError):  # a failed answer may have closed it already
            self.nr_conns -= 1
            conn.close()

    def _go_on(self, conn: Connection, done: Future[Any]) -> None:
        keep = not done.cancelled() and done.exception() is None and bool(done.result())
        if not conn.sock.is_sent:
            self._wait(conn, PATIENCE_SECONDS, lambda c: self._pour(c, done), selectors.EVENT_WRITE)
            return
        if not keep:
            self._linger(conn)
        elif ahead := conn.parser.unreader.take_buffered():
            self._listen(conn, ahead)
        else:
            super().finish_request(conn, done)

    def _pour(self, conn: Connection, done: Future[Any]) -> None:
        conn.sock.pour()
        conn.timeout = time.monotonic() + PATIENCE_SECONDS
        if conn.sock.is_sent:
            self._leave(conn)
            self.finish_request(conn, done)

    def _keepalive_after(self, conn: Connection, keepalive: Any) -> bool:
        conn.parser.unreader.until = 0.0  # what was left unread is here already, or not waited for
        return bool(super()._keepalive_after(conn, keepalive))

    def _linger(self, conn: Connection) -> None:
        """Hear out who still sends: closing with bytes unread resets the connection, and our answer is lost."""
        conn.sock.shutdown(socket.SHUT_WR)
        conn.parser = None  # and with it what was not read
        conn.needs = LINGER_BYTES
        self._wait(conn, LINGER_SECONDS, self._hear_out)

    def _hear_out(self, conn: Connection) -> None:
        chunk = conn.sock.recv(CHUNK_BYTES)
        conn.needs = (conn.needs or 0) - len(chunk)
        if not chunk or conn.needs <= 0:
            self._drop(conn)

    # -- whom the loop waits for -----------------------------------------------------------------

    def _wait(
        self,
        conn: Connection,
        seconds: float,
        then: Callable[[Connection], None],
        event: int = selectors.EVENT_READ,
    ) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + seconds
        self.poller.register(conn.sock, event, lambda _sock: self._attend(conn, then))
        self.slow[conn] = None

    def _attend(self, conn: Connection, then: Callable[[Connection], None]) -> None:
        if conn not in self.slow:
            return  # given up since the loop was told of it
        try:
            then(conn)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(conn)

    def _leave(self, conn: Connection) -> None:
        if conn in self.slow:  # or what failed has left already
            del self.slow[conn]
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Connection) -> None:
        self._leave(conn)
        self._forget_upload(conn)
        self.nr_conns -= 1
        conn.close()

    def _go_without(self) -> None:
        """Who knocks is still there at the next turn, some 30,000 times a second."""
        now = time.monotonic()
        if now - self.warned >= 1:
            self.warned = now
            self.log.warning("no file descriptor is left for a connection")
        if self.slow or self.keepalived_conns:
            self._give_up_oldest()
        else:
            time.sleep(STARVED_SECONDS)

    def _give_up_oldest(self) -> None:
        """Who asks for nothing goes first, and whose file is on its way last: but anybody can say so, so that these may
        have half of all places and no more."""
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
        """Asked at every turn of the loop."""
        now = time.monotonic()
        if now - self.looked < 0.5:
            return
        self.looked = now
        for conn in list(self.slow):
            if not self.alive and not conn.is_paced:
                conn.timeout = min(conn.timeout, now + HURRY_SECONDS)
            if conn.timeout <= now:
                # A thread tells an upload, as it finds that its time is over.
                (self._start if conn.is_paced else self._drop)(conn)


def _says_when_it_came_and_closes(app: Any) -> Any:
    """A request carries when it was here, however long it then waited for a thread, and whether all of its body is; an
    answer to one that was not read to its end says that the connection ends with it."""

    def answered(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = start_response.__self__
        heard: Paced = response.req.unreader
        length = getattr(response.req.body.reader, "length", None)  # of a body in chunks nobody knows it
        environ[ASKED] = heard.asked
        environ[HERE] = length is not None and length <= heard.bytes_here

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            reader = response.req.body.reader
            if getattr(reader, "length", 0) or getattr(reader, "parser", None) is not None:
                response.force_close()
            return start_response(status, headers, exc_info)

        answer: Iterable[bytes] = app(environ, start)
        return answer

    return answered
