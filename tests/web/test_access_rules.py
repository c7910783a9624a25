"""Every route keeps the policy that tests/web/access_rules.py gives it, and every route has one."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.integrity.inspections import Kind
from tests.web.access_rules import POLICIES, SAFE, Who
from tests.web.integrity_records import OOF, audited, inspected, own_rows, report, suspected
from tests.web.site import CSV, Browser, House, routes

NOT_THERE = 7_777_777
FORM: dict[str, Any] = {"name": "x", "label": "x", "picked": "1", "action": "dismiss", "reason": "A reason."}


@pytest.fixture
def full(house: House) -> House:
    """Something of every kind that an address can name, all of it Ada's; Bob has a team of his own."""
    _first = house.browser("ada"), house.token("ada")  # the first of their kinds, which addresses name
    submission_id = house.submit("ada", filename="adas-secret.csv")
    assert submission_id == 1
    house.score(submission_id, 0.5)
    house.join("bob")
    audited(house)
    own_rows(house, submission_id, oof=OOF)
    assert suspected(house, ("probing", "ada", None)) == [1]
    return house


def of(house: House, *who: Who, **ids: int) -> list[tuple[str, str, str]]:
    found = [
        (method, endpoint, address)
        for method, endpoint, address in routes(house, ids.pop("submission_id", 1), **ids)
        if POLICIES.get(f"{method} {endpoint}") in who
    ]
    assert found
    return found


def ask(browser: Browser, method: str, address: str, **options: Any) -> TestResponse:
    """As the page's own form would, with every field that any form has."""
    if method not in SAFE and not address.startswith("/api/"):
        data = {"csrf_token": browser.csrf(), "file": (io.BytesIO(CSV), "a.csv"), **FORM}
        options |= {"data": data, "content_type": "multipart/form-data"}
    elif method not in SAFE:
        options |= {"data": CSV, "content_type": "text/csv"}
    return browser.client.open(address, method=method, **options)


def test_every_route_has_a_policy_and_every_policy_a_route(house: House) -> None:
    there = {f"{method} {endpoint}" for method, endpoint, _ in routes(house, 1)}
    without = sorted(there - set(POLICIES))
    assert not without, (
        f"{', '.join(without)}: nobody has said who may ask for this. Add to POLICIES in tests/web/access_rules.py "
        f'a line such as "{without[0]}": Who.SIGNED_IN; the tests for it come by themselves.'
    )
    gone = sorted(set(POLICIES) - there)
    assert not gone, (
        f"{', '.join(gone)}: there is no such route; take the line out of tests/web/access_rules.py."
    )


def test_what_names_an_object_has_a_policy_that_asks_whose_it_is(house: House) -> None:
    """A number in an address may be counted up by anybody."""
    for rule in house.app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if any(name.endswith("_id") for name in rule.arguments):
                who = POLICIES.get(f"{method} {rule.endpoint}")
                assert who in (Who.OWN, Who.TEAM, Who.TOKEN_TEAM, Who.ORGANISER), rule.endpoint


def test_anothers_object_is_as_if_it_were_not_there(full: House) -> None:
    """Not 403, which would tell that it exists; the very answer that a number never given out gets."""
    bob, token = full.browser("bob"), full.token("bob")
    none = {"submission_id": NOT_THERE, "sign_in_id": NOT_THERE, "token_id": NOT_THERE}
    private = (Who.OWN, Who.TEAM, Who.TOKEN_TEAM)
    for (method, endpoint, address), (*_, nowhere) in zip(
        of(full, *private), of(full, *private, **none), strict=True
    ):
        headers = token if address.startswith("/api/") else {}
        for suffix in ("", "?part=entry", "?part=beside"):
            answer = ask(bob, method, address + suffix, headers=headers)
            other = ask(bob, method, nowhere + suffix, headers=headers)
            assert answer.status_code == other.status_code == 404, (method, endpoint)
            assert "adas-secret" not in answer.text
            assert nameless(answer, address) == nameless(other, nowhere), endpoint


def nameless(answer: TestResponse, address: str) -> str:
    """The answer without the number that was asked for."""
    number = next(part for part in address.split("/") if part.isdigit())
    said = answer.text.replace(address, "ADDRESS").replace(f"submission {number} ", "submission N ")
    said = re.sub(r'(<meta name="csrf-token" content=)"[^"]*"', r"\1", said)  # another one each second
    return f"{answer.status} {answer.content_type}\n{said}"


def test_the_owner_and_for_reading_the_organiser_are_let_in(full: House) -> None:
    """Or the tests above would hold for a house with every door walled up."""
    for method, endpoint, address in of(full, Who.TEAM, Who.TOKEN_TEAM):
        if method in SAFE:
            for name in ("ada", "grace"):
                answer = ask(full.browser(name), method, address, headers=full.token(name))
                assert answer.status_code == 200, (name, endpoint)
    for method, endpoint, address in of(full, Who.OWN):
        answer = ask(full.browser("ada"), method, address)
        assert answer.status_code in (303, 422), (endpoint, answer.text)


def test_an_organiser_may_not_act_for_a_team(full: House) -> None:
    for method, endpoint, address in of(full, Who.OWN):
        assert ask(full.browser("grace"), method, address).status_code == 404, (method, endpoint)
    for method, endpoint, address in of(full, Who.TOKEN_TEAM):
        if method not in SAFE:
            answer = ask(full.stranger(), method, address, headers=full.token("grace"))
            assert answer.status_code == 404, (method, endpoint)


def test_an_organisers_route_does_not_exist_for_others_and_does_for_organisers(full: House) -> None:
    for browser in (full.stranger(), full.browser("ada"), full.browser("bob")):
        for method, endpoint, address in of(full, Who.ORGANISER):
            for suffix in ("", "?part=pulse"):
                answer = ask(browser, method, address + suffix, headers=full.token("ada"))
                assert answer.status_code == 404, (method, endpoint)
    grace = full.browser("grace")
    for method, endpoint, address in of(full, Who.ORGANISER):
        answer = ask(grace, method, address)
        if method in SAFE:
            assert answer.status_code in (200, 303), (endpoint, answer.text)
        else:
            # An empty form may name nothing that is there; the page itself must be.
            assert answer.status_code in (303, 404, 409, 422), (endpoint, answer.text)
            assert "There is no such page." not in answer.text, endpoint


def test_the_api_wants_a_token_and_nothing_else_will_do(full: House) -> None:
    for method, endpoint, address in of(full, Who.TOKEN, Who.TOKEN_TEAM):
        assert address.startswith("/api/")
        for browser in (full.stranger(), full.browser("ada"), full.browser("grace")):
            for headers in ({}, {"Authorization": "Bearer hld_wrong"}, {"Authorization": "Bearer "}):
                answer = ask(browser, method, address, headers=headers)
                assert answer.status_code == 401, (method, endpoint)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
    closed = [
        e
        for _, e, a in routes(full, 1)
        if a.startswith("/api/") and e not in {e for _, e, _ in of(full, Who.TOKEN, Who.TOKEN_TEAM)}
    ]
    assert closed == ["api.description"], "what the API is, anybody may read"


def test_a_revoked_token_or_sign_in_opens_nothing(full: House) -> None:
    ada, token = full.browser("ada"), full.token("ada")
    csrf = {"csrf_token": ada.csrf()}
    for number in range(1, 12):
        ada.client.post(f"/account/tokens/{number}/revoke", data=csrf)
        ada.client.post(f"/account/browsers/{number}/revoke", data=csrf)
    for method, endpoint, address in of(full, Who.TOKEN, Who.TOKEN_TEAM):
        assert ask(ada, method, address, headers=token).status_code == 401, (method, endpoint)
    for method, endpoint, address in of(full, Who.SIGNED_IN, Who.OWN, Who.TEAM):
        assert ask(ada, method, address).status_code == 303, (method, endpoint)


def test_strangers_are_led_to_the_sign_in_from_what_wants_one(full: House) -> None:
    stranger = full.stranger()
    for method, endpoint, address in of(full, Who.SIGNED_IN, Who.OWN, Who.TEAM):
        answer = ask(stranger, method, address)
        assert answer.status_code == 303, (method, endpoint)
        assert answer.headers["Location"].startswith("/sign-in"), (method, endpoint)
        part = ask(stranger, method, address, headers={"HX-Request": "true"})
        assert (part.status_code, part.text) == (401, ""), (method, endpoint)
        program = ask(stranger, method, address, headers={"Accept": "application/json"})
        assert program.status_code == 401, (method, endpoint)


def test_what_is_for_anybody_is(full: House) -> None:
    full.close()
    inspected(full, Kind.REPORT, report(["ada"]))
    stranger = full.stranger()
    for method, endpoint, address in of(full, Who.ANYBODY):
        if endpoint in ("accounts.setup", "pages.readyz"):
            continue  # there is an organiser already; and readiness has tests of its own
        if method in SAFE and endpoint != "competitions.bundle":  # its file here is a stand-in
            assert ask(stranger, method, address).status_code == 200, endpoint


def test_a_safe_method_changes_nothing(full: House) -> None:
    def rows() -> dict[str, list[Any]]:
        with full.database.engine.connect() as connection:
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).scalars()
            return {n: list(connection.exec_driver_sql(f'SELECT * FROM "{n}"')) for n in names}

    people = [(full.browser(name), full.token(name)) for name in ("ada", "bob", "grace")]
    before = rows()
    for browser, token in [*people, (full.stranger(), {})]:
        for method, _, address in routes(full, 1):
            if method in SAFE:
                ask(browser, method, address, headers=token)
    assert rows() == before
