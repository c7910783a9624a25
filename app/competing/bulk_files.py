"""All uploaded files of a competition as one zip with an index, made while it is sent.

The zip is written piece by piece to a stream that cannot be rewound, so memory grows only by the entry of
each file in the directory at the end of a zip, about a kilobyte. A file that cannot be read is a line of the
index with the reason. The index is the last entry, since only then all reasons are known.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO

from sqlalchemy.orm import Session

from app.base import events
from app.base.csv_cells import csv_lines
from app.base.errors import Refused
from app.base.models import Competition
from app.base.storage import Storage
from app.competing import all_submissions
from app.competing.all_submissions import Wanted
from app.competing.statuses import Status

INDEX = "index.csv"
COLUMNS = (
    *("submission", "team", "sent_by", "received_at", "file", "path", "sha256", "size_bytes", "state"),
    *("public", "private", "picked", "problem"),
)
"""Of the index; `path` is empty and `problem` says why if a file is missing."""
PIECE_BYTES = 1 << 18
INDEX_IN_MEMORY_BYTES = 1 << 20

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass
class Archive:
    """The zip, as an iterator of its bytes; `missing` counts the files that could not be read so far."""

    read: Callable[[], AbstractContextManager[Session]]
    storage: Storage
    competition_id: int
    wanted: Wanted
    files: int
    """That it begins with; later uploads are not in it."""
    begun_at: datetime
    missing: int = 0

    def __iter__(self) -> Iterator[bytes]:
        pipe = _Pipe()
        with (
            tempfile.SpooledTemporaryFile(INDEX_IN_MEMORY_BYTES) as index,
            zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            index.write(csv_lines([COLUMNS]).encode())
            for one in all_submissions.walk(self.read, self.competition_id, self.wanted, each=200):
                path, problem = "", list[str]()
                with closing(self._file(archive, one, problem)) as steps:  # also if the client has gone
                    for kept in steps:
                        path = kept
                        if pipe.size >= PIECE_BYTES:
                            yield pipe.take()
                self.missing += bool(problem)
                index.write(csv_lines([_line(one, path, " ".join(problem))]).encode())
            index.seek(0)
            with archive.open(_entry(INDEX, self.begun_at), "w", force_zip64=True) as target:
                while piece := index.read(PIECE_BYTES):
                    target.write(piece)
                    if pipe.size >= PIECE_BYTES:
                        yield pipe.take()
        yield pipe.take()

    def _file(self, archive: zipfile.ZipFile, one: Status, problem: list[str]) -> Generator[str, None, None]:
        """Write a file piece by piece, yielding its path after each; add to `problem` why it is not whole."""
        try:
            source = self.storage.path(one.sha256).open("rb")
        except (Refused, OSError) as wrong:
            problem.append(_words(wrong))
            return
        path = safe_path(one)
        digest = hashlib.sha256()
        with (
            source,
            archive.open(_entry(path, one.received_at), "w", force_zip64=one.size_bytes >= 1 << 31) as target,
        ):
            try:
                while piece := source.read(PIECE_BYTES):
                    digest.update(piece)
                    target.write(piece)
                    yield path
            except OSError as wrong:
                problem.append(f"Only a part could be read. {_words(wrong)}")
        if not problem and digest.hexdigest() != one.sha256:
            problem.append("The file is damaged in storage: its bytes have another SHA-256.")
        yield path


def begin(
    session: Session,
    storage: Storage,
    competition: Competition,
    wanted: Wanted,
    *,
    read: Callable[[], AbstractContextManager[Session]],
    by: str,
    now: datetime,
) -> Archive:
    """Return the archive of the files that there are now, and log that it was taken."""
    files, teams, newest = all_submissions.counted(session, competition, wanted)
    wanted = replace(wanted, is_oldest_first=True, through_id=newest or 0)
    only = {name: str(value) for name, value in (("state", wanted.state), ("kind", wanted.kind)) if value}
    if wanted.team_id is not None:
        only["team"] = str(wanted.team_id)
    events.log(
        session,
        by,
        "files downloaded",
        competition.slug,
        now=now,
        files=files,
        teams=teams,
        through=newest or 0,
        **only,
    )
    return Archive(read, storage, competition.id, wanted, files, now)


def safe_path(one: Status) -> str:
    """Return the path of a file in the zip: of letters that no system reads as a path or a device."""
    team = _UNSAFE.sub("_", one.team).strip("._")[:40]
    name = _UNSAFE.sub("_", one.filename).strip("._")[-80:]
    return f"files/{one.team_id}-{team or 'team'}/{one.id}-{name or 'file'}"


def _line(one: Status, path: str, problem: str) -> list[object]:
    scores = ("" if x is None else repr(x) for x in (one.public, one.private))
    return [
        *(one.id, one.team, one.sent_by, one.received_at.isoformat(), one.filename, path, one.sha256),
        *(one.size_bytes, str(one.state), *scores, one.is_picked, problem),
    ]


def _words(wrong: Refused | OSError) -> str:
    if isinstance(wrong, Refused):
        return wrong.message
    return f"The storage cannot read it: {wrong.strerror or type(wrong).__name__}."


def _entry(path: str, at: datetime) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(path, at.astimezone(UTC).timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


class _Pipe:
    """What the zip is written to: bytes wait here until they are taken."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self.size = 0

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        self.size += len(piece)
        return len(piece)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self.size = 0
        return taken


def save(archive: Archive, target: IO[bytes]) -> None:
    """Write the archive to a file."""
    for piece in archive:
        target.write(piece)
