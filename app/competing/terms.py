"""The terms of a competition: its title, times and limits.

They are copied from challenge.yaml when a competition opens, and belong to it from then on, because
participants rely on them. A later version of the challenge does not change them; `change` does.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import Refused
from app.base.models import Competition, FinalPick, Phase, Team

CHANGEABLE = (
    "title",
    "opens_at",
    "closes_at",
    "daily_limit",
    "total_limit",
    "pending_limit",
    "final_picks",
    "max_upload_mb",
    "mark_agents",
)
"""What `change` takes; the others would make counted days or shown scores wrong."""
LONGEST_TITLE = 120


def kept(competition: Competition, manifest: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each term that a new manifest changes and the competition keeps."""
    old, new = ({"title": m["title"], **m["competition"]} for m in (competition.version.manifest, manifest))
    return [
        f"{'closes_at' if name == 'duration_days' else name} stays {_word(now)}, although challenge.yaml "
        f"now has {name} {_word(wished)}. {_way(competition, name, wished)}"
        for name, wished in new.items()
        if wished not in (old.get(name), now := _value(competition, name))
    ]


def _way(competition: Competition, name: str, wished: Any) -> str:
    """Return how to give a competition a term of challenge.yaml."""
    option = f"--{name.replace('_', '-')} {_word(wished, quoted=True)}"
    if name == "duration_days" or (name == "closes_at" and wished is None):
        option = "--closes-at TIME"
    elif name == "mark_agents":
        option = "--mark-agents" if wished else "--no-mark-agents"
    elif name == "total_limit" and wished is None:
        option = "--no-total-limit"
    elif name not in CHANGEABLE or wished is None:
        challenge = competition.version.challenge.slug
        return f"Only another competition can have it: heldout competition open {challenge} --slug NAME"
    return f"To change it: heldout competition change {competition.slug} {option}"


def change(
    session: Session, competition: Competition, changes: Mapping[str, Any], *, by: str, now: datetime
) -> list[str]:
    """Change terms of a competition and log it; refuse with every problem.

    Return a line for each term that changed. `changes` is by name, as in challenge.yaml, with times as
    datetimes; `now` was read after the competition's `lock`.
    """
    wrong = _problems(session, competition, changes, now=now)
    if wrong:
        raise Refused(f"Nothing was changed in {competition.slug}: {'; '.join(wrong)}.")
    done, logged = [], {}
    for name, value in changes.items():
        old = _value(competition, name)
        if name == "max_upload_mb":
            competition.max_upload_bytes = int(value * 1e6)
        elif name == "mark_agents":
            competition.marks_agents = value
        else:
            setattr(competition, name, value)
        if (new := _value(competition, name)) != old:
            done.append(f"{name} is {_word(new)}, was {_word(old)}")
            logged[name] = [old, new]
    session.flush()
    if logged:
        events.log(session, by, "competition changed", competition.slug, now=now, **logged)
    return done


def _problems(
    session: Session, competition: Competition, changes: Mapping[str, Any], *, now: datetime
) -> list[str]:
    wrong = []
    if competition.is_settled(now) and changes.keys() - {"title"}:
        wrong.append("its private scores are shown, so only the title can change")
    title = changes.get("title")
    if title is not None and not (0 < len(title.strip()) <= LONGEST_TITLE and title.isprintable()):
        wrong.append(f"a title has 1 to {LONGEST_TITLE} printable characters")
    if "opens_at" in changes and competition.phase(now) is not Phase.UPCOMING:
        wrong.append("it has opened, so opens_at is past")
    opens_at = changes.get("opens_at", competition.opens_at)
    closes_at = changes.get("closes_at", competition.closes_at)
    if closes_at is not None and closes_at <= opens_at:
        wrong.append(f"closes_at, {_word(closes_at)}, is not after opens_at, {_word(opens_at)}")
    if "closes_at" in changes and closes_at is not None and closes_at <= now:
        wrong.append("closes_at is not in the future; `heldout competition close` closes at once")
    picks = changes.get("final_picks")
    if picks is not None and (most := _most_picks(session, competition)) > picks:
        wrong.append(f"a team has {most} final picks already, so final_picks cannot be {picks}")
    return wrong


def _most_picks(session: Session, competition: Competition) -> int:
    each = (
        select(func.count().label("picks"))
        .select_from(FinalPick)
        .join(Team, Team.id == FinalPick.team_id)
        .where(Team.competition_id == competition.id)
        .group_by(FinalPick.team_id)
        .subquery()
    )
    return session.scalar(select(func.max(each.c.picks))) or 0


def _value(competition: Competition, name: str) -> Any:
    """Return a term as challenge.yaml writes it."""
    if name == "max_upload_mb":
        return competition.max_upload_bytes / 1e6
    name = {"duration_days": "closes_at", "mark_agents": "marks_agents"}.get(name, name)
    value = getattr(competition, name)
    return value.isoformat() if isinstance(value, datetime) else value


def _word(value: Any, *, quoted: bool = False) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return shlex.quote(text) if quoted else text
