"""Forecasts of every form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import scipy.stats
import sklearn.metrics
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase
from tests.scorer.metric_cases.regression import ANY, Cells, frames, on_columns, one

SCALES = st.one_of(st.integers(1, 3).map(float), st.floats(0.01, 1e3))
LEVELS = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
QUANTILES = {"quantiles": list(LEVELS.values()), "targets": list(LEVELS)}


def everywhere(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    """The truth in every predicted column."""
    return submission.assign(**dict.fromkeys(submission.columns[1:], solution["y"]))


def columns(
    names: Sequence[str], cells: Cells = ANY, truth: Cells = ANY, **sides: Cells
) -> st.SearchStrategy[Frames]:
    return frames({"y": truth, **sides}, dict.fromkeys(names, cells))


def smape(scale: float) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def score(truth: list[float], predicted: list[float]) -> float:
        terms = [
            abs(p - y) / ((abs(y) + abs(p)) / 2) if y or p else 0.0
            for y, p in zip(truth, predicted, strict=True)
        ]
        return scale * sum(terms) / len(terms) / 2

    return on_columns(score)


def mase(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    errors = (submission[["F1", "F2"]] - solution[["F1", "F2"]]).abs()
    return float(np.mean([errors.loc[row].mean() / solution.loc[row, "naive"] for row in errors.index]))


def wrmsse(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    above = below = 0.0
    for row in solution.index:
        steps = [(submission.loc[row, name] - solution.loc[row, name]) ** 2 for name in ("F1", "F2")]
        above += solution.loc[row, "sales"] * math.sqrt(sum(steps) / 2 / solution.loc[row, "scale"])
        below += solution.loc[row, "sales"]
    return above / below


def pinball(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    losses = [
        sklearn.metrics.mean_pinball_loss(solution["y"], submission[name], alpha=level)
        for name, level in LEVELS.items()
    ]
    return float(np.mean(losses))


def sorted_first(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    return pinball(
        solution,
        submission.assign(**{name: np.sort(submission[list(LEVELS)])[:, i] for i, name in enumerate(LEVELS)}),
    )


def scaled_pinball(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    rows = [pinball(solution.iloc[[i]], submission.iloc[[i]]) / solution["scale"][i] for i in solution.index]
    return sum(rows) / len(rows)


def quantile_loss(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    return 2 * pinball(solution, submission) * len(solution) / float(solution["y"].abs().sum())


def ensemble(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    scores = []
    for y, *members in zip(
        solution["y"], *(submission[name] for name in submission.columns[1:]), strict=True
    ):
        m = len(members)
        spread = sum(abs(a - b) for a in members for b in members)
        scores.append(sum(abs(member - y) for member in members) / m - spread / (2 * m * m))
    return sum(scores) / len(scores)


def stepwise(thresholds: list[float]) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def score(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        total = 0.0
        for row in solution.index:
            for k, threshold in enumerate(thresholds):
                step = 1.0 if threshold - solution["y"][row] >= 0 else 0.0
                total += (submission[f"P{k}"][row] - step) ** 2
        return total / len(solution) / len(thresholds)

    return score


def step_at_the_truth(thresholds: list[float]) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    return lambda y, p: p.assign(**{f"P{k}": (y["y"] <= at).astype(float) for k, at in enumerate(thresholds)})


def winkler(alpha: float) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def score(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        total = 0.0
        for y, low, high in zip(solution["y"], submission["low"], submission["high"], strict=True):
            total += high - low
            total += 2 / alpha * (low - y) if y < low else 0.0
            total += 2 / alpha * (y - high) if y > high else 0.0
        return total / len(solution)

    return score


def osic(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    sigma = np.maximum(submission["Confidence"], 70)
    delta = np.minimum((solution["FVC"] - submission["FVC"]).abs(), 1000)
    return float(np.mean(-math.sqrt(2) * delta / sigma - np.log(math.sqrt(2) * sigma)))


def laplace(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    logs = []
    for y, mean, sigma in zip(solution["y"], submission["m"], submission["s"], strict=True):
        # A Laplace distribution of standard deviation s has the scale s / sqrt(2).
        scale = max(sigma, 0.5) / math.sqrt(2)
        logs.append(-abs(y - mean) / scale - math.log(2 * scale))
    return sum(logs) / len(logs)


def gaussian(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    return float(
        np.mean(scipy.stats.norm.logpdf(solution["y"], submission["m"], np.maximum(submission["s"], 0.5)))
    )


STEPS = {"F1": ANY, "F2": ANY}
UNIT = st.floats(0, 1)
DEFAULT_STEPS, WIDE_STEPS = [0.0, 1.0, 2.0], [-10.0, 0.0, 0.5]
AT = {"targets": ["P0", "P1", "P2"]}

CASES: dict[str, list[MetricCase]] = {
    "smape": [
        MetricCase(one(), reference=smape(200)),
        MetricCase(one(), {"scale": 100}, smape(100)),
        MetricCase(one(), {"scale": 2}, smape(2)),
    ],
    "mase": [
        MetricCase(
            frames({**STEPS, "naive": SCALES}, STEPS), {"scale": "naive", "targets": ["F1", "F2"]}, mase
        )
    ],
    "rmsse": [
        MetricCase(frames({**STEPS, "scale": SCALES, "sales": SCALES}, STEPS), {"weight": "sales"}, wrmsse),
        MetricCase(frames({**STEPS, "scale": SCALES}, STEPS)),
    ],
    "pinball": [
        MetricCase(columns([*LEVELS]), QUANTILES, pinball, everywhere),
        MetricCase(columns([*LEVELS]), {**QUANTILES, "crossing": "sort"}, sorted_first, everywhere),
        MetricCase(one(), reference=on_columns(lambda y, p: sklearn.metrics.mean_absolute_error(y, p) / 2)),
    ],
    "wspl": [
        MetricCase(columns([*LEVELS], scale=SCALES), QUANTILES, scaled_pinball, everywhere),
        MetricCase(columns([*LEVELS], scale=SCALES), {**QUANTILES, "crossing": "sort"}, perfect=everywhere),
    ],
    "wql": [
        MetricCase(
            columns([*LEVELS]).filter(lambda both: both[0]["y"].any()), QUANTILES, quantile_loss, everywhere
        ),
        MetricCase(
            columns([*LEVELS]).filter(lambda both: both[0]["y"].any()),
            {**QUANTILES, "crossing": "sort"},
            perfect=everywhere,
        ),
    ],
    "crps": [
        # Members 1e8 apart leave nine digits of a difference, in the reference as well.
        MetricCase(columns(["a", "b", "c"]), {}, ensemble, everywhere, tolerance=1e-7),
        MetricCase(
            columns(["P0", "P1", "P2"], UNIT),
            {"forecast": "cdf", **AT},
            stepwise(DEFAULT_STEPS),
            step_at_the_truth(DEFAULT_STEPS),
        ),
        MetricCase(
            columns(["P0", "P1", "P2"], UNIT),
            {"forecast": "cdf", "thresholds": WIDE_STEPS, **AT},
            stepwise(WIDE_STEPS),
            step_at_the_truth(WIDE_STEPS),
        ),
    ],
    "interval_score": [
        MetricCase(columns(["low", "high"]), {"lower": "low", "upper": "high"}, winkler(0.1), everywhere),
        MetricCase(
            columns(["low", "high"]),
            {"lower": "low", "upper": "high", "alpha": 0.5},
            winkler(0.5),
            everywhere,
        ),
    ],
    "laplace_log_likelihood": [
        MetricCase(
            frames({"FVC": ANY}, {"FVC": ANY, "Confidence": ANY}),
            {"mean": "FVC", "scale": "Confidence", "sigma_floor": 70, "error_cap": 1000},
            osic,
        ),
        MetricCase(
            columns(["m", "s"]), {"mean": "m", "scale": "s", "sigma_floor": 0.5, "error_cap": None}, laplace
        ),
    ],
    "gaussian_log_likelihood": [
        MetricCase(columns(["m", "s"]), {"mean": "m", "scale": "s", "sigma_floor": 0.5}, gaussian)
    ],
}
