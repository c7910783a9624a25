"""Conventions of texts that published definitions leave open."""

from __future__ import annotations

import pandas as pd
import pytest

import scorer


def measure(name: str, truth: list[str], predicted: list[str], **params: object) -> float:
    ids = [f"r{i}" for i in range(len(truth))]
    return scorer.measure(
        name, pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted}), **params
    )


def test_two_texts_without_words_are_alike() -> None:
    # Kaggle's published Jaccard divides 0 by 0 here.
    assert measure("word_jaccard", ["", "a b"], ["", "a c"]) == pytest.approx((1 + 1 / 3) / 2)
    assert measure("exact_match", ["", "a"], ["", "b"]) == 0.5
    assert measure("levenshtein", ["", "ab"], ["", "ab"], normalize="max_length") == 0.0


@pytest.mark.parametrize(
    ("given", "meant"), [("max_len", "max_length"), ("total_truth", "total_truth_length"), (None, "none")]
)
def test_ways_to_divide_edits_have_synonyms(given: str | None, meant: str) -> None:
    both = ["kitten", "sit"], ["sitting", ""]
    assert measure("levenshtein", *both, normalize=given) == measure("levenshtein", *both, normalize=meant)


def test_edits_of_tokens_are_divided_by_all_true_tokens() -> None:
    # The three examples on the page of Kaggle's gesture challenge: distances 2, 1 and 2.
    truth, predicted = ["1 2 4 5 3", "1 2 3 4", "3 1"], ["2 4 5 1 3", "1 3 4", "1 3"]
    got = measure("levenshtein", truth, predicted, split=" ", normalize="total_truth_length")
    assert got == pytest.approx((2 + 1 + 2) / 11)


def test_error_rate_without_any_true_token_is_finite() -> None:
    assert measure("levenshtein", ["", ""], ["a b", ""], split=" ", normalize="total_truth_length") == 1.0


def test_characters_are_code_points() -> None:
    assert measure("levenshtein", ["naïve", "\U0001f600"], ["naive", "\U0001f601"]) == 1.0
    assert measure("levenshtein", ["q\u0301"], ["q"]) == 1.0
    assert measure("levenshtein", ["e\u0301"], ["\u00e9"]) == 0.0, "one Unicode form (NFC) is read"


def test_squad_ignores_case_punctuation_and_articles() -> None:
    both = ["The Eiffel-Tower!"], ["eiffeltower"]
    assert measure("exact_match", *both, normalize="squad") == 1.0
    assert measure("exact_match", *both, normalize="lower") == 0.0
