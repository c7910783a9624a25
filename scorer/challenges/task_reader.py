"""Metrics of challenge.yaml as tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scorer.challenges.definition import Definition, SubmissionForm
from scorer.challenges.document import Document, missing_file
from scorer.challenges.solution import side_task_faults
from scorer.challenges.task import Part, Task, find_metric, read_part
from scorer.custom import CustomMetric, UnreadableMetric
from scorer.metrics import METRICS
from scorer.metrics.registry import BadParameters
from scorer.reading.cells import Cells
from scorer.report import Problem
from scorer.wording import show


def read_tasks(folder: Path, definition: Definition, document: Document) -> tuple[list[Task], list[Problem]]:
    """Return the ranking task, those beside it, and problems."""
    problems: list[Problem] = []
    form = definition.submission
    tasks = [_read_task(folder, definition.metric, form, document, problems, "metric")]
    tasks += [
        _read_task(folder, entry, form, document, problems, "also", i)
        for i, entry in enumerate(definition.also)
    ]
    sound = [task for task in tasks if task is not None]
    problems.extend(
        document.problem("BAD_ALSO", f"{name} is already listed", "also")
        for name, times in Counter(task.name for task in sound).items()
        if times > 1
    )
    if not problems:
        for i, side in enumerate(sound[1:]):
            faults = side_task_faults(sound[0], side)
            if side.custom is not None or sound[0].custom is not None:
                faults = ["an own function stands alone; it cannot be shown beside another metric"]
            problems.extend(document.problem("BAD_ALSO", words, "also", i) for words in faults)
    return sound, problems


def metric_problems(folder: Path, document: Document) -> list[Problem]:
    """Return problems with the metrics of an invalid document."""
    problems: list[Problem] = []
    value = document.value
    if isinstance(value.get("metric"), str | dict):
        _read_task(folder, value["metric"], None, document, problems, "metric")
    if isinstance(value.get("also"), list):
        for i, entry in enumerate(value["also"]):
            if isinstance(entry, str | dict):
                _read_task(folder, entry, None, document, problems, "also", i)
    return problems


def _read_task(
    folder: Path,
    entry: str | dict[str, Any],
    form: SubmissionForm | None,
    document: Document,
    problems: list[Problem],
    *where: str | int,
) -> Task | None:
    """Return the task of an entry.

    A metric by name, a combination or an own metric.
    """
    given = {"name": entry} if isinstance(entry, str) else dict(entry)
    before = len(problems)
    columns = None if form is None else tuple(form.columns)
    stated = given.pop("greater_is_better", None) if {"file", "combine"} & set(given) else None
    if stated is not None and not isinstance(stated, bool):
        problems.append(document.problem("WRONG_TYPE", "must be true or false", *where, "greater_is_better"))
        return None
    if "file" in given:
        return _read_custom(folder, given, stated, form, document, problems, *where)
    parts = []
    if "combine" in given:
        parts = _read_combined(given, columns, document, problems, *where)
        if columns is not None and len(problems) == before:
            problems.extend(
                document.problem("BAD_METRIC_PARAM", words, *where)
                for words in combined_faults(parts, stated)
            )
    else:
        part = _read_part(given, columns, document, problems, *where)
        parts = [part] if part else []
    if form is None or len(problems) > before:
        return None
    return Task(
        tuple(form.columns),
        tuple(parts),
        stated_direction=stated,
        ignore_unknown_ids=form.extra_ids == "ignore",
        parquet=form.parquet,
    )


def _read_combined(
    given: Mapping[str, Any],
    columns: tuple[str, ...] | None,
    document: Document,
    problems: list[Problem],
    *where: str | int,
) -> list[Part]:
    entries = given["combine"]
    if not isinstance(entries, list) or len(entries) < 2 or not all(isinstance(e, dict) for e in entries):
        words = "combine is a list of two or more metrics, each like {name: mae, coefficient: 0.5}"
        problems.append(document.problem("WRONG_TYPE", words, *where, "combine"))
        return []
    problems.extend(
        document.problem(
            "UNKNOWN_KEY",
            f"unknown key {show(key)}; beside combine only greater_is_better may stand",
            *where,
            key,
        )
        for key in given
        if key != "combine"
    )
    parts = []
    for i, entry in enumerate(entries):
        rest = dict(entry)
        coefficient = rest.pop("coefficient", 1.0)
        place = (*where, "combine", i)
        if (
            isinstance(coefficient, bool)
            or not isinstance(coefficient, int | float)
            or not coefficient
            or not abs(coefficient) <= 1e6  # also if it is nan
        ):
            words = "coefficient must be a number other than 0"
            problems.append(document.problem("WRONG_TYPE", words, *place, "coefficient"))
            continue
        part = _read_part(rest, columns, document, problems, *place, coefficient=float(coefficient))
        parts.extend([part] if part else [])
    return parts


def _read_part(
    entry: Mapping[str, Any],
    columns: tuple[str, ...] | None,
    document: Document,
    problems: list[Problem],
    *where: str | int,
    coefficient: float = 1.0,
) -> Part | None:
    given = {key: value for key, value in entry.items() if key != "name"}
    name = entry.get("name")
    if name is None:
        words = f"name one of {', '.join(sorted(METRICS))}; or file: metric.py, or combine: [...]"
        problems.append(document.problem("MISSING_KEY", words, *where))
        return None
    try:
        metric, given = find_metric(str(name), given)
    except ValueError as error:
        problems.append(document.problem("UNKNOWN_METRIC", str(error), *where))
        return None
    try:
        return read_part(metric, given, columns, coefficient=coefficient)
    except BadParameters as error:
        for parameter, words in error.faults:
            place = (*where, parameter) if parameter else where
            problems.append(document.problem("BAD_METRIC_PARAM", words, *place))
        return None


def _read_custom(
    folder: Path,
    given: Mapping[str, Any],
    greater_is_better: bool | None,
    form: SubmissionForm | None,
    document: Document,
    problems: list[Problem],
    *where: str | int,
) -> Task | None:
    """Return the task of private/metric.py, in Kaggle's form.

    The keys beside `file` are its parameters.
    """
    params = {key: value for key, value in given.items() if key not in ("file", "complete_submission")}
    complete = given.get("complete_submission", False)
    before = len(problems)
    if greater_is_better is None:
        words = "a metric of one's own must state greater_is_better: true or false"
        problems.append(document.problem("MISSING_KEY", words, *where))
    if not isinstance(complete, bool):
        problems.append(
            document.problem("WRONG_TYPE", "must be true or false", *where, "complete_submission")
        )
    if form is not None and isinstance(form.id, list) and len(form.id) > 1:
        problems.append(document.problem("BAD_VALUE", "a metric of one's own takes one id column", *where))
    missing = missing_file(folder, "private", str(given["file"]), document, *where, "file")
    problems.extend(missing)
    if missing:
        return None
    try:
        custom = CustomMetric.read(folder / "private" / str(given["file"]), params)
    except UnreadableMetric as error:
        file = f"private/{given['file']}"
        problems.extend(
            Problem(
                "BAD_METRIC_FILE",
                f"{file}, line {line}: {words}." if line else f"{file}: {words}.",
                line=line,
                file=file,
            )
            for words, line in error.faults
        )
        return None
    if form is None or len(problems) > before:
        return None
    return Task(
        tuple(form.columns),
        custom=custom,
        stated_direction=greater_is_better,
        ignore_unknown_ids=form.extra_ids == "ignore",
        parquet=form.parquet,
        complete=complete,
    )


def combined_faults(parts: Sequence[Part], stated_direction: bool | None) -> list[str]:
    """Return what is wrong with the combination of parts."""
    faults = []
    directions = {part.greater_is_better == (part.coefficient > 0) for part in parts}
    if len(directions) > 1:
        faults.append(
            "some of the combined metrics rise and others fall as predictions get better; turn one with "
            "transform: 1-x or a negative coefficient"
        )
    elif stated_direction is not None and stated_direction not in directions:
        faults.append(f"greater_is_better: {str(stated_direction).lower()} contradicts the combined metrics")
    cells: dict[str, Cells] = {}
    for part in parts:
        for name in part.columns:
            mine, other = part.predicted_cells, cells.setdefault(name, part.predicted_cells)
            if not (mine.within(other) or other.within(mine)):
                faults.append(f"column {name} cannot hold both {other.words} and {mine.words}")
    return faults
