from __future__ import annotations

import re

import pytest

from app.web.context import safe_next
from app.web.throttle import Throttle, TooManyTries
from tests.web.house import PASSWORD, House


def test_one_can_sign_up_and_is_signed_in(house: House) -> None:
    browser = house.stranger()
    answer = browser.post("/sign-up", {"name": "Eve", "password": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Welcome, eve." in browser.get("/").text
    assert browser.get("/account").status_code == 200


def test_a_taken_name_and_a_short_password_are_refused_in_words_on_the_form(house: House) -> None:
    browser = house.stranger()
    taken = browser.post("/sign-up", {"name": "ada", "password": PASSWORD})
    assert taken.status_code == 409
    assert "The name ada is taken" in taken.text
    assert 'value="ada"' in taken.text
    short = browser.post("/sign-up", {"name": "eve", "password": "short"})
    assert short.status_code == 422
    assert "too short" in short.text


def test_nobody_signs_up_where_registration_is_closed(house: House) -> None:
    browser = house.with_settings(registration="closed").stranger()
    assert browser.get("/sign-up").status_code == 404
    assert browser.post("/sign-up", {"name": "eve", "password": PASSWORD}).status_code == 404
    assert "/sign-up" not in browser.get("/sign-in").text


def test_signing_in_and_out(house: House) -> None:
    browser = house.stranger()
    answer = browser.post("/sign-in", {"name": "ada", "password": PASSWORD, "next": "/account"})
    assert (answer.status_code, answer.location) == (303, "/account")
    assert browser.get("/account").status_code == 200
    browser.post("/sign-out")
    assert browser.get("/account").location == "/sign-in?next=/account"


def test_a_wrong_password_and_an_unknown_name_get_the_same_words(house: House) -> None:
    browser = house.stranger()
    wrong = browser.post("/sign-in", {"name": "ada", "password": "not it at all"})
    unknown = browser.post("/sign-in", {"name": "nobody", "password": "not it at all"})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "The name or the password is wrong." in wrong.text
    assert "The name or the password is wrong." in unknown.text


def test_signing_in_drops_the_session_that_was_there_before(house: House) -> None:
    browser = house.stranger()
    with browser.client.session_transaction() as cookie:
        cookie["planted"] = "by somebody else"
    before = browser.csrf()
    browser.post("/sign-in", {"name": "ada", "password": PASSWORD})
    with browser.client.session_transaction() as cookie:
        assert "planted" not in cookie
    # A token from before the sign-in no longer fits.
    assert browser.client.post("/sign-out", data={"csrf_token": before}).status_code == 400


def test_the_sixth_try_for_an_account_within_a_minute_is_not_even_hashed(house: House) -> None:
    browser = house.stranger()
    for _ in range(5):
        assert browser.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 401
    sixth = browser.post("/sign-in", {"name": "ADA ", "password": PASSWORD})
    assert sixth.status_code == 429
    assert "Too many tries for this account. Please wait" in sixth.text
    assert browser.post("/sign-in", {"name": "bob", "password": PASSWORD}).status_code == 303


def test_the_throttle_counts_a_sliding_minute_per_name_and_in_all() -> None:
    now = [0.0]
    throttle = Throttle(per_name=2, in_all=4, clock=lambda: now[0])

    def fail(name: str) -> None:
        with pytest.raises(ZeroDivisionError), throttle.attempt(name):
            raise ZeroDivisionError

    fail("ada")
    fail("ada")
    with pytest.raises(TooManyTries), throttle.attempt("ada"):
        pass
    fail("bob")
    fail("eve")
    with pytest.raises(TooManyTries, match="Too many people"), throttle.attempt("zoe"):
        pass
    now[0] = 60.5
    fail("ada")
    with throttle.attempt("ada"):
        pass
    fail("ada")  # the success before it has cleared the name


def test_a_revoked_browser_is_signed_out(house: House) -> None:
    here, there = house.browser("ada"), house.browser("ada")
    page = here.get("/account").text
    assert page.count("this browser") == 1
    (revoke,) = re.findall(r'action="(/account/browsers/\d+/revoke)"', page)
    assert here.post(revoke).status_code == 303
    assert there.get("/account").status_code == 303
    assert here.get("/account").status_code == 200


def test_nobody_revokes_what_is_somebody_elses(house: House) -> None:
    ada, bob = house.browser("ada"), house.browser("bob")
    house.token("bob")
    assert bob.get("/account").status_code == 200
    for path in ("/account/browsers/2/revoke", "/account/tokens/1/revoke"):
        assert ada.post(path).status_code == 404
    assert bob.get("/account").status_code == 200


def test_changing_the_password_signs_every_other_browser_out(house: House) -> None:
    here, there = house.browser("ada"), house.browser("ada")
    wrong = here.post("/account/password", {"current": "not it at all", "password": "a new long one"})
    assert wrong.status_code == 422
    assert "nothing was changed" in wrong.text
    done = here.post("/account/password", {"current": PASSWORD, "password": "a new long one"})
    assert done.status_code == 303
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 303
    fresh = house.stranger()
    assert fresh.post("/sign-in", {"name": "ada", "password": PASSWORD}).status_code == 401
    assert fresh.post("/sign-in", {"name": "ada", "password": "a new long one"}).status_code == 303


def test_a_token_is_shown_once_works_and_can_be_revoked(house: House) -> None:
    browser = house.browser("ada")
    page = browser.post("/account/tokens", {"label": "my notebook"}).text
    (secret,) = re.findall(r"hld_[\w-]{20,}", page)
    assert "my notebook" in page
    headers = {"Authorization": f"Bearer {secret}"}
    assert browser.client.get("/api/v1/me", headers=headers).json == {"name": "ada", "is_organiser": False}
    later = browser.get("/account").text
    assert secret not in later
    assert "my notebook" in later
    with browser.client.session_transaction() as cookie:
        assert secret not in str(dict(cookie))
    (revoke,) = re.findall(r'action="(/account/tokens/\d+/revoke)"', later)
    browser.post(revoke)
    assert browser.client.get("/api/v1/me", headers=headers).status_code == 401


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\t/[",
        "\\/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/a\\b",
        "http:/evil.example",
        "",
    ],
)
def test_signing_in_leads_only_to_this_site(target: str, house: House) -> None:
    assert safe_next(target, "/") == "/"
    answer = house.stranger().post("/sign-in", {"name": "ada", "password": PASSWORD, "next": target})
    assert answer.location == "/"


def test_a_place_on_this_site_is_gone_on_to(house: House) -> None:
    assert safe_next("/competitions/biopsy?page=2#me", "/") == "/competitions/biopsy?page=2#me"


def test_the_cookie_is_kept_from_scripts_and_other_sites(house: House) -> None:
    browser = house.with_settings(cookie_secure=True).stranger()
    header = browser.get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Secure" in header
