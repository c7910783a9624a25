"""The terms of a competition and their values, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.base.models import Competition

TERMS: Mapping[str, str] = {
    "title": "Title",
    "summary": "Summary",
    "visibility": "Visibility",
    "opens_at": "Opens at",
    "closes_at": "Closes at",
    "board_frozen_at": "The board is frozen from",
    "entry_closes_at": "Can be joined until",
    "teams_close_at": "Teams can change until",
    "daily_limit": "Uploads of a team a day",
    "total_limit": "Uploads of a team in all",
    "pending_limit": "Waiting files of a team",
    "final_picks": "Final picks of a team",
    "max_team_size": "Members of a team",
    "max_upload_mb": "Largest upload in MB",
    "public_score": "Public scores of new files",
    "mark_agents": "Mark files of agents on the board",
    "late_submissions": "Late files are accepted",
    "paused": "Uploads are paused",
    "archived": "The competition is archived",
}
_NONE = {
    "closes_at": "no closing date",
    "board_frozen_at": "never",
    "entry_closes_at": "the close",
    "teams_close_at": "the close",
    "total_limit": "no limit",
}


def when(competition: Competition, at: datetime) -> str:
    """Return a time in the competition's time zone, in words."""
    return f"{at.astimezone(competition.zone):%Y-%m-%d %H:%M} {competition.timezone}"


def word(given: Any) -> str:
    """Return a value of a term in one word."""
    if given is None:
        return "none"
    if isinstance(given, bool):
        return "true" if given else "false"
    return f"{given:g}" if isinstance(given, float) else str(given)


def value_in_words(competition: Competition, name: str, written: Any) -> str:
    """Return a value, as challenge.yaml writes it, for participants."""
    if written is None:
        return _NONE.get(name, "none")
    if isinstance(written, bool):
        return "yes" if written else "no"
    if name.endswith("_at"):
        return when(competition, datetime.fromisoformat(written))
    return word(written)
