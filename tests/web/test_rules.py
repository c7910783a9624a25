"""Rules are accepted with version and time, asked for again when they change, and by every way to upload."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from app.base import db
from app.base.models import Event
from app.base.models_rules import RulesAcceptance
from app.competing import competitions, rules
from tests.web.site import CSV, Site

BASE = "/api/v1/competitions/biopsy"


def publish(site: Site, text: str) -> int:
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        return rules.publish(session, competition, text, by="grace", now=db.now(session)).number


def call(site: Site, method: str, path: str, name: str = "ada", **more: Any) -> Any:
    return site.visitor().client.open(f"{BASE}{path}", method=method, headers=site.token(name), **more)


def send(site: Site, name: str = "ada") -> Any:
    return call(site, "POST", "/submissions", name, data=CSV, content_type="text/csv")


def test_competition_without_rules_asks_for_none(site: Site) -> None:
    assert call(site, "GET", "/rules").status_code == 404
    answer = site.visitor().get("/competitions/biopsy/rules")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/competitions/biopsy")
    assert "Read the rules" not in site.visitor().get("/competitions/biopsy").text
    assert send(site).status_code == 201


def test_joining_accepts_the_rules_on_the_page(site: Site) -> None:
    publish(site, "# Fair play\n\nOne account for each person.")
    bob = site.browser("bob")
    asked = bob.post("/competitions/biopsy/join", {"next": "/competitions/biopsy/submit"})
    assert asked.headers["Location"].startswith("/competitions/biopsy/rules?next=")
    page = bob.get(asked.headers["Location"]).text
    assert "One account for each person." in page
    assert "Accept the rules and join" in page
    form = {"rules": "1", "next": "/competitions/biopsy/submit"}
    assert bob.post("/competitions/biopsy/join", form).headers["Location"] == form["next"]
    assert "You accepted this version on" in bob.get("/competitions/biopsy/rules").text
    assert bob.get("/competitions/biopsy/submit").status_code == 200
    assert "Read the rules" in site.visitor().get("/competitions/biopsy").text
    with site.database.read() as session:
        [kept] = session.scalars(select(RulesAcceptance))
        [event] = session.scalars(select(Event).where(Event.action == "rules accepted"))
    assert (kept.number, kept.user_id) == (1, site.viewer("bob").id)
    assert (event.actor, event.detail["version"], len(event.detail["sha256"])) == ("bob", 1, 64)


def test_changed_rules_are_asked_for_again_before_the_next_upload(site: Site) -> None:
    assert (publish(site, "First."), publish(site, "First. \n"), publish(site, "Second.")) == (1, 1, 2)
    ada = site.browser("ada")
    asked = ada.get("/competitions/biopsy/submit")
    assert asked.headers["Location"] == "/competitions/biopsy/rules?next=/competitions/biopsy/submit"
    assert "before your next upload" in ada.get(asked.headers["Location"]).text
    refused = send(site)
    assert refused.status_code == 403
    assert "heldout rules biopsy --accept 2" in refused.json["detail"]
    checked = call(site, "POST", "/check", data=CSV, content_type="text/csv")
    assert checked.status_code == 403
    old = call(site, "POST", "/rules", json={"version": 1})
    assert (old.status_code, "at version 2, not 1" in old.json["detail"]) == (409, True)
    done = ada.post("/competitions/biopsy/rules", {"version": "2", "next": "/competitions/biopsy/submit"})
    assert done.headers["Location"] == "/competitions/biopsy/submit"
    assert call(site, "POST", "/rules", json={"version": 2}).json["accepted_at"] is not None
    key = {"Idempotency-Key": "k", **site.token("ada")}
    first = site.visitor().client.post(f"{BASE}/submissions", data=CSV, headers=key)
    assert first.status_code == 201
    publish(site, "Third.")
    again = site.visitor().client.post(f"{BASE}/submissions", data=CSV, headers=key)
    assert again.json["id"] == first.json["id"], "what was accepted keeps its receipt"
    assert send(site).status_code == 403


def test_rules_are_accepted_by_joining_over_the_api(site: Site) -> None:
    publish(site, "First.")
    for address, status in (("/join", 403), ("/join?accept_rules=7", 409), ("/join?accept_rules=1", 200)):
        assert call(site, "POST", address, "bob").status_code == status
    assert call(site, "GET", "/rules", "bob").json["accepted_at"] is not None
    assert send(site, "bob").status_code == 201


def test_member_that_joined_by_a_link_accepts_before_the_own_upload(site: Site) -> None:
    publish(site, "First.")
    site.enlist("bob", "ada")
    assert send(site, "bob").status_code == 403
    assert call(site, "POST", "/rules", "bob", json={"version": 1}).status_code == 200
    assert send(site, "bob").status_code == 201
    assert send(site).status_code == 403, "each account accepts for itself"


def test_kaggle_clients_are_sent_to_the_rules(site: Site) -> None:
    publish(site, "First.")
    answer = site.visitor().client.post(
        "/api/v1/competitions.CompetitionApiService/StartSubmissionUpload",
        json={"competitionName": "biopsy", "fileName": "a.csv", "contentLength": len(CSV)},
        headers=site.token("ada"),
    )
    assert answer.status_code == 400
    assert answer.json is not None
    assert "Accept the rules of Biopsy triage first, version 1" in answer.json["message"]
