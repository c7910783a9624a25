"""Read a column of dates in any of the forms that programs and people write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorer.leakage.frame import Feature
from scorer.reading.columns import FloatArray

_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DAYS = (
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%Y%m%d",
    "%b %d %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d %B %Y",
    "%Y-%m",
    "%Y/%m",
    "%b %Y",
    "%b-%Y",
    "%B %Y",
)
_TRIED = 200


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    seconds: FloatArray
    """Since 1970; nan where missing."""
    form: str
    """In words or as strftime writes it."""
    is_ambiguous: bool = False
    """Day and month could be swapped."""

    def iso(self) -> list[str]:
        """Return each date as 2026-10-01, with the time of day if any has one; empty where missing."""
        known = ~np.isnan(self.seconds)
        stamps: NDArray[np.datetime64] = (
            (np.where(known, self.seconds, 0.0) * 1e6).astype(np.int64).astype("datetime64[us]")
        )
        unit: Literal["D", "s"] = "D" if bool((self.seconds[known] % 86_400 == 0).all()) else "s"
        texts = np.datetime_as_string(stamps, unit=unit).tolist()
        return [text if there else "" for text, there in zip(texts, known.tolist(), strict=True)]


def dates_of(feature: Feature) -> Dates | None:
    """Return the dates of a column; None where a filled cell is none.

    Where day and month can be either, the form is taken in which the rows are better ordered.
    """
    if feature.kind == "time":
        return Dates(feature.numbers, "ISO 8601")
    if feature.kind == "number":
        return _days_as_numbers(feature)
    values = [str(text).strip() for text in feature.names.to_pylist()]
    used = sorted(set(feature.codes[feature.codes >= 0].tolist()))
    if not used or not all(re.search(r"\d", values[code]) for code in used[:_TRIED]):
        return None
    quarters = [re.fullmatch(r"(\d{4})[ -]?Q([1-4])", values[code]) for code in used]
    if all(quarters):
        distinct = pd.Series([f"{m[1]}-{3 * int(m[2]) - 2:02d}" for m in quarters if m])
        return Dates(_spread(feature, used, pd.to_datetime(distinct, format="%Y-%m")), "quarters")
    distinct = pd.Series([values[code] for code in used])
    found = []
    for day in _DAYS:
        for time in _TIMES:
            form = day + time
            head = pd.to_datetime(distinct.head(_TRIED), format=form, errors="coerce")
            if head.isna().any():
                continue
            parsed = pd.to_datetime(distinct, format=form, errors="coerce")
            if not parsed.isna().any():
                found.append((form, _spread(feature, used, parsed)))
    if not found:
        return None
    found.sort(key=lambda pair: -_order(pair[1]))
    return Dates(found[0][1], found[0][0], is_ambiguous=len(found) > 1)


def _days_as_numbers(feature: Feature) -> Dates | None:
    """Return dates written like 20261001."""
    numbers = feature.numbers[~feature.missing]
    if not len(numbers) or numbers.min() < 1000_01_01 or numbers.max() > 2999_12_31:
        return None
    if (numbers != np.floor(numbers)).any():
        return None
    values = np.where(feature.missing, 1970_01_01, feature.numbers).astype(np.int64).astype(str)
    parsed = pd.to_datetime(pd.Series(values), format="%Y%m%d", errors="coerce")
    if parsed.isna().any():
        return None
    seconds = parsed.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
    return Dates(np.where(feature.missing, np.nan, seconds), "%Y%m%d")


def _spread(feature: Feature, used: list[int], parsed: pd.Series[pd.Timestamp]) -> FloatArray:
    of_code = np.full(max(used) + 1, np.nan)
    of_code[used] = parsed.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
    return np.where(feature.codes >= 0, of_code[np.minimum(np.maximum(feature.codes, 0), max(used))], np.nan)


def _order(seconds: FloatArray) -> float:
    """Return how steadily the rows follow in time, 0 to 1."""
    steps = np.diff(seconds[~np.isnan(seconds)])
    moved = steps[steps != 0]
    return max(float(np.mean(moved > 0)), float(np.mean(moved < 0))) if len(moved) else 0.0
