"""Which answers an own metric's columns take: what the sample submission shows and what the truth may be."""

from __future__ import annotations

from pathlib import Path

import pytest

import scorer
from scorer.challenges.number_checks import words_among_numbers
from scorer.custom import CustomMetric, MetricFailed
from scorer.submission.preflight import check_submission
from tests.scorer.conftest import Write, csv_text

IDS = ["1", "2", "3", "4", "5", "6"]
USAGE = ["Public"] * 3 + ["Private"] * 3
WORDS, NUMBERS = ["cat", "dog", "cat", "cat", "dog", "dog"], ["1.5", "2", "1", "3", "0.5", "2"]
FLAGS, CODES = ["True", "False"] * 3, ["01234", "00017"] * 3
GRADES = ["1", "2", "3+", "3", "2", "1"]
METRIC = "def score(solution, submission, row_id_column_name):\n    return 1.0\n"


def own(
    write: Write, columns: dict[str, list[str]], sample: list[str], *, params: str = "", program: str = METRIC
) -> scorer.Challenge:
    yaml = (
        f"title: Own\nmetric: {{file: metric.py, greater_is_better: true{params}}}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": csv_text(("id", "y"), IDS, sample)}
    header, texts = ("id", *columns, "Usage"), (IDS, *columns.values(), USAGE)
    return scorer.load(write(yaml, header=header, columns=texts, files=files))


def codes(challenge: scorer.Challenge, cells: list[str]) -> list[str]:
    """Return the problems of a file; the metric is not run."""
    try:
        check_submission(csv_text(("id", "y"), IDS, cells).encode(), challenge.solution)
    except scorer.InvalidSubmission as refusal:
        return [problem.code for problem in refusal.problems]
    return []


ZERO, HALF = ["0"] * 6, ["0.5"] * 6


@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
@pytest.mark.parametrize(
    ("solution", "sample", "honest", "wrong"),
    [
        # Truth words under another name beside numbers that are none: a word was "not a number".
        ({"label": WORDS, "weight": NUMBERS}, ZERO, [WORDS], [["cat", "0"] * 3]),
        ({"weight": NUMBERS, "label": WORDS}, ["1"] * 6, [WORDS], [["cat", "1"] * 3]),
        ({"label": WORDS, "weight": NUMBERS}, ["0.0"] * 6, [WORDS], []),
        ({"label": WORDS, "group": WORDS[::-1], "weight": NUMBERS}, ZERO, [WORDS], [["cat", "", *WORDS[2:]]]),
        ({"label": CODES, "weight": NUMBERS}, ZERO, [CODES], []),
        ({"label": CODES}, ZERO, [CODES], []),
        ({"label": FLAGS, "weight": NUMBERS}, ZERO, [FLAGS, ["1", "0"] * 3], [["True", "7"] * 3]),
        ({"label": FLAGS}, ZERO, [FLAGS, ["1", "0"] * 3, HALF], [["True", "maybe", "", "0", "1", "0"]]),
        ({"label": GRADES}, ZERO, [GRADES], [["", *GRADES[1:]]]),
        ({"label": GRADES, "weight": NUMBERS}, ZERO, [GRADES], [["NaN", *GRADES[1:]]]),
        ({"label": ["yes", "no", "NA", "yes", "no", "-"], "fold": ["1"] * 6}, ZERO, [["yes", "no"] * 3], []),
        # Truth numbers under another name beside words that are none.
        ({"t": NUMBERS, "group": WORDS}, ZERO, [NUMBERS], [["1.5", *["x"] * 5], ["1.5", "", *NUMBERS[2:]]]),
        ({"t": NUMBERS, "group": WORDS}, HALF, [NUMBERS], [WORDS, ["NaN", *NUMBERS[1:]]]),
        ({"t": NUMBERS}, ZERO, [NUMBERS], [WORDS, ["x", *NUMBERS[1:]]]),
        # Truth of the column's name.
        ({"y": WORDS, "weight": NUMBERS}, ZERO, [WORDS, ["cat", "0"] * 3], [["", *WORDS[1:]]]),
        ({"y": WORDS, "weight": NUMBERS}, WORDS, [WORDS], [["<NA>", *WORDS[1:]]]),
        ({"y": WORDS, "weight": NUMBERS}, HALF, [NUMBERS], [WORDS]),
        ({"y": NUMBERS, "group": WORDS}, ZERO, [NUMBERS], [WORDS]),
        ({"y": ["0", "1"] * 3}, ["no"] * 6, [["yes", "no"] * 3, ["0", "1"] * 3], [["yes", "0"] * 3]),
        ({"y": NUMBERS}, ["NA"] * 6, [NUMBERS], [WORDS]),
        # The sample shows words.
        ({"label": WORDS, "weight": NUMBERS}, WORDS, [WORDS, WORDS[::-1]], [["NaN", *WORDS[1:]]]),
        ({"weight": NUMBERS}, ["", "a b", "", "", "", ""], [["", "b", "", "0", "", ""]], []),
    ],
)
def test_no_honest_file_is_refused_whatever_else_the_solution_holds(
    write: Write,
    complete: str,
    solution: dict[str, list[str]],
    sample: list[str],
    honest: list[list[str]],
    wrong: list[list[str]],
) -> None:
    challenge = own(write, solution, sample, params=complete)
    for cells in honest:
        assert codes(challenge, cells) == []
    for cells in wrong:
        assert set(codes(challenge, cells)) & {"NOT_A_NUMBER", "EMPTY_VALUE", "NOT_FINITE", "BAD_FORM"}


@pytest.mark.parametrize(
    ("solution", "sample", "said"),
    [
        ({"label": WORDS, "weight": NUMBERS}, ZERO, "does not show whether numbers or words are wanted"),
        ({"label": GRADES, "weight": NUMBERS}, ZERO, "except that none may be empty"),
        ({"label": WORDS}, ZERO, "except that none may be empty"),
        ({"y": ["0", "1"] * 3}, ["no"] * 6, "does not show whether numbers or words are wanted"),
        ({"t": NUMBERS}, ZERO, ""),
        ({"label": WORDS, "weight": NUMBERS}, HALF, ""),
    ],
)
def test_the_check_says_where_it_cannot_judge_the_answers(
    write: Write, solution: dict[str, list[str]], sample: list[str], said: str
) -> None:
    problems, notices = words_among_numbers(own(write, solution, sample))
    assert problems == []
    assert [said in notice.message for notice in notices] == [True] * bool(said)


def test_numbers_among_words_are_one_problem_with_the_first_line(write: Write) -> None:
    challenge = own(write, {"t": NUMBERS, "group": WORDS}, ZERO)
    with pytest.raises(scorer.InvalidSubmission) as caught:
        check_submission(
            csv_text(("id", "y"), IDS, ["1.5", "x", "2", "x", "x", "x"]).encode(), challenge.solution
        )
    (problem,) = caught.value.problems
    assert (problem.line, problem.id, problem.value, problem.count) == (3, "2", "x", 4)
    assert problem.message == (
        'Column y, line 3 (id 2): "x" is not a number, and 2 other cells are numbers. Write numbers in all '
        "rows or words in all rows. 4 lines have this problem."
    )


def test_words_that_only_the_metric_cannot_take_are_the_files_fault(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ended as a fault of the installation; a metric that fails with numbers too still does."""
    challenge = own(write, {"t": NUMBERS, "group": WORDS}, ZERO)
    text = csv_text(("id", "y"), IDS, WORDS).encode()
    sent: list[str] = []

    def evaluate(self: CustomMetric, *frames: object, **_: object) -> dict[str, float]:
        cells = frames[1]["y"].tolist()  # type: ignore[index]
        sent.append(str(cells[0]))
        if cells[0] == "cat" or always:
            raise MetricFailed("On the public rows the metric raised TypeError: str.", "")
        return {"public": 1.0, "private": 1.0}

    monkeypatch.setattr(CustomMetric, "evaluate", evaluate)
    always = False
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(challenge, text)
    assert [problem.code for problem in caught.value.problems] == ["NOT_A_NUMBER"]
    assert "the metric cannot score words there" in caught.value.problems[0].message
    always = True
    with pytest.raises(MetricFailed):
        scorer.score(challenge, text)
    assert sent == ["cat", "0", "cat", "0"]


def test_a_column_of_empty_cells_that_the_metric_cannot_take_is_the_files_fault(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the sample has empty cells beside words; the first word was looked for, and there was none."""
    challenge = own(write, {"y": NUMBERS}, ["", "a", "", "", "", "b"])
    assert challenge.task.either == {"y"}

    def evaluate(self: CustomMetric, *frames: object, **_: object) -> dict[str, float]:
        if frames[1]["y"].tolist()[0] == "":  # type: ignore[index]
            raise MetricFailed("On the public rows the metric raised ValueError: could not convert.", "")
        return {"public": 1.0, "private": 1.0}

    monkeypatch.setattr(CustomMetric, "evaluate", evaluate)
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(challenge, csv_text(("id", "y"), IDS, [""] * 6).encode())
    (problem,) = caught.value.problems
    assert (problem.code, problem.id, problem.count) == ("NOT_A_NUMBER", "1", 6)
    assert "an empty cell is not a number" in problem.message


# --- words that are labels ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("truth", "cells", "said"),
    [
        (["yes", "no"] * 3, ["Yes", "no", "YES", "no", "yes", "no"], '"Yes" in line 2 - write yes: small'),
        (["yes", "no"] * 3, ["y", "n"] * 3, "6 of 6 labels are not known"),
        (["yes", "no"] * 3, ["'yes'", "no"] * 3, "- write yes, without brackets, quotes"),
        (["yes", "no"] * 3, ["1", "0"] * 3, "the labels here are words, not numbers"),
        (
            ["a", "b", "1"] * 2,
            ["a", "1.0", "1", "a", "b", "b"],
            '1 of 6 labels is not known, the first is "1.0"',
        ),
        (["yes", "no"] * 3, ["yes", "no"] * 3, ""),
        (["one of", "a kind", "of", "texts", "as", "these"], ["else"] * 6, ""),
    ],
)
def test_words_that_the_truth_does_not_know_are_noticed_and_never_refused(
    write: Write, tmp_path: Path, truth: list[str], cells: list[str], said: str
) -> None:
    """An own metric may read Yes as yes itself; without a notice each of them counted as wrong."""
    folder = own(write, {"y": truth, "weight": NUMBERS}, truth).folder
    text = csv_text(("id", "y"), IDS, cells).encode()
    for _ in range(2):  # the second time from the prepared arrays
        challenge = scorer.load(folder, prepared=tmp_path / "kept")
        notices = check_submission(text, challenge.solution)
        assert [said in each.message for each in notices if "LABEL" in each.code] == [True] * bool(said)
