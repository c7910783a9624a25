"""Standings: the rows of the board, derived from scores and final picks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, select
from sqlalchemy.orm import Session

from app.base.models import Competition, FinalPick, Round, RoundState, Rung, Score, Standing, Submission, Team


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
    entries = session.execute(_entries(competition).where(Submission.team_id == team_id)).all()
    if entries and not team.is_off_the_board:
        session.add(
            _standing(
                competition,
                team,
                entries,
                greater_is_better=competition.greater_is_better,
                picks=competition.final_picks,
            )
        )
    session.flush()


def refresh_all(session: Session, competition: Competition) -> None:
    """Rewrite all standings, after a rescore was applied or the number of final picks changed."""
    session.execute(delete(Standing).where(Standing.competition_id == competition.id))
    session.expire_all()
    session.add_all(compute(session, competition, greater_is_better=competition.greater_is_better))
    session.flush()


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
    teams = {
        team.id: team for team in session.scalars(select(Team).where(Team.competition_id == competition.id))
    }
    by_team: dict[int, list[Any]] = {}
    for entry in session.execute(_entries(competition, round_id)):
        by_team.setdefault(entry.team_id, []).append(entry)
    return [
        _standing(competition, teams[team_id], entries, greater_is_better=greater_is_better, picks=picks)
        for team_id, entries in by_team.items()
        if not teams[team_id].is_off_the_board
    ]


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
