"""Columns known only after the outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, check
from scorer.leakage.column_power import power_of_column, powers_of
from scorer.leakage.material import Material
from scorer.leakage.pool import Column, Pool, pool_of
from scorer.leakage.statistics import corrected, log10p_of_z


@check("post_outcome_feature", scope="columns", needs=("train_target", "test"), cost="columns x n log n")
def post_outcome_feature(material: Material) -> Iterator[Found]:
    """Columns of train known only after the outcome.

    Test lacks them, or has them in another form.

    effect: AUC in train (as in strong_feature).
    """
    pool = pool_of(material)
    train, test = pool.train, pool.test
    assert train is not None
    assert test is not None
    is_expected = material.is_sequential or material.is_grouped
    reported: set[str] = set()
    for target in train.targets:
        rows = pool.independent(pool.train_target(target.name))
        for name in train.frame.names:
            if name in reported or name in pool.declared:
                continue
            column = pool.column(name)
            loss = _loss_in_test(name, column, pool, len(test))
            if loss is None:
                continue
            words, is_null = loss
            power = power_of_column(
                column.take(rows), pool.train_target(target.name).take(rows), pool.folds[rows]
            )
            log10p = corrected(power.log10p, len(train.frame.names))
            predicts = log10p <= -ALARM and power.effect >= AUC_FLOOR
            reported.add(name)
            yield Found(
                f"column {name} {words}; in train it alone predicts {target.name} with "
                f"{pool.measure(target.name)} {power.effect:.3f}{pool.sampling}.",
                f"Drop {name} from train: models cannot use it, or it shows what was known only afterwards."
                if predicts
                else f"Drop {name} from train, or give it in test as well.",
                effect=power.effect,
                log10p=log10p if predicts else None,
                severity="info" if not predicts or (is_expected and not is_null) else "warn",
                where=name,
            )
    for target_name, found in powers_of(material, pool).items():
        for one in found:
            if one.train is None or one.carried is None or one.name in reported:
                continue
            gap = one.train.effect - one.carried.effect
            error = math.hypot(one.train.error, one.carried.error)
            z = gap / error if error > 0 else 0.0
            # The largest z expected by chance of hundreds of columns is far below 5.
            if z <= 6 or gap <= (0.2 if is_expected else 0.08):
                continue
            yield Found(
                f"column {one.name} predicts {target_name} with {pool.measure(target_name)} "
                f"{one.train.effect:.3f} in train, "
                f"but a prediction learnt in train reaches only {one.carried.effect:.3f} in test (z = "
                f"{z:.1f}){pool.sampling}.",
                f"Check what {one.name} means in train: it may have been filled in after the outcome. "
                "Make both tables in the same way.",
                effect=one.train.effect,
                log10p=corrected(log10p_of_z(z), len(found)),
                severity="info" if is_expected else "warn",
                where=one.name,
            )


def _loss_in_test(name: str, column: Column, pool: Pool, n_test: int) -> tuple[str, bool] | None:
    """Return how test lacks a column of train, and whether wholly."""
    train = column.of_train
    if train.n_levels < 2 and not (0 < train.missing.mean() < 1):
        return None
    if name not in pool.shared:
        return "is in train and not in test", True
    test = column.of_test
    if test.missing.all():
        chance = n_test * math.log10(max(1e-300, float(train.missing.mean())))
        return ("is empty in every row of test", True) if chance < -BLOCK else None
    codes = test.codes
    if len(np.unique(codes)) == 1:
        share = float((train.codes == codes[0]).mean())
        chance = n_test * math.log10(share) if share > 0 else -math.inf
        if chance < -BLOCK:
            return f"has one single value in test, which {share:.1%} of train's rows have", False
    return None
