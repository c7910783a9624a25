"""The challenges of the catalogue, and how each one's trap is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from scorer.catalogue import coupons, sets, wards
from scorer.catalogue.measuring import Lesson, Measured, Model
from scorer.catalogue.recipe import Recipe

COIN_FLIPS = 200

Trap = Callable[[Lesson], list[Measured]]


def _penguins(lesson: Lesson) -> list[Measured]:
    return [
        Measured(f"{words}, log loss on the test rows", lesson.tested(model, "log_loss"))
        for model, words in _named("dummy", "tree", "linear")
    ]


def _wine(lesson: Lesson) -> list[Measured]:
    return [
        Measured("Neighbours, raw columns, accuracy", lesson.tested("neighbours", "accuracy", scaled=False)),
        Measured("Neighbours, scaled columns, accuracy", lesson.tested("neighbours", "accuracy")),
    ]


def _promised(metric: str, words: str, *models: Model) -> Trap:
    """Compare a shuffled validation, the declared one and the test, for each model."""

    def measure(lesson: Lesson) -> list[Measured]:
        found = []
        for model, name in _named(*models):
            found += [
                Measured(f"{name}, {words}, shuffled folds of train", lesson.at_random(model, metric)),
                Measured(f"{name}, {words}, folds as declared", lesson.as_declared(model, metric)),
                Measured(f"{name}, {words}, test rows", lesson.tested(model, metric)),
            ]
        return found

    return measure


def _leaky(metric: str, words: str, model: Model) -> Trap:
    """Compare the test score with and without the planted leak."""

    def measure(lesson: Lesson) -> list[Measured]:
        ((_, name),) = _named(model)
        return [
            Measured(f"{name}, {words}, without the leak", lesson.tested(model, metric)),
            Measured(
                f"{name}, {words}, with {_list(lesson.leaks)}", lesson.tested(model, metric, leaks=True)
            ),
        ]

    return measure


def _both(*traps: Trap) -> Trap:
    return lambda lesson: [measured for trap in traps for measured in trap(lesson)]


def _caravan(lesson: Lesson) -> list[Measured]:
    truth = lesson.truth(lesson.test)
    repeats = lesson.columns().duplicated(keep=False)
    return [
        Measured("Always no, accuracy", float((truth == "No").mean())),
        Measured("Always no, average precision", float((truth == "Yes").mean())),
        Measured("Linear model, average precision", lesson.tested("linear", "ap")),
        Measured("Rows of the source whose features occur twice, share", float(repeats.mean())),
    ]


def _market(lesson: Lesson) -> list[Measured]:
    """Flip coins for a public and a private half; keep the best, and let the lucky ones vote."""
    truth = lesson.truth(lesson.test) == "Up"
    draw = np.random.Generator(np.random.PCG64(7))
    public = np.zeros(len(truth), dtype=bool)
    public[draw.permutation(len(truth))[: len(truth) * 3 // 10]] = True
    flips = draw.random((COIN_FLIPS, len(truth))) < 0.5
    right = flips == truth
    on_public, on_private = right[:, public].mean(axis=1), right[:, ~public].mean(axis=1)
    best = int(np.argmax(on_public))
    vote = (flips[on_public > 0.5].mean(axis=0) > 0.5) == truth
    return [
        Measured(f"Best of {COIN_FLIPS} coin flips, accuracy, public rows", float(on_public[best])),
        Measured("The same file, accuracy, private rows", float(on_private[best])),
        Measured("Vote of the flips above 0.5, accuracy, public rows", float(vote[public].mean())),
        Measured("The same vote, accuracy, private rows", float(vote[~public].mean())),
    ]


def _wards(lesson: Lesson) -> list[Measured]:
    is_missing = lesson.table["creatinine"].isna().to_numpy()
    positive = lesson.table[lesson.target].to_numpy()
    return [
        Measured("Share readmitted, creatinine measured", float(positive[~is_missing].mean())),
        Measured("Share readmitted, creatinine not measured", float(positive[is_missing].mean())),
        *_leaky("auc", "AUC", "boosting")(lesson),
    ]


def _named(*models: Model) -> list[tuple[Model, str]]:
    titles = {
        "dummy": "Constant",
        "linear": "Linear model",
        "tree": "Full tree",
        "neighbours": "Nearest neighbours",
        "forest": "Random forest",
        "boosting": "Gradient boosting",
        "svm": "Support vector machine",
    }
    return [(model, titles[model]) for model in models]


def _list(names: Any) -> str:
    return " and ".join(names)


_ALL = (
    Recipe(
        name="penguins",
        target="species",
        metric="log_loss",
        strategy="stratified",
        make=sets.penguins,
        packages=(sets.PENGUINS,),
        trap=_penguins,
    ),
    Recipe(
        name="wine",
        target="cultivar",
        metric="accuracy",
        predicted="labels",
        strategy="stratified",
        make=sets.wine,
        trap=_wine,
    ),
    Recipe(
        name="grocery-coupons",
        target="redeemed",
        metric="log_loss",
        strategy="sequential",
        time="starts",
        test_share=0.41,
        make=sets.grocery_coupons,
        packages=(sets.GROCER,),
        leaks=("spend_in_campaign",),
        trap=_both(_promised("log_loss", "log loss", "linear"), _leaky("auc", "AUC", "boosting")),
    ),
    Recipe(
        name="coupon-drift",
        target="redeemed",
        metric="log_loss",
        strategy="sequential",
        time="week",
        test_share=0.3,
        make=lambda _packages, seed: coupons.simulate(seed),
        leaks=("spent_in_campaign",),
        trap=_both(_promised("log_loss", "log loss", "linear"), _leaky("auc", "AUC", "boosting")),
    ),
    Recipe(
        name="carbon-dioxide",
        target="co2",
        metric="rmse",
        strategy="sequential",
        time="date",
        test_share=0.3,
        make=sets.carbon_dioxide,
        packages=(sets.CO2,),
        trap=lambda lesson: _promised("rmse", "RMSE", "linear", "boosting")(_without_dates(lesson)),
    ),
    Recipe(
        name="bike-hire",
        target="bikers",
        metric="rmsle",
        strategy="sequential",
        time="hour_of_year",
        test_share=0.33,
        make=sets.bike_hire,
        packages=(sets.BIKES,),
        leaks=("casual", "registered"),
        trap=_both(_promised("rmsle", "RMSLE", "svm", "boosting"), _leaky("rmsle", "RMSLE", "boosting")),
    ),
    Recipe(
        name="late-flights",
        target="late",
        metric="log_loss",
        strategy="sequential",
        time="date",
        test_share=0.35,
        make=sets.late_flights,
        packages=(sets.FLIGHTS,),
        leaks=("dep_delay",),
        trap=lambda lesson: _both(_promised("auc", "AUC", "boosting"), _leaky("auc", "AUC", "boosting"))(
            _without_dates(lesson)
        ),
    ),
    Recipe(
        name="doctor-visits",
        target="visits",
        metric="rmsle",
        strategy="grouped",
        group="person",
        make=sets.doctor_visits,
        packages=(sets.VISITS,),
        leaks=("outpatient_dollars",),
        trap=_promised("rmsle", "RMSLE", "forest", "neighbours"),
    ),
    Recipe(
        name="hiv-trial",
        target="event",
        metric="log_loss",
        strategy="stratified",
        test_share=0.4,
        make=sets.hiv_trial,
        packages=(sets.TRIAL,),
        leaks=("cd4_week_20", "cd4_week_96", "stopped_treatment", "days_followed"),
        trap=_leaky("auc", "AUC", "boosting"),
    ),
    Recipe(
        name="caravan-insurance",
        target="Purchase",
        metric="average_precision",
        strategy="stratified",
        test_share=0.4,
        make=sets.caravan,
        packages=(sets.CARAVAN,),
        without_duplicates=True,
        trap=_caravan,
    ),
    Recipe(
        name="market-direction",
        target="Direction",
        metric="accuracy",
        predicted="labels",
        strategy="sequential",
        time="day",
        test_share=0.2,
        make=sets.market,
        packages=(sets.MARKET,),
        leaks=("Today",),
        trap=_market,
    ),
    Recipe(
        name="ward-readmission",
        target="readmitted",
        metric="log_loss",
        strategy="grouped",
        group="hospital",
        make=lambda _packages, seed: wards.simulate(seed),
        leaks=("discharge_code",),
        trap=_wards,
    ),
)
RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
READY: Mapping[str, str] = {
    "biopsy": "Biopsy triage",
    "diabetes": "Diabetes after a year",
    "digits": "Digits by writer",
}
"""Folders in challenges/ of the repository with their titles, which complete the fifteen."""


def _without_dates(lesson: Lesson) -> Lesson:
    """Return the lesson with its date as a number of days, which models can use."""
    days = (pd.to_datetime(lesson.table["date"]) - pd.Timestamp("1950-01-01")).dt.days
    return Lesson(
        lesson.table.assign(date=days),
        lesson.target,
        lesson.train,
        lesson.test,
        lesson.leaks,
        lesson.time,
        lesson.group,
    )
