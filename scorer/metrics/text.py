"""Scores of predicted texts.

Every function takes two arrays of str of shape (n_rows,), without outer spaces.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import cpdist

from scorer.metrics.registry import INFINITY, TEXT, metric, spelt
from scorer.reading.columns import FloatArray, Lists, TextArray


def _edits_divided(sums: FloatArray, weight: float, _: Any) -> float:
    return float(sums[0] / (sums[1] if sums[1] > 0.0 else weight))


@metric(
    "levenshtein",
    version=1,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="text",
    cells=TEXT,
    finish=_edits_divided,
    lists=True,
    convention="""Insertions, deletions and replacements each cost 1. Counted in characters (Unicode code
    points of Unicode's form NFC; neither case nor accents nor inner spaces are evened out), or with split
    in tokens. Mean over rows of the edits (none), or of the edits divided by the longer of the two texts, 0
    where both are empty (max_length), or all edits divided by the length of all true texts, which can
    exceed 1 (total_truth_length: Kaggle's gesture challenge); if those are all empty, by the number of
    rows. With split: " " and total_truth_length this is the word error rate, without split the character
    error rate.""",
)
def mean_levenshtein_distance(
    truth: TextArray | Lists,
    predicted: TextArray | Lists,
    *,
    normalize: Annotated[
        Literal["none", "max_length", "total_truth_length"],
        spelt({"max_len": "max_length", "total_truth": "total_truth_length", None: "none"}),
        Field(
            description="Divide each row's edits by the longer of its texts, "
            "or all edits by the length of all true texts."
        ),
    ] = "none",
) -> FloatArray:
    """Mean edit distance (Levenshtein).

    Lower is better, 0 is perfect, in characters or tokens.
    """
    wanted, received = _sequences(truth), _sequences(predicted)
    edits = cpdist(received, wanted, scorer=Levenshtein.distance, dtype=np.int64).astype(np.float64)
    n_true = _lengths(wanted)
    if normalize == "total_truth_length":
        return np.column_stack((edits, n_true))
    if normalize == "max_length":
        edits /= np.maximum(np.maximum(n_true, _lengths(received)), 1.0)
    return np.column_stack((edits, np.ones_like(edits)))


def _sequences(column: TextArray | Lists) -> list[str] | list[list[int]]:
    if isinstance(column, Lists):
        codes, offsets = column.codes.tolist(), column.offsets.tolist()
        return [codes[begin:end] for begin, end in pairwise(offsets)]
    texts: list[str] = column.tolist()
    return texts


def _lengths(sequences: Sequence[Sequence[Any]]) -> FloatArray:
    return np.fromiter(map(len, sequences), dtype=np.float64, count=len(sequences))


@metric(
    "word_jaccard",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="text",
    cells=TEXT,
    finish="mean",
    convention="""Words are what stands between white space, with their punctuation; each counts once. In
    lower case, as Kaggle's Tweet Sentiment Extraction. Two texts without words score 1; the published
    formula divides 0 by 0.""",
)
def word_jaccard(
    truth: TextArray,
    predicted: TextArray,
    *,
    lower: Annotated[bool, Field(description="Whether upper and lower case are the same.")] = True,
) -> FloatArray:
    """Words that both texts have, as a share of those that either has (Jaccard).

    Higher is better, 1 is perfect.
    """
    scores = np.ones(len(truth))
    for row, texts in enumerate(zip(truth, predicted, strict=True)):
        a, b = (set((text.lower() if lower else text).split()) for text in texts)
        if a or b:
            scores[row] = len(a & b) / len(a | b)
    return scores


@metric(
    "exact_match",
    version=1,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="text",
    cells=TEXT,
    finish="mean",
    convention="""Texts are equal as they were written, outer spaces aside (none), but for upper and lower
    case (lower), or but for case, ASCII punctuation, the articles a, an, the, and the amount of white space
    (squad: the evaluation script of SQuAD). Two empty texts match.""",
)
def exact_match(
    truth: TextArray,
    predicted: TextArray,
    *,
    normalize: Annotated[
        Literal["none", "lower", "squad"],
        Field(description="What is evened out first: nothing, the case, or all that SQuAD evens out."),
    ] = "none",
) -> FloatArray:
    """Share of texts that are exactly right.

    Higher is better, 1 is perfect.
    """
    forms: dict[str, Callable[[str], str]] = {"none": str, "lower": str.lower, "squad": _squad}
    even = forms[normalize]
    same = (even(a) == even(b) for a, b in zip(truth, predicted, strict=True))
    return np.fromiter(same, dtype=np.float64, count=len(truth))


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def _squad(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
