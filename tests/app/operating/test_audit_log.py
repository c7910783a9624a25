"""The audit log: its hash chain, and the check of the tables against it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import event, insert, text

from app.base import events
from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Event
from app.base.storage import Blob
from app.cli.verification import audit_verify
from app.competing import competitions, evaluations, submissions, teams
from app.operating import audit_log
from app.operating.audit_log import Verdict
from scorer.report import Report
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite


def chain(world: World) -> int:
    with world.database.begin() as session:
        return audit_log.chain(session, now=NOON)


def verify(world: World) -> Verdict:
    with world.database.read() as session:
        return audit_log.verify(session)


def words(world: World) -> str:
    return "; ".join(fault.words for fault in verify(world).faults)


def by_hand(world: World, *statements: str) -> None:
    """Change rows as with the database's password, without the triggers."""
    with world.database.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def drop(trigger: str, table: str) -> Callable[[World], str]:
    def statement(world: World) -> str:
        return f"DROP TRIGGER IF EXISTS {trigger}" + ("" if world.database.is_sqlite else f" ON {table}")

    return statement


def changeable(world: World) -> list[str]:
    """Return what lets a database's owner change a submission."""
    return [drop(trigger, "submission")(world) for trigger in ("submission_update", "submission_team")]


def without_joins(world: World) -> None:
    """Delete the events of joining, which older versions did not record."""
    by_hand(
        world, drop("event_delete", "event")(world), "DELETE FROM event WHERE action = 'competition joined'"
    )


@on_sqlite
def test_uploads_scores_and_actions_are_in_the_chain(world: World) -> None:
    world.score(0.4)
    assert chain(world) >= 2
    verdict = verify(world)
    assert verdict.faults == ()
    assert verdict.unchained == 0
    with world.database.read() as session:
        actions = [event.action for event in session.query(Event).order_by(Event.seq)]
    assert actions == ["log begun", *["competition joined"] * 2, "submission accepted", "submission scored"]


def test_chaining_continues_at_the_end_of_the_chain(world: World) -> None:
    world.score(0.4)
    chain(world)
    first = verify(world).head
    assert chain(world) == 0
    world.score(0.3, by="bob")
    assert verify(world).unchained == 2
    chain(world)
    assert verify(world).head != first
    assert verify(world).faults == ()
    with world.database.read() as session:
        assert audit_log.contains(session, first)
        assert not audit_log.contains(session, "f" * 64)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET actor = 'nobody'",
        "DELETE FROM event",
        "UPDATE event SET hash = 'x'",
        "UPDATE score SET private = 0.0",
        "UPDATE submission SET received_at = '2020-01-01 00:00:00'",
        "DELETE FROM submission",
        "UPDATE challenge_version SET solution_digest = 'x'",
    ],
)
def test_database_refuses_to_change_facts(world: World, statement: str) -> None:
    world.score(0.4)
    chain(world)
    with pytest.raises(Exception, match=r"written once|kept for good|sealed once"):
        by_hand(world, statement)
    assert verify(world).faults == ()


def test_a_changed_event_breaks_the_chain(world: World) -> None:
    world.score(0.4)
    chain(world)
    by_hand(world, drop("event_update", "event")(world), "UPDATE event SET actor = 'nobody' WHERE seq = 2")
    assert "event 2 (competition joined) or one before it was changed" in words(world)


def test_a_removed_event_is_detected(world: World) -> None:
    world.score(0.4)
    world.score(0.3, by="bob")
    chain(world)
    by_hand(world, drop("event_delete", "event")(world), "DELETE FROM event WHERE seq = 2")
    assert "events 2 to 2 are missing" in words(world)


def test_a_score_changed_by_hand_is_detected(world: World) -> None:
    submission = world.score(0.4)
    chain(world)
    by_hand(world, drop("score_update", "score")(world), "UPDATE score SET private = 0.01")
    assert f"the score of submission {submission} in round 1 is not the one that was recorded" in words(world)


def test_a_submission_changed_by_hand_is_detected(world: World) -> None:
    submission = world.score(0.4)
    chain(world)
    by_hand(
        world, drop("submission_update", "submission")(world), f"UPDATE submission SET sha256 = '{'e' * 64}'"
    )
    assert f"submission {submission} is not the one that was accepted" in words(world)


def test_a_score_that_no_worker_wrote_is_detected(world: World) -> None:
    world.score(0.4)
    second = world.submit("second", by="bob").id
    chain(world)
    by_hand(
        world,
        f"UPDATE evaluation SET state = 'scored' WHERE submission_id = {second}",
        "INSERT INTO score (submission_id, round_id, public, private, also, shown, shown_also, notices, "
        "provenance) "
        f"VALUES ({second}, 1, 0.0, 0.0, '{{}}', 0.0, '{{}}', '[]', '{{}}')",
    )
    assert f"the score of submission {second} in round 1 was never recorded by a worker" in words(world)


def test_a_removed_score_is_detected(world: World) -> None:
    submission = world.score(0.4)
    chain(world)
    by_hand(world, "DELETE FROM standing", "DELETE FROM score")
    assert f"the score of submission {submission} in round 1 was removed" in words(world)


def test_an_event_emptied_by_hand_is_reported_without_a_crash(world: World) -> None:
    world.score(0.4)
    chain(world)
    by_hand(world, drop("event_update", "event")(world), "UPDATE event SET detail = '{}'")
    assert "was changed" in words(world)


def test_texts_in_any_script_and_any_number_are_chained_and_verified(world: World) -> None:
    with world.database.begin() as session:
        events.log(
            session, "søren", "prüft 🦊", "x", now=NOON, value=0.1 + 0.2, big=1e300, none=None, list=[1]
        )
    chain(world)
    assert verify(world).faults == ()


def insert_score(world: World, submission_id: int, *, finished_at: str = "") -> None:
    """Insert a score that no worker wrote, with a scored evaluation."""
    when = f", finished_at = '{finished_at}'" if finished_at else ""
    by_hand(
        world,
        f"UPDATE evaluation SET state = 'scored'{when} WHERE submission_id = {submission_id}",
        "INSERT INTO score (submission_id, round_id, public, private, also, shown, shown_also, notices, "
        "provenance) "
        f"VALUES ({submission_id}, 1, 0.0, 0.0, '{{}}', 0.0, '{{}}', '[]', '{{}}')",
    )


def test_a_forged_score_with_an_old_date_is_detected(world: World) -> None:
    world.score(0.4)
    second = world.submit("second", by="bob").id
    chain(world)
    insert_score(world, second, finished_at="2020-01-01 00:00:00")
    assert f"the score of submission {second} in round 1 was never recorded by a worker" in words(world)


def upgraded(world: World) -> int:
    """Score as a version without a log did, and last after a new worker."""
    old = world.submit("old").id
    insert_score(world, old)
    world.score(0.4)
    late = world.submit("late", by="bob").id
    insert_score(world, late, finished_at="2040-01-01 00:00:00")
    return old


@on_sqlite
def test_scores_of_older_workers_before_the_first_event_are_accepted(world: World) -> None:
    upgraded(world)
    chain(world)
    world.score(0.3)
    chain(world)
    verdict = verify(world)
    assert (verdict.faults, verdict.before) == ((), 2)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE score SET private = 0.01 WHERE submission_id = {old}",
        "DELETE FROM score WHERE submission_id = {old}",
    ],
)
def test_a_changed_or_removed_score_older_than_the_log_is_detected(world: World, change: str) -> None:
    old = upgraded(world)
    chain(world)
    by_hand(world, drop("score_update", "score")(world), change.format(old=old))
    assert "round 1 had 2 scores when the log began" in words(world)


def test_a_score_added_to_those_older_than_the_log_is_detected(world: World) -> None:
    upgraded(world)
    third = world.submit("third", by="bob").id
    chain(world)
    insert_score(world, third, finished_at="2020-01-01 00:00:00")
    assert "round 1 had 2 scores when the log began, and 3 without a record" in words(world)


def test_a_second_beginning_or_record_in_the_log_is_detected(world: World) -> None:
    submission = world.score(0.4)
    chain(world)
    second = world.submit("second", by="bob").id
    insert_score(world, second)
    by_hand(world, drop("score_update", "score")(world), "UPDATE score SET private = 0.01 WHERE public > 0")
    with world.database.begin() as session:
        events.log(
            session, "sweeper", "log begun", "log", now=NOON, scores={"1": {"count": 1, "sha256": "?"}}
        )
        events.log(
            session,
            "host/1/2",
            "submission scored",
            f"submission {submission}",
            now=NOON,
            submission=submission,
            round=1,
            public=0.4,
            private=0.01,
        )
    for _ in range(2):  # before and after these are chained
        found = words(world)
        assert "the log was begun again" in found
        assert f"the score of submission {submission} in round 1 was recorded twice" in found
        assert f"the score of submission {submission} in round 1 is not the one that was recorded" in found
        assert f"the score of submission {second} in round 1 was never recorded by a worker" in found
        chain(world)


@pytest.mark.parametrize(
    "change",
    ["shown = 0.01", """shown_also = '{"roc_auc": 1.0}'""", "provenance = '{}'", "also = '{\"a\": {}}'"],
)
def test_a_change_of_any_shown_part_of_a_score_is_detected(world: World, change: str) -> None:
    claim = world.claim(world.submit().id)
    assert claim is not None
    with world.database.begin() as session:
        report = Report(
            public=-0.0,
            private=1,
            also={"roc_auc": {"public": 0.1 + 0.2, "private": 1e300}},
            provenance={"metric": "prüft 🦊"},
        )
        evaluations.record_scored(session, claim, report, now=NOON)
    chain(world)
    assert words(world) == ""
    by_hand(
        world,
        drop("score_update", "score")(world),
        drop("score_shown", "score")(world),
        f"UPDATE score SET {change}",
    )
    assert "in round 1 is not the one that was recorded" in words(world)


FORGED = (
    "INSERT INTO submission (competition_id, team_id, user_id, received_at, day, filename, message, sha256, "
    "size_bytes, is_charged) "
    "SELECT competition_id, team_id, user_id, '2020-01-01 00:00:00', '2020-01-01', filename, message, "
    "sha256, size_bytes, is_charged "
    "FROM submission WHERE id = 1"
)


def post_baseline(world: World, content: str = "prior") -> int:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = teams.baseline(session, competition, "Prior", now=NOON)
        blob = Blob(hashlib.sha256(content.encode()).hexdigest(), len(content))
        posted = submissions.post_baseline(
            session, competition, team, blob, filename="p.csv", message="", now=NOON
        )
    assert posted is not None
    return posted


def without_records(world: World, *, submission: int) -> None:
    """Delete the events of a submission, as with an older version."""
    by_hand(
        world,
        drop("event_delete", "event")(world),
        f"DELETE FROM event WHERE subject = 'submission {submission}'",
    )


@on_sqlite
def test_a_submission_that_was_never_accepted_is_detected_whatever_its_date(world: World) -> None:
    world.submit()
    chain(world)
    by_hand(world, FORGED)
    assert words(world) == "submission 2 is in the table and was never accepted"


@pytest.mark.parametrize(
    "change",
    [
        "sha256 = 'e'",
        "team_id = 2",
        "competition_id = 2",
        "received_at = '2020-01-01 00:00:00'",
        "size_bytes = size_bytes + 1",
    ],
)
def test_a_changed_fact_of_an_upload_or_baseline_is_detected(world: World, change: str) -> None:
    sent = world.submit().id, post_baseline(world)
    with world.database.begin() as session:
        version = competitions.by_slug(session, world.slug).version
        competitions.open_(session, version, now=NOON, max_upload_bytes=10**7, slug="other")
    chain(world)
    assert words(world) == ""
    by_hand(world, *changeable(world), f"UPDATE submission SET {change}")
    assert words(world) == "; ".join(f"submission {id_} is not the one that was accepted" for id_ in sent)


def test_a_removed_submission_is_detected(world: World) -> None:
    submission = post_baseline(world)
    chain(world)
    by_hand(
        world,
        drop("submission_delete", "submission")(world),
        "DELETE FROM evaluation",
        "DELETE FROM submission",
    )
    assert words(world) == f"submission {submission} was accepted and is not in the table"


@pytest.mark.parametrize(
    "change",
    ["UPDATE submission SET team_id = 2 WHERE id = 1", "DELETE FROM submission WHERE id = 1", FORGED],
)
def test_changed_removed_or_added_submissions_older_than_the_log_are_detected(
    world: World, change: str
) -> None:
    world.submit("old")
    without_records(world, submission=1)
    world.submit("new")
    chain(world)
    assert (words(world), verify(world).submissions_before) == ("", 1)
    by_hand(
        world,
        *changeable(world),
        drop("submission_delete", "submission")(world),
        "DELETE FROM evaluation WHERE submission_id = 1",
        change,
    )
    assert words(world).startswith("1 submissions were there when the log began, and ")


def test_a_log_begun_without_submissions_names_them_exactly_once(world: World) -> None:
    without_joins(world)
    world.submit("old")
    without_records(world, submission=1)
    with world.database.begin() as session:  # as the older version began it and recorded an upload
        audit_log.chain(session, now=NOON)
        begun = session.query(Event).one_or_none()
        assert begun is None, "nothing waited, so nothing was begun"
        events.log(session, "sweeper", "log begun", "log", now=NOON, scores={})
    by_hand(world, f"UPDATE event SET seq = 1, hash = '{old_first_hash(world)}'")
    assert (words(world), verify(world).submissions_before) == ("", 0)
    second = world.submit("second")
    by_hand(world, drop("event_update", "event")(world))
    with world.database.begin() as session:
        accepted = session.query(Event).filter(Event.subject == f"submission {second.id}").one()
        accepted.detail = {name: value for name, value in accepted.detail.items() if name != "size"}
    chain(world)
    with world.database.read() as session:
        chained = [event.action for event in session.query(Event).order_by(Event.seq)]
    assert chained == ["log begun", "older submissions named", "submission accepted"]
    assert (words(world), verify(world).submissions_before) == ("", 1)
    by_hand(world, FORGED)
    forgery = {"count": 2, "sha256": "?"}
    with world.database.begin() as session:
        events.log(session, "sweeper", "older submissions named", "log", now=NOON, submissions=forgery)
    for _ in range(2):  # before and after it is chained
        found = words(world)
        assert "older submissions were named again" in found
        assert "1 submissions were there when the log began, and 2 without a record" in found
        chain(world)


def test_a_log_without_new_events_names_older_submissions_with_their_sizes(world: World) -> None:
    """Events of the older version hold no size; a closed competition adds no event."""
    without_joins(world)
    world.submit("old")
    by_hand(world, drop("event_update", "event")(world))
    with world.database.begin() as session:
        accepted = session.query(Event).one()
        accepted.detail = {name: value for name, value in accepted.detail.items() if name != "size"}
        events.log(session, "sweeper", "log begun", "log", now=NOON, scores={})
        session.flush()
        begun, accepted = session.query(Event).order_by(Event.id.desc()).all()
        begun.seq, begun.hash = 1, audit_log.link(audit_log.BEGINNING, 1, begun)
        accepted.seq, accepted.hash = 2, audit_log.link(begun.hash, 2, accepted)
    with world.database.read() as session:
        assert audit_log.is_any_unchained(session)
    chain(world)
    with world.database.read() as session:
        assert not audit_log.is_any_unchained(session)
    assert (words(world), verify(world).submissions_before) == ("", 1)
    by_hand(world, drop("submission_update", "submission")(world), "UPDATE submission SET size_bytes = 5")
    assert words(world).startswith("1 submissions were there when the log began, and 1 without a record")


def old_first_hash(world: World) -> str:
    with world.database.read() as session:
        return audit_log.link(audit_log.BEGINNING, 1, session.query(Event).one())


def test_thousands_of_submissions_are_verified_with_few_statements(world: World) -> None:
    without_joins(world)
    world.submit()
    many = 3000
    columns = (
        "competition_id, team_id, user_id, received_at, day, filename, message, sha256, size_bytes, "
        "is_charged"
    )
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {many - 1}) "
    into = f"INSERT INTO submission ({columns}) " + numbers  # both databases accept WITH after INSERT INTO
    by_hand(world, f"{into} SELECT {columns} FROM submission, n WHERE id = 1")
    with world.database.begin() as session:
        (first,) = session.query(Event)
        said = [dict(first.detail) | {"submission": i} for i in range(2, many + 1)]
        session.execute(
            insert(Event),
            [
                {"at": NOON, "actor": "a", "action": first.action, "subject": "x", "detail": detail}
                for detail in said
            ],
        )
    while chain(world):
        pass
    statements = []
    with world.database.read() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    verdict = verify(world)
    assert (verdict.faults, verdict.chained) == ((), many + 1)
    assert len(statements) < 20


@on_sqlite
def test_audit_verify_prints_how_much_is_older_than_the_log(world: World, tmp_path: Path) -> None:
    upgraded(world)
    without_records(world, submission=1)
    chain(world)
    url = world.database.url.render_as_string(hide_password=False)
    installation = Installation(Settings(data_dir=tmp_path, database_url=url))
    done = CliRunner().invoke(audit_verify, obj=installation)
    installation.database.dispose()
    assert "1 submissions and 2 scores are older than the log" in done.output
    assert "the log is whole" in done.output
