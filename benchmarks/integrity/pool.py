"""A pool of unique models on real data, for honest teams.

Used by the benchmarks of copies and probing. No two models of a pool are alike: each has its own family,
hyperparameters, columns, scaling and seed, and some are blends of two. A small pool drawn from with
replacement makes honest teams into copies of each other, which spoils every threshold. Test labels only weed
out useless models; the detectors never see them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, QuantileTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Rows of a binary task, to fit on and to predict.

    Half (or less) to fit on.
    """

    x_train: FloatArray
    y_train: NDArray[np.int64]
    x_test: FloatArray
    y_test: NDArray[np.int64]


def digits() -> Data:
    """Return odd or even digits: 897 and 900 rows."""
    x, y = load_digits(return_X_y=True)
    return _split(x, y % 2, 900)


def breast_cancer() -> Data:
    """Return breast cancer: 284 and 285 rows; nearly all models are right."""
    x, y = load_breast_cancer(return_X_y=True)
    return _split(x, y, 285)


def diabetes() -> Data:
    """Return progression above its median: 162 and 280 rows.

    No model is good.
    """
    x, y = load_diabetes(return_X_y=True)
    return _split(x, (y > np.median(y)).astype(np.int64), 280)


def wine() -> Data:
    """Return the second cultivar or others: 58 and 120 rows."""
    x, y = load_wine(return_X_y=True)
    return _split(x, (y == 1).astype(np.int64), 120)


DATA: dict[str, Callable[[], Data]] = {
    "digits": digits,
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
    "wine": wine,
}


def _split(x: Any, y: Any, n_test: int) -> Data:
    order = np.random.default_rng(7).permutation(len(y))
    test, train = order[:n_test], order[n_test:]
    return Data(x[train], y[train], x[test], y[test])


@cache
def pool(name: str, size: int, seed: int = 0) -> FloatArray:
    """Return probabilities of useful unique models, shape (size, n_rows).

    On the test rows. A model that separates the classes worse than .6 (AUC over the test rows) is replaced:
    teams do not upload such a file twice, and bugs are planted on purpose by the benchmarks.
    """
    data = DATA[name]()
    found: list[FloatArray] = []
    number = 0
    while len(found) < size:
        rng = np.random.default_rng([seed, number])
        number += 1
        predicted = _fit(data, rng)
        if rng.random() < 0.25:
            weight = rng.uniform(0.3, 0.7)
            predicted = weight * predicted + (1 - weight) * _fit(data, rng)
        if _auc(predicted, data.y_test) >= 0.6:
            found.append(predicted)
    return np.array(found)


DEFAULT_PIPELINES = 5


def default_pipeline(name: str, number: int, seed: int) -> FloatArray:
    """Return a tutorial pipeline's probabilities on the test rows.

    One of five; three ignore the seed.
    """
    makers: list[Callable[[], Any]] = [
        lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        lambda: make_pipeline(StandardScaler(), SVC()),
        KNeighborsClassifier,
        lambda: RandomForestClassifier(random_state=seed),
        lambda: GradientBoostingClassifier(n_estimators=50, max_features=0.5, random_state=seed),
    ]
    data = DATA[name]()
    return _predict(makers[number]().fit(data.x_train, data.y_train), data.x_test)


def _fit(data: Data, rng: np.random.Generator) -> FloatArray:
    d = data.x_train.shape[1]
    columns = np.sort(rng.choice(d, size=max(3, int(d * rng.uniform(0.5, 1.0))), replace=False))
    steps: list[Any] = []
    scaling = rng.integers(4)
    if scaling == 0:
        steps.append(QuantileTransformer(n_quantiles=30, output_distribution="normal", random_state=0))
    elif scaling == 1:
        steps.append(FunctionTransformer(lambda x: np.sign(x) * np.log1p(np.abs(x))))
    steps.append(StandardScaler())
    if rng.random() < 0.25:
        steps.append(PCA(n_components=float(rng.uniform(0.8, 0.99)), random_state=0))
    model = make_pipeline(*steps, _model(rng))
    # Each holds its own part back to validate on: with all rows, two of ten columns' models would be one.
    n = len(data.y_train)
    kept = rng.choice(n, size=int(n * rng.uniform(0.75, 0.97)), replace=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message=".*collinear.*|.*covariance matrix.*|.*full rank.*")
        model.fit(data.x_train[kept][:, columns], data.y_train[kept])
    return _predict(model, data.x_test[:, columns])


def _model(rng: np.random.Generator) -> Any:
    seed = int(rng.integers(2**31))

    def log(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    trees = {
        "n_estimators": int(rng.integers(20, 70)),
        "max_features": float(rng.uniform(0.1, 0.7)),
        "min_samples_leaf": int(rng.integers(1, 6)),
        "random_state": seed,
    }
    match int(rng.integers(10)):
        case 0:
            return LogisticRegression(C=log(1e-3, 10.0), max_iter=300)
        case 1:
            return LinearDiscriminantAnalysis(solver="lsqr", shrinkage=float(rng.uniform(0.01, 0.9)))
        case 2:
            return QuadraticDiscriminantAnalysis(reg_param=float(rng.uniform(0.2, 0.9)))
        case 3:
            return KNeighborsClassifier(
                int(rng.integers(5, 35)),
                weights=str(rng.choice(["uniform", "distance"])),
                p=float(rng.uniform(1, 3)),
            )
        case 4:
            return RandomForestClassifier(**trees)
        case 5:
            return ExtraTreesClassifier(**trees)
        case 6:
            return GradientBoostingClassifier(
                n_estimators=int(rng.integers(20, 50)),
                learning_rate=log(0.05, 0.3),
                max_depth=int(rng.integers(1, 4)),
                subsample=float(rng.uniform(0.4, 1.0)),
                max_features=float(rng.uniform(0.1, 0.5)),
                random_state=seed,
            )
        case 7:
            return SVC(C=log(0.1, 30.0), gamma=log(0.002, 0.05), random_state=seed)
        case 8:
            return MLPClassifier(
                (int(rng.integers(4, 24)),),
                alpha=log(1e-3, 3.0),
                max_iter=40,
                learning_rate_init=log(0.003, 0.03),
                random_state=seed,
            )
        case _:
            if rng.random() < 0.5:
                return GaussianNB(var_smoothing=log(1e-6, 1.0))
            return DecisionTreeClassifier(
                max_depth=int(rng.integers(3, 9)),
                min_samples_leaf=int(rng.integers(3, 15)),
                max_features=float(rng.uniform(0.3, 1.0)),
                random_state=seed,
            )


def _predict(model: Any, x: FloatArray) -> FloatArray:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(x)[:, 1], dtype=np.float64)
    margin = np.asarray(model.decision_function(x), dtype=np.float64)
    return 1.0 / (1.0 + np.exp(-2.0 * margin))


def _auc(score: FloatArray, y: NDArray[np.int64]) -> float:
    positive = score[y == 1]
    negative = np.sort(score[y == 0])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / (2 * len(negative)))
