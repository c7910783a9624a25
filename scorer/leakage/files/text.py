"""Tables in text: JSON, notebooks, XML, HTML, workbooks, delimited lines."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from scorer.leakage.files.things import (
    HEAD_BYTES,
    INSIDE,
    MAX_COLUMNS,
    MIN_MAPPING,
    Blob,
    Column,
    Table,
    Thing,
    Unread,
    WalkState,
    as_text,
    table_of,
)
from scorer.leakage.frame import is_number


def decoded(data: bytes) -> str | None:
    """As text; None if it is none."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            return None
    if b"\0" in data[:HEAD_BYTES]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        head = data[:HEAD_BYTES].translate(None, bytes(range(32, 256)) + b"\t\n\r\f")
        return None if head else data.decode("latin-1")


def read_text(path: str, suffix: str, text: str, state: WalkState) -> Iterator[Thing]:
    stripped = text.lstrip()
    if suffix in (".json", ".geojson", ".ipynb", ".jsonl", ".ndjson") or stripped[:1] in ("{", "["):
        if len(text) > state.limits.member_bytes // 4:
            yield Unread(path, f"is too much JSON to be read ({len(text) / 1e6:,.0f} MB)")
            return
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            value = _lines_of_json(stripped)
        if value is not None:
            if suffix == ".ipynb":
                yield from _notebook(path, value, state)
            try:
                yield from _json(path, value, 0, state)
            except RecursionError:
                yield Unread(path, "is nested too deeply")
            return
        if suffix in (".json", ".geojson", ".ipynb", ".jsonl", ".ndjson"):
            yield Unread(path, "is not readable JSON; only its bytes were searched")
            return
    if suffix in (".py", ".r", ".css", ".js"):
        return  # programs: the search of their bytes covers them
    if stripped[:1] == "<":
        yield Unread(path, "is XML or HTML, which is not read as a table; only its bytes were searched")
    else:
        yield from _delimited(path, text, state)


def _lines_of_json(text: str) -> list[Any] | None:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _notebook(path: str, value: Any, state: WalkState) -> Iterator[Thing]:
    """Yield tables in the printed outputs of a notebook."""
    cells = value.get("cells", []) if isinstance(value, dict) else []
    for number, cell in enumerate(cells if isinstance(cells, list) else []):
        outputs = cell.get("outputs", []) if isinstance(cell, dict) else []
        for output in outputs if isinstance(outputs, list) else []:
            if not isinstance(output, dict):
                continue
            data = output.get("data")
            shown = output.get("text") or (data.get("text/plain") if isinstance(data, dict) else None) or ""
            text = "".join(map(str, shown)) if isinstance(shown, list) else str(shown)
            if text.strip():
                yield Blob(f"{path}: output of cell {number + 1}", text.encode())
                yield from _delimited(f"{path}: output of cell {number + 1}", text, state)


def _json(
    path: str, value: Any, level: int, state: WalkState, *, scalars_read: bool = False
) -> Iterator[Thing]:
    """Yield every table a part of a JSON value can be.

    scalars_read: the single values came with the enclosing object.
    """
    if level > 6 or not state.goes_on(path):
        return
    if isinstance(value, list) and value:
        if all(isinstance(item, dict) for item in value):
            yield from _records(path, value, state)
        elif all(_is_scalar(item) for item in value):
            yield from table_of(path, {"values": value}, state)
        elif all(isinstance(item, list) for item in value) and len({len(item) for item in value}) == 1:
            yield from table_of(
                path, {str(i): column for i, column in enumerate(zip(*value, strict=True))}, state
            )
        if len(value) <= 100:
            for i, item in enumerate(value):
                if isinstance(item, dict | list):
                    yield from _json(
                        f"{path}[{i}]" if ": " in path else f"{path}: [{i}]", item, level + 1, state
                    )
    elif isinstance(value, dict) and value:
        flat = {} if scalars_read else _flat(value)
        if flat:
            yield Table(
                path, [Column(name, [as_text(item)]) for name, item in list(flat.items())[:MAX_COLUMNS]]
            )
        parts = list(value.values())
        if len(parts) >= MIN_MAPPING and all(_is_scalar(part) for part in parts):
            yield from table_of(path, {"key": list(value), "value": parts}, state)
        elif len(parts) >= MIN_MAPPING and all(isinstance(part, dict) for part in parts):
            yield from _records(path, [{"key": key, **part} for key, part in value.items()], state)
        elif len(parts) >= MIN_MAPPING and all(isinstance(part, list) for part in parts):
            rows = [{"key": key, **dict(enumerate(part[:50]))} for key, part in value.items()]
            yield from _records(path, rows, state)
        columns = {
            str(key): part
            for key, part in value.items()
            if isinstance(part, list) and part and all(_is_scalar(item) for item in part)
        }
        for length in {len(part) for part in columns.values()}:
            yield from table_of(
                path, {key: part for key, part in columns.items() if len(part) == length}, state
            )
        for key, part in list(value.items())[:200] if len(parts) < 1000 else []:
            if isinstance(part, dict) or (isinstance(part, list) and str(key) not in columns):
                yield from _json(
                    f"{path}.{key}" if ": " in path else f"{path}: {key}",
                    part,
                    level + 1,
                    state,
                    scalars_read=True,
                )


def _records(path: str, rows: Sequence[Mapping[Any, Any]], state: WalkState) -> Iterator[Thing]:
    flat = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in flat[:1000] for name in row)
    yield from table_of(path, {name: [row.get(name) for row in flat] for name in names}, state)


def _flat(value: Mapping[Any, Any], before: str = "", level: int = 0) -> dict[str, Any]:
    """The single values in nested objects, by dotted name."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        name = f"{before}{key}"
        if _is_scalar(part):
            found[name] = part
        elif isinstance(part, dict) and level < 3:
            found |= _flat(part, f"{name}.", level + 1)
        elif isinstance(part, list) and len(part) == 1 and _is_scalar(part[0]):
            found[name] = part[0]
    return found


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _ragged(path: str, rows: Sequence[Sequence[str]], state: WalkState) -> Iterator[Thing]:
    """Rows of cells, the commonest width of them."""
    if len(rows) >= MIN_MAPPING:
        width = Counter(map(len, rows)).most_common(1)[0][0]
        columns = zip(*(row for row in rows if len(row) == width), strict=True)
        arrays = [pa.array(list(column), pa.string()) for column in columns]
        if arrays:
            yield from _with_header(path, arrays, state)


def read_sheets(path: str, data: bytes, state: WalkState) -> Iterator[Thing]:
    """Yield the sheets of an .xlsx file.

    It is a zip of XML; formulas are read by their stored value.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as book:
        texts: dict[str, str] = {}
        for member in book.infolist():
            name = member.filename
            if name == "xl/sharedStrings.xml" or re.fullmatch(r"xl/worksheets/[^/]+\.xml", name):
                with book.open(member) as stream:
                    content = state.read(stream, member.compress_size or 1, f"{path}{INSIDE}{name}")
                if isinstance(content, Unread):
                    yield content
                else:
                    texts[name] = content.decode("utf-8", "replace")
        shared = [
            unescape("".join(re.findall(r"<t(?:\s[^>]*)?>([^<]*)</t>", item)))
            for item in re.split(r"<si\b", texts.pop("xl/sharedStrings.xml", ""))[1:]
        ]
        for name, text in texts.items():
            rows = [_cells(row, shared) for row in re.split(r"<row\b", text)[1:]]
            width = max((max(row, default=0) for row in rows), default=0)
            if 0 < width <= 1000:
                table = [[row.get(place, "") for place in range(1, width + 1)] for row in rows]
                yield from _ragged(f"{path}: {PurePosixPath(name).stem}", table, state)


def _cells(row: str, shared: Sequence[str]) -> dict[int, str]:
    """A row's texts by column, from 1."""
    found: dict[int, str] = {}
    for attributes, body in re.findall(r"<c\b((?:[^>]*[^/>])?)>(.*?)</c>", row, re.DOTALL):
        letters = re.search(r'\br="([A-Z]+)', attributes)
        place = 0
        for letter in letters[1] if letters else "":
            place = place * 26 + ord(letter) - 64
        value = re.search(r"<v>([^<]*)</v>", body) or re.search(r"<t(?:\s[^>]*)?>([^<]*)</t>", body)
        text = value[1] if value else ""
        if 't="s"' in attributes and text.isdigit() and int(text) < len(shared):
            text = shared[int(text)]
        found[place or len(found) + 1] = unescape(text)
    return found


_TOKENS = re.compile(r":\s+|[,;\t |=]+")


def _delimited(path: str, text: str, state: WalkState) -> Iterator[Thing]:
    """Yield the columns of a text.

    Separated by one character throughout, else by any, lines of one form together.
    """
    if re.match(r"\s*(#|%|//)", text):  # comments before a table
        text = re.sub(r"\A(?:\s*(?:#|%|//)[^\n]*\n)+", "", text) or text
    lines = [line for line in text[:HEAD_BYTES].splitlines()[:100] if line.strip()]
    if len(text) > HEAD_BYTES and len(lines) < 100:
        lines = lines[:-1]  # the last may be cut
    if not lines:
        return
    if len(lines) == 1 and len(text) <= HEAD_BYTES:
        parts = [part for part in _TOKENS.split(text.strip()) if part]
        yield Table(path, [Column("text", [text.strip()])])
        if len(parts) >= MIN_MAPPING:
            yield from table_of(path, {"values": parts}, state)
        elif len(parts) > 1:
            yield Table(path, [Column(str(i), [part]) for i, part in enumerate(parts)])
        return
    for delimiter in (",", "\t", ";", "|"):
        if all(delimiter in line for line in lines):
            widths = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
            if len(widths) == 1:
                table = _separated(text, delimiter, widths.pop())
                if table is not None:
                    yield from _with_header(path, table, state)
                    return
    yield from _loose(path, text, state)


def _separated(text: str, delimiter: str, width: int) -> list[pa.Array] | None:
    names = [str(i) for i in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowException:
        return None
    return [pa.concat_arrays(column.chunks) for column in table.columns] if table.num_rows else None


def _with_header(path: str, columns: Sequence[pa.Array], state: WalkState) -> Iterator[Thing]:
    """Yield a table, named by its first row if that differs."""
    first = [column[0].as_py() for column in columns]
    names = [str(i) for i in range(len(columns))]
    is_header = len(columns[0]) > 1 and any(map(str.strip, first)) and len(set(first)) == len(first)
    if is_header:
        # Names are not numbers and do not repeat among the values.
        is_header = not any(is_number(name) for name in first) and not all(
            pa.compute.is_in(column[1:1001], value_set=pa.array([name])).true_count
            for column, name in zip(columns, first, strict=True)
        )
    if is_header:
        names, columns = first, [column[1:] for column in columns]
    yield from table_of(path, dict(zip(names, columns, strict=True)), state)


def _loose(path: str, text: str, state: WalkState) -> Iterator[Thing]:
    """Yield tables of lines that begin alike.

    Of the same first word and number of tokens: logs, NMEA, printed frames.
    """
    by_form: dict[tuple[str, int], list[list[str]]] = {}
    count = 0
    for line in text.splitlines():
        tokens = [token for token in _TOKENS.split(line.strip()) if token]
        if not tokens:
            continue
        count += 1
        if count > 2_000_000 or len(by_form) > 5_000:
            yield Unread(
                path, f"has more lines or kinds of lines than are read; these were the first {count:,}"
            )
            break
        word = "" if is_number(tokens[0]) or len(tokens) < 2 else tokens[0]
        by_form.setdefault((word, len(tokens)), []).append(tokens)
    by_width: dict[int, list[list[str]]] = {}
    for (word, width), rows in by_form.items():
        if word:
            by_width.setdefault(width, [])
            if len(rows) >= MIN_MAPPING:
                columns = zip(*rows, strict=True)
                yield from table_of(
                    f"{path}: lines of {word}", {str(i): column for i, column in enumerate(columns)}, state
                )
        else:
            by_width.setdefault(width, [])
    # And lines of one width whatever they begin with: an id may come first.
    for line in text.splitlines()[:count]:
        tokens = [token for token in _TOKENS.split(line.strip()) if token]
        if len(tokens) in by_width:
            by_width[len(tokens)].append(tokens)
    for width, rows in by_width.items():
        if len(rows) >= MIN_MAPPING:
            # Where nearly all lines have a number, the others are headings.
            flags = np.array([[is_number(token) for token in row] for row in rows])
            numeric = flags.mean(axis=0) >= 0.9
            kept = [row for row, flag in zip(rows, flags, strict=True) if flag[numeric].all()]
            arrays = [pa.array(list(column), pa.string()) for column in zip(*kept, strict=True)]
            if arrays:
                yield from _with_header(f"{path}: lines of {width} words", arrays, state)
