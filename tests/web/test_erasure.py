"""Erasing an account: what goes, what stays, and that no byte of the name is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import String, Text, select

from app.base import db, events
from app.base.errors import Conflict
from app.base.installation import Installation
from app.base.models import FormerName, Submission, Team, User
from app.base.models_messages import Question
from app.base.models_teams import MergeOffer
from app.base.tables import METADATA
from app.classes import classes, rosters
from app.cli.users import user_erase
from app.competing import competitions, erasure, leaderboard
from app.messages import questions
from app.people import accounts
from tests.web.site import PASSWORD, Site
from tests.web.test_classes import issue

NAME = "zsofia-quux"
ROSTER = "ID number,Name,Email\nS-914-772,Zsófia Quuxová,zs.quux@uni.example\n".encode()
DECISIONS: dict[str, str] = {
    "user_account": "renamed at random",
    "former_name": "deleted; a hash reserves the name",
    "sign_in": "deleted",
    "sign_in_try": "deleted by name; others expire after an hour",
    "token": "deleted",
    "upload_ticket": "deleted",
    "membership": "stays, with the random name",
    "team": "renamed where the name is the person's alone",
    "submission": "file name and message are emptied; file and scores stay",
    "file_check": "file name is emptied",
    "inspection": "team names in the result are replaced",
    "integrity_case": "team names in evidence are replaced",
    "competition_host": "the role ends",
    "draft": "an account with drafts is refused; an opened one holds only the owner's id",
    "draft_upload": "holds the uploader's id and the file's digest",
    "rules_acceptance": "stays, with the id",
    "announcement": "names no account",
    "announcement_reading": "deleted",
    "question": "deleted, or its words erased where all see its answer",
    "mail_address": "deleted",
    "letter": "deleted",
    "password_link": "deleted",
    "enrolment": "emptied; the pseudonym stays for grades",
    "join_code": "deleted",
    "extension": "the name that granted it is replaced; the reason is the organiser's",
    "merge_offer": "the name that made it is replaced",
    "admission": "deleted; the name that admitted others is replaced",
    "private_link": "the name that made it is replaced",
    "team_invite": "the name that made it is replaced",
    "rules_version": "the name that made it is replaced",
    "classroom": "the name that made it is replaced",
    "event": "append-only and chained: keeps the name, as the preview states",
}
WITHOUT_PEOPLE = {
    "challenge",
    "challenge_version",
    "competition",
    "round",
    "evaluation",
    "score",
    "standing",
    "frozen_standing",
    "quota",
    "train_file",
    "worker",
    "heartbeat",
    "inbox_key",
    "draft_file",
    "draft_step",
    "canned_answer",
    "letters_written",
    "alembic_version",
}


def board(site: Site) -> list[tuple[int | None, float]]:
    with site.database.read() as session:
        competition = competitions.by_slug(session, site.slug)
        return [
            (row.rank, row.score) for row in leaderboard.board(session, competition, now=db.now(session)).rows
        ]


def took_part(site: Site) -> None:
    """Let the person leave traces in every part of the installation."""
    site.user(NAME)
    site.join(NAME)
    site.score(site.submit(NAME, b"id,target\n1,0.1\n2,0.2\n", f"{NAME}-final.csv", f"by {NAME}"), 0.2)
    site.score(site.submit("ada"), 0.3)
    site.token(NAME)
    browser = site.browser(NAME)
    browser.post(f"/competitions/{site.slug}/team/method", {"method": f"{NAME} used trees"})
    site.visitor().post("/sign-in", {"name": NAME, "password": "wrong password"})
    with site.database.begin() as session:
        now = db.now(session)
        competition, viewer = competitions.by_slug(session, site.slug), site.viewer(NAME)
        for is_public in (True, False):
            title = f"Am I {NAME}?"
            questions.ask(session, competition, viewer, title, NAME, is_public=is_public, now=now)
        session.scalars(select(Question).where(Question.is_public)).one().answer = "Yes."
        classroom = classes.make(session, "ml", by=NAME, now=now)
        rosters.apply(session, classroom, rosters.plan(rosters.read(ROSTER), []), by="prof", now=now)
    (code,) = issue(site).values()
    with site.database.read() as session:
        class_code = classes.by_slug(session, "ml").code
    assert browser.post("/join", {"class": class_code, "code": code}).status_code == 303


def test_account_is_erased_and_ranks_stay(site: Site) -> None:
    took_part(site)
    before = board(site)
    browser = site.browser(NAME)
    page = browser.get("/account/erase").text
    assert "Erase zsofia-quux" in page
    assert "1 submission" in page
    wrong = browser.post("/account/erase", {"password": "not the password"})
    assert (wrong.status_code, "Nothing was erased" in wrong.text) == (422, True)
    assert browser.post("/account/erase", {"password": PASSWORD}).status_code == 303
    assert board(site) == before
    assert browser.get("/account").status_code == 303  # signed out
    assert site.visitor().post("/sign-in", {"name": NAME, "password": PASSWORD}).status_code == 401
    shown = site.visitor().get(f"/competitions/{site.slug}/leaderboard").text
    assert "former-participant-" in shown
    assert NAME not in shown
    with site.database.read() as session:
        sent = session.scalars(select(Submission).where(Submission.filename == "erased.csv")).one()
        assert (sent.message, sent.idempotency_key) == ("", None)
        assert site.storage.check(sent.sha256) is not None  # the file stays
        (enrolled,) = rosters.members(session, classes.by_slug(session, "ml"))
        assert (enrolled.name, enrolled.external_id, enrolled.email) == ("former student", None, None)


def test_no_byte_of_the_person_is_left_but_in_the_audit_log(site: Site) -> None:
    took_part(site)
    with site.database.begin() as session:
        erasure.erase(session, accounts.by_name(session, NAME), now=db.now(session))
    # The log is append-only: for this search alone the name is taken out of it.
    with site.database.engine.connect() as connection:
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'event'"
        ).all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("DELETE FROM event")
        connection.commit()
    assert site.database.compact()
    for text in (NAME, "quux@uni", "S-914-772", "Quuxov"):
        for path in Path(site.settings.data_dir).rglob("*"):
            if path.is_file():
                assert text.encode() not in path.read_bytes(), (text, path)


def test_every_table_that_can_name_a_person_has_a_decision() -> None:
    naming = {
        table.name
        for table in METADATA.sorted_tables
        if any(isinstance(column.type, String | Text) for column in table.columns)
        or any(
            key.column.table.name == "user_account" for column in table.columns for key in column.foreign_keys
        )
    }
    unknown = naming - set(DECISIONS) - WITHOUT_PEOPLE
    assert not unknown, f"decide in app/competing/erasure.py and here: {sorted(unknown)}"


def test_name_of_an_erased_account_is_taken(site: Site) -> None:
    took_part(site)
    with site.database.begin() as session:
        user = accounts.by_name(session, NAME)
        accounts.rename(session, user, "second-name", by="grace", now=db.now(session))
        erasure.erase(session, user, now=db.now(session))
        assert session.scalars(select(FormerName.name)).all() == ["", ""]
        for name in (NAME, NAME.replace("o", "0"), "second-name"):
            with pytest.raises(Conflict, match="an account that was erased had it"):
                accounts.register(session, name, None, now=db.now(session))
        accounts.register(session, "third-name", None, now=db.now(session))


def test_only_organiser_is_not_erased(site: Site) -> None:
    with site.database.begin() as session:
        grace = accounts.by_name(session, "grace")
        with pytest.raises(Conflict, match="the only organiser"):
            erasure.erase(session, grace, now=db.now(session))
        accounts.register(session, "hedy", None, now=db.now(session), is_organiser=True)
        erasure.erase(session, grace, now=db.now(session))


def test_captaincy_passes_on_and_the_team_of_two_keeps_its_name(site: Site) -> None:
    site.user(NAME)
    site.join(NAME)
    secret = site.invite(NAME)
    assert site.browser("bob").post(f"/competitions/{site.slug}/team/join/{secret}").status_code == 303
    with site.database.begin() as session:
        team = session.scalars(select(Team).where(Team.name == NAME)).one()
        team.name, team.skeleton, team.look = "The Trees", "the trees", "The Trees"
        erasure.erase(session, accounts.by_name(session, NAME), now=db.now(session))
        assert team.name == "The Trees"
        assert team.captain_id == accounts.by_name(session, "bob").id


def test_team_of_one_takes_no_members_after_its_captain_is_erased(site: Site) -> None:
    site.user(NAME)
    site.join(NAME)
    secret = site.invite(NAME)
    site.join("bob")
    offer = site.offer_merge("bob", NAME)
    with site.database.begin() as session:
        assert erasure.preview(session, accounts.by_name(session, NAME)).events >= 2
        erasure.erase(session, accounts.by_name(session, NAME), now=db.now(session))
        assert session.get_one(MergeOffer, offer).state == "withdrawn"
    site.user("kim")
    assert site.browser("kim").post(f"/competitions/{site.slug}/team/join/{secret}").status_code == 404


def test_command_states_what_goes_and_stays_and_asks(site: Site) -> None:
    took_part(site)
    installation = Installation(site.settings)
    vars(installation)["database"] = site.database  # which was made without revisions
    refused = CliRunner().invoke(user_erase, [NAME], input="n\n", obj=installation)
    assert "Kept with the old name:" in refused.output
    with site.database.read() as session:
        assert accounts.by_name(session, NAME).id
    done = CliRunner().invoke(user_erase, [NAME, "--yes"], obj=installation)
    assert "is erased; its scores are those of former-participant-" in done.output
    with site.database.read() as session:
        (pseudonym,) = session.scalars(select(User.name).where(User.name.startswith("former-participant-")))
        (event,) = events.latest(session, pseudonym)
        assert (event.actor, event.action) == ("command line", "account erased")
