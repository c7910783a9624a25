"""Test rows and texts that nearly equal a train row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import special

from scorer.leakage.check import ALARM, BLOCK, Found, check
from scorer.leakage.frame import Feature, Rows
from scorer.leakage.material import Material, NotChecked
from scorer.leakage.sampled import sampled
from scorer.leakage.statistics import log10p_of_count
from scorer.leakage.twins import MODEL_SLACK, Hashes, cells_of, row_hashes, salted_hashes, some_rows, twins_of
from scorer.reading.columns import FloatArray

FAMILY_SHARE = 0.05
"""Up to here near twins that train has as well may be families of rows, not copies."""
NEAR_SHARE = 0.02
TEXT_NEAR = 0.8
"""Jaccard similarity of shingles from which two texts are near twins."""


@check("near_duplicate_rows", scope="rows", needs=("train", "test"), cost="n log n, sampled")
def near_duplicate_rows(material: Material) -> Iterator[Found]:
    """Test rows that nearly equal a train row.

    Numbers moved a little, or one cell changed.

    effect: the share of test rows. Near is far below the distance to the next few train rows, by a law that
    holds for any smooth distribution: (r1/r6)^k is the least of five uniform numbers in k dimensions.
    """
    twins = twins_of(material)
    if _near_numbers(material) is None and (len(twins.names) < 4 or len(twins.test_rows) < 10):
        raise NotChecked(
            "near twins need three columns of measured numbers, or four columns of any kind, and some rows"
        )
    inner: Material | None = None
    for way in (_near_by_numbers, _one_cell_apart):
        for found in way(material):
            # Real tables have families: files of one package, forms filled in alike. Then train has them
            # too. Copies made before splitting are in train too, so only a small share of near twins counts
            # as a family.
            inner = inner or _train_against_itself(material)
            usual = 2 * max((one.effect or 0.0 for one in way(inner)), default=0.0)
            if (found.effect or 0.0) <= 1.5 * usual:
                words = f" Within train the share is similar (about {usual:.1%}): the data may be like this."
                mild = found.severity if (found.effect or 0.0) > FAMILY_SHARE else "info"
                found = replace(found, severity=mild, evidence=found.evidence + words)
            yield found


def _train_against_itself(material: Material) -> Material:
    """Return train with a random half as test.

    Its twins have half the rows to be found in.
    """
    assert material.train is not None
    shuffled = np.random.default_rng(material.seed).permutation(len(material.train))
    half = len(shuffled) // 2
    parts = (material.train.take(np.sort(rows)) for rows in (shuffled[:half], shuffled[half:]))
    train, test = parts
    return replace(material, train=train, test=replace(test, name="test"))


def _near_by_numbers(material: Material) -> Iterator[Found]:
    near = _near_numbers(material)
    if near is not None:
        k, n, expected, names, sampling, pair = near
        log10p = log10p_of_count(k, MODEL_SLACK * expected)
        if _is_many(k, n, log10p):
            yield Found(
                f"{k:,} of {n:,} test rows ({k / n:.1%}) lie far closer to one train row than to the next "
                "ones in "
                f"{names} numeric columns; chance would give about {expected:.1f}. {pair}{sampling}",
                "Check some pairs. Copies with noise, augmentations and repeated measurements belong on "
                "one side.",
                k / n,
                log10p,
            )


@check("near_duplicate_rows", scope="columns", needs=("train", "test"), cost="n, sampled")
def near_duplicate_texts(material: Material) -> Iterator[Found]:
    """Test texts that nearly equal a train text.

    effect: the share of test rows. Texts are compared by the Jaccard similarity of 5-character shingles;
    candidates come from 64 minima of hashes in 16 bands (MinHash).
    """
    if not material.shared:
        raise NotChecked("train and test have no column in common")
    train, test = sampled(material, "train"), sampled(material, "test")
    for name in material.shared:
        own, other = test.frame.feature(name), train.frame.feature(name)
        if "text" not in (own.kind, other.kind) or own.is_numeric or other.is_numeric:
            continue
        found = _near_texts(own, other, material.seed)
        if found is None:
            continue
        k, n, typical, example = found
        # Texts made from one template are all alike.
        if k >= 2 and k / n > NEAR_SHARE and typical < 0.6:
            yield Found(
                f"{k:,} of {n:,} compared test texts ({k / n:.1%}) are at least {TEXT_NEAR:.0%} alike to "
                "a train text without "
                f"being equal; the median similarity to the nearest is {typical:.0%}. "
                f"{example}{test.sampling}",
                "Check some pairs; keep edited copies and quotations of a text on one side.",
                k / n,
                None,
                where=name,
            )


def _is_many(k: int, n: int, log10p: float) -> bool:
    share = k / n if n else 0.0
    return k >= 2 and (
        (share >= NEAR_SHARE and log10p <= -ALARM) or (share >= NEAR_SHARE / 2 and log10p <= -BLOCK)
    )


def _near_numbers(material: Material) -> tuple[int, int, float, int, str, str] | None:
    """Return how many test rows are near one train row.

    Of how many, how many by chance, in how many columns, the sampling and a pair in words. None if the
    tables have too few numbers.
    """
    train, test = sampled(material, "train"), sampled(material, "test")
    columns: list[FloatArray] = []
    for name in material.shared:
        a, b = train.frame.feature(name), test.frame.feature(name)
        if a.kind != "number" or b.kind != "number":
            continue
        values = np.concatenate([a.numbers, b.numbers])
        held = values[~np.isnan(values)]
        if len(np.unique(held)) < 10 or cells_of([a.texts, b.texts]).is_key:
            continue
        low, high = np.quantile(held, [0.005, 0.995])
        # The spread of long tails is that of the middle; where nearly all values are equal, that of the
        # others.
        spread = max(float(np.clip(held, low, high).std()), 0.2 * float(held.std()))
        if 0 < spread < math.inf:
            columns.append(np.nan_to_num((values - float(np.median(held))) / spread, nan=0.0))
    if len(columns) < 3 or len(train) < 50 or len(test) < 10:
        return None
    matrix = np.clip(np.column_stack(columns), -20, 20)
    rng = np.random.default_rng(material.seed)
    reference = matrix[: len(train)]
    rows = some_rows(len(test), max(1_000, min(20_000, 200_000_000 // len(train))), rng)
    queries = matrix[len(train) :][rows]
    probe = queries[some_rows(len(queries), 300, rng)]
    distances, _ = _six_nearest(reference[some_rows(len(reference), 20_000, rng)], probe, math.inf)
    use = (distances[:, 0] > 1e-6) & (distances[:, 5] > 0)
    if use.sum() < 8:
        return None
    ratios = np.log(distances[use, 0] / distances[use, 5])
    # The dimension that the law needs to explain the ratios, from their upper half: planted twins lie below.
    q = float(np.quantile(ratios, 0.75))
    dimension = min(50.0, max(1.0, math.log(1 - 0.25**0.2) / q if q < 0 else 50.0))
    closeness = min(0.25, 0.0004 ** (1 / dimension))
    chance = 1 - (1 - closeness**dimension) ** 5
    reach = 1.5 * closeness * float(np.quantile(distances[use, 5], 0.95))
    six, places = _six_nearest(reference, queries, reach)
    close = (six[:, 0] < closeness * six[:, 5]) & (six[:, 0] > 1e-6)
    k = int(close.sum())
    pair = ""
    if close.any():
        at = int(np.flatnonzero(close)[0])
        pair = (
            f"First: test row {int(test.rows[rows[at]]) + 1} is {six[at, 0]:.2g} standard deviations from "
            "train "
            f"row {int(train.rows[places[at, 0]]) + 1}, and {six[at, 5]:.2g} from the sixth nearest."
        )
    return k, len(queries), len(queries) * chance, len(columns), test.sampling, pair


def _six_nearest(reference: FloatArray, queries: FloatArray, reach: float) -> tuple[FloatArray, Rows]:
    """Return distances to the six nearest rows, and their places.

    In order; infinite where even the nearest is out of reach.
    """
    found, places = np.full((len(queries), 6), np.inf), np.zeros((len(queries), 6), dtype=np.int64)
    small = reference.astype(np.float32)
    squares = (small**2).sum(axis=1)
    for start in range(0, len(queries), 128):
        part = queries[start : start + 128].astype(np.float32)
        # Without the query's own square: that is the same for all it is compared with.
        apart = squares - 2 * (part @ small.T)
        own = (part**2).sum(axis=1)
        nearest = apart.min(axis=1) + own
        for i in np.flatnonzero(nearest <= reach**2 + 1e-4 * (1 + own)):
            some = np.argpartition(apart[i], 5)[:6]
            exact = np.sqrt(((reference[some] - queries[start + i]) ** 2).sum(axis=1))
            order = np.argsort(exact, kind="stable")
            if exact[order[0]] <= reach:
                found[start + i], places[start + i] = exact[order], some[order]
    return found, places


def _one_cell_apart(material: Material) -> Iterator[Found]:
    """Find rows that are equal but for one column."""
    twins = twins_of(material)
    d = len(twins.names)
    if d < 4 or d > 200 or len(twins.test_rows) < 10:
        return
    n_train = len(twins.train_rows)
    rows = np.concatenate([twins.train[twins.train_rows], twins.test[twins.test_rows]])
    salted = row_hashes(twins.cells)  # by place among the kept columns, which suffices within the sample
    is_twin = np.isin(rows[n_train:], twins.train)
    apart = np.zeros(len(twins.test_rows), dtype=np.int64)
    best = np.full(len(twins.test_rows), -1)
    with np.errstate(over="ignore"):
        for j in range(d):
            rest = salted - salted_hashes(twins.cells[:, j], j)
            hit = np.isin(rest[n_train:], rest[:n_train]) & ~is_twin
            apart += hit
            best[hit] = j
    k, n = int((apart > 0).sum()), len(apart)
    if not k:
        return
    logs = twins.log_chances[n_train:]
    total = logs.sum(axis=1)
    # One column left out: its own term; columns that depend on it stay as they are.
    rate = np.exp(np.minimum(50.0, special.logsumexp(total[:, None] - logs, axis=1) + math.log(n_train)))
    expected = float(-np.expm1(-np.minimum(rate, 50.0)).sum())
    log10p = log10p_of_count(k, MODEL_SLACK * expected)
    if not _is_many(k, n, log10p):
        return
    which, counts = np.unique(best[best >= 0], return_counts=True)
    names = ", ".join(twins.names[j] for j in which[np.argsort(-counts)][:3])
    yield Found(
        f"{k:,} of {n:,} test rows ({k / n:.1%}) equal a train row in all of {d} columns but one (most "
        f"often {names}); "
        f"chance would give about {expected:.1f}.",
        "Check some pairs: copies with one cell changed belong on one side.",
        k / n,
        log10p,
    )


_SPACES = re.compile(r"\s+")
_SHINGLE = 5
_MINIMA = 64
_BAND = 4
_MERSENNE = np.uint64((1 << 31) - 1)


def _near_texts(own: Feature, other: Feature, seed: int) -> tuple[int, int, float, str] | None:
    """Return how many test texts are near a train text.

    Near and not equal; of how many, the middle similarity to the nearest candidate, and an example in
    words. None for short texts, which are alike by chance.
    """
    rng = np.random.default_rng(seed)
    test_rows, train_rows = some_rows(len(own), 5_000, rng), some_rows(len(other), 20_000, rng)
    test = [_shingles(text) for text in own.texts.take(pa.array(test_rows)).to_pylist()]
    train = [_shingles(text) for text in other.texts.take(pa.array(train_rows)).to_pylist()]
    lengths = [len(text) for text in test if len(text)]
    if len(lengths) < 10 or float(np.median(lengths)) < 20:
        return None
    factors = rng.integers(1, int(_MERSENNE), (2, _MINIMA)).astype(np.uint64)
    own_minima, other_minima = _minima(test, factors), _minima(train, factors)
    candidates: list[set[int]] = [set() for _ in test]
    for start in range(0, _MINIMA, _BAND):
        a = row_hashes(own_minima[:, start : start + _BAND])
        b = row_hashes(other_minima[:, start : start + _BAND])
        order = np.argsort(b, kind="stable")
        low = np.searchsorted(b[order], a, side="left")
        high = np.searchsorted(b[order], a, side="right")
        for row in np.flatnonzero(high > low):
            candidates[row].update(order[low[row] : min(high[row], low[row] + 20)].tolist())
    nearest = np.zeros(len(test))
    is_equal = np.zeros(len(test), dtype=np.bool_)
    pair: tuple[int, int] | None = None
    for i, places in enumerate(candidates):
        if len(test[i]) < 20:
            continue
        for j in places:
            both = len(np.intersect1d(test[i], train[j], assume_unique=True))
            alike = both / (len(test[i]) + len(train[j]) - both)
            nearest[i] = max(nearest[i], alike)
            is_equal[i] |= alike == 1.0
            if TEXT_NEAR <= alike < 1 and pair is None:
                pair = (int(test_rows[i]), int(train_rows[j]))
    k = int(((nearest >= TEXT_NEAR) & ~is_equal).sum())
    if pair is None:
        return None
    example = (
        f"First: test row {pair[0] + 1}, {own.texts[pair[0]].as_py()[:60]!r}, and train row "
        f"{pair[1] + 1}, {other.texts[pair[1]].as_py()[:60]!r}."
    )
    return k, len(test), float(np.median(nearest)), example


def _shingles(text: str) -> NDArray[np.uint64]:
    """Return distinct sorted hashes of all runs of 5 characters."""
    letters = np.array([ord(c) for c in _SPACES.sub(" ", text.casefold().strip())[:20_000]], dtype=np.uint64)
    if len(letters) < _SHINGLE:
        return np.empty(0, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(letters, _SHINGLE)
    return np.unique(row_hashes(np.ascontiguousarray(windows)) % _MERSENNE)


def _minima(texts: Sequence[NDArray[np.uint64]], factors: NDArray[np.uint64]) -> Hashes:
    """Return the minima of hashes, shape (texts, 64).

    A text without shingles gets numbers of its own.
    """
    found = np.empty((len(texts), _MINIMA), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i, text in enumerate(texts):
            if len(text):
                found[i] = ((text[:, None] * factors[0] + factors[1]) % _MERSENNE).min(axis=0)
            else:
                found[i] = _MERSENNE + np.uint64(1 + i)
    return found
