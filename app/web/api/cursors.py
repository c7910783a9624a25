"""Cursors: texts that say where the next page of a list begins."""

from __future__ import annotations

import base64
import binascii
import json
import math
from datetime import datetime

from app.base.errors import Refused
from app.competing.leaderboard import Place


def of_place(place: Place) -> str:
    """Return the cursor of a place on the board."""
    place_text = json.dumps([place.key, place.at.isoformat(), place.team_id, place.is_private])
    return base64.urlsafe_b64encode(place_text.encode()).decode().rstrip("=")


def read_place(cursor: str) -> Place:
    """Return the place of a cursor; refuse a text that is none."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key, at, team_id, is_private = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        place = Place(float(key), datetime.fromisoformat(at), int(team_id), bool(is_private))
    except (binascii.Error, UnicodeError, ValueError, TypeError, OverflowError, RecursionError):
        raise _unknown() from None
    if place.at.tzinfo is None or not math.isfinite(place.key) or not 0 <= place.team_id < 2**63:
        raise _unknown()
    return place


def read_id(cursor: str) -> int:
    """Return the id of a cursor; refuse a text that is none."""
    if not (cursor.isascii() and cursor.isdigit() and 0 < len(cursor) < 19):
        raise _unknown()
    return int(cursor)


def _unknown() -> Refused:
    return Refused("This is no cursor of this list; use `next_cursor` of the page before, unchanged.")
