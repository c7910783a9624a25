"""Missing values that go with the target or with the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from scorer.leakage.check import ALARM, AUC_FLOOR, SOFT_ALARM, Found, check
from scorer.leakage.column_power import association_of_values
from scorer.leakage.frame import Codes, Mask
from scorer.leakage.material import Material, NotChecked
from scorer.leakage.pool import Pool, pool_of
from scorer.leakage.statistics import (
    MIN_ROWS,
    area_under_curve,
    association,
    corrected,
    log10p_of_fisher,
    log10p_of_z,
)
from scorer.leakage.target import Target


@check("missingness_signal", scope="columns", needs=(), cost="columns x n log n")
def missingness_signal(material: Material) -> Iterator[Found]:
    """Missing values that go with the target.

    By column, by number in a row, or by pattern.

    effect: odds ratio of a class where the value is missing; of a number, AUC of the target for being
    missing.
    """
    pool = pool_of(material)
    if not pool.target_names:
        raise NotChecked(material.lacking.get("hidden") or material.why_not("train_target"))
    gaps = {
        name: pool.column(name).missing & pool.has(name) for name in pool.names if name not in pool.declared
    }
    gaps = {
        name: missing for name, missing in gaps.items() if missing.any() and not missing[pool.has(name)].all()
    }
    if not gaps:
        return
    for target_name in pool.target_names:
        target = pool.any_target(target_name)
        rows = pool.independent(target, tightly=False)
        if rows.sum() < MIN_ROWS:
            raise NotChecked(f"there are fewer than {MIN_ROWS} independent labelled rows")
        n_tests = len(gaps) + 2
        found_column = False
        for name, missing in gaps.items():
            own = rows & pool.has(name)
            best = max(
                (_missing_effect(missing[part], target.take(part)) for part in _parts(material, pool, own)),
                key=lambda gap: -gap.log10p,
            )
            log10p = corrected(best.log10p, 2 * n_tests if material.is_sequential else n_tests)
            if log10p > -SOFT_ALARM or not best.is_strong:
                continue
            found_column = True
            yield Found(
                f"column {name} is missing in {missing[own].mean():.1%} of rows, and that goes with "
                f"{target_name}: {best.words}{pool.sampling}.",
                f"If {name} is missing because of how the rows were collected (two sources joined, a form "
                "filled in afterwards), fill it in the same way or drop it; if the gap is legitimate "
                "information, keep it.",
                effect=best.effect,
                log10p=log10p,
                severity="warn",
                where=name,
                picture={
                    "kind": "bars",
                    "title": f"Share of rows without {name}",
                    "x_title": target_name,
                    "y_title": "share missing",
                    **_missing_by_target(missing[own], target.take(own)),
                },
            )
        if found_column or len(gaps) < 2:
            continue
        matrix = np.column_stack([missing[rows] for missing in gaps.values()])
        counts = matrix.sum(axis=1).astype(np.float64)
        own_target = target.take(rows)
        by_number = association(counts, own_target)
        by_pattern = association_of_values(_pattern(matrix), own_target)
        for strength, words in (
            (by_number, "the number of missing values in a row"),
            (by_pattern, "which values of a row are missing together"),
        ):
            log10p = corrected(strength.log10p, n_tests)
            if log10p <= -SOFT_ALARM and strength.auc >= AUC_FLOOR:
                yield Found(
                    f"{words} goes with {target_name}: AUC {strength.auc:.3f}{pool.sampling}.",
                    "Check how rows of different labels were collected: joined sources leave such traces.",
                    effect=strength.auc,
                    log10p=log10p,
                    severity="warn",
                )
                break


@dataclass(frozen=True, slots=True)
class _Missing:
    log10p: float
    effect: float
    is_strong: bool
    words: str


def _missing_effect(missing: Mask, target: Target) -> _Missing:
    """Return how missing values go with a target."""
    n, m = len(missing), int(missing.sum())
    none = _Missing(0.0, 1.0, False, "")
    if m < 3 or n - m < 3:
        return none
    if target.kind == "number":
        if m < 8 or n - m < 8:
            return none
        auc, z = area_under_curve(target.values, missing)
        words = f"the target is larger where it is missing with probability {auc:.2f}"
        return _Missing(log10p_of_z(z), max(auc, 1 - auc), max(auc, 1 - auc) >= 0.57, words)
    best = none
    for name, hot in target.hot:
        both, positives = int((missing & hot).sum()), int(hot.sum())
        if not 0 < positives < n:
            continue
        log10p = corrected(log10p_of_fisher(both, m, positives, n), max(1, len(target.classes) - 1))
        if log10p < best.log10p:
            odds = (
                (both + 0.5)
                * (n - m - positives + both + 0.5)
                / ((m - both + 0.5) * (positives - both + 0.5))
            )
            odds = max(odds, 1 / odds)
            words = (
                f"class {name} is {both / m:.1%} where it is missing and "
                f"{(positives - both) / (n - m):.1%} elsewhere"
            )
            best = _Missing(log10p, odds, odds > 1.5, words)
    return best


def _parts(material: Material, pool: Pool, rows: Mask) -> list[Mask]:
    """Return train and test apart in a split by time."""
    if not material.is_sequential:
        return [rows]
    return [rows & pool.is_train, rows & ~pool.is_train]


def _missing_by_target(missing: Mask, target: Target) -> dict[str, Any]:
    if target.kind == "number":
        edges = np.unique(np.quantile(target.values, np.linspace(0, 1, 11)))
        bins = np.clip(np.searchsorted(edges, target.values, side="right") - 1, 0, max(0, len(edges) - 2))
        names = [f"{edges[code]:.4g}" for code in np.unique(bins)]
    else:
        codes, bins = np.unique(target.values, return_inverse=True)
        names = [target.name_of(code) for code in codes]
    _, bins = np.unique(bins, return_inverse=True)
    shares = np.bincount(bins, weights=missing) / np.bincount(bins)
    return {
        "x": names[:30],
        "y": np.round(shares, 4).tolist()[:30],
        "text": f"The share runs from {shares.min():.1%} to {shares.max():.1%}.",
    }


def _pattern(matrix: Mask) -> Codes:
    """Return rows of flags as codes, by the first 500 columns."""
    weights = np.random.default_rng(0).random(min(500, matrix.shape[1]))
    return np.asarray(np.unique(matrix[:, : len(weights)] @ weights, return_inverse=True)[1])


@check("missingness_shift", scope="columns", needs=("train", "test"), cost="columns x n")
def missingness_shift(material: Material) -> Iterator[Found]:
    """Values missing more often in train or in test.

    effect: difference of the shares.
    """
    pool = pool_of(material)
    for name in pool.shared:
        if name in pool.declared:
            continue
        column = pool.column(name)
        missing = column.missing.astype(np.float64)
        weights, sides = pool.by_group(missing)
        n1, n0 = int(sides.sum()), int((~sides).sum())
        a, b = float(missing[pool.is_train].mean()), float(missing[~pool.is_train].mean())
        if min(n1, n0) < 8 or abs(a - b) <= 0.05:
            continue
        if pool.groups is None:
            both, total = int(missing[pool.is_train].sum()), int(missing.sum())
            log10p = log10p_of_fisher(both, total, n1, n1 + n0)
        else:
            log10p = log10p_of_z(area_under_curve(weights, sides)[1])
        log10p = corrected(log10p, len(pool.shared))
        if log10p > -ALARM:
            continue
        is_meant = material.is_sequential
        yield Found(
            f"column {name} is missing in {a:.1%} of train rows and {b:.1%} of test rows{pool.sampling}."
            f"{' The split is by time, which may explain it.' if is_meant else ''}",
            "Prepare both tables by the same steps; a gap in one table only reveals where a row is from.",
            effect=abs(a - b),
            log10p=log10p,
            severity="info" if is_meant else "warn",
            where=name,
            picture={
                "kind": "bars",
                "title": f"Share of rows without {name}",
                "x_title": "table",
                "y_title": "share missing",
                "x": ["train", "test"],
                "y": [round(a, 4), round(b, 4)],
                "text": f"{a:.1%} in train, {b:.1%} in test.",
            },
        )
