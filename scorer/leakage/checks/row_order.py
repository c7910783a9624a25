"""Row orders that predict the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scorer.leakage.check import ALARM, AUC_FLOOR, Found, check
from scorer.leakage.material import Material, Side
from scorer.leakage.row_orders import order_finding, regularity_of, whose_target
from scorer.leakage.sampled import labelled_sides
from scorer.leakage.statistics import association, corrected
from scorer.leakage.target import Target


@check("row_order", scope="rows", needs=(), cost="n log n")
def row_order(material: Material) -> Iterator[Found]:
    """Row orders that predict the target.

    Such as sorted files, or positives first.

    effect: AUC of the row number (0.5 + |rho| / 2 of a number).
    """
    views = labelled_sides(material)
    alarms = []
    for side, target in views:
        found = association(np.arange(len(side), dtype=np.float64), target)
        log10p = corrected(found.log10p, len(views))
        if log10p <= -ALARM and found.auc >= AUC_FLOOR:
            alarms.append((side, target, found.auc, log10p, found.detail))
    for side, target, auc, log10p, detail in alarms:
        about = f" (class {detail} against the rest)" if detail else ""
        yield order_finding(
            material,
            side,
            target,
            np.arange(len(side)),
            auc,
            log10p,
            (
                f"{side.file}: the row number alone orders {whose_target(side, target)} with AUC "
                f"{auc:.3f}{about}."
            )
            + _only_here(views, [alarm[0] for alarm in alarms]),
            "Shuffle the rows with a secret seed before writing the files, and assign ids after that.",
        )


@check("row_blocks", scope="rows", needs=(), cost="n log n")
def row_blocks(material: Material) -> Iterator[Found]:
    """Neighbouring rows, or rows at fixed distances, with like targets.

    effect: AUC of the mean of the two neighbours (of rows at the distance found) for a row's own target.
    """
    views = labelled_sides(material)
    alarms = []
    for side, target in views:
        regularity = regularity_of(target)
        log10p = corrected(regularity.log10p, len(views))
        if log10p <= -ALARM and regularity.auc >= AUC_FLOOR:
            alarms.append((side, target, regularity, log10p))
    for side, target, regularity, log10p in alarms:
        yield order_finding(
            material,
            side,
            target,
            np.arange(len(side)),
            regularity.auc,
            log10p,
            f"{side.file}: {regularity.words} {whose_target(side, target)} with AUC {regularity.auc:.3f}."
            + _only_here(views, [alarm[0] for alarm in alarms]),
            "Shuffle the rows with a secret seed before writing the files, and assign ids after that.",
        )


def _only_here(views: Sequence[tuple[Side, Target]], found: Sequence[Side]) -> str:
    """Return a note if only train's order predicts the target.

    Such an order helps no participant, but the same script may have written the test table.
    """
    hidden = any(side.name != "train" for side, _ in views)
    return (
        " The hidden test rows show no such order."
        if hidden and all(s.name == "train" for s in found)
        else ""
    )
