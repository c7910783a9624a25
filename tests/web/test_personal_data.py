"""An account gets all that is kept of it, and nothing of others or before its time."""

from __future__ import annotations

import json

from app.base import db
from app.competing import competitions, teams
from app.people import accounts
from tests.web.site import PRIVATE_CANARY, Site

ADDRESS = "/account/data.json"


def test_data_of_an_account_has_its_own_files_and_actions_alone(site: Site) -> None:
    site.enlist("bob", "ada")
    site.score(site.submit("ada", filename="adas.csv", message="my first"), 0.3)
    site.submit("bob", b"other", filename="bobs.csv")
    check = site.check("ada")
    answer = site.browser("ada").get(ADDRESS)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="heldout-account.json"'
    found = answer.json
    assert found is not None
    assert found["account"]["name"] == "ada"
    assert [one["team"] for one in found["teams"]] == ["ada"]
    [sent] = found["submissions"]
    assert (sent["filename"], sent["message"], sent["public"]) == ("adas.csv", "my first", 0.3)
    assert [one["id"] for one in found["checks"]] == [check]
    assert {one["action"] for one in found["log"]} >= {"competition joined", "invite made"}
    assert "bob" not in answer.text
    token = site.token("ada")
    assert token["Authorization"].split()[1] not in answer.text
    over_api = site.visitor().get("/api/v1/me/data", headers=token).json
    assert over_api is not None
    assert {**over_api, "sign_ins": [], "tokens": []} == {**found, "sign_ins": [], "tokens": []}


def test_data_of_an_account_state_why_a_team_or_a_file_does_not_count(site: Site) -> None:
    first, second = site.submit("ada"), site.submit("ada", b"id,target\n1,0.1\n2,0.2\n")
    for number in (first, second):
        site.score(number, 0.3)
    site.browser("ada").post(f"/submissions/{second}/withdraw")
    grace = site.browser("grace")
    form = {"submission": str(first), "team": "ada", "reason": "The labels are in it."}
    grace.post("/competitions/biopsy/organise/board/file", form)
    grace.post("/competitions/biopsy/organise/board/team", form)
    found = site.browser("ada").get(ADDRESS).json
    assert found is not None
    sent = {one["id"]: (one["off_the_board_why"], one["is_withdrawn"]) for one in found["submissions"]}
    assert sent == {first: ("The labels are in it.", False), second: (None, True)}
    [team] = found["teams"]
    assert team["off_the_board_why"] == "The labels are in it."
    assert team["off_the_board_since"] is not None
    assert team["disqualified_why"] is None


def test_log_of_an_account_has_what_it_did_under_a_former_name_and_nothing_of_the_next_owner(
    site: Site,
) -> None:
    def made(name: str) -> int:
        found = site.browser(name).get(ADDRESS).json
        assert found is not None
        return [one["action"] for one in found["log"]].count("invite made")

    def rename(name: str, new: str, *, releases: bool) -> None:
        with site.database.begin() as session:
            user = accounts.by_name(session, name)
            now = db.now(session)
            accounts.rename(session, user, new, by="grace", now=now, releases_former=releases)

    site.invite("ada")
    rename("ada", "eva", releases=False)
    assert made("eva") == 1
    rename("eva", "mia", releases=True)
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        team = teams.by_name(session, competition, "ada")
        teams.rename(session, competition, team, "mia", by="mia", now=db.now(session))
    site.user("ada")
    site.join("ada")
    site.invite("ada")
    assert made("ada") == 1


def test_data_of_an_account_has_private_scores_only_after_the_close(site: Site) -> None:
    site.score(site.submit("ada"), 0.3)
    ada = site.browser("ada")
    assert str(PRIVATE_CANARY) not in ada.get(ADDRESS).text
    organiser = site.browser("grace").get(ADDRESS).text
    assert json.loads(organiser)["submissions"] == []
    site.close()
    assert json.loads(ada.get(ADDRESS).text)["submissions"][0]["private"] == PRIVATE_CANARY
