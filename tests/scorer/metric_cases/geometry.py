"""Directions and positions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tests.scorer.metric_cases import MetricCase
from tests.scorer.metric_cases.regression import frames

ANGLES = st.one_of(st.floats(-7, 7), st.sampled_from([0.0, np.pi / 2, np.pi, -np.pi, 3 * np.pi]))
LATITUDES = st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 0.0, 90.0]))
LONGITUDES = st.one_of(st.floats(-180, 360), st.sampled_from([-180.0, 0.0, 180.0]))


def directions(azimuth: pd.Series, zenith: pd.Series) -> np.ndarray:
    return np.column_stack(
        [np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)]
    )


def between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angles of the rotations that take one to the other."""
    return np.array(
        [Rotation.align_vectors(v[None], u[None])[0].magnitude() for u, v in zip(a, b, strict=True)]
    )


def angular_error(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    truth, predicted = (directions(frame["azimuth"], frame["zenith"]) for frame in (solution, submission))
    return float(np.mean(between(truth, predicted)))


def distances(solution: pd.DataFrame, submission: pd.DataFrame) -> np.ndarray:
    truth, predicted = (
        directions(np.radians(frame.iloc[:, 2]), np.radians(90 - frame.iloc[:, 1]))
        for frame in (solution, submission)
    )
    return between(truth, predicted)


PLACES = frames({"lat": LATITUDES, "lon": LONGITUDES}, {"lat": LATITUDES, "lon": LONGITUDES})

CASES: dict[str, list[MetricCase]] = {
    "angular_error": [
        MetricCase(
            frames({"azimuth": ANGLES, "zenith": ANGLES}, {"azimuth": ANGLES, "zenith": ANGLES}),
            {"azimuth": "azimuth", "zenith": "zenith"},
            angular_error,
            tolerance=1e-7,
        )
    ],
    "haversine": [
        MetricCase(
            PLACES,
            {"latitude": "lat", "longitude": "lon"},
            lambda y, p: 6_371_000 * float(np.mean(distances(y, p))),
            tolerance=1e-6,
        ),
        MetricCase(
            PLACES,
            {"latitude": "lat", "longitude": "lon", "quantiles": [0.5, 0.95], "radius": 1},
            lambda y, p: float(np.mean(np.quantile(distances(y, p), [0.5, 0.95]))),
            tolerance=1e-6,
        ),
    ],
}
