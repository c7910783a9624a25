"""Announcements: which viewer sees which, unread marks, times, edits, and Markdown that does no harm."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from app.base import db
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Event
from app.base.models_messages import Announcement
from app.base.models_roles import Role
from app.cli.announcements import announcement_group
from app.competing import competitions, roles
from tests.web.site import PRIVATE_CANARY, Browser, Site

PAGE = "/competitions/biopsy/announcements"
API = "/api/v1/competitions/biopsy/announcements"


def call(site: Site, method: str, path: str, name: str = "ada", **more: Any) -> Any:
    return site.visitor().client.open(path, method=method, headers=site.token(name), **more)


def unread(browser: Browser, page: str = "/competitions/biopsy/leaderboard") -> int:
    """Return the number at the tab, 0 where it is hidden."""
    found = re.search(r'id="unread"[^>]*?( hidden)?><b>(\d+)</b>', browser.get(page).text)
    assert found is not None
    assert bool(found[1]) == (found[2] == "0")
    return int(found[2])


def actions(site: Site) -> list[str]:
    with site.database.read() as session:
        found = session.scalars(select(Event).where(Event.action.startswith("announcement")))
        return [event.action for event in found.all()]


@pytest.fixture
def hosted(site: Site) -> Site:
    """The same with Hal, a host of another competition."""
    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, "biopsy")
        other = competitions.open_(session, found.version, now=now, max_upload_bytes=10**6, slug="elsewhere")
    site.user("hal")
    with site.database.begin() as session:
        roles.add(session, other, "hal", Role.OWNER, by="grace", now=db.now(session))
    return site


def test_only_organisers_see_what_is_not_published(hosted: Site) -> None:
    grace = hosted.browser("grace")
    for title, publish in (("Shown", "now"), ("Sketch", "draft"), ("Gone", "now")):
        assert grace.post(PAGE, {"title": title, "text": "x", "publish": publish}).status_code == 303
    hosted.announce("Later", hours=2)
    assert grace.post(f"{PAGE}/3/withdraw").status_code == 303
    for name in (None, "ada", "bob", "hal", "grace"):
        browser = hosted.browser(name) if name else hosted.visitor()
        seen = re.findall(r'<article class="message.*?<h2>(.*?)</h2>', browser.get(PAGE).text, re.S)
        expected = ["Shown"] if name != "grace" else ["Sketch", "Later", "Gone", "Shown"]
        assert seen == expected, name
        if name is None:
            continue
        listed = call(hosted, "GET", API, name).json["announcements"]
        assert [one["title"] for one in listed] == expected, name
    assert actions(hosted) == [
        *("announcement published", "announcement saved", "announcement published"),
        *("announcement published", "announcement withdrawn"),
    ]


def test_scheduled_announcement_is_shown_from_its_time_on(site: Site) -> None:
    grace = site.browser("grace")
    form = {"title": "Soon", "text": "x", "publish": "at", "publish_at": "2040-01-01T10:00"}
    page = grace.post(PAGE, form, follow_redirects=True).text
    assert "will be published on 2040-01-01 at 10:00 Europe/Berlin" in page
    assert 'value="2040-01-01T10:00"' in grace.get(f"{PAGE}/1").text
    ada = site.browser("ada")
    assert ("Soon" in ada.get(PAGE).text, unread(ada)) == (False, 0)
    with site.database.begin() as session:
        session.get_one(Announcement, 1).publish_at = db.now(session)
    assert (unread(ada), "Soon" in ada.get(PAGE).text, unread(ada)) == (1, True, 0)
    wrong = grace.post(PAGE, {**form, "publish_at": "tomorrow"})
    assert (wrong.status_code, "is not a date and time" in wrong.text) == (422, True)


def test_opening_the_page_marks_as_read_for_one_account_only(site: Site) -> None:
    site.announce("One")
    site.announce("Two")
    ada, bob = site.browser("ada"), site.browser("bob")
    assert (unread(ada), unread(bob)) == (2, 2)
    assert ">2 new messages</a>" in ada.get("/").text
    assert "new message" not in bob.get("/").text, "he has not joined it"
    assert ada.get(PAGE).text.count(">new</span>") == 2
    assert ada.get(PAGE).text.count(">new</span>") == 0
    assert (unread(ada), unread(bob), unread(site.visitor())) == (0, 2, 0)
    assert "new message" not in ada.get("/").text
    assert call(site, "GET", API, "bob").json["unread"] == 2
    assert call(site, "POST", f"{API}/read", "bob").json == {"read": 2}
    assert (unread(bob), call(site, "POST", f"{API}/read", "bob").json) == (0, {"read": 0})
    site.announce("Three")
    assert (unread(ada), unread(bob)) == (1, 1)
    read = ada.get(PAGE) and ada.get("/account/data.json").json
    assert read is not None
    assert [one["title"] for one in read["announcements_read"]] == ["One", "Two", "Three"]


def test_edited_announcement_is_marked_and_not_new_again(site: Site) -> None:
    number = site.announce("Frist", "Old words")
    ada, grace = site.browser("ada"), site.browser("grace")
    assert "Old words" in ada.get(PAGE).text
    assert grace.post(f"{PAGE}/{number}", {"title": "First", "text": "New words"}).status_code == 303
    page = ada.get(PAGE).text
    assert ("New words" in page, "edited at" in page, ">new</span>" in page) == (True, True, False)
    body = {"title": "First", "text": "New words"}
    same = call(site, "PATCH", f"{API}/{number}", "grace", json=body).json["announcements"][0]
    assert (same["state"], same["edited_at"] is not None) == ("published", True)
    assert actions(site) == ["announcement published", "announcement edited"], "the same words are no edit"
    assert call(site, "DELETE", f"{API}/{number}", "grace").json["announcements"][0]["state"] == "withdrawn"
    assert call(site, "PATCH", f"{API}/{number}", "grace", json=body).status_code == 409
    assert "New words" not in ada.get(PAGE).text


def test_preview_shows_the_words_and_writes_nothing(site: Site) -> None:
    grace = site.browser("grace")
    shown = grace.post(PAGE, {"title": "Plan", "text": "**soon**", "act": "preview", "publish": "draft"})
    assert "<strong>soon</strong>" in shown.text
    assert ">**soon**</textarea>" in shown.text
    assert 'value="draft" checked' in shown.text
    empty = grace.post(PAGE, {"title": "", "text": " ", "act": "preview"})
    assert (empty.status_code, empty.text.count("<li>A t")) == (422, 2)
    assert call(site, "GET", API, "grace").json["announcements"] == []


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;"),
        ("<img src=x onerror=alert(1)>", "&lt;img"),
        ("a ![x](https://elsewhere.example/pixel.png)", "<p>a </p>"),
        ("[x](javascript:alert(1))", "javascript:alert"),
        ("[x](https://elsewhere.example)", 'rel="nofollow noopener"'),
        ("[x](//elsewhere.example)", "x"),
    ],
)
def test_markdown_of_an_announcement_carries_no_markup_of_its_own(
    site: Site, text: str, harmless: str
) -> None:
    site.announce("<b>Title</b>", text)
    page = site.visitor().get(PAGE).text.partition('<article class="message')[2].partition("</article>")[0]
    assert "&lt;b&gt;Title" in page
    assert harmless in page
    for tag in ("<script", "<img", 'href="javascript', 'href="//'):
        assert tag not in page


def test_announcement_to_all_is_on_every_page_until_it_is_read(site: Site) -> None:
    grace, ada = site.browser("grace"), site.browser("ada")
    form = {"title": "Down on Saturday", "text": "From 8 to 9.", "publish": "now"}
    assert ada.post("/announcements", form).status_code == 404
    assert grace.post("/announcements", form).status_code == 303
    site.user("new")
    for page in ("/", "/competitions/biopsy", "/competitions/biopsy/submissions", "/help"):
        assert "Down on Saturday" in ada.get(page).text, page
        assert "Down on Saturday" not in site.browser("new").get(page).text, "it is older than the account"
        assert "Down on Saturday" not in site.visitor().get(page).text, "a visitor has no mark"
    assert "From 8 to 9." in site.visitor().get("/announcements").text
    assert "Down on Saturday" not in ada.get(PAGE).text.partition("<main")[2], "it is of no competition"
    assert "From 8 to 9." in ada.get("/announcements").text
    assert "Down on Saturday" not in ada.get("/").text
    body = {"title": "Moved", "text": "To Sunday.", "publish_at": "2020-01-01T00:00:00Z"}
    made = call(site, "POST", "/api/v1/announcements", "grace", json=body)
    assert (made.status_code, made.json["announcements"][0]["state"]) == (201, "published")
    assert call(site, "GET", "/api/v1/announcements").json["unread"] == 1


def test_announcements_of_another_place_are_not_reached(hosted: Site) -> None:
    number = hosted.announce("Here")
    for path in ("/competitions/elsewhere/announcements", "/announcements"):
        grace = hosted.browser("grace")
        assert grace.get(f"{path}/{number}").status_code == 404
        assert grace.post(f"{path}/{number}/withdraw").status_code == 404
    assert hosted.browser("hal").post(f"{PAGE}/{number}/withdraw").status_code == 404


def test_pulse_of_an_open_page_has_what_is_new_to_its_viewer_and_no_private_score(site: Site) -> None:
    address = f"{PAGE}?part=pulse"
    ada, bob = site.browser("ada"), site.browser("bob")
    assert site.visitor().get(address).json == {"unread": 0, "news": []}
    first = ada.get(address)
    assert first.json == {"unread": 0, "news": []}
    again = ada.get(address, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    site.announce("A new date")
    site.announce("Maintenance", to_all=True)
    number = site.submit("ada")
    site.score(number, 0.3)
    site.ask("ada", "Mine alone?", is_public=False)
    announced = [
        {"key": "announcement-1", "words": "A new date", "address": PAGE},
        {"key": "announcement-2", "words": "Maintenance", "address": "/announcements"},
    ]
    words = f"Submission {number}: scored, public score 0.30000"
    result = {"key": f"submission-{number}-scored", "words": words, "address": f"/submissions/{number}"}
    assert ada.get(address).json == {"unread": 1, "news": announced}
    address += "&results=1"  # of a page that shows notifications
    assert ada.get(address).json == {"unread": 1, "news": [*announced, result]}
    assert bob.get(address).json == {"unread": 1, "news": announced}
    assert site.browser("grace").get(address).json == {"unread": 2, "news": announced}, "with the question"
    assert str(PRIVATE_CANARY) not in ada.get(address).text


def command(site: Site, *arguments: str, text: str = "") -> Result:
    installation = Installation(site.settings)
    installation.__dict__["database"] = site.database  # its tables were made without revisions
    return CliRunner().invoke(announcement_group, arguments, obj=installation, input=text)


def test_the_command_announces_schedules_edits_and_withdraws(site: Site) -> None:
    here = ("--competition", "biopsy")
    assert (
        command(site, "add", "Data", "-", *here, text="Read *this*.").stdout
        == "Announcement 1 is published.\n"
    )
    assert "<em>this</em>" in site.visitor().get(PAGE).text
    later = ("--at", "2093-01-01T08:00+01:00")
    planned = command(site, "add", "Later", "-", *here, *later, text="Soon.")
    assert planned.stdout == "Announcement 2 is scheduled for 2093-01-01T07:00:00+00:00.\n"
    kept = command(site, "edit", "2", "Later", "-", *here, text="Very soon.")
    assert kept.stdout == planned.stdout
    assert "Very soon" not in site.visitor().get(PAGE).text
    assert command(site, "edit", "2", "Now", "-", *here, "--now", text="Here.").stdout.endswith(
        "published.\n"
    )
    assert command(site, "edit", "1", "Data", "-", *here, text="Other.").stdout.endswith("published.\n")
    assert command(site, "add", "Draft", "-", "--draft", text="x").stdout == "Announcement 3 is draft.\n"
    assert command(site, "withdraw", "3").stdout == "Announcement 3 is deleted.\n"
    assert command(site, "withdraw", "1", *here).stdout == "Announcement 1 is withdrawn.\n"
    listed = command(site, "list", *here, "--json").stdout
    assert [(one["id"], one["state"]) for one in json.loads(listed)] == [(2, "published"), (1, "withdrawn")]
    assert "announcement edited" in actions(site)


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (("add", "", "-"), "", "a title has 1 to 120"),
        (("add", "x", "-", "--draft", "--at", "2093-01-01T08:00+01:00"), "x", "--at and --draft contradict"),
        (("add", "x", "-", "--competition", "nowhere"), "x", "nowhere"),
        (("edit", "9", "x", "-"), "x", "There is no announcement 9 here"),
        (("withdraw", "9"), "", "There is no announcement 9 here"),
    ],
)
def test_the_command_refuses_what_it_cannot_announce(
    site: Site, arguments: tuple[str, ...], text: str, words: str
) -> None:
    refused = command(site, *arguments, text=text)
    assert isinstance(refused.exception, Refused)
    assert words in refused.exception.message
    assert actions(site) == []
