"""Read an organiser's table kindly, as text by column.

A submission is refused where it could be misread. An organiser's own table is read as the program that wrote
it meant it, and each thing that was understood is a note that the organiser sees.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from scorer.authoring.numbers import with_plain_numbers
from scorer.leakage.frame import Frame, Unreadable, composed_cells, read_frame
from scorer.reading.forms import composed
from scorer.reading.packing import packing_of
from scorer.reading.separators import SEPARATORS
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, open_table, stream_of
from scorer.report import HeldoutError
from scorer.wording import LISTED, show, some

MAX_BYTES = 8_000_000_000
MAX_COLUMNS = 20_000
_HEAD_LINES = 200
_ROW_NAMES = ("unnamed: 0", "index", "rownames", "row.names", "row_names")


class Unusable(HeldoutError):
    """The table, or what was chosen for it, makes no challenge; the text is for its author."""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    """Of the file, without folder and ending."""
    frame: Frame
    notes: tuple[str, ...] = ()
    """What was understood of the file, one sentence each."""


def read_table(path: Path) -> Table:
    """Read CSV, TSV, Parquet or Excel; gzip or a zip of one file too.

    Separators (comma, semicolon, tab, bar), decimal commas, UTF-8, UTF-16 and Windows' code page are
    recognised. A column of row numbers without a name is left out. Raises Unusable.
    """
    return read_tables([path])


def read_tables(paths: Sequence[Path]) -> Table:
    """Read tables with the same columns as one, named like the first."""
    parts = [_part(path) for path in paths]
    first, *others = parts
    for other in others:
        if set(other.frame.names) != set(first.frame.names):
            lacking = sorted(set(first.frame.names) ^ set(other.frame.names))
            raise Unusable(
                f"{first.path.name} and {other.path.name} have different columns ({some(lacking)}). "
                "Tables are joined row below row; give one table, or several with the same columns."
            )
    notes = [f"{part.path.name}: {note}" if others else note for part in parts for note in part.notes]
    frame = first.frame.followed_by([other.frame for other in others]) if others else first.frame
    # Only all rows show which form a column's numbers have, and whether it is empty.
    frame = with_plain_numbers(
        frame, notes, prefers_decimal_comma=any(part.separator == ";" for part in parts)
    )
    empty = [name for name in frame.names if bool(frame.feature(name).missing.all())]
    if empty:
        notes.append(f"Columns without any value are left out: {some(empty)}.")
        frame = frame.without(empty)
    if not frame.names:
        raise Unusable(f"{first.path.name} has no column with a value.")
    return Table(first.path.name.partition(".")[0], frame, tuple(notes))


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    frame: Frame
    separator: str | None
    """Of a text file."""
    notes: tuple[str, ...]


def _part(path: Path) -> _Part:
    notes: list[str] = []
    try:
        frame, separator = _read(path, notes)
    except (Unreadable, UnreadableTable) as reason:
        words = reason.problems[0].message if isinstance(reason, UnreadableTable) else str(reason)
        words = words.replace(f"{path.parent}/", "")  # which may be a worker's, in the vault
        words = words if words.startswith(path.name) else words[:1].upper() + words[1:]
        raise Unusable(f"{words.rstrip('.')}.") from None
    frame = _without_row_names(frame, notes)
    if len(frame.names) > MAX_COLUMNS:
        raise Unusable(f"{path.name} has {len(frame.names):,} columns; the limit is {MAX_COLUMNS:,}.")
    return _Part(path, frame, separator, tuple(notes))


def _read(path: Path, notes: list[str]) -> tuple[Frame, str | None]:
    if not path.is_file():
        raise Unreadable(f"there is no file {path}")
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return _parquet(path), None
    if is_workbook(path, start):
        return _workbook(path, notes), None
    content = _text(path, start, notes)
    head = content[: 1 << 20].decode("utf-8", "replace").splitlines()[:_HEAD_LINES]
    separator = _separator(head)
    if separator != ",":
        notes.append(f"Columns are separated by {SEPARATORS[separator]}.")
    header, skipped = _header(head, separator, path.name)
    try:
        read = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows=skipped, block_size=1 << 24),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, delimiter=separator),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in header}, strings_can_be_null=False
            ),
        )
    except MemoryError:
        raise  # Arrow's own is an ArrowException too, and not the file's fault
    except pa.ArrowException as error:
        raise Unreadable(
            f"{path.name} could not be read: {_broken(content, len(header), separator, error)}"
        ) from None
    if read.num_rows == 0:
        raise Unreadable(f"{path.name} has no rows")
    return Frame(composed_cells(read).combine_chunks()), separator


def _parquet(path: Path) -> Frame:
    if path.suffix.lower() == ".parquet":
        # pandas keeps the names of rows in a last column.
        return read_frame(path).renamed({"__index_level_0__": "unnamed: 0"}).with_first("unnamed: 0")
    raise Unreadable(f"{path.name} is a Parquet file; give its name the ending .parquet")


def is_workbook(path: Path, start: bytes) -> bool:
    return path.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".ods", ".xlsb") or start.startswith(
        b"\xd0\xcf\x11\xe0"
    )


def _workbook(path: Path, notes: list[str]) -> Frame:
    """Read the first sheet that has rows; needs python-calamine."""
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ModuleNotFoundError:
        raise Unreadable(f"{path.name} is a workbook; install python-calamine, or save it as CSV") from None
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        sheets = [(name, workbook.get_sheet_by_name(name).to_python()) for name in workbook.sheet_names]
    except (CalamineError, OSError) as error:
        raise Unreadable(f"{path.name} could not be read as a workbook: {str(error)[:160]}") from None
    sheets = [(name, rows) for name, rows in sheets if len(rows) > 1]
    if not sheets:
        raise Unreadable(f"{path.name} has no sheet with a header and rows")
    name, rows = sheets[0]
    if len(sheets) > 1:
        others = ", ".join(show(other) for other, _ in sheets[1 : 1 + LISTED])
        notes.append(f"Sheet {show(name)} is used; left out: {others}.")
    header = _unique([composed(_plain(cell)) for cell in rows[0]], path.name)
    columns = [
        [_plain(row[place]) if place < len(row) else "" for row in rows[1:]] for place in range(len(header))
    ]
    table = pa.table([pa.array(column, pa.string()) for column in columns], names=header)
    return Frame(composed_cells(table).combine_chunks())


def _plain(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return "" if cell is None else str(cell).strip()


def _text(path: Path, start: bytes, notes: list[str]) -> bytes:
    """Return the unpacked content in UTF-8."""
    if packing_of(start) is None and path.stat().st_size <= MAX_BYTES:
        content = path.read_bytes()
    else:
        content = stream_of(open_table(path, max_bytes=MAX_BYTES)).read()
    if not content.strip():
        raise Unreadable(f"{path.name} is empty")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        notes.append("The file is in UTF-16.")
        return content.decode("utf-16", "replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        content.decode()
    except UnicodeDecodeError:
        notes.append("The file is not in UTF-8; it was read as Windows' code page 1252.")
        content = content.decode("cp1252", "replace").encode()
    if b"\x00" in content[:1000]:
        raise Unreadable(f"{path.name} is not text")
    return content


def _separator(head: Sequence[str]) -> str:
    """Return what splits the first lines into the same number of fields, most of them."""
    best, most = ",", 1
    for separator in (",", ";", "\t", "|"):
        try:
            rows = [row for row in csv.reader(head[:-1] or head, delimiter=separator) if row]
        except csv.Error:
            continue
        if not rows:
            continue
        widths = Counter(len(row) for row in rows[1:] or rows)
        width, count = max(widths.items(), key=lambda item: item[1], default=(1, 0))
        # Decimal commas split rows as well, but not the header. R leaves the name of the row names out.
        splits_header = len(rows[0]) == width or 1 < len(rows[0]) == width - 1
        if width > most and count >= 0.9 * sum(widths.values()) and splits_header:
            best, most = separator, width
    return best


def _header(head: Sequence[str], separator: str, name: str) -> tuple[list[str], int]:
    """Return the columns' names, and how many lines stand before the first row."""
    # Excel's first line may state the separator.
    blank = next((n for n, line in enumerate(head) if line.strip() and not line.startswith("sep=")), 0)
    try:
        reader = csv.reader(head[blank:], delimiter=separator)
        names = [composed(field.strip(SPACES)) for field in next(reader)]
        before = blank + reader.line_num
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise Unreadable(f"{name} could not be read: {error}") from None
    if rows and all(len(row) == len(names) + 1 for row in rows[:20]):
        # R's write.table names every column but that of the row names; others end each row with a separator.
        ends_empty = all(row[-1] == "" for row in rows)
        names = [*names, ""] if ends_empty else ["", *names]
    if any(names) and all(
        re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)?", each, re.IGNORECASE) for each in names if each
    ):
        raise Unreadable(
            f"the first line of {name} holds numbers, not the names of the columns; write these before it"
        )
    if len(names) > 2 and sum(not each for each in names) > len(names) / 2:
        raise Unreadable(
            f"the first line of {name} names few columns ({names[0] or names[1]}); remove titles above the "
            "names"
        )
    return _unique(names, name), before


def _unique(names: Sequence[str], file: str) -> list[str]:
    twice = [name for name, count in Counter(name for name in names if name).items() if count > 1]
    if twice:
        raise Unreadable(f"{file} has two columns of one name: {some(twice)}; rename one of them")
    return [name or f"unnamed: {place}" for place, name in enumerate(names)]


def _broken(content: bytes, width: int, separator: str, error: pa.ArrowException) -> str:
    """Return where the lines stop being a table, in words."""
    reader = csv.reader(io.TextIOWrapper(io.BytesIO(content), "utf-8", newline=""), delimiter=separator)
    try:
        for row in reader:
            if row and len(row) != width:
                return f"line {reader.line_num} has {len(row)} values, the header {width} columns"
    except csv.Error as wrong:
        return f"line {reader.line_num}: {wrong}"
    # Arrow quotes the row after the second colon, and a message must hold no row.
    return ":".join(" ".join(str(error).split()).split(":")[:2])[:160]


def _without_row_names(frame: Frame, notes: list[str]) -> Frame:
    name = frame.names[0]
    if name.lower() not in _ROW_NAMES:
        return frame
    feature = frame.feature(name)
    numbers = feature.numbers
    if feature.kind == "number" and len(frame.names) > 1 and bool((np.diff(numbers) == 1).all()):
        notes.append("The first column only numbers the rows; it is left out.")
        return frame.without([name])
    return frame if name != "unnamed: 0" else frame.renamed({name: "row_name"})
