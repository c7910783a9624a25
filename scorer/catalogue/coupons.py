"""Simulate a grocer's coupons whose effect halves late, with the best possible prediction of each row."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scorer.catalogue.recipe import Simulated

WEEKS, OFFERS = 40, 500
"""Weeks of offers, and offers in each."""
DRIFT_FROM, DRIFT_TO = 27, 33
"""In these weeks the effect of a discount falls to a half."""
DISCOUNTS, MEAN_DISCOUNT = (10, 15, 20, 25, 30, 40, 50), 27
"""In percent. The effect turns around the mean, so that about as many coupons are used late as early."""
AGES = ("19-24", "25-34", "35-44", "45-54", "55-64", "65+")
AGE_SHARES = (0.06, 0.18, 0.24, 0.28, 0.12, 0.12)
AGE_EFFECTS = (-0.9, -0.3, 0.1, 0.35, 0.2, -0.2)
AGE_MISSING = 0.42
"""As many households of the real grocer's table have no age. Here it is missing at random."""
CATEGORIES = ("bakery", "dairy", "frozen", "grocery", "household", "produce")
CATEGORY_EFFECTS = (0.0, 0.3, -0.2, 0.1, -0.5, 0.2)

FloatArray = NDArray[np.float64]


def simulate(seed: int, *, offers: int = OFFERS) -> Simulated:
    """Return one row for each offer: 1 in `redeemed` if the household used the coupon.

    `spent_in_campaign` is the planted leak: what the household spent on the category after it got the offer.
    """
    draw = np.random.Generator(np.random.PCG64(seed))
    n = WEEKS * offers
    week = np.repeat(np.arange(1, WEEKS + 1), offers)
    visits = draw.poisson(draw.gamma(2.5, 3.2, n))
    spend = np.round(visits * draw.gamma(6.0, 4.5, n), 2)
    category_share = np.round(draw.beta(1.6, 6.0, n), 3)
    discount = draw.choice(DISCOUNTS, n)
    minimum = draw.choice([0, 5, 10, 20, 30], n)
    category = draw.integers(0, len(CATEGORIES), n)
    redeemed_before = draw.poisson(0.25 * np.sqrt(visits + 0.2))
    distance = np.round(draw.gamma(2.0, 2.2, n), 1)
    has_app = draw.random(n) < 0.45
    age = draw.choice(len(AGES), n, p=AGE_SHARES)
    is_age_known = draw.random(n) >= AGE_MISSING

    known = (
        -3.1
        + 0.55 * np.log1p(visits)
        + 2.6 * category_share
        + _effect_of_discount(week) * (discount - MEAN_DISCOUNT) * (1.25 - 0.5 * has_app)
        - 0.035 * minimum
        + 0.5 * np.minimum(redeemed_before, 4)
        - 0.06 * distance
        + 0.45 * has_app
        + np.take(CATEGORY_EFFECTS, category)
    )
    truth = _sigmoid(known + np.take(AGE_EFFECTS, age))
    # Without the age the best prediction is the mean over all ages, since it is missing at random.
    over_ages = np.sum([p * _sigmoid(known + e) for p, e in zip(AGE_SHARES, AGE_EFFECTS, strict=True)], 0)
    best = np.where(is_age_known, truth, over_ages)
    redeemed = draw.random(n) < truth
    spent = draw.gamma(1.2, 4.0, n) * (draw.random(n) < 0.25 + 0.9 * category_share)
    spent = np.where(redeemed, spent + minimum + draw.gamma(2.0, 5.0, n), spent)

    table = pd.DataFrame(
        {
            "week": week,
            "category": np.take(CATEGORIES, category),
            "discount_percent": discount,
            "minimum_purchase": minimum,
            "visits_8_weeks": visits,
            "spend_8_weeks": spend,
            "category_share": category_share,
            "redeemed_before": redeemed_before,
            "distance_km": distance,
            "has_app": has_app.astype(int),
            "age": np.where(is_age_known, np.take(AGES, age), ""),
            "spent_in_campaign": np.round(spent, 2),
            "redeemed": redeemed.astype(int),
        }
    )
    return Simulated(table, best)


def _effect_of_discount(week: NDArray[np.int64]) -> FloatArray:
    """Return the effect of one percent: full, falling over six weeks, then a half."""
    fallen = np.clip((week - DRIFT_FROM) / (DRIFT_TO - DRIFT_FROM), 0.0, 1.0)
    return np.asarray(0.075 * (1 - 0.5 * fallen), dtype=np.float64)


def _sigmoid(logit: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)), dtype=np.float64)
