"""Conventions of ranked lists where other implementations differ."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
from scorer.challenges.solution import truth_as_predictions
from tests.scorer.metric_cases.ranking import average_precision, ndcg, over_rows

LISTS = ["map_at_k", "mrr", "recall_at_k", "precision_at_k", "ndcg_at_k"]


def frames(truth: list[str], predicted: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    ids = [f"r{i}" for i in range(len(truth))]
    return pd.DataFrame({"id": ids, "y": truth}), pd.DataFrame({"id": ids, "y": predicted})


def measure(name: str, truth: list[str], predicted: list[str], **params: object) -> float:
    return scorer.measure(name, *frames(truth, predicted), **params)


@pytest.mark.parametrize("name", LISTS)
def test_an_item_named_twelve_times_counts_once(name: str) -> None:
    # MLE-Dojo's MAP@12 gives 12.0 here.
    once = measure(name, ["A", "B"], ["A x x x x x x x x x x x", "x"], k=12)
    assert measure(name, ["A", "B"], ["A A A A A A A A A A A A", "x"], k=12) == once
    assert once <= 0.5


def test_a_second_naming_takes_up_a_place() -> None:
    assert measure("map_at_k", ["A B"], ["A A B"], k=3) == pytest.approx((1 + 2 / 3) / 2)
    assert measure("recall_at_k", ["A B"], ["A A B"], k=2) == 0.5


def test_true_items_are_a_set() -> None:
    assert measure("map_at_k", ["A A B"], ["A B"], k=12) == 1.0
    assert measure("recall_at_k", ["A A B"], ["A"], k=12) == 0.5
    assert measure("ndcg_at_k", ["A:2 A:3 B:1"], ["A B"], graded=True) == 1.0


def test_more_true_items_than_k_can_all_be_right_unless_the_challenge_says_otherwise() -> None:
    assert measure("map_at_k", ["A B C D"], ["A B"], k=2) == 1.0
    assert measure("map_at_k", ["A B C D"], ["A B"], k=2, denominator="items") == 0.5
    assert measure("recall_at_k", ["A B C D"], ["A B"], k=2) == 0.5
    assert measure("recall_at_k", ["A B C D"], ["A B"], k=2, denominator="capped") == 1.0


@pytest.mark.parametrize("name", LISTS)
def test_a_row_without_true_items_scores_zero(name: str) -> None:
    assert measure(name, ["", "A"], ["A", "A"], k=1) == 0.5


@pytest.mark.parametrize("name", LISTS)
def test_naming_nothing_scores_zero(name: str) -> None:
    assert measure(name, ["A", "B C"], ["", ""], k=3) == 0.0


@pytest.mark.parametrize(
    ("gain", "expected"), [("linear", 0.9134015924715544), ("exponential", 0.8339912323981488)]
)
def test_gain_of_a_grade_is_itself_or_a_power_of_two(gain: str, expected: float) -> None:
    # edge/ndcg/gain: scikit-learn has the one, Kaggle and LightGBM the other.
    got = measure("ndcg_at_k", ["first:3 second:2"], ["second first"], gain=gain, graded=True)
    assert got == pytest.approx(expected, abs=1e-12)


def test_an_exponential_gain_may_be_spelt_as_its_formula() -> None:
    both = ["first:3 second:2"], ["second first"]
    assert measure("ndcg_at_k", *both, gain="2^rel-1", graded=True) == pytest.approx(0.8339912323981488)


@pytest.mark.parametrize("name", LISTS)
def test_k_is_a_whole_number_of_any_type_and_bounded(name: str) -> None:
    assert measure(name, ["A"], ["A"], k=1.0) == 1.0
    for wrong in (2.5, 2**63, 10**20, 0):
        with pytest.raises(ValueError, match="k: "):
            measure(name, ["A"], ["A"], k=wrong)


def test_order_of_the_list_leaves_no_ties_to_break() -> None:
    # edge/ndcg/ties: of two equal scores, scikit-learn takes the mean of both orders.
    assert measure("ndcg_at_k", ["A"], ["B A"]) == pytest.approx(0.6309297535714574, abs=1e-12)


def test_a_colon_is_part_of_an_item_unless_items_are_graded() -> None:
    assert measure("ndcg_at_k", ["go:0008150"], ["go"]) == 0.0
    # The last colon begins the grade, of any size: an item that has a colon itself needs one.
    assert measure("ndcg_at_k", ["go:0008150:1"], ["go:0008150"], graded=True) == 1.0
    assert measure("ndcg_at_k", ["go:0008150"], ["go"], graded=True) == 1.0


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("gain", ["linear", "exponential"])
@pytest.mark.parametrize("split", [" ", ","])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_ideal_order_of_any_grades_scores_one(
    data: st.DataObject, split: str, gain: str, folder: bool
) -> None:
    grade = st.floats(0, allow_infinity=False) | st.sampled_from([0.0, 1 / 3, 1e-5, 1000.0, 1023.5, 1024.0])
    rows = data.draw(st.lists(st.lists(grade, min_size=1, max_size=6), min_size=2, max_size=4))
    items = ["a", "b:7", "chr1:100", "1.0", "true", "x:y"]
    truth, ideal = [], []
    for grades in rows:
        grades = [*grades[:-1], grades[-1] or 1.0]  # a row of grades 0 scores 0
        spelt = [data.draw(st.sampled_from(SPELLINGS))(value) for value in grades]
        named = list(zip(items, spelt, grades, strict=False))
        truth.append(split.join(f"{item}:{text}" for item, text, _ in named))
        ideal.append(split.join(item for item, _, _ in sorted(named, key=lambda entry: -entry[2])))
    if not folder:
        assert measure("ndcg_at_k", truth, ideal, graded=True, gain=gain, split=split) == 1.0
        return
    with TemporaryDirectory() as made:
        challenge = graded_challenge(Path(made), truth, gain=gain, split=split)
        report = scorer.score(challenge, file_of(ideal))
        assert (report.public, report.private) == (1.0, 1.0)


SPELLINGS: list[Callable[[float], str]] = [
    repr,
    "{:.17g}".format,
    "{:.17E}".format,
    "+{!r}".format,
    lambda value: repr(value).removeprefix("0") if repr(value).startswith("0.") else repr(value),
    lambda value: f"0{value!r}",
]


def file_of(cells: list[str]) -> bytes:
    return "".join(["id,r\n", *(f'q{i},"{cell}"\n' for i, cell in enumerate(cells))]).encode()


def graded_challenge(
    folder: Path, truth: list[str], *, gain: str = "linear", split: str = " ", k: int = 9
) -> scorer.Challenge:
    (folder / "private").mkdir()
    lines = [f'q{i},"{cell}",{"Private" if i else "Public"}\n' for i, cell in enumerate(truth)]
    (folder / "private/solution.csv").write_text("".join(["id,r,Usage\n", *lines]))
    (folder / "challenge.yaml").write_text(
        "format: 1\ntitle: T\n"
        f"metric: {{name: ndcg_at_k, k: {k}, graded: true, gain: {gain}, split: '{split}'}}\n"
        "submission: {id: id, columns: [r]}\n"
    )
    return scorer.load(folder, prepared=folder / "prepared")


@pytest.mark.parametrize(
    ("truth", "ideal"),
    [
        ("x:0.6666666666666666 z:0.3333333333333333", "x z"),
        ("chr1:100:2 chr2:7:1", "chr1:100 chr2:7"),
        ("x:1e-05 z:.9", "z x"),
        ("x:1000 z:12345.5", "z x"),
        ("z:1 x:1e308 y:1.7e308", "y x z"),
        ("z:0 x:2.", "x z"),
        ("101:3 102", "101 102"),
    ],
)
@pytest.mark.parametrize("gain", ["linear", "exponential"])
def test_grades_are_numbers_of_any_spelling(tmp_path: Path, truth: str, ideal: str, gain: str) -> None:
    # 1/3 or 1e-05 made the whole token an item that nothing can name: the ideal order scored 0.
    challenge = graded_challenge(tmp_path, [truth, truth], gain=gain)
    for _ in range(2):  # freshly read, then prepared
        report = scorer.score(challenge, file_of([ideal, ideal]))
        assert (report.public, report.private) == (1.0, 1.0)
        challenge = scorer.load(tmp_path, prepared=tmp_path / "prepared")


@pytest.mark.parametrize(
    ("cell", "token"),
    [
        ("x:2 z:-1", "z:-1"),
        ("x:inf z:1", "x:inf"),
        ("x:1e999 z:1", "x:1e999"),
        ("x:nan z:1", "x:nan"),
        ("x:50% z:1", "x:50%"),
        ("x:50 % z:1", "%"),
        ("x:1,5 z:1", "x:1,5"),
        ("x:1 500 z:1", "500"),
        ("x: z:1", "x:"),
        (":2 z:1", ":2"),
        ("x:1_0 z:1", "x:1_0"),
        ("x:high z:1", "x:high"),
        ("x:0x10 z:1", "x:0x10"),
        ("x:\u0661 z:1", "x:\u0661"),
    ],
)
def test_grade_that_is_no_number_is_refused_with_line_and_token(
    tmp_path: Path, cell: str, token: str
) -> None:
    with pytest.raises(scorer.InvalidChallenge) as refused:
        graded_challenge(tmp_path, ["x:1", cell])
    [problem] = refused.value.problems
    assert (problem.code, problem.line, problem.file) == ("BAD_FORM", 3, "private/solution.csv")
    assert f'"{token}"' in problem.message


def test_grade_with_a_decimal_comma_is_refused_where_commas_separate(tmp_path: Path) -> None:
    with pytest.raises(scorer.InvalidChallenge, match='"5" after "x:1"'):
        graded_challenge(tmp_path, ["x:1,5,z:1", "x:1"], split=",")


def test_grade_of_an_ignored_row_refuses_nothing(tmp_path: Path) -> None:
    graded_challenge(tmp_path, ["x:1", "x:1"])
    solution = tmp_path / "private/solution.csv"
    solution.write_text(solution.read_text() + "q2,x:-1,Ignored\n")
    assert scorer.score(scorer.load(tmp_path), file_of(["x", "x", ""])).public == 1.0


def test_nothing_is_stripped_from_the_items_of_a_submission() -> None:
    assert measure("ndcg_at_k", ["b:3"], ["b:3"], graded=True) == 0.0
    assert measure("ndcg_at_k", ["b:3 c:1"], ["b:3 b c"], graded=True, k=1) == 0.0
    assert measure("ndcg_at_k", ["chr1:100:2"], ["chr1"], graded=True) == 0.0


def test_large_grades_keep_their_ratio() -> None:
    # 2^1024 is no float64; only the ratio of gains counts.
    half = 1 / math.log2(3)
    params: dict[str, object] = {"graded": True, "gain": "exponential"}
    got = measure("ndcg_at_k", ["a:1025 b:1024"], ["b a"], **params)
    assert got == pytest.approx((0.5 + half) / (1 + half * 0.5), abs=1e-12)
    got = measure("ndcg_at_k", ["a:1e308 b:5e307"], ["b a"], graded=True)
    assert got == pytest.approx((0.5 + half) / (1 + half * 0.5), abs=1e-12)
    got = measure("ndcg_at_k", ["a:2e-12 b:1e-12"], ["b a"], **params)
    assert got == pytest.approx((0.5 + half) / (1 + half * 0.5), abs=1e-9)


def test_true_values_in_any_order_can_be_reached(tmp_path: Path) -> None:
    challenge = graded_challenge(tmp_path, ["c:1 b:2", "c:1 b:2"])
    assert "NOTICE_TRUTH_NOT_BEST" not in {notice.code for notice in scorer.check(challenge).notices}
    truth = truth_as_predictions(challenge.solution)
    assert truth is not None
    assert [challenge.solution.vocabulary.names[code] for code in truth["r"].of(0)] == ["b", "c"]


def test_long_lists_score_as_short_ones_do() -> None:
    # Lists of more than 16 true or 64 predicted items are searched another way.
    draw = random.Random(3)
    items = [f"i{number}" for number in range(150)]
    truth = [draw.sample(items, draw.choice([1, 3, 16, 17, 60])) for _ in range(60)]
    named = [draw.choices(items, k=draw.choice([0, 5, 64, 65, 300])) for _ in truth]
    both = frames([" ".join(row) for row in truth], [" ".join(row) for row in named])
    for k in (3, 40, 200):
        assert scorer.measure("map_at_k", *both, k=k) == pytest.approx(
            over_rows(average_precision, k=k)(*both)
        )
        assert scorer.measure("ndcg_at_k", *both, k=k) == pytest.approx(over_rows(ndcg, k=k)(*both))


@pytest.mark.parametrize("predicted", ["A B", "A B C D", "A B B", "A B D", ""])
def test_an_order_must_hold_exactly_the_items_of_its_row(predicted: str) -> None:
    with pytest.raises(scorer.InvalidSubmission) as refused:
        measure("kendall_tau", ["C B A", "A B C"], ["A B C", predicted])
    [problem] = refused.value.problems
    assert (problem.code, problem.id) == ("NOT_AN_ORDERING", "r1")


def test_an_order_that_names_an_item_twice_is_no_truth() -> None:
    with pytest.raises(scorer.InvalidChallenge):
        measure("kendall_tau", ["A B A"], ["A B A"])


def test_long_orders_weigh_more_than_short_ones() -> None:
    assert measure("kendall_tau", ["A B", "A B C D"], ["B A", "A B C D"]) == pytest.approx(
        1 - 4 * 1 / (2 + 12)
    )
    assert measure("kendall_tau", ["A", "B"], ["A", "B"]) == 1.0
