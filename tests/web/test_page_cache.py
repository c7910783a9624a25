"""The board is cached for visitors and for no signed-in user."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.web.page_cache import MAX_PAGES, STALE_SECONDS, PageCache
from tests.web.site import PRIVATE_CANARY, Site

BOARD = "/competitions/biopsy/leaderboard"
LIVE = f"{BOARD}?part=live"


def with_cache(site: Site) -> Site:
    site.score(site.submit("ada"), 0.5)
    return site.with_settings(board_seconds=60)


def test_visitors_share_a_page_and_users_get_their_own(
    site: Site, statements: Callable[[], list[str]]
) -> None:
    site = with_cache(site)
    statements()
    first = site.visitor().get(BOARD)
    made = len(statements())
    second = site.visitor().get(BOARD)
    assert len(statements()) < made
    assert first.data == second.data
    assert "csrf" not in first.text
    ada = site.browser("ada").get(BOARD)
    assert 'class="tag tag-you"' in ada.text
    assert "Sign out" in ada.text
    assert site.visitor().get(BOARD).data == first.data, "Ada's page is not cached for others"
    site.baseline("Prior only", 0.66, 0.65)
    assert "Prior only" not in site.visitor().get(BOARD).text
    assert "Prior only" in site.browser("ada").get(BOARD).text


def test_each_search_and_sort_order_has_its_own_page(site: Site) -> None:
    site = with_cache(site)
    everything = site.visitor().get(BOARD).text
    assert "No team found" in site.visitor().get(f"{BOARD}?q=zzz").text
    assert site.visitor().get(f"{BOARD}?sort=-team").text != everything
    assert site.visitor().get(BOARD).text == everything


def test_a_page_of_one_phase_is_not_shown_in_the_next(site: Site) -> None:
    site = with_cache(site)
    private = f"{PRIVATE_CANARY:.5f}"
    over = {"closes_at": datetime.now(UTC) - timedelta(hours=1)}
    site.change(**over)
    assert private in site.visitor().get(BOARD).text
    site.change(extended_until=datetime.now(UTC) + timedelta(hours=1))
    assert private not in site.visitor().get(BOARD).text
    site.change(extended_until=None)
    assert private in site.visitor().get(BOARD).text


def test_a_flash_message_reaches_only_its_browser(site: Site) -> None:
    site = with_cache(site)
    site.visitor().get(BOARD)
    browser = site.visitor()
    with browser.client.session_transaction() as cookie:
        cookie["_flashes"] = [("message", "You are signed out.")]
    assert "You are signed out." in browser.get(BOARD).text
    assert "You are signed out." not in browser.get(BOARD).text
    assert "You are signed out." not in site.visitor().get(BOARD).text


def test_visitors_get_304_for_an_unchanged_page(site: Site) -> None:
    site = with_cache(site)
    first = site.visitor().get(BOARD)
    assert first.headers["Cache-Control"] == "no-cache"
    assert "Cookie" in first.headers["Vary"]
    asked = {"If-None-Match": first.headers["ETag"]}
    again = site.visitor().get(BOARD, headers=asked)
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Content-Security-Policy" in again.headers
    ada = site.browser("ada").get(BOARD, headers=asked)
    assert ada.status_code == 200
    assert ada.headers["Cache-Control"] == "no-store"
    assert "ETag" not in ada.headers
    site.score(site.submit("ada", b"id,target\n1,0.1\n"), 0.4)
    fresh = site.with_settings(board_seconds=0).visitor().get(BOARD, headers=asked)
    assert fresh.status_code == 200


def test_the_polled_board_is_one_answer_for_all_viewers(
    site: Site, statements: Callable[[], list[str]]
) -> None:
    site = with_cache(site)
    answers = [site.browser(name).get(LIVE) for name in ("ada", "bob", "grace")] + [site.visitor().get(LIVE)]
    assert len({(answer.data, answer.headers["ETag"]) for answer in answers}) == 1
    for words in ("is-mine", "tag-you", "csrf", "Sign out", "<html"):
        assert words not in answers[0].text
    asked = {"If-None-Match": answers[0].headers["ETag"]}
    ada = site.browser("ada")
    statements()
    again = ada.get(LIVE, headers=asked)
    assert (again.status_code, again.data) == (304, b"")
    assert len(statements()) <= 2, "the clock and the competition; no session, no standings"


def test_the_tag_of_the_polled_board_changes_with_its_rows_and_its_phase(site: Site) -> None:
    site.score(site.submit("ada"), 0.5)
    tags = [site.visitor().get(LIVE).headers["ETag"]]
    site.submit("ada", b"id,target\n1,0.2\n")
    assert site.visitor().get(LIVE).headers["ETag"] == tags[0], "a queued file changes no row"
    site.score(2, 0.4)
    tags.append(site.visitor().get(LIVE).headers["ETag"])
    over = {"closes_at": datetime.now(UTC) - timedelta(hours=1)}
    site.change(**over, extended_until=datetime.now(UTC) + timedelta(hours=1))
    waiting = site.visitor().get(LIVE, headers={"If-None-Match": tags[-1]})
    assert waiting.status_code == 200
    assert f"{PRIVATE_CANARY:.5f}" not in waiting.text
    tags.append(waiting.headers["ETag"])
    site.change(extended_until=None)
    final = site.visitor().get(LIVE, headers={"If-None-Match": tags[-1]})
    assert f"{PRIVATE_CANARY:.5f}" in final.text
    tags.append(final.headers["ETag"])
    public = site.visitor().get(f"{LIVE}&scores=public")
    assert f"{PRIVATE_CANARY:.5f}" not in public.text
    assert "0.40000" in public.text
    tags.append(public.headers["ETag"])
    assert len(set(tags)) == 5


def test_one_request_renews_a_page_and_others_get_the_old_one() -> None:
    now = [0.0]
    cache: PageCache[str] = PageCache(1.0, clock=lambda: now[0])
    assert cache.get("a") is None
    cache.put("a", "first")
    now[0] = 0.9
    assert cache.get("a") == "first"
    now[0] = 1.1
    assert cache.get("a") is None, "the first request renews it"
    assert cache.get("a") == "first"
    cache.put("a", "second")
    assert cache.get("a") == "second"
    now[0] = 2.2
    assert cache.get("a") is None
    now[0] = 2.1 + STALE_SECONDS
    assert cache.get("a") is None, "the renewing request failed: too old for all"


def test_the_least_recently_used_pages_are_removed() -> None:
    cache: PageCache[str] = PageCache(60.0)
    cache.put("board", "page")
    for n in range(3 * MAX_PAGES):
        cache.put(n, "search")
        assert cache.get("board") == "page"
    assert len(cache._pages) == MAX_PAGES
