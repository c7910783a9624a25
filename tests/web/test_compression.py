"""Static files and pages without secrets are compressed; pages of a viewer are not."""

from __future__ import annotations

import gzip
import re

import pytest

from tests.web.site import Site

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


@pytest.mark.parametrize("path", ["/", "/competitions/biopsy", "/competitions/biopsy/leaderboard?q=a"])
def test_a_page_with_the_token_of_a_viewer_is_not_compressed(site: Site, path: str) -> None:
    page = site.visitor().get(path, headers=GZIP)
    assert page.headers["Content-Encoding"] == "gzip"
    assert b"csrf" not in gzip.decompress(page.data)
    ada = site.browser("ada").get(path, headers=GZIP)
    assert b"csrf_token" in ada.data
    assert "Content-Encoding" not in ada.headers


def test_downloads_are_sent_as_they_are(site: Site) -> None:
    answer = site.visitor().get("/competitions/biopsy/data/train.csv", headers=GZIP)
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/competitions/biopsy", "/competitions/biopsy/leaderboard"])
def test_the_first_load_of_a_visitor_is_under_60_kb(site: Site, path: str) -> None:
    site.baseline("Prior only", 0.66, 0.65)
    client = site.visitor()
    page = client.get(path, headers=GZIP)
    text = gzip.decompress(page.data).decode()
    loaded = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
    loaded |= {"/static/vendor/pico-2.1.1/pico.min.css"}
    assert len(loaded) >= 6
    sizes = [len(page.data), *(len(client.get(each, headers=GZIP).data) for each in loaded)]
    assert sum(sizes) + 400 * len(sizes) < 60_000, "with 400 bytes of headers for each answer"
