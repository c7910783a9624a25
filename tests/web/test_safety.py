"""What no page may do, asked of every route there is."""

from __future__ import annotations

import io
import re

import pytest

from app.web import markdown
from tests.web.site import CSV, PRIVATE_CANARY, House, addresses

CANARY = str(PRIVATE_CANARY)[:9]


def test_every_unsafe_route_wants_the_forms_token(house: House) -> None:
    submission_id = house.submit("ada")
    browser = house.browser("ada")
    asked = [a for a in addresses(house, submission_id) if a[0] != "GET" and not a[1].startswith("/api/")]
    assert len(asked) >= 15
    for method, address in asked:
        answer = browser.client.open(
            address,
            method=method,
            data={"file": (io.BytesIO(CSV), "a.csv"), "name": "x"},
            content_type="multipart/form-data",
        )
        assert answer.status_code == 400, (method, address)
        assert "not sent from our own page" in answer.text
    assert not list((house.storage.folder / "incoming").iterdir())


def test_the_api_never_takes_a_cookie(house: House) -> None:
    submission_id = house.submit("ada")
    browser = house.browser("ada")
    asked = [a for a in addresses(house, submission_id) if a[1].startswith("/api/")]
    asked.remove(("GET", "/api/v1/openapi.json"))  # a constant, everybody's
    assert len(asked) >= 11
    for method, address in asked:
        for headers in ({}, {"Authorization": "Bearer hld_wrong"}, {"Authorization": "Basic YTpi"}):
            answer = browser.client.open(address, method=method, headers=headers)
            assert answer.status_code == 401, (method, address)
            assert answer.mimetype == "application/problem+json"
            assert answer.json is not None
            assert answer.json["status"] == 401


def test_every_answer_carries_the_policy(house: House) -> None:
    submission_id = house.submit("ada")
    for browser in (house.stranger(), house.browser("grace")):
        for method, address in [
            *addresses(house, submission_id),
            ("GET", "/nowhere"),
            ("GET", "/api/v1/nowhere"),
        ]:
            headers = browser.client.open(address, method=method).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy, address
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "same-origin"
            assert "Cache-Control" in headers


def test_anothers_submission_does_not_exist_on_any_route(house: House) -> None:
    submission_id = house.submit("ada", filename="adas-secret.csv")
    house.score(submission_id, 0.5)
    house.join("bob")
    bob, token = house.browser("bob"), house.token("bob")
    asked = [
        a for a in addresses(house, submission_id) if f"/{submission_id}" in a[1] and "/account" not in a[1]
    ]
    assert len(asked) >= 6
    for method, address in asked:
        data = {"csrf_token": bob.csrf()} if method != "GET" else None
        headers = token if address.startswith("/api/") else {}
        answer = bob.client.open(address, method=method, data=data, headers=headers)
        assert answer.status_code == 404, (method, address)
        assert "adas-secret" not in answer.text
    for page in ("/competitions/biopsy/submissions", "/competitions/biopsy/leaderboard", "/"):
        assert "adas-secret" not in bob.get(page).text


def test_the_organisers_page_does_not_exist_for_others(house: House) -> None:
    asked = [a for a in addresses(house, house.submit("ada")) if "/organise" in a[1]]
    assert len(asked) >= 10
    for name in ("ada", None):
        browser = house.browser(name) if name else house.stranger()
        for method, address in asked:
            answer = browser.client.open(address, method=method, data={"csrf_token": browser.csrf()})
            assert answer.status_code == 404, (method, address)


def test_private_scores_are_nowhere_before_the_close(house: House) -> None:
    house.baseline("Prior only", 0.66, PRIVATE_CANARY)
    submission_id = house.submit("ada")
    house.score(submission_id, 0.31)
    house.join("bob")
    for name in (None, "ada", "bob"):
        browser = house.browser(name) if name else house.stranger()
        token = house.token(name) if name else {}
        for method, address in addresses(house, submission_id):
            if method != "GET":
                continue
            for suffix in ("", "?part=entry", "?part=summary", "?sort=-last"):
                text = browser.client.get(address + suffix, headers=token).get_data(as_text=True)
                assert CANARY not in text, (name, address)
                assert '"private":0.' not in text


def test_private_scores_are_there_after_the_close(house: House) -> None:
    submission_id = house.submit("ada")
    house.score(submission_id, 0.31)
    house.close()
    ada = house.browser("ada")
    assert CANARY in ada.get("/competitions/biopsy/leaderboard").text
    assert CANARY in ada.get("/competitions/biopsy/submissions").text
    shown = ada.client.get(f"/api/v1/submissions/{submission_id}", headers=house.token("ada")).json
    assert shown is not None
    assert shown["private"] == PRIVATE_CANARY


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&colon;alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "![a](https://evil.example/pixel.png)",
    "<iframe src=//evil.example></iframe>",
    "<svg onload=alert(1)>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    "| a |\n|:--:|\n| <style>*{display:none}</style> |",
    '[a](https://x.example "onmouseover=alert(1)")',
    "<a href='vbscript:x'>b</a>",
    "[x]: javascript:alert(1)\n\n[x]",
    '<div style="position:fixed">',
]


@pytest.mark.parametrize("text", PAYLOADS)
def test_markdown_gives_only_harmless_tags(text: str) -> None:
    html = markdown.render(text).lower()
    for tag in ("<script", "<img", "<iframe", "<svg", "<style", "<div style"):
        assert tag not in html
    assert not re.search(r"<[^>]*(style|\son\w+)=", html)
    for scheme in ('href="javascript', 'href="data', 'href="vbscript'):
        assert scheme not in html


def test_markdown_keeps_what_an_organiser_needs() -> None:
    html = markdown.render("# Title\n\n|a|b|\n|-|-:|\n|1|2|\n\n[x](https://x.example)\n\n    code")
    assert "<h2>Title</h2>" in html
    assert '<td align="right">2</td>' in html
    assert 'rel="nofollow noopener"' in html
    assert '<pre tabindex="0"><code>code' in html


def test_names_and_messages_of_people_are_text(house: House) -> None:
    ada = house.browser("ada")
    assert ada.post("/competitions/biopsy/team", {"name": "<b onclick=x>&'\""}).status_code == 303
    submission_id = house.submit("ada", filename="<i>.csv", message="<script>1</script>")
    house.score(submission_id, 0.3)
    for path in ("/leaderboard", "/submissions", "/organise"):
        page = (
            house.browser("grace" if path == "/organise" else "ada").get("/competitions/biopsy" + path).text
        )
        assert "<b onclick" not in page
        assert "<i>" not in page
        assert "<script>1" not in page


def test_a_file_name_cannot_break_out_of_its_header(house: House) -> None:
    submission_id = house.submit("ada", filename='evil"\r\nSet-Cookie: a=b; .csv')
    answer = house.browser("ada").get(f"/submissions/{submission_id}/file")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert "\r" not in disposition
    assert "\n" not in disposition


def test_files_are_downloads_whatever_they_hold(house: House) -> None:
    answer = house.stranger().get("/competitions/biopsy/data/notes.txt")
    assert answer.mimetype == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "no-store" not in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    "name",
    [
        "../private/solution.csv",
        "..%2fprivate%2fsolution.csv",
        "%2e%2e/%2e%2e/secret_key",
        "train.csv%00.txt",
        "train.csv/",
        "/etc/passwd",
        "....//secret_key",
        "..\\secret_key",
        "%c0%ae%c0%ae/secret_key",
    ],
)
def test_no_address_leads_out_of_the_public_files(name: str, house: House) -> None:
    secret = (house.settings.data_dir / "secret_key").read_text()
    for base in (
        "/competitions/biopsy/data/",
        "/static/",
        "/static/vendor/",
        "/api/v1/competitions/biopsy/files/",
    ):
        answer = house.stranger().client.get(base + name, headers=house.token("ada"))
        assert answer.status_code in (404, 308), base
        assert secret not in answer.text


@pytest.mark.parametrize(
    "address",
    [
        "/submissions/99999999999999999999999",
        "/submissions/" + "9" * 5000,
        "/competitions/%00",
        "/competitions/biopsy/leaderboard?q=%00&page=-1&sort=;drop",
        "/competitions/biopsy/leaderboard?page=99999999999999999999",
        "/competitions/biopsy/submissions?before=99999999999999999999",
        "/competitions/biopsy/organise?state=%27&before=x",
        "/competitions/../../etc/passwd",
        "/competitions/" + "a" * 5000,
    ],
)
def test_odd_addresses_are_answered_without_a_fault(address: str, house: House) -> None:
    assert house.browser("grace").get(address).status_code < 500


@pytest.mark.parametrize("address", ["/account/browsers/{}/revoke", "/account/tokens/{}/revoke"])
def test_a_number_no_column_can_hold_is_no_id(address: str, house: House) -> None:
    ada = house.browser("ada")
    for number in (2**63, 10**30):
        assert ada.post(address.format(number)).status_code == 404
    assert ada.post(address.format(2**63 - 1)).status_code == 404


@pytest.mark.parametrize("referrer", ["http://[", "//[", "http://localhost:99999999/"])
def test_an_odd_referrer_does_not_break_an_error_page(referrer: str, house: House) -> None:
    ada = house.browser("ada").client
    assert ada.get("/nowhere", headers={"Referer": referrer}).status_code == 404
    assert ada.post("/sign-out", headers={"Referer": referrer}).status_code == 400


def test_the_way_back_from_an_error_stays_on_this_site(house: House) -> None:
    ada = house.browser("ada").client
    back = 'href="/competitions/biopsy/submit"'
    assert (
        back in ada.post("/sign-out", headers={"Referer": "http://localhost/competitions/biopsy/submit"}).text
    )
    assert "evil" not in ada.post("/sign-out", headers={"Referer": "http://localhost//evil.example/x"}).text


@pytest.mark.parametrize("host", ["x" * 70, "a..b", "."])
def test_a_host_that_is_no_name_is_refused(host: str, house: House) -> None:
    for path in ("/", "/api/v1/me"):
        answer = house.stranger().get(path, headers={"Host": host})
        assert answer.status_code == 400


def test_a_part_of_a_page_does_not_become_the_sign_in_form(house: House) -> None:
    """htmx would follow a redirect and put that whole page where the part was."""
    address = f"/submissions/{house.submit('ada')}?part=entry"
    answer = house.stranger().get(address, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Refresh"], answer.text) == (401, "true", "")
    assert house.stranger().get(address).status_code == 303


def test_a_fault_of_ours_is_told_in_words_and_without_details(house: House) -> None:
    house.app.config["PROPAGATE_EXCEPTIONS"] = False
    house.database.dispose()
    with house.database.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE final_pick")
        connection.commit()
    ada = house.browser("ada")
    page = ada.get("/competitions/biopsy/submissions")
    assert page.status_code == 500
    assert "Something broke on our side" in page.text
    assert "final_pick" not in page.text
    answer = ada.client.get("/api/v1/competitions/biopsy/submissions", headers=house.token("ada"))
    assert answer.mimetype == "application/problem+json"
    assert "final_pick" not in answer.text
