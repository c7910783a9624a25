"""Train and test rows that columns can separate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scorer.leakage.check import Found, Severity, check
from scorer.leakage.material import Material, NotChecked
from scorer.leakage.pool import pool_of
from scorer.leakage.separation import FAR_APART, MIN_SIDE, separation_of, side_histogram


@check("adversarial_shift", scope="split", needs=("train", "test"), cost="columns x n", blocks=True)
def adversarial_shift(material: Material) -> Iterator[Found]:
    """Train and test rows that columns can separate.

    effect: cross-validated AUC of a small boosted model for train against test, or of one column where that
    is more.
    """
    pool = pool_of(material)
    names = [name for name in pool.shared if name not in pool.declared]
    if not names:
        raise NotChecked("train and test have no feature in common")
    sides = pool.is_train
    units = sides if pool.groups is None else pool.by_group(np.zeros(pool.n))[1]
    n1, n0 = int(units.sum()), int((~units).sum())
    if min(n1, n0) < MIN_SIDE:
        what = "rows" if pool.groups is None else f"values of {material.group}"
        raise NotChecked(f"there are only {n1} {what} in train and {n0} in test")
    found = separation_of(pool, names, ~sides, pool.groups)
    if not found.is_sure:
        return
    top = found.columns[:3]
    listed = ", ".join(f"{name} {strength.auc:.3f}" for name, strength in top)
    severity: Severity = "warn"
    by_time = material.is_sequential
    if found.auc > FAR_APART and top and top[0][1].auc > FAR_APART:
        severity = "block" if not material.is_grouped else "warn"
    if by_time or (material.is_grouped and pool.groups is None):
        severity = "info"
    words = ""
    if by_time:
        words = " The split is declared to be in time, so time itself and drift are expected."
    elif material.is_grouped:
        words = " Whole groups were compared."
    elif severity == "block":
        words = (
            " If the split is meant to be in time or by group, declare it in challenge.yaml (split: "
            "strategy, time or group)."
        )
    yield Found(
        f"a model separates train from test rows with AUC {found.auc:.3f} (0.5 if both were drawn alike); "
        f"columns alone: {listed}{pool.sampling}.{words}",
        f"Check {top[0][0]} first: {'is it a counter, a date, or prepared differently?' if top else ''} A "
        "score on such a test measures the shift too.",
        effect=found.auc,
        log10p=found.log10p,
        severity=severity,
        where=top[0][0],
        picture=side_histogram(pool.column(top[0][0]), sides, ("train", "test")),
    )
