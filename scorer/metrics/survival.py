"""Order of events in time, where some rows are censored.

For those only the end of watching is known.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scorer.metrics.correlation import dense_ranks, inverted_weight
from scorer.metrics.registry import ANY_FINITE, ANY_NUMBER, FLAG, Role, metric
from scorer.reading.columns import FloatArray


def _incomparable(truth: FloatArray, _: Any) -> str | None:
    time, event = truth.T
    if not np.all((event == 0.0) | (event == 1.0)):
        return "the column of events must hold 0 (not seen) and 1 (seen) only"
    if not np.any(event):
        return "no event was seen, so no two rows can be compared"
    first = time[event == 1.0].min()
    if not np.any((time > first) | ((time == first) & (event == 0.0))):
        return "no row was watched beyond the first event, so no two rows can be compared"
    return None


@metric(
    "c_index",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="number",
    cells=ANY_FINITE,
    truth=ANY_NUMBER,
    layout="matrix",
    truth_roles={
        "time": Role(ANY_NUMBER, "the time of the event, or until which it was not seen"),
        "event": Role(FLAG, "1 if the event was seen, 0 if watching ended before it"),
    },
    undefined=_incomparable,
    convention="""Harrell's: two rows can be compared if the one with the shorter time had its event; at
    equal times, if just one had (lifelines, scikit-survival). Equal predictions count one half. Predicted
    is a risk: higher means earlier, so negate predicted times. A pair weighs the product of its rows'
    weights. Kaggle's stratified form (equity in post-HCT survival) is group_by with group_aggregate:
    mean_minus_std.""",
)
def concordance_index(truth: FloatArray, predicted: FloatArray, *, weights: FloatArray | None) -> float:
    """Share of comparable pairs whose earlier event has the higher predicted risk.

    Higher is better, 1 is perfect.

    0.5 is what a constant file gives.
    """
    time, event = truth.T
    risk = dense_ranks(predicted[:, 0])
    # Among equal times events come first, as rows still watched then outlived them; and of those
    # the lower risks, so that pairs which cannot be compared are not out of order either.
    order = np.lexsort((risk, 1.0 - event, time))
    time, event, risk = time[order], event[order], risk[order]
    weight = np.ones_like(time) if weights is None else weights[order]
    first = event * weight
    moment = np.cumsum(np.concatenate(([0], (np.diff(time) != 0) | (np.diff(event) != 0))))

    comparable = _later_weight(np.zeros_like(moment), moment, first, weight)
    tied = _later_weight(risk, moment, first, weight)
    concordant = inverted_weight(risk, first, weight)
    return min(1.0, (concordant + tied / 2) / comparable) if comparable > 0.0 else 0.5


def _later_weight(
    group: np.ndarray[Any, np.dtype[np.int64]],
    moment: np.ndarray[Any, np.dtype[np.int64]],
    first: FloatArray,
    weight: FloatArray,
) -> float:
    """Return the sum of first[i] * weight[j] over pairs in time order.

    Over the pairs of a group with moment[i] < moment[j].
    """
    order = np.lexsort((moment, group))
    group, moment = group[order], moment[order]
    cells = np.flatnonzero(np.concatenate(([True], (np.diff(group) != 0) | (np.diff(moment) != 0))))
    firsts, weights = np.add.reduceat(first[order], cells), np.add.reduceat(weight[order], cells)
    passed = np.cumsum(weights)
    ends = np.append(np.flatnonzero(np.diff(group[cells])), len(cells) - 1)
    through = np.repeat(passed[ends], np.diff(np.concatenate(([-1], ends))))
    return float(np.sum(firsts * (through - passed)))
