"""Each route has an access rule in tests/web/access_rules.py and keeps it."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.authoring import drafts
from app.base import db, inbox, vault
from app.classes import classes, rosters
from app.classes.rosters import Student
from app.competing import competitions
from app.integrity.inspections import Kind
from app.people import accounts
from app.people.accounts import Viewer
from app.people.tokens import Scope
from tests.web.access_rules import ACCESS, SAFE, Access
from tests.web.integrity_records import OOF, audited, inspected, own_rows, report, suspected
from tests.web.site import CSV, Browser, Site, routes

HOST = (Access.ORGANISER, Access.ASSISTANT, Access.OWNER)
HOST_TOKEN = (Access.ORGANISER_TOKEN, Access.ASSISTANT_TOKEN, Access.OWNER_TOKEN, Access.OPERATOR_TOKEN)
BEARER = (Access.TOKEN, Access.TOKEN_TEAM, *HOST_TOKEN)
CHECKED = (Access.OWN, Access.TEAM, Access.TOKEN_TEAM, *HOST, *HOST_TOKEN, Access.OPERATOR)
"""Rules of routes whose objects have numbers."""
UNKNOWN_ID = 7_777_777
FORM: dict[str, Any] = {"name": "x", "label": "x", "picked": "1", "action": "dismiss", "reason": "A reason."}


@pytest.fixture
def full(site: Site) -> Site:
    """An installation with one object of each kind, all Ada's, but an offer of Cyd's team to hers."""
    _first = site.browser("ada"), site.token("ada")  # number 1 of their kinds, as in the addresses
    submission_id = site.submit("ada", filename="adas-secret.csv")
    assert submission_id == 1
    site.score(submission_id, 0.5)
    check_id = site.check("ada")
    assert check_id == 1
    site.answer_check(check_id)
    site.join("bob")
    site.user("cyd")
    site.join("cyd")
    site.invite("ada")
    assert site.offer_merge("cyd", "ada") == 1
    site.ask("ada", "adas-secret question", is_public=False, as_id=1)
    assert (site.announce("First"), site.announce("To all", to_all=True)) == (1, 2)
    audited(site)
    drafted(site)
    taught(site)
    own_rows(site, submission_id, oof=OOF)
    assert suspected(site, ("probing", "ada", None)) == [1]
    return site


def drafted(site: Site) -> None:
    """Begin Grace's draft, and make the key that her files are encrypted with."""
    with site.database.begin() as session:
        now = db.now(session)
        inbox.ensure_key(session, vault.open_(site.settings), now=now)
        grace = accounts.by_name(session, "grace")
        draft = drafts.create(session, Viewer(grace.id, "grace", True), drafts.Source.TABLE, now=now)
    assert draft.id == 1


def taught(site: Site) -> None:
    """Make a class with the competition's name in addresses, which has Ada as a student, and its code."""
    with site.database.begin() as session:
        now = db.now(session)
        classroom = classes.make(session, site.slug, title="Class", by="grace", now=now)
        classes.add_competition(
            session, classroom, competitions.by_slug(session, site.slug), by="grace", now=now
        )
        one = rosters.add(session, classroom, Student(0, "Ada", "Lovelace", "S1"), by="grace", now=now)
        one.user_id = accounts.by_name(session, "ada").id
    assert one.id == 1


def of(site: Site, *rules: Access, **ids: int) -> list[tuple[str, str, str]]:
    found = [
        (method, endpoint, address)
        for method, endpoint, address in routes(site, ids.pop("submission_id", 1), **ids)
        if ACCESS.get(f"{method} {endpoint}") in rules
    ]
    assert found
    return found


def ask(browser: Browser, method: str, address: str, **options: Any) -> TestResponse:
    """Send a request like the page's form, with the fields of all forms."""
    if method not in SAFE and not address.startswith("/api/"):
        data = {"csrf_token": browser.csrf(), "file": (io.BytesIO(CSV), "a.csv"), **FORM}
        options |= {"data": data, "content_type": "multipart/form-data"}
    elif method not in SAFE:
        options |= {"data": CSV, "content_type": "text/csv"}
    return browser.client.open(address, method=method, **options)


def test_every_route_has_an_access_rule_and_every_rule_a_route(site: Site) -> None:
    there = {f"{method} {endpoint}" for method, endpoint, _ in routes(site, 1)}
    without = sorted(there - set(ACCESS))
    assert not without, (
        f"{', '.join(without)}: without an access rule. Add to ACCESS in tests/web/access_rules.py "
        f'a line such as "{without[0]}": Access.SIGNED_IN; its tests are generated.'
    )
    gone = sorted(set(ACCESS) - there)
    assert not gone, (
        f"{', '.join(gone)}: there is no such route; remove the line from tests/web/access_rules.py."
    )


def test_routes_with_an_id_check_the_owner(site: Site) -> None:
    """Ids in addresses can be guessed by counting."""
    for rule in site.app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if any(name.endswith("_id") for name in rule.arguments):
                rule_of_route = ACCESS.get(f"{method} {rule.endpoint}")
                assert rule_of_route in CHECKED, rule.endpoint


def test_objects_of_others_answer_like_unknown_ids(full: Site) -> None:
    """The answer equals that for an unknown id.

    A 403 would reveal that the object exists.
    """
    bob, token = full.browser("bob"), full.token("bob")
    none = dict.fromkeys(("submission_id", "sign_in_id", "token_id", "invite_id", "offer_id"), UNKNOWN_ID)
    private = (Access.OWN, Access.TEAM, Access.TOKEN_TEAM)
    for (method, endpoint, address), (*_, nowhere) in zip(
        of(full, *private), of(full, *private, **none), strict=True
    ):
        headers = token if address.startswith("/api/") else {}
        for suffix in ("", "?part=entry", "?part=beside"):
            answer = ask(bob, method, address + suffix, headers=headers)
            other = ask(bob, method, nowhere + suffix, headers=headers)
            assert answer.status_code == other.status_code == 404, (method, endpoint)
            assert "adas-secret" not in answer.text
            assert without_number(answer, address) == without_number(other, nowhere), endpoint


def without_number(answer: TestResponse, address: str) -> str:
    """Return the answer without the requested number."""
    number = next(part for part in address.split("/") if part.isdigit())
    text = answer.text.replace(address, "ADDRESS").replace(f"submission {number} ", "submission N ")
    text = re.sub(r'(name="csrf_token" value=)"[^"]*"', r"\1", text)  # changes each second
    return f"{answer.status} {answer.content_type}\n{text}"


def test_owners_may_act_and_organisers_may_read(full: Site) -> None:
    """Otherwise the tests above would pass if all requests were refused."""
    for method, endpoint, address in of(full, Access.TEAM, Access.TOKEN_TEAM):
        if method in SAFE:
            for name in ("ada", "grace"):
                answer = ask(full.browser(name), method, address, headers=full.token(name))
                assert answer.status_code == 200, (name, endpoint)
    for method, endpoint, address in of(full, Access.OWN):
        answer = ask(full.browser("ada"), method, address)
        assert answer.status_code in (303, 409, 422), (endpoint, answer.text)  # 409: it is scored already


def test_an_organiser_may_not_act_for_a_team(full: Site) -> None:
    for method, endpoint, address in of(full, Access.OWN):
        assert ask(full.browser("grace"), method, address).status_code == 404, (method, endpoint)
    for method, endpoint, address in of(full, Access.TOKEN_TEAM):
        if method not in SAFE:
            answer = ask(full.visitor(), method, address, headers=full.token("grace"))
            assert answer.status_code == 404, (method, endpoint)


def test_routes_of_organisers_exist_only_for_organisers(full: Site) -> None:
    for browser in (full.visitor(), full.browser("ada"), full.browser("bob")):
        for method, endpoint, address in of(full, *HOST, Access.OPERATOR):
            for suffix in ("", "?part=pulse"):
                answer = ask(browser, method, address + suffix, headers=full.token("ada"))
                assert answer.status_code == 404, (method, endpoint)
    grace = full.browser("grace")
    for method, endpoint, address in of(full, *HOST, Access.OPERATOR):
        answer = ask(grace, method, address)
        if method in SAFE:
            assert answer.status_code in (200, 303), (endpoint, answer.text)
        else:
            # An empty form may name an unknown object; the route itself must exist.
            assert answer.status_code in (200, 303, 404, 409, 422), (endpoint, answer.data)
            assert b"There is no such page." not in answer.data, endpoint


def test_operations_of_organisers_need_an_organiser_and_the_scope(full: Site) -> None:
    client = full.visitor()
    for method, endpoint, address in of(full, *HOST_TOKEN):
        for name in ("ada", "bob"):
            answer = ask(client, method, address, headers=full.token(name))
            assert (answer.status_code, "no such page" in answer.text) == (404, True), (method, endpoint)
        for scope in (Scope.READ, Scope.SUBMIT):
            answer = ask(client, method, address, headers=full.token("grace", scope))
            assert answer.status_code == 403, (method, endpoint)
            assert 'error="insufficient_scope", scope="organise"' in answer.headers["WWW-Authenticate"]
        answer = ask(client, method, address, headers=full.token("grace"))
        assert b"no such page" not in answer.data, (method, endpoint)
        assert answer.status_code in (200, 201, 202, 404, 409, 422), (method, endpoint, answer.data)


def test_the_api_accepts_only_a_token(full: Site) -> None:
    for method, endpoint, address in of(full, *BEARER):
        assert address.startswith(("/api/", "/mcp"))
        for browser in (full.visitor(), full.browser("ada"), full.browser("grace")):
            for headers in ({}, {"Authorization": "Bearer hld_wrong"}, {"Authorization": "Bearer "}):
                answer = ask(browser, method, address, headers=headers)
                assert answer.status_code == 401, (method, endpoint)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    closed = [
        e
        for _, e, a in routes(full, 1)
        if a.startswith("/api/") and e not in {e for _, e, _ in of(full, *BEARER)}
    ]
    by_address = [f"kaggle_transfers.{name}" for name in ("upload", "blob", "download")]
    assert closed == ["api.description", *by_address]


def test_a_token_to_read_may_only_read(full: Site) -> None:
    for name in ("ada", "grace"):
        client, token = full.visitor(), full.token(name, Scope.READ)
        for method, endpoint, address in of(full, Access.TOKEN, Access.TOKEN_TEAM):
            answer = ask(client, method, address, headers=token)
            if method in SAFE or not endpoint.startswith("api."):  # for the others see test_kaggle.py
                assert answer.status_code not in (401, 403) or "scope" not in answer.text, endpoint
                continue
            assert answer.status_code == 403, (method, endpoint)
            assert "has the scope read; this needs submit" in answer.text
            assert 'error="insufficient_scope", scope="submit"' in answer.headers["WWW-Authenticate"]


def test_a_revoked_token_or_sign_in_gives_no_access(full: Site) -> None:
    ada, token = full.browser("ada"), full.token("ada")
    csrf = {"csrf_token": ada.csrf()}
    for number in range(1, 12):
        ada.client.post(f"/account/tokens/{number}/revoke", data=csrf)
        ada.client.post(f"/account/browsers/{number}/revoke", data=csrf)
    for method, endpoint, address in of(full, *BEARER):
        assert ask(ada, method, address, headers=token).status_code == 401, (method, endpoint)
    for method, endpoint, address in of(full, Access.SIGNED_IN, Access.OWN, Access.TEAM):
        assert ask(ada, method, address).status_code == 303, (method, endpoint)


def test_visitors_are_redirected_to_sign_in(full: Site) -> None:
    visitor = full.visitor()
    for method, endpoint, address in of(full, Access.SIGNED_IN, Access.OWN, Access.TEAM):
        answer = ask(visitor, method, address)
        assert answer.status_code == 303, (method, endpoint)
        assert answer.headers["Location"].startswith("/sign-in"), (method, endpoint)
        part = ask(visitor, method, address, headers={"X-Part": "true"})
        assert (part.status_code, part.text) == (401, ""), (method, endpoint)
        program = ask(visitor, method, address, headers={"Accept": "application/json"})
        assert program.status_code == 401, (method, endpoint)


def test_public_routes_answer_visitors(full: Site) -> None:
    full.close()
    inspected(full, Kind.REPORT, report(["ada"]))
    visitor = full.visitor()
    for method, endpoint, address in of(full, Access.PUBLIC):
        if endpoint in ("accounts.setup", "pages.readyz", "mail.reset"):
            continue  # there is an organiser already, and readiness and links of letters have their own tests
        # The file of the bundle is a stand-in here, and the competition has no rules.
        if method in SAFE and endpoint not in ("competitions.bundle", "rules.show"):
            assert ask(visitor, method, address).status_code == 200, endpoint


def test_a_safe_method_changes_nothing(full: Site) -> None:
    def rows() -> dict[str, list[Any]]:
        with full.database.engine.connect() as connection:
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).scalars()
            # The time of a token's last use, and what a reader has been shown, are noted on the way.
            return {
                n: list(connection.exec_driver_sql(f'SELECT * FROM "{n}"'))
                for n in names
                if n not in ("token", "announcement_reading")
            }

    people = [(full.browser(name), full.token(name)) for name in ("ada", "bob", "grace")]
    before = rows()
    for browser, token in [*people, (full.visitor(), {})]:
        for method, _, address in routes(full, 1):
            if method in SAFE:
                ask(browser, method, address, headers=token)
    assert rows() == before
