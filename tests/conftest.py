"""Real parts for tests: SQLite files, a temporary PostgreSQL, a certificate."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import create_engine, text

import scorer
from app import migrations
from app.base.db import Database
from tests import shared

STORM = Path(__file__).parent / "storm"
IN_CI = bool(os.environ.get("CI"))


def missing(what: str, how: str) -> None:
    """Skip where the machine lacks a part; fail in CI."""
    if IN_CI:
        pytest.fail(f"{what} is missing in CI: {how}")
    pytest.skip(f"{what} is not on this machine: {how}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL server for all tests; return its URL."""
    initdb = shutil.which("initdb") or next(
        map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
    )
    if initdb is None:
        missing("PostgreSQL", "apt-get install postgresql")
        return
    bin_dir = Path(initdb).resolve().parent
    # A short path: a unix socket's name has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="heldout-pg-", dir=memory_folder()))
    as_user: list[str] = []
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = folder / "data"
    run = [*as_user, "env", "LC_ALL=C.UTF-8"]
    options = (
        f"-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=400 "
        "-c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0"
    )
    subprocess.run(
        [*run, bin_dir / "initdb", "-D", data, "-U", "heldout", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [*run, bin_dir / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"],
        check=True,
        capture_output=True,
    )
    try:
        yield f"postgresql+psycopg://heldout@/{{name}}?host={folder}"
    finally:
        subprocess.run(
            [*run, bin_dir / "pg_ctl", "-D", data, "-m", "immediate", "stop"], check=True, capture_output=True
        )
        shutil.rmtree(folder, ignore_errors=True)


def memory_folder() -> str | None:
    """Return a file system in memory for databases, or None.

    Copying a database for a test took 125 ms there and 560 ms on a disk.
    """
    shared = Path("/dev/shm")
    is_usable = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 4 << 30
    return str(shared) if is_usable else None


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> str:
    """An upgraded database, which every test's is copied from."""
    run_as_admin(postgres, "CREATE DATABASE template_heldout")
    database = Database(postgres.format(name="template_heldout"), pooled=False)
    migrations.upgrade(database)
    database.dispose()
    return "template_heldout"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "heldout.db"
    database = Database(f"sqlite:///{path}", pooled=False)
    migrations.upgrade(database)
    database.dispose()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, upgraded database of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "heldout.db")
        yield f"sqlite:///{tmp_path / 'heldout.db'}"
        return
    server = request.getfixturevalue("postgres")
    template = request.getfixturevalue("postgres_template")
    name = f"test_{os.urandom(6).hex()}"
    copy_database(server, template, name)
    yield server.format(name=name)
    run_as_admin(server, f"DROP DATABASE {name} WITH (FORCE)")


# Of a test whose statements other tests send to PostgreSQL too, and that looks for nothing in which the
# databases differ: locks, the order of rows, times, texts.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def challenge_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenges") / "coins"
    scorer.scaffold(folder, title="Coins")
    return folder


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(1), now + timedelta(1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


def copy_database(server: str, source: str, name: str) -> None:
    """Create a database as a copy, by files if the server can.

    By files it takes half the time.
    """
    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        by_files = "STRATEGY file_copy" if engine.dialect.server_version_info >= (15,) else ""  # type: ignore[operator]
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {source} {by_files}"))
    engine.dispose()


def run_as_admin(server: str, statement: str) -> None:
    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def pytest_configure(config: pytest.Config) -> None:
    shared.share_rewritten_assertions(config)
    shared.leave_out_parsers_of_iris()
    shared.share_compiled_routes()
    shared.share_compiled_statements()


def pytest_collection_finish() -> None:
    shared.leave_out_of_collections()


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests in tests/storm."""
    if STORM in item.path.parents:
        item.add_marker("storm")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start long tests first, and fix the groups of pytest-xdist.

    pytest-xdist 3.8 writes a group where pytest 9.2 does not read it, so every process would make the parts
    of every group.
    """
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        if (group := group_of(item)) and not item.nodeid.endswith(f"@{group}"):
            item._id = type(item._id).parse(f"{item.nodeid}@{group}")  # type: ignore[attr-defined]


def group_of(item: pytest.Item) -> str | None:
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else None
