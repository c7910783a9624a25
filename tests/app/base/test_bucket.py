"""Storage in a bucket, over moto's S3 server on this machine."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from app.base import storage
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import NotFound, TooLarge, Unavailable
from app.base.storage import Blob, BucketStorage, Storage
from app.competing import competitions, submissions
from tests.app.conftest import NOON, World


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


# Only the garbage collector closes boto3's connections to the server.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def client(endpoint: str) -> object:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


@pytest.fixture
def settings(endpoint: str, tmp_path: Path) -> Settings:
    bucket = f"b{os.urandom(6).hex()}"
    client(endpoint).create_bucket(Bucket=bucket)  # type: ignore[attr-defined]
    return Settings(
        data_dir=tmp_path,
        storage_url=f"s3://{bucket}/some/prefix",
        s3_endpoint=endpoint,
        s3_key="key",
        s3_secret="secret",
        s3_region="us-east-1",
    )


@pytest.fixture
def bucket(settings: Settings) -> Storage:
    return storage.open_(settings)


def put(bucket: Storage, content: bytes) -> Blob:
    with bucket.receive(10**8) as incoming:
        incoming.write(content)
        return incoming.keep()


def objects(settings: Settings) -> list[str]:
    name = settings.storage_url.split("/")[2]
    found = client(settings.s3_endpoint).list_objects_v2(Bucket=name)  # type: ignore[attr-defined]
    return [entry["Key"] for entry in found.get("Contents", [])]


def elsewhere(settings: Settings, folder: Path) -> Storage:
    """Return the storage of another machine, with an empty cache."""
    return storage.open_(replace(settings, data_dir=folder))


def test_an_upload_is_stored_under_its_hash_and_read_on_another_machine(
    bucket: Storage, settings: Settings, tmp_path: Path
) -> None:
    content = os.urandom(20_000_000)  # in several parts
    blob = put(bucket, content)
    assert blob.sha256 == hashlib.sha256(content).hexdigest()
    assert objects(settings) == [f"some/prefix/{blob.sha256[:2]}/{blob.sha256}"]
    other = elsewhere(settings, tmp_path / "other")
    assert other.path(blob.sha256).read_bytes() == content
    assert other.check(blob.sha256) == len(content)


def test_a_file_over_the_limit_does_not_reach_the_bucket(bucket: Storage, settings: Settings) -> None:
    with pytest.raises(TooLarge), bucket.receive(10) as incoming:
        incoming.write(b"12345678901")
    assert objects(settings) == []
    assert [p for p in settings.storage.rglob("*") if p.is_file()] == []


def test_a_changed_object_is_never_read(bucket: Storage, settings: Settings, tmp_path: Path) -> None:
    blob = put(bucket, b"true")
    name = settings.storage_url.split("/")[2]
    client(settings.s3_endpoint).put_object(Bucket=name, Key=objects(settings)[0], Body=b"lies")  # type: ignore[attr-defined]
    other = elsewhere(settings, tmp_path / "other")
    assert other.check(blob.sha256) is None
    with pytest.raises(Unavailable, match="in storage is damaged"):
        other.path(blob.sha256)
    assert [p for p in (tmp_path / "other").rglob("*") if p.is_file()] == []


def test_faults_of_the_bucket_are_refused_in_words(bucket: Storage, settings: Settings) -> None:
    with pytest.raises(NotFound, match="no longer"):
        bucket.path("0" * 64)
    with pytest.raises(NotFound, match="no such file"):
        bucket.path("../../etc/passwd")
    gone = storage.open_(replace(settings, storage_url="s3://no-such-bucket"))
    with pytest.raises(Unavailable, match="no bucket no-such-bucket"):
        put(gone, b"x")
    away = storage.open_(replace(settings, s3_endpoint="http://127.0.0.1:9"))
    with pytest.raises(Unavailable, match="does not answer"):
        put(away, b"x")


def test_the_longest_unused_copies_are_evicted_and_fetched_again(settings: Settings) -> None:
    small = storage.open_(replace(settings, cache_mb=1))
    first = put(small, os.urandom(600_000))
    copy = small.path(first.sha256)
    long_ago = time.time() - 2 * storage.IN_USE_SECONDS
    os.utime(copy, (long_ago, long_ago))
    put(small, os.urandom(600_000))
    assert not copy.exists()
    assert small.path(first.sha256).stat().st_size == 600_000


def test_a_forked_child_makes_its_own_client(bucket: Storage, settings: Settings, tmp_path: Path) -> None:
    blob = put(bucket, b"from the parent")
    bucket.remove(blob.sha256)
    blob = put(bucket, b"from the parent again")
    Path(settings.storage, blob.sha256[:2], blob.sha256).unlink()
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if bucket.path(blob.sha256).read_bytes() == b"from the parent again" else 1)
        except BaseException:  # noqa: BLE001  a forked pytest must not continue
            os._exit(2)
    until = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.05)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended[0] == child, "the child hangs"
    assert os.waitstatus_to_exitcode(ended[1]) == 0


def test_a_file_without_a_row_is_listed_after_a_day(
    bucket: Storage, tmp_path: Path, database: Database
) -> None:
    local = Storage(tmp_path / "local")
    for kept in (bucket, local):
        blob = put(kept, b"nobody's")
        with database.read() as session:
            now = datetime.now(UTC)
            assert storage.unreferenced(session, kept, now=now) == []
            found = storage.unreferenced(session, kept, now=now + timedelta(days=2))
        assert [each.sha256 for each in found] == [blob.sha256]
        kept.remove(blob.sha256)
        assert list(kept.listed()) == []


def test_a_file_stored_again_since_the_listing_is_not_removed(
    bucket: Storage, tmp_path: Path, world: World
) -> None:
    """`heldout storage gc` makes a list first and then deletes file by file."""

    def remove(kept: Storage, blob: Blob, now: datetime) -> bool:
        with world.database.begin() as session:
            return storage.remove_orphan(session, kept, listed[blob.sha256], now=now)

    later = datetime.now(UTC) + timedelta(days=2)
    for kept in (bucket, Storage(tmp_path / "local")):
        named, young, gone, old = (
            put(kept, f"{name} in {kept.folder}".encode()) for name in ("named", "young", "gone", "old")
        )
        with world.database.read() as session:
            listed = {o.sha256: o for o in storage.unreferenced(session, kept, now=later)}
        assert len(listed) == 4
        world.submit(f"named in {kept.folder}")
        kept.remove(gone.sha256)
        assert [remove(kept, blob, later) for blob in (named, gone, old)] == [False, False, True]
        assert not remove(kept, young, datetime.now(UTC)), "stored again, so its age counts from then"
        assert {each.sha256 for each in kept.listed()} == {named.sha256, young.sha256}


def test_removing_waits_for_an_upload_in_its_transaction(tmp_path: Path, world: World) -> None:
    kept = Storage(tmp_path)
    blob = put(kept, b"twice")
    with world.database.read() as session:
        (orphan,) = storage.unreferenced(session, kept, now=datetime.now(UTC) + timedelta(days=2))
    removed: list[bool] = []

    def remove() -> None:
        with world.database.begin() as session:
            later = datetime.now(UTC) + timedelta(days=2)
            removed.append(storage.remove_orphan(session, kept, orphan, now=later))

    remover = threading.Thread(target=remove)
    with world.database.begin() as session:
        submissions.accept(
            session,
            competitions.by_slug(session, world.slug),
            world.viewer("ada"),
            blob,
            filename="sub.csv",
            message="",
            received_at=NOON,
            now=NOON,
        )
        kept.refuse_unless_stored(blob)
        remover.start()
        remover.join(0.3)
        assert removed == [], "it waits"
    remover.join(10)
    assert removed == [False]
    assert kept.path(blob.sha256).read_bytes() == b"twice"


def test_an_upload_whose_file_was_removed_is_refused(bucket: Storage) -> None:
    kept = put(bucket, b"bytes")
    bucket.refuse_unless_stored(kept)
    bucket.remove(kept.sha256)
    with pytest.raises(Unavailable, match="A clean-up of unused files deleted the file"):
        bucket.refuse_unless_stored(kept)


def test_the_s3_client_is_imported_only_for_an_s3_address(settings: Settings) -> None:
    assert isinstance(storage.open_(settings), BucketStorage)
    assert type(storage.open_(replace(settings, storage_url=""))) is Storage
