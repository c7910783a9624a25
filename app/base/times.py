"""The times that a competition may have."""

from __future__ import annotations

from datetime import UTC, datetime

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Later ones leave the range of Python's times in other time zones, or with the grace added, on each page."""


def is_possible(at: datetime) -> bool:
    """Return whether every page can show the time and compute with it."""
    return EARLIEST <= at < LATEST


def impossible(name: str, at: datetime) -> str:
    """Return in words why a time cannot be taken."""
    return f"{name} is in the year {at.year}, not between {EARLIEST.year} and {LATEST.year}"
