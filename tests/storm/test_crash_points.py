"""Kill a small installation at every failpoint, let it go on, and check its state.

Each run is a fork of this process that kills itself (SIGKILL, so no cleanup runs) when it reaches the
failpoint for the n-th time. Then the installation goes on as usual: a worker starts and expires the leases of
dead processes, the sweeper sweeps, and participants repeat uploads without a receipt.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select

import scorer
from app.authoring import publishing
from app.base import db, events, failpoints
from app.base.config import Settings
from app.base.db import Database
from app.base.installation import Installation
from app.base.models import (
    Evaluation,
    Event,
    FinalPick,
    Inspection,
    InspectionState,
    Membership,
    Phase,
    Quota,
    Round,
    RoundState,
    Score,
    Standing,
    State,
    Submission,
    Team,
    TrainFile,
)
from app.base.models_teams import MergeOffer, OfferState
from app.competing import competitions, evaluations, extensions, merges, picks, rescores, standings, teams
from app.competing.evaluations import MAX_ATTEMPTS
from app.integrity import inspections, train_files
from app.integrity.inspections import Kind
from app.people import accounts, tokens
from app.people.accounts import Viewer
from app.web.application import create_app
from tests.conftest import copy_database
from tests.servers import ROOT, drop_hints, valkey
from worker import inspections as worker_inspections
from worker.__main__ import expire_dead_horses
from worker.jobs import Runner
from worker.sweeper import sweep

DEAD_HORSE = 4_190_000  # above every pid on the machine
SECOND = timedelta(seconds=1)

# The idempotency key of each upload: sent again, it must be the same submission.
FILES = {
    "ada-1": "good",
    "bob-1": "better",
    "ada-2": "wrong",
    "bob-2": "faulty",
    "ada-3": "silent",
    "bob-3": "last",
}


@dataclass(frozen=True)
class Setup:
    """An installation for one run: its settings and the participants' tokens."""

    settings: Settings
    tokens: dict[str, str]
    sample: bytes
    out_of_fold: bytes
    """Predictions for the training rows."""

    @property
    def acknowledged(self) -> Path:
        return self.settings.data_dir / "acknowledged"

    @property
    def hidden_vault(self) -> Path:
        return self.settings.data_dir / "vault.away"

    def content(self, key: str) -> bytes:
        """Return a different file for each key; one is wrong."""
        if FILES[key] == "wrong":
            return self.sample.replace(b",", b",x", 2)
        return self.sample + b"\n" * list(FILES).index(key)

    def receipts(self) -> dict[str, Any]:
        """Return the receipts by key, as the client stored them on arrival."""
        lines = self.acknowledged.read_text().splitlines() if self.acknowledged.exists() else []
        return dict(map(json.loads, lines))


class Life:
    """The steps of one run: `live` from the beginning, `go_on` after a kill."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        settings = setup.settings
        self.database = Database(
            settings.database
        )  # pooled, as this is never forked: a connection costs 10 ms
        self.installation = Installation(settings)
        self.web = create_app(settings, database=self.database)
        self.web.logger.propagate = False
        self.runner = Runner(settings, self.database)
        # In this fork only: no backoff before the next attempt.
        evaluations.BACKOFF = evaluations.AWAY_BACKOFF = timedelta(0)

    def live(self) -> None:
        self.upload("ada-1", "bob-1", "ada-2")
        self.work()
        self.upload("bob-2")
        if self.setup.settings.vault.exists():
            self.setup.settings.vault.rename(self.setup.hidden_vault)  # three failed attempts
        self.work()
        self.setup.hidden_vault.rename(self.setup.settings.vault)
        self.upload("ada-3")
        for _ in range(MAX_ATTEMPTS):
            self._claim(-SECOND)
        self.sweep()
        self.upload("bob-3")
        self._claim(60 * SECOND, renew=True)
        expire_dead_horses(self.runner)
        self.work()
        self._rescore()
        with self.database.begin() as session:
            rescores.discard_rescore(session, competitions.by_slug(session, "coins"))
        self._rescore()
        self.end()

    def go_on(self) -> None:
        """Recover, repeat all uploads, and run until nothing is left."""
        if self.setup.hidden_vault.exists():
            self.setup.hidden_vault.rename(self.setup.settings.vault)
        expire_dead_horses(self.runner)
        self.upload(*FILES)
        self.end()

    def upload(self, *keys: str) -> None:
        for key in keys:
            with self.web.test_client() as client:
                answer = client.post(
                    "/api/v1/competitions/coins/submissions",
                    data=self.setup.content(key),
                    headers={
                        "Authorization": f"Bearer {self.setup.tokens[key.split('-')[0]]}",
                        "Idempotency-Key": key,
                        "Content-Type": "text/csv",
                    },
                )
            assert answer.status_code == 201, (key, answer.get_data(as_text=True))
            with self.setup.acknowledged.open("a") as hand:
                hand.write(json.dumps([key, answer.get_json()]) + "\n")

    def work(self) -> None:
        self.runner.run()

    def sweep(self) -> None:
        sweep(self.database, self.installation.hints, hint_after=timedelta(0))

    def end(self) -> None:
        """Finish the rescore, every evaluation and the inspection."""
        self.sweep()
        self.work()
        self.sweep()
        with self.database.begin() as session:
            draft = competitions.draft_round(session, competitions.by_slug(session, "coins"))
            if draft is not None:
                rescores.activate(session, draft.id, by="grace", now=db.now(session), accept_losses=True)
        self._merge()
        self._pick_and_diagnose()
        with self.database.begin() as session:
            now = db.now(session)
            competition = competitions.by_slug(session, "coins")
            inspections.ask(session, competition, Kind.SCAN, by="grace", now=now)
        self._inspect()
        self._close()
        self.sweep()
        self._inspect()

    def _merge(self) -> None:
        """Let ada offer bob to merge, and bob accept, each in a transaction of its own."""
        for name in ("ada", "bob"):
            with self.database.begin() as session:
                competition = competitions.by_slug(session, "coins")
                now = db.now(session)
                user = accounts.by_name(session, name)
                me = Viewer(user.id, user.name, False)
                team = teams.of(session, competition, user.id)
                assert team is not None
                if len(teams.members(session, team)) > 1:
                    return  # a run before the kill came as far
                if name == "ada":
                    merges.offer(session, competition, me, "bob", now=now)
                else:
                    [made] = merges.listed(session, team)
                    merges.accept(session, competition, me, made.id, now=now)

    def _pick_and_diagnose(self) -> None:
        """Let ada pick her first file and send predictions for the training rows beside it."""
        first = self.setup.receipts()["ada-1"]["id"]
        with self.database.begin() as session:
            competition = competitions.by_slug(session, "coins")
            now = db.now(session)
            if competition.phase(now) is Phase.CLOSED:
                return  # a run before the kill came as far
            team = session.get_one(Team, session.get_one(Submission, first).team_id)
            picks.pick_final(session, competition, team, first, picked=True, now=now)
        with self.installation.storage.receive(len(self.setup.out_of_fold)) as incoming:
            incoming.write(self.setup.out_of_fold)
            blob = incoming.keep()
        with self.database.begin() as session:
            sent = train_files.of(session, first).get("oof")
            if sent is not None:
                return
            competition = competitions.by_slug(session, "coins")
            submission = session.get_one(Submission, first)
            now = db.now(session)
            train_files.attach(session, competition, submission, "oof", blob, by="ada", now=now)

    def _inspect(self) -> None:
        for _ in range(2 * MAX_ATTEMPTS + 2):
            horse = f"{self.runner.name}/{os.getpid()}"
            with self.database.begin() as session:
                claim = inspections.claim(session, horse, lease=60 * SECOND, now=db.now(session))
            if claim is None:
                break
            if claim.kind is Kind.TRAIN_FILES:
                assert worker_inspections._carry_out(self.runner, claim) == 1
                continue
            with self.database.begin() as session:
                inspections.finish(session, claim, {}, now=db.now(session))

    def _close(self) -> None:
        """Give the team a later close, and end the competition for everybody."""
        for _ in range(2):
            with self.database.begin() as session:
                competition = competitions.by_slug(session, "coins")
                competitions.lock(session, competition)
                now = db.now(session)
                if competition.phase(now) is Phase.CLOSED:
                    return
                if competition.closes_at is None:
                    competition.closes_at = now + timedelta(hours=1)
                    session.flush()
                    later = now + timedelta(hours=2)
                    extensions.grant(
                        session,
                        competition,
                        "ada",
                        reason="one was ill",
                        by="grace",
                        now=now,
                        closes_at=later,
                    )
                    continue
                competitions.close(session, competition, by="grace", now=now)

    def _claim(self, lease: timedelta, *, renew: bool = False) -> None:
        """Claim an evaluation for a work-horse that does not exist."""
        horse = f"{self.runner.name}/{DEAD_HORSE}"
        with self.database.begin() as session:
            claim = evaluations.claim(session, horse, lease=lease, now=db.now(session))
        if renew and claim is not None:
            with self.database.begin() as session:
                evaluations.renew(session, claim, lease=lease, now=db.now(session))

    def _rescore(self) -> None:
        with self.database.begin() as session:
            competition = competitions.by_slug(session, "coins")
            rescores.begin_rescore(
                session, competition, competition.version, reason="once more", now=db.now(session)
            )


# -- checks ------------------------------------------------------------------------------------


def faults(setup: Setup) -> list[str]:
    """Return every wrong fact of a finished run."""
    found = []
    database = Database(setup.settings.database, pooled=False)
    with database.read() as session:
        competition = competitions.by_slug(session, "coins")
        kept = {s.id: s for s in session.scalars(select(Submission))}
        rounds = {r.id: r.state for r in session.scalars(select(Round))}
        evaluations = session.scalars(select(Evaluation)).all()
        scores = Counter((s.submission_id, s.round_id) for s in session.scalars(select(Score)))
        used = {(q.team_id, q.day): q.used for q in session.scalars(select(Quota)) if q.used}
        stages = set(session.scalars(select(Inspection.state)))
        picked = set(session.scalars(select(FinalPick.submission_id)))
        train = [(f.submission_id, f.kind, f.state) for f in session.scalars(select(TrainFile))]
        merged = session.scalars(select(Event).where(Event.action == events.MERGED)).all()
        offered = list(session.scalars(select(MergeOffer.state)))
        with_members = set(session.scalars(select(Membership.team_id)))
        now = db.now(session)
        is_closed = competition.phase(now) is Phase.CLOSED
        is_closed_for_all = is_closed and not extensions.later_closes(session, competition, now=now)

    receipts = setup.receipts()
    first = receipts["ada-1"]["id"]
    if picked != {first} or train != [(first, "oof", State.SCORED)]:
        found.append(f"picked are {picked}, train files {train}")
    if not is_closed_for_all:
        found.append("the competition is not closed for every team")
    if receipts.keys() != FILES.keys():
        found.append(f"receipts of {sorted(receipts)}")
    keys = Counter(s.idempotency_key for s in kept.values())
    if keys != Counter(FILES.keys()):
        found.append(f"a key has not one submission: {keys}")
    for key, receipt in receipts.items():
        mine = kept.get(receipt["id"])
        if mine is None or (mine.sha256, mine.idempotency_key) != (receipt["sha256"], key):
            found.append(f"the upload acknowledged as {receipt} is lost")
    blobs = {b for b in setup.settings.storage.rglob("*") if b.is_file() and b.parent.name != "incoming"}
    found += [f"{blob.name} is an incomplete file" for blob in blobs if blob.name != _digest(blob)]
    names = {blob.name for blob in blobs}
    found += [f"the file of submission {s.id} is missing" for s in kept.values() if s.sha256 not in names]

    (active,) = [id_ for id_, state in rounds.items() if state == RoundState.ACTIVE]
    if RoundState.DRAFT in rounds.values():
        found.append("a rescore is not finished")
    ended = {e.submission_id: e.state for e in evaluations if e.round_id == active}
    if ended.keys() != kept.keys() or not all(State(state).is_final for state in ended.values()):
        found.append(f"the active round's evaluations are {ended}")
    found += [
        f"submission {e.submission_id} is {e.state} with {scores[e.submission_id, e.round_id]} scores"
        for e in evaluations
        if scores[e.submission_id, e.round_id] != (e.state == State.SCORED)
    ]
    for submission in kept.values():
        # A rescore that is applied also charges files that failed before and are scored now.
        refunded = ended[submission.id] in (State.REJECTED, State.FAILED)
        if submission.is_charged == refunded:
            found.append(
                f"submission {submission.id} is {ended[submission.id]}, charged: {submission.is_charged}"
            )
        if FILES[submission.idempotency_key] == "wrong" and ended[submission.id] != State.REJECTED:
            found.append(f"the wrong file is {ended[submission.id]}")
    if (
        len(merged) != 1
        or offered != [OfferState.ACCEPTED]
        or {s.team_id for s in kept.values()} != with_members
    ):
        found.append(f"the teams merged {len(merged)} times, offers are {offered}, members in {with_members}")
    charged = Counter((s.team_id, s.day) for s in kept.values() if s.is_charged)
    if used != charged:
        found.append(f"quota {used}, charged {charged}")
    if stages != {InspectionState.DONE}:
        found.append(f"inspections are {stages}")

    shown = _standings(database)
    with database.begin() as session:
        standings.refresh_all(session, competitions.by_slug(session, competition.slug))
    if shown != _standings(database) or len(shown) != 1:
        found.append(f"the board does not follow from the scores: {shown}")
    return found


def _standings(database: Database) -> list[tuple[Any, ...]]:
    columns = [c for c in Standing.__table__.columns if not c.name.endswith("_also")]
    with database.read() as session:
        return [tuple(row) for row in session.execute(select(*columns).order_by(Standing.team_id))]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- kills -------------------------------------------------------------------------------------


def in_a_fork(setup: Setup, act: Callable[[Life], None], listener: Callable[[str], None] | None) -> bool:
    """Return True if the fork ended, False if it killed itself; else fail."""
    trouble = setup.settings.data_dir / "trouble"
    pid = os.fork()
    if pid == 0:
        try:
            logging.disable()
            life = Life(setup)
            failpoints.listener = listener
            act(life)
        except BaseException:  # noqa: BLE001  the parent reports it
            trouble.write_text(traceback.format_exc())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert os.waitstatus_to_exitcode(status) == 0, trouble.read_text()
    return True


def dies_at(name: str, passage: int) -> Callable[[str], None]:
    left = passage

    def listen(reached: str) -> None:
        nonlocal left
        left -= reached == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return listen


@pytest.fixture(scope="module")
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, challenge_folder: Path
) -> Iterator[Callable[[str], Setup]]:
    """Return a function that copies a published installation, of either database."""
    home = tmp_path_factory.mktemp("crash")
    templates: dict[str, Setup] = {}
    count = 0
    with valkey(home / "queue") as redis_url:

        def make(kind: str) -> Setup:
            nonlocal count
            if kind not in templates:
                templates[kind] = _make_template(request, kind, home / kind, redis_url, challenge_folder)
            with Redis.from_url(redis_url) as redis:
                drop_hints(redis)  # hints of earlier runs would delay the sweeper
            template = templates[kind]
            count += 1
            folder = home / f"{kind}-{count}"
            shutil.copytree(template.settings.data_dir, folder)
            url = ""
            if kind == "postgres":
                url = request.getfixturevalue("postgres").format(name=f"crash_{count}")
                copy_database(request.getfixturevalue("postgres"), "crash_house", f"crash_{count}")
            return replace(template, settings=replace(template.settings, data_dir=folder, database_url=url))

        yield make


def _make_template(
    request: pytest.FixtureRequest, kind: str, folder: Path, redis_url: str, challenge_folder: Path
) -> Setup:
    folder.mkdir(mode=0o700)
    url = ""
    if kind == "postgres":
        server, template = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
        copy_database(server, template, "crash_house")
        url = server.format(name="crash_house")
    else:
        shutil.copy(request.getfixturevalue("sqlite_template"), folder / "heldout.db")
    settings = Settings(data_dir=folder, database_url=url, redis_url=redis_url, lease_seconds=60)
    installation = Installation(settings)
    publishing.publish(installation, scorer.load(challenge_folder), actor="test")
    with installation.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, "coins")
        secrets_by_name = {}
        for name in ("ada", "bob"):
            user = accounts.register(session, name, None, now=now)
            teams.join(session, competition, Viewer(user.id, user.name, False), now=now)
            secrets_by_name[name] = tokens.issue(session, user.id, "crash", now=now)
    installation.database.dispose()
    public = challenge_folder / "public"
    ids = [line.split(",")[0] for line in (public / "train.csv").read_text().splitlines()[1:]]
    out_of_fold = "".join(["id,target\n", *(f"{each},0.5\n" for each in ids)]).encode()
    return Setup(settings, secrets_by_name, (public / "sample_submission.csv").read_bytes(), out_of_fold)


def passages(setup: Setup) -> Counter[str]:
    """Count how often a whole run reaches each failpoint."""
    log = setup.settings.data_dir / "passages"

    def listen(name: str) -> None:
        with log.open("a") as file:
            file.write(name + "\n")

    assert in_a_fork(setup, Life.live, listen)
    return Counter(log.read_text().split())


def check(setup: Setup, *deaths: tuple[str, int]) -> None:
    """Run with these kills, one after the other, and check the result."""
    acts = [Life.live, *[Life.go_on] * len(deaths)]
    for act, death in zip(acts, [*deaths, None], strict=True):
        lived = in_a_fork(setup, act, dies_at(*death) if death else None)
        assert death is None or act is Life.go_on or not lived, f"{death} was not reached"
    assert faults(setup) == [], f"after kills at {deaths}"


# -- the tests ---------------------------------------------------------------------------------


def test_every_failpoint_in_the_code_is_listed_once() -> None:
    reached = Counter(
        node.args[0].value
        for room in ("app", "worker")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoints.reach"
        if isinstance(node.args[0], ast.Constant)
    )
    assert reached == Counter(failpoints.NAMES)


def test_no_code_sets_a_listener_of_failpoints() -> None:
    setters = [
        path
        for room in ("app", "worker", "scorer")
        for path in (ROOT / room).rglob("*.py")
        if "failpoints.listener" in path.read_text(encoding="utf-8")
    ]
    assert failpoints.listener is None
    assert setters == []


def test_run_without_a_kill_reaches_every_failpoint(made: Callable[[str], Setup]) -> None:
    setup = made("sqlite")
    assert set(passages(setup)) == set(failpoints.NAMES)
    assert faults(setup) == []


PARTS = 4
"""Of the failpoints, so that several processes share them."""


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
def test_kill_at_any_failpoint_loses_and_repeats_nothing(made: Callable[[str], Setup], part: int) -> None:
    for name in failpoints.NAMES[part::PARTS]:
        check(made("sqlite"), (name, 1))


def test_second_kill_during_recovery_loses_and_repeats_nothing(made: Callable[[str], Setup]) -> None:
    rng = random.Random(5)
    for _ in range(5):
        check(made("sqlite"), (rng.choice(failpoints.NAMES), 1), (rng.choice(failpoints.NAMES), 1))


OUTSIDE = ("storage", "inspection", "sweep", "upload", "score")
ON_POSTGRES = [n for n in failpoints.NAMES if n.split(".")[0] not in OUTSIDE]


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.parametrize("part", range(PARTS))
def test_kill_inside_any_transaction_on_postgresql(made: Callable[[str], Setup], part: int) -> None:
    counts = passages(made("postgres"))
    for name in ON_POSTGRES[part::PARTS]:  # the last passage; with SQLite it is the first
        check(made("postgres"), (name, counts[name]))
