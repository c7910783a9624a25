"""Score two frames in memory with the code for submitted files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scorer.challenges.solution import USAGE_COLUMN
from scorer.challenges.solution_reader import prepare
from scorer.challenges.task import Task, find_metric, one_against_rest, read_part
from scorer.metrics.registry import Metric
from scorer.reading.cells import NUMBER, canonical_label
from scorer.reading.columns import Rows
from scorer.reading.forms import composed
from scorer.reading.parquet import as_text
from scorer.scoring import task_values
from scorer.submission.reader import align
from scorer.submission.sinks import Collected

_LISTS = (list, tuple, np.ndarray)
_NOT_CELLS = (set, frozenset, dict, pd.Series, pd.DataFrame)


def measure(
    name: str,
    solution_frame: pd.DataFrame,
    submission_frame: pd.DataFrame,
    *,
    id: str | Sequence[str] | None = None,  # noqa: A002 - reads as what it is at the call
    target: str | None = None,
    extra_ids: str = "refuse",
    **params: Any,
) -> float:
    """Return one metric over two frames in memory.

    The checks and the code are those of a submitted file. Rows are aligned by id and columns by name, so
    neither order matters; columns that differ by position only, such as quantiles, are taken in the order of
    the numbers in their names, or of `targets`. Of a solution with a Usage column the Ignored rows are
    dropped and all others scored together. For classes the solution holds one 0/1 column per class or a
    single column with the class of each row. A cell may hold a list. A missing value (None, nan) is an empty
    cell.

    Parameters
    ----------
    id
        The id's column or columns; default: "id", else the first column that both frames have.
    target, targets
        The scored columns, or the solution's column with the truth; default: what both frames have.
    extra_ids
        "ignore" leaves out rows of the submission whose id the solution does not have.
    **params
        Parameters of the metric and modifiers (`columns`, `weight`, `group_by`, `split`, ...), as in
        challenge.yaml.

    Raises
    ------
    InvalidSubmission
        With the problems a file of the same content would have; line 2 is the first row.
    InvalidChallenge
        If the solution frame cannot be scored by this metric.
    ValueError
        If there is no such metric, or a parameter is wrong (BadParameters).
    """
    metric, given = find_metric(name, {key: _plain(value) for key, value in params.items()})
    solution, submission = (_named(frame) for frame in (solution_frame, submission_frame))
    ids = _id_columns(solution, submission, id)
    target = target if target is None else composed(target)
    separator = _separator(solution, submission)
    if separator is not None:
        given.setdefault("split", separator)
    columns = _find_columns(metric, given, target, solution, submission, ids)
    part = read_part(metric, given, columns, for_challenge=False)
    task = Task(tuple(columns), (part,), ignore_unknown_ids=extra_ids == "ignore")

    numeric = metric.kind in ("number", "ordinal")
    split = part.modifiers.split or " "
    # A column of booleans may be one of classes called True and False, or of flags beside 0 and 1.
    mixed = metric.kind in ("label", "labels") and _is_boolean(solution, ids) != _is_boolean(submission, ids)
    records = _records(solution, ids, flags=numeric or (mixed and _is_numeric(submission, ids)), split=split)
    prepared = prepare(list(solution.columns), records, [task], id_columns=ids, split_required=False)
    flags = metric.kind != "label" or (mixed and _is_numeric(solution, ids))
    kept = Collected(len(prepared.ids))
    align(list(submission.columns), _records(submission, ids, flags=flags, split=split), prepared, kept)
    splits: Mapping[str, Rows] = {"all": prepared.scored}
    return task_values(prepared, 0, kept.columns(), kept.vocabulary, splits)["all"]


def _plain(value: Any) -> Any:
    """A parameter as YAML would have given it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple):
        return [_plain(each) for each in value]
    return value


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its columns' names as text."""
    names = [composed(str(name)) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"a frame has the column {', '.join(twice)} twice")
    return frame.set_axis(names, axis=1)


def _id_columns(
    solution: pd.DataFrame, submission: pd.DataFrame, stated: str | Sequence[str] | None
) -> tuple[str, ...]:
    if stated is not None:
        named = stated if isinstance(stated, list | tuple) else [stated]
        return tuple(composed(str(name)) for name in named)
    shared = [name for name in solution.columns if name in submission.columns]
    if "id" in solution.columns or not len(solution.columns):
        return ("id",)
    return (shared[0] if shared else str(solution.columns[0]),)


# --- which columns are scored -----------------------------------------------------------------------


def _find_columns(
    metric: Metric,
    given: dict[str, Any],
    target: str | None,
    solution: pd.DataFrame,
    submission: pd.DataFrame,
    ids: Sequence[str],
) -> list[str]:
    """Return the columns that the submission must hold.

    `given` is completed with the targets or the truth that it implies.
    """
    received = [name for name in submission.columns if name not in ids]
    reserved = {*ids, USAGE_COLUMN, given.get("weight"), given.get("group_by")}
    reserved |= {str(given.get(role, role)) for role in metric.side_roles}
    candidates = [name for name in solution.columns if name not in reserved]
    if target is not None:
        given.setdefault("truth" if target in candidates and target not in received else "targets", [target])
    targets = given.get("targets")
    if isinstance(targets, list) and targets and not set(targets) & set(received) <= set(targets):
        raise ValueError("targets must name columns of the submission")
    if targets:
        return [*received, *(name for name in targets if name not in received)]
    if metric.truth_roles or metric.n_truth is not None:
        return _in_some_order(metric, received, candidates)
    shared = [name for name in candidates if name in received]
    if _names_classes(metric, given, len(received)) and not shared:
        labels = _label_column(given, candidates, received, solution)
        if labels is not None:
            given["truth"] = labels
            rows = solution[solution[USAGE_COLUMN] != "Ignored"] if USAGE_COLUMN in solution else solution
            missing = {canonical_label(text) for text in _texts(rows[labels])} - set(
                map(canonical_label, received)
            )
            # Sorted, so that sums over a row's classes do not depend on how the columns stand.
            return sorted({*received, *(name for name in missing if name)})
    if "truth" in given:
        return received
    if not shared and len(received) == 1 == len(candidates):
        given["truth"] = candidates
        return received
    # A column that only the solution has is a target that was not predicted, unless it cannot be one.
    cells = metric.truth_cells(metric.read_parameters(_own(metric, given)))
    targets = [
        name
        for name in candidates
        if name in received
        or cells.kind not in ("number", "integer", "flag")
        or _holds_numbers(solution[name])
    ]
    if not targets:
        raise ValueError(
            f"the solution has no column to score beside {', '.join(map(str, reserved - {None}))}"
        )
    return targets


def _in_some_order(metric: Metric, received: list[str], candidates: Sequence[str]) -> list[str]:
    """Order columns whose position has a meaning.

    A distribution's mean has the truth's name.
    """
    if metric.predicted_roles:
        return sorted(received, key=lambda name: name not in candidates)
    return sorted(received, key=_natural)


def _natural(name: str) -> list[tuple[bool, float, str]]:
    """Sorts q5 before q10 and 0.05 before 0.5."""
    pieces = re.split(r"(\d+(?:\.\d+)?)", name)
    return [(False, float(piece), "") if i % 2 else (True, 0.0, piece) for i, piece in enumerate(pieces)]


def _label_column(
    given: Mapping[str, Any], candidates: Sequence[str], received: Sequence[str], solution: pd.DataFrame
) -> str | None:
    """Return the solution's column of class names.

    Each row names its class by a column.
    """
    stated = given.get("truth")
    if stated is not None:
        names = [stated] if isinstance(stated, str) else stated
        return names[0] if len(names) == 1 else None
    named = set(map(canonical_label, received))
    found = [
        name for name in candidates if named & {canonical_label(text) for text in _texts(solution[name])}
    ]
    return found[0] if len(found) == 1 else None


def _names_classes(metric: Metric, given: Mapping[str, Any], n_columns: int) -> bool:
    """Return whether one column of the solution may hold each row's class."""
    parameters = metric.read_parameters(_own(metric, given))
    return metric.layout(parameters) == "classes" or one_against_rest(metric, parameters, n_columns)


def _own(metric: Metric, given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key in metric.parameters.model_fields}


def _holds_numbers(column: pd.Series[Any]) -> bool:
    return all(NUMBER.fullmatch(text) for text in _texts(column, flags=True) if text)


def _is_boolean(frame: pd.DataFrame, ids: Sequence[str]) -> bool:
    return any(pd.api.types.is_bool_dtype(frame[name]) for name in frame.columns if name not in ids)


def _is_numeric(frame: pd.DataFrame, ids: Sequence[str]) -> bool:
    kinds = [frame[name].dtype for name in frame.columns if name not in (*ids, USAGE_COLUMN)]
    return any(pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in kinds)


# --- cells as text ----------------------------------------------------------------------------------


def _records(
    frame: pd.DataFrame, ids: Sequence[str], *, flags: bool, split: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the frame as a CSV reader would.

    Numbers are written so that they read back exactly. With `flags` the booleans outside the id are written
    as the numbers 1 and 0. Lists are joined by `split`.
    """
    columns = [_texts(frame[name], flags=flags and name not in ids, split=split) for name in frame.columns]
    return ((line, list(fields)) for line, fields in enumerate(zip(*columns, strict=True), start=2))


def _texts(column: pd.Series[Any], *, flags: bool = False, split: str = " ") -> list[str]:
    def text(value: Any) -> str:
        if isinstance(value, _LISTS):
            return split.join(map(text, value))
        if isinstance(value, _NOT_CELLS):
            raise ValueError(
                f"column {column.name}: a cell holds a {type(value).__name__}; give a list instead"
            )
        if value is None or value is pd.NA or value is pd.NaT or value != value:
            return ""
        if isinstance(value, bool | np.bool_):
            return str(int(value)) if flags else str(bool(value))
        # np.float32 prints fewer digits than the float64 it stands for.
        return as_text(float(value) if isinstance(value, np.floating) else value)

    return [text(value) for value in column.tolist()]


def _separator(*frames: pd.DataFrame) -> str | None:
    """Return a separator for the frames' lists, or None without lists."""
    cells = [cell for frame in frames for cell in _list_cells(frame)]
    if not cells:
        return None
    return "\x1f" if any(" " in str(item) for cell in cells for item in cell) else " "


def _list_cells(frame: pd.DataFrame) -> Iterable[Any]:
    for name in frame.columns:
        if frame[name].dtype == np.object_:
            yield from (cell for cell in frame[name] if isinstance(cell, _LISTS))
