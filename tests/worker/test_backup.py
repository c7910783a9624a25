"""Backup and restore between both databases, complete and without secrets."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from app import migrations
from app.base import config, db, events
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import Misconfigured, Refused
from app.base.installation import Installation
from app.operating import backup
from app.people import accounts
from tests.servers import heldout
from tests.worker.conftest import Platform
from worker import jobs

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty installation on another host."""
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path / "new")
    server = request.getfixturevalue("postgres")
    name = f"empty_{os.urandom(6).hex()}"
    engine = create_engine(server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return Settings(data_dir=tmp_path / "new", database_url=server.format(name=name))


def write(platform: Platform, file: Path, *, solutions: bool = False, passphrase: str | None = None) -> Path:
    installation = platform.installation
    backup.write(
        installation.settings,
        installation.database,
        installation.storage,
        file,
        with_solutions=solutions,
        passphrase=passphrase,
    )
    return file


def score(settings: Settings, database: Database) -> None:
    runner = jobs.Runner(settings, database)
    while claim := runner._claim("host/1/2"):
        runner.score(claim)


def test_a_restored_backup_has_equal_checksums_and_goes_on_scoring(
    platform: Platform, empty: Settings, tmp_path: Path
) -> None:
    platform.submit(platform.sample())
    platform.submit(b"id,nonsense\n1,2\n", by="bob")
    score(platform.installation.settings, platform.database)
    platform.submit(platform.sample() + b"\n")  # still queued
    file = write(platform, tmp_path / "b.tar", solutions=True, passphrase=PASSPHRASE)
    assert file.stat().st_mode & 0o777 == 0o600
    summary = backup.restore(empty, file, passphrase=PASSPHRASE)
    assert (summary.rows["submission"], summary.solutions) == (3, 1)
    database = db.open_(empty, pooled=False)
    assert backup.checksums(database) == backup.checksums(platform.database) == summary.checksums
    key = "secret_key"
    assert (empty.data_dir / key).read_text() == (platform.installation.settings.data_dir / key).read_text()
    score(empty, database)  # from the restored files and solution
    with database.begin() as session:
        assert {row.state for row in session.execute(text("SELECT state FROM evaluation"))} == {
            "scored",
            "rejected",
        }
        accounts.register(session, "carol", None, now=db.now(session))  # ids continue
    with pytest.raises(Refused, match="data already"):
        backup.restore(empty, file, passphrase=PASSPHRASE)
    database.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("empty", ["postgres"], indirect=True)
def test_a_long_restore_does_not_exceed_the_idle_limit_of_transactions(
    platform: Platform, empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.submit(platform.sample())
    file = write(platform, tmp_path / "b.tar")
    store = backup.store_upload

    def slowly(*given: object) -> None:
        time.sleep(0.4)
        store(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(backup, "store_upload", slowly)
    summary = backup.restore(replace(empty, statement_seconds=1), file, passphrase=None)
    assert summary.files > 3
    assert summary.rows["submission"] == 1


def test_a_backup_without_solutions_holds_no_hidden_label(platform: Platform, tmp_path: Path) -> None:
    platform.submit(platform.sample())
    score(platform.installation.settings, platform.database)
    solution = next(platform.installation.settings.vault.glob("*/private/solution.csv")).read_bytes()
    rows = solution.split(b"\n")[1:6]
    assert b"\n".join(rows) in write(platform, tmp_path / "with.tar", solutions=True).read_bytes()
    plain = write(platform, tmp_path / "without.tar")
    assert b"\n".join(rows) not in plain.read_bytes()
    with tarfile.open(plain) as archive:
        assert {name.split("/")[0] for name in archive.getnames()} == {
            "head.json",
            "tables",
            "files",
            "manifest.json",
        }
    sealed = write(platform, tmp_path / "sealed", solutions=True, passphrase=PASSPHRASE).read_bytes()
    assert rows[0] not in sealed
    assert b"coins" not in sealed


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_bad_archive_is_refused_in_one_line_and_leaves_no_row(platform: Platform, tmp_path: Path) -> None:
    platform.submit(os.urandom(300_000))
    good = write(platform, tmp_path / "good", passphrase=PASSPHRASE).read_bytes()
    plain = write(platform, tmp_path / "plain").read_bytes()
    at = plain.index(b'"name":"ada"')
    cases = {
        "passphrase is wrong": (good, "another passphrase"),
        "is encrypted": (good, None),
        "cut short": (good[:-40], PASSPHRASE),
        "cut short or damaged": (good[:70_000] + b"x" + good[70_001:], PASSPHRASE),
        "nothing was restored": (plain[: len(plain) // 2], None),
        "damaged; nothing": (plain[:at] + b'"name":"eve"' + plain[at + 12 :], None),
        "not a backup of Heldout": (_tar("other.json"), None),
        "not a regular file": (_tar("../head.json"), None),
        "schema is 0999": (_tar("head.json", b'{"schema": "0999"}'), None),
        "cut short or": (b"hello", None),
    }
    for n, (words, (content, passphrase)) in enumerate(cases.items()):
        file = tmp_path / f"bad-{n}"
        file.write_bytes(content)
        settings = Settings(data_dir=tmp_path / f"new-{n}")
        with pytest.raises(Refused, match=words) as refused:
            backup.restore(settings, file, passphrase=passphrase)
        assert "\n" not in refused.value.message
        if (settings.data_dir / "heldout.db").exists():
            with Database(settings.database, pooled=False).read() as session:
                assert session.execute(text("SELECT count(*) FROM user_account")).scalar() == 0


def _tar(name: str, content: bytes = b"{}") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def test_a_backup_during_uploads_holds_every_file_that_its_rows_name(
    platform: Platform, tmp_path: Path
) -> None:
    stop = threading.Event()

    def upload() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            platform.submit(platform.sample() + b"\n" * n)

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        for n in range(3):
            write(platform, tmp_path / f"{n}.tar")
    finally:
        stop.set()
        thread.join()
    for n in range(3):
        settings = Settings(data_dir=tmp_path / f"new-{n}")
        summary = backup.restore(settings, tmp_path / f"{n}.tar", passphrase=None)
        assert summary.rows["submission"] == summary.rows["evaluation"]
        shutil.rmtree(settings.data_dir)


LATER = {  # columns that later revisions added to 0002
    "competition": {
        *("extended_until", "marks_agents", "own_summary", "entry_closes_at", "teams_close_at"),
        *("allows_late", "visibility", "is_archived", "board_frozen_at"),
    },
    "round": {"repeat_of", "applies_itself", "served_at"},
    "event": {"seq", "hash"},
    "user_account": {"skeleton"},
    "team": {"skeleton", "look", "is_host", "captain_id", "merged_into_id", "method", "method_link"},
    "token": {"scope", "expires_at", "last_used_at"},
    "submission": {"is_ranked", "cancelled_at", "is_by_agent", "first_team_id", "withdrawn_at", "is_late"},
}
LATER_TABLES = (
    *("extension", "upload_ticket", "former_name", "file_check", "inbox_key", "draft", "draft_file"),
    *("draft_step", "draft_upload", "competition_host", "team_invite", "merge_offer", "rules_version"),
    *("rules_acceptance", "announcement", "announcement_reading", "classroom", "enrolment", "join_code"),
    *("class_competition", "question", "canned_answer", "question_settings", "private_link", "admission"),
    "frozen_standing",
    *("mail_address", "letter", "letters_written", "password_link"),
)


def as_of_0002(archive: Path, target: Path) -> None:
    """Write the rows as the older version did."""
    hashes: dict[str, str] = {}
    with tarfile.open(archive) as new, tarfile.open(target, "w") as old:
        for entry in new:
            content = new.extractfile(entry).read()  # type: ignore[union-attr]  # all are regular files
            table = entry.name.removeprefix("tables/").removesuffix(".jsonl")
            if table in LATER_TABLES:
                continue
            if entry.name == "head.json":
                content = json.dumps(json.loads(content) | {"schema": "0002"}).encode()
            elif table in LATER:
                rows = [json.loads(line) for line in content.splitlines()]
                kept = [{k: v for k, v in row.items() if k not in LATER[table]} for row in rows]
                content = b"".join(json.dumps(row).encode() + b"\n" for row in kept)
            elif entry.name == "manifest.json":
                content = json.dumps({"members": hashes}).encode()
            hashes[entry.name] = hashlib.sha256(content).hexdigest()
            entry.size = len(content)
            old.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_archive_of_an_older_version_is_restored_and_upgraded(
    platform: Platform, tmp_path: Path, empty: Settings
) -> None:
    submission = platform.submit(platform.sample())
    as_of_0002(write(platform, tmp_path / "new.tar"), tmp_path / "old.tar")
    backup.restore(empty, tmp_path / "old.tar", passphrase=None)
    restored = Platform(Installation(empty), platform.folder)
    migrations.check(restored.database)
    assert restored.status(submission).sha256 == hashlib.sha256(platform.sample()).hexdigest()
    assert restored.submit(platform.sample() + b"\n") == submission + 1
    with pytest.raises(Refused, match="has data already"):
        backup.restore(empty, tmp_path / "old.tar", passphrase=None)
    restored.database.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_older_program_refuses_an_incomplete_backup(platform: Platform, tmp_path: Path) -> None:
    with platform.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '9999_since_{migrations.head()}'"))
    with pytest.raises(Refused, match="Back up with the program of that version"):
        write(platform, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()


def test_backup_deletes_what_killed_ones_left_and_not_a_live_ones_copy(
    platform: Platform, tmp_path: Path
) -> None:
    killed = tmp_path / f".older.tar.4711{backup.UNFINISHED}"
    live = tmp_path / f".other.tar.4712{backup.UNFINISHED}"
    killed.write_bytes(b"half an archive with hidden labels")
    with live.open("wb") as written:
        fcntl.flock(written, fcntl.LOCK_EX)
        write(platform, tmp_path / "new.tar")
        assert live.exists()
    assert not killed.exists()


def test_a_backup_that_another_one_took_for_a_killed_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the creation of its file and the lock another backup could delete it."""
    file, opened, real = tmp_path / f".b.tar.1{backup.UNFINISHED}", [], os.open

    def interrupted(path: Path, *flags: int) -> int:
        descriptor = real(path, *flags)
        opened.append(path)
        if len(opened) == 1:
            backup._remove_unfinished(tmp_path)
        return descriptor

    monkeypatch.setattr(os, "open", interrupted)
    with backup._created(file) as raw:
        monkeypatch.undo()
        raw.write(b"whole")
    assert file.read_bytes() == b"whole"
    assert len(opened) == 2


def killed_restore(settings: Settings, file: Path, at: str) -> None:
    """Restore in a process that is killed when it calls a function of the module."""

    def run() -> None:
        setattr(backup, at, lambda *_words, **_named: os.kill(os.getpid(), signal.SIGKILL))
        backup.restore(settings, file, passphrase=None)

    child = multiprocessing.get_context("fork").Process(target=run)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("database_url", "empty"),
    [("sqlite", "sqlite"), pytest.param("postgres", "postgres", marks=pytest.mark.postgres)],
    indirect=True,
)
@pytest.mark.parametrize("at", ["_insert", "store_upload", "_refuse_unless_whole", "_set_sequences"])
def test_restore_that_was_killed_goes_on_when_repeated(
    platform: Platform, tmp_path: Path, empty: Settings, at: str
) -> None:
    """It used to refuse its own folder as not empty."""
    platform.submit(platform.sample())
    file = write(platform, tmp_path / "b.tar", solutions=True)
    platform.database.dispose()
    killed_restore(empty, file, at)
    with pytest.raises(Misconfigured, match="was not finished: repeat the same `heldout restore`"):
        config.prepare_data_dir(empty)
    backup.restore(empty, file, passphrase=None)
    restored = Installation(empty)
    assert backup.checksums(restored.database) == backup.checksums(platform.database)
    assert [path.name for path in empty.vault.glob(".restored-*")] == []
    restored.database.dispose()


def test_restore_killed_after_its_commit_is_completed_by_the_same_archive_only(
    platform: Platform, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    first = write(platform, tmp_path / "first.tar")
    platform.submit(platform.sample())
    second = write(platform, tmp_path / "second.tar")
    platform.database.dispose()
    backup.restore(settings, first, passphrase=None)
    with tarfile.open(first) as archive:
        head = archive.extractfile("head.json")
        assert head is not None
        (settings.data_dir / config.RESTORING).write_bytes(head.read())
    with pytest.raises(Refused, match="has data already"):
        backup.restore(settings, second, passphrase=None)
    backup.restore(settings, first, passphrase=None)
    assert Installation(settings).database


def test_refused_archive_blocks_no_start_of_the_default_folder(platform: Platform, tmp_path: Path) -> None:
    file = write(platform, tmp_path / "b.tar")
    file.write_bytes(file.read_bytes()[:5000])
    settings = Settings(data_dir=tmp_path / "used")
    config.prepare_data_dir(settings)
    with pytest.raises(Refused, match="cut short or damaged"):
        backup.restore(settings, file, passphrase=None)
    config.prepare_data_dir(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.parametrize("place", ["data", "spool"])
def test_restore_onto_a_full_disk_is_refused_and_goes_on_when_there_is_room(
    sqlite_template: Path, tmp_path: Path, place: str
) -> None:
    """It ended in a traceback."""
    (tmp_path / "old").mkdir()
    shutil.copy(sqlite_template, tmp_path / "old/heldout.db")
    old = Installation(Settings(data_dir=tmp_path / "old"))
    with old.database.begin() as session:
        for number in range(600):
            events.log(session, "a", "b", f"c {number}", now=db.now(session), long="x" * 4000)
    file, small = tmp_path / "b.tar", tmp_path / "small"
    backup.write(old.settings, old.database, old.storage, file, with_solutions=False, passphrase=None)
    old.database.dispose()
    small.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine mounts nothing")
    try:
        into = small / "new" if place == "data" else tmp_path / "new"
        words = ("restore", str(file), "--into", str(into))
        refused = heldout(tmp_path / "old", *words, **({"TMPDIR": str(small)} if place == "spool" else {}))
        assert refused.returncode == 2, refused.stderr
        assert "make room and repeat the same command" in refused.stderr
        assert "Traceback" not in refused.stderr
        subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
        done = heldout(tmp_path / "old", *words)
        assert (done.returncode, "event: 600 rows" in done.stdout) == (0, True), done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)
