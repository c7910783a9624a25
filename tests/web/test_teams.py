"""Form a team in the browser: the link, the members, the merge, and what the pages say at each step."""

from __future__ import annotations

import re

from sqlalchemy import select

from app.base import db
from app.base.models import Event
from tests.web.site import CSV, Site

TEAM = "/competitions/biopsy/team"


def test_team_is_formed_by_a_link_that_is_shown_once(site: Site) -> None:
    ada, bob = site.browser("ada"), site.browser("bob")
    made = ada.post(f"{TEAM}/invites", {"uses": "2", "days": "7"})
    [link] = re.findall(r'id="invite-link">http://localhost(/[^<]+)<', made.text)
    page = ada.get(TEAM).text
    assert link.rpartition("/")[2] not in page
    assert "used 0 of 2 times" in page
    assert "Revoke" in page
    redirected = site.visitor().get(link)
    assert redirected.status_code == 303
    assert redirected.headers["Location"].startswith("/sign-in?next=/competitions/biopsy/team/join/")
    site.join("bob")
    offered = bob.get(link).text
    assert "Join ada" in offered
    assert "Your team of one, bob, ends." in offered
    joined = bob.post(link, follow_redirects=True).text
    assert "You are in the team ada." in joined
    assert "Leave the team" in joined
    assert "Make an invite link" not in joined, "only the captain invites"
    assert bob.post(f"{TEAM}/invites", {"uses": "1", "days": "1"}).status_code == 403
    number = site.submit("bob", filename="bobs.csv")
    listed = ada.get("/competitions/biopsy/submissions").text
    assert "bobs.csv" in listed
    assert re.search(r"</time> by bob", listed)
    assert ada.get(f"/submissions/{number}/file").data == CSV
    assert " by bob" not in bob.get(f"/submissions/{number}").text
    page = ada.get(TEAM).text
    assert "its members stay until the end" in page
    assert "Remove" not in page
    assert ada.post(f"{TEAM}/leave").status_code == 409


def test_wrong_link_names_no_team(site: Site) -> None:
    secret = site.invite("ada")
    bob = site.browser("bob")
    for wrong in (secret[:-1], "x" * 43, secret.swapcase()):
        for answer in (bob.get(f"{TEAM}/join/{wrong}"), bob.post(f"{TEAM}/join/{wrong}")):
            assert answer.status_code == 404
            assert "This invite link is not valid" in answer.text
            assert "ada" not in answer.text
    assert bob.get(f"/competitions/other/team/join/{secret}").status_code == 404


def test_member_leaves_and_sees_nothing_of_the_team_any_more(site: Site) -> None:
    site.enlist("bob", "ada")
    check = site.check("ada")
    bob = site.browser("bob")
    token = site.token("bob")
    assert site.visitor().get(f"/api/v1/checks/{check}", headers=token).status_code == 200
    left = bob.post(f"{TEAM}/leave", follow_redirects=True).text
    assert "take part alone, as bob" in left
    number = site.submit("ada", filename="adas.csv")
    for path in (f"/submissions/{number}", f"/submissions/{number}/file"):
        assert bob.get(path).status_code == 404
    assert site.visitor().get(f"/api/v1/checks/{check}", headers=token).status_code == 404
    assert "adas.csv" not in bob.get("/competitions/biopsy/submissions").text
    assert "ada" not in re.sub(r"<header.*?</header>", "", bob.get(TEAM).text, count=1, flags=re.S)


def test_captains_merge_their_teams_on_the_team_page(site: Site) -> None:
    site.join("bob")
    mine, theirs = site.submit("ada"), site.submit("bob", b"other")
    ada, bob = site.browser("ada"), site.browser("bob")
    offered = ada.post(f"{TEAM}/merge", {"team": "bob"}, follow_redirects=True).text
    assert "The captain of bob sees your offer" in offered
    assert "Offered to <b>bob</b>" in offered
    page = bob.get(TEAM).text
    assert "ada offers to merge" in page
    assert "It cannot be undone." in page
    merged = bob.post(f"{TEAM}/offers/1/accept", follow_redirects=True).text
    assert "The teams are one now, ada." in merged
    for number in (mine, theirs):
        assert bob.get(f"/submissions/{number}").status_code == 200
    quota = site.visitor().get("/api/v1/competitions/biopsy/quota", headers=site.token("bob")).json
    assert quota is not None
    assert (quota["used"], quota["remaining"]) == (2, 3)
    listed = site.visitor().get("/api/v1/competitions/biopsy/submissions", headers=site.token("ada")).json
    assert listed is not None
    assert [one["sent_by"] for one in listed["submissions"]] == ["bob", "ada"]


def test_deadlines_of_teams_are_shown_and_close_the_forms(site: Site) -> None:
    site.enlist("bob", "ada")
    with site.database.read() as session:
        now = db.now(session)
    site.change(entry_closes_at=now, teams_close_at=now)
    overview = site.visitor().get("/competitions/biopsy").text
    assert "to be joined until" in overview
    assert "can change and merge until" in overview
    page = site.browser("ada").get(TEAM).text
    assert "The members of teams no longer change." in page
    assert "Make an invite link" not in page
    site.user("cyd")
    refused = site.browser("cyd").post("/competitions/biopsy/join")
    assert refused.status_code == 403
    assert "could be joined until" in refused.text


def test_method_is_shown_on_the_board_after_the_close_and_not_before(site: Site) -> None:
    site.score(site.submit("ada"), 0.3)
    ada, visitor = site.browser("ada"), site.visitor()
    said = {"text": "Two <b>forests</b>, averaged.", "link": "https://example.org/code?v=1"}
    assert ada.post(f"{TEAM}/method", said).status_code == 303
    assert "Two &lt;b&gt;forests" in ada.get(TEAM).text
    board, api = "/competitions/biopsy/leaderboard", "/api/v1/competitions/biopsy/leaderboard"

    def row() -> dict[str, object]:
        found = visitor.get(api, headers=site.token("ada")).json
        assert found is not None
        return dict(found["rows"][0])

    assert "forests" not in visitor.get(board).text
    assert (row()["method"], row()["method_link"]) == (None, None)
    site.close()
    shown = visitor.get(board).text
    assert "Two &lt;b&gt;forests" in shown
    assert 'href="https://example.org/code?v=1" rel="nofollow noopener noreferrer ugc"' in shown
    assert (row()["method"], row()["method_link"]) == (said["text"], said["link"])
    assert ada.post(f"{TEAM}/method", {"text": "", "link": ""}).status_code == 303
    assert row()["method"] is None


def test_method_with_a_link_that_leads_to_no_page_is_refused(site: Site) -> None:
    ada = site.browser("ada")
    for link in (
        "javascript:alert(1)",
        "//example.org",
        "https://",
        "https://user:secret@example.org/",
        "https://example.org/a b",
        "ftp://example.org",
        "https://[",
        'https://example.org/"onclick=',
        "https://example.org/" + "a" * 300,
    ):
        refused = ada.post(f"{TEAM}/method", {"text": "x", "link": link})
        assert (refused.status_code, "a link is an address" in refused.text) == (422, True), link
    assert ada.post(f"{TEAM}/method", {"text": "x" * 501, "link": ""}).status_code == 422


def test_the_team_page_is_a_tab_with_members_uploads_and_picks(site: Site) -> None:
    site.score(site.submit("ada"), 0.5)
    ada = site.browser("ada")
    page = ada.get(TEAM).text
    assert re.search(r'aria-current="page"[^>]*><svg.*?</svg>Team<', page, re.DOTALL)
    left = re.search(r"Left today</dt><dd>(\d+) <small>of (\d+)</small>", page)
    assert left is not None
    assert int(left[1]) == int(left[2]) - 1
    invited = ada.post(f"{TEAM}/invites", {"days": "7", "uses": "1"}).text
    assert re.search(r'aria-current="page"[^>]*><svg.*?</svg>Team<', invited, re.DOTALL)
    assert "Submissions</a>" in page
    assert not re.search(r'aria-current="page"[^>]*><svg.*?</svg>Submissions<', page, re.DOTALL)
    assert "Team</a>" not in site.visitor().get("/competitions/biopsy").text


def test_an_organiser_removes_a_description_with_a_reason_that_the_team_reads(site: Site) -> None:
    site.browser("ada").post(f"{TEAM}/method", {"text": "Buy my course", "link": "https://x.example/"})
    grace = site.browser("grace")
    sent = {"team": "ada", "reason": "An advertisement is no method."}
    address = "/competitions/biopsy/organise/board/method"
    assert grace.post(address, sent | {"reason": "short"}).status_code == 422
    assert grace.post(address, sent).status_code == 303
    assert "The organiser has removed your description: An advertisement is no method." in (
        site.browser("ada").get(TEAM).text
    )
    assert grace.post(address, sent).status_code == 409, "there is none any more"
    with site.database.read() as session:
        [event] = session.scalars(select(Event).where(Event.action == "method removed"))
    assert (event.actor, event.detail["reason"]) == ("grace", sent["reason"])
    assert "Buy my course" not in str(event.detail)
    site.browser("ada").post(f"{TEAM}/method", {"text": "Trees", "link": ""})
    assert "has removed your description" not in site.browser("ada").get(TEAM).text
    answer = site.visitor().client.post(
        "/api/v1/competitions/biopsy/teams/method/remove", json=sent, headers=site.token("grace")
    )
    assert answer.json == {"competition": "biopsy", "team": "ada"}
    shown = site.visitor().get("/api/v1/competitions/biopsy/team", headers=site.token("ada")).json
    assert shown is not None
    assert (shown["method"], shown["method_removed_why"]) == (None, sent["reason"])
