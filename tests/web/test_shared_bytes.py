"""Attacks: learn from a download that another team has sent the same bytes, which are stored once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from tests.web.site import CSV, Site

SAMPLE = "/api/v1/competitions/biopsy/files/sample_submission.csv"


def answer(site: Site, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    found = site.visitor().client.get(path, headers={**site.token("ada"), **headers})
    assert found.status_code != 500
    changing = ("date", "x-request-id")
    return found.status_code, {k: v for k, v in found.headers.items() if k.lower() not in changing}


@pytest.fixture
def ask(site: Site) -> Callable[..., list[tuple[int, dict[str, str]]]]:
    """Return what Ada can ask about a file of hers, or a public one, that holds the same bytes."""
    mine = site.submit("ada")
    old, new = formatdate(time.time() - 86400, usegmt=True), formatdate(time.time() + 86400, usegmt=True)

    def everything() -> list[tuple[int, dict[str, str]]]:
        return [
            answer(site, path, **headers)
            for path in (f"/api/v1/submissions/{mine}/file", SAMPLE)
            for headers in (
                {},
                {"If-Modified-Since": old},
                {"If-Modified-Since": new},
                {"If-Unmodified-Since": old},
                {"If-Range": old, "Range": "bytes=0-3"},
                {"If-Range": new, "Range": "bytes=0-3"},
                {"Range": "bytes=0-3"},
            )
        ]

    return everything


def test_no_answer_changes_when_another_team_sends_the_same_bytes(
    site: Site, ask: Callable[..., list[tuple[int, dict[str, str]]]]
) -> None:
    for path in site.storage.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - 7 * 86400,) * 2)
    before = ask()
    site.join("bob")
    site.submit("bob", CSV)
    assert ask() == before


def test_no_stored_file_is_sent_with_a_time(site: Site) -> None:
    mine = site.submit("ada")
    for path in (
        f"/submissions/{mine}/file",
        "/competitions/biopsy/data/train.csv",
        "/competitions/biopsy/data.zip",
    ):
        found = site.browser("ada").get(path)
        assert found.status_code == 200
        assert "Last-Modified" not in found.headers


def test_downloads_are_still_resumed_and_revalidated_by_their_etag(site: Site) -> None:
    mine = f"/api/v1/submissions/{site.submit('ada')}/file"
    status, headers = answer(site, mine)
    assert (status, headers["Content-Length"]) == (200, str(len(CSV)))
    assert answer(site, mine, **{"If-None-Match": headers["ETag"]})[0] == 304
    status, part = answer(site, mine, Range="bytes=3-5", **{"If-Range": headers["ETag"]})
    assert (status, part["Content-Range"]) == (206, f"bytes 3-5/{len(CSV)}")
    assert answer(site, mine, Range="bytes=900-")[0] == 416
