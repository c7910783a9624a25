"""Fill one column of a learning platform's own export with grades; every other byte stays.

The file is cut into cells as it stands, so its encoding, delimiter, quotes and line ends come back as they
were. Platforms match their own file best.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.base.errors import Refused
from app.base.models_classes import Enrolment
from app.classes import columns, rosters, sheets

_MAXIMA = (
    re.compile(
        r"\[[^\]]*?(?:Total Pts|Puntos totales|Gesamtpunktzahl)[^\]0-9]*([0-9]+(?:[.,][0-9]+)?)", re.I
    ),
    re.compile(r"MaxPoints:\s*([0-9][0-9.,]*)", re.I),
)
"""The points that an item is worth, in the headers of Blackboard and Brightspace."""
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]{1,4}")
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")
_GRADE_HEADERS = ("grade", "bewertung", "calificacion", "note", "valutazione")
"""The column of a Moodle worksheet, folded."""


@dataclass(frozen=True)
class _Cell:
    """Where a cell stands in the text, with its quotes."""

    begin: int
    end: int


@dataclass(frozen=True)
class Filled:
    """A file with its grades."""

    content: bytes
    column: str
    """Its header."""
    filled: int
    without: Sequence[str]
    """Students of the file that are not in the class."""
    absent: Sequence[str]
    """Students with a grade that are not in the file."""
    kept: int = 0
    """Students without a grade, whose cell is as it was."""


def fill(
    content: bytes,
    grades: Mapping[int, float | None],
    members: Sequence[Enrolment],
    *,
    column: str | None = None,
    title: str = "",
    chosen: Mapping[str, str] | None = None,
) -> Filled:
    """Return the file with the percent of each enrolment's id in one column, in the item's points.

    A student whose percent is None keeps the cell that the file has.

    The column is named by its header or a part of it that only one has; without a name it is the one with the
    competition's title, or the column *Grade* of a Moodle worksheet.
    """
    roster = rosters.read(content, remembered=chosen)
    if roster.problems:
        raise Refused(f"The file cannot be filled: {len(roster.problems)} problems.", roster.problems)
    sheet = sheets.read(content)
    text, encoding = sheets.decoded(content)
    header = list(sheet.rows[roster.header].cells)
    names = set(roster.positions.values())
    at = _column(header, column, title, names)
    plan = rosters.plan(roster, members, only_add=True)
    if plan.problems:
        raise Refused(f"The file cannot be filled: {len(plan.problems)} problems.", plan.problems)
    total = _points(sheet.rows[roster.header :], header, at)
    comma = _has_decimal_comma(sheet, roster.header, names)
    pieces, last, filled = [], 0, 0
    for line, cells in _cells(text, sheet.delimiter):
        enrolment_id = plan.matched.get(line)
        value_of = None if enrolment_id is None else grades.get(enrolment_id)
        if value_of is None:
            continue
        if at >= len(cells):
            raise Refused(
                f"Line {line} has {len(cells)} cells, and the column {header[at]!r} is number {at + 1}."
            )
        value = f"{value_of * total / 100:.2f}".rstrip("0").rstrip(".")
        if comma:
            value = value.replace(".", ",")
        was = text[cells[at].begin : cells[at].end]
        if was.startswith('"') or sheet.delimiter in value:
            value = f'"{value}"'
        pieces += [text[last : cells[at].begin], value]
        last = cells[at].end
        filled += 1
    pieces.append(text[last:])
    found = set(plan.matched.values())
    return Filled(
        content=_encoded("".join(pieces), encoding, content),
        column=header[at],
        filled=filled,
        without=[one.name or str(one.ids()[0][1]) for one in plan.new],
        absent=[one.name for one in members if grades.get(one.id) is not None and one.id not in found],
        kept=sum(one in grades and grades[one] is None for one in found),
    )


def _column(header: Sequence[str], wanted: str | None, title: str, names: Collection[int]) -> int:
    """Return the column to fill; never one that names students."""
    folded = ["" if at in names else columns.folded(cell) for at, cell in enumerate(header)]
    key = columns.folded(wanted if wanted is not None else title)
    exact = [at for at, name in enumerate(folded) if key and name == key]
    parts = exact or [at for at, name in enumerate(folded) if key and f" {key} " in f" {name} "]
    if wanted is None and not parts:
        parts = [at for at, name in enumerate(folded) if name in _GRADE_HEADERS]
    if len(parts) == 1:
        return parts[0]
    what = f"named {wanted!r}" if wanted is not None else f"with the title {title!r}"
    count = "no column" if not parts else f"{len(parts)} columns"
    raise Refused(
        f"The file has {count} {what}. Name the column to fill (--column); the columns are "
        f"{', '.join(repr(cell[:60]) for cell in header if cell.strip())}."
    )


def _points(rows: Sequence[sheets.Row], header: Sequence[str], at: int) -> float:
    """Return the points that the column's item is worth, as the file states; 100 where it does not."""
    for pattern in _MAXIMA:
        if found := pattern.search(header[at]):
            return _number(found[1], header[at])
    maxima = [
        n for n, name in enumerate(header) if columns.folded(name) in ("maximum grade", "hochste bewertung")
    ]
    for row in rows[1:4]:
        is_possible = row.cells and columns.folded(row.cells[0]) == "points possible"
        place = at if is_possible else maxima[0] if maxima else None
        if place is not None and place < len(row.cells) and (text := row.cells[place].strip()):
            return _number(text, header[at])
    return 100.0


def _number(text: str, header: str) -> float:
    """Return the points that a text states: 100, 12.5, 12,5 or 1,000.00."""
    text = text.rstrip(".,")
    plain = text.replace(",", "") if _GROUPED.fullmatch(text) else text.replace(",", ".")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", plain) or float(plain) <= 0:
        raise Refused(f"The file states {text!r} as the points of {header!r}, which is no number above 0.")
    return float(plain)


def _has_decimal_comma(sheet: sheets.Sheet, header: int, names: Collection[int]) -> bool:
    """Whether the file writes numbers with a comma: by its own, else where a semicolon divides cells."""
    cells = [
        cell.strip()
        for row in sheet.rows[header + 1 :]
        for at, cell in enumerate(row.cells)
        if at not in names
    ]
    if any(re.fullmatch(r"-?[0-9]+\.[0-9]+", cell) for cell in cells):
        return False
    return sheet.delimiter == ";" or any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, list[_Cell]]]:
    """Cut a text into rows of cells with their places; a row begins on its line, the first is 1."""
    at, line = 0, 1
    while at < len(text):
        began, cells = line, []
        while True:
            begin = at
            if at < len(text) and text[at] == '"':
                at += 1
                while at < len(text) and not (text[at] == '"' and text[at + 1 : at + 2] != '"'):
                    at += 2 if text[at] == '"' else 1
                at += 1
            while at < len(text) and text[at] != delimiter and text[at] not in "\r\n":
                at += 1
            line += len(re.findall(r"\r\n|\r|\n", text[begin:at]))
            cells.append(_Cell(begin, min(at, len(text))))
            if at < len(text) and text[at] == delimiter:
                at += 1
                continue
            break
        if text[at : at + 2] == "\r\n":
            at += 2
        else:
            at += 1
        line += 1
        yield began, cells


def _encoded(text: str, encoding: str, original: bytes) -> bytes:
    """Return the bytes of a text in the encoding of the file, with its mark."""
    if encoding == "utf-16":  # Python would write the order of this machine
        order = "utf-16-le" if original.startswith(b"\xff\xfe") else "utf-16-be"
        return original[:2] + text.encode(order)
    return text.encode(encoding)
