"""Public, private and unscored rows that can be separated."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, Severity, check
from scorer.leakage.column_power import association_of_values
from scorer.leakage.frame import Codes, Mask, Rows
from scorer.leakage.material import Material, NotChecked, Side, groups_of_files
from scorer.leakage.pool import Pool, pool_of
from scorer.leakage.sample_submission import sample_rows, sample_values
from scorer.leakage.separation import APART, FAR_APART, MIN_SIDE, n_units, separation_of, side_histogram
from scorer.leakage.statistics import area_under_curve, association, corrected, log10p_of_z, runs_z
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray
from scorer.wording import ID_JOINT

_ORDER_ROWS = 200_000
"""Rows of a file above which usual seeds are not tried."""
_STEPS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16, 20, 25, 50, 100)
_SEEDS = (
    *range(11), 42, 99, 100, 101, 123, 256, 666, 777, 1000, 1234, 1337,
    2020, 2021, 2022, 2023, 2024, 2025, 2026, 12345, 31415,
)  # fmt: skip
"""Usual values of random_state."""
_KINDS = 5
"""Kinds of evidence: order, ids, seeds, sample, columns. p values are corrected for them."""
_SHUFFLE = (
    "Draw the public rows by a secret random permutation: not by position, id, hash, date or a seed that "
    "can be guessed."
)


@check("split_recoverable", scope="split", needs=(), cost="columns x n", blocks=True)
def split_recoverable(material: Material) -> Iterator[Found]:
    """Public and private rows that participants can separate.

    By order, ids, columns or the sample submission.

    effect: AUC of membership, or of its regularity on that scale.
    """
    rows = _test_rows(material)
    public, private = rows.public, rows.private
    if min(int(public.sum()), int(private.sum())) < MIN_SIDE:
        raise NotChecked(
            f"there are only {int(public.sum())} public and {int(private.sum())} private rows that a "
            "public file names"
        )
    if material.is_sequential:
        order = _times(material, rows)
        auc = area_under_curve(order[public | private], public[public | private])[0]
        if max(auc, 1 - auc) > 0.9:
            yield Found(
                f"public rows are the {'later' if auc > 0.5 else 'earlier'} ones (AUC "
                f"{max(auc, 1 - auc):.3f} of time), as in a split by time; then participants know which "
                "rows count on which board.",
                "No change is needed if the rules state it.",
                effect=max(auc, 1 - auc),
                severity="info",
            )
            return
    yield from _membership(material, rows, public, private, ("public", "private"), _SHUFFLE, worst="block")


@check("decoys_separable", scope="split", needs=(), cost="columns x n")
def decoys_separable(material: Material) -> Iterator[Found]:
    """Unscored test rows that participants can separate from scored ones.

    effect: AUC of being scored.
    """
    rows = _test_rows(material)
    scored = rows.public | rows.private
    ignored = ~scored
    if not ignored.any():
        return
    if min(int(scored.sum()), int(ignored.sum())) < MIN_SIDE:
        raise NotChecked(f"there are only {int(ignored.sum())} ignored and {int(scored.sum())} scored rows")
    advice = (
        "Make unscored rows in the same way as the others, or state which they are: recognising them is "
        "an advantage."
    )
    yield from _membership(
        material,
        rows,
        scored,
        ignored,
        ("scored", "ignored"),
        advice,
        worst="info" if material.is_sequential else "warn",
    )


@dataclass(frozen=True, eq=False)
class _TestRows:
    """The test rows in the order that participants see."""

    side: Side
    public: Mask
    private: Mask
    groups: Codes | None


def _test_rows(material: Material) -> _TestRows:
    side = material.listed
    if side is None and material.test is not None and material.test.public is not None:
        side = material.test
    if (
        side is None
        and material.sample_places is not None
        and material.sample is not None
        and (material.sample_places >= 0).all()
    ):
        # The truth may be of any form: membership needs only the ids.
        usage = np.asarray(material.challenge.solution.usage)[material.sample_places]
        names = tuple(n for n in material.challenge.solution.id_columns if n in material.sample)
        n = len(material.sample)
        side = Side(
            "sample submission",
            "public/sample_submission.csv",
            material.sample.without(material.sample.names),
            tuple(material.sample.texts(name) for name in names),
            names,
            (),
            usage == 1,
            usage == 2,
            np.arange(n),
            n,
        )
    if side is None or side.public is None or side.private is None:
        raise NotChecked(material.why_not("listed"))
    return _TestRows(side, side.public, side.private, groups_of_files(material).get(side.name))


def _times(material: Material, rows: _TestRows) -> FloatArray:
    if material.time is not None and material.time in rows.side.frame:
        return np.nan_to_num(rows.side.frame.feature(material.time).scores)
    return np.arange(len(rows.side), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Sign:
    """One way in which membership shows."""

    where: str
    words: str
    effect: float
    log10p: float
    picture: dict[str, Any] | None = None


def _membership(
    material: Material,
    rows: _TestRows,
    inside: Mask,
    outside: Mask,
    names: tuple[str, str],
    advice: str,
    *,
    worst: Severity,
) -> Iterator[Found]:
    """Find the strongest signs of each kind that separate the rows."""
    signs: list[_Sign] = []
    held = inside | outside
    order = np.arange(len(rows.side))
    units = _one_of_each(rows.groups, inside, held)
    # Where whole groups are on one side, neighbours in a file are alike by design: use one row of each group.
    used = order[held if units is None else units]
    member = inside[used]
    if min(int(member.sum()), int((~member).sum())) >= MIN_SIDE:
        signs += _kept(_in_order("the row order of " + rows.side.file, used.astype(np.float64), member))
        signs += _kept(_in_seeds(held, inside, rows.side.file), 8 * len(_SEEDS))
        signs += _kept(_in_ids(rows.side, used, member))
        signs += _kept(_in_sample(material, rows, used, inside))
    signs += _in_columns(material, inside, outside, names)
    for sign in signs:
        severity: Severity = "warn" if worst == "block" else worst
        # A small test gives no smaller p, even for a rule that holds in every row.
        certain = sign.effect >= APART and (sign.log10p <= -BLOCK or sign.effect >= FAR_APART)
        if worst == "block" and certain and (sign.where[:7] != "column " or sign.effect >= FAR_APART):
            severity = "block"
        if material.is_sequential or (material.is_grouped and sign.where.startswith("column ")):
            severity = "info" if severity == "warn" else severity
        yield Found(
            f"{sign.words} separates {names[0]} from {names[1]} rows (AUC {sign.effect:.3f}, p = "
            f"{10 ** max(sign.log10p, -300):.1g}).",
            advice,
            effect=sign.effect,
            log10p=sign.log10p,
            severity=severity,
            where=sign.where.removeprefix("column "),
            picture=sign.picture,
        )


def _one_of_each(groups: Codes | None, inside: Mask, held: Mask) -> Rows | None:
    """Return a row of each group, if groups are on one side."""
    if groups is None:
        return None
    rows = np.flatnonzero(held)
    own = groups[rows]
    values, first, counts = np.unique(own, return_index=True, return_counts=True)
    dense = np.searchsorted(values, own)
    share = np.bincount(dense, weights=inside[rows]) / counts
    several = counts > 1
    whole = np.isin(share, (0.0, 1.0))
    if not several.any() or whole[several].mean() < 0.9:
        return None
    return np.sort(rows[first])


def _kept(signs: Iterator[_Sign], n_tests: int = 0) -> list[_Sign]:
    """Return the surest sign of one kind, if strong enough.

    n_tests: how many were tried, if not all are given.
    """
    found = list(signs)
    n_tests = _KINDS * max(n_tests, len(found))
    sure = [s for s in found if corrected(s.log10p, n_tests) <= -ALARM and s.effect >= AUC_FLOOR]
    if not sure:
        return []
    best = min(sure, key=lambda sign: (-round(sign.effect, 2), sign.log10p))
    return [_Sign(best.where, best.words, best.effect, corrected(best.log10p, n_tests), best.picture)]


def _in_order(where: str, position: FloatArray, member: Mask) -> Iterator[_Sign]:
    """Yield signs that membership follows a position.

    Early or late, in blocks, or every so many rows.

    position: shape (n,), distinct numbers; whole ones are also tested by their remainders.
    """
    auc, z = area_under_curve(position, member)
    picture = _along(position, member, where)
    yield _Sign(where, where, max(auc, 1 - auc), log10p_of_z(z), picture)
    sequence = member[np.argsort(position, kind="stable")].astype(np.int64)
    n, n1 = len(sequence), int(sequence.sum())
    expected = 1 + 2 * n1 * (n - n1) / n
    runs = 1 + int(np.count_nonzero(np.diff(sequence)))
    z = runs_z(sequence)
    regular = "blocks in " if z < 0 else "a regular pattern in "
    yield _Sign(
        where, f"{regular}{where}", min(1.0, 0.5 + abs(runs / expected - 1) / 2), log10p_of_z(z), picture
    )
    whole = position.astype(np.int64)
    if (whole == position).all():
        side = Target("side", "binary", member.astype(np.float64), ("out", "in"))
        for step in _STEPS:
            yield from _by_remainder(where, where, whole % step, step, side)


def _by_remainder(where: str, words: str, remainder: Codes, step: int, side: Target) -> Iterator[_Sign]:
    """Yield signs of membership by remainder.

    One by one where each has enough rows, and below or above some remainder.
    """
    strengths = [association(remainder.astype(np.float64), side)]
    if len(remainder) >= 5 * step:
        strengths.append(association_of_values(remainder, side))
    best = min(strengths, key=lambda strength: strength.log10p)
    yield _Sign(where, f"{words} modulo {step}", best.auc, corrected(best.log10p, 2))


def _along(position: FloatArray, member: Mask, where: str) -> dict[str, Any]:
    ordered = member[np.argsort(position, kind="stable")].astype(np.float64)
    parts = np.array_split(ordered, min(60, len(ordered)))
    return {
        "kind": "line",
        "title": "Share of such rows along the order",
        "x_title": where,
        "y_title": "share",
        "x": [round((i + 0.5) / len(parts), 4) for i in range(len(parts))],
        "y": [round(float(p.mean()), 4) for p in parts],
        "text": "A random split gives a level line.",
    }


def _in_seeds(held: Mask, inside: Mask, file: str) -> Iterator[_Sign]:
    """Yield signs that a usual recipe and seed give this split."""
    n = len(inside)
    if n > _ORDER_ROWS:
        return
    member = inside[held]
    for base, size in ((held, int(held.sum())), (np.ones(n, dtype=np.bool_), n))[: 1 if held.all() else 2]:
        pick = held[base]
        for seed in _SEEDS:
            for words, score in _recipes(seed, size):
                z = _quick_z(score[pick], member)
                if abs(z) > 4.5:
                    auc = area_under_curve(score[pick], member)[0]
                    yield _Sign("seed", f"{words} over the rows of {file}", max(auc, 1 - auc), log10p_of_z(z))


def _recipes(seed: int, n: int) -> Iterator[tuple[str, FloatArray]]:
    old = np.random.RandomState(seed)
    yield f"numpy.random.RandomState({seed}).rand", old.rand(n)
    places = np.empty(n)
    places[np.random.RandomState(seed).permutation(n)] = np.arange(n)
    yield f"train_test_split with random_state={seed}", places
    yield f"numpy.random.default_rng({seed}).random", np.random.default_rng(seed).random(n)
    places = np.empty(n)
    places[np.random.default_rng(seed).permutation(n)] = np.arange(n)
    yield f"numpy.random.default_rng({seed}).permutation", places


def _quick_z(score: FloatArray, member: Mask) -> float:
    """Return z of the difference of means.

    For evenly spread scores it is as good as ranks and needs no sorting.
    """
    n1 = int(member.sum())
    n0 = len(member) - n1
    spread = float(score.std())
    if not n1 or not n0 or spread == 0:
        return 0.0
    return float(score[member].mean() - score[~member].mean()) / (spread * math.sqrt(1 / n1 + 1 / n0))


def _in_ids(side: Side, used: Rows, member: Mask) -> Iterator[_Sign]:
    if not side.ids:
        return
    rng = np.random.default_rng(0)
    if len(used) > 50_000:
        kept = np.sort(rng.choice(len(used), 50_000, replace=False))
        used, member = used[kept], member[kept]
    columns = [column.take(pa.array(used)).to_pylist() for column in side.ids]
    texts = [ID_JOINT.join(key) for key in zip(*columns, strict=True)]
    target = Target("side", "binary", member.astype(np.float64), ("out", "in"))
    for name, column in zip(side.id_names, columns, strict=True):
        numbers = _whole_numbers(column)
        if numbers is not None and len(np.unique(numbers)) == len(numbers):
            yield from _in_order(f"the id {name}", numbers, member)
        for words, cut in _CUTS.items():
            codes = np.unique(
                np.array([cut(text) for text in column], dtype=np.object_).astype(str), return_inverse=True
            )[1]
            if codes.max() < len(codes) / 5:
                strength = association_of_values(codes.astype(np.int64), target)
                yield _Sign(f"the id {name}", f"{words} of the id {name}", strength.auc, strength.log10p)
    ordered = np.argsort(np.argsort(np.array(texts, dtype=np.object_), kind="stable")).astype(np.float64)
    auc, z = area_under_curve(ordered, member)
    yield _Sign("the ids", "the ids' alphabetical order", max(auc, 1 - auc), log10p_of_z(z))
    for words, share, remainder in _hashes(texts):
        auc, z = area_under_curve(share, member)
        yield _Sign("the ids", f"{words} of the id", max(auc, 1 - auc), log10p_of_z(z))
        for step in (2, 3, 4, 5, 10, 100):
            yield from _by_remainder("the ids", f"{words} of the id", remainder % step, step, target)


_CUTS: dict[str, Callable[[str], str]] = {
    "the first character": lambda text: text[:1],
    "the first two characters": lambda text: text[:2],
    "the first three characters": lambda text: text[:3],
    "the last character": lambda text: text[-1:],
    "the last two characters": lambda text: text[-2:],
    "the length": lambda text: str(len(text)),
    "the part before the first sign": lambda text: next(
        (text[:i] for i, c in enumerate(text) if not c.isalnum()), ""
    ),
    "zeros in front": lambda text: str(len(text) - len(text.lstrip("0"))),
}


def _whole_numbers(texts: Sequence[str]) -> FloatArray | None:
    """Return the digits each id ends with, if all do."""
    found = np.empty(len(texts))
    for i, text in enumerate(texts):
        head = text.rstrip("0123456789")
        digits = text[len(head) :]
        if not digits or len(digits) > 15:
            return None
        found[i] = int(digits)
    return found


def _hashes(texts: Sequence[str]) -> Iterator[tuple[str, FloatArray, Codes]]:
    """Yield every text's hash in its usual forms.

    As a fraction of the largest possible one, and its remainder by 300. Shape (n,).
    """
    data = [text.encode("utf-8", "surrogatepass") for text in texts]
    for name in ("md5", "sha1", "sha256"):
        digests = [hashlib.new(name, one, usedforsecurity=False).digest() for one in data]
        whole = [int.from_bytes(digest, "big") for digest in digests]
        yield _hash(name, whole, 8 * len(digests[0]))
        # Usual too: only the first eight hexadecimal digits, or the last byte.
        yield _hash(f"the beginning of {name}", [int.from_bytes(digest[:4], "big") for digest in digests], 32)
        yield _hash(f"the last byte of {name}", [digest[-1] for digest in digests], 8)
    yield _hash("crc32", [zlib.crc32(one) for one in data], 32)
    if all(text.isascii() and text.isdigit() and len(text) < 19 for text in texts):
        yield _hash(
            "crc32 (as 64-bit numbers)", [zlib.crc32(int(text).to_bytes(8, "little")) for text in texts], 32
        )


def _hash(name: str, values: Sequence[int], bits: int) -> tuple[str, FloatArray, Codes]:
    return (
        name,
        np.array([value / 2**bits for value in values]),
        np.array([value % 300 for value in values], dtype=np.int64),
    )


def _in_sample(material: Material, rows: _TestRows, used: Rows, inside: Mask) -> Iterator[_Sign]:
    """Yield signs that the sample submission's values or order follow membership."""
    sample, places = material.sample, material.sample_places
    if sample is None or places is None:
        return
    solution = material.challenge.solution
    usage = np.asarray(solution.usage)
    of_rows = sample_rows(material, rows.side)
    if of_rows is None:
        return
    at = of_rows[used]
    member = inside[used][at >= 0]
    at = at[at >= 0]
    if min(int(member.sum()), int((~member).sum())) < MIN_SIDE or len(usage) == 0:
        return
    if not (np.diff(at) > 0).all():
        yield from _in_order("the row order of the sample submission", at.astype(np.float64), member)
    target = Target("side", "binary", member.astype(np.float64), ("out", "in"))
    names = [name for name in sample.names if name not in solution.id_columns]
    for name, words, scores, codes in sample_values(sample, names):
        best = association(scores[at], target)
        if codes is not None:
            best = min(best, association_of_values(codes[at], target), key=lambda strength: strength.log10p)
        yield _Sign(
            "the sample submission",
            f"{words} of column {name} of the sample submission",
            best.auc,
            best.log10p,
        )


def _in_columns(material: Material, inside: Mask, outside: Mask, names: tuple[str, str]) -> list[_Sign]:
    """Return signs that test's columns separate two parts."""
    test = material.test
    if test is None or test.public is None or len(test) != len(inside):
        return []
    pool = _pool_of_test(material)
    assert pool.test is not None
    held = (inside | outside)[pool.test.rows]
    member = inside[pool.test.rows]
    columns = [name for name in test.frame.names if name not in pool.declared]
    whole = {name: pool.column(name) for name in columns}
    n1, n0 = n_units(member[held], None if pool.groups is None else pool.groups[held])
    if not columns or min(n1, n0) < MIN_SIDE:
        return []
    signs = []
    found = separation_of(pool, columns, member, pool.groups, held)
    sampling = pool.sampling
    if found.is_sure and found.columns:
        name, strength = found.columns[0]
        picture = side_histogram(whole[name].take(held), member[held], names)
        if strength.auc > APART and corrected(strength.log10p, 3 * len(columns)) <= -ALARM:
            signs.append(
                _Sign(
                    f"column {name}",
                    f"column {name} alone{sampling}",
                    strength.auc,
                    corrected(strength.log10p, 3 * len(columns)),
                    picture,
                )
            )
        if found.auc > max(APART, strength.auc + 0.02):
            signs.append(
                _Sign("column values", f"a small model of all columns{sampling}", found.auc, found.log10p)
            )
    if pool.groups is None:
        # Synthetic rows draw each value from existing ones, so none of their values is unique.
        alone = np.zeros(len(pool.test))
        for column in whole.values():
            counts = np.bincount(column.codes + 1, minlength=2)
            counts[0] = 2
            alone += counts[column.codes + 1] == 1
        side = Target("side", "binary", member[held].astype(np.float64), ("out", "in"))
        strength = association(alone[held], side)
        log10p = corrected(strength.log10p, _KINDS * len(columns))
        if log10p <= -BLOCK and strength.auc >= APART:
            signs.append(
                _Sign(
                    "unique column values",
                    f"the number of values of a row that no other row has{sampling}",
                    strength.auc,
                    log10p,
                )
            )
    return signs


def _pool_of_test(material: Material) -> Pool:
    """Return the pool's test rows without train."""
    pool = pool_of(material)
    assert pool.test is not None
    groups = None if pool.groups is None else pool.groups[~pool.is_train]
    return Pool(None, pool.test, pool.declared, groups, pool.folds[~pool.is_train], pool.seed)
