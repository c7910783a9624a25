"""Read whole columns at a time, if the file has nothing unusual.

The values are, bit for bit, those of the exact reader (`Table.records` and
`scorer.reading.cells.ColumnBuilder`). At the first sign of anything that the exact reader would refuse or
report, or that this module was not made for, it raises NotColumnar, and the caller reads the file again
exactly. Giving up is always right; accepting needs a reason, stated where it is not obvious.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from numpy.typing import NDArray

from scorer.reading.cells import (
    GRAMMARS,
    NUMERIC_KINDS,
    Cells,
    canonical_label,
    graded_item,
    may_be_part_of_a_grade,
    split_tokens,
)
from scorer.reading.columns import Column, FloatArray, Labels, Lists, TextArray, Vocabulary
from scorer.reading.forms import is_composed, is_one_form
from scorer.reading.ids import canonical_numbers, string_buffers
from scorer.reading.parquet import as_text, is_out_of_memory
from scorer.reading.source import MAX_LINE_BYTES, UnreadableTable
from scorer.reading.tables import SPACES, Table, first_record

_THREADS = 2
_MOST_AHEAD = 4
"""Blocks under way at a time; this bounds the memory."""

_MOST_BLANK_LINES = 1000
"""They mean nothing, but the exact reader refuses a file of millions of them."""

_MOST_STRING_BYTES = 50_000_000
"""Of one batch; a dictionary may point a million times at one long string."""

_BOM = b"\xef\xbb\xbf"
_LF, _CR, _QUOTE, _COMMA, _ZERO, _MINUS = b'\n\r",0-'

_PLAIN = pyarrow.csv.ParseOptions(quote_char=False)
_QUOTED = pyarrow.csv.ParseOptions(quote_char='"', double_quote=False, newlines_in_values=False)


class NotColumnar(Exception):
    """Only the exact reader can tell what this file holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some consecutive rows of a file, in its own order."""

    ids: NDArray[np.int64] | pa.StringArray
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """A parsed block, not yet checked against the challenge.

    Names are not codes yet: both need more than the file.
    """

    ids: NDArray[np.int64] | pa.StringArray
    columns: dict[str, Any]
    """Numbers as float64, labels as a dictionary array, lists as (dictionary array of tokens, offsets),
    texts as an array."""
    n_blank: int = 0


class ParsedElsewhere(Protocol):
    """A table whose file another process parses."""

    def raw_blocks(
        self, header: Sequence[str], wanted: Mapping[str, Cells], *, id_column: str, numeric_ids: bool
    ) -> Iterator[Raw]:
        """What `raw_blocks` gives, raising the same."""


def read_columnar(
    table: Table | ParsedElsewhere,
    header: Sequence[str],
    wanted: Mapping[str, Cells],
    vocabularies: Mapping[str, Vocabulary],
    *,
    id_column: str,
    numeric_ids: bool,
) -> Iterator[Block]:
    """Yield a file's rows in blocks of a few MB.

    Parameters
    ----------
    header
        Every column of the file in its order; those neither wanted nor the id are skipped.
    vocabularies
        By column, for labels and lists; several columns may share one. They grow with every name
        that is new, also by rows before the one that is NotColumnar.
    numeric_ids
        Whether ids must be whole numbers in canonical spelling, and come as such.

    Raises
    ------
    NotColumnar
        Possibly after some blocks.
    """
    if len(set(header)) != len(header) or not {id_column, *wanted} <= set(header):
        raise NotColumnar("columns are missing or named twice")
    if isinstance(table, Table):
        raw = raw_blocks(
            table, header, wanted, id_column=id_column, numeric_ids=numeric_ids, beside=lambda: table.sha256
        )
    else:
        raw = table.raw_blocks(header, wanted, id_column=id_column, numeric_ids=numeric_ids)
    makers = {name: _maker(cells, vocabularies.get(name)) for name, cells in wanted.items()}
    n_blank = 0
    for block in raw:
        n_blank += block.n_blank
        if n_blank > _MOST_BLANK_LINES:
            raise NotColumnar("many blank lines")
        yield Block(block.ids, {name: make(block.columns[name]) for name, make in makers.items()})


def raw_blocks(
    table: Table,
    header: Sequence[str],
    wanted: Mapping[str, Cells],
    *,
    id_column: str,
    numeric_ids: bool,
    beside: Callable[[], object] = bool,
) -> Iterator[Raw]:
    """Yield the parsed blocks of a file; `beside` runs meanwhile.

    This is the half of `read_columnar` that touches the file's bytes.

    Raises
    ------
    NotColumnar
        Possibly after some blocks.
    """
    if table.packing == "parquet":
        blocks = _parquet_blocks(table, wanted, id_column, numeric_ids=numeric_ids)
    else:
        parse = _CsvParser(header, wanted, id_column, numeric_ids=numeric_ids)
        blocks = _in_order(parse, _body(table, header), beside=beside)
    try:
        yield from blocks
    except (pa.ArrowException, UnreadableTable) as error:
        if is_out_of_memory(error):
            raise MemoryError from None
        raise NotColumnar(str(error)) from None


def _in_order(parse: _CsvParser, blocks: Iterator[bytes], *, beside: Callable[[], object]) -> Iterator[Raw]:
    """Yield every parsed block in order; `beside` runs meanwhile.

    Several threads parse, if this call has them.
    """
    first = next(blocks, None)
    if first is None:
        return
    second = next(blocks, None)
    if second is None:
        yield parse(first)
        return
    pool = ThreadPoolExecutor(_THREADS)
    under_way: deque[Future[Raw]] = deque()
    try:
        under_way.extend(pool.submit(parse, block) for block in (first, second))
        pool.submit(beside)
        for block in blocks:
            if len(under_way) >= _MOST_AHEAD:
                yield under_way.popleft().result()
            under_way.append(pool.submit(parse, block))
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


# --- CSV ------------------------------------------------------------------------------------------


def _body(table: Table, header: Sequence[str]) -> Iterator[bytes]:
    """The blocks of a file after its header."""
    first = True
    for block in table.blocks():
        if first:
            first = False
            names, length = first_record(block)
            if [name.strip(SPACES) for name in names] != [name.strip(SPACES) for name in header]:
                raise NotColumnar("the header is not the first line")
            block = block[length:]
        if block:
            yield block


class _CsvParser:
    """Turns a block of whole lines into columns.

    Several threads may call it at once.
    """

    def __init__(
        self, header: Sequence[str], wanted: Mapping[str, Cells], id_column: str, *, numeric_ids: bool
    ) -> None:
        self._wanted, self._id_column, self._numeric_ids = wanted, id_column, numeric_ids
        self._id_first = header[0] == id_column
        self._read = pyarrow.csv.ReadOptions(use_threads=False, column_names=list(header), block_size=1 << 30)
        types = {name: _arrow_type(cells) for name, cells in wanted.items()}
        self._number_ids = self._convert(types | {id_column: pa.int64()})
        self._text_ids = self._convert(types | {id_column: pa.string()})

    def _convert(self, types: Mapping[str, pa.DataType]) -> pyarrow.csv.ConvertOptions:
        return pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=[],
            true_values=[],
            false_values=[],
            strings_can_be_null=False,
            check_utf8=False,  # the whole block has been checked
        )

    def __call__(self, block: bytes) -> Raw:
        data = np.frombuffer(block, dtype=np.uint8)
        breaks = data == _LF
        n_lines = int(np.count_nonzero(breaks)) + (data[-1] != _LF)
        quoted = _check_bytes(block, data, breaks)
        # Arrow reads " 5", "007" and "0x1F" as numbers, which as ids are other texts.
        as_numbers = self._numeric_ids and self._id_first and not quoted and _is_bare(block, data, breaks)
        table = pyarrow.csv.read_csv(
            pa.BufferReader(block),
            read_options=self._read,
            parse_options=_QUOTED if quoted else _PLAIN,
            convert_options=self._number_ids if as_numbers else self._text_ids,
        )
        arrays = {name: _one_array(table.column(name)) for name in table.column_names}
        ids = arrays[self._id_column]
        if as_numbers:
            ids = ids.to_numpy()
        elif self._numeric_ids:
            ids = _known(canonical_numbers(ids))
        else:
            _check_text_ids(ids)
        columns = {name: _read_column(arrays[name], cells) for name, cells in self._wanted.items()}
        return Raw(ids, columns, n_lines - table.num_rows)


def _arrow_type(cells: Cells) -> pa.DataType:
    if cells.kind in NUMERIC_KINDS:
        return pa.float64()
    return pa.dictionary(pa.int32(), pa.string()) if cells.kind == "label" else pa.string()


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _check_bytes(block: bytes, data: NDArray[np.uint8], breaks: NDArray[np.bool_]) -> bool:
    """Return whether the block has quotes.

    Raises NotColumnar unless Arrow and the csv module split the block alike.
    """
    # Arrow would take a byte order mark at the start of any block for one of the file.
    if b"\x00" in block or block.startswith(_BOM):
        raise NotColumnar("a NUL or a second byte order mark")
    if not block.isascii():
        try:
            text = block.decode()
        except UnicodeDecodeError:
            raise NotColumnar("not UTF-8") from None
        # Of a block as of its cells: no mark combines with a comma, a quote or a line end.
        if not is_composed(text):
            raise NotColumnar("another Unicode form")
    # In characters a line is never longer than in bytes, and in those the limit is meant.
    start = 0
    while len(block) - start > MAX_LINE_BYTES:
        start = block.rfind(b"\n", start, start + MAX_LINE_BYTES) + 1
        if not start:
            raise NotColumnar("a long line")
    if b"\r" in block:
        returns = data == _CR
        if np.count_nonzero(returns) != np.count_nonzero(returns[:-1] & breaks[1:]):
            raise NotColumnar("a lone carriage return")
    if b'"' not in block:
        return False
    if not _quotes_are_simple(data, breaks):
        raise NotColumnar("quotes within a value")
    return True


def _quotes_are_simple(data: NDArray[np.uint8], breaks: NDArray[np.bool_]) -> bool:
    """Return whether every quote opens or closes a whole value.

    No value may hold a line end. Quotes then come in pairs, opening and closing, and every parser agrees on
    what is inside them.
    """
    at = np.flatnonzero(data == _QUOTE)
    if len(at) % 2:
        return False
    opening, closing = at[::2], at[1::2]
    before = data[np.maximum(opening - 1, 0)]
    after = data[np.minimum(closing + 1, len(data) - 1)]
    opens = (before == _COMMA) | (before == _LF) | (opening == 0)
    closes = (after == _COMMA) | (after == _LF) | (after == _CR) | (closing == len(data) - 1)
    lines = np.flatnonzero(breaks)
    within_line = np.searchsorted(lines, opening) == np.searchsorted(lines, closing)
    return bool(opens.all() and closes.all() and within_line.all())


def _is_bare(block: bytes, data: NDArray[np.uint8], breaks: NDArray[np.bool_]) -> bool:
    """Return whether each id is spelt as int64 prints it.

    The ids are the first column, if Arrow reads it as whole numbers.
    """
    if b" " in block or b"\t" in block or b"x" in block or b"X" in block or len(block) < 3:
        return False
    if block[0] == _LF or block[0] == _CR or (block[0] == _ZERO and block[1] != _COMMA):
        return False
    if block[0] == _MINUS and block[1] == _ZERO:
        return False
    starts, first, second = breaks[:-2], data[1:-1], data[2:]
    padded = starts & (first == _ZERO) & (second != _COMMA)
    negative = starts & (first == _MINUS) & (second == _ZERO)
    return not (padded.any() or negative.any())


# --- Parquet --------------------------------------------------------------------------------------


def _parquet_blocks(
    table: Table, wanted: Mapping[str, Cells], id_column: str, *, numeric_ids: bool
) -> Iterator[Raw]:
    for batch in table.batches([id_column, *wanted]):
        if any(column.null_count for column in batch.columns):
            raise NotColumnar("a hole")
        if any(_longest(column) > MAX_LINE_BYTES // batch.num_columns for column in batch.columns):
            raise NotColumnar("a row that may be too long")
        ids = _typed_ids(batch.column(id_column), numeric_ids=numeric_ids)
        columns = {
            name: _read_column(_typed_column(batch.column(name), cells), cells)
            for name, cells in wanted.items()
        }
        yield Raw(ids, columns)


def _longest(column: pa.Array) -> int:
    """Return the most bytes that a string of the column can have."""
    if not pa.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    return int(pa.compute.max(pa.compute.binary_length(column.dictionary)).as_py())


def _typed_ids(column: pa.Array, *, numeric_ids: bool) -> Any:
    if numeric_ids and pa.types.is_integer(column.type):
        return column.cast(pa.int64()).to_numpy(zero_copy_only=False)
    texts = _strings(column)
    if numeric_ids:
        return _known(canonical_numbers(texts))
    _check_text_ids(texts)
    return texts


def _typed_column(column: pa.Array, cells: Cells) -> pa.Array:
    """Return the column as a CSV file of the same content gives it."""
    kind = column.type
    if cells.kind in NUMERIC_KINDS:
        if pa.types.is_boolean(kind) and cells.kind == "flag":
            return column.cast(pa.int8()).cast(pa.float64())
        if pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind):
            # To the nearest float64, as reading the digits would; Arrow's own cast refuses 2**53 + 1.
            return pa.array(column.to_numpy(zero_copy_only=False).astype(np.float64))
        raise NotColumnar("numbers in another form")
    if cells.kind == "label" and not pa.types.is_dictionary(kind):
        texts = pa.array([as_text(value) for value in column.to_pylist()], type=pa.string())
        return texts.dictionary_encode()
    return _dictionary(column) if cells.kind == "label" else _strings(column)


def _dictionary(column: pa.Array) -> pa.DictionaryArray:
    """Return strings as a dictionary of those that occur.

    All are text without NUL.
    """
    if not pa.types.is_dictionary(column.type) or not (
        pa.types.is_string(column.type.value_type) or pa.types.is_large_string(column.type.value_type)
    ):
        raise NotColumnar("not strings")
    used, codes = np.unique(column.indices.to_numpy(zero_copy_only=False), return_inverse=True)
    names = column.dictionary.take(pa.array(used)).cast(pa.string())
    names.validate(full=True)
    offsets, data = string_buffers(names)
    used_bytes = data[offsets[0] : offsets[-1]]
    if names.null_count or (used_bytes == 0).any() or (used_bytes == _CR).any():
        raise NotColumnar("a hole, a NUL or a carriage return")
    if (used_bytes >= 0x80).any() and not all(map(is_one_form, names.to_pylist())):
        raise NotColumnar("another Unicode form")
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)


def _strings(column: pa.Array) -> pa.StringArray:
    encoded = _dictionary(column)
    lengths = np.diff(string_buffers(encoded.dictionary)[0])
    n_bytes = int(lengths[encoded.indices.to_numpy()].sum()) if len(encoded) else 0
    if n_bytes > _MOST_STRING_BYTES:
        raise NotColumnar("long strings")
    return encoded.dictionary_decode()


# --- columns --------------------------------------------------------------------------------------


def _known(numbers: NDArray[np.int64] | None) -> NDArray[np.int64]:
    if numbers is None:
        raise NotColumnar("an id is no whole number in canonical spelling")
    return numbers


def _check_text_ids(texts: pa.StringArray) -> None:
    offsets, data = string_buffers(texts)
    if len(texts) and (np.diff(offsets).min() == 0 or _has_outer_spaces(offsets, data)):
        raise NotColumnar("an id is empty or has spaces around it")


def _has_outer_spaces(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> bool:
    """Of texts none of which is empty."""
    spaces = np.frombuffer(SPACES.encode(), dtype=np.uint8)
    return bool(np.isin(data[offsets[:-1]], spaces).any() or np.isin(data[offsets[1:] - 1], spaces).any())


def _read_column(array: pa.Array, cells: Cells) -> Any:
    if cells.kind in NUMERIC_KINDS:
        return array.to_numpy(zero_copy_only=False)
    if cells.kind == "list":
        tokens = pyarrow.compute.split_pattern(array, pattern=cells.split)
        return tokens.flatten().dictionary_encode(), tokens.offsets.to_numpy().astype(np.int64)
    return array


def _checked_numbers(values: FloatArray, cells: Cells) -> FloatArray:
    if not len(values):
        return values
    # A nan makes both extremes nan, and no comparison with it holds.
    low, high = float(values.min()), float(values.max())
    if not (cells.low <= low and high <= cells.high and math.isfinite(low) and math.isfinite(high)):
        raise NotColumnar("a number out of range")
    if cells.kind != "number" and (values != np.floor(values)).any():
        raise NotColumnar("a number with a fraction")
    return values


def _checked_texts(texts: Iterable[str], cells: Cells) -> TextArray:
    bare = [text.strip(SPACES) for text in texts]
    if cells.grammar:
        fault = GRAMMARS[cells.grammar].fault
        if any(fault(text) for text in set(bare)):
            raise NotColumnar("a text of another form")
    values = np.empty(len(bare), dtype=np.object_)
    values[:] = bare
    return values


def _maker(cells: Cells, vocabulary: Vocabulary | None) -> Callable[[Any], Column]:
    """Return a function that turns `Raw` columns into a column.

    It raises NotColumnar. For labels and lists it takes the blocks one after the other.
    """
    if cells.kind in NUMERIC_KINDS:
        return lambda values: _checked_numbers(values, cells)
    if cells.kind == "text":
        return lambda texts: _checked_texts(texts.to_pylist(), cells)
    assert vocabulary is not None
    return _LabelMaker(cells, vocabulary) if cells.kind == "label" else _ListMaker(cells, vocabulary)


class _LabelMaker:
    def __init__(self, cells: Cells, vocabulary: Vocabulary) -> None:
        self._cells, self._vocabulary = cells, vocabulary

    def __call__(self, array: pa.DictionaryArray) -> Labels:
        codes = np.array([self._code(text) for text in array.dictionary.to_pylist()], dtype=np.int32)
        return Labels(codes[array.indices.to_numpy()])

    def _code(self, text: str) -> int:
        if self._cells.take == "first":
            tokens = split_tokens(text, self._cells.split)
            text = tokens[0] if tokens else ""
        label = canonical_label(text)
        if not label:
            raise NotColumnar("an empty label")
        if self._cells.grammar and GRAMMARS[self._cells.grammar].fault(label):
            raise NotColumnar("a label of another form")
        return self._vocabulary.code(label)


class _ListMaker:
    def __init__(self, cells: Cells, vocabulary: Vocabulary) -> None:
        self._cells, self._vocabulary = cells, vocabulary

    def __call__(self, lists: tuple[pa.DictionaryArray, NDArray[np.int64]]) -> Lists:
        array, offsets = lists
        names = [canonical_label(text) for text in array.dictionary.to_pylist()]
        graded = [_graded(name) for name in names] if self._cells.graded else []
        names = [item for item, _ in graded] if graded else names
        by_index = np.array([self._vocabulary.code(name) if name else -1 for name in names], dtype=np.int32)
        codes = by_index[array.indices.to_numpy()]
        kept = codes >= 0
        n_kept = np.concatenate(([0], np.cumsum(kept)))
        grades = None
        if self._cells.graded:
            by_grade = np.array([grade for _, grade in graded], dtype=np.float64)
            grades = by_grade[array.indices.to_numpy()][kept]
        return Lists(codes[kept], n_kept[offsets].astype(np.int64), grades)


def _graded(token: str) -> tuple[str, float]:
    item = graded_item(token)
    if not token:
        return "", 0.0
    if isinstance(item, str) or may_be_part_of_a_grade(token):
        raise NotColumnar("a token that may be no item with a grade")
    return item
