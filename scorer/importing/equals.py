"""Which of our metrics may equal a foreign one, by its name and by the functions that its code calls.

A candidate is used only if it gives the foreign metric's values on several files (`assembling`).
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

Candidate = dict[str, Any]
_EPS = 2.220446049250313e-16
"""At which scikit-learn clips probabilities of type float64."""
_LOG_LOSS: tuple[Candidate, ...] = ({"name": "log_loss", "eps": _EPS}, {"name": "log_loss"})
_ERRORS: Mapping[str, tuple[Candidate, ...]] = {
    "accuracy": ({"name": "accuracy"},),
    "classification_error": ({"name": "classification_error"},),
    "balanced_accuracy": ({"name": "balanced_accuracy"}, {"name": "balanced_accuracy", "adjusted": True}),
    "roc_auc": ({"name": "roc_auc"},),
    "average_precision": ({"name": "average_precision"},),
    "log_loss": _LOG_LOSS,
    "rmse": ({"name": "rmse"}, {"name": "rmse", "columns": "mean"}),
    "mse": ({"name": "mse"}, {"name": "rmse"}),
    "mae": ({"name": "mae"},),
    "medae": ({"name": "medae"},),
    "mape": ({"name": "mape"},),
    "rmsle": ({"name": "rmsle"},),
    "msle": ({"name": "msle"}, {"name": "rmsle"}),
    "r2": ({"name": "r2"},),
    "mcc": ({"name": "mcc"},),
    "cohen_kappa": ({"name": "cohen_kappa"},),
    "pearson": ({"name": "pearson"},),
    "spearman": ({"name": "spearman"},),
    "brier": ({"name": "brier"},),
    "normalized_gini": ({"name": "normalized_gini"},),
}
_AVERAGES: tuple[Candidate, ...] = (
    {},
    {"average": "macro", "labels": "union"},
    {"average": "micro"},
    {"average": "weighted", "labels": "union"},
)
_NAMES: tuple[tuple[str, str], ...] = (
    # The first pattern that a name has decides, so longer names come before those they hold.
    (r"balanced accuracy|bal acc|bac\b", "balanced_accuracy"),
    (r"accuracy|\bacc\b|predictive accuracy", "accuracy"),
    (r"error rate|classification error|misclassification", "classification_error"),
    (r"average precision", "average_precision"),
    (r"roc auc|auc roc|auroc|\bauc\b|area under (the )?(roc|receiver)", "roc_auc"),
    (r"log ?loss|negative log likelihood|\bnll\b|cross entropy", "log_loss"),
    (r"rmsle|root mean squared? log", "rmsle"),
    (r"msle|mean squared? log", "msle"),
    (r"rmse|root mean squared? error", "rmse"),
    (r"\bmse\b|mean squared? error", "mse"),
    (r"medae|median absolute error", "medae"),
    (r"mape|mean absolute percentage error", "mape"),
    (r"\bmae\b|mean absolute error|mean columnwise absolute", "mae"),
    (r"normalized gini|\bgini\b", "normalized_gini"),
    (r"\br ?2\b|r squared|r2 score|coefficient of determination", "r2"),
    (r"matthews|\bmcc\b", "mcc"),
    (r"kappa", "cohen_kappa"),
    (r"pearson", "pearson"),
    (r"spearman", "spearman"),
    (r"brier", "brier"),
    (r"\bf1\b|f1 score|f measure|f score", "f1"),
    (r"precision", "precision"),
    (r"recall", "recall"),
)
_CALLS: Mapping[str, str] = {
    "accuracy_score": "accuracy",
    "balanced_accuracy_score": "balanced_accuracy",
    "roc_auc_score": "roc_auc",
    "average_precision_score": "average_precision",
    "log_loss": "log_loss",
    "root_mean_squared_error": "rmse",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "median_absolute_error": "medae",
    "mean_absolute_percentage_error": "mape",
    "root_mean_squared_log_error": "rmsle",
    "mean_squared_log_error": "msle",
    "r2_score": "r2",
    "matthews_corrcoef": "mcc",
    "cohen_kappa_score": "cohen_kappa",
    "pearsonr": "pearson",
    "spearmanr": "spearman",
    "brier_score_loss": "brier",
    "f1_score": "f1",
    "precision_score": "precision",
    "recall_score": "recall",
}


def candidates(names: Sequence[str], code: Sequence[str]) -> list[Candidate]:
    """Return metrics to compare with, those that the code calls before those of the names."""
    found = [of_call for text in code for of_call in _called(text)]
    found += [named for name in names if (named := metric_named(name)) is not None]
    tried: list[Candidate] = []
    for metric in found:
        for candidate in _forms(metric):
            if candidate not in tried:
                tried.append(candidate)
    return tried


def metric_named(text: str) -> str | None:
    """Return our metric of a name that other platforms use, or None."""
    words = " ".join(re.sub(r"[^a-z0-9]+", " ", text.lower()).split())
    return next((metric for pattern, metric in _NAMES if re.search(pattern, words)), None)


def _forms(metric: str) -> tuple[Candidate, ...]:
    if metric in _ERRORS:
        return _ERRORS[metric]
    return tuple({"name": metric} | average for average in _AVERAGES)


def _called(text: str) -> list[str]:
    """Return the metrics whose functions a program calls, in the order of its text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    calls = []
    nodes = list(ast.walk(tree))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    real = {alias.asname: alias.name for node in imports for alias in node.names if alias.asname}
    for node in nodes:
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            name = real.get(name, name)
            if name in _CALLS:
                calls.append(_CALLS[name])
    return calls
