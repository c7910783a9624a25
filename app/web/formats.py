"""How numbers, sizes and times are written on pages."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

THIN = "\u202f"  # narrow no-break space: groups digits without looking like a comma or a point
MINUS = "\u2212"


def number(x: float | None) -> str:
    """A score: five decimals below 1000, else six significant digits in groups of three."""
    if x is None:
        return "–"
    magnitude = abs(x)
    if magnitude == 0 or 0.00005 <= magnitude < 1000:
        text = f"{magnitude:.5f}"
    elif magnitude < 0.00005 or magnitude >= 1e15:
        text = f"{magnitude:.4e}"
    else:
        decimals = max(0, 5 - math.floor(math.log10(magnitude)))
        rounded = round(magnitude, 5 - math.floor(math.log10(magnitude)))
        text = f"{rounded:,.{decimals}f}".replace(",", THIN)
    return (MINUS if x < 0 else "") + text


def count(n: int) -> str:
    return f"{n:,}".replace(",", THIN)


def plural(n: int, one: str, many: str | None = None) -> str:
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def size(n_bytes: int) -> str:
    if n_bytes < 1000:
        return plural(n_bytes, "byte")
    for unit, scale in (("kB", 1e3), ("MB", 1e6), ("GB", 1e9)):
        if n_bytes < scale * 999.5 or unit == "GB":
            return f"{n_bytes / scale:.3g} {unit}"
    raise AssertionError("unreachable")


def moment(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M}"


def exact(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(ZoneInfo(timezone)):%Y-%m-%d %H:%M:%S} {timezone}"


def clock(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(ZoneInfo(timezone)):%H:%M}"


def relative(at: datetime, now: datetime) -> str:
    """In words that stay true for a while: "in 3 days", "5 minutes ago"."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 10:
        return "just now" if seconds <= 0 else "in a moment"
    words = _span(abs(seconds))
    return f"in {words}" if seconds > 0 else f"{words} ago"


def _span(seconds: float) -> str:
    for unit, length in (("year", 365 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60)):
        # "36 hours" tells a participant more than "1 day".
        if seconds >= (2 * length if unit in ("year", "day") else length):
            return plural(int(seconds // length), unit)
    return plural(int(seconds), "second")
