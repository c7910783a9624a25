"""From a table to an open competition in Chromium, with real workers that are killed at each step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.servers import Served, heldout, served
from tests.web.site import PASSWORD
from tests.web.test_pages_in_chromium import DESKTOP, PHONE, chromium, picture, serious
from tests.worker.drafting import table

__all__ = ["chromium"]  # the fixture
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]
MOST_CLICKS = 12
LONG = 120_000


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.locator("main [name=name]").fill("grace")
    page.locator("main [name=password]").fill(PASSWORD)
    page.locator("main button").click()


def kill_workers(server: Served) -> None:
    for pid in server.children("worker"):
        os.kill(pid, signal.SIGKILL)


def looked_at(page: Page, name: str) -> None:
    """Check that the page is accessible and no wider than a phone."""
    assert serious(page) == [], name
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # both are values of it
        picture(page, f"draft-{name}-{scheme}")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    picture(page, f"draft-{name}-phone")
    page.set_viewport_size(DESKTOP)


def test_a_table_becomes_an_open_competition_in_few_clicks_though_workers_are_killed(
    chromium: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "coin_tosses.csv"
    file.write_bytes(table(300))
    data_dir = tmp_path / "data"
    more = {"HELDOUT_LEASE_SECONDS": "5", "HELDOUT_ALLOW_WEAK_SANDBOX": "1"}
    with served(data_dir, **more) as server:
        made = heldout(
            data_dir, "user", "add", "grace", "--organiser", "--password-stdin", stdin=f"{PASSWORD}\n"
        )
        assert made.returncode == 0, made.stderr
        context = chromium.new_context(base_url=server.address, viewport=DESKTOP)
        page = context.new_page()
        page.set_default_timeout(LONG)
        sign_in(page)
        clicks = 0

        def click(what: Locator) -> None:
            nonlocal clicks
            clicks += 1
            what.click()

        def wait_for(what: Callable[[], Locator]) -> None:
            kill_workers(server)
            expect(what()).to_be_visible(timeout=LONG)

        began = time.monotonic()
        page.goto("/")
        click(page.get_by_role("link", name="New competition"))
        looked_at(page, "new")
        clicks += 1  # in the system's dialogue of files
        page.locator("#file").set_input_files(file)
        click(page.get_by_role("button", name="Upload the table"))
        wait_for(lambda: page.locator("#target"))
        looked_at(page, "data")
        click(page.get_by_role("button", name="Predict this column"))
        expect(page.locator("#screen progress")).to_be_visible(timeout=LONG)
        wait_for(lambda: page.get_by_role("button", name="Keep this split"))
        looked_at(page, "split")
        click(page.get_by_role("button", name="Keep this split"))
        wait_for(lambda: page.locator("#ladder table"))
        looked_at(page, "metric")

        address = page.url
        page.locator("details.account summary").click()
        page.get_by_role("button", name="Sign out").click()
        page.goto(address)
        expect(page.get_by_text("There is no such page.")).to_be_visible()  # as every page of organisers
        sign_in(page)
        page.goto("/drafts")
        page.get_by_role("link", name="Coin tosses").click()
        expect(page.locator("#ladder table tbody tr")).to_have_count(8)

        click(page.get_by_role("link", name="Keep this metric"))
        looked_at(page, "open")
        click(page.get_by_role("button", name="Open the competition"))
        wait_for(lambda: page.get_by_role("link", name="See it as participants do"))
        print(f"{clicks} clicks, {time.monotonic() - began:.0f} s with all pictures and five kills")
        assert clicks <= MOST_CLICKS
        page.goto("/competitions/coin-tosses/leaderboard")
        expect(page.locator("tr.is-baseline").first).to_be_visible(timeout=LONG)
        context.close()
