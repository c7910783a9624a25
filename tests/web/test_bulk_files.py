"""The archive of all files: whole, safe, flat in memory, also with files missing and clients that go."""

from __future__ import annotations

import csv
import hashlib
import io
import socket
import threading
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from app.base import db
from app.base.installation import Installation
from app.base.models import Event, Submission
from app.cli.participants import competition_files
from app.competing import all_submissions, bulk_files, competitions
from app.web import slow_clients
from app.web.streams import StreamSlots
from tests.web.site import Site

PATH = "/competitions/biopsy/organise"


def opened(content: bytes) -> tuple[zipfile.ZipFile, list[dict[str, str]]]:
    """Return an archive whose checksums hold, and its index."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    assert archive.namelist()[-1] == "index.csv"
    return archive, list(csv.DictReader(io.StringIO(archive.read("index.csv").decode())))


def events_of(site: Site) -> list[tuple[str, dict[str, Any]]]:
    with site.database.read() as session:
        taken = select(Event).where(Event.action == "files downloaded").order_by(Event.id)
        return [(event.actor, dict(event.detail)) for event in session.scalars(taken)]


@pytest.fixture
def sent(site: Site) -> Site:
    """Return an installation with files whose names no system should trust, of which two are not there."""
    names = ("../../etc/passwd", "a b?.csv", "=1+1.csv", "", "same.csv", "same.csv")
    site.user("eve")
    site.join("eve")
    site.change(daily_limit=50, pending_limit=50)
    for n, name in enumerate(names):
        number = site.submit("ada" if n % 2 else "eve", b"x" * n * 1000 + b"%d" % n, filename=name)
        site.score(number, 0.1 * n, 0.2)
    with site.database.begin() as session:  # as an older version may have kept them
        for one, name in zip(session.scalars(select(Submission).order_by(Submission.id)), names, strict=True):
            one.filename = name
    stored = [row.sha256 for row in rows(site)]
    site.storage.path(stored[4]).unlink()
    site.storage.path(stored[5]).write_bytes(b"another content")
    return site


def rows(site: Site) -> list[Submission]:
    with site.database.read() as session:
        return list(session.scalars(select(Submission).order_by(Submission.id)))


def test_page_api_and_command_give_the_same_zip_with_safe_names_and_a_true_index(
    sent: Site, tmp_path: Path
) -> None:
    out = tmp_path / "all.zip"
    installation = Installation(sent.settings)
    vars(installation).update(database=sent.database, storage=sent.storage)
    done = CliRunner().invoke(competition_files, ["biopsy", "--out", str(out)], obj=installation)
    assert done.output == f"biopsy: 6 files are in {out}; 2 could not be read, see index.csv.\n"
    address, token = f"/api/v1{PATH}/files", sent.token("grace")
    for content in (
        out.read_bytes(),
        sent.browser("grace").post(f"{PATH}/files").data,
        sent.visitor().client.post(address, headers=token).data,
    ):
        archive, index = opened(content)
        assert [int(line["submission"]) for line in index] == [row.id for row in rows(sent)]
        for line, row in zip(index, rows(sent), strict=True):
            assert (line["sha256"], line["size_bytes"]) == (row.sha256, str(row.size_bytes))
            if line["path"] and not line["problem"]:
                assert hashlib.sha256(archive.read(line["path"])).hexdigest() == row.sha256
        assert [bool(line["problem"]) for line in index] == [False] * 4 + [True] * 2
        assert (index[4]["path"], index[4]["problem"]) == ("", "The file is no longer in storage.")
        assert "another SHA-256" in index[5]["problem"]
        assert [line["path"].rpartition("/")[2] for line in index[:4]] == [
            "1-etc_passwd", "2-a_b_.csv", "3-1_1.csv", "4-file",
        ]  # fmt: skip
        assert index[2]["file"] == "'=1+1.csv"
        assert len(archive.namelist()) == len(set(archive.namelist())) == 6
    taken = events_of(sent)
    assert [actor for actor, _ in taken] == ["command line", "grace", "grace"]
    assert all(detail == {"files": 6, "teams": 2, "through": 6} for _, detail in taken)
    one = sent.visitor().client.post(f"{address}?team={rows(sent)[0].team_id}&state=scored", headers=token)
    assert [line["submission"] for line in opened(one.data)[1]] == ["1", "3", "5"]
    assert events_of(sent)[-1][1] == {"files": 3, "teams": 1, "through": 5, "state": "scored"} | {
        "team": str(rows(sent)[0].team_id)
    }


def test_files_that_arrive_while_the_zip_is_sent_are_not_in_it(sent: Site) -> None:
    with sent.database.begin() as session:
        competition = competitions.by_slug(session, "biopsy")
        archive = bulk_files.begin(
            session,
            sent.storage,
            competition,
            all_submissions.Wanted(),
            read=sent.database.read,
            by="grace",
            now=db.now(session),
        )
    sent.submit("ada", b"later")
    assert len(opened(b"".join(archive))[1]) == 6


def test_some_hundred_files_take_no_more_memory_than_a_few(sent: Site) -> None:
    peaks = []
    for files in (20, 400):
        with sent.database.begin() as session:
            last = session.get_one(Submission, 1)
            facts = {c.key: getattr(last, c.key) for c in Submission.__table__.columns if c.key != "id"}
            with sent.storage.receive(10**7) as incoming:
                incoming.write(b"0.123456789," * 20_000)
                blob = incoming.keep()
            facts |= {"sha256": blob.sha256, "size_bytes": blob.size_bytes, "idempotency_key": None}
            numbers = [Submission(**facts) for _ in range(files)]
            session.add_all(numbers)
            session.flush()
            add_scores(session, [one.id for one in numbers])
        with sent.database.begin() as session:
            archive = bulk_files.begin(
                session,
                sent.storage,
                competitions.by_slug(session, "biopsy"),
                all_submissions.Wanted(),
                read=sent.database.read,
                by="grace",
                now=db.now(session),
            )
        tracemalloc.start()
        total = sum(len(piece) for piece in archive)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert archive.missing == 2
        assert total > 1000
    assert peaks[1] < peaks[0] + 3_000_000, peaks  # 400 files have 96 MB


def add_scores(session: Any, numbers: list[int]) -> None:
    from app.base.models import Evaluation

    like = session.scalars(select(Evaluation).where(Evaluation.submission_id == 1)).one()
    facts = {c.key: getattr(like, c.key) for c in Evaluation.__table__.columns}
    session.add_all(Evaluation(**(facts | {"submission_id": number})) for number in numbers)


def test_a_client_that_goes_leaves_no_open_file_and_frees_its_place(sent: Site) -> None:
    slots = StreamSlots(4)
    give_back = slots.take()
    with pytest.raises(Exception, match="being downloaded"):
        slots.take()
    give_back()
    give_back()  # a second time has no effect
    slots.take()
    with sent.database.begin() as session:
        archive = bulk_files.begin(
            session,
            sent.storage,
            competitions.by_slug(session, "biopsy"),
            all_submissions.Wanted(),
            read=sent.database.read,
            by="grace",
            now=db.now(session),
        )
    pieces = iter(archive)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # a generator, as the server closes it


def test_client_that_takes_a_made_answer_too_slowly_loses_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it would hold a thread for days: each byte that it takes would begin the wait anew."""
    monkeypatch.setattr(slow_clients, "MAX_STALL_SECONDS", 0.5)
    monkeypatch.setattr(slow_clients, "MIN_BYTES_PER_SECOND", 1e9)
    ours, theirs = socket.socketpair()
    sending = slow_clients.BufferedSocket(ours)
    is_over = threading.Event()

    def take_slowly() -> None:
        while not is_over.is_set():
            theirs.recv(4096)
            time.sleep(0.005)

    reader = threading.Thread(target=take_slowly)
    reader.start()
    try:
        with pytest.raises(ConnectionAbortedError, match="too slowly"):
            for _ in range(100):
                sending.sendall(b"x" * 1_000_000)
    finally:
        is_over.set()
        sending.close()
        reader.join()
        theirs.close()
