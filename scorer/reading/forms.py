"""One form of each text: Unicode's NFC, and \\n as the line end.

macOS writes file names in NFD, and Windows writes \\r\\n inside texts. Two texts that look the same would
differ, so the solution and every submission are read in one form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scorer.report import Notice

_MOST_KEPT = 100_000
"""Cells whose original text is kept for messages."""

_MOST_MARKS, _SHORT = 64, 500
_BEYOND = 0x1FFFF
"""No code point from this one on is a combining mark; the last is U+1E94A."""

_LINE_END = re.compile("\\r+\\n?")


def composed(text: str) -> str:
    """Return a text in Unicode's composed form, NFC.

    A text with more than `_MOST_MARKS` marks on one letter stays as it is: to order them takes the square of
    their number, four minutes for a megabyte. Unicode's stream-safe form allows 30.
    """
    return text if text.isascii() or _has_a_stack(text) else unicodedata.normalize("NFC", text)


def composed_column(column: pa.Array) -> pa.Array:
    """Return a column of texts, each in the composed form as `composed` returns it."""
    plain = pc.string_is_ascii(column)
    if pc.all(plain).as_py():
        return column
    is_long = pc.and_(pc.invert(plain), pc.greater(pc.utf8_length(column), _SHORT))
    texts = [composed(text) for text in column.filter(is_long).to_pylist()]
    short = pc.utf8_normalize(pc.if_else(is_long, "", column), "NFC")
    return pc.replace_with_mask(short, is_long, pa.array(texts, pa.string()))


def is_composed(text: str) -> bool:
    """Return whether a text is in the composed form and no letter of it has too many marks."""
    return text.isascii() or (not _has_a_stack(text) and unicodedata.is_normalized("NFC", text))


def _has_a_stack(text: str) -> bool:
    """Return whether a letter has more than `_MOST_MARKS` combining marks; never of a short text."""
    if len(text) <= _SHORT:
        return False
    is_mark = _marks()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").clip(max=_BEYOND)]
    if not is_mark.any():
        return False
    others = np.flatnonzero(~is_mark)
    return bool(np.diff(others, prepend=-1, append=len(text)).max() > _MOST_MARKS + 1)


@cache
def _marks() -> NDArray[np.bool_]:
    """Return of each code point whether it is a combining mark, or is made of marks alone as U+0F73 is."""
    first = (unicodedata.normalize("NFD", chr(point))[0] for point in range(_BEYOND + 1))
    return np.array([unicodedata.combining(character) != 0 for character in first])


def with_newlines(text: str) -> str:
    """Return a text whose line ends are all \\n.

    What Windows adds in text mode, also twice (\\r\\r\\n), is one line end.
    """
    return _LINE_END.sub(_newlines, text) if "\r" in text else text


def _newlines(found: re.Match[str]) -> str:
    ends = found[0]
    return "\n" if ends.endswith("\n") else "\n" * len(ends)


def is_one_form(text: str) -> bool:
    """Return whether reading leaves a text as it is."""
    return "\r" not in text and (text.isascii() or composed(text) == text)


class Forms:
    """Reads records in one form and counts the cells that had another."""

    def __init__(self) -> None:
        self.decomposed: dict[tuple[int, int], str] = {}
        """(Line, position) -> the text as received, of cells in another Unicode form; only with `keep`."""
        self._n_decomposed = self._n_returns = 0
        self._first_decomposed = self._first_return = 0

    def of(
        self, records: Iterable[tuple[int, Sequence[str]]], *, keep: bool = False
    ) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the records with each cell in one form."""
        for line, fields in records:
            joined = "".join(fields)
            if "\r" in joined or not (joined.isascii() or is_composed(joined)):
                yield line, [self._cell(line, place, text, keep) for place, text in enumerate(fields)]
            else:
                yield line, fields

    def header(self, names: Sequence[str]) -> list[str]:
        return [self._cell(1, place, name, False) for place, name in enumerate(names)]

    def differ(self, lines: Sequence[int], places: Sequence[int]) -> bool:
        """Return whether equal cells of these lines were sent in several Unicode forms."""
        sent = {tuple(self.decomposed.get((line, place), "") for place in places) for line in lines}
        return len(sent) > 1

    def notices(self) -> list[Notice]:
        notices = []
        if self._n_decomposed:
            words = (
                f"{_cells(self._n_decomposed, self._first_decomposed)} read in Unicode's form NFC; the "
                'file has another one, as macOS writes. In Python: unicodedata.normalize("NFC", text).'
            )
            notices.append(Notice("NOTICE_UNICODE_FORM", words))
        if self._n_returns:
            words = (
                f"{_cells(self._n_returns, self._first_return)} read with \\n as the line break inside "
                "texts; the file has \\r, as Windows writes."
            )
            notices.append(Notice("NOTICE_LINE_BREAKS", words))
        return notices

    def _cell(self, line: int, place: int, text: str, keep: bool) -> str:
        plain = with_newlines(text)
        if plain != text and text.strip("\r\n") != plain.strip("\n"):
            self._n_returns += 1
            self._first_return = self._first_return or line
        form = composed(plain)
        if form != plain:
            self._n_decomposed += 1
            self._first_decomposed = self._first_decomposed or line
            if keep and len(self.decomposed) < _MOST_KEPT:
                self.decomposed[line, place] = plain
        return form


def _cells(count: int, first: int) -> str:
    return f"1 cell (line {first}) was" if count == 1 else f"{count} cells (first in line {first}) were"
