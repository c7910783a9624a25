"""Backup and restore of an installation as one archive.

The archive is a tar: `head.json`, a file of JSON lines for every table, then the uploads, by choice the
hidden solutions, and at the end `manifest.json` with the hash of every member. Rows are independent of the
database, so a backup of SQLite restores into PostgreSQL and back. They come from one transaction, and the
files after it: these are only ever added, so a later copy of them has all that the rows name. With a
passphrase the archive is encrypted (see app.base.encryption).
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from sqlalchemy import Date, LargeBinary, Table, func, insert, inspect, select, text
from sqlalchemy import column as sa_column
from sqlalchemy import table as sa_table
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from app import migrations
from app.base import config, db, encryption, storage, vault
from app.base.config import Settings
from app.base.db import Base, Database, UtcTime
from app.base.errors import Refused
from app.base.models import ChallengeVersion, Heartbeat, SignInAttempt
from app.base.storage import Storage

FORMAT = 1
TRANSIENT = {Heartbeat.__tablename__, SignInAttempt.__tablename__}
"""Tables that are not part of a backup."""
BATCH = 500
UNFINISHED = ".heldout-backup"
"""The end of the name of a backup that is being written."""
_SOLUTIONS = ".restored-"
TRUNCATED = "The archive is cut short or damaged; nothing was restored."


@dataclass
class Summary:
    """What an archive holds: rows and checksums by table, files."""

    rows: dict[str, int] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    files: int = 0
    solutions: int = 0


def tables() -> list[Table]:
    """Return the tables, each after those that it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name not in TRANSIENT]


def write(
    settings: Settings,
    database: Database,
    kept: Storage,
    file: Path,
    *,
    with_solutions: bool,
    passphrase: str | None,
) -> Summary:
    """Write the archive with mode 0600 and rename it when complete.

    The installation may be running. What killed backups left in the same folder is deleted.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}{UNFINISHED}")
    try:
        _remove_unfinished(file.parent)
        with _created(temporary) as raw:
            if passphrase is None:
                summary = _write(settings, database, kept, raw, with_solutions=with_solutions, with_key=False)
            else:
                with encryption.Writer(raw, passphrase) as stream:
                    summary = _write(
                        settings, database, kept, stream, with_solutions=with_solutions, with_key=True
                    )
            raw.flush()
            os.fsync(raw.fileno())
        temporary.replace(file)
        storage.fsync_folder(file.absolute().parent)
    except OSError as wrong:
        raise Refused(f"The backup {file} cannot be written: {wrong.strerror}.") from wrong
    finally:
        temporary.unlink(missing_ok=True)
    return summary


def _created(temporary: Path) -> BinaryIO:
    """Create a file and lock it.

    Until it is locked another backup may take it for one that was killed, and delete it.
    """
    while True:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return os.fdopen(descriptor, "wb")
        os.close(descriptor)


def _remove_unfinished(folder: Path) -> None:
    """Delete the hidden copies of backups that were killed; the lock of a live one is held."""
    for left in folder.glob(f".*{UNFINISHED}"):
        with suppress(FileNotFoundError), left.open("rb") as file:  # another backup may delete it first
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            left.unlink(missing_ok=True)


def _write(
    settings: Settings,
    database: Database,
    kept: Storage,
    stream: Any,
    *,
    with_solutions: bool,
    with_key: bool,
) -> Summary:
    summary = Summary()
    hashes: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:

        def add(name: str, content: BinaryIO | IO[bytes]) -> str:
            # Hashed before it is written: a file that changes meanwhile is detected by the restore.
            digest = hashlib.file_digest(content, "sha256")  # type: ignore[arg-type]  # any binary file
            hashes[name] = digest.hexdigest()
            entry = tarfile.TarInfo(name)
            entry.size = content.seek(0, os.SEEK_END)
            content.seek(0)
            entry.mode = 0o600
            archive.addfile(entry, content)
            return hashes[name]

        if (schema := migrations.current(database)) != migrations.head():
            raise Refused(
                f"The database is at version {schema} and this program at {migrations.head()}, so the backup "
                "would be incomplete. Back up with the program of that version."
            )
        with database.read() as session:
            head = {"heldout_backup": FORMAT, "schema": migrations.head(), "at": db.now(session).isoformat()}
            add("head.json", io.BytesIO(json.dumps(head).encode()))
            for table in tables():
                with tempfile.TemporaryFile() as lines:
                    summary.rows[table.name] = sum(1 for line in _lines(session, table) if lines.write(line))
                    lines.seek(0)
                    summary.checksums[table.name] = add(f"tables/{table.name}.jsonl", lines)
            # Files of drafts may be deleted meanwhile, and nothing reads them without the keys of this vault.
            named = sorted(storage.referenced(session, with_drafts=False))
            digests = sorted(session.scalars(select(ChallengeVersion.digest)))
        for sha256 in named:
            with kept.path(sha256).open("rb") as content:
                if add(f"files/{sha256}", content) != sha256:
                    raise Refused(
                        f"The file {sha256} in storage is damaged; `heldout doctor` lists such files."
                    )
            summary.files += 1
        hidden = vault.open_(settings)
        for digest in digests if with_solutions else ():
            for name, path in hidden.files(digest):
                with path.open("rb") as content:
                    add(f"vault/{digest}/{name}", content)
            summary.solutions += 1
        if with_key:
            add("secret_key", io.BytesIO(config.secret_key(settings).encode()))
        manifest = {"members": hashes, "rows": summary.rows}
        add("manifest.json", io.BytesIO(json.dumps(manifest).encode()))
    return summary


def _lines(session: Session, table: Table) -> Iterator[bytes]:
    rows = session.execute(
        select(table).order_by(*table.primary_key.columns), execution_options={"yield_per": BATCH}
    )
    for row in rows.mappings():
        values = {column.name: _as_json(row[column]) for column in table.columns}
        yield json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime | date) else value


def checksums(database: Database) -> dict[str, str]:
    """Return the checksum of every table, equal on every database."""
    found = {}
    with database.read() as session:
        for table in tables():
            digest = hashlib.sha256()
            for line in _lines(session, table):
                digest.update(line)
            found[table.name] = digest.hexdigest()
    return found


def restore(settings: Settings, file: Path, *, passphrase: str | None) -> Summary:
    """Restore into an empty installation.

    The rows are committed only after every hash was right.
    """
    try:
        raw = file.open("rb")
    except OSError as wrong:
        raise Refused(f"The backup {file} cannot be read: {wrong.strerror}.") from wrong
    with raw:
        encrypted = encryption.is_encrypted(raw)
        if encrypted and passphrase is None:
            raise Refused("The archive is encrypted: name the file that holds its passphrase.")
        stream: Any = encryption.Reader(raw, passphrase or "") if encrypted else raw
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                return _restore(settings, _Members(archive))
        except (tarfile.TarError, EOFError, ValueError, KeyError, IntegrityError, DataError) as broken:
            raise Refused(TRUNCATED) from broken
        except (OSError, OperationalError) as wrong:
            if not isinstance(wrong, OSError) and not db.is_full(wrong):
                raise
            reason = wrong.strerror if isinstance(wrong, OSError) else "the database's disk is full"
            raise Refused(
                f"The archive {file} cannot be restored into {settings.data_dir}: {reason} (there or in "
                f"{tempfile.gettempdir()}). No row is kept; make room and repeat the same command."
            ) from wrong


class _Members:
    """The archive's members, with safe names, hashed while read."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self.hashes: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, IO[bytes]]]:
        for entry in self._archive:
            parts = entry.name.split("/")
            if not entry.isreg() or entry.name.startswith("/") or {"", ".", ".."} & set(parts):
                raise Refused(f"The archive has a member that is not a regular file: {entry.name[:80]!r}.")
            content = self._archive.extractfile(entry)
            assert content is not None, "a regular member has content"
            with tempfile.TemporaryFile() as spool:
                shutil.copyfileobj(content, spool, 1 << 20)
                if spool.tell() != entry.size:
                    raise Refused(TRUNCATED)
                spool.seek(0)
                self.hashes[entry.name] = hashlib.file_digest(spool, "sha256").hexdigest()
                spool.seek(0)
                yield entry.name, spool


def _restore(settings: Settings, members: _Members) -> Summary:
    reading = iter(members)
    name, content = next(reading, ("", io.BytesIO()))
    if name != "head.json":
        raise Refused("This file is not a backup of Heldout.")
    head = content.read().decode()
    schema = json.loads(head)["schema"]
    if schema not in migrations.known():
        raise Refused(
            f"The archive's schema is {schema}, which this program, at {migrations.head()}, does not know: "
            "restore it with the program of that version."
        )
    database = db.open_(settings)
    try:
        with _unfinished(settings, database, head) as is_complete:
            # Complete: killed after the commit, which follows the check of every hash.
            summary = Summary() if is_complete else _fill(settings, database, members, reading, schema)
            migrations.upgrade(database)  # rows of an older version are upgraded after the restore
    finally:
        database.dispose()
    return summary


@contextmanager
def _unfinished(settings: Settings, database: Database, head: str) -> Iterator[bool]:
    """Mark the data folder while the block restores into it; yield whether all rows are there.

    The mark holds the archive's head. After a kill it lets the same command go on, and no other start.
    """
    mark = settings.data_dir / config.RESTORING
    is_new = mark.exists() or not settings.data_dir.exists() or not any(settings.data_dir.iterdir())
    config.prepare_data_dir(settings, restores=True)
    if not mark.exists():
        with database.read() as session:
            _refuse_unless_empty(session)
    with mark.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Another restore into {settings.data_dir} is running.") from None
        file.seek(0)
        is_same = file.read() == head
        with database.read() as session:
            is_complete = is_same and _has_data(session)
            if not is_complete:
                _refuse_unless_empty(session)
        if not is_complete:
            file.truncate(0)
            file.write(head)
            file.flush()
            os.fsync(file.fileno())
        try:
            yield is_complete
        except BaseException:
            if not is_new:  # a folder of an installation without data, which may start without it
                mark.unlink()
            raise
        mark.unlink()


def _fill(
    settings: Settings,
    database: Database,
    members: _Members,
    reading: Iterator[tuple[str, IO[bytes]]],
    schema: str,
) -> Summary:
    """Restore the members of the archive in one transaction."""
    summary = Summary()
    if migrations.current(database) not in (None, schema):
        raise Refused(
            f"The database is at version {migrations.current(database)} and the archive at {schema}: "
            "restore it into a database without tables."
        )
    migrations.upgrade(database, to=schema)
    kept, hidden = storage.open_(settings), vault.open_(settings)
    for left in settings.vault.glob(f"{_SOLUTIONS}*"):
        shutil.rmtree(left)
    solutions = tempfile.TemporaryDirectory(prefix=_SOLUTIONS, dir=settings.vault)
    with solutions, database.begin(pauses=True) as session:
        _refuse_unless_empty(session)
        manifest = None
        for name, content in reading:
            kind, _, rest = name.partition("/")
            if name == "manifest.json":
                manifest = json.loads(content.read())
            elif kind == "tables":
                table = Base.metadata.tables[rest.removesuffix(".jsonl")]
                summary.rows[table.name] = _insert(session, table, content)
                summary.checksums[table.name] = members.hashes[name]
            elif kind == "files":
                store_upload(kept, rest, content)
                summary.files += 1
            elif kind == "vault":
                _write_file(Path(solutions.name) / rest, content)
            elif name == "secret_key":
                if not settings.secret_key:
                    _write_file(settings.data_dir / "secret_key", content)
            else:
                raise Refused(f"The archive has an unknown member: {name[:80]!r}.")
        _refuse_unless_whole(manifest, members.hashes)
        for folder in sorted(Path(solutions.name).iterdir()):
            hidden.receive(folder.name, folder)
            summary.solutions += 1
        _set_sequences(session, summary.rows)
    return summary


def _has_data(session: Session) -> bool:
    there = set(inspect(session.connection()).get_table_names())
    count = func.count()
    return any(table.name in there and session.scalar(select(count).select_from(table)) for table in tables())


def _refuse_unless_empty(session: Session) -> None:
    if _has_data(session):
        raise Refused("This installation has data already; restore into an empty one.")


def _refuse_unless_whole(manifest: Mapping[str, Any] | None, hashes: Mapping[str, str]) -> None:
    if manifest is None:
        raise Refused(TRUNCATED)
    found = {name: digest for name, digest in hashes.items() if name != "manifest.json"}
    if manifest["members"] != found:
        raise Refused(TRUNCATED)


def _insert(session: Session, table: Table, lines: Iterable[bytes]) -> int:
    """Insert rows, which in older versions have fewer columns."""
    batch: list[dict[str, Any]] = []
    count = 0
    for line in lines:
        values = json.loads(line)
        # None is left out: in a JSON column it would be stored as JSON's null.
        row = {
            name: _typed(table.columns[name].type, value)
            for name, value in values.items()
            if value is not None
        }
        if batch and (len(batch) == BATCH or batch[0].keys() != row.keys()):
            _insert_batch(session, table, batch)
            batch = []
        batch.append(row)
        count += 1
    if batch:
        _insert_batch(session, table, batch)
    return count


def _insert_batch(session: Session, table: Table, batch: list[dict[str, Any]]) -> None:
    # Not into the models' table: its defaults would name columns that an older schema lacks.
    columns = (sa_column(name, table.columns[name].type) for name in batch[0])
    session.execute(insert(sa_table(table.name, *columns)), batch)


def _typed(kind: Any, value: Any) -> Any:
    if isinstance(kind, UtcTime):
        return datetime.fromisoformat(value)
    if isinstance(kind, Date):
        return date.fromisoformat(value)
    return bytes.fromhex(value) if isinstance(kind, LargeBinary) else value


def store_upload(kept: Storage, sha256: str, content: IO[bytes]) -> None:
    with kept.receive(2**63) as incoming:
        while chunk := content.read(1 << 20):
            incoming.write(chunk)
        if incoming.sha256 != sha256:
            raise Refused(f"The file {sha256[:80]} in the archive is damaged; nothing was restored.")
        incoming.keep()


def _write_file(path: Path, content: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        shutil.copyfileobj(content, target)
        target.flush()
        os.fsync(target.fileno())


def _set_sequences(session: Session, names: Iterable[str]) -> None:
    """Set PostgreSQL's sequences after rows were inserted with ids."""
    if session.get_bind().dialect.name == "sqlite":
        return
    for name in names:
        if "id" in Base.metadata.tables[name].columns:
            session.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), max(id)) "  # noqa: S608  our tables
                    f"FROM {name} HAVING max(id) IS NOT NULL"
                )
            )
