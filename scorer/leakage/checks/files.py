"""Do the files that are handed out say more than they should: by what they hold, or by how they lie there?

Everything published is walked, archives included, and every column of fitting length is held against
the hidden labels: by id, and in every order in which somebody might try it. Ordinary features of the
train and test tables are other checks' matter; a column that train has too is an ordinary feature as
long as it is about as strong there.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from scorer.challenges.definition import SAMPLE_FILE
from scorer.challenges.folder import challenge_files
from scorer.challenges.solution import PRIVATE, PUBLIC
from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, Severity, check
from scorer.leakage.files.walk import INSIDE, MEDIA, Blob, Column, Entry, Table, Unread, walk
from scorer.leakage.material import Codes, Material, Rows, Target
from scorer.leakage.statistics import NONE, Strength, association, association_of_codes, corrected
from scorer.reading.columns import FloatArray
from scorer.wording import ID_JOINT

_LIKE_LABELS = 0.985
"""AUC, or agreement beyond the commonest class on the same scale: as good as the labels."""
_STRONG = 0.75
"""AUC from which a column that only test rows have blocks."""
_LOOKED_AT = 20_000
"""Rows that are enough to tell whether a column follows the labels."""
_LOOKED_UP = 300_000
"""Rows of a table without ids that are looked up by their values."""
_KEYS = 64
"""Columns that make such a row's key."""
_COVERED = 0.1
"""Of the scored rows: share that a file must hold to be held against them; the public side may be as small."""
_WAYS = 40
"""In which a column is lined up with the labels, about: what p values are corrected for."""
_SEARCHED_BYTES = 200_000_000
_NEEDLE_BITS = 64.0
"""What a sequence of labels must tell before finding it by its bytes means anything."""
_LESS = "Take it out of public/ and publish again; if it was public before, draw new test rows. If it is the output of a baseline or is meant to be known, say so in the override's reason."


@check("labels_in_public_file", scope="files", needs=("public_files",), cost="files x n log n", blocks=True)
def labels_in_public_file(material: Material) -> Iterator[Found]:
    """Hidden labels inside a published file, also in archives, databases and arrays.

    effect: AUC of the column for the hidden labels (of classes: agreement beyond the commonest, on the same scale).
    """
    names = published(material)
    judged = _judged_elsewhere(material)
    hidden = _Hidden.of(material)
    unread: list[Unread] = []
    best: dict[str, Found] = {}
    tables: list[Table] = []
    parts: dict[str, list[Table]] = defaultdict(list)
    searched = 0
    for thing in walk(material.public_folder, names, skip=judged):
        if isinstance(thing, Unread):
            unread.append(thing)
        elif isinstance(thing, Blob) and hidden is not None:
            searched += len(thing.data)
            if searched <= _SEARCHED_BYTES:
                _keep(best, thing.path, _found_bytes(thing, hidden))
            else:
                unread.append(
                    Unread(
                        thing.path,
                        "was not searched for labels by its bytes, as there was too much before it",
                    )
                )
        elif isinstance(thing, Table) and hidden is not None and thing.n_rows:
            if hidden.may_fit(thing.n_rows):
                tables.append(thing)
            if thing.n_rows <= max(1, hidden.n // 2):
                parts[_form(thing.path)].append(thing)
    if hidden is not None:
        description = material.challenge.description
        if description:
            _keep(best, "description.md", _found_bytes(Blob("description.md", description.encode()), hidden))
        tables += _joined(parts, hidden)
        counterparts = _Counterparts(tables, hidden, material)
        n_columns = sum(len(table.columns) for table in tables) * len(hidden.targets)
        for table in tables:
            for vector in _vectors(table, hidden):
                _keep(
                    best,
                    vector.file,
                    _judge(vector, hidden, counterparts, n_columns * (1 if vector.by_id else _WAYS)),
                )
        yield from best.values()
    elif names:
        yield Found(
            "The hidden target is not a simple column, or its ids are not simple, so the published files could only be listed, not compared with it.",
            "Look through them yourself.",
            severity="info",
        )
    yield from _unread(unread)
    yield from _not_published(material, names)


@check("file_metadata", scope="files", needs=("public_files", "hidden"), cost="files", blocks=True)
def file_metadata(material: Material) -> Iterator[Found]:
    """Names, dates, sizes and the order of files that go with the target, where every row has its file.

    effect: AUC for the hidden labels.
    """
    hidden = _Hidden.of(material)
    if hidden is None:
        return
    places: dict[str, list[tuple[Entry, int]]] = defaultdict(list)
    for thing in walk(
        material.public_folder, published(material), skip=_judged_elsewhere(material), contents=False
    ):
        if isinstance(thing, Entry):
            row = hidden.row_of_path(thing.inner)
            if row is not None:
                places[thing.archive].append((thing, row))
    for archive, entries in places.items():
        rows = np.array([row for _, row in entries], dtype=np.int64)
        if len(np.unique(rows)) >= max(20, _COVERED * hidden.n):
            yield from _metadata(archive, [entry for entry, _ in entries], rows, hidden)


def published(material: Material) -> list[str]:
    """Files of public/ that participants get, relative to it."""
    files = challenge_files(material.challenge.folder)
    return [name.removeprefix("public/") for name in files if name.startswith("public/")]


def _judged_elsewhere(material: Material) -> frozenset[str]:
    """The tables whose columns other checks judge."""
    files = [side.file for side in material.sides] + ([SAMPLE_FILE] if material.sample is not None else [])
    return frozenset(name.removeprefix("public/") for name in files)


# --- what is hidden, and the ways to line something up with it --------------------------------------


@dataclass(frozen=True, eq=False)
class _Hidden:
    """The hidden targets in the solution's order, and the orders in which its rows may stand in a file."""

    material: Material

    @classmethod
    def of(cls, material: Material) -> _Hidden | None:
        return cls(material) if material.hidden_targets else None

    @property
    def targets(self) -> tuple[Target, ...]:
        return self.material.hidden_targets

    @cached_property
    def orders(self) -> dict[str, Rows]:
        """By a name in words: rows of the solution, -1 for a row of train."""
        solution, listed = self.material.challenge.solution, self.material.listed
        bases: dict[str, Rows] = {}
        if listed is not None and len(listed.ids) == len(solution.id_columns):
            texts = [column.to_pylist() for column in listed.ids]
            found = [self.row_of(ID_JOINT.join(key)) for key in zip(*texts, strict=True)]
            name = PurePosixPath(listed.file).name
            bases[f"in the order of {name}"] = _rows(found)
        bases["in the order of the solution"] = np.arange(self.n, dtype=np.int64)
        ids = list(solution.ids)
        bases["sorted by id"] = np.array(
            sorted(range(self.n), key=lambda row: _natural(ids[row])), dtype=np.int64
        )
        bases["sorted by id as text"] = np.array(sorted(range(self.n), key=ids.__getitem__), dtype=np.int64)
        bases = _distinct(bases)
        more: dict[str, Rows] = {}
        for name, rows in bases.items():
            more[f"{name}, reversed"] = rows[::-1]
            usage = np.where(rows >= 0, solution.usage[np.maximum(rows, 0)], 0)
            more[f"public rows {name}"] = rows[usage == PUBLIC]
            more[f"private rows {name}"] = rows[usage == PRIVATE]
            more[f"scored rows {name}"] = rows[usage > 0]
        if self.n_train:
            gap = np.full(self.n_train, -1, dtype=np.int64)
            for name, rows in bases.items():
                more[f"after train's rows, {name}"] = np.concatenate([gap, rows])
                more[f"before train's rows, {name}"] = np.concatenate([rows, gap])
        return _distinct({**bases, **more})

    @cached_property
    def train_rows(self) -> dict[str, int]:
        """Rows of train by id."""
        train = self.material.train
        if train is None or not train.ids:
            return {}
        keys = zip(*(column.to_pylist() for column in train.ids), strict=True)
        return {ID_JOINT.join(key): row for row, key in enumerate(keys)}

    @property
    def n(self) -> int:
        return len(self.targets[0])

    @property
    def n_train(self) -> int:
        return 0 if self.material.train is None else len(self.material.train)

    @cached_property
    def standard(self) -> NDArray[np.float32]:
        """Ranks of numbers and each class's rows, of mean 0 and variance 1; a last row of zeros, for row -1."""
        found: list[NDArray[np.float32]] = []
        for target in self.targets:
            known = target.known
            if target.kind == "number" and known.any():
                ranks = np.zeros(len(target))
                ranks[known] = stats.rankdata(target.values[known])
                found += _standard(ranks, known)
            elif known.any():
                for _, of_class in list(target.hot)[:50]:
                    found += _standard(of_class.astype(np.float64), known)
        if not found:
            found = [np.zeros(self.n, dtype=np.float32)]
        return np.vstack([np.column_stack(found), np.zeros((1, len(found)), dtype=np.float32)])

    def may_fit(self, n_rows: int) -> bool:
        """Whether a table of so many rows can hold labels of enough test rows, or is train's counterpart."""
        return n_rows >= max(8, _COVERED * int(self.targets[0].known.sum()))

    @cached_property
    def row_of(self) -> Callable[[str], int | None]:
        """The solution's row of an id."""
        return self.material.challenge.solution.ids.finder()

    @cached_property
    def needles(self) -> list[tuple[bytes, str]]:
        return list(_needles(self))

    def row_of_path(self, path: PurePosixPath) -> int | None:
        """The test row a file belongs to, by its name or that of a folder above."""
        for text in _names_in(path):
            row = self.row_of(text)
            if row is not None:
                return row
        return None

    def train_row_of_path(self, path: PurePosixPath) -> int | None:
        return next((self.train_rows[text] for text in _names_in(path) if text in self.train_rows), None)

    def rows_by_id(self, table: Table) -> list[tuple[str, Rows]]:
        """For each column (or the columns together) that holds ids: of each row the solution's, else -1."""
        solution = self.material.challenge.solution
        if len(solution.id_columns) > 1:
            by_name = {column.name: column for column in table.columns}
            if not all(name in by_name for name in solution.id_columns):
                return []
            keys = zip(*(by_name[name].texts for name in solution.id_columns), strict=True)
            rows = [self.row_of(ID_JOINT.join(key)) for key in keys]
            found = _rows(rows)
            return [("+".join(solution.id_columns), found)] if self._covers(found) else []
        holding = []
        for column in table.columns[:200]:
            if not self._may_hold_ids(column):
                continue
            rows = [self.row_of(_file_stem(text)) for text in column.texts]
            found = _rows(rows)
            if self._covers(found):
                holding.append((column.name, found))
        holding.sort(key=lambda one: -len(np.unique(one[1])))
        return holding[:2]

    def rows_by_features(self, table: Table) -> tuple[set[str], Rows, Rows | None] | None:
        """Of a table without ids that has at least half of the test table's columns: their names, of each row the
        solution's row with the same values, and train's. None if it does not find the scored rows."""
        test = self.material.test
        if test is None or not test.targets or table.n_rows > _LOOKED_UP:
            return None
        by_name = {column.name: column for column in table.columns}
        names = [name for name in test.frame.names if name in by_name][:_KEYS]
        if len(names) < max(2, 0.5 * min(len(test.frame.names), _KEYS)):
            return None
        keys = _row_keys([by_name[name].texts for name in names])
        places = self._places_of_test
        found = _only_once(_row_keys([test.frame.texts(name).to_pylist() for name in names]))
        rows = np.array([places[found[key]] if key in found else -1 for key in keys], dtype=np.int64)
        if not self._covers(rows):
            return None
        train = self.material.train
        own = None
        if train is not None and all(name in train.frame for name in names):
            known = _only_once(_row_keys([train.frame.texts(name).to_pylist() for name in names]))
            own = np.array([known.get(key, -1) for key in keys], dtype=np.int64)
            own = own if len(np.unique(own[own >= 0])) >= 0.5 * self.n_train else None
        return set(names), rows, own

    @cached_property
    def _places_of_test(self) -> Rows:
        test = self.material.test
        assert test is not None
        keys = zip(*(column.to_pylist() for column in test.ids), strict=True)
        return _rows(self.row_of(ID_JOINT.join(key)) for key in keys)

    def _may_hold_ids(self, column: Column) -> bool:
        """A quick look at some rows from all over it, and at its two ends, where a short list may be hidden."""
        n = len(column)
        places = np.unique(
            np.concatenate(
                [np.arange(0, n, max(1, n // 300)), np.arange(min(n, 50)), np.arange(max(0, n - 50), n)]
            )
        )
        values = column.values
        some = (
            values.take(pa.array(places))
            if isinstance(values, pa.Array)
            else values[places]
            if isinstance(values, np.ndarray)
            else [values[place] for place in places]
        )
        hits = sum(self.row_of(_file_stem(text)) is not None for text in Column("", some).texts)
        return hits >= max(1, min(0.05 * len(places), 8))

    def _covers(self, rows: Rows) -> bool:
        known = self.targets[0].known
        covered = np.zeros(self.n, dtype=np.bool_)
        covered[rows[rows >= 0]] = True
        return int((covered & known).sum()) >= max(8, _COVERED * int(known.sum()))


def _row_keys(columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows by their values, however numbers are written."""
    return list(zip(*([_plain_value(text) for text in column] for column in columns), strict=True))


def _plain_value(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text.strip().casefold()


def _only_once(keys: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Where each key stands; those that stand at several places could be any of them."""
    places: dict[tuple[str, ...], int] = {}
    several = set()
    for place, key in enumerate(keys):
        if places.setdefault(key, place) != place:
            several.add(key)
    return {key: place for key, place in places.items() if key not in several}


def _rows(found: Iterable[int | None]) -> Rows:
    return np.array([-1 if row is None else row for row in found], dtype=np.int64)


def _file_stem(text: str) -> str:
    """An id, also where it is written as the file that holds the row, or as a float."""
    head, _, tail = text.strip().rpartition(".")
    if head and f".{tail.lower()}" in MEDIA:
        return head.rpartition("/")[2]
    return head if head and tail == "0" else text.strip()


def _names_in(path: PurePosixPath) -> list[str]:
    stem = path.name.split(".")[0]
    pieces = [piece for piece in re.split(r"[_\-. ]", stem) if piece]
    folders = list(path.parts[-2::-1])
    return list(
        dict.fromkeys(
            [path.stem, stem, path.name, *pieces[:1], *pieces[-1:], *(f for f in folders if len(f) > 1)]
        )
    )


def _natural(text: str) -> tuple[Any, ...]:
    return tuple(
        (0, int(piece), "") if piece.isdigit() and piece.isascii() else (1, 0, piece)
        for piece in re.split(r"(\d+)", text)
        if piece
    )


def _distinct(orders: Mapping[str, Rows]) -> dict[str, Rows]:
    found: dict[bytes, tuple[str, Rows]] = {}
    for name, rows in orders.items():
        if len(rows):
            found.setdefault(rows.tobytes(), (name, rows))
    return dict(found.values())


# --- vectors --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Vector:
    """One column of a file lined up with rows of the solution, at most `_LOOKED_AT` of them."""

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
    """To line a table up with the solution: its row `start + i` is the solution's row `rows[i]` (-1: none)."""

    words: str
    rows: Rows
    start: int = 0
    key: str = ""
    """The column of ids, if it is by id."""

    def of(self, places: Rows) -> Rows:
        """The solution's rows of these rows of the table."""
        places = places - self.start
        inside = (places >= 0) & (places < len(self.rows))
        return np.where(inside, self.rows[np.where(inside, places, 0)], -1)


def _vectors(table: Table, hidden: _Hidden) -> Iterator[_Vector]:
    """Every column that may follow a target in some way of lining it up; a quick look leaves out most."""
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
    worthy = _worthy(columns, ways, hidden, rng) if ways else {}
    for number, way in enumerate(ways):
        if way.key:
            train = _train_rows(table, way.key, hidden)
            held, times = np.unique(way.rows[way.rows >= 0], return_counts=True)
            held = _thinned(held, rng)
            # Of rows that come several times means are taken, which the quick look did not see.
            chosen = range(len(columns)) if times.max() > 1 and len(columns) <= 200 else worthy[number]
            for column in (columns[i] for i in chosen):
                if column.name not in keys:
                    numbers, codes = _scattered(column, way.rows, hidden.n)
                    counterpart = None if train is None else _scattered(column, train, hidden.n_train)
                    yield _Vector(
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
        places = _thinned(np.flatnonzero(way.rows >= 0), rng)
        for column in (columns[i] for i in worthy[number]):
            numbers = column.numbers
            if column.name in keys or (numbers is not None and column.is_counter):
                continue
            yield _Vector(
                table.file,
                table.path,
                column.name,
                way.words,
                way.rows[places],
                None if numbers is None else numbers[places + way.start],
                column.codes[places + way.start],
            )


def _by_features(
    table: Table, hidden: _Hidden, shared: set[str], rows: Rows, train: Rows | None, rng: np.random.Generator
) -> Iterator[_Vector]:
    """The other columns of a table whose rows are known by the columns that test has too: the original data, say."""
    held = _thinned(np.unique(rows[rows >= 0]), rng)
    for column in table.columns:
        if column.name in shared:
            continue
        numbers, codes = _scattered(column, rows, hidden.n)
        counterpart = (
            None
            if train is None or not _is_feature(hidden, column.name)
            else _scattered(column, train, hidden.n_train)
        )
        yield _Vector(
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


def _is_feature(hidden: _Hidden, name: str) -> bool:
    train = hidden.material.train
    return train is not None and name in train.frame


def _worthy(
    columns: Sequence[Column], ways: Sequence[_Way], hidden: _Hidden, rng: np.random.Generator
) -> dict[int, list[int]]:
    """By way: columns whose ranks, or one of whose few values, go with a target beyond 3.5 (by id) or 4 standard errors.

    One product of matrices for each way and block of columns: there may be thousands of columns and eighty ways.
    """
    places = _thinned(np.arange(len(columns[0])), rng)
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
            for own in found.values():  # texts of many values: only a closer look can tell
                own.add(i)
        block += [(i, feature) for feature in features]
        if len(block) >= 512:
            judge_block()
    if block:
        judge_block()
    return {number: sorted(own) for number, own in found.items()}


def _features(column: Column, places: Rows, *, few: bool) -> Iterator[NDArray[np.float32]]:
    """A column as numbers of mean 0 and variance 1, 0 where missing: its ranks, and each of its values if few."""
    numbers = column.numbers
    if numbers is not None:
        held = numbers[places]
        known = ~np.isnan(held)
        if known.sum() >= 8:
            ranks = np.zeros(len(places))
            ranks[known] = stats.rankdata(held[known]) if few else held[known]
            yield from _standard(ranks, known)
    if few:
        codes = column.codes[places]
        values, counts = np.unique(codes[codes >= 0], return_counts=True)
        if 1 < len(values) <= 30:
            for value in values[counts >= 3]:
                yield from _standard((codes == value).astype(np.float64), codes >= 0)


def _standard(values: FloatArray, known: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    mean, spread = values[known].mean(), values[known].std()
    if spread > 0:
        # Missing ones add nothing to a product, so the others count for more.
        scaled = np.where(known, (values - mean) / spread, 0.0) / math.sqrt(known.mean())
        yield scaled.astype(np.float32)


def _thinned(places: Rows, rng: np.random.Generator) -> Rows:
    return places if len(places) <= _LOOKED_AT else np.sort(rng.choice(places, _LOOKED_AT, replace=False))


def _shifted(fitting: Sequence[tuple[str, Rows]], n_rows: int) -> Iterator[_Way]:
    """From the start, from the end, and one row off."""
    for name, order in fitting:
        n = min(n_rows, len(order))
        yield _Way(name, order[:n])
        if n_rows != len(order):
            yield _Way(f"{name}, from the end", order[len(order) - n :], n_rows - n)
        if n > 20:
            yield _Way(f"{name}, one row on", order[: n - 1], 1)
            yield _Way(f"{name}, one row back", order[1:n])


def _together(table: Table, hidden: _Hidden) -> Iterator[Column]:
    """What flags or probabilities of the classes say together, if the columns may be these."""
    classes = len(hidden.targets[0].classes)
    numeric = (
        [numbers for column in table.columns if (numbers := column.numbers) is not None]
        if len(table.columns) <= classes + 2
        else []
    )
    if 2 < classes == len(numeric) and table.n_rows > 1:
        matrix = np.column_stack([np.nan_to_num(numbers) for numbers in numeric])
        yield Column("the largest of each row", matrix.argmax(axis=1).astype(np.float64))


def _train_rows(table: Table, key: str, hidden: _Hidden) -> Rows | None:
    """Of each row of a table the row of train with its id; None if it does not hold half of train."""
    if not hidden.train_rows:
        return None
    names = hidden.material.challenge.solution.id_columns
    by_name = {column.name: column for column in table.columns}
    keys = (
        [ID_JOINT.join(parts) for parts in zip(*(by_name[name].texts for name in names), strict=True)]
        if len(names) > 1
        else [_file_stem(text) for text in by_name[key].texts]
    )
    rows = np.array([hidden.train_rows.get(text, -1) for text in keys], dtype=np.int64)
    return rows if len(np.unique(rows[rows >= 0])) >= 0.5 * hidden.n_train else None


def _scattered(column: Column, rows: Rows, n: int) -> tuple[FloatArray | None, Codes]:
    """A column by the rows it belongs to: the mean where a row comes several times, the first of what is no number."""
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


def _form(path: str) -> str:
    """A path without what numbers or names it: files of one form belong together."""
    head, _, sub = path.partition(": ")
    pure = PurePosixPath(head.replace(INSIDE, "/"))
    return f"{_TRAIN_OR_TEST.sub('*', '/'.join(pure.parts[:1]))}|{pure.suffix.lower()}|{re.sub(r'[0-9]+', '#', sub)}"


_TRAIN_OR_TEST = re.compile(
    r"(?i)(?<![a-z])(train(ing)?|test(ing)?|valid(ation)?|val|hidden|eval|public|private)(?![a-z])"
)


def _joined(parts: Mapping[str, Sequence[Table]], hidden: _Hidden) -> list[Table]:
    """Tables made of many files: one row for each file named by an id, and files of one form one after the other."""
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
                (n for n in _names_in(path) if hidden.row_of(n) is not None or n in hidden.train_rows), None
            )
            if known is not None:
                row = rows.setdefault(known, {})
                for column in table.columns[:200]:
                    row.setdefault(column.name, _summary(column))
        if len(rows) >= max(8, _COVERED * hidden.n):
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
                    group = sorted(group, key=lambda t: _natural(t.file))
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


# --- judging --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Effect:
    auc: float
    log10p: float
    alike: float
    """As `auc`, and of classes by agreement: how nearly the labels can be read off."""
    words: str


_NOTHING = _Effect(0.5, 0.0, 0.5, "")


def _effect(numbers: FloatArray | None, codes: Codes, target: Target, seed: int) -> _Effect:
    """How strongly a column follows a target, whether by its order or by its values."""
    rows = np.flatnonzero(target.known & (codes >= 0))
    if len(rows) < 8:
        return _NOTHING
    rows = _thinned(rows, np.random.default_rng(seed))
    own, codes = target.take(rows), codes[rows]
    by_order = NONE if numbers is None else association(numbers[rows], own)
    distinct = len(np.unique(codes))
    by_value = NONE
    few = distinct <= max(30, 2 * len(target.classes)) and distinct <= len(rows) / 3
    if few and target.kind != "number":
        by_value = association_of_codes(_pooled(codes, own), own)
    log10p = corrected(min(by_order.log10p, by_value.log10p), 2)
    auc = max(by_order.auc, by_value.auc if by_value.log10p < -3 else 0.5)
    if target.kind == "number":
        if numbers is None and _is_renamed(codes, own.values):
            return _Effect(1.0, -300.0, 1.0, "each of its values stands for one value of the hidden target")
        return _Effect(auc, log10p, auc, f"its rank correlation with the hidden target is {2 * auc - 1:.3f}")
    groups = codes if few else None
    if groups is None and numbers is not None:
        edges = np.unique(np.nanquantile(numbers[rows], np.linspace(0, 1, 17)[1:-1]))
        groups = np.searchsorted(edges, numbers[rows])
    if groups is None:
        return _Effect(auc, log10p, auc if target.kind == "binary" else 0.5, f"AUC {auc:.3f}")
    share, commonest = _agreement(groups, own.values)
    # Of few rows the count that is right says more than ranks do.
    right = float(stats.binom.logsf(round(share * len(rows)) - 1, len(rows), commonest)) / math.log(10)
    log10p = corrected(min(log10p, right), 2)
    agreement = 0.5 + max(0.0, share - commonest) / (1 - commonest) / 2 if commonest < 1 else 0.5
    words = f"AUC {auc:.3f}; the class can be read off it for {share:.1%} of {len(rows):,} rows, where the commonest class has {commonest:.1%}"
    if target.kind == "binary":
        return _Effect(max(auc, agreement), log10p, max(auc, agreement), words)
    return _Effect(max(auc, agreement), log10p, agreement, words)


def _pooled(codes: Codes, target: Target) -> Codes:
    """Rare values as one: over a handful of rows chi-squared is no p value."""
    _, counts = np.unique(target.values, return_counts=True)
    least = min(len(codes) / 4, max(10.0, 5 * len(codes) / counts.min()))
    _, dense, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    rare = sizes < least
    if sizes[rare].sum() < least:
        rare[sizes.argmax()] = True  # too few even together
    return np.where(rare[dense], len(sizes), dense)


def _is_renamed(codes: Codes, values: FloatArray) -> bool:
    """Whether equal target values have equal codes and different ones different codes, in ten cases or more."""
    n_pairs = len(set(zip(codes.tolist(), values.tolist(), strict=True)))
    return n_pairs == len(np.unique(codes)) == len(np.unique(values)) <= len(codes) - 10


def _agreement(groups: Codes, values: FloatArray) -> tuple[float, float]:
    """Share of rows whose class is the commonest among the other rows of their group; and among all rows."""
    classes, y = np.unique(values, return_inverse=True)
    _, g = np.unique(groups, return_inverse=True)
    counts = np.zeros((g.max() + 1, len(classes)))
    np.add.at(counts, (g, y), 1)
    others = counts[g]
    others[np.arange(len(y)), y] -= 1
    right = (others.argmax(axis=1) == y) & (others.max(axis=1) > 0)
    return float(right.mean()), float(np.bincount(y).max() / len(y))


class _Counterparts:
    """What train has of the same name, so that an ordinary feature is known for one."""

    def __init__(self, tables: Sequence[Table], hidden: _Hidden, material: Material) -> None:
        self._hidden, self._train = hidden, material.train
        self._columns: dict[tuple[str, str], Column] = {}
        self._test = material.test
        self._places: Rows | None = None
        """Of each row of the solution the row of test; -1 where there is none."""
        if material.test is not None and material.test.targets:
            find = material.challenge.solution.ids.finder()
            keys = zip(*(column.to_pylist() for column in material.test.ids), strict=True)
            self._places = np.full(hidden.n, -1, dtype=np.int64)
            for row, key in enumerate(keys):
                place = find(ID_JOINT.join(key))
                if place is not None:
                    self._places[place] = row
        for table in tables:
            if table.n_rows == hidden.n_train != 0 and not (
                table.n_rows == hidden.n and re.search(r"(?i)(?<![a-z])test", table.path)
            ):
                for column in table.columns:
                    self._columns.setdefault((_neutral(table.path), _neutral(column.name)), column)
                    self._columns.setdefault(("", column.name), column)

    def effect(self, vector: _Vector, number: int, seed: int) -> _Effect | None:
        """Of the same column in train on train's target; None if train has no such column."""
        train = self._train
        if train is None or number >= len(train.targets):
            return None
        target = train.targets[number]
        if vector.counterpart is not None:
            return _effect(*vector.counterpart, target, seed)
        if vector.name in train.frame:
            feature = train.frame.feature(vector.name)
            return _effect(feature.numbers if feature.is_numeric else None, feature.codes, target, seed)
        column = self._columns.get((_neutral(vector.table), _neutral(vector.name)))
        if column is None and not re.fullmatch(r"\[?\d+\]?|values|value|text|row \d+", vector.name):
            column = self._columns.get(("", vector.name))
        if column is None or len(column) != len(train):
            return None
        return _effect(column.numbers, column.codes, target, seed)

    @cached_property
    def _ranked(self) -> set[bytes]:
        """The ranks of every numeric column of test, in the solution's order."""
        if self._test is None or self._places is None or (self._places < 0).any():
            return set()
        features = [self._test.frame.feature(name) for name in self._test.frame.names]
        return {_ranks(f.numbers[self._places]) for f in features if f.is_numeric}

    def is_plainly_feature(self, vector: _Vector) -> bool:
        """`is_feature`, as far as it is quick: a rising or falling function of a numeric column of test."""
        if vector.numbers is None or len(vector.rows) != self._hidden.n or len(self._ranked) == 0:
            return False
        numbers = vector.numbers[np.argsort(vector.rows)]
        return _ranks(numbers) in self._ranked or _ranks(-numbers) in self._ranked

    def is_feature(self, vector: _Vector) -> bool:
        """Whether it repeats a column of the test table, which other checks judge."""
        test, places = self._test, self._places
        if test is None or places is None:
            return False
        inside = places[vector.rows] >= 0
        rows = places[vector.rows[inside]]
        if len(rows) < 8:
            return False
        codes = vector.codes[inside]
        for name in test.frame.names:
            feature = test.frame.feature(name)
            if feature.is_numeric and vector.numbers is not None:
                mine, its = vector.numbers[inside], feature.numbers[rows]
                known = ~(np.isnan(mine) | np.isnan(its))
                mine, its = mine[known], its[known]
                if len(mine) >= 8 and np.ptp(mine) > 0 and np.ptp(its) > 0:
                    same = np.isclose(mine, its, rtol=1e-5, atol=0).mean() >= 0.99
                    if same or abs(np.corrcoef(mine, its)[0, 1]) > 0.99999:
                        return True
            elif not feature.is_numeric:
                pairs = set(zip(codes.tolist(), feature.codes[rows].tolist(), strict=True))
                if len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 1:
                    return True
        return False


def _ranks(numbers: FloatArray) -> bytes:
    known = ~np.isnan(numbers)
    ranks = np.full(len(numbers), -1.0)
    if known.any():
        ranks[known] = stats.rankdata(numbers[known])
    return ranks.tobytes()


def _neutral(path: str) -> str:
    return re.sub(r"\d+ files", "files", _TRAIN_OR_TEST.sub("*", path.replace("_", " ").replace(",", "")))


def _judge(vector: _Vector, hidden: _Hidden, counterparts: _Counterparts, n_tests: int) -> Found | None:
    seed = hidden.material.seed
    strongest: Found | None = None
    if counterparts.is_plainly_feature(vector):
        return None
    for number, target in enumerate(hidden.targets):
        effect = _effect(vector.numbers, vector.codes, target.take(vector.rows), seed)
        log10p = corrected(effect.log10p, n_tests)
        if log10p > -ALARM or effect.auc < AUC_FLOOR or counterparts.is_feature(vector):
            continue
        distinct = len(np.unique(vector.codes[vector.codes >= 0]))
        is_label = bool(target.classes) and distinct == len(target.classes) and effect.alike >= 0.9
        before = counterparts.effect(vector, number, seed)
        sure = log10p <= -BLOCK
        severity: Severity | None
        if before is None:
            severity = "block" if sure and effect.auc >= _STRONG else "warn"
            words = "; train has no such column"
        else:
            # What is as strong in train is there to be learnt from; AUCs of n rows differ by about 1 / (2 sqrt(n)).
            # By agreement, since of classes the best AUC may be one class here and another there.
            excess = effect.alike - before.alike
            noise = 0.5 / math.sqrt(max(1, min(len(vector.rows), hidden.n_train)))
            severity = (
                "block"
                if sure and (effect.alike >= _LIKE_LABELS or is_label or excess > max(0.1, 5 * noise))
                else "warn"
                if excess > max(0.05, 4 * noise)
                else None
            )
            words = f"; over train's rows it has {before.auc:.3f}"
        if severity is None:
            continue
        found = Found(
            f"{vector.table}, column {vector.name}, lined up {vector.how}, follows the hidden {target.name}: {effect.words}{words}.",
            _LESS,
            effect=effect.auc,
            log10p=log10p,
            severity=severity,
            where=vector.file,
        )
        strongest = _stronger(strongest, found)
    return strongest


def _keep(best: dict[str, Found], file: str, found: Found | None) -> None:
    """One finding a file: the strongest."""
    if found is not None:
        kept = _stronger(best.get(file), found)
        assert kept is not None
        best[file] = kept


def _stronger(a: Found | None, b: Found) -> Found:
    if a is None:
        return b
    order = ("block", "warn", "info")
    return min(a, b, key=lambda f: (order.index(f.severity), -(f.effect or 0.0), f.log10p or 0.0))


# --- bytes ----------------------------------------------------------------------------------------


def _found_bytes(blob: Blob, hidden: _Hidden) -> Found | None:
    """Whether a row of consecutive labels stands in a file as numbers, bits or text."""
    for needle, words in hidden.needles:
        place = blob.data.find(needle)
        if place >= 0:
            file = blob.path.partition(": ")[0]
            return Found(
                f"{blob.path}: at byte {place:,} stand {words}, exactly as they are in the solution.",
                _LESS,
                effect=1.0,
                severity="block",
                where=file,
            )
    return None


def _needles(hidden: _Hidden) -> Iterator[tuple[bytes, str]]:
    """Sequences of labels as they might be written, each telling enough that it is not there by chance."""
    plain = [
        (name, rows) for name, rows in hidden.orders.items() if "train" not in name and "rows " not in name
    ][:4]
    seen: set[bytes] = set()
    for target in hidden.targets:
        for name, rows in plain:
            rows = rows[rows >= 0]
            values = target.values[rows]
            for start, length in _windows(values):
                piece = values[start : start + length]
                words = f"{length} consecutive labels ({target.name}, {name}, from row {start + 1})"
                for needle, form in _spelt(piece, target):
                    if needle not in seen:
                        seen.add(needle)
                        yield needle, f"{words} {form}"
            if target.kind == "binary" and not np.isnan(values).any() and len(values) >= 128:
                bits = values.astype(np.uint8)
                for start in (0, len(bits) // 16 * 8):
                    flags = bits[start : start + 160]
                    if len(flags) >= 128 and 0.2 < flags.mean() < 0.8:
                        words = f"{len(flags) // 8 * 8} consecutive labels ({target.name}, {name}, from row {start + 1}) as single bits"
                        flags = flags[: len(flags) // 8 * 8]
                        yield np.packbits(flags).tobytes(), words
                        yield np.packbits(flags, bitorder="little").tobytes(), words


def _windows(values: FloatArray) -> Iterator[tuple[int, int]]:
    """Up to three stretches without gaps that are neither short, nor dull, nor regular."""
    n = len(values)
    known = ~np.isnan(values)
    if known.sum() < 20:
        return
    _, codes, counts = np.unique(np.where(known, values, 0.0), return_inverse=True, return_counts=True)
    bits = -np.log2(counts[codes] / n)
    yielded: set[int] = set()
    for third in range(3):
        start = third * (n - 20) // 3
        told = np.cumsum(bits[start:])
        length = max(20, int(np.searchsorted(told, _NEEDLE_BITS)) + 1)
        piece = values[start : start + length]
        if start in yielded or start + length > n or length > 4000 or np.isnan(piece).any():
            continue
        steps = np.diff(piece)
        if np.all(steps >= 0) or np.all(steps <= 0) or np.ptp(steps) == 0:
            continue
        packed = len(
            zlib.compress(np.asarray(codes[start : start + length] % 251, dtype=np.uint8).tobytes(), 9)
        )
        if packed < _NEEDLE_BITS / 8 * 1.5:  # 0 1 2 0 1 2: any file may count like that
            continue
        yielded.add(start)
        yield start, length


def _spelt(piece: FloatArray, target: Target) -> Iterator[tuple[bytes, str]]:
    names = [target.name_of(value) for value in piece] if target.classes else [f"{v:.10g}" for v in piece]
    vectors: dict[bytes, tuple[FloatArray, str]] = {}
    numbers = None
    if target.classes:
        # Class numbers as encoders give them: by the alphabet or by size, from 0 or 1.
        ranked = sorted(target.classes, key=lambda name: (_number(name), name))
        rank = np.array([float(ranked.index(name)) for name in target.classes])[piece.astype(np.int64)]
        for vector in (rank, rank + 1, piece):
            vectors.setdefault(vector.tobytes(), (vector, ", classes by their number"))
        if all(math.isfinite(_number(name)) for name in target.classes):
            numbers = np.array([_number(name) for name in names])
    else:
        numbers = piece
    if numbers is not None:
        vectors[numbers.tobytes()] = (numbers, "")
    for vector, what in vectors.values():
        is_whole = bool((vector == np.round(vector)).all())
        for kind in ("i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "<f4", ">f4", "<f8", ">f8"):
            if "i" in kind and (not is_whole or np.abs(vector).max() > np.iinfo(kind).max):
                continue
            yield vector.astype(kind).tobytes(), f"as numbers ({np.dtype(kind).name}{what})"
    whole = numbers is not None and bool((numbers == np.round(numbers)).all())
    forms = [names]
    if numbers is None:
        forms.append([f"'{name}'" for name in names])
    elif whole:
        forms += [[f"{v:.0f}" for v in numbers], [f"{v:.1f}" for v in numbers]]
    else:
        forms.append([repr(v) for v in numbers.tolist()])
    forms.append([f'"{name}"' for name in names])
    for form in forms:
        for joint in (
            ",",
            ", ",
            "\n",
            "\r\n",
            " ",
            ";",
            "\t",
            *([""] if all(len(t) == 1 for t in form) else []),
        ):
            yield joint.join(form).encode(), "as text"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf


# --- what could not be looked into, what is not handed out ------------------------------------------


def _unread(unread: Sequence[Unread]) -> Iterator[Found]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for one in unread:
        by_reason[re.sub(r"\d[\d,.]*", "#", one.why)].append(f"{one.path} {one.why}")
    for lines in by_reason.values():
        more = f" (and {len(lines) - 1:,} more like it)" if len(lines) > 1 else ""
        yield Found(
            f"{lines[0]}{more}.",
            "Not looked into: make sure yourself that no labels are in there, or publish it in an open form.",
            severity="info",
            where=lines[0].split(" ")[0],
        )


def _not_published(material: Material, names: Sequence[str]) -> Iterator[Found]:
    """Litter beside the published files, and notebooks with what they printed."""
    known = set(names)
    hidden = [
        relative
        for path in sorted(material.public_folder.rglob("*"))
        if path.is_file() and (relative := path.relative_to(material.public_folder).as_posix()) not in known
    ]
    if hidden:
        tops = list(dict.fromkeys(name.split("/")[0] for name in hidden))
        yield Found(
            f"{len(hidden):,} hidden or left-over files in public/ are not published ({', '.join(tops[:4])}).",
            "Nothing is handed out of these, but whoever copies the folder elsewhere may: a history or a notebook's checkpoint can hold labels.",
            severity="info",
            where=tops[0],
        )
    notebooks = [name for name in names if name.endswith(".ipynb")]
    if notebooks:
        yield Found(
            f"{len(notebooks)} notebooks are published ({', '.join(notebooks[:3])}); what their cells printed was searched, pictures in them were not.",
            "Clear the outputs of a notebook that ever saw the solution.",
            severity="info",
            where=notebooks[0],
        )


# --- metadata -------------------------------------------------------------------------------------


def _metadata(archive: str, entries: Sequence[Entry], rows: Rows, hidden: _Hidden) -> Iterator[Found]:
    """Dates, order, sizes, names of the files of one folder or archive against the targets."""
    where = archive or "public/"
    by_name = sorted(range(len(entries)), key=lambda i: _natural(entries[i].inner.name))
    order = np.empty(len(entries), dtype=np.int64)
    order[by_name] = np.arange(len(entries))
    pixels = [entry.pixels for entry in entries]
    scores: list[tuple[str, FloatArray, Severity]] = [
        (
            "the time of last change",
            np.array([np.nan if e.modified is None else e.modified for e in entries]),
            "block",
        ),
        ("the size in bytes", np.array([float(e.size) for e in entries]), "warn"),
        ("the width", np.array([np.nan if p is None else float(p[0]) for p in pixels]), "warn"),
        ("the height", np.array([np.nan if p is None else float(p[1]) for p in pixels]), "warn"),
    ]
    if archive:
        scores.append(("the place in the archive", np.array([float(e.position) for e in entries]), "block"))
    names: list[tuple[str, list[str]]] = [
        ("the folder", [entry.inner.parent.as_posix() for entry in entries]),
        ("the kind of file", [entry.inner.suffix for entry in entries]),
        ("the rest of the name", [_rest(e, hidden) for e in entries]),
    ]
    n_tests = (len(scores) + len(names)) * len(hidden.targets)
    for target in hidden.targets:
        own = target.take(rows)
        for what, score, worst in scores:
            if np.isnan(score).all() or np.nanmin(score) == np.nanmax(score) or _follows(score, order):
                continue
            strength = association(score, own)
            yield from _of_metadata(where, what, strength, n_tests, worst, target, len(entries), score, own)
        for what, texts in names:
            _, codes = np.unique(np.array(texts, dtype=np.object_).astype(str), return_inverse=True)
            if 1 < codes.max() + 1 <= max(30, 2 * len(target.classes)) and codes.max() + 1 <= len(codes) / 3:
                strength = association_of_codes(codes.astype(np.int64), own)
                worst = "block" if strength.auc >= 0.9 else "warn"
                yield from _of_metadata(
                    where, what, strength, n_tests, worst, target, len(entries), None, own
                )


def _of_metadata(
    where: str,
    what: str,
    strength: Strength,
    n_tests: int,
    worst: Severity,
    target: Target,
    n: int,
    score: FloatArray | None,
    own: Target,
) -> Iterator[Found]:
    log10p = corrected(strength.log10p, n_tests)
    if log10p > -ALARM or strength.auc < AUC_FLOOR:
        return
    sure = log10p <= -BLOCK and strength.auc >= 0.6
    picture = None
    if score is not None:
        ranked = np.argsort(score, kind="stable")
        tenths = [part for part in np.array_split(own.values[ranked], 20) if len(part)]
        picture = {
            "kind": "line",
            "title": f"{target.name} by {what}",
            "x_title": f"files by {what}, twentieths",
            "y_title": f"mean {target.name}",
            "x": list(range(1, len(tenths) + 1)),
            "y": [float(np.nanmean(part)) if not np.isnan(part).all() else 0.0 for part in tenths],
            "text": f"Files are sorted by {what} and cut into twentieths; a level line would mean that it tells nothing.",
        }
    label = f" (class {strength.detail})" if strength.detail else ""
    yield Found(
        f"{where}: {what} of {n:,} files that belong to test rows orders the hidden {target.name}{label} with AUC {strength.auc:.3f}.",
        "Write the files anew in random order with one and the same date (zip -X, or touch), under names and in folders that say nothing."
        if worst == "block"
        else "Size may be content; if not, bring all files to one form.",
        effect=strength.auc,
        log10p=log10p,
        severity=worst if sure else "warn",
        where=where,
        picture=picture,
    )


def _follows(score: FloatArray, order: Codes) -> bool:
    """Whether it is the order of names and nothing more: what ids tell, other checks judge."""
    known = ~np.isnan(score)
    ranks = np.argsort(np.argsort(score[known], kind="stable"), kind="stable").astype(np.float64)
    if len(ranks) < 8 or len(np.unique(score[known])) < 0.9 * len(ranks):
        return False
    return bool(abs(np.corrcoef(ranks, order[known])[0, 1]) > 0.999)


def _rest(entry: Entry, hidden: _Hidden) -> str:
    """A file's name without the id and without what is a number in it."""
    stem = entry.inner.name.split(".")[0]
    if hidden.row_of(stem) is not None:
        return ""
    pieces = [piece for piece in re.split(r"[_\-. ]", stem) if piece and hidden.row_of(piece) is None]
    return "_".join(piece for piece in pieces)
