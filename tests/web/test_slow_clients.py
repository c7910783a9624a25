"""Slow and silent clients against the real server over real sockets.

Time limits are shortened. With gunicorn's own worker, each of these groups of clients kept a normal reader
waiting for more than 30 s.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import resource
import select
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from app import migrations
from tests.servers import ROOT, environment, eventually, parent_of, pids_of
from tests.web.site import reopen
from tests.web.test_operate import with_schema

SHORT_TIMEOUTS = """
import sys
from app.web import __main__, slow_clients
slow_clients.HEAD_SECONDS, slow_clients.FORM_SECONDS, slow_clients.MAX_STALL_SECONDS = 3.0, 5.0, 2.0
slow_clients.MAX_BUFFERED_BYTES = 2_000_000
sys.exit(__main__.main())
"""
FEW_CONNECTIONS = "from gunicorn import config\nconfig.WorkerConnections.default = 40\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: "
FORM = b"POST /sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
UPLOAD = (
    b"POST /api/v1/competitions/biopsy/submissions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"
)
CROWD = 64


@dataclass
class Serving:
    port: int
    process: subprocess.Popen[bytes]
    token: str
    others: list[str]
    folder: Path

    @contextmanager
    def connection(self, begin: bytes = b"") -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(begin)
            yield connection

    def read(self) -> float:
        """Return how long a normal request takes."""
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
        finally:
            connection.close()
        return time.monotonic() - begun


@contextmanager
def serving(folder: Path, *, first: str = "", **settings: str) -> Iterator[Serving]:
    site = reopen(folder)
    with_schema(site, migrations.head())
    site.change(daily_limit=100, pending_limit=100, max_upload_bytes=20_000_000)
    token = site.token("ada")["Authorization"]
    for name in (others := ["carl", "dora", "eve"]):
        site.user(name)
        site.join(name)
    tokens = [site.token(name)["Authorization"] for name in others]
    site.database.dispose()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = environment(folder, {"HELDOUT_PORT": str(port), "HELDOUT_REDIS_URL": "none", **settings})
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", first + SHORT_TIMEOUTS], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            server = Serving(port, process, token, tokens, folder)
            eventually(lambda: _answers(server), what="the server")
            yield server
        finally:
            process.terminate()
            process.wait(20)
    assert "Traceback" not in (folder / "web.log").read_text()


def _answers(server: Serving) -> bool:
    try:
        return server.read() >= 0
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(foundation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("slow")
    shutil.copytree(foundation, folder, dirs_exist_ok=True)
    with serving(folder) as running:
        yield running


def upload(token: str, length: int, *headers: str) -> bytes:
    """Return the head of an upload."""
    lines = (f"Authorization: {token}", f"Content-Length: {length}", "Connection: close", *headers)
    return UPLOAD + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def everything(connection: socket.socket) -> bytes:
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    return received


def send_slowly(connection: socket.socket, drop: bytes, every: float = 0.1) -> float:
    """Send one piece at a time until the server closes; return the seconds."""
    begun = time.monotonic()
    connection.settimeout(every)
    while time.monotonic() - begun < 20:
        try:
            connection.sendall(drop)
            if not connection.recv(65536):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b""),
        (HEAD, b"a"),
        (FORM + b"Content-Length: 50000\r\n\r\n", b"a"),
        (FORM.replace(b"x-www-form-urlencoded", b"multipart") + b"Content-Length: 50000\r\n\r\n", b"a"),
        (FORM + b"Content-Length: 900000\r\n\r\n", b"a"),
        (FORM + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (UPLOAD + b"Content-Length: 50000\r\n\r\n", b"a"),
        (GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b""),
        (GET + HEAD, b"a"),
        (FORM.replace(b" HTTP", b"#/submissions HTTP", 1) + b"Content-Length: 50000\r\n\r\n", b"a"),
        (FORM + b"Content-Length: 0000000000000000000050000\r\n\r\n", b"a"),
    ],
    ids=[
        "silent",
        "head",
        "form",
        "multipart",
        "large form",
        "chunked form",
        "refused upload",
        "never closes",
        "second head",
        "form that looks like an upload",
        "form of a padded length",
    ],
)
def test_many_slow_clients_do_not_delay_others(server: Serving, begin: bytes, drop: bytes) -> None:
    with ExitStack() as stack:
        crowd = [stack.enter_context(server.connection(begin)) for _ in range(CROWD)]
        for _ in range(4):
            for slow in crowd:
                try:
                    slow.sendall(drop)
                except ConnectionError:  # dropped already
                    continue
            assert server.read() < 5


def test_head_and_form_have_a_time_limit(server: Serving) -> None:
    with server.connection(HEAD) as connection:
        assert 1.5 < send_slowly(connection, b"a") < 12
    with server.connection(FORM + b"Content-Length: 5000\r\n\r\n") as connection:
        assert 3.5 < send_slowly(connection, b"a") < 15


def test_an_incomplete_upload_is_refused(server: Serving) -> None:
    """Only the announced length shows that a file is incomplete."""
    head = UPLOAD + f"Authorization: {server.token}\r\nContent-Length: 1000\r\n".encode()
    with server.connection(head + b"Connection: close\r\n\r\n") as connection:
        connection.sendall(b"id,p\n1,0.5\n")
        connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 422"), answer
    assert b"Only 11 of the file's 1000 bytes arrived" in answer


def test_uploads_have_a_minimum_rate(server: Serving) -> None:
    head = upload(server.token, 200_000)
    with server.connection(head) as connection:
        for _ in range(40):  # 50 kB/s, twice as long as a silent client may take
            connection.sendall(b"1" * 5000)
            time.sleep(0.1)
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 201 ")
    receipt = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert receipt["size_bytes"] == 200_000
    with server.connection(head) as connection:
        assert 0.5 < send_slowly(connection, b"1" * 50) < 15
    with server.connection(head + b"1" * 500) as connection:
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


def test_a_small_upload_counts_from_its_start(server: Serving) -> None:
    """The clock is read before waiting for the body."""
    head = (
        UPLOAD + f"Authorization: {server.token}\r\nContent-Length: 10\r\nConnection: close\r\n\r\n".encode()
    )
    times = []
    for pause in (0.0, 1.7):  # a longer one is a stall
        with server.connection(head + b"12345") as connection:
            begun = time.time()
            time.sleep(pause)
            connection.sendall(b"6789\n")
            answer = json.loads(everything(connection).partition(b"\r\n\r\n")[2])
        times.append(abs(datetime.fromisoformat(answer["received_at"]).timestamp() - begun))
    assert max(times) < 1.5


def test_an_upload_waiting_for_a_thread_counts_from_its_arrival(foundation: Path, tmp_path: Path) -> None:
    """Otherwise many uploads in the last minute would make each other late."""
    shutil.copytree(foundation, tmp_path, dirs_exist_ok=True)
    with serving(tmp_path, HELDOUT_WEB_THREADS="1") as server:
        content = b"id,p\n1"
        with (
            server.connection(upload(server.token, 2_000_000)) as slow,  # a large upload is read in a thread
            server.connection(upload(server.token, len(content)) + content) as waits,
        ):
            sent = time.time()
            time.sleep(1.5)  # a silent client is dropped after 2 s
            slow.sendall(b"1" * 2_000_000)
            assert everything(slow).startswith(b"HTTP/1.1 201 ")
            answer = json.loads(everything(waits).partition(b"\r\n\r\n")[2])
    assert abs(datetime.fromisoformat(answer["received_at"]).timestamp() - sent) < 1


def test_a_server_without_free_descriptors_waits_without_spinning(foundation: Path, tmp_path: Path) -> None:
    """A pending connection is reported at each turn of the loop.

    Without a wait, 100,000 log lines in 3 s were measured.
    """
    shutil.copytree(foundation, tmp_path, dirs_exist_ok=True)
    with serving(tmp_path) as server:
        [web] = [pid for pid in pids_of("app.web") if parent_of(pid) == server.process.pid]
        soft, hard = resource.prlimit(web, resource.RLIMIT_NOFILE)
        resource.prlimit(web, resource.RLIMIT_NOFILE, (3, hard))
        with server.connection(GET) as knocks:
            knocks.settimeout(1.5)
            with pytest.raises(TimeoutError):
                knocks.recv(1)
            resource.prlimit(web, resource.RLIMIT_NOFILE, (soft, hard))
            knocks.settimeout(10)
            assert knocks.recv(12) == b"HTTP/1.1 200"
    assert 1 <= (tmp_path / "web.log").read_text().count("no file descriptor is left") <= 5


def test_uploads_are_dropped_last_when_descriptors_run_out(server: Serving) -> None:
    [web] = [pid for pid in pids_of("app.web") if parent_of(pid) == server.process.pid]
    limits = resource.prlimit(web, resource.RLIMIT_NOFILE)
    content = b"id,p\n1,2\n"
    with ExitStack() as stack:
        honest = stack.enter_context(server.connection(upload(server.token, len(content)) + content[:4]))
        idle = stack.enter_context(server.connection(GET))
        idle.recv(1000)
        time.sleep(0.3)
        most = max(int(entry.name) for entry in Path(f"/proc/{web}/fd").iterdir()) + 4
        resource.prlimit(web, resource.RLIMIT_NOFILE, (most, limits[1]))
        for _ in range(20):
            stack.enter_context(server.connection())
        time.sleep(0.5)
        resource.prlimit(web, resource.RLIMIT_NOFILE, limits)
        honest.sendall(content[4:])
        assert everything(honest).startswith(b"HTTP/1.1 201 ")


def test_announced_uploads_cannot_take_all_connections(foundation: Path, tmp_path: Path) -> None:
    """Announcing an upload needs no account and holds a connection."""
    shutil.copytree(foundation, tmp_path, dirs_exist_ok=True)
    with serving(tmp_path, first=FEW_CONNECTIONS) as server, ExitStack() as stack:
        slow = stack.enter_context(server.connection(GET[:9]))
        for _ in range(60):
            stack.enter_context(server.connection(upload("Bearer hld_unknown", 500_000)))
        assert server.read() < 1
        slow.sendall(GET[9:])
        assert slow.recv(12) == b"HTTP/1.1 200"


def test_a_malformed_chunk_is_answered_with_400(server: Serving) -> None:
    head = (
        UPLOAD
        + f"Authorization: {server.token}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n".encode()
    )
    with server.connection(head + b"\r\nzz\r\n") as connection:
        assert everything(connection).startswith(b"HTTP/1.1 400 ")


def test_many_slow_uploads_arrive_without_blocking_others(server: Serving) -> None:
    """Three users with 64 uploads used to block all others."""
    with ExitStack() as stack:
        crowd = [
            stack.enter_context(server.connection(upload(server.others[n % 3], 20_000))) for n in range(CROWD)
        ]
        for number in range(4):
            for slow in crowd:
                slow.sendall(b"1" * 4_000)
            content = f"id,p\n1,{number}\n".encode()
            begun = time.monotonic()
            with server.connection(upload(server.token, len(content)) + content) as honest:
                assert everything(honest).startswith(b"HTTP/1.1 201 ")
            assert time.monotonic() - begun < 5
            assert server.read() < 5
        for slow in crowd:
            slow.sendall(b"1" * 4_000)
        answers = [everything(slow) for slow in crowd]
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 201"}


def test_beyond_the_memory_limit_the_oldest_uploads_continue_in_threads(server: Serving) -> None:
    contents = [b"id,p\n" + b"%d" % n * 899_995 for n in range(5)]
    with ExitStack() as stack:
        crowd = [stack.enter_context(server.connection(upload(server.token, 900_000))) for _ in contents]
        for slow, content in zip(crowd, contents, strict=True):
            slow.sendall(content[:800_000])
        # Three of the five, of one user: two of one user fit in threads.
        (refused,) = eventually(lambda: select.select(crowd, [], [], 0)[0], what="a refusal")
        for slow, content in zip(crowd, contents, strict=True):
            if slow is not refused:
                slow.sendall(content[800_000:])
        answers = [everything(slow) for slow in crowd]
    assert answers.pop(crowd.index(refused)).startswith(b"HTTP/1.1 429 ")
    assert crowd.index(refused) < 3
    contents.pop(crowd.index(refused))
    for answer, content in zip(answers, contents, strict=True):
        receipt = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert receipt["sha256"] == hashlib.sha256(content).hexdigest()


def test_many_small_uploads_leave_threads_for_pages(server: Serving) -> None:
    """A locked database keeps each small upload in its thread here."""
    with ExitStack() as stack, closing(sqlite3.connect(server.folder / "heldout.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        for n in range(6):  # of three users, in threads too
            stack.enter_context(server.connection(upload(server.others[n % 3], 2_000_000) + b"1" * 90_000))
        crowd = [
            stack.enter_context(server.connection(upload(server.token, 8) + b"id,p\n%03d" % n))
            for n in range(12)
        ]
        time.sleep(1)
        assert server.read() < 5
        writer.rollback()
        assert {everything(one)[:12] for one in crowd} == {b"HTTP/1.1 201"}


def test_a_large_upload_is_refused_before_its_body_and_a_small_one_after_it(server: Serving) -> None:
    for length, waits in ((4_000_000, False), (4_000, True)):
        with server.connection(upload("Bearer hld_unknown", length)) as connection:
            connection.settimeout(1.5)
            if waits:
                with pytest.raises(TimeoutError):
                    connection.recv(100)
                connection.sendall(b"1" * length)
            assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("length", [6, 2_000_000])
def test_expect_100_continue_is_answered(server: Serving, length: int) -> None:
    with server.connection(upload(server.token, length, "Expect: 100-continue")) as connection:
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"1" * length)
        assert b"HTTP/1.1 201 " in everything(connection)


def test_split_and_pipelined_requests_are_answered_in_order(server: Serving) -> None:
    with server.connection() as connection:
        for letter in (GET + GET).decode():
            connection.sendall(letter.encode())
        connection.sendall(GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert everything(connection).count(b"HTTP/1.1 200 OK") == 4
    body = b"name=ada&password=wrong"
    with server.connection(FORM + b"Connection: close\r\nContent-Length: 23\r\n\r\n") as connection:
        for letter in body.decode():
            connection.sendall(letter.encode())
        assert b"HTTP/1.1 400 " in everything(connection)  # no CSRF token: the form was read
    with server.connection(
        FORM + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 23\r\n\r\n"
    ) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        assert b"HTTP/1.1 400 " in everything(connection)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (UPLOAD + b"Content-Length: 4000000\r\n\r\n" + b"a" * 4_000_000, 401),
        (FORM + b"Content-Length: 400000\r\n\r\n" + b"a" * 400_000, 413),
        (FORM + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab=cd\r\n0\r\n\r\n", 411),
        (HEAD + b"a" * 40_000, 431),
    ],
)
def test_a_refusal_reaches_a_client_that_sends_its_whole_body_first(
    server: Serving, request_: bytes, status: int
) -> None:
    with server.connection(request_) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = everything(connection)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert re.search(rb"(?i)\r\nconnection: close\r\n", answer)


def test_slow_readers_get_every_byte_and_hold_no_thread(server: Serving) -> None:
    content = b"".join(b"%07d\n" % n for n in range(1_000_000))
    head = UPLOAD + f"Authorization: {server.token}\r\nContent-Length: {len(content)}\r\n".encode()
    with server.connection(head + b"Connection: close\r\n\r\n" + content) as connection:
        receipt = json.loads(everything(connection).partition(b"\r\n\r\n")[2])
    ask = f"GET {receipt['links']['file']} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {server.token}\r\n"
    with ExitStack() as stack:
        crowd = [stack.enter_context(server.connection(ask.encode() + b"\r\n")) for _ in range(16)]
        resumed = ask.encode() + b"Range: bytes=1000000-\r\n\r\n"
        crowd += [stack.enter_context(server.connection(resumed)) for _ in range(16)]
        assert server.read() < 5
        for slow, begin in ((crowd[0], 0), (crowd[-1], 1_000_000)):
            slow.sendall(
                GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )  # and the next request on the same connection
            heads, _, rest = everything(slow).partition(b"\r\n\r\n")
            assert heads.startswith(b"HTTP/1.1 206 " if begin else b"HTTP/1.1 200 ")
            length = len(content) - begin
            assert rest[:length] == content[begin:]
            assert rest[length:].startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.read() < 5


def test_slow_clients_do_not_delay_shutdown(foundation: Path, tmp_path: Path) -> None:
    shutil.copytree(foundation, tmp_path, dirs_exist_ok=True)
    with serving(tmp_path) as server, ExitStack() as stack:
        for begin in (b"", HEAD, GET):
            stack.enter_context(server.connection(begin))
        stopping = threading.Timer(0.2, server.process.terminate)
        begun = time.monotonic()
        stopping.start()
        assert server.process.wait(20) == 0
        assert time.monotonic() - begun < 9
