"""A search for hidden labels in the bytes of a file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scorer.leakage.files.hidden import Hidden
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

_NEEDLE_BITS = 64.0
"""Information a sequence of labels needs, so that it is not found by chance."""


@dataclass(frozen=True, eq=False)
class LabelBytes:
    """The hidden labels as runs of bytes to search for."""

    hidden: Hidden

    @cached_property
    def _all(self) -> list[tuple[bytes, str]]:
        return list(_needles(self.hidden))

    def find(self, data: bytes) -> tuple[int, str] | None:
        """Return where consecutive labels start, and their form."""
        for needle, words in self._all:
            place = data.find(needle)
            if place >= 0:
                return place, words
        return None


def _needles(hidden: Hidden) -> Iterator[tuple[bytes, str]]:
    """Yield sequences of labels as they may be written.

    Each carries enough bits not to be there by chance.
    """
    plain = [
        (name, rows) for name, rows in hidden.orders.items() if "train" not in name and "rows " not in name
    ][:4]
    seen: set[bytes] = set()
    for target in hidden.targets:
        for name, rows in plain:
            rows = rows[rows >= 0]
            values = target.values[rows]
            for start, length in _windows(values):
                piece = values[start : start + length]
                words = f"{length} consecutive labels ({target.name}, {name}, from row {start + 1})"
                for needle, form in _spelt(piece, target):
                    if needle not in seen:
                        seen.add(needle)
                        yield needle, f"{words} {form}"
            if target.kind == "binary" and not np.isnan(values).any() and len(values) >= 128:
                bits = values.astype(np.uint8)
                for start in (0, len(bits) // 16 * 8):
                    flags = bits[start : start + 160]
                    if len(flags) >= 128 and 0.2 < flags.mean() < 0.8:
                        words = (
                            f"{len(flags) // 8 * 8} consecutive labels ({target.name}, {name}, from row "
                            f"{start + 1}) as single bits"
                        )
                        flags = flags[: len(flags) // 8 * 8]
                        yield np.packbits(flags).tobytes(), words
                        yield np.packbits(flags, bitorder="little").tobytes(), words


def _windows(values: FloatArray) -> Iterator[tuple[int, int]]:
    """Yield up to three stretches of labels to search for.

    Without gaps, and neither short, monotonous nor regular.
    """
    n = len(values)
    known = ~np.isnan(values)
    if known.sum() < 20:
        return
    _, codes, counts = np.unique(np.where(known, values, 0.0), return_inverse=True, return_counts=True)
    bits = -np.log2(counts[codes] / n)
    yielded: set[int] = set()
    for third in range(3):
        start = third * (n - 20) // 3
        information = np.cumsum(bits[start:])
        length = max(20, int(np.searchsorted(information, _NEEDLE_BITS)) + 1)
        piece = values[start : start + length]
        if start in yielded or start + length > n or length > 4000 or np.isnan(piece).any():
            continue
        steps = np.diff(piece)
        if np.all(steps >= 0) or np.all(steps <= 0) or np.ptp(steps) == 0:
            continue
        packed = len(
            zlib.compress(np.asarray(codes[start : start + length] % 251, dtype=np.uint8).tobytes(), 9)
        )
        if packed < _NEEDLE_BITS / 8 * 1.5:  # 0 1 2 0 1 2: any file may hold such a sequence
            continue
        yielded.add(start)
        yield start, length


def _spelt(piece: FloatArray, target: Target) -> Iterator[tuple[bytes, str]]:
    names = [target.name_of(value) for value in piece] if target.classes else [f"{v:.10g}" for v in piece]
    vectors: dict[bytes, tuple[FloatArray, str]] = {}
    numbers = None
    if target.classes:
        # Class numbers as encoders give them: by the alphabet or by size, from 0 or 1.
        ranked = sorted(target.classes, key=lambda name: (_number(name), name))
        rank = np.array([float(ranked.index(name)) for name in target.classes])[piece.astype(np.int64)]
        for vector in (rank, rank + 1, piece):
            vectors.setdefault(vector.tobytes(), (vector, ", classes by their number"))
        if all(math.isfinite(_number(name)) for name in target.classes):
            numbers = np.array([_number(name) for name in names])
    else:
        numbers = piece
    if numbers is not None:
        vectors[numbers.tobytes()] = (numbers, "")
    for vector, what in vectors.values():
        is_whole = bool((vector == np.round(vector)).all())
        for kind in ("i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "<f4", ">f4", "<f8", ">f8"):
            if "i" in kind and (not is_whole or np.abs(vector).max() > np.iinfo(kind).max):
                continue
            yield vector.astype(kind).tobytes(), f"as numbers ({np.dtype(kind).name}{what})"
    whole = numbers is not None and bool((numbers == np.round(numbers)).all())
    forms = [names]
    if numbers is None:
        forms.append([f"'{name}'" for name in names])
    elif whole:
        forms += [[f"{v:.0f}" for v in numbers], [f"{v:.1f}" for v in numbers]]
    else:
        forms.append([repr(v) for v in numbers.tolist()])
    forms.append([f'"{name}"' for name in names])
    for form in forms:
        for joint in (
            ",",
            ", ",
            "\n",
            "\r\n",
            " ",
            ";",
            "\t",
            *([""] if all(len(t) == 1 for t in form) else []),
        ):
            yield joint.join(form).encode(), "as text"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.inf
