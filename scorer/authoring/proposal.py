"""Propose every choice for a table, each with its reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

import numpy as np

from scorer.authoring.choices import Choices, Predicted, Strategy
from scorer.authoring.columns import Profile, Target, guess_group, guess_id, guess_time, target_of, times_of
from scorer.authoring.metric_choice import propose_metric
from scorer.authoring.table import Table, Unusable
from scorer.metrics import METRICS
from scorer.wording import show


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person states; the rest is proposed."""

    id: str | None = None
    strategy: Strategy | None = None
    time: str | None = None
    group: str | None = None
    predicted: Predicted | None = None
    metric: str | None = None
    test_share: float | None = None
    public_share: float | None = None
    drop: Sequence[str] = ()
    without_duplicates: bool = False
    without_rare: bool = False
    title: str | None = None
    slug: str | None = None
    summary: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Proposed:
    choices: Choices
    target: Target
    reasons: dict[str, str]
    """For id, split and metric: why."""


def propose(table: Table, profile: Profile, target_name: str, wishes: Wishes, *, seed: int) -> Proposed:
    """Complete a person's wishes; raises Unusable with every wrong name at once."""
    frame = table.frame
    target = target_of(frame, target_name, task=_task(wishes))
    _refuse_unknown(frame.names, wishes)
    _refuse_conflicts(target.name, wishes)
    reasons: dict[str, str] = {}
    id_guess = guess_id(frame, profile, target=target.name)
    guessed = None if id_guess.column in (wishes.time, wishes.group) else id_guess.column
    id_column = wishes.id or guessed
    reasons["id"] = "as chosen" if wishes.id else id_guess.reason
    strategy, time, group, reasons["split"] = _split(table, profile, target, wishes, id_column)
    metric, parameters, predicted, also, reasons["metric"] = _metric(target, wishes)
    constant = [name for name in profile.of_kind("constant") if name not in (time, group)]
    title = wishes.title or _title(table.name)
    return Proposed(
        Choices(
            target=target.name,
            predicted=predicted,
            id=id_column,
            strategy=strategy,
            time=time,
            group=group,
            test_share=0.3 if wishes.test_share is None else wishes.test_share,
            public_share=0.3 if wishes.public_share is None else wishes.public_share,
            seed=seed,
            metric=metric,
            metric_parameters=parameters,
            also=also,
            drop=sorted({*wishes.drop, *constant}),
            without_duplicates=wishes.without_duplicates,
            without_rare=wishes.without_rare,
            title=title,
            slug=wishes.slug or slug_of(title),
            summary=wishes.summary,
            description=wishes.description,
        ),
        target,
        reasons,
    )


def _task(wishes: Wishes) -> Literal["classes", "numbers"] | None:
    if wishes.predicted is not None:
        return "numbers" if wishes.predicted == "numbers" else "classes"
    metric = METRICS.get(wishes.metric or "")
    if metric is None:
        return None
    return "numbers" if metric.kind == "number" else "classes"


def _refuse_conflicts(target: str, wishes: Wishes) -> None:
    """Raise Unusable where one column would be two things."""
    used = {"--id": wishes.id, "--time": wishes.time, "--group": wishes.group}
    for option, name in used.items():
        if name == target:
            raise Unusable(f"{option} {show(name)} is the target; a column cannot be both.")
        if name is not None and name in wishes.drop:
            raise Unusable(f"{show(name)} is left out by --drop and used by {option}; state one of the two.")
    if target in wishes.drop:
        raise Unusable(f"--drop {show(target)} would leave the target out.")
    if wishes.id is not None and wishes.id in (wishes.time, wishes.group):
        raise Unusable(f"--id {show(wishes.id)} is replaced by new ids, so it cannot divide the rows too.")


def _refuse_unknown(names: Sequence[str], wishes: Wishes) -> None:
    stated = [*wishes.drop, *(name for name in (wishes.id, wishes.time, wishes.group) if name is not None)]
    unknown = [name for name in dict.fromkeys(stated) if name not in names]
    if unknown:
        plural = "s" if len(unknown) > 1 else ""
        raise Unusable(
            f"There is no column{plural} {', '.join(show(name) for name in unknown)} in the table; it has "
            f"{', '.join(show(name) for name in names[:30])}{', …' if len(names) > 30 else ''}."
        )


def _split(
    table: Table, profile: Profile, target: Target, wishes: Wishes, id_column: str | None
) -> tuple[Strategy, str | None, str | None, str]:
    frame = table.frame
    if wishes.strategy is None and wishes.time is None and wishes.group is None:
        by_time = guess_time(frame, profile, target)
        by_group = guess_group(frame, profile, target, others=(id_column, by_time.column))
        if by_time.column is not None:
            return "sequential", by_time.column, None, by_time.reason
        if by_group.column is not None:
            return "grouped", None, by_group.column, by_group.reason
        return *_without_order(target), "no column orders the rows in time, and none names what repeats"
    strategy = wishes.strategy or ("sequential" if wishes.time else "grouped")
    time, group = wishes.time, wishes.group
    if strategy == "sequential" and time is None:
        found = guess_time(frame, profile, target).column or next(iter(times_of(frame, profile)), None)
        if found is None:
            raise Unusable("No column orders the rows in time; name it with --time COLUMN.")
        time = found
    if strategy == "grouped" and group is None:
        found = guess_group(frame, profile, target, others=(id_column,)).column
        if found is None:
            raise Unusable("No column names what repeats; name it with --group COLUMN.")
        group = found
    if strategy == "stratified" and target.kind == "number":
        raise Unusable(f"{show(target.name)} is a number and has no classes to stratify by; split at random.")
    return strategy, time, group, "as chosen"


def _without_order(target: Target) -> tuple[Strategy, None, None]:
    return ("random" if target.kind == "number" else "stratified"), None, None


def _metric(target: Target, wishes: Wishes) -> tuple[str, dict[str, str | float], Predicted, list[str], str]:
    if wishes.metric is None:
        found = propose_metric(target, wishes.predicted)
        return found.metric, {}, found.predicted, list(found.also), found.reason
    metric = METRICS.get(wishes.metric)
    if metric is None:
        near = get_close_matches(wishes.metric, METRICS, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; `docs/reference/metrics.md` lists all."
        raise Unusable(f"There is no metric {show(wishes.metric)}{hint}")
    predicted: Predicted
    if target.kind == "number":
        predicted, fits = "numbers", metric.kind == "number"
        if fits and not np.nanmin(target.values) >= metric.truth_cells(metric.parameters()).low:
            raise Unusable(f"{metric.name} takes no values below 0, and {show(target.name)} has some.")
    elif metric.kind in ("probability", "score"):
        predicted, fits = "probabilities", metric.kind == "probability" or target.kind == "binary"
    else:
        predicted, fits = "labels", metric.kind in ("label", "ordinal")
    if not fits:
        what = "a number" if target.kind == "number" else f"one of {len(target.classes)} classes"
        raise Unusable(f"{metric.name} does not fit: {show(target.name)} is {what}.")
    if wishes.predicted not in (None, predicted):
        raise Unusable(f"{metric.name} judges {predicted}, not {wishes.predicted}; choose one of the two.")
    parameters: dict[str, str | float] = {}
    if predicted == "labels" and "average" in metric.parameters.model_fields:
        parameters["average"] = "macro"
    if metric.kind == "ordinal":
        parameters |= _ratings(target, metric.name)
    return metric.name, parameters, predicted, [], f"as chosen: {metric.title[:1].lower()}{metric.title[1:]}"


def _ratings(target: Target, metric: str) -> dict[str, str | float]:
    """Return the lowest and the highest rating."""
    if not all(re.fullmatch(r"-?\d+", name) for name in target.classes):
        raise Unusable(f"{metric} compares whole numbers in their order; the classes are words.")
    numbers = [int(name) for name in target.classes]
    return {"min_rating": min(numbers), "max_rating": max(numbers)}


def _title(name: str) -> str:
    words = re.sub(r"[_\W]+", " ", name).strip()
    return words[:1].upper() + words[1:] or "Untitled"


def slug_of(title: str) -> str:
    """Return a title as part of an address."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:60].strip("-") or "competition"
