"""`heldout serve` as an operator meets it: one machine, real processes, deaths of every kind."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import urllib.request
from pathlib import Path

import pytest

from tests.servers import Served, eventually, heldout, parent_of, pids_of, served, valkey

CHALLENGES = Path(__file__).resolve().parents[2] / "challenges"


def healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def one_line(words: str) -> str:
    lines = words.strip().splitlines()
    assert len(lines) == 1, words
    return lines[0]


def of(data_dir: Path) -> list[int]:
    """Every process that works on this data folder, however it was started."""
    marker = f"HELDOUT_DATA_DIR={data_dir.resolve()}".encode()
    found = []
    for pid in pids_of(""):
        try:
            if pid != os.getpid() and marker in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found


def niceness(pid: int) -> set[int]:
    """Of the process, and of its session where Linux weighs those."""
    session = Path(f"/proc/{pid}/autogroup")
    words = session.read_text().split() if session.exists() else []
    return {os.getpriority(os.PRIO_PROCESS, pid), *map(int, words[-1:])}


def holders_of(secret: bytes, data_dir: Path) -> set[str]:
    """The command of every process of this data folder whose environment holds the secret."""
    return {
        Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().partition(" ")[2].strip()
        for pid in of(data_dir)
        if secret in Path(f"/proc/{pid}/environ").read_bytes()
    }


def call(server: Served, token: str, method: str, path: str, body: bytes | None = None) -> dict[str, object]:
    request = urllib.request.Request(
        f"{server.address}/api/v1/{path}",
        data=body,
        method=method,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "text/csv"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())  # type: ignore[no-any-return]


@pytest.mark.long
def test_from_folder_to_score_and_back_after_every_death(tmp_path: Path) -> None:
    """The main walk, and then kill -9 of each part, of the supervisor too: the data folder goes on."""
    data = tmp_path / "data"
    with served(data) as server:
        assert (
            heldout(data, "challenge", "publish", str(CHALLENGES / "biopsy"), "--no-baselines").returncode
            == 0
        )
        assert (
            heldout(data, "user", "add", "ada", "--password-stdin", stdin="correct horse\n").returncode == 0
        )
        token = heldout(data, "token", "ada").stdout.strip().splitlines()[-1]
        sample = (CHALLENGES / "biopsy/public/sample_submission.csv").read_bytes()
        call(server, token, "POST", "competitions/biopsy/join", b"")

        def scored(n: int) -> None:
            receipt = call(
                server, token, "POST", "competitions/biopsy/submissions?filename=s.csv", sample + b"\n" * n
            )
            eventually(
                lambda: call(server, token, "GET", f"submissions/{receipt['id']}")["state"] == "scored",
                what="the score",
            )

        scored(0)
        [web], [sweeper] = server.children("app.web"), server.children("worker.sweeper")
        workers = [pid for pid in server.children("worker") if pid != sweeper]
        zygotes = [pid for pid in pids_of("_zygote.py") if parent_of(pid) in workers]
        assert zygotes
        own, later = os.nice(0), min(19, os.nice(0) + 5)
        assert niceness(web) == {own}
        assert [niceness(pid) for pid in workers + zygotes] == [{later}] * len(workers + zygotes)
        for n, part in enumerate(("valkey-server", "app.web", "worker", "worker.sweeper"), 1):
            victims = [p for p in server.children(part) if p]
            assert victims, part
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            eventually(lambda v=victims, p=part: set(server.children(p)) - set(v), what=f"a new {part}")
            eventually(lambda: healthy(server.address), what="pages")
            scored(n) if n < 4 else None

        port = int(server.address.rsplit(":", 1)[1])
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        eventually(lambda: of(data) == [], what="the end of all children")
    keys = {"HELDOUT_VAULT_KEY": "opener", "HELDOUT_VAULT_SECRET": "of-the-vault"}
    with served(data, HELDOUT_PORT=str(port), **keys) as again:
        assert again.address == server.address
        eventually(lambda: "-m worker" in holders_of(b"of-the-vault", data), what="a worker")
        assert holders_of(b"of-the-vault", data) == {"-m app serve", "-m worker"}, "no web, no sweeper"
        assert call(again, token, "GET", "me")["name"] == "ada"
    assert of(data) == []
    with sqlite3.connect(data / "heldout.db") as database:
        assert database.execute("SELECT count(*), count(DISTINCT submission_id) FROM score").fetchone() == (
            4,
            4,
        )


def stops_clean(server: Served, number: signal.Signals) -> None:
    server.process.send_signal(number)
    assert server.process.wait(30) == 0
    assert of(server.data_dir) == []
    assert "Traceback" not in server.log.read_text()


def test_a_second_serve_on_the_same_data_is_one_clear_line_and_the_first_stops_clean(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as server:
        second = heldout(data, "serve", "--port", "0")
        assert second.returncode == 2
        assert f"Another `heldout serve` (pid {server.process.pid}) already runs" in one_line(second.stderr)
        assert healthy(server.address)
        stops_clean(server, signal.SIGTERM)


def test_a_taken_port_is_one_clear_line_and_nothing_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = heldout(tmp_path / "data", "serve", "--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port} is taken by another program" in one_line(done.stderr)
    assert of(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HELDOUT_DATABASE_URL": "mysql://root:geheim@db/x"}, "HELDOUT_DATABASE_URL"),
        ({"HELDOUT_WORKERS": "none"}, "HELDOUT_WORKERS: 'none' is not a number"),
        ({"HELDOUT_PROT": "1"}, "HELDOUT_PROT: there is no such setting"),
        ({"HELDOUT_WEB_PROCESSES": "4"}, "with SQLite it must be 1"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, env: dict[str, str], words: str) -> None:
    done = heldout(tmp_path / "data", "serve", "--port", "0", **env)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert "geheim" not in done.stderr


def test_a_data_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = heldout(
        tmp_path / "file", "serve", "--port", "0", HELDOUT_DATA_DIR=str(tmp_path / "file" / "data")
    )
    assert done.returncode == 2
    assert "cannot be written" in one_line(done.stderr)


def test_valkey_that_chokes_on_its_own_data_starts_empty_and_ctrl_c_stops_clean(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with valkey(data):
        pass
    spoilt = [*(data / "valkey").rglob("*.aof"), *(data / "valkey").rglob("*.manifest")]
    assert len(spoilt) > 1
    for file in spoilt:
        file.write_bytes(b"this is neither an append-only file nor a list of them\n" * 10)
    with served(data) as server:
        assert healthy(server.address)
        assert "starting it empty" in server.log.read_text()
        stops_clean(server, signal.SIGINT)


@pytest.mark.long
def test_the_demo_proves_the_whole_walk_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = heldout(tmp_path / "data", "demo", "--once", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    for slug in ("biopsy", "diabetes", "digits"):
        assert f"{slug}: published, 8 baselines posted" in done.stdout
    assert "scored, public score 0.69315" in done.stdout
    assert done.stdout.count("(baseline)") == 24
    assert of(tmp_path / "data") == []
