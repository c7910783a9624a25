"""No route shows a score that came after the freeze to others than its team, before the final results."""

from __future__ import annotations

from datetime import timedelta

from app.base import db
from app.competing import changes, competitions
from tests.web.access_rules import ACCESS, SAFE, Access
from tests.web.site import CSV, Site, routes
from tests.web.test_access_rules import ask

LATER = b"0.0123"
"""The digits of the score after the freeze, which no other number has."""
ORGANISERS = (
    *(Access.ORGANISER, Access.OWNER, Access.OPERATOR, Access.ORGANISER_TOKEN, Access.OWNER_TOKEN),
    Access.OPERATOR_TOKEN,
)
BOARDS = ("leaderboard.", "embeds.", "api.board")
VARIANTS = ("", "?part=live", "?part=mine", "?scores=public", "?sort=-last", "?team=cyd", "?team=ada")


def test_no_route_shows_a_later_score_to_others_until_the_results(site: Site) -> None:
    site.change(public_score="exact", daily_limit=50)
    for name in ("bob", "cyd"):
        if name == "cyd":
            site.user(name)
        site.join(name)
    for name, score in (("ada", 0.4), ("bob", 0.3)):
        site.score(site.submit(name, name.encode()), score, 0.5)
    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, site.slug)
        changes.apply(session, found, {"board_frozen_at": now}, by="grace", now=now, most_upload_mb=100)
    people = {name: (site.browser(name), site.token(name)) for name in ("cyd",)}
    people["visitor"] = site.visitor(), {}

    def answers() -> dict[tuple[str, str], bytes]:
        found = {}
        for name, (browser, token) in people.items():
            for method, endpoint, address in routes(site, 2):
                if method not in SAFE or ACCESS[f"{method} {endpoint}"] in ORGANISERS:
                    continue
                headers = token if address.startswith("/api/") else {}
                for variant in VARIANTS if endpoint.startswith(BOARDS) else ("",):
                    answer = ask(browser, method, address + variant, headers=headers)
                    found[name, address + variant] = answer.get_data()
        return found

    board = site.visitor().get(f"/competitions/{site.slug}/leaderboard?part=live")
    mine = site.submit("ada", CSV + b"\n")
    site.score(mine, 0.01234567, 0.02)
    site.score(site.submit("cyd", b"cyd"), 0.35, 0.5)
    shown = answers()
    assert [where for where, text in shown.items() if LATER in text] == []
    polled = site.visitor().get(
        f"/competitions/{site.slug}/leaderboard?part=live", headers={"If-None-Match": board.headers["ETag"]}
    )
    assert polled.status_code == 304, "the tag of a frozen board does not tell that a file was scored"
    assert shown["visitor", f"/competitions/{site.slug}/badge.svg?team=cyd"].startswith(b"<!doctype html>")
    own = site.visitor().client.get(f"/api/v1/submissions/{mine}", headers=site.token("ada")).data
    assert LATER in own, "a team sees its own scores"
    page = site.browser("ada").get(f"/submissions/{mine}").data
    assert LATER in page

    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, site.slug)
        changes.apply(session, found, {"board_frozen_at": None}, by="grace", now=now, most_upload_mb=100)
    assert LATER in site.visitor().get(f"/competitions/{site.slug}/leaderboard").data
    site.change(board_frozen_at=now, closes_at=now - timedelta(hours=1))
    final = site.visitor().get(f"/competitions/{site.slug}/leaderboard?scores=public").data
    assert LATER in final
