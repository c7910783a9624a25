"""Scores of texts, against the textbook."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence

import pandas as pd
import sklearn.metrics
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer

from tests.scorer.metric_cases import Frames, MetricCase

WORDS = st.sampled_from(["a", "The", "the", "cat", "Cat", "cat!", "sat", "é", "naïve", "10"])
TEXT = st.lists(WORDS, max_size=5).map(" ".join)
PAIR = st.one_of(st.tuples(TEXT, TEXT), TEXT.map(lambda text: (text, text)))


def split(pairs: list[tuple[str, str]]) -> Frames:
    ids = [f"r{i}" for i in range(len(pairs))]
    truth, predicted = zip(*pairs, strict=True)
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


FRAMES = st.lists(PAIR, min_size=2, max_size=12).map(split)

Sequences = Callable[[str], Sequence[str]]


def edits(a: Sequence[str], b: Sequence[str]) -> int:
    """Wagner and Fischer's table."""
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            replaced = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, replaced)
    return table[-1][-1]


def pairs(
    solution: pd.DataFrame, submission: pd.DataFrame, cut: Sequences = list
) -> list[tuple[Sequence[str], Sequence[str]]]:
    return [(cut(a), cut(b)) for a, b in zip(solution["y"], submission["y"], strict=True)]


def mean_edits(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    return sum(edits(a, b) for a, b in pairs(solution, submission)) / len(solution)


def mean_share_of_longer(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    shares = [edits(a, b) / max(len(a), len(b), 1) for a, b in pairs(solution, submission)]
    return sum(shares) / len(shares)


def word_error_rate(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
    both = pairs(solution, submission, str.split)
    return sum(edits(a, b) for a, b in both) / (sum(len(a) for a, _ in both) or len(both))


def jaccard(form: Callable[[str], str]) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def score(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        sets = [[form(text).split() for text in frame["y"]] for frame in (solution, submission)]
        marks = MultiLabelBinarizer().fit(sets[0] + sets[1] + [["one", "more"]])
        both = [marks.transform(side) for side in sets]
        return float(sklearn.metrics.jaccard_score(*both, average="samples", zero_division=1.0))

    return score


def plain(text: str) -> list[str]:
    """SQuAD's words: lower case, without punctuation and articles."""
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in bare.split() if word not in ("a", "an", "the")]


def equal(form: Callable[[str], object]) -> Callable[[pd.DataFrame, pd.DataFrame], float]:
    def score(solution: pd.DataFrame, submission: pd.DataFrame) -> float:
        return float((solution["y"].map(form) == submission["y"].map(form)).mean())

    return score


CASES: dict[str, list[MetricCase]] = {
    "levenshtein": [
        MetricCase(FRAMES, {}, mean_edits),
        MetricCase(FRAMES, {"normalize": "max_length"}, mean_share_of_longer),
        MetricCase(FRAMES, {"normalize": "total_truth_length", "split": " "}, word_error_rate),
    ],
    "word_jaccard": [
        MetricCase(FRAMES, {}, jaccard(str.lower)),
        MetricCase(FRAMES, {"lower": False}, jaccard(str)),
    ],
    "exact_match": [
        MetricCase(FRAMES, {}, equal(str)),
        MetricCase(FRAMES, {"normalize": "lower"}, equal(str.lower)),
        MetricCase(FRAMES, {"normalize": "squad"}, equal(lambda text: " ".join(plain(text)))),
    ],
}
