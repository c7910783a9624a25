"""What waits for a viewer is counted in one statement, on both databases."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select, true

from app.base.models_messages import Announcement, AnnouncementReading, Question
from app.competing import competitions, teams
from app.messages import announcements, questions, waiting
from app.messages.questions import Settings
from app.messages.waiting import Waiting
from app.people import accounts
from app.people.accounts import Viewer
from tests.app.conftest import NOON, World

HOUR = timedelta(hours=1)
WORDS = announcements.Words("A new date", "Later.")


def viewer(world: World, name: str, *, hosts: bool = False) -> Viewer:
    with world.database.read() as session:
        user = accounts.by_name(session, name)
        hosted = frozenset({competitions.by_slug(session, world.slug).id}) if hosts else frozenset()
        return Viewer(user.id, user.name, False, hosted)


def waits(world: World, of: Viewer) -> Waiting:
    with world.database.read() as session:
        return waiting.of(session, world.slug, of, seen=true(), now=NOON)


def everywhere(world: World, of: Viewer) -> int:
    with world.database.read() as session:
        return sum(waiting.by_competition(session, of, now=NOON).values())


def test_announcements_and_questions_wait_until_they_are_read_or_answered(world: World) -> None:
    ada, bob, host = viewer(world, "ada"), viewer(world, "bob"), viewer(world, "bob", hosts=True)
    with world.database.begin() as session:
        here = competitions.by_slug(session, world.slug)
        for at in (NOON, NOON + HOUR, None):
            announcements.create(session, here, WORDS, publish_at=at, by="grace", now=NOON)
        announcements.create(session, None, WORDS, publish_at=NOON, by="grace", now=NOON)
        number = questions.ask(session, here, ada, "When?", "", is_public=False, now=NOON)
        questions.set_settings(session, here, Settings(False, True), by="grace", now=NOON)
        questions.set_settings(session, here, Settings(True, True), by="grace", now=NOON)
    assert waits(world, ada) == waits(world, bob)
    assert waits(world, ada).announcements == ((1, "A new date"),)
    assert (waits(world, ada).notice, waits(world, ada).questions) == ((4, "A new date"), 0)
    assert waits(world, host).questions == 1
    assert (everywhere(world, ada), everywhere(world, host)) == (1, 2)
    with world.database.begin() as session:
        here = competitions.by_slug(session, world.slug)
        questions.answer(session, here, number, "Soon.", by="grace", now=NOON)
        assert questions.settings(session, here) == Settings(True, True)
        assert [one.answer for one in questions.listed(session, here, ada)] == ["Soon."]
        assert questions.listed(session, here, bob) == []
        assert announcements.mark_read(session, here, ada, now=NOON) == 1
        assert announcements.mark_read(session, None, ada, now=NOON) == 1
    assert waits(world, ada) == Waiting(questions=1)
    assert (waits(world, host).questions, waits(world, bob).of_competition) == (0, 1)
    with world.database.begin() as session:
        here = competitions.by_slug(session, world.slug)
        assert [questions.mark_read(session, here, one, now=NOON) for one in (ada, ada, bob)] == [1, 0, 0]
    assert waits(world, ada) == Waiting()
    assert everywhere(world, ada) == 0


def test_deleting_a_competition_takes_its_messages_with_it(world: World) -> None:
    ada = viewer(world, "ada")
    with world.database.begin() as session:
        other = competitions.open_(
            session, world.competition().version, now=NOON, max_upload_bytes=10**6, slug="elsewhere"
        )
        teams.join(session, other, ada, now=NOON)
        announcements.create(session, other, WORDS, publish_at=NOON, by="grace", now=NOON)
        announcements.mark_read(session, other, ada, now=NOON)
        questions.ask(session, other, ada, "When?", "", is_public=True, now=NOON)
        questions.save_canned(session, other, "Soon", "Soon.", by="grace", now=NOON)
        questions.set_settings(session, other, Settings(False, True), by="grace", now=NOON)
        tables = world.competition().metadata.tables
        for name in ("membership", "team", "round", "competition"):
            column = tables[name].c.id if name == "competition" else tables[name].c.competition_id
            session.execute(tables[name].delete().where(column == other.id))
        for table in (Announcement, AnnouncementReading, Question):
            assert session.scalar(select(func.count()).select_from(table)) == 0
