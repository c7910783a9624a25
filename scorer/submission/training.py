"""The ids of the training table, to recognise predictions of the wrong rows."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from scorer.reading.forms import composed
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, open_table, stream_of
from scorer.wording import ID_JOINT

_MOST_BYTES = 100_000_000
"""Of the table are looked at: this only makes a message clearer, and one unknown id has it read."""


def training_ids(path: Path, id_columns: Sequence[str], sought: Collection[str]) -> set[str]:
    """Return which of these ids a training table has; none if it cannot be read or has no ids.

    The table is read by columns, and no further than all are found or `_MOST_BYTES` are read.
    """
    found: set[str] = set()
    wanted = pa.array(list(sought), type=pa.string())
    try:
        table = open_table(path, max_bytes=2**62)
        header = [composed(name.strip(SPACES)) for name in table.header()]
        if any(header.count(name) != 1 for name in id_columns):
            return found
        batches = pyarrow.csv.open_csv(
            pa.PythonFile(_Beginning(stream_of(table)), mode="r"),
            read_options=pyarrow.csv.ReadOptions(column_names=header, skip_rows_after_names=1),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=lambda _row: "skip"
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(id_columns),
                column_types=dict.fromkeys(id_columns, pa.string()),
                strings_can_be_null=False,
                null_values=[],
            ),
        )
        for batch in batches:
            found.update(wanted.filter(pc.is_in(wanted, value_set=_joined(batch, id_columns))).to_pylist())
            if len(found) == len(sought):
                break
    except (OSError, UnreadableTable, pa.ArrowException):
        pass  # what was found until then is true
    return found


def _joined(batch: pa.RecordBatch, id_columns: Sequence[str]) -> pa.Array:
    parts = [pc.utf8_trim(batch.column(name), SPACES) for name in id_columns]
    joined = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, ID_JOINT)
    if pc.all(pc.string_is_ascii(joined)).as_py():
        return joined
    return pa.array([composed(key) for key in joined.to_pylist()], type=pa.string())


class _Beginning:
    """The first `_MOST_BYTES` of a file, as pyarrow reads it."""

    closed = False

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self._left = file, _MOST_BYTES

    def read(self, n_bytes: int = -1) -> bytes:
        content = self._file.read(self._left if n_bytes < 0 else min(n_bytes, self._left))
        self._left -= len(content)
        return content

    def close(self) -> None:
        self._file.close()
