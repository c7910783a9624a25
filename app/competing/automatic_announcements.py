"""Announcements that a change of a competition publishes, with the old and the new value of each term.

They state terms and nothing of teams: how many have reached a limit or have an extension is for organisers.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy.orm import Session

from app.base.errors import Refused
from app.base.models import Competition
from app.competing.term_words import TERMS, value_in_words, when
from app.messages import announcements
from app.messages.announcements import Words

LONGEST_NOTE = 2000
SILENT = ("title", "summary", "visibility")
"""Terms whose change each page shows and no participant must know in time."""
_ALONE = {
    ("paused", True): "Uploads are paused",
    ("paused", False): "Uploads are accepted again",
    ("archived", True): "The competition is archived",
    ("archived", False): "The competition is no longer archived",
    ("late_submissions", True): "Late files are accepted",
    ("late_submissions", False): "Late files are no longer accepted",
}


class Changed(Protocol):
    """A term that changes, with both values as challenge.yaml writes them."""

    @property
    def name(self) -> str: ...
    @property
    def before(self) -> Any: ...
    @property
    def after(self) -> Any: ...


def of_changes(competition: Competition, changes: Sequence[Changed], note: str = "") -> Words | None:
    """Return the announcement of changed terms; None if no participant must know them.

    `note` is what the organiser adds, as Markdown.
    """
    known = [change for change in changes if change.name not in SILENT]
    note = note.strip()
    if not known:
        if note and changes:
            raise Refused(
                f"Only {' and '.join(SILENT)} change, of which no announcement is published: leave the note "
                "out, or write an announcement."
            )
        return None
    if len(note) > LONGEST_NOTE:
        raise Refused(f"A note on a change has at most {LONGEST_NOTE} characters; this one has {len(note)}.")
    lines = [
        f"- {TERMS[one.name]}: **{value_in_words(competition, one.name, one.after)}** from now on, "
        f"{value_in_words(competition, one.name, one.before)} until now."
        for one in known
    ]
    return announcements.read(_title(competition, known), "\n\n".join(filter(None, [note, "\n".join(lines)])))


def of_rules(competition: Competition, number: int) -> Words:
    """Return the announcement of another version of the rules."""
    text = (
        f"Version {number} of the [rules](/competitions/{competition.slug}/rules) holds from now on, version "
        f"{number - 1} until now. Accept it before your next upload."
    )
    return announcements.read("The rules have changed", text)


def of_early_close(competition: Competition, before: datetime | None, now: datetime) -> Words:
    """Return the announcement of a close before its time."""
    until = "no closing date" if before is None else when(competition, before)
    line = f"- {TERMS['closes_at']}: **{when(competition, now)}** from now on, {until} until now."
    return announcements.read("The competition is closed", f"{line}\n\nThe private board is shown.")


def of_rescore(competition: Competition, number: int, before: int) -> Words:
    """Return the announcement of new scores under another version of the challenge."""
    text = (
        f"All files were scored again under version **{number}** of the challenge; version {before} held "
        f"until now. The [leaderboard](/competitions/{competition.slug}/leaderboard) shows the new scores."
    )
    return announcements.read("The files were scored again", text)


def publish(session: Session, competition: Competition, words: Words, *, by: str, now: datetime) -> None:
    """Publish an announcement now, marked as one about a change."""
    announcements.create(session, competition, words, publish_at=now, by=by, now=now, is_automatic=True)


def _title(competition: Competition, known: Sequence[Changed]) -> str:
    if len(known) > 1:
        return "Terms of the competition have changed"
    [one] = known
    if (one.name, one.after) in _ALONE:
        return _ALONE[one.name, one.after]
    return f"{TERMS[one.name]}: {value_in_words(competition, one.name, one.after)}"
