"""Scores of segmentation masks, written as run lengths.

Every function takes two arrays of str of shape (n_rows,). No mask is unpacked: all counts follow from where
runs begin and end, so an image's size costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, DecimalException
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from scorer.metrics.registry import RLE, Role, RowFault, metric, spelt
from scorer.reading.cells import EMPTY_MASKS, Cells
from scorer.reading.columns import FloatArray, TextArray

_SIZE = MappingProxyType(
    {
        "height": Role(Cells("integer", low=1.0), "the image's height in pixels", optional=True),
        "width": Role(Cells("integer", low=1.0), "the image's width in pixels", optional=True),
    }
)

_Aggregate = Annotated[
    Literal["mean", "global"],
    Field(description="The mean of the rows' scores, or one score for the pixels of all rows together."),
]
_BothEmpty = Annotated[
    Annotated[float, Field(ge=0, le=1)] | Literal["skip"],
    Field(description="The score of a row whose true and predicted masks are empty; skip leaves it out."),
]
_EmptyToken = Annotated[
    Literal["", "-", "-1", "1 0"],
    Field(
        description="How this challenge's files write an empty mask. The other three ways are understood too."
    ),
]
_Order = Annotated[
    Literal["column", "row"],
    spelt({f"{way}-major{base}": way for way in ("column", "row") for base in ("", ", 1-based")}),
    Field(
        description="Whether pixels are counted down the columns or along the rows. It tells participants "
        "what to write; truth and prediction are counted alike, so no score depends on it."
    ),
]

_ABOUT_RUNS = """Runs are pairs of start and length, 1-based, rising, without overlap (Kaggle). If the
solution has the columns height and width, runs beyond height * width are refused."""


def _size_faults(
    predicted: TextArray, _: Any, *, height: FloatArray | None, width: FloatArray | None, **__: Any
) -> list[RowFault]:
    """Report masks beyond their image, whose size is no secret."""
    if height is None or width is None:
        return []
    faults = []
    for row, text in enumerate(predicted):
        # Runs rise, so the last one says where the mask ends.
        if text not in EMPTY_MASKS and _runs(" ".join(text.split()[-2:]))[1][0] > height[row] * width[row]:
            size = f"{height[row]:.0f} x {width[row]:.0f}"
            faults.append(
                RowFault("OUTSIDE_IMAGE", row, f"the mask reaches beyond the image of {size} pixels")
            )
    return faults


def _runs(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels before each run, and up to its end."""
    numbers = [] if text in EMPTY_MASKS else [int(number) for number in text.split()]
    starts = np.array(numbers[::2], dtype=np.int64) - 1
    return starts, starts + np.array(numbers[1::2], dtype=np.int64)


def _pixels(truth: TextArray, predicted: TextArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the pixels in both masks, the true and the predicted.

    Three arrays of shape (n_rows,).
    """
    counts = np.zeros((3, len(truth)))
    for row, (wanted, received) in enumerate(zip(truth, predicted, strict=True)):
        starts, ends = _runs(wanted)
        if wanted == received:
            counts[:, row] = (ends - starts).sum()
            continue
        begins, finishes = _runs(received)
        so_far = np.concatenate(([0], np.cumsum(ends - starts)))
        ends_before = np.concatenate(([0], ends))
        edges = np.concatenate((begins, finishes))
        run = np.searchsorted(starts, edges)
        covered = so_far[run] - np.maximum(ends_before[run] - edges, 0)
        counts[0, row] = covered[len(begins) :].sum() - covered[: len(begins)].sum()
        counts[1, row] = so_far[-1]
        counts[2, row] = (finishes - begins).sum()
    return counts[0], counts[1], counts[2]


def _terms(
    numerators: FloatArray, denominators: FloatArray, aggregate: str, both_empty: float | str
) -> FloatArray:
    """Return what is summed and then divided, for each row.

    A denominator is 0 where both masks are empty.
    """
    if aggregate == "global":
        return np.column_stack((numerators, denominators))
    full = denominators > 0.0
    empty = 0.0 if both_empty == "skip" else float(both_empty)
    scores = np.divide(numerators, denominators, out=np.full(len(full), empty), where=full)
    return np.column_stack((scores, full if both_empty == "skip" else np.ones(len(full))))


def _divided(sums: FloatArray, _: float, parameters: Any) -> float:
    if sums[1] > 0.0:
        return float(sums[0] / sums[1])
    return 1.0 if parameters.both_empty == "skip" else float(parameters.both_empty)


@metric(
    "mask_fbeta",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="mask",
    cells=RLE,
    finish=_divided,
    side_roles=_SIZE,
    row_faults=_size_faults,
    convention=f"""(1 + beta^2) * both / (beta^2 * true + predicted), in pixels: beta 1 is Dice. Per row and
    averaged, or global. If both masks are empty a row scores both_empty, 1 as in Kaggle's HuBMAP, or is
    left out (skip: UW-Madison); left with nothing the score is 1. {_ABOUT_RUNS}""",
)
def mask_fbeta(
    truth: TextArray,
    predicted: TextArray,
    *,
    beta: Annotated[
        float, Field(ge=0.01, le=100, description="How much more recall counts than precision.")
    ] = 1.0,
    aggregate: _Aggregate = "mean",
    both_empty: _BothEmpty = 1.0,
    empty_token: _EmptyToken = "",
    order: _Order = "column",
) -> FloatArray:
    """F-beta score of masks.

    Higher is better, 1 is perfect.
    """
    del empty_token, order
    both, true, found = _pixels(truth, predicted)
    return _terms((1.0 + beta**2) * both, beta**2 * true + found, aggregate, both_empty)


@metric(
    "dice",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="mask",
    cells=RLE,
    finish=_divided,
    side_roles=_SIZE,
    row_faults=_size_faults,
    convention=f"""2 * both / (true + predicted), in pixels: mask_fbeta with beta 1, whose conventions hold.
    {_ABOUT_RUNS}""",
)
def mask_dice(
    truth: TextArray,
    predicted: TextArray,
    *,
    aggregate: _Aggregate = "mean",
    both_empty: _BothEmpty = 1.0,
    empty_token: _EmptyToken = "",
    order: _Order = "column",
) -> FloatArray:
    """Dice coefficient of masks.

    Higher is better, 1 is perfect.
    """
    del empty_token, order
    both, true, found = _pixels(truth, predicted)
    return _terms(2.0 * both, true + found, aggregate, both_empty)


@metric(
    "jaccard",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="mask",
    cells=RLE,
    finish=_divided,
    side_roles=_SIZE,
    row_faults=_size_faults,
    convention=f"""Intersection over union (IoU), in pixels; averaged and empty as in mask_fbeta. For texts
    see word_jaccard. {_ABOUT_RUNS}""",
)
def mask_jaccard(
    truth: TextArray,
    predicted: TextArray,
    *,
    aggregate: _Aggregate = "mean",
    both_empty: _BothEmpty = 1.0,
    empty_token: _EmptyToken = "",
    order: _Order = "column",
) -> FloatArray:
    """Jaccard index of masks (IoU).

    Higher is better, 1 is perfect.
    """
    del empty_token, order
    both, true, found = _pixels(truth, predicted)
    return _terms(both, true + found - both, aggregate, both_empty)


def iou_thresholds(stated: float | str | Sequence[float]) -> tuple[float, ...]:
    """Return the thresholds of a number, a list or 'first:step:last'.

    The last is included.

    Raises ValueError if the text has another form, or if a threshold is not between 0 and 1.
    """
    if isinstance(stated, str):
        try:
            first, step, last = (Decimal(part.strip()) for part in stated.split(":"))
            n_steps = math.floor((last - first) / step)
        except (ValueError, DecimalException, OverflowError):
            raise ValueError(f'"{stated}" is not of the form first:step:last, as 0.5:0.05:0.95') from None
        if n_steps > 1000:
            raise ValueError(f'"{stated}" makes {n_steps} steps; 1000 are allowed')
        # In decimals, so that the third of 0.5:0.05:0.95 is 0.6 and not 0.6000000000000001.
        found = tuple(float(first + i * step) for i in range(n_steps + 1))
    else:
        found = (stated,) if isinstance(stated, int | float) else tuple(stated)
    if not found or not all(0.0 < threshold < 1.0 for threshold in found):
        raise ValueError("thresholds lie above 0 and below 1, and there is at least one")
    return found


def _readable(stated: float | list[float] | str) -> float | list[float] | str:
    iou_thresholds(stated)
    return stated


IouThresholds = Annotated[
    float | list[float] | str,
    AfterValidator(_readable),
    Field(
        description="From which intersection over union on masks or boxes match: "
        "a number, a list, or first:step:last."
    ),
]


@metric(
    "mask_iou_ap",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="mask",
    cells=RLE,
    finish="mean",
    side_roles=_SIZE,
    row_faults=_size_faults,
    convention=f"""One mask per row: the share of the thresholds that the intersection over union exceeds,
    strictly (Kaggle's TGS Salt). Both masks empty: 1; one of them: 0. {_ABOUT_RUNS}""",
)
def mask_iou_average_precision(
    truth: TextArray,
    predicted: TextArray,
    *,
    thresholds: IouThresholds = "0.5:0.05:0.95",
    empty_token: _EmptyToken = "",
    order: _Order = "column",
) -> FloatArray:
    """Average precision of masks over IoU thresholds.

    Higher is better, 1 is perfect.
    """
    del empty_token, order
    both, true, found = _pixels(truth, predicted)
    union = true + found - both
    iou = np.divide(both, union, out=np.ones(len(union)), where=union > 0.0)
    passed = iou[:, None] > np.array(iou_thresholds(thresholds))
    return np.asarray(passed.mean(axis=1))
