"""A real installation on disk: database, storage, users, a competition; no workers."""

from __future__ import annotations

import atexit
import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from flask import Flask, url_for
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app.base import db
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import NotSignedIn
from app.base.models import Challenge, ChallengeVersion, Competition
from app.base.models_messages import Question
from app.base.storage import Storage
from app.competing import competitions, evaluations, invites, merges, submissions, teams
from app.integrity import file_checks, inspections
from app.messages import announcements, questions
from app.people import accounts, tokens
from app.people.tokens import Scope
from app.web import client_wheel
from app.web.application import create_app
from scorer.report import Notice, Problem, Report
from tests.claiming import claim_of

PRIVATE_CANARY = 0.123456789
PASSWORD = "correct horse battery"
CSV = b"id,target\n1,0.5\n2,0.25\n"

DESCRIPTION = """# The task

Tell *malignant* from benign tumours, and be honest about how sure you are.

| column | meaning |
|---|---:|
| radius | mean radius |

    id,malignant
    1,0.5
"""


def manifest(files: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "slug": "biopsy",
        "title": "Biopsy triage",
        "summary": "Tell malignant from benign tumours, and be honest about how sure you are.",
        "description": DESCRIPTION,
        "source": {"name": "Breast Cancer Wisconsin", "licence": "CC BY 4.0", "citation": "Street 1993"},
        "metric": {
            "name": "log_loss",
            "title": "Logarithmic loss",
            "params": {"eps": 1e-15},
            "version": 1,
            "greater_is_better": False,
            "bounds": [0.0, None],
            "best": 0.0,
            "worst": None,
            "kind": "probability",
            "convention": "Natural logarithm; probabilities are clipped.",
        },
        "also": [{"name": "roc_auc", "greater_is_better": True}],
        "submission": {
            "id": "id",
            "columns": [{"name": "target", "holds": "a probability, 0 to 1"}],
            "max_bytes": None,
        },
        "competition": {
            "daily_limit": 5,
            "pending_limit": 3,
            "final_picks": 2,
            "max_team_size": 4,
            "timezone": "Europe/Berlin",
        },
        "split": {"strategy": "stratified", "public_fraction": 0.3},
        "rows": {"public": 60, "private": 140},
        "baselines": [{"name": "Prior only", "script": "dummy.py"}],
        "files": files,
        **changes,
    }


@dataclass
class Site:
    """An installation, with methods that act as each role."""

    app: Flask
    database: Database
    storage: Storage
    settings: Settings
    slug: str = "biopsy"
    tokens: dict[tuple[str, Scope], str] = field(default_factory=dict)

    def with_settings(self, **changes: Any) -> Site:
        settings = replace(self.settings, **changes)
        return replace(self, app=create_app(settings, database=self.database), settings=settings)

    def user(self, name: str, *, is_organiser: bool = False) -> None:
        with self.database.begin() as session:
            now = db.now(session)
            accounts.register(session, name, _password_hash(), now=now, is_organiser=is_organiser)

    def browser(self, name: str) -> Browser:
        """Return a signed-in browser, without the slow password hash."""
        client = self._client()
        with self.database.begin() as session:
            user = accounts.by_name(session, name)
            secret = accounts.sign_in(session, user.id, now=db.now(session), days=30, browser="test")
        with client.session_transaction() as cookie:
            cookie["sign_in"] = secret
        return Browser(client)

    def visitor(self) -> Browser:
        return Browser(self._client())

    def _client(self) -> FlaskClient:
        client = self.app.test_client()
        client.open = partial(client.open, buffered=True)  # type: ignore[method-assign]  # closes files
        return client

    def token(self, name: str, scope: Scope | None = None) -> dict[str, str]:
        """Return the header with a token of the widest scope or this one, the same while it is valid."""
        scope = scope or (Scope.ORGANISE if self.viewer(name).is_organiser else Scope.SUBMIT)
        with self.database.begin() as session:
            now = db.now(session)
            secret = self.tokens.get((name, scope), "")
            try:
                tokens.check(session, secret, now=now)
            except NotSignedIn:
                user = accounts.by_name(session, name)
                secret = tokens.issue(session, user.id, "test", now=now, scope=scope)
                self.tokens[name, scope] = secret
        return {"Authorization": f"Bearer {secret}"}

    def viewer(self, name: str) -> accounts.Viewer:
        with self.database.read() as session:
            user = accounts.by_name(session, name)
            return accounts.Viewer(user.id, user.name, user.is_organiser)

    def change(self, **values: Any) -> None:
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            for name, value in values.items():
                setattr(competition, name, value)

    def close(self) -> None:
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            competitions.close(session, competition, by="test", now=db.now(session))

    def join(self, name: str) -> None:
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            teams.join(session, competition, self.viewer(name), now=db.now(session))

    def invite(self, name: str, uses: int = 1) -> str:
        """Return the secret of an invite to the team of its captain."""
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            now = db.now(session)
            return invites.make(session, competition, self.viewer(name), days=7, uses=uses, now=now)[1]

    def enlist(self, name: str, captain: str) -> None:
        """Let a participant join the team of a captain."""
        secret = self.invite(captain)
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            invites.accept(session, competition, self.viewer(name), secret, now=db.now(session))

    def announce(self, title: str, text: str = "Words.", *, to_all: bool = False, hours: float = 0) -> int:
        """Publish an announcement of the competition or to all, now or hours later; return its id."""
        with self.database.begin() as session:
            competition = None if to_all else competitions.by_slug(session, self.slug)
            now = db.now(session)
            at = now + timedelta(hours=hours)
            words = announcements.read(title, text)
            made = announcements.create(session, competition, words, publish_at=at, by="grace", now=now)
            return made.id

    def ask(self, name: str, title: str, text: str = "", *, is_public: bool, as_id: int = 0) -> int:
        """Ask a question of the competition; return its id, which is random unless one is given."""
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            viewer, now = self.viewer(name), db.now(session)
            number = questions.ask(session, competition, viewer, title, text, is_public=is_public, now=now)
            if as_id:
                session.get_one(Question, number).id = as_id
            return as_id or number

    def offer_merge(self, name: str, other_team: str) -> int:
        """Offer a team to merge into that of a captain; return the offer's id."""
        with self.database.begin() as session:
            competition = competitions.by_slug(session, self.slug)
            now = db.now(session)
            return merges.offer(session, competition, self.viewer(name), other_team, now=now).id

    def submit(self, name: str, content: bytes = CSV, filename: str = "guess.csv", message: str = "") -> int:
        with self.storage.receive(10_000_000) as incoming:
            incoming.write(content)
            blob = incoming.keep()
        with self.database.begin() as session:
            now = db.now(session)
            competition = competitions.by_slug(session, self.slug)
            receipt = submissions.accept(
                session,
                competition,
                self.viewer(name),
                blob,
                filename=filename,
                message=message,
                received_at=now,
                now=now,
            )
        return receipt.id

    def check(self, name: str, content: bytes = CSV) -> int:
        """Send a file to be checked, and return the check's id."""
        answer = self._client().post(
            f"/api/v1/competitions/{self.slug}/check", data=content, headers=self.token(name)
        )
        assert answer.status_code == 202, answer.text
        assert answer.json is not None
        return int(answer.json["id"])

    def answer_check(self, check_id: int, *problems: Problem) -> None:
        """End a check as a worker does: accepted without problems, else rejected."""
        with self.database.begin() as session:
            now = db.now(session)
            claim = inspections.claim(
                session, "test", lease=timedelta(minutes=5), now=now, inspection_id=check_id
            )
            assert claim is not None
            file_checks.record(session, check_id, is_rejected=bool(problems), seconds=0.1)
            listed = [problem.as_dict() for problem in problems]
            result = {"problems": listed, "problem_count": len(listed), "notices": []}
            inspections.finish(session, claim, result, now=now)

    def baseline(self, name: str, public: float, private: float) -> int:
        with self.storage.receive(10_000_000) as incoming:
            incoming.write(f"{name},{public}".encode())
            blob = incoming.keep()
        with self.database.begin() as session:
            now = db.now(session)
            competition = competitions.by_slug(session, self.slug)
            team = teams.baseline(session, competition, name, now=now)
            submission_id = submissions.post_baseline(
                session, competition, team, blob, filename=f"{name}.csv", message="", now=now
            )
        assert submission_id is not None
        self.score(submission_id, public, private)
        return submission_id

    def score(self, submission_id: int, public: float, private: float = PRIVATE_CANARY) -> None:
        report = Report(
            public=public,
            private=private,
            also={"roc_auc": {"public": 0.9, "private": 0.8}},
            notices=(Notice("ORDER", "Rows were matched by id."),),
        )
        with self.database.begin() as session:
            evaluations.record_scored(
                session, self._claim(session, submission_id), report, now=db.now(session)
            )

    def reject(self, submission_id: int, *problems: Problem) -> None:
        problems = problems or (
            Problem(
                "NOT_A_NUMBER", "Line 2: `abc` is no number.", line=2, id="1", column="target", value="abc"
            ),
        )
        with self.database.begin() as session:
            evaluations.record_rejected(
                session,
                self._claim(session, submission_id),
                problems,
                sum(p.count for p in problems),
                now=db.now(session),
            )

    def fail(
        self, submission_id: int, fault: str = "Traceback\nMemoryError: metric ran out of memory"
    ) -> None:
        for attempt in range(evaluations.MAX_ATTEMPTS):
            with self.database.begin() as session:
                now = db.now(session) + timedelta(minutes=attempt)  # after the pause before each attempt
                evaluations.give_back(session, self._claim(session, submission_id, now), fault, now=now)

    def run(self, submission_id: int) -> None:
        with self.database.begin() as session:
            self._claim(session, submission_id)

    @staticmethod
    def _claim(session: Session, submission_id: int, now: datetime | None = None) -> evaluations.Claim:
        claim = claim_of(
            session, submission_id, "test", lease=timedelta(minutes=5), now=now or db.now(session)
        )
        assert claim is not None
        return claim


class Browser:
    """A test client that sends forms with the page's CSRF token."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def csrf(self) -> str:
        page = self.client.get("/licences").text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page) or re.search(
            r'name="csrf_token" value="([^"]+)"', self.client.get("/sign-in").text
        )
        assert found is not None
        return found[1]

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.csrf(), **(data or {})}, **options)


_hash: list[str] = []


def _password_hash() -> str:
    if not _hash:
        _hash.append(accounts.hash_password(PASSWORD))
    return _hash[0]


def build(folder: Path) -> Site:
    """Make an installation with participants Ada (joined), Bob, and organiser Grace."""
    site = reopen(folder)
    database, storage = site.database, site.storage
    db.Base.metadata.create_all(database.engine)
    files = []
    for name, content in (
        ("train.csv", b"id,radius,target\n1,12.5,0\n2,20.1,1\n"),
        ("sample_submission.csv", CSV),
        ("notes.txt", b"<script>alert(1)</script>"),
    ):
        with storage.receive(1_000_000) as incoming:
            incoming.write(content)
            blob = incoming.keep()
        entry: dict[str, Any] = {"name": name, "size": blob.size_bytes, "sha256": blob.sha256}
        if name.endswith(".csv"):
            header = content.splitlines()[0].decode().split(",")
            entry["n_rows"] = 2
            entry["schema"] = [
                {"column": c, "type": "number", "missing": 0, "examples": ["1", "2"]} for c in header
            ]
        files.append(entry)
    with storage.receive(1_000_000) as incoming:
        incoming.write(b"PK a stand-in archive")
        bundle = incoming.keep()
    with database.begin() as session:
        now = db.now(session)
        challenge = Challenge(slug="biopsy", created_at=now)
        session.add(challenge)
        session.flush()
        version = ChallengeVersion(
            challenge=challenge,
            number=1,
            digest=hashlib.sha256(b"1").hexdigest(),
            solution_digest="s" * 64,
            metric_digest="m" * 64,
            manifest=manifest(files, bundle={"sha256": bundle.sha256, "size": bundle.size_bytes}),
            created_at=now,
        )
        session.add(version)
        session.flush()
        competitions.open_(
            session,
            version,
            now=now - timedelta(days=3),
            max_upload_bytes=200_000,
            changes={"closes_at": (now + timedelta(days=12)).isoformat()},
        )
    site.user("ada")
    site.user("bob")
    site.user("grace", is_organiser=True)
    site.join("ada")
    return site


def reopen(folder: Path) -> Site:
    # No Redis answers there: pages must work without hints.
    # A cached page would hide what a test has just done.
    settings = Settings(data_dir=folder, redis_url="unix:///nowhere/heldout.sock", board_seconds=0)
    database = Database(settings.database)
    event.listen(database.engine, "connect", _skip_syncing)
    app = create_app(settings, database=database)
    app.jinja_env.bytecode_cache = _compiled
    return Site(app, database, Storage(settings.storage), settings)


# Each test has its own application, but templates are compiled only once.
_compiled = jinja2.FileSystemBytecodeCache(tempfile.mkdtemp(prefix="heldout-templates-"))
atexit.register(shutil.rmtree, _compiled.directory, ignore_errors=True)


def _skip_syncing(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")  # no test here cuts the power


def competition(site: Site) -> Competition:
    with site.database.read() as session:
        return competitions.by_slug(session, site.slug)


TOKEN_ONLY = ("/api/", "/mcp")
"""Addresses for programs: they take a token and never a cookie."""


def addresses(site: Site, submission_id: int) -> list[tuple[str, str]]:
    """Return (method, address) of each route.

    A route with a parameter that `routes` does not know fails on purpose.
    """
    return [(method, address) for method, _, address in routes(site, submission_id)]


def routes(site: Site, submission_id: int, **ids: Any) -> list[tuple[str, str, str]]:
    """Return (method, endpoint, address) of each route.

    `ids` name objects other than the first of their kind.
    """
    example: dict[str, Any] = {
        "slug": site.slug,
        "submission_id": submission_id,
        "name": "train.csv",
        "filename": "heldout.css",
        "wheel": client_wheel.NAME,
        "sign_in_id": 1,
        "token_id": 1,
        "case_id": 1,
        "check_id": 1,
        "extension_id": 1,
        "invite_id": 1,
        "offer_id": 1,
        "draft_id": 1,
        "enrolment_id": 1,
        "file_id": 1,
        "announcement_id": 1,
        "question_id": 1,
        "canned_id": 1,
        "kind": "oof",
        "service": "competitions.CompetitionApiService",
        "method": "ListCompetitions",
        "size_bytes": len(CSV),
        "_modified": 23,
        "secret": "x" * 43,
        "key": "x",
    } | ids
    found = []
    with site.app.test_request_context():
        for rule in site.app.url_map.iter_rules():
            of_site = {"announcement_id": 2} if ".site_" in rule.endpoint else {}
            known = example | of_site
            address = url_for(rule.endpoint, **{name: known[name] for name in rule.arguments})
            found += [
                (method, rule.endpoint, address)
                for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
            ]
    return found
