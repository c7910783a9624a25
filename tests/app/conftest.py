"""A competition with two teams, made with the functions of app/competing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.base.db import Database
from app.base.models import (
    Challenge,
    ChallengeVersion,
    Competition,
    Evaluation,
    Quota,
    Round,
    RoundState,
    State,
    Submission,
)
from app.base.storage import Blob
from app.competing import competitions, evaluations, submissions, teams
from app.competing.evaluations import Claim
from app.competing.submissions import Receipt
from app.people import accounts
from app.people.accounts import Viewer
from scorer.report import Problem, Report
from tests.claiming import claim_of

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)

MANIFEST: dict[str, Any] = {
    "title": "Biopsy triage",
    "metric": {"name": "log_loss", "greater_is_better": False},
    "competition": {
        "daily_limit": 5,
        "pending_limit": 10,
        "final_picks": 2,
        "max_team_size": 4,
        "timezone": "Europe/Berlin",
    },
}


@dataclass
class World:
    """A database with one competition; each method is one transaction."""

    database: Database
    slug: str = "biopsy"

    def competition(self) -> Competition:
        with self.database.read() as session:
            return competitions.by_slug(session, self.slug)

    def change(self, **values: Any) -> None:
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            for name, value in values.items():
                setattr(competition, name, value)

    def viewer(self, name: str) -> Viewer:
        with self.database.read() as session:
            user = accounts.by_name(session, name)
            return Viewer(user.id, user.name, user.is_organiser)

    def submit(self, content: str = "one", *, by: str = "ada", now: datetime = NOON, **more: Any) -> Receipt:
        viewer = self.viewer(by)
        blob = Blob(hashlib.sha256(content.encode()).hexdigest(), len(content))
        received_at = more.pop("received_at", now)
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            return submissions.accept(
                session,
                competition,
                viewer,
                blob,
                filename="sub.csv",
                message="",
                received_at=received_at,
                now=now,
                **more,
            )

    def claim(
        self, submission_id: int | None = None, *, now: datetime = NOON, worker: str = "host/1/2"
    ) -> Claim | None:
        with self.database.begin() as session:
            if submission_id is not None:
                return claim_of(session, submission_id, worker, lease=LEASE, now=now)
            return evaluations.claim(session, worker, lease=LEASE, now=now)

    def record(
        self, claim: Claim, public: float = 0.5, private: float = 0.6, *, now: datetime = NOON
    ) -> None:
        with self.database.begin() as session:
            evaluations.record_scored(session, claim, Report(public=public, private=private), now=now)

    def score(self, public: float, private: float = 0.6, *, by: str = "ada", now: datetime = NOON) -> int:
        """Submit, claim and score a file, and return the submission's id."""
        receipt = self.submit(f"{by}{public}{private}{now}", by=by, now=now)
        claim = self.claim(receipt.id, now=now)
        assert claim is not None
        self.record(claim, public, private, now=now)
        return receipt.id

    def reject(
        self,
        claim: Claim,
        problems: Sequence[Problem] = (Problem("MISSING_IDS", "1 id is missing."),),
        *,
        now: datetime = NOON,
    ) -> None:
        with self.database.begin() as session:
            evaluations.record_rejected(session, claim, problems, len(problems), now=now)

    def give_back(self, claim: Claim, *, now: datetime = NOON) -> State:
        with self.database.begin() as session:
            return evaluations.give_back(session, claim, "boom", now=now)

    def evaluation(self, submission_id: int) -> Evaluation:
        with self.database.read() as session:
            active = Round.state == RoundState.ACTIVE
            return (
                session.query(Evaluation)
                .join(Round, Round.id == Evaluation.round_id)
                .filter(active, Evaluation.submission_id == submission_id)
                .one()
            )

    def state(self, submission_id: int) -> State:
        return State(self.evaluation(submission_id).state)

    def used(self) -> int:
        with self.database.read() as session:
            return sum(quota.used for quota in session.query(Quota))

    def count(self, table: type = Submission) -> int:
        with self.database.read() as session:
            return session.query(table).count()


@pytest.fixture
def world(database: Database) -> World:
    with database.begin() as session:
        version = add_version(session, 1)
        competition = competitions.open_(
            session, version, now=NOON - timedelta(days=7), max_upload_bytes=10**7
        )
        for name in ("ada", "bob"):
            user = accounts.register(session, name, None, now=NOON)
            teams.join(session, competition, Viewer(user.id, user.name, False), now=NOON)
        accounts.register(session, "grace", None, now=NOON, is_organiser=True)
    return World(database)


def add_version(session: Any, number: int, *, labels: int | None = None, **manifest: Any) -> ChallengeVersion:
    """Add a version; `labels` is the number of a version with the same labels."""
    challenge = session.query(Challenge).one_or_none() or Challenge(slug="biopsy", created_at=NOON)
    version = ChallengeVersion(
        challenge=challenge,
        number=number,
        digest=f"{number:064x}",
        solution_digest=f"{number if labels is None else labels:064x}",
        metric_digest="0" * 64,
        manifest=MANIFEST | manifest,
        created_at=NOON,
    )
    session.add(version)
    session.flush()
    return version
