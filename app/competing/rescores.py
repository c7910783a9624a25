"""Score all submissions under another version, then apply or discard the scores.

The new scores are in a draft round, and the board keeps the scores of the active round until the draft is
applied.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, and_, case, delete, func, insert, literal, null, or_, select
from sqlalchemy.orm import Session, aliased

from app.base import failpoints
from app.base.errors import Conflict, Refused
from app.base.models import (
    ChallengeVersion,
    Competition,
    Evaluation,
    PublicScore,
    Round,
    RoundState,
    Rung,
    Score,
    Standing,
    State,
    Submission,
    Team,
)
from app.competing import (
    automatic_announcements,
    cancellations,
    charges,
    competitions,
    score_release,
    standings,
    statuses,
)

MAX_REPEATS = 9


class Move(StrEnum):
    """What a published version meant for a competition."""

    SHOWN = "shown"
    """Its texts and files are shown; scores stay as they are."""
    RESCORING = "rescoring"
    """A rescore under it began."""
    WAITING = "waiting"
    """A rescore under it had begun before and was left as it is."""


def take_version(
    session: Session,
    competition: Competition,
    version: ChallengeVersion,
    *,
    rescore: bool,
    now: datetime,
    applies_itself: bool = False,
) -> Move:
    """Move a competition to another version; return what follows.

    Texts and baselines change at once. A change that makes scores incomparable needs an explicit rescore once
    there are submissions. While a rescore to another version waits for a decision, every version is refused:
    texts of one and scores of the other would be mixed, or hours of computing lost.
    """
    competitions.lock(session, competition)
    draft = competitions.draft_round(session, competition)
    if draft is not None and draft.version_id == version.id:
        draft.applies_itself = draft.applies_itself or applies_itself
        return Move.WAITING
    _refuse_beside_another(session, competition)
    score_release.refuse_impossible(version, PublicScore(competition.public_score))
    changed = _changes_of_meaning(competition.version, version)
    entries = _submission_count(session, competition)
    if changed and entries and not rescore:
        raise Conflict(
            f"The {' and the '.join(changed)} changed, and {competition.slug} has {entries} submissions "
            "scored under the old one. Publish with --rescore to score them all again."
        )
    if changed and entries:
        begin_rescore(
            session,
            competition,
            version,
            reason=f"new {' and '.join(changed)}",
            now=now,
            applies_itself=applies_itself,
        )
        return Move.RESCORING
    competitions.active_round(session, competition).version_id = version.id
    _show_version(competition, version)
    return Move.SHOWN


def _refuse_beside_another(session: Session, competition: Competition) -> None:
    """Refuse a second rescore, or another version beside a rescore."""
    draft = competitions.draft_round(session, competition)
    if draft is None:
        return
    slug, number = competition.slug, session.get_one(ChallengeVersion, draft.version_id).number
    counts = statuses.state_counts(session, competition, RoundState.DRAFT)
    done = sum(count for state, count in counts.items() if state.is_final)
    raise Conflict(
        f"{slug} has a rescore under version {number} ({draft.reason}; {done} of {sum(counts.values())} "
        f"submissions are done) that is neither applied nor discarded. See what it changes with "
        f"`heldout rescore {slug} --diff`, apply it as shown there or discard it with "
        f"`heldout rescore {slug} --discard`, then do this again."
    )


def _changes_of_meaning(old: ChallengeVersion, new: ChallengeVersion) -> list[str]:
    """Name the changes that make scores incomparable.

    Empty if only texts and files changed.
    """

    def form(version: ChallengeVersion) -> tuple[Any, Any]:
        submission = version.manifest.get("submission", {})
        return submission.get("id"), submission.get("columns")

    differences = {
        "solution": old.solution_digest != new.solution_digest,
        "metric": old.metric_digest != new.metric_digest,
        "submission's columns": form(old) != form(new),
        "metrics shown beside it": old.manifest.get("also") != new.manifest.get("also"),
    }
    return [what for what, differs in differences.items() if differs]


def begin_rescore(
    session: Session,
    competition: Competition,
    version: ChallengeVersion,
    *,
    reason: str,
    now: datetime,
    applies_itself: bool = False,
    repeats: int = 0,
) -> int:
    """Begin a draft round of every submission, and return their number.

    The board does not change until an organiser has seen the changes and applies them or, with
    `applies_itself`, until the last submission is scored. Each of the `repeats` scores everything once more,
    to test that scores are the same bit for bit. An earlier rescore must be applied or discarded before.
    """
    if not 0 <= repeats <= MAX_REPEATS:
        raise Refused(f"A rescore can be repeated 0 to {MAX_REPEATS} times, not {repeats}.")
    score_release.refuse_impossible(version, PublicScore(competition.public_score))
    competitions.lock(session, competition)
    _refuse_beside_another(session, competition)
    draft = _begin_round(session, competition, version, RoundState.DRAFT, reason=reason, now=now)
    draft.applies_itself = applies_itself
    for _ in range(repeats):
        repeat = _begin_round(session, competition, version, RoundState.REPEAT, reason=reason, now=now)
        repeat.repeat_of = draft.id
    session.flush()
    return _submission_count(session, competition)


def _begin_round(
    session: Session,
    competition: Competition,
    version: ChallengeVersion,
    state: RoundState,
    *,
    reason: str,
    now: datetime,
) -> Round:
    """Add a round with a queued evaluation for every submission; cancelled ones stay rejected."""
    begun = Round(
        competition_id=competition.id, version_id=version.id, state=state, reason=reason, created_at=now
    )
    session.add(begun)
    session.flush()
    failpoints.reach("rescore.drafted")
    is_cancelled = Submission.cancelled_at.is_not(None)
    everything = select(
        Submission.id,
        literal(begun.id),
        case((is_cancelled, State.REJECTED.value), else_=State.QUEUED.value),
        literal(0),
        case((is_cancelled, 1), else_=0),
        case((is_cancelled, literal(cancellations.PROBLEMS, JSON)), else_=null()),
        Submission.cancelled_at,
        literal(now, Evaluation.next_try_at.type),
    ).where(Submission.competition_id == competition.id)
    columns = ["submission_id", "round_id", "state", "attempt", "problem_count", "problems", "finished_at"]
    columns += ["next_try_at"]
    session.execute(insert(Evaluation).from_select(columns, everything))
    failpoints.reach("rescore.filled")
    return begun


def discard_rescore(session: Session, competition: Competition) -> bool:
    """Discard the draft round; return True if there was one."""
    competitions.lock(session, competition)
    draft = competitions.draft_round(session, competition)
    if draft is not None:
        _discard(session, draft)
    return draft is not None


def _discard(session: Session, draft: Round) -> None:
    """Retire the draft and its repeats, and delete their evaluations and scores."""
    for round_ in [draft, *repeats_of(session, draft)]:
        session.execute(delete(Score).where(Score.round_id == round_.id))
        session.execute(delete(Rung).where(Rung.round_id == round_.id))
        session.execute(delete(Evaluation).where(Evaluation.round_id == round_.id))
        failpoints.reach("discard.cleared")
        round_.state = RoundState.RETIRED
    session.flush()


def repeats_of(session: Session, draft: Round) -> list[Round]:
    return list(
        session.scalars(select(Round).where(Round.repeat_of == draft.id, Round.state == RoundState.REPEAT))
    )


def finished_drafts(session: Session) -> list[int]:
    """Return draft rounds without unfinished evaluations, their repeats included."""
    repeat = aliased(Round)
    waiting = (
        select(Evaluation.submission_id)
        .join(repeat, repeat.id == Evaluation.round_id)
        .where(
            or_(repeat.id == Round.id, repeat.repeat_of == Round.id),
            Evaluation.state.in_((State.QUEUED, State.RUNNING)),
        )
        .exists()
    )
    return list(session.scalars(select(Round.id).where(Round.state == RoundState.DRAFT, ~waiting)))


def due_to_apply(session: Session) -> list[int]:
    """Return the finished drafts that apply without a review."""
    finished = finished_drafts(session)
    return list(session.scalars(select(Round.id).where(Round.id.in_(finished), Round.applies_itself)))


def activate(
    session: Session, draft_id: int, *, by: str, now: datetime, accept_losses: bool = False
) -> str | None:
    """Make a finished draft the active round, and return the competition's slug.

    Scores under another version are announced.

    Returns None and changes nothing if an evaluation is unfinished or the draft was replaced meanwhile. A
    draft also waits for the organiser if a submission would lose its score, which would remove it from the
    board without notice, or if a score differs from its repeat, because then the metric is not reproducible.
    """
    draft = session.get_one(Round, draft_id)
    competition = session.get_one(Competition, draft.competition_id)
    competitions.lock(session, competition)
    session.refresh(draft)
    if draft.state != RoundState.DRAFT or draft_id not in finished_drafts(session):
        return None
    active = competitions.active_round(session, competition)
    if not accept_losses and (losses(session, draft, active) or unequal(session, draft)):
        draft.applies_itself = False  # else each sweep would compare everything again
        session.flush()
        return None
    for repeat in repeats_of(session, draft):
        _discard(session, repeat)
    _follow_outcomes(session, draft)
    # A run of such an evaluation finds its row missing and writes nothing.
    unfinished = Evaluation.state.in_((State.QUEUED, State.RUNNING))
    session.execute(delete(Evaluation).where(Evaluation.round_id == active.id, unfinished))
    active.state = RoundState.RETIRED
    session.flush()  # the old round leaves before the new one enters: only one may be active
    failpoints.reach("activate.retired")
    draft.state = RoundState.ACTIVE
    _show_version(competition, session.get_one(ChallengeVersion, draft.version_id))
    session.flush()
    failpoints.reach("activate.swapped")
    standings.refresh_all(session, competition)
    failpoints.reach("activate.ranked")
    if draft.version_id != active.version_id:
        numbers = (session.get_one(ChallengeVersion, one.version_id).number for one in (draft, active))
        words = automatic_announcements.of_rescore(competition, *numbers)
        automatic_announcements.publish(session, competition, words, by=by, now=now)
    return competition.slug


def _follow_outcomes(session: Session, draft: Round) -> None:
    """Refund uploads that the draft rejected or could not score, and charge those that it scored."""
    for states, is_charged, follow in (
        ((State.REJECTED, State.FAILED), True, charges.refund),
        ((State.SCORED,), False, charges.charge_again),
    ):
        changed = (
            select(Submission)
            .join(Evaluation, Evaluation.submission_id == Submission.id)
            .where(
                Evaluation.round_id == draft.id,
                Evaluation.state.in_(states),
                Submission.is_charged == is_charged,
            )
        )
        for submission in session.scalars(changed).all():
            follow(session, submission)


@dataclass(frozen=True)
class Place:
    """Rank and score of a team; a baseline has no rank."""

    rank: int | None
    score: float


@dataclass(frozen=True)
class Change:
    """A team's places before and after a rescore; None without a row."""

    team: str
    is_baseline: bool
    public: tuple[Place | None, Place | None]
    private: tuple[Place | None, Place | None]

    @property
    def is_change(self) -> bool:
        return self.public[0] != self.public[1] or self.private[0] != self.private[1]


@dataclass(frozen=True)
class Rescore:
    """What applying a draft would change."""

    draft_id: int
    reason: str
    is_finished: bool
    repeats: int
    losses: int
    """Submissions with a score in the active round and none in the draft."""
    unequal: int
    """Submissions whose repeats gave a different score."""
    changes: Sequence[Change]

    @property
    def changed(self) -> int:
        return sum(change.is_change for change in self.changes)

    @property
    def digest(self) -> str:
        """Identify what the organiser has seen, for `refuse_unless_seen`."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def rescore_of(session: Session, competition: Competition) -> Rescore | None:
    """Return what the draft would change so far; None without a draft."""
    draft = competitions.draft_round(session, competition)
    if draft is None:
        return None
    version = session.get_one(ChallengeVersion, draft.version_id)
    better = bool(version.manifest["metric"]["greater_is_better"])
    old = standings.compute(session, competition, greater_is_better=competition.greater_is_better)
    new = standings.compute(session, competition, greater_is_better=better, round_id=draft.id)
    boards = [_places(old, competition.greater_is_better), _places(new, better)]
    names = session.execute(
        select(Team.id, Team.name, Team.is_baseline).where(Team.competition_id == competition.id)
    )
    changes = [
        Change(
            name,
            is_baseline,
            (boards[0].get((id_, "public")), boards[1].get((id_, "public"))),
            (boards[0].get((id_, "private")), boards[1].get((id_, "private"))),
        )
        for id_, name, is_baseline in names
        if any((id_, "public") in board for board in boards)
    ]
    changes.sort(key=lambda c: (c.public[1] is None, c.public[1].rank or 0 if c.public[1] else 0, c.team))
    return Rescore(
        draft_id=draft.id,
        reason=draft.reason,
        is_finished=draft.id in finished_drafts(session),
        repeats=len(repeats_of(session, draft)),
        losses=losses(session, draft, competitions.active_round(session, competition)),
        unequal=unequal(session, draft),
        changes=changes,
    )


def refuse_unless_seen(
    session: Session,
    competition: Competition,
    *,
    seen: str,
    draft: str | None = None,
    or_unfinished: bool = False,
) -> int:
    """Return the draft's id, or refuse if the organiser saw another.

    The lock keeps it so until the transaction ends. A file that was scored or failed since may have added a
    loss that the organiser has not seen. `or_unfinished` allows an unfinished draft, which each new score
    changes, so that it can be discarded.
    """
    competitions.lock(session, competition)
    found = rescore_of(session, competition)
    if found is None or draft not in (None, str(found.draft_id)):
        raise Conflict("That rescore has ended or was replaced by another; reload it.")
    if found.digest != seen and not (or_unfinished and not found.is_finished):
        state = "finished" if found.is_finished else "not finished"
        raise Conflict(
            "The rescore is not the one that you saw, or has changed since, and nothing was done. "
            f"It is {state}: {found.losses} submissions would lose their score, {found.unequal} differ in a "
            f"repeat, {found.changed} of {len(found.changes)} rows would change. Review it again and then "
            "decide; pause uploads if they keep changing it."
        )
    return found.draft_id


def _places(standings: Sequence[Standing], greater_is_better: bool) -> dict[tuple[int, str], Place]:
    """Return places by team and board.

    As on the board, equal keys share a rank and baselines take no rank.
    """
    sign = -1.0 if greater_is_better else 1.0
    found = {}
    for which in ("public", "private"):
        keys = sorted(getattr(s, f"{which}_key") for s in standings if not s.is_baseline)
        for s in standings:
            key = getattr(s, f"{which}_key")
            rank = None if s.is_baseline else 1 + bisect_left(keys, key)
            found[s.team_id, which] = Place(rank, sign * key)
    return found


def unequal(session: Session, draft: Round) -> int:
    """Count submissions with another state or score in a repeat."""
    first, again = aliased(Evaluation), aliased(Evaluation)
    one, other = aliased(Score), aliased(Score)
    pairs = session.execute(
        select(first.submission_id, first.state, again.state, one, other)
        .join(again, again.submission_id == first.submission_id)
        .outerjoin(one, and_(one.submission_id == first.submission_id, one.round_id == first.round_id))
        .outerjoin(other, and_(other.submission_id == again.submission_id, other.round_id == again.round_id))
        .where(
            first.round_id == draft.id,
            again.round_id.in_([repeat.id for repeat in repeats_of(session, draft)]),
            first.state.not_in((State.QUEUED, State.RUNNING)),
            again.state.not_in((State.QUEUED, State.RUNNING)),
        )
    )
    return len({id_ for id_, state, state2, a, b in pairs if state != state2 or _numbers(a) != _numbers(b)})


def _numbers(score: Score | None) -> tuple[Any, ...] | None:
    return None if score is None else (score.public, score.private, score.also)


def losses(session: Session, draft: Round, active: Round) -> int:
    """Count scored submissions that the draft rejected or failed."""
    new, old = aliased(Evaluation), aliased(Evaluation)
    lost = (
        select(func.count())
        .select_from(new)
        .join(old, and_(old.submission_id == new.submission_id, old.round_id == active.id))
        .where(
            new.round_id == draft.id, new.state.in_((State.FAILED, State.REJECTED)), old.state == State.SCORED
        )
    )
    return session.scalar(lost) or 0


def _show_version(competition: Competition, version: ChallengeVersion) -> None:
    competition.version_id = version.id
    competition.version = version
    competition.greater_is_better = version.manifest["metric"]["greater_is_better"]


def _submission_count(session: Session, competition: Competition) -> int:
    count = select(func.count()).select_from(Submission).where(Submission.competition_id == competition.id)
    return session.scalar(count) or 0
