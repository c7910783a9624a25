"""Security properties, checked on each route."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from app.web import markdown
from tests.web.site import CSV, PRIVATE_CANARY, TOKEN_ONLY, Site, addresses
from tests.web.test_access_rules import drafted, taught

CANARY = str(PRIVATE_CANARY)[:9]


def test_every_unsafe_route_needs_the_csrf_token(site: Site) -> None:
    submission_id = site.submit("ada")
    drafted(site)
    taught(site)
    asked = [a for a in addresses(site, submission_id) if a[0] != "GET" and not a[1].startswith(TOKEN_ONLY)]
    assert len(asked) >= 15
    for method, address in asked:
        # The token is behind the file, and a file is received only from an account that may send it.
        browser = site.browser("grace" if address.startswith(("/drafts", "/classes")) else "ada")
        answer = browser.client.open(
            address,
            method=method,
            data={"file": (io.BytesIO(CSV), "a.csv"), "name": "x"},
            content_type="multipart/form-data",
        )
        assert answer.status_code == 400, (method, address)
        assert "not sent from our own page" in answer.text
    assert not list((site.storage.folder / "incoming").iterdir())


def test_the_api_never_takes_a_cookie(site: Site) -> None:
    submission_id = site.submit("ada")
    browser = site.browser("ada")
    asked = [a for a in addresses(site, submission_id) if a[1].startswith(TOKEN_ONLY)]
    asked.remove(("GET", "/api/v1/openapi.json"))  # a public constant
    secret = ("/uploads/", "/downloads/", "/blobs/")  # the address is the permission
    asked = [a for a in asked if not any(part in a[1] for part in secret)]
    assert len(asked) >= 11
    for method, address in asked:
        for headers in ({}, {"Authorization": "Bearer hld_wrong"}, {"Authorization": "Basic YTpi"}):
            answer = browser.client.open(address, method=method, headers=headers)
            assert answer.status_code == 401, (method, address)
            assert answer.json is not None
            if answer.mimetype == "application/problem+json":
                assert answer.json["status"] == 401
            else:
                assert answer.mimetype == "application/json"  # the form of Kaggle clients
                assert answer.json["code"] == 401


def test_every_answer_has_the_security_headers(site: Site) -> None:
    submission_id = site.submit("ada")
    for browser in (site.visitor(), site.browser("grace")):
        for method, address in [
            *addresses(site, submission_id),
            ("GET", "/nowhere"),
            ("GET", "/api/v1/nowhere"),
        ]:
            headers = browser.client.open(address, method=method).headers
            policy = headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy, address
            assert "unsafe" not in policy
            # Other sites frame the board without a viewer, and nothing else.
            is_embed = address.endswith(("/embed", "/badge.svg"))
            ancestors = "*" if is_embed and browser.client.open(address).status_code == 200 else "'none'"
            assert f"frame-ancestors {ancestors}" in policy, address
            assert headers["X-Content-Type-Options"] == "nosniff"
            is_secret = address.startswith(("/account/mail/confirm", "/reset")) or "/enter/" in address
            assert headers["Referrer-Policy"] in (
                "no-referrer" if is_secret else "same-origin",
                "same-origin",
            )
            assert "Cache-Control" in headers


def test_submissions_of_others_are_not_found_on_any_route(site: Site) -> None:
    submission_id = site.submit("ada", filename="adas-secret.csv")
    site.score(submission_id, 0.5)
    site.join("bob")
    bob, token = site.browser("bob"), site.token("bob")
    asked = [
        a
        for a in addresses(site, submission_id)
        if f"/{submission_id}" in a[1] and "/account" not in a[1] and "/tokens" not in a[1]
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


def test_pages_of_organisers_are_not_found_for_others(site: Site) -> None:
    every = addresses(site, site.submit("ada"))
    asked = [a for a in every if "/organise" in a[1] and not a[1].startswith(TOKEN_ONLY)]
    assert len(asked) >= 10
    for name in ("ada", None):
        browser = site.browser(name) if name else site.visitor()
        for method, address in asked:
            answer = browser.client.open(address, method=method, data={"csrf_token": browser.csrf()})
            assert answer.status_code == 404, (method, address)


def test_no_page_shows_private_scores_before_the_close(site: Site) -> None:
    site.baseline("Prior only", 0.66, PRIVATE_CANARY)
    submission_id = site.submit("ada")
    site.score(submission_id, 0.31)
    site.join("bob")
    for name in (None, "ada", "bob"):
        browser = site.browser(name) if name else site.visitor()
        token = site.token(name) if name else {}
        for method, address in addresses(site, submission_id):
            if method != "GET":
                continue
            for suffix in ("", "?part=entry", "?part=summary", "?sort=-last"):
                text = unpacked(browser.client.get(address + suffix, headers=token).data)
                assert CANARY not in text, (name, address)
                assert '"private":0.' not in text


def unpacked(content: bytes) -> str:
    """Return a body as text, of an archive the texts in it."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return content.decode(errors="replace")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return "\n".join(archive.read(name).decode(errors="replace") for name in archive.namelist())


def test_private_scores_are_shown_after_the_close(site: Site) -> None:
    submission_id = site.submit("ada")
    site.score(submission_id, 0.31)
    site.close()
    ada = site.browser("ada")
    assert CANARY in ada.get("/competitions/biopsy/leaderboard").text
    assert CANARY in ada.get("/competitions/biopsy/submissions").text
    shown = ada.client.get(f"/api/v1/submissions/{submission_id}", headers=site.token("ada")).json
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
def test_markdown_renders_only_allowed_tags(text: str) -> None:
    html = markdown.render(text).lower()
    for tag in ("<script", "<img", "<iframe", "<svg", "<style", "<div style"):
        assert tag not in html
    assert not re.search(r"<[^>]*(style|\son\w+)=", html)
    for scheme in ('href="javascript', 'href="data', 'href="vbscript'):
        assert scheme not in html


def test_markdown_renders_headings_tables_links_and_code() -> None:
    html = markdown.render("# Title\n\n|a|b|\n|-|-:|\n|1|2|\n\n[x](https://x.example)\n\n    code")
    assert "<h2>Title</h2>" in html
    assert '<td align="right">2</td>' in html
    assert 'rel="nofollow noopener"' in html
    assert '<pre tabindex="0"><code>code' in html


def test_names_and_messages_of_users_are_escaped(site: Site) -> None:
    ada = site.browser("ada")
    assert ada.post("/competitions/biopsy/team", {"name": "<b onclick=x>&'\""}).status_code == 303
    submission_id = site.submit("ada", filename="<i>.csv", message="<script>1</script>")
    site.score(submission_id, 0.3)
    for path in ("/leaderboard", "/submissions", "/organise"):
        page = site.browser("grace" if path == "/organise" else "ada").get("/competitions/biopsy" + path).text
        assert "<b onclick" not in page
        assert "<i>" not in page
        assert "<script>1" not in page


def test_a_file_name_cannot_break_out_of_its_header(site: Site) -> None:
    submission_id = site.submit("ada", filename='evil"\r\nSet-Cookie: a=b; .csv')
    answer = site.browser("ada").get(f"/submissions/{submission_id}/file")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert disposition.startswith("attachment")
    assert "\r" not in disposition
    assert "\n" not in disposition


def test_files_are_always_downloads(site: Site) -> None:
    answer = site.visitor().get("/competitions/biopsy/data/notes.txt")
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
def test_no_path_reaches_files_outside_the_public_ones(name: str, site: Site) -> None:
    secret = (site.settings.data_dir / "secret_key").read_text()
    for base in (
        "/competitions/biopsy/data/",
        "/static/",
        "/static/vendor/",
        "/api/v1/competitions/biopsy/files/",
    ):
        answer = site.visitor().client.get(base + name, headers=site.token("ada"))
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
def test_odd_addresses_cause_no_server_error(address: str, site: Site) -> None:
    assert site.browser("grace").get(address).status_code < 500


@pytest.mark.parametrize("address", ["/account/browsers/{}/revoke", "/account/tokens/{}/revoke"])
def test_a_number_too_large_for_an_id_is_not_found(address: str, site: Site) -> None:
    ada = site.browser("ada")
    for number in (2**63, 10**30):
        assert ada.post(address.format(number)).status_code == 404
    assert ada.post(address.format(2**63 - 1)).status_code == 404


@pytest.mark.parametrize("referrer", ["http://[", "//[", "http://localhost:99999999/"])
def test_an_odd_referrer_does_not_break_an_error_page(referrer: str, site: Site) -> None:
    ada = site.browser("ada").client
    assert ada.get("/nowhere", headers={"Referer": referrer}).status_code == 404
    assert ada.post("/sign-out", headers={"Referer": referrer}).status_code == 400


def test_the_way_back_from_an_error_stays_on_this_site(site: Site) -> None:
    ada = site.browser("ada").client
    back = 'href="/competitions/biopsy/submit"'
    assert (
        back in ada.post("/sign-out", headers={"Referer": "http://localhost/competitions/biopsy/submit"}).text
    )
    assert "evil" not in ada.post("/sign-out", headers={"Referer": "http://localhost//evil.example/x"}).text


@pytest.mark.parametrize("host", ["x" * 70, "a..b", "."])
def test_an_invalid_host_is_refused(host: str, site: Site) -> None:
    for path in ("/", "/api/v1/me"):
        answer = site.visitor().get(path, headers={"Host": host})
        assert answer.status_code == 400


def test_a_polling_part_does_not_become_the_sign_in_form(site: Site) -> None:
    """Its script would follow a redirect and insert a piece of the form."""
    address = f"/submissions/{site.submit('ada')}?part=entry"
    answer = site.visitor().get(address, headers={"X-Part": "true"})
    assert (answer.status_code, answer.headers["X-Reload"], answer.text) == (401, "true", "")
    assert site.visitor().get(address).status_code == 303


def test_a_server_error_shows_no_details(site: Site) -> None:
    site.app.config["PROPAGATE_EXCEPTIONS"] = False
    site.database.dispose()
    with site.database.engine.connect() as connection:
        connection.exec_driver_sql("DROP TABLE final_pick")
        connection.commit()
    ada = site.browser("ada")
    page = ada.get("/competitions/biopsy/submissions")
    assert page.status_code == 500
    assert "The server failed." in page.text
    assert "final_pick" not in page.text
    answer = ada.client.get("/api/v1/competitions/biopsy/submissions", headers=site.token("ada"))
    assert answer.mimetype == "application/problem+json"
    assert "final_pick" not in answer.text
