from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from app.base import db, events, failpoints
from app.base.models import Submission
from app.base.storage import Incoming, Storage
from app.competing import receipts
from tests.web.site import CSV, PRIVATE_CANARY, House

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

FORM = "/competitions/biopsy/submissions"
API = "/api/v1/competitions/biopsy/submissions"


def send_form(house: House, content: bytes = CSV, filename: str = "guess.csv", **more: Any) -> TestResponse:
    return house.browser("ada").post(
        FORM,
        {"file": (io.BytesIO(content), filename), "message": "first try"},
        content_type="multipart/form-data",
        **more,
    )


def send_raw(
    house: House, content: bytes = CSV, name: str = "ada", headers: dict[str, str] | None = None
) -> TestResponse:
    return house.stranger().client.post(
        API, data=content, content_type="text/csv", headers={**house.token(name), **(headers or {})}
    )


def leftovers(house: House) -> list[str]:
    folder = house.storage.folder / "incoming"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_a_form_is_received_and_leads_to_the_submissions_page(house: House) -> None:
    answer = send_form(house)
    assert (answer.status_code, answer.location) == (303, "/submissions/1")
    page = house.browser("ada").get("/submissions/1").text
    assert "guess.csv" in page
    assert "first try" in page
    assert "queued" in page
    assert house.browser("ada").get("/submissions/1/file").data == CSV


def test_a_script_gets_a_receipt(house: House) -> None:
    answer = send_form(house, headers={"Accept": "application/json"})
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["links"]["page"] == "/submissions/1"


def test_the_bare_file_is_received_with_its_name_and_message(house: House) -> None:
    answer = send_raw(house, headers={"X-Filename": "b%C3%A4r.csv", "X-Message": "from a notebook"})
    assert answer.status_code == 201
    receipt = answer.json
    assert receipt is not None
    assert receipt["size_bytes"] == len(CSV)
    assert receipt["state"] == "queued"
    assert receipt["remaining_today"] == 4
    shown = house.stranger().client.get(receipt["links"]["self"], headers=house.token("ada")).json
    assert shown is not None
    assert (shown["filename"], shown["message"]) == ("bär.csv", "from a notebook")
    assert (shown["state"], shown["place_in_queue"]) == ("queued", 1)


def test_the_api_takes_a_form_too(house: House) -> None:
    answer = house.stranger().client.post(
        API, data={"file": (io.BytesIO(CSV), "a.csv")}, headers=house.token("ada")
    )
    assert answer.status_code == 201


def test_a_gzip_file_is_stored_as_it_came(house: House) -> None:
    packed = gzip.compress(CSV)
    receipt = send_raw(house, packed).json
    assert receipt is not None
    stored = house.stranger().client.get(receipt["links"]["file"], headers=house.token("ada")).data
    assert stored == packed


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_over_the_limit_is_refused_in_words_and_leaves_nothing(house: House, announced: bool) -> None:
    content = b"x" * 300_000
    if announced:
        answer = send_raw(house, content)
    else:  # chunked: nothing says beforehand how long it is
        answer = house.stranger().client.post(
            API,
            input_stream=io.BytesIO(content),
            content_type="text/csv",
            headers=house.token("ada"),
            environ_overrides={"wsgi.input_terminated": True},
        )
    assert answer.status_code == 413
    assert answer.json is not None
    assert answer.json["detail"] == "The file is larger than the limit of 0.2 MB."
    form = send_form(house, b"x" * 230_000)
    assert form.status_code == 413
    assert "larger than the limit of 0.2 MB" in form.text
    assert leftovers(house) == []


def test_the_largest_file_allowed_is_taken(house: House) -> None:
    assert send_raw(house, b"x" * 200_000).status_code == 201
    assert send_form(house, b"y" * 200_000).status_code == 303
    assert send_form(house, b"y" * 200_001).status_code == 413


def test_a_form_without_a_file_an_empty_one_and_two_are_refused(house: House) -> None:
    assert "No file was chosen" in send_form(house, b"", "").text
    assert "The file is empty" in send_form(house, b"").text
    two = house.browser("ada").post(
        FORM,
        {"file": [(io.BytesIO(CSV), "a.csv"), (io.BytesIO(CSV), "b.csv")]},
        content_type="multipart/form-data",
    )
    assert two.status_code == 422
    assert send_raw(house, b"").status_code == 422
    assert leftovers(house) == []


def test_a_broken_form_leaves_nothing(house: House) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nid,target\n1,0.'
    answer = house.browser("ada").client.post(FORM, data=body, content_type="multipart/form-data; boundary=x")
    assert answer.status_code == 422
    assert leftovers(house) == []


def test_a_repeated_idempotency_key_gives_the_first_receipt(house: House) -> None:
    first = send_raw(house, headers={"Idempotency-Key": "k1"}).json
    again = send_raw(house, headers={"Idempotency-Key": "k1"}).json
    assert first is not None
    assert again is not None
    assert first["id"] == again["id"]
    assert (first["is_replay"], again["is_replay"]) == (False, True)
    assert again["remaining_today"] == 4
    assert send_raw(house, b"id,target\n", headers={"Idempotency-Key": "k1"}).status_code == 409


def test_a_key_is_honoured_even_when_the_day_is_used_up(house: House) -> None:
    house.change(daily_limit=1)
    first = send_raw(house, headers={"Idempotency-Key": "k1"})
    again = send_raw(house, headers={"Idempotency-Key": "k1"})
    assert first.json is not None
    assert again.json is not None
    assert again.json["id"] == first.json["id"]


def test_a_used_up_day_is_refused_with_when_it_resets(house: House) -> None:
    house.change(daily_limit=1)
    send_raw(house)
    refused = send_raw(house)
    assert refused.status_code == 429
    assert refused.json is not None
    assert refused.json["detail"].startswith(
        "All 1 submissions of today are used. The next can be sent from 20"
    )
    assert refused.json["detail"].endswith("00:00 Europe/Berlin.")
    page = house.browser("ada").get("/competitions/biopsy/submit").text
    assert "<b>0 of 1</b> left today, resets" in page
    assert 'id="upload"' not in page


def test_what_is_left_is_told_before_sending(house: House) -> None:
    house.submit("ada")
    page = house.browser("ada").get("/competitions/biopsy/submit").text
    assert "<b>4 of 5</b> left today, resets" in page
    assert "00:00</time> Europe/Berlin" in page


class Unread(io.BytesIO):
    """A body that must not be touched."""

    def read(self, size: int | None = -1) -> bytes:
        raise AssertionError("the body was read")

    def readinto(self, buffer: object) -> int:
        raise AssertionError("the body was read")


@pytest.mark.parametrize("why", ["not a member", "closed", "paused", "upcoming", "too large", "no token"])
def test_a_hopeless_upload_is_refused_unread(house: House, why: str) -> None:
    headers = house.token("bob" if why == "not a member" else "ada") if why != "no token" else {}
    length = 150_000_000
    if why == "closed":
        house.close()
    if why == "paused":
        house.change(is_paused=True)
    if why == "upcoming":
        with house.database.read() as session:
            house.change(opens_at=db.now(session) + timedelta(days=1))
    answer = house.stranger().client.post(
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
    assert leftovers(house) == []


def test_a_file_that_began_in_time_counts_although_it_ends_after_the_close(house: House) -> None:
    closing = house

    class Slow(io.BytesIO):
        def readinto(self, buffer: Buffer) -> int:
            if self.tell() == 0:
                closing.change(closes_at=datetime.now(UTC))
            return super().readinto(buffer)

    answer = house.stranger().client.post(
        API, input_stream=Slow(CSV), content_type="text/csv", headers=house.token("ada")
    )
    assert answer.status_code == 201
    assert send_raw(house).status_code == 403


def test_a_message_that_is_too_long_is_refused(house: House) -> None:
    """Before the file is kept, or long messages would be a way to fill the disk without any quota."""
    before = sorted(house.storage.folder.rglob("*"))
    answer = send_raw(house, headers={"X-Message": "m" * 501})
    assert answer.status_code == 422
    assert sorted(house.storage.folder.rglob("*")) == before


def test_private_scores_wait_until_no_body_can_be_on_its_way(house: House) -> None:
    """Else whoever holds an upload open over the close could look first and choose its last bytes."""
    house.score(house.submit("ada"), 0.5)
    house.change(closes_at=datetime.now(UTC) - timedelta(seconds=60))
    assert str(PRIVATE_CANARY) not in house.browser("ada").get("/competitions/biopsy/leaderboard").text
    house.change(closes_at=datetime.now(UTC) - timedelta(seconds=121))
    assert "0.12346" in house.browser("ada").get("/competitions/biopsy/leaderboard").text


def test_a_known_key_with_another_file_keeps_nothing(house: House) -> None:
    headers = house.token("ada") | {"Idempotency-Key": "k"}
    first = house.stranger().client.post(API, data=CSV, content_type="text/csv", headers=headers)
    assert first.status_code == 201
    kept = sorted(house.storage.folder.rglob("*"))
    other = house.stranger().client.post(API, data=CSV + b"\n", content_type="text/csv", headers=headers)
    assert other.status_code == 409
    assert sorted(house.storage.folder.rglob("*")) == kept


def test_a_form_of_many_files_opens_only_one(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    receive = Storage.receive

    def counting(storage: Storage, limit_bytes: int) -> Incoming:
        opened.append(1)
        return receive(storage, limit_bytes)

    monkeypatch.setattr(Storage, "receive", counting)
    files = [(io.BytesIO(b"a"), f"{i}.csv") for i in range(50)]
    answer = house.browser("ada").post(FORM, {"file": files}, content_type="multipart/form-data")
    assert answer.status_code == 422
    assert "Send exactly one file" in answer.text
    assert len(opened) == 1
    assert leftovers(house) == []


def test_one_person_sends_two_files_at_once_and_no_more(house: House) -> None:
    house.join("bob")
    answers: list[tuple[str, int]] = []

    def send(nr: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        class Body(io.BytesIO):
            def readinto(self, buffer: Buffer) -> int:
                if self.tell() == 0:
                    meanwhile()
                return super().readinto(buffer)

        answer = house.stranger().client.post(
            API, input_stream=Body(CSV), content_type="text/csv", headers=house.token(nr.split()[0])
        )
        answers.append((nr, answer.status_code))

    def third() -> None:
        send("ada 3")
        send("bob 1")

    send("ada 1", lambda: send("ada 2", third))
    send("ada 4")
    assert answers == [("ada 3", 429), ("bob 1", 201), ("ada 2", 201), ("ada 1", 201), ("ada 4", 201)]


class Silent(io.BytesIO):
    """A client that announced a body and sends none, until the server has waited long enough."""

    def read(self, size: int | None = -1) -> bytes:
        raise BlockingIOError

    def readinto(self, buffer: object) -> int:
        raise BlockingIOError


@pytest.mark.parametrize("name", ["ada", "bob"])
def test_a_body_that_never_comes_is_no_fault_of_ours(house: House, name: str) -> None:
    answer = house.stranger().client.post(
        API,
        input_stream=Silent(),
        environ_overrides={"CONTENT_LENGTH": "1000"},
        content_type="text/csv",
        headers=house.token(name),
    )
    assert answer.status_code == (400 if name == "ada" else 403)
    assert leftovers(house) == []


def test_a_file_cleared_away_as_it_comes_is_no_receipt_without_a_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`heldout storage gc` removes an old file that nobody names, just as somebody sends the same bytes."""

    def clear(point: str) -> None:
        if point == "upload.kept":
            house.storage.remove(hashlib.sha256(CSV).hexdigest())

    monkeypatch.setattr(failpoints, "listener", clear)
    answer = send_raw(house)
    assert answer.status_code == 503
    assert "A clean-up of unused files deleted the file" in answer.text
    monkeypatch.setattr(failpoints, "listener", None)
    receipt = send_raw(house).json
    assert receipt is not None
    assert receipt["remaining_today"] == 4, "the one that was refused costs nothing"


def test_a_team_may_fill_so_much_of_the_disk_and_nothing_refused_is_kept(house: House) -> None:
    house.change(max_upload_bytes=2_000_000)
    house = house.with_settings(team_mb=1)
    first = gzip.compress(CSV) + bytes(600_000)
    key = {"Idempotency-Key": "one"}
    assert send_raw(house, first, headers=key).status_code == 201
    before = {kept.sha256 for kept in house.storage.listed()}
    refusal = send_raw(house, bytes(500_000))
    assert refusal.status_code == 429
    assert "take 0.6 MB here, and a team may have 1 MB" in refusal.text
    assert {kept.sha256 for kept in house.storage.listed()} == before
    assert send_raw(house, first, headers=key).status_code in (200, 201), (
        "the receipt of what is there already"
    )
    small = send_raw(house, bytes(300_000))
    assert small.json is not None
    assert small.json["remaining_today"] == 3, "a smaller one has room, and what was refused costs nothing"


def test_the_signed_receipt_is_the_same_wherever_it_is_shown(house: House) -> None:
    given = send_raw(house).json
    assert given is not None
    shown = house.stranger().client.get(given["links"]["self"], headers=house.token("ada")).json
    assert shown is not None
    page = house.browser("ada").get(given["links"]["page"]).text
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
def test_nothing_is_signed_of_a_row_that_the_log_does_not_speak_of_as_it_stands(
    house: House, change: str
) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = send_raw(house, headers=key).json, send_raw(house, b"id,target\n1,0\n").json
    assert first is not None
    assert second is not None
    with house.database.engine.begin() as connection:  # by somebody who may do anything to the database
        connection.execute(text(change))
    ask = house.stranger().client
    assert signed_of(ask.get(API, headers=house.token("ada")).json, 1) is None
    assert signed_of(ask.get(first["links"]["self"], headers=house.token("ada")).json) is None
    page = house.browser("ada").get(first["links"]["page"]).text
    assert "No receipt is signed" in page
    assert "heldout-receipt-1" not in page
    again = send_raw(house, headers=key).json
    assert again is not None
    assert (again["is_replay"], again["receipt"]) == (True, None)
    other = ask.get(second["links"]["self"], headers=house.token("grace")).json
    assert signed_of(other) == second["receipt"], "what was not touched keeps its receipt"


def test_a_receipt_says_what_the_log_recorded_first(house: House) -> None:
    """A second event that fits a changed row is as easily written by hand as the row."""
    send_raw(house)
    with house.database.begin() as session:
        session.execute(text("UPDATE submission SET size_bytes = 1"))
        row = session.get_one(Submission, 1)
        events.log_upload(session, "ada", events.ACCEPTED, row, house.slug, now=db.now(session))
    with house.database.read() as session:
        assert receipts.recorded(session, [1]) == {}


def signed_of(answer: Any, of: int | None = None) -> str | None:
    """The receipt in an answer, or of one of those listed."""
    shown = answer if of is None else next(s for s in answer["submissions"] if s["id"] == of)
    found: str | None = shown["receipt"]
    return found
