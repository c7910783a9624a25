"""Whether an order of rows predicts the target."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scorer.leakage.check import ALARM, Found
from scorer.leakage.frame import Codes, Rows
from scorer.leakage.material import Material, Side
from scorer.leakage.sampled import sampled_side
from scorer.leakage.statistics import (
    association,
    association_of_codes,
    corrected,
    lag_one_z,
    log10p_of_codes,
    log10p_of_z,
)
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray

PERIODS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)
LAGS = (*range(1, 33), 50, 52, 60, 64, 100)


def whose_target(side: Side, target: Target) -> str:
    return f"{'the' if side.name == 'train' else 'the hidden'} {target.name}"


@dataclass(frozen=True, slots=True)
class Regularity:
    """How targets of rows at a distance correlate."""

    log10p: float
    auc: float
    words: str


def regularity_of(target: Target) -> Regularity:
    """Return the strongest regularity of targets in row order.

    Like neighbours, like rows at a fixed distance, or position modulo a small number.
    """
    known = target.known
    y = target.values[known]
    n = len(y)
    best = Regularity(0.0, 0.5, "")
    if n < 20 or y.min() == y.max():
        return best
    codes = y.astype(np.int64) if target.kind != "number" else None
    ranks = None
    if codes is None:
        ranks = stats.rankdata(y)
        ranks -= ranks.mean()
    best_lag = best_period = 0
    log10p = 0.0
    for lag in LAGS:
        if lag > n // 4:
            break
        # Neighbours get a third of the tests' weight; all other distances share another third.
        found = corrected(_log10p_of_lag(codes, ranks, lag), 3 if lag == 1 else 3 * len(LAGS))
        if found < log10p:
            log10p, best_lag = found, lag
    places = np.flatnonzero(known)
    for period in PERIODS:
        if n < 20 * period:
            break
        found = corrected(log10p_of_codes(places % period, target.take(known)), 3 * len(PERIODS))
        if found < log10p:
            log10p, best_period = found, period
    if log10p > -ALARM:
        return best
    if best_period:
        auc = association_of_codes(places % best_period, target.take(known)).auc
        return Regularity(log10p, auc, f"the row number modulo {best_period} predicts")
    what = "the two neighbouring rows" if best_lag == 1 else f"the rows {best_lag} before and after"
    return Regularity(log10p, _auc_of_neighbours(target.take(known), best_lag), f"{what} predict")


def _log10p_of_lag(codes: Codes | None, ranks: FloatArray | None, lag: int) -> float:
    if ranks is not None:
        if lag == 1:
            return log10p_of_z(max(0.0, lag_one_z(ranks)))
        total = float((ranks**2).sum())
        r = float((ranks[lag:] * ranks[:-lag]).sum()) / total if total else 0.0
        return log10p_of_z(max(0.0, (r + 1 / len(ranks)) * math.sqrt(len(ranks))))
    assert codes is not None
    n = len(codes)
    counts = np.bincount(codes).astype(np.float64)
    s2, s3 = float((counts**2).sum()), float((counts**3).sum())
    expected = (s2 - n) / n * (n - lag) / (n - 1)
    variance = (s2 * (s2 + n * (n + 1)) - 2 * n * s3 - n**3) / (n * n * (n - 1))
    equal = int(np.count_nonzero(codes[lag:] == codes[:-lag]))
    if variance <= 0 or equal <= expected:
        return 0.0
    # Rows of rare classes meet seldom, with a tail like Poisson's: a gamma law of its skewness, 1 /
    # sqrt(meetings), that is the normal one where there are many. The largest class adds no information to
    # the others. One less, because one row more or less of a class changes two pairs.
    meetings = (s2 - float(counts.max()) ** 2) / n
    z = (equal - 1 - expected) / math.sqrt(variance)
    shape = 4 * max(meetings, 1e-3)
    tail = float(stats.gamma.logsf(shape + z * math.sqrt(shape), shape)) / math.log(10)
    return min(0.0, tail if math.isfinite(tail) else -300.0) if z > 0 else 0.0


def _auc_of_neighbours(target: Target, lag: int) -> float:
    y = target.values
    if target.kind == "number":
        padded = np.concatenate([np.full(lag, np.nan), y, np.full(lag, np.nan)])
        both = np.stack([padded[: len(y)], padded[2 * lag :]])
        held = ~np.isnan(both)
        mean = np.where(held, both, 0.0).sum(axis=0) / np.maximum(1, held.sum(axis=0))
        return association(np.where(held.any(axis=0), mean, np.nan), target).auc
    best = 0.5
    for _, hot in target.hot:
        number = Target(target.name, "number", hot.astype(np.float64))
        if hot.sum() < 2 or (~hot).sum() < 2:
            continue
        padded = np.concatenate([np.full(lag, np.nan), number.values, np.full(lag, np.nan)])
        both = np.stack([padded[: len(y)], padded[2 * lag :]])
        held = ~np.isnan(both)
        mean = np.where(held, both, 0.0).sum(axis=0) / np.maximum(1, held.sum(axis=0))
        best = max(best, association(mean, Target(target.name, "binary", number.values)).auc)
    return best


def order_finding(
    material: Material,
    side: Side,
    target: Target,
    order: Rows,
    auc: float,
    log10p: float,
    words: str,
    advice: str,
    where: str = "",
) -> Found:
    """Return a finding about an order of rows.

    It is only "info" if a public column has the same order and explains it, or if the order of train is that
    of a split declared sequential, whose rows and ids must stay in their order.
    """
    sorting = _sorted_by(material, side, order)
    picture = _picture(side, target, order, words)
    place = where or f"{side.file}, {target.name}"
    if material.time is not None and material.time in sorting:
        return Found(
            f"{words} The rows are sorted by the declared time column {material.time}.",
            "No change is needed if the target only changes with time.",
            auc,
            log10p,
            "info",
            place,
            picture,
        )
    if sorting and _explains(side, target, order, sorting):
        return Found(
            f"{words} The rows are sorted by {', '.join(sorting)}, which participants can see and which "
            "explains this.",
            "No change is needed if participants may know these columns; declare split.time or "
            "split.group if they "
            "are one.",
            auc,
            log10p,
            "info",
            place,
            picture,
        )
    if material.is_sequential:
        is_train = side.name == "train"
        return Found(
            f"{words} The split is declared sequential, so an order is expected.",
            "Keep the order. "
            + (
                "State it in the description; the folds that are served follow it."
                if is_train
                else "If it would be unknown at the time of prediction, choose a target or a moment of "
                "prediction that it does not give away; otherwise state it in the description."
            ),
            auc,
            log10p,
            "info" if is_train else "warn",
            place,
            picture,
        )
    return Found(words, advice, auc, log10p, "warn", place, picture)


def _sorted_by(material: Material, side: Side, order: Rows) -> dict[str, FloatArray]:
    """Return the public columns that rows are sorted or blocked by.

    Each with a bin for every row of the sample.
    """
    sample = sampled_side(side, material)
    picked = _positions(side, sample, order)
    found: dict[str, FloatArray] = {}
    for name in sample.frame.names:
        feature = sample.frame.feature(name)
        scores = feature.scores[picked]
        held = scores[~np.isnan(scores)]
        if len(held) < 0.9 * len(scores) or len(held) < 20:
            continue
        steps = np.diff(held)
        distinct = len(np.unique(held))
        moves = int(np.count_nonzero(steps))
        if distinct < 3 or moves == 0:
            continue
        is_sorted = feature.is_numeric and max((steps > 0).sum(), (steps < 0).sum()) >= 0.99 * moves
        in_blocks = distinct <= len(held) / 2 and moves + 1 <= 1.05 * distinct
        if is_sorted and not in_blocks:
            ranks = stats.rankdata(feature.scores, method="average")
            found[name] = np.floor(32 * (ranks - 1) / max(1, len(ranks)))
        elif in_blocks:
            found[name] = np.nan_to_num(feature.scores, nan=-1.0)
    # Series below each other are sorted by time within each block.
    time = material.time
    if time is not None and time not in found and time in sample.frame and found:
        moments = sample.frame.feature(time).scores[picked]
        for bins in list(found.values()):
            same = np.diff(bins[picked]) == 0
            steps = np.diff(moments)[same]
            if len(steps) >= 0.5 * len(moments) and (steps >= 0).mean() >= 0.99:
                found[time] = np.nan_to_num(sample.frame.feature(time).scores, nan=-1.0)
                break
    return found


def _positions(side: Side, sample: Side, order: Rows) -> Rows:
    """Return the sample's rows in the side's given order."""
    if len(sample) == len(side):
        return order
    rank = np.empty(len(side), dtype=np.int64)
    rank[order] = np.arange(len(side))
    place = np.searchsorted(side.rows, sample.rows)
    return np.argsort(rank[place], kind="stable")


def _explains(side: Side, target: Target, order: Rows, sorting: dict[str, FloatArray]) -> bool:
    """Return whether public columns explain the order of the target.

    Nothing is left once the target's mean by these columns' bins is subtracted.
    """
    y = target.values[order]
    known = ~np.isnan(y)
    length = len(next(iter(sorting.values())))
    if length != len(side):  # a sample loses neighbours but keeps the columns' order
        return True
    levels = (
        [y]
        if target.kind == "number"
        else [np.where(known, (y == code).astype(np.float64), np.nan) for code in np.unique(y[known])[:20]]
    )
    for values in levels:
        rest = values[known].copy()
        for bins in sorting.values():
            _, group = np.unique(bins[order][known], return_inverse=True)
            rest -= (np.bincount(group, weights=rest) / np.bincount(group))[group]
        numbers = Target(target.name, "number", rest)
        if association(np.arange(len(rest), dtype=np.float64), numbers).log10p <= -ALARM:
            return False
        if lag_one_z(rest) > 4.5:
            return False
    return True


def _picture(side: Side, target: Target, order: Rows, words: str) -> dict[str, object]:
    """Return the mean target by row, in at most 60 steps."""
    y = target.values[order]
    if target.kind == "class":
        counts = np.bincount(y[~np.isnan(y)].astype(np.int64))
        top = int(counts.argmax())
        y = np.where(np.isnan(y), np.nan, (y == top).astype(np.float64))
        title = f"share of {target.name_of(top)}"
    else:
        title = f"mean {target.name}" if target.kind == "number" else f"share of {target.name_of(1)}"
    pieces = np.array_split(np.arange(len(y)), min(60, len(y)))
    held = [piece[~np.isnan(y[piece])] for piece in pieces]
    points = [(float(piece.mean()) + 1, float(y[piece].mean())) for piece in held if len(piece)]
    return {
        "kind": "line",
        "title": f"{title} along {side.file}",
        "x_title": "row",
        "y_title": title,
        "x": [x for x, _ in points],
        "y": [value for _, value in points],
        "text": words,
    }
