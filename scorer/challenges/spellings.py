"""Decide which labels of a challenge are public knowledge, and which form all of them have.

Messages about unknown labels must not reveal the truth. The labels of the solution count as known where they
are few and come often, as classes and tags do; otherwise only labels in public files are named, as with the
items of a recommendation, and the hidden ones are described by their form alone. If the public files lack
many of them, another spelling of a public label is still named. All of this depends on the set of
labels in the scored rows and on nothing else of the solution: not on which row has which label, not on the
split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from scorer.challenges.solution import Given, Solution
from scorer.challenges.task import Part
from scorer.custom_cells import filled, true_cells
from scorer.reading.box_labels import TRUE_VALUES, box_labels
from scorer.reading.cells import canonical_label
from scorer.reading.columns import CodeArray, Labels, Lists, take
from scorer.reading.spelling import Form, Spelling, is_fraction

_FEW_LABELS, _FEW_TIMES = 20, 2
_MOST_LABELS, _MANY_TIMES = 1000, 10
_COVERED = 0.9
_MOST_SHOWN = 100_000
"""Labels of the public files with which the others of an open vocabulary are compared."""


@dataclass(frozen=True, slots=True)
class PublicLabels:
    """The labels that the public files have in a column."""

    train: frozenset[str] = frozenset()
    """In any file but the sample submission."""
    sample: frozenset[str] = frozenset()


def with_spellings(solution: Solution, public: Mapping[str, PublicLabels] | None = None) -> Solution:
    """Return the solution with the spelling of each prediction column of labels or lists."""
    found = {}
    words = word_columns(solution)
    for name in (*label_columns(solution), *words):
        spelling = _spelling(solution, name, (public or {}).get(name, PublicLabels()))
        if spelling is not None and (name not in words or spelling.known is not None):
            found[name] = spelling
    return replace(solution, spellings=found)


def word_columns(solution: Solution) -> list[str]:
    """Return the columns of an own metric whose truth is in words, such as yes and no.

    The function gets the texts as they are and may read them in its own way, so an unknown word is worth a
    notice and never refused.
    """
    task = solution.task
    if task.custom is None or task.complete:
        return []
    values = task.numeric | task.flags
    return [name for name in task.columns if name in solution.frame and name not in values]


def label_columns(solution: Solution) -> list[str]:
    """Return the prediction columns whose labels must be those of the truth.

    Clusters may have any names, and the words of a text are no vocabulary. Of an own metric these are the
    columns of codes such as 01234.
    """
    by_column: dict[str, list[Part]] = {name: [] for name in solution.task.columns}
    for part in solution.task.parts:
        for name in part.columns:
            by_column[name].append(part)
    if solution.task.custom is not None:
        return [] if solution.task.complete else [name for name in by_column if name in solution.task.codes]
    return [name for name, parts in by_column.items() if parts and all(map(_compares_names, parts))]


def _compares_names(part: Part) -> bool:
    own = part.metric.predicted_cells(part.parameters).kind
    return part.predicted_cells.grammar == "boxes" or (
        own in ("label", "list")
        and part.predicted_cells.kind in ("label", "list")
        and part.metric.compares_names
    )


def _true_codes(solution: Solution, name: str) -> CodeArray:
    """Return the codes of every label in the scored rows of a column's truth, with repeats."""
    found = [
        take(column, solution.scored).codes
        for part, given in zip(solution.task.parts, solution.given[0], strict=True)
        for column in _truth_of(part, given, name)
    ]
    codes = np.concatenate(found) if found else np.empty(0, dtype=np.int32)
    return np.asarray(codes[codes >= 0], dtype=np.int32)


def true_labels(solution: Solution, name: str) -> tuple[frozenset[str], int]:
    """Return the labels in the scored rows of a column's truth, and how many there are with repeats."""
    if solution.task.custom is not None:
        cells = filled(true_cells(solution.frame[name][solution.scored].tolist()))
        as_sent = name not in solution.task.codes
        return frozenset(cells if as_sent else map(canonical_label, cells)), len(cells)
    if solution.task.cells(name).grammar == "boxes":
        found = [
            label
            for part, given in zip(solution.task.parts, solution.given[0], strict=True)
            if name in part.columns
            for column in (take(given.truth[part.columns.index(name)], solution.scored),)
            if isinstance(column, np.ndarray)
            for text in column.tolist()
            for label in box_labels(text, TRUE_VALUES)
        ]
        return frozenset(found), len(found)
    codes = _true_codes(solution, name)
    names = solution.vocabulary.names
    return frozenset(names[code] for code in np.unique(codes).tolist()), len(codes)


def solution_codes(solution: Solution, name: str) -> CodeArray:
    """Return codes of labels in the scored rows of a column's truth, quickly.

    None where a metric takes several columns of labels, whose codes are stored together.
    """
    found = [
        given.class_codes
        for part, given in zip(solution.task.parts, solution.given[0], strict=True)
        if name in part.columns and len(given.truth) == 1
    ]
    return np.concatenate(found) if found else np.empty(0, dtype=np.int32)


def _truth_of(part: Part, given: Given, name: str) -> Iterator[Labels | Lists]:
    if name not in part.columns:
        return
    columns = given.truth
    if len(columns) == len(part.columns):
        columns = (columns[part.columns.index(name)],)
    yield from (column for column in columns if isinstance(column, Labels | Lists))


def _spelling(solution: Solution, name: str, public: PublicLabels) -> Spelling | None:
    cells = solution.task.cells(name)
    hidden, n_times = true_labels(solution, name)
    named = public.train | declared_labels(solution, name)
    if not hidden:
        return None
    known = None
    from_public_files = False
    if _is_closed(len(hidden), n_times):
        known = hidden | named
    elif len(hidden & named) >= _COVERED * len(hidden):
        known, from_public_files = named, True
    every = hidden | named
    spelling = Spelling(
        Form.of(every, cells.split),
        cells.split,
        cells.kind == "list",
        known,
        from_public_files,
        truths="0/1" if every <= {"0", "1"} else "True/False" if every <= {"True", "False"} else "",
    )
    if known is None and len(named) <= _MOST_SHOWN:
        compared = replace(spelling, shown=named)
        # A truth that holds both spellings must not be refused, and no message may mark it.
        if not any(compared.is_alike(label) for label in hidden - named):
            spelling = compared
    return replace(spelling, placeholders=_placeholders(spelling, public.sample))


def declared_labels(solution: Solution, name: str) -> frozenset[str]:
    """Return the labels of a column that challenge.yaml lists."""
    return frozenset(
        canonical_label(label)
        for part in solution.task.parts
        if name in part.columns and isinstance(labels := getattr(part.parameters, "labels", None), list)
        for label in labels
    )


def _is_closed(n_labels: int, n_times: int) -> bool:
    """Return whether a set of labels counts as public knowledge.

    Answers that come once, as names or the items of a large catalogue, do not.
    """
    few = n_labels <= _FEW_LABELS and n_times >= _FEW_TIMES * n_labels
    return few or (n_labels <= _MOST_LABELS and n_times >= _MANY_TIMES * n_labels)


def _placeholders(spelling: Spelling, sample: frozenset[str]) -> frozenset[str]:
    """Return the sample's labels that stand for any label, as "x".

    A respelt label is none: participants who copy it would score 0. Nor are several unknown labels, where
    those that there are are known: they are meant as labels.
    """
    others = {name for name in sample if not spelling.knows(spelling.read_as(name))}
    if spelling.known is not None and not spelling.is_list and len(others) > 1:
        return frozenset()
    return frozenset(name for name in others if not _is_meant(spelling, name))


def _is_meant(spelling: Spelling, name: str) -> bool:
    if spelling.is_list and spelling.list_fault(name):
        return True
    if is_fraction(name) and spelling.form.only_numeric:
        return True
    return spelling.is_alike(name) if spelling.known is not None else bool(spelling.nearest(name))
