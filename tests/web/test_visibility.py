"""Who may see a competition that is not public: every route, for every kind of viewer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import url_for
from werkzeug.test import TestResponse

from app.base import db
from app.base.models import Visibility
from app.competing import admissions, competitions, visibility
from app.people.tokens import Scope
from tests.web.access_rules import ACCESS, SAFE, Access
from tests.web.site import Browser, Site, routes
from tests.web.test_access_rules import ask, full

__all__ = ["full"]

NOWHERE = "nowhere"
VIEWERS = ("visitor", "stranger", "admitted", "ada", "grace")
"""Of these ada has joined and grace is an organiser."""
SEES: dict[Visibility, set[str]] = {
    Visibility.PUBLIC: set(VIEWERS),
    Visibility.UNLISTED: {"admitted", "ada", "grace"},
    Visibility.INVITED: {"admitted", "ada", "grace"},
    Visibility.HIDDEN: {"grace"},
}
WITHOUT_VIEWER = ("embeds.",)
"""Routes that other sites show: they read no cookie."""
IDS = ("submission_id", "check_id", "invite_id", "offer_id")
ACCEPT = {"Accept": "application/json, text/event-stream"}
UNKNOWN_ID = 7_777_777


def show_to(site: Site, value: Visibility) -> None:
    site.change(visibility=value.value)


@pytest.fixture
def crowd(full: Site) -> Site:
    """The installation with a stranger, and an account that is admitted."""
    for name in ("stranger", "admitted"):
        full.user(name)
    with full.database.begin() as session:
        found = competitions.by_slug(session, full.slug)
        assert admissions.admit(session, found, ["admitted"], by="grace", now=db.now(session)) == ["admitted"]
    return full


def shape(answer: TestResponse, slug: str) -> str:
    """Return an answer without the name that was asked for, and without what changes by itself."""
    text = f"{answer.status_code} {answer.content_type} {answer.headers.get('Location', '')}\n{answer.text}"
    text = re.sub(r'(name="csrf_token" value=)"[^"]*"', r"\1", text)
    return re.sub(rf"\b({slug}|{UNKNOWN_ID}|1)\b", "X", text)


def sender(site: Site, name: str) -> tuple[Browser, dict[str, str]]:
    if name == "visitor":
        return site.visitor(), {}
    return site.browser(name), site.token(name)


@pytest.mark.parametrize("value", list(Visibility))
def test_every_route_answers_as_for_an_unknown_name_to_viewers_that_may_not_see_it(
    crowd: Site, value: Visibility
) -> None:
    people = {name: sender(crowd, name) for name in VIEWERS}
    show_to(crowd, value)
    here = routes(crowd, 1)
    unknown = dict.fromkeys(IDS, UNKNOWN_ID)
    elsewhere = routes(crowd, UNKNOWN_ID, slug=NOWHERE, **{k: v for k, v in unknown.items() if k != IDS[0]})
    rules = {rule.endpoint: rule.arguments for rule in crowd.app.url_map.iter_rules()}
    hidden, shown = 0, 0
    for (method, endpoint, address), (*_, nowhere) in zip(here, elsewhere, strict=True):
        is_named = "slug" in rules[endpoint] and not endpoint.startswith(("classes.", "drafts.", "api.draft"))
        is_own = bool(rules[endpoint] & {"submission_id", "check_id"}) and "slug" not in rules[endpoint]
        if not (is_named or is_own):
            continue
        rule = ACCESS[f"{method} {endpoint}"]
        for name, (browser, token) in people.items():
            may_see = name in SEES[value]
            if endpoint.startswith(WITHOUT_VIEWER):
                may_see = value is Visibility.PUBLIC
            if may_see and (method not in SAFE or is_own):
                continue  # it would change something; that these work has tests of its own
            headers = token if address.startswith(("/api/", "/mcp")) else {}
            answer = ask(browser, method, address, headers=headers)
            if may_see:
                if rule in (Access.PUBLIC, Access.TOKEN) and answer.status_code == 404:
                    assert "no competition" not in answer.text, (name, method, endpoint)
                shown += answer.status_code == 200
                continue
            other = ask(browser, method, nowhere, headers=headers)
            assert shape(answer, crowd.slug) == shape(other, NOWHERE), (name, method, endpoint)
            assert answer.status_code >= 300
            assert "Biopsy" not in answer.text, (name, method, endpoint)
            hidden += 1
    assert shown > 30
    assert hidden > (100 if value is not Visibility.PUBLIC else -1)


@pytest.mark.parametrize("value", list(Visibility))
def test_lists_have_it_for_those_that_may_see_it(crowd: Site, value: Visibility) -> None:
    crowd.announce("A private title")
    show_to(crowd, value)
    for name in VIEWERS:
        browser, token = sender(crowd, name)
        may_see = name in SEES[value]
        page = browser.get("/").text
        assert (f"/competitions/{crowd.slug}" in page) == may_see, name
        assert "A private title" not in browser.get(f"/competitions/{NOWHERE}").text
        if not may_see:
            assert "A private title" not in browser.get(f"/competitions/{crowd.slug}").text
        if name == "visitor":
            continue
        client = crowd.visitor().client
        listed = client.get("/api/v1/competitions", headers=token).json
        assert [one["slug"] for one in listed["competitions"]] == [crowd.slug] * may_see  # type: ignore[index]
        on_kaggle = client.get("/api/v1/competitions/list", headers=token).json
        assert [one["ref"] for one in on_kaggle or []] == ([] if not may_see else [on_kaggle[0]["ref"]])  # type: ignore[index]
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        call = body | {"params": {"name": "list_competitions", "arguments": {}}}
        agent = client.post("/mcp", json=call, headers=token | ACCEPT).text
        assert (crowd.slug in agent) == may_see, name


def test_a_private_link_admits_accounts_until_it_is_replaced_or_the_account_removed(site: Site) -> None:
    for name in ("cyd", "dot", "eve"):
        site.user(name)
    grace, page = site.browser("grace"), f"/competitions/{site.slug}/organise/access"
    assert grace.post(f"{page}/link").status_code == 409, "a public competition needs none"
    show_to(site, Visibility.UNLISTED)

    def new_link() -> str:
        found = re.search(rf"/competitions/{site.slug}/enter/[\w-]{{43}}", grace.post(f"{page}/link").text)
        assert found is not None
        return found[0]

    link = new_link()
    assert link not in grace.get(page).text
    cyd = site.browser("cyd")
    assert cyd.get(f"/competitions/{site.slug}").status_code == 404
    assert "See the competition" in cyd.get(link).text
    assert cyd.get(f"/competitions/{site.slug}").status_code == 404, "looking at the link admits nobody"
    assert cyd.post(link).status_code == cyd.post(link).status_code == 303
    assert cyd.get(f"/competitions/{site.slug}").status_code == 200
    assert cyd.post(f"/competitions/{site.slug}/join").status_code == 303

    api, token = f"/api/v1/competitions/{site.slug}", site.token("dot")
    client = site.visitor().client
    entered = client.post(f"{api}/enter", json={"link": f"http://there{link}"}, headers=token)
    assert (entered.status_code, entered.json) == (200, {"competition": "biopsy", "title": "Biopsy triage"})
    listed = client.get(f"{api}/access", headers=site.token("grace")).json
    assert {(one["name"], one["way"], one["has_joined"]) for one in listed["admitted"]} == {  # type: ignore[index]
        ("cyd", "link", True),
        ("dot", "link", False),
    }
    assert grace.post(f"{page}/remove", {"name": "cyd"}).status_code == 409, "its team stays"
    assert grace.post(f"{page}/remove", {"name": "dot"}).status_code == 303
    assert client.post(f"{api}/enter", json={"link": link}, headers=token).status_code == 404
    assert client.get(api, headers=token).status_code == 404

    newer = new_link()
    eve = site.browser("eve")
    assert eve.get(link).status_code == eve.post(link).status_code == 404
    show_to(site, Visibility.INVITED)
    assert eve.post(newer).status_code == 404, "only an unlisted competition has a link"
    show_to(site, Visibility.UNLISTED)
    assert client.delete(f"{api}/access/link", headers=site.token("grace")).status_code == 200
    assert eve.post(newer).status_code == 404
    assert site.visitor().get(newer).status_code == 303
    log = grace.get(f"/competitions/{site.slug}/organise").text
    for words in (
        "private link made",
        "entered by private link",
        "admission removed",
        "private link revoked",
    ):
        assert words in log
    assert newer.rpartition("/")[2] not in log


def test_names_without_an_account_are_refused_together_and_a_removed_one_is_admitted_again(
    site: Site,
) -> None:
    api, token = f"/api/v1/competitions/{site.slug}/access/accounts", site.token("grace")
    client = site.visitor().client
    refused = client.post(api, json={"names": ["bob", "ghost", "ghoul"]}, headers=token)
    assert refused.status_code == 422
    assert "ghost" in refused.text
    assert "ghoul" in refused.text
    assert client.get(f"/api/v1/competitions/{site.slug}/access", headers=token).json["admitted"] == []  # type: ignore[index]
    for _ in range(2):
        assert client.post(api, json={"names": ["Bob", "bob"]}, headers=token).status_code == 200
        assert client.delete(f"{api}/bob", headers=token).status_code == 200
        assert client.delete(f"{api}/bob", headers=token).status_code == 404


def test_a_team_invite_does_not_admit_to_a_private_competition(site: Site) -> None:
    secret = site.invite("ada")
    show_to(site, Visibility.INVITED)
    bob, link = site.browser("bob"), f"/competitions/{site.slug}/team/join/{secret}"
    assert bob.get(link).status_code == bob.post(link).status_code == 404
    site.browser("grace").post(f"/competitions/{site.slug}/organise/access/list", {"names": "bob, ada"})
    assert bob.post(link).status_code == 303


def test_an_organisers_token_without_the_scope_sees_what_its_account_has_joined(site: Site) -> None:
    show_to(site, Visibility.HIDDEN)
    client = site.visitor().client
    for scope, status in ((Scope.READ, 404), (Scope.ORGANISE, 200)):
        answer = client.get(f"/api/v1/competitions/{site.slug}", headers=site.token("grace", scope))
        assert answer.status_code == status


def test_the_visibility_changes_with_a_preview_and_without_an_announcement(site: Site) -> None:
    api, token = f"/api/v1/competitions/{site.slug}", site.token("grace")
    client = site.visitor().client
    seen = client.patch(f"{api}?dry_run=true", json={"visibility": "hidden"}, headers=token).json
    assert seen is not None
    [change] = seen["changes"]
    assert (change["before"], change["after"], change["teams"]) == ("public", "hidden", 1)
    assert "no longer sees it" in change["effect"]
    assert seen["announcement"] is None
    assert client.get(api, headers=site.token("bob")).status_code == 200
    assert client.patch(api, json={"visibility": "hidden"}, headers=token).status_code == 200
    assert client.get(api, headers=site.token("bob")).status_code == 404
    assert client.patch(api, json={"visibility": "secret"}, headers=token).status_code == 422


def test_the_list_of_what_a_viewer_sees_equals_the_answer_for_each(crowd: Site) -> None:
    with crowd.app.test_request_context():
        assert url_for("admissions.entry", slug="x", secret="y") == "/competitions/x/enter/y"
    for value in Visibility:
        show_to(crowd, value)
        with crowd.database.read() as session:
            found = competitions.by_slug(session, crowd.slug)
            for name in VIEWERS:
                viewer: Any = None if name == "visitor" else crowd.viewer(name)
                listed = competitions.listed(session, visibility.seen_by(viewer))
                assert bool(listed) == visibility.may_see(session, found, viewer) == (name in SEES[value])


def test_views_find_a_competition_by_what_the_viewer_may_see() -> None:
    """Only the poll of a board reads the row first, to look for a viewer where one matters."""
    web = Path(visibility.__file__).parents[1] / "web"
    direct = [path.name for path in web.rglob("*.py") if "competitions.by_slug(" in path.read_text()]
    assert direct == ["leaderboard.py"]
