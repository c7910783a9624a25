"""Joining a class by code, in the browser."""

from __future__ import annotations

from app.base import config, db
from app.base.models import Competition
from app.classes import classes, codes, rosters
from app.competing import competitions
from app.people import accounts, rate_limits
from tests.web.site import PASSWORD, Site

ROSTER = b"ID number,Name,Section\nS1,Ada Lovelace,Monday\nS2,Grace Hopper,Tuesday\n"


def make_class(site: Site) -> tuple[str, dict[str, str]]:
    """Make a class of two with the competition; return its code and the personal codes by student number."""
    with site.database.begin() as session:
        now = db.now(session)
        classroom = classes.make(session, "ml", title="Machine learning", by="prof", now=now)
        plan = rosters.plan(rosters.read(ROSTER), [])
        rosters.apply(session, classroom, plan, by="prof", now=now)
        competition: Competition = competitions.by_slug(session, site.slug)
        classes.add_competition(session, classroom, competition, by="prof", now=now)
    return classroom.code, issue(site)


def issue(site: Site, **how: object) -> dict[str, str]:
    with site.database.begin() as session:
        classroom = classes.by_slug(session, "ml")
        key = config.secret_key(site.settings)
        issued = codes.issue(session, classroom, key=key, by="prof", now=db.now(session), **how)  # type: ignore[arg-type]
        return {one.enrolment.external_id or "": one.code for one in issued}


def members(site: Site) -> dict[str, tuple[int, int | None]]:
    with site.database.read() as session:
        found = rosters.members(session, classes.by_slug(session, "ml"))
        return {one.external_id or "": (one.id, one.user_id) for one in found}


def test_a_student_joins_with_two_codes_and_finds_the_competition(site: Site) -> None:
    class_code, personal = make_class(site)
    browser = site.with_settings(registration="closed").visitor()
    assert 'value="ABCD"' in browser.get("/join?class=ABCD").text
    sent = {"class": class_code.lower(), "code": codes.shown(personal["S1"]).lower(), "name": "countess"}
    answer = browser.post("/join", {**sent, "password": PASSWORD})
    assert (answer.status_code, answer.location) == (303, "/classes/ml")
    page = browser.get("/classes/ml").text
    assert "Machine learning" in page
    assert "section Monday" in page
    assert f'href="/competitions/{site.slug}"' in page
    with site.database.read() as session:
        assert members(site)["S1"][1] == accounts.by_name(session, "countess").id

    again = site.visitor().post("/join", {**sent, "name": "eve", "password": PASSWORD})
    assert again.status_code == 404
    assert "not valid in this class" in again.text


def test_without_a_name_the_account_has_the_pseudonym(site: Site) -> None:
    class_code, personal = make_class(site)
    browser = site.visitor()
    browser.post("/join", {"class": class_code, "code": personal["S2"], "password": PASSWORD})
    with site.database.read() as session:
        (grace,) = [
            one for one in rosters.members(session, classes.by_slug(session, "ml")) if one.external_id == "S2"
        ]
        assert accounts.by_name(session, grace.pseudonym).id == grace.user_id
    assert grace.pseudonym in browser.get("/classes/ml").text


def test_an_account_joins_and_only_members_see_the_class(site: Site) -> None:
    class_code, personal = make_class(site)
    ada = site.browser("ada")
    assert ada.get("/classes/ml").status_code == 404
    assert ada.get("/classes/no-class").status_code == 404
    assert "You join as ada." in ada.get("/join").text
    assert ada.post("/join", {"class": class_code, "code": personal["S1"]}).location == "/classes/ml"
    assert ada.get("/classes/ml").status_code == 200
    second = ada.post("/join", {"class": class_code, "code": personal["S2"]})
    assert (second.status_code, "in this class already" in second.text) == (409, True)
    assert site.visitor().get("/classes/ml").status_code == 303
    with site.database.begin() as session:  # the next roster does not have Ada
        classroom = classes.by_slug(session, "ml")
        roster = rosters.read(b"ID number,Name\nS2,Grace Hopper\n")
        plan = rosters.plan(roster, rosters.members(session, classroom))
        rosters.apply(session, classroom, plan, by="prof", now=db.now(session))
    assert ada.get("/classes/ml").status_code == 404


def test_a_new_code_of_a_student_sets_a_new_password(site: Site) -> None:
    class_code, personal = make_class(site)
    first = site.visitor()
    first.post("/join", {"class": class_code, "code": personal["S1"], "name": "kim", "password": PASSWORD})
    assert issue(site) == {}
    enrolment_id, user_id = members(site)["S1"]
    (code,) = issue(site, only=[enrolment_id], again=True).values()
    answer = site.visitor().post(
        "/join", {"class": class_code, "code": code, "name": "ignored", "password": "a new password"}
    )
    assert answer.status_code == 303
    assert members(site)["S1"][1] == user_id
    assert site.visitor().post("/sign-in", {"name": "kim", "password": PASSWORD}).status_code == 401
    assert site.visitor().post("/sign-in", {"name": "kim", "password": "a new password"}).status_code == 303
    assert first.get("/classes/ml").status_code == 303  # the browser of before is signed out


def test_a_wrong_code_says_neither_whose_it_is_nor_why(site: Site) -> None:
    class_code, personal = make_class(site)
    for code in ("", "0000000000", personal["S1"][:-1], "' OR 1=1 --"):
        answer = site.visitor().post("/join", {"class": class_code, "code": code, "password": PASSWORD})
        assert (answer.status_code, "not valid in this class" in answer.text) == (404, True)
    unknown = site.visitor().post(
        "/join", {"class": "ZZZZZZZZ", "code": personal["S1"], "password": PASSWORD}
    )
    assert "no class with this code" in unknown.text
    weak = site.visitor().post("/join", {"class": class_code, "code": personal["S1"], "password": "short"})
    assert (weak.status_code, "at least 8" in weak.text) == (422, True)
    assert members(site)["S1"][1] is None  # the code was not used up


def test_guesses_of_one_student_delay_no_other(site: Site) -> None:
    class_code, personal = make_class(site)
    guesser = site.visitor()
    for _ in range(rate_limits.PER_ROOM):
        guesser.post("/join", {"class": class_code, "code": "0000000000", "password": PASSWORD})
    held = guesser.post("/join", {"class": class_code, "code": "0000000000", "password": PASSWORD})
    assert (held.status_code, "Too many codes" in held.text) == (429, True)
    sent = {"class": class_code, "code": personal["S1"], "password": PASSWORD}
    assert site.visitor().post("/join", sent).status_code == 303


def test_one_valid_code_buys_no_unlimited_hashes(site: Site) -> None:
    class_code, personal = make_class(site)
    sent = {"class": class_code, "code": personal["S1"], "password": "short"}
    for _ in range(rate_limits.PER_CODE):
        assert site.visitor().post("/join", sent).status_code == 422
    assert site.visitor().post("/join", sent).status_code == 429
    assert (
        site.visitor().post("/join", {**sent, "code": personal["S2"], "password": PASSWORD}).status_code
        == 303
    )


def test_a_code_sets_no_password_of_an_account_that_became_an_organiser(site: Site) -> None:
    class_code, personal = make_class(site)
    sent = {"class": class_code, "code": personal["S1"], "name": "kim", "password": PASSWORD}
    site.visitor().post("/join", sent)
    (code,) = issue(site, only=[members(site)["S1"][0]], again=True).values()
    with site.database.begin() as session:
        accounts.by_name(session, "kim").is_organiser = True
    answer = site.visitor().post("/join", {"class": class_code, "code": code, "password": "a new password"})
    assert (answer.status_code, "kim organises competitions" in answer.text) == (422, True)
    assert site.visitor().post("/sign-in", {"name": "kim", "password": PASSWORD}).status_code == 303
