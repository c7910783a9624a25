"""The ids of the training table, to recognise predictions of the wrong rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from scorer.reading.forms import composed
from scorer.reading.source import UnreadableTable
from scorer.reading.tables import SPACES, open_table
from scorer.wording import ID_JOINT

_MAX_BYTES = 4_000_000_000
_MOST_ROWS = 1_000_000
"""Of the table are looked at: this only makes a message clearer, and is read for each refused file."""


def training_ids(path: Path, id_columns: Sequence[str]) -> Iterator[str]:
    """Yield the ids of a training table; none if it cannot be read or has no ids."""
    try:
        records = open_table(path, max_bytes=_MAX_BYTES).records()
        header = [composed(name.strip(SPACES)) for name in next(records)[1]]
        if not set(id_columns) <= set(header):
            return
        places = [header.index(name) for name in id_columns]
        for _, fields in islice(records, _MOST_ROWS):
            if len(fields) == len(header):
                yield ID_JOINT.join(composed(fields[place].strip(SPACES)) for place in places)
    except (OSError, UnreadableTable):
        return
