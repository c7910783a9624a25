"""Title, times and limits of a competition are kept by publishing."""

from __future__ import annotations

from typing import Any

import pytest

from app.competing import terms
from scorer.challenges.definition import CompetitionDefaults
from tests.app.conftest import MANIFEST, World
from tests.conftest import on_sqlite


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
        ("teams_close_at", "2026-05-01T18:00:00+02:00", "--teams-close-at 2026-05-01T18:00:00+02:00"),
        ("duration_days", 3, "closes_at stays none, although challenge.yaml now has duration_days 3"),
        ("mark_agents", True, "heldout competition change biopsy --mark-agents"),
        ("late_submissions", True, "heldout competition change biopsy --late-submissions"),
        ("timezone", "UTC", "Only another competition can have it: heldout competition open biopsy --slug"),
        ("public_score", "exact", "heldout competition change biopsy --public-score exact"),
        ("max_team_size", 1, "heldout competition change biopsy --max-team-size 1"),
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
    world.change(daily_limit=7)
    assert kept(world, daily_limit=7) == []
