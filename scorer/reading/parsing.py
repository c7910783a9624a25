"""Parse received files in this process, or in the sandbox.

`locked_in` decides for all that runs within it, forks as well, so that no path to a participant's file can
omit it. There a file's bytes are unpacked and parsed by scorer/reading/_reader.py in the sandbox, which has
neither labels nor ids. Its texts and arrays are untrusted: each is checked before it is used, and everything
that needs the solution is decided here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from scorer.reading._reader import ARRAY, HEAD, JSON, LETTERS_AT_ONCE, MAX_ARRAY_BYTES
from scorer.reading.cells import NUMERIC_KINDS, Cells
from scorer.reading.columnar import NotColumnar, Raw
from scorer.reading.source import MAX_LINE_BYTES, UnreadableTable
from scorer.reading.tables import MAX_SHOWN_PROBLEMS, Table, open_table
from scorer.report import Notice, Problem
from scorer.sandbox import sandbox
from scorer.sandbox.levels import Level
from scorer.sandbox.sandbox import Limits, SandboxFailed
from scorer.wording import megabytes, show

MEMORY_MB = 2048
"""What reading one file may take. An ordinary one of ten million rows takes some two hundred; Arrow wants all
pages of a row group of Parquet at once."""

_MAX_MESSAGE_BYTES = 1 << 23
"""One record of a million letters, each written as an escape, and what was gathered before it."""

_MAX_WORDS = 4000
_CODE = re.compile(r"[A-Z_]{1,40}", re.ASCII)

_locked = False
_shared: _Run | None = None
_spent = 0.0


@contextmanager
def locked_in() -> Iterator[Level]:
    """Have all files read in the sandbox; yields the level.

    This holds for everything within, forks too. On a machine without a sandbox (level none) files are read as
    without it.

    Raises
    ------
    SandboxFailed
        If the sandbox does not start.
    """
    global _locked  # for every read of this process, however deep
    before = _locked
    _locked = sandbox.isolation().level != "none"
    try:
        yield level()
    finally:
        _locked = before


def level() -> Level:
    """Return the isolation of what reads files here."""
    return sandbox.isolation().level if _locked else "none"


def seconds_spent() -> float:
    """Return the processor time of all that has read files in the sandbox for this process.

    Each reader reports its own. One that was taken over could report less, and is limited like any other.
    """
    return _spent


@contextmanager
def in_one_run(sources: Sequence[Path], *, max_bytes: int) -> Iterator[None]:
    """Have these files read by one process in the sandbox.

    That costs little more than one file. A hostile file can falsify what is read of the others, so they must
    all be of one team, and none of them the one that is being scored.
    """
    global _shared
    if not _locked or not sources:
        yield
        return
    _shared = _Run(sources, max_bytes)
    try:
        yield
    finally:
        _shared.close()
        _shared = None


@contextmanager
def opened(source: Path | bytes, *, max_bytes: int, parquet: bool = False) -> Iterator[Table | LockedTable]:
    """Open a table as `open_table` does, in the sandbox if locked in.

    Raises
    ------
    UnreadableTable
        As `open_table` does, and if the file takes more time or memory than any file may.
    SandboxFailed
        If the reader could not be locked in, was killed, or breaks its protocol. For the operator.
    """
    if not _locked:
        yield open_table(source, max_bytes=max_bytes, parquet=parquet)
        return
    table = LockedTable(source, max_bytes=max_bytes, parquet=parquet)
    try:
        table.open()
        yield table
    finally:
        table.close()


class _Run:
    """A process in the sandbox with some open files.

    It starts when the first of them is read.
    """

    def __init__(self, sources: Sequence[Path | bytes], max_bytes: int) -> None:
        self.sources = sources
        self.seconds = 10 + max_bytes // 1_000_000
        """Of processor time for each: three times what the exact reader needs."""
        self.until = time.monotonic() + 2 * (50 + self.seconds) * len(sources)
        """The deadline by the wall clock, however busy the machine is."""
        self.spent = 0.0
        """Processor time that the reader reports, in seconds."""
        self.session: sandbox.Session | None = None

    def start(self) -> sandbox.Session:
        with ExitStack() as given:
            inputs = []
            for source in self.sources:
                if isinstance(source, bytes):
                    inputs.append(sandbox.sealed(given, source))
                else:
                    inputs.append(os.open(source, os.O_RDONLY | os.O_CLOEXEC))
                    given.callback(os.close, inputs[-1])
            self.session = sandbox.Session(
                "reader",
                "scorer.reading._reader:serve",
                inputs,
                limits=Limits(
                    wall_seconds=max(0.0, self.until - time.monotonic()),
                    memory_mb=MEMORY_MB,
                    cpu_seconds=self.seconds * len(self.sources),
                ),
                layers=sandbox.isolation().layers,
            )
        return self.session

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None
            self.spent = 0.0

    def report(self, seconds: Any) -> None:
        """Count the processor time that the process has taken up to now."""
        global _spent
        if type(seconds) is not float or not self.spent <= seconds <= 2.0 * self.seconds * len(self.sources):
            raise _invalid("no time of its own")
        _spent += seconds - self.spent
        self.spent = seconds


class LockedTable:
    """A table like `Table` whose bytes are read in the sandbox."""

    def __init__(self, source: Path | bytes, *, max_bytes: int, parquet: bool) -> None:
        self.notices: tuple[Notice, ...] = ()
        self._source, self._max_bytes, self._parquet = source, max_bytes, parquet
        self._own = _Run([source], max_bytes)
        self._run = _shared if _shared is not None and source in _shared.sources else self._own
        self._left = 0
        self._is_answering = False

    @cached_property
    def sha256(self) -> str:
        """The hash of the file as received.

        Computed here: the sandbox could claim any.
        """
        if isinstance(self._source, bytes):
            return hashlib.sha256(self._source).hexdigest()
        with self._source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @cached_property
    def size_bytes(self) -> int:
        return len(self._source) if isinstance(self._source, bytes) else self._source.stat().st_size

    def open(self) -> None:
        """Have its first bytes inspected; raises what `opened` does."""
        if self._run.session is None:
            self._run.start()
        file = self._run.sources.index(self._source)
        answer = self._ask(
            {"do": "open", "file": file, "max_bytes": self._max_bytes, "parquet": self._parquet}, "opened"
        )
        if not isinstance(answer, dict):
            raise _invalid("nothing about the file")
        self.notices = tuple(
            Notice(_code(notice.get("code")), _words(notice.get("message")))
            for notice in _mappings(answer.get("notices"))[:1]  # on what it was packed in
        )

    def close(self) -> None:
        """End its run.

        A shared run lives on if its last answer was read to the end.
        """
        if self._run is self._own or self._is_answering:
            self._run.close()
        self._is_answering = False

    def header(self) -> list[str]:
        return _texts_of(self._ask({"do": "header"}, "header"))

    def raw_blocks(
        self, header: Sequence[str], wanted: Mapping[str, Cells], *, id_column: str, numeric_ids: bool
    ) -> Iterator[Raw]:
        command = {
            "do": "plain",
            "header": list(header),
            "wanted": {name: (cells.kind, cells.split) for name, cells in wanted.items()},
            "id_column": id_column,
            "numeric_ids": numeric_ids,
        }
        with self._hashing():
            try:
                for kind, content in self._answers(command):
                    if kind != "block":
                        raise _invalid(f'"{show(kind)}" where a block was due')
                    block = self._block(_whole(content), wanted, numeric_ids=numeric_ids)
                    if not len(block.ids) and not block.n_blank:
                        raise _invalid("a block of nothing")
                    yield block
            except UnreadableTable as error:
                raise NotColumnar(str(error)) from None

    @contextmanager
    def _hashing(self) -> Iterator[None]:
        """Compute the sha256 in a thread meanwhile."""
        thread = threading.Thread(target=lambda: self.sha256)
        try:
            thread.start()
        except RuntimeError:  # no room for a thread: it is taken when it is wanted
            yield
            return
        try:
            yield
        finally:
            thread.join()

    def records(self, *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[tuple[int, list[str]]]:
        is_empty = True
        for kind, content in self._answers({"do": "records", "max_line_bytes": max_line_bytes}):
            if kind != "records" or not isinstance(content, list) or not content:
                raise _invalid(f'"{show(kind)}" where records were due')
            for record in content:
                if not isinstance(record, list) or len(record) != 2:
                    raise _invalid("a record without a line and fields")
                line, fields = _whole(record[0]), record[1]
                is_empty = False
                if type(fields) is int:
                    if not 0 < fields <= LETTERS_AT_ONCE:
                        raise _invalid("more blank lines than are reported at once")
                    yield from ((line + i, []) for i in range(fields))
                    continue
                fields = _texts_of(fields)
                if sum(map(len, fields)) > max_line_bytes or len(fields) > max_line_bytes + 1:
                    raise _invalid("a record of more than a line")
                yield line, fields
        if is_empty:
            raise _invalid("a file without a line")

    # --- answers, checked ---

    def _ask(self, command: Mapping[str, Any], expected: str) -> Any:
        self._send(command)
        kind, content = self._message()
        if kind != expected:
            raise _invalid(f'"{show(kind)}" where "{expected}" was due')
        self._is_answering = False
        return content

    def _answers(self, command: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Every message up to the end."""
        self._send(command)
        while (message := self._message())[0] != "end":
            yield message
        self._is_answering = False
        self._run.report(message[1])

    def _send(self, command: Mapping[str, Any]) -> None:
        if self._is_answering:
            # The caller stopped early; the child would finish this file before the next request.
            self.close()
            self._run = self._own
            self.open()
        # A number of one letter takes eight bytes, a blank line a dozen.
        self._left = 64 * self._max_bytes + _MAX_MESSAGE_BYTES
        self._is_answering = True
        assert self._run.session is not None
        self._run.session.send(command)

    def _message(self) -> tuple[str, Any]:
        text = self._piece(JSON, _MAX_MESSAGE_BYTES)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _invalid("no JSON") from error
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[0], str):
            raise _invalid("a message of another form")
        if b"\\u" in text:
            _refuse_impossible(message)
        kind, content = message
        if kind in ("not_columnar", "refused", "out_of_memory"):
            self._is_answering = False
        if kind == "not_columnar":
            raise NotColumnar("the reader reports it")
        if kind == "refused":
            raise UnreadableTable(*map(_problem, _mappings(content)[:MAX_SHOWN_PROBLEMS]))
        if kind == "out_of_memory":
            raise _too_expensive(f"{megabytes(MEMORY_MB * 1e6)} of memory")
        return kind, content

    def _piece(self, kind: bytes, most_bytes: int) -> bytearray:
        assert self._run.session is not None
        try:
            received, n_bytes = HEAD.unpack(self._run.session.read(HEAD.size))
            self._left -= HEAD.size + n_bytes
            if received != kind or n_bytes > most_bytes or self._left < 0:
                raise _invalid("a piece of another kind or size")
            if time.monotonic() > self._run.until:
                raise SandboxFailed("Reading the file took too long and was ended.")
            return self._run.session.read(n_bytes)
        except sandbox.Ended as end:
            if end.signal == signal.SIGXCPU:
                raise _too_expensive(f"{self._run.seconds} seconds of processor time") from None
            raise

    def _array(self, dtype: type[np.generic]) -> NDArray[Any]:
        content = self._piece(ARRAY, MAX_ARRAY_BYTES)
        if len(content) % np.dtype(dtype).itemsize:
            raise _invalid("an array of broken numbers")
        return np.frombuffer(content, dtype=dtype)

    def _block(self, n_blank: int, wanted: Mapping[str, Cells], *, numeric_ids: bool) -> Raw:
        ids = self._array(np.int64) if numeric_ids else self._texts()
        columns = {name: self._column(cells, len(ids)) for name, cells in wanted.items()}
        return Raw(ids, columns, n_blank)

    def _column(self, cells: Cells, n_rows: int) -> Any:
        if cells.kind in NUMERIC_KINDS:
            values: Any = self._array(np.float64)
        elif cells.kind == "text":
            values = self._texts()
        elif cells.kind == "label":
            values = self._coded()
        else:
            coded, offsets = self._coded(), self._array(np.int64)
            if not len(offsets) or not _ascend(offsets, len(coded)):
                raise _invalid("lists without bounds")
            if len(offsets) != n_rows + 1:
                raise _invalid("a column of another length")
            return coded, offsets
        if len(values) != n_rows:
            raise _invalid("a column of another length")
        return values

    def _coded(self) -> pa.DictionaryArray:
        names, codes = self._texts(), self._array(np.int32)
        if len(names) > len(codes):
            raise _invalid("a name without a row")
        if len(codes) and not (codes.min() >= 0 and codes.max() < len(names)):
            raise _invalid("a code without a name")
        return pa.DictionaryArray.from_arrays(pa.array(codes), names)

    def _texts(self) -> pa.StringArray:
        """Return strings that are safe to use.

        Arrow trusts offsets and does not check that bytes are UTF-8.
        """
        offsets, data = self._array(np.int64), self._piece(ARRAY, MAX_ARRAY_BYTES)
        if not len(offsets) or not _ascend(offsets, len(data)):
            raise _invalid("texts without bounds")
        if b"\0" in data:
            raise _invalid("texts with a NUL")
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                raise _invalid("texts that are not UTF-8") from error
            inner = offsets[offsets < len(data)]
            if ((np.frombuffer(data, dtype=np.uint8)[inner] & 0xC0) == 0x80).any():
                raise _invalid("texts cut within a character")
        buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
        return pa.StringArray.from_buffers(len(offsets) - 1, buffers[1], buffers[2])


def _ascend(offsets: NDArray[np.int64], end: int) -> bool:
    return bool(offsets[0] == 0 and offsets[-1] == end and (offsets[1:] >= offsets[:-1]).all())


def _invalid(what: str) -> SandboxFailed:
    return SandboxFailed(f"The reader in the sandbox gave {what}; the file may have taken it over.")


def _too_expensive(what: str) -> UnreadableTable:
    message = (
        f"Reading the file takes more than {what}, which no ordinary submission does. Save it as plain CSV."
    )
    return UnreadableTable(Problem("TOO_LARGE", message))


def _words(value: Any) -> str:
    """Return a text for people: cut, invisible characters escaped."""
    if not isinstance(value, str):
        raise _invalid("something that is no text")
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in value[:_MAX_WORDS])


def _code(value: Any) -> str:
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise _invalid("an unknown code")
    return value


def _refuse_impossible(value: Any) -> None:
    """Refuse texts that no file holds.

    Half a character, as JSON can write it, and NUL, which every reader refuses.
    """
    if isinstance(value, list):
        for each in value:
            _refuse_impossible(each)
    elif isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise _invalid("texts that no file can hold")


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**31:
        raise _invalid("something that is no count")
    return value


def _texts_of(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(type(text) is str for text in value):
        raise _invalid("something that is no list of texts")
    return value


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _invalid("something that is no list of problems")
    return value


def _problem(given: Mapping[str, Any]) -> Problem:
    words = {name: _words(given.get(name, "")) for name in ("message", "id", "column", "value")}
    return Problem(
        _code(given.get("code")),
        words["message"],
        line=_whole(given["line"]) if "line" in given else None,
        id=words["id"] or None,
        column=words["column"] or None,
        value=words["value"] or None,
        count=_whole(given.get("count", 1)),
    )
