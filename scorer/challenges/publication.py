"""Describe the files that may be downloaded.

Each has a name, size and digest; CSV files also have a table of columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

_EXAMPLES = 3
_TYPES = (("integer", pa.int64()), ("number", pa.float64()), ("boolean", pa.bool_()), ("date", pa.date32()))


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    name: str
    type: str
    """integer, number, boolean, date, text, or empty if no cell holds anything."""
    n_missing: int
    """Empty cells."""
    examples: tuple[str, ...]
    """The first values that are not empty."""


@dataclass(frozen=True, slots=True)
class PublicFile:
    name: str
    """Relative to public/, with / between folders."""
    size_bytes: int
    sha256: str
    n_rows: int | None = None
    columns: tuple[ColumnSummary, ...] | None = None
    """Of CSV files that can be read; None for anything else."""

    def as_dict(self) -> dict[str, Any]:
        """Return the file's entry in the manifest.

        name, size, sha256 and, of a CSV file, n_rows and schema.
        """
        entry: dict[str, Any] = {"name": self.name, "size": self.size_bytes, "sha256": self.sha256}
        if self.columns is not None:
            entry["n_rows"] = self.n_rows
            entry["schema"] = [
                {"column": c.name, "type": c.type, "missing": c.n_missing, "examples": list(c.examples)}
                for c in self.columns
            ]
        return entry


def describe_public(folder: Path, names: Sequence[str]) -> tuple[PublicFile, ...]:
    return tuple(_describe(folder, name) for name in names)


def _describe(folder: Path, name: str) -> PublicFile:
    path = folder / name
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = path.stat().st_size
    if not name.lower().endswith(".csv"):
        return PublicFile(name, size, digest)
    try:
        n_rows, columns = _summarise(path)
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError):
        return PublicFile(name, size, digest)
    return PublicFile(name, size, digest, n_rows, columns)


def _summarise(path: Path) -> tuple[int, tuple[ColumnSummary, ...]]:
    """Return the columns of a CSV file.

    From one pass over its cells.

    A column has a type only if every cell has it.
    """
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    with pa.csv.open_csv(path, parse_options=parse) as first_block:
        names = first_block.schema.names
    as_text = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
    )
    n_rows = 0
    missing = [0] * len(names)
    examples: list[list[str]] = [[] for _ in names]
    candidates = [dict(_TYPES) for _ in names]
    with pa.csv.open_csv(path, parse_options=parse, convert_options=as_text) as batches:
        for batch in batches:
            n_rows += batch.num_rows
            for i, column in enumerate(batch.columns):
                filled = column.filter(pc.not_equal(column, ""))
                missing[i] += len(column) - len(filled)
                if len(examples[i]) < _EXAMPLES:
                    examples[i].extend(filled[: _EXAMPLES - len(examples[i])].to_pylist())
                candidates[i] = {
                    name: kind for name, kind in candidates[i].items() if _converts(filled, kind)
                }
    summaries = []
    for i, name in enumerate(names):
        kind = "empty" if missing[i] == n_rows else next(iter(candidates[i]), "text")
        cut = tuple(value if len(value) <= 80 else value[:79] + "…" for value in examples[i])
        summaries.append(ColumnSummary(name, kind, missing[i], cut))
    return n_rows, tuple(summaries)


def _converts(column: Any, kind: Any) -> bool:
    try:
        pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
