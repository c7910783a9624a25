"""Distances between predicted and true directions or positions on the Earth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from scorer.metrics.registry import ANY_NUMBER, INFINITY, RowFault, metric, weighted_mean
from scorer.reading.cells import Cells
from scorer.reading.columns import FloatArray


@metric(
    "angular_error",
    version=1,
    greater_is_better=False,
    bounds=(0.0, float(np.pi)),
    kind="number",
    cells=ANY_NUMBER,
    layout="matrix",
    predicted_roles=("azimuth", "zenith"),
    finish="mean",
    convention="""Kaggle's IceCube: angles in radians, zenith from the pole; any number is an angle, turns
    do not count. Kaggle takes the arc cosine, clipped to [-1, 1], which cannot tell angles below 1e-8 from
    0; here it is the arc tangent, which agrees elsewhere and gives an exact file exactly 0.""",
)
def mean_angular_error(truth: FloatArray, predicted: FloatArray) -> FloatArray:
    """Mean angle between true and predicted directions, in radians.

    Lower is better, 0 is perfect.
    """
    (azimuth, zenith), (azimuth_p, zenith_p) = truth.T, predicted.T
    turn = azimuth_p - azimuth
    sin, cos, sin_p, cos_p = np.sin(zenith), np.cos(zenith), np.sin(zenith_p), np.cos(zenith_p)
    across = np.hypot(sin_p * np.sin(turn), sin * cos_p - cos * sin_p * np.cos(turn))
    along = cos * cos_p + sin * sin_p * np.cos(turn)
    angles: FloatArray = np.arctan2(across, along)
    return angles


def _no_latitude(predicted: FloatArray, _: Any, **__: Any) -> list[RowFault]:
    return [
        RowFault("OUT_OF_RANGE", int(row), f"the latitude {predicted[row, 0]:g} is outside [-90, 90]")
        for row in np.flatnonzero(np.abs(predicted[:, 0]) > 90.0)
    ]


def _quantile(values: FloatArray, quantile: float, weights: FloatArray | None) -> float:
    """Return numpy's linear quantile, each value repeated by its weight.

    Fractional weights are counted in units of the lightest.
    """
    if weights is None:
        return float(np.quantile(values, quantile))
    if np.any(weights % 1.0):
        # No row counts as more than 1e15 others, so that places among them stay distinct.
        weights = weights / max(np.min(weights[weights > 0.0]), np.max(weights) * 1e-15)
    order = np.argsort(values)
    # Ten times 0.1 sums to less than 1, and places are whole.
    reached = np.round(np.cumsum(weights[order]), 9)
    place = max(0.0, (reached[-1] - 1.0) * quantile)
    whole = np.floor(place)
    both = np.searchsorted(reached, [whole, whole + 1.0], side="right")
    low, high = values[order[np.minimum(both, len(values) - 1)]]
    return float(low + (high - low) * (place - whole))


@metric(
    "haversine",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="number",
    cells=Cells("number", low=-360.0, high=360.0),
    layout="matrix",
    predicted_roles=("latitude", "longitude"),
    row_faults=_no_latitude,
    convention="""Degrees in, metres out, on a sphere with the mean radius of the Earth. quantiles replaces
    the mean distance by the mean of those quantiles, interpolated as numpy does: Kaggle's Smartphone
    Decimeter Challenge is [0.5, 0.95] with group_by the phone. Whole weights are counts of repeated rows
    there, so twice the weight everywhere is twice the rows, whose interpolated quantiles differ a little.
    If any weight is a fraction, all are counted in units of the lightest, so fractions that are all equal
    weigh nothing.""",
)
def haversine_distance(
    truth: FloatArray,
    predicted: FloatArray,
    *,
    weights: FloatArray | None,
    quantiles: Annotated[
        Sequence[Annotated[float, Field(ge=0, le=1)]] | None,
        Field(description="Score the mean of these quantiles of the distances instead of their mean."),
    ] = None,
    radius: Annotated[
        float, Field(gt=0, le=1e9, description="The sphere's radius, in metres or the unit wanted.")
    ] = 6_371_000.0,
) -> float:
    """Great-circle distance between true and predicted positions, in metres.

    Lower is better, 0 is perfect.
    """
    (latitude, longitude), (latitude_p, longitude_p) = np.deg2rad(truth).T, np.deg2rad(predicted).T
    north = np.sin((latitude_p - latitude) / 2) ** 2
    east = np.sin((longitude_p - longitude) / 2) ** 2
    chord = np.clip(north + np.cos(latitude) * np.cos(latitude_p) * east, 0.0, 1.0)
    distances = 2.0 * radius * np.arcsin(np.sqrt(chord))
    if not quantiles:
        return weighted_mean(distances, weights)
    return float(np.mean([_quantile(distances, quantile, weights) for quantile in quantiles]))
