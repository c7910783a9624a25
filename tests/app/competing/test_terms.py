"""Title, times and limits of a competition: kept by publishing, changed by command."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.base.errors import Refused
from app.base.models import Event
from app.competing import competitions, picks, teams, terms
from scorer.challenges.definition import CompetitionDefaults
from tests.app.conftest import MANIFEST, NOON, World
from tests.conftest import on_sqlite

DAY = timedelta(days=1)


def change(world: World, **changes: Any) -> list[str]:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        competitions.lock(session, competition)
        return terms.change(session, competition, changes, by="grace", now=NOON)


def kept(world: World, **changes: Any) -> list[str]:
    """Return what a new challenge.yaml changes in vain."""
    title = {"title": changes.pop("title")} if "title" in changes else {}
    return terms.kept(
        world.competition(), MANIFEST | title | {"competition": MANIFEST["competition"] | changes}
    )


@on_sqlite
@pytest.mark.parametrize(
    ("name", "wished", "words"),
    [
        ("title", "Who's ill?", "heldout competition change biopsy --title 'Who'\"'\"'s ill?'"),
        ("daily_limit", 7, "heldout competition change biopsy --daily-limit 7"),
        ("total_limit", 70, "total_limit stays none"),
        ("pending_limit", 1, "heldout competition change biopsy --pending-limit 1"),
        ("final_picks", 5, "heldout competition change biopsy --final-picks 5"),
        ("max_upload_mb", 2.5, "max_upload_mb stays 10, although challenge.yaml now has max_upload_mb 2.5"),
        ("closes_at", "2026-05-01T18:00:00+02:00", "--closes-at 2026-05-01T18:00:00+02:00"),
        ("opens_at", "2026-05-01T18:00:00+02:00", "--opens-at 2026-05-01T18:00:00+02:00"),
        ("duration_days", 3, "closes_at stays none, although challenge.yaml now has duration_days 3"),
        ("mark_agents", True, "heldout competition change biopsy --mark-agents"),
        ("timezone", "UTC", "Only another competition can have it: heldout competition open biopsy --slug"),
        ("public_score", "exact", "Only another competition can have it"),
        ("max_team_size", 1, "Only another competition can have it"),
    ],
)
def test_a_term_that_publishing_does_not_change_is_named_with_the_command(
    world: World, name: str, wished: Any, words: str
) -> None:
    (sentence,) = kept(world, **{name: wished})
    assert words in sentence


@on_sqlite
def test_every_term_of_challenge_yaml_is_compared(world: World) -> None:
    for name, value in CompetitionDefaults().model_dump().items():
        assert kept(world, **{name: "exact" if isinstance(value, str) else 9}), name


@on_sqlite
def test_terms_that_did_not_change_or_that_the_competition_has_are_not_named(world: World) -> None:
    assert kept(world) == []
    change(world, daily_limit=7)
    assert kept(world, daily_limit=7) == []


def test_changed_terms_hold_at_once_and_are_logged_with_the_old_values(world: World) -> None:
    done = change(
        world, title="New", daily_limit=1, closes_at=NOON + DAY, max_upload_mb=2.5, mark_agents=True
    )
    assert "daily_limit is 1, was 5" in done
    assert "mark_agents is true, was false" in done
    assert "max_upload_mb is 2.5, was 10" in done
    competition = world.competition()
    assert (competition.title, competition.daily_limit) == ("New", 1)
    assert (competition.closes_at, competition.max_upload_bytes) == (NOON + DAY, 2_500_000)
    with world.database.read() as session:
        (event,) = session.query(Event).filter_by(action="competition changed")
    assert event.detail["daily_limit"] == [5, 1]
    assert change(world, daily_limit=1) == []


@on_sqlite
def test_a_limit_below_what_is_used_keeps_the_uploads_and_refuses_more(world: World) -> None:
    for n in range(3):
        world.submit(str(n))
    change(world, daily_limit=2)
    with pytest.raises(Refused, match="All 2 submissions of today are used"):
        world.submit("another")
    change(world, daily_limit=4)
    assert world.submit("another").remaining_today == 0


def test_terms_that_would_contradict_the_past_are_refused_with_every_reason(world: World) -> None:
    first, second = world.score(0.4), world.score(0.5)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.of(session, competition, world.viewer("ada").id)
        assert team is not None
        for submission in (first, second):
            picks.pick_final(session, competition, team, submission, picked=True, now=NOON)
    with pytest.raises(Refused) as refused:
        change(world, title=" ", opens_at=NOON + DAY, closes_at=NOON, final_picks=1)
    for words in (
        "a title has 1 to 120 printable characters",
        "it has opened, so opens_at is past",
        "is not after opens_at",
        "closes_at is not in the future; `heldout competition close` closes at once",
        "a team has 2 final picks already, so final_picks cannot be 1",
    ):
        assert words in str(refused.value)
    assert world.competition().final_picks == 2


def test_a_settled_competition_cannot_be_opened_again(world: World) -> None:
    world.change(closes_at=NOON - timedelta(seconds=121))
    with pytest.raises(Refused, match="its private scores are shown, so only the title can change"):
        change(world, closes_at=NOON + DAY)
    assert change(world, title="Other words") == ["title is Other words, was Biopsy triage"]
