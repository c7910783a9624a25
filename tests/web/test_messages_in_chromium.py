"""An open page in Chromium: the unread mark appears without a reload, and notifications after a click."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.web.site import Site, build
from tests.web.test_pages_in_chromium import PHONE, address, chromium, serious, visit  # fixtures

__all__ = ["address", "chromium", "visit"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]
PAGE = "/competitions/biopsy/announcements"
QUESTIONS = "/competitions/biopsy/questions"
RECORDED = """
window.shown = [];
window.Notification = class extends Notification {
  constructor(title, options) { super(title, options); window.shown.push(`${title}: ${options.body}`); }
};
"""
IN_BACKGROUND = """hidden => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


SMALL = """all => all.filter(e => e.checkVisibility())
  .map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
  .filter(([, box]) => box.height < 24 || box.width < 24).map(([html]) => html)"""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = build(tmp_path_factory.mktemp("messages"))
    site.announce("The first", "Read **this**.")
    yield site
    site.database.dispose()


def test_new_messages_are_counted_and_notified_while_the_page_is_open(
    busy: Site, visit: Callable[..., Page]
) -> None:
    page = visit("ada")
    page.context.grant_permissions(["notifications"])
    page.add_init_script(RECORDED)
    page.goto(PAGE)
    page.get_by_role("button", name="Notify me in this browser").click()
    expect(page.get_by_role("button", name="Notifications are on")).to_have_attribute("aria-pressed", "true")
    page.goto("/competitions/biopsy/leaderboard")
    with page.expect_response(lambda answer: "part=pulse" in answer.url):
        page.evaluate(IN_BACKGROUND, True)
    expect(page.locator("#unread")).to_be_hidden()
    number = busy.submit("ada")
    busy.score(number, 0.25)
    busy.announce("A new date")
    page.evaluate(IN_BACKGROUND, True)  # or in the next 15 seconds
    expect(page.locator("#unread b")).to_have_text("1")
    page.wait_for_function("window.shown.length === 2")
    assert set(page.evaluate("window.shown")) == {
        "Biopsy triage: A new date",
        f"Biopsy triage: Submission {number}: scored, public score 0.25000",
    }
    page.evaluate(IN_BACKGROUND, False)
    page.get_by_role("link", name="Messages").click()
    expect(page.get_by_role("heading", name="A new date")).to_be_visible()
    page.reload()
    expect(page.locator("#unread")).to_be_hidden()


def test_pages_of_messages_fit_a_phone_and_are_accessible(busy: Site, visit: Callable[..., Page]) -> None:
    busy.ask("ada", "When is the end?", "See https://x.example/rows", is_public=True)
    hidden = busy.ask("ada", "Buy this", is_public=True)
    page = visit("grace", viewport=PHONE)
    busy.browser("grace").post(f"{QUESTIONS}/{hidden}/mark", {"act": "hide", "reason": "An advertisement"})
    for path in (PAGE, QUESTIONS, "/announcements"):
        page.goto(path)
        for folded in page.locator("details:not(.account)").all():
            folded.evaluate("one => one.open = true")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert page.eval_on_selector_all("main button, main input:not([type=hidden])", SMALL) == []
        assert serious(page) == []
        page.emulate_media(color_scheme="dark")
        assert serious(page, only=["color-contrast"]) == []
        page.emulate_media(color_scheme="light")
