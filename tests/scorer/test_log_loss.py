"""Log loss treats its two classes alike, to the last bit."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer

decimals = st.integers(0, 15).flatmap(
    lambda places: st.integers(0, 10**places).map(lambda k: Decimal(k).scaleb(-places))
)
tiny = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.5, 1e-15, 1e-16, 1e-300, 1 - 1e-16, 0.1, 0.35])


def loss(truth: list[int], predicted: list[str], **options: float) -> float:
    ids = list(range(len(truth)))
    solution = pd.DataFrame({"id": ids, "y": truth})
    return scorer.measure("log_loss", solution, pd.DataFrame({"id": ids, "y": predicted}), **options)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), tiny), min_size=1, max_size=20))
def test_swapped_labels_and_complements_have_the_same_loss(rows: list[tuple[int, float]]) -> None:
    """A wrong 1 cost 34.5396 and a wrong 0 cost 34.5388, as 1 - eps was clipped before its complement."""
    truth, p = [label for label, _ in rows], [value for _, value in rows]
    swapped = loss([1 - label for label in truth], [repr(1 - value) for value in p])
    assert loss(truth, [repr(value) for value in p]) == swapped


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), decimals), min_size=1, max_size=20))
def test_complements_written_as_decimals_have_the_same_loss(rows: list[tuple[int, Decimal]]) -> None:
    """0.35 and 0.65 are no complements as floats: 1 - 0.65 is 0.35 and 1 - 0.35 is not 0.65."""
    truth, p = [label for label, _ in rows], [value for _, value in rows]
    swapped = loss([1 - label for label in truth], [f"{1 - value:f}" for value in p])
    assert loss(truth, [f"{value:f}" for value in p]) == swapped


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), tiny, tiny), min_size=1, max_size=20), st.sampled_from(["", "reject"])
)
def test_two_swapped_class_columns_have_the_same_loss(
    rows: list[tuple[bool, float, float]], rule: str
) -> None:
    """Whatever order the columns stand in, and whichever class is named first."""
    rows = [(label, a, 1.0 - a) if rule or a + b == 0.0 else (label, a, b) for label, a, b in rows]
    ids, options = list(range(len(rows))), {"rows": rule} if rule else {}
    found = set()
    for yes, no in (("a", "b"), ("b", "a")):
        truth = pd.DataFrame({"id": ids, "class": [yes if label else no for label, _, _ in rows]})
        sent = {"id": ids, yes: [repr(a) for _, a, _ in rows], no: [repr(b) for _, _, b in rows]}
        for names in (("id", "a", "b"), ("b", "id", "a")):
            frame = pd.DataFrame({name: sent[name] for name in names})
            found.add(scorer.measure("log_loss", truth, frame, id="id", **options))
    assert len(found) == 1


@pytest.mark.parametrize("eps", [1e-15, 1e-7, 1e-3])
def test_a_wrong_certainty_costs_the_same_on_both_sides(eps: float) -> None:
    assert loss([1], ["0"], eps=eps) == loss([0], ["1"], eps=eps) == -math.log(eps)


@settings(deadline=None)
@given(st.integers(0, 1), st.floats(1e-13, 1))
def test_fifteen_decimals_change_a_loss_by_as_little_as_stated(label: int, p: float) -> None:
    of_true = p if label else 1 - p
    if of_true > 1e-13:
        expected = -math.log(of_true)
        assert abs(loss([label], [repr(p)]) - expected) <= 6e-16 / of_true + 1e-15 + 4 * np.spacing(expected)
