"""The scan, the report and the ladder, run by real work-horses over real files on both databases."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from multiprocessing.queues import SimpleQueue

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

import scorer
from app.base import db
from app.base.models import Inspection, InspectionState, PublicScore, Rung, Score, State, TrainFile
from app.competing import competitions, submissions
from app.integrity import cases, file_checks, inspections, train_files
from app.integrity.inspections import Kind
from app.people import accounts
from app.people.accounts import Viewer
from scorer.resampling import resampling
from tests.conftest import on_sqlite
from tests.worker.conftest import Platform
from worker import jobs
from worker.inspections import inspect


def in_a_child(platform: Platform, inspection_id: int | None = None) -> int:
    """Score what waits, then the inspection, each as a work-horse does: in a process of its own."""
    forking = multiprocessing.get_context("fork")
    answer = forking.SimpleQueue()
    platform.database.dispose()  # a child must not inherit connections
    child = forking.Process(target=_work, args=(platform, inspection_id, answer))
    child.start()
    child.join(120)
    assert child.exitcode == 0
    return answer.get()


def _work(platform: Platform, inspection_id: int | None, answer: SimpleQueue[int]) -> None:
    runner = jobs.configure(platform.installation.settings, platform.database)
    if inspection_id is None:
        while runner.run():
            pass
        answer.put(0)
    else:
        answer.put(inspect(inspection_id))


def ask(platform: Platform, kind: Kind, submission_id: int | None = None) -> int:
    with platform.database.begin() as session:
        competition = competitions.by_slug(session, "coins")
        now = db.now(session)
        return inspections.ask(session, competition, kind, by="test", now=now, submission_id=submission_id).id


def row(platform: Platform, inspection_id: int) -> Inspection:
    with platform.database.read() as session:
        return session.get_one(Inspection, inspection_id)


def change(platform: Platform, **values: object) -> None:
    with platform.database.begin() as session:
        competition = competitions.by_slug(session, "coins")
        for name, value in values.items():
            setattr(competition, name, value)


def people(platform: Platform, n: int) -> list[str]:
    names = [f"team{k:02}" for k in range(n)]
    with platform.database.begin() as session:
        for name in names:
            accounts.register(session, name, None, now=db.now(session))
    return names


def model_file(platform: Platform, rng: np.random.Generator, *, noise: float) -> pd.DataFrame:
    """A useful model's file: the truth's direction under noise of its own."""
    truth = pd.read_csv(platform.folder / "private/solution.csv")
    logit = 1.5 * (2 * truth.target - 1) + rng.normal(size=len(truth)) * noise
    return pd.DataFrame({"id": truth.id, "target": 1 / (1 + np.exp(-logit))})


def send(platform: Platform, frame: pd.DataFrame, *, by: str) -> int:
    return platform.submit(frame.to_csv(index=False).encode(), by=by)


@on_sqlite
def test_the_ladder_compares_each_file_with_the_teams_best_and_starts_at_the_benchmark(
    platform: Platform,
) -> None:
    change(platform, public_score=PublicScore.LADDER)
    sample = platform.submit(platform.sample())
    in_a_child(platform)
    assert [n["code"] for n in platform.status(sample).notices][-1] == "NOTICE_NO_IMPROVEMENT"
    good = model_file(platform, np.random.default_rng(0), noise=0.5)
    first = send(platform, good, by="ada")
    in_a_child(platform)
    hair = good.assign(target=good.target.clip(0.0, 1 - 1e-4) + 1e-5)
    second = send(platform, hair, by="ada")
    in_a_child(platform)
    shown = [platform.status(number) for number in (first, second)]
    assert shown[0].public is not None
    assert shown[0].public < 0.65
    assert shown[1].public == shown[0].public != shown[1].public_exact
    with platform.database.read() as session:
        assert session.query(Rung).one().submission_id == first
        assert session.get_one(Score, (first, 1)).shown == shown[0].public


@on_sqlite
def test_a_file_that_reads_differently_the_second_time_gains_nothing(platform: Platform) -> None:
    """As what has taken its reader over could do; here other bytes are put in its place."""
    change(platform, public_score=PublicScore.LADDER)
    rng = np.random.default_rng(4)
    first = send(platform, model_file(platform, rng, noise=1.5), by="ada")
    in_a_child(platform)
    better = model_file(platform, rng, noise=0.3)
    put_in_its_place(platform, first, better)
    second = send(platform, better, by="ada")
    in_a_child(platform)
    shown = [platform.status(number) for number in (first, second)]
    assert shown[1].public_exact is not None
    assert shown[0].public is not None
    assert shown[1].public_exact < shown[0].public - 0.1, "better by far, compared with what was scored"
    assert shown[1].public == shown[0].public
    assert [n["code"] for n in shown[1].notices][-1] == "NOTICE_NO_IMPROVEMENT"
    lone = send(platform, model_file(platform, rng, noise=1.0), by="bob")
    in_a_child(platform)
    put_in_its_place(platform, lone, model_file(platform, rng, noise=1.0))
    scan, report = ask(platform, Kind.SCAN), ask(platform, Kind.REPORT)
    assert in_a_child(platform, scan) == in_a_child(platform, report) == 1
    told = row(platform, scan).result or {}
    assert (
        f"Submission {lone} could not be read again: the file does not have the scores "
        "it had when it was scored" in told["not_judged"]
    )
    told = row(platform, report).result or {}
    assert [note for note in told["notes"] if "bob" in note] == [
        "A file of bob could not be read again, so this team is left out."
    ]


def put_in_its_place(platform: Platform, submission: int, frame: pd.DataFrame) -> None:
    kept = platform.installation.storage.path(platform.status(submission).sha256)
    kept.write_bytes(frame.to_csv(index=False).encode())


def test_a_scan_finds_two_teams_with_the_same_uploads_and_lists_what_it_could_not_judge(
    platform: Platform,
) -> None:
    rng = np.random.default_rng(1)
    for name in people(platform, 4):
        send(platform, model_file(platform, rng, noise=1.0), by=name)
    shared = model_file(platform, rng, noise=1.0)
    for name in ("ada", "bob"):
        send(platform, shared, by=name)
    in_a_child(platform)
    scan = ask(platform, Kind.SCAN)
    assert in_a_child(platform, scan) == 1
    with platform.database.read() as session:
        (view,) = cases.listed(session, competitions.by_slug(session, "coins"))
        assert view.case.code == "same_file"
        assert view.other is not None
        assert {view.team.name, view.other.name} == {"ada", "bob"}
    result = row(platform, scan).result
    assert result is not None
    assert result["looked_at"]["teams"] == 6
    assert any("Probing" in words for words in result["not_judged"])


@on_sqlite
def test_the_report_lists_for_organisers_what_the_scan_could_not_judge(platform: Platform) -> None:
    rng = np.random.default_rng(6)
    for name in people(platform, 3):
        send(platform, model_file(platform, rng, noise=1.0), by=name)
    in_a_child(platform)
    before = ask(platform, Kind.REPORT)
    assert in_a_child(platform, before) == 1
    told = (row(platform, before).result or {})["organiser"]["not_judged"]
    assert [words for words in told if "No scan has been finished" in words]
    scan = ask(platform, Kind.SCAN)
    assert in_a_child(platform, scan) == 1
    after = ask(platform, Kind.REPORT)
    assert in_a_child(platform, after) == 1
    told = (row(platform, after).result or {})["organiser"]["not_judged"]
    assert told == (row(platform, scan).result or {})["not_judged"]
    assert any("Copies: 3 teams" in words for words in told)


def test_the_report_at_the_close_counts_every_team_and_is_seen_only_then(platform: Platform) -> None:
    rng = np.random.default_rng(2)
    names = people(platform, 6)
    for name in names:
        for _ in range(2):
            send(platform, model_file(platform, rng, noise=rng.uniform(0.5, 2.0)), by=name)
    in_a_child(platform)
    report = ask(platform, Kind.REPORT)
    assert in_a_child(platform, report) == 1
    with platform.database.read() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, "coins")
        found = inspections.report(session, competition, for_organiser=True, now=now)
        assert found.result is not None
        assert {entry["name"] for entry in found.result["public"]["board"]} == set(names)
        with pytest.raises(Exception, match="no report"):
            inspections.report(session, competition, for_organiser=False, now=now)
    change(platform, closes_at=now - timedelta(days=1))
    with platform.database.read() as session:
        competition = competitions.by_slug(session, "coins")
        assert inspections.report(session, competition, for_organiser=False, now=now).result


def _attach(platform: Platform, submission_id: int, kind: str, content: bytes) -> int:
    with platform.installation.storage.receive(10**8) as incoming:
        incoming.write(content)
        blob = incoming.keep()
    with platform.database.begin() as session:
        now = db.now(session)
        competition = competitions.by_slug(session, "coins")
        submission = session.get_one(submissions.Submission, submission_id)
        return train_files.attach(session, competition, submission, kind, blob, by="ada", now=now).id


def _train_file(platform: Platform, submission_id: int, kind: str) -> TrainFile:
    with platform.database.read() as session:
        return train_files.get(session, submission_id, kind)


def test_out_of_fold_predictions_are_scored_beside_the_submission_with_a_diagnosis(
    platform: Platform,
) -> None:
    submission = send(platform, model_file(platform, np.random.default_rng(3), noise=1.0), by="ada")
    in_a_child(platform)
    train = pd.read_csv(platform.folder / "public/train.csv")
    rng = np.random.default_rng(4)
    for kind, noise in (("oof", 1.0), ("train", 0.2)):
        logit = 1.5 * (2 * train.target - 1) + rng.normal(size=len(train)) * noise
        frame = pd.DataFrame({"id": train.id, "target": 1 / (1 + np.exp(-logit))})
        work = _attach(platform, submission, kind, frame.to_csv(index=False).encode())
    assert in_a_child(platform, work) == 1
    oof, in_sample = (_train_file(platform, submission, kind) for kind in ("oof", "train"))
    assert (oof.state, in_sample.state) == (State.SCORED, State.SCORED)
    assert oof.result is not None
    assert in_sample.result is not None
    assert oof.result["se"] > 0
    assert len(oof.result["folds"]) == 5
    assert in_sample.result["value"] < oof.result["value"]
    assert oof.result["picture"]["kind"] == "calibration"
    assert oof.result["diagnosis"]["words"]


@on_sqlite
def test_a_wrong_train_file_is_rejected_with_its_problems(platform: Platform) -> None:
    submission = platform.submit(platform.sample())
    in_a_child(platform)
    work = _attach(platform, submission, "oof", b"id,target\n1,nothing\n")
    assert in_a_child(platform, work) == 1
    found = _train_file(platform, submission, "oof")
    assert found.state == State.REJECTED
    assert found.problems
    assert {"MISSING_IDS", "NOT_A_NUMBER"} & {problem["code"] for problem in found.problems}


@on_sqlite
def test_a_scan_that_fails_three_times_is_left_to_the_organiser(platform: Platform) -> None:
    platform.submit(platform.sample())
    in_a_child(platform)
    # The vault has lost the version: nothing can be read.
    for folder in platform.installation.settings.vault.iterdir():
        folder.rename(folder.with_name("." + folder.name))
    scan = ask(platform, Kind.SCAN)
    assert in_a_child(platform, scan) == 0
    waiting = row(platform, scan)
    assert (waiting.state, waiting.attempt) == (InspectionState.QUEUED, 1)
    assert waiting.fault
    assert "is not in the vault" in waiting.fault


def test_se_of_the_difference_is_that_of_the_paired_losses(platform: Platform) -> None:
    challenge = scorer.load(platform.folder)
    rng = np.random.default_rng(5)
    frames = [model_file(platform, rng, noise=1.0) for _ in range(2)]
    first, second = (resampling.read(challenge, frame.to_csv(index=False).encode()) for frame in frames)
    truth = pd.read_csv(platform.folder / "private/solution.csv")
    rows = (truth.Usage == "Public").to_numpy()
    losses = [-np.log(np.where(truth.target == 1, frame.target, 1 - frame.target))[rows] for frame in frames]
    expected = (losses[0] - losses[1]).std(ddof=1) / np.sqrt(rows.sum())
    found = resampling.se_of_difference(challenge.solution, first, second, challenge.solution.public, seed=0)
    assert found == pytest.approx(expected)


@on_sqlite
@pytest.mark.parametrize("wrong", [False, True])
def test_check_of_a_file_has_the_problems_of_a_submission_and_no_score(
    platform: Platform, wrong: bool
) -> None:
    content = platform.sample()[:-20] if wrong else platform.sample()
    submission_id = platform.submit(content)
    with platform.installation.storage.receive(10**8) as incoming:
        incoming.write(content)
        blob = incoming.keep()
    with platform.database.begin() as session:
        user = accounts.by_name(session, "ada")
        now = db.now(session)
        viewer = Viewer(user.id, user.name, user.is_organiser)
        check_id = file_checks.ask(
            session,
            competitions.by_slug(session, "coins"),
            viewer,
            blob,
            filename="a.csv",
            received_at=now,
            now=now,
            most_bytes=0,
        )
    in_a_child(platform)
    assert in_a_child(platform, check_id) == 1
    with platform.database.read() as session:
        check = file_checks.get(session, viewer, check_id)
        assert session.scalar(select(func.count()).select_from(Score)) == (0 if wrong else 1)
    status = platform.status(submission_id)
    assert check.state == ("rejected" if wrong else "accepted")
    assert (check.problems, check.problem_count) == (status.problems, status.problem_count)
    assert bool(check.problems) == wrong
    assert {n["code"] for n in check.notices} <= {n["code"] for n in status.notices}
