"""A file is checked without being submitted: the answer, whom it is shown to, and what limits it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select, update
from werkzeug.test import TestResponse

from app.base import db
from app.base.models import FileCheck, Inspection, Submission
from app.integrity import file_checks
from scorer.report import Problem
from tests.web.site import CSV, Site

BASE = "/api/v1/competitions/biopsy"
WRONG = Problem("MISSING_IDS", "1 of 2 required ids is missing: 2.", id="2", column="id", count=1)


def send(site: Site, content: bytes = CSV, name: str = "ada", path: str = "check") -> TestResponse:
    return site.visitor().client.post(f"{BASE}/{path}", data=content, headers=site.token(name))


def shown(site: Site, check_id: int, name: str = "ada") -> dict[str, Any]:
    answer = site.visitor().get(f"/api/v1/checks/{check_id}", headers=site.token(name))
    assert answer.json is not None
    return answer.json


def test_check_is_queued_and_answered_and_charges_nothing(site: Site) -> None:
    answer = send(site)
    assert answer.json is not None
    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "1")
    check_id = answer.json["id"]
    assert answer.headers["Location"] == answer.json["links"]["self"] == f"/api/v1/checks/{check_id}"
    assert (answer.json["state"], answer.json["size_bytes"]) == ("queued", len(CSV))
    site.answer_check(check_id)
    assert (shown(site, check_id)["state"], shown(site, check_id)["problems"]) == ("accepted", [])
    quota = site.visitor().get(f"{BASE}/quota", headers=site.token("ada")).json
    assert quota is not None
    assert (quota["used"], quota["pending"], quota["rejected"]) == (0, 0, 0)
    with site.database.read() as session:
        assert session.scalars(select(Submission.id)).all() == []


def test_rejected_check_lists_its_problems_and_counts_as_a_rejected_file(site: Site) -> None:
    check_id = site.check("ada")
    site.answer_check(check_id, WRONG)
    found = shown(site, check_id)
    assert (found["state"], found["problem_count"]) == ("rejected", 1)
    assert found["problems"] == [WRONG.as_dict()]
    quota = site.visitor().get(f"{BASE}/quota", headers=site.token("ada")).json
    assert quota is not None
    assert (quota["remaining"], quota["rejected"]) == (5, 1)


def test_rejected_checks_and_submissions_slow_a_team_down_together(site: Site) -> None:
    """Checks beside submissions would else double the answers of a day about hidden ids."""
    site.change(rejected_limit=2)
    site.reject(site.submit("ada"))
    site.answer_check(site.check("ada", b"1"), WRONG)
    again = send(site, CSV)
    assert (again.status_code, "rejected today" in again.text) == (409, True)
    for path in ("check", "submissions"):
        again = send(site, b"1", path=path)
        assert (again.status_code, "the file of check 1, which was rejected" in again.text) == (409, True), (
            path
        )
    waiting = site.check("ada", b"2")
    for path in ("check", "submissions"):
        busy = send(site, b"3", path=path)
        assert (busy.status_code, "Retry-After" in busy.headers) == (429, True), path
    site.answer_check(waiting, WRONG)
    for path in ("check", "submissions"):
        early = send(site, b"3", path=path)
        assert (early.status_code, "the next file waits" in early.text) == (429, True), path
        assert 0 < int(early.headers["Retry-After"]) <= 60


def test_one_file_of_a_team_is_checked_at_a_time_and_a_hundred_in_a_day(site: Site) -> None:
    first = site.check("ada")
    busy = send(site)
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "2")
    assert send(site, path="submissions").status_code == 201, "a check delays no submission"
    site.answer_check(first)
    with site.database.begin() as session:
        kept = session.get_one(Inspection, first)
        for _ in range(file_checks.DAILY_LIMIT - 1):
            copy = Inspection(
                competition_id=kept.competition_id,
                round_id=kept.round_id,
                kind=kept.kind,
                state=kept.state,
                next_try_at=kept.next_try_at,
                asked_by="ada",
                created_at=kept.created_at,
            )
            session.add(copy)
            session.flush()
            file = session.get_one(FileCheck, first)
            session.add(
                FileCheck(
                    inspection_id=copy.id,
                    team_id=file.team_id,
                    user_id=file.user_id,
                    received_at=file.received_at,
                    day=file.day,
                    filename="a.csv",
                    sha256=file.sha256,
                    size_bytes=1,
                    is_rejected=False,
                )
            )
    full = send(site)
    assert (full.status_code, "100 files of your team were checked" in full.text) == (429, True)
    with site.database.begin() as session:
        yesterday = db.now(session) - timedelta(hours=24, seconds=1)
        session.execute(update(FileCheck).values(received_at=yesterday))
    assert send(site).status_code == 202


def test_check_is_refused_where_a_submission_would_be(site: Site) -> None:
    outside = send(site, name="bob")
    assert (outside.status_code, "Join Biopsy triage" in outside.text) == (403, True)
    assert send(site, b"x" * 300_000).status_code == 413
    assert send(site, b"").status_code == 422
    site.change(is_paused=True)
    assert send(site).status_code == 403
    site.change(is_paused=False)
    site.close()
    assert send(site).status_code == 403


def test_files_of_checks_count_to_the_storage_limit_of_a_team(site: Site) -> None:
    small = site.with_settings(team_mb=1)
    small.answer_check(small.check("ada"))
    with site.database.begin() as session:
        session.execute(update(FileCheck).values(size_bytes=999_990))
    full = send(small, CSV)
    assert (full.status_code, "has no room" in full.text) == (429, True)


def test_failed_check_is_shown_as_failed_and_another_can_be_sent(site: Site) -> None:
    check_id = site.check("ada")
    with site.database.begin() as session:
        session.execute(update(Inspection).values(state="failed", attempt=3, finished_at=db.now(session)))
    assert shown(site, check_id)["state"] == "failed"
    assert send(site).status_code == 202


def test_schema_names_the_form_and_falls_back_for_old_versions(site: Site) -> None:
    get = site.visitor().client.get
    answer = get(f"{BASE}/schema", headers=site.token("ada"))
    assert answer.json is not None
    assert (answer.json["header"], answer.json["formats"]) == (["id", "target"], ["csv", "csv.gz", "zip"])
    assert (answer.json["max_bytes"], answer.json["ids"], answer.json["columns"]) == (200_000, None, None)
    again = get(f"{BASE}/schema", headers={**site.token("ada"), "If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_page_gets_the_schema_of_the_api_and_the_files_of_its_own_team_only(site: Site) -> None:
    sent = [site.submit("ada", b"1"), site.submit("ada", b"22")]
    site.join("bob")
    path = "/competitions/biopsy/submit/schema"
    mine, bobs = (site.browser(name).get(path).json for name in ("ada", "bob"))
    assert mine is not None
    assert bobs is not None
    assert mine["schema"] == site.visitor().get(f"{BASE}/schema", headers=site.token("ada")).json
    assert [(one["id"], one["size_bytes"]) for one in mine["earlier"]] == [(sent[1], 2), (sent[0], 1)]
    assert bobs == {**mine, "earlier": []}
    assert mine["sample"]["size_bytes"] == len(CSV)
    assert site.visitor().get(mine["sample"]["address"]).data == CSV


def test_the_page_gets_no_schema_before_the_competition_opens(site: Site) -> None:
    with site.database.read() as session:
        now = db.now(session)
    site.change(opens_at=now + timedelta(days=1))
    answer = site.browser("ada").get(
        "/competitions/biopsy/submit/schema", headers={"Accept": "application/json"}
    )
    assert answer.status_code == 403
    assert answer.json is not None
    assert "once it opens" in answer.json["detail"]
