"""A new participant's way from address to final pick and team, by keyboard alone, in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.base import db
from app.competing import competitions, rules
from tests.web.site import PASSWORD, Site, build
from tests.web.test_pages_in_chromium import DESKTOP, PHONE, address, chromium, visit  # fixtures

__all__ = ["address", "chromium", "visit"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]

MOST_STOPS = 120
FOCUSED = """wanted => {
  const e = document.activeElement;
  if (!e || e === document.body) return { isPage: true };
  const framed = getComputedStyle(e.closest(".card, .drop") || e), own = getComputedStyle(e);
  const ring = (s) => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2;
  const box = (e.labels?.length && own.opacity === "0" ? e.labels[0] : e).getBoundingClientRect();
  const x = Math.min(Math.max(box.x + Math.min(box.width, 24) / 2, 0), innerWidth - 1);
  const top = document.elementFromPoint(x, box.y + box.height / 2);
  return {
    isWanted: e === wanted,
    html: e.outerHTML.slice(0, 120),
    isMarked: ring(own) || ring(framed),
    isShown: box.width > 0 && box.bottom > 0 && box.y < innerHeight && box.right > 0 && box.x < innerWidth
      && top !== null && (top === e || e.contains(top) || top.contains(e)),
  };
}"""
"""The focused element: whether it is the wanted one, has a ring, and is neither out of view nor covered."""

STOPS = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
  .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.disabled).length"""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation with rules and a board."""
    site = build(tmp_path_factory.mktemp("journeys"))
    site.baseline("Prior only", 0.66, 0.65)
    site.score(site.submit("ada"), 0.31, 0.3)
    with site.database.begin() as session:
        competition = competitions.by_slug(session, site.slug)
        rules.publish(session, competition, "Be fair.", by="grace", now=db.now(session))
    yield site
    site.database.dispose()


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until an element has the focus; each stop on the way shows its focus."""
    wanted = target.element_handle()
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        stop = page.evaluate(FOCUSED, wanted)
        if stop.get("isPage"):
            continue
        assert (stop["isMarked"], stop["isShown"]) == (True, True), (page.url, stop)
        if stop["isWanted"]:
            return
    pytest.fail(f"{target} cannot be reached by Tab on {page.url}")


def press(page: Page, role: str, name: str, key: str = "Enter") -> None:
    """Reach a link or button by Tab and press a key on it."""
    tab_to(page, page.get_by_role(role, name=name, exact=True).first)  # type: ignore[arg-type]
    page.keyboard.press(key)


def write(page: Page, label: str, words: str) -> None:
    tab_to(page, page.get_by_label(label).first)
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type(words)


def test_a_new_participant_needs_only_the_keyboard(
    visit: Callable[..., Page], busy: Site, tmp_path: Path
) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(b"id,target\n1,0.5\n2,0.25\n")
    page = visit(viewport=DESKTOP)
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    press(page, "link", "Biopsy triage")
    press(page, "link", "Sign in to take part")
    press(page, "link", "Create an account")
    write(page, "Name", "lise")
    write(page, "Password", PASSWORD)
    press(page, "button", "Sign up")

    page.wait_for_url("**/competitions/biopsy")
    press(page, "button", "Join the competition", "Space")
    page.wait_for_url("**/rules**")
    press(page, "button", "Accept the rules and join")
    page.wait_for_url("**/competitions/biopsy/data")

    press(page, "link", "Submit")
    page.wait_for_url("**/submit")
    with page.expect_file_chooser() as chosen:  # around both: the browser is slow to listen for choosers
        tab_to(page, page.locator("#file"))
        page.keyboard.press("Enter")
    chosen.value.set_files(file)
    expect(page.locator("[data-chosen]")).to_contain_text("mine.csv")
    press(page, "button", "Upload the file")
    page.wait_for_url("**/submissions/*")
    expect(page.locator(".state")).to_contain_text("queued")
    number = int(page.url.rsplit("/", 1)[1])
    busy.score(number, 0.2, 0.2)
    expect(page.locator(".state")).to_contain_text("scored")
    expect(page.locator(".large-score")).to_contain_text("0.20000")

    press(page, "link", "Leaderboard")
    page.wait_for_url("**/leaderboard")
    expect(page.locator("#me")).to_contain_text("lise")
    write(page, "Find a team", "lis")
    expect(page.locator(".board tbody tr[data-team]")).to_have_count(1)
    press(page, "link", "Submissions")
    page.wait_for_url("**/submissions")
    press(page, "button", f"Final pick: submission {number}", "Space")
    expect(page.get_by_role("button", name=f"Final pick: submission {number}")).to_have_attribute(
        "aria-pressed", "true"
    )

    press(page, "link", "lise")
    page.wait_for_url("**/team")
    press(page, "button", "Make an invite link")
    expect(page.locator("#invite-link")).to_contain_text("/competitions/biopsy/team/join/")
    tab_to(page, page.locator(".account summary"))
    page.keyboard.press("Enter")
    press(page, "button", "Sign out")
    expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()


def test_no_page_keeps_or_covers_the_focus_on_a_phone(visit: Callable[..., Page]) -> None:
    """Tab comes to each stop of the page, shown above the bar of tabs, and leaves the last."""
    page = visit("ada", viewport=PHONE)
    for path in ("/competitions/biopsy/team", "/competitions/biopsy/leaderboard", "/account"):
        page.goto(path)
        stops = page.evaluate(STOPS)
        seen = 0
        for _ in range(stops + 10):
            page.keyboard.press("Tab")
            stop = page.evaluate(FOCUSED, None)
            if stop.get("isPage") or (seen and 'class="skip"' in stop["html"]):
                break
            assert (stop["isMarked"], stop["isShown"]) == (True, True), (path, stop)
            seen += 1
        else:
            pytest.fail(f"Tab does not leave {path}")
        assert seen >= stops, path
