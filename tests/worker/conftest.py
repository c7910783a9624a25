"""A published challenge with its hidden solution in a vault, and people who submit to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import scorer
from app.authoring import publishing
from app.base import db
from app.base.config import Settings
from app.base.db import Database
from app.base.installation import Installation
from app.competing import competitions, statuses, submissions, teams
from app.competing.statuses import Status
from app.people import accounts
from app.people.accounts import Viewer


@pytest.fixture(scope="session")
def checked(challenge_folder: Path) -> scorer.CheckResult:
    """Checked once; every test publishes the same folder."""
    return scorer.check(scorer.load(challenge_folder))


@dataclass
class Platform:
    installation: Installation
    folder: Path

    @property
    def database(self) -> Database:
        return self.installation.database

    def with_settings(self, **changes: Any) -> Platform:
        return Platform(Installation(replace(self.installation.settings, **changes)), self.folder)

    def sample(self) -> bytes:
        return (self.folder / "public/sample_submission.csv").read_bytes()

    def submit(self, content: bytes, *, by: str = "ada") -> int:
        with self.installation.storage.receive(10**8) as incoming:
            incoming.write(content)
            blob = incoming.keep()
        with self.database.begin() as session:
            now = db.now(session)
            competition = competitions.by_slug(session, "coins")
            user = accounts.by_name(session, by)
            viewer = Viewer(user.id, user.name, user.is_organiser)
            teams.join(session, competition, viewer, now=now)
            return submissions.accept(
                session, competition, viewer, blob, filename="s.csv", message="", received_at=now, now=now
            ).id

    def status(self, submission_id: int) -> Status:
        with self.database.read() as session:
            competition = competitions.by_slug(session, "coins")
            (status,) = statuses.statuses(
                session, competition, now=db.now(session), submission_id=submission_id, for_organiser=True
            )
            return status


@pytest.fixture
def platform(
    database_url: str, challenge_folder: Path, checked: scorer.CheckResult, tmp_path: Path
) -> Iterator[Platform]:
    settings = Settings(
        data_dir=tmp_path / "data", database_url=database_url, lease_seconds=5, hint_seconds=1
    )
    installation = Installation(settings)
    publishing.publish(installation, scorer.load(challenge_folder), actor="test", checked=checked)
    with installation.database.begin() as session:
        now = db.now(session)
        accounts.register(session, "ada", None, now=now)
        accounts.register(session, "bob", None, now=now)
        competition = competitions.by_slug(session, "coins")
        competition.daily_limit = competition.pending_limit = 1000
    yield Platform(installation, challenge_folder)
    installation.database.dispose()
