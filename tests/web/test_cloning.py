"""A competition cloned for the next term: the same terms and people, other dates, no teams, hidden."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select

from app.base import db
from app.base.models import Competition
from app.base.models_rules import RulesVersion
from app.competing import cloning, competitions, roles, rules
from tests.web.site import CSV, Site

BERLIN = ZoneInfo("Europe/Berlin")
ASIDE = {"id", "slug", "title", "created_at", "visibility", "is_paused", "is_archived", "grace_seconds"}
"""Columns of a competition that a clone does not take over, beside its dates."""


def test_every_term_is_copied_or_named_as_left_out(site: Site) -> None:
    """A new column of the competition has to be decided here."""
    columns = {column.key for column in Competition.__table__.columns}
    assert columns == {*cloning.KEPT, *cloning.DATES, *ASIDE, "extended_until"}


def test_a_clone_has_terms_words_and_hosts_and_is_seen_by_organisers_alone(site: Site) -> None:
    site.user("cohost")
    opens = datetime(2025, 10, 6, 9, tzinfo=BERLIN)
    closes = datetime(2025, 11, 3, 18, tzinfo=BERLIN)  # winter time: an hour more than whole days
    with site.database.begin() as session:
        now, found = db.now(session), competitions.by_slug(session, site.slug)
        roles.add(session, found, "cohost", by="grace", now=now)
        for text in ("First.", "Second."):
            rules.publish(session, found, text, by="grace", now=now)
    site.change(opens_at=opens, closes_at=closes, teams_close_at=closes - timedelta(days=7), daily_limit=7)
    site.change(is_paused=True, grace_seconds=0)
    grace, page = site.browser("grace"), "/competitions/biopsy/organise/clone"
    assert "biopsy-" in grace.get(page).text
    wished = {"name": "biopsy", "title": "Next term", "opens_at": "2027-03-01T09:00"}
    refused = grace.post(page, wished)
    assert (refused.status_code, "already a competition biopsy" in refused.text) == (422, True)
    assert "is no time" in grace.post(page, wished | {"name": "term2", "opens_at": "soon"}).text
    assert "not in the future" in grace.post(page, wished | {"opens_at": "2026-01-01T09:00"}).text
    wished["name"] = "term2"
    preview = grace.post(page, wished).text
    assert "2027-03-29 18:00 Europe/Berlin" in preview
    assert "cohost (co-host)" in preview
    seen = preview.partition('name="seen" value="')[2].partition('"')[0]
    assert grace.post(f"{page}/apply", wished | {"seen": "other"}).status_code == 409
    assert grace.post(f"{page}/apply", wished | {"seen": seen}).status_code == 303

    with site.database.read() as session:
        old, new = (competitions.by_slug(session, slug) for slug in ("biopsy", "term2"))
        assert new.opens_at == datetime(2027, 3, 1, 9, tzinfo=BERLIN)
        assert new.closes_at == datetime(2027, 3, 29, 18, tzinfo=BERLIN)
        assert new.teams_close_at == datetime(2027, 3, 22, 18, tzinfo=BERLIN)
        assert [getattr(new, name) for name in cloning.KEPT] == [getattr(old, name) for name in cloning.KEPT]
        assert (new.title, new.daily_limit, new.is_paused, new.grace_seconds) == ("Next term", 7, False, 120)
        assert [(one.name, one.role) for one in roles.listed(session, new)] == [("cohost", "co-host")]
        its = select(RulesVersion.number, RulesVersion.text).where(RulesVersion.competition_id == new.id)
        assert [tuple(row) for row in session.execute(its)] == [(1, "Second.")]
        assert {one.slug: count for one, count in competitions.listed(session)}["term2"] == 0
    for name, status in (("grace", 200), ("cohost", 200), ("ada", 404)):
        assert site.browser(name).get("/competitions/term2").status_code == status, name
    assert site.browser("cohost").get(page).status_code == 404

    client, token = site.visitor().client, site.token("grace")
    later = {"opens_at": "2027-01-01T00:00:00Z"}
    assert client.patch("/api/v1/competitions/term2", json=later, headers=token).status_code == 200
    shown = {"visibility": "public"}
    assert client.patch("/api/v1/competitions/term2", json=shown, headers=token).status_code == 200
    site.change(is_paused=False)
    assert site.browser("ada").post("/competitions/term2/join", {"rules": "1"}).status_code == 303
    early = client.post("/api/v1/competitions/term2/submissions", data=CSV, headers=site.token("ada"))
    assert early.status_code == 403


def test_a_dry_run_over_the_api_makes_nothing(site: Site) -> None:
    body = {"name": "term2", "opens_at": "2999-01-01T00:00:00Z"}
    address, client, token = "/api/v1/competitions/biopsy/clone", site.visitor().client, site.token("grace")
    for query, made in (("?dry_run=true", False), ("", True)):
        answer = client.post(address + query, json=body, headers=token)
        assert (answer.status_code, answer.json["is_made"]) == (200, made)  # type: ignore[index]
        there = client.get("/api/v1/competitions/term2", headers=token).status_code
        assert there == (200 if made else 404)
    assert client.post(address, json=body, headers=token).status_code == 422
