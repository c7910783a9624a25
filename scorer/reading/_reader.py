"""Parse a received file inside the sandbox: bytes to texts and arrays.

Everything that a hostile file could break, from the unpacking to Arrow's parsers, runs here, without labels,
ids, the split, other files or a network. `scorer.reading.parsing` is the other side. It sends lines of JSON;
the answers are messages, each with its kind and length before it:

    {"do": "open"}       then "opened"; of several files, which are read one after the other, the named one
    {"do": "header"}     then "header"
    {"do": "plain"}      any number of "block" with its arrays, then "end" or "not_columnar"
    {"do": "records"}    any number of "records", then "end"; each a line and its fields, or, of blank lines,
                         the first and how many

"end" holds the processor time of this process.

Any of them may end with "refused" instead, which holds all problems, or with "out_of_memory".
"""

from __future__ import annotations

import io
import json
import os
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.reading.cells import NUMERIC_KINDS, Cells
from scorer.reading.columnar import NotColumnar, Raw, raw_blocks
from scorer.reading.ids import string_buffers
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import Table, open_table

HEAD = struct.Struct("=cQ")
JSON, ARRAY = b"j", b"a"
MAX_ARRAY_BYTES = 1 << 26
"""Of one array in a block of a few MB; a dictionary of strings that is larger is left to the exact reader."""

RECORDS_AT_ONCE = 4096
LETTERS_AT_ONCE = 1 << 18


class Descriptor:
    """An open file that can be opened again, with separate positions."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_Positioned(self._fd))


class _Positioned(io.RawIOBase):
    def __init__(self, fd: int) -> None:
        self._fd, self._at = fd, 0

    def fileno(self) -> int:
        return self._fd

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._fd).st_size}[whence]
        if start + offset < 0:
            raise OSError("a position before the start of the file")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        n_read = os.preadv(self._fd, [buffer], self._at)
        self._at += n_read
        return n_read


def serve(answers: io.RawIOBase, commands: int, *files: int) -> None:
    """Answer commands until there are no more."""
    reader = _Reader(_Out(answers), [Descriptor(file) for file in files])
    with open(commands, "rb") as lines:
        for line in lines:
            reader.answer(json.loads(line))


class _Out:
    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def send(self, kind: str, content: Any = None) -> None:
        self._write(JSON, json.dumps([kind, content], ensure_ascii=False, separators=(",", ":")).encode())

    def send_array(self, array: NDArray[Any]) -> None:
        self._write(ARRAY, np.ascontiguousarray(array).view(np.uint8).data)

    def _write(self, kind: bytes, content: bytes | memoryview) -> None:
        for piece in (HEAD.pack(kind, len(content)), content):
            rest = memoryview(piece)
            while rest:
                rest = rest[self._stream.write(rest) :]


@dataclass(slots=True)
class _Reader:
    out: _Out
    files: Sequence[Descriptor]
    table: Table | None = None
    began: float = field(default_factory=time.process_time)

    def answer(self, command: Mapping[str, Any]) -> None:
        try:
            getattr(self, f"_{command['do']}")(command)
        except UnreadableTable as error:
            self.out.send("refused", [problem.as_dict() for problem in error.problems])
        except NotColumnar:
            self.out.send("not_columnar")
        except MemoryError:
            self.out.send("out_of_memory")
        except RuntimeError as error:
            if "start new thread" not in str(error):  # no memory for its stack
                raise
            self.out.send("out_of_memory")

    def _open(self, command: Mapping[str, Any]) -> None:
        file = self.files[command["file"]]
        self.table = table = open_table(file, max_bytes=command["max_bytes"], parquet=command["parquet"])
        notices = [notice.as_dict() for notice in table.notices]
        self.out.send("opened", {"packing": table.packing, "notices": notices})

    def _header(self, _command: Mapping[str, Any]) -> None:
        self.out.send("header", self._opened().header())

    def _plain(self, command: Mapping[str, Any]) -> None:
        wanted = {name: Cells(kind, split=split) for name, (kind, split) in command["wanted"].items()}
        for raw in raw_blocks(
            self._opened(),
            command["header"],
            wanted,
            id_column=command["id_column"],
            numeric_ids=command["numeric_ids"],
        ):
            # Checked before anything is sent: half a block could not be taken back.
            arrays = list(_arrays(raw, wanted))
            if any(array.nbytes > MAX_ARRAY_BYTES for array in arrays):
                raise NotColumnar("a block of long strings")
            self.out.send("block", int(raw.n_blank))
            for array in arrays:
                self.out.send_array(array)
        self._end()

    def _records(self, command: Mapping[str, Any]) -> None:
        waiting: list[tuple[int, list[str] | int]] = []
        size = 0
        try:
            for line, fields in self._opened().records(max_line_bytes=command["max_line_bytes"]):
                if fields:
                    waiting.append((line, fields))
                    size += sum(map(len, fields)) + len(fields)
                else:
                    _add_blank_line(waiting, line)
                    size += 4
                if len(waiting) >= RECORDS_AT_ONCE or size >= LETTERS_AT_ONCE:
                    self.out.send("records", waiting)
                    waiting, size = [], 0
        finally:
            # Records before a fault are part of its report.
            if waiting:
                self.out.send("records", waiting)
        self._end()

    def _end(self) -> None:
        self.out.send("end", time.process_time() - self.began)

    def _opened(self) -> Table:
        assert self.table is not None
        return self.table


def _add_blank_line(waiting: list[tuple[int, list[str] | int]], line: int) -> None:
    """Add a blank line; following blank lines are one entry.

    The entry is the first line and how many: files of blank lines alone are known.
    """
    if waiting:
        first, before = waiting[-1]
        if isinstance(before, int) and first + before == line:
            waiting[-1] = first, before + 1
            return
    waiting.append((line, 1))


def _arrays(raw: Raw, wanted: Mapping[str, Cells]) -> Iterator[NDArray[Any]]:
    """Yield a block's arrays in the order `scorer.reading.parsing` reads them.

    First the ids, then column by column.
    """
    if isinstance(raw.ids, np.ndarray):
        yield raw.ids
    else:
        yield from _text_arrays(raw.ids)
    for name, cells in wanted.items():
        column = raw.columns[name]
        if cells.kind in NUMERIC_KINDS:
            yield column
        elif cells.kind == "text":
            yield from _text_arrays(column)
        else:
            coded, *offsets = column if cells.kind == "list" else (column,)
            yield from _text_arrays(coded.dictionary)
            yield coded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
            yield from offsets


def _text_arrays(texts: pa.Array) -> Iterator[NDArray[Any]]:
    offsets, data = string_buffers(texts)
    yield offsets - offsets[0]
    yield data[offsets[0] : offsets[-1]]
