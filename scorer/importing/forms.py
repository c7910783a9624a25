"""Read a small table in the forms that other platforms use, as columns of text.

A form is a mapping that JSON can hold, from which `adapters.forms.written` writes other rows alike:

    kind        csv (with a header), plain (no header), npy, json_list, json_map (by key), json_records
    columns     names in order; those without a name of their own are value, or c1, c2, ...
    separator   of csv and plain
    kinds       of JSON cells: text, number or flag, by column
    within      the keys of JSON objects that the rows lie in
    flat        of json_map and npy: one value a row
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scorer.importing.account import CannotImport
from scorer.importing.bundle import Bundle
from scorer.reading.cells import NUMBER
from scorer.wording import show

MAX_TABLE_BYTES = 500_000_000
MAX_ROWS = 20_000_000
MAX_COLUMNS = 5_000
Columns = dict[str, list[str]]
Form = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    columns: Columns
    form: Form
    file: str
    """Name of the file, without its folder."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    @property
    def names(self) -> list[str]:
        return list(self.columns)


def read_rows(bundle: Bundle, name: str, *, header: bool | None = None) -> Rows:
    """Return the rows of a file; raises CannotImport, with the reason, where it is no table.

    `header` states whether the first line of a text names the columns; None: its cells show it.
    """
    content = bundle.read(name, MAX_TABLE_BYTES)
    file = name.rpartition("/")[2]
    try:
        columns, form = _parsed(content, file, header)
    except (ValueError, csv.Error, RecursionError) as error:
        words = " ".join(str(error).split())[:160]
        raise CannotImport(f"{show(name)} is no table that can be taken: {words}.") from None
    return Rows(columns, form, file)


def read_csv(bundle: Bundle, name: str) -> Columns:
    """Return the columns of a CSV file with a header; raises CannotImport."""
    rows = read_rows(bundle, name, header=True)
    if rows.form["kind"] != "csv":
        raise CannotImport(f"{show(name)} has no header with the names of its columns.")
    return rows.columns


def header_of(bundle: Bundle, name: str) -> list[str]:
    """Return the names of the columns of a CSV file, empty where it is none."""
    with bundle.path(name).open("rb") as stream:
        line = stream.readline(1 << 20)
    text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        return next(csv.reader([text], delimiter=_separator([text])), [])
    except csv.Error:
        return []


def _parsed(content: bytes, file: str, header: bool | None) -> tuple[Columns, Form]:
    suffix = file.rpartition(".")[2].lower()
    if content.startswith(b"\x93NUMPY"):
        return _array(content)
    if b"\0" in content[:4096]:
        raise ValueError("it is not text")
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    if not text.strip():
        raise ValueError("it is empty")
    if suffix in ("json", "jsonl") or (text.lstrip()[0] in "[{" and not header):
        return _json(text)
    return _lines(text, header=header, is_csv=suffix in ("csv", "tsv"))


def _array(content: bytes) -> tuple[Columns, Form]:
    values = np.load(io.BytesIO(content), allow_pickle=False)
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        raise ValueError("only arrays of numbers with one or two dimensions are tables")
    table = values.reshape(len(values), -1)
    names = _names(table.shape[1])
    columns = {name: [_text(cell) for cell in table[:, i].tolist()] for i, name in enumerate(names)}
    flat = values.ndim == 1
    return columns, {"kind": "npy", "columns": names, "dtype": values.dtype.str, "flat": flat}


def _lines(text: str, *, header: bool | None, is_csv: bool) -> tuple[Columns, Form]:
    head = text[: 1 << 16].splitlines()[:100]
    separator = _separator(head)
    if separator == " ":
        rows = [line.split() for line in text.splitlines() if line.strip()]
    else:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
    width = len(rows[0])
    if width > MAX_COLUMNS or len(rows) > MAX_ROWS:
        raise ValueError("it has too many rows or columns")
    uneven = next((number for number, row in enumerate(rows, 1) if len(row) != width), None)
    if uneven is not None:
        raise ValueError(f"row {uneven} has {len(rows[uneven - 1])} cells and the first one {width}")
    first = rows[0]
    if header is None and (is_csv or width > 1):
        # Names are words, each another, and the column below is often of another kind.
        looks = all(first) and not any(map(_is_number, first)) and len(set(first)) == width
        header = looks and (is_csv or any(map(_is_number, rows[1] if len(rows) > 1 else [])))
    if header:
        names = [name.strip() for name in first]
        if (empty := next((place for place, name in enumerate(names, 1) if not name), None)) is not None:
            raise ValueError(f"column {empty} has no name (pandas writes row numbers so): name or remove it")
        if len(set(names)) < width:
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns have the name {show(twice)}")
        rows = rows[1:]
        if not rows:
            raise ValueError("it has no rows")
    else:
        names = _names(width)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    kind = "csv" if header else "plain"
    return columns, {"kind": kind, "columns": names, "separator": separator}


def _separator(head: Sequence[str]) -> str:
    for separator in (",", "\t", ";", "|"):
        counts = {line.count(separator) for line in head if line.strip()}
        if min(counts, default=0) > 0 and (len(counts) == 1 or separator == ","):
            return separator
    widths = {len(line.split()) for line in head if line.strip()}
    several = len(widths) == 1 and max(widths) > 1
    numbers = all(_is_number(word) for line in head[1:3] for word in line.split())
    return " " if several and numbers else ","


def _json(text: str) -> tuple[Columns, Form]:
    try:
        content: Any = json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        content = [json.loads(line) for line in lines]
    within: list[str] = []
    while isinstance(content, dict) and len(content) == 1 and isinstance(only := next(iter(content)), str):
        if not isinstance(content[only], dict | list):
            break
        within.append(only)
        content = content[only]
    if isinstance(content, dict) and content and all(map(_is_cell, content.values())):
        return _shaped(
            [{"id": key, "value": cell} for key, cell in content.items()], "json_map", within, True
        )
    if isinstance(content, dict) and content and all(isinstance(row, dict) for row in content.values()):
        rows = [{"id": key} | {n: c for n, c in row.items() if n != "id"} for key, row in content.items()]
        return _shaped(rows, "json_map", within, False)
    if isinstance(content, list) and content and all(map(_is_cell, content)):
        return _shaped([{"value": cell} for cell in content], "json_list", within, True)
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        return _shaped(content, "json_records", within, False)
    raise ValueError("its JSON is neither a list of rows nor an object of values by key")


def _shaped(
    rows: Sequence[Mapping[str, Any]], kind: str, within: list[str], flat: bool
) -> tuple[Columns, Form]:
    names = list(rows[0])
    for number, row in enumerate(rows, 1):
        if list(row) != names and set(row) != set(names):
            raise ValueError(f"row {number} has other keys than the first")
        if not all(map(_is_cell, row.values())):
            raise ValueError(f"row {number} holds lists or objects, and a cell is one value")
    kinds = {name: _kind([row[name] for row in rows]) for name in names}
    columns = {name: [_text(row[name]) for row in rows] for name in names}
    return columns, {"kind": kind, "columns": names, "kinds": kinds, "within": within, "flat": flat}


def _kind(cells: Sequence[Any]) -> str:
    filled = [cell for cell in cells if cell is not None]
    if filled and all(isinstance(cell, bool) for cell in filled):
        return "flag"
    if filled and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in filled):
        return "number"
    return "text"


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _text(cell: Any) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return repr(cell) if isinstance(cell, float) else str(cell)


def _is_number(text: str) -> bool:
    return re.fullmatch(NUMBER, text.strip()) is not None


def _names(width: int) -> list[str]:
    return ["value"] if width == 1 else [f"c{i}" for i in range(1, width + 1)]
