"""Change a competition: check everything at once, show what follows, write it, log it.

Page, command and API call `plan` for the preview and `apply` for the change, so they have the same rules. Two
things are never allowed. Once private scores are shown, only the terms of `ALWAYS` change: a team that has
seen these scores could use them, so a settled competition is not opened again. And nothing changes what was
accepted, counted or shown before: a lower limit keeps the uploads, a stricter release rule the shown scores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.base import events, times
from app.base.errors import Conflict, Refused
from app.base.models import Competition, FinalPick, Membership, Phase, PublicScore, Team, Visibility
from app.competing import automatic_announcements, change_effects, competitions, score_release, standings
from app.competing.term_words import word
from app.messages.announcements import Words
from scorer.report import Problem

LONGEST_TITLE = 120
LONGEST_SUMMARY = 300
RANGES: Mapping[str, tuple[int, int]] = {
    "daily_limit": (1, 10_000),
    "total_limit": (1, 1_000_000),
    "pending_limit": (1, 1000),
    "final_picks": (1, 100),
    "max_team_size": (1, 1000),
}
"""The smallest and the largest value of each whole number, as in challenge.yaml."""
DEADLINES = ("entry_closes_at", "teams_close_at")
"""Of joining, and of changes of teams; both may be before the close and not after it."""
CHANGEABLE = (
    "title",
    "summary",
    "visibility",
    "opens_at",
    "closes_at",
    "board_frozen_at",
    *DEADLINES,
    *RANGES,
    "max_upload_mb",
    "public_score",
    "mark_agents",
    "late_submissions",
    "paused",
    "archived",
)
"""What can change, named as in challenge.yaml; a time zone would make counted days wrong."""
MAY_BE_NONE = ("summary", "closes_at", "board_frozen_at", *DEADLINES, "total_limit")
"""None: the challenge's own summary, no closing date, no freeze, no deadline, no total limit."""
ALWAYS = ("title", "summary", "visibility", "late_submissions", "archived")
"""What can still change when private scores are shown."""
FROM_NOW = ("opens_at", "board_frozen_at")
"""Times that are now if they are past: what was shown is not taken back."""
STRICTNESS = (PublicScore.EXACT, PublicScore.ROUNDED, PublicScore.LADDER)
_COLUMNS = {
    "summary": "own_summary",
    "mark_agents": "marks_agents",
    "late_submissions": "allows_late",
    "paused": "is_paused",
    "archived": "is_archived",
}


@dataclass(frozen=True)
class Change:
    """One term that changes, and what follows."""

    name: str
    before: Any
    """Both values as challenge.yaml writes them: a time as text."""
    after: Any
    effect: str
    """What participants see of it."""
    teams: int
    """How many teams notice it at once."""

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Preview:
    """What a change of a competition would do, or has done."""

    slug: str
    changes: Sequence[Change]
    digest: str
    """A hash of old and new values, by which a confirmation names what it has seen."""
    announcement: Words | None
    """What is announced to all participants; None if they need not know."""


def plan(
    session: Session,
    competition: Competition,
    wished: Mapping[str, Any],
    *,
    now: datetime,
    most_upload_mb: float,
    note: str = "",
) -> Preview:
    """Return what a change would do, or refuse it with every problem.

    `wished` is by name, as in challenge.yaml, with times as datetimes. `most_upload_mb` is the installation's
    limit of an upload. `note` is what the organiser adds to the announcement.
    """
    wished = _clamped(competition, wished, now)
    problems = _problems(session, competition, wished, now=now, most_upload_mb=most_upload_mb)
    if problems:
        words = "; ".join(problem.message for problem in problems)
        raise Refused(f"Nothing was changed in {competition.slug}: {words}.", problems)
    changes = []
    for name in CHANGEABLE:
        if name in wished and (after := _as_written(wished[name])) != (before := value(competition, name)):
            effect, teams = change_effects.of(session, competition, name, wished[name], now=now)
            changes.append(Change(name, before, after, effect, teams))
    # An opening "now" is the same wish a moment later.
    facts = [[c.name, c.before, "now" if wished[c.name] == now else c.after] for c in changes]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    announcement = automatic_announcements.of_changes(competition, changes, note)
    return Preview(competition.slug, changes, digest, announcement)


def apply(
    session: Session,
    competition: Competition,
    wished: Mapping[str, Any],
    *,
    by: str,
    now: datetime,
    most_upload_mb: float,
    seen: str | None = None,
    note: str = "",
) -> Preview:
    """Change a competition, log it in one event and announce it; refuse with every problem.

    The caller holds the competition's `lock` and has read `now` after it. `seen` is the digest of the preview
    that was confirmed: if the change would do something else by now, it is refused.
    """
    preview = plan(session, competition, wished, now=now, most_upload_mb=most_upload_mb, note=note)
    if seen is not None and seen != preview.digest:
        raise Conflict(
            f"{competition.slug} has changed since the preview was made. Nothing was changed; look at the "
            "new preview."
        )
    wished = _clamped(competition, wished, now)
    for change in preview.changes:
        new = wished[change.name]
        if change.name == "max_upload_mb":
            competition.max_upload_bytes = int(new * 1e6)
        else:
            setattr(competition, _COLUMNS.get(change.name, change.name), new)
    session.flush()
    changed = {change.name for change in preview.changes}
    if "public_score" in changed and competition.public_score == PublicScore.LADDER:
        score_release.begin_ladder(session, competition)
    if "final_picks" in changed:
        standings.refresh_all(session, competition)
    if "board_frozen_at" in changed:
        standings.refresh_frozen(session, competition)
    if preview.changes:
        logged = {change.name: [change.before, change.after] for change in preview.changes}
        events.log(session, by, _action(logged), competition.slug, now=now, **logged)
    if preview.announcement is not None:
        automatic_announcements.publish(session, competition, preview.announcement, by=by, now=now)
    return preview


def _action(logged: Mapping[str, Sequence[Any]]) -> str:
    """Return the name of the event; a pause alone has its own."""
    if list(logged) != ["paused"]:
        return "competition changed"
    return "uploads paused" if logged["paused"][1] else "uploads resumed"


def value(competition: Competition, name: str) -> Any:
    """Return a term as challenge.yaml writes it."""
    if name == "max_upload_mb":
        return competition.max_upload_bytes / 1e6
    column = {"duration_days": "closes_at", **_COLUMNS}.get(name, name)
    return _as_written(getattr(competition, column))


def _as_written(given: Any) -> Any:
    return given.isoformat() if isinstance(given, datetime) else given


def _clamped(competition: Competition, wished: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the wishes without blanks around texts, and with a past opening or freeze set to now.

    A freeze that stays as it is is none of these: sent again, it must not show later files.
    """
    done = {name: " ".join(v.split()) if isinstance(v, str) else v for name, v in wished.items()}
    if done.get("summary") == "":
        done["summary"] = None
    for name, at in done.items():
        if isinstance(at, datetime) and times.is_possible(at):  # the others are refused
            stays = at == getattr(competition, name, None)
            at = at.astimezone(now.tzinfo)
            done[name] = max(at, now) if name in FROM_NOW and not stays else at
    return done


# -- what is refused ---------------------------------------------------------------------------


def _problems(
    session: Session,
    competition: Competition,
    wished: Mapping[str, Any],
    *,
    now: datetime,
    most_upload_mb: float,
) -> list[Problem]:
    found: list[Problem] = []

    def refuse(name: str, words: str) -> None:
        found.append(Problem("CANNOT_CHANGE", words, column=name))

    for name in wished.keys() - set(CHANGEABLE):
        refuse(name, f"{name[:40]} cannot change; what can is {', '.join(CHANGEABLE)}")
    given = {name: wished[name] for name in CHANGEABLE if name in wished}
    for name in [name for name, new in given.items() if new is None and name not in MAY_BE_NONE]:
        refuse(name, f"{name} has no value")
        del given[name]
    for name, at in list(given.items()):
        if isinstance(at, datetime) and not times.is_possible(at):
            refuse(name, times.impossible(name, at))
            del given[name]
    if competition.is_settled(now) and (late := sorted(given.keys() - set(ALWAYS))):
        refuse(
            late[0],
            f"its private scores are shown, so only {', '.join(ALWAYS[:-1])} and {ALWAYS[-1]} can change; a "
            "team that knows these scores could use them. Open another competition of the challenge instead",
        )
    for name, longest in (("title", LONGEST_TITLE), ("summary", LONGEST_SUMMARY)):
        text = given.get(name)
        if text is not None and not (0 < len(text) <= longest and text.isprintable()):
            refuse(name, f"a {name} has 1 to {longest} printable characters")
    if "visibility" in given and given["visibility"] not in set(Visibility):
        refuse("visibility", f"visibility is one of {', '.join(Visibility)}")
    for name, (least, most) in RANGES.items():
        if given.get(name) is not None and not least <= given[name] <= most:
            refuse(name, f"{name} is a whole number from {least} to {most}, not {given[name]}")
    if "max_upload_mb" in given and not 0.001 <= given["max_upload_mb"] <= most_upload_mb:
        refuse(
            "max_upload_mb",
            f"max_upload_mb is 0.001 at least and {most_upload_mb:g} at most, the HELDOUT_MAX_UPLOAD_MB of "
            "this installation",
        )
    if given.get("archived") and not competition.is_settled(now):
        refuse("archived", "its private scores are not shown yet; it can be archived once they are")
    _refuse_times(competition, given, refuse, now=now)
    _refuse_contradictions(session, competition, given, refuse)
    return found


def _refuse_times(
    competition: Competition, given: Mapping[str, Any], refuse: Callable[[str, str], None], *, now: datetime
) -> None:
    if "opens_at" in given and competition.phase(now) is not Phase.UPCOMING:
        refuse("opens_at", "it has opened, so opens_at is past")
    opens_at = given.get("opens_at", competition.opens_at)
    closes_at = given.get("closes_at", competition.closes_at)
    if given.keys() & {"opens_at", "closes_at"} and closes_at is not None and closes_at <= opens_at:
        refuse("closes_at", f"closes_at, {word(closes_at)}, is not after opens_at, {word(opens_at)}")
    if given.get("closes_at") is not None and closes_at <= now:
        refuse("closes_at", "closes_at is not in the future; `heldout competition close` closes at once")
    frozen_at = given.get("board_frozen_at")
    if frozen_at is not None and closes_at is not None and frozen_at >= closes_at:
        refuse("board_frozen_at", f"board_frozen_at, {word(frozen_at)}, is not before closes_at")
    for name in DEADLINES:
        deadline = given.get(name)
        if deadline is not None and closes_at is not None and deadline > closes_at:
            refuse(name, f"{name}, {word(deadline)}, is after closes_at, {word(closes_at)}")
    if "paused" in given and competition.phase(now) is Phase.CLOSED and "closes_at" not in given:
        refuse("paused", "it is closed, so there are no uploads to pause or resume")


def _refuse_contradictions(
    session: Session, competition: Competition, given: Mapping[str, Any], refuse: Callable[[str, str], None]
) -> None:
    picks = given.get("final_picks")
    if picks is not None and (most := _most(session, _picks_of_teams(competition))) > picks:
        refuse("final_picks", f"a team has {most} final picks already, so final_picks cannot be {picks}")
    size = given.get("max_team_size")
    if size is not None and (most := _most(session, _members_of_teams(competition))) > size:
        refuse("max_team_size", f"a team has {most} members, so max_team_size cannot be {size}")
    rule = given.get("public_score")
    if rule is None:
        return
    if rule not in set(PublicScore):
        refuse("public_score", f"public_score is one of {', '.join(STRICTNESS)}")
        return
    if STRICTNESS.index(PublicScore(rule)) < STRICTNESS.index(PublicScore(competition.public_score)):
        refuse(
            "public_score",
            f"public_score is {competition.public_score} and can only become stricter: teams sent their "
            f"files under this rule, and {rule} would show more of the public labels",
        )
    elif competitions.draft_round(session, competition) is not None:
        refuse("public_score", "a rescore is under way, whose scores are shown by the rule of before")
    else:
        try:
            score_release.refuse_impossible(competition.version, PublicScore(rule))
        except Refused as refusal:
            refuse("public_score", refusal.message.rstrip("."))


def _most(session: Session, counts: Select[int]) -> int:
    return session.scalar(select(func.max(counts.subquery().c[0]))) or 0


def _picks_of_teams(competition: Competition) -> Select[int]:
    return (
        select(func.count().label("n"))
        .select_from(FinalPick)
        .join(Team, Team.id == FinalPick.team_id)
        .where(Team.competition_id == competition.id)
        .group_by(FinalPick.team_id)
    )


def _members_of_teams(competition: Competition) -> Select[int]:
    return (
        select(func.count().label("n"))
        .select_from(Membership)
        .where(Membership.competition_id == competition.id)
        .group_by(Membership.team_id)
    )
