"""How large a submission of a task may be."""

from __future__ import annotations

from scorer.challenges.task import Task
from scorer.reading.cells import NUMERIC_KINDS
from scorer.reading.ids import IdIndex
from scorer.reading.tables import MIN_UNPACKED_BYTES

_NUMBER_BYTES = 25
"""Any float64 as Python, R or pandas prints it: -2.2250738585072014e-308 has 24 characters."""

_LABEL_BYTES = 50
_TEXT_BYTES = 200
"""Of texts, lists, boxes and masks, which have no usual size."""

_MEGABYTE = 1_000_000


def ordinary_bytes(task: Task, ids: IdIndex) -> int:
    """Return the size of a file with all digits, where its cells are numbers.

    Other cells count only as separators.
    """
    return _size(task, ids, {})


def max_bytes(task: Task, ids: IdIndex, *, typical_bytes: int) -> int:
    """Return the default limit of an unpacked submission, in whole megabytes.

    Twice an ordinary file and 1 MB, at least MIN_UNPACKED_BYTES: how the sample spells its numbers, 0.1 or
    0.3333333333333333, does not matter. Where cells are no numbers or rows are not those of the solution,
    also 4 times the sample (`typical_bytes`) and 1 MB.
    """
    limit = 2 * _size(task, ids, {"label": _LABEL_BYTES, "list": _TEXT_BYTES, "text": _TEXT_BYTES})
    numbers = all(task.cells(name).kind in NUMERIC_KINDS for name in task.columns)
    if not numbers or task.ignore_unknown_ids:
        limit = max(limit, 4 * typical_bytes)
    megabytes = -(-(limit + _MEGABYTE) // _MEGABYTE)
    return max(MIN_UNPACKED_BYTES, megabytes * _MEGABYTE)


def train_file_max_bytes(stated_bytes: int, task: Task, ids: IdIndex, *, table_bytes: int) -> int:
    """Return the limit of an unpacked train file.

    Parameters
    ----------
    stated_bytes
        The limit of a submission.
    ids
        Those of public/train.csv.
    table_bytes
        The size of that file.
    """
    return max(stated_bytes, max_bytes(task, ids, typical_bytes=table_bytes), 4 * table_bytes + _MEGABYTE)


def _size(task: Task, ids: IdIndex, other_bytes: dict[str, int]) -> int:
    cells = [task.cells(name) for name in task.columns]
    widths = [_NUMBER_BYTES if cell.is_number else other_bytes.get(cell.kind, 0) for cell in cells]
    header = 100 + sum(len(name.encode()) + 3 for name in task.columns)
    quotes_and_line_end = 4
    return header + len(ids) * (ids.longest_bytes + quotes_and_line_end + sum(widths) + len(widths))
