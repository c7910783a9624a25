"""Describe what a file of predictions must look like, from public knowledge alone.

Clients check a file against it before they send it. It holds the definition's columns, the ids of the public
files, and the labels that are public knowledge (scorer/challenges/spellings.py); moving the truth between
rows does not change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.public_labels import public_labels
from scorer.challenges.solution import Solution
from scorer.challenges.spellings import declared_labels
from scorer.metrics.probability import row_sum_rule
from scorer.public_ids import TEST_FILE, public_ids
from scorer.reading.cells import LARGEST, Cells

MOST_LISTED = 200
"""Ids or labels that are listed one by one; more are in the public files."""


def describe_submission(challenge: Challenge) -> dict[str, Any]:
    """Return the form of a submission, ready for JSON.

    Returns
    -------
    dict
        `ids`: columns, form, rule, count, sha256 and values; `columns`: name, kind, bounds and labels of each
        prediction column; `rows`: rules over several columns; `metric`: name and kind of the ranking metric.
        The digest of the ids is the sha256 of the ids in ascending order of their code points, each followed
        by a line feed, in UTF-8; the parts of an id of several columns are joined by U+001F.
    """
    solution = challenge.solution
    labels = _labels(challenge)
    return {
        "ids": _ids(challenge),
        "columns": [
            {"name": name, **_cells(solution.task.cells(name)), "labels": labels.get(name)}
            for name in solution.task.columns
        ],
        "rows": list(_row_rules(solution)),
        "metric": {"name": solution.task.name, "kind": solution.task.kind},
    }


def _ids(challenge: Challenge) -> dict[str, Any]:
    """Return the rule of the ids, and the ids where a public file has exactly those that are needed."""
    solution = challenge.solution
    found: dict[str, Any] = {
        "columns": list(solution.id_columns),
        "form": "integer" if solution.ids.numeric else "text",
        "rule": "not_checked" if solution.task.complete else "exactly_once",
        "file": None,
        "count": None,
        "sha256": None,
        "values": None,
    }
    if solution.task.complete:
        return found
    if solution.task.ignore_unknown_ids:
        # Which of the public ids are needed is not public: the others are decoys.
        found["rule"] = "others_ignored"
    for file in (SAMPLE_FILE, TEST_FILE):
        ids = public_ids(challenge, file)
        if ids is None or not len(ids):
            continue
        rows = np.asarray(solution.ids.rows_of_texts(ids))
        if solution.task.ignore_unknown_ids or (len(ids) == len(solution.ids) and int(rows.min()) >= 0):
            texts: list[str] = sorted(ids.to_pylist())
            digest = hashlib.sha256("".join(f"{text}\n" for text in texts).encode()).hexdigest()
            found |= {"file": file.removeprefix("public/"), "count": len(texts), "sha256": digest}
            found["values"] = texts if len(texts) <= MOST_LISTED else None
            break
    return found


def _cells(cells: Cells) -> dict[str, Any]:
    is_list = cells.kind == "list" or cells.take is not None
    return {
        "kind": cells.kind,
        "holds": cells.words,
        "low": cells.low if cells.low > -LARGEST else None,
        "high": cells.high if cells.high < LARGEST else None,
        "may_be_empty": cells.may_be_empty,
        "separator": cells.split if is_list else None,
        "graded": cells.graded,
        "grammar": cells.grammar or None,
    }


def _labels(challenge: Challenge) -> dict[str, list[str]]:
    """Return the known labels by column, where public files and definition hold all of them."""
    solution = challenge.solution
    public = public_labels(challenge.folder, solution)
    found = {}
    for name, spelling in solution.spellings.items():
        if solution.task.cells(name).kind == "text":
            continue  # the labels are parts of its cells, or an own metric decides
        shown = declared_labels(solution, name) | (public[name].train if name in public else frozenset())
        if spelling.known is not None and spelling.known <= shown and len(spelling.known) <= MOST_LISTED:
            found[name] = list(spelling.listed)
    return found


def _row_rules(solution: Solution) -> Iterator[dict[str, Any]]:
    """Yield the rules over several cells of a row, each once."""
    seen: list[dict[str, Any]] = []
    for part in (part for task in solution.tasks for part in task.parts):
        rule, tolerance = "checked_by_server", None
        if part.metric.row_faults is None:
            continue
        if part.metric.kind == "probability":
            rule, tolerance = row_sum_rule(part.metric.name, part.parameters)
            if not rule or len(part.columns) == 1:
                continue
        found = {"rule": rule, "columns": list(part.columns), "tolerance": tolerance}
        if found not in seen:
            seen.append(found)
            yield found
