"""Readiness, free disk, request log, metrics and the operators' page."""

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
from app.web.upload_slots import UploadSlots
from tests.web.site import CSV, Site

API = "/api/v1/competitions/biopsy/submissions"


def with_schema(site: Site, version: str) -> None:
    with site.database.begin() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))"))
        session.execute(text("DELETE FROM alembic_version"))
        session.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})


def free(megabytes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=int(megabytes * 1e6))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)


def leftovers(site: Site) -> list[Path]:
    return [p for p in site.storage.folder.rglob("*") if p.is_file()]


def test_ready_accepts_our_schema_or_a_later_compatible_one(site: Site) -> None:
    for version, status in ((migrations.head(), 200), ("0001", 503), ("9999_since_0003", 200), ("9999", 503)):
        with_schema(site, version)
        answer = site.visitor().get("/readyz")
        assert answer.status_code == status, version
    with_schema(site, "0001")
    answer = site.visitor().get("/readyz")
    assert answer.json == {
        "status": "not ready",
        "database": "its schema does not match this program",
        "storage": "ok",
        "disk": "ok",
    }


def test_an_unwritable_folder_is_reported_without_its_path(site: Site) -> None:
    with_schema(site, migrations.head())
    shutil.rmtree(site.storage.folder)
    site.storage.folder.write_text("in the way")
    answer = site.visitor().get("/readyz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["storage"] == "cannot be written"
    assert str(site.settings.data_dir) not in answer.text


class Unread(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")

    def readinto(self, buffer: object) -> int:
        raise AssertionError("the body was read")


def test_below_the_disk_floor_uploads_are_refused_and_logged(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_schema(site, migrations.head())
    free(499, monkeypatch)
    answer = site.visitor().client.post(
        API,
        input_stream=Unread(),
        environ_overrides={"CONTENT_LENGTH": "9000000"},  # more than the server drains
        content_type="text/csv",
        headers=site.token("ada"),
    )
    # The competition's own limit is lower and checked first.
    assert answer.status_code == 413
    answer = site.visitor().client.post(API, data=CSV, content_type="text/csv", headers=site.token("ada"))
    assert answer.status_code == 507
    assert answer.json is not None
    assert "no space" in answer.json["detail"]
    assert "HELDOUT_DISK_FLOOR_MB" in caplog.text
    assert site.visitor().get("/readyz").json == {
        "status": "not ready",
        "database": "ok",
        "storage": "ok",
        "disk": "too little is free",
    }
    assert site.visitor().get("/").status_code == 200
    unlimited = site.with_settings(disk_floor_mb=0)
    answer = unlimited.visitor().client.post(
        API, data=CSV, content_type="text/csv", headers=site.token("ada")
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("way", ["form", "bare"])
def test_a_full_disk_during_an_upload_leaves_no_file_and_no_charge(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    before = leftovers(site)
    opened = Incoming.__init__

    def on_a_full_disk(incoming: Incoming, *args: Any) -> None:
        opened(incoming, *args)
        incoming._file.close()
        # A full disk of the kernel: buffered bytes cannot be written, not even by close().
        incoming._file = Path("/dev/full").open("wb")  # noqa: SIM115

    monkeypatch.setattr(Incoming, "__init__", on_a_full_disk)
    if way == "form":
        answer = site.browser("ada").post(
            "/competitions/biopsy/submissions",
            {"file": (io.BytesIO(b"x" * 150_000), "a.csv")},
            content_type="multipart/form-data",
        )
        assert "no space for another file" in answer.text
    else:
        answer = site.visitor().client.post(API, data=CSV, content_type="text/csv", headers=site.token("ada"))
    assert answer.status_code == 507
    assert leftovers(site) == before
    assert "DISK FULL" in caplog.text
    monkeypatch.undo()
    answer = site.visitor().client.post(API, data=CSV, content_type="text/csv", headers=site.token("ada"))
    assert answer.json is not None
    assert answer.json["remaining_today"] == 4


def test_a_full_database_answers_507(site: Site) -> None:
    site.change(daily_limit=1000, pending_limit=1000)
    headers = {**site.token("ada"), "X-Message": "m" * 500}
    with site.database.begin() as session:
        pages = session.scalar(text("PRAGMA page_count"))

    @event.listens_for(site.database.engine, "connect")
    def _no_larger(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")  # a full disk for SQLite

    site.database.engine.dispose()
    client = site.visitor().client
    status = 201
    for nr in range(60):
        body = CSV + b" " * nr
        status = client.post(API, data=body, content_type="text/csv", headers=headers).status_code
        if status != 201:
            break
    assert status == 507


def facts(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [r.facts for r in caplog.records if r.name == "app.web.access"]  # type: ignore[attr-defined]


def test_each_request_is_logged_in_one_line_without_its_query(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = site.browser("ada").get("/competitions/biopsy/leaderboard?q=secret-search")
    site.visitor().get("/nowhere/secret-place")
    board, nowhere = facts(caplog)
    assert board.pop("ms") > 0
    assert board == {"method": "GET", "endpoint": "leaderboard.show", "status": 200, "user": 1}
    assert (nowhere["endpoint"], nowhere["status"], nowhere["user"]) == ("none", 404, None)
    assert len(answer.headers["X-Request-ID"]) == 16
    assert "secret" not in caplog.text


def test_only_a_trusted_proxy_sets_the_request_id(site: Site) -> None:
    given = {"X-Request-ID": "from-the-proxy-1"}
    assert site.visitor().get("/", headers=given).headers["X-Request-ID"] != "from-the-proxy-1"
    behind = site.with_settings(proxies=1).visitor()
    assert behind.get("/", headers=given).headers["X-Request-ID"] == "from-the-proxy-1"
    for text_only in ("short", "x" * 65, "with space and <b>"):
        assert behind.get("/", headers={"X-Request-ID": text_only}).headers["X-Request-ID"] != text_only


def test_a_server_error_shows_its_request_id_in_the_answer_and_the_log(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of order")

    site.app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(leaderboard, "board", broken)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logs.Json().format(record))  # type: ignore[method-assign]
    logging.getLogger("app.web.errors").addHandler(handler)
    page = site.browser("ada").get("/competitions/biopsy/leaderboard")
    answer = site.visitor().client.get("/api/v1/competitions/biopsy/leaderboard", headers=site.token("ada"))
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
def test_no_secret_is_in_any_log_line(
    site: Site, form: type[logging.Formatter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Covers sign-up, sign-in, tokens, uploads, refusals and failing statements with secrets."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form())
    root = logging.getLogger()
    root.addHandler(handler)
    level, site.app.config["PROPAGATE_EXCEPTIONS"] = root.level, False
    root.setLevel(logging.DEBUG)
    try:
        password = "a-password-not-to-be-logged"
        visitor = site.visitor()
        visitor.post("/sign-up", {"name": "carla", "password": password, "password_again": password})
        visitor.post("/sign-out")
        visitor.post("/sign-in", {"name": "carla", "password": password})
        visitor.post("/sign-in", {"name": "carla", "password": password + "x"})
        made = visitor.post("/account/tokens", {"label": "laptop"}, follow_redirects=True)
        tokens = re.findall(r"hld_[A-Za-z0-9_-]{20,}", made.text)
        client = site.visitor().client
        secrets = [password, site.app.config["SECRET_KEY"], *tokens]
        cookie = visitor.client.get_cookie("heldout")
        if cookie is not None:
            secrets.append(cookie.value)
        for token in [*tokens, "hld_wrong-but-sent-by-a-client"]:
            headers = {"Authorization": f"Bearer {token}"}
            client.get(f"/api/v1/me?token={token}", headers=headers)
            client.post(API, data=CSV, content_type="text/csv", headers=headers)
            secrets.append(token)
        with site.database.begin() as session:
            session.execute(text("ALTER TABLE sign_in RENAME TO sign_in_gone"))
            digests = [bytes(d) for d in session.scalars(text("SELECT token_hash FROM token"))]
            hashes = session.scalars(text("SELECT password_hash FROM user_account")).all()
        visitor.client.get("/")  # the statement fails with the cookie's digest as a parameter
        with site.database.begin() as session:
            session.execute(text("ALTER TABLE user_account RENAME COLUMN created_at TO made_at"))
        visitor.client.post("/sign-up", data={"name": "dora", "password": password})
        with pytest.raises(SQLAlchemyError), site.database.begin() as session:
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


def busy_day(site: Site) -> None:
    site.change(daily_limit=50, pending_limit=20)
    scored, failed, _queued, running = (site.submit("ada", CSV + b" " * n) for n in range(4))
    site.score(scored, 0.3)
    site.fail(failed)
    site.run(running)
    with site.database.begin() as session:
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


def test_metrics_match_the_database(site: Site) -> None:
    busy_day(site)
    site.visitor().get("/licences")
    site.visitor().get("/nowhere")
    found = numbers(site.visitor().get("/metrics", headers=site.token("grace")))
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


def test_metrics_need_an_organiser_or_the_token(site: Site) -> None:
    token = "a-token-for-the-collector"
    given = site.with_settings(metrics_token=token)
    with_token = {"Authorization": f"Bearer {token}"}
    assert given.visitor().get("/metrics", headers=with_token).status_code == 200
    assert given.browser("grace").get("/metrics").status_code == 200
    for headers in (
        {},
        site.token("ada"),
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {token}x"},
    ):
        assert given.visitor().get("/metrics", headers=headers).status_code == 404, headers
    assert given.browser("ada").get("/metrics").status_code == 404
    # Without a configured token, an empty one gives no access.
    assert site.visitor().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    assert site.visitor().get("/metrics", headers=with_token).status_code == 404


def test_metrics_work_without_the_database(site: Site) -> None:
    token = "a-token-for-the-collector"
    given = site.with_settings(metrics_token=token)
    with site.database.begin() as session:
        session.execute(text("ALTER TABLE evaluation RENAME TO evaluation_gone"))
    found = numbers(given.visitor().get("/metrics", headers={"Authorization": f"Bearer {token}"}))
    assert found["heldout_database_up"] == 0
    assert "heldout_oldest_due_seconds" not in found


def test_a_second_scrape_does_not_count_all_rows_again(
    site: Site, statements: Callable[[], list[str]]
) -> None:
    grace = site.browser("grace")
    grace.get("/metrics")
    statements()
    grace.get("/metrics")
    assert len(statements()) == 7  # one of them, of the messages, only where an organiser is signed in


def test_only_organisers_see_the_operators_page(site: Site) -> None:
    busy_day(site)
    page = site.browser("grace").get("/operate").text
    for words in (
        "one/1",
        "isolation strong",
        "Biopsy triage",
        "MemoryError",
        "SQLite",
        "Redis does not answer",
    ):
        assert words in page, words
    part = site.browser("grace").get("/operate?part=pulse").text
    assert "<html" not in part
    assert "one/1" in part
    for browser in (site.browser("ada"), site.visitor()):
        assert browser.get("/operate").status_code == 404
        assert browser.get("/operate?part=pulse").status_code == 404
        assert browser.post("/operate/retry/2").status_code == 404
        assert 'href="/operate"' not in browser.get("/").text


def test_a_failure_is_retried_from_the_operators_page(site: Site) -> None:
    busy_day(site)
    grace = site.browser("grace")
    assert grace.post("/operate/retry/2").location == "/operate"
    page = grace.get("/operate").text
    assert "Submission 2 is queued again" in page
    assert "No submission has failed" in page
    assert grace.post("/operate/retry/2").status_code == 409


def test_the_operators_page_warns_of_a_full_disk_and_missing_processes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(10, monkeypatch)
    page = site.browser("grace").get("/operate").text
    assert "Only 10 MB are free" in page
    assert "No worker is running" in page
    assert "No sweeper is running" in page


def test_all_uploads_together_leave_threads_for_pages() -> None:
    slots = UploadSlots(threads=6)  # three for pages, one for small uploads
    with (
        slots.take(1),
        slots.take(2),
        pytest.raises(Unavailable, match="as many uploads as it can"),
        slots.take(3),
    ):
        pass
    with slots.take(3):
        pass
    with UploadSlots(threads=1).take(1):
        pass
