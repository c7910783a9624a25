"""Measure a trap: fit common models to a table and its split, and compare what each validation promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    log_loss,
    mean_squared_error,
    mean_squared_log_error,
    roc_auc_score,
)
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

Model = Literal["dummy", "linear", "tree", "neighbours", "forest", "boosting", "svm"]
Rows = NDArray[np.int64]
FOLDS = 5

_CLASSIFIERS: Mapping[str, Any] = {
    "dummy": lambda: DummyClassifier(strategy="prior"),
    "linear": lambda: LogisticRegression(max_iter=2000),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "neighbours": lambda: KNeighborsClassifier(n_neighbors=15),
    "forest": lambda: RandomForestClassifier(200, min_samples_leaf=3, random_state=0, n_jobs=1),
    "boosting": lambda: HistGradientBoostingClassifier(random_state=0, early_stopping=False),
}
_REGRESSORS: Mapping[str, Any] = {
    "dummy": DummyRegressor,
    "linear": Ridge,
    "tree": lambda: DecisionTreeRegressor(random_state=0),
    "neighbours": lambda: KNeighborsRegressor(n_neighbors=1),
    "forest": lambda: RandomForestRegressor(100, min_samples_leaf=1, random_state=0, n_jobs=1),
    "boosting": lambda: HistGradientBoostingRegressor(random_state=0, early_stopping=False),
    "svm": lambda: SVR(C=10),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured number of a trap, in the unit of its metric."""

    what: str
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A table in its split, with the columns that the clean variant lacks."""

    table: pd.DataFrame
    target: str
    train: Rows
    test: Rows
    leaks: Sequence[str]
    time: str | None
    group: str | None

    @property
    def is_class(self) -> bool:
        values = self.table[self.target]
        return not pd.api.types.is_numeric_dtype(values) or values.nunique() <= 2

    def truth(self, rows: Rows) -> NDArray[Any]:
        return np.asarray(self.table[self.target].to_numpy()[rows])

    def columns(self, *, leaks: bool = False, without: Sequence[str] = ()) -> pd.DataFrame:
        """Return the features, without the leaks unless asked."""
        left_out = {self.target, *without, *(() if leaks else self.leaks)}
        return self.table[[name for name in self.table.columns if name not in left_out]]

    def tested(
        self,
        model: Model,
        metric: str,
        *,
        leaks: bool = False,
        scaled: bool = True,
        without: Sequence[str] = (),
    ) -> float:
        """Return the score on all test rows of a model fitted to all train rows."""
        features = self.columns(leaks=leaks, without=without)
        return self._score(model, metric, features, self.train, self.test, scaled=scaled)

    def at_random(self, model: Model, metric: str, *, leaks: bool = False) -> float:
        """Return the mean score of a shuffled cross-validation on the train rows."""
        kind = StratifiedKFold if self.is_class else KFold
        split = kind(FOLDS, shuffle=True, random_state=0).split(self.train, self.truth(self.train))
        return self._validated(model, metric, split, leaks=leaks)

    def as_declared(self, model: Model, metric: str) -> float:
        """Return the mean score of a cross-validation that is split as the challenge is."""
        split: Iterator[Any]
        rows = self.train
        if self.time is not None:
            split = TimeSeriesSplit(FOLDS).split(rows)
        elif self.group is not None:
            split = GroupKFold(FOLDS).split(rows, groups=self.table[self.group].to_numpy()[rows])
        else:
            kind = StratifiedKFold if self.is_class else KFold
            split = kind(FOLDS, shuffle=True, random_state=0).split(rows, self.truth(rows))
        return self._validated(model, metric, split)

    def _validated(self, model: Model, metric: str, split: Iterator[Any], *, leaks: bool = False) -> float:
        features = self.columns(leaks=leaks)
        scores = [
            self._score(model, metric, features, self.train[fit], self.train[held]) for fit, held in split
        ]
        return float(np.mean(scores))

    def _score(
        self, model: Model, metric: str, features: pd.DataFrame, fit: Rows, held: Rows, *, scaled: bool = True
    ) -> float:
        estimator = make_pipeline(_prepared(scaled=scaled), self._estimator(model))
        y = self.truth(fit)
        on_logs = not self.is_class and metric == "rmsle"
        estimator.fit(features.iloc[fit], np.log1p(y.astype(float)) if on_logs else y)
        truth = self.truth(held)
        if metric in ("log_loss", "auc", "ap"):
            chances = estimator.predict_proba(features.iloc[held])
            return _of_chances(metric, truth, chances, estimator.classes_)
        predicted = estimator.predict(features.iloc[held])
        if metric == "accuracy":
            return float(accuracy_score(truth, predicted))
        numbers = truth.astype(float)
        if on_logs:
            return float(np.sqrt(mean_squared_log_error(numbers, np.expm1(np.clip(predicted, 0, 20)))))
        return float(np.sqrt(mean_squared_error(numbers, predicted)))

    def _estimator(self, model: Model) -> Any:
        return (_CLASSIFIERS if self.is_class else _REGRESSORS)[model]()


def _of_chances(metric: str, truth: NDArray[Any], chances: NDArray[np.float64], classes: Any) -> float:
    if metric == "log_loss":
        return float(log_loss(truth, chances, labels=classes))
    is_positive = truth == classes[1]
    score = roc_auc_score if metric == "auc" else average_precision_score
    return float(score(is_positive, chances[:, 1]))


def _prepared(*, scaled: bool) -> Any:
    """Return the step that fills and scales numbers and makes one column of each frequent word."""
    numbers = [SimpleImputer(strategy="median", add_indicator=True), *([StandardScaler()] if scaled else [])]
    words = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10, sparse_output=False)
    return make_column_transformer(
        (make_pipeline(*numbers), make_column_selector(dtype_include="number")),
        (words, make_column_selector(dtype_exclude="number")),
    )
