from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack

import argon2
import pytest
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import func, select, update

from app.base import config, db, events
from app.base.models import SignInAttempt, User
from app.people import accounts, first_organiser, rate_limits
from app.web.context import safe_next
from tests.web.site import PASSWORD, Site


def test_signing_up_signs_in(site: Site) -> None:
    browser = site.visitor()
    answer = browser.post("/sign-up", {"name": "Eve", "password": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Welcome, eve." in browser.get("/").text
    assert browser.get("/account").status_code == 200


def test_a_taken_name_and_a_short_password_are_refused_on_the_form(site: Site) -> None:
    browser = site.visitor()
    taken = browser.post("/sign-up", {"name": "ada", "password": PASSWORD})
    assert taken.status_code == 409
    assert "The name ada is taken" in taken.text
    assert 'value="ada"' in taken.text
    short = browser.post("/sign-up", {"name": "eve", "password": "short"})
    assert short.status_code == 422
    assert "it must have at least 8" in short.text


def test_closed_registration_refuses_sign_up(site: Site) -> None:
    browser = site.with_settings(registration="closed").visitor()
    assert browser.get("/sign-up").status_code == 404
    assert browser.post("/sign-up", {"name": "eve", "password": PASSWORD}).status_code == 404
    assert "/sign-up" not in browser.get("/sign-in").text


def test_signing_in_and_out(site: Site) -> None:
    browser = site.visitor()
    answer = browser.post("/sign-in", {"name": "ada", "password": PASSWORD, "next": "/account"})
    assert (answer.status_code, answer.location) == (303, "/account")
    assert browser.get("/account").status_code == 200
    browser.post("/sign-out")
    assert browser.get("/account").location == "/sign-in?next=/account"


def test_a_wrong_password_and_an_unknown_name_get_the_same_message(site: Site) -> None:
    browser = site.visitor()
    wrong = browser.post("/sign-in", {"name": "ada", "password": "not it at all"})
    unknown = browser.post("/sign-in", {"name": "nobody", "password": "not it at all"})
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "The name or the password is wrong." in wrong.text
    assert "The name or the password is wrong." in unknown.text


def test_signing_in_drops_the_earlier_session(site: Site) -> None:
    browser = site.visitor()
    with browser.client.session_transaction() as cookie:
        cookie["planted"] = "by an attacker"
    before = browser.csrf()
    browser.post("/sign-in", {"name": "ada", "password": PASSWORD})
    with browser.client.session_transaction() as cookie:
        assert "planted" not in cookie
    # A CSRF token from before the sign-in is invalid.
    assert browser.client.post("/sign-out", data={"csrf_token": before}).status_code == 400


def test_the_sixth_attempt_for_an_account_within_a_minute_is_refused(site: Site) -> None:
    browser = site.visitor()
    for _ in range(5):
        assert browser.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 401
    sixth = browser.post("/sign-in", {"name": "ADA ", "password": PASSWORD})
    assert sixth.status_code == 429
    assert "Too many failed attempts for this account." in sixth.text
    assert "Please wait 30 seconds" in sixth.text
    assert browser.post("/sign-in", {"name": "bob", "password": PASSWORD}).status_code == 303


def test_guesses_at_an_account_do_not_keep_its_owner_out_of_a_known_browser(site: Site) -> None:
    known, fresh, attacker = site.visitor(), site.visitor(), site.visitor()
    right = {"name": "ada", "password": PASSWORD}
    assert known.post("/sign-in", right).status_code == 303
    known.post("/sign-out")
    while attacker.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 401:
        pass
    assert fresh.post("/sign-in", right).status_code == 429
    assert attacker.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 429
    assert known.post("/sign-in", {"name": "ada", "password": "a typo here"}).status_code == 401
    assert known.post("/sign-in", right).status_code == 303


def test_the_wrong_passwords_of_a_class_do_not_lock_their_address(site: Site) -> None:
    browser = site.visitor()
    form = {"csrf_token": browser.csrf(), "password": "guess guess"}
    for n in range(40):
        answer = browser.client.post("/sign-in", data={**form, "name": f"student{n % 20}"})
        assert answer.status_code == 401
    assert site.visitor().post("/sign-in", {"name": "ada", "password": PASSWORD}).status_code == 303


@pytest.mark.parametrize("change", ["none", "made up", "of another account", "cut", "of another key"])
def test_a_cookie_that_no_sign_in_of_the_account_gave_is_no_known_browser(change: str, site: Site) -> None:
    browser = site.visitor()
    browser.post(
        "/sign-in", {"name": "bob" if change == "of another account" else "ada", "password": PASSWORD}
    )
    cookie = browser.client.get_cookie("heldout-browser")
    assert cookie is not None
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    other = URLSafeTimedSerializer("x" * 64, salt="browsers that have signed in").dumps({"1": "own"})
    changed = {"made up": "e30.x.y", "cut": cookie.value[:-1], "of another key": str(other)}
    value = changed.get(change, cookie.value)
    browser.post("/sign-out")
    attacker = site.visitor()
    if change != "none":
        attacker.client.set_cookie("heldout-browser", value)
    for _ in range(5):
        assert attacker.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 401
    assert attacker.post("/sign-in", {"name": "ada", "password": PASSWORD}).status_code == 429


def test_a_browser_remembers_the_accounts_of_a_shared_machine(site: Site) -> None:
    browser = site.visitor()
    for name in ("ada", "bob", "grace", "ada"):
        assert browser.post("/sign-in", {"name": name, "password": PASSWORD}).status_code == 303
    browser.post("/sign-out")
    attacker = site.visitor()
    for name in ("ada", "bob", "grace"):
        while attacker.post("/sign-in", {"name": name, "password": "guess guess"}).status_code == 401:
            pass
        assert browser.post("/sign-in", {"name": name, "password": PASSWORD}).status_code == 303
    cookie = browser.client.get_cookie("heldout-browser")
    assert cookie is not None
    assert "ada" not in cookie.value


def test_a_known_browser_is_held_up_after_ten_wrong_passwords(site: Site) -> None:
    browser = site.visitor()
    browser.post("/sign-in", {"name": "ada", "password": PASSWORD})
    browser.post("/sign-out")
    for _ in range(10):
        assert browser.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 401
    held = browser.post("/sign-in", {"name": "ada", "password": PASSWORD})
    assert held.status_code == 429
    assert "in this browser" in held.text


def test_an_unknown_name_costs_one_password_hash_as_a_wrong_password_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with site.database.begin() as session:
        accounts.register(session, "nohash", None, now=db.now(session))
    browser, hashed = site.visitor(), []
    check = argon2.PasswordHasher.verify

    def counting(hasher: argon2.PasswordHasher, known: str, password: str) -> bool:
        hashed.append(str(argon2.extract_parameters(known)))
        return check(hasher, known, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counting)
    pages = []
    for name in ("ada", "nobody", "nohash"):
        page = browser.post("/sign-in", {"name": name, "password": "not it at all"})
        text = re.sub(r'name="csrf_token" value="[^"]+"', "", page.text)
        pages.append((page.status_code, text.replace(name, "NAME")))
    assert len(hashed) == 3
    assert len(set(hashed)) == len(set(pages)) == 1


def test_an_organiser_sees_held_accounts_and_lifts_the_limit(site: Site) -> None:
    attacker, grace = site.visitor(), site.browser("grace")
    assert "No account and no address is held up" in grace.get("/operate").text
    while attacker.post("/sign-in", {"name": "ada", "password": "guess guess"}).status_code == 401:
        pass
    page = grace.get("/operate").text
    assert 'name="account" value="ada"' in page
    done = grace.post("/operate/sign-in-limits", {"account": "ada", "address": ""})
    assert (done.status_code, done.location) == (303, "/operate")
    assert site.visitor().post("/sign-in", {"name": "ada", "password": PASSWORD}).status_code == 303
    assert grace.post("/operate/sign-in-limits").status_code == 422
    assert grace.post("/operate/sign-in-limits", {"account": "nobody"}).status_code == 404


def test_an_organiser_lifts_the_limit_of_all_sign_ins(site: Site) -> None:
    grace = site.browser("grace")
    with site.database.begin() as session:
        now = db.now(session)
        session.add_all(SignInAttempt(key="all", at=now) for _ in range(rate_limits.IN_ALL))
    form = {"name": "ada", "password": PASSWORD}
    refused = site.visitor().post("/sign-in", form)
    assert refused.status_code == 429
    assert "Too many people are signing in now." in refused.text
    assert 'aria-label="Lift the limit of all sign-ins"' in grace.get("/operate").text
    assert site.browser("bob").post("/operate/sign-in-limits", {"of_all": "1"}).status_code == 404
    assert grace.post("/operate/sign-in-limits", {"of_all": "1"}).status_code == 303
    assert "Lift the limit of" not in grace.get("/operate").text
    assert site.visitor().post("/sign-in", form).status_code == 303
    with site.database.read() as session:
        (lifted,) = [e for e in events.latest(session, "sign-in") if e.action == "sign-in limits lifted"]
    assert (lifted.actor, lifted.detail["address"]) == ("grace", "all")


def test_a_flood_of_sign_ins_does_not_block_a_password_change(site: Site) -> None:
    visitor = site.visitor()
    for _ in range(6):
        answer = visitor.post("/sign-in", {"name": "ada", "password": "guess guess"})
    assert answer.status_code == 429
    ada = site.browser("ada")
    change = {"current": PASSWORD, "password": "a new long one"}
    assert ada.post("/account/password", change).status_code == 303
    for _ in range(5):
        assert ada.post("/account/password", {**change, "current": "a guess"}).status_code == 422
    assert ada.post("/account/password", {**change, "current": "a new long one"}).status_code == 429


def test_a_refused_attempt_neither_writes_nor_hashes(
    site: Site, statements: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = site.visitor()
    token = {"csrf_token": browser.csrf(), "name": "ada", "password": "guess guess"}
    for _ in range(5):
        browser.client.post("/sign-in", data=token)
    monkeypatch.setattr(accounts, "verify", None)  # a call would fail
    statements()
    assert browser.client.post("/sign-in", data=token).status_code == 429
    assert all(s.startswith("SELECT") for s in statements())


def test_no_session_is_held_while_a_password_is_hashed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    open_sessions = []
    verify = accounts.verify

    def counting(user: User | None, password: str) -> User:
        pools = (site.database.engine.pool, site.database._reader.pool)
        open_sessions.append([pool.checkedout() for pool in pools])  # type: ignore[attr-defined]
        return verify(user, password)

    monkeypatch.setattr(accounts, "verify", counting)
    site.visitor().post("/sign-in", {"name": "ada", "password": PASSWORD})
    assert open_sessions == [[0, 0]]


def test_without_a_free_hashing_slot_an_attempt_is_refused_and_not_counted(site: Site) -> None:
    browser = site.visitor()
    with ExitStack() as four:
        for _ in range(4):
            four.enter_context(accounts.hashing_slot())
        for path in ("/sign-in", "/sign-up"):
            answer = browser.post(path, {"name": "ada", "password": PASSWORD})
            assert answer.status_code == 429
            assert "Please try again in a few seconds" in answer.text
    with site.database.read() as session:
        assert session.scalar(select(func.count()).select_from(SignInAttempt)) == 0
    assert browser.post("/sign-in", {"name": "ada", "password": PASSWORD}).status_code == 303


def test_sign_ups_per_address_and_hour_are_limited(site: Site) -> None:
    browser = site.with_settings(sign_ups_per_hour=2).visitor()
    for name in ("eve", "dan"):
        assert browser.post("/sign-up", {"name": name, "password": PASSWORD}).status_code == 303
    third = browser.post("/sign-up", {"name": "kim", "password": PASSWORD})
    assert third.status_code == 429
    assert "limit of 2 new accounts an hour from your network" in third.text
    elsewhere = {"environ_base": {"REMOTE_ADDR": "192.0.2.9"}}
    assert browser.post("/sign-up", {"name": "kim", "password": PASSWORD}, **elsewhere).status_code == 303


def test_a_revoked_browser_is_signed_out(site: Site) -> None:
    here, there = site.browser("ada"), site.browser("ada")
    page = here.get("/account").text
    assert page.count("this browser") == 1
    (revoke,) = re.findall(r'action="(/account/browsers/\d+/revoke)"', page)
    assert here.post(revoke).status_code == 303
    assert there.get("/account").status_code == 303
    assert here.get("/account").status_code == 200


def test_browsers_and_tokens_of_others_cannot_be_revoked(site: Site) -> None:
    ada, bob = site.browser("ada"), site.browser("bob")
    site.token("bob")
    assert bob.get("/account").status_code == 200
    for path in ("/account/browsers/2/revoke", "/account/tokens/1/revoke"):
        assert ada.post(path).status_code == 404
    assert bob.get("/account").status_code == 200


def test_changing_the_password_signs_out_all_other_browsers(site: Site) -> None:
    here, there = site.browser("ada"), site.browser("ada")
    wrong = here.post("/account/password", {"current": "not it at all", "password": "a new long one"})
    assert wrong.status_code == 422
    assert "Nothing was changed" in wrong.text
    done = here.post("/account/password", {"current": PASSWORD, "password": "a new long one"})
    assert done.status_code == 303
    assert here.get("/account").status_code == 200
    assert there.get("/account").status_code == 303
    fresh = site.visitor()
    assert fresh.post("/sign-in", {"name": "ada", "password": PASSWORD}).status_code == 401
    assert fresh.post("/sign-in", {"name": "ada", "password": "a new long one"}).status_code == 303


def test_a_token_is_shown_once_works_and_can_be_revoked(site: Site) -> None:
    browser = site.browser("ada")
    page = browser.post("/account/tokens", {"label": "my notebook"}).text
    (secret,) = re.findall(r"hld_[\w-]{20,}", page)
    assert "my notebook" in page
    headers = {"Authorization": f"Bearer {secret}"}
    me = browser.client.get("/api/v1/me", headers=headers).json
    assert (me["name"], me["is_organiser"]) == ("ada", False)
    assert (me["token"]["label"], me["token"]["scope"]) == ("my notebook", "submit")
    later = browser.get("/account").text
    assert secret not in later
    assert "my notebook" in later
    with browser.client.session_transaction() as cookie:
        assert secret not in str(dict(cookie))
    (revoke,) = re.findall(r'action="(/account/tokens/\d+/revoke)"', later)
    browser.post(revoke)
    assert browser.client.get("/api/v1/me", headers=headers).status_code == 401


def test_a_tokens_scope_expiry_and_last_use_are_on_the_account_page(site: Site) -> None:
    browser = site.browser("ada")
    page = browser.post("/account/tokens", {"label": "notebook", "scope": "read", "days": "7"}).text
    (secret,) = re.findall(r"hld_[\w-]{20,}", page)
    row = page[page.index("<b>notebook</b>") :].partition("</li>")[0]
    assert '<span class="tag">read</span>' in row
    assert "in 7 days" in row
    assert "never used" in row
    browser.client.get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"})
    assert "last used" in browser.get("/account").text
    assert "organise" not in page[page.index('id="scope"') :].partition("</select>")[0]
    refused = browser.post("/account/tokens", {"label": "x", "scope": "organise"})
    assert refused.status_code == 403


def test_a_password_change_revokes_tokens_unless_the_box_is_ticked(site: Site) -> None:
    browser, token = site.browser("ada"), site.token("ada")
    change = {"current": PASSWORD, "password": "a new long one", "keep_tokens": "yes"}
    assert browser.post("/account/password", change).status_code == 303
    assert "Your tokens are kept." in browser.get("/account").text
    assert browser.client.get("/api/v1/me", headers=token).status_code == 200
    again = {"current": "a new long one", "password": PASSWORD}
    assert browser.post("/account/password", again).status_code == 303
    assert "Your tokens are revoked." in browser.get("/account").text
    answer = browser.client.get("/api/v1/me", headers=token)
    assert answer.status_code == 401
    assert "was revoked on" in answer.json["detail"]


def test_a_request_notes_the_use_of_its_token_once_a_minute(
    site: Site, statements: Callable[[], list[str]]
) -> None:
    token, client = site.token("ada"), site.visitor().client
    statements()
    client.get("/api/v1/me", headers=token)
    assert any(s.startswith("UPDATE token") for s in statements())
    client.get("/api/v1/me", headers=token)
    assert not any(s.startswith("UPDATE") for s in statements())


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
def test_sign_in_redirects_only_to_this_site(target: str, site: Site) -> None:
    assert safe_next(target, "/") == "/"
    answer = site.visitor().post("/sign-in", {"name": "ada", "password": PASSWORD, "next": target})
    assert answer.location == "/"


def test_a_path_of_this_site_is_a_safe_redirect(site: Site) -> None:
    assert safe_next("/competitions/biopsy?page=2#me", "/") == "/competitions/biopsy?page=2#me"


def test_the_cookie_is_httponly_samesite_and_secure(site: Site) -> None:
    browser = site.with_settings(cookie_secure=True).visitor()
    header = browser.get("/sign-in").headers["Set-Cookie"]
    assert "HttpOnly" in header
    assert "SameSite=Lax" in header
    assert "Secure" in header
    # A browser refuses the prefix with a Domain or another path, and a subdomain cannot plant such a cookie.
    assert header.startswith("__Host-heldout=")
    assert "Path=/;" in f"{header};"
    assert "Domain" not in header


def without_organiser(site: Site) -> str:
    """Return the address of the setup page."""
    with site.database.begin() as session:
        session.execute(update(User).values(is_organiser=False))
    return f"/setup?token={first_organiser.token(config.secret_key(site.settings))}"


def test_the_first_organiser_is_created_once_with_the_token(site: Site) -> None:
    address = without_organiser(site)
    browser = site.visitor()
    page = browser.get(address)
    assert page.status_code == 200
    token = address.partition("=")[2]
    short = browser.post("/setup", {"token": token, "name": "root", "password": "short"})
    assert short.status_code == 422
    assert token in short.text
    done = browser.post("/setup", {"token": token, "name": "Root", "password": PASSWORD})
    assert (done.status_code, done.location) == (303, "/")
    assert "Organiser" in browser.get("/account").text
    assert site.viewer("root").is_organiser
    assert site.visitor().get(address).status_code == 404
    second = {"token": token, "name": "second", "password": PASSWORD}
    assert site.visitor().post("/setup", second).status_code == 404
    assert token not in browser.get("/").text


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%C3%A4", "?token=%00%FF"])
def test_setup_does_not_exist_without_the_token(query: str, site: Site) -> None:
    without_organiser(site)
    browser = site.visitor()
    assert browser.get(f"/setup{query}").status_code == 404
    assert browser.post(f"/setup{query}", {"name": "eve", "password": PASSWORD}).status_code == 404


def test_setup_does_not_exist_once_there_is_an_organiser(site: Site) -> None:
    token = first_organiser.token(config.secret_key(site.settings))
    assert site.visitor().get(f"/setup?token={token}").status_code == 404
