"""What each column of a table is, and which one is the target, the id, the time and the group.

A guess has its reason, so that a person can confirm or correct it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from scorer.authoring.dates import Dates, dates_of
from scorer.authoring.table import Unusable
from scorer.leakage.frame import Codes, Feature, Frame
from scorer.reading.columns import FloatArray
from scorer.wording import show, some

MAX_CLASSES = 100
"""More distinct words than this are no classes."""
FEW_NUMBERS = 10
"""Whole numbers with at most so many distinct values are taken as classes."""
MIN_MOMENTS = 8
Kind = Literal["number", "date", "category", "text", "constant"]
TargetKind = Literal["binary", "class", "number"]
TARGET_NAMES = (
    "target",
    "label",
    "labels",
    "y",
    "class",
    "outcome",
    "response",
    "survived",
    "churn",
    "default",
    "diagnosis",
    "is_fraud",
    "fraud",
    "quality",
    "price",
    "saleprice",
    "sales",
    "demand",
    "value",
    "species",
    "result",
    "score",
)
_ID_NAME = re.compile(
    r"(?i:(^|[_ .-])(id|key|uuid|guid|index|rownum|row|nr|no)$|^(id|key)([_ .-]|$))|[a-z](Id|ID)$"
)
_GROUP_NAME = re.compile(
    r"(?:^|[_ .-]|(?-i:(?<=[a-z])(?=[A-Z])))"
    r"(patient|subject|person|user|customer|client|speaker|writer|author|student|pupil|family|household|hospital|"
    r"clinic|site|station|store|shop|school|device|sensor|session|driver|player|animal|plot|well)s?"
    r"([_ .-]?(id|no|nr|nbr|num|number|code|key|name))?$|^(group|cluster)([_ .-]?(id|no|nr))?$",
    re.IGNORECASE,
)
"""The thing itself, not a property of it: a patient or a patient number, but no patient's age."""
_TIME_NAME = re.compile(
    r"(^|[_ .-])(date|time|timestamp|datetime|year|quarter|month|week|day|hour|period|step)$", re.IGNORECASE
)
_NO_ORDER = re.compile(r"birth|dob|duration|elapsed", re.IGNORECASE)
_IMAGE = r"(?i)\.(png|jpe?g|gif|bmp|tiff?|webp|wav|mp3|flac|ogg|mp4|avi|dcm|npy)$"


@dataclass(frozen=True, slots=True)
class Column:
    """One column in figures: names, types and counts, never a cell."""

    name: str
    kind: Kind
    n_missing: int
    n_distinct: int
    low: float | None = None
    high: float | None = None
    holds_files: bool = False
    """Its texts are names of images, sounds or the like."""


@dataclass(frozen=True, slots=True)
class Guess:
    column: str | None
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    n_rows: int
    columns: tuple[Column, ...]
    dates: Mapping[str, Dates]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def of_kind(self, *kinds: Kind) -> list[str]:
        return [column.name for column in self.columns if column.kind in kinds]


def profile(frame: Frame) -> Profile:
    """Describe every column of a table."""
    dates: dict[str, Dates] = {}
    columns = []
    for name in frame.names:
        feature = frame.feature(name)
        kind: Kind
        n_distinct = feature.n_unique
        if n_distinct <= 1 and not feature.missing.any():
            kind = "constant"
        elif found := dates_of(feature):
            kind, dates[name] = "date", found
        elif feature.kind == "number":
            kind = "number"
        else:
            kind = "category" if feature.kind == "category" else "text"
        known = feature.numbers[~feature.missing] if kind == "number" else np.empty(0)
        columns.append(
            Column(
                name,
                kind,
                int(feature.missing.sum()),
                n_distinct,
                float(known.min()) if len(known) else None,
                float(known.max()) if len(known) else None,
                kind in ("category", "text") and _names_files(feature),
            )
        )
    return Profile(len(frame), tuple(columns), dates)


def _names_files(feature: Feature) -> bool:
    values = feature.names.slice(0, 1000)
    return len(values) > 0 and bool(pc.all(pc.match_substring_regex(values, _IMAGE)).as_py())


def guess_target(profile: Profile) -> Guess:
    """Guess what is to be predicted: by its name, else the last column."""
    usable = [column.name for column in profile.columns if column.kind != "constant"]
    named = {re.sub(r"[^a-z]", "", name.lower()): name for name in usable}
    for word in TARGET_NAMES:
        if (name := named.get(word.replace("_", ""))) is not None:
            return Guess(name, "its name")
    last = usable[-1] if usable else None
    if last is None or profile[last].kind in ("text", "date"):
        return Guess(None, "no column looks like a target")
    return Guess(last, "it is the last column")


def guess_id(frame: Frame, profile: Profile, *, target: str) -> Guess:
    """Guess the column that names each row: all distinct, with the name of an id."""
    for column in profile.columns:
        if column.name == target or column.n_missing or column.n_distinct < profile.n_rows:
            continue
        whole = column.kind == "number" and _is_whole(frame.feature(column.name).numbers)
        if _ID_NAME.search(column.name) and (whole or column.kind in ("text", "category")):
            return Guess(column.name, "every row has another value, and its name")
        numbers = frame.feature(column.name).numbers
        counts = whole and column.name == frame.names[0] and bool((np.diff(numbers) == 1).all())
        if counts and not _TIME_NAME.search(column.name):
            return Guess(column.name, "it counts the rows")
    return Guess(None, "no column names each row")


def guess_time(frame: Frame, profile: Profile, target: Target) -> Guess:
    """Guess the column that orders the rows in time.

    It counts only if neighbours in time agree in the target, beyond chance: then a random split lets the past
    be filled in from both sides.
    """
    best: tuple[float, Guess] | None = None
    for name, times in times_of(frame, profile).items():
        if name == target.name:
            continue
        alike = agreement_of_neighbours(times, target)
        if alike.z > 4 and alike.value > 0.1 and (best is None or alike.value > best[0]):
            words = f"neighbours in {show(name)} agree in {show(target.name)} ({alike.words})"
            best = alike.value, Guess(name, words)
    return best[1] if best else Guess(None, "no column orders the rows in time")


def guess_group(frame: Frame, profile: Profile, target: Target, *, others: Sequence[str | None]) -> Guess:
    """Guess the column whose values must not be in both train and test: a person, a place, a device."""
    best: tuple[float, Guess] | None = None
    for column in profile.columns:
        if column.name in (target.name, *others) or column.kind in ("constant", "date"):
            continue
        feature = frame.feature(column.name)
        per_value = (profile.n_rows - column.n_missing) / max(1, column.n_distinct)
        is_named = bool(_GROUP_NAME.search(column.name) or _ID_NAME.search(column.name))
        is_whole = column.kind != "number" or _is_whole(feature.numbers[~feature.missing])
        if not is_named or not is_whole or column.n_distinct < 5 or per_value < 1.5:
            continue
        alike = agreement_within(feature.codes, target)
        # A small effect is one all the same: the groups repeat, and the name says that they are things.
        score = alike.value + 0.5
        words = f"{show(column.name)} repeats ({column.n_distinct:,} values, {per_value:.1f} rows each)"
        if alike.z > 3:
            words += f" and its rows agree in {show(target.name)} ({alike.words})"
        if best is None or score > best[0]:
            best = score, Guess(column.name, words)
    return best[1] if best else Guess(None, "no column names a person, a place or the like that repeats")


def times_of(frame: Frame, profile: Profile) -> dict[str, FloatArray]:
    """Return the columns that could order rows in time, as numbers; nan where missing.

    A number has to look like a time beside its name: a year, seconds since 1970, or the order of the rows.
    A study_time has the name too, and predicts a mark.
    """
    found = {name: dates.seconds for name, dates in profile.dates.items()}
    for column in profile.columns:
        if column.kind == "number" and _TIME_NAME.search(column.name) and column.n_distinct >= MIN_MOMENTS:
            numbers = frame.feature(column.name).numbers
            assert column.low is not None
            assert column.high is not None
            is_year = column.low >= 1500 and column.high <= 2200
            in_order = not column.n_missing and bool((np.diff(numbers) >= 0).all())
            if is_year or column.low > 1e8 or in_order:
                found[column.name] = numbers
    return {name: times for name, times in found.items() if not _NO_ORDER.search(name)}


# --- the target -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The target of the rows that have one, with what is predicted of it."""

    name: str
    kind: TargetKind
    values: FloatArray
    """Numbers, or codes of the classes in the order of `classes`; nan where the row has none."""
    classes: tuple[str, ...] = ()
    """As written, in sorted order; numbers in the order of their size."""

    @property
    def counts(self) -> tuple[int, ...]:
        known = self.values[~np.isnan(self.values)].astype(np.int64)
        return tuple(np.bincount(known, minlength=len(self.classes)).tolist())


def target_of(frame: Frame, name: str, *, task: Literal["classes", "numbers"] | None = None) -> Target:
    """Return the target column; raises Unusable where nothing can be learnt from it."""
    if name not in frame:
        near = some(frame.names)
        raise Unusable(f"There is no column {show(name)} in the table; it has {near}.")
    feature = frame.feature(name)
    known = ~feature.missing
    if not known.any():
        raise Unusable(f"The target {show(name)} has no value at all.")
    if feature.n_unique == 1:
        raise Unusable(f"The target {show(name)} has one value in all rows, so there is nothing to predict.")
    numeric = feature.kind == "number"
    distinct = np.unique(feature.numbers[known]) if numeric else np.empty(0)
    few = numeric and len(distinct) <= FEW_NUMBERS and _is_whole(distinct)
    if task == "numbers" and not numeric:
        raise Unusable(f"The target {show(name)} holds words, which cannot be predicted as numbers.")
    if task == "classes" and numeric and not _is_whole(distinct):
        raise Unusable(
            f"The target {show(name)} holds fractions, which are no classes; predict them as numbers."
        )
    if numeric and task != "classes" and not (few and task is None):
        return Target(name, "number", np.where(known, feature.numbers, np.nan))
    if feature.n_unique > MAX_CLASSES:
        what = "numbers; predict them as numbers" if numeric else "texts"
        raise Unusable(
            f"The target {show(name)} has {feature.n_unique:,} distinct {what}; classes may be "
            f"{MAX_CLASSES} at most. "
            "Merge rare ones, or choose another column."
        )
    return _classes(name, feature, known)


def _classes(name: str, feature: Feature, known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Target:
    texts = [str(text).strip() for text in feature.names.to_pylist()]
    used = sorted({texts[code] for code in feature.codes[known]}, key=_in_order)
    if feature.kind == "number" and not _are_codes(used):  # 1 and 1.0 are one class
        values = np.unique(feature.numbers[known])
        used = [_as_text(value) for value in values]
        codes = np.searchsorted(values, np.nan_to_num(feature.numbers)).astype(np.float64)
    else:
        place = {text: float(number) for number, text in enumerate(used)}
        of_code = np.array([place.get(text, math.nan) for text in texts] or [math.nan])
        codes = of_code[np.maximum(feature.codes, 0)]
    return Target(name, "binary" if len(used) == 2 else "class", np.where(known, codes, np.nan), tuple(used))


def _are_codes(texts: Sequence[str]) -> bool:
    """Return whether numbers are names: with leading zeros, or too long for a float."""
    return any(re.fullmatch(r"0\d+|-?\d{16,}", text) for text in texts)


def _as_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _in_order(text: str) -> tuple[int, float, str]:
    try:
        return 0, float(text), text
    except ValueError:
        return 1, 0.0, text


def _is_whole(numbers: FloatArray) -> bool:
    return bool(len(numbers)) and bool(np.all(numbers == np.floor(numbers)))


# --- agreement ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Agreement:
    value: float
    """A correlation; of classes the agreement of pairs beyond chance."""
    z: float
    words: str


def agreement_of_neighbours(times: FloatArray, target: Target) -> Agreement:
    """Return how much rows next to each other in time agree in the target."""
    known = ~np.isnan(times) & ~np.isnan(target.values)
    order = np.argsort(times[known], kind="stable")
    return _agreement(target, target.values[known][order][:-1], target.values[known][order][1:])


def agreement_within(codes: Codes, target: Target) -> Agreement:
    """Return how much rows of one value agree in the target."""
    known = (codes >= 0) & ~np.isnan(target.values)
    order = np.argsort(codes[known], kind="stable")
    groups, values = codes[known][order], target.values[known][order]
    same = groups[:-1] == groups[1:]
    return _agreement(target, values[:-1][same], values[1:][same])


def _agreement(target: Target, first: FloatArray, second: FloatArray) -> Agreement:
    n = len(first)
    if n < 8:
        return Agreement(0.0, 0.0, "too few rows to tell")
    if target.kind == "number":
        both = np.concatenate([first, second])
        ranks = stats.rankdata(both)
        if np.ptp(both) == 0:
            return Agreement(0.0, 0.0, "no spread")
        value = float(np.corrcoef(ranks[:n], ranks[n:])[0, 1])
        return Agreement(value, value * math.sqrt(n), f"correlation {value:.2f}")
    shares = np.bincount(np.concatenate([first, second]).astype(np.int64)) / (2 * n)
    chance = float(np.sum(shares**2))
    agree = float(np.mean(first == second))
    spread = math.sqrt(max(chance * (1 - chance), 1e-12) / n)
    value = (agree - chance) / max(1 - chance, 1e-12)
    return Agreement(value, (agree - chance) / spread, f"{agree:.0%} equal, by chance {chance:.0%}")


# --- what was understood --------------------------------------------------------------------------


def understood(frame: Frame, profile: Profile, target: str) -> list[str]:
    """Return what a person has to know of the reading: rows without a target, and the forms of dates."""
    found = []
    feature = frame.feature(target)
    if n := int(feature.missing.sum()):
        spelt = sorted(
            {text for text in pc.unique(feature.texts.filter(pa.array(feature.missing))).to_pylist() if text}
        )
        words = f" (empty, or {some(spelt)})" if spelt else ""
        found.append(f"{n:,} rows without a target are left out{words}.")
    for name, dates in profile.dates.items():
        if dates.form != "ISO 8601":
            doubt = "; day and month could be swapped, so check it" if dates.is_ambiguous else ""
            found.append(f"Dates in {show(name)} are read as {dates.form} and written as ISO 8601{doubt}.")
    return found
