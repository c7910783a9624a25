"""Standings: the rows of the board, derived from scores and final picks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, select
from sqlalchemy.orm import Session

from app.base.models import Competition, FinalPick, Round, RoundState, Rung, Score, Standing, Submission, Team
from app.base.models_frozen import FrozenStanding


def refresh(session: Session, team_id: int) -> None:
    """Rewrite one team's standing from its scores in the active round.

    The caller holds the team's lock.
    """
    # Reload: another transaction may have disqualified the team before the caller got the lock.
    team = session.get_one(Team, team_id, populate_existing=True)
    competition = session.get_one(Competition, team.competition_id)
    session.execute(
        delete(Standing).where(Standing.competition_id == competition.id, Standing.team_id == team_id)
    )
    mine = FrozenStanding.competition_id == competition.id, FrozenStanding.team_id == team_id
    session.execute(delete(FrozenStanding).where(*mine))
    entries = session.execute(_entries(competition).where(Submission.team_id == team_id)).all()
    if entries and not team.is_off_the_board:
        session.add(_present(competition, team, entries))
        session.add_all(_frozen(competition, team, entries))
    session.flush()


def refresh_all(session: Session, competition: Competition) -> None:
    """Rewrite all standings, after a rescore was applied or the number of final picks changed."""
    session.execute(delete(Standing).where(Standing.competition_id == competition.id))
    session.expire_all()
    session.add_all(compute(session, competition, greater_is_better=competition.greater_is_better))
    session.flush()
    refresh_frozen(session, competition)


def refresh_frozen(session: Session, competition: Competition) -> None:
    """Rewrite the frozen board, after its time or all scores changed."""
    session.execute(delete(FrozenStanding).where(FrozenStanding.competition_id == competition.id))
    session.expire_all()
    session.add_all(compute_frozen(session, competition))
    session.flush()


def compute_frozen(session: Session, competition: Competition) -> list[FrozenStanding]:
    """Compute the frozen board without storing it; empty without a time of the freeze."""
    if competition.board_frozen_at is None:
        return []
    return [
        row for team, entries in _by_team(session, competition) for row in _frozen(competition, team, entries)
    ]


def compute(
    session: Session,
    competition: Competition,
    *,
    greater_is_better: bool,
    round_id: int | None = None,
    final_picks: int | None = None,
) -> list[Standing]:
    """Compute the standings of a round, without storing them.

    The default is the active round, with as many final picks as the competition has.
    """
    picks = competition.final_picks if final_picks is None else final_picks
    return [
        _standing(competition, team, entries, greater_is_better=greater_is_better, picks=picks)
        for team, entries in _by_team(session, competition, round_id)
    ]


def _by_team(
    session: Session, competition: Competition, round_id: int | None = None
) -> list[tuple[Team, list[Any]]]:
    """Return the teams on the board with their entries, in the order of time."""
    teams = {
        team.id: team for team in session.scalars(select(Team).where(Team.competition_id == competition.id))
    }
    by_team: dict[int, list[Any]] = {}
    for entry in session.execute(_entries(competition, round_id)):
        by_team.setdefault(entry.team_id, []).append(entry)
    return [(teams[id_], entries) for id_, entries in by_team.items() if not teams[id_].is_off_the_board]


def _present(competition: Competition, team: Team, entries: Sequence[Any]) -> Standing:
    return _standing(
        competition,
        team,
        entries,
        greater_is_better=competition.greater_is_better,
        picks=competition.final_picks,
    )


def _frozen(competition: Competition, team: Team, entries: Sequence[Any]) -> list[FrozenStanding]:
    """Return the team's row of the frozen board, of the entries that arrived before the freeze."""
    frozen_at = competition.board_frozen_at
    if frozen_at is None:
        return []
    earlier = [entry for entry in entries if entry.received_at < frozen_at]
    if not earlier:
        return []
    row = _present(competition, team, earlier)
    names = [column.key for column in Standing.__table__.columns]
    return [FrozenStanding(**{name: getattr(row, name) for name in names})]


def _entries(
    competition: Competition, round_id: int | None = None
) -> Select[
    int, int, datetime, float, dict[str, float], float, bool, float, dict[str, dict[str, float]], bool
]:
    return (
        select(
            Submission.id,
            Submission.team_id,
            Submission.received_at,
            Score.shown,
            Score.shown_also,
            Score.public,
            Rung.submission_id.is_not(None).label("is_rung"),
            Score.private,
            Score.also,
            FinalPick.submission_id.is_not(None).label("is_picked"),
        )
        .join(
            Round,
            and_(
                Round.competition_id == Submission.competition_id,
                Round.state == RoundState.ACTIVE if round_id is None else Round.id == round_id,
            ),
        )
        .join(Score, and_(Score.submission_id == Submission.id, Score.round_id == Round.id))
        .outerjoin(
            FinalPick, and_(FinalPick.submission_id == Submission.id, FinalPick.team_id == Submission.team_id)
        )
        .outerjoin(Rung, and_(Rung.submission_id == Submission.id, Rung.round_id == Round.id))
        .where(
            Submission.competition_id == competition.id,
            Submission.is_ranked,
            Submission.withdrawn_at.is_(None),
            Submission.excluded_at.is_(None),
        )
        .order_by(Submission.received_at, Submission.id)
    )


def _standing(
    competition: Competition, team: Team, entries: Sequence[Any], *, greater_is_better: bool, picks: int
) -> Standing:
    """Compute the standing of one team.

    Public: its best shown score, because ranking by the exact one would reveal it. Private: the best of its
    final picks or, as on Kaggle, without picks the best of as many files as may be picked, taken by public
    score.
    """
    sign = -1.0 if greater_is_better else 1.0
    # Python's sort is stable and entries come in order of time: the earlier of two equals wins.
    # Only the newest file of a baseline counts: a corrected script replaces the older file.
    counting = entries[-1:] if team.is_baseline else entries
    # On the ladder many files show one score; it belongs to the file of the rung.
    by_public = sorted(counting, key=lambda e: (sign * e.shown, not e.is_rung))
    # Which files count without picks is not shown before the close, so the exact score may decide.
    by_exact = sorted(counting, key=lambda e: (sign * e.shown, sign * e.public))
    finals = [e for e in counting if e.is_picked] or by_exact[:picks]
    best, final = by_public[0], min(finals, key=lambda e: sign * e.private)
    return Standing(
        competition_id=competition.id,
        team_id=team.id,
        is_baseline=team.is_baseline,
        entries=len(entries),
        last_at=max(e.received_at for e in entries),
        public_key=sign * best.shown,
        public_at=best.received_at,
        public_submission_id=best.id,
        public_also=dict(best.shown_also),
        private_key=sign * final.private,
        private_at=final.received_at,
        private_submission_id=final.id,
        private_also={name: values["private"] for name, values in final.also.items()},
    )
