"""Read Parquet in batches, as text that reads back exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from scorer.reading.source import MAX_LINE_BYTES, Source, UnreadableTable, damaged, long_line, open_source
from scorer.report import Problem
from scorer.wording import over_limit, show

BATCH_ROWS = 1 << 16
"""Rows of Parquet unpacked at a time: they may be packed a millionfold."""

BATCH_CELLS = 1 << 22
_MAX_PARQUET_COLUMNS = 10_000
_PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError)


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of Arrow means missing memory.

    Arrow reports it like an error of the file; a thread without memory for its stack counts too.
    """
    return isinstance(error, MemoryError) or "worker thread" in str(error)


def _parquet_fault(error: Exception) -> Exception:
    return MemoryError() if is_out_of_memory(error) else UnreadableTable(damaged("Parquet"))


class ParquetFile:
    """A Parquet file of numbers, booleans and strings, read in batches.

    The sizes it claims prove nothing: a dictionary of one long string, referenced a million times, is a few
    bytes in the file. So strings stay dictionaries until each is needed.
    """

    def __init__(self, source: Source | bytes, max_bytes: int) -> None:
        self._source = source
        with self._open(()) as file:
            metadata, schema = file.metadata, file.schema_arrow
            self.names = [str(name) for name in schema.names]
            claimed = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if len(self.names) > _MAX_PARQUET_COLUMNS:
            message = f"The file has {len(self.names)} columns; at most {_MAX_PARQUET_COLUMNS} can be read."
            raise UnreadableTable(Problem("TOO_LARGE", message))
        if sum(map(len, self.names)) > MAX_LINE_BYTES:
            raise UnreadableTable(long_line(1, MAX_LINE_BYTES))
        # A value of CSV takes two bytes at the least; here a million equal rows may take a few in all.
        if claimed > max_bytes or metadata.num_rows * 2 * len(self.names) > max_bytes:
            message = over_limit(max_bytes, unpacked=True)
            raise UnreadableTable(Problem("TOO_LARGE", message))
        for name, kind in zip(self.names, schema.types, strict=True):
            if not _is_plain_type(kind):
                message = (
                    f"Column {show(name)} holds {show(str(kind))}; "
                    "only numbers, strings and booleans are read. Convert it, or save the predictions as CSV."
                )
                raise UnreadableTable(Problem("NOT_CSV", message, column=show(name)))
        self._max_rows = metadata.num_rows
        self._strings = [name for name, kind in zip(self.names, schema.types, strict=True) if _is_text(kind)]

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        rows_left = self._max_rows
        with self._open(self._strings) as file:
            # Of many columns fewer rows: a batch is some millions of cells, whatever its shape.
            rows = max(1024, min(BATCH_ROWS, BATCH_CELLS // len(names)))
            batches = file.iter_batches(rows, columns=list(names), use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                    if batch is not None:
                        batch.validate()
                        if sorted(batch.schema.names) != sorted(names):
                            raise UnreadableTable(damaged("Parquet"))
                except _PARQUET_ERRORS as error:
                    raise _parquet_fault(error) from None
                if batch is None:
                    return
                rows_left -= batch.num_rows
                if rows_left < 0:  # more than the file declares
                    raise UnreadableTable(damaged("Parquet"))
                yield batch

    def records(self, max_line_bytes: int) -> Iterator[tuple[int, list[str]]]:
        yield 1, self.names
        line = 2
        for batch in self.batches(self.names):
            columns = [
                _as_texts(name, column) for name, column in zip(self.names, batch.columns, strict=True)
            ]
            for fields in zip(*columns, strict=True):
                if sum(map(len, fields)) > max_line_bytes:
                    raise UnreadableTable(long_line(line, max_line_bytes))
                yield line, list(fields)
                line += 1

    @contextmanager
    def _open(self, dictionaries: Sequence[str]) -> Iterator[pyarrow.parquet.ParquetFile]:
        try:
            file = pyarrow.parquet.ParquetFile(
                # A path is read by threads of Arrow's own and without Python between.
                self._source if isinstance(self._source, Path) else open_source(self._source),
                read_dictionary=list(dictionaries),
                buffer_size=1 << 20,
                thrift_string_size_limit=10_000_000,
                thrift_container_size_limit=100_000,
            )
        except _PARQUET_ERRORS as error:
            raise _parquet_fault(error) from None
        with file:
            yield file


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_plain_type(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_plain_type(kind.value_type)
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null, _is_text)
    return any(test(kind) for test in tests)


def as_text(value: object) -> str:
    """Return a typed cell as CSV would hold it, to the same value.

    Whole floats are written as whole numbers: pandas makes floats of ids as soon as one is missing.
    """
    if value is None:
        return ""
    if isinstance(value, float):
        negative_zero = value == 0.0 and str(value)[0] == "-"
        whole = value.is_integer() and abs(value) < 2.0**63 and not negative_zero
        return str(int(value)) if whole else repr(value)
    return str(value)


def _as_texts(name: str, column: pa.Array) -> list[str]:
    try:
        if pa.types.is_dictionary(column.type):
            # Not decoded as a whole: each string would be copied as often as it is pointed at.
            used = column.indices.unique().drop_null()
            values = column.dictionary.take(used).to_pylist()
            texts = dict(zip(used.to_pylist(), map(as_text, values), strict=True)) | {None: ""}
            cells = [texts[index] for index in column.indices.to_pylist()]
        else:
            texts = {}
            cells = [as_text(value) for value in column.to_pylist()]
    except UnicodeDecodeError:
        message = f"Column {show(name)} holds bytes that are not valid UTF-8."
        raise UnreadableTable(Problem("ENCODING", message, column=show(name))) from None
    except pa.ArrowException as error:  # an index beyond the dictionary, which reading does not check
        raise _parquet_fault(error) from None
    if any("\x00" in text for text in texts.values()):
        message = f"Column {show(name)} holds a NUL byte; the file is damaged or not text."
        raise UnreadableTable(Problem("ENCODING", message, column=show(name)))
    return cells
