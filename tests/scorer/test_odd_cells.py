"""Cells that no program writes on purpose: they are refused in words, at once."""

from __future__ import annotations

import pytest

from scorer.reading.cells import Cells, ColumnBuilder, describe_fault, graded_item
from scorer.reading.columns import Vocabulary
from scorer.reading.spelling import Form, Spelling, Status, canonical_number, without_marks


@pytest.mark.parametrize(
    "number", ["1e9999999999999999999", "0e9999999999999999999", "-1E-9999999999999999999"]
)
def test_a_number_with_an_exponent_of_19_digits_is_an_unknown_label(number: str) -> None:
    """It ended in decimal.InvalidOperation."""
    assert canonical_number(number) is None
    for is_list in (False, True):
        spelling = Spelling(Form.of(["0", "1"], " "), " ", is_list, frozenset({"0", "1"}))
        assert spelling.judge(number)[0] == Status.UNKNOWN
        assert spelling.nearest(f"[{number}]") == ""


def test_a_label_in_layers_of_brackets_is_read_once() -> None:
    """Each layer took a pass: 16 kB took 6 seconds."""
    assert without_marks('["[cat]"]') == "cat"
    assert without_marks("['" * 40 + "cat" + "']" * 40) == "cat"
    deep = '["' * 500_000 + "cat"
    assert without_marks(deep) == deep


@pytest.mark.parametrize("text", ["2." + "0" * 97 + "e1", "1" * 99 + "e-3", "-" + "1" * 98 + "e-90"])
def test_a_long_number_out_of_range_is_described(text: str) -> None:
    """Cut within its exponent it was no number any more."""
    cells = Cells("number", low=0.0, high=1.0)
    builder = ColumnBuilder(cells, 1, Vocabulary())
    builder.put(0, text)
    ((code, fault),) = builder.by_cause()
    assert code == "OUT_OF_RANGE"
    assert "is outside [0, 1]" in describe_fault(code, fault, cells)


def described(texts: list[str]) -> str:
    cells = Cells("number", low=0.0, high=1.0)
    builder = ColumnBuilder(cells, len(texts), Vocabulary())
    for row, text in enumerate(texts):
        builder.put(row, text)
    ((code, fault),) = builder.by_cause()
    return describe_fault(code, fault, cells)


@pytest.mark.parametrize(
    ("texts", "remedy"),
    [
        (["-2.0", "5.0", "-1.5"], "these seem to be scores of a model before the sigmoid or softmax"),
        (["-2.0", "0.5", "0.1"], "outside [0, 1]."),
        (["45", "80", "3"], "percent: write 0.45"),
        (["1e999%", "1e999%"], '"1e999%" is not a number.'),
    ],
)
def test_the_remedy_of_a_probability_fits_all_of_its_cells(texts: list[str], remedy: str) -> None:
    assert remedy in described(texts)


@pytest.mark.parametrize("token", ["x:nan", "x:-inf", "x:1/3", "x:0x10"])
def test_a_grade_that_is_no_number_is_not_taken_for_an_item(token: str) -> None:
    """The remedy was to add a second grade, x:nan:1."""
    words = graded_item(token)
    assert isinstance(words, str)
    assert words.endswith("a grade is a number of 0 or more, x:1")
    assert str(graded_item("chr1:a")).endswith("needs a grade too, chr1:a:1")
