"""Each change that participants must know announces itself with the old and the new value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base.errors import Refused
from app.base.models import Competition
from app.base.models_messages import Announcement
from app.competing import changes, competitions, rules
from app.competing.automatic_announcements import LONGEST_NOTE, SILENT
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

pytestmark = on_sqlite
DAY = timedelta(days=1)


def announced(world: World) -> list[tuple[str, str]]:
    with world.database.read() as session:
        found = session.scalars(select(Announcement).order_by(Announcement.id)).all()
        assert all(one.is_automatic and one.publish_at == NOON for one in found)
        return [(one.title, one.text) for one in found]


def change(world: World, note: str = "", **wished: Any) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        changes.apply(session, competition, wished, by="grace", now=NOON, most_upload_mb=100, note=note)


CASES: dict[str, tuple[Any, str, str]] = {
    "opens_at": (NOON + DAY, "2026-03-29 14:00 Europe/Berlin", "2026-04-14 14:00 Europe/Berlin"),
    "closes_at": (NOON + 2 * DAY, "2026-03-30 14:00 Europe/Berlin", "no closing date"),
    "board_frozen_at": (NOON + DAY, "2026-03-29 14:00 Europe/Berlin", "never"),
    "entry_closes_at": (NOON + DAY, "2026-03-29 14:00 Europe/Berlin", "the close"),
    "teams_close_at": (NOON + DAY, "2026-03-29 14:00 Europe/Berlin", "the close"),
    "daily_limit": (9, "9", "5"),
    "total_limit": (90, "90", "no limit"),
    "pending_limit": (7, "7", "10"),
    "final_picks": (1, "1", "2"),
    "max_team_size": (3, "3", "4"),
    "max_upload_mb": (2.5, "2.5", "10"),
    "public_score": ("rounded", "rounded", "exact"),
    "mark_agents": (True, "yes", "no"),
    "late_submissions": (True, "yes", "no"),
    "paused": (True, "yes", "no"),
    "archived": (True, "yes", "no"),
}


def test_the_table_has_each_term_that_is_announced(world: World) -> None:
    assert announced(world) == []
    assert set(CASES) == set(changes.CHANGEABLE) - set(SILENT)


@pytest.mark.parametrize("name", CASES)
def test_each_changed_term_is_announced_with_both_values(world: World, name: str) -> None:
    new, after, before = CASES[name]
    if name == "opens_at":
        world.change(opens_at=NOON + 17 * DAY)
    world.change(public_score="exact")
    if name == "archived":
        world.change(closes_at=NOON - DAY)
    change(world, **{name: new})
    [(title, text)] = announced(world)
    assert f"**{after}** from now on, {before} until now." in text
    assert after in title or title.startswith(
        ("Uploads are paused", "Late files are", "The competition is archived")
    )
    change(world, **{name: new})
    assert len(announced(world)) == 1, "nothing changed"


def publish(text: str) -> Callable[[Session, Competition], Any]:
    return lambda session, competition: rules.publish(session, competition, text, by="grace", now=NOON)


def test_changed_rules_are_announced_and_first_ones_are_not(world: World) -> None:
    for text, number in (("First.", 0), ("First.", 0), ("Second.", 1)):
        with world.database.begin() as session:
            publish(text)(session, competitions.by_slug(session, world.slug))
        assert len(announced(world)) == number
    [(title, text)] = announced(world)
    assert title == "The rules have changed"
    assert "Version 2 of the [rules](/competitions/biopsy/rules) holds from now on, version 1 until" in text


def test_an_early_close_is_announced_once(world: World) -> None:
    world.change(closes_at=NOON + DAY)
    with world.database.begin() as session:
        competitions.close(session, competitions.by_slug(session, world.slug), by="grace", now=NOON)
    [(title, text)] = announced(world)
    assert title == "The competition is closed"
    assert "**2026-03-28 13:00 Europe/Berlin** from now on, 2026-03-29 14:00 Europe/Berlin until now." in text


def test_the_organisers_words_come_first_and_a_silent_change_has_none(world: World) -> None:
    change(world, title="New", summary="Other")
    assert announced(world) == []
    change(world, "The *power* failed.", title="Newer", daily_limit=6, final_picks=1)
    [(title, text)] = announced(world)
    assert title == "Terms of the competition have changed"
    assert text.startswith("The *power* failed.\n\n- Uploads of a team a day: **6**")
    assert text.count("\n- ") == 2, "the title is not in it"
    for note, wished in (("Why", {"title": "Newest"}), ("x" * (LONGEST_NOTE + 1), {"daily_limit": 7})):
        with pytest.raises(Refused, match=r"leave the note out|at most 2000"):
            change(world, note, **wished)
    assert world.competition().title == "Newer"


def test_an_announcement_of_a_limit_says_nothing_of_the_teams_that_have_reached_it(world: World) -> None:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        found = changes.plan(session, competition, {"daily_limit": 1}, now=NOON, most_upload_mb=100)
    assert found.announcement is not None
    assert "team has reached" in found.changes[0].effect
    assert "reached" not in found.announcement.text
