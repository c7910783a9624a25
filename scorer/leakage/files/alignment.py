"""Columns of files lined up with rows of the solution."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from scorer.leakage.files.hidden import COVERED, Hidden, file_stem, names_in, natural_order
from scorer.leakage.files.things import INSIDE, Column, Table
from scorer.leakage.frame import Codes, Rows
from scorer.leakage.statistics import standardised
from scorer.reading.columns import FloatArray
from scorer.wording import ID_JOINT

_LOOKED_AT = 20_000
"""Rows that are enough to test whether a column follows the labels."""


@dataclass(frozen=True, eq=False)
class Vector:
    """One column of a file lined up with the solution's rows."""

    file: str
    table: str
    name: str
    how: str
    rows: Rows
    """Of the solution, each once."""
    numbers: FloatArray | None
    """Shape of `rows`; nan where there is none."""
    codes: Codes
    by_id: bool = False
    counterpart: tuple[FloatArray | None, Codes] | None = field(default=None, repr=False)
    """The same column over train's rows, where the file has these too."""


@dataclass(frozen=True, eq=False)
class _Way:
    """A way to line a table up with the solution.

    The table's row `start + i` is the solution's row `rows[i]` (-1: none).
    """

    words: str
    rows: Rows
    start: int = 0
    key: str = ""
    """The column of ids, if it is by id."""

    def of(self, places: Rows) -> Rows:
        """Return the solution's rows of these rows of the table."""
        places = places - self.start
        inside = (places >= 0) & (places < len(self.rows))
        return np.where(inside, self.rows[np.where(inside, places, 0)], -1)


def vectors_of(table: Table, hidden: Hidden) -> Iterator[Vector]:
    """Yield every column that may follow a target when lined up."""
    columns = [*table.columns, *_together(table, hidden)]
    rng = np.random.default_rng(hidden.material.seed)
    by_id = [_Way(f"by id ({key})", rows, key=key) for key, rows in hidden.rows_by_id(table)]
    if not by_id and (same := hidden.rows_by_features(table)) is not None:
        yield from _by_features(table, hidden, *same, rng)
    fitting = [
        (name, order)
        for name, order in hidden.orders.items()
        if abs(len(order) - table.n_rows) <= max(1.0, 0.01 * len(order))
    ]
    ways = [*by_id, *_shifted(fitting, table.n_rows)]
    keys = {way.key for way in by_id}
    candidates = _candidates(columns, ways, hidden, rng) if ways else {}
    for number, way in enumerate(ways):
        if way.key:
            train = _train_rows(table, way.key, hidden)
            held, times = np.unique(way.rows[way.rows >= 0], return_counts=True)
            held = thinned(held, rng)
            # Rows that come several times are averaged, which the quick test did not do.
            chosen = range(len(columns)) if times.max() > 1 and len(columns) <= 200 else candidates[number]
            for column in (columns[i] for i in chosen):
                if column.name not in keys:
                    numbers, codes = _scattered(column, way.rows, hidden.n)
                    counterpart = None if train is None else _scattered(column, train, hidden.n_train)
                    yield Vector(
                        table.file,
                        table.path,
                        column.name,
                        way.words,
                        held,
                        None if numbers is None else numbers[held],
                        codes[held],
                        True,
                        counterpart,
                    )
            continue
        places = thinned(np.flatnonzero(way.rows >= 0), rng)
        for column in (columns[i] for i in candidates[number]):
            numbers = column.numbers
            if column.name in keys or (numbers is not None and column.is_counter):
                continue
            yield Vector(
                table.file,
                table.path,
                column.name,
                way.words,
                way.rows[places],
                None if numbers is None else numbers[places + way.start],
                column.codes[places + way.start],
            )


def _by_features(
    table: Table, hidden: Hidden, shared: set[str], rows: Rows, train: Rows | None, rng: np.random.Generator
) -> Iterator[Vector]:
    """Yield the other columns of a table with test's columns.

    Its rows are recognised by those, as in the original data.
    """
    held = thinned(np.unique(rows[rows >= 0]), rng)
    for column in table.columns:
        if column.name in shared:
            continue
        numbers, codes = _scattered(column, rows, hidden.n)
        counterpart = (
            None
            if train is None or not _is_feature(hidden, column.name)
            else _scattered(column, train, hidden.n_train)
        )
        yield Vector(
            table.file,
            table.path,
            column.name,
            "by the values of the columns it shares with the test table",
            held,
            None if numbers is None else numbers[held],
            codes[held],
            True,
            counterpart,
        )


def _is_feature(hidden: Hidden, name: str) -> bool:
    train = hidden.material.train
    return train is not None and name in train.frame


def _candidates(
    columns: Sequence[Column], ways: Sequence[_Way], hidden: Hidden, rng: np.random.Generator
) -> dict[int, list[int]]:
    """Return the columns worth a closer test, by way.

    Their ranks, or one of their few values, go with a target beyond 3.5 (by id) or 4 standard errors.

    One product of matrices for each way and block of columns: there may be thousands of columns and eighty
    ways.
    """
    places = thinned(np.arange(len(columns[0])), rng)
    targets = hidden.standard
    found: dict[int, set[int]] = {number: set() for number in range(len(ways))}
    rows = [way.of(places) for way in ways]
    n_known = [max(1, int((own >= 0).sum())) for own in rows]
    block: list[tuple[int, NDArray[np.float32]]] = []

    def judge_block() -> None:
        matrix = np.column_stack([feature for _, feature in block])
        owners = np.array([owner for owner, _ in block])
        for number, own in enumerate(rows):
            z = np.abs(targets[own].T @ matrix).max(axis=0) / math.sqrt(n_known[number])
            found[number].update(owners[z > (3.5 if ways[number].key else 4.0)].tolist())
        block.clear()

    for i, column in enumerate(columns):
        features = list(_features(column, places, few=len(columns) <= 2000))
        if not features and not isinstance(column.values, np.ndarray) and column.numbers is None:
            for own in found.values():  # texts of many values need the closer test
                own.add(i)
        block += [(i, feature) for feature in features]
        if len(block) >= 512:
            judge_block()
    if block:
        judge_block()
    return {number: sorted(own) for number, own in found.items()}


def _features(column: Column, places: Rows, *, few: bool) -> Iterator[NDArray[np.float32]]:
    """Yield a column as numbers of mean 0 and variance 1.

    0 where missing: its ranks, and each of its values if few.
    """
    numbers = column.numbers
    if numbers is not None:
        held = numbers[places]
        known = ~np.isnan(held)
        if known.sum() >= 8:
            ranks = np.zeros(len(places))
            ranks[known] = stats.rankdata(held[known]) if few else held[known]
            yield from standardised(ranks, known)
    if few:
        codes = column.codes[places]
        values, counts = np.unique(codes[codes >= 0], return_counts=True)
        if 1 < len(values) <= 30:
            for value in values[counts >= 3]:
                yield from standardised((codes == value).astype(np.float64), codes >= 0)


def thinned(places: Rows, rng: np.random.Generator) -> Rows:
    return places if len(places) <= _LOOKED_AT else np.sort(rng.choice(places, _LOOKED_AT, replace=False))


def _shifted(fitting: Sequence[tuple[str, Rows]], n_rows: int) -> Iterator[_Way]:
    """Yield alignments from the start, from the end, one row off."""
    for name, order in fitting:
        n = min(n_rows, len(order))
        yield _Way(name, order[:n])
        if n_rows != len(order):
            yield _Way(f"{name}, from the end", order[len(order) - n :], n_rows - n)
        if n > 20:
            yield _Way(f"{name}, one row on", order[: n - 1], 1)
            yield _Way(f"{name}, one row back", order[1:n])


def _together(table: Table, hidden: Hidden) -> Iterator[Column]:
    """Yield the class that flags or probabilities name together."""
    classes = len(hidden.targets[0].classes)
    numeric = (
        [numbers for column in table.columns if (numbers := column.numbers) is not None]
        if len(table.columns) <= classes + 2
        else []
    )
    if 2 < classes == len(numeric) and table.n_rows > 1:
        matrix = np.column_stack([np.nan_to_num(numbers) for numbers in numeric])
        yield Column("the largest of each row", matrix.argmax(axis=1).astype(np.float64))


def _train_rows(table: Table, key: str, hidden: Hidden) -> Rows | None:
    """Return train's row of each row, if most are there."""
    if not hidden.train_rows:
        return None
    names = hidden.material.challenge.solution.id_columns
    by_name = {column.name: column for column in table.columns}
    keys = (
        [ID_JOINT.join(parts) for parts in zip(*(by_name[name].texts for name in names), strict=True)]
        if len(names) > 1
        else [file_stem(text) for text in by_name[key].texts]
    )
    rows = np.array([hidden.train_rows.get(text, -1) for text in keys], dtype=np.int64)
    return rows if len(np.unique(rows[rows >= 0])) >= 0.5 * hidden.n_train else None


def _scattered(column: Column, rows: Rows, n: int) -> tuple[FloatArray | None, Codes]:
    """Return a column by the rows it belongs to.

    The mean where a row comes several times; of what is no number, the first.
    """
    inside = rows >= 0
    codes = np.full(n, -1, dtype=np.int64)
    codes[rows[inside][::-1]] = column.codes[inside][::-1]
    numbers = column.numbers
    if numbers is None:
        return None, codes
    known = inside & ~np.isnan(numbers)
    counts = np.bincount(rows[known], minlength=n)
    sums = np.bincount(rows[known], weights=numbers[known], minlength=n)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    if counts.max(initial=0) > 1:
        _, dense = np.unique(np.nan_to_num(means), return_inverse=True)
        codes = np.where(counts > 0, dense, -1)
    return means, codes


def form_of(path: str) -> str:
    """Return a path without numbers and names."""
    head, _, sub = path.partition(": ")
    pure = PurePosixPath(head.replace(INSIDE, "/"))
    top = TRAIN_OR_TEST.sub("*", "/".join(pure.parts[:1]))
    return f"{top}|{pure.suffix.lower()}|{re.sub(r'[0-9]+', '#', sub)}"


TRAIN_OR_TEST = re.compile(
    r"(?i)(?<![a-z])(train(ing)?|test(ing)?|valid(ation)?|val|hidden|eval|public|private)(?![a-z])"
)


def joined_tables(parts: Mapping[str, Sequence[Table]], hidden: Hidden) -> list[Table]:
    """Return tables made of many files.

    One row for each file named by an id, and files of one form one after the other.
    """
    found: list[Table] = []
    for form, tables in parts.items():
        if len(tables) < 2:
            continue
        words = f"{len(tables):,} files like {tables[0].file}"
        sub = form.rpartition("|")[2]
        rows: dict[str, dict[str, str]] = {}
        for table in tables:
            path = PurePosixPath(table.file.rpartition(INSIDE)[2])
            known = next(
                (n for n in names_in(path) if hidden.row_of(n) is not None or n in hidden.train_rows), None
            )
            if known is not None:
                row = rows.setdefault(known, {})
                for column in table.columns[:200]:
                    row.setdefault(column.name, _summary(column))
        if len(rows) >= max(8, COVERED * hidden.n):
            names = dict.fromkeys(name for row in list(rows.values())[:1000] for name in row)
            columns = [Column("file", list(rows))]
            columns += [
                Column(f"{sub} {name}".strip(), [row.get(name, "") for row in rows.values()])
                for name in names
            ]
            found.append(Table(words, columns))
        by_columns: dict[tuple[str, ...], list[Table]] = defaultdict(list)
        for table in tables:
            if table.n_rows > 1:
                by_columns[tuple(column.name for column in table.columns)].append(table)
        for names_of, alike in by_columns.items():
            tests = [t for t in alike if not re.search(r"(?i)(?<![a-z])train", t.file)]
            for group in [tests, alike] if len(tests) < len(alike) else [alike]:
                total = sum(table.n_rows for table in group)
                if len(group) > 1 and hidden.may_fit(total) and total <= 2 * (hidden.n + hidden.n_train):
                    group = sorted(group, key=lambda t: natural_order(t.file))
                    columns = [
                        Column(name, [text for table in group for text in table.columns[i].texts])
                        for i, name in enumerate(names_of[:200])
                    ]
                    found.append(Table(f"{words}{': ' + sub if sub else ''}", columns))
    return found


def _summary(column: Column) -> str:
    if len(column) == 1:
        return column.texts[0]
    numbers = column.numbers
    if numbers is not None and not np.isnan(numbers).all():
        return repr(float(np.nanmean(numbers)))
    return column.texts[0]
