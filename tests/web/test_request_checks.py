"""Checks of host, proxy, origin and body before each request."""

from __future__ import annotations

import io
import logging

import pytest

from app.web import request_checks
from tests.web.site import CSV, PASSWORD, TOKEN_ONLY, Site, addresses

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8000"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "nonsense"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://[::1"},
    {"Origin": "null"},
    {"Origin": ""},
]
OURS = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://behind.a.proxy"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-site", "Origin": "https://localhost"},
    {"Origin": "http://localhost"},
    {"Origin": "https://localhost"},
    {"Origin": "http://localhost:80"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_from_another_site_is_refused_even_with_its_token(headers: dict[str, str], site: Site) -> None:
    browser = site.browser("ada")
    answer = browser.post("/account/tokens", {"label": "stolen"}, headers=headers)
    assert answer.status_code == 400
    assert "not sent from our own page" in answer.text
    assert "You have no tokens." in browser.get("/account").text


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_a_form_from_this_site_is_accepted(headers: dict[str, str], site: Site) -> None:
    answer = site.browser("ada").post("/account/tokens", {"label": "mine"}, headers=headers)
    assert answer.status_code == 200
    assert "hld_" in answer.text


def test_every_unsafe_route_with_a_cookie_checks_the_origin(site: Site) -> None:
    submission_id = site.submit("ada")
    browser = site.browser("ada")
    token = browser.csrf()
    asked = [a for a in addresses(site, submission_id) if a[0] != "GET" and not a[1].startswith(TOKEN_ONLY)]
    assert len(asked) >= 15
    for method, address in asked:
        answer = browser.client.open(
            address,
            method=method,
            data={"csrf_token": token, "file": (io.BytesIO(CSV), "a.csv"), "name": "x"},
            content_type="multipart/form-data",
            headers={"Origin": "https://evil.example"},
        )
        assert answer.status_code == 400, (method, address)
    assert not list((site.storage.folder / "incoming").iterdir())


def test_the_api_checks_no_origin_because_it_takes_no_cookie(site: Site) -> None:
    headers = {**site.token("bob"), "Origin": "https://notebook.example", "Sec-Fetch-Site": "cross-site"}
    joined = site.visitor().client.post("/api/v1/competitions/biopsy/join", headers=headers)
    assert joined.status_code == 200


def test_only_trusted_hosts_are_answered(site: Site) -> None:
    browser = site.with_settings(trusted_hosts="heldout.example, Other.Example").visitor()
    for host in (
        "heldout.example",
        "HELDOUT.example:7777",
        "other.example",
        "localhost:7777",
        "127.0.0.1",
        "[::1]:80",
    ):
        assert browser.get("/sign-in", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "heldout.example.evil.example", "a.heldout.example", "10.0.0.5:7777"):
        for method in ("GET", "POST"):
            answer = browser.client.open("/sign-in", method=method, headers={"Host": host})
            assert answer.status_code == 400, host
            assert "HELDOUT_TRUSTED_HOSTS" in answer.text  # before the CSRF token is checked
        assert browser.get("/healthz", headers={"Host": host}).status_code == 200


def test_without_trusted_hosts_any_host_is_answered(site: Site) -> None:
    assert site.visitor().get("/sign-in", headers={"Host": "any.example"}).status_code == 200


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded"])
def test_with_tls_an_unconfigured_proxy_is_an_error(name: str, site: Site) -> None:
    browser = site.with_settings(cookie_secure=True).visitor()
    answer = browser.get("/sign-in", headers={name: "for=192.0.2.1"})
    assert answer.status_code == 500
    assert answer.text.count("\n") == 1
    assert "HELDOUT_PROXIES" in answer.text
    assert browser.get("/healthz", headers={name: "x"}).status_code == 200
    configured = site.with_settings(cookie_secure=True, proxies=1).visitor()
    assert configured.get("/sign-in", headers={name: "for=192.0.2.1"}).status_code == 200


def test_without_tls_an_unconfigured_proxy_is_logged_once(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    request_checks._warned.clear()
    browser = site.visitor()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert browser.get("/sign-in", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 200
    assert [r.message for r in caplog.records if "HELDOUT_PROXIES" in r.message] == [
        "a proxy's headers are ignored; if one stands in front of Heldout, set HELDOUT_PROXIES"
    ]


def test_client_address_comes_from_the_header_only_behind_a_trusted_proxy(site: Site) -> None:
    """Otherwise a client could avoid the limit with a new X-Forwarded-For each time."""

    def refused_after(proxies: int) -> list[int]:
        browser = site.with_settings(proxies=proxies, sign_ups_per_hour=1).visitor()
        return [
            browser.post(
                "/sign-up",
                {"name": f"p{proxies}n{n}", "password": PASSWORD},
                headers={"X-Forwarded-For": f"192.0.2.{n}"},
            ).status_code
            for n in range(2)
        ]

    assert refused_after(0) == [303, 429]
    assert refused_after(1) == [303, 303]
