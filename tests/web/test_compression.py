"""Static files and pages without secrets are compressed; the first load of a page is small."""

from __future__ import annotations

import base64
import gzip
import json
import re

from app.web import compression, form_tokens
from app.web.compression import OF_VIEWERS
from tests.web.site import PRIVATE_CANARY, Site, routes
from tests.web.test_access_rules import full  # a fixture

__all__ = ["full"]

GZIP = {"Accept-Encoding": "gzip, deflate"}
SHEET = "/static/vendor/pico-2.1.1/pico.min.css"


def test_a_static_file_is_compressed_and_revalidated_in_both_forms(site: Site) -> None:
    client = site.visitor()
    plain, packed = client.get(SHEET), client.get(SHEET, headers=GZIP)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 5
    assert gzip.decompress(packed.data) == plain.data
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]
        again = client.get(SHEET, headers={**GZIP, "If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
    assert "Content-Encoding" not in client.get(SHEET, headers={"Accept-Encoding": "gzip;q=0"}).headers
    part = client.get(SHEET, headers={**GZIP, "Range": "bytes=0-9"})
    assert (part.status_code, part.data) == (206, plain.data[:10])
    font = client.get("/static/vendor/source-sans-3-5.3.1/heldout-sans.woff2", headers=GZIP)
    assert "Content-Encoding" not in font.headers


def test_the_form_token_has_another_mask_in_each_answer(site: Site) -> None:
    ada = site.browser("ada")
    pages = [ada.get("/account").text for _ in range(2)]
    masked = [re.findall(r'name="csrf_token" value="([^"]+)"', page) for page in pages]
    assert [len(set(tokens)) for tokens in masked] == [1, 1], "one mask for the forms of one answer"
    first, second = masked[0][0], masked[1][0]
    assert not any(first[i : i + 6] in second for i in range(len(first) - 5))
    with ada.client.session_transaction() as cookie:
        stable = cookie["csrf_token"]
    for sent in (first, second):
        assert stable in unpacked_token(str(form_tokens.unmask(sent)))
        assert ada.client.post("/account/tokens", data={"csrf_token": sent}).status_code == 200
    for wrong in ("x", str(form_tokens.unmask(first)), first[:-4], form_tokens.mask("x"), "\u00e4"):
        assert ada.client.post("/account/tokens", data={"csrf_token": wrong}).status_code == 400


def unpacked_token(signed: str) -> str:
    payload = signed.split(".")[0]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()


def test_compressed_pages_of_a_viewer_are_those_of_the_list_and_hold_no_secret(full: Site) -> None:
    """A page with a secret that gives access, or with a score that is hidden yet, is sent as it is."""
    private = full.submit("ada", b"id,target\n1,0.1\n2,0.2\n")
    full.score(private, 0.4)
    invite = full.invite("ada")
    compressed: set[str] = set()
    for name in ("ada", "grace"):
        token = full.token(name)["Authorization"].removeprefix("Bearer ")
        browser = full.browser(name)
        browser.get("/account")
        with browser.client.session_transaction() as cookie:
            mine = [cookie["csrf_token"], cookie["sign_in"]]
        payload = base64.urlsafe_b64encode(json.dumps(mine[0]).encode()).decode().rstrip("=")
        secret = [*mine, payload, invite, token, str(PRIVATE_CANARY), "adas-secret question"]
        for method, endpoint, path in routes(full, private, secret=invite):
            if method != "GET" or path.startswith(("/api/", "/static/")):
                continue
            answer = browser.get(path, headers=GZIP)
            if "Content-Encoding" in answer.headers:
                compressed.add(endpoint)
                text = gzip.decompress(answer.data).decode()
                assert [one for one in secret if one in text] == [], path
    assert compressed <= OF_VIEWERS
    assert OF_VIEWERS - compressed == {"leaderboard.results", "rules.show"}, (
        "not there before the close, or without"
    )
    grace = full.browser("grace")
    hidden = grace.get("/competitions/biopsy/organise?scores=hidden", headers=GZIP)
    assert str(PRIVATE_CANARY) in hidden.text
    assert "Content-Encoding" not in hidden.headers


def test_a_page_that_repeats_words_of_its_address_is_not_compressed(site: Site) -> None:
    ada = site.browser("ada")
    board = "/competitions/biopsy/leaderboard"
    assert "Content-Encoding" in ada.get(f"{board}?sort=entries&page=1", headers=GZIP).headers
    assert "Content-Encoding" not in ada.get(f"{board}?q=a", headers=GZIP).headers
    assert "Content-Encoding" not in ada.post("/account/tokens", headers=GZIP).headers
    assert "Content-Encoding" in site.visitor().get(f"{board}?q=a", headers=GZIP).headers


def test_the_length_of_a_page_of_a_viewer_is_padded(site: Site) -> None:
    page = b"<p>the same page</p>" * 100
    packed = [compression.padded(page) for _ in range(40)]
    assert {gzip.decompress(one) for one in packed} == {page}
    assert len({len(one) for one in packed}) > 10


def test_downloads_are_sent_as_they_are(site: Site) -> None:
    answer = site.visitor().get("/competitions/biopsy/data/train.csv", headers=GZIP)
    assert "Content-Encoding" not in answer.headers


FIRST_LOADS = {
    None: ("/", "/competitions/biopsy", "/competitions/biopsy/leaderboard"),
    "ada": (
        "/",
        "/account",
        "/announcements",
        "/competitions/biopsy",
        "/competitions/biopsy/announcements",
        "/competitions/biopsy/data",
        "/competitions/biopsy/leaderboard",
        "/competitions/biopsy/submissions",
        "/competitions/biopsy/submit",
        "/competitions/biopsy/team",
        "/submissions/1",
    ),
    "grace": (
        "/drafts",
        "/operate",
        "/competitions/biopsy/organise/hosts",
        "/competitions/biopsy/organise",
        "/competitions/biopsy/organise/change",
    ),
}


def test_the_first_load_of_a_page_is_under_60_kb(full: Site) -> None:
    """With the style sheets, scripts and the font as they are sent, and 400 bytes of headers for each answer.

    A board of 50 teams, and a team with 20 files.
    """
    full.baseline("Prior only", 0.66, 0.65)
    full.change(daily_limit=40, pending_limit=40)
    for i in range(48):
        full.user(f"team-{i}")
        full.join(f"team-{i}")
        full.score(full.submit(f"team-{i}", f"id,target\n1,0.{i + 10}\n".encode()), 0.2 + i / 100)
    for i in range(19):
        full.score(
            full.submit("ada", f"id,target\n2,0.{i + 10}\n".encode(), message=f"try {i}"), 0.3 + i / 100
        )
    visitor = full.visitor()
    sizes: dict[tuple[str | None, str], int] = {}
    for name, paths in FIRST_LOADS.items():
        browser = full.browser(name) if name else visitor
        for path in paths:
            page = browser.get(path, headers=GZIP)
            assert page.status_code == 200, path
            text = (gzip.decompress(page.data) if "Content-Encoding" in page.headers else page.data).decode()
            loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text)) | {SHEET}
            assert len(loaded) >= 6
            parts = [len(page.data), *(len(visitor.get(each, headers=GZIP).data) for each in loaded)]
            sizes[name, path] = sum(parts) + 400 * len(parts)
    print(*sizes.items(), sep="\n")
    assert {one: size for one, size in sizes.items() if size >= 60_000} == {}, sizes
