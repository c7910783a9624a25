"""The storage: uploads and public files, named by their sha256.

A file is written under a temporary name, flushed to disk and renamed; no text of a user is part of a path.
The storage is a folder or a bucket, as the setting says. Readers get a local path either way: a bounded
folder caches verified copies of a bucket's objects.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Self

from sqlalchemy import or_, select, text
from sqlalchemy.orm import Session

from app.base import encryption, failpoints
from app.base.config import Settings
from app.base.errors import NotFound, StorageFull, TooLarge, Unavailable
from app.base.models import ChallengeVersion, Submission, TrainFile
from app.base.models_drafts import DraftFile

ORPHAN_AGE = timedelta(hours=24)
"""Age below which a file without a row may be an upload in progress."""

IN_USE_SECONDS = 600.0
"""Age below which a requested copy may be about to be opened."""

PART_BYTES = 8 << 20
"""The part of a large object in memory at a time."""

FULL = (
    "The server has no space for another file now. Nothing was stored and nothing was charged. "
    "The log of the server reports this to its operator; try again later."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Blob:
    sha256: str
    size_bytes: int


class Incoming:
    """A file being received, hashed and limited in size.

    A context manager: the end of the block deletes the file unless `keep()` was called.
    """

    def __init__(
        self, folder: Path, limit_bytes: int, send: Callable[[Path, Blob], None] | None = None
    ) -> None:
        self._folder = folder
        self._send = send
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._stored_bytes = 0
        self._hash = hashlib.sha256()
        incoming = folder / "incoming"
        self._path = incoming / secrets.token_hex(16)
        with _disk_errors():
            incoming.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._path.open("xb")

    def write(self, chunk: bytes) -> int:
        self.size_bytes += len(chunk)
        if self.size_bytes > self.limit_bytes:
            raise TooLarge.over(self.limit_bytes)
        self._put(chunk)
        return len(chunk)

    def _put(self, content: bytes) -> None:
        self._stored_bytes += len(content)
        self._hash.update(content)
        with _disk_errors():
            self._file.write(content)

    @property
    def sha256(self) -> str:
        """Return the hash of what was written so far."""
        return self._hash.hexdigest()

    def keep(self, target: Path | None = None) -> Blob:
        """Store the file durably under its hash, or as `target`.

        The name exists only after every byte is on disk.
        """
        with _disk_errors():
            return self._keep(target)

    def _keep(self, target: Path | None) -> Blob:
        self._file.flush()
        failpoints.reach("storage.written")
        os.fsync(self._file.fileno())
        self._file.close()
        blob = Blob(self.sha256, self._stored_bytes)
        if self._send is not None:
            self._send(self._path, blob)
        target = target or _path(self._folder, blob.sha256)
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            fsync_folder(self._folder)
        self._path.chmod(0o600)
        failpoints.reach("storage.synced")
        self._path.replace(target)
        failpoints.reach("storage.renamed")
        fsync_folder(target.parent)
        return blob

    # Werkzeug rewinds a form's file after it was written; nothing here reads it.
    def seek(self, _offset: int, _whence: int = 0) -> int:
        return 0

    def close(self) -> None:
        try:
            with suppress(OSError):  # a full disk: the last bytes cannot be written, and are not needed
                self._file.close()
        finally:
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EncryptedIncoming(Incoming):
    """A file that is encrypted while it is received: what receives it cannot read it back.

    `size_bytes` and the limit count the content; `sha256` is of the encrypted file.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        send: Callable[[Path, Blob], None] | None = None,
        *,
        public_key: bytes,
    ) -> None:
        super().__init__(folder, limit_bytes, send)
        self._encrypted = encryption.KeyWriter(_Put(self._put), public_key)

    def write(self, chunk: bytes) -> int:
        self.size_bytes += len(chunk)
        if self.size_bytes > self.limit_bytes:
            raise TooLarge.over(self.limit_bytes)
        return self._encrypted.write(chunk)

    def keep(self, target: Path | None = None) -> Blob:
        self._encrypted.finish()
        return super().keep(target)


class _Put:
    """A function as what encrypted bytes are written to."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self.write = put


class Inbox:
    """A storage that encrypts what it receives with a public key."""

    def __init__(self, storage: Storage, public_key: bytes) -> None:
        self._storage, self._public_key = storage, public_key

    def receive(self, limit_bytes: int) -> EncryptedIncoming:
        return self._storage.receive_encrypted(limit_bytes, self._public_key)


@dataclass(frozen=True)
class Stored:
    """A stored file in a listing."""

    sha256: str
    size_bytes: int
    kept_at: datetime


class Storage:
    """Storage in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def receive(self, limit_bytes: int) -> Incoming:
        return Incoming(self.folder, limit_bytes)

    def receive_encrypted(self, limit_bytes: int, public_key: bytes) -> EncryptedIncoming:
        return EncryptedIncoming(self.folder, limit_bytes, public_key=public_key)

    def remove_broken_uploads(self, *, older_than_seconds: float) -> int:
        """Delete partial uploads of killed processes; return how many."""
        oldest = time.time() - older_than_seconds
        broken = 0
        for path in (self.folder / "incoming").glob("*"):
            with suppress(FileNotFoundError):  # completed and renamed meanwhile
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    broken += 1
        return broken

    def refuse_unless_writable(self) -> None:
        """Refuse if a byte cannot be written; delete it again."""
        try:
            with self.receive(1) as incoming:
                incoming.write(b"x")
        except OSError as wrong:
            raise Unavailable(f"Storage cannot be written: {wrong.strerror}.") from wrong

    def put_file(self, source: Path) -> Blob:
        with source.open("rb") as stream, self.receive(source.stat().st_size) as incoming:
            while chunk := stream.read(1 << 20):
                incoming.write(chunk)
            return incoming.keep()

    def path(self, sha256: str) -> Path:
        """Return the path of a stored file.

        A name that is no digest is refused, so that no text of a user is ever a path.
        """
        _refuse_no_digest(sha256)
        path = _path(self.folder, sha256)
        if not path.is_file():
            raise NotFound("The file is no longer in storage.")
        return path

    def check(self, sha256: str) -> int | None:
        """Read a stored file; return its size, None if damaged."""
        path = self.path(sha256)
        with path.open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == sha256
        return path.stat().st_size if same else None

    def listed(self) -> Iterator[Stored]:
        """Return all stored files."""
        for path in self.folder.glob("??/*"):
            with suppress(FileNotFoundError):
                found = path.stat()
                yield Stored(path.name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def stored(self, sha256: str) -> Stored | None:
        """Return the listing entry of a file; None if missing."""
        _refuse_no_digest(sha256)
        try:
            found = _path(self.folder, sha256).stat()
        except FileNotFoundError:
            return None
        return Stored(sha256, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def refuse_unless_stored(self, blob: Blob) -> None:
        """Refuse if the file is missing.

        Call it after a row with the file's name was written and before its transaction commits: see
        `remove_orphan`.
        """
        if self.stored(blob.sha256) is None:
            raise Unavailable(CLEARED)

    def remove(self, sha256: str) -> None:
        _refuse_no_digest(sha256)
        _path(self.folder, sha256).unlink(missing_ok=True)


class BucketStorage(Storage):
    """Storage in an S3 bucket, with a local folder.

    The folder holds partial uploads and cached copies. An upload is spooled to it while it is hashed, sent
    under its hash, and verified in the bucket before it counts as stored. A crash leaves at most a spooled
    file or an object without a row.
    """

    def __init__(self, url: str, folder: Path, settings: Settings) -> None:
        super().__init__(folder)
        # Imported here, not at the top: a process without a bucket does not need it. Not later either: a
        # worker must have it before it forks.
        import s3fs  # noqa: F401

        self._root = url.removeprefix("s3://").strip("/")
        self._settings = settings
        self._cache_bytes = settings.cache_mb * 1_000_000
        self._made_by = 0
        self._made: Any = None
        self._making = threading.Lock()
        self._lock = threading.Lock()

    @property
    def _files(self) -> Any:
        """Return the client of this process.

        Its event loop runs in a thread, and threads do not survive a fork.
        """
        with self._making:
            if self._made_by != os.getpid():
                self._made, self._made_by = self._make(), os.getpid()
            return self._made

    def _make(self) -> Any:
        import fsspec.asyn
        import s3fs

        if self._made_by:  # by the parent process: the loop belongs to a thread that this process lacks
            fsspec.asyn.reset_lock()
            fsspec.asyn.iothread[0] = fsspec.asyn.loop[0] = None
        settings = self._settings
        return s3fs.S3FileSystem(
            key=settings.s3_key or None,
            secret=settings.s3_secret or None,
            endpoint_url=settings.s3_endpoint or None,
            client_kwargs={"region_name": settings.s3_region} if settings.s3_region else {},
            config_kwargs={"connect_timeout": 5, "read_timeout": 30, "retries": {"max_attempts": 3}},
            skip_instance_cache=True,
            use_listings_cache=False,
        )

    def _key(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"

    def receive(self, limit_bytes: int) -> Incoming:
        return Incoming(self.folder, limit_bytes, self.send)

    def receive_encrypted(self, limit_bytes: int, public_key: bytes) -> EncryptedIncoming:
        return EncryptedIncoming(self.folder, limit_bytes, self.send, public_key=public_key)

    def refuse_unless_writable(self) -> None:
        super().refuse_unless_writable()
        bucket = self._root.split("/")[0]
        with self._bucket_errors():
            is_there = self._files.exists(bucket)
        if not is_there:
            raise Unavailable(f"Storage has no bucket {bucket}. {AGAIN}")

    def send(self, spooled: Path, blob: Blob) -> None:
        """Put a file into the bucket and verify that it arrived."""
        key = self._key(blob.sha256)
        with self._bucket_errors():
            self._files.put_file(
                str(spooled), key, chunksize=PART_BYTES, max_concurrency=2, Metadata={"sha256": blob.sha256}
            )
            info = self._files.info(key, refresh=True)
            named = self._files.metadata(key, refresh=True).get("sha256")
        if info["size"] != blob.size_bytes or named != blob.sha256:
            raise Unavailable(f"The file did not arrive complete in storage. {AGAIN}")
        self._evict_unused(blob.size_bytes)

    def path(self, sha256: str) -> Path:
        """Return a local copy; fetch and verify a missing one."""
        _refuse_no_digest(sha256)
        path = _path(self.folder, sha256)
        with suppress(FileNotFoundError):
            os.utime(path)
            return path
        if not self.copy(sha256, path):
            raise Unavailable("The file in storage is damaged; an organiser must restore it.")
        self._evict_unused(0)
        return path

    def copy(self, sha256: str, target: Path) -> bool:
        """Fetch a stored file to `target`; False without one if damaged."""
        with self._fetched(sha256) as incoming:
            if incoming.sha256 != sha256:
                return False
            incoming.keep(target)
        return True

    @contextmanager
    def _fetched(self, sha256: str) -> Iterator[Incoming]:
        with self._bucket_errors():
            size = self._files.info(self._key(sha256), refresh=True)["size"]
        with Incoming(self.folder, size) as incoming:
            with (
                self._bucket_errors(),
                self._files.open(self._key(sha256), "rb", cache_type="none") as stream,
            ):
                while chunk := stream.read(PART_BYTES):
                    incoming.write(chunk)
            yield incoming

    def check(self, sha256: str) -> int | None:
        _refuse_no_digest(sha256)
        with self._fetched(sha256) as incoming:
            return incoming.size_bytes if incoming.sha256 == sha256 else None

    def listed(self) -> Iterator[Stored]:
        with self._bucket_errors():
            found = self._files.find(self._root, detail=True)
        for name, info in found.items():
            yield Stored(name.rsplit("/", 1)[-1], info["size"], info["LastModified"])

    def stored(self, sha256: str) -> Stored | None:
        _refuse_no_digest(sha256)
        try:
            with self._bucket_errors():
                info = self._files.info(self._key(sha256), refresh=True)
        except NotFound:
            return None
        return Stored(sha256, info["size"], info["LastModified"])

    def remove(self, sha256: str) -> None:
        super().remove(sha256)
        with self._bucket_errors(), suppress(FileNotFoundError):
            self._files.rm_file(self._key(sha256))

    def _evict_unused(self, room: int) -> None:
        """Delete the longest unused copies; none that is in use."""
        with self._lock:
            copies = []
            for path in self.folder.glob("??/*"):
                with suppress(FileNotFoundError):
                    copies.append((path.stat().st_mtime, path.stat().st_size, path))
            total = room + sum(size for _, size, _ in copies)
            for used_at, size, path in sorted(copies):
                if total <= self._cache_bytes or used_at > time.time() - IN_USE_SECONDS:
                    break
                path.unlink(missing_ok=True)
                total -= size

    @contextmanager
    def _bucket_errors(self) -> Iterator[None]:
        """Turn errors of the bucket into refusals."""
        from botocore.exceptions import BotoCoreError, ClientError

        bucket = self._root.split("/")[0]
        try:
            yield
        except FileNotFoundError as gone:
            # A missing bucket is a fault of the installation, a missing file is not.
            try:
                there = self._files.exists(bucket)
            except (OSError, BotoCoreError, ClientError):
                there = False
            if there:
                raise NotFound("The file is no longer in storage.") from gone
            raise Unavailable(f"Storage has no bucket {bucket}. {AGAIN}") from gone
        except PermissionError as denied:
            raise Unavailable(f"Storage denies access to its bucket {bucket}. {AGAIN}") from denied
        except (OSError, BotoCoreError, ClientError) as wrong:
            raise Unavailable(f"Storage does not answer. {AGAIN}") from wrong


AGAIN = "Try again in a moment; nothing was charged."
CLEARED = f"A clean-up of unused files deleted the file during its upload. {AGAIN}"


def open_(settings: Settings) -> Storage:
    """Return the storage of an installation."""
    if settings.storage_url.startswith("s3://"):
        return BucketStorage(settings.storage_url, settings.storage, settings)
    return Storage(settings.storage)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Log and refuse a full disk; pass on other errors."""
    try:
        yield
    except OSError as wrong:
        if wrong.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        log.error("DISK FULL: a file could not be written: %s", wrong.strerror)
        raise StorageFull(FULL) from wrong


def unreferenced(session: Session, storage: Storage, *, now: datetime) -> list[Stored]:
    """Return old files that no row names."""
    known = referenced(session)
    return [kept for kept in storage.listed() if kept.sha256 not in known and kept.kept_at < now - ORPHAN_AGE]


def remove_orphan(session: Session, storage: Storage, orphan: Stored, *, now: datetime) -> bool:
    """Delete a file of `unreferenced` if it is still one; return whether.

    The race is with an upload of the same bytes, which stores its file and then writes its row. If it stores
    the file before the check of the age here, the file is young and stays. If it stores it after that check,
    the file is deleted. Then its row is not committed, or it would be seen here, and cannot be written before
    this transaction ends, because the tables are locked. So `refuse_unless_stored`, which is called after the
    row is written, finds the file missing, and the upload is refused. This holds whenever one of the two is
    killed.
    """
    if session.get_bind().dialect.name != "sqlite":  # SQLite has one writer at a time
        session.execute(
            text("LOCK TABLE challenge_version, train_file, submission, draft_file IN SHARE MODE")
        )
    if _is_referenced(session, orphan.sha256):
        return False
    found = storage.stored(orphan.sha256)
    if found is None or found.kept_at >= now - ORPHAN_AGE:
        return False
    storage.remove(orphan.sha256)
    return True


def referenced(session: Session, *, with_drafts: bool = True) -> set[str]:
    """Return the names of all files that a row names; if asked, without those of drafts."""
    of_drafts = set(session.scalars(select(DraftFile.sha256))) if with_drafts else set()
    return (
        of_drafts
        | set(session.scalars(select(Submission.sha256)))
        | set(session.scalars(select(TrainFile.sha256)))
        | _published(session)
    )


def _is_referenced(session: Session, sha256: str) -> bool:
    of_teams = select(
        or_(
            select(Submission.id).where(Submission.sha256 == sha256).exists(),
            select(TrainFile.submission_id).where(TrainFile.sha256 == sha256).exists(),
            select(DraftFile.id).where(DraftFile.sha256 == sha256).exists(),
        )
    )
    return bool(session.scalar(of_teams)) or sha256 in _published(session)


def _published(session: Session) -> set[str]:
    return {
        sha256
        for manifest in session.scalars(select(ChallengeVersion.manifest))
        for sha256 in files_of(manifest)
    }


def files_of(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Return the stored files of a challenge version."""
    for entry in (*manifest.get("files", []), manifest.get("bundle"), manifest.get("folds")):
        if entry and "sha256" in entry:
            yield entry["sha256"]


def _refuse_no_digest(sha256: str) -> None:
    if len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
        raise NotFound("There is no such file.")


def _path(folder: Path, sha256: str) -> Path:
    return folder / sha256[:2] / sha256


def fsync_folder(folder: Path) -> None:
    """Flush the folder's entries, which then survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
