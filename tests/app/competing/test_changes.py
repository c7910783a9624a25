"""A competition changes with a preview, all at once, and never against what was shown or counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.base.errors import Conflict, Refused
from app.base.models import Event, PublicScore, Rung, Standing
from app.competing import changes, competitions, extensions, leaderboard, picks, rescores, teams
from app.competing.changes import Change, Preview
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

DAY = timedelta(days=1)
BENCHMARK = {"public": 0.69, "se_public": 0.01, "step": 0.01, "also_steps": {}, "range": [None, None]}


def change(world: World, *, now: datetime = NOON, seen: str | None = None, **wished: Any) -> Preview:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        competitions.lock(session, competition)
        return changes.apply(session, competition, wished, by="grace", now=now, most_upload_mb=100, seen=seen)


def preview(world: World, *, now: datetime = NOON, **wished: Any) -> dict[str, Change]:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        found = changes.plan(session, competition, wished, now=now, most_upload_mb=100)
    return {one.name: one for one in found.changes}


def test_changes_hold_at_once_and_are_logged_in_one_event_with_the_old_values(world: World) -> None:
    done = change(
        world,
        title="New",
        summary="Who is ill?",
        daily_limit=1,
        closes_at=NOON + DAY,
        max_upload_mb=2.5,
        mark_agents=True,
        paused=True,
    )
    assert [one.name for one in done.changes] == [
        "title",
        "summary",
        "closes_at",
        "daily_limit",
        "max_upload_mb",
        "mark_agents",
        "paused",
    ]
    competition = world.competition()
    assert (competition.title, competition.summary, competition.daily_limit) == ("New", "Who is ill?", 1)
    assert (competition.closes_at, competition.max_upload_bytes) == (NOON + DAY, 2_500_000)
    assert (competition.marks_agents, competition.is_paused) == (True, True)
    with world.database.read() as session:
        (event,) = session.query(Event).filter_by(action="competition changed")
    assert event.detail["daily_limit"] == [5, 1]
    assert event.detail["summary"] == [None, "Who is ill?"]
    assert change(world, daily_limit=1).changes == []
    change(world, summary="")
    assert (world.competition().own_summary, world.competition().summary) == (None, "")


@on_sqlite
def test_a_preview_writes_nothing_and_a_confirmation_holds_only_for_what_it_showed(world: World) -> None:
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        seen = changes.plan(session, competition, {"daily_limit": 7}, now=NOON, most_upload_mb=100)
    assert world.competition().daily_limit == 5
    change(world, daily_limit=6)
    with pytest.raises(Conflict, match="has changed since the preview"):
        change(world, daily_limit=7, seen=seen.digest)
    assert world.competition().daily_limit == 6
    world.change(opens_at=NOON + DAY)
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        at_once = changes.plan(session, competition, {"opens_at": NOON}, now=NOON, most_upload_mb=100)
    later = NOON + timedelta(minutes=3)
    change(world, opens_at=NOON, now=later, seen=at_once.digest)
    assert world.competition().opens_at == later


@on_sqlite
def test_a_limit_below_what_is_used_keeps_the_uploads_and_refuses_more(world: World) -> None:
    for n in range(3):
        world.submit(str(n))
    lower = preview(world, daily_limit=2)["daily_limit"]
    assert (lower.before, lower.after, lower.teams) == (5, 2, 1)
    assert lower.effect == "A team may have 2 files a day. Accepted files stay; 1 team has reached it."
    change(world, daily_limit=2)
    with pytest.raises(Refused, match="All 2 submissions of today are used"):
        world.submit("another")
    change(world, daily_limit=4)
    assert world.submit("another").remaining_today == 0
    assert preview(world, total_limit=5, pending_limit=4)["total_limit"].teams == 0
    assert preview(world, total_limit=4, pending_limit=4)["pending_limit"].teams == 1
    change(world, total_limit=4)
    with pytest.raises(Refused, match="all 4 submissions that a team has for the whole competition"):
        world.submit("fifth", now=NOON + DAY)
    change(world, total_limit=None)
    world.submit("fifth", now=NOON + DAY)


def test_what_contradicts_the_past_is_refused_with_every_reason(world: World) -> None:
    first, second = world.score(0.4), world.score(0.5)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.of(session, competition, world.viewer("ada").id)
        assert team is not None
        for submission in (first, second):
            picks.pick_final(session, competition, team, submission, picked=True, now=NOON)
    with pytest.raises(Refused) as refused:
        change(
            world,
            title=" ",
            summary="x" * 301,
            opens_at=NOON + DAY,
            closes_at=NOON,
            daily_limit=0,
            final_picks=1,
            max_team_size=None,
            max_upload_mb=101,
            public_score="exact",
            timezone="UTC",
        )
    for words in (
        "a title has 1 to 120 printable characters",
        "a summary has 1 to 300 printable characters",
        "it has opened, so opens_at is past",
        "is not after opens_at",
        "closes_at is not in the future; `heldout competition close` closes at once",
        "daily_limit is a whole number from 1 to 10000, not 0",
        "a team has 2 final picks already, so final_picks cannot be 1",
        "max_team_size has no value",
        "max_upload_mb is 0.001 at least and 100 at most",
        "public_score is rounded and can only become stricter",
        "timezone cannot change",
    ):
        assert words in str(refused.value)
    named = {problem.column for problem in refused.value.problems}
    assert {"title", "closes_at", "final_picks", "public_score", "timezone"} <= named
    assert world.competition().final_picks == 2


def test_a_settled_competition_changes_its_words_and_is_not_opened_again(world: World) -> None:
    world.change(closes_at=NOON - timedelta(seconds=121))
    for wished in ({"closes_at": NOON + DAY}, {"paused": True}, {"final_picks": 5}, {"closes_at": None}):
        with pytest.raises(
            Refused, match="only title, summary, visibility, late_submissions and archived can"
        ):
            change(world, **wished)
    assert change(world, title="Other words").changes
    late = [(one.effect, one.teams) for one in change(world, late_submissions=True).changes]
    assert [(effect[:26], teams) for effect, teams in late] == [("Once private scores are sh", 2)]
    assert world.competition().allows_late


@on_sqlite
def test_a_competition_that_has_shown_no_private_score_is_opened_again(world: World) -> None:
    world.score(0.3, 0.9)
    world.change(closes_at=NOON - timedelta(seconds=30))
    with pytest.raises(Refused, match="closed"):
        world.submit("late")
    with pytest.raises(Refused, match="it is closed, so there are no uploads to pause"):
        change(world, paused=True)
    again = preview(world, closes_at=NOON + DAY)["closes_at"]
    assert "It is open again until 2026-03-29 14:00 Europe/Berlin" in again.effect
    assert "none is before 2026-03-29 14:02 Europe/Berlin" in again.effect
    change(world, closes_at=NOON + DAY)
    world.submit("in time")
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        assert not leaderboard.board(session, competition, now=NOON + DAY).is_private
        assert leaderboard.board(session, competition, now=NOON + DAY + timedelta(minutes=2)).is_private


@on_sqlite
def test_a_moved_close_respects_the_extensions(world: World) -> None:
    """A team with a later close keeps it, and private scores wait for the last of all."""
    world.change(closes_at=NOON + DAY)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        extensions.grant(
            session,
            competition,
            "ada",
            reason="was ill for a week",
            by="grace",
            now=NOON,
            closes_at=NOON + 2 * DAY,
        )
    sooner = preview(world, closes_at=NOON + timedelta(hours=1))["closes_at"]
    assert "from 2026-03-30 14:02 Europe/Berlin on. 1 extension can end later." in sooner.effect
    change(world, closes_at=NOON + timedelta(hours=1))
    world.submit("hers", now=NOON + DAY)
    assert not world.competition().is_settled(NOON + DAY)
    assert "extension" not in preview(world, closes_at=NOON + 3 * DAY)["closes_at"].effect
    change(world, closes_at=NOON + 3 * DAY)
    with world.database.read() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.of(session, competition, world.viewer("ada").id)
        assert extensions.limits(session, competition, team).closes_at == NOON + 3 * DAY


def test_more_final_picks_count_at_once_for_teams_without_picks(world: World) -> None:
    world.score(0.3, 0.9)
    world.score(0.4, 0.2)
    world.change(final_picks=1)
    more = preview(world, final_picks=2)["final_picks"]
    assert more.teams == 0  # the standing was computed with two
    change(world, final_picks=2)
    fewer = preview(world, final_picks=1)["final_picks"]
    assert (fewer.teams, "others for 1 team" in fewer.effect) == (1, True)
    change(world, final_picks=1)
    with world.database.read() as session:
        (standing,) = session.query(Standing)
        assert standing.private_key == 0.9


def test_a_stricter_rule_holds_for_new_files_and_keeps_the_shown_scores(world: World) -> None:
    with world.database.begin() as session:
        competitions.by_slug(session, world.slug).version.benchmark = dict(BENCHMARK)
    world.change(public_score=PublicScore.EXACT)
    world.score(0.31234)
    assert preview(world, public_score="rounded")["public_score"].teams == 1
    change(world, public_score="rounded")
    world.score(0.30678, by="bob")
    with world.database.read() as session:
        shown = {row.team_id: row.public_key for row in session.query(Standing)}
    assert sorted(shown.values()) == [0.31, 0.31234]
    change(world, public_score="ladder")
    with world.database.read() as session:
        assert {rung.team_id: rung.shown for rung in session.query(Rung)} == shown
    with pytest.raises(Refused, match="public_score is ladder and can only become stricter"):
        change(world, public_score="rounded")


@on_sqlite
def test_a_rule_that_is_not_possible_is_refused(world: World) -> None:
    with pytest.raises(Refused, match="public_score: ladder is not possible here"):
        change(world, public_score="ladder")
    world.score(0.3)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        competitions.lock(session, competition)
        rescores.begin_rescore(session, competition, competition.version, reason="a test", now=NOON)
    world.change(public_score="exact")
    with pytest.raises(Refused, match="a rescore is under way"):
        change(world, public_score="rounded")
    with pytest.raises(Refused, match="public_score is one of exact, rounded, ladder"):
        change(world, public_score="loud")


@on_sqlite
def test_pausing_is_a_change_with_its_own_word_in_the_log(world: World) -> None:
    change(world, paused=True)
    with pytest.raises(Refused, match="the organiser has paused it"):
        world.submit("one")
    change(world, paused=False)
    with world.database.read() as session:
        actions = [event.action for event in session.query(Event) if "uploads" in event.action]
    assert actions == ["uploads paused", "uploads resumed"]


@on_sqlite
def test_deadlines_of_joining_and_of_teams_change_within_the_close(world: World) -> None:
    [joining] = change(world, entry_closes_at=NOON + DAY).changes
    assert joining.effect == "The competition can be joined until 2026-03-29 14:00 Europe/Berlin."
    [members] = change(world, teams_close_at=NOON + DAY).changes
    assert (members.teams, "teams merge, until 2026-03-29" in members.effect) == (2, True)
    with pytest.raises(Refused, match=r"teams_close_at, .*, is after closes_at"):
        change(world, closes_at=NOON + DAY, teams_close_at=NOON + 2 * DAY)
    [reset] = change(world, entry_closes_at=None).changes
    assert reset.effect == "The competition can be joined until the close."


@on_sqlite
def test_a_time_that_no_page_could_show_is_refused_before_it_is_stored(world: World) -> None:
    """A close in the year 9999 made every list of competitions fail, for everyone."""
    world.change(closes_at=NOON + DAY)
    for far in (
        datetime(9999, 12, 31, 23, 59, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=world.competition().zone),
    ):
        with pytest.raises(Refused, match=r"closes_at is in the year \d+, .*entry_closes_at is in the year"):
            change(world, closes_at=far, entry_closes_at=far)
        with world.database.begin() as session:
            competition = competitions.by_slug(session, world.slug)
            reason = "was ill for a week"
            with pytest.raises(Refused, match="the later close is in the year"):
                extensions.grant(session, competition, "ada", reason=reason, by="g", now=NOON, closes_at=far)
            with pytest.raises(Refused, match="teams_close_at is in the year"):
                competitions.open_(
                    session,
                    competition.version,
                    now=NOON,
                    max_upload_bytes=10**6,
                    slug="far",
                    changes={"teams_close_at": far},
                )
    assert change(world, closes_at=datetime(2999, 12, 31, tzinfo=UTC)).changes
