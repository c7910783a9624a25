"""The dates of a competition as an iCalendar file (RFC 5545)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.base.models import Competition, Event

PRODUCT = "-//Heldout//Competitions//EN"
HOURS_REFRESH = 6


def changes(session: Session, competition: Competition) -> int:
    """Return how often the competition was changed: a calendar's SEQUENCE must grow with each."""
    its = Event.subject == competition.slug, Event.action == "competition changed"
    return session.scalar(select(func.count(Event.id)).where(*its)) or 0


def calendar(competition: Competition, *, address: str, host: str, changed: int, now: datetime) -> bytes:
    """Return the calendar with one entry for each date that the competition has.

    The UID of an entry stays when its date moves, so that calendars move it. `address` is the competition's
    page, `host` makes the UIDs unique among installations.
    """
    # Of all requests only this one needs it, and it takes 0.1 s to import.
    from icalendar import Alarm, Calendar
    from icalendar import Event as Entry

    dates = {
        "opens": ("opens", competition.opens_at),
        "entry": ("last day to join", competition.entry_closes_at),
        "teams": ("teams are final", competition.teams_close_at),
        "closes": ("closes", competition.closes_at),
        "results": ("final results", competition.settles_at),
    }
    title = " ".join(competition.title.split())
    made = Calendar()
    made.add("prodid", PRODUCT)
    made.add("version", "2.0")
    made.add("x-wr-calname", title)
    made.add("refresh-interval;value=duration", f"PT{HOURS_REFRESH}H")
    for name, (words, at) in dates.items():
        if at is None:
            continue
        entry = Entry()
        entry.add("uid", f"{competition.slug}-{name}@{host}")
        entry.add("sequence", changed)
        entry.add("dtstamp", now)
        entry.add("dtstart", at)
        entry.add("summary", f"{title}: {words}")
        entry.add("url", address)
        entry.add("transp", "TRANSPARENT")
        if name == "closes":
            alarm = Alarm()
            alarm.add("action", "DISPLAY")
            alarm.add("description", f"{title} closes in a day")
            alarm.add("trigger;related=start", "-P1D")
            entry.add_component(alarm)
        made.add_component(entry)
    content: bytes = made.to_ical()
    return content
