"""Which role reaches which route: a matrix of every role and every route with an access rule."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest
from sqlalchemy import select

from app.base import db
from app.base.models import Standing, Submission
from app.base.models_roles import Role
from app.competing import competitions, roles
from app.people.tokens import Scope
from tests.web.access_rules import ACCESS, SAFE, Access
from tests.web.site import Site, competition, routes
from tests.web.test_access_rules import ask, full

__all__ = ["full"]  # the fixture of an installation with one object of each kind, all Ada's

NO_PAGE = "There is no such page."
PLACES = {
    Access.ORGANISER: {"cohost", "owner", "grace"},
    Access.ORGANISER_TOKEN: {"cohost", "owner", "grace"},
    Access.OWNER: {"owner", "grace"},
    Access.OWNER_TOKEN: {"owner", "grace"},
    Access.OPERATOR: {"grace"},
    Access.OPERATOR_TOKEN: {"grace"},
    Access.ASSISTANT: {"assistant", "cohost", "owner", "grace"},
    Access.ASSISTANT_TOKEN: {"assistant", "cohost", "owner", "grace"},
    Access.TEAM: {"ada", "assistant", "cohost", "owner", "grace"},
    Access.TOKEN_TEAM: {"ada", "assistant", "cohost", "owner", "grace"},
}
"""The accounts that reach the routes of each rule; of the last two only to read."""
OF_JUDGES = {
    *("participants.submissions", "participants.submissions_csv", "participants.files"),
    *("api.organised_submissions", "api.organised_csv", "api.organised_files"),
    *("submissions.show", "submissions.download", "api.submission_show", "api.submission_file"),
}
"""A judge reaches these after the end, which a route of the matrix brings; they have a test of their own."""


@pytest.fixture
def hosted(full: Site) -> Site:
    """The same with a co-host, an owner, a co-host of another competition and a former host."""
    with full.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, "biopsy")
        other = competitions.open_(session, found.version, now=now, max_upload_bytes=10**6, slug="elsewhere")
    for name in ("cohost", "owner", "stranger", "former", "assistant", "judge"):
        full.user(name)
    with full.database.begin() as session:
        now = db.now(session)
        for name, role in (
            ("cohost", Role.COHOST),
            ("owner", Role.OWNER),
            ("former", Role.OWNER),
            ("assistant", Role.ASSISTANT),
            ("judge", Role.JUDGE),
        ):
            roles.add(session, found, name, role, by="grace", now=now)
        roles.add(session, other, "stranger", Role.OWNER, by="grace", now=now)
        roles.remove(session, found, "former", by="grace", now=now)
    for name in ("cohost", "owner", "stranger", "former", "bob", "ada", "grace", "assistant", "judge"):
        full.token(name)
    with full.database.begin() as session:  # a token from the time of the role
        roles.add(session, found, "former", Role.OWNER, by="grace", now=db.now(session))
    full.token("former", Scope.ORGANISE)
    with full.database.begin() as session:
        roles.remove(session, found, "former", by="grace", now=db.now(session))
    return full


def test_each_role_reaches_its_routes_and_no_other(hosted: Site) -> None:
    everyone = ("ada", "bob", "cohost", "owner", "assistant", "judge", "stranger", "former", "grace")
    people: dict[str, tuple[Any, dict[str, str]]] = {
        name: (hosted.browser(name), hosted.token(name, scope_of(name))) for name in everyone
    }
    checked = 0
    for method, endpoint, address in routes(hosted, 1):
        rule = ACCESS[f"{method} {endpoint}"]
        if rule not in PLACES or (rule in (Access.TEAM, Access.TOKEN_TEAM) and method not in SAFE):
            continue
        if endpoint == "api.token_revoke":
            continue
        for name, (browser, token) in people.items():
            if name == "judge" and endpoint in OF_JUDGES:
                continue
            answer = ask(browser, method, address, headers=token if address.startswith("/api/") else {})
            reaches = answer.status_code not in (401, 403) and NO_PAGE.encode() not in answer.data
            if rule in (Access.TEAM, Access.TOKEN_TEAM):
                reaches = answer.status_code == 200
            assert reaches == (name in PLACES[rule]), (name, method, endpoint, answer.status_code)
            hidden = rule in (Access.OWNER, Access.OWNER_TOKEN) and name == "cohost"
            assert reaches or answer.status_code == (403 if hidden else 404), (name, endpoint)
            checked += 1
    assert checked > 150


def scope_of(name: str) -> Scope | None:
    return Scope.ORGANISE if name not in ("ada", "bob") else None


def test_a_hosts_token_without_the_scope_organise_is_a_participants(hosted: Site) -> None:
    client = hosted.visitor().client
    for scope in (Scope.READ, Scope.SUBMIT):
        headers = hosted.token("cohost", scope)
        assert client.get("/api/v1/submissions/1", headers=headers).status_code == 404
        assert client.get("/api/v1/competitions/biopsy/hosts", headers=headers).status_code == 403
    refused = client.post(
        "/api/v1/me/tokens", json={"scope": "organise"}, headers=hosted.token("bob", Scope.SUBMIT)
    )
    assert refused.status_code == 403


def test_hosts_are_added_and_removed_on_the_page_and_over_the_api(hosted: Site) -> None:
    owner = hosted.browser("owner")
    page = "/competitions/biopsy/organise/hosts"
    assert owner.post(page, {"name": "bob", "role": "co-host"}).status_code == 303
    assert "bob" in hosted.browser("bob").get(page).text
    assert owner.post(page, {"name": "bob", "role": "captain"}).status_code == 422
    assert owner.post(page, {"name": "bob", "role": "co-host"}).status_code == 409
    assert owner.post(f"{page}/remove", {"name": "bob"}).status_code == 303
    assert hosted.browser("bob").get(page).status_code == 404
    client, headers = hosted.visitor().client, hosted.token("owner", Scope.ORGANISE)
    address = "/api/v1/competitions/biopsy/hosts"
    added = client.post(address, json={"name": "bob", "role": "owner"}, headers=headers).json
    assert added is not None
    assert [(host["name"], host["role"]) for host in added["hosts"]] == [
        ("owner", "owner"),
        ("bob", "owner"),
        ("cohost", "co-host"),
        ("assistant", "assistant"),
        ("judge", "judge"),
    ]
    left = client.delete(f"{address}/bob", headers=headers).json
    assert left is not None
    assert "bob" not in {host["name"] for host in left["hosts"]}
    assert client.delete(f"{address}/bob", headers=headers).status_code == 404
    assert client.post(address, json={"name": "nobody"}, headers=headers).status_code == 404


def test_a_cohost_sees_the_data_before_the_opening_and_private_scores_before_the_close(hosted: Site) -> None:
    cohost, stranger = hosted.browser("cohost"), hosted.browser("stranger")
    assert "0.123456789" in cohost.get("/competitions/biopsy/organise?scores=hidden").text
    with hosted.database.read() as session:
        hosted.change(opens_at=db.now(session).replace(year=2040), closes_at=None)
    assert cohost.get("/competitions/biopsy/data/train.csv").status_code == 200
    assert stranger.get("/competitions/biopsy/data/train.csv").status_code == 403
    assert "Doctor" not in cohost.get("/competitions/biopsy/organise").text
    assert competition(hosted).opens_at.year == 2040


def test_a_co_host_gives_no_team_a_reserved_name(hosted: Site) -> None:
    """Only an organiser of the installation passes for one."""
    address = f"/competitions/{hosted.slug}/organise/team"
    refused = hosted.browser("cohost").post(address, {"team": "ada", "name": "Administrator"})
    assert (refused.status_code, "is reserved" in refused.text) == (422, True)
    assert hosted.browser("grace").post(address, {"team": "ada", "name": "Administrator"}).status_code == 303


def test_an_assistant_sees_no_private_score_before_the_end_and_answers_questions(hosted: Site) -> None:
    assistant, token = hosted.browser("assistant"), hosted.token("assistant", Scope.ORGANISE)
    client = hosted.visitor().client
    pages = ("participants", "participants.csv", "submissions", "submissions.csv")
    paths = [f"/competitions/biopsy/organise/{name}" for name in pages] + ["/submissions/1"]
    for path in paths:
        api = f"/api/v1{path}"
        for answer in (assistant.get(path), client.get(api, headers=token)):
            assert (answer.status_code, "0.123456789" in answer.text) == (200, False), path
    assert "0.123456789" in hosted.browser("cohost").get(paths[1]).text
    assert assistant.post("/competitions/biopsy/organise/files").status_code == 404
    asked = hosted.ask("ada", "Which rows are hidden?", is_public=False)
    assert "Which rows are hidden?" in assistant.get("/competitions/biopsy/questions").text
    address = f"/competitions/biopsy/questions/{asked}/answer"
    assert assistant.post(address, {"text": "Those of the second half."}).status_code == 303
    assert assistant.post("/competitions/biopsy/questions/settings").status_code == 404
    assert "Which questions are taken" not in assistant.get("/competitions/biopsy/questions").text
    hosted.close()
    assert "0.123456789" in assistant.get(paths[1]).text


def test_a_judge_sees_after_the_end_the_files_that_count_and_no_other(hosted: Site) -> None:
    judge, token = hosted.browser("judge"), hosted.token("judge", Scope.ORGANISE)
    client = hosted.visitor().client
    for n in range(2):
        hosted.score(hosted.submit("ada", b"other%d" % n), 0.9, 0.9)
    table, files = "/competitions/biopsy/organise/submissions", "/competitions/biopsy/organise/files"
    with hosted.database.read() as session:
        final = set(session.scalars(select(Standing.private_submission_id)))
        every = set(session.scalars(select(Submission.id)))
    assert final
    assert every > final
    for path in (table, f"{table}.csv", *(f"/submissions/{number}" for number in every)):
        assert judge.get(path).status_code == 404, path
    assert judge.post(files).status_code == 404
    hosted.close()
    listed = client.get(f"/api/v1{table}?kind=host", headers=token).json
    assert listed is not None
    assert {one["id"] for one in listed["submissions"]} == final
    assert {number for number in every if judge.get(f"/submissions/{number}").status_code == 200} == final
    for content in (judge.post(files).data, client.post(f"/api/v1{files}", headers=token).data):
        index = zipfile.ZipFile(io.BytesIO(content)).read("index.csv").decode()
        assert {int(row["submission"]) for row in csv.DictReader(io.StringIO(index))} == final
    assert judge.get("/competitions/biopsy/organise/participants").status_code == 404
    assert judge.get("/competitions/biopsy/organise").status_code == 404
