"""Map ids to rows exactly, one or a million at a time.

Ids stay text. Where every one of them is the canonical decimal spelling of an int64, texts and numbers are
equivalent and the numbers are kept; `numeric` tells. All data are plain arrays, so that an index can be
mapped from disk and shared by every job on the machine.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Places = NDArray[np.intp]
"""Positions in the solution, -1 for what it does not have."""
_Bytes = NDArray[np.uint8]
_Hashes = NDArray[np.uint64]

_CANONICAL = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)
_LOW, _HIGH = -(2**63), 2**63 - 1
_MASK = 2**64 - 1

_DENSE = 4
"""A table with a place for every number in between is made up to this many places per id."""

_MOST_WORDS = 32
"""Longer ids are kept in a dict, so that one of a megabyte does not make a million of passes."""

_LONG = 8 * _MOST_WORDS
_SMALL = 1_000_000
"""Up to this many ids a dict is quicker for lookups one by one and not yet large."""

_FIRST_BYTES: _Hashes = np.array([(1 << 8 * n) - 1 for n in range(8)] + [_MASK], dtype=np.uint64)
"""By n: a mask for the first n bytes of a little-endian word."""


class DuplicateId(Exception):
    """Two rows have the same id."""

    def __init__(self, first: int, second: int) -> None:
        self.first, self.second = first, second
        super().__init__(f"rows {first} and {second} have the same id")


class IdIndex:
    """Ids in the solution's row order, and the row of each.

    Made by `build` or `open`, never changed.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._arrays = arrays
        self.numeric = "numbers" in arrays
        """Whether every id is a whole number as int64 prints it: no leading zeros, "+" or "-0"."""
        self._keys: _Numbers | _Texts = _Numbers(arrays) if self.numeric else _Texts(arrays)

    @classmethod
    def build(cls, ids: Iterable[str] | Numbers | pa.Array | pa.ChunkedArray) -> IdIndex:
        """Build the index from the ids in row order.

        Raises DuplicateId, of the second row that comes first.
        """
        if isinstance(ids, np.ndarray) and ids.dtype == np.int64:
            return cls(_Numbers.build(ids))
        if not isinstance(ids, pa.Array | pa.ChunkedArray):
            ids = pa.array(list(ids), type=pa.large_string())
        texts = ids.cast(pa.large_string())
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        numbers = canonical_numbers(texts)
        return cls(_Texts.build(texts) if numbers is None else _Numbers.build(numbers))

    def save(self, folder: Path) -> None:
        """Write one .npy file per array; makes the folder if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in self._arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    @classmethod
    def open(cls, folder: Path) -> IdIndex:
        """Return what was saved there, mapped into memory."""
        files = sorted(folder.glob("*.npy"))
        arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in files}
        # A plain view: every access through np.memmap's own class costs several times as much.
        return cls({name: array.view(np.ndarray) for name, array in arrays.items()})

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return (self.text(row) for row in range(len(self)))

    def __contains__(self, text: str) -> bool:
        return self.get(text) is not None

    @property
    def longest_bytes(self) -> int:
        """Return the length of the longest id, in bytes."""
        return self._keys.longest_bytes() if len(self) else 0

    def text(self, row: int) -> str:
        """The id of a row."""
        return self._keys.text(row)

    def get(self, text: str) -> int | None:
        """The row of an id, or None."""
        return self._keys.get(text)

    def finder(self) -> Callable[[str], int | None]:
        """Return a faster `get`, for many calls.

        It takes at most some 100 MB more.
        """
        if len(self) > _SMALL:
            return self.get
        return {text: row for row, text in enumerate(self)}.get

    def rows_of_numbers(self, numbers: Numbers) -> Places:
        """The row of each number; only for a numeric index."""
        assert isinstance(self._keys, _Numbers)
        return self._keys.rows_of(numbers)

    def rows_of_texts(self, texts: pa.Array) -> Places:
        """Return the row of each text of a string array, exactly.

        The array has no nulls; the texts may be anything.
        """
        if isinstance(self._keys, _Texts):
            return self._keys.rows_of(texts)
        return np.array(
            [-1 if (row := self.get(text)) is None else row for text in texts.to_pylist()], np.intp
        )


def string_buffers(texts: pa.Array) -> tuple[Numbers, _Bytes]:
    """Return offsets, shape (n + 1,), and bytes of a string array.

    The array has no nulls.
    """
    kind = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, data = texts.buffers()
    if offsets is None or not len(texts):
        return np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.uint8)
    places = np.frombuffer(offsets, dtype=kind)[texts.offset : texts.offset + len(texts) + 1]
    return places.astype(np.int64), np.frombuffer(data or b"", dtype=np.uint8)


def canonical_numbers(texts: pa.Array) -> Numbers | None:
    """Return the numbers that the texts spell canonically, or None.

    None if any text is something else.
    """
    offsets, data = string_buffers(texts)
    starts, lengths = offsets[:-1], np.diff(offsets)
    if not len(starts):
        return np.empty(0, dtype=np.int64)
    if lengths.min() < 1 or lengths.max() > 20:
        return None
    used = data[offsets[0] : offsets[-1]]
    first = data[starts]
    negative = first == ord("-")
    if negative.any() and lengths[negative].min() < 2:
        return None
    leading = np.where(negative, data[starts + negative], first)
    zero = leading == ord("0")
    if (zero & ((lengths > 1) | negative)).any():
        return None
    digits = (used >= ord("0")) & (used <= ord("9"))
    # No more signs than first places have, so none stands anywhere else.
    if not (digits | (used == ord("-"))).all() or len(used) - digits.sum() != negative.sum():
        return None
    try:
        numbers: Numbers = texts.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # beyond int64
        return None
    return numbers


# --- hashing --------------------------------------------------------------------------------------


def _mix(hashes: _Hashes, key: _Hashes) -> _Hashes:
    """Return one round of mixing: a bijection of 64-bit words.

    It is one because the multipliers are odd.
    """
    hashes = hashes * key[1]
    hashes ^= hashes >> np.uint64(32)
    hashes *= key[2]
    return hashes


def _mix_one(hashed: int, key: tuple[int, int, int]) -> int:
    hashed = hashed * key[1] & _MASK
    return (hashed ^ hashed >> 32) * key[2] & _MASK


def _new_key() -> _Hashes:
    # Drawn anew for every index: ids cannot be chosen so that all fall into one place.
    key = np.frombuffer(secrets.token_bytes(24), dtype=np.uint64)
    return np.bitwise_or(key, np.array([0, 1, 1], dtype=np.uint64))


class _Slots:
    """An open table of places by hash, in one array.

    A lookup costs one access to memory. The upper bits of a hash tell where to begin; a slot holds its lowest
    bits and the place, and the search goes on to the next slot until it finds the same bits, or an empty
    slot.
    """

    _PLACE_BITS = np.uint64(40)
    _BITS = np.uint64((1 << 24) - 1)
    _PLACE = np.uint64((1 << 40) - 1)

    def __init__(self, slots: _Hashes, n: int) -> None:
        self._slots = slots
        self._shift = np.uint64(64 - self._size_bits(n))

    @staticmethod
    def _size_bits(n: int) -> int:
        return max((n + n // 2).bit_length(), 1)

    @classmethod
    def build(cls, hashes: _Hashes, places: Places) -> _Hashes:
        """Slots for these places; `hashes` ascend."""
        bits = cls._size_bits(len(hashes))
        order = np.arange(len(hashes))
        homes = (hashes >> np.uint64(64 - bits)).astype(np.intp)
        at = np.maximum.accumulate(homes - order) + order
        slots = np.zeros(max(1 << bits, int(at.max(initial=0)) + 1) + 1, dtype=np.uint64)
        slots[at] = (hashes & cls._BITS) << cls._PLACE_BITS | (places + 1).astype(np.uint64)
        return slots

    def find(self, hashes: _Hashes) -> Places:
        """Return the first place with bits like each hash's, or -1."""
        at = (hashes >> self._shift).astype(np.intp)
        bits = hashes & self._BITS
        slots = self._slots[at]
        going = np.flatnonzero((slots >> self._PLACE_BITS != bits) & (slots != 0))
        while len(going):
            at[going] += 1
            slots[going] = self._slots[at[going]]
            now = slots[going]
            going = going[(now >> self._PLACE_BITS != bits[going]) & (now != 0)]
        return (slots & self._PLACE).astype(np.intp) - 1

    def all(self, hashed: int) -> Iterator[int]:
        """Every place with bits like those of this hash."""
        at = hashed >> int(self._shift)
        while slot := int(self._slots[at]):
            if slot >> 40 == hashed & 0xFFFFFF:
                yield (slot & 0xFFFFFFFFFF) - 1
            at += 1


# --- numbers --------------------------------------------------------------------------------------


class _Numbers:
    """Whole numbers: found by subtraction, in a table or by hash.

    Subtraction if they are consecutive, a table if they are dense.
    """

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._numbers: Numbers = arrays["numbers"]
        self._table = arrays.get("table")
        self._key = arrays.get("key")
        self._slots = _Slots(arrays["slots"], len(self._numbers)) if "slots" in arrays else None
        if self._slots is None and len(self._numbers):
            bounds = arrays["bounds"] if self._table is not None else (self._numbers[0], self._numbers[-1])
            self._low, self._high = (int(bound) for bound in bounds)
        else:
            self._low, self._high = 0, -1

    @classmethod
    def build(cls, numbers: Numbers) -> dict[str, NDArray[Any]]:
        n = len(numbers)
        arrays: dict[str, NDArray[Any]] = {"numbers": numbers}
        if not n:
            return arrays
        low, high = int(numbers.min()), int(numbers.max())
        if high - low == n - 1 and bool((np.diff(numbers) == 1).all()):
            return arrays
        rows = np.arange(n)
        if high - low < _DENSE * n + 1000:
            table = np.full(high - low + 1, -1, dtype=np.int32 if n < 2**31 else np.int64)
            table[numbers - low] = rows
            if not (table[numbers - low] == rows).all():
                raise _first_duplicate(numbers, np.argsort(numbers, kind="stable"))
            return arrays | {"table": table, "bounds": np.array([low, high])}
        key = _new_key()
        hashes = _mix(numbers.view(np.uint64) ^ key[0], key)
        order = np.argsort(hashes)
        ordered = hashes[order]
        if (ordered[1:] == ordered[:-1]).any():
            raise _first_duplicate(numbers, np.argsort(numbers, kind="stable"))
        return arrays | {"slots": _Slots.build(ordered, order), "key": key}

    def __len__(self) -> int:
        return len(self._numbers)

    def longest_bytes(self) -> int:
        return max(len(str(int(bound))) for bound in (self._numbers.min(), self._numbers.max()))

    def text(self, row: int) -> str:
        return str(int(self._numbers[row]))

    def get(self, text: str) -> int | None:
        if not _CANONICAL.fullmatch(text):
            return None
        number = int(text)
        if self._slots is None:
            if not self._low <= number <= self._high:
                return None
            row = number - self._low if self._table is None else int(self._table[number - self._low])
            return None if row < 0 else row
        if not _LOW <= number <= _HIGH:
            return None
        assert self._key is not None
        seed, *multipliers = self._key.tolist()
        hashed = _mix_one(number & _MASK ^ seed, (seed, *multipliers))
        return next((row for row in self._slots.all(hashed) if self._numbers[row] == number), None)

    def rows_of(self, numbers: Numbers) -> Places:
        if self._slots is not None:
            assert self._key is not None
            rows = self._slots.find(_mix(numbers.view(np.uint64) ^ self._key[0], self._key))
            for at in np.flatnonzero((rows >= 0) & (self._numbers[rows] != numbers)).tolist():
                row = self.get(str(int(numbers[at])))
                rows[at] = -1 if row is None else row
            return rows
        if not len(numbers):
            return np.empty(0, dtype=np.intp)
        if self._low <= int(numbers.min()) and int(numbers.max()) <= self._high:
            rows = numbers - self._low
            return rows if self._table is None else self._table[rows].astype(np.intp)
        known = (numbers >= self._low) & (numbers <= self._high)
        rows = np.where(known, numbers, self._low) - self._low
        if self._table is not None:
            rows = self._table[rows].astype(np.intp) if len(self._table) else rows
        return np.where(known, rows, -1)


def _first_duplicate(keys: NDArray[Any], order: Places) -> DuplicateId:
    """`order` sorts the keys, equal ones by row."""
    ordered = keys[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    second = again[np.argmin(order[again])]
    first = np.searchsorted(ordered, ordered[second])
    return DuplicateId(int(order[first]), int(order[second]))


# --- texts ----------------------------------------------------------------------------------------


class _Texts:
    """UTF-8 texts, found by a keyed hash and then compared.

    Equal hashes prove nothing. Each text is a record of 8-byte words, so that comparing it costs one more
    access to memory: its row, its length in bytes, and the bytes with zeros behind them.
    """

    _LENGTH_BITS = np.uint64(32)
    _LENGTH = np.uint64(2**32 - 1)

    def __init__(self, arrays: dict[str, NDArray[Any]]) -> None:
        self._records: _Hashes = arrays["records"]
        self._starts: Numbers = arrays["starts"]
        self._key: _Hashes = arrays["key"]
        seed, first, second = self._key.tolist()
        self._key_one = (seed, first, second)
        self._slots = _Slots(arrays["slots"], len(self._starts) - len(arrays["long"]))
        self._long = {self._bytes(row): row for row in arrays["long"].tolist()}

    def longest_bytes(self) -> int:
        return int((self._records[self._starts] & self._LENGTH).max())

    @classmethod
    def build(cls, texts: pa.Array) -> dict[str, NDArray[Any]]:
        offsets, data = string_buffers(texts)
        lengths = np.diff(offsets)
        n = len(lengths)
        sizes = 1 + (lengths + 7) // 8
        starts = np.cumsum(sizes) - sizes
        records = np.zeros(int(sizes.sum()), dtype=np.uint64)
        records[starts] = np.arange(n).astype(np.uint64) << cls._LENGTH_BITS | lengths.astype(np.uint64)
        query = _Query.of(texts)
        for at in range(0, min(query.longest, _LONG), 8):
            some = np.flatnonzero(lengths > at)
            records[starts[some] + 1 + at // 8] = query.words_at(at, some)
        for row in np.flatnonzero(lengths > _LONG).tolist():
            to = 8 * (int(starts[row]) + 1)
            records.view(np.uint8)[to : to + int(lengths[row])] = data[offsets[row] : offsets[row + 1]]

        key, short = _new_key(), np.flatnonzero(lengths <= _LONG)
        hashes = _hash(query.take(short), key)
        order = np.argsort(hashes)
        arrays = {
            "records": records,
            "starts": starts,
            "key": key,
            "long": np.flatnonzero(lengths > _LONG),
            "slots": _Slots.build(hashes[order], starts[short][order]),
        }
        same = hashes[order][1:] == hashes[order][:-1]
        suspects = short[order][np.append(same, False) | np.append(False, same)] if len(short) else short
        seen: dict[bytes, int] = {}
        index = cls(arrays)
        for row in sorted({*suspects.tolist(), *arrays["long"].tolist()}):
            first = seen.setdefault(index._bytes(row), row)
            if first != row:
                raise DuplicateId(first, row)
        return arrays

    def __len__(self) -> int:
        return len(self._starts)

    def text(self, row: int) -> str:
        return self._bytes(row).decode()

    def get(self, text: str) -> int | None:
        try:
            sought = text.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which no file in UTF-8 holds
            return None
        return self._get(sought)

    def _get(self, sought: bytes) -> int | None:
        if len(sought) > _LONG:
            return self._long.get(sought)
        hashed = self._key_one[0] ^ len(sought)
        for at in range(0, len(sought), 8):
            hashed = _mix_one(hashed ^ int.from_bytes(sought[at : at + 8], "little"), self._key_one)
        for start in self._slots.all(hashed):
            row = int(self._records[start]) >> 32
            if self._bytes(row) == sought:
                return row
        return None

    def _bytes(self, row: int) -> bytes:
        start = int(self._starts[row])
        length = int(self._records[start]) & 0xFFFFFFFF
        return self._records[start + 1 : start + 1 + (length + 7) // 8].tobytes()[:length]

    def rows_of(self, texts: pa.Array) -> Places:
        query = _Query.of(texts)
        if query.longest <= _LONG:
            return self._rows_of_short(query)
        rows = np.full(len(query.lengths), -1, dtype=np.intp)
        short = np.flatnonzero(query.lengths <= _LONG)
        rows[short] = self._rows_of_short(query.take(short))
        for at in np.flatnonzero(query.lengths > _LONG).tolist():
            rows[at] = self._long.get(query.bytes_of(at), -1)
        return rows

    def _rows_of_short(self, query: _Query) -> Places:
        starts = self._slots.find(_hash(query, self._key))
        known = np.flatnonzero(starts >= 0)
        if len(known) < len(starts):
            rows = np.full(len(starts), -1, dtype=np.intp)
            if len(known):
                rows[known] = self._verified(query.take(known), starts[known])
            return rows
        return self._verified(query, starts)

    def _verified(self, query: _Query, starts: Places) -> Places:
        """Return the rows of these records where they equal the query."""
        heads = self._records[starts]
        differ = (heads & self._LENGTH).astype(np.int64) != query.lengths
        for at in range(0, query.longest, 8):
            word = 1 + at // 8
            if query.shortest > at and not differ.any():
                differ = self._records[starts + word] != query.words_at(at, slice(None))
            else:
                some = np.flatnonzero(~differ & (query.lengths > at))
                differ[some] = self._records[starts[some] + word] != query.words_at(at, some)
        rows = (heads >> self._LENGTH_BITS).astype(np.intp)
        for at in np.flatnonzero(differ).tolist():
            row = self._get(query.bytes_of(at))
            rows[at] = -1 if row is None else row
        return rows


class _Query:
    """Texts as words that start at any byte."""

    def __init__(self, data: _Bytes, starts: Numbers, lengths: Numbers) -> None:
        self._data, self._starts, self.lengths = data, starts, lengths
        self._words: _Hashes = np.ndarray((len(data) - 7,), dtype="<u8", buffer=data, strides=(1,))
        self.shortest, self.longest = int(lengths.min(initial=_LONG)), int(lengths.max(initial=0))

    @classmethod
    def of(cls, texts: pa.Array) -> _Query:
        offsets, data = string_buffers(texts)
        padded = np.concatenate((data[offsets[0] : offsets[-1]], np.zeros(8, dtype=np.uint8)))
        return cls(padded, offsets[:-1] - offsets[0], np.diff(offsets))

    def take(self, rows: Places) -> _Query:
        return _Query(self._data, self._starts[rows], self.lengths[rows])

    def words_at(self, at: int, rows: Places | slice) -> _Hashes:
        """Return the word at this byte of each text.

        Zeros beyond its end.
        """
        words: _Hashes = self._words[self._starts[rows] + at]
        if self.shortest < at + 8:
            words &= _FIRST_BYTES[np.minimum(self.lengths[rows] - at, 8)]
        return words

    def bytes_of(self, row: int) -> bytes:
        start = int(self._starts[row])
        return self._data[start : start + int(self.lengths[row])].tobytes()


def _hash(query: _Query, key: _Hashes) -> _Hashes:
    """A hash of each text of at most _LONG bytes."""
    hashes: _Hashes = query.lengths.astype(np.uint64) ^ key[0]
    for at in range(0, query.longest, 8):
        some = slice(None) if query.shortest > at else np.flatnonzero(query.lengths > at)
        hashes[some] = _mix(hashes[some] ^ query.words_at(at, some), key)
    return hashes
