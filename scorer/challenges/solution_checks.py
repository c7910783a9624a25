"""Checks of a solution: splits, undefined metrics, missing classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.solution import (
    FILE,
    IGNORED,
    PRIVATE,
    PUBLIC,
    USAGE_COLUMN,
    USAGES,
    Given,
    Mask,
    Solution,
    part_truth,
    split_groups,
    why_undefined,
)
from scorer.challenges.task import Part
from scorer.reading.cells import Cells
from scorer.reading.columns import Labels, Lists, Vocabulary
from scorer.reading.forms import Forms, composed
from scorer.reading.tables import SPACES
from scorer.report import Problem
from scorer.wording import LISTED, show


def split_problems(usage: NDArray[np.uint8], *, split_required: bool) -> list[Problem]:
    counts = np.bincount(usage, minlength=3)
    problems = []
    if split_required:
        for code in (PUBLIC, PRIVATE):
            if not counts[code]:
                message = f"No row has {USAGE_COLUMN} {USAGES[code]}; both splits need rows."
                problems.append(solution_problem("EMPTY_SPLIT", message))
    if not problems and counts[IGNORED] == len(usage):
        problems.append(solution_problem("EMPTY_SPLIT", "Every row is Ignored; nothing is left to score."))
    return problems


def undefined_problems(solution: Solution, *, strict: bool) -> list[Problem]:
    """Return a problem for each undefined metric of a split.

    Some metrics also need every class in both splits.
    """
    problems = []
    splits = {"Public": solution.public, "Private": solution.private} if strict else {"": solution.scored}
    for number, (task, givens) in enumerate(zip(solution.tasks, solution.given, strict=True)):
        for part, given in zip(task.parts, givens, strict=True):
            for split, mask in splits.items():
                problems.extend(_undefined_part(part, given, split, mask, solution))
        if strict and number == 0 and not problems and any(p.metric.needs_every_class for p in task.parts):
            problems = _missing_classes(solution, splits)
    return problems


def _undefined_part(part: Part, given: Given, split: str, mask: Mask, solution: Solution) -> list[Problem]:
    where = f"{part.metric.name} on the {split} rows" if split else part.metric.name
    if not mask.any():
        return []
    groups = _groups_of(given, np.flatnonzero(mask), solution.vocabulary)
    skips = part.modifiers.undefined == "skip"
    weightless = [label for label, own in groups if len(own) and not _weighed(given, own).size]
    if weightless and (not skips or len(weightless) == len(groups)):
        column = show(part.modifiers.weight or "")
        label = f", group {weightless[0]}" if weightless[0] else ""
        message = f"{where}{label}: the weights in {column} are all 0."
        return [solution_problem("METRIC_UNDEFINED", message, column=column, count=len(weightless))]
    n_scored, reasons = 0, _Reasons()
    for label, own in groups:
        for name, why in _columns_undefined(part, given, own, solution):
            n_scored += not why
            if why:
                reasons.add(why, label, name)
    if n_scored and skips:
        return []
    several = n_scored or len(part.columns) > 1 or given.groups is not None
    problems = []
    for why, places in reasons.places.items():
        (label, name), count = places[0], len(places)
        at = _place_words(places, len(groups))
        message = f"{where}{at}: {why}."
        if several and not skips:
            more = ", ..." if part.modifiers.model_dump(exclude_defaults=True) else ""
            option = f"metric: {{name: {part.metric.name}, undefined: skip{more}}}"
            message += f" To average over the others, write {option}."
        problems.append(
            solution_problem("METRIC_UNDEFINED", message, column=show(name) if name else None, count=count)
        )
    return problems


class _Reasons:
    """Reasons why a metric has no value, with the groups and columns that have them."""

    def __init__(self) -> None:
        self.places: dict[str, list[tuple[str, str]]] = {}

    def add(self, why: str, label: str, name: str) -> None:
        self.places.setdefault(why, []).append((label, name))


def _place_words(places: Sequence[tuple[str, str]], n_groups: int) -> str:
    """Return where a metric has no value: ', group "a", column x', or how many and the first."""
    label, name = places[0]
    if len(places) == 1:
        return (f", group {label}" if label else "") + (f", column {show(name)}" if name else "")
    labels = list(dict.fromkeys(label for label, _ in places if label))
    names = list(dict.fromkeys(name for _, name in places if name))
    words = ""
    if labels:
        listed = ", ".join(labels[:LISTED]) + (", ..." if len(labels) > LISTED else "")
        words += f", {len(labels)} of {n_groups} groups ({listed})"
    if names:
        listed = ", ".join(map(show, names[:LISTED])) + (", ..." if len(names) > LISTED else "")
        words += f", columns {listed}" if len(names) > 1 else f", column {listed}"
    return words


def _groups_of(
    given: Given, rows: NDArray[np.intp], vocabulary: Vocabulary
) -> list[tuple[str, NDArray[np.intp]]]:
    """Return the quoted name and the rows of each group; all rows without a name where there are none."""
    if given.groups is None:
        return [("", rows)]
    groups = given.groups
    return [(f'"{show(vocabulary.names[groups.codes[own[0]]])}"', own) for own in split_groups(groups, rows)]


def _weighed(given: Given, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    return rows if given.weights is None else rows[given.weights[rows] > 0.0]


def _columns_undefined(
    part: Part, given: Given, rows: NDArray[np.intp], solution: Solution
) -> Iterator[tuple[str, str | None]]:
    """Yield each scored column and why it has no value, if so; a column of weight 0 counts nothing."""
    names = part.columns if part.layout == "columns" and part.modifiers.columns != "pooled" else ("",)
    reasons = why_undefined(part, given, _weighed(given, rows), solution.classes(given))
    weights = part.modifiers.column_weights or [1.0] * len(names)
    for name, why, weight in zip(names, reasons, weights, strict=True):
        if weight or why:
            yield name, why


def left_out(solution: Solution) -> list[str]:
    """Return a sentence for each metric and split of which columns or groups are left out.

    As the challenge states with undefined: skip.
    """
    sentences = []
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        if part.modifiers.undefined != "skip":
            continue
        for split, mask in {"Public": solution.public, "Private": solution.private}.items():
            groups = _groups_of(given, np.flatnonzero(mask), solution.vocabulary)
            places = [
                (label, name)
                for label, own in groups
                for name, why in _columns_undefined(part, given, own, solution)
                if why
            ]
            if places:
                at = _place_words(places, len(groups)).removeprefix(", ")
                words = f"{part.metric.name} has no value on the {split} rows for {at}, and leaves this out."
                sentences.append(words)
    return sentences


def classes_missing_in_split(solution: Solution) -> list[Problem]:
    """Return a problem for each class that one split lacks."""
    return _missing_classes(solution, {"Public": solution.public, "Private": solution.private})


def _missing_classes(solution: Solution, splits: Mapping[str, Mask]) -> list[Problem]:
    problems: dict[tuple[str, str], None] = {}
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        if part.metric.kind not in ("probability", "label", "score") or part.modifiers.undefined == "skip":
            continue  # what lacks a class is left out; `left_out` reports it
        for split, mask in splits.items():
            for name in _absent(part, given, solution.vocabulary, mask):
                problems[(split, name)] = None
    return [
        solution_problem(
            "CLASS_NOT_IN_SPLIT",
            f"No {split} row has the class {show(name)}; every class needs rows in both splits.",
            value=show(name),
        )
        for split, name in problems
    ]


def _absent(part: Part, given: Given, vocabulary: Vocabulary, mask: Mask) -> Iterator[str]:
    if part.layout == "classes":
        present = set(part_truth(part, given, mask)[0].tolist())
        yield from (name for i, name in enumerate(part.columns) if i not in present)
    elif len(given.class_codes):
        present = set()
        for column in given.truth:
            if isinstance(column, Labels | Lists):
                present.update(column.take(mask).codes.tolist())
        yield from (vocabulary.names[code] for code in given.class_codes.tolist() if code not in present)
    elif part.truth_cells.kind == "flag":
        for name, column in zip(part.columns, given.truth, strict=False):
            missing = [f"{flag:g}" for flag in (0.0, 1.0) if not (np.asarray(column)[mask] == flag).any()]
            yield from (missing if len(given.truth) == 1 else [name] if "1" in missing else [])


def solution_problem(
    code: str,
    message: str,
    *,
    line: int | None = None,
    id: str | None = None,  # noqa: A002 - the border's word for it
    column: str | None = None,
    value: str | None = None,
    count: int = 1,
) -> Problem:
    return Problem(code, message, line=line, id=id, column=column, value=value, count=count, file=FILE)


def at_most_five(problems: Sequence[Problem]) -> list[Problem]:
    """Return at most five problems of each kind."""
    kept: list[Problem] = []
    for code in dict.fromkeys(p.code for p in problems):
        kept.extend([p for p in problems if p.code == code][:5])
    return kept


def unicode_problems(
    name: str, place: int, cells: Cells, texts: Sequence[str | None], lines: Sequence[int], forms: Forms
) -> list[Problem]:
    """Return a problem if two labels of a column become one in NFC.

    Which of them was meant, the same class or another, only the organiser knows.
    """
    if cells.kind not in ("label", "list") or not any(at == place for _, at in forms.decomposed):
        return []
    first: dict[str, tuple[str, int]] = {}
    for line, text in zip(lines, texts, strict=True):
        received = forms.decomposed.get((line, place), text) or ""
        for label in received.split(cells.split) if cells.kind == "list" else [received]:
            bare = label.strip(SPACES)
            before, at = first.setdefault(composed(bare), (bare, line))
            if before != bare:
                message = (
                    f'Column {show(name)}: the labels "{show(bare)}" on lines {at} and {line} look the same '
                    "but differ in their Unicode form, and would be one label (NFC). Write labels in one "
                    'form: unicodedata.normalize("NFC", text) in Python.'
                )
                return [solution_problem("SAME_LABEL", message, line=line, column=show(name))]
    return []
