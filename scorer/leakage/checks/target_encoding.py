"""Numbers that are means of the target over a category."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scorer.leakage.check import BLOCK, Found, check
from scorer.leakage.frame import Codes, Mask, Rows, decimals_of, joint_codes
from scorer.leakage.material import Material
from scorer.leakage.pool import Pool, labelled_test, pool_of
from scorer.leakage.statistics import MIN_ROWS, pearson
from scorer.leakage.target import Target, in_numbers, numbers_of_classes
from scorer.reading.columns import FloatArray

_ENCODED = 30
"""Columns that may have been replaced by a mean of the target."""
_LOOKED_AT = 2_000
"""Rows at which a suspected mean is compared; the mean itself is of all rows."""

_NEARLY_ALL = 0.98
"""Share of the rows in which a column must be the mean."""


@check(
    "target_encoding",
    scope="columns",
    needs=("train_target", "test", "hidden"),
    cost="categories x numbers x n",
    blocks=True,
)
def target_encoding(material: Material) -> Iterator[Found]:
    """Numbers that are means of the target, hidden labels included.

    Over the rows of each value of a category.

    effect: share of rows in which it is just that, or the correlation over the categories.
    """
    pool = pool_of(material)
    labelled_test(material, pool)
    train, test = material.train, material.test
    assert train is not None
    assert test is not None
    rows = np.sort(np.random.default_rng(material.seed).permutation(pool.n)[:_LOOKED_AT])
    places = pool.rows_in_files[rows]
    in_train = pool.is_train[rows]
    places = np.where(in_train, places, places + len(train))
    keys = _categories(pool)
    numbers = {
        name: number for name in pool.test_names if (number := _Number.of(pool, name, rows)) is not None
    }
    unlike = _Unlike.of(numbers)
    reported: set[str] = set()
    for target in test.targets:
        own = next((t for t in train.targets if t.name == target.name), None)
        if own is None:
            continue
        y = np.concatenate([own.values, target.values])
        for key in keys:
            a, b = joint_codes(train.frame.feature(key), test.frame.feature(key))
            codes = np.concatenate([a, b]) + 1
            for words, values in _levels_of_target(y, target):
                means = _Means.of(codes, values, len(train), places)
                ruled_out = unlike.names(means)
                for name, number in numbers.items():
                    if name == key or name in reported or name in ruled_out:
                        continue
                    encoded = _encoding(number, means)
                    if encoded is None:
                        continue
                    reported.add(name)
                    form, effect, leaks = encoded
                    yield Found(
                        f"column {name} is {form} of {words} over the rows of each {key}"
                        + (
                            ", hidden labels included."
                            if leaks
                            else ", in train only: each row's own label is in it."
                        ),
                        f"Compute {name} from train's labels alone, out of fold; or leave it out: "
                        "participants can compute it.",
                        effect=effect,
                        severity="block" if leaks else "info",
                        where=name,
                    )


def _categories(pool: Pool) -> list[str]:
    found = []
    for name in pool.shared:
        column = pool.column(name)
        n_levels = column.n_levels
        if 2 <= n_levels <= min(pool.n / 2, 20_000) and (column.kind != "number" or n_levels <= pool.n / 5):
            # Words first, then whole numbers: means are rarely taken over a measurement.
            found.append((column.is_numeric, n_levels, name))
    return [name for _, _, name in sorted(found)[:_ENCODED]]


def _levels_of_target(y: FloatArray, target: Target) -> Iterator[tuple[str, FloatArray]]:
    """Yield the target's numbers or classes a mean may be of."""
    if target.kind == "number":
        yield target.name, y
        return
    for code in range(min(10, len(target.classes))):
        yield f"class {target.name_of(code)} of {target.name}", np.where(np.isnan(y), np.nan, y == code)
    numbers = numbers_of_classes(target)
    if numbers is not None and not np.isin(numbers, (0.0, 1.0)).all():
        yield target.name, in_numbers(y, numbers)


@dataclass(frozen=True, eq=False)
class _Means:
    """Means of a target over a category, at the compared rows."""

    codes: Codes
    everywhere: FloatArray
    of_test: FloatArray
    of_train: FloatArray
    without_own: FloatArray
    """Over all rows but the own."""
    sums: FloatArray
    counts: FloatArray
    overall: float

    @property
    def forms(self) -> dict[str, FloatArray]:
        return {
            "the mean, in train only,": self.of_train,
            "the mean": self.everywhere,
            "the mean in the test rows": self.of_test,
            "the mean without the own row": self.without_own,
        }

    @classmethod
    def of(cls, codes: Codes, y: FloatArray, n_train: int, places: Rows) -> _Means:
        known = ~np.isnan(y)
        train = np.arange(len(y)) < n_train
        k = int(codes.max()) + 1

        def total(rows: Mask) -> tuple[FloatArray, FloatArray]:
            sums = np.bincount(codes[rows], weights=y[rows], minlength=k).astype(np.float64)
            return sums, np.bincount(codes[rows], minlength=k).astype(np.float64)

        at = codes[places]
        sums, counts = total(known)
        test_sums, test_counts = total(known & ~train)
        own, held = np.nan_to_num(y[places]), known[places]
        return cls(
            at,
            (sums / counts)[at],
            (test_sums / test_counts)[at],
            ((sums - test_sums) / (counts - test_counts))[at],
            np.where(held, (sums[at] - own) / (counts[at] - 1), np.nan),
            sums[at],
            counts[at],
            float(y[known].mean()),
        )


@dataclass(frozen=True, eq=False)
class _Number:
    """A numeric column at the compared rows."""

    x: FloatArray
    used: Mask
    """Which of the rows `x` is of."""
    tolerance: float
    """Half a unit of the last decimal written."""

    @classmethod
    def of(cls, pool: Pool, name: str, rows: Rows) -> _Number | None:
        column = pool.column(name)
        if not column.is_numeric:
            return None
        used = pool.has(name)[rows] & ~column.missing[rows]
        x = column.numbers[rows][used]
        if len(x) < MIN_ROWS or x.min() == x.max():
            return None
        written = np.unique(column.written[rows][used][:200])
        decimals = max(decimals_of(column.written_names[code]) for code in written)
        return cls(x, used, max(0.51 * 10.0 ** -min(decimals, 12.0), 1e-9 * float(np.abs(x).max())))


@dataclass(frozen=True, eq=False)
class _Unlike:
    """The columns without a hole, as one matrix: most are no means, which one comparison of all shows."""

    columns: tuple[str, ...]
    x: FloatArray
    """A row for each column."""
    tolerance: FloatArray

    @classmethod
    def of(cls, numbers: Mapping[str, _Number]) -> _Unlike:
        whole = {name: number for name, number in numbers.items() if number.used.all()}
        tolerance = np.array([number.tolerance for number in whole.values()])
        return cls(tuple(whole), np.array([number.x for number in whole.values()]), tolerance)

    def names(self, means: _Means) -> set[str]:
        """Return the columns of which `_encoding` gives None, without calling it."""
        if not self.columns:
            return set()
        _, first, code = np.unique(means.codes, return_index=True, return_inverse=True)
        like = np.abs(self.x - self.x[:, first[code]]).max(axis=1) <= self.tolerance
        for values in means.forms.values():
            known = np.isfinite(values)
            agree = np.abs(self.x[:, known] - values[known]) <= self.tolerance[:, np.newaxis]
            like |= agree.sum(axis=1) > _NEARLY_ALL * known.sum()
        return {name for name, is_like in zip(self.columns, like, strict=True) if not is_like}


def _encoding(number: _Number, means: _Means) -> tuple[str, float, bool] | None:
    """Return which mean a column is, or None.

    With the share of rows that agree, and whether hidden labels are in it.
    """
    x, used, tolerance = number.x, number.used, number.tolerance
    shares = {form: _fits(x, values[used], tolerance) for form, values in means.forms.items()}
    in_train = shares.pop("the mean, in train only,")
    form = max(shares, key=lambda one: shares[one])
    if shares[form] > in_train:
        return form, shares[form], True
    if in_train:
        return "the mean", in_train, False
    codes = means.codes[used]
    first = np.full(int(codes.max()) + 1, np.nan)
    first[codes[::-1]] = x[::-1]
    if np.abs(x - first[codes]).max() > tolerance:
        return None
    # One value for each category, but scaled, drawn to the overall mean, or odds.
    places = np.unique(codes, return_index=True)[1]
    x = x[places]
    everywhere, train = means.everywhere[used][places], means.of_train[used][places]
    sums, counts = means.sums[used][places], means.counts[used][places]
    both = np.isfinite(everywhere) & np.isfinite(train)
    if both.sum() < 8 or np.abs(everywhere - train)[both].max() < 1e-9:
        return None
    x, everywhere, train, sums, counts = x[both], everywhere[both], train[both], sums[both], counts[both]
    pull = means.overall - x
    weight = float(((x * counts - sums) * pull).sum() / max((pull * pull).sum(), 1e-300))
    if weight > 0:
        share = _fits(x, (sums + weight * means.overall) / (counts + weight), 2 * tolerance)
        if share > _NEARLY_ALL:
            return "the mean, drawn to the overall mean,", share, True
    for measure in (pearson, lambda a, b: pearson(stats.rankdata(a), stats.rankdata(b))):
        with_test, without = abs(measure(x, everywhere)), abs(measure(x, train))
        if with_test > 0.999 and 1 - with_test < 0.3 * (1 - without):
            return (
                f"a function (|correlation| {with_test:.5f}, with train alone {without:.5f}) of the mean",
                with_test,
                True,
            )
        if without > 0.9999 and 1 - without < 0.3 * (1 - with_test):
            return "a function of the mean", without, False
    return None


def _fits(x: FloatArray, values: FloatArray, tolerance: float) -> float:
    """Return the share of rows that agree, 0 if by chance."""
    known = np.isfinite(values)
    if known.sum() < 0.5 * len(x):
        return 0.0
    x, values = x[known], values[known]
    if (np.abs(x[:50] - values[:50]) <= tolerance).sum() < 0.8 * len(x[:50]):
        return 0.0
    spread = float(values.max() - values.min())
    if spread <= 20 * tolerance:
        return 0.0
    agree = np.abs(x - values) <= tolerance
    share = float(agree.mean())
    if share <= _NEARLY_ALL:
        return 0.0
    distinct = len(np.unique(np.round(values[agree] / (4 * tolerance))))
    return share if distinct * math.log10(spread / (2 * tolerance)) >= BLOCK else 0.0
