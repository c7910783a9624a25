from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.authoring import challenges
from app.base import db, events, failpoints
from app.base.models import Submission
from app.base.storage import Incoming, Storage
from app.competing import competitions, receipts
from tests.web.site import CSV, PRIVATE_CANARY, Site

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

FORM = "/competitions/biopsy/submissions"
API = "/api/v1/competitions/biopsy/submissions"


def send_form(site: Site, content: bytes = CSV, filename: str = "guess.csv", **more: Any) -> TestResponse:
    return site.browser("ada").post(
        FORM,
        {"file": (io.BytesIO(content), filename), "message": "first try"},
        content_type="multipart/form-data",
        **more,
    )


def send_raw(
    site: Site, content: bytes = CSV, name: str = "ada", headers: dict[str, str] | None = None
) -> TestResponse:
    return site.visitor().client.post(
        API, data=content, content_type="text/csv", headers={**site.token(name), **(headers or {})}
    )


def leftovers(site: Site) -> list[str]:
    folder = site.storage.folder / "incoming"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_form_upload_redirects_to_the_submission(site: Site) -> None:
    answer = send_form(site)
    assert (answer.status_code, answer.location) == (303, "/submissions/1")
    page = site.browser("ada").get("/submissions/1").text
    assert "guess.csv" in page
    assert "first try" in page
    assert "queued" in page
    assert site.browser("ada").get("/submissions/1/file").data == CSV


def test_a_form_upload_of_a_script_returns_a_receipt(site: Site) -> None:
    answer = send_form(site, headers={"Accept": "application/json"})
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["links"]["page"] == "/submissions/1"


def test_a_bare_file_keeps_its_name_and_message(site: Site) -> None:
    answer = send_raw(site, headers={"X-Filename": "b%C3%A4r.csv", "X-Message": "from a notebook"})
    assert answer.status_code == 201
    receipt = answer.json
    assert receipt is not None
    assert receipt["size_bytes"] == len(CSV)
    assert receipt["state"] == "queued"
    assert receipt["remaining_today"] == 4
    shown = site.visitor().client.get(receipt["links"]["self"], headers=site.token("ada")).json
    assert shown is not None
    assert (shown["filename"], shown["message"]) == ("bär.csv", "from a notebook")
    assert (shown["state"], shown["place_in_queue"]) == ("queued", 1)


def test_the_api_accepts_a_form(site: Site) -> None:
    answer = site.visitor().client.post(
        API, data={"file": (io.BytesIO(CSV), "a.csv")}, headers=site.token("ada")
    )
    assert answer.status_code == 201


def test_a_gzip_file_is_stored_unchanged(site: Site) -> None:
    packed = gzip.compress(CSV)
    receipt = send_raw(site, packed).json
    assert receipt is not None
    stored = site.visitor().client.get(receipt["links"]["file"], headers=site.token("ada")).data
    assert stored == packed


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_over_the_limit_is_refused_and_leaves_no_file(site: Site, announced: bool) -> None:
    content = b"x" * 300_000
    if announced:
        answer = send_raw(site, content)
    else:  # chunked: the length is not announced
        answer = site.visitor().client.post(
            API,
            input_stream=io.BytesIO(content),
            content_type="text/csv",
            headers=site.token("ada"),
            environ_overrides={"wsgi.input_terminated": True},
        )
    assert answer.status_code == 413
    assert answer.json is not None
    assert answer.json["detail"] == "The file is larger than the limit of 0.2 MB."
    form = send_form(site, b"x" * 230_000)
    assert form.status_code == 413
    assert "larger than the limit of 0.2 MB" in form.text
    assert leftovers(site) == []


def test_the_largest_allowed_file_is_accepted(site: Site) -> None:
    assert send_raw(site, b"x" * 200_000).status_code == 201
    assert send_form(site, b"y" * 200_000).status_code == 303
    assert send_form(site, b"y" * 200_001).status_code == 413


def test_page_api_and_upload_name_the_limit_of_the_scorer_where_it_is_smaller(site: Site) -> None:
    # The page said 200 kB, and the scorer refused above 100 kB after the upload.
    with site.database.begin() as session:
        version = competitions.by_slug(session, site.slug).version
        manifest = dict(version.manifest)
        version.manifest = {**manifest, "submission": {**manifest["submission"], "max_bytes": 100_000}}
    page = site.browser("ada").get("/competitions/biopsy/submit").text
    assert 'data-max-bytes="100000"' in page
    assert "up to 100 kB" in page
    assert "data-may-pack" not in page
    shown = site.visitor().client.get("/api/v1/competitions/biopsy", headers=site.token("ada")).json
    assert shown is not None
    assert shown["limits"]["upload_bytes"] == shown["submission"]["max_bytes"] == 100_000
    assert send_raw(site, b"x" * 100_000).status_code == 201
    refused = send_raw(site, b"x" * 100_001)
    assert refused.status_code == 413
    assert "larger than the limit of 0.1 MB" in refused.text


def test_publishing_the_same_folder_again_renews_its_size_limit(site: Site) -> None:
    # The limit of a version published by an older program would stay on the page for ever.
    with site.database.begin() as session:
        version = competitions.by_slug(session, site.slug).version
        same: Any = SimpleNamespace(slug=version.challenge.slug, digest=version.digest)
        manifest = {**version.manifest, "submission": {**version.manifest["submission"], "max_bytes": 70_000}}
        assert not challenges.publish(session, same, manifest, now=db.now(session)).is_new
    assert send_raw(site, b"x" * 70_000).status_code == 201
    assert send_raw(site, b"x" * 70_001).status_code == 413


def test_no_file_an_empty_file_and_two_files_are_refused(site: Site) -> None:
    assert "No file was chosen" in send_form(site, b"", "").text
    assert "The file is empty" in send_form(site, b"").text
    two = site.browser("ada").post(
        FORM,
        {"file": [(io.BytesIO(CSV), "a.csv"), (io.BytesIO(CSV), "b.csv")]},
        content_type="multipart/form-data",
    )
    assert two.status_code == 422
    assert send_raw(site, b"").status_code == 422
    assert leftovers(site) == []


def test_a_truncated_form_leaves_no_file(site: Site) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nid,target\n1,0.'
    answer = site.browser("ada").client.post(FORM, data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 422
    assert leftovers(site) == []


def test_a_repeated_idempotency_key_returns_the_first_receipt(site: Site) -> None:
    first = send_raw(site, headers={"Idempotency-Key": "k1"}).json
    again = send_raw(site, headers={"Idempotency-Key": "k1"}).json
    assert first is not None
    assert again is not None
    assert first["id"] == again["id"]
    assert (first["is_replay"], again["is_replay"]) == (False, True)
    assert again["remaining_today"] == 4
    assert send_raw(site, b"id,target\n", headers={"Idempotency-Key": "k1"}).status_code == 409


def test_a_known_key_is_answered_when_the_daily_limit_is_reached(site: Site) -> None:
    site.change(daily_limit=1)
    first = send_raw(site, headers={"Idempotency-Key": "k1"})
    again = send_raw(site, headers={"Idempotency-Key": "k1"})
    assert first.json is not None
    assert again.json is not None
    assert again.json["id"] == first.json["id"]


def test_refusal_by_the_daily_limit_names_the_reset_time(site: Site) -> None:
    site.change(daily_limit=1)
    send_raw(site)
    refused = send_raw(site)
    assert refused.status_code == 429
    assert refused.json is not None
    assert refused.json["detail"].startswith(
        "All 1 submissions of today are used. The next can be sent from 20"
    )
    assert refused.json["detail"].endswith("00:00 Europe/Berlin.")
    page = site.browser("ada").get("/competitions/biopsy/submit").text
    assert "<b>0 of 1</b> left today, resets" in page
    assert 'id="upload"' not in page


def test_the_upload_page_shows_remaining_uploads(site: Site) -> None:
    site.submit("ada")
    page = site.browser("ada").get("/competitions/biopsy/submit").text
    assert "<b>4 of 5</b> left today, resets" in page
    assert "00:00</time> Europe/Berlin" in page


class Unread(io.BytesIO):
    """A body that must not be read."""

    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")

    def readinto(self, buffer: object) -> int:
        raise AssertionError("the body was read")


@pytest.mark.parametrize("why", ["not a member", "closed", "paused", "upcoming", "too large", "no token"])
def test_a_forbidden_upload_is_refused_unread(site: Site, why: str) -> None:
    headers = site.token("bob" if why == "not a member" else "ada") if why != "no token" else {}
    length = 150_000_000
    if why == "closed":
        site.close()
    if why == "paused":
        site.change(is_paused=True)
    if why == "upcoming":
        with site.database.read() as session:
            site.change(opens_at=db.now(session) + timedelta(days=1))
    answer = site.visitor().client.post(
        API,
        input_stream=Unread(),
        environ_overrides={"CONTENT_LENGTH": str(length)},
        content_type="text/csv",
        headers=headers,
    )
    expected = {
        "not a member": 403,
        "closed": 403,
        "paused": 403,
        "upcoming": 403,
        "too large": 413,
        "no token": 401,
    }
    assert answer.status_code == expected[why]
    assert answer.json is not None
    assert answer.json["detail"]
    assert leftovers(site) == []


def test_an_upload_begun_before_the_close_counts(site: Site) -> None:
    closing = site

    class Slow(io.BytesIO):
        def readinto(self, buffer: Buffer) -> int:
            if self.tell() == 0:
                closing.change(closes_at=datetime.now(UTC))
            return super().readinto(buffer)

    answer = site.visitor().client.post(
        API, input_stream=Slow(CSV), content_type="text/csv", headers=site.token("ada")
    )
    assert answer.status_code == 201
    assert send_raw(site).status_code == 403


def test_a_message_over_the_limit_is_refused(site: Site) -> None:
    """Before the file is kept; otherwise refused uploads could fill the disk."""
    before = sorted(site.storage.folder.rglob("*"))
    answer = send_raw(site, headers={"X-Message": "m" * 501})
    assert answer.status_code == 422
    assert sorted(site.storage.folder.rglob("*")) == before


def test_private_scores_are_hidden_while_an_upload_can_still_arrive(site: Site) -> None:
    """Otherwise a client could see the scores before it sends its last bytes."""
    site.score(site.submit("ada"), 0.5)
    site.change(closes_at=datetime.now(UTC) - timedelta(seconds=60))
    assert str(PRIVATE_CANARY) not in site.browser("ada").get("/competitions/biopsy/leaderboard").text
    site.change(closes_at=datetime.now(UTC) - timedelta(seconds=121))
    assert "0.12346" in site.browser("ada").get("/competitions/biopsy/leaderboard").text


def test_a_known_key_with_another_file_stores_no_file(site: Site) -> None:
    headers = site.token("ada") | {"Idempotency-Key": "k"}
    first = site.visitor().client.post(API, data=CSV, content_type="text/csv", headers=headers)
    assert first.status_code == 201
    kept = sorted(site.storage.folder.rglob("*"))
    other = site.visitor().client.post(API, data=CSV + b"\n", content_type="text/csv", headers=headers)
    assert other.status_code == 409
    assert sorted(site.storage.folder.rglob("*")) == kept


def test_a_form_with_many_files_opens_only_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    receive = Storage.receive

    def counting(storage: Storage, limit_bytes: int) -> Incoming:
        opened.append(1)
        return receive(storage, limit_bytes)

    monkeypatch.setattr(Storage, "receive", counting)
    files = [(io.BytesIO(b"a"), f"{i}.csv") for i in range(50)]
    answer = site.browser("ada").post(FORM, {"file": files}, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "Send exactly one file" in answer.text
    assert len(opened) == 1
    assert leftovers(site) == []


def test_one_user_has_at_most_two_uploads_at_once(site: Site) -> None:
    site.join("bob")
    answers: list[tuple[str, int]] = []

    def send(nr: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        class Body(io.BytesIO):
            def readinto(self, buffer: Buffer) -> int:
                if self.tell() == 0:
                    meanwhile()
                return super().readinto(buffer)

        answer = site.visitor().client.post(
            API, input_stream=Body(CSV), content_type="text/csv", headers=site.token(nr.split()[0])
        )
        answers.append((nr, answer.status_code))

    def third() -> None:
        send("ada 3")
        send("bob 1")

    send("ada 1", lambda: send("ada 2", third))
    send("ada 4")
    assert answers == [("ada 3", 429), ("bob 1", 201), ("ada 2", 201), ("ada 1", 201), ("ada 4", 201)]


class Silent(io.BytesIO):
    """A client that announces a body and sends none until the timeout."""

    def read(self, size: int | None = -1) -> bytes:
        raise BlockingIOError

    def readinto(self, buffer: object) -> int:
        raise BlockingIOError


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_a_body_that_never_arrives_is_not_a_server_error(site: Site, name: str) -> None:
    answer = site.visitor().client.post(
        API,
        input_stream=Silent(),
        environ_overrides={"CONTENT_LENGTH": "1000"},
        content_type="text/csv",
        headers=site.token(name),
    )
    assert answer.status_code == (400 if name == "ada" else 403)
    assert leftovers(site) == []


def test_no_receipt_for_a_file_removed_while_it_is_accepted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`heldout storage gc` removes a file while it is uploaded again."""

    def clear(point: str) -> None:
        if point == "upload.kept":
            site.storage.remove(hashlib.sha256(CSV).hexdigest())

    monkeypatch.setattr(failpoints, "listener", clear)
    answer = send_raw(site)
    assert answer.status_code == 503
    assert "A clean-up of unused files deleted the file" in answer.text
    monkeypatch.setattr(failpoints, "listener", None)
    receipt = send_raw(site).json
    assert receipt is not None
    assert receipt["remaining_today"] == 4, "the refused upload is not counted"


def test_a_file_over_the_team_storage_limit_is_refused_and_not_kept(site: Site) -> None:
    site.change(max_upload_bytes=2_000_000)
    site = site.with_settings(team_mb=1)
    first = gzip.compress(CSV) + bytes(600_000)
    key = {"Idempotency-Key": "one"}
    assert send_raw(site, first, headers=key).status_code == 201
    before = {kept.sha256 for kept in site.storage.listed()}
    refusal = send_raw(site, bytes(500_000))
    assert refusal.status_code == 429
    assert "take 0.6 MB here, and a team may have 1 MB" in refusal.text
    assert {kept.sha256 for kept in site.storage.listed()} == before
    assert send_raw(site, first, headers=key).status_code in (200, 201), "a repeat returns the receipt"
    small = send_raw(site, bytes(300_000))
    assert small.json is not None
    assert small.json["remaining_today"] == 3, "a smaller file fits, and the refused one is not counted"


def test_the_signed_receipt_is_the_same_in_page_and_api(site: Site) -> None:
    given = send_raw(site).json
    assert given is not None
    shown = site.visitor().client.get(given["links"]["self"], headers=site.token("ada")).json
    assert shown is not None
    page = site.browser("ada").get(given["links"]["page"]).text
    assert shown["receipt"] == given["receipt"]
    assert f">{given['receipt']}<" in page
    assert given["receipt_key"] in page
    facts = receipts.read(given["receipt"], given["receipt_key"])
    assert (facts.submission_id, facts.sha256, facts.size_bytes) == (given["id"], given["sha256"], len(CSV))
    assert facts.received_at.isoformat() == given["received_at"]


@pytest.mark.parametrize(
    "change",
    ["UPDATE submission SET size_bytes = 1 WHERE id = 1", "DELETE FROM event WHERE subject = 'submission 1'"],
)
def test_a_row_that_differs_from_the_log_gets_no_receipt(site: Site, change: str) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = send_raw(site, headers=key).json, send_raw(site, b"id,target\n1,0\n").json
    assert first is not None
    assert second is not None
    with site.database.engine.begin() as connection:  # as an attacker with access to the database
        connection.execute(text(change))
    ask = site.visitor().client
    assert signed_of(ask.get(API, headers=site.token("ada")).json, 1) is None
    assert signed_of(ask.get(first["links"]["self"], headers=site.token("ada")).json) is None
    page = site.browser("ada").get(first["links"]["page"]).text
    assert "No receipt is signed" in page
    assert "heldout-receipt-1" not in page
    again = send_raw(site, headers=key).json
    assert again is not None
    assert (again["is_replay"], again["receipt"]) == (True, None)
    other = ask.get(second["links"]["self"], headers=site.token("grace")).json
    assert signed_of(other) == second["receipt"], "an unchanged row keeps its receipt"


def test_a_receipt_uses_the_first_record_of_the_log(site: Site) -> None:
    """A second, forged event that fits a changed row has no effect."""
    send_raw(site)
    with site.database.begin() as session:
        session.execute(text("UPDATE submission SET size_bytes = 1"))
        row = session.get_one(Submission, 1)
        events.log_upload(session, "ada", events.ACCEPTED, row, site.slug, now=db.now(session))
    with site.database.read() as session:
        assert receipts.recorded(session, [1]) == {}


def signed_of(answer: Any, of: int | None = None) -> str | None:
    """Return the receipt in an answer, or of one listed submission."""
    shown = answer if of is None else next(s for s in answer["submissions"] if s["id"] == of)
    found: str | None = shown["receipt"]
    return found


def test_page_and_api_show_the_rejected_files_and_when_the_next_may_be_sent(site: Site) -> None:
    site.change(rejected_limit=1)
    for content in (b"one", b"two"):
        site.reject(site.submit("ada", content))
    quota = site.visitor().client.get("/api/v1/competitions/biopsy/quota", headers=site.token("ada")).json
    assert quota is not None
    assert (quota["remaining"], quota["rejected"], quota["rejected_limit"]) == (5, 2, 1)
    assert quota["pending_limit"] == 1
    assert quota["next_at"] is not None
    page = site.browser("ada").get("/competitions/biopsy/submit").text
    assert "2 files rejected today" in page
    assert "upload it from" in page
    assert 'id="upload"' not in page
    assert "next upload from" in site.browser("ada").get("/competitions/biopsy/submissions").text
    refused = send_raw(site)
    assert refused.status_code == 429
    assert 50 <= int(refused.headers["Retry-After"]) <= 60
    assert 50 <= int(send_form(site, headers={"Accept": "application/json"}).headers["Retry-After"]) <= 60


def test_refusals_that_end_with_time_have_retry_after(site: Site) -> None:
    site.change(pending_limit=1)
    send_raw(site)
    waiting = send_raw(site, CSV + b"\n")
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (429, "5")
    site.change(pending_limit=10, daily_limit=1)
    used_up = send_raw(site, CSV + b"\n")
    assert used_up.status_code == 429
    assert 0 < int(used_up.headers["Retry-After"]) <= 86400
