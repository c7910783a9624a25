"""Rescores: reviewed, then applied or discarded as a whole, with repeats."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.base.config import Settings
from app.base.errors import Conflict, Refused
from app.base.installation import Installation
from app.base.leases import LeaseLost
from app.base.models import ChallengeVersion, Evaluation, Round, RoundState, Score
from app.base.models_messages import Announcement
from app.cli.rescores import rescore_command
from app.competing import competitions, evaluations, rescores, statuses
from app.competing.rescores import Rescore
from app.operating import doctor
from tests.app.conftest import NOON, World, add_version
from tests.conftest import on_sqlite
from worker import sweeper


def begin(world: World, *, repeats: int = 0, applies_itself: bool = False) -> None:
    with world.database.begin() as session:
        rescores.begin_rescore(
            session,
            competitions.by_slug(session, world.slug),
            add_version(session, 2),
            reason="labels corrected",
            now=NOON,
            repeats=repeats,
            applies_itself=applies_itself,
        )


def look(world: World) -> Rescore:
    with world.database.read() as session:
        found = rescores.rescore_of(session, competitions.by_slug(session, world.slug))
    assert found is not None
    return found


def score_all(world: World, values: dict[int, float], again: dict[int, float] | None = None) -> None:
    """Score the draft and its repeats, these with the values `again`."""
    while (claim := world.claim()) is not None:
        with world.database.read() as session:
            is_repeat = session.get_one(Round, claim.round_id).state == RoundState.REPEAT
        found = (again or values) if is_repeat else values
        world.record(claim, public=found[claim.submission_id], private=found[claim.submission_id])


def test_rescore_shows_the_rank_changes_before_it_is_applied(world: World) -> None:
    ada, bob = world.score(0.4, 0.4), world.score(0.5, 0.5, by="bob")
    begin(world)
    assert not look(world).is_finished
    score_all(world, {ada: 0.6, bob: 0.3})
    seen = look(world)
    assert (seen.is_finished, seen.losses, seen.changed) == (True, 0, 2)
    ranks = {change.team: [p and p.rank for p in change.public] for change in seen.changes}
    assert ranks == {"ada": [1, 2], "bob": [2, 1]}
    assert world.competition().version.number == 1


@on_sqlite
def test_finished_rescore_waits_for_the_organiser(world: World) -> None:
    ada = world.score(0.4)
    begin(world)
    score_all(world, {ada: 0.6})
    sweeper._finish_rescores(world.database)
    assert world.competition().version.number == 1
    with world.database.begin() as session:
        assert rescores.activate(session, look(world).draft_id, by="grace", now=NOON) == "biopsy"
    assert world.competition().version.number == 2
    with world.database.read() as session:
        (announced,) = session.query(Announcement)
    assert "under version **2** of the challenge; version 1 held until now" in announced.text


@on_sqlite
def test_sweeper_applies_a_finished_rescore_with_auto_apply(world: World) -> None:
    ada = world.score(0.4)
    begin(world, applies_itself=True)
    score_all(world, {ada: 0.6})
    sweeper._finish_rescores(world.database)
    assert world.competition().version.number == 2


def test_equal_repeats_are_reported_and_deleted_when_applied(world: World) -> None:
    ada = world.score(0.4)
    begin(world, repeats=2)
    score_all(world, {ada: 0.1 + 0.2})
    seen = look(world)
    assert (seen.is_finished, seen.repeats, seen.unequal) == (True, 2, 0)
    with world.database.begin() as session:
        assert rescores.activate(session, seen.draft_id, by="grace", now=NOON) == "biopsy"
    with world.database.read() as session:
        assert session.query(Score).count() == 2, "the old round's and the new one's"
        assert session.query(Evaluation).count() == 2


@on_sqlite
def test_repeat_that_differs_in_one_bit_prevents_auto_apply(world: World) -> None:
    ada = world.score(0.4)
    begin(world, repeats=1, applies_itself=True)
    score_all(world, {ada: 0.3}, again={ada: 0.1 + 0.2})
    assert look(world).unequal == 1
    sweeper._finish_rescores(world.database)
    assert world.competition().version.number == 1


@on_sqlite
def test_discarding_a_rescore_deletes_its_repeats(world: World) -> None:
    world.score(0.4)
    begin(world, repeats=1)
    with world.database.begin() as session:
        assert rescores.discard_rescore(session, competitions.by_slug(session, world.slug))
    assert world.claim() is None
    with world.database.read() as session:
        assert session.query(Evaluation).count() == 1


@on_sqlite
def test_more_than_nine_repeats_are_refused(world: World) -> None:
    with pytest.raises(Refused, match="0 to 9 times, not 10"):
        begin(world, repeats=10)


@on_sqlite
def test_upload_is_scored_before_any_rescore_or_repeat(world: World) -> None:
    world.score(0.4)
    begin(world, repeats=1)
    fresh = world.submit("fresh", by="bob").id
    claim = world.claim()
    assert claim is not None
    with world.database.read() as session:
        assert session.get_one(Round, claim.round_id).state == RoundState.ACTIVE
        assert statuses.place_in_queue(session, fresh) is None
    assert claim.submission_id == fresh


def apply(world: World) -> None:
    with world.database.begin() as session:
        draft = look(world).draft_id
        assert rescores.activate(session, draft, by="grace", now=NOON, accept_losses=True) == "biopsy"


@on_sqlite
def test_file_rejected_in_a_rescore_is_refunded_when_applied(world: World) -> None:
    world.score(0.4)
    begin(world)
    claim = world.claim()
    assert claim is not None
    world.reject(claim)
    assert world.used() == 1
    apply(world)
    assert world.used() == 0


@on_sqlite
def test_rejected_file_that_a_rescore_scores_counts_when_it_is_applied(world: World) -> None:
    wrong = world.submit("wrong by the old solution").id
    claim = world.claim()
    assert claim is not None
    world.reject(claim)
    begin(world)
    score_all(world, {wrong: 0.3})
    assert world.used() == 0
    apply(world)
    assert world.used() == 1
    with world.database.read() as session:
        checks = {check.name: check for check in doctor.check_database(session, now=NOON)}
    assert checks["Uploads count by their outcomes"].is_ok


@on_sqlite
def test_unfinished_evaluations_of_the_old_round_are_dropped(world: World) -> None:
    fresh = world.submit().id
    begin(world)
    late = world.claim()
    assert late is not None
    assert late.submission_id == fresh, "in the active round"
    draft = world.claim()
    assert draft is not None
    world.record(draft)
    apply(world)
    with pytest.raises(LeaseLost):
        world.record(late)
    with world.database.read() as session:
        assert not evaluations.is_any_due(session, now=NOON + timedelta(days=1))
    assert world.used() == 1


def test_rescore_that_lost_a_score_no_longer_applies_itself(world: World) -> None:
    world.score(0.4)
    begin(world, applies_itself=True)
    claim = world.claim()
    assert claim is not None
    world.reject(claim)
    sweeper._finish_rescores(world.database)
    with world.database.read() as session:
        assert rescores.due_to_apply(session) == []


# -- by command --------------------------------------------------------------------------------


def command(world: World, folder: Path, *words: str) -> Result:
    url = world.database.url.render_as_string(hide_password=False)
    installation = Installation(Settings(data_dir=folder, database_url=url))
    try:
        return CliRunner().invoke(rescore_command, ["biopsy", *words], obj=installation)
    finally:
        installation.database.dispose()


@on_sqlite
def test_command_applies_only_the_rescore_that_was_seen(world: World, tmp_path: Path) -> None:
    ada, bob = world.score(0.4), world.score(0.5, by="bob")
    begin(world)
    score_all(world, {ada: 0.6, bob: 0.3})
    shown = command(world, tmp_path, "--diff").output
    seen = shown.splitlines()[-1]
    assert seen == json.loads(command(world, tmp_path, "--diff", "--json").output)["digest"]
    late = world.score(0.1)  # changes the draft after it was seen
    score_all(world, {late: 0.9})
    for act in ("--apply", "--discard"):
        refusal = command(world, tmp_path, act, "--seen", seen).exception
        assert isinstance(refusal, Conflict)
        assert "has changed since, and nothing was done" in str(refusal)
    assert command(world, tmp_path, "--apply").exit_code == 2, "it needs --seen"
    assert command(world, tmp_path, "--seen", seen).exit_code == 2, "and begins no other rescore"
    assert world.competition().version.number == 1
    seen = command(world, tmp_path, "--diff").output.splitlines()[-1]
    assert (
        command(world, tmp_path, "--apply", "--seen", seen).output
        == "biopsy: the board shows the new scores.\n"
    )
    assert world.competition().version.number == 2


@on_sqlite
def test_command_discards_an_unfinished_rescore_without_seen(world: World, tmp_path: Path) -> None:
    world.score(0.4)
    begin(world)
    assert "discarded" in command(world, tmp_path, "--discard").output
    assert isinstance(command(world, tmp_path, "--discard").exception, Refused)


def take(world: World, version_id: int, *, rescore: bool, applies_itself: bool = False) -> rescores.Move:
    with world.database.begin() as session:
        return rescores.take_version(
            session,
            competitions.by_slug(session, world.slug),
            session.get_one(ChallengeVersion, version_id),
            rescore=rescore,
            now=NOON,
            applies_itself=applies_itself,
        )


def versions(world: World) -> dict[str, int]:
    """Add versions with other labels, the same labels as each of these, and new texts only."""
    with world.database.begin() as session:
        return {
            "corrected": add_version(session, 2).id,
            "corrected again": add_version(session, 3).id,
            "other texts": add_version(session, 4, labels=1, title="New words").id,
            "corrected, other texts": add_version(session, 5, labels=2, title="New words").id,
        }


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("rescore", [False, True])
@pytest.mark.parametrize("wished", ["corrected again", "other texts", "corrected, other texts", "first"])
@pytest.mark.parametrize("is_finished", [False, True])
def test_no_version_replaces_a_rescore_that_waits(
    world: World, wished: str, rescore: bool, is_finished: bool
) -> None:
    submission = world.score(0.4)
    first = world.competition().version_id
    ids = versions(world) | {"first": first}
    assert take(world, ids["corrected"], rescore=True) is rescores.Move.RESCORING
    if is_finished:
        score_all(world, {submission: 0.1})
    before = look(world)
    with pytest.raises(Conflict) as refused:
        take(world, ids[wished], rescore=rescore)
    done = int(is_finished)
    assert f"rescore under version 2 (new solution; {done} of 1 submissions are done)" in str(refused.value)
    assert "heldout rescore biopsy --diff" in str(refused.value)
    assert "heldout rescore biopsy --discard" in str(refused.value)
    assert look(world) == before
    assert world.competition().version_id == first


@on_sqlite
@pytest.mark.parametrize("rescore", [False, True])
def test_publishing_the_version_of_the_rescore_again_changes_nothing(world: World, rescore: bool) -> None:
    submission = world.score(0.4)
    corrected = versions(world)["corrected"]
    take(world, corrected, rescore=True)
    score_all(world, {submission: 0.1})
    before = look(world)
    assert take(world, corrected, rescore=rescore) is rescores.Move.WAITING
    assert look(world) == before


@on_sqlite
def test_publishing_the_version_of_the_rescore_again_can_let_it_apply_itself(world: World) -> None:
    submission = world.score(0.4)
    corrected = versions(world)["corrected"]
    take(world, corrected, rescore=True)
    take(world, corrected, rescore=True, applies_itself=True)
    score_all(world, {submission: 0.1})
    with world.database.begin() as session:
        (draft,) = rescores.due_to_apply(session)
        assert rescores.activate(session, draft, by="grace", now=NOON) == "biopsy"


@on_sqlite
def test_a_second_rescore_by_command_is_refused_and_the_first_kept(world: World) -> None:
    world.score(0.4)
    begin(world)
    before = look(world)
    with pytest.raises(Conflict, match=r"rescore under version 2 \(labels corrected; 0 of 1"):
        begin_again(world)
    assert look(world) == before


def begin_again(world: World) -> None:
    with world.database.begin() as session:
        found = competitions.by_slug(session, world.slug)
        rescores.begin_rescore(session, found, found.version, reason="anew", now=NOON)


@on_sqlite
def test_after_a_rescore_is_discarded_another_version_is_published(world: World) -> None:
    world.score(0.4)
    ids = versions(world)
    take(world, ids["corrected"], rescore=True)
    with world.database.begin() as session:
        rescores.discard_rescore(session, competitions.by_slug(session, world.slug))
    assert take(world, ids["corrected again"], rescore=True) is rescores.Move.RESCORING
