"""Transitions, refusals and races of submissions, on both databases."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, date, datetime, timedelta
from multiprocessing.context import ForkServerContext

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.base.db import Database
from app.base.errors import Closed, Conflict, Forbidden, NotFound, QuotaExhausted, Refused
from app.base.leases import LeaseLost
from app.base.models import Evaluation, Round, RoundState, Score, State, Submission
from app.competing import competitions, evaluations, picks, rescores, statuses, submissions
from app.competing.evaluations import Claim
from app.operating import doctor, statistics
from tests.app.conftest import LEASE, NOON, World, add_version
from tests.conftest import on_sqlite

SECOND = timedelta(seconds=1)


# -- accepting ---------------------------------------------------------------------------------


@on_sqlite
def test_an_upload_gets_a_receipt_and_a_queued_evaluation(world: World) -> None:
    receipt = world.submit()
    assert receipt.received_at == NOON
    assert receipt.remaining_today == 4
    assert world.state(receipt.id) is State.QUEUED


@on_sqlite
def test_upload_above_the_daily_limit_is_refused_with_the_reset_time(world: World) -> None:
    for n in range(5):
        world.submit(str(n))
    with pytest.raises(
        QuotaExhausted, match=r"All 5 submissions of today are used.*2026-03-29 00:00 Europe/Berlin"
    ):
        world.submit("sixth")
    assert world.count() == 5


def test_daily_limit_resets_at_midnight_in_the_competitions_timezone(world: World) -> None:
    before_midnight_in_berlin = datetime(2026, 3, 28, 22, 59, tzinfo=UTC)
    for n in range(5):
        world.submit(str(n), now=before_midnight_in_berlin)
    world.submit("next day", now=before_midnight_in_berlin + timedelta(minutes=1))
    assert world.used() == 6


def test_day_with_23_hours_ends_at_local_midnight(world: World) -> None:
    with world.database.read() as session:
        competition = competitions.by_slug(session, "biopsy")
    assert competition.day(datetime(2026, 3, 29, 21, 59, tzinfo=UTC)) == date(2026, 3, 29)
    assert competition.day(datetime(2026, 3, 29, 22, 0, tzinfo=UTC)) == date(2026, 3, 30)


def test_concurrent_uploads_never_exceed_the_daily_limit(world: World) -> None:
    with _forkserver().Pool(8) as pool:
        outcomes = pool.starmap(
            _submit_once, [(world.database.url.render_as_string(hide_password=False), n) for n in range(40)]
        )
    assert sorted(set(outcomes)) == ["QuotaExhausted", "accepted"]
    assert outcomes.count("accepted") == 5
    assert world.used() == 5
    assert world.count() == 5


def _forkserver() -> ForkServerContext:
    """Start processes that share nothing with this one but import modules once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _submit_once(url: str, n: int) -> str:
    world = World(Database(url, pooled=False))
    try:
        world.submit(f"file {n}")
    except Refused as refusal:
        return type(refusal).__name__
    return "accepted"


@on_sqlite
def test_upload_without_joining_is_refused(world: World) -> None:
    with pytest.raises(Forbidden, match="Join Biopsy triage"):
        world.submit(by="grace")


def test_upload_before_the_opening_or_after_the_close_is_refused(world: World) -> None:
    world.change(opens_at=NOON + SECOND)
    with pytest.raises(Closed, match="opens on 2026-03-28 at 13:00 Europe/Berlin"):
        world.submit()
    world.change(opens_at=NOON - SECOND, closes_at=NOON)
    with pytest.raises(Closed, match="closed on 2026-03-28 at 13:00 Europe/Berlin"):
        world.submit()
    assert world.used() == 0


def test_upload_begun_in_time_may_arrive_within_the_grace_period(world: World) -> None:
    world.change(closes_at=NOON + SECOND)
    world.submit(received_at=NOON, now=NOON + timedelta(seconds=100))
    with pytest.raises(Closed):
        world.submit(received_at=NOON, now=NOON + timedelta(seconds=200))


def test_upload_to_a_paused_competition_is_refused(world: World) -> None:
    world.change(is_paused=True)
    with pytest.raises(Closed, match="paused"):
        world.submit()


def test_upload_above_the_pending_limit_is_refused(world: World) -> None:
    world.change(pending_limit=2)
    world.submit("1")
    world.submit("2")
    with pytest.raises(QuotaExhausted, match="still waiting for a score"):
        world.submit("3")
    assert world.used() == 2


def test_repeated_idempotency_key_returns_the_first_receipt_uncharged(world: World) -> None:
    first = world.submit(idempotency_key="k")
    again = world.submit(idempotency_key="k")
    assert (again.id, again.received_at, again.is_replay) == (first.id, first.received_at, True)
    assert world.used() == 1


def test_idempotency_key_of_another_file_is_refused(world: World) -> None:
    world.submit("a", idempotency_key="k")
    with pytest.raises(Conflict, match="Idempotency-Key"):
        world.submit("b", idempotency_key="k")
    assert world.used() == 1


def test_file_name_is_stored_without_path_and_control_characters(world: World) -> None:
    assert submissions.safe_filename("..\\..\\etc/pass\x00wd\r\n.csv") == "passwd.csv"
    assert submissions.safe_filename("///") == "submission.csv"


def test_storage_limit_counts_for_each_team_alone(world: World) -> None:
    assert world.submit("x" * 600, most_bytes=1000).remaining_today == 4
    with pytest.raises(QuotaExhausted, match="has no room"):
        world.submit("y" * 500, most_bytes=1000)
    assert world.submit("z" * 400, most_bytes=1000).remaining_today == 3
    assert world.submit("w" * 500, by="bob", most_bytes=1000).id


# -- claiming and recording --------------------------------------------------------------------


@on_sqlite
def test_score_is_recorded_once(world: World) -> None:
    submission = world.score(0.4, 0.7)
    assert world.state(submission) is State.SCORED
    assert world.count(Score) == 1


@on_sqlite
def test_claimed_evaluation_is_not_claimed_again(world: World) -> None:
    submission = world.submit().id
    assert world.claim(submission) is not None
    assert world.claim(submission) is None
    assert world.claim() is None


def test_concurrent_workers_claim_each_submission_once(world: World) -> None:
    world.change(daily_limit=100, pending_limit=100)
    ids = {world.submit(str(n)).id for n in range(20)}
    url = world.database.url.render_as_string(hide_password=False)
    with _forkserver().Pool(4) as pool:
        claimed = [i for part in pool.map(_claim_all, [url] * 4) for i in part]
    assert len(claimed) == len(set(claimed)) == 20
    assert set(claimed) == ids


def _claim_all(url: str) -> list[int]:
    world = World(Database(url, pooled=False))
    mine = []
    while (claim := world.claim()) is not None:
        mine.append(claim.submission_id)
    return mine


def test_longest_waiting_submission_is_claimed_next(world: World) -> None:
    first, second = world.submit("1").id, world.submit("2", now=NOON + SECOND).id
    order = [claim.submission_id for _ in range(2) if (claim := world.claim(now=NOON + 2 * SECOND))]
    assert order == [first, second]


def test_expired_lease_is_taken_over_and_the_late_run_writes_nothing(world: World) -> None:
    submission = world.submit().id
    late = world.claim(submission)
    after = NOON + LEASE + SECOND
    taken = world.claim(submission, now=after)
    assert late
    assert taken
    assert taken.attempt == 2
    with pytest.raises(LeaseLost):
        world.record(late, 0.1, 0.1, now=after)
    world.record(taken, 0.2, 0.2, now=after)
    with world.database.read() as session:
        assert session.query(Score).one().public == 0.2


@on_sqlite
def test_late_run_can_neither_reject_nor_give_back(world: World) -> None:
    late = world.claim(world.submit().id)
    assert late
    world.record(late)
    with pytest.raises(LeaseLost):
        world.reject(late)
    with pytest.raises(LeaseLost):
        world.give_back(late)
    assert world.state(late.submission_id) is State.SCORED
    assert world.used() == 1


@on_sqlite
def test_renewed_lease_is_not_taken_over(world: World) -> None:
    claim = world.claim(world.submit().id)
    assert claim
    with world.database.begin() as session:
        evaluations.renew(session, claim, lease=LEASE, now=NOON + LEASE - SECOND)
    assert world.claim(now=NOON + LEASE + SECOND) is None


@on_sqlite
def test_expired_lease_cannot_be_renewed(world: World) -> None:
    claim = world.claim(world.submit().id)
    assert claim
    with pytest.raises(LeaseLost), world.database.begin() as session:
        evaluations.renew(session, claim, lease=LEASE, now=NOON + LEASE + SECOND)


@on_sqlite
def test_rejected_submission_is_refunded_and_keeps_its_problems(world: World) -> None:
    claim = world.claim(world.submit().id)
    assert claim
    assert world.used() == 1
    world.reject(claim)
    assert world.used() == 0
    assert world.state(claim.submission_id) is State.REJECTED
    problems = world.evaluation(claim.submission_id).problems
    assert problems
    assert problems[0]["code"] == "MISSING_IDS"


@on_sqlite
def test_failed_attempt_is_repeated_twice_then_failed_and_refunded(world: World) -> None:
    submission = world.submit().id
    now = NOON
    for attempt in (1, 2, 3):
        claim = world.claim(submission, now=now)
        assert claim is not None
        assert claim.attempt == attempt
        assert world.used() == 1
        world.give_back(claim, now=now)
        assert world.claim(submission, now=now) is None, "the next attempt waits"
        now += timedelta(minutes=1)
    assert world.state(submission) is State.FAILED
    assert world.used() == 0
    assert world.evaluation(submission).fault == "boom"


def fail(world: World, submission: int, now: datetime = NOON) -> None:
    for attempt in range(3):
        claim = world.claim(submission, now=now + timedelta(minutes=attempt))
        assert claim is not None
        world.give_back(claim, now=now + timedelta(minutes=attempt))


def retry(world: World, submission: int) -> Claim:
    with world.database.begin() as session:
        evaluations.retry(session, world.competition(), submission, now=NOON)
    claim = world.claim(submission)
    assert claim is not None
    return claim


@on_sqlite
def test_file_that_failed_and_scores_when_tried_again_counts(world: World) -> None:
    """70 of 70 such files did not count, and teams had 40 scored files under a limit of 25."""
    submissions = [world.submit(f"file {n}").id for n in range(5)]
    for submission in submissions:
        fail(world, submission)
    assert world.used() == 0
    for submission in submissions[:3]:
        world.record(retry(world, submission))
    assert world.used() == 3
    world.reject(retry(world, submissions[3]))
    assert world.used() == 3, "a file that is wrong does not count"
    with pytest.raises(QuotaExhausted):
        for n in range(3):
            world.submit(f"more {n}")
    assert world.used() == 5
    world.record(retry(world, submissions[4]))
    assert world.used() == 6, "one above the limit: the team has used the refund meanwhile"
    with pytest.raises(QuotaExhausted):
        world.submit("yet more")
    assert wrong_charges(world) == []


def wrong_charges(world: World) -> list[str]:
    with world.database.read() as session:
        checks = {check.name: check for check in doctor.check_database(session, now=NOON)}
    found = [checks["Uploads count by their outcomes"], checks["Quotas equal the counted files"]]
    return [check.words for check in found if not check.is_ok]


@pytest.mark.parametrize("team_total", [None, 2])
def test_doctor_names_files_that_count_against_their_outcome(world: World, team_total: int | None) -> None:
    world.change(total_limit=team_total)
    scored, failed = world.score(0.4), world.submit("fails").id
    fail(world, failed)
    with world.database.engine.begin() as connection:
        connection.execute(text("UPDATE submission SET is_charged = NOT is_charged"))
        connection.execute(text("UPDATE quota SET used = 1"))
    (words,) = wrong_charges(world)
    assert f"submission {scored} of ada does not count and is scored" in words
    assert f"submission {failed} of ada counts and is failed" in words


def test_only_a_failed_evaluation_can_be_retried(world: World) -> None:
    submission = world.submit().id
    now = NOON
    for _ in range(3):
        claim = world.claim(submission, now=now)
        assert claim
        world.give_back(claim, now=now)
        now += timedelta(minutes=1)
    with world.database.begin() as session:
        evaluations.retry(session, world.competition(), submission, now=now)
    claim = world.claim(submission, now=now)
    assert claim
    world.record(claim, now=now)
    with pytest.raises(Conflict), world.database.begin() as session:
        evaluations.retry(session, world.competition(), submission, now=now)


# -- sweeping ----------------------------------------------------------------------------------


def _unfinished(world: World, now: datetime) -> list[int]:
    with world.database.begin() as session:
        return evaluations.unfinished(session, now=now, hint_after=timedelta(seconds=15))


@on_sqlite
def test_lost_hint_is_sent_again_once_in_each_interval(world: World) -> None:
    submission = world.submit().id
    assert _unfinished(world, NOON + SECOND) == [], "its hint was just sent"
    assert _unfinished(world, NOON + 16 * SECOND) == [submission]
    assert _unfinished(world, NOON + 17 * SECOND) == []
    assert _unfinished(world, NOON + 32 * SECOND) == [submission]


def test_evaluation_of_a_dead_worker_is_hinted_at_once(world: World) -> None:
    submission = world.submit().id
    world.claim(submission, worker="host/1/2")
    with world.database.begin() as session:
        assert evaluations.expire(session, "host/11", now=NOON) == 0, "host/1 is not host/11"
        assert evaluations.LEASES.holders(session, "host/") == {"host/1/2"}
        assert evaluations.expire(session, "host/1", now=NOON) == 1
    assert _unfinished(world, NOON + SECOND) == [submission]
    assert world.claim(submission, now=NOON + SECOND) is not None


def test_evaluation_with_three_expired_leases_fails_and_is_refunded(world: World) -> None:
    submission = world.submit().id
    now = NOON
    for _ in range(3):
        assert world.claim(submission, now=now) is not None
        now += LEASE + SECOND
    assert world.claim(submission, now=now) is None
    with world.database.begin() as session:
        assert evaluations.fail_exhausted(session, now=now) == [submission]
        assert evaluations.fail_exhausted(session, now=now) == []
    assert world.state(submission) is State.FAILED
    assert world.used() == 0


def test_unfinished_evaluations_of_a_retired_round_are_ignored(world: World) -> None:
    lost, queued = world.submit("lost").id, world.submit("queued", by="bob").id
    now = NOON
    for _ in range(3):
        assert world.claim(lost, now=now) is not None
        now += LEASE + SECOND
    with world.database.begin() as session:
        session.query(Round).one().state = RoundState.RETIRED
    assert _unfinished(world, now) == []
    with world.database.begin() as session:
        assert evaluations.fail_exhausted(session, now=now) == []
        assert not evaluations.is_any_due(session, now=now)
        assert statistics.collect(session, now=now).oldest_due == timedelta()
    with world.database.begin() as session:
        session.query(Round).one().state = RoundState.ACTIVE
    assert sorted(_unfinished(world, now)) == [lost, queued], "only the state of the round differs"
    with world.database.begin() as session:
        assert evaluations.is_any_due(session, now=now)
        assert statistics.collect(session, now=now).oldest_due > timedelta()


# -- rescoring ---------------------------------------------------------------------------------


def finish(session: Session, *, accept_losses: bool = False) -> list[str]:
    drafts = rescores.finished_drafts(session)
    moved = [
        rescores.activate(session, draft, by="grace", now=NOON, accept_losses=accept_losses)
        for draft in drafts
    ]
    return [slug for slug in moved if slug is not None]


@on_sqlite
def test_rescore_is_applied_only_when_every_submission_is_scored(world: World) -> None:
    first, second = world.score(0.4), world.score(0.5, by="bob")
    with world.database.begin() as session:
        count = rescores.begin_rescore(
            session,
            competitions.by_slug(session, "biopsy"),
            add_version(session, 2),
            reason="labels corrected",
            now=NOON,
        )
        assert count == 2
    for expected in (first, second):
        with world.database.begin() as session:
            assert finish(session) == []
        claim = world.claim()
        assert claim
        assert claim.submission_id == expected
        assert claim.digest == f"{2:064x}"
        world.record(claim, public=expected / 10)
    with world.database.begin() as session:
        assert finish(session) == ["biopsy"]
        assert finish(session) == []
    with world.database.read() as session:
        competition = competitions.by_slug(session, "biopsy")
        assert competition.version.number == 2
        shown = {s.id: s.public for s in statuses.statuses(session, competition, now=NOON)}
    assert shown == {first: first / 10, second: second / 10}


@on_sqlite
def test_upload_during_a_rescore_is_scored_in_both_rounds(world: World) -> None:
    world.score(0.4)
    with world.database.begin() as session:
        rescores.begin_rescore(
            session, competitions.by_slug(session, "biopsy"), add_version(session, 2), reason="x", now=NOON
        )
    submission = world.submit("new", by="bob").id
    digests = []
    while (claim := world.claim(now=NOON + SECOND)) is not None:
        digests.append((claim.submission_id, int(claim.digest, 16)))
        world.record(claim)
    assert digests[0] == (submission, 1), "the active round comes first"
    assert (submission, 2) in digests


@on_sqlite
def test_rescore_that_would_lose_a_score_waits_for_the_organiser(world: World) -> None:
    world.score(0.4)
    with world.database.begin() as session:
        rescores.begin_rescore(
            session, competitions.by_slug(session, "biopsy"), add_version(session, 2), reason="x", now=NOON
        )
    now = NOON
    for _ in range(3):
        claim = world.claim(now=now)
        assert claim
        world.give_back(claim, now=now)
        now += timedelta(minutes=1)
    with world.database.begin() as session:
        assert finish(session) == []
    with world.database.read() as session:
        assert competitions.by_slug(session, "biopsy").version.number == 1


@on_sqlite
def test_changed_solution_with_submissions_needs_an_explicit_rescore(world: World) -> None:
    world.score(0.4)
    with world.database.begin() as session:
        version = add_version(session, 2)
    with (
        pytest.raises(Conflict, match=r"The solution changed, and biopsy has 1 submissions.*--rescore"),
        world.database.begin() as session,
    ):
        rescores.take_version(
            session, competitions.by_slug(session, "biopsy"), version, rescore=False, now=NOON
        )
    with world.database.begin() as session:
        moved = rescores.take_version(
            session, competitions.by_slug(session, "biopsy"), version, rescore=True, now=NOON
        )
    assert moved is rescores.Move.RESCORING


def test_changed_description_takes_effect_at_once(world: World) -> None:
    world.score(0.4)
    with world.database.begin() as session:
        version = add_version(session, 2, labels=1, title="New words")
        again = rescores.take_version(
            session, competitions.by_slug(session, "biopsy"), version, rescore=False, now=NOON
        )
    assert again is rescores.Move.SHOWN
    assert world.competition().version.manifest["title"] == "New words"


def begin_rescore(world: World) -> None:
    with world.database.begin() as session:
        version = add_version(session, 2)
        rescores.begin_rescore(
            session, competitions.by_slug(session, "biopsy"), version, reason="x", now=NOON
        )


@on_sqlite
def test_rescore_that_rejects_a_scored_file_waits_for_the_organiser(world: World) -> None:
    submission = world.score(0.4)
    begin_rescore(world)
    claim = world.claim()
    assert claim
    world.reject(claim)
    with world.database.begin() as session:
        assert finish(session) == []
        assert finish(session, accept_losses=True) == ["biopsy"]
    assert world.state(submission) is State.REJECTED


@on_sqlite
def test_draft_round_does_not_refund_a_rejected_file(world: World) -> None:
    world.score(0.4)
    begin_rescore(world)
    claim = world.claim()
    assert claim
    world.reject(claim)
    assert world.used() == 1


@on_sqlite
def test_discarded_rescore_leaves_no_evaluation_to_run(world: World) -> None:
    world.score(0.4)
    begin_rescore(world)
    late = world.claim()
    assert late
    with world.database.begin() as session:
        assert rescores.discard_rescore(session, competitions.by_slug(session, "biopsy"))
        assert finish(session) == []
    assert world.claim(now=NOON + timedelta(hours=1)) is None
    with pytest.raises(LeaseLost):
        world.record(late)
    assert world.competition().version.number == 1


@on_sqlite
def test_discarded_draft_cannot_be_applied(world: World) -> None:
    world.score(0.4)
    begin_rescore(world)
    claim = world.claim()
    assert claim
    world.record(claim)
    with world.database.begin() as session:
        (draft,) = rescores.finished_drafts(session)
        rescores.discard_rescore(session, competitions.by_slug(session, "biopsy"))
        assert rescores.activate(session, draft, by="grace", now=NOON) is None


@on_sqlite
def test_changed_submission_columns_need_an_explicit_rescore(world: World) -> None:
    world.score(0.4)
    with pytest.raises(Conflict, match="The submission's columns changed"), world.database.begin() as session:
        version = add_version(session, 2, labels=1, submission={"id": "id", "columns": [{"name": "other"}]})
        rescores.take_version(
            session, competitions.by_slug(session, "biopsy"), version, rescore=False, now=NOON
        )


# -- final picks and what a viewer may see -----------------------------------------------------


def test_final_picks_are_scored_files_of_the_own_team_up_to_the_limit(world: World) -> None:
    mine = [world.score(0.1 * n, now=NOON) for n in range(1, 4)]
    theirs = world.score(0.5, by="bob")
    with world.database.read() as session:
        team = session.query(Submission).filter(Submission.id == mine[0]).one().team_id

    def pick(submission_id: int, *, picked: bool = True, now: datetime = NOON) -> None:
        with world.database.begin() as session:
            competition = competitions.by_slug(session, "biopsy")
            from_team = session.get_one(submissions.Team, team)
            picks.pick_final(session, competition, from_team, submission_id, picked=picked, now=now)

    with pytest.raises(NotFound):
        pick(theirs)
    pick(mine[0])
    pick(mine[1])
    with pytest.raises(Conflict, match="2 final picks"):
        pick(mine[2])
    pick(mine[0], picked=False)
    pick(mine[2])
    with world.database.begin() as session:
        competitions.by_slug(session, "biopsy").closes_at = NOON
    with pytest.raises(Closed):
        pick(mine[1], picked=False)


def test_submission_of_another_team_is_not_found(world: World) -> None:
    mine = world.submit().id
    with world.database.read() as session:
        assert statuses.visible(session, world.viewer("ada"), mine)[0].id == mine
        assert statuses.visible(session, world.viewer("grace"), mine)[0].id == mine
        for unseen in (mine, 10**6):
            with pytest.raises(NotFound, match=f"no submission {unseen} of yours"):
                statuses.visible(session, world.viewer("bob"), unseen)


def test_private_scores_are_shown_to_organisers_and_after_the_close(world: World) -> None:
    world.score(0.4, 0.123456789)
    competition = world.competition()
    with world.database.read() as session:
        participant = statuses.statuses(session, competition, now=NOON)[0]
        organiser = statuses.statuses(session, competition, now=NOON, for_organiser=True)[0]
        competition.closes_at = NOON - timedelta(seconds=119)
        settling = statuses.statuses(session, competition, now=NOON)[0]
        competition.closes_at = NOON - timedelta(seconds=120)
        after = statuses.statuses(session, competition, now=NOON)[0]
    assert participant.private is settling.private is None, "an upload begun in time may still arrive"
    assert organiser.private == after.private == 0.123456789


def test_place_in_the_queue_counts_evaluations_before_it(world: World) -> None:
    first, second = world.submit("1").id, world.submit("2", now=NOON + SECOND).id
    with world.database.read() as session:
        assert [statuses.place_in_queue(session, i) for i in (first, second)] == [1, 2]
    world.claim(first)
    with world.database.read() as session:
        assert [statuses.place_in_queue(session, i) for i in (first, second)] == [None, 1]


def test_every_state_is_counted(world: World) -> None:
    world.score(0.4)
    world.submit("waits")
    with world.database.read() as session:
        counts = statuses.state_counts(session, world.competition())
    assert counts == {State.QUEUED: 1, State.RUNNING: 0, State.SCORED: 1, State.REJECTED: 0, State.FAILED: 0}
    assert world.count(Evaluation) == 2
