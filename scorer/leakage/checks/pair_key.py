"""Pairs of columns that name one thing in train and test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import stats

from scorer.leakage.check import SOFT_ALARM, Found, check
from scorer.leakage.frame import Codes, Mask, Rows, joint_codes
from scorer.leakage.material import Material, NotChecked, Side
from scorer.leakage.pool import Pool, pool_of
from scorer.leakage.statistics import MIN_ROWS, beyond_chance, corrected, log10p_of_z
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

_PAIR_COLUMNS = 20
_PAIR_ROWS = 100_000
_PAIR_GAIN = 0.2


@check("pair_key", scope="columns", needs=("train_target", "test"), cost="pairs of columns x n log n")
def pair_key(material: Material) -> Iterator[Found]:
    """Two columns that name one thing in train and test.

    So they carry its label over.

    effect: gain in agreement beyond chance (of a number in explained variance of ranks), from knowing the
    pair.
    """
    pool = pool_of(material)
    train, test = material.train, material.test
    assert train is not None
    assert test is not None
    if len(train) < 50:
        raise NotChecked(f"train has only {len(train)} rows, too few for pairs of values to repeat")
    names = _keys(pool)
    train, test = train.sampled(_PAIR_ROWS, seed=material.seed), test.sampled(_PAIR_ROWS, seed=material.seed)
    codes: dict[str, tuple[Codes, Codes]] = {}
    for name in names:
        own, other = joint_codes(train.frame.feature(name), test.frame.feature(name))
        codes[name] = own + 1, other + 1
    for target in train.targets:
        known = target.known
        y = _classes_or_ranks(target.take(known), target.kind)
        if y is None:
            continue
        alone = {name: _left_out(codes[name][0][known], y) for name in names}
        n_pairs = max(1, len(names) * (len(names) - 1) // 2)
        gains: list[tuple[float, float, str, str, Codes, FloatArray]] = []
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                pair, test_pair = _paired(codes[a], codes[b])
                pair = pair[known]
                sizes = np.bincount(pair)
                again = sizes[pair] >= 2
                if len(sizes) <= len(pair) / 20 or again.sum() < max(50, 0.2 * len(pair)):
                    continue
                seen = np.zeros(max(len(sizes), int(test_pair.max(initial=0)) + 1), dtype=np.bool_)
                seen[pair] = True
                overlap = float(seen[test_pair].mean())
                if overlap < 0.2:
                    continue
                skill = _skill(_left_out(pair, y)[again], y[again])
                before = max(_skill(alone[name][again], y[again]) for name in (a, b))
                if skill - max(0.0, before) > _PAIR_GAIN:
                    gains.append((skill - max(0.0, before), overlap, a, b, pair, np.array([skill, before])))
        gains.sort(key=lambda one: -one[0])
        for gain, overlap, a, b, pair, (skill, before) in gains[:3]:
            # A place on a map is a pair too: where neighbours predict as well, it is no key.
            rows, guess = _model_of_two(train, (a, b), known, y, material.seed)
            rows_again = np.bincount(pair)[pair[rows]] >= 2
            guess, rows = guess[rows_again], rows[rows_again]
            smooth = _skill(guess, y[rows])
            better = _losses(guess, y[rows]) - _losses(_left_out(pair, y)[rows], y[rows])
            # Rows of one key are not independent: count keys.
            _, dense = np.unique(pair[rows], return_inverse=True)
            each = np.bincount(dense, weights=better) / np.bincount(dense)
            spread = float(each.std())
            z = float(each.mean()) / spread * math.sqrt(len(each)) if spread > 0 else 0.0
            log10p = corrected(log10p_of_z(z), n_pairs) if z > 0 else 0.0
            if skill - smooth <= _PAIR_GAIN / 2 or log10p > -SOFT_ALARM:
                continue
            yield Found(
                f"columns {a} and {b}: rows of train that share both predict each other's {target.name} "
                f"with a skill of {skill:.2f} "
                f"beyond chance (the columns alone {max(0.0, before):.2f}, a model of the two "
                f"{max(0.0, smooth):.2f}), "
                f"and {overlap:.0%} of test rows share both with a train row{train.sampling}.",
                f"If {a} and {b} name one thing (a user, a place, an order), split by it (split: group) "
                "or coarsen one of them.",
                effect=gain,
                log10p=log10p,
                where=f"{a}, {b}",
                severity="warn",
            )


def _keys(pool: Pool) -> list[str]:
    """Return columns with repeated values, most values first."""
    found = []
    for name in pool.shared:
        train = pool.column(name).of_train
        held = int((~train.missing).sum())
        if name not in pool.declared and 2 <= train.n_levels <= 0.9 * held:
            found.append((train.n_levels, name))
    return [name for _, name in sorted(found, reverse=True)[:_PAIR_COLUMNS]]


def _paired(a: tuple[Codes, Codes], b: tuple[Codes, Codes]) -> tuple[Codes, Codes]:
    """Return two columns' codes as one, in train and test."""
    width = 1 + max(int(b[0].max(initial=0)), int(b[1].max(initial=0)))
    n = len(a[0])
    joined = np.concatenate([a[0] * width + b[0], a[1] * width + b[1]])
    values, dense = np.unique(joined[:n], return_inverse=True)
    places = np.minimum(np.searchsorted(values, joined[n:]), len(values) - 1)
    return dense, np.where(values[places] == joined[n:], places, len(values))


def _classes_or_ranks(target: Target, kind: str) -> FloatArray | None:
    """Return the target as flags or ranks.

    Shape (n, classes) of 0 and 1, at most the 30 commonest; or (n, 1) of ranks. None if all are equal.
    """
    y = target.values
    if len(y) < MIN_ROWS or y.min() == y.max():
        return None
    if kind == "number":
        return stats.rankdata(y)[:, None] / len(y)
    codes, counts = np.unique(y, return_counts=True)
    return np.column_stack([y == code for code in codes[np.argsort(-counts)][:30]]).astype(np.float64)


def _left_out(codes: Codes, y: FloatArray) -> FloatArray:
    """Return the mean of the other rows with a row's code.

    Drawn slightly towards the overall mean; shape of y.
    """
    counts = np.bincount(codes)[codes][:, None]
    sums = np.column_stack([np.bincount(codes, weights=column)[codes] for column in y.T])
    return np.asarray((sums - y + 0.1 * y.mean(axis=0)) / (counts - 1 + 0.1))


def _skill(guess: FloatArray, y: FloatArray) -> float:
    """Agreement beyond the commonest class, or explained variance."""
    if len(y) < 8:
        return 0.0
    if y.shape[1] == 1:
        spread = float(((y - y.mean()) ** 2).sum())
        return 1 - float(((y - guess) ** 2).sum()) / spread if spread else 0.0
    right = int((guess.argmax(axis=1) == y.argmax(axis=1)).sum())
    return beyond_chance(right, float(y.sum(axis=0).max()), len(y))


def _losses(guess: FloatArray, y: FloatArray) -> FloatArray:
    """Return each row's loss: wrong class or squared error."""
    if y.shape[1] == 1:
        return np.asarray((guess[:, 0] - y[:, 0]) ** 2, dtype=np.float64)
    return np.asarray(guess.argmax(axis=1) != y.argmax(axis=1), dtype=np.float64)


def _model_of_two(
    side: Side, names: Sequence[str], known: Mask, y: FloatArray, seed: int
) -> tuple[Rows, FloatArray]:
    """Return a small model's guesses from two columns.

    Out of fold: at most 20,000 places in `y`, and guesses like it.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.model_selection import KFold
    from threadpoolctl import threadpool_limits

    rows = np.arange(len(y))
    if len(rows) > 20_000:
        rows = np.sort(np.random.default_rng(seed).choice(rows, 20_000, replace=False))
    x = np.column_stack([side.frame.feature(name).scores[known][rows] for name in names])
    wanted = y[rows]
    guess = np.zeros_like(wanted)
    for train, test in KFold(3, shuffle=True, random_state=seed).split(x):
        settings = {
            "max_iter": 50,
            "max_depth": 4,
            "early_stopping": False,
            "random_state": seed,
            "min_samples_leaf": max(3, min(10, len(train) // 20)),
        }
        with threadpool_limits(limits=1):  # small trees: their threads would wait for each other
            if wanted.shape[1] == 1:
                model = HistGradientBoostingRegressor(**settings).fit(x[train], wanted[train, 0])
                guess[test, 0] = model.predict(x[test])
                continue
            codes = wanted.argmax(axis=1)
            if len(np.unique(codes[train])) < 2:
                continue
            model = HistGradientBoostingClassifier(**settings).fit(x[train], codes[train])
            guess[np.ix_(test, model.classes_)] = model.predict_proba(x[test])
    return rows, guess
