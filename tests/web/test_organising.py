"""What organisers do on pages they do over the API, with the same refusals and the same log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.base import db
from app.base.models import Evaluation, Event, Round, RoundState, State, Team
from app.competing import evaluations
from scorer.report import Report
from tests.claiming import claim_of
from tests.web.integrity_records import suspected
from tests.web.site import Site
from tests.web.test_openapi import conforms

PATH = "/api/v1/competitions/{slug}"


def call(site: Site, method: str, path: str, status: int = 200, **body: Any) -> Any:
    """Call an operation as grace; its answer must be as the document describes it."""
    described = f"{PATH}/{path}"
    number = body.pop("number", None)
    address = described.replace("{slug}", site.slug)
    for name in ("{submission_id}", "{extension_id}", "{case_id}"):
        address = address.replace(name, str(number))
    more = {"json": body} if method == "POST" else {}
    assert conforms(site, described, method, address, site.token("grace"), **more) == status
    if method == "GET":
        return site.visitor().client.get(address, headers=site.token("grace")).json
    return None


def actions(site: Site) -> list[str]:
    with site.database.read() as session:
        mine = select(Event.action).where(Event.actor == "grace").order_by(Event.id)
        return list(session.scalars(mine))


def finish_rescore(site: Site, public: float) -> None:
    """Score every file of the draft as a worker does."""
    with site.database.begin() as session:
        draft = session.scalars(select(Round).where(Round.state == RoundState.DRAFT)).one()
        numbers = select(Evaluation.submission_id).where(Evaluation.round_id == draft.id)
        for number in session.scalars(numbers).all():
            now = db.now(session)
            claim = claim_of(session, number, "test", lease=timedelta(minutes=5), now=now)
            assert claim is not None
            evaluations.record_scored(session, claim, Report(public=public, private=0.5), now=now)


def test_a_failed_submission_is_tried_again_and_a_competition_closed(site: Site) -> None:
    number = site.submit("ada")
    site.fail(number)
    shown = call(site, "GET", "organise")
    assert (shown["counts"]["failed"], shown["open_cases"]) == (1, 0)
    listed = call(site, "GET", "organise/submissions")["submissions"]
    assert [(entry["id"], entry["state"]) for entry in listed] == [(number, "failed")]
    assert "MemoryError" in listed[0]["fault"]
    call(site, "POST", "retry/{submission_id}", number=number)
    call(site, "POST", "retry/{submission_id}", 409, number=number)
    call(site, "POST", "retry/{submission_id}", 409, number=9_999)
    call(site, "POST", "close")
    call(site, "POST", "close", 409)
    assert actions(site) == ["retry", "announcement published", "competition closed"]
    assert call(site, "GET", "organise")["log"][0]["action"] == "competition closed"


def test_a_rescore_is_reviewed_and_then_applied_or_discarded_as_it_was_seen(site: Site) -> None:
    site.score(site.submit("ada"), 0.4)
    call(site, "GET", "rescore", 404)
    call(site, "POST", "rescore", 202)
    call(site, "POST", "rescore", 409)
    found = call(site, "GET", "rescore")
    assert (found["is_finished"], found["changed"]) == (False, 1)
    call(site, "POST", "rescore/apply", 409, draft=found["draft"], seen=found["seen"])
    call(site, "POST", "rescore/discard", 409, draft=found["draft"] + 1, seen=found["seen"])
    call(site, "POST", "rescore/discard", draft=found["draft"], seen=found["seen"])
    call(site, "POST", "rescore", 202)
    finish_rescore(site, 0.3)
    found = call(site, "GET", "rescore")
    (moved,) = found["changes"]
    assert (found["is_finished"], moved["public"]) == (
        True,
        [{"rank": 1, "score": 0.4}, {"rank": 1, "score": 0.3}],
    )
    call(site, "POST", "rescore/apply", 409, draft=found["draft"], seen="something else")
    call(site, "POST", "rescore/apply", 422, draft="x")
    call(site, "POST", "rescore/apply", draft=found["draft"], seen=found["seen"])
    assert actions(site) == ["rescore begun", "rescore discarded", "rescore begun", "rescore applied"]


def test_extensions_are_granted_and_revoked_and_teams_renamed(site: Site) -> None:
    call(site, "POST", "extensions", 422, team="ada", reason="short", daily_extra=1)
    call(site, "POST", "extensions", 404, team="nina", reason="was ill for a week", daily_extra=1)
    call(site, "POST", "extensions", team="ada", reason="was ill for a week", daily_extra=2)
    (granted,) = call(site, "GET", "extensions")["extensions"]
    assert (granted["team"], granted["daily_extra"], granted["revoked_at"]) == ("ada", 2, None)
    call(site, "DELETE", "extensions/{extension_id}", number=granted["id"])
    call(site, "DELETE", "extensions/{extension_id}", 409, number=granted["id"])
    call(site, "POST", "teams/rename", team="ada", name="The Adas")
    call(site, "POST", "teams/rename", 404, team="ada", name="Again")
    assert actions(site) == ["extension granted", "extension revoked", "team renamed"]


def test_a_team_of_organisers_is_taken_off_the_board(site: Site) -> None:
    site.join("grace")
    why = {"team": "grace", "reason": "a team of organisers"}
    call(site, "POST", "teams/unrank", **why)
    with site.database.read() as session:
        assert session.scalars(select(Team.unranked_at).where(Team.name == "grace")).one() is not None
    call(site, "POST", "teams/unrank", 409, **why)
    call(site, "POST", "teams/rank", **why)
    call(site, "POST", "teams/rank", 409, **why)


def test_cases_are_read_and_decided_with_a_reason(site: Site) -> None:
    site.score(site.submit("ada"), 0.4)
    (case_id,) = suspected(site, ("probing", "ada", None))
    listed = call(site, "GET", "cases")
    assert (listed["open"], [case["id"] for case in listed["cases"]]) == (1, [case_id])
    team = listed["cases"][0]["teams"][0]
    call(site, "POST", "cases/{case_id}", 422, number=case_id, action="dismiss", reason="no")
    call(site, "POST", "cases/{case_id}", 422, number=case_id, action="hang", reason="a good reason")
    call(
        site,
        "POST",
        "cases/{case_id}",
        number=case_id,
        action="disqualify",
        reason="sent the labels of others",
        team=team["id"],
    )
    shown = call(site, "GET", "cases/{case_id}", number=case_id)
    assert (shown["state"], shown["teams"][0]["disqualified_why"]) == ("acted", "sent the labels of others")
    assert shown["log"][0]["detail"]["reason"] == "sent the labels of others"
    call(site, "GET", "cases/{case_id}", 404, number=case_id + 1)
    board = site.visitor().client.get("/api/v1/competitions/biopsy/leaderboard", headers=site.token("bob"))
    assert board.json is not None
    assert board.json["rows"] == []


def test_a_scan_is_asked_for_and_failed_sign_ins_are_forgotten(site: Site) -> None:
    call(site, "POST", "inspections", 202, kind="scan")
    call(site, "POST", "inspections", 422, kind="look")
    (scan,) = call(site, "GET", "inspections")["inspections"]
    assert (scan["kind"], scan["state"]) == ("scan", "queued")
    address, headers = "/api/v1/sign-in-limits/lift", site.token("grace")
    client = site.visitor().client
    assert client.post(address, json={}, headers=headers).status_code == 422
    assert client.post(address, json={"account": "ada"}, headers=headers).json == {
        "account": "ada",
        "address": None,
        "of_all": False,
    }
    assert client.post(address, json={"account": "nina"}, headers=headers).status_code == 404


@pytest.mark.parametrize("state", [State.SCORED, State.QUEUED])
def test_all_submissions_are_filtered_by_state_and_walked_by_cursors(site: Site, state: State) -> None:
    sent = [site.submit("ada", f"{n}".encode()) for n in range(3)]
    for number in sent[:2]:
        site.score(number, 0.4)
    address = f"/api/v1/competitions/biopsy/organise/submissions?limit=1&state={state}"
    seen, cursor = [], ""
    while cursor is not None:
        page = (
            site.visitor()
            .client.get(address + (f"&cursor={cursor}" if cursor else ""), headers=site.token("grace"))
            .json
        )
        assert page is not None
        seen += [(entry["id"], entry["private"] is not None) for entry in page["submissions"]]
        cursor = page["next_cursor"]
    expected = {State.SCORED: [(sent[1], True), (sent[0], True)], State.QUEUED: [(sent[2], False)]}
    assert seen == expected[state]


def test_a_team_reads_why_its_file_and_itself_are_off_the_board(site: Site) -> None:
    number = site.submit("ada")
    site.score(number, 0.4)
    grace = site.browser("grace")
    board = f"/competitions/{site.slug}/organise/board"
    why = "made with last year's labels"
    assert grace.post(f"{board}/file", {"submission": f"#{number}", "reason": why}).status_code == 303
    assert grace.post(f"{board}/team", {"team": "ada", "reason": "a team of guests"}).status_code == 303
    ada = site.browser("ada")
    page = ada.get(f"/submissions/{number}").text
    assert "made with last year&#39;s labels" in page
    assert "a team of guests" in page
    (shown,) = call(site, "GET", "organise/submissions")["submissions"]
    assert shown["excluded_why"] == why
    organised = grace.get(f"/competitions/{site.slug}/organise").text
    assert "Put submission 1 back" in organised
    assert "Put the team ada back" in organised
    assert site.browser("bob").post(f"{board}/team", {"team": "ada", "reason": why}).status_code == 404
    assert "is no number" in grace.post(f"{board}/file", {"submission": "x", "reason": why}).text
    for what in ({"submission": str(number)}, {"team": "ada"}):
        kind = "file" if "submission" in what else "team"
        answer = grace.post(f"{board}/{kind}", {**what, "back": "1", "reason": "it was a mistake"})
        assert answer.status_code == 303
    assert "made with last year" not in ada.get(f"/submissions/{number}").text
    assert ">ada<" in site.visitor().get(f"/competitions/{site.slug}/leaderboard").text
