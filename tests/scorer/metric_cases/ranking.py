"""Scores of ranked lists, against plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import scipy.stats
from hypothesis import strategies as st

from tests.scorer.metric_cases import Frames, MetricCase

Row = tuple[list[str], list[str]]


def frames(rows: st.SearchStrategy[Row]) -> st.SearchStrategy[Frames]:
    def split(drawn: list[Row]) -> Frames:
        ids = [f"r{i}" for i in range(len(drawn))]
        truth, predicted = ([" ".join(row[side]) for row in drawn] for side in (0, 1))
        return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})

    return st.lists(rows, min_size=2, max_size=15).map(split)


ITEM = st.sampled_from("abcdefgh")
TRUE = st.lists(ITEM, min_size=1, max_size=5, unique=True)
NAMED = st.one_of(st.lists(st.one_of(ITEM, st.sampled_from("xyz")), max_size=12), st.permutations("abcdefgh"))
LISTS = frames(st.tuples(TRUE, NAMED))
GRADED = frames(
    st.tuples(
        st.dictionaries(
            ITEM, st.sampled_from(["0", ".5", "1e0", "2", "3.0", "3"]), min_size=1, max_size=6
        ).map(lambda grades: [f"{item}:{grade}" for item, grade in {**grades, "i": "1"}.items()]),
        NAMED,
    )
)
ORDERS = frames(
    st.lists(ITEM, min_size=1, max_size=8, unique=True).flatmap(
        lambda items: st.tuples(st.just(items), st.permutations(items))
    )
)


def over_rows(score: Callable[..., float], **options: Any) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    """Return the mean score over rows.

    Of the true items, and the items in order without repetitions.
    """

    def mean(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        values = []
        for truth, text in zip(solution["y"], submission["y"], strict=True):
            named = text.split()
            fresh = [item if item not in named[:place] else None for place, item in enumerate(named)]
            values.append(score(truth.split(), fresh, **options))
        return sum(values) / len(values)

    return mean


def average_precision(truth: list[str], named: list[str | None], k: int, *, capped: bool = True) -> float:
    score = found = 0.0
    for place, item in enumerate(named[:k], start=1):
        if item in truth:
            found += 1
            score += found / place
    return score / (min(len(truth), k) if capped else len(truth))


def reciprocal_rank(truth: list[str], named: list[str | None], k: int = 10**9) -> float:
    return max((1 / place for place, item in enumerate(named[:k], start=1) if item in truth), default=0.0)


def recall(truth: list[str], named: list[str | None], k: int, *, capped: bool = False) -> float:
    return len(set(truth) & set(named[:k])) / (min(k, len(truth)) if capped else len(truth))


def precision(truth: list[str], named: list[str | None], k: int) -> float:
    return sum(item in truth for item in named[:k]) / k


def ndcg(truth: list[str], named: list[str | None], k: int = 10**9, *, exponential: bool = False) -> float:
    grades = {token.partition(":")[0]: float(token.partition(":")[2] or 1) for token in truth}
    gains = {item: 2**grade - 1 if exponential else grade for item, grade in grades.items()}

    def discounted(order: list[float]) -> float:
        return sum(gain / math.log2(place + 1) for place, gain in enumerate(order[:k], start=1))

    best = discounted(sorted(gains.values(), reverse=True))
    return discounted([gains.get(item, 0.0) if item else 0.0 for item in named]) / best


def best_first(solution: pd.DataFrame, submission: pd.DataFrame) -> pd.DataFrame:
    def order(text: str) -> str:
        tokens = sorted(text.split(), key=lambda token: -float(token.partition(":")[2]))
        return " ".join(token.partition(":")[0] for token in tokens)  # a submission has no grades

    return submission.assign(y=solution["y"].map(order))


def pooled_tau(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    pairs = agreement = 0.0
    for truth, predicted in zip(solution["y"].str.split(), submission["y"].str.split(), strict=True):
        n = len(truth)
        if n > 1:
            tau = scipy.stats.kendalltau(range(n), [predicted.index(item) for item in truth]).statistic
            pairs += n * (n - 1)
            agreement += n * (n - 1) * tau
    return agreement / pairs if pairs else 1.0


CASES: dict[str, list[MetricCase]] = {
    "map_at_k": [
        MetricCase(LISTS, {"k": 3}, over_rows(average_precision, k=3)),
        MetricCase(
            LISTS, {"k": 12, "denominator": "items"}, over_rows(average_precision, k=12, capped=False)
        ),
    ],
    "mrr": [
        MetricCase(LISTS, {}, over_rows(reciprocal_rank)),
        MetricCase(LISTS, {"k": 2}, over_rows(reciprocal_rank, k=2)),
    ],
    "recall_at_k": [
        MetricCase(LISTS, {"k": 2}, over_rows(recall, k=2)),
        MetricCase(LISTS, {"k": 2, "denominator": "capped"}, over_rows(recall, k=2, capped=True)),
    ],
    "precision_at_k": [MetricCase(LISTS, {"k": 3}, over_rows(precision, k=3))],
    "ndcg_at_k": [
        MetricCase(LISTS, {}, over_rows(ndcg)),
        MetricCase(LISTS, {"k": 2}, over_rows(ndcg, k=2)),
        MetricCase(GRADED, {"graded": True}, over_rows(ndcg), perfect=best_first),
        MetricCase(
            GRADED,
            {"graded": True, "gain": "exponential", "k": 3},
            over_rows(ndcg, k=3, exponential=True),
            perfect=best_first,
        ),
    ],
    "kendall_tau": [MetricCase(ORDERS, {}, pooled_tau)],
}
