"""The order of claims between competitions and between teams."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.base.models import Competition
from app.competing import competitions, evaluations, rescores, statuses, submissions, teams
from app.competing.evaluations import Claim
from app.people.accounts import Viewer
from tests.app.conftest import LEASE, NOON, World
from tests.conftest import on_sqlite

SECOND = timedelta(seconds=1)


def another_competition(world: World, slug: str) -> Competition:
    with world.database.begin() as session:
        version = world.competition().version
        opened = competitions.open_(
            session, session.merge(version), now=NOON - timedelta(days=7), max_upload_bytes=10**7, slug=slug
        )
        for name in ("ada", "bob"):
            viewer = world.viewer(name)
            teams.join(session, opened, Viewer(viewer.id, name, False), now=NOON)
        return opened


def served(world: World, count: int) -> list[int]:
    """Return the submissions of `count` claims, in order."""
    found = []
    for step in range(count):
        claim = world.claim(now=NOON + (100 + step) * SECOND)
        assert claim is not None
        found.append(claim.submission_id)
    return found


@on_sqlite
def test_second_file_of_a_team_waits_behind_the_first_of_another(world: World) -> None:
    several = [world.submit(f"a{n}").id for n in range(3)]
    single = world.submit("b", by="bob", now=NOON + SECOND).id
    assert served(world, 4) == [several[0], single, several[1], several[2]]


@on_sqlite
def test_later_file_of_another_team_does_not_pass_older_ones_for_ever(world: World) -> None:
    """A file never passes one whose delayed place is earlier."""
    several = [world.submit(f"a{n}").id for n in range(2)]
    late = world.submit("b", by="bob", now=NOON + submissions.BEHIND_OTHERS + SECOND).id
    assert served(world, 3) == [several[0], several[1], late]


def test_competitions_take_turns_whatever_their_number_of_files(world: World) -> None:
    another_competition(world, "other")
    first = [world.submit(f"a{n}").id for n in range(4)]
    world.slug = "other"
    second = [world.submit(f"o{n}", now=NOON + SECOND).id for n in range(2)]
    world.slug = "biopsy"
    assert served(world, 6) == [first[0], second[0], first[1], second[1], first[2], first[3]]


def test_files_of_one_team_are_claimed_at_once_without_others(world: World) -> None:
    for n in range(3):
        world.submit(f"a{n}")
    with world.database.begin() as session:
        claims = [evaluations.claim(session, "host/1/2", lease=LEASE, now=NOON) for _ in range(3)]
    assert None not in claims


@on_sqlite
def test_failed_attempt_waits_for_its_backoff(world: World) -> None:
    world.submit()
    claim = world.claim()
    assert claim is not None
    world.give_back(claim)
    assert world.claim(now=NOON + SECOND) is None
    assert world.claim(now=NOON + evaluations.BACKOFF) is not None


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(st.lists(st.sampled_from(["ada", "bob"]), min_size=1, max_size=8))
def test_two_waiting_teams_are_served_alternately(world: World, senders: list[str]) -> None:
    """Files received at the same time are served alternately while both teams wait."""
    world.change(pending_limit=100, daily_limit=10**6)
    of = {world.submit(f"{n}", by=name).id: name for n, name in enumerate(senders)}
    left = {name: senders.count(name) for name in ("ada", "bob")}
    lead = 0
    for id_ in served(world, len(of)):
        both_waited = all(left.values())
        left[of[id_]] -= 1
        if both_waited:
            lead += 1 if of[id_] == "ada" else -1
            assert abs(lead) <= 1
    with world.database.begin() as session:
        for claimed in of:
            session.connection().exec_driver_sql(
                f"UPDATE evaluation SET state = 'failed' WHERE submission_id = {claimed}"
            )


def test_place_in_the_queue_follows_the_fair_order(world: World) -> None:
    several = [world.submit(f"a{n}").id for n in range(2)]
    single = world.submit("b", by="bob", now=NOON + SECOND).id
    with world.database.read() as session:
        places = [statuses.place_in_queue(session, id_) for id_ in (several[0], single, several[1])]
    assert places == [1, 2, 3]


@on_sqlite
def test_polling_workers_see_due_evaluations(world: World) -> None:
    def due(at: timedelta = timedelta()) -> bool:
        with world.database.read() as session:
            return evaluations.is_any_due(session, now=NOON + at)

    assert not due()
    world.submit()
    assert due()
    assert world.claim() is not None
    assert not due()
    assert due(LEASE + SECOND), "its lease has expired"


# -- a cap of workers ------------------------------------------------------------------------------


def claim_one(world: World, most_workers: int, *, now: datetime = NOON) -> Claim | None:
    with world.database.begin() as session:
        evaluations.take_turn(session, most_workers=most_workers)
        return evaluations.claim(session, "host/1/2", lease=LEASE, now=now, most_workers=most_workers)


def is_due(world: World, most_workers: int, *, now: datetime = NOON) -> bool:
    with world.database.read() as session:
        return evaluations.is_any_due(session, now=now, most_workers=most_workers)


def hinted(world: World, most_workers: int) -> list[int]:
    with world.database.begin() as session:
        return evaluations.unfinished(
            session, now=NOON, hint_after=timedelta(seconds=-1), most_workers=most_workers
        )


def test_competition_at_its_cap_leaves_workers_to_others(world: World) -> None:
    another_competition(world, "other")
    slow = [world.submit(f"a{n}").id for n in range(4)]
    first, second = (claim_one(world, 2) for _ in range(2))
    assert first is not None
    assert second is not None
    assert {first.submission_id, second.submission_id} == set(slow[:2])
    assert claim_one(world, 2) is None, "a third worker gets no claim"
    assert not is_due(world, 2), "else workers would poll without result"
    assert hinted(world, 2) == [], "and no hint is sent"
    assert is_due(world, 0)
    world.slug = "other"
    quick = world.submit("o").id
    assert is_due(world, 2)
    assert hinted(world, 2) == [quick]
    taken = claim_one(world, 2)
    assert taken is not None
    assert taken.submission_id == quick
    world.record(first)
    assert is_due(world, 2)
    assert hinted(world, 2) == slow[2:], "when a place is free"
    third = claim_one(world, 2)
    assert third is not None
    assert third.submission_id == slow[2]


@on_sqlite
def test_cap_of_one_with_one_worker_scores_everything(world: World) -> None:
    another_competition(world, "other")
    files = {world.submit(f"a{n}").id for n in range(2)}
    world.slug = "other"
    files |= {world.submit(f"o{n}").id for n in range(2)}
    for _ in range(4):
        claim = claim_one(world, 1)
        assert claim is not None
        files.remove(claim.submission_id)
        world.record(claim)
    assert not files


@on_sqlite
def test_expired_lease_does_not_count_for_the_cap(world: World) -> None:
    submission = world.submit("a").id
    world.submit("b")
    assert claim_one(world, 1) is not None
    assert claim_one(world, 1) is None
    late = NOON + LEASE + SECOND
    assert is_due(world, 1, now=late)
    again = claim_one(world, 1, now=late)
    assert again is not None
    assert (again.submission_id, again.attempt) == (submission, 2)
    assert claim_one(world, 1, now=late) is None


@on_sqlite
def test_all_rounds_of_a_competition_share_its_cap(world: World) -> None:
    """Else a rescore with its repeats would hold several times as many workers."""
    world.score(0.5)
    with world.database.begin() as session:
        competition = competitions.by_slug(session, "biopsy")
        rescores.begin_rescore(
            session, competition, competition.version, reason="once more", now=NOON, repeats=2
        )
    waiting = world.submit("b").id
    first = claim_one(world, 1)
    assert first is not None
    assert first.submission_id == waiting, "the active round comes first"
    assert claim_one(world, 1) is None
    world.record(first)
    assert claim_one(world, 1) is not None
    assert claim_one(world, 1) is None


def test_one_of_two_concurrent_claims_gets_the_last_place(world: World) -> None:
    """The second claim starts before the first transaction has committed."""
    for n in range(3):
        world.submit(f"a{n}")
    assert claim_one(world, 2) is not None
    found: list[Claim | None] = []
    other = threading.Thread(target=lambda: found.append(claim_one(world, 2)))
    with world.database.begin() as session:
        evaluations.take_turn(session, most_workers=2)
        assert evaluations.claim(session, "host/1/3", lease=LEASE, now=NOON, most_workers=2) is not None
        other.start()
        other.join(0.5)
        assert not found, "it waits for the first transaction"
    other.join(20)
    assert found == [None]


def test_concurrent_claims_never_exceed_the_cap(world: World) -> None:
    another_competition(world, "other")
    for n in range(6):
        world.submit(f"a{n}", by=("ada", "bob")[n % 2])
    world.slug = "other"
    world.submit("o")
    with ThreadPoolExecutor(8) as crowd:
        found = [claim for claim in crowd.map(lambda _: claim_one(world, 3), range(16)) if claim]
    assert len(found) == 4
    assert Counter(claim.round_id for claim in found).most_common(1)[0][1] == 3
