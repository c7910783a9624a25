"""The pages and operations of a class's staff: who may do what, and the way from a roster to grades."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest

from app.base import db
from app.base.errors import Forbidden
from app.base.models_classes import Role
from app.classes import classes, progress, rosters, staff
from app.classes.rosters import Student
from app.competing import competitions
from app.people import accounts
from app.people.tokens import Scope
from scorer.report import Problem
from tests.web.site import PASSWORD, Site

HOME = "/classes/biopsy"
ALL = {"assistant", "instructor", "organiser"}
TEACHING = ALL - {"assistant"}
PAGES = {
    "GET students": ALL,
    "GET codes": ALL,
    "POST codes": ALL,
    "POST students": ALL,
    "POST students/1": ALL,
    "GET import": TEACHING,
    "POST import": TEACHING,
    "GET grades": TEACHING,
    "POST grades": TEACHING,
    "POST grades/fill": TEACHING,
    "GET settings": TEACHING,
    "POST settings": TEACHING,
    "POST competitions": TEACHING,
    "POST staff": TEACHING,
    "POST copy": TEACHING,
}
"""Of each page of a class: the roles that reach it."""
PEOPLE = {
    "tess": "assistant",
    "ivy": "instructor",
    "grace": "organiser",
    "ada": "student",
    "rex": "instructor of another class",
    "old": "former instructor",
    "bob": "none",
}


@pytest.fixture
def classed(site: Site) -> Iterator[Site]:
    """A class with Ada and a student that has not joined, and staff; another class with its instructor."""
    for name in ("tess", "ivy", "rex", "old"):
        site.user(name)
    with site.database.begin() as session:
        now = db.now(session)
        room = classes.make(session, "biopsy", title="Class", by="grace", now=now)
        other = classes.make(session, "other", by="grace", now=now)
        found = competitions.by_slug(session, site.slug)
        classes.add_competition(session, room, found, by="grace", now=now)
        one = rosters.add(session, room, Student(0, "Ada", "Lovelace", "S1", section="Mon"), by="g", now=now)
        one.user_id = accounts.by_name(session, "ada").id
        rosters.add(session, room, Student(0, "Kim", "Lee", "S2", section="Tue"), by="grace", now=now)
        staff.appoint(session, room, "tess", Role.ASSISTANT, by="grace", now=now)
        staff.appoint(session, room, "ivy", Role.INSTRUCTOR, by="grace", now=now)
        staff.appoint(session, other, "rex", Role.INSTRUCTOR, by="grace", now=now)
        former = staff.appoint(session, room, "old", Role.INSTRUCTOR, by="grace", now=now)
        staff.dismiss(session, room, former.id, by="grace", now=now)
    return site


def test_each_role_reaches_its_pages_of_a_class_and_no_other(classed: Site) -> None:
    for name, role in PEOPLE.items():
        browser = classed.browser(name)
        for page, reaching in PAGES.items():
            method, _, path = page.partition(" ")
            data = {"csrf_token": browser.csrf(), "file": (io.BytesIO(b""), "")}
            options = {} if method == "GET" else {"data": data, "content_type": "multipart/form-data"}
            answer = browser.client.open(f"{HOME}/{path}", method=method, **options)
            if role in reaching:
                assert answer.status_code in (200, 303, 404, 409, 422), (name, page)
                assert "There is no such page." not in answer.text, (name, page)
            else:
                expected = 403 if role == "assistant" else 404
                assert answer.status_code == expected, (name, page)
                assert "Lovelace" not in answer.text
    for name in ("tess", "ivy", "ada", "bob"):
        assert classed.browser(name).get("/classes/new").status_code == 404


def test_a_token_of_the_staff_does_in_the_api_what_its_pages_do(classed: Site) -> None:
    client = classed.visitor().client
    for name, statuses in {"tess": (200, 403), "ivy": (200, 200), "bob": (404, 404)}.items():
        scope = Scope.SUBMIT if name == "bob" else Scope.ORGANISE
        headers = classed.token(name, scope)
        found = tuple(
            client.get(f"/api/v1{HOME}/{path}", headers=headers).status_code
            for path in ("students", "grades")
        )
        # Without two baselines no default rule exists, which is the instructor's refusal.
        assert found in (statuses, (200, 422) if name == "ivy" else statuses), name
    narrow = client.get(f"/api/v1{HOME}/students", headers=classed.token("ivy", Scope.SUBMIT))
    assert narrow.status_code == 403
    assert (
        client.post(
            "/api/v1/classes", json={"title": "x"}, headers=classed.token("ivy", Scope.ORGANISE)
        ).status_code
        == 404
    )


def test_a_code_of_a_class_sets_no_password_of_another_classes_staff(classed: Site) -> None:
    with classed.database.begin() as session:
        now = db.now(session)
        room = classes.by_slug(session, "biopsy")
        one = rosters.add(session, room, Student(0, "Rex", "Roy", "S9"), by="tess", now=now)
        one.user_id = accounts.by_name(session, "rex").id
        number = one.id
    answer = classed.browser("tess").post(f"{HOME}/codes", {"student": str(number)})
    assert answer.status_code == 422
    assert "rex organises competitions or teaches a class" in answer.text
    with classed.database.read() as session:  # nor of the class's own instructor
        ivy = next(
            one.id for one, name in staff.listed(session, classes.by_slug(session, "biopsy")) if name == "ivy"
        )
    answer = classed.browser("tess").post(f"{HOME}/codes", {"student": str(ivy)})
    assert "A code is for an active student" in answer.text


def test_an_organiser_goes_from_four_answers_to_printed_codes(site: Site) -> None:
    grace = site.browser("grace")
    made = grace.post(
        "/classes/new",
        {
            "title": "Lernen aus Daten, Übung",
            "competition": "challenge:biopsy",
            "closes_at": "2037-01-10T12:00",
            "names": "pseudonym",
        },
    )
    assert made.location == "/classes/lernen-aus-daten-ubung/import"
    home = made.location.removesuffix("/import")
    with site.database.read() as session:
        its = classes.competitions_of(session, classes.by_slug(session, "lernen-aus-daten-ubung"))
        assert [(one.slug, f"{one.closes_at:%H:%M}") for one in its] == [
            ("biopsy-lernen-aus-daten-ubung", "11:00")  # noon in the challenge's zone, Berlin
        ]
    unknown = grace.post(f"{home}/import", {"text": "Wer,Wo\nAda Lovelace,Mon\nGrace Hopper,Tue"})
    assert (unknown.status_code, "What do the columns hold?" in unknown.text) == (422, True)
    sent = {"carried": hidden(unknown.text, "carried"), "map_0": "name", "map_1": "section"}
    preview = grace.post(f"{home}/import", sent)
    assert ("What would change" in preview.text, hidden(preview.text, "plan")) == (True, "2-0-0-0")
    assert members(site, "lernen-aus-daten-ubung") == []
    stale = grace.post(f"{home}/import", {**sent, "plan": "1-0-0-0", "action": "import"})
    assert "The class has changed since the preview" in stale.text
    stored = grace.post(f"{home}/import", {**sent, "plan": "2-0-0-0", "action": "import"})
    assert stored.location == f"{home}/codes"
    assert members(site, "lernen-aus-daten-ubung") == ["Grace Hopper", "Ada Lovelace"]
    again = grace.post(f"{home}/import", {"text": "Wer,Wo\nAda Lovelace,Mon\nGrace Hopper,Wed"})
    assert hidden(again.text, "plan") == "0-1-1-0"  # the mapping is remembered
    strips = grace.post(f"{home}/codes")
    found = re.findall(r"<dd>([0-9A-Z]{5}-[0-9A-Z]{5})</dd>", strips.text)
    assert (len(found), strips.headers["Cache-Control"]) == (2, "no-store")
    assert "0 personal codes" in grace.post(f"{home}/codes").text  # shown once
    code = re.search(r"<dd>([0-9A-Z]{4}-[0-9A-Z]{4})</dd>", strips.text)
    assert code is not None
    student = site.visitor()
    joined = student.post(
        "/join", {"class": code[1], "code": found[0], "name": "my own name", "password": PASSWORD}
    )
    assert joined.location == home
    assert "my own name" not in grace.get(f"{home}/students").text  # the pseudonym, as the class has it
    assert student.get(f"{home}/students").status_code == 404


def hidden(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def members(site: Site, slug: str) -> list[str]:
    with site.database.read() as session:
        room = classes.by_slug(session, slug)
        return [one.name for one in rosters.members(session, room) if one.role == Role.STUDENT]


def test_a_student_is_stuck_from_two_refused_files_until_one_is_scored(classed: Site) -> None:
    def stage() -> tuple[str, list[tuple[str, int]]]:
        with classed.database.read() as session:
            room = classes.by_slug(session, "biopsy")
            found = progress.of(session, room, competitions.by_slug(session, classed.slug))
            ada = next(one for one in found if one.account == "ada")
            return ada.stage.value, progress.by_refusal([ada])

    assert stage() == ("not submitted", [])
    first = classed.submit("ada", b"1")
    assert stage() == ("waiting", [])
    classed.reject(first, Problem("MISSING_IDS", "3 ids are missing, first 7.", count=3))
    assert stage() == ("stuck", [("MISSING_IDS", 1)])
    classed.score(classed.submit("ada", b"2"), 0.5)
    assert stage() == ("scored", [])
    classed.reject(classed.submit("ada", b"3"))
    assert stage() == ("scored", [])  # one refused file after a score is no reason to come over
    classed.reject(classed.submit("ada", b"4"))
    assert stage() == ("stuck", [("NOT_A_NUMBER", 1 + 0)])
    page = classed.browser("tess").get(f"{HOME}/students?state=stuck").text
    assert "<code>abc</code> is no number" in page
    assert "Kim Lee" not in page
    assert "Kim Lee" in classed.browser("tess").get(f"{HOME}/students?section=Tue").text
    live = classed.browser("tess").get(f"{HOME}/students?live=1&part=list").text
    assert ("<html" in live, "<form" in live, 'data-every="5"' in live) == (False, False, True)
    assert "<code>NOT_A_NUMBER</code> 1 student" in live


def test_a_student_is_added_by_hand_set_inactive_and_gets_a_new_password(classed: Site) -> None:
    tess = classed.browser("tess")
    added = tess.post(f"{HOME}/students", {"student": "Zoe Quinn", "section": "Mon"})
    (code,) = re.findall(r"<dd>([0-9A-Z]{5}-[0-9A-Z]{5})</dd>", added.text)
    with classed.database.read() as session:
        room = classes.by_slug(session, "biopsy")
        class_code = room.code
        (number,) = (one.id for one in rosters.members(session, room) if one.given == "Zoe")
    assert tess.post(f"{HOME}/students/{number}", {"active": "0"}).status_code == 303
    sent = {"class": class_code, "code": code, "password": PASSWORD}
    assert classed.visitor().post("/join", sent).status_code == 404  # the unused code has ended
    tess.post(f"{HOME}/students/{number}", {"active": "1"})
    (code,) = re.findall(
        r"<dd>([0-9A-Z]{5}-[0-9A-Z]{5})</dd>", tess.post(f"{HOME}/codes", {"student": str(number)}).text
    )
    assert classed.visitor().post("/join", {**sent, "code": code}).status_code == 303
    reset = tess.post(f"{HOME}/codes", {"student": str(number)})
    assert "Code for a new password" in reset.text
    assert tess.post(f"{HOME}/students/999", {"active": "0"}).status_code == 404


def test_grades_are_previewed_filled_and_left_empty_without_a_score(classed: Site) -> None:
    ivy = classed.browser("ivy")
    classed.score(classed.submit("ada"), 0.4, 0.5)
    page = ivy.get(f"{HOME}/grades").text
    assert "Grades need at least two baselines" in page
    falling = {"score": ["0.7", "0.2"], "percent": ["100", "0"]}
    assert "is worth less" in ivy.post(f"{HOME}/grades", falling).text
    rule = {"score": ["0.7", "0.2", ""], "percent": ["0", "100", ""], "missing": "empty"}
    assert ivy.post(f"{HOME}/grades", rule).status_code == 303
    page = ivy.get(f"{HOME}/grades").text
    assert ("A preview" in page, "60.00" in page) == (True, True)  # of the public score
    classed.change(grace_seconds=0)
    classed.close()
    page = ivy.get(f"{HOME}/grades").text
    assert ("40.00" in page, "has not joined the class" in page) == (True, True)
    export = b"\xef\xbb\xbfID number,Name,Biopsy triage\r\nS1,Ada Lovelace,\r\nS2,Kim Lee,-\r\n"

    def filled() -> bytes:
        data = {"csrf_token": ivy.csrf(), "file": (io.BytesIO(export), "grades (1).csv")}
        answer = ivy.client.post(
            f"{HOME}/grades/fill", data=data, content_type="multipart/form-data", buffered=True
        )
        assert "grades _1_-filled.csv" in answer.headers["Content-Disposition"]
        return answer.data

    assert filled() == export.replace(b"Lovelace,", b"Lovelace,40")
    ivy.post(f"{HOME}/grades", {**rule, "missing": "zero"})
    assert filled() == export.replace(b"Lovelace,", b"Lovelace,40").replace(b"Lee,-", b"Lee,0")


def test_a_class_is_archived_and_copied_for_the_next_term(classed: Site) -> None:
    ivy = classed.browser("ivy")
    (code,) = re.findall(
        r"<dd>([0-9A-Z]{5}-[0-9A-Z]{5})</dd>", ivy.post(f"{HOME}/codes", {"student": "2"}).text
    )
    ivy.post(f"{HOME}/settings", {"archived": "1"})
    with classed.database.read() as session:
        class_code = classes.by_slug(session, "biopsy").code
    sent = {"class": class_code, "code": code, "password": PASSWORD}
    assert "no class with this code" in classed.visitor().post("/join", sent).text
    assert ivy.get(f"{HOME}/students").status_code == 200
    copied = ivy.post(f"{HOME}/copy", {"title": "Next term"})
    assert copied.location == "/classes/next-term/settings"
    assert members(classed, "next-term") == []
    assert classed.browser("tess").get("/classes/next-term/students").status_code == 200
    with classed.database.read() as session, pytest.raises(Forbidden, match="An assistant may not import"):
        staff.permitted(session, "next-term", classed.viewer("tess"), staff.Right.ROSTER)


def test_a_carried_file_that_unpacks_to_too_much_is_refused(classed: Site) -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"a" * 50_000_000)).decode()
    answer = classed.browser("ivy").post(f"{HOME}/import", {"carried": bomb})
    assert answer.status_code == 413
    assert classed.browser("ivy").post(f"{HOME}/import", {"carried": "?"}).status_code == 422
