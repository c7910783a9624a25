"""Calendars, embedded boards, badges and certificates."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from icalendar import Calendar
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import db
from app.base.installation import Installation
from app.base.models import Competition, Standing
from app.cli.verification import receipt_verify
from app.competing import changes, competitions, teams
from tests.web.site import PRIVATE_CANARY, Site

AWAY = {"Cookie": "", "Origin": "https://elsewhere.example"}


def test_a_badge_counts_teams_and_no_baselines(site: Site) -> None:
    two_ranked(site)
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        for row in session.scalars(select(Standing).where(Standing.competition_id == competition.id)).all()[
            :1
        ]:
            row.is_baseline = True
    assert "1 team, open" in site.visitor().get(f"/competitions/{site.slug}/badge.svg").text


def settle(site: Site) -> None:
    site.close()
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        competition.grace_seconds = 0


def two_ranked(site: Site) -> None:
    for name, public, private in (("ada", 0.4, 0.31), ("bob", 0.3, 0.42)):
        site.join(name)
        site.score(site.submit(name), public, private)


def entries(site: Site) -> dict[str, object]:
    answer = site.visitor().get(f"/competitions/{site.slug}/calendar.ics")
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert all(len(line) <= 75 for line in answer.data.split(b"\r\n"))
    return {str(one["uid"]): one for one in Calendar.from_ical(answer.data).walk("VEVENT")}


def test_a_calendar_moves_its_entries_when_dates_move(site: Site) -> None:
    before = entries(site)
    closes = next(one for uid, one in before.items() if "-closes@" in uid)
    with site.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, site.slug)
        assert closes["dtstart"].dt == (competition.closes_at or now).replace(microsecond=0)  # type: ignore[index]
        later = (competition.closes_at or now) + timedelta(days=2)
        competition.title = (
            "Biopsy, triage; part \\ two\nwith é and a title that is long enough to be folded " * 1
        )
        changes.apply(session, competition, {"closes_at": later}, by="grace", most_upload_mb=100, now=now)
    after = entries(site)
    assert after.keys() == before.keys()
    moved = next(one for uid, one in after.items() if "-closes@" in uid)
    assert moved["dtstart"].dt == later.replace(microsecond=0)  # type: ignore[index]
    assert int(moved["sequence"]) > int(closes["sequence"])  # type: ignore[index,call-overload]
    assert str(moved["summary"]).startswith("Biopsy, triage; part \\ two")  # type: ignore[index]


def test_only_pages_without_viewer_may_be_framed(site: Site) -> None:
    two_ranked(site)
    framed = site.browser("ada").get(f"/competitions/{site.slug}/embed?rows=1")
    assert "frame-ancestors *" in framed.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed.headers
    assert "Set-Cookie" not in framed.headers
    assert framed.text == site.visitor().get(f"/competitions/{site.slug}/embed?rows=1").text
    assert "<form" not in framed.text
    assert ">bob<" in framed.text
    assert ">ada<" not in framed.text  # one row was asked
    for path in (f"/competitions/{site.slug}/leaderboard", "/certificate", "/"):
        answer = site.visitor().get(path)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
        assert answer.headers["X-Frame-Options"] == "DENY"
    dark = site.visitor().get(f"/competitions/{site.slug}/embed?theme=dark").text
    assert 'data-theme="dark"' in dark
    assert "data-theme" not in site.visitor().get(f'/competitions/{site.slug}/embed?theme="><script>').text


def test_badges_show_the_rank_that_all_may_see(site: Site) -> None:
    two_ranked(site)
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        team = teams.by_name(session, competition, "ada")
        team.name = "<b>Ada & Co"
    address = f"/competitions/{site.slug}/badge.svg?{urlencode({'team': '<b>Ada & Co'})}"

    def words() -> str:
        answer = site.visitor().get(address)
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        return ET.fromstring(answer.data).attrib["aria-label"]

    assert words() == "<b>Ada & Co · Biopsy triage: rank 2 of 2"
    again = site.visitor().get(
        address, headers={"If-None-Match": site.visitor().get(address).headers["ETag"]}
    )
    assert again.status_code == 304
    settle(site)
    assert words() == "<b>Ada & Co · Biopsy triage: final rank 1 of 2"
    assert "2 teams, closed" in site.visitor().get(f"/competitions/{site.slug}/badge.svg").text
    assert site.visitor().get(f"/competitions/{site.slug}/badge.svg?team=nobody").status_code == 404


def certificate(site: Site, name: str) -> tuple[str, str]:
    """Return the line and the address of a person's certificate."""
    page = site.browser(name).get(f"/competitions/{site.slug}/certificate").text
    line = html.unescape(re.search(r"<code>(heldout-certificate-1 .*?)</code>", page)[1])  # type: ignore[index]
    found = re.search(r'href="(http://[^"]+/certificate\?line=[^"]+)"', page)
    assert found
    return line, html.unescape(found[1])


def test_a_certificate_exists_only_after_the_final_results(site: Site) -> None:
    two_ranked(site)
    for name in ("ada", "bob"):
        early = site.browser(name).get(f"/competitions/{site.slug}/certificate")
        assert (early.status_code, "0.31" in early.text) == (404, False)
        asked = site.visitor().get(f"/api/v1/competitions/{site.slug}/certificate", headers=site.token(name))
        assert asked.status_code == 404
    settle(site)
    line, address = certificate(site, "ada")
    assert " rank=1 of=2 score=0.31 " in line
    by_api = (
        site.visitor().get(f"/api/v1/competitions/{site.slug}/certificate", headers=site.token("ada")).json
    )
    assert (by_api["line"], by_api["rank"], by_api["holder"]) == (line, 1, "ada")
    site.user("eve")
    assert site.browser("eve").get(f"/competitions/{site.slug}/certificate").status_code == 404
    assert parse_qs(urlsplit(address).query)["line"] == [line]


def test_everybody_checks_a_certificate_and_sees_a_change(site: Site) -> None:
    two_ranked(site)
    settle(site)
    line, address = certificate(site, "ada")
    page = site.visitor().get(address.removeprefix("http://localhost")).text
    assert "are the same on the final board today" in page
    for changed in (line.replace("rank=1", "rank=0"), line.replace("holder=ada", "holder=eve"), line[:-1]):
        refused = site.visitor().get("/certificate", query_string={"line": changed})
        assert refused.status_code == 422
        assert "says the same" not in refused.text
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        teams.by_name(session, competition, "ada").name = "The Adas"
        bob = teams.by_name(session, competition, "bob")
        site_rank(session, competition, bob.id, 0.1)
    page = site.visitor().get("/certificate", query_string={"line": line}).text
    assert "the team has rank 2 today" in page


def site_rank(session: Session, competition: Competition, team_id: int, private: float) -> None:
    """Give a team another private score, as a rescore does."""
    session.get_one(Standing, (competition.id, team_id)).private_key = private


def test_the_command_checks_a_certificate_with_and_without_the_installation(site: Site) -> None:
    two_ranked(site)
    settle(site)
    line, _ = certificate(site, "bob")
    installation = Installation(site.settings)
    vars(installation)["database"] = site.database  # which was made without revisions
    done = CliRunner().invoke(receipt_verify, [line], obj=installation)
    assert "rank 2 of 2" in done.output
    assert "The final board says the same." in done.output
    key = re.search(r"--key (\S{43})", site.visitor().get("/certificate").text)
    assert key
    alone = CliRunner().invoke(receipt_verify, [line, "--key", key[1]], obj=installation)
    assert "The signature fits: bob" in alone.output
    wrong = CliRunner().invoke(
        receipt_verify, [line.replace("bob", "eve"), "--key", key[1]], obj=installation
    )
    assert "does not fit" in str(wrong.exception)


@pytest.mark.parametrize("path", ["embed", "badge.svg", "calendar.ics"])
def test_files_for_other_sites_hold_no_private_score(site: Site, path: str) -> None:
    site.join("ada")
    site.score(site.submit("ada"), 0.4)
    answer = site.visitor().get(f"/competitions/{site.slug}/{path}")
    assert answer.status_code == 200
    assert str(PRIVATE_CANARY) not in answer.text
