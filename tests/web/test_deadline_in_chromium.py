"""Pages that stay open across a deadline, in Chromium: they tell the truth without a reload by the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.base import db
from tests.web.site import CSV, Site, build
from tests.web.test_pages_in_chromium import PHONE, address, chromium, picture, visit  # fixtures

__all__ = ["address", "chromium", "visit"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]
SOON: Any = 30_000


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = build(tmp_path_factory.mktemp("deadline"))
    site.score(site.submit("ada"), 0.5, 0.6)
    yield site
    site.database.dispose()


@pytest.fixture
def opened(visit: Callable[..., Page]) -> Callable[..., Page]:
    """Open a page before the seconds to a deadline begin, of which a busy machine needs some."""

    def opened(*words: Any, **options: Any) -> Page:
        page = visit(*words, **options)
        page.goto("/licences")
        return page

    return opened


def closes(site: Site, seconds: float, **values: Any) -> None:
    with site.database.read() as session:
        now = db.now(session)
    site.change(closes_at=now + timedelta(seconds=seconds), **values)


def test_an_idle_board_shows_the_close_and_then_the_private_scores(
    busy: Site, opened: Callable[..., Page]
) -> None:
    page = opened(None)
    closes(busy, 8, grace_seconds=8)
    page.goto("/competitions/biopsy/leaderboard")
    expect(page.locator("#phase")).to_have_text("open")
    expect(page.locator("#phase")).to_have_text("closed", timeout=SOON)
    expect(page.locator("#deadline")).to_contain_text("last uploads are still arriving")
    expect(page.get_by_text("Final ranking by private scores")).to_be_visible(timeout=SOON)
    expect(page.locator("#deadline")).not_to_contain_text("final results")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_form_with_input_stays_and_is_disabled_at_the_close(
    busy: Site, opened: Callable[..., Page], scheme: str
) -> None:
    page = opened("ada", scheme=scheme, viewport=PHONE)
    closes(busy, 10, grace_seconds=120)
    page.goto("/competitions/biopsy/submit")
    page.locator("#file").set_input_files({"name": "late.csv", "mimeType": "text/csv", "buffer": CSV})
    page.locator("#message").fill("the last one")
    expect(page.locator("#phase")).to_have_text("closed", timeout=SOON)
    expect(page.locator("#may-submit")).to_contain_text("This competition is over")
    expect(page.locator("#may-submit")).to_contain_text("last uploads are still arriving")
    expect(page.locator("#message")).to_have_value("the last one")
    expect(page.locator("#upload button")).to_be_disabled()
    expect(page.locator("#announce")).to_contain_text("final results at")
    picture(page, f"closed-while-open-{scheme}")


def test_a_page_that_waits_for_the_opening_or_a_pause_offers_the_form_by_itself(
    busy: Site, opened: Callable[..., Page]
) -> None:
    page = opened("ada")
    closes(busy, 3600)
    with busy.database.read() as session:
        opens_at = db.now(session) + timedelta(seconds=8)
    busy.change(opens_at=opens_at)
    page.goto("/competitions/biopsy/submit")
    expect(page.get_by_text("Uploads open at")).to_be_visible()
    expect(page.locator("#upload")).to_be_visible(timeout=SOON)


def test_a_team_slowed_after_rejected_files_sees_the_time_and_then_the_form(
    busy: Site, opened: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened("ada", viewport=PHONE)
    closes(busy, 3600, rejected_limit=1)
    monkeypatch.setattr("app.competing.rejections.FIRST_WAIT", timedelta(seconds=8))
    for content in (b"one", b"two"):
        busy.reject(busy.submit("ada", content))
    page.goto("/competitions/biopsy/submit")
    expect(page.get_by_text("After a rejected file the next one has to wait")).to_be_visible()
    expect(page.get_by_text("2 files rejected today")).to_be_visible()
    picture(page, "slowed")
    expect(page.locator("#upload")).to_be_visible(timeout=SOON)
