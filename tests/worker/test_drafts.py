"""From an uploaded table, or from given parts, to an open competition."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select, text, update

import scorer
from app.authoring import draft_steps, drafts
from app.authoring.draft_steps import Kind
from app.authoring.drafts import FileKind, Source
from app.base import db, inbox
from app.base.config import Settings
from app.base.errors import Conflict, NotFound, QuotaExhausted, Refused, TooLarge
from app.base.installation import Installation
from app.base.models import ChallengeVersion, Competition, Event, Submission, Team
from app.base.models_drafts import DraftFile, DraftState, DraftStep
from app.base.storage import referenced
from app.competing import competitions
from app.operating import backup
from app.people import accounts
from scorer.authoring.building import build
from scorer.authoring.columns import profile
from scorer.authoring.proposal import Wishes, propose
from scorer.authoring.table import read_table
from tests.conftest import on_sqlite
from tests.worker.drafting import Desk, steps, table
from worker import authoring, jobs


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    settings = Settings(
        data_dir=tmp_path / "data", database_url=database_url, lease_seconds=5, allow_weak_sandbox=True
    )
    made = Desk(Installation(settings))
    made.begin()
    yield made
    made.database.dispose()


@on_sqlite
def test_a_table_becomes_the_competition_of_the_command_whatever_step_is_killed(
    desk: Desk, tmp_path: Path
) -> None:
    """A worker is killed once in each step, with work done and not yet recorded."""
    draft_id = desk.create()
    content = table()
    desk.upload(draft_id, FileKind.TABLE, content, "Coin_tosses.csv")
    assert steps(desk.view(draft_id)) == {Kind.PROFILE: "queued"}
    assert desk.work(killed_at=["looking at"]) == 1
    seen = desk.view(draft_id)
    profiled = seen.result(Kind.PROFILE)
    assert profiled is not None
    assert profiled["guesses"]["target"] == {"column": "y", "reason": "its name"}
    assert [column["name"] for column in profiled["columns"]] == ["x", "w", "words", "y"]
    desk.change(draft_id, target="y", seed=7)
    assert desk.work(killed_at=["writing the files", "training"]) == 2
    seen = desk.view(draft_id)
    audit, train = seen.result(Kind.AUDIT), seen.result(Kind.TRAIN)
    assert audit is not None
    assert train is not None
    assert audit["ok"]
    assert audit["rows"] == {"train": 140, "public": 18, "private": 42}
    assert audit["board"]["detectable"] > audit["board"]["error"] > 0
    assert len(train["baselines"]) == 8, train["failed"]
    assert train["spread"]["words"]
    assert "seed" not in json.dumps([dict(audit), dict(train)])

    desk.change(draft_id, predicted="labels", metric="accuracy")
    assert steps(desk.view(draft_id)) == {Kind.PROFILE: "done", Kind.AUDIT: "done", Kind.TRAIN: "queued"}
    desk.change(draft_id, predicted=None, metric=None)
    assert set(steps(desk.view(draft_id)).values()) == {"done"}, "taken back, so nothing is done again"

    desk.change(draft_id, title="Coin tosses", slug="coin-tosses", daily_limit=7, timezone="Europe/Berlin")
    desk.open(draft_id)
    assert desk.view(draft_id).state is DraftState.OPENING
    with pytest.raises(Conflict, match="being opened"):
        desk.change(draft_id, daily_limit=8)
    assert desk.work(killed_at=["posting the baselines"]) == 1, "published, and killed before it was recorded"
    seen = desk.view(draft_id)
    assert (seen.state, seen.competition, seen.files) == (DraftState.OPEN, "coin-tosses", [])
    with desk.database.read() as session:
        competition = competitions.by_slug(session, "coin-tosses")
        assert (competition.daily_limit, competition.timezone) == (7, "Europe/Berlin")
        assert len(session.scalars(select(Team).where(Team.is_baseline)).all()) == 8
        assert len(session.scalars(select(Submission)).all()) == 8
        (digest,) = session.scalars(select(ChallengeVersion.digest))
        assert session.scalars(select(Competition.slug)).all() == ["coin-tosses"]
        attempts = {row.kind: row.attempt for row in session.scalars(select(DraftStep))}
        assert attempts == {"profile": 2, "audit": 2, "train": 2, "build": 2}
    work = desk.installation.settings.vault / ".work"
    assert list(work.iterdir()) == [], "no label is left in the open"

    path = tmp_path / "Coin_tosses.csv"
    path.write_bytes(content)
    read = read_table(path)
    found = propose(read, profile(read.frame), "y", Wishes(title="Coin tosses", slug="coin-tosses"), seed=7)
    by_command = build(read, profile(read.frame), found.target, found.choices, tmp_path / "coin-tosses")
    assert scorer.load(by_command.written.folder).digest == digest


CANARY = "XCANARYX"


@on_sqlite
def test_labels_are_in_no_response_row_log_or_file_outside_the_vault(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a table that works, of one that cannot be read, and of a solution with mistakes."""
    caplog.set_level(logging.DEBUG)
    ids = [
        (desk.create(), FileKind.TABLE, table(canary=CANARY), "coins.csv"),
        (desk.create(), FileKind.TABLE, f"a,y\n1,{CANARY}\n2,{CANARY},3\n".encode(), "broken.csv"),
        (desk.create(), FileKind.TABLE, f'a,b\n{CANARY},"{CANARY}\n'.encode(), "quote.csv"),
    ]
    for draft_id, kind, content, name in ids:
        desk.upload(draft_id, kind, content, name)
        desk.change(draft_id, target="y")
    parts = desk.create(Source.PARTS, metric="mae")
    desk.upload(parts, FileKind.SAMPLE, b"id,y\n1,0\n2,0\n3,0\n", "sample_submission.csv")
    solution = f"id,y,Usage\n1,0.5,Public\n2,{CANARY},Private\n3,1,Private\n"
    desk.upload(parts, FileKind.SOLUTION, solution.encode(), "solution.csv")
    desk.work()
    shown = [desk.view(each[0]) for each in ids] + [desk.view(parts)]
    assert shown[0].result(Kind.AUDIT) is not None
    assert shown[1].steps[Kind.PROFILE].refused == (
        "broken.csv could not be read: line 3 has 3 values, the header 2 columns."
    )
    check = shown[3].result(Kind.CHECK)
    assert check is not None
    assert not check["ready"]
    assert check["errors"]
    places = [repr(shown), caplog.text, *_rows(desk)]
    assert [place for place in places if CANARY in place] == []
    data = desk.installation.settings.data_dir
    held = [
        str(path)
        for path in data.rglob("*")
        if path.is_file() and "vault" not in path.parts and CANARY.encode() in path.read_bytes()
    ]
    assert held == []


def _rows(desk: Desk) -> list[str]:
    found = []
    with desk.database.read() as session:
        for name in ("draft", "draft_file", "draft_step", "event", "inbox_key"):
            found += [repr(tuple(row)) for row in session.execute(text(f"SELECT * FROM {name}"))]
    return found


def given_parts(desk: Desk, draft_id: int, *, solution: bytes | None = None) -> pd.DataFrame:
    frame = pd.read_csv(io.BytesIO(table()))
    frame["y"] = (frame.y == "ja").astype(int)
    frame.insert(0, "id", [f"r{k:03}" for k in range(len(frame))])
    train, test = frame.iloc[:120], frame.iloc[120:]
    usage = np.where(np.random.default_rng(5).permutation(80) < 27, "Public", "Private")
    truth = test[["id", "y"]].assign(Usage=usage)
    sample = test[["id"]].assign(y=0.5)
    for kind, part, name in (
        (FileKind.TRAIN, train, "training.csv"),
        (FileKind.TEST, test.drop(columns="y"), "test.csv"),
        (FileKind.SAMPLE, sample, "sample_submission.csv"),
    ):
        desk.upload(draft_id, kind, part.to_csv(index=False).encode(), name)
    desk.upload(draft_id, FileKind.SOLUTION, solution or truth.to_csv(index=False).encode(), "solution.csv")
    return truth


@on_sqlite
def test_given_parts_are_checked_and_become_a_competition(desk: Desk) -> None:
    draft_id = desk.create(Source.PARTS)
    truth = given_parts(desk, draft_id)
    desk.work()
    check = desk.view(draft_id).result(Kind.CHECK)
    assert check is not None
    assert (check["ready"], check["rows"]) == (True, {"public": 27, "private": 53, "ignored": 0})
    desk.change(draft_id, metric="briar", title="Given", slug="given", description="# Given\n")
    desk.work()
    check = desk.view(draft_id).result(Kind.CHECK)
    assert check is not None
    assert not check["ready"]
    assert "There is no metric briar" in check["errors"][0]["message"]
    desk.change(draft_id, metric="log_loss", title="Given", slug="given", description="# Given\n")
    desk.work()
    check = desk.view(draft_id).result(Kind.CHECK)
    assert check is not None
    assert check["ready"], check["errors"]
    desk.open(draft_id)
    desk.work()
    seen = desk.view(draft_id)
    assert seen.competition == "given", seen.steps[Kind.BUILD].refused
    with desk.database.read() as session:
        (version,) = session.scalars(select(ChallengeVersion))
        assert version.manifest["rows"] == {"public": 27, "private": 53, "ignored": 0}
        files = {file["name"] for file in version.manifest["files"]}
        assert files == {"train.csv", "test.csv", "sample_submission.csv"}
        home = desk.installation.vault.home(version.digest)
    assert pd.read_csv(home / "private/solution.csv").equals(truth.reset_index(drop=True))


@on_sqlite
def test_a_draft_that_is_published_is_open_although_the_rest_of_its_build_is_killed_three_times(
    desk: Desk,
) -> None:
    """It could be edited and opened again under another name, beside the competition that it had become."""
    draft_id = desk.create(Source.PARTS, metric="log_loss", title="Given", slug="given")
    given_parts(desk, draft_id)
    desk.work()
    desk.open(draft_id)
    assert desk.work(killed_at=["posting the baselines"] * 3) == 0
    with desk.database.begin() as session:
        now = db.now(session)
        assert len(draft_steps.fail_exhausted(session, now=now)) == 1
    seen = desk.view(draft_id)
    assert (seen.state, seen.competition) == (DraftState.OPEN, "given")
    with desk.database.begin() as session:
        assert len(drafts.delete_abandoned(session, now=db.now(session))) == 4, (
            "the files that are not needed"
        )
    assert desk.view(draft_id).files == []


@on_sqlite
def test_a_run_that_has_lost_its_lease_publishes_nothing(desk: Desk) -> None:
    """It published what it had read before it slept, although the draft was changed or deleted since."""
    draft_id = desk.create(Source.PARTS, metric="log_loss", title="Given", slug="given")
    given_parts(desk, draft_id)
    desk.work()
    desk.open(draft_id)
    forking = multiprocessing.get_context("fork")
    answer = forking.SimpleQueue()
    desk.database.dispose()  # a child must not inherit connections
    child = forking.Process(target=_overtaken, args=(desk.installation, answer))
    child.start()
    assert answer.get() == 0
    child.join()
    with desk.database.read() as session:
        assert session.scalars(select(ChallengeVersion.digest)).all() == []
        assert session.scalars(select(Competition.slug)).all() == []


def _overtaken(installation: Installation, answer: Any) -> None:
    """Do the build, whose lease another run takes where it is about to publish."""
    jobs.configure(installation.settings, installation.database)
    report: Any = authoring.Progress.__call__

    def reported(progress: Any, share: float, doing: str) -> None:
        report(progress, share, doing)
        if doing == "publishing":
            with installation.database.begin() as session:
                session.execute(update(DraftStep).values(lease_token="host/1/1:other"))

    authoring.Progress.__call__ = reported  # type: ignore[method-assign]  # in this process alone
    answer.put(authoring.work())


@on_sqlite
def test_a_leak_blocks_the_opening_until_its_mend_is_made(desk: Desk) -> None:
    frame = pd.read_csv(io.BytesIO(table()))
    frame.insert(0, "copy", (frame.y == "ja").astype(int))
    draft_id = desk.create()
    desk.upload(draft_id, FileKind.TABLE, frame.to_csv(index=False).encode(), "t.csv")
    desk.change(draft_id, target="y", title="Leaky", slug="leaky")
    desk.work()
    seen = desk.view(draft_id)
    audit = seen.result(Kind.AUDIT)
    assert audit is not None
    assert not audit["ok"]
    assert Kind.TRAIN not in seen.steps
    with pytest.raises(Refused, match="reveal the labels"):
        desk.open(draft_id)
    codes = {finding["code"] for finding in audit["findings"] if finding["severity"] == "block"}
    first, *_ = sorted(codes)
    desk.change(draft_id, overrides={first: "known before the fact"})
    assert desk.view(draft_id).is_ready is (len(codes) == 1)
    desk.change(draft_id, overrides=dict.fromkeys(codes, "known before the fact"))
    assert desk.view(draft_id).is_ready
    assert Kind.TRAIN in desk.view(draft_id).steps
    desk.change(draft_id, overrides={})
    assert not desk.view(draft_id).is_ready
    (mend,) = [each for each in audit["mends"] if each["change"] == {"drop": ["copy"]}]
    desk.mend(draft_id, mend)
    assert desk.view(draft_id).choices.drop == ["copy"]
    with pytest.raises(Conflict, match="any more"):
        desk.mend(draft_id, mend)
    desk.work(most=1)
    assert desk.view(draft_id).is_ready


@on_sqlite
def test_a_leak_that_is_accepted_is_opened_with_its_reason(desk: Desk) -> None:
    frame = pd.read_csv(io.BytesIO(table()))
    frame.insert(0, "copy", (frame.y == "ja").astype(int))
    draft_id = desk.create()
    desk.upload(draft_id, FileKind.TABLE, frame.to_csv(index=False).encode(), "t.csv")
    desk.change(draft_id, target="y", title="Leaky", slug="leaky")
    desk.work()
    audit = desk.view(draft_id).result(Kind.AUDIT)
    assert audit is not None
    codes = {finding["code"] for finding in audit["findings"] if finding["severity"] == "block"}
    desk.change(draft_id, overrides=dict.fromkeys([*codes, "post_outcome"], "known before the fact"))
    desk.work()
    desk.open(draft_id)
    desk.work()
    assert desk.view(draft_id).competition == "leaky"
    with desk.installation.database.read() as session:
        logged = session.scalars(select(Event).where(Event.action == "finding overridden")).all()
    assert {event.detail["code"] for event in logged} == codes


@on_sqlite
def test_a_taken_name_and_a_wrong_metric_leave_the_draft_to_be_edited(desk: Desk) -> None:
    draft_id = desk.create(target="y", title="Coins", slug="coins", metric="rmse")
    desk.upload(draft_id, FileKind.TABLE, table(), "coins.csv")
    desk.work()
    refused = desk.view(draft_id).steps[Kind.AUDIT].refused
    assert refused == "The target y holds words, which cannot be predicted as numbers."
    with pytest.raises(Refused, match="cannot be predicted as numbers"):
        desk.open(draft_id)


@on_sqlite
def test_a_key_that_the_vault_has_lost_is_replaced_and_older_files_are_asked_for_again(
    desk: Desk, tmp_path: Path
) -> None:
    draft_id = desk.create()
    desk.upload(draft_id, FileKind.TABLE, table(50), "t.csv")
    (key,) = (desk.installation.settings.vault / "keys").iterdir()
    assert key.stat().st_mode & 0o077 == 0
    key.unlink()
    with desk.database.begin() as session:
        now = db.now(session)
        first = inbox.ensure_key(session, desk.installation.vault, now=now)
        assert inbox.ensure_key(session, desk.installation.vault, now=now) is first
        assert first.id == 2
    desk.work()
    assert "Upload it again" in (desk.view(draft_id).steps[Kind.PROFILE].refused or "")
    installation = desk.installation
    summary = backup.write(
        installation.settings,
        desk.database,
        installation.storage,
        tmp_path / "backup.tar",
        with_solutions=False,
        passphrase=None,
    )
    assert (summary.rows["draft"], summary.files) == (1, 0), "its choices, and no file"
    desk.upload(draft_id, FileKind.TABLE, table(50), "t.csv")
    desk.work()
    assert desk.view(draft_id).result(Kind.PROFILE)


def test_only_the_owner_sees_a_draft_and_limits_hold(desk: Desk) -> None:
    draft_id = desk.create()
    other = replace(desk, name="heidi")
    with desk.database.begin() as session:
        accounts.register(session, "heidi", None, now=db.now(session), is_organiser=True)
    with pytest.raises(NotFound):
        other.view(draft_id)
    for _ in range(drafts.MOST_DRAFTS - 1):
        desk.create()
    with pytest.raises(QuotaExhausted, match="You have 10 drafts"):
        desk.create()
    with desk.database.begin() as session:
        draft = drafts.get(session, desk.viewer, draft_id, locked=True)
        with pytest.raises(TooLarge):
            drafts.room(session, draft, FileKind.TABLE, most_bytes=0)
        with pytest.raises(Refused, match="takes no file of the kind solution"):
            drafts.room(session, draft, FileKind.SOLUTION, most_bytes=10)
        with pytest.raises(Refused, match=r"public_share: .*metrc: there is no such choice"):
            drafts.change(session, draft, {"public_share": 2, "metrc": "mae"}, now=db.now(session))
        with pytest.raises(Conflict, match="changed elsewhere"):
            drafts.change(session, draft, {"target": "y"}, now=db.now(session), revision=9)


def test_a_deleted_or_abandoned_draft_leaves_no_file_and_its_run_writes_nothing(desk: Desk) -> None:
    first, second = desk.create(), desk.create()
    for draft_id in (first, second):
        desk.upload(draft_id, FileKind.TABLE, table(50), "t.csv")
    assert len(desk.upload(first, FileKind.TABLE, table(60), "t.csv")) == 1, "the file that was replaced"
    with desk.database.begin() as session:
        now = db.now(session)
        claim = draft_steps.claim(session, "host/1/2", lease=timedelta(seconds=30), now=now)
        assert claim is not None
        draft = drafts.get(session, desk.viewer, claim.draft_id, locked=True)
        removed = drafts.delete_(session, draft, by="grace", now=now)
        assert len(removed) == 1
        with pytest.raises(draft_steps.LeaseLost):
            draft_steps.finish(session, claim, {}, now=now)
        assert len(drafts.delete_abandoned(session, now=now + timedelta(days=61))) == 1
        assert session.scalars(select(DraftFile)).all() == []
        assert referenced(session) == set()


def test_a_step_that_fails_three_times_can_be_repeated(desk: Desk) -> None:
    draft_id = desk.create()
    desk.upload(draft_id, FileKind.TABLE, table(50), "t.csv")
    for attempt in range(1, 4):
        with desk.database.begin() as session:
            now = db.now(session) + timedelta(minutes=attempt)
            claim = draft_steps.claim(session, "host/1/2", lease=timedelta(seconds=30), now=now)
            assert claim is not None
            draft_steps.give_back(session, claim, "ValueError at table.py:3", now=now)
    assert steps(desk.view(draft_id)) == {Kind.PROFILE: "failed"}
    with desk.database.begin() as session:
        draft = drafts.get(session, desk.viewer, draft_id, locked=True)
        assert len(draft_steps.repeat(session, draft, now=db.now(session))) == 1
    assert desk.work() == 1


@on_sqlite
def test_a_table_beyond_a_workers_memory_is_refused_in_words_at_the_first_attempt(desk: Desk) -> None:
    small = Desk(Installation(replace(desk.installation.settings, job_memory_mb=40)))
    draft_id = desk.create()
    rows = b"".join(b"%d,%032x,yes\n" % (n, n * n) for n in range(1_200_000))
    desk.upload(draft_id, FileKind.TABLE, b"a,b,y\n" + rows, "large.csv")
    small.work()
    (step,) = desk.view(draft_id).steps.values()
    assert (step.state, step.attempt) == ("done", 1)
    assert "needs more than the 40 MB of HELDOUT_JOB_MEMORY_MB" in (step.refused or "")
    small.database.dispose()
