"""Check each page in Chromium: content policy, accessibility, layout."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from werkzeug.serving import make_server

from app.base import db
from app.competing import competitions, rescores, rules
from app.integrity.inspections import Kind
from scorer.report import Problem
from tests.web.access_rules import ACCESS
from tests.web.integrity_records import CONFUSION, OOF, TRAIN, audited, inspected, own_rows, report, suspected
from tests.web.site import Site, build, routes
from tests.web.test_access_rules import drafted
from tests.web.test_classes import make_class

expect.set_options(timeout=30_000)  # a busy machine takes its time to draw a page
pytestmark = [pytest.mark.browser, pytest.mark.timeout(600), pytest.mark.xdist_group("chromium")]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: Any = {"width": 320, "height": 720}
BOARD_FITS = "(box => box.scrollWidth <= box.clientWidth)(document.querySelector('.board-scroll'))"
WIDTH = "document.documentElement.scrollWidth"
DESKTOP: Any = {"width": 1280, "height": 860}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing in CI: apt-get install chromium")
        pytest.skip("Chromium is not on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation with two pages of teams, baselines, ties, all states."""
    site = build(tmp_path_factory.mktemp("town"))
    site.change(daily_limit=20, pending_limit=10)
    for i, name in enumerate(
        (
            "Prior only",
            "Logistic regression",
            "Nearest neighbours",
            "Decision tree",
            "SVM",
            "MLP",
            "Random forest",
        )
    ):
        site.baseline(name, [0.6604, 0.1107, 0.2315, 0.3372, 0.0951, 0.1012, 0.1420][i], 0.2)
    dice = random.Random(7)
    for i in range(64):
        name = f"team-{i:02}"
        site.user(name)
        site.join(name)
        score = 0.1107 if i in (3, 4) else round(dice.uniform(0.09, 0.5), 5)
        site.score(site.submit(name, f"id,target\n{i},0.5\n".encode()), score, dice.uniform(0.09, 0.5))
    for i, public in enumerate((0.6931, 0.4112, 0.5033, 0.2960, 0.3015, 0.2488)):
        site.score(
            site.submit("ada", f"id,target\n{i},0.4\n".encode(), f"model_{i}.csv", f"try {i}"), public, 0.2
        )
    longest = "Wissenschaftsgemeinschaftsmitgliederversammlungsteilnehmende"[:60]
    assert site.browser("team-63").post("/competitions/biopsy/team", {"name": longest}).status_code == 303
    site.reject(
        site.submit("ada", b"id,target\n1,abc\n", "broken.csv"),
        Problem(
            "NOT_A_NUMBER", "`12%` is not a plain number. Write 0.12.", 17, "842302", "target", "12%", 20
        ),
        Problem(
            "MISSING_IDS",
            "3 ids of the test file are missing, the first is 91594602.",
            id="91594602",
            count=3,
        ),
    )
    site.fail(site.submit("ada", b"id,target\n1,0.11\n", "unlucky.csv"))
    audited(site, mode="exact")
    suspected(site, ("copied_predictions", "team-01", "team-02"), ("probing", "team-03", None))
    own_rows(site, 72, oof=OOF, train=TRAIN)
    own_rows(site, 73, oof=CONFUSION)
    inspected(
        site, Kind.SCAN, {"seen": 2, "new": 2, "not_judged": [], "looked_at": {"teams": 64, "rows": 200}}
    )
    inspected(site, Kind.REPORT, report([f"team-{i:02}" for i in range(62)] + [longest]))
    site.user("marie")
    site.enlist("marie", "ada")
    site.invite("ada", uses=2)
    site.offer_merge("team-05", "ada")
    site.offer_merge("ada", "team-06")
    yield site
    site.database.dispose()


@pytest.fixture(scope="module")
def address(busy: Site) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, busy.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def open_page(
    chromium: Browser,
    site: Site,
    address: str,
    wrong: list[str],
    user: str | None,
    scheme: Any,
    **options: Any,
) -> Page:
    """Open a page in a context of its own; what no page may do is added to `wrong`.

    That is a violation of the content policy, a script error, or a request to another site.
    """
    # Contrast is measured, so no colour may be in a transition.
    context = chromium.new_context(base_url=address, color_scheme=scheme, reduced_motion="reduce", **options)
    context.add_init_script(
        "addEventListener('securitypolicyviolation',"
        " e => console.error('POLICY ' + e.violatedDirective + ' ' + e.blockedURI))"
    )
    if user is not None:
        client = site.browser(user).client
        cookie = client.get_cookie("heldout")
        assert cookie is not None
        context.add_cookies([{"name": "heldout", "value": cookie.value, "url": address}])
    page = context.new_page()

    def from_elsewhere(url: str) -> list[str]:
        return [] if url.startswith((address, "data:")) else [f"loaded from another site: {url}"]

    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on("request", lambda request: wrong.extend(from_elsewhere(request.url)))
    page.on(
        "console",
        lambda message: (
            wrong.append(f"{page.url}: {message.text}")
            if "POLICY" in message.text or "Content Security Policy" in message.text
            else None
        ),
    )
    return page


@pytest.fixture
def visit(chromium: Browser, busy: Site, address: str) -> Iterator[Callable[..., Page]]:
    """Open pages as a user; afterwards, fail on what no page may do."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_(user: str | None = None, *, scheme: Any = "light", **options: Any) -> Page:
        page = open_page(chromium, busy, address, wrong, user, scheme, **options)
        contexts.append(page.context)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def look(chromium: Browser, busy: Site, address: str) -> Iterator[Callable[..., Page]]:
    """Show what is only looked at in one page of each user; fail like `visit`.

    A context of its own for each costs Chromium a new process that compiles every script again.
    """
    kept: dict[str | None, Page] = {}
    wrong: list[str] = []

    def look(user: str | None, path: str) -> Page:
        if user not in kept:
            kept[user] = open_page(chromium, busy, address, wrong, user, "light")
        page = kept[user]
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light")
        page.goto(path)
        assert wrong == []
        return page

    yield look
    for page in kept.values():
        page.context.close()
    assert wrong == []


def picture(page: Page, name: str) -> None:
    """Save a screenshot if HELDOUT_TEST_ALBUM is set; all take a minute."""
    if album := os.environ.get("HELDOUT_TEST_ALBUM"):
        page.screenshot(path=Path(album) / f"{name}.png", full_page=True)


PAGES = {
    "competitions": (None, "/"),
    "overview": ("bob", "/competitions/biopsy"),
    "data": ("ada", "/competitions/biopsy/data"),
    "submit": ("ada", "/competitions/biopsy/submit"),
    "join": ("bob", "/competitions/biopsy/submit"),
    "submissions": ("ada", "/competitions/biopsy/submissions"),
    "empty": ("bob", "/competitions/biopsy/submissions"),
    "team": ("ada", "/competitions/biopsy/team"),
    "board": ("ada", "/competitions/biopsy/leaderboard"),
    "board-2": ("ada", "/competitions/biopsy/leaderboard?page=2"),
    "no-match": (None, "/competitions/biopsy/leaderboard?q=zzz"),
    "organise": ("grace", "/competitions/biopsy/organise"),
    "operate": ("grace", "/operate"),
    "doctor": ("grace", "/doctor"),
    "integrity": ("grace", "/competitions/biopsy/integrity"),
    "case": ("grace", "/competitions/biopsy/integrity/cases/1"),
    "report": ("grace", "/competitions/biopsy/report"),
    "submission": ("ada", "/submissions/72"),
    "submission-confusion": ("ada", "/submissions/73"),
    "account": ("ada", "/account"),
    "kaggle-client": ("ada", "/kaggle-client"),
    "client": ("ada", "/client/"),
    "sign-in": (None, "/sign-in"),
    "sign-up": (None, "/sign-up"),
    "licences": (None, "/licences"),
    "api": (None, "/api"),
    "not-found": (None, "/competitions/none"),
}


LOOKED_AT = {user: {path for one, path in PAGES.values() if one == user} for user in ("ada", "grace")}
CLASS = ("GET", "classes.show", "/classes/ml")
NOT_ANSWERED = {
    *("static", "pages.readyz", "accounts.setup", "leaderboard.results", "certificates.show"),
    *("admissions.entry", "mail.reset"),
}
"""Files, a probe, pages behind secret links, and the pages that the test of a closed board looks at."""
WIDEST = """() => [...document.querySelectorAll("body *")].map(e => [e.getBoundingClientRect().right, e])
  .filter(([right, e]) => right > innerWidth && !e.closest(".scroll, .tabs, pre"))
  .map(([right, e]) => `${right} ${e.outerHTML.slice(0, 90)}`).slice(0, 3)"""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits_a_phone(name: str, look: Callable[..., Page]) -> None:
    page = look(*PAGES[name])
    picture(page, f"{name}-light-desktop")
    assert serious(page) == []
    page.emulate_media(color_scheme="dark")
    picture(page, f"{name}-dark-desktop")
    assert serious(page, only=["color-contrast"]) == []
    page.set_viewport_size(PHONE)
    picture(page, f"{name}-dark-phone")
    assert page.evaluate(WIDTH) <= PHONE["width"]
    small = page.eval_on_selector_all(
        "button, .button, summary, input:not([type=hidden]), nav a, label a",
        "all => all.filter(e => e.checkVisibility())"
        ".map(e => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])"
        ".filter(([_, box]) => box.width && (box.height < 24 || box.width < 24)).map(([html]) => html)",
    )
    assert small == []
    if os.environ.get("HELDOUT_TEST_ALBUM"):
        page.emulate_media(color_scheme="light")
        picture(page, f"{name}-light-phone")


def serious(page: Page, only: list[str] | None = None) -> list[str]:
    """Return serious violations that axe finds.

    Without preload, which would make inline style sheets that the content policy forbids.
    """
    options: dict[str, object] = {"preload": False}
    if only:
        options["runOnly"] = only
    if not page.evaluate("'axe' in window"):  # a second run in a page takes a third of the time
        page.evaluate(Axe().axe_script)
    found = page.evaluate("options => axe.run(document, options).then(all => all.violations)", options)
    return [
        f"{v['id']}: {v['nodes'][0]['html'][:160]} {v['nodes'][0].get('failureSummary', '')[:300]}"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


def test_upload_shows_progress_and_its_score_appears_without_reload(
    visit: Callable[..., Page], busy: Site, tmp_path: Path
) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(b"id,target\n" + b"1,0.5\n" * 20_000)
    page = visit("ada", viewport=DESKTOP)
    page.goto("/competitions/biopsy/submit")
    page.set_input_files("#file", file)
    expect(page.locator("[data-chosen]")).to_have_text("mine.csv, 120 kB")
    page.fill("#message", "by hand")
    page.get_by_role("button", name="Upload the file").click()
    page.wait_for_url("**/submissions/*")
    expect(page.locator(".state")).to_contain_text("queued")
    submission_id = int(page.url.rsplit("/", 1)[1])
    page.goto("/competitions/biopsy/submissions")
    left = page.locator("#strip .position div").last.inner_text()
    busy.run(submission_id)
    entry = page.locator(f"#submission-{submission_id}")
    expect(entry.locator(".state")).to_contain_text("scoring")
    with busy.database.begin() as session:
        session.connection().exec_driver_sql(
            "UPDATE evaluation SET lease_until = '2000-01-01 00:00:00.000000'"
        )
    busy.score(submission_id, 0.0777)
    expect(entry.locator(".state")).to_contain_text("scored")
    expect(entry).to_contain_text("0.07770")
    expect(page.locator("#announce")).to_contain_text(
        f"Submission {submission_id}: scored, public score 0.07770. Your rank is now 1."
    )
    expect(page.locator(".chart circle title").last).to_have_text(f"#{submission_id}: 0.07770")
    assert page.locator("#strip .position div").last.inner_text() == left


def test_a_file_can_be_dropped_on_the_form(visit: Callable[..., Page]) -> None:
    page = visit("ada")
    page.goto("/competitions/biopsy/submit")
    drop = """names => {
        const data = new DataTransfer();
        for (const name of names) data.items.add(new File(["id,target\\n1,0.5\\n"], name));
        document.querySelector("[data-drop]").dispatchEvent(
            new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    page.evaluate(drop, ["a.csv", "b.csv"])
    expect(page.get_by_role("alert")).to_have_text("Drop only one file at a time.")
    page.evaluate(drop, ["a.csv"])
    expect(page.locator("[data-chosen]")).to_contain_text("a.csv")
    assert page.evaluate("document.getElementById('file').files.length") == 1


def test_a_file_over_the_limit_is_not_sent(visit: Callable[..., Page], tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    file.write_bytes(b"x" * 300_000)
    page = visit("ada")
    page.goto("/competitions/biopsy/submit")
    page.set_input_files("#file", file)
    expect(page.get_by_role("alert")).to_contain_text("This file has 300 kB; the limit is 200 kB.")
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.method))
    page.get_by_role("button", name="Upload the file").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert "POST" not in posted


def test_a_refusal_is_shown_beside_the_form(visit: Callable[..., Page], busy: Site, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(b"id,target\n")
    page = visit("ada")
    page.goto("/competitions/biopsy/submit")
    page.set_input_files("#file", file)
    busy.change(is_paused=True)
    try:
        page.get_by_role("button", name="Upload the file").click()
        expect(page.get_by_role("alert")).to_contain_text("the organiser has paused it")
    finally:
        busy.change(is_paused=False)


def test_everything_works_without_scripts(visit: Callable[..., Page], busy: Site, tmp_path: Path) -> None:
    file = tmp_path / "plain.csv"
    file.write_bytes(b"id,target\n1,0.5\n")
    page = visit("ada", java_script_enabled=False)
    page.goto("/competitions/biopsy/submit")
    page.set_input_files("#file", file)
    page.get_by_role("button", name="Upload the file").click()
    expect(page.locator(".state")).to_contain_text("queued")
    busy.score(int(page.url.rsplit("/", 1)[1]), 0.4)
    expect(page.locator(".state")).to_contain_text("scored")  # the page reloads by itself
    page.goto("/competitions/biopsy/leaderboard")
    page.fill("#q", "team-0")
    page.get_by_role("button", name="Find").click()
    assert page.locator(".board tbody tr").count() == 10


def test_the_chosen_theme_is_kept(visit: Callable[..., Page]) -> None:
    page = visit(scheme="light")
    page.goto("/")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Dark colours").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.goto("/sign-in")
    assert page.evaluate(paper) == dark
    expect(page.get_by_role("button", name="Dark colours")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Colours of the system").click()
    assert page.evaluate(paper) == light
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) == dark


def test_a_team_is_found_while_typing(visit: Callable[..., Page]) -> None:
    page = visit("ada", viewport=DESKTOP)
    page.goto("/competitions/biopsy/leaderboard")
    page.locator("#q").press_sequentially("team-1")
    expect(page.locator(".board tbody tr")).to_have_count(10)
    assert page.url.endswith("?q=team-1")
    expect(page.locator("#q")).to_be_focused()
    expect(page.locator(".pinned")).to_contain_text("you")


def test_an_open_board_shows_a_new_score_without_reload(visit: Callable[..., Page], busy: Site) -> None:
    page = visit("ada", viewport=DESKTOP)
    page.clock.install()
    page.goto("/competitions/biopsy/leaderboard")
    page.evaluate("document.body.dataset.kept = 'yes'")
    page.clock.run_for(7_000)
    expect(page.locator("#board")).to_be_visible()
    rank = page.locator("#strip .my-rank").inner_text()
    first = page.locator(".board tbody tr[data-team]").first
    busy.score(busy.submit("team-50", b"id,target\n50,0.5\n"), 0.012)
    busy.score(busy.submit("ada", b"id,target\n50,0.6\n"), 0.013)
    page.clock.run_for(7_000)
    expect(first).to_contain_text("team-50")
    expect(first).to_have_class("has-risen")
    expect(page.locator("#me")).to_contain_text("0.01300")
    expect(page.locator("#strip .my-rank")).not_to_have_text(rank)
    expect(page.locator("#announce")).to_contain_text("Your rank is now")
    with page.expect_response(lambda answer: "part=live" in answer.url and answer.status == 304):
        page.clock.run_for(7_000)
    assert page.evaluate("document.body.dataset.kept") == "yes"
    page.get_by_role("switch", name="Baselines").uncheck()
    assert page.locator(".board .is-baseline").first.is_hidden()


def test_the_board_works_by_keyboard(visit: Callable[..., Page]) -> None:
    page = visit("ada", viewport=DESKTOP)
    page.goto("/competitions/biopsy/leaderboard")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.get_by_role("link", name="Entries").press("Enter")
    page.wait_for_url("**sort=entries")
    heading = page.locator("th", has=page.get_by_role("link", name="Entries"))
    expect(heading).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("link", name="Jump to my row").press("Enter")
    page.wait_for_url("**#me")
    expect(page.locator("#me")).to_be_in_viewport()


def test_a_phone_shows_rank_team_and_score(visit: Callable[..., Page]) -> None:
    page = visit("ada", viewport=PHONE)
    page.goto("/competitions/biopsy/leaderboard")
    shown = page.locator(".board thead th").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map(e => e.className)"
    )
    assert shown == ["num rank", "team", "num score"]
    assert page.evaluate(BOARD_FITS)


def test_each_page_of_the_access_table_fits_a_phone(busy: Site, look: Callable[..., Page]) -> None:
    """No page is wider than 320 px, with all that it folds open, for a participant and for an organiser."""
    drafted(busy)
    busy.announce("First", "https://x.example/" + 60 * "long")
    busy.announce("To all", to_all=True)
    busy.ask("ada", "When is the end of the competition?", is_public=True)
    ids = {"secret": busy.invite("ada"), "announcement_id": 1}
    with busy.database.begin() as session:
        competition = competitions.by_slug(session, busy.slug)
        rules.publish(session, competition, "Be *fair*.", by="grace", now=db.now(session))
        rescores.begin_rescore(session, competition, competition.version, reason="Again", now=db.now(session))
    class_code, personal = make_class(busy)
    busy.browser("ada").post("/join", {"class": class_code, "code": personal["S1"]})
    answered: set[str] = set()
    for name in ("ada", "grace"):
        browser = busy.browser(name)
        for method, endpoint, path in [*routes(busy, 72, **ids), CLASS]:
            if method != "GET" or path.startswith(("/api/", "/static/")):
                continue
            path = path.replace("/classes/biopsy", "/classes/ml")
            answer = browser.get(path)
            answered |= {endpoint} if answer.status_code == 200 else set()
            if answer.status_code != 200 or answer.mimetype != "text/html" or path in LOOKED_AT[name]:
                continue
            page = look(name, path)
            page.set_viewport_size(PHONE)
            page.eval_on_selector_all("details:not(.account)", "all => all.forEach(e => { e.open = true })")
            width = page.evaluate(WIDTH)
            assert width <= PHONE["width"], (name, path, width, page.evaluate(WIDEST))
    pages = {one.removeprefix("GET ") for one in ACCESS if one.startswith("GET ")}
    missing = {one for one in pages - answered if not one.startswith(("api.", "kaggle_r", "kaggle_t"))}
    assert missing == NOT_ANSWERED


def test_a_closed_board_is_accessible(visit: Callable[..., Page], busy: Site) -> None:
    """Last in this file: afterwards uploads are refused."""
    busy.close()
    page = visit("ada", viewport=DESKTOP)
    page.goto("/competitions/biopsy/leaderboard")
    assert serious(page) == []
    picture(page, "closed-board-light-desktop")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)
    picture(page, "closed-board-dark-phone")
    assert page.evaluate(BOARD_FITS)
    assert page.evaluate(WIDTH) <= PHONE["width"]
    for path in ("/competitions/biopsy/results", "/competitions/biopsy/certificate"):
        page.goto(path)
        assert serious(page) == []
        assert page.evaluate(WIDTH) <= PHONE["width"]
    page.goto("/competitions/biopsy/submissions")
    assert serious(page) == []
    picture(page, "closed-submissions-dark-phone")
