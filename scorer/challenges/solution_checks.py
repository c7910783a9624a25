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
)
from scorer.challenges.task import Part
from scorer.metrics.registry import Classes
from scorer.reading.cells import Cells
from scorer.reading.columns import Labels, Lists, Vocabulary
from scorer.reading.forms import Forms, composed
from scorer.reading.tables import SPACES
from scorer.report import Problem
from scorer.wording import show


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
                problems.extend(_undefined_part(part, given, split, mask, solution.classes(given)))
        if strict and number == 0 and not problems and any(p.metric.needs_every_class for p in task.parts):
            problems = _missing_classes(solution, splits)
    return problems


def _undefined_part(part: Part, given: Given, split: str, mask: Mask, classes: Classes) -> list[Problem]:
    where = f"{part.metric.name} on the {split} rows" if split else part.metric.name
    weighed = mask if given.weights is None else mask & (given.weights > 0.0)
    rows = np.flatnonzero(mask)
    groups = [("", rows)]
    if given.groups is not None:
        groups = [(f", group {i + 1}", own) for i, own in enumerate(split_groups(given.groups, rows))]
    for label, own in groups:
        if len(own) and not weighed[own].any():
            message = f"{where}{label}: the weights in {show(part.modifiers.weight or '')} are all 0."
            return [solution_problem("METRIC_UNDEFINED", message, column=show(part.modifiers.weight or ""))]
    if part.metric.undefined is None or not mask.any():
        return []
    problems = []
    names = part.columns if part.layout == "columns" and part.modifiers.columns != "pooled" else ("",)
    for label, own in groups:
        for name, truth in zip(names, part_truth(part, given, own[weighed[own]]), strict=True):
            why = part.metric.why_undefined(truth, part.parameters, classes)
            if why:
                column = f", column {show(name)}" if name else ""
                message = f"{where}{label}{column}: {why}."
                problems.append(
                    solution_problem("METRIC_UNDEFINED", message, column=show(name) if name else None)
                )
    return problems


def classes_missing_in_split(solution: Solution) -> list[Problem]:
    """Return a problem for each class that one split lacks."""
    return _missing_classes(solution, {"Public": solution.public, "Private": solution.private})


def _missing_classes(solution: Solution, splits: Mapping[str, Mask]) -> list[Problem]:
    problems: dict[tuple[str, str], None] = {}
    for part, given in zip(solution.task.parts, solution.given[0], strict=True):
        if part.metric.kind not in ("probability", "label", "score"):
            continue
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
