"""Numbers for an accepted file: `score` for a challenge on disk, `measure` for two frames in memory."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scorer.cells import Column, canonical_label
from scorer.challenge import Challenge
from scorer.metrics import METRICS
from scorer.metrics.registry import Metric, column_faults
from scorer.report import InvalidSubmission, Problem, Report, ScoringFailed
from scorer.solution import USAGE_COLUMN, Mask, Solution, Task, prepare
from scorer.submission import align, read_submission


def score(challenge: Challenge, path: Path | str | bytes, *, solution: Solution | None = None) -> Report:
    """Score one submission file on the public and the private rows of a challenge.

    Parameters
    ----------
    path
        The CSV file (plain, gzip, or a zip of one file), or its bytes.
    solution
        The challenge's prepared solution, if the caller keeps one; default: the challenge's own.

    Raises
    ------
    InvalidSubmission
        The file is wrong. Nothing in it tells which split a row belongs to.
    ScoringFailed
        The metric gave no finite number for an acceptable file.
    """
    solution = challenge.solution if solution is None else solution
    source = path if isinstance(path, bytes) else Path(path)
    submission = read_submission(source, solution, max_bytes=challenge.max_bytes)
    splits = {"public": solution.public, "private": solution.private}
    task = challenge.task
    # Both splits before any refusal, so that a refusal is the same whichever split it came from.
    values = _evaluate(task, solution, submission.columns, splits)
    also = {
        side.metric.name: _evaluate(side, solution, submission.columns, splits)
        for side in challenge.also_tasks
    }
    return Report(
        public=values["public"],
        private=values["private"],
        also=also,
        rows=solution.n_rows,
        notices=submission.notices,
        provenance={
            "file_sha256": submission.sha256,
            "file_bytes": submission.size_bytes,
            "challenge": challenge.digest,
            "solution": challenge.solution_digest,
            "metric": task.metric.name,
            "metric_version": task.metric.version,
            "metric_params": task.parameters.model_dump(mode="json"),
            "metric_digest": challenge.metric_digest,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "heldout": _own_version(),
        },
    )


def measure(
    name: str,
    solution_frame: pd.DataFrame,
    submission_frame: pd.DataFrame,
    *,
    id: str | None = None,  # noqa: A002 - reads as what it is at the call
    **params: Any,
) -> float:
    """One metric over two frames in memory, through the same checks and code as a submitted file.

    Rows are aligned by id and columns by name, so neither order matters. The id is the column that
    `id` names, else one called "id", else the first of the solution; there 1.0 is the same id as 1,
    as pandas makes floats of whole numbers. Of a solution with a Usage column the Ignored rows are
    dropped and all others scored together. For log_loss of several classes the solution holds
    either one 0/1 column per class or a single column with the class of each row.

    Raises
    ------
    InvalidSubmission
        With the problems a file of the same content would have; line 2 is the first row.
    InvalidChallenge
        If the solution frame cannot be scored by this metric.
    ValueError
        If there is no such metric, or a parameter is wrong (BadParameters).
    """
    metric = find_metric(name)
    plain = {key: value.item() if isinstance(value, np.generic) else value for key, value in params.items()}
    parameters = metric.read_parameters(plain)
    header = [str(column) for column in solution_frame.columns]
    id_column = id or ("id" if "id" in header else header[0])
    columns = _prediction_columns(metric, solution_frame, submission_frame, id_column)
    fault = column_faults(parameters, len(columns))
    if fault:
        raise ValueError(f"{name}: {fault}")
    task = Task(metric, parameters, tuple(columns))
    # A truth of booleans may also be one of classes, which keep their names.
    records = _frame_records(solution_frame, id_column, flags=metric.kind in ("number", "ordinal"))
    solution = prepare(header, records, task, id_column=id_column, split_required=False)
    received = [str(column) for column in submission_frame.columns]
    records = _frame_records(submission_frame, id_column, flags=metric.kind != "label")
    predicted, _ = align(received, records, solution)
    return _evaluate(task, solution, predicted, {"all": solution.scored})["all"]


def find_metric(name: str) -> Metric:
    """The metric of that name, or a ValueError that lists all of them and the nearest."""
    if name in METRICS:
        return METRICS[name]
    near = get_close_matches(name, METRICS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(f"There is no metric {name!r}.{hint} Known are: {', '.join(METRICS)}.")


def evaluate(task: Task, solution: Solution, predicted: Sequence[Column]) -> dict[str, float]:
    """The metric over aligned columns, by split: {"public": x, "private": y}; every value is finite."""
    return _evaluate(task, solution, predicted, {"public": solution.public, "private": solution.private})


def _evaluate(
    task: Task, solution: Solution, predicted: Sequence[Column], splits: Mapping[str, Mask]
) -> dict[str, float]:
    def compute(columns: Sequence[Column], mask: Mask) -> float:
        truth, rows = ([column[mask] for column in side] for side in (solution.truth, columns))
        return task.metric.compute(truth, rows, task.parameters, solution.classes)

    # Every split before any refusal, so that a refusal is the same whichever split it came from.
    values = {split: compute(predicted, mask) for split, mask in splits.items()}
    if all(math.isfinite(value) for value in values.values()):
        return values
    if not all(math.isfinite(compute(solution.truth, mask)) for mask in splits.values()):
        raise ScoringFailed(f"{task.metric.name} is not finite even for the true values.")
    # Finite for the truth, so it is the size of the predictions that overflows.
    message = "The predictions are so large that the score cannot be computed. Check their unit."
    raise InvalidSubmission([Problem("VALUE_TOO_LARGE", message)])


def _own_version() -> str:
    try:
        return version("heldout")
    except PackageNotFoundError:
        return "not installed"


# --- frames ---------------------------------------------------------------------------------------


def _prediction_columns(
    metric: Metric, solution: pd.DataFrame, submission: pd.DataFrame, id_column: str
) -> list[str]:
    """What a submission to this frame must have; for a column of class labels, a column per class."""
    targets = [str(name) for name in solution.columns if str(name) not in (id_column, USAGE_COLUMN)]
    received = [str(name) for name in submission.columns if str(name) != id_column]
    if metric.layout != "classes" or len(targets) != 1 or targets[0] in received:
        return targets
    rows = solution[solution[USAGE_COLUMN] != "Ignored"] if USAGE_COLUMN in solution else solution
    labels = {canonical_label(text) for text in _texts(rows[targets[0]], _text)}
    named = {canonical_label(name) for name in received}
    # Without any class among the columns it is a 0/1 target whose column has another name.
    return [*received, *sorted(labels - named)] if labels & named else targets


def _frame_records(
    frame: pd.DataFrame, id_column: str, *, flags: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """The frame as a CSV reader would yield it: numbers written so that they read back exactly.

    With `flags` the booleans outside the id are written as the numbers 1 and 0.
    """
    cell_text = _flag_text if flags else _text
    columns = [
        _texts(frame.iloc[:, i], _id_text if str(name) == id_column else cell_text)
        for i, name in enumerate(frame.columns)
    ]
    return ((line, list(fields)) for line, fields in enumerate(zip(*columns, strict=True), start=2))


def _texts(column: pd.Series[Any], text: Callable[[Any], str]) -> list[str]:
    return ["" if _is_missing(value) else text(value) for value in column.tolist()]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT


def _text(value: Any) -> str:
    # np.float32 prints fewer digits than the float64 it stands for.
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def _id_text(value: Any) -> str:
    whole = isinstance(value, float | np.floating) and float(value).is_integer()
    return str(int(value)) if whole else _text(value)


def _flag_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool | np.bool_) else _text(value)
