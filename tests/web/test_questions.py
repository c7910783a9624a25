"""Questions: which viewer sees which, on the page, over the API and in exports; answers, marks and limits."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from app.base import db
from app.base.models import Event
from app.base.models_messages import Question
from app.base.models_roles import Role
from app.competing import competitions, roles
from app.people import rate_limits
from app.people.tokens import Scope
from tests.web.site import Browser, Site
from tests.web.test_announcements import unread

PAGE = "/competitions/biopsy/questions"
API = "/api/v1/competitions/biopsy/questions"
SECRET, SHOWN = "Is row 17 wrong?", "Are there wrong rows?"


def call(site: Site, method: str, path: str, name: str = "ada", **more: Any) -> Any:
    scope = Scope.ORGANISE if name in ("grace", "cohost", "hal") else None
    return site.visitor().client.open(path, method=method, headers=site.token(name, scope), **more)


def titles(site: Site, name: str | None) -> list[str]:
    """Return the questions that a viewer sees on the page, which the API lists too."""
    browser = site.browser(name) if name else site.visitor()
    found = re.findall(r'<article class="message[^>]*>\s*<h2>(.*?)</h2>', browser.get(PAGE).text)
    if name:
        assert [one["title"] for one in call(site, "GET", API, name).json["questions"]] == found
    return found


def everything(site: Site, name: str | None) -> bytes:
    """Return all bytes that a viewer can get which could speak of a question, with their headers."""
    browser = site.browser(name) if name else site.visitor()
    paths = [PAGE, "/competitions/biopsy", "/", "/competitions/biopsy/announcements"]
    answers = [browser.get(path) for path in paths]
    if name:
        answers += [browser.get("/account/data.json"), call(site, "GET", API, name)]
        answers += [call(site, "GET", "/api/v1/competitions/biopsy", name)]
    volatile = rb'csrf_token" value="[^"]+"|"(created|last_used)_at": ?"[^"]+"|data-changes-in="\d+"'
    return b"\n".join(
        re.sub(volatile, b"", answer.data) + repr([answer.status_code, answer.headers.get("ETag")]).encode()
        for answer in answers
    )


@pytest.fixture
def peopled(site: Site) -> Site:
    """Ada with Mia in one team, Bob in another, Host of this competition and Hal of another."""
    for name in ("mia", "cohost", "hal", "out"):
        site.user(name)
    site.enlist("mia", "ada")
    site.join("bob")
    with site.database.begin() as session:
        now = db.now(session)
        found = competitions.by_slug(session, "biopsy")
        other = competitions.open_(session, found.version, now=now, max_upload_bytes=10**6, slug="elsewhere")
        roles.add(session, found, "cohost", Role.COHOST, by="grace", now=now)
        roles.add(session, other, "hal", Role.OWNER, by="grace", now=now)
    return site


ROLES = (None, "out", "bob", "mia", "hal", "ada", "cohost", "grace")
HOSTS = ("cohost", "grace")


def test_each_viewer_sees_its_questions_and_no_other(peopled: Site) -> None:
    site = peopled
    public = site.ask("ada", "When is the end?", "See https://x.example/a.", is_public=True)
    private = site.ask("ada", SECRET, "My rows are secret.", is_public=False)
    hidden = site.ask("bob", "Buy this", is_public=True)
    assert call(
        site, "PATCH", f"{API}/{hidden}", "cohost", json={"hidden_why": "An advertisement"}
    ).status_code
    for name in ROLES:
        expected = {
            None: ["When is the end?"],
            "bob": ["Buy this", "When is the end?"],
            "ada": [SECRET, "When is the end?"],
            "cohost": ["Buy this", SECRET, "When is the end?"],
        }[name if name in ("bob", "ada") else "cohost" if name in HOSTS else None]
        assert titles(site, name) == expected, name
        seen = everything(site, name)
        assert (b"My rows are secret." in seen) == (name in ("ada", *HOSTS)), name
        assert (str(private).encode() in seen) == (name in ("ada", *HOSTS)), name
    assert "hidden: An advertisement" in site.browser("bob").get(PAGE).text
    assert str(public) in site.visitor().get(PAGE).text


def test_a_private_question_changes_no_byte_that_others_get(peopled: Site) -> None:
    site = peopled
    site.ask("ada", "When is the end?", is_public=True)
    others = (None, "out", "bob", "mia", "hal")
    for name in others:
        everything(site, name)  # makes tokens and sign-ins
    before = {name: everything(site, name) for name in others}
    number = site.ask("ada", SECRET, "Mine.", is_public=False)
    with site.database.begin() as session:
        session.get_one(Question, number).pinned_at = db.now(session)
    body = {"answer": "Only for you."}
    assert call(site, "POST", f"{API}/{number}/answer", "grace", json=body).status_code == 200
    assert {name: _shape(everything(site, name)) for name in others} == {
        name: _shape(found) for name, found in before.items()
    }


def _shape(found: bytes) -> bytes:
    """Return the bytes without times that run and the list of sign-ins, which grows with each look."""
    found = re.sub(rb'"sign_ins":\[.*?\]|"log":\[.*?\]', b"", found)
    return re.sub(rb"\d+ seconds? ago|just now|in \d+[\w: ]+", b"", found)


def test_the_public_answer_to_a_private_question_shows_neither_words_nor_name_of_the_asker(
    peopled: Site,
) -> None:
    site = peopled
    number = site.ask("ada", SECRET, "My rows are secret.", is_public=False)
    body = {"answer": "Row **17** is right.", "shown_as": SHOWN}
    assert call(site, "POST", f"{API}/{number}/answer", "cohost", json=body).status_code == 200
    for name in (None, "bob", "mia"):
        assert titles(site, name) == [SHOWN]
        page = (site.browser(name) if name else site.visitor()).get(PAGE).text.partition("<main")[2]
        assert "asked by a participant" in page
        assert "Row <strong>17</strong> is right." in page
        assert "secret" not in page
        assert "asked by ada" not in page
    [shown] = call(site, "GET", API, "bob").json["questions"]
    assert (shown["author"], shown["account"], shown["text"], shown["at"]) == (
        *(None, None, ""),
        shown["answered_at"],
    )
    assert titles(site, "ada") == [SECRET]
    back = {"answer": "Only for you.", "shown_as": ""}
    assert call(site, "POST", f"{API}/{number}/answer", "cohost", json=back).status_code == 200
    assert titles(site, "bob") == []
    public = site.ask("bob", "Open?", is_public=True)
    refused = call(site, "POST", f"{API}/{public}/answer", "cohost", json=body)
    assert (refused.status_code, "is public in the asker" in refused.json["detail"]) == (422, True)


def test_organisers_of_another_competition_reach_no_question_by_its_id(peopled: Site) -> None:
    site = peopled
    number = site.ask("ada", SECRET, is_public=False)
    body = {"answer": "Mine now"}
    for name, slug in (("hal", "biopsy"), ("hal", "elsewhere"), ("bob", "biopsy"), ("grace", "elsewhere")):
        api = f"/api/v1/competitions/{slug}/questions/{number}"
        assert call(site, "POST", f"{api}/answer", name, json=body).status_code == 404
        assert call(site, "PATCH", api, name, json={"is_pinned": True}).status_code == 404
        page = f"/competitions/{slug}/questions/{number}"
        assert site.browser(name).post(f"{page}/answer", {"text": "x"}).status_code == 404
        assert site.browser(name).post(f"{page}/mark", {"act": "pin"}).status_code == 404


def test_marks_of_new_answers_are_the_askers_and_of_open_questions_the_organisers(peopled: Site) -> None:
    site = peopled
    ada, bob, mia, host = (site.browser(name) for name in ("ada", "bob", "mia", "cohost"))
    number = site.ask("ada", SECRET, is_public=False)
    assert [unread(one) for one in (ada, bob, mia, host)] == [0, 0, 0, 1]
    assert host.post(f"{PAGE}/{number}/answer", {"text": "No."}).status_code == 303
    assert [unread(one) for one in (ada, bob, mia, host)] == [1, 0, 0, 0]
    assert "new answer" in ada.get(PAGE).text
    assert (unread(ada), "new answer" in ada.get(PAGE).text) == (0, False)
    assert host.post(f"{PAGE}/{number}/answer", {"text": "Yes, after all."}).status_code == 303
    assert (unread(ada), call(site, "POST", f"{API}/read").json, unread(ada)) == (1, {"read": 1}, 0)
    for act, waits in (("reopen", 1), ("answered", 0), ("reopen", 1)):
        assert host.post(f"{PAGE}/{number}/mark", {"act": act}).status_code == 303
        assert (unread(host), unread(mia)) == (waits, 0)
    assert host.post(f"{PAGE}/{number}/mark", {"act": "hide", "reason": ""}).status_code == 422
    assert host.post(f"{PAGE}/{number}/mark", {"act": "hide", "reason": "Twice"}).status_code == 303
    assert unread(host) == 0
    assert host.post(f"{PAGE}/{number}/mark", {"act": "show"}).status_code == 303
    assert host.post(f"{PAGE}/{number}/mark", {"act": "burn"}).status_code == 422


def test_canned_answer_is_inserted_below_what_is_typed_without_a_script(peopled: Site) -> None:
    site = peopled
    host = site.browser("cohost")
    number = site.ask("bob", "When?", is_public=True)
    form = {"title": "See the rules", "text": "It is in the *rules*."}
    assert host.post(f"{PAGE}/canned", form).status_code == 303
    assert host.post(f"{PAGE}/canned", {**form, "text": "Read the *rules*."}).status_code == 303
    [saved] = call(site, "GET", f"{API}/canned", "cohost").json["canned"]
    assert (saved["title"], saved["text"]) == ("See the rules", "Read the *rules*.")
    shown = host.post(f"{PAGE}/{number}/answer", {"text": "Hello.", "insert": str(saved["id"])}).text
    assert ">Hello.\n\nRead the *rules*.</textarea>" in shown
    assert titles(site, "bob") == ["When?"]
    assert call(site, "GET", API, "bob").json["questions"][0]["answer"] is None, "nothing was saved"
    assert site.browser("hal").post(f"{PAGE}/{number}/answer", {"insert": "1"}).status_code == 404
    assert "Read the" not in site.browser("bob").get(PAGE).text
    assert call(site, "DELETE", f"{API}/canned/{saved['id']}", "cohost").json["canned"] == []


def test_pinned_questions_come_first_and_actions_are_logged_without_the_words(peopled: Site) -> None:
    site = peopled
    host = site.browser("cohost")
    first = site.ask("ada", SECRET, "My rows are secret.", is_public=True)
    site.ask("bob", "Second", is_public=True)
    assert titles(site, None) == ["Second", SECRET]
    for act in ("pin", "pin"):
        assert host.post(f"{PAGE}/{first}/mark", {"act": act}).status_code == 303
    assert titles(site, None) == [SECRET, "Second"]
    host.post(f"{PAGE}/{first}/answer", {"text": "An answer"})
    with site.database.read() as session:
        logged = session.scalars(select(Event).where(Event.action.startswith("question"))).all()
    assert [(one.actor, one.action) for one in logged] == [
        *(("ada", "question asked"), ("bob", "question asked")),
        *(("cohost", "question pinned"), ("cohost", "question answered")),
    ]
    assert "row 17" not in str([one.detail for one in logged])
    assert "secret" not in str([one.detail for one in logged])


def test_participants_ask_while_questions_are_taken(peopled: Site) -> None:
    site = peopled
    body = {"title": "May I?", "is_public": True}
    refused = call(site, "POST", API, "out", json=body)
    assert (refused.status_code, "Join Biopsy triage first" in refused.json["detail"]) == (403, True)
    assert site.visitor().post(PAGE, {"title": "May I?"}).status_code == 303
    settings = {"allows_public": False, "ends_with_competition": True}
    assert call(site, "PUT", f"{API}/settings", "bob", json=settings).status_code == 404
    assert call(site, "PUT", f"{API}/settings", "cohost", json=settings).json["allows_public"] is False
    assert call(site, "POST", API, json=body).status_code == 422
    assert 'value="all"' not in site.browser("ada").get(PAGE).text
    assert call(site, "POST", API, json={**body, "is_public": False}).status_code == 201
    site.close()
    closed = call(site, "POST", API, json={**body, "is_public": False})
    assert (closed.status_code, "ended with the competition" in closed.json["detail"]) == (403, True)
    assert "Questions ended" in site.browser("ada").get(PAGE).text
    assert site.browser("cohost").post(f"{PAGE}/settings", {"allows_public": "1"}).status_code == 303
    assert call(site, "POST", API, json=body).status_code == 201


def test_questions_of_an_account_are_limited_and_their_words_bounded(peopled: Site) -> None:
    site = peopled
    wrong = site.browser("ada").post(
        PAGE,
        {"title": "", "text": "y" * 4001, "audience": "all"},
        headers={"Referer": f"http://localhost{PAGE}"},
    )
    assert (wrong.status_code, "title has 1 to 120" in wrong.text) == (422, True)
    assert "text has 0 to 4000 characters; this one has 4001" in wrong.text
    assert ">yyyy" in wrong.text, "what was typed is still there"
    for number in range(rate_limits.PER_QUESTION):
        answer = call(site, "POST", API, json={"title": f"Nr {number}", "is_public": True})
        assert answer.status_code == 201
    late = call(site, "POST", API, json={"title": "One more", "is_public": False})
    assert (late.status_code, "6 questions an hour" in late.json["detail"]) == (429, True)
    assert int(late.headers["Retry-After"]) > 3000
    assert call(site, "POST", API, "bob", json={"title": "Mine", "is_public": True}).status_code == 201


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("**no** [x](javascript:alert(1))", "**no** [x](javascript:alert(1))"),
        ("See https://x.example/a?b=1&c=2.", "https://x.example/a?b=1&amp;c=2</a>."),
        ("https://x.example/", '<a href="https://x.example/" rel="nofollow ugc noopener">https'),
        ('https://x.example/"onclick="a', "https://x.example/</a>&#34;onclick=&#34;a"),
        ("one\n\ntwo", "<p>one</p>\n<p>two</p>"),
        ("a\u202eb\x07c", "<p>abc</p>"),
    ],
)
def test_words_of_a_question_are_text_with_links_that_show_their_address(
    site: Site, text: str, shown: str
) -> None:
    body = {"title": "<b>x</b>", "text": text, "is_public": True}
    assert call(site, "POST", API, json=body).status_code == 201
    page = site.visitor().get(PAGE).text.partition('<article class="message')[2].partition("</article>")[0]
    assert "<h2>&lt;b&gt;x&lt;/b&gt;</h2>" in page
    assert shown in page


def test_export_of_an_account_has_its_questions_with_their_answers(peopled: Site) -> None:
    site = peopled
    number = site.ask("ada", SECRET, "Mine.", is_public=False)
    site.ask("bob", "Bobs", is_public=True)
    call(site, "POST", f"{API}/{number}/answer", "cohost", json={"answer": "No."})
    assert site.browser("ada").get(PAGE).status_code == 200
    data: Any = site.browser("ada").get("/account/data.json").json
    [kept] = data["questions"]
    assert (kept["title"], kept["text"], kept["answer"], kept["is_public"]) == (SECRET, "Mine.", "No.", False)
    assert kept["answer_read_at"] is not None


def test_names_are_those_of_now(peopled: Site) -> None:
    site = peopled
    site.ask("ada", "When?", is_public=True)
    ada: Browser = site.browser("ada")
    assert ada.post("/competitions/biopsy/team", {"name": "The Adas"}).status_code == 303
    assert "asked by The Adas" in site.visitor().get(PAGE).text
    assert "asked by The Adas (ada)" in site.browser("cohost").get(PAGE).text


def test_a_question_is_changed_by_its_asker_until_it_is_answered(peopled: Site) -> None:
    number = peopled.ask("bob", "Whne is it?", is_public=True)
    edit = f"{PAGE}/{number}/edit"
    bob = peopled.browser("bob")
    assert f'action="{edit}"' in bob.get(PAGE).text
    assert bob.post(edit, {"title": "When is it?", "text": "The end"}).status_code == 303
    page = peopled.browser("ada").get(PAGE).text
    assert "When is it?" in page
    assert ">edited</span>" in page
    assert f'action="{edit}"' not in page
    assert peopled.browser("ada").post(edit, {"title": "Mine"}).status_code == 404
    words = {"title": "When is the end?", "text": ""}
    assert call(peopled, "PUT", f"{API}/{number}/words", "ada", json=words).status_code == 404
    changed = call(peopled, "PUT", f"{API}/{number}/words", "bob", json=words).json["questions"]
    [mine] = [one for one in changed if one["id"] == number]
    assert (mine["title"], mine["is_editable"], mine["edited_at"] is None) == (
        "When is the end?",
        True,
        False,
    )
    assert bob.post(edit, {"title": ""}).status_code == 422
    peopled.browser("grace").post(f"{PAGE}/{number}/answer", {"text": "In May."})
    assert bob.post(edit, {"title": "Another question"}).status_code == 409
    assert f'action="{edit}"' not in bob.get(PAGE).text
    with peopled.database.read() as session:
        found = session.scalars(select(Event).where(Event.action == "question edited")).all()
    assert [event.detail for event in found] == 2 * [{"question": number, "public": True}]
