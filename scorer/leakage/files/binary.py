"""Tables in NumPy, Parquet, Arrow, MATLAB and SQLite files."""

from __future__ import annotations

import io
import math
import re
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import scipy.io
from numpy.typing import NDArray

from scorer.leakage.files.things import (
    MAX_COLUMNS,
    Column,
    Table,
    Thing,
    Unread,
    WalkState,
    as_text,
    table_of,
)


def read_npy(path: str, data: bytes, state: WalkState) -> Iterator[Thing]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        yield Unread(path, "holds Python objects, which are never unpickled; only its bytes were searched")
        return
    # The header is not trusted: the declared bytes must be there.
    if math.prod(shape) * dtype.itemsize > len(data) - stream.tell():
        yield Unread(path, "declares more values than it holds")
        return
    array = np.frombuffer(data, dtype, count=math.prod(shape), offset=stream.tell())
    yield from _array(path, array.reshape(shape, order="F" if fortran else "C"), state)


def _array(path: str, array: NDArray[Any], state: WalkState) -> Iterator[Thing]:
    if array.dtype.names:
        parts = {name: array[name] for name in array.dtype.names if array[name].dtype.kind in "biufSUM"}
        yield from table_of(path, {name: part for name, part in parts.items() if part.ndim == 1}, state)
        return
    if array.dtype.kind not in "biufcSUMm" or array.ndim == 0 or array.size == 0:
        return
    if array.ndim == 2 and array.shape[0] == 1:
        array = array.T
    flat = array.reshape(array.shape[0], -1)
    if flat.shape[1] == 1:
        yield from table_of(path, {"values": flat[:, 0]}, state)
        return
    # A vector may lie along either axis of a matrix.
    yield from table_of(path, {f"[{i}]": flat[:, i] for i in range(min(flat.shape[1], MAX_COLUMNS))}, state)
    if array.ndim == 2 and array.shape[0] <= 20:
        yield from table_of(path, {f"row {i}": flat[i] for i in range(flat.shape[0])}, state)


def parquet_table(data: bytes, state: WalkState) -> pa.Table:
    file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
    unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    if max(unpacked, file.metadata.num_rows) > state.limits.member_bytes:
        raise ValueError(f"it unpacks to more than {state.limits.member_bytes / 1e6:,.0f} MB")
    return file.read()


def read_arrow(path: str, read: Callable[[], pa.Table]) -> Iterator[Thing]:
    table = read()
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if (
            pa.types.is_boolean(column.type)
            or pa.types.is_integer(column.type)
            or pa.types.is_floating(column.type)
        ):
            numbers = column.cast(pa.float64(), safe=False).to_numpy()
            columns.append(Column(name, np.where(np.isfinite(numbers), numbers, np.nan)))
            continue
        try:
            texts = pa.compute.fill_null(column.cast(pa.string()), "").combine_chunks()
            columns.append(
                Column(name, texts if isinstance(texts, pa.Array) else pa.concat_arrays(texts.chunks))
            )
        except pa.ArrowException:  # nested values
            columns.append(Column(name, [as_text(value) for value in column.to_pylist()]))
    if columns:
        yield Table(path, columns)


def read_matlab(path: str, data: bytes, state: WalkState) -> Iterator[Thing]:
    """Yield the tables of a MATLAB file, 5 to 7.2.

    Compressed elements are measured before the library unpacks them.
    """
    order = "<" if data[126:128] == b"IM" else ">"
    place, unpacked = 128, 0
    while place + 8 <= len(data):
        kind, size = struct.unpack(f"{order}II", data[place : place + 8])
        if kind == 15:
            inflate = zlib.decompressobj()
            piece: bytes = data[place + 8 : place + 8 + size]
            while piece and not inflate.eof:
                unpacked += len(inflate.decompress(piece, 1 << 20))
                piece = inflate.unconsumed_tail
                if unpacked > state.limits.member_bytes:
                    yield Unread(path, f"unpacks to more than {state.limits.member_bytes / 1e6:,.0f} MB")
                    return
        place += 8 + size
    found = scipy.io.loadmat(
        io.BytesIO(data),  # type: ignore[arg-type]  # the stubs know no streams
        struct_as_record=True,
        squeeze_me=True,
        verify_compressed_data_integrity=False,
    )
    alone: dict[str, str] = {}
    for name, value in found.items():
        if not name.startswith("__"):
            yield from _mat_value(f"{path}: {name}", name, value, alone, 0, state)
    if alone:
        yield Table(path, [Column(name, [text]) for name, text in alone.items()])


def _mat_value(
    path: str, name: str, value: Any, alone: dict[str, str], level: int, state: WalkState
) -> Iterator[Thing]:
    """Yield the tables in a MATLAB value.

    Structs and cells become paths; single values are gathered in `alone`, one row for each file.
    """
    if level > 6 or len(alone) > 10_000:
        return
    if not isinstance(value, np.ndarray | np.void):
        if isinstance(value, str | int | float | np.generic):
            alone[name] = str(value)
        return
    if isinstance(value, np.void) or (value.dtype.names and value.ndim == 0):
        for part in value.dtype.names or ():
            inner = value[part]
            yield from _mat_value(
                f"{path}.{part}",
                f"{name}.{part}",
                inner.item() if isinstance(inner, np.ndarray) and inner.ndim == 0 else inner,
                alone,
                level + 1,
                state,
            )
    elif value.dtype.names:
        for part in value.dtype.names:
            yield from _mat_value(f"{path}.{part}", f"{name}.{part}", value[part], alone, level + 1, state)
    elif value.dtype == np.object_:
        flat = value.ravel().tolist()
        if flat and all(isinstance(item, str | int | float | np.generic) for item in flat):
            yield from table_of(path, {name: [str(item) for item in flat]}, state)
        else:
            for i, item in enumerate(flat[:1000]):
                yield from _mat_value(f"{path}[{i}]", f"{name}[{i}]", item, alone, level + 1, state)
    elif value.ndim == 0 or value.size == 1:
        alone[name] = str(value.ravel()[0])
    else:
        yield from _array(path, value, state)


def read_sqlite(path: str, source: Path | bytes, state: WalkState) -> Iterator[Thing]:
    """Yield the ordinary tables of a SQLite file.

    A view or a virtual table could run untrusted code.
    """
    if isinstance(source, Path):
        connection = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    else:
        connection = sqlite3.connect(":memory:")
        connection.deserialize(source)
    until = time.monotonic() + min(20.0, state.limits.seconds)
    with closing(connection):
        connection.set_progress_handler(lambda: int(time.monotonic() > until), 100_000)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        listed = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for name, sql in listed:
            if str(name).startswith("sqlite_") or not re.match(
                r"\s*CREATE\s+TABLE\b", str(sql), re.IGNORECASE
            ):
                continue
            quoted = '"' + str(name).replace('"', '""') + '"'
            # SQL has no parameter for a table's name.
            cursor = connection.execute(f"SELECT * FROM {quoted}")  # noqa: S608  quoted above
            names = [column[0] for column in cursor.description]
            rows = cursor.fetchmany(max(1, min(5_000_000, state.limits.cells // max(1, len(names)))))
            if cursor.fetchone() is not None:
                yield Unread(
                    f"{path}: {name}", f"has more rows than are read; these were the first {len(rows):,}"
                )
            if rows:
                columns = zip(*rows, strict=True)
                yield from table_of(f"{path}: {name}", dict(zip(names, columns, strict=True)), state)
