"""Clone a competition for the next term: its terms, words and hosts, without teams and files.

All dates move by as much as the opening does, in the time of the competition's zone, so that a close at 18:00
stays at 18:00 over a change of the clocks. The clone is hidden until an organiser has confirmed its dates and
changes its visibility.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events, times
from app.base.errors import Conflict, Refused
from app.base.models import Competition, Round, RoundState, User, Visibility
from app.base.models_messages import CannedAnswer, QuestionSettings
from app.base.models_roles import Host
from app.base.models_rules import RulesVersion
from app.competing import competitions, rules
from scorer.report import Problem

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
DATES = ("opens_at", "closes_at", "entry_closes_at", "teams_close_at", "board_frozen_at")
KEPT = (
    "own_summary",
    "version_id",
    "timezone",
    "daily_limit",
    "pending_limit",
    "rejected_limit",
    "final_picks",
    "max_team_size",
    "max_upload_bytes",
    "total_limit",
    "public_score",
    "greater_is_better",
    "marks_agents",
    "allows_late",
)
"""The columns that the clone has in common with the competition."""
LONGEST_TITLE = 120


@dataclass(frozen=True)
class Preview:
    """What a clone would be."""

    slug: str
    title: str
    dates: Sequence[tuple[str, datetime | None, datetime | None]]
    """Of each date its name, the competition's and the clone's."""
    hosts: Sequence[str]
    has_rules: bool
    canned_answers: int
    notes: Sequence[str]
    """What to know before."""
    digest: str
    """A hash of all this, by which a confirmation names what it has seen."""


def plan(
    session: Session,
    competition: Competition,
    slug: str,
    *,
    opens_at: datetime,
    title: str = "",
    now: datetime,
) -> Preview:
    """Return what a clone would be; refuse with every problem."""
    slug, title = slug.strip(), " ".join(title.split()) or competition.title
    wrong: list[Problem] = []

    def refuse(name: str, words: str) -> None:
        wrong.append(Problem("CANNOT_CLONE", words, column=name))

    if not NAME.fullmatch(slug) or slug.lower() in competitions.RESERVED:
        refuse(
            "name", f"{slug[:40]!r} cannot name a competition: use 1 to 60 letters, digits, dots and dashes"
        )
    elif session.scalar(select(Competition.id).where(Competition.slug == slug)) is not None:
        refuse("name", f"there is already a competition {slug}")
    if len(title) > LONGEST_TITLE or not title.isprintable():
        refuse("title", f"a title has 1 to {LONGEST_TITLE} printable characters")
    dates: list[tuple[str, datetime | None, datetime | None]] = []
    if not times.is_possible(opens_at):
        refuse("opens_at", times.impossible("opens_at", opens_at))
    elif opens_at <= now:
        refuse("opens_at", "opens_at is not in the future, and you have yet to confirm the dates")
    else:
        dates = [(name, getattr(competition, name), _shifted(competition, name, opens_at)) for name in DATES]
        for name, _, at in dates:
            if at is not None and not times.is_possible(at):
                refuse(name, times.impossible(name, at))
    if wrong:
        raise Refused(f"Nothing was cloned: {'; '.join(one.message for one in wrong)}.", wrong)
    hosts = [f"{name} ({host.role})" for host, name in _hosts(session, competition)]
    canned = len(_canned(session, competition))
    has_rules = rules.current(session, competition) is not None
    facts = [slug, title, [str(one) for one in dates], hosts, has_rules, canned, competition.version_id]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    return Preview(slug, title, dates, hosts, has_rules, canned, _notes(competition, now), digest)


def clone(
    session: Session,
    competition: Competition,
    slug: str,
    *,
    opens_at: datetime,
    title: str = "",
    by: str,
    now: datetime,
    seen: str | None = None,
) -> Competition:
    """Make a hidden competition with the same terms, words and hosts; log it.

    `seen` is the digest of the preview that was confirmed: a clone that would be another is refused.
    """
    competitions.lock(session, competition)
    found = plan(session, competition, slug, opens_at=opens_at, title=title, now=now)
    if seen is not None and seen != found.digest:
        raise Conflict(f"{competition.slug} has changed since the preview was made; look at the new preview.")
    made = Competition(
        slug=found.slug,
        title=found.title,
        visibility=Visibility.HIDDEN,
        created_at=now,
        **{name: at for name, _, at in found.dates},
        **{name: getattr(competition, name) for name in KEPT},
    )
    session.add(made)
    session.flush()
    session.add(
        Round(
            competition_id=made.id,
            version_id=made.version_id,
            state=RoundState.ACTIVE,
            reason=f"cloned from {competition.slug}"[:200],
            created_at=now,
        )
    )
    for host, _ in _hosts(session, competition):
        session.add(
            Host(
                competition_id=made.id,
                user_id=host.user_id,
                role=host.role,
                added_by=by,
                added_at=now,
                removed_at=None,
            )
        )
    newest = rules.current(session, competition)
    if newest is not None:
        session.add(RulesVersion(competition_id=made.id, number=1, text=newest.text, made_by=by, made_at=now))
    for answer in _canned(session, competition):
        session.add(CannedAnswer(competition_id=made.id, title=answer.title, text=answer.text))
    settings = session.get(QuestionSettings, competition.id)
    if settings is not None:
        session.add(
            QuestionSettings(
                competition_id=made.id,
                allows_public=settings.allows_public,
                ends_with_competition=settings.ends_with_competition,
            )
        )
    session.flush()
    events.log(
        session,
        by,
        "competition cloned",
        made.slug,
        now=now,
        **{"from": competition.slug},
        opens_at=opens_at.isoformat(),
        hosts=list(found.hosts),
    )
    return made


def _shifted(competition: Competition, name: str, opens_at: datetime) -> datetime | None:
    """Return a date of the clone, moved by the clock on the wall of the competition's zone."""
    at: datetime | None = getattr(competition, name)
    if at is None:
        return None
    zone = competition.zone
    local, first, new = (
        one.astimezone(zone).replace(tzinfo=None) for one in (at, competition.opens_at, opens_at)
    )
    try:
        return (local + (new - first)).replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return times.LATEST


def _notes(competition: Competition, now: datetime) -> list[str]:
    labels = "The hidden labels are the same"
    notes = [
        f"{labels}: a participant of {competition.slug} may know its private scores, and files that did well."
    ]
    if competition.allows_late:
        notes.append(f"{labels}, so {competition.slug} takes no late files until the clone is over.")
    if not competition.is_settled(now):
        notes.append(f"{competition.slug} is not over: its private scores are not shown yet.")
    return notes


def _hosts(session: Session, competition: Competition) -> list[tuple[Host, str]]:
    found = session.execute(
        select(Host, User.name)
        .join(User, User.id == Host.user_id)
        .where(Host.competition_id == competition.id, Host.removed_at.is_(None))
        .order_by(Host.role.desc(), User.name)
    )
    return [(host, name) for host, name in found]


def _canned(session: Session, competition: Competition) -> list[CannedAnswer]:
    mine = select(CannedAnswer).where(CannedAnswer.competition_id == competition.id)
    return list(session.scalars(mine.order_by(CannedAnswer.id)))
