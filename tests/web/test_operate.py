"""What an operator is told: readiness, room on the disk, metrics, and the page that says how things stand."""

from __future__ import annotations

import io
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from app import migrations
from app.errors import Unavailable
from app.storage import Incoming
from app.web import uploads
from app.web.throttle import UnderWay
from tests.web.house import CSV, House

API = "/api/v1/competitions/biopsy/submissions"


def with_schema(house: House, version: str) -> None:
    with house.database.begin() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))"))
        session.execute(text("DELETE FROM alembic_version"))
        session.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})


def free(megabytes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=int(megabytes * 1e6))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def leftovers(house: House) -> list[Path]:
    return [p for p in house.storage.folder.rglob("*") if p.is_file()]


# -- ready ---------------------------------------------------------------------------------------


def test_ready_means_a_schema_that_is_ours_or_later(house: House) -> None:
    for version, status in ((migrations.head(), 200), ("0001", 503), ("9999", 200)):
        with_schema(house, version)
        answer = house.stranger().get("/readyz")
        assert answer.status_code == status, version
    with_schema(house, "0001")
    answer = house.stranger().get("/readyz")
    assert answer.json == {
        "status": "not ready",
        "database": "its schema is older than this program",
        "storage": "ok",
        "disk": "ok",
    }


def test_a_folder_that_cannot_be_written_is_told_without_saying_where(house: House) -> None:
    with_schema(house, migrations.head())
    shutil.rmtree(house.storage.folder)
    house.storage.folder.write_text("in the way")
    answer = house.stranger().get("/readyz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["storage"] == "cannot be written"
    assert str(house.settings.data_dir) not in answer.text


# -- room ----------------------------------------------------------------------------------------


class Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")

    def readinto(self, buffer: object) -> int:
        raise AssertionError("the body was read")


def test_below_the_floor_an_upload_is_refused_unread_and_the_operator_told(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_schema(house, migrations.head())
    free(499, monkeypatch)
    answer = house.stranger().client.post(
        API,
        input_stream=Unread(),
        environ_overrides={"CONTENT_LENGTH": "9000000"},  # more than is drained
        content_type="text/csv",
        headers=house.token("ada"),
    )
    # The competition takes less than that; its own limit is asked first.
    assert answer.status_code == 413
    answer = house.stranger().client.post(API, data=CSV, content_type="text/csv", headers=house.token("ada"))
    assert answer.status_code == 507
    assert answer.json is not None
    assert "no room" in answer.json["detail"]
    assert "HELDOUT_DISK_FLOOR_MB" in caplog.text
    assert house.stranger().get("/readyz").json == {
        "status": "not ready",
        "database": "ok",
        "storage": "ok",
        "disk": "too little is free",
    }
    assert house.stranger().get("/").status_code == 200
    unlimited = house.with_settings(disk_floor_mb=0)
    answer = unlimited.stranger().client.post(
        API, data=CSV, content_type="text/csv", headers=house.token("ada")
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("way", ["form", "bare"])
def test_a_disk_that_fills_under_an_upload_leaves_nothing_and_charges_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    before = leftovers(house)
    opened = Incoming.__init__

    def on_a_full_disk(incoming: Incoming, *args: Any) -> None:
        opened(incoming, *args)
        incoming._file.close()
        # The kernel's own full disk: what is buffered cannot be written, not even when it is closed.
        incoming._file = Path("/dev/full").open("wb")  # noqa: SIM115

    monkeypatch.setattr(Incoming, "__init__", on_a_full_disk)
    if way == "form":
        answer = house.browser("ada").post(
            "/competitions/biopsy/submissions",
            {"file": (io.BytesIO(b"x" * 150_000), "a.csv")},
            content_type="multipart/form-data",
        )
        assert "no room for another file" in answer.text
    else:
        answer = house.stranger().client.post(
            API, data=CSV, content_type="text/csv", headers=house.token("ada")
        )
    assert answer.status_code == 507
    assert leftovers(house) == before
    assert "DISK FULL" in caplog.text
    monkeypatch.undo()
    answer = house.stranger().client.post(API, data=CSV, content_type="text/csv", headers=house.token("ada"))
    assert answer.json is not None
    assert answer.json["remaining_today"] == 4


def test_a_database_without_room_is_told_as_such(house: House) -> None:
    house.change(daily_limit=1000, pending_limit=1000)
    headers = {**house.token("ada"), "X-Message": "m" * 500}
    with house.database.begin() as session:
        pages = session.scalar(text("PRAGMA page_count"))

    @event.listens_for(house.database.engine, "connect")
    def _no_larger(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own full disk

    house.database.engine.dispose()
    client = house.stranger().client
    status = 201
    for nr in range(60):
        body = CSV + b" " * nr
        status = client.post(API, data=body, content_type="text/csv", headers=headers).status_code
        if status != 201:
            break
    assert status == 507


# -- threads -------------------------------------------------------------------------------------


def test_all_uploads_together_leave_threads_for_pages() -> None:
    under_way = UnderWay(threads=5)
    with (
        under_way.upload(1),
        under_way.upload(2),
        pytest.raises(Unavailable, match="Many people"),
        under_way.upload(3),
    ):
        pass
    with under_way.upload(3):
        pass
    with UnderWay(threads=1).upload(1):
        pass


def test_a_refused_body_that_trickles_in_holds_no_thread(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "DRAIN_SECONDS", 0.3)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b"id")
        began = time.monotonic()
        answer = house.stranger().client.post(
            API,
            environ_overrides={"CONTENT_LENGTH": "1000", "wsgi.input": stream, "gunicorn.socket": ours},
            content_type="text/csv",
        )
        took = time.monotonic() - began
    assert answer.status_code == 401
    assert 0.2 < took < 5
