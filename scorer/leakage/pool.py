"""Train and test as one table.

What holds of a data set does not depend on its split, so a strong but honest column is as strong in every
split. Where a split is declared to be by group, rows of one group are not independent; where it is declared
to be in time, only what train predicts of test counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
from scipy import stats

from scorer.leakage.frame import Codes, Feature, Mask, Rows
from scorer.leakage.material import Material, NotChecked, Side
from scorer.leakage.statistics import correlation_of_known, variance_by_group
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

ROWS = 30_000
"""Sampled rows of each table."""
FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column over train's rows, then test's; missing where lacking."""

    name: str
    kind: str
    """As of material.Feature, of both tables together."""
    numbers: FloatArray
    """nan where missing, and everywhere for words."""
    codes: Codes
    """Of the distinct values in their order, the alphabet's for words; -1 where missing."""
    missing: Mask
    written: Codes
    """Of the cells as written, into `written_names`."""
    written_names: Sequence[str]
    in_train: Mask

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def is_numeric(self) -> bool:
        return self.kind in ("number", "time")

    @property
    def n_levels(self) -> int:
        return int(np.count_nonzero(np.bincount(self.codes + 1)[1:]))

    @property
    def texts(self) -> pa.Array:
        return pa.array([self.written_names[code] for code in self.written], pa.string())

    @property
    def of_train(self) -> Column:
        return self.take(self.in_train)

    @property
    def of_test(self) -> Column:
        return self.take(~self.in_train)

    def take(self, rows: Mask | Rows) -> Column:
        return replace(
            self,
            numbers=self.numbers[rows],
            codes=self.codes[rows],
            missing=self.missing[rows],
            written=self.written[rows],
            in_train=self.in_train[rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Train and test, at most `ROWS` of each, as one table."""

    train: Side | None
    test: Side | None
    declared: frozenset[str]
    """The columns that the split is by, which differ by intent."""
    groups: Codes | None
    """Of the declared group column; None if none is declared or it is not in both tables."""
    folds: Rows
    """Rows of one group are in one fold."""
    seed: int
    _columns: dict[str, Column] = field(default_factory=dict, repr=False)

    @property
    def n(self) -> int:
        return sum(len(side) for side in (self.train, self.test) if side is not None)

    @property
    def is_train(self) -> Mask:
        return np.arange(self.n) < (0 if self.train is None else len(self.train))

    @property
    def rows_in_files(self) -> Rows:
        return np.concatenate([side.rows for side in (self.train, self.test) if side is not None])

    @property
    def train_names(self) -> list[str]:
        return [] if self.train is None else self.train.frame.names

    @property
    def test_names(self) -> list[str]:
        return [] if self.test is None else self.test.frame.names

    @property
    def shared(self) -> list[str]:
        there = set(self.test_names)
        return [name for name in self.train_names if name in there]

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.train_names, *self.test_names]))

    @property
    def sampling(self) -> str:
        """Return the sampling in words; empty if every row is used."""
        sides = [side for side in (self.train, self.test) if side is not None and side.is_sample]
        parts = [f"{len(side):,} of {side.n_total:,} {side.name} rows" for side in sides]
        return f" (a random {' and '.join(parts)})" if parts else ""

    def has(self, name: str) -> Mask:
        """Return the rows whose table has a column."""
        return np.where(
            self.is_train,
            self.train is not None and name in self.train.frame,
            self.test is not None and name in self.test.frame,
        )

    def column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = _pooled(
                name, [s for s in (self.train, self.test) if s is not None], self.is_train
            )
        return self._columns[name]

    @property
    def target_names(self) -> list[str]:
        sides = [side for side in (self.train, self.test) if side is not None]
        return list(dict.fromkeys(target.name for side in sides for target in side.targets))

    def any_target(self, name: str) -> Target:
        """Return a target over all rows, nan where unknown."""
        found = [
            None if side is None else next((t for t in side.targets if t.name == name), None)
            for side in (self.train, self.test)
        ]
        sides = [side for side in (self.train, self.test) if side is not None]
        values = [
            target.values if target is not None else np.full(len(side), np.nan)
            for side, target in zip(
                sides,
                [f for f, s in zip(found, (self.train, self.test), strict=True) if s is not None],
                strict=True,
            )
        ]
        held = [target for target in found if target is not None]
        # Train's classes begin with those of the hidden labels, so its list names both.
        widest = max(held, key=lambda target: len(target.classes))
        return replace(widest, values=np.concatenate(values))

    def target(self, name: str) -> Target | None:
        """As `any_target`, if both tables have labels."""
        sides = (self.train, self.test)
        if all(side is not None and any(t.name == name for t in side.targets) for side in sides):
            return self.any_target(name)
        return None

    def train_target(self, name: str) -> Target:
        """As `any_target`, without the hidden labels."""
        target = self.any_target(name)
        return replace(target, values=np.where(self.is_train, target.values, np.nan))

    def measure(self, name: str) -> str:
        kind = self.any_target(name).kind
        return "AUC" if kind == "binary" else "strength (0.5 for none, 1 for all)"

    def independent(self, target: Target, *, tightly: bool = True) -> Mask:
        """Return the labelled rows that are independent.

        One row of each group where the rows of a group have nearly one label (tightly) or alike labels:
        then groups were drawn, not rows.
        """
        known = target.known
        if self.groups is None or not known.any():
            return known
        if _alike_in_groups(target.take(known), self.groups[known]) <= (0.9 if tightly else 0.1):
            return known
        order = np.random.default_rng(self.seed).permutation(np.flatnonzero(known))
        one = np.zeros(self.n, dtype=np.bool_)
        one[order[np.unique(self.groups[order], return_index=True)[1]]] = True
        return one

    def by_group(self, values: FloatArray) -> tuple[FloatArray, Mask]:
        """Return rows or means of groups, and which are train's."""
        if self.groups is None:
            return values, self.is_train
        units, dense = np.unique(2 * self.groups + self.is_train, return_inverse=True)
        means = np.asarray(np.bincount(dense, weights=values) / np.bincount(dense), dtype=np.float64)
        return means, np.asarray(units % 2 == 1, dtype=np.bool_)


def _alike_in_groups(target: Target, groups: Codes) -> float:
    """Return the intraclass correlation of a target.

    Of classes the largest of one class against the rest.
    """
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n, k = len(groups), len(sizes)
    if k < 2 or n <= k:
        return 1.0 if n <= k else 0.0
    levels = (
        [stats.rankdata(target.values)]
        if target.kind == "number"
        else [hot.astype(np.float64) for _, hot in target.hot]
    )
    largest = 0.0
    for values in levels[:30]:
        between, within, typical = variance_by_group(values, groups)
        total = between + (typical - 1) * within
        largest = max(largest, (between - within) / total if total > 0 else 0.0)
    return largest


_POOLS: WeakKeyDictionary[Material, Pool] = WeakKeyDictionary()


def pool_of(material: Material) -> Pool:
    """Return both tables as one, made once, or raise NotChecked."""
    if material not in _POOLS:
        if material.train is None and material.test is None:
            raise NotChecked(f"{material.why_not('train')}, and {material.why_not('test')}")
        train, test = (
            None if side is None else side.sampled(ROWS, seed=material.seed)
            for side in (material.train, material.test)
        )
        sides = [side for side in (train, test) if side is not None]
        declared = frozenset(name for name in (material.group, material.time) if name is not None)
        groups = _groups(sides, material.group)
        n = sum(len(side) for side in sides)
        order = np.random.default_rng(material.seed).permutation(
            n if groups is None else int(groups.max()) + 1
        )
        _POOLS[material] = Pool(
            train, test, declared, groups, (order if groups is None else order[groups]) % FOLDS, material.seed
        )
    return _POOLS[material]


def labelled_test(material: Material, pool: Pool) -> Side:
    """Return test with its hidden labels, or raise NotChecked."""
    if pool.test is None or not pool.test.targets:
        raise NotChecked(material.lacking.get("hidden") or material.why_not("test"))
    return pool.test


def _groups(sides: Sequence[Side], name: str | None) -> Codes | None:
    if name is None:
        return None
    texts = []
    for side in sides:
        if name in side.frame:
            texts.append(side.frame.texts(name))
        elif name in side.id_names:
            texts.append(side.ids[side.id_names.index(name)])
        else:
            return None
    indices = pa.concat_arrays(texts).dictionary_encode().indices
    return np.asarray(indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _pooled(name: str, sides: Sequence[Side], in_train: Mask) -> Column:
    features: list[Feature | None] = [s.frame.feature(name) if name in s.frame else None for s in sides]
    texts = pa.concat_arrays(
        [
            f.texts if f is not None else pa.array([""] * len(s), pa.string())
            for f, s in zip(features, sides, strict=True)
        ]
    ).dictionary_encode()
    written = np.asarray(texts.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    missing = np.concatenate(
        [
            f.missing if f is not None else np.ones(len(s), dtype=np.bool_)
            for f, s in zip(features, sides, strict=True)
        ]
    )
    kinds = {feature.kind for feature in features if feature is not None and not feature.missing.all()}
    kind = str(next(iter(kinds))) if len(kinds) == 1 else "text" if "text" in kinds else "category"
    names: list[str] = texts.dictionary.to_pylist()
    numbers = np.full(len(missing), np.nan)
    codes = np.full(len(missing), -1, dtype=np.int64)
    if kind in ("number", "time"):
        numbers = np.concatenate(
            [
                f.numbers if f is not None and f.kind == kind else np.full(len(s), np.nan)
                for f, s in zip(features, sides, strict=True)
            ]
        )
        missing = missing | np.isnan(numbers)
        codes[~missing] = np.unique(numbers[~missing], return_inverse=True)[1]
    elif names:
        place = np.empty(len(names), dtype=np.int64)
        place[np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)] = np.arange(
            len(names)
        )
        codes[~missing] = np.unique(place[written[~missing]], return_inverse=True)[1]
    return Column(name, kind, numbers, codes, missing, written, names, in_train)


def is_drift(material: Material, name: str, target_name: str) -> bool:
    """Return whether a column and a target share only a trend.

    For splits in time. Two smooth series have few independent rows, so their agreement means little; a copy
    agrees in its steps from row to row.
    """
    test = material.test
    if not material.is_sequential or test is None or name not in test.frame:
        return False
    side = test.take(np.arange(min(len(test), ROWS)))
    target = next((t for t in side.targets if t.name == target_name), None)
    if target is None:
        return False
    order = np.arange(len(side))
    if material.time is not None and material.time in side.frame:
        order = np.argsort(side.frame.feature(material.time).numbers, kind="stable")
    x, y = side.frame.feature(name).scores[order], target.values[order]
    if target.kind == "number":
        return correlation_of_known(np.diff(x), np.diff(y))[0] < 0.9
    steps, changes = np.diff(x), np.diff(y)
    held = (changes != 0) & ~np.isnan(steps) & ~np.isnan(changes)
    if held.sum() < 10:
        return True
    # Numbers of classes are names: a step agrees if it goes the way most steps between these two do.
    pairs = np.unique(np.column_stack([y[:-1], y[1:]])[held], axis=0, return_inverse=True)[1].ravel()
    up = np.bincount(pairs, weights=np.sign(steps[held]))
    return float(np.abs(up).sum() / held.sum()) < 0.9
