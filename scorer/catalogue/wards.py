"""Simulate stays in hospitals and re-admissions, with the best possible prediction of each row.

What a patient suffers from and how badly is hidden. Laboratory values are measured more often of those who
are worse, so that a missing value tells something; from 2024 one diagnosis is often recorded as another. The
best prediction sums over everything hidden.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorer.catalogue.recipe import Simulated

HOSPITALS, STAYS = 36, 400
YEARS = (2021, 2022, 2023, 2024)
DIAGNOSES = ("fracture", "heart failure", "infection", "lung disease", "other circulatory", "surgery")
SHARES = np.array([0.16, 0.16, 0.22, 0.16, 0.12, 0.18])
EFFECTS = np.array([-0.7, 0.75, 0.1, 0.5, 0.0, -0.4])
RECODED = 0.6
"""Share of heart failures that are recorded as other circulatory from 2024."""
SEVERITIES = 4
SEVERITY_EFFECT = 0.62
OFFSET = 0.5
"""Standard deviation of what a hospital adds to the logit of all its stays."""
# laboratory value: mean and standard deviation at no severity, what one step adds, chance to be measured
LABS = {
    "creatinine": (0.9, 0.25, 0.3, (0.25, 0.4, 0.7, 0.9)),
    "crp": (1.6, 0.9, 0.8, (0.35, 0.55, 0.8, 0.95)),
}

FloatArray = NDArray[np.float64]


def simulate(seed: int, *, stays: int = STAYS) -> Simulated:
    """Return one row for each stay: 1 in `readmitted` if the patient was back within 30 days.

    `discharge_code` is the planted leak: the billing department writes it after those 30 days.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    n = HOSPITALS * stays
    hospital = np.repeat(np.arange(HOSPITALS), stays)
    offset = draw.normal(0.0, OFFSET, HOSPITALS)[hospital]
    year = draw.choice(YEARS, n)
    age = np.clip(np.round(draw.normal(66, 17, n)), 18, 99).astype(int)
    diagnosis = draw.choice(len(DIAGNOSES), n, p=SHARES)
    severity = (draw.random(n)[:, None] > np.cumsum(_severity_shares(age, diagnosis), axis=1)).sum(axis=1)
    emergency = draw.random(n) < 0.45
    before = draw.poisson(0.7, n)
    drugs = draw.poisson(3 + 0.04 * age)
    days = 1 + draw.poisson(2.0 + 0.02 * age)
    home = draw.choice(3, n, p=[0.72, 0.18, 0.10])
    is_recoded = (year >= 2024) & (diagnosis == 1) & (draw.random(n) < RECODED)
    recorded = np.where(is_recoded, 4, diagnosis)
    labs = {name: _measured(draw, severity, lab) for name, lab in LABS.items()}

    known = (
        -2.35
        + 0.012 * (age - 65)
        + 0.35 * emergency
        + 0.42 * np.minimum(before, 4)
        + 0.05 * (drugs - 5)
        - 0.05 * (days - 4)
        + np.take([0.0, 0.3, -0.25], home)
    )
    truth = _sigmoid(known + EFFECTS[diagnosis] + SEVERITY_EFFECT * severity + offset)
    readmitted = draw.random(n) < truth
    best = _best(known, age, year, recorded, labs)
    code = np.where(readmitted & (draw.random(n) < 0.95), 7, draw.integers(1, 7, n))
    table = pd.DataFrame(
        {
            "hospital": [f"H{number + 1:02d}" for number in hospital],
            "year": year,
            "age": age,
            "diagnosis": np.take(DIAGNOSES, recorded),
            "emergency": emergency.astype(int),
            "admissions_before": before,
            "drugs": drugs,
            "days": days,
            "discharged_to": np.take(["home", "care home", "rehabilitation"], home),
            **{name: _cells(values) for name, values in labs.items()},
            "discharge_code": code,
            "readmitted": readmitted.astype(int),
        }
    )
    return Simulated(table.iloc[order := draw.permutation(n)].reset_index(drop=True), best[order])


def _severity_shares(age: NDArray[Any], diagnosis: NDArray[Any]) -> FloatArray:
    """Return the chance of each severity of a row."""
    lean = 0.025 * (age - 65) + np.take([-0.4, 0.5, 0.0, 0.3, 0.1, -0.3], diagnosis)
    weights = np.exp(lean[:, None] * np.arange(SEVERITIES) - 0.45 * np.arange(SEVERITIES))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float64)


def _measured(draw: np.random.Generator, severity: NDArray[Any], lab: tuple[Any, ...]) -> FloatArray:
    """Return values with two digits; nan where nothing was measured."""
    mean, deviation, step, chances = lab
    values = np.round(draw.normal(mean + step * severity, deviation), 2)
    return np.where(draw.random(len(severity)) < np.take(chances, severity), values, np.nan)


def _best(
    known: FloatArray,
    age: NDArray[Any],
    year: NDArray[Any],
    recorded: NDArray[Any],
    labs: dict[str, FloatArray],
) -> FloatArray:
    """Return the probability given the row alone: hidden diagnosis, severity and hospital summed out.

    The hospital's offset is unknown, since no label of a test hospital is published.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    weights = weights / weights.sum()
    total, chance = np.zeros(len(known)), np.zeros(len(known))
    for diagnosis in range(len(DIAGNOSES)):
        written = np.where(recorded == diagnosis, 1.0, 0.0)
        if diagnosis == 1:
            written = np.where(
                year >= 2024, np.where(recorded == 4, RECODED, written * (1 - RECODED)), written
            )
        shares = _severity_shares(age, np.full(len(known), diagnosis))
        for severity in range(SEVERITIES):
            weight = SHARES[diagnosis] * written * shares[:, severity]
            for name, (mean, deviation, step, chances) in LABS.items():
                z = (labs[name] - mean - step * severity) / deviation
                density = np.exp(-0.5 * z**2) / deviation
                weight = weight * np.where(
                    np.isnan(labs[name]), 1 - chances[severity], chances[severity] * np.nan_to_num(density)
                )
            logit = known + EFFECTS[diagnosis] + SEVERITY_EFFECT * severity
            positive = sum(
                w * _sigmoid(logit + OFFSET * node) for w, node in zip(weights, nodes, strict=True)
            )
            total += weight
            chance += weight * positive
    return np.asarray(chance / total, dtype=np.float64)


def _cells(values: FloatArray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.2f}" for value in values]


def _sigmoid(logit: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)
