"""The sealed log: events in a chain of hashes, and what the tables say held against it.

Whoever does something only appends an event, in the transaction that does it. The sweeper seals what was
appended, in one transaction and one order, so that no upload ever waits for the end of the chain. A hash
covers the event and the hash before it: a changed, removed or inserted event breaks the chain, and the
newest hash, noted elsewhere, proves all before it. What is not sealed yet (some seconds) is not proven.

Submissions and scores from before there was a log have no event. Which ones these are is settled once, by the first
event that is ever sealed: it holds their number and digest, so that no date in a row can add another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select, text, update
from sqlalchemy.orm import Session

from app.base import events
from app.base.models import Competition, Evaluation, Event, Round, RoundState, Score, State, Submission

BEGINNING = "0" * 64
BEGUN, SCORED = "log begun", "submission scored"
OLDER = "older submissions named"
"""The second beginning of a log whose first event names only scores."""
RECEIVED = events.ACCEPTED, events.POSTED
LOG = "log"
CHAINED_AT_ONCE = 1000
LOCK = 0x48454C45  # any fixed number: one sealer at a time on PostgreSQL; SQLite has one writer anyhow


@dataclass(frozen=True)
class Fault:
    """Something in the log or the tables that no program of ours would have written."""

    seq: int | None
    words: str


@dataclass(frozen=True)
class Verdict:
    chained: int
    head: str
    """The newest hash; note it elsewhere, and nobody can rewrite what came before."""
    unchained: int
    before: int
    """Scores from before there was a log, which only say that nobody changed them since."""
    submissions_before: int
    faults: tuple[Fault, ...]


def chain(session: Session, *, now: datetime) -> int:
    """Chain the events that were committed since; how many. The first time, say first what came before the log."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    waiting = list(
        session.scalars(
            select(Event).where(Event.seq.is_(None)).order_by(Event.id).limit(CHAINED_AT_ONCE)
        ).all()
    )
    if not waiting and not _lacks_submissions(session):
        return 0
    opening = _opening(session, now)
    if opening is not None:
        waiting.insert(0, opening)
    last = session.execute(
        select(Event.seq, Event.hash).order_by(Event.seq.desc().nulls_last()).limit(1)
    ).one()
    seq, head = last.seq or 0, last.hash or BEGINNING
    chained = []
    for event in waiting:
        seq += 1
        head = link(head, seq, event)
        chained.append({"id": event.id, "seq": seq, "hash": head})
    session.execute(update(Event), chained)
    return len(chained)


def _opening(session: Session, now: datetime) -> Event | None:
    """The first event of the chain: the scores that no event names, by round, and the submissions. A log that
    was begun with scores alone names the submissions once, in an event of their own; None if all is said."""
    if not _is_begun(session):
        opening = Event(action=BEGUN, detail={"scores": _older_scores(session)})
    elif _lacks_submissions(session):
        opening = Event(action=OLDER, detail={})
    else:
        return None
    opening.at, opening.actor, opening.subject = now, "sweeper", LOG
    opening.detail["submissions"] = _older_submissions(session)
    session.add(opening)
    session.flush()
    return opening


def _is_begun(session: Session) -> bool:
    return session.scalar(select(Event.id).where(Event.seq.is_not(None)).limit(1)) is not None


def _lacks_submissions(session: Session) -> bool:
    """Whether the log was begun without naming the submissions that are older than it."""
    named = session.scalars(
        select(Event)
        .where(Event.subject == LOG, Event.seq.is_not(None))
        .where(or_(Event.seq == 1, Event.action == OLDER))
    )
    return not any("submissions" in event.detail for event in named) and _is_begun(session)


# In both, rows before events: what is committed between the two has its event, and is left out.


def _older_scores(session: Session) -> dict[str, Any]:
    digests = {
        (score.submission_id, score.round_id): events.score_digest(score)
        for score, _ in _standing_scores(session)
    }
    for event in session.scalars(select(Event).where(Event.action == SCORED)):
        digests.pop((event.detail["submission"], event.detail["round"]), None)
    unnamed: dict[int, dict[int, str]] = {}
    for (submission_id, round_id), digest in digests.items():
        unnamed.setdefault(round_id, {})[submission_id] = digest
    return {str(round_id): _summary(found) for round_id, found in unnamed.items()}


def _older_submissions(session: Session) -> dict[str, Any]:
    digests = {facts["submission"]: _digest(facts) for facts in _uploads(session)}
    for event in session.scalars(select(Event).where(Event.action.in_(RECEIVED))):
        if event.seq is None or "size" in event.detail:  # else its row alone knows how large the file was
            digests.pop(event.detail.get("submission", 0), None)
    return _summary(digests)


def _uploads(session: Session) -> Iterator[dict[str, Any]]:
    """Of every submission what its event says of it, or would."""
    found = session.execute(
        select(Submission, Competition.slug)
        .join(Competition, Competition.id == Submission.competition_id)
        .order_by(Submission.id),
        execution_options={"yield_per": 1000},
    )
    for submission, slug in found:
        yield events.upload(submission, slug)


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _summary(digests: dict[int, str]) -> dict[str, Any]:
    """Of one round's scores, or of submissions."""
    lines = "\n".join(f"{submission_id}:{digests[submission_id]}" for submission_id in sorted(digests))
    return {"count": len(digests), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _standing_scores(session: Session) -> Iterator[tuple[Score, str | None]]:
    """Every score of a round that counts or may come to, with its evaluation's state."""
    found = session.execute(
        select(Score, Evaluation.state)
        .join(Round, Round.id == Score.round_id)
        .outerjoin(
            Evaluation,
            (Evaluation.submission_id == Score.submission_id) & (Evaluation.round_id == Score.round_id),
        )
        .where(Round.state != RoundState.RETIRED)
        .order_by(Score.round_id, Score.submission_id),
        execution_options={"yield_per": 1000},
    )
    yield from found


def contains(session: Session, head: str) -> bool:
    """Whether this hash, noted earlier, is still one of the chain's."""
    return session.scalar(select(Event.id).where(Event.hash == head).limit(1)) is not None


def is_any_unchained(session: Session) -> bool:
    """Whether `seal` would find something to do."""
    waiting = session.scalar(select(Event.id).where(Event.seq.is_(None)).limit(1))
    return waiting is not None or _lacks_submissions(session)


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


@dataclass
class _Said:
    """What the log says of the tables."""

    accepted: dict[int, dict[str, Any]] = field(default_factory=dict)
    scored: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By round: the scores from before there was a log."""
    older: dict[str, Any] | None = None
    """The submissions from before there was a log; None where it was begun without naming them."""
    unsized: set[int] = field(default_factory=set)
    """Submissions whose event holds no size and is older than what names the others: they are among these."""

    def hear(self, event: Event) -> Iterator[Fault]:
        # Read with care: a changed event may lack anything, and its break is told elsewhere.
        said = event.detail
        if event.action in RECEIVED and isinstance(id_ := said.get("submission"), int):
            if id_ in self.accepted:
                yield Fault(event.seq, f"submission {id_} was accepted twice")
            self.accepted.setdefault(id_, said)
            if self.older is None and event.seq is not None and "size" not in said:
                self.unsized.add(id_)
        elif event.action == SCORED and "submission" in said and "round" in said:
            key = said["submission"], said["round"]
            if key in self.scored:
                yield Fault(event.seq, f"{_the_score(*key)} was recorded twice")
            self.scored.setdefault(key, said)
        elif event.action == BEGUN:
            # Only the first of all settles anything: a later one would excuse whatever was written by hand.
            if event.seq == 1:
                self.before, self.older = dict(said.get("scores") or {}), said.get("submissions")
            else:
                yield Fault(event.seq, "the log was begun again")
        elif event.action == OLDER:
            if event.seq is not None and self.older is None:
                self.older = said.get("submissions")
            else:
                yield Fault(event.seq, "older submissions were named again")


def verify(session: Session) -> Verdict:
    """Walk the whole chain, and hold submissions and scores against what was written when they came."""
    faults: list[Fault] = []
    head, expected = BEGINNING, 0
    said = _Said()
    chained = (
        select(Event).where(Event.seq.is_not(None)).order_by(Event.seq).execution_options(yield_per=1000)
    )
    for event in session.scalars(chained):
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
        faults += said.hear(event)
    unchained = 0
    for event in session.scalars(select(Event).where(Event.seq.is_(None)).order_by(Event.id)):
        unchained += 1
        faults += said.hear(event)
    faults += _submissions(session, said)
    if expected:
        faults += _scores(session, said)
    before = sum(int(found.get("count", 0)) for found in said.before.values())
    older = int((said.older or {}).get("count", 0))
    return Verdict(expected, head, unchained, before, older, tuple(faults))


def _submissions(session: Session, said: _Said) -> Iterator[Fault]:
    missing = set(said.accepted)
    unnamed: dict[int, str] = {}
    for facts in _uploads(session):
        id_ = facts["submission"]
        missing.discard(id_)
        accepted = said.accepted.get(id_)
        if accepted is None or id_ in said.unsized:
            unnamed[id_] = _digest(facts)
        if accepted is not None and not events.is_upload(facts, accepted):
            yield Fault(None, f"submission {id_} is not the one that was accepted")
    for id_ in sorted(missing):
        yield Fault(None, f"submission {id_} was accepted and is not in the table")
    if said.older is None or said.older == _summary(unnamed):
        return
    if not said.older.get("count"):
        for id_ in unnamed:
            yield Fault(None, f"submission {id_} is in the table and was never accepted")
    else:
        yield Fault(
            None,
            f"{said.older.get('count')} submissions were there when the log began, and {len(unnamed)} without a record "
            "are there now: one of them was changed, added or taken away",
        )


def _scores(session: Session, said: _Said) -> Iterator[Fault]:
    missing = set(said.scored)
    standing = set(session.scalars(select(Round.id).where(Round.state != RoundState.RETIRED)))
    unnamed: dict[int, dict[int, str]] = {round_id: {} for round_id in standing}
    for score, state in _standing_scores(session):
        key = score.submission_id, score.round_id
        missing.discard(key)
        recorded = said.scored.get(key)
        if recorded is None:
            unnamed[score.round_id][score.submission_id] = events.score_digest(score)
        elif not _is_recorded(score, recorded):
            yield Fault(None, f"{_the_score(*key)} is not the one that was recorded")
        if state != State.SCORED:
            yield Fault(
                None, f"{_the_score(*key)} stands beside {f'the state {state}' if state else 'no evaluation'}"
            )
    for round_id in sorted(standing):
        yield from _unnamed(round_id, unnamed[round_id], said.before.get(str(round_id)))
    for submission_id, round_id in sorted(key for key in missing if key[1] in standing):
        yield Fault(None, f"{_the_score(submission_id, round_id)} was taken away")


def _is_recorded(score: Score, recorded: dict[str, Any]) -> bool:
    if (recorded.get("public"), recorded.get("private")) != (score.public, score.private):
        return False
    # Events of the first days of the log hold no digest.
    return "digest" not in recorded or recorded["digest"] == events.score_digest(score)


def _unnamed(round_id: int, found: dict[int, str], before: dict[str, Any] | None) -> Iterator[Fault]:
    """Scores without an event must be just those that the log's beginning speaks of."""
    if before is None:
        for submission_id in found:
            yield Fault(None, f"{_the_score(submission_id, round_id)} was never recorded by a worker")
    elif before != _summary(found):
        yield Fault(
            None,
            f"round {round_id} had {before.get('count')} scores when the log began, and {len(found)} without a record "
            "are there now: one of them was changed, added or taken away",
        )


def _the_score(submission_id: int, round_id: int) -> str:
    return f"the score of submission {submission_id} in round {round_id}"
