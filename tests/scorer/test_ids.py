"""Ids: text in, row out, whatever the texts are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scorer.reading.ids as ids_module
from scorer.reading.ids import DuplicateId, IdIndex, canonical_numbers

TEXT = st.one_of(
    st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()),
    st.integers(-(2**64), 2**64).map(str),
    st.sampled_from(["NA", "1", "1.0", "01", "+1", "-0", "ä", "x" * 256, "x" * 257, "y" * 100_000]),
)
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-20, 20), st.integers(2**53 - 4, 2**53 + 4))


def check(index: IdIndex, ids: list[str], others: list[str]) -> None:
    """Check that every lookup gives the same rows as a dict."""
    rows = {text: row for row, text in enumerate(ids)}
    queries = [*reversed(ids), *others]
    expected = [rows.get(text, -1) for text in queries]
    find = index.finder()
    assert len(index) == len(ids)
    assert list(index) == ids
    assert [index.get(text) for text in queries] == [rows.get(text) for text in queries]
    assert [find(text) for text in queries] == [rows.get(text) for text in queries]
    assert [text in index for text in queries] == [text in rows for text in queries]
    for kind in (pa.string(), pa.large_string()):
        assert index.rows_of_texts(pa.array(queries, type=kind)).tolist() == expected
        assert index.rows_of_texts(pa.array(["", *queries], type=kind)[1:]).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT, unique=True, max_size=30), st.lists(TEXT, max_size=10))
@example(["a", "b\x00", "b"], ["b\x00\x00", "", "a\x00"])
def test_texts_are_found_and_others_are_not(ids: list[str], others: list[str]) -> None:
    check(IdIndex.build(ids), ids, [text for text in others if text not in ids])


@settings(max_examples=200, deadline=None)
@given(st.lists(NUMBERS, unique=True, min_size=1, max_size=30), st.lists(NUMBERS, max_size=20))
def test_numbers_are_found_and_others_are_not(ids: list[int], others: list[int]) -> None:
    index = IdIndex.build([str(number) for number in ids])
    rows = {number: row for row, number in enumerate(ids)}
    queries = [*reversed(ids), *others]
    assert index.numeric
    assert index.rows_of_numbers(np.array(queries)).tolist() == [rows.get(number, -1) for number in queries]
    check(
        index, [str(number) for number in ids], ["01", "+1", "1.0", "-0", "", str(2**63), str(-(2**63) - 1)]
    )


@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(5, 1005),
        np.arange(1005, 5, -1),
        np.arange(0, 3000, 3),
        np.arange(-500, 500) * 10**15,
        np.array([-(2**63), 2**63 - 1, 0]),
        np.array([7]),
        np.array([], dtype=np.int64),
    ],
    ids=["consecutive", "backwards", "dense", "sparse", "extremes", "one", "none"],
)
def test_numbers_of_any_spread_survive_saving(numbers: np.ndarray, tmp_path: Path) -> None:
    IdIndex.build(numbers).save(tmp_path / "ids")
    index = IdIndex.open(tmp_path / "ids")
    asked = np.concatenate((numbers[::-1], [1_000_000_007, -(2**63) + 1, 2**63 - 2, 4]))
    rows = {number: row for row, number in enumerate(numbers.tolist())}
    assert index.numeric
    assert index.rows_of_numbers(asked).tolist() == [rows.get(number, -1) for number in asked.tolist()]
    assert [index.text(row) for row in range(len(index))] == [str(number) for number in numbers.tolist()]


def test_texts_survive_saving(tmp_path: Path) -> None:
    ids = [*(f"img_{number:07d}.png" for number in range(3000)), "z" * 5000, "ä" * 200]
    IdIndex.build(pa.chunked_array([ids[:100], ids[100:]])).save(tmp_path)
    check(IdIndex.open(tmp_path), ids, ["img_0003000.png", "z" * 4999, "img_0000001.pnh", "z" * 5001])


def test_equal_hashes_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # With these multipliers every hash of a short text is that of its length.
    monkeypatch.setattr("scorer.reading.ids._new_key", lambda: np.array([0, 0, 0], dtype=np.uint64))
    ids = [f"{number:03d}" for number in range(100)]
    check(IdIndex.build(ids), ids, ["0x1", "100", "00", "0000"])


@pytest.mark.parametrize(
    "ids", [["a", "b", "c", "b", "a"], ["5", "7", "9", "7", "5"], ["5", str(10**15), "0", str(10**15), "5"]]
)
def test_the_first_row_that_repeats_an_id_is_named(ids: list[str]) -> None:
    with pytest.raises(DuplicateId) as duplicate:
        IdIndex.build(ids)
    assert (duplicate.value.first, duplicate.value.second) == (1, 3)


def test_a_long_id_may_not_repeat_either() -> None:
    with pytest.raises(DuplicateId):
        IdIndex.build(["x" * 1000, "a", "x" * 1000])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", True),
        ("-5", True),
        ("9223372036854775807", True),
        ("-9223372036854775808", True),
        ("10", True),
        ("9223372036854775808", False),
        ("007", False),
        ("-0", False),
        ("+5", False),
        (" 5", False),
        ("5 ", False),
        ("0x1f", False),
        ("-", False),
        ("", False),
        ("1-2", False),
        ("--1", False),
        ("\u0661", False),
        ("1e5", False),
        ("12345678901234567890", False),
    ],
)
def test_only_the_spelling_of_int64_is_a_number(text: str, canonical: bool) -> None:
    assert (canonical_numbers(pa.array(["1", text])) is not None) == canonical
    assert IdIndex.build(["1", text] if text else ["1"]).numeric == (canonical or not text)


def test_ids_beyond_2_to_the_53_stay_apart() -> None:
    ids = ["9007199254740992", "9007199254740993", "9007199254740994"]
    assert IdIndex.build(ids).rows_of_numbers(np.array([2**53 + 1, 2**53 + 2])).tolist() == [1, 2]
    longer = ["10000000000000000000000001", "10000000000000000000000002"]
    assert IdIndex.build(longer).rows_of_texts(pa.array(longer[::-1])).tolist() == [1, 0]


def test_ids_with_equal_hashes_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash only tells where to search; here all are made equal."""
    many, one = ids_module._mix, ids_module._mix_one
    monkeypatch.setattr(ids_module, "_mix", lambda hashes, key: many(hashes, key) & np.uint64(3))
    monkeypatch.setattr(ids_module, "_mix_one", lambda hashed, key: one(hashed, key) & 3)
    known = [f"row-{number}-{'x' * (number % 20)}" for number in range(200)]
    index = IdIndex.build(known)
    asked = [*reversed(known), "row-0-y", "row-1-", "row-200-", "x"]
    found = index.rows_of_texts(pa.array(asked))
    assert found.tolist() == [*range(199, -1, -1), -1, -1, -1, -1]
