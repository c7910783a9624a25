"""Open ports, secrets and settings of real processes."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.e2e.test_serve import one_line
from tests.servers import heldout, processes_of, served

KEY = "9f2c61d07be845a3b1c4e6d8f0a27351"
PASSWORD = "a long walk by the sea"


def listening_ports(pids: list[int]) -> set[int]:
    """Return the TCP ports on which these processes listen."""
    sockets = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(fd.readlink()))
            except OSError:
                continue  # closed since
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(int(words[1].rsplit(":", 1)[1], 16))
    return found


def test_running_installation_listens_on_one_port_and_shows_no_secret(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data, HELDOUT_SECRET_KEY=KEY, HELDOUT_LOG_LEVEL="debug") as server:
        assert server.process.stdout is not None
        invitation = server.process.stdout.readline()
        setup = re.fullmatch(
            rf"No organiser yet: make one at ({server.address}/setup\?token=(\S+))\n", invitation
        )
        assert setup, invitation
        cookies = CookieJar()
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        with browser.open(setup[1], timeout=20) as page:
            csrf = re.search(r'name="csrf_token" value="([^"]+)"', page.read().decode())
        assert csrf
        form = {"csrf_token": csrf[1], "token": setup[2], "name": "root", "password": PASSWORD}
        with browser.open(f"{server.address}/setup", urlencode(form).encode(), timeout=20) as page:
            assert "You are the organiser." in page.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            browser.open(setup[1], timeout=20)
        token = heldout(data, "token", "root", HELDOUT_SECRET_KEY=KEY).stdout.strip()
        asked = urllib.request.Request(
            f"{server.address}/api/v1/me", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert b"root" in answer.read()

        pids = [server.process.pid, *processes_of(data)]
        assert len(set(pids)) >= 5, "supervisor, Valkey, web and its worker, sweeper, a worker"
        assert listening_ports(pids) == {urlsplit(server.address).port}
        secrets = [KEY, PASSWORD, token, setup[2], *(str(cookie.value) for cookie in cookies)]
        assert all(len(secret) > 20 for secret in secrets)
        for pid in pids:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            assert not [secret for secret in secrets if secret in command], command.replace("\0", " ")
    log = server.log.read_text()
    assert "DEBUG" in log
    assert not [secret for secret in secrets if secret in log or secret.replace(" ", "+") in log]


@pytest.mark.parametrize("part", ["serve", "web", "worker", "sweep"])
def test_every_process_refuses_all_insecure_settings_in_one_line(part: str, tmp_path: Path) -> None:
    done = heldout(
        tmp_path / "data",
        part,
        HELDOUT_SECRET_KEY="geheim" * 8,
        HELDOUT_REDIS_URL="redis://far:6379/0",
        HELDOUT_HOST="0.0.0.0",
    )
    assert done.returncode == 2
    words = one_line(done.stderr)
    assert "HELDOUT_SECRET_KEY" in words
    assert "HELDOUT_REDIS_URL" in words
    assert ("HELDOUT_HOST" in words) == (part in ("serve", "web"))
    assert "geheim" not in words
    assert not (tmp_path / "data").exists()
