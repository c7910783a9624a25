"""Columns that alone predict nearly all of the target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from scorer.leakage.check import ALARM, BLOCK, Found, Severity, check
from scorer.leakage.column_power import LEADING, ColumnPower, powers_of
from scorer.leakage.material import Material
from scorer.leakage.pool import is_drift, pool_of
from scorer.leakage.statistics import corrected

_STRONG = 0.985
"""AUC from which a single column counts as a leak unless overridden.

On the bundled data sets honest columns reach .976."""


@check("strong_feature", scope="columns", needs=(), cost="columns x n log n", blocks=True)
def strong_feature(material: Material) -> Iterator[Found]:
    """A single column that alone nearly predicts the target.

    effect: AUC out of fold; of a number 0.5 + |correlation of ranks| / 2, of classes 0.5 + agreement beyond
    the commonest class / 2.
    """
    pool = pool_of(material)
    powers = powers_of(material, pool)
    for target, found in powers.items():
        n_tests = max(1, len(found))
        ranked = sorted(found, key=lambda one: -one.best.effect)
        for one in ranked:
            log10p = corrected(one.best.log10p, n_tests)
            if log10p > -ALARM:
                continue
            others = [other for other in ranked if other is not one]
            next_best = f"{others[0].best.effect:.3f}, {others[0].name}" if others else "there is no other"
            severity, words = _verdict(
                material, target, one, log10p, [other.best.effect for other in others], n_tests
            )
            if severity is None:
                continue
            yield Found(
                f"column {one.name}: alone it predicts {target} with {pool.measure(target)} "
                f"{one.best.effect:.3f} in {one.where} (next best: "
                f"{next_best}){one.best.detail}{words}{pool.sampling}.",
                f"Check how and when {one.name} is measured. If it is known only after the outcome, or "
                "made from it, drop it; if not, the task is very easy.",
                effect=one.best.effect,
                log10p=log10p,
                severity=severity,
                where=one.name,
                picture={
                    "kind": "bars",
                    "title": f"How well each column alone predicts {target}",
                    "x_title": "column",
                    "y_title": pool.measure(target),
                    "x": [r.name for r in ranked[:10]],
                    "y": [round(r.best.effect, 4) for r in ranked[:10]],
                    "text": f"{one.name} reaches {one.best.effect:.3f}.",
                },
            )


def _verdict(
    material: Material, target: str, one: ColumnPower, log10p: float, others: Sequence[float], n_tests: int
) -> tuple[Severity | None, str]:
    best = one.best
    if one.test is not None and one.train is None and material.train is not None and material.train.targets:
        # Models cannot learn a column that train lacks: any association with the labels is a leak.
        if best.effect >= 0.75 and log10p <= -BLOCK:
            return "block", ", and train lacks it"
        return ("warn", ", and train lacks it") if best.effect >= 0.6 else (None, "")
    if best.effect > _STRONG and log10p <= -BLOCK:
        if is_drift(material, one.name, target):
            return "info", ", as two trends in time may"
        if others and others[0] > _STRONG and one.test is not None and len(others) > 1:
            # One perfect column is a leak; several are an easy task, such as iris, or copies, which
            # target_copy reports.
            return "warn", ", as others do too: the task may be easy"
        return "block", ""
    if (
        one.test is not None
        and one.train is not None
        and not material.is_sequential
        and not material.is_grouped
    ):
        gap = one.test.effect - one.train.effect
        error = math.hypot(one.test.error, one.train.error)
        if gap > max(0.08, 6 * error) and corrected(one.test.log10p, n_tests) <= -BLOCK:
            words = f"; in the test rows {one.test.effect:.3f}, in train only {one.train.effect:.3f}"
            return ("block" if one.test.effect > _STRONG else "warn"), words
    lead = best.effect - others[0] if others else 0.0
    if others and best.effect > LEADING and lead > max(0.05, 6 * math.sqrt(2) * best.error):
        return "warn", ", far ahead of all others"
    if others and best.effect > 0.85 and lead > max(0.1, 6 * math.sqrt(2) * best.error):
        return "info", ", ahead of all others"
    return None, ""
