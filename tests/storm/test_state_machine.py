"""Random steps with evaluations on both databases, compared with a small model.

HELDOUT_LIFE_STEPS=20000 pytest tests/storm/test_state_machine.py      longer, with random seeds
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from app.base import models
from app.base.db import Database
from app.base.errors import Refused
from app.base.leases import LeaseLost
from app.base.storage import Blob
from app.competing import competitions, evaluations, extensions, picks, rescores, submissions, teams
from app.competing.evaluations import Claim
from app.integrity import cases
from app.integrity.cases import Action, CaseState
from app.operating import audit_log, doctor
from app.people import accounts
from app.people.accounts import Viewer
from scorer.report import Problem, Report
from tests.app.conftest import LEASE, NOON, add_version
from tests.conftest import copy_database, run_as_admin
from tests.storm import model
from tests.storm.model import Grant, Life, Round, Upload

IS_LONG = "HELDOUT_LIFE_STEPS" in os.environ
STEPS = {"sqlite": 1400, "postgresql": 600}
if IS_LONG:
    STEPS = dict.fromkeys(STEPS, int(os.environ["HELDOUT_LIFE_STEPS"]))
STEPS_EACH = 75
"""At most, of one example."""

SEEDS = {"sqlite": 0, "postgresql": 1000}
"""Different steps on each database."""

MUST_BE_SEEN = {
    "accepted", "claimed", "taken over", "late", "fenced", "scored", "rejected", "failed", "silent",
    "followed", "applied", "full", "QuotaExhausted", "Closed", "Conflict",
}  # fmt: skip

TEAMS = ("ada", "bob")
CLOSE = NOON + timedelta(days=3)
RUNS = {
    "biopsy": model.Run("biopsy", CLOSE, daily=4, total=None, pending=3, rejected=2, picks=1),
    "other": model.Run("other", None, daily=5, total=9, pending=4, rejected=3, picks=2),
}
SLUGS = tuple(RUNS)
# Names with common prefixes, which the lookup by prefix must distinguish.
WORKERS = ("a/1/2", "a/1/20", "a/10/2")
SCORES = st.sampled_from([0.25, 0.5, 0.1 + 0.2])

ROWS = {
    "evaluations": select(
        models.Evaluation.submission_id,
        models.Evaluation.round_id,
        models.Evaluation.state,
        models.Evaluation.attempt,
        models.Evaluation.lease_token,
        models.Evaluation.lease_until,
        models.Evaluation.started_at,
        models.Evaluation.next_try_at,
        models.Evaluation.hinted_at,
        models.Evaluation.finished_at,
    ),
    "scores": select(
        models.Score.submission_id, models.Score.round_id, models.Score.public, models.Score.private
    ),
    "submissions": select(
        models.Submission.id,
        models.Submission.team_id,
        models.Submission.received_at,
        models.Submission.day,
        models.Submission.sha256,
        models.Submission.idempotency_key,
        models.Submission.is_charged,
    ),
    "quota": select(models.Quota.team_id, models.Quota.day, models.Quota.used).where(models.Quota.used != 0),
    "rounds": select(
        models.Round.id,
        models.Round.state,
        models.Round.version_id,
        models.Round.repeat_of,
        models.Round.applies_itself,
    ),
    "competitions": select(
        models.Competition.slug,
        models.Competition.closes_at,
        models.Competition.extended_until,
        models.Competition.version_id,
    ),
    "board": select(
        models.Standing.team_id,
        models.Standing.entries,
        models.Standing.public_key,
        models.Standing.public_submission_id,
        models.Standing.private_key,
        models.Standing.private_submission_id,
    ),
    "picks": select(models.FinalPick.submission_id),
}
"""The rows compared after each step; built once, because building a statement costs more than running it."""

names, slugs = st.sampled_from(TEAMS), st.sampled_from(SLUGS)


class Machine(RuleBasedStateMachine):
    fresh: ClassVar[Callable[[], Database]]
    steps: ClassVar[int]
    seen: ClassVar[Counter[str]]
    """Number of each outcome, so that a run without one of them fails."""

    claims, sent, granted = Bundle("claims"), Bundle("sent"), Bundle("granted")

    def __init__(self) -> None:
        super().__init__()
        self.database = type(self).fresh()
        self.now = NOON
        self.runs_begun: list[Claim] = []
        with self.database.read() as session:
            self.users = {name: accounts.by_name(session, name).id for name in TEAMS}
            self.ids = {slug: competitions.by_slug(session, slug).id for slug in SLUGS}
            self.versions = {v.number: v.id for v in session.query(models.ChallengeVersion)}
            self.team_ids = {(self._slug(t.competition_id), t.name): t.id for t in session.query(models.Team)}
            self.case_ids = {c.team_id: c.id for c in session.query(models.Case)}
            rounds = {
                r.id: Round(self._slug(r.competition_id), "active", 1) for r in session.query(models.Round)
            }
        runs = {
            slug: model.Run(**vars(run) | {"disqualified": set(), "picked": set()})
            for slug, run in RUNS.items()
        }
        self.life = Life(runs, rounds)

    def _are(self, state: str) -> bool:
        return any(e.state == state for e in self.life.evaluations.values())

    def _slug(self, competition_id: int) -> str:
        return next(slug for slug, id_ in self.ids.items() if id_ == competition_id)

    # -- time and dead workers ---------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 6, 6, 16, 31, 31, 125, 901, 9 * 3600]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self._are("running"))
    @rule(seconds=st.sampled_from([50, 3600]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)
        self.sweep()

    @precondition(lambda self: self._are("running"))
    @rule(holder=st.sampled_from(["a/1", "a/1/2", "a/10"]))
    def a_worker_or_a_work_horse_dies(self, holder: str) -> None:
        held = [
            e
            for e in self.life.evaluations.values()
            if e.state == "running" and e.token and e.token.startswith((f"{holder}/", f"{holder}:"))
        ]
        with self.database.begin() as session:
            assert evaluations.expire(session, holder, now=self.now) == len(held)
        if held:
            self.seen["died"] += 1
        for evaluation in held:
            evaluation.lease_until, evaluation.hinted_at = self.now - timedelta(milliseconds=1), None

    # -- participants ------------------------------------------------------------------------

    @initialize(target=sent, slug=slugs, team=names, most_workers=st.sampled_from([1, 0, 2]))
    def the_first_upload(self, slug: str, team: str, most_workers: int) -> Any:
        self.life.most_workers = most_workers
        return self._upload(slug, team, "first", None, timedelta())

    @rule(target=sent, slug=slugs, by=st.lists(names, min_size=1, max_size=3))
    def upload(self, slug: str, by: list[str]) -> Any:
        sent = [self._upload(slug, team, f"{len(self.life.uploads)}", None, timedelta()) for team in by]
        return multiple(*(id_ for id_ in sent if isinstance(id_, int)))

    @rule(target=sent, slug=slugs, team=names)
    def upload_all_that_may_be(self, slug: str, team: str) -> Any:
        sent: list[int] = []
        for n in range(12):
            id_ = self._upload(slug, team, f"{len(self.life.uploads)}", None, timedelta())
            if not isinstance(id_, int):
                break
            sent.append(id_)
            if claim := self._claim("a/1/2"):
                self._score(claim, 0.1 * n, 0.5)
        return multiple(*sent)

    @rule(
        target=sent,
        slug=slugs,
        team=names,
        content=st.sampled_from(["same", "another"]),
        key=st.sampled_from([None, "k1", "k2"]),
        seconds=st.sampled_from([0, 60, 130]),
    )
    def upload_that_took_its_time(
        self, slug: str, team: str, content: str, key: str | None, seconds: int
    ) -> Any:
        return self._upload(slug, team, content, key, timedelta(seconds=seconds))

    @precondition(lambda self: len(self.life.uploads) > 8)
    @rule(target=sent, team=names, lag=st.sampled_from([-1, 0, 60, 119, 120]))
    def upload_at_the_close(self, team: str, lag: int) -> Any:
        """Begun just before or just after the close."""
        closes_at = self.life.closes_at("biopsy", team)
        if closes_at is None or closes_at < self.now:
            return multiple()
        began = closes_at - timedelta(milliseconds=1 if lag >= 0 else -1)
        self.now = max(self.now, closes_at + timedelta(seconds=max(lag, 0)))
        return self._upload("biopsy", team, "last", None, self.now - began)

    def _upload(self, slug: str, team: str, content: str, key: str | None, lag: timedelta) -> Any:
        sha256 = hashlib.sha256(content.encode()).hexdigest()
        received_at = self.now - lag
        viewer = Viewer(self.users[team], team, False)
        known = next(
            ((i, u) for i, u in self.life.uploads.items() if key and (u.team, u.key) == (team, key)), None
        )
        refusal = self.life.refusal(slug, team, received_at=received_at, now=self.now, sha256=sha256)
        if known is not None:
            is_same = (known[1].slug, known[1].sha256) == (slug, sha256)
            refusal = None if is_same else "Conflict"
        elif not lag:
            self._expect(
                self.life.refusal(slug, team, received_at=received_at, now=self.now),
                lambda session, found: submissions.admit(session, found, viewer, received_at=self.now),
                slug,
            )
        receipt = self._expect(
            refusal,
            lambda session, found: submissions.accept(
                session,
                found,
                viewer,
                Blob(sha256, 3),
                filename="s.csv",
                message="",
                received_at=received_at,
                now=self.now,
                idempotency_key=key,
            ),
            slug,
        )
        if receipt is None:
            return multiple()
        if known is not None:
            self.seen["replayed"] += 1
            assert (receipt.id, receipt.is_replay, receipt.received_at) == (
                known[0],
                True,
                known[1].received_at,
            )
            return multiple()
        self.seen["accepted"] += 1
        day = received_at.astimezone(model.ZONE).date()
        self.life.accept(receipt.id, Upload(slug, team, received_at, day, sha256, key), self.now)
        assert (receipt.sha256, receipt.received_at, receipt.is_replay) == (sha256, received_at, False)
        assert receipt.remaining_today == self.life.left(slug, team, day)
        return receipt.id

    @precondition(lambda self: self.life.scores)
    @rule(id_=sent, team=names, picked=st.booleans())
    def pick(self, id_: int, team: str, picked: bool) -> None:
        """A file of the own team or of another."""
        slug = self.life.uploads[id_].slug
        run, closes_at = self.life.runs[slug], self.life.closes_at(slug, team)
        mine = self.life.of(slug, team)
        refusal = None
        if closes_at is not None and self.now >= closes_at:
            refusal = "Closed"
        elif picked and not (id_ in run.picked and id_ in mine):
            if id_ not in mine or (id_, self.life.active(slug)) not in self.life.scores:
                refusal = "NotFound"
            elif len(run.picked & mine.keys()) >= run.picks:
                refusal = "Conflict"

        def act(session: Any, found: models.Competition) -> bool:
            its = session.get_one(models.Team, self.team_ids[slug, team])
            picks.pick_final(session, found, its, id_, picked=picked, now=self.now)
            return True

        if self._expect(refusal, act, slug) and id_ in mine:
            self.seen["picked"] += 1
            (run.picked.add if picked else run.picked.discard)(id_)

    # -- workers -----------------------------------------------------------------------------

    @rule(target=claims, worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> Any:
        return self._claim(worker) or multiple()

    @rule(
        worker=st.sampled_from(WORKERS),
        ends=st.lists(st.sampled_from(["score", "score", "reject", "fail", "die"]), min_size=1, max_size=4),
        public=SCORES,
        private=SCORES,
    )
    def a_worker_works_for_a_while(self, worker: str, ends: list[str], public: float, private: float) -> None:
        for end in ends:
            claim = self._claim(worker)
            if claim is None:
                return
            self._end(claim, end, public, private)

    def _end(self, claim: Claim, how: str, public: float, private: float) -> None:
        if how == "score":
            self._score(claim, public, private)
        elif how == "reject":
            self._reject(claim)
        elif how == "fail":
            self._fail(claim, is_away=False)
        elif how == "heartbeat":
            self._renew(claim)

    def _is_held(self, claim: Claim) -> bool:
        return self.life.holds((claim.submission_id, claim.round_id), claim.token)

    @rule(end=st.sampled_from(["score", "reject", "fail", "heartbeat"]), is_taken=st.booleans())
    def a_run_wakes_up_late(self, end: str, is_taken: bool) -> None:
        """Perhaps after another worker has taken over."""
        claim = next(filter(self._is_held, self.runs_begun), None) or self._claim("a/1/20")
        if claim is None:
            return
        key = claim.submission_id, claim.round_id
        self.now += LEASE + timedelta(seconds=1)
        if is_taken:
            while (other := self._claim("a/10/2")) and (other.submission_id, other.round_id) != key:
                self._score(other, 0.5, 0.5)
            if other:
                self.seen["late"] += 1
        self._end(claim, end, 0.75, 0.75)

    @precondition(lambda self: self._are("queued"))
    @rule(
        worker=st.sampled_from(WORKERS),
        ends=st.lists(st.sampled_from(["fail", "die"]), min_size=3, max_size=4),
    )
    def hard_times(self, worker: str, ends: list[str]) -> None:
        for end in ends:
            if (claim := self._claim(worker)) and end == "fail":
                self._fail(claim, is_away=False)
            self.now += LEASE + timedelta(seconds=1)
        self.sweep()

    def _claim(self, worker: str) -> Claim | None:
        expected = self.life.next(self.now)
        if self.life.full(self.now):
            self.seen["full"] += 1
        with self.database.begin() as session:
            claim = evaluations.claim(
                session, worker, lease=LEASE, now=self.now, most_workers=self.life.most_workers
            )
        if claim is None:
            assert expected is None, "an evaluation is due, but not claimed"
            return None
        assert (claim.submission_id, claim.round_id) == expected, "another evaluation was next"
        key = claim.submission_id, claim.round_id
        self.seen["taken over" if self.life.evaluations[key].state == "running" else "claimed"] += 1
        self.life.claim(key, claim.token, LEASE, self.now)
        assert claim.attempt == self.life.evaluations[key].attempt
        self.runs_begun.append(claim)
        assert claim.sha256 == self.life.uploads[claim.submission_id].sha256
        return claim

    @rule(claim=claims)
    def heartbeat(self, claim: Claim) -> None:
        self._renew(claim)

    def _renew(self, claim: Claim) -> None:
        key = claim.submission_id, claim.round_id
        evaluation = self.life.evaluations.get(key)
        is_alive = (
            evaluation is not None
            and self._is_held(claim)
            and evaluation.lease_until is not None
            and evaluation.lease_until > self.now
        )
        if self._written(
            claim, lambda session: evaluations.renew(session, claim, lease=LEASE, now=self.now), is_alive
        ):
            assert evaluation is not None
            evaluation.lease_until = self.now + LEASE

    @rule(claim=claims, public=SCORES, private=SCORES)
    def score(self, claim: Claim, public: float, private: float) -> None:
        """By the run with the lease, or by a late one."""
        self._score(claim, public, private)

    def _score(self, claim: Claim, public: float, private: float) -> None:
        report = Report(public=public, private=private)
        key = claim.submission_id, claim.round_id
        if self._written(
            claim, lambda session: evaluations.record_scored(session, claim, report, now=self.now)
        ):
            assert key not in self.life.scores
            self.seen["scored"] += 1
            self.life.score(key, public, private, self.now)

    @rule(claim=claims)
    def reject(self, claim: Claim) -> None:
        self._reject(claim)

    def _reject(self, claim: Claim) -> None:
        problems = [Problem("MISSING_IDS", "1 id is missing.")]
        if self._written(
            claim, lambda session: evaluations.record_rejected(session, claim, problems, 1, now=self.now)
        ):
            self.seen["rejected"] += 1
            self.life.reject((claim.submission_id, claim.round_id), self.now)

    @rule(claim=claims, is_away=st.booleans())
    def fail(self, claim: Claim, is_away: bool) -> None:
        self._fail(claim, is_away=is_away)

    def _fail(self, claim: Claim, *, is_away: bool) -> None:
        def write(session: Any) -> object:
            return evaluations.give_back(session, claim, "boom", now=self.now, is_away=is_away)

        if self._written(claim, write):
            key = claim.submission_id, claim.round_id
            self.life.fail(key, self.now, is_away=is_away)
            if self.life.evaluations[key].state == "failed":
                self.seen["failed"] += 1

    def _written(self, claim: Claim, write: Callable[[Any], object], is_mine: bool | None = None) -> bool:
        """Write with a claim, and return whether its lease was held."""
        if is_mine is None:
            is_mine = self._is_held(claim)
        try:
            with self.database.begin() as session:
                write(session)
        except LeaseLost:
            self.seen["fenced"] += 1
            assert not is_mine, "the holder of the lease was refused"
        else:
            assert is_mine, "a run that has lost its lease has written"
        return is_mine

    @rule()
    def sweep(self) -> None:
        with self.database.begin() as session:
            followed = evaluations.follow_clock(session, lease=LEASE, now=self.now)
        if followed:
            self.seen["followed"] += 1
        assert followed == self.life.follow_clock(LEASE, self.now)
        with self.database.begin() as session:
            hints = evaluations.unfinished(
                session, now=self.now, hint_after=model.HINTED, most_workers=self.life.most_workers
            )
            is_due = evaluations.is_any_due(session, now=self.now, most_workers=self.life.most_workers)
        assert is_due == (self.life.next(self.now) is not None), "polling and claiming disagree"
        assert len(hints) == len(set(hints))
        assert set(hints) == self.life.hint(self.now)
        with self.database.begin() as session:
            failed = evaluations.fail_exhausted(session, now=self.now)
        if failed:
            self.seen["silent"] += 1
        assert sorted(failed) == sorted(self.life.fail_exhausted(self.now))
        with self.database.read() as session:
            due = rescores.due_to_apply(session)
        finished = [d for s in SLUGS if (d := self.life.draft(s)) and self.life.is_finished(d)]
        assert sorted(due) == sorted(d for d in finished if self.life.rounds[d].applies_itself)
        for draft in due:
            self._apply(draft, accept_losses=False)
        with self.database.begin() as session:
            audit_log.chain(session, now=self.now)

    # -- organisers --------------------------------------------------------------------------

    @precondition(lambda self: self._are("failed"))
    @rule(id_=sent)
    def retry(self, id_: int) -> None:
        failed = [
            e
            for (s, r), e in self.life.evaluations.items()
            if s == id_ and e.state == "failed" and self.life.rounds[r].state != "retired"
        ]
        refusal = None if failed else "Conflict"
        self._expect(
            refusal,
            lambda session, found: evaluations.retry(session, found, id_, now=self.now),
            self.life.uploads[id_].slug,
        )
        for evaluation in failed:
            self.seen["retried"] += 1
            evaluation.state, evaluation.attempt, evaluation.finished_at = "queued", 0, None
            evaluation.next_try_at = evaluation.hinted_at = self.now

    @precondition(lambda self: len(self.life.uploads) > 1)
    @rule(
        slug=slugs,
        version=st.sampled_from([1, 2, 3]),
        repeats=st.integers(0, 2),
        applies_itself=st.booleans(),
    )
    def begin_rescore(self, slug: str, version: int, repeats: int, applies_itself: bool) -> None:
        self._begin(slug, version, repeats, applies_itself=applies_itself)

    def _begin(self, slug: str, version: int, repeats: int, *, applies_itself: bool) -> None:
        with self.database.begin() as session:
            found = competitions.by_slug(session, slug)
            its = session.get_one(models.ChallengeVersion, self.versions[version])
            had_draft = rescores.discard_rescore(session, found)  # else the next is refused
            assert had_draft == (self.life.draft(slug) is not None)
            count = rescores.begin_rescore(
                session,
                found,
                its,
                reason="labels corrected",
                now=self.now,
                applies_itself=applies_itself,
                repeats=repeats,
            )
            rounds = (models.RoundState.DRAFT, models.RoundState.REPEAT)
            begun = session.execute(
                select(models.Round.id, models.Round.repeat_of)
                .where(models.Round.competition_id == found.id, models.Round.state.in_(rounds))
                .order_by(models.Round.id)
            ).all()
        assert count == sum(u.slug == slug for u in self.life.uploads.values())
        if old := self.life.draft(slug):
            self.life.discard(old, *self.life.repeats(old))
        assert len(begun) == 1 + repeats
        for id_, repeat_of in begun:
            state = "repeat" if repeat_of else "draft"
            round_ = Round(slug, state, version, repeat_of, applies_itself and not repeat_of)
            self.life.begin(id_, round_, self.now)

    @precondition(lambda self: len(self.life.uploads) > 1)
    @rule(
        slug=slugs,
        version=st.sampled_from([1, 2, 3]),
        repeats=st.integers(0, 1),
        accept_losses=st.booleans(),
        ends=st.lists(st.sampled_from(["score", "score", "reject", "fail"]), min_size=1, max_size=3),
    )
    def rescore(self, slug: str, version: int, repeats: int, accept_losses: bool, ends: list[str]) -> None:
        """Begin, score and apply a rescore."""
        self._begin(slug, version, repeats, applies_itself=False)
        draft = self.life.draft(slug)
        assert draft is not None
        for number in range(60):
            if claim := self._claim("a/1/2"):
                self._end(claim, ends[number % len(ends)], 0.5, 0.5)
            elif self.life.is_finished(draft):
                break
            else:
                self.now += LEASE + timedelta(seconds=1)
        self._apply(draft, accept_losses=accept_losses)

    @precondition(lambda self: any(map(self.life.draft, SLUGS)))
    @rule(slug=slugs, accept_losses=st.booleans())
    def apply_rescore(self, slug: str, accept_losses: bool) -> None:
        if draft := self.life.draft(slug):
            self._apply(draft, accept_losses=accept_losses)

    def _apply(self, draft: int, *, accept_losses: bool) -> None:
        with self.database.begin() as session:
            slug = rescores.activate(session, draft, by="grace", now=NOON, accept_losses=accept_losses)
        self.seen["applied" if slug else "held back"] += 1
        expected = self.life.rounds[draft].slug
        assert slug == (expected if self.life.apply(draft, accept_losses=accept_losses) else None)

    @precondition(lambda self: any(map(self.life.draft, SLUGS)))
    @rule(slug=slugs)
    def discard_rescore(self, slug: str) -> None:
        draft = self.life.draft(slug)
        with self.database.begin() as session:
            found = competitions.by_slug(session, slug)
            assert rescores.discard_rescore(session, found) == (draft is not None)
        if draft:
            self.life.discard(draft, *self.life.repeats(draft))

    @precondition(lambda self: self.life.uploads)
    @rule(
        target=granted,
        slug=slugs,
        team=names,
        hours=st.sampled_from([None, 1, 30]),
        daily=st.integers(0, 1),
        total=st.integers(0, 1),
    )
    def grant(self, slug: str, team: str, hours: int | None, daily: int, total: int) -> Any:
        run = self.life.runs[slug]
        closes_at = (
            None if hours is None else max(run.closes_at or self.now, self.now) + timedelta(hours=hours)
        )
        is_wrong = (
            (closes_at is None and not daily and not total)
            or (closes_at is not None and (run.closes_at is None or self.life.is_settled(slug, self.now)))
            or (total and run.total is None)
        )
        made = self._expect(
            "Refused" if is_wrong else None,
            lambda session, found: (
                extensions.grant(
                    session,
                    found,
                    team,
                    reason="was ill for a day",
                    by="grace",
                    now=self.now,
                    closes_at=closes_at,
                    daily_extra=daily,
                    total_extra=total,
                ).id
            ),
            slug,
        )
        if made is None:
            return multiple()
        self.life.grants[made] = Grant(slug, team, closes_at, daily, total)
        return made

    @rule(id_=consumes(granted))
    def revoke(self, id_: int) -> None:
        grant = self.life.grants[id_]
        if grant.is_revoked:  # by a close
            return
        with self.database.begin() as session:
            found = competitions.by_slug(session, grant.slug)
            extensions.revoke(session, found, id_, by="grace", now=self.now)
        grant.is_revoked = True

    @precondition(lambda self: len(self.life.uploads) > 3)
    @rule(slug=slugs, team=names)
    def disqualify_or_reinstate(self, slug: str, team: str) -> None:
        out = self.life.runs[slug].disqualified
        action = Action.REINSTATE if team in out else Action.DISQUALIFY
        case = self.case_ids[self.team_ids[slug, team]]
        with self.database.begin() as session:
            found = competitions.by_slug(session, slug)
            cases.act(
                session, found, case, action, reason="copied from the other team", actor="grace", now=self.now
            )
        (out.discard if team in out else out.add)(team)

    @precondition(lambda self: len(self.life.uploads) > 6)
    @rule()
    def close_at_once(self) -> None:
        run = self.life.runs["other"]
        is_closed = run.closes_at is not None and run.closes_at <= self.now
        later = [g for g in self.life.granted("other") if g.closes_at and g.closes_at > self.now]
        self._expect(
            "Conflict" if is_closed and not later else None,
            lambda session, found: competitions.close(session, found, by="grace", now=self.now),
            "other",
        )
        if is_closed and not later:
            return
        for grant in later:
            grant.is_revoked = True
        run.closes_at, run.grace = (run.closes_at if is_closed else self.now), timedelta()

    def _expect(self, refusal: str | None, act: Callable[[Any, models.Competition], Any], slug: str) -> Any:
        """Run `act`, and assert that it is refused as expected.

        The invariants then check that a refused action changed nothing.
        """
        try:
            with self.database.begin() as session:
                done = act(session, competitions.by_slug(session, slug))
            reason = None
        except Refused as refused:
            done, reason = None, type(refused).__name__
            self.seen[reason] += 1
        assert reason == refusal
        return done

    # -- invariants --------------------------------------------------------------------------

    @invariant()
    def database_equals_the_model(self) -> None:
        type(self).steps += 1
        # The doctor takes half the time of a step, so CI does not run it after each.
        self._compare(with_doctor=IS_LONG or self.steps % 10 == 0)

    def _compare(self, *, with_doctor: bool) -> None:
        with self.database.read() as session:
            found = {name: [tuple(row) for row in session.execute(rows)] for name, rows in ROWS.items()}
            checks = doctor.check_database(session, now=self.now) if with_doctor else None
        its, teams_, versions = self.life, self.team_ids, self.versions
        expected: dict[str, list[tuple[Any, ...]]] = {
            "evaluations": [
                (
                    *key,
                    e.state,
                    e.attempt,
                    e.token,
                    e.lease_until,
                    e.started_at,
                    e.next_try_at,
                    e.hinted_at,
                    e.finished_at,
                )
                for key, e in its.evaluations.items()
            ],
            "scores": [(*key, *score) for key, score in its.scores.items()],
            "submissions": [
                (i, teams_[u.slug, u.team], u.received_at, u.day, u.sha256, u.key, u.is_charged)
                for i, u in its.uploads.items()
            ],
            "quota": [(teams_[slug, team], day, n) for (slug, team, day), n in its.used().items()],
            "rounds": [
                (i, r.state, versions[r.version], r.repeat_of, r.applies_itself)
                for i, r in its.rounds.items()
            ],
            "competitions": [
                (slug, run.closes_at, its.extended_until(slug), versions[run.version])
                for slug, run in its.runs.items()
            ],
            "board": [(teams_[slug, team], *row) for slug in SLUGS for team, row in its.board(slug).items()],
            "picks": [(id_,) for run in its.runs.values() for id_ in run.picked],
        }
        for name, rows in expected.items():
            assert sorted(found[name], key=repr) == sorted(rows, key=repr), name
        if checks is not None:
            failed = {check.name: check.words for check in checks if not check.is_ok}
            del failed["Workers and sweepers run"]  # no process sends heartbeats here
            assert failed.keys() == set(its.troubles(self.now)), failed

    @invariant()
    def every_submission_has_an_evaluation_in_the_active_round(self) -> None:
        for id_, upload in self.life.uploads.items():
            assert (id_, self.life.active(upload.slug)) in self.life.evaluations

    @invariant()
    def no_competition_is_passed_over_for_long(self) -> None:
        """At most twice in a row.

        Once for the other's turn, and again when a rescore gave that a new round.
        """
        assert all(r.passed_over <= 2 for r in self.life.rounds.values() if r.state == "active")

    def teardown(self) -> None:
        """Run workers until every submission has an outcome."""
        if sys.exc_info()[0] is None:
            claimed, most = 0, len(self.life.evaluations)
            for _ in range(3 * model.ATTEMPTS):
                if not (self._are("queued") or self._are("running")):
                    break
                self.sweep()
                while claim := self._claim("a/1/2"):
                    self._score(claim, 0.5, 0.5)
                    claimed += 1
                self.now += LEASE + timedelta(seconds=1)
            states = [e.state for slug in SLUGS for e in self.life.counting(slug).values()]
            assert {"queued", "running"}.isdisjoint(states)
            assert len(states) == len(self.life.uploads)
            assert claimed <= most, "each was claimed at most once more"
            self._compare(with_doctor=True)


def make_world(database: Database) -> None:
    with database.begin() as session:
        versions = [
            add_version(session, n, metric={"name": "log_loss", "greater_is_better": model.is_greater(n)})
            for n in (1, 2, 3)
        ]
        users = [accounts.register(session, name, None, now=NOON) for name in TEAMS]
        for run in RUNS.values():
            competition = competitions.open_(
                session,
                versions[0],
                now=NOON - timedelta(days=7),
                max_upload_bytes=10**7,
                slug=run.slug,
                changes={
                    "daily_limit": run.daily,
                    "total_limit": run.total,
                    "pending_limit": run.pending,
                    "final_picks": run.picks,
                    "closes_at": run.closes_at,
                },
            )
            competition.rejected_limit = run.rejected
            for user in users:
                team = teams.join(session, competition, Viewer(user.id, user.name, False), now=NOON)
                session.add(
                    models.Case(
                        competition_id=competition.id,
                        code="COPY",
                        team_id=team.id,
                        state=CaseState.OPEN,
                        strength=1.0,
                        evidence="",
                        advice="",
                        detail={},
                        first_seen_at=NOON,
                        last_seen_at=NOON,
                    )
                )


@pytest.fixture
def fresh(
    database: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], Database]]:
    """Return a function that resets the database, keeping the engine's statement cache."""
    make_world(database)
    database.dispose()
    if database.is_sqlite:
        path, world = tmp_path / "heldout.db", tmp_path / "world.db"
        path.rename(world)

        def renew() -> None:
            for old in tmp_path.glob("heldout.db*"):
                old.unlink()
            shutil.copy(world, path)

    else:
        server, name = request.getfixturevalue("postgres"), str(database.url.database)
        run_as_admin(server, f"ALTER DATABASE {name} RENAME TO {name}_world")

        def renew() -> None:
            run_as_admin(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            copy_database(server, f"{name}_world", name)

    def again() -> Database:
        database.dispose()
        renew()
        return database

    yield again
    if not database.is_sqlite:
        database.dispose()
        run_as_admin(server, f"DROP DATABASE {name}_world WITH (FORCE)")


@pytest.mark.long
@pytest.mark.timeout(0 if IS_LONG else 300)
def test_random_steps_leave_the_database_equal_to_the_model(
    database: Database, fresh: Callable[[], Database]
) -> None:
    class OnThis(Machine):
        steps, seen = 0, Counter()

    OnThis.fresh = fresh
    kind = database.url.get_backend_name()
    lives = settings(
        max_examples=2,
        stateful_step_count=STEPS_EACH,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        # Shrinking takes minutes, so it is only done in long runs.
        phases=(Phase.generate, *((Phase.shrink,) if IS_LONG else ())),
    )
    for number in count(SEEDS[kind]):
        if OnThis.steps >= STEPS[kind]:
            break
        run_state_machine_as_test(OnThis if IS_LONG else seed(number)(OnThis), settings=lives)
    print(f"{OnThis.steps} steps: {dict(OnThis.seen.most_common())}")
    assert OnThis.seen.keys() >= MUST_BE_SEEN
