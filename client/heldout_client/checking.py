"""Check a file of predictions against the schema of its competition, before it is sent.

It decides as the server does on everything it checks, from public knowledge alone; what only the server can
check is named in `Verdict.unchecked`. Problems mean that the server would refuse the file; warnings are about
files that it accepts and that are rarely meant.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heldout_client.cells import NUMBER, Column, canonical_label
from heldout_client.content import Content
from heldout_client.header import header_problems
from heldout_client.problems import ID_JOINT, LISTED, SPACES, Problem, Unreadable, how_many, show, show_id
from heldout_client.respelling import respelt
from heldout_client.table import MIN_UNPACKED_BYTES, Record, Table, is_blank, split_again

MAX_PROBLEMS = 20
PREVIEW_ROWS = 5
_MAX_BLANK_ROWS = 1_048_576
_OFF_BY = 1e-3


@dataclass(frozen=True)
class Schema:
    """What a file must look like: the answer of the server, and the ids and ranges of its sample."""

    id_columns: tuple[str, ...]
    id_rule: str
    """"exactly_once", "others_ignored" or "not_checked"."""
    columns: tuple[Mapping[str, Any], ...] | None
    """None: of a version that was published before there were schemas."""
    rows: tuple[Mapping[str, Any], ...] = ()
    metric_kind: str = ""
    max_bytes: int = MIN_UNPACKED_BYTES
    parquet: bool = False
    n_ids: int | None = None
    ids_sha256: str | None = None
    ids: Sequence[str] | None = None
    sample: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column: different cells of the sample submission, at most twenty."""

    @classmethod
    def of(cls, document: Mapping[str, Any], **more: Any) -> Schema:
        """Return the schema of an answer of the server; `more` are fields that it does not list."""
        ids, metric = document.get("ids") or {}, document.get("metric") or {}
        columns = document.get("columns")
        return cls(
            id_columns=tuple(ids.get("columns") or ()),
            id_rule=str(ids.get("rule") or "not_checked"),
            columns=tuple(columns) if ids and columns is not None else None,
            rows=tuple(document.get("rows") or ()),
            metric_kind=str(metric.get("kind") or ""),
            max_bytes=int(document.get("max_bytes") or MIN_UNPACKED_BYTES),
            parquet="parquet" in (document.get("formats") or ()),
            n_ids=ids.get("count"),
            ids_sha256=ids.get("sha256"),
            **{"ids": ids.get("values"), **more},
        )

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.id_columns, *(str(column["name"]) for column in self.columns or ()))


@dataclass(frozen=True)
class Verdict:
    """Whether the server would take a file, why not, and what is odd about it."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()
    unchecked: tuple[str, ...] = ()
    n_rows: int = 0
    preview: tuple[tuple[str, ...], ...] = ()
    """Header and first rows."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "rows": self.n_rows,
            "problems": [problem.as_dict() for problem in self.problems],
            "warnings": [warning.as_dict() for warning in self.warnings],
            "unchecked": list(self.unchecked),
        }


def check(content: Content, schema: Schema) -> Verdict:
    """Return the verdict on one file."""
    try:
        table = Table(content, max_bytes=schema.max_bytes)
        if table.is_parquet:
            if schema.parquet:
                return Verdict((), unchecked=("a Parquet file, which only the server reads",))
            raise Unreadable("NOT_CSV", "The file is Parquet, not CSV; upload CSV.")
        if schema.columns is None:
            return Verdict((), unchecked=("all of it, since this competition has no schema",))
        records = table.records()
        _, header = next(records)
        names = [one_form(name).strip(SPACES) for name in header]
        if sorted(names) != sorted(schema.names):
            return Verdict(tuple(header_problems(names, schema.names, frozenset(schema.ids or ()))))
        if schema.id_rule == "not_checked":
            return Verdict((), unchecked=("the rows, which the metric matches itself",))
        return _Rows(names, schema).read(records)
    except Unreadable as error:
        return Verdict((error.problem,))


def one_form(text: str) -> str:
    """Return a text in Unicode's composed form, with one kind of line break."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
    return plain if plain.isascii() else unicodedata.normalize("NFC", plain)


class _Rows:
    """The records of one file."""

    def __init__(self, names: list[str], schema: Schema) -> None:
        self.schema, self.names = schema, names
        self.columns = [_column(entry, schema) for entry in schema.columns or ()]
        self.id_at = [names.index(name) for name in schema.id_columns]
        self.at = [names.index(column.name) for column in self.columns]
        self.known = None if schema.ids is None else frozenset(schema.ids)
        self.lines: dict[str, int] = {}
        """By id: the line where it stands first."""
        self.duplicates: dict[str, list[int]] = {}
        self.unknown: list[tuple[str, int]] = []
        self.ragged: dict[tuple[int, bool], list[tuple[int, list[str]]]] = {}
        self.n_ragged: Counter[tuple[int, bool]] = Counter()
        self.n_quoted: Counter[tuple[int, bool]] = Counter()
        self.shifted: set[str] = set()
        self.n_placed = self.n_blank = self.unplaced = 0
        self.repeated_headers: list[int] = []
        self.without_id: list[int] = []
        self.broken: list[Problem] = []
        self.complete = True
        self.preview: list[tuple[str, ...]] = [tuple(names)]
        self.rules = [_Rule(entry, self.columns) for entry in schema.rows]
        self.values = _Values(self.columns)

    def read(self, records: Iterable[Record]) -> Verdict:
        n_ids = self.schema.n_ids if self.known is None else len(self.known)
        left = 2 * n_ids + 1000 if n_ids is not None and self.is_exact else 10**9
        try:
            for line, raw in records:
                fields = [one_form(text) for text in raw]
                if is_blank(fields):
                    self.n_blank += 1
                    if self.n_blank > _MAX_BLANK_ROWS:
                        words = f"There are more than {_MAX_BLANK_ROWS} empty rows; delete them."
                        raise Unreadable("EMPTY_ROWS", words, line)
                    continue
                self._take(line, fields)
                left -= 1
                if left < 0:
                    self.complete = False
                    break
        except Unreadable as error:
            self.broken.append(error.problem)
            self.complete = False
        return self._verdict()

    @property
    def is_exact(self) -> bool:
        return self.schema.id_rule == "exactly_once"

    def _is_id(self, key: str) -> bool:
        return self.known is None or key in self.known

    def _key(self, fields: Sequence[str]) -> str:
        return ID_JOINT.join(fields[position] for position in self.id_at)

    def _take(self, line: int, fields: list[str]) -> None:
        if len(self.preview) <= PREVIEW_ROWS:
            self.preview.append(tuple(fields))
        right = len(fields) == len(self.names)
        if right and self.known is not None and (key := self._key(fields)) in self.known:
            self._place(key, line, fields)
            return
        if right and [name.strip(SPACES) for name in fields] == self.names:
            self.repeated_headers.append(line)
            return
        keys = [fields[position].strip(SPACES) for position in self.id_at if position < len(fields)]
        key = ID_JOINT.join(keys) if len(keys) == len(self.id_at) and all(keys) else ""
        if not right:
            self._take_ragged(line, fields, key)
        elif not key:
            self.without_id.append(line)
        elif self._is_id(key):
            self._place(key, line, fields)
        else:
            self.unknown.append((self._key(fields), line))

    def _take_ragged(self, line: int, fields: list[str], key: str) -> None:
        kind = len(fields), not fields[-1].strip(SPACES)
        self.n_ragged[kind] += 1
        kept = self.ragged.setdefault(kind, [])
        if len(kept) < LISTED:
            kept.append((line, fields))
        if self.known is not None and len(fields) == len(self.names) + 1:
            shifted = self._key(fields[1:])
            if shifted in self.known:
                self.shifted.add(shifted)
        self.n_quoted[kind] += len(fields) == 1 and len(split_again(fields[0])) == len(self.names)
        if not key or not self._is_id(key):
            self.unplaced += 1
        else:
            self.lines.setdefault(key, line)

    def _place(self, key: str, line: int, fields: Sequence[str]) -> None:
        if key in self.lines:
            self.duplicates.setdefault(key, []).append(line)
            return
        self.lines[key] = line
        self.n_placed += 1
        shown = show_id(key)
        numbers = [
            column.read(line, shown, fields[position]) for column, position in zip(self.columns, self.at)
        ]
        self.values.add(numbers, [fields[position] for position in self.at])
        for rule in self.rules:
            rule.read(line, shown, numbers)

    # --- the verdict --------------------------------------------------------------------------------

    def _verdict(self) -> Verdict:
        problems = [*self.broken, *self._line_problems(), *self._id_problems()]
        cells = [problem for column in self.columns for problem in column.problems()]
        warnings = [warning for column in self.columns for warning in column.warnings()]
        if self.is_exact:
            problems += cells
        else:  # which of the ids are scored is not public, and the others may hold anything
            warnings += cells
        if not problems and not cells:
            problems += [problem for rule in self.rules if (problem := rule.problem())]
        if not problems:
            warnings += self._oddities()
        unchecked = [words for column in self.columns if (words := column.unchecked)]
        unchecked += [words for rule in self.rules if (words := rule.unchecked)]
        if self.known is None and self.schema.ids_sha256 is None:
            unchecked.append("the ids")
        if not self.is_exact:
            unchecked.append("which of the ids are needed")
        return Verdict(
            tuple(problems[:MAX_PROBLEMS]),
            tuple(warnings[:MAX_PROBLEMS]),
            tuple(unchecked),
            n_rows=self.n_placed,
            preview=tuple(self.preview),
        )

    @property
    def _are_shifted(self) -> bool:
        """Return whether every line has a row name before its id, as R writes it."""
        n = sum(self.n_ragged.values())
        return bool(n) and self.n_placed == 0 and len(self.shifted) == n

    def _line_problems(self) -> list[Problem]:
        problems = []
        for kind, kept in list(self.ragged.items())[:LISTED]:
            count, (line, fields) = self.n_ragged[kind], kept[0]
            where = f"Line {line}" + (f" and {count - 1} more" if count > 1 else "")
            words = f"{where}: {len(fields)} values, expected {len(self.names)}"
            code = "FIELD_COUNT"
            if self._are_shifted:
                code = "INDEX_COLUMN"
                words += (
                    f"; the first value, {show(fields[0])}, is a row name that the header does not count, "
                    "as R writes it. In R: write.csv(df, path, row.names = FALSE)"
                )
            elif self.n_quoted[kind] == count:
                code = "BAD_QUOTE"
                words += ": the whole line is in quotes; quote each value by itself, or none"
            elif kind[0] == len(self.names) + 1:
                words += " (trailing comma?)" if kind[1] else " (a comma inside a value, or a decimal comma?)"
            problems.append(Problem(code, f"{words}.", line=line, count=count))
        if self.repeated_headers:
            words = f"Line {self.repeated_headers[0]} repeats the header; remove it."
            words += how_many(len(self.repeated_headers))
            line, count = self.repeated_headers[0], len(self.repeated_headers)
            problems.append(Problem("REPEATED_HEADER", words, line=line, count=count))
        if self.without_id:
            line, count = self.without_id[0], len(self.without_id)
            words = f"Line {line}: the id is empty.{how_many(count)}"
            problems.append(Problem("EMPTY_VALUE", words, line=line, column=self.names[0], count=count))
        return problems

    def _id_problems(self) -> list[Problem]:
        if self._are_shifted:
            return []
        problems = []
        if self.duplicates:
            key, later = next(iter(self.duplicates.items()))
            count = sum(map(len, self.duplicates.values()))
            words = (
                f"Id {show_id(key)} appears {len(later) + 1} times (lines {self.lines[key]} and {later[0]})."
            )
            if len(self.duplicates) > 1:
                words += f" {len(self.duplicates) - 1} more ids appear more than once."
            problems.append(Problem("DUPLICATE_IDS", words, line=later[0], id=show_id(key), count=count))
        if not self.is_exact:
            return problems
        if self.known is None:
            return problems + self._digest_problems()
        missing = [key for key in self.schema.ids or () if key not in self.lines]
        unknown = self.unknown
        if unknown and missing:
            cause, pairs = respelt(unknown, missing)
            if pairs:
                received, line, expected = pairs[0]
                words = (
                    f"Ids look like {show_id(received)} where {show_id(expected)} is expected "
                    f"({len(pairs)}). Write ids exactly as in the sample submission - {cause}."
                )
                at, count = show_id(received), len(pairs)
                problems.append(Problem("ID_FORMAT", words, line=line, id=at, count=count))
                paired, found = {at for _, at, _ in pairs}, {expected for _, _, expected in pairs}
                unknown = [one for one in unknown if one[1] not in paired]
                missing = [key for key in missing if key not in found]
        if unknown:
            listing = ", ".join(f"{show_id(key)} (line {line})" for key, line in unknown[:LISTED])
            words = f"{_ids_are(len(unknown))} not in the test set: {listing}{_more(unknown)}."
            key, line = unknown[0]
            problems.append(Problem("UNKNOWN_IDS", words, line=line, id=show_id(key), count=len(unknown)))
        # A line whose id is empty or cannot be read may be the very row that seems to be missing.
        if self.complete and len(missing) > self.unplaced + len(self.without_id):
            listing = ", ".join(map(show_id, missing[:LISTED]))
            words = (
                f"{len(missing)} of {len(self.schema.ids or ())} required ids missing: "
                f"{listing}{_more(missing)}. Every id of the sample submission must appear exactly once."
            )
            problems.append(Problem("MISSING_IDS", words, id=show_id(missing[0]), count=len(missing)))
        return problems

    def _digest_problems(self) -> list[Problem]:
        """Compare count and digest of the ids, where the list is not at hand."""
        n_ids = self.schema.n_ids
        if self.schema.ids_sha256 is None or n_ids is None or not self.complete or self.unplaced:
            return []
        digest = hashlib.sha256("".join(f"{key}\n" for key in sorted(self.lines)).encode()).hexdigest()
        if digest == self.schema.ids_sha256:
            return []
        have = len(self.lines)
        code = "MISSING_IDS" if have < n_ids else "UNKNOWN_IDS"
        words = (
            f"The file has {have} different ids and {n_ids} are required; they are not the same. "
            "Use exactly the ids of the sample submission."
        )
        return [Problem(code, words, count=abs(have - n_ids) or 1)]

    def _oddities(self) -> list[Problem]:
        found = list(self.values.oddities(self.schema))
        n_off = sum(rule.n_off for rule in self.rules)
        if n_off:
            words = f"{n_off} rows do not sum to 1; the server divides every row by its sum."
            found.append(Problem("NOTICE_RENORMALISED", words, count=n_off))
        return found


def _column(entry: Mapping[str, Any], schema: Schema) -> Column:
    column = Column.of(entry)
    cells = schema.sample.get(column.name, ())
    column.placeholders = frozenset(canonical_label(cell) for cell in cells)
    return column


def _ids_are(n: int) -> str:
    return "1 id is" if n == 1 else f"{n} ids are"


def _more(found: Sequence[Any]) -> str:
    return ", ..." if len(found) > LISTED else ""


class _Rule:
    """A rule over several columns of one row, such as probabilities that sum to 1."""

    def __init__(self, entry: Mapping[str, Any], columns: Sequence[Column]) -> None:
        names = set(entry.get("columns") or ())
        self._at = [place for place, column in enumerate(columns) if column.name in names]
        self._kind, self._columns = str(entry.get("rule")), sorted(names)
        self._tolerance = float(entry.get("tolerance") or 1e-3)
        self._first: tuple[int, str, float] | None = None
        self._count = 0
        self.n_off = 0

    @property
    def unchecked(self) -> str:
        if self._kind in ("sums_to_1", "positive_sum"):
            return ""
        return f"a rule of the metric over column {', '.join(map(show, self._columns[:LISTED]))}"

    def read(self, line: int, key: str, numbers: Sequence[float | None]) -> None:
        if self.unchecked or len(self._at) < 2:
            return
        values = [value for place in self._at if (value := numbers[place]) is not None]
        if len(values) < len(self._at):
            return
        total = math.fsum(values)
        off = abs(total - 1.0) > self._tolerance if self._kind == "sums_to_1" else total == 0.0
        if off:
            self._count += 1
            self._first = min(self._first or (line, key, total), (line, key, total))
        elif abs(total - 1.0) > _OFF_BY:
            self.n_off += 1

    def problem(self) -> Problem | None:
        if self._first is None:
            return None
        line, key, total = self._first
        what = f"sum to {total:.6g} instead of 1" if self._kind == "sums_to_1" else "are all 0"
        words = f"Line {line} (id {key}): the probabilities {what}.{how_many(self._count)}"
        return Problem("ROW_SUM", words, line=line, id=key, count=self._count)


class _Values:
    """What shows files that are accepted and rarely meant."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._first: list[str] | None = None
        self._n = 0
        self._is_constant = True
        self._is_hard = True
        self._low = [math.inf] * len(columns)
        self._high = [-math.inf] * len(columns)

    def add(self, numbers: Sequence[float | None], texts: Sequence[str]) -> None:
        self._n += 1
        if self._is_constant:
            bare = [
                str(number) if column.is_number else canonical_label(text)
                for column, number, text in zip(self._columns, numbers, texts)
            ]
            self._first = self._first or bare
            self._is_constant = bare == self._first
        for place, number in enumerate(numbers):
            if number is not None:
                self._is_hard = self._is_hard and number in (0.0, 1.0)
                self._low[place] = min(self._low[place], number)
                self._high[place] = max(self._high[place], number)

    def oddities(self, schema: Schema) -> Iterator[Problem]:
        if self._n > 1 and self._is_constant and not any(c.kind == "list" for c in self._columns):
            yield Problem("NOTICE_CONSTANT", "All predictions are equal.")
        elif (
            self._n
            and self._is_hard
            and schema.metric_kind == "probability"
            and all(column.is_number for column in self._columns)
        ):
            words = "All predictions are 0 or 1; this metric rewards probabilities."
            yield Problem("NOTICE_HARD_LABELS", words)
        for place, column in enumerate(self._columns):
            sample = _numbers(schema.sample.get(column.name, ()))
            if column.kind != "number" or not sample or not (min(sample) >= 0 and max(sample) <= 1):
                continue
            if all(number == math.floor(number) for number in sample):
                continue  # a sample of zeros shows no range
            if self._low[place] >= 0 and 1 < self._high[place] <= 100:
                words = (
                    f"Column {show(column.name)}: numbers up to {self._high[place]:g}, while those of the "
                    "sample are between 0 and 1. If these are percent, divide them by 100."
                )
                yield Problem("LOOKS_LIKE_PERCENT", words, column=column.name)


def _numbers(texts: Sequence[str]) -> list[float]:
    """Return the cells of a sample as numbers; nothing if one is none."""
    return [float(text) for text in texts] if all(map(NUMBER.fullmatch, texts)) else []
