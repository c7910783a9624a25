"""The sealed log: events in a chain of hashes, and what the tables say held against it.

Whoever does something only appends an event, in the transaction that does it. The sweeper seals what was
appended, in one transaction and one order, so that no upload ever waits for the end of the chain. A hash
covers the event and the hash before it: a changed, removed or inserted event breaks the chain, and the
newest hash, noted elsewhere, proves all before it. What is not sealed yet (some seconds) is not proven.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from app.models import Evaluation, Event, Round, RoundState, Score, State, Submission

BEGINNING = "0" * 64
SEALED_AT_ONCE = 1000
LOCK = 0x48454C45  # any fixed number: one sealer at a time on PostgreSQL; SQLite has one writer anyhow


@dataclass(frozen=True)
class Fault:
    """Something in the log or the tables that no program of ours would have written."""

    seq: int | None
    words: str


@dataclass(frozen=True)
class Verdict:
    sealed: int
    head: str
    """The newest hash; note it elsewhere, and nobody can rewrite what came before."""
    unsealed: int
    faults: tuple[Fault, ...]


def seal(session: Session) -> int:
    """Chain the events that were committed since; how many."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    waiting = session.scalars(
        select(Event).where(Event.seq.is_(None)).order_by(Event.id).limit(SEALED_AT_ONCE)
    ).all()
    if not waiting:
        return 0
    last = session.execute(
        select(Event.seq, Event.hash).order_by(Event.seq.desc().nulls_last()).limit(1)
    ).one()
    seq, head = last.seq or 0, last.hash or BEGINNING
    sealed = []
    for event in waiting:
        seq += 1
        head = link(head, seq, event)
        sealed.append({"id": event.id, "seq": seq, "hash": head})
    session.execute(update(Event), sealed)
    return len(sealed)


def knows(session: Session, head: str) -> bool:
    """Whether this hash, noted earlier, is still one of the chain's."""
    return session.scalar(select(Event.id).where(Event.hash == head).limit(1)) is not None


def is_any_unsealed(session: Session) -> bool:
    return session.scalar(select(Event.id).where(Event.seq.is_(None)).limit(1)) is not None


def link(before: str, seq: int, event: Event) -> str:
    """The hash of an event at its place in the chain."""
    said = {
        "seq": seq,
        "at": event.at.astimezone(UTC).isoformat(),
        "actor": event.actor,
        "action": event.action,
        "subject": event.subject,
        "detail": event.detail,
    }
    body = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()


def verify(session: Session) -> Verdict:
    """Walk the whole chain, and hold submissions and scores against what was written when they came."""
    faults: list[Fault] = []
    head, expected = BEGINNING, 0
    accepted: dict[int, dict[str, Any]] = {}
    scored: dict[tuple[int, int], dict[str, Any]] = {}
    begun: datetime | None = None
    sealed = select(Event).where(Event.seq.is_not(None)).order_by(Event.seq).execution_options(yield_per=1000)
    for event in session.scalars(sealed):
        assert event.seq is not None
        expected += 1
        if event.seq != expected:
            faults.append(Fault(event.seq, f"events {expected} to {event.seq - 1} are missing"))
            expected = event.seq
        head = link(head, event.seq, event)
        if head != event.hash:
            faults.append(
                Fault(event.seq, f"event {event.seq} ({event.action}) or one before it was changed")
            )
            head = event.hash or head  # go on from here, so that each break is told once
        # Read with care: a changed event may lack anything, and its break is told above.
        said = event.detail
        if event.action == "submission accepted" and "submission" in said:
            accepted[said["submission"]] = said
        elif event.action == "submission scored" and "submission" in said and "round" in said:
            begun = begun or event.at
            scored[said["submission"], said["round"]] = said
    faults += _submissions(session, accepted)
    if begun is not None:
        faults += _scores(session, scored, begun)
    unsealed = len(session.scalars(select(Event.id).where(Event.seq.is_(None))).all())
    return Verdict(expected, head, unsealed, tuple(faults))


def _submissions(session: Session, accepted: dict[int, dict[str, Any]]) -> Iterator[Fault]:
    rows = {
        row.id: row
        for row in session.execute(
            select(Submission.id, Submission.sha256, Submission.received_at, Submission.team_id)
        )
    }
    for id_, said in accepted.items():
        row = rows.get(id_)
        if row is None:
            yield Fault(None, f"submission {id_} was accepted and is not in the table")
        elif (row.sha256, row.team_id, row.received_at.isoformat()) != (
            said.get("sha256"),
            said.get("team"),
            said.get("received_at"),
        ):
            yield Fault(None, f"submission {id_} is not the one that was accepted")


def _scores(
    session: Session, scored: dict[tuple[int, int], dict[str, Any]], begun: datetime
) -> Iterator[Fault]:
    found = session.execute(
        select(Score, Evaluation.state, Evaluation.finished_at)
        .join(Round, Round.id == Score.round_id)
        .join(
            Evaluation,
            (Evaluation.submission_id == Score.submission_id) & (Evaluation.round_id == Score.round_id),
        )
        .where(Round.state != RoundState.RETIRED)
    )
    unsealed = set(
        session.scalars(select(Event.subject).where(Event.seq.is_(None), Event.action == "submission scored"))
    )
    missing = set(scored)
    for score, state, finished_at in found:
        missing.discard((score.submission_id, score.round_id))
        said = scored.get((score.submission_id, score.round_id))
        where = f"the score of submission {score.submission_id} in round {score.round_id}"
        if said is None:
            # Scores from before there was a log, or of the last seconds, are not in it.
            is_old = finished_at is not None and finished_at < begun
            if not is_old and f"submission {score.submission_id}" not in unsealed:
                yield Fault(None, f"{where} was never recorded by a worker")
        elif (said.get("public"), said.get("private")) != (score.public, score.private):
            yield Fault(None, f"{where} is not the one that was recorded")
        if state != State.SCORED:
            yield Fault(None, f"{where} stands beside the state {state}")
    standing = set(session.scalars(select(Round.id).where(Round.state != RoundState.RETIRED)))
    for submission_id, round_id in sorted(key for key in missing if key[1] in standing):
        yield Fault(None, f"the score of submission {submission_id} in round {round_id} was taken away")
