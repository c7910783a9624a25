"""What an operator is told: readiness, room on the disk, metrics, and the page that says how things stand."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text, update
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.test import TestResponse

from app import migrations
from app.base import db, heartbeats, logs
from app.base.errors import Unavailable
from app.base.models import Evaluation
from app.base.storage import Incoming
from app.competing import leaderboard
from app.web.upload_slots import UnderWay
from tests.web.site import CSV, House

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


def test_ready_means_a_schema_that_is_ours_or_a_later_one_that_fits(house: House) -> None:
    for version, status in ((migrations.head(), 200), ("0001", 503), ("9999_since_0003", 200), ("9999", 503)):
        with_schema(house, version)
        answer = house.stranger().get("/readyz")
        assert answer.status_code == status, version
    with_schema(house, "0001")
    answer = house.stranger().get("/readyz")
    assert answer.json == {
        "status": "not ready",
        "database": "its schema does not match this program",
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
    assert "no space" in answer.json["detail"]
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
        assert "no space for another file" in answer.text
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


# -- the log -------------------------------------------------------------------------------------


def facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [r.facts for r in caplog.records if r.name == "app.web.access"]  # type: ignore[attr-defined]


def test_each_request_leaves_one_line_without_its_query(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = house.browser("ada").get("/competitions/biopsy/leaderboard?q=secret-search")
    house.stranger().get("/nowhere/secret-place")
    board, nowhere = facts(caplog)
    assert board.pop("ms") > 0
    assert board == {"method": "GET", "endpoint": "leaderboard.show", "status": 200, "user": 1}
    assert (nowhere["endpoint"], nowhere["status"], nowhere["user"]) == ("none", 404, None)
    assert len(answer.headers["X-Request-ID"]) == 16
    assert "secret" not in caplog.text


def test_a_request_is_named_by_a_trusted_proxy_alone(house: House) -> None:
    given = {"X-Request-ID": "from-the-proxy-1"}
    assert house.stranger().get("/", headers=given).headers["X-Request-ID"] != "from-the-proxy-1"
    behind = house.with_settings(proxies=1).stranger()
    assert behind.get("/", headers=given).headers["X-Request-ID"] == "from-the-proxy-1"
    for text_only in ("short", "x" * 65, "with space and <b>"):
        assert behind.get("/", headers={"X-Request-ID": text_only}).headers["X-Request-ID"] != text_only


def test_a_fault_names_its_request_to_whom_it_befell_and_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    house.app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(leaderboard, "board", broken)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logs.Json().format(record))  # type: ignore[method-assign]
    logging.getLogger("app.web.errors").addHandler(handler)
    page = house.browser("ada").get("/competitions/biopsy/leaderboard")
    answer = house.stranger().client.get(
        "/api/v1/competitions/biopsy/leaderboard", headers=house.token("ada")
    )
    logging.getLogger("app.web.errors").removeHandler(handler)
    assert page.status_code == answer.status_code == 500
    assert page.headers["X-Request-ID"] in page.text
    assert answer.json is not None
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert [json.loads(line)["request"] for line in lines] == [
        page.headers["X-Request-ID"],
        answer.headers["X-Request-ID"],
    ]


@pytest.mark.parametrize("form", [logs.Text, logs.Json])
def test_no_secret_is_in_any_line_of_a_days_work(
    house: House, form: type[logging.Formatter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signing up, in and out, tokens, uploads, refusals, a forged cookie, a database that breaks under a secret."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form())
    root = logging.getLogger()
    root.addHandler(handler)
    level, house.app.config["PROPAGATE_EXCEPTIONS"] = root.level, False
    root.setLevel(logging.DEBUG)
    try:
        password = "a-password-nobody-should-read"
        visitor = house.stranger()
        visitor.post("/sign-up", {"name": "carla", "password": password, "password_again": password})
        visitor.post("/sign-out")
        visitor.post("/sign-in", {"name": "carla", "password": password})
        visitor.post("/sign-in", {"name": "carla", "password": password + "x"})
        made = visitor.post("/account/tokens", {"label": "laptop"}, follow_redirects=True)
        tokens = re.findall(r"hld_[A-Za-z0-9_-]{20,}", made.text)
        client = house.stranger().client
        secrets = [password, house.app.config["SECRET_KEY"], *tokens]
        cookie = visitor.client.get_cookie("heldout")
        if cookie is not None:
            secrets.append(cookie.value)
        for token in [*tokens, "hld_wrong-but-typed-by-somebody"]:
            headers = {"Authorization": f"Bearer {token}"}
            client.get(f"/api/v1/me?token={token}", headers=headers)
            client.post(API, data=CSV, content_type="text/csv", headers=headers)
            secrets.append(token)
        with house.database.begin() as session:
            session.execute(text("ALTER TABLE sign_in RENAME TO sign_in_gone"))
            digests = [bytes(d) for d in session.scalars(text("SELECT token_hash FROM token"))]
            hashes = session.scalars(text("SELECT password_hash FROM user_account")).all()
        visitor.client.get("/")  # the statement fails with the cookie's digest in hand
        with house.database.begin() as session:
            session.execute(text("ALTER TABLE user_account RENAME COLUMN created_at TO made_at"))
        visitor.client.post("/sign-up", data={"name": "dora", "password": password})
        with pytest.raises(SQLAlchemyError), house.database.begin() as session:
            try:
                session.execute(text("INSERT INTO nothing VALUES (:secret)"), {"secret": password})
            except SQLAlchemyError:
                logging.getLogger("app").exception("a statement failed")
                raise
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    written = stream.getvalue()
    assert tokens
    assert "a statement failed" in written
    assert "accounts.sign_in" in written
    for secret in [*secrets, *(repr(d)[2:-1] for d in digests), *hashes]:
        assert secret not in written


# -- metrics and the page ------------------------------------------------------------------------


def a_busy_day(house: House) -> None:
    house.change(daily_limit=50, pending_limit=20)
    scored, failed, _queued, running = (house.submit("ada", CSV + b" " * n) for n in range(4))
    house.score(scored, 0.3)
    house.fail(failed)
    house.run(running)
    with house.database.begin() as session:
        now = db.now(session)
        heartbeats.beat(session, "one/1", "worker", now=now, detail={"isolation": "strong"})
        heartbeats.beat(session, "one/2", "sweeper", now=now)
        session.execute(
            update(Evaluation)
            .where(Evaluation.state == "queued")
            .values(next_try_at=now - timedelta(seconds=90))
        )


def numbers(answer: TestResponse) -> dict[str, float]:
    assert answer.status_code == 200
    samples = (s for family in text_string_to_metric_families(answer.text) for s in family.samples)
    return {s.name + "".join(f" {v}" for k, v in s.labels.items() if k != "pid"): s.value for s in samples}


def test_the_metrics_say_what_the_database_says(house: House) -> None:
    a_busy_day(house)
    house.stranger().get("/licences")
    house.stranger().get("/nowhere")
    found = numbers(house.stranger().get("/metrics", headers=house.token("grace")))
    for state, n in (("queued", 1), ("running", 1), ("scored", 1), ("rejected", 0), ("failed", 1)):
        assert found[f"heldout_evaluations {state}"] == n, state
    assert 90 <= found["heldout_oldest_due_seconds"] < 120
    assert (found["heldout_alive worker"], found["heldout_alive sweeper"]) == (1, 1)
    assert found["heldout_newest_seconds_to_outcome_count"] == 1
    assert found["heldout_newest_seconds_to_outcome_bucket +Inf"] == 1
    assert (found["heldout_database_up"], found["heldout_redis_up"]) == (1, 0)
    assert found["heldout_requests_total pages.licences 200"] == 1
    assert found["heldout_requests_total none 404"] == 1
    assert any(name.startswith("heldout_disk_free_bytes") for name in found)


def test_metrics_are_for_organisers_and_for_whoever_has_the_token(house: House) -> None:
    token = "a-token-for-the-collector"
    given = house.with_settings(metrics_token=token)
    with_token = {"Authorization": f"Bearer {token}"}
    assert given.stranger().get("/metrics", headers=with_token).status_code == 200
    assert given.browser("grace").get("/metrics").status_code == 200
    for headers in (
        {},
        house.token("ada"),
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {token}x"},
    ):
        assert given.stranger().get("/metrics", headers=headers).status_code == 404, headers
    assert given.browser("ada").get("/metrics").status_code == 404
    # Without a token set, an empty one opens nothing.
    assert house.stranger().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    assert house.stranger().get("/metrics", headers=with_token).status_code == 404


def test_metrics_are_there_when_the_database_is_not(house: House) -> None:
    token = "a-token-for-the-collector"
    given = house.with_settings(metrics_token=token)
    with house.database.begin() as session:
        session.execute(text("ALTER TABLE evaluation RENAME TO evaluation_gone"))
    found = numbers(given.stranger().get("/metrics", headers={"Authorization": f"Bearer {token}"}))
    assert found["heldout_database_up"] == 0
    assert "heldout_oldest_due_seconds" not in found


def test_a_scrape_does_not_count_everything_each_time(
    house: House, statements: Callable[[], list[str]]
) -> None:
    grace = house.browser("grace")
    grace.get("/metrics")
    statements()
    grace.get("/metrics")
    assert len(statements()) == 6


def test_the_operators_page_shows_the_installation_and_to_organisers_alone(house: House) -> None:
    a_busy_day(house)
    page = house.browser("grace").get("/operate").text
    for words in ("one/1", "isolation strong", "Biopsy triage", "MemoryError", "SQLite", "Redis is away"):
        assert words in page, words
    part = house.browser("grace").get("/operate?part=pulse").text
    assert "<html" not in part
    assert "one/1" in part
    for browser in (house.browser("ada"), house.stranger()):
        assert browser.get("/operate").status_code == 404
        assert browser.get("/operate?part=pulse").status_code == 404
        assert browser.post("/operate/retry/2").status_code == 404
        assert 'href="/operate"' not in browser.get("/").text


def test_a_failure_is_tried_again_from_the_operators_page(house: House) -> None:
    a_busy_day(house)
    grace = house.browser("grace")
    assert grace.post("/operate/retry/2").location == "/operate"
    page = grace.get("/operate").text
    assert "Submission 2 is queued again" in page
    assert "Nothing has failed" in page
    assert grace.post("/operate/retry/2").status_code == 409


def test_a_full_disk_and_missing_processes_are_said_first(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(10, monkeypatch)
    page = house.browser("grace").get("/operate").text
    assert "Only 10 MB are free" in page
    assert "No worker is alive" in page
    assert "No sweeper is alive" in page


# -- threads -------------------------------------------------------------------------------------


def test_all_uploads_together_leave_threads_for_pages() -> None:
    under_way = UnderWay(threads=6)  # three are for pages, one for small uploads that are here
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
