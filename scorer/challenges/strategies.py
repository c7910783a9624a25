"""The words for a split's strategy, by which the audit and the folds know what to check."""

from __future__ import annotations

import re
from difflib import get_close_matches

STRATEGIES = {
    "random": ("iid", "shuffle", "shuffled", "uniform", "uniformly", "randomised", "randomized", "holdout"),
    "stratified": ("stratify", "strata", "stratum", "balanced"),
    "grouped": ("group", "groups", "cluster", "clustered", "clusters"),
    "sequential": (
        "time",
        "times",
        "timed",
        "timeseries",
        "temporal",
        "temporally",
        "chronological",
        "chronologically",
        "chronology",
        "sequence",
        "sequentially",
        "ordered",
        "date",
        "dates",
        "forecast",
        "forecasting",
    ),
}
"""Each strategy and its synonyms."""
_SUGGESTED = {
    "grouped": frozenset(
        [
            "patient",
            "patients",
            "subject",
            "subjects",
            "person",
            "people",
            "user",
            "users",
            "customer",
            "customers",
            "site",
            "sites",
            "hospital",
            "hospitals",
            "speaker",
            "store",
            "family",
            "leave",
        ]
    ),
    "sequential": frozenset(
        [
            "walk",
            "walking",
            "forward",
            "rolling",
            "expanding",
            "backtest",
            "backtesting",
            "window",
            "future",
            "year",
            "month",
            "week",
            "day",
        ]
    ),
}
"""Words that suggest a strategy but do not state it."""
_FOLDS = frozenset({"kfold", "fold", "folds", "cv", "crossvalidation"})
"""Words that suggest random folds where nothing else is said."""
_NAMES = {word: name for name, words in STRATEGIES.items() for word in (name, *words)}
_FILLERS = {
    "split",
    "splits",
    "splitting",
    "based",
    "by",
    "wise",
    "kfold",
    "fold",
    "folds",
    "cv",
    "series",
    "out",
    "of",
}
"""Words that change nothing: time-based, split by group, GroupKFold."""


def strategy_named(text: str) -> str | None:
    """Return the strategy that a text names, or None."""
    _, named = _read(text)
    return (named.pop() or None) if len(named) == 1 else None


def unknown_strategy(text: str) -> str:
    """Return why a text names no strategy, and what to write."""
    words, named = _read(text)
    known = ", ".join(STRATEGIES)
    if len(named - {""}) > 1:
        return (
            f'"{text}" names more than one strategy; write one of {known}, and beside it split.group or '
            "split.time where both matter"
        )
    near = [name for name, suggested in _SUGGESTED.items() if suggested.intersection(words)] or [
        _NAMES[match]
        for word in words
        if word not in _NAMES
        for match in get_close_matches(word, _NAMES, n=1, cutoff=0.7)
    ]
    if not near and _FOLDS.intersection(_words(text)):
        near = ["random"]
    if near:
        column = " Then name the column of the groups in split.group" if near[0] == "grouped" else ""
        return f'"{text}" is not a strategy of a split ({known}); did you mean {near[0]}?{column}'
    return (
        f'"{text}" is not a strategy of a split; known are {known}. If none of them fits, leave it out and '
        "describe the split in split.note"
    )


def _read(text: str) -> tuple[list[str], set[str]]:
    """Return the words that count, and their strategies; "" for an unknown one."""
    words = _words(text)
    words = [word for word in words if word not in _FILLERS] or words
    named = {_NAMES.get(word, "") for word in words}
    if len(named) > 1:
        # Random rows with the same mix are stratified, random groups are grouped.
        named.discard("random")
        if named == {"stratified", "grouped"}:
            named = {"grouped"}
    return words, named


def _words(text: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace("K-Fold", "KFold").replace("KFold", " kfold"))
    spaced = spaced.casefold().replace("i.i.d", "iid").replace("k-fold", "kfold")
    return [word for word in re.split(r"[\W_]+", spaced) if word]
