"""`heldout serve` recovers after each of its processes is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import urllib.request
from pathlib import Path

from tests.servers import Served, eventually, heldout, is_healthy, parent_of, pids_of, processes_of, served

CHALLENGES = Path(__file__).resolve().parents[2] / "challenges"


def niceness(pid: int) -> set[int]:
    """Return the niceness of the process and of its session's autogroup."""
    session = Path(f"/proc/{pid}/autogroup")
    words = session.read_text().split() if session.exists() else []
    return {os.getpriority(os.PRIO_PROCESS, pid), *map(int, words[-1:])}


def holders_of(secret: bytes, data_dir: Path) -> set[str]:
    """Return the commands of processes whose environment holds the secret, without -P."""
    return {
        Path(f"/proc/{pid}/cmdline")
        .read_bytes()
        .replace(b"\0", b" ")
        .decode()
        .partition(" ")[2]
        .strip()
        .removeprefix("-P ")
        for pid in processes_of(data_dir)
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


def test_serve_recovers_after_each_process_is_killed(tmp_path: Path) -> None:
    """Publish, upload and score, then kill -9 each process, the supervisor too."""
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
            eventually(lambda: is_healthy(server.address), what="pages")
            scored(n) if n < 4 else None

        port = int(server.address.rsplit(":", 1)[1])
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        eventually(lambda: processes_of(data) == [], what="the end of all children")
    keys = {"HELDOUT_VAULT_KEY": "opener", "HELDOUT_VAULT_SECRET": "of-the-vault"}
    with served(data, HELDOUT_PORT=str(port), **keys) as again:
        assert again.address == server.address
        eventually(lambda: "-m worker" in holders_of(b"of-the-vault", data), what="a worker")
        assert holders_of(b"of-the-vault", data) == {"-m app serve", "-m worker"}, "no web, no sweeper"
        assert call(again, token, "GET", "me")["name"] == "ada"
    assert processes_of(data) == []
    with sqlite3.connect(data / "heldout.db") as database:
        assert database.execute("SELECT count(*), count(DISTINCT submission_id) FROM score").fetchone() == (
            4,
            4,
        )
