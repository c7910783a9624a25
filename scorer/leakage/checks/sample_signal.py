"""Sample submissions that follow the hidden labels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scorer.leakage.check import ALARM, AUC_FLOOR, Found, check
from scorer.leakage.column_power import association_of_values
from scorer.leakage.material import Material, NotChecked
from scorer.leakage.sample_submission import sample_rows, sample_values
from scorer.leakage.statistics import Strength, association, corrected, lag_one_z, log10p_of_z, runs_z
from scorer.leakage.target import Target


@check("sample_signal", scope="challenge", needs=("sample", "hidden"), cost="n log n", blocks=True)
def sample_signal(material: Material) -> Iterator[Found]:
    """Sample submissions whose values or order follow the hidden labels.

    effect: AUC (of a number 0.5 + |rho| / 2).
    """
    sample, places = material.sample, material.sample_places
    assert sample is not None
    if places is None or not (places >= 0).any():
        raise NotChecked("the sample submission's ids are not those of the solution")
    known = places >= 0
    targets = [
        Target(t.name, t.kind, np.where(known, t.values[np.maximum(places, 0)], np.nan), t.classes)
        for t in material.hidden_targets
    ]
    names = [name for name in sample.names if name not in material.challenge.solution.id_columns]
    values = list(sample_values(sample, names))
    n_tests = max(1, 2 * len(values) * len(targets))
    best: dict[str, tuple[Strength, str, Target]] = {}
    for name, words, scores, codes in values:
        for target in targets:
            wanted = target
            if target.kind == "class" and name in target.classes:
                hot = np.where(np.isnan(target.values), np.nan, target.values == target.classes.index(name))
                wanted = Target(f"class {name}", "binary", hot, ("other", name))
            strength = association(scores, wanted)
            if codes is not None:
                by_code = association_of_values(codes, wanted)
                strength = by_code if by_code.log10p < strength.log10p else strength
            if name not in best or strength.log10p < best[name][0].log10p:
                best[name] = strength, words, wanted
    for name, (strength, words, target) in best.items():
        log10p = corrected(strength.log10p, n_tests)
        if log10p > -ALARM or strength.auc < AUC_FLOOR:
            continue
        yield Found(
            f"{words} of column {name} of the sample submission go with the hidden {target.name}: AUC "
            f"{strength.auc:.3f}.",
            "Write one constant into every row of the sample submission.",
            effect=strength.auc,
            log10p=log10p,
            where=name,
            severity="block",
        )
    if _is_in_the_order_of_test(material):
        return
    for target in targets:
        strength = association(np.arange(len(sample), dtype=np.float64), target)
        words = "the row order of the sample submission"
        y = target.values[target.known]
        z = lag_one_z(y) if target.kind == "number" else -runs_z(y.astype(np.int64))
        if z > 0 and log10p_of_z(z) < strength.log10p:
            n = len(y)
            effect = min(1.0, 0.5 + z / math.sqrt(n) / 2)
            strength, words = (
                Strength(effect, log10p_of_z(z)),
                "blocks in the row order of the sample submission",
            )
        log10p = corrected(strength.log10p, 2 * len(targets))
        if log10p <= -ALARM and strength.auc >= AUC_FLOOR and not material.is_sequential:
            yield Found(
                f"{words} go with the hidden {target.name} (AUC {strength.auc:.3f}), and it is not the "
                "order of the test table.",
                "List the ids in the test table's order, or in a random one.",
                effect=strength.auc,
                log10p=log10p,
                where="row order",
                severity="block",
            )


def _is_in_the_order_of_test(material: Material) -> bool:
    """Return whether the sample submission has test's row order.

    Then `row_order` reports it of the test table.
    """
    test = material.test
    if test is None or not test.ids:
        return False
    at = sample_rows(material, test)
    if at is None:
        return False
    at = at[at >= 0]
    return len(at) > 0 and bool((np.diff(at) > 0).all())
