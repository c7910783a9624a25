"""The board's page of people who are not signed in is kept for a moment, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.web.page_cache import LATE_SECONDS, PAGES, Kept
from tests.web.site import PRIVATE_CANARY, House

BOARD = "/competitions/biopsy/leaderboard"


def keeping(house: House) -> House:
    house.score(house.submit("ada"), 0.5)
    return house.with_settings(board_seconds=60)


def test_strangers_share_a_page_and_people_with_a_name_get_their_own(
    house: House, statements: Callable[[], list[str]]
) -> None:
    house = keeping(house)
    statements()
    first = house.stranger().get(BOARD)
    made = len(statements())
    second = house.stranger().get(BOARD)
    assert len(statements()) < made
    assert first.data == second.data
    assert "csrf" not in first.text
    ada = house.browser("ada").get(BOARD)
    assert 'class="tag tag-you"' in ada.text
    assert "Sign out" in ada.text
    assert house.stranger().get(BOARD).data == first.data, "nothing of Ada's is kept for others"
    house.baseline("Prior only", 0.66, 0.65)
    assert "Prior only" not in house.stranger().get(BOARD).text
    assert "Prior only" in house.browser("ada").get(BOARD).text


def test_each_question_has_its_own_page(house: House) -> None:
    house = keeping(house)
    everything = house.stranger().get(BOARD).text
    assert "No team is called that" in house.stranger().get(f"{BOARD}?q=nobody").text
    assert house.stranger().get(f"{BOARD}?sort=-team").text != everything
    assert house.stranger().get(BOARD).text == everything


def test_what_a_phase_hides_is_not_shown_from_the_phase_before(house: House) -> None:
    house = keeping(house)
    private = f"{PRIVATE_CANARY:.5f}"
    over = {"closes_at": datetime.now(UTC) - timedelta(hours=1)}
    house.change(**over)
    assert private in house.stranger().get(BOARD).text
    house.change(extended_until=datetime.now(UTC) + timedelta(hours=1))
    assert private not in house.stranger().get(BOARD).text
    house.change(extended_until=None)
    assert private in house.stranger().get(BOARD).text


def test_a_message_for_one_browser_is_neither_lost_nor_anothers(house: House) -> None:
    house = keeping(house)
    house.stranger().get(BOARD)
    told = house.stranger()
    with told.client.session_transaction() as cookie:
        cookie["_flashes"] = [("message", "You are signed out.")]
    assert "You are signed out." in told.get(BOARD).text
    assert "You are signed out." not in told.get(BOARD).text
    assert "You are signed out." not in house.stranger().get(BOARD).text


def test_a_browser_that_has_the_page_is_told_so_unless_it_is_signed_in(house: House) -> None:
    house = keeping(house)
    first = house.stranger().get(BOARD)
    assert first.headers["Cache-Control"] == "no-cache"
    assert "Cookie" in first.headers["Vary"]
    asked = {"If-None-Match": first.headers["ETag"]}
    again = house.stranger().get(BOARD, headers=asked)
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Content-Security-Policy" in again.headers
    ada = house.browser("ada").get(BOARD, headers=asked)
    assert ada.status_code == 200
    assert ada.headers["Cache-Control"] == "no-store"
    assert "ETag" not in ada.headers
    house.score(house.submit("ada", b"id,target\n1,0.1\n"), 0.4)
    fresh = house.with_settings(board_seconds=0).stranger().get(BOARD, headers=asked)
    assert fresh.status_code == 200


def test_one_makes_a_page_anew_and_others_get_the_old_one_meanwhile() -> None:
    now = [0.0]
    kept = Kept(1.0, clock=lambda: now[0])
    assert kept.get("a") is None
    kept.put("a", "first")
    now[0] = 0.9
    assert kept.get("a") == "first"
    now[0] = 1.1
    assert kept.get("a") is None, "the first to come makes it"
    assert kept.get("a") == "first"
    kept.put("a", "second")
    assert kept.get("a") == "second"
    now[0] = 2.2
    assert kept.get("a") is None
    now[0] = 2.1 + LATE_SECONDS
    assert kept.get("a") is None, "who was to make it has failed: too old for anybody"


def test_only_so_many_pages_are_kept_and_those_that_are_asked_for() -> None:
    kept = Kept(60.0)
    kept.put("board", "page")
    for n in range(3 * PAGES):
        kept.put(n, "search")
        assert kept.get("board") == "page"
    assert len(kept._pages) == PAGES
