"""Read the table that a learning platform exports: encoding, delimiter, header and rows with their lines."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.base.errors import Refused

MOST_BYTES = 5_000_000
MOST_ROWS = 20_000
MOST_COLUMNS = 1_000
MOST_CHARACTERS = 1_000
"""Of a cell that names a student."""
DELIMITERS = ",;\t|"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_LOOKED_AT = 4096
_SIGNATURES = (
    (b"PK\x03\x04", "an Excel workbook or another zip"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook of the old binary form"),
    (b"%PDF", "a PDF"),
)


@dataclass(frozen=True)
class Row:
    line: int
    """The line of the file on which it begins; the first is 1."""
    cells: Sequence[str]

    @property
    def is_empty(self) -> bool:
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True)
class Sheet:
    """A table as text: its rows in the file's order, the header among them."""

    encoding: str
    delimiter: str
    rows: Sequence[Row] = field(repr=False)
    """Without empty rows and without Excel's line `sep=;`."""


def read(content: bytes) -> Sheet:
    """Return the table of a file's bytes; refuse what is no table of text."""
    if len(content) > MOST_BYTES:
        raise Refused(
            f"The file has {len(content):,} bytes; a roster has at most {MOST_BYTES:,}. "
            "Export the list of participants without submissions."
        )
    text, encoding = decoded(content)
    lines = text.splitlines(keepends=True)
    first = next((line for line in lines if line.strip()), "")
    if not first:
        raise Refused("The file is empty: it has no line with text.")
    named = first.strip('\r\n "').lower()  # not a tab, which may be the delimiter that it names
    if named.startswith("sep=") and len(named) == 5:  # a line for Excel alone
        delimiter, skipped = named[4], 1 + lines.index(first)
    else:
        delimiter, skipped = delimiter_of(text), 0
    rows = _rows(text, delimiter)
    return Sheet(encoding, delimiter, [row for row in rows if row.line > skipped and not row.is_empty])


def decoded(content: bytes) -> tuple[str, str]:
    """Return text and encoding of a file: by its mark, else UTF-8, UTF-16 or Windows-1252 by its bytes."""
    for signature, kind in _SIGNATURES:
        if content.startswith(signature):
            raise Refused(f"The file is {kind}. Save it as CSV (UTF-8) and import that.")
    encoding = next((name for mark, name in _BOMS if content.startswith(mark)), "") or _without_mark(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as wrong:
        line = wrong.object[: wrong.start].count(b"\n") + 1  # without the mark
        raise Refused(
            f"Line {line}: the bytes are not {encoding.removesuffix('-sig').upper()}, as its beginning says. "
            "Export it again, as CSV in UTF-8."
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise Refused(f"Line {line} holds a NUL character; the file is damaged or no text. Export it again.")
    return text, encoding


def _without_mark(content: bytes) -> str:
    head = content[:_LOOKED_AT]
    if len(content) % 2 == 0 and head.count(0) > len(head) // 8:
        odd = head[1::2].count(0)
        return "utf-16-le" if odd > head[::2].count(0) else "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def delimiter_of(text: str) -> str:
    """Return the delimiter that divides the first rows into the most cells, each row alike.

    A comma inside quotes, as in "Doe, Jane", is no delimiter, because the rows are read as CSV.
    """
    head = text[: 64 * _LOOKED_AT]
    found = {}
    for delimiter in DELIMITERS:
        try:
            widths = [len(row.cells) for row in _rows(head, delimiter, strict=False)[:20] if not row.is_empty]
        except Refused:
            continue
        # The header decides: rows below may have a delimiter in a cell without quotes.
        found[delimiter] = (widths[0] if widths else 0, sum(width > 1 for width in widths))
    return max(found, key=lambda one: (found[one], -DELIMITERS.index(one)), default=",")


def _rows(text: str, delimiter: str, *, strict: bool = True) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
    rows: list[Row] = []
    last = 0
    try:
        for cells in reader:
            rows.append(Row(last + 1, cells))
            last = reader.line_num
            if len(cells) > MOST_COLUMNS:
                raise Refused(
                    f"Line {rows[-1].line} has {len(cells):,} cells; at most {MOST_COLUMNS:,} are read."
                )
            if len(rows) > MOST_ROWS:
                raise Refused(f"The file has more than {MOST_ROWS:,} rows; a class has at most as many.")
    except csv.Error as wrong:
        raise Refused(
            f"Line {last + 1}: a cell that begins with a quote does not end as one ({wrong})."
        ) from None
    return rows


def line_list(lines: Iterable[int]) -> str:
    """Return `lines 3, 7 and 9`."""
    numbers = [str(line) for line in lines]
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    return f"lines {', '.join(numbers[:-1])} and {numbers[-1]}"
