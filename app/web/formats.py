"""Format numbers, sizes and times for pages."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from app.base.models import Competition, PublicScore

THIN = "\u202f"  # narrow no-break space: groups digits without being read as a comma or a point
MINUS = "\u2212"


def number(x: float | None, step: float = 0.0) -> str:
    """Return a score with five decimals, or six digits above 1000.

    A score rounded to `step` shows only the digits of the step.
    """
    if x is None:
        return "–"
    magnitude = abs(x)
    if step and magnitude < 1e15 and abs(x / step - round(x / step)) < 1e-6:
        text = f"{magnitude:,.{_decimals(step)}f}".replace(",", THIN)
    elif magnitude == 0 or 0.00005 <= magnitude < 1000:
        text = f"{magnitude:.5f}"
    elif magnitude < 0.00005 or magnitude >= 1e15:
        text = f"{magnitude:.4e}"
    else:
        decimals = max(0, 5 - math.floor(math.log10(magnitude)))
        rounded = round(magnitude, 5 - math.floor(math.log10(magnitude)))
        text = f"{rounded:,.{decimals}f}".replace(",", THIN)
    return (MINUS if x < 0 else "") + text


def _decimals(step: float) -> int:
    exponent = Decimal(repr(step)).normalize().as_tuple().exponent
    return max(0, -int(exponent))


ACRONYMS = re.compile(
    "auc|roc|r?ms(l|p)?e|msle|mae|s?mape|ap|map|ndcg|iou|f1|r2|mcc|crps|wape|mase|pr", re.IGNORECASE
)


def metric_name(metric: Mapping[str, Any] | str) -> str:
    """Return the name of a metric for people: `log_loss` is "Log loss", `roc_auc` "ROC AUC"."""
    name = metric if isinstance(metric, str) else str(metric["name"])
    words = [word.upper() if ACRONYMS.fullmatch(word) else word for word in name.split("_") if word]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]]) if words else name


def public_step(competition: Competition, also: str | None = None) -> float:
    """Return the rounding step of public scores; 0.0 if exact.

    `also` names a side metric.
    """
    if competition.public_score == PublicScore.EXACT:
        return 0.0
    benchmark = competition.version.benchmark or {}
    found = benchmark.get("step") if also is None else (benchmark.get("also_steps") or {}).get(also)
    return float(found or 0.0)


def public_limit(competition: Competition) -> float | None:
    """Return the worst public score that is shown rounded; None if all are."""
    ends = (competition.version.benchmark or {}).get("range") or ()
    return next((end for end in ends if end is not None), None)


def release_rule(competition: Competition) -> PublicScore:
    """Return how public scores are shown.

    Exactly, whatever was configured, if the version has no step.
    """
    return PublicScore(competition.public_score) if public_step(competition) else PublicScore.EXACT


def brief(x: Any) -> str:
    """Return a measured number with three digits; other values as text."""
    if isinstance(x, bool) or not isinstance(x, (int, float)):
        return "–" if x is None else str(x)
    if isinstance(x, int) or (x.is_integer() and abs(x) < 1e15):
        return count(int(x)).replace("-", MINUS)
    return f"{x:.3g}".replace("-", MINUS)


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
    """Return a time difference: "in 3 days", "5 minutes ago"."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 10:
        return "just now" if seconds <= 0 else "in a moment"
    words = _span(abs(seconds))
    return f"in {words}" if seconds > 0 else f"{words} ago"


def changes_in(now: datetime, *moments: datetime | None) -> int | None:
    """Return the milliseconds until the first of the moments that is still to come, for page.js."""
    ahead = [at - now for at in moments if at is not None and at > now]
    return max(1000, math.ceil(min(ahead).total_seconds() * 1000)) if ahead else None


def _span(seconds: float) -> str:
    for unit, length in (("year", 365 * 86400), ("day", 86400), ("hour", 3600), ("minute", 60)):
        # "36 hours" is more precise than "1 day".
        if seconds >= (2 * length if unit in ("year", "day") else length):
            return plural(int(seconds // length), unit)
    return plural(int(seconds), "second")
