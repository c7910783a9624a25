"""The audit log: events in a hash chain, and its check.

An action only appends an event, in its own transaction. The sweeper chains new events in one transaction and
one order, so that no upload waits for the end of the chain. A hash covers the event and the hash before it: a
changed, removed or inserted event breaks the chain, and the newest hash, noted elsewhere, proves all events
before it. Events of the last seconds, not yet chained, are not proven.

Submissions and scores that are older than the log have no event. The first event of the chain holds their
number and digest, so that a forged row with an old date is detected.
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
"""Names the older submissions where the first event names only scores."""
RECEIVED = events.ACCEPTED, events.POSTED
LOG = "log"
CHAINED_AT_ONCE = 1000
LOCK = 0x48454C45  # any fixed number: one process at a time chains on PostgreSQL; SQLite has one writer


@dataclass(frozen=True)
class Fault:
    """A contradiction in the log or the tables."""

    seq: int | None
    words: str


@dataclass(frozen=True)
class Verdict:
    chained: int
    head: str
    """The newest hash, which proves all events before it."""
    unchained: int
    before: int
    """Scores older than the log."""
    submissions_before: int
    faults: tuple[Fault, ...]


def chain(session: Session, *, now: datetime) -> int:
    """Chain the committed events; return how many.

    The first time, an event with the older scores and submissions comes first.
    """
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
    """Write the event with the older scores, by round, and submissions.

    A log that began with scores only gets a separate event for the submissions. None if neither is missing.
    """
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
    """Whether the chain began without naming the older submissions."""
    named = session.scalars(
        select(Event)
        .where(Event.subject == LOG, Event.seq.is_not(None))
        .where(or_(Event.seq == 1, Event.action == OLDER))
    )
    return not any("submissions" in event.detail for event in named) and _is_begun(session)


# Both functions below read rows before events: what is committed in between has an event and is left out.


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
        if event.seq is None or "size" in event.detail:  # otherwise only the row holds the file's size
            digests.pop(event.detail.get("submission", 0), None)
    return _summary(digests)


def _uploads(session: Session) -> Iterator[dict[str, Any]]:
    """Yield the facts of every submission for its event."""
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
    """Return number and hash of one round's scores, or of submissions."""
    lines = "\n".join(f"{submission_id}:{digests[submission_id]}" for submission_id in sorted(digests))
    return {"count": len(digests), "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _standing_scores(session: Session) -> Iterator[tuple[Score, str | None]]:
    """Yield scores of rounds that are not retired, with evaluation states."""
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
    """Whether a hash, noted earlier, is in the chain."""
    return session.scalar(select(Event.id).where(Event.hash == head).limit(1)) is not None


def is_any_unchained(session: Session) -> bool:
    """Whether `chain` has work to do."""
    waiting = session.scalar(select(Event.id).where(Event.seq.is_(None)).limit(1))
    return waiting is not None or _lacks_submissions(session)


def link(before: str, seq: int, event: Event) -> str:
    """Return the hash of an event in the chain."""
    content = {
        "seq": seq,
        "at": event.at.astimezone(UTC).isoformat(),
        "actor": event.actor,
        "action": event.action,
        "subject": event.subject,
        "detail": event.detail,
    }
    body = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()


@dataclass
class _Recorded:
    """What the events record about the tables."""

    accepted: dict[int, dict[str, Any]] = field(default_factory=dict)
    scored: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By round: the scores older than the log."""
    older: dict[str, Any] | None = None
    """The submissions older than the log; None if no event names them."""
    unsized: set[int] = field(default_factory=set)
    """Submissions whose early event has no size: they count as older."""
    merged: dict[int, int] = field(default_factory=dict)
    """By team whose files went to another: that team."""

    def add(self, event: Event) -> Iterator[Fault]:
        # A changed event may lack any key; the break of the chain is reported elsewhere.
        detail = event.detail
        if event.action in RECEIVED and isinstance(id_ := detail.get("submission"), int):
            if id_ in self.accepted:
                yield Fault(event.seq, f"submission {id_} was accepted twice")
            self.accepted.setdefault(id_, detail)
            if self.older is None and event.seq is not None and "size" not in detail:
                self.unsized.add(id_)
        elif event.action == SCORED and "submission" in detail and "round" in detail:
            key = detail["submission"], detail["round"]
            if key in self.scored:
                yield Fault(event.seq, f"{_the_score(*key)} was recorded twice")
            self.scored.setdefault(key, detail)
        elif event.action == events.MERGED and detail.get("files"):
            ended, into = detail.get("ended"), detail.get("team")
            if isinstance(ended, int) and isinstance(into, int):
                self.merged[ended] = into
        elif event.action == BEGUN:
            # Only the first event of the chain counts: a later one could cover rows written by hand.
            if event.seq == 1:
                self.before, self.older = dict(detail.get("scores") or {}), detail.get("submissions")
            else:
                yield Fault(event.seq, "the log was begun again")
        elif event.action == OLDER:
            if event.seq is not None and self.older is None:
                self.older = detail.get("submissions")
            else:
                yield Fault(event.seq, "older submissions were named again")


def verify(session: Session) -> Verdict:
    """Check the chain, and submissions and scores against its events."""
    faults: list[Fault] = []
    head, expected = BEGINNING, 0
    recorded = _Recorded()
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
            head = event.hash or head  # continue from here, so that each break is reported once
        faults += recorded.add(event)
    unchained = 0
    for event in session.scalars(select(Event).where(Event.seq.is_(None)).order_by(Event.id)):
        unchained += 1
        faults += recorded.add(event)
    faults += _submissions(session, recorded)
    faults += _moved(session, recorded)
    if expected:
        faults += _scores(session, recorded)
    before = sum(int(found.get("count", 0)) for found in recorded.before.values())
    older = int((recorded.older or {}).get("count", 0))
    return Verdict(expected, head, unchained, before, older, tuple(faults))


def _submissions(session: Session, recorded: _Recorded) -> Iterator[Fault]:
    missing = set(recorded.accepted)
    unnamed: dict[int, str] = {}
    for facts in _uploads(session):
        id_ = facts["submission"]
        missing.discard(id_)
        accepted = recorded.accepted.get(id_)
        if accepted is None or id_ in recorded.unsized:
            unnamed[id_] = _digest(facts)
        if accepted is not None and not events.is_upload(facts, accepted):
            yield Fault(None, f"submission {id_} is not the one that was accepted")
    for id_ in sorted(missing):
        yield Fault(None, f"submission {id_} was accepted and is not in the table")
    if recorded.older is None or recorded.older == _summary(unnamed):
        return
    if not recorded.older.get("count"):
        for id_ in unnamed:
            yield Fault(None, f"submission {id_} is in the table and was never accepted")
    else:
        yield Fault(
            None,
            f"{recorded.older.get('count')} submissions were there when the log began, and {len(unnamed)} "
            "without a record are there now: one of them was changed, added or removed",
        )


def _moved(session: Session, recorded: _Recorded) -> Iterator[Fault]:
    """Report files that have another team than the one that sent them, after all recorded merges."""
    touched = or_(Submission.first_team_id.is_not(None), Submission.team_id.in_(recorded.merged))
    for submission in session.scalars(select(Submission).where(touched).order_by(Submission.id)):
        team_id = submission.sent_by_team_id
        for _ in recorded.merged:  # a circle, which only a changed log has, ends too
            team_id = recorded.merged.get(team_id, team_id)
        if submission.team_id != team_id:
            yield Fault(None, f"submission {submission.id} is not with the team that it merged into")


def _scores(session: Session, recorded: _Recorded) -> Iterator[Fault]:
    missing = set(recorded.scored)
    standing = set(session.scalars(select(Round.id).where(Round.state != RoundState.RETIRED)))
    unnamed: dict[int, dict[int, str]] = {round_id: {} for round_id in standing}
    for score, state in _standing_scores(session):
        key = score.submission_id, score.round_id
        missing.discard(key)
        event = recorded.scored.get(key)
        if event is None:
            unnamed[score.round_id][score.submission_id] = events.score_digest(score)
        elif not _is_recorded(score, event):
            yield Fault(None, f"{_the_score(*key)} is not the one that was recorded")
        if state != State.SCORED:
            owner = f"an evaluation that is {state}" if state else "no evaluation"
            yield Fault(None, f"{_the_score(*key)} belongs to {owner}")
    for round_id in sorted(standing):
        yield from _unnamed(round_id, unnamed[round_id], recorded.before.get(str(round_id)))
    for submission_id, round_id in sorted(key for key in missing if key[1] in standing):
        yield Fault(None, f"{_the_score(submission_id, round_id)} was removed")


def _is_recorded(score: Score, event: dict[str, Any]) -> bool:
    if (event.get("public"), event.get("private")) != (score.public, score.private):
        return False
    # Early events hold no digest.
    return "digest" not in event or event["digest"] == events.score_digest(score)


def _unnamed(round_id: int, found: dict[int, str], before: dict[str, Any] | None) -> Iterator[Fault]:
    """Report scores without an event, except those of the first event."""
    if before is None:
        for submission_id in found:
            yield Fault(None, f"{_the_score(submission_id, round_id)} was never recorded by a worker")
    elif before != _summary(found):
        yield Fault(
            None,
            f"round {round_id} had {before.get('count')} scores when the log began, and {len(found)} without "
            "a record are there now: one of them was changed, added or removed",
        )


def _the_score(submission_id: int, round_id: int) -> str:
    return f"the score of submission {submission_id} in round {round_id}"
