"""A public table as text, read by column.

Columns stay text in Arrow and become numbers or codes when a check asks for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from scorer.reading.columns import FloatArray
from scorer.reading.forms import composed, composed_column
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, open_table, stream_of
from scorer.report import HeldoutError

MAX_TABLE_BYTES = 8_000_000_000
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-", "nil", "#n/a")
"""Spellings of a missing value, compared in lower case."""
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


class Unreadable(HeldoutError):
    """A public table cannot be read, with the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One column of a table."""

    name: str
    kind: Literal["number", "time", "category", "text"]
    """number or time (ISO 8601; numbers are seconds) where every cell that is not empty is one; else
    category where values repeat, text where they hardly do."""
    texts: pa.Array
    """As written, string type."""
    missing: Mask
    numbers: FloatArray
    """nan where missing, and everywhere for categories and text."""
    codes: Codes
    """Of the values as written, in the order of `names`; -1 where missing."""
    names: pa.Array
    """The distinct values as written."""
    n_unique: int
    """Distinct values as written that are not missing."""

    def __len__(self) -> int:
        return len(self.missing)

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "time")

    @property
    def scores(self) -> FloatArray:
        """Return numbers to order rows by.

        The numbers, else the codes in the order of their names; nan where missing.
        """
        if self.is_numeric:
            return self.numbers
        order = np.argsort(np.argsort(np.array(self.names.to_pylist(), dtype=np.object_), kind="stable"))
        return np.where(self.missing, np.nan, order[np.maximum(self.codes, 0)].astype(np.float64))


class Frame:
    """A table as text, read by column."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._places = {name: place for place, name in enumerate(table.column_names)}
        self._features: dict[str, Feature] = {}

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __repr__(self) -> str:
        return f"Frame({len(self)} rows, {len(self._places)} columns)"

    @property
    def names(self) -> list[str]:
        return list(self._places)

    def texts(self, name: str) -> pa.Array:
        column = self._table.column(self._places[name])
        return (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays(column.chunks)
            if column.num_chunks
            else pa.array([], pa.string())
        )

    def feature(self, name: str) -> Feature:
        if name not in self._features:
            self._features[name] = _feature(name, self.texts(name))
        return self._features[name]

    def take(self, rows: Rows) -> Frame:
        return Frame(self._table.take(pa.array(rows)).combine_chunks())

    def with_texts(self, name: str, texts: pa.Array) -> Frame:
        """Return the table with other cells in one column."""
        return Frame(self._table.set_column(self._places[name], name, texts))

    def with_first(self, name: str) -> Frame:
        """Return the table with this column, if there is one, before all others."""
        return Frame(self._table.select(sorted(self.names, key=lambda each: each != name)))

    def renamed(self, names: Mapping[str, str]) -> Frame:
        return Frame(self._table.rename_columns([names.get(name, name) for name in self.names]))

    def followed_by(self, others: Sequence[Frame]) -> Frame:
        """Return the rows of all; the columns are matched by name."""
        tables = [self._table, *(other._table.select(self.names) for other in others)]
        return Frame(pa.concat_tables(tables).combine_chunks())

    def without(self, names: Sequence[str]) -> Frame:
        return Frame(self._table.drop_columns([name for name in self.names if name in set(names)]))


def read_frame(path: Path) -> Frame:
    """Read a public table as text by column.

    CSV (also gzip, or a zip of one) or Parquet. Raises Unreadable with the reason.
    """
    if not path.is_file():
        raise Unreadable(f"there is no {path.name}")
    try:
        if path.suffix == ".parquet":
            return _read_parquet(path)
        table = open_table(path, max_bytes=MAX_TABLE_BYTES)
        header = [composed(name.strip(SPACES)) for name in table.header()]
        if not header:
            raise Unreadable(f"{path.name} could not be read: its first line holds no column names in UTF-8")
        if len(set(header)) < len(header):
            raise Unreadable(f"{path.name} has two columns of one name")
        read = pyarrow.csv.read_csv(
            stream_of(table),
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows=1, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, delimiter=","),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in header}, strings_can_be_null=False
            ),
        )
    except UnreadableTable as refusal:
        raise Unreadable(f"{path.name} could not be read: {refusal.problems[0].message}") from None
    except MemoryError:
        raise  # Arrow's own is an ArrowException too, and not the file's fault
    except (pa.ArrowException, OSError) as error:
        words = " ".join(str(error).split())[:160]
        raise Unreadable(f"{path.name} could not be read: {words}") from None
    if read.num_rows == 0:
        raise Unreadable(f"{path.name} has no rows")
    return Frame(composed_cells(read).combine_chunks())


def composed_cells(table: pa.Table) -> pa.Table:
    """Return the table in one Unicode form, as the solution is read."""
    for place, column in enumerate(table.columns):
        if not pc.all(pc.string_is_ascii(column)).as_py():
            table = table.set_column(
                place, table.column_names[place], composed_column(column.combine_chunks())
            )
    return table


def _read_parquet(path: Path) -> Frame:
    table = pyarrow.parquet.read_table(path)
    columns = []
    for column in table.columns:
        try:
            columns.append(pc.fill_null(pc.cast(column, pa.string()), ""))
        except pa.ArrowException:  # nested values have no text of their own
            columns.append(
                pa.chunked_array([pa.array([str(value) for value in column.to_pylist()], pa.string())])
            )
    if table.num_rows == 0:
        raise Unreadable(f"{path.name} has no rows")
    names = [composed(name.strip(SPACES)) for name in table.column_names]
    if len(set(names)) < len(names):
        raise Unreadable(f"{path.name} has two columns of one name")
    return Frame(composed_cells(pa.table(dict(zip(names, columns, strict=True)))).combine_chunks())


_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)


def _feature(name: str, texts: pa.Array) -> Feature:
    encoded = texts.dictionary_encode()
    values: pa.Array = encoded.dictionary
    # Decide on distinct values where possible: a column of a million rows may have ten.
    trimmed = pc.utf8_trim_whitespace(values)
    nothing = np.asarray(
        pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING)).to_numpy(zero_copy_only=False),
        dtype=np.bool_,
    )
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    missing = nothing[codes] if len(values) else np.zeros(len(texts), dtype=np.bool_)
    distinct = np.full(len(values), np.nan)
    kind: Literal["number", "time", "category", "text"] = "category"
    something = trimmed.filter(pa.array(~nothing))
    numbers = _as_numbers(something)
    if numbers is not None and len(something):
        kind = "number"
        distinct[~nothing] = numbers
    elif len(something) and (seconds := _as_seconds(something)) is not None:
        kind = "time"
        distinct[~nothing] = seconds
    elif len(something) > max(50, 0.5 * (len(texts) - int(missing.sum()))):
        kind = "text"
    return Feature(
        name,
        kind,
        texts,
        missing,
        distinct[codes] if len(values) else np.empty(0),
        np.where(missing, -1, codes),
        values,
        int((~nothing).sum()),
    )


def is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _as_numbers(texts: pa.Array) -> FloatArray | None:
    lowered = pc.utf8_lower(texts)
    truths = pc.is_in(lowered, value_set=pa.array(["true", "false"]))
    if len(texts) and pc.all(truths).as_py():
        return np.asarray(pc.equal(lowered, "true").to_numpy(zero_copy_only=False), dtype=np.float64)
    try:
        numbers = np.asarray(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    except pa.ArrowException:
        return None
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _as_seconds(texts: pa.Array) -> FloatArray | None:
    first = texts[0].as_py()
    if not _TIME.fullmatch(first):
        return None
    try:
        stamps = (
            np.array(texts.to_pylist(), dtype="datetime64[us]")
            if "Z" not in first and "+" not in first
            else None
        )
        if stamps is None:
            stamps = np.asarray(
                pc.cast(texts, pa.timestamp("us", tz="UTC")).to_numpy(zero_copy_only=False),
                dtype="datetime64[us]",
            )
    except (ValueError, pa.ArrowException):
        return None
    return np.asarray(stamps.astype(np.int64) / 1e6)


def joint_codes(a: Feature, b: Feature) -> tuple[Codes, Codes]:
    """Return a column of two tables as codes of one list.

    -1 where missing. Numbers are equal as numbers.
    """
    if a.is_numeric and b.is_numeric:
        values = np.unique(np.concatenate([a.numbers[~a.missing], b.numbers[~b.missing]]))
        sides = (np.searchsorted(values, np.nan_to_num(side.numbers)) for side in (a, b))
        first, second = (np.where(side.missing, -1, code) for side, code in zip((a, b), sides, strict=True))
        return first, second
    names = pa.concat_arrays([a.names, b.names]).dictionary_encode()
    places = np.asarray(names.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    own, other = places[: len(a.names)], places[len(a.names) :]
    return (
        np.where(a.missing, -1, own[np.maximum(a.codes, 0)] if len(own) else -1),
        np.where(b.missing, -1, other[np.maximum(b.codes, 0)] if len(other) else -1),
    )


def dense_codes(codes: Codes) -> tuple[Codes, Codes]:
    """Return codes renumbered from 0 without gaps, in the same order, and how often each occurs.

    As `np.unique` with `return_inverse`, without sorting where the codes lie close together.
    """
    if not len(codes):
        return codes, codes
    low = int(codes.min())
    if int(codes.max()) - low > 4 * len(codes) + 1000:
        _, dense, counts = np.unique(codes, return_inverse=True, return_counts=True)
        return dense, counts
    counts = np.bincount(codes - low)
    places = np.cumsum(counts > 0) - 1
    return places[codes - low], counts[counts > 0]


def codes_of(texts: pa.Array) -> Codes:
    return np.asarray(texts.dictionary_encode().indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def decimals_of(text: str) -> float:
    mantissa = text.strip().lower().partition("e")[0]
    return float(len(mantissa.partition(".")[2]))
