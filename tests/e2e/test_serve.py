"""`heldout serve` and `heldout demo` on one machine, with real processes."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.servers import Served, heldout, is_healthy, processes_of, served, valkey


def one_line(words: str) -> str:
    lines = words.strip().splitlines()
    assert len(lines) == 1, words
    return lines[0]


def stops_clean(server: Served, number: signal.Signals) -> None:
    server.process.send_signal(number)
    assert server.process.wait(30) == 0
    assert processes_of(server.data_dir) == []
    assert "Traceback" not in server.log.read_text()


def test_second_serve_on_the_same_data_folder_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data) as server:
        second = heldout(data, "serve", "--port", "0")
        assert second.returncode == 2
        assert f"Another `heldout serve` (pid {server.process.pid}) already runs" in one_line(second.stderr)
        assert is_healthy(server.address)
        stops_clean(server, signal.SIGTERM)


def test_serve_on_a_port_in_use_is_refused_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = heldout(tmp_path / "data", "serve", "--port", str(port))
    assert done.returncode == 2
    assert f"127.0.0.1:{port} is in use by another program" in one_line(done.stderr)
    assert processes_of(tmp_path / "data") == []


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HELDOUT_DATABASE_URL": "mysql://root:geheim@db/x"}, "HELDOUT_DATABASE_URL"),
        ({"HELDOUT_WORKERS": "none"}, "HELDOUT_WORKERS: 'none' is not a number"),
        ({"HELDOUT_PROT": "1"}, "HELDOUT_PROT: there is no such setting"),
        ({"HELDOUT_WEB_PROCESSES": "4"}, "with SQLite it must be 1"),
    ],
)
def test_wrong_setting_is_refused_in_one_line(tmp_path: Path, env: dict[str, str], words: str) -> None:
    done = heldout(tmp_path / "data", "serve", "--port", "0", **env)
    assert done.returncode == 2
    assert words in one_line(done.stderr)
    assert "geheim" not in done.stderr


def test_data_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = heldout(
        tmp_path / "file", "serve", "--port", "0", HELDOUT_DATA_DIR=str(tmp_path / "file" / "data")
    )
    assert done.returncode == 2
    assert "cannot be written" in one_line(done.stderr)


def test_valkey_with_corrupt_data_starts_empty(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with valkey(data):
        pass
    corrupt = [*(data / "valkey").rglob("*.aof"), *(data / "valkey").rglob("*.manifest")]
    assert len(corrupt) > 1
    for file in corrupt:
        file.write_bytes(b"this is neither an append-only file nor a list of them\n" * 10)
    with served(data) as server:
        assert is_healthy(server.address)
        assert "starting it empty" in server.log.read_text()
        stops_clean(server, signal.SIGINT)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_demo_once_scores_a_submission_and_leaves_no_process(tmp_path: Path) -> None:
    done = heldout(tmp_path / "data", "demo", "--once", "--data-dir", str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    for slug in ("biopsy", "diabetes", "digits"):
        assert f"{slug}: published, 8 baselines posted" in done.stdout
    assert "scored, public score 0.69315" in done.stdout
    assert done.stdout.index("biopsy: published") < done.stdout.index("Heldout is ready on")
    assert done.stdout.count("(baseline)") == 24
    assert processes_of(tmp_path / "data") == []
