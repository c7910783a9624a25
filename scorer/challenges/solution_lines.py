"""The true cells of a solution with their lines, for checks that name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scorer.challenges.challenge import MAX_SOLUTION_BYTES, Challenge
from scorer.challenges.solution import FILE, IGNORED, USAGE_COLUMN, USAGES
from scorer.reading.forms import composed, with_newlines
from scorer.reading.tables import SPACES, is_blank, open_table


def filled_cells(challenge: Challenge, names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield line and text of each filled cell in the scored rows of the first of these columns that there is.

    The file is read again: a loaded solution does not keep its lines.
    """
    records = open_table(challenge.folder / FILE, max_bytes=MAX_SOLUTION_BYTES).records()
    header = [composed(name.strip(SPACES)) for name in next(records)[1]]
    place = next((header.index(name) for name in names if name in header), None)
    usage = header.index(USAGE_COLUMN) if USAGE_COLUMN in header else None
    if place is None:
        return
    for line, fields in records:
        if is_blank(fields) or (usage is not None and fields[usage].strip(SPACES) == USAGES[IGNORED]):
            continue
        if text := composed(with_newlines(fields[place].strip(SPACES))):
            yield line, text
