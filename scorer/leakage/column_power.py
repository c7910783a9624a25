"""How well one column alone predicts a target."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from scipy import stats

from scorer.leakage.frame import Codes, Mask, Rows, dense_codes
from scorer.leakage.material import Material, NotChecked
from scorer.leakage.pool import FOLDS, Column, Pool
from scorer.leakage.statistics import (
    MIN_ROWS,
    NONE,
    Strength,
    area_under_curve,
    association,
    association_of_codes,
    beyond_chance,
    corrected,
    log10p_of_arrangement,
    log10p_of_z,
)
from scorer.leakage.target import Target

LEADING = 0.97
"""AUC from which a column far ahead of all others gets a warning."""


@dataclass(frozen=True, slots=True)
class Power:
    """How well one column alone predicts a target."""

    effect: float
    """0.5 for none to 1 for a perfect prediction; see `strong_feature`."""
    error: float
    """Its standard error."""
    log10p: float
    detail: str = ""


NO_POWER = Power(0.5, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class ColumnPower:
    name: str
    train: Power | None
    """Among train's rows; None where train lacks the column or the labels."""
    test: Power | None
    """Among the test rows."""
    carried: Power | None
    """In the test rows, by statistics of train alone."""
    pooled: Power | None
    """In the rows of both."""

    @property
    def best(self) -> Power:
        return self.pooled or self.test or NO_POWER

    @property
    def where(self) -> str:
        return (
            "the rows of train and test"
            if self.pooled and self.train and self.test
            else "the test rows"
            if self.test
            else "the train rows"
        )


_POWERS: WeakKeyDictionary[Material, dict[str, list[ColumnPower]]] = WeakKeyDictionary()


def powers_of(material: Material, pool: Pool) -> dict[str, list[ColumnPower]]:
    """Return the power of each column, by target.

    Columns that test has; computed once for a material.
    """
    if material not in _POWERS:
        if not any(side.targets for side in material.sides):
            raise NotChecked(material.lacking.get("hidden") or material.why_not("train_target"))
        _POWERS[material] = {target: _powers(material, pool, target) for target in pool.target_names}
        if not any(_POWERS[material].values()):
            del _POWERS[material]
            raise NotChecked(f"there are fewer than {MIN_ROWS} independent labelled rows with a column")
    return _POWERS[material]


def _powers(material: Material, pool: Pool, target_name: str) -> list[ColumnPower]:
    target = pool.any_target(target_name)
    rows = pool.independent(target)
    on_train, on_test = rows & pool.is_train, rows & ~pool.is_train
    n_train, n_test = int(on_train.sum()), int(on_test.sum())
    found = []
    for name in pool.names:
        if name in pool.declared:
            continue
        column = pool.column(name)
        in_test = name in pool.test_names
        train = test = carried = pooled = None
        if name in pool.train_names and n_train >= MIN_ROWS:
            train = power_of_column(column.take(on_train), target.take(on_train), pool.folds[on_train])
        if in_test and n_test >= MIN_ROWS:
            test = power_of_column(column.take(on_test), target.take(on_test), pool.folds[on_test])
        if name in pool.shared and train is not None and test is not None:
            forward = np.where(pool.is_train, 0, 1)
            carried = power_of_column(
                column.take(rows), target.take(rows), forward[rows], judged=~pool.is_train[rows]
            )
            pooled = (
                carried
                if material.is_sequential
                else power_of_column(column.take(rows), target.take(rows), pool.folds[rows])
            )
        elif name in pool.shared and n_train + n_test >= MIN_ROWS:
            pooled = power_of_column(column.take(rows), target.take(rows), pool.folds[rows])
        if (in_test or pool.test is None) and (train or test or pooled):
            found.append(
                ColumnPower(name, train, test, carried, pooled or (train if pool.test is None else None))
            )
    return found


def power_of_column(column: Column, target: Target, folds: Rows, *, judged: Mask | None = None) -> Power:
    """Return how well a column predicts a target out of sample.

    folds: of each row its fold; a row is judged by the rows of all other folds. judged: rows that count
    (all).
    """
    y = target.values
    n = len(y)
    counted = np.ones(n, dtype=np.bool_) if judged is None else judged
    if n < MIN_ROWS or counted.sum() < 8 or y[counted].min() == y[counted].max():
        return NO_POWER
    found = [
        _power_of_bins(bins, target, folds, counted) for bins in _bins_of(column, target, n) if bins.max() > 0
    ]
    if column.is_numeric and target.kind == "class":
        if any(power.effect > 0.8 for power in found):
            found.append(_power_of_cuts(column, target, folds, counted))
    elif column.is_numeric:
        # Bins are coarse: for a monotonous column, ranks predict more.
        held = counted & ~column.missing
        if held.sum() >= max(MIN_ROWS, 0.9 * counted.sum()):
            strength = association(column.numbers[held], target.take(held))
            found.append(Power(strength.auc, _error(strength.auc, target.take(held)), strength.log10p))
    if column.kind == "text":
        found.append(_power_of_words(column, target, counted))
    return max(found, key=lambda power: power.effect, default=NO_POWER)


def _bins_of(column: Column, target: Target, n: int) -> Iterator[Codes]:
    """Yield a column as few codes, 0 for missing cells."""
    if n == 0:
        return
    n_bins = 64 if target.kind == "number" else max(16, 4 * len(target.classes))
    n_bins = int(np.clip(n // 20, 2, n_bins))
    dense, counts = dense_codes(column.codes)
    if len(counts) <= max(16, n // 20):
        # Values of few rows predict little each: they are pooled.
        rare = counts[dense] < (5 if len(counts) > 2 else 1)
        yield np.where(column.missing, 0, np.where(rare, 1, dense + 2))
    if column.is_numeric and len(counts) > n_bins:
        known = ~column.missing
        edges = np.unique(np.quantile(column.numbers[known], np.linspace(0, 1, n_bins + 1)[1:-1]))
        bins = np.zeros(n, dtype=np.int64)
        bins[known] = 1 + np.searchsorted(edges, column.numbers[known], side="right")
        yield bins


def _power_of_bins(bins: Codes, target: Target, folds: Rows, counted: Mask) -> Power:
    bins, folds = dense_codes(bins)[0], dense_codes(folds)[0]
    n_bins, n_folds = int(bins.max()) + 1, int(folds.max()) + 1
    cell = folds * n_bins + bins
    sizes = np.bincount(cell, minlength=n_folds * n_bins).reshape(n_folds, n_bins)
    others = sizes.sum(axis=0) - sizes
    if target.kind == "class":
        classes, y = np.unique(target.values, return_inverse=True)
        k = len(classes)
        table = np.bincount(cell * k + y, minlength=n_folds * n_bins * k).reshape(n_folds, n_bins, k)
        outside = table.sum(axis=0) - table
        overall = outside.sum(axis=1, keepdims=True) / np.maximum(outside.sum(axis=(1, 2))[:, None, None], 1)
        guess = (outside + overall).argmax(axis=2)
        right = guess[folds, bins] == y
        right, y = right[counted], y[counted]
        n = len(y)
        base = int(np.bincount(y).max())
        if base == n:
            return NO_POWER
        share = float(right.mean())
        effect = 0.5 + max(0.0, beyond_chance(int(right.sum()), base, n)) / 2
        error = math.sqrt(max(share * (1 - share), 1 / n) / n) / (2 * (1 - base / n))
        p = association_of_codes(bins[counted], target.take(counted)).log10p
        return Power(effect, error, p)
    values = stats.rankdata(target.values) if target.kind == "number" else target.values
    sums = np.bincount(cell, weights=values, minlength=n_folds * n_bins).reshape(n_folds, n_bins)
    outside = sums.sum(axis=0) - sums
    overall = outside.sum(axis=1, keepdims=True) / np.maximum(others.sum(axis=1, keepdims=True), 1)
    score = ((outside + overall) / (others + 1))[folds, bins][counted]
    own = target.take(counted)
    if target.kind == "binary":
        auc, z = area_under_curve(score, own.values == 1)
        return Power(max(auc, 0.5), _error(auc, own), log10p_of_z(z) if auc > 0.5 else 0.0)
    ranks = values[counted]
    spread = float(((ranks - ranks.mean()) ** 2).sum())
    explained = 1 - float(((ranks - score) ** 2).sum()) / spread if spread else 0.0
    r = math.sqrt(max(0.0, explained))
    strength = association(score, own)
    return Power(
        0.5 + r / 2, max((1 - r * r) / math.sqrt(len(ranks)) / 2, 1e-6), strength.log10p if r else 0.0
    )


def _power_of_cuts(column: Column, target: Target, folds: Rows, counted: Mask) -> Power:
    """As `_power_of_bins` for classes, with bins cut by a tree.

    Quantiles mix classes that lie close to each other.
    """
    from sklearn.tree import DecisionTreeClassifier

    used = ~column.missing
    x, y = column.numbers[:, None], target.values
    guess = np.full(len(y), -1.0)
    for fold in np.unique(folds[counted]):
        train, test = used & (folds != fold), used & (folds == fold) & counted
        if not train.any() or not test.any():
            continue
        tree = DecisionTreeClassifier(
            max_leaf_nodes=4 * len(target.classes), min_samples_leaf=3, random_state=0
        )
        guess[test] = tree.fit(x[train], y[train]).predict(x[test])
    right, y = (guess == y)[counted], y[counted]
    n, base = len(y), int(np.unique(y, return_counts=True)[1].max())
    share = float(right.mean())
    if base == n:
        return NO_POWER
    effect = 0.5 + max(0.0, beyond_chance(int(right.sum()), base, n)) / 2
    error = math.sqrt(max(share * (1 - share), 1 / n) / n) / (2 * (1 - base / n))
    return Power(effect, error, association(column.numbers[counted], target.take(counted)).log10p)


def association_of_values(codes: Codes, target: Target) -> Strength:
    """As `association_of_codes`, but out of five folds.

    The effect keeps its direction: where one row is left out at a time, rows of one value are ordered
    backwards by their own labels, which for few values alone gives an AUC far from .5. Where values have
    few rows each, the out-of-fold score is surer than chi-squared, which must pool them. codes: shape (n,);
    rows without a label are left out.
    """
    known = target.known
    own = target.take(known)
    if len(own) < 8 or own.values.min() == own.values.max():
        return NONE
    strength = association_of_codes(codes, target)
    if target.kind == "class":
        # The class that the p value is about, against the rest.
        code = next((c for c in np.unique(own.values) if own.name_of(c) == strength.detail), own.values.max())
        own = Target(
            target.name, "binary", (own.values == code).astype(np.float64), ("other", own.name_of(code))
        )
    elif target.kind == "binary":
        own = replace(own, values=(own.values == own.values.max()).astype(np.float64))
    n = len(own)
    folds = np.random.default_rng(0).permutation(n) % FOLDS
    power = _power_of_bins(codes[known], own, folds, np.ones(n, dtype=np.bool_))
    return Strength(power.effect, corrected(min(strength.log10p, power.log10p), 2), strength.detail)


def _error(auc: float, target: Target) -> float:
    """Return the standard error of an AUC.

    Hanley and McNeil 1982; of a number half the standard error of a correlation.
    """
    n = len(target)
    if target.kind == "number":
        r = min(1.0, 2 * abs(auc - 0.5))
        return max((1 - r * r) / math.sqrt(n) / 2, 1e-6)
    n1 = int((target.values == 1).sum())
    n0 = n - n1
    if not n1 or not n0:
        return 1.0
    auc = max(auc, 1 - auc)
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    variance = (auc * (1 - auc) + (n1 - 1) * (q1 - auc**2) + (n0 - 1) * (q2 - auc**2)) / (n1 * n0)
    return max(math.sqrt(max(variance, 0.0)), 0.25 / min(n1, n0))


_WORD = re.compile(r"\S+")
_WORD_ROWS = 5_000


def _power_of_words(column: Column, target: Target, counted: Mask) -> Power:
    """Return the power of the strongest single word.

    Of several classes: of each class's best word against the rest, so that a label's name is found.
    """
    if target.kind == "number":
        return NO_POWER
    rows = np.flatnonzero(counted & ~column.missing)[:_WORD_ROWS]
    if len(rows) < MIN_ROWS:
        return NO_POWER
    y = target.values[rows]
    holding: dict[str, list[int]] = {}
    for place, text in enumerate(column.texts.take(pa.array(rows)).to_pylist()):
        for word in set(_WORD.findall(text.lower()[:2000])):
            holding.setdefault(word, []).append(place)
    classes, dense = np.unique(y, return_inverse=True)
    sizes = np.bincount(dense)
    if len(classes) < 2:
        return NO_POWER
    if target.kind == "binary":
        best, chosen = 0.5, ""
        for word, places in holding.items():
            if len(places) >= 5:
                held = np.bincount(dense[places], minlength=2) / sizes
                auc = 0.5 + abs(held[1] - held[0]) / 2
                if auc > best:
                    best, chosen = float(auc), word
        n1, n0 = int(sizes[1]), int(sizes[0])
        z = (best - 0.5) * 2 * math.sqrt(n1 * n0 / (n1 + n0))
        words = f"; by the word {chosen[:40]!r}" if chosen else ""
        return Power(best, _error(best, target.take(rows)), corrected(log10p_of_z(z), len(holding)), words)
    # A word for each class: a row is given the class of its best word.
    guess = np.full(len(rows), -1)
    sure = np.zeros(len(rows))
    for places in holding.values():
        if len(places) >= 5:
            counts = np.bincount(dense[places], minlength=len(classes))
            code = int(counts.argmax())
            purity = counts[code] / len(places) * counts[code] / sizes[code]
            stronger = np.array(places)[sure[places] < purity]
            guess[stronger], sure[stronger] = code, purity
    right = int((guess == dense).sum())
    effect = 0.5 + max(0.0, beyond_chance(right, int(sizes.max()), len(rows))) / 2
    # Chosen among all words of the same rows: only a near certain one counts.
    if effect < LEADING:
        return NO_POWER
    return Power(effect, 0.01, log10p_of_arrangement(sizes), "; by single words")
