"""An organiser's private/metric.py, from the folder to the score.

What is refused, which role reads which message, and where it runs.
"""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

import scorer
from scorer.challenges.number_checks import words_among_numbers
from scorer.custom import MetricFailed
from scorer.custom_cells import MISSING_WORDS
from scorer.mistakes import mistakes, rows_to_spoil
from scorer.sandbox import levels, sandbox
from tests.conftest import missing
from tests.scorer.conftest import IDS, USAGE, Write, csv_text

SPLIT = ["Public", "Public", "Private", "Private", "Ignored"]
"""Few rows: every run costs a process, whatever it computes."""
TRUTH = ["1", "2", "3", "4", "5"]
GUESS = ["1.5", "2", "3", "8", "9"]

HEAD = """\
import pandas as pd
from pandas.api.types import is_numeric_dtype

class ParticipantVisibleError(Exception):
    pass

"""
POWER = (
    HEAD
    + '''\
def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str, power: float,
          scale: float = 1.0) -> float:
    """Mean error to a power.

    Lower is better.
    """
    assert list(solution.columns) == list(submission.columns) == [row_id_column_name, "y"]
    del solution[row_id_column_name]
    del submission[row_id_column_name]
    if (submission["y"] < 0).any():
        raise ParticipantVisibleError("y must not be negative")
    print("rows", len(solution))
    return float(((solution["y"] - submission["y"]).abs() ** power).mean() * scale)
'''
)


@pytest.fixture(scope="module", autouse=True)
def locked_in() -> None:
    if not sandbox.isolation().is_enough:
        missing("A sandbox of level standard", levels.too_weak(sandbox.isolation()))


def folder(
    write: Write,
    program: str,
    *,
    params: str = "",
    truth: list[str] = TRUTH,
    sample: str = "",
    greater_is_better: str = ", greater_is_better: false",
) -> Path:
    yaml = (
        f"title: Own\nmetric: {{file: metric.py{greater_is_better}{params}}}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": sample or sent(["0.5"] * 5)}
    return write(yaml, header=("id", "y", "Usage"), columns=(IDS[:5], truth, SPLIT), files=files)


def body(text: str) -> str:
    line = "def score(solution, submission, row_id_column_name):\n"
    return HEAD + line + textwrap.indent(textwrap.dedent(text), "    ")


def sent(values: list[str], ids: list[str] | None = None) -> str:
    return csv_text(("id", "y"), ids or IDS[:5], values)


def refused(challenge: scorer.Challenge, text: str) -> list[scorer.Problem]:
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(challenge, text.encode())
    return list(caught.value.problems)


# --- a sound one ----------------------------------------------------------------------------------


def test_a_metric_in_kaggles_form_is_checked_and_scores(write: Write) -> None:
    challenge = scorer.load(folder(write, POWER, params=", power: 2, scale: 10"))
    assert (challenge.metric, challenge.metric_params) == ("metric", {"power": 2, "scale": 10})
    assert (
        challenge.manifest()["metric"]
        | {"title": "Mean error to a power.", "own": True, "greater_is_better": False, "bounds": [None, None]}
        == challenge.manifest()["metric"]
    )
    result = scorer.check(challenge)
    assert result.problems == ()
    (notice,) = [notice for notice in result.notices if notice.code == "NOTICE_ISOLATION"]
    assert sandbox.isolation().level in notice.message
    report = scorer.score(challenge, sent(GUESS).encode())
    assert (report.public, report.private) == (1.25, 80.0)
    assert report.rows == {"public": 2, "private": 2, "ignored": 1}
    assert report.provenance["metric_isolation"] == sandbox.isolation().level
    assert report.provenance["metric_digest"] == challenge.metric_digest
    shuffled = sent(GUESS[::-1], IDS[:5][::-1])
    assert scorer.score(challenge, shuffled.encode()).private == 80.0


def test_the_program_and_its_parameters_decide_the_digest(write: Write) -> None:
    digests = [
        scorer.load(folder(write, program, params=params)).metric_digest
        for program, params in (
            (POWER, ", power: 2"),
            (POWER, ", power: 3"),
            (POWER + "\n", ", power: 2"),
            (POWER, ", power: 2, complete_submission: true"),
        )
    ]
    assert len(set(digests)) == 4


def test_a_saved_solution_gives_the_function_the_same_frames(write: Write, tmp_path: Path) -> None:
    """Every bit, as the function sees it: names, kinds and values."""
    program = body("""
        seen = solution.to_json(double_precision=15) + submission.to_json(double_precision=15)
        seen += str(solution.dtypes.tolist()) + str(submission.dtypes.tolist())
        raise ParticipantVisibleError(seen[:280])
        """)
    home = folder(write, program, truth=["1", "0.30000000000000004", "3", "NA", ""])
    messages = []
    for _ in range(2):
        challenge = scorer.load(home, prepared=tmp_path / "kept")
        messages.append(refused(challenge, sent(["1", "2.5", "007", "1e3", "5"]))[0].message)
    messages.append(refused(scorer.load(home), sent(["1", "2.5", "007", "1e3", "5"]))[0].message)
    assert len(set(messages)) == 1
    assert '"id":{"0":' in messages[0]


# --- what is refused when the folder is read ------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "direction", "code", "place", "words"),
    [
        (
            ", power: 2",
            "",
            "MISSING_KEY",
            ("challenge.yaml", 2),
            "must state greater_is_better: true or false",
        ),
        (
            ", power: 2",
            ", greater_is_better: 'yes'",
            "WRONG_TYPE",
            ("challenge.yaml", 2),
            "must be true or false",
        ),
        (
            "",
            ", greater_is_better: true",
            "BAD_METRIC_FILE",
            ("private/metric.py", 7),
            "power has no default",
        ),
        (
            ", power: high",
            ", greater_is_better: true",
            "BAD_METRIC_FILE",
            ("private/metric.py", 7),
            "must be float",
        ),
        (
            ", power: 2, sclae: 1",
            ", greater_is_better: true",
            "BAD_METRIC_FILE",
            ("private/metric.py", 7),
            "no parameter 'sclae'; its parameters are: power, scale",
        ),
        (
            ", power: 2, complete_submission: 1",
            ", greater_is_better: true",
            "WRONG_TYPE",
            ("challenge.yaml", 2),
            "true or false",
        ),
    ],
)
def test_a_mistake_around_a_metric_is_named_with_its_place(
    write: Write, params: str, direction: str, code: str, place: tuple[str, int], words: str
) -> None:
    with pytest.raises(scorer.InvalidChallenge) as caught:
        scorer.load(folder(write, POWER, params=params, greater_is_better=direction))
    (problem,) = caught.value.problems
    assert (problem.code, (problem.file, problem.line)) == (code, place)
    assert words in problem.message


def test_a_metric_file_lies_in_private(write: Write) -> None:
    home = folder(write, POWER, params=", power: 2")
    (home / "private/metric.py").rename(home / "public/metric.py")
    with pytest.raises(scorer.InvalidChallenge, match=r"there is no file private/metric\.py"):
        scorer.load(home)
    yaml = (home / "challenge.yaml").read_text()
    (home / "challenge.yaml").write_text(yaml.replace("metric.py", "../public/metric.py"))
    with pytest.raises(scorer.InvalidChallenge, match="does not name a file in private/"):
        scorer.load(home)


# --- what participants see -------------------------------------------------------------------


def test_a_refusal_of_the_metric_is_the_same_whichever_split_it_came_from(write: Write) -> None:
    challenge = scorer.load(folder(write, POWER, params=", power: 2"))
    shown = {
        str([problem.as_dict() for problem in refused(challenge, sent(values))])
        for values in (["-1", *GUESS[1:]], [*GUESS[:3], "-1", "9"], ["-1"] * 5)
    }
    assert shown == {str([{"code": "METRIC_REFUSED", "message": "y must not be negative", "count": 1}])}


def test_nothing_else_that_it_raises_reaches_a_participant(write: Write) -> None:
    program = body("""
        print("label", solution["y"][0])
        raise ValueError(f"secret {solution['y'].tolist()}")
        """)
    challenge = scorer.load(folder(write, program))
    with pytest.raises(scorer.ScoringFailed) as caught:
        scorer.score(challenge, sent(GUESS).encode())
    assert not isinstance(caught.value, scorer.InvalidSubmission)
    assert isinstance(caught.value, MetricFailed)
    assert "On the private rows the metric raised ValueError: secret [3, 4]" in str(caught.value)
    assert "label 1" in caught.value.log
    assert "label 3" in caught.value.log
    (problem,) = scorer.check(challenge).problems
    assert problem.code == "METRIC_FAILED"
    assert "secret [1, 2]" in problem.message
    assert "label 1" in problem.message


@pytest.mark.parametrize("result", ["float('nan')", "None", "'0.5'"])
def test_a_result_that_is_no_finite_number_is_no_score(write: Write, result: str) -> None:
    challenge = scorer.load(folder(write, body(f"return {result}")))
    with pytest.raises(scorer.ScoringFailed, match="On the public rows the metric returned"):
        scorer.score(challenge, sent(GUESS).encode())


@pytest.mark.parametrize("hole", ["NaN", "", "inf", "NA", "1e400", "word", "1_0"])
@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
def test_a_missing_value_is_refused_where_the_solution_has_numbers(
    write: Write, hole: str, complete: str
) -> None:
    """Most metrics skip nan, so a file of missing values would be perfect."""
    challenge = scorer.load(folder(write, POWER, params=f", power: 2{complete}"))
    (problem,) = refused(challenge, sent([*GUESS[:2], hole, *GUESS[3:]]))
    assert (problem.line, problem.id, problem.column) == (4, "3", "y")
    assert problem.code in ("BAD_FORM", "EMPTY_VALUE", "NOT_FINITE", "NOT_A_NUMBER")


# --- what the truth leaves open -------------------------------------------------------------------

PANDAS_MEAN = body("""
    known = solution["y"].notna()
    return float((solution.loc[known, "y"] - submission.loc[known, "y"]).abs().mean())
    """)
"""As most metrics are written: it leaves out nan on either side."""

SIX = ["Public", "Public", "Public", "Private", "Private", "Ignored"]


def holed(
    write: Write, truth: list[str], *, params: str = "", program: str = PANDAS_MEAN
) -> scorer.Challenge:
    yaml = (
        f"title: Own\nmetric: {{file: metric.py, greater_is_better: false{params}}}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": sent(["0.5"] * 6, IDS[:6])}
    return scorer.load(write(yaml, header=("id", "y", "Usage"), columns=(IDS[:6], truth, SIX), files=files))


@pytest.mark.parametrize(
    "truth",
    [
        ["1", "2", "", "4", "5", "6"],
        ["1", "2", " ", "", "5", ""],
        ["1", "2", "3", "4", "5", ""],
        ["1", "2", "3", "4", "5", "unknown"],
        ["1", "02", "3", "4", "5", "6"],
    ],
    ids=["a scored hole", "two holes", "an ignored hole", "an ignored word", "a leading zero"],
)
@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
def test_one_cell_of_the_truth_does_not_end_the_check_of_a_column(
    write: Write, truth: list[str], complete: str
) -> None:
    """Blank predictions passed, and pandas' mean left them out: a perfect score."""
    challenge = holed(write, truth, params=complete)
    for row in range(6):
        for cell, code in {
            "": "EMPTY_VALUE",
            " ": "EMPTY_VALUE",
            "abc": "NOT_A_NUMBER",
            "1,5": "NOT_A_NUMBER",
            "NaN": "NOT_FINITE",
            "-inf": "NOT_FINITE",
            "1e400": "NOT_FINITE",
        }.items():
            values = ["1.5"] * 6
            values[row] = f'"{cell}"'
            (problem,) = refused(challenge, sent(values, IDS[:6]))
            assert (problem.code, problem.line, problem.id) == (code, row + 2, IDS[row])
            assert problem.column == "y"


@pytest.mark.parametrize("ignored", ["6", "", "unknown", "06", "1e400"])
def test_a_truth_with_holes_scores_the_rows_that_have_one(write: Write, ignored: str) -> None:
    challenge = holed(write, ["1", "2", "", "4", "5", ignored])
    report = scorer.score(challenge, sent(["2", "5", "9", "4.5", "5", "0"], IDS[:6]).encode())
    assert (report.public, report.private) == (2.0, 0.25)


def test_a_prediction_beyond_int64_is_a_number(write: Write) -> None:
    """It made the column text, and the metric failed."""
    challenge = holed(write, ["1", "2", "3", "4", "5", "6"])
    report = scorer.score(challenge, sent(["1", "2", "3", "4", "9" * 30, "6"], IDS[:6]).encode())
    assert (report.public, report.private) == (0.0, 5e29)


def test_the_self_test_tries_every_mistake_where_the_truth_has_holes(write: Write) -> None:
    """With the check of cells switched off, as one hole did."""
    challenge = holed(write, ["1", "2", "", "4", "", ""])
    assert scorer.check(challenge).problems == ()
    lenient = body("return float(pd.to_numeric(submission['y'], errors='coerce').abs().sum())")
    for complete in ("", ", complete_submission: true"):
        challenge = holed(write, ["1", "2", "", "4", "", ""], params=complete, program=lenient)
        task = replace(challenge.task, numeric=frozenset())
        unchecked = replace(challenge, solution=replace(challenge.solution, tasks=(task,)))
        assert [problem.message for problem in scorer.check(unchecked).problems] == [
            f"A submission with {what} was accepted." for what in ("a missing value", "a word", "a NaN")
        ]


def test_the_self_test_spoils_a_row_without_truth_too(write: Write) -> None:
    challenge = holed(write, ["1", "2", "", "4", "", ""])
    assert rows_to_spoil(challenge, "y") == [0, 2]


COERCING = body("""
    known = pd.to_numeric(solution["y"], errors="coerce")
    return float((known - pd.to_numeric(submission["y"], errors="coerce")).abs().mean())
    """)
"""A metric that turns words into nan and leaves them out."""


@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
def test_a_word_for_an_unknown_number_does_not_end_the_check_of_a_column(write: Write, complete: str) -> None:
    """Words passed as predictions, and the metric left them out: a perfect score."""
    for word in (*sorted(MISSING_WORDS), "NA", "NaN", "NULL", "None", "<NA>", " NA "):
        challenge = holed(write, ["1", word, word, "4.5", "", "x"], program=COERCING, params=complete)
        assert challenge.task.numeric == {"y"}
        for cell in ("", "abc", "nan", word):
            (problem,) = refused(challenge, sent(["1", f'"{cell}"', "3", "4", "5", "6"], IDS[:6]))
            assert problem.code in ("EMPTY_VALUE", "NOT_A_NUMBER", "NOT_FINITE")
            assert (problem.line, problem.id, problem.column) == (3, "2", "y")
    if not complete:
        report = scorer.score(challenge, sent(["2", "0", "0", "5", "9", "0"], IDS[:6]).encode())
        assert (report.public, report.private) == (1.0, 0.5)


def test_labels_keep_na_as_a_word(write: Write) -> None:
    program = body('return float((solution["y"] == submission["y"]).mean())')
    challenge = own(write, IDS[:4], ["cat", "NA", "dog", "NA"], program)
    report = scorer.score(challenge, sent(["cat", "NA", "cat", "NA"], IDS[:4]).encode())
    assert (report.public, report.private) == (1.0, 0.5)


def test_words_among_the_true_numbers_are_reported(write: Write) -> None:
    found = scorer.check(holed(write, ["1", "NA", "3", "4", "null", "6"]))
    assert found.problems == ()
    (message,) = [each.message for each in found.notices if each.code == "NOTICE_UNKNOWN_NUMBER"]
    assert message.startswith('private/solution.csv, line 3: column y holds "NA" among numbers; it is')
    program = body("return float(len(submission))")
    found = scorer.check(holed(write, ["1", "cat", "3", "4", "5", "x"], program=program))
    assert found.problems == ()
    (message,) = [each.message for each in found.notices if each.code == "NOTICE_TEXT_COLUMN"]
    assert message.startswith('private/solution.csv, line 3: column y holds "cat" among numbers, so')


@pytest.mark.parametrize("word", ["unknown", "missing", ".", "5%", "<0.1", "1e400"])
def test_a_rare_word_among_true_numbers_is_refused_by_the_check(write: Write, word: str) -> None:
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: false}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    ids, truth = [str(i) for i in range(20)], [str(i) for i in range(19)] + [word]
    files = {"private/metric.py": COERCING, "public/sample_submission.csv": sent(["0.5"] * 20, ids)}
    usage = ["Public"] * 10 + ["Private"] * 10
    home = write(yaml, header=("id", "y", "Usage"), columns=(ids, truth, usage), files=files)
    found = [problem for problem in scorer.check(scorer.load(home)).problems if problem.column]
    assert [(each.code, each.line, each.column, each.value) for each in found] == [
        ("NOT_A_NUMBER", 21, "y", word)
    ]


@pytest.mark.parametrize(
    ("truth", "guess", "checked"),
    [("1", "0", True), ("1", "0.5", True), ("cat", "0", False), ("cat", "0.5", True), ("cat", "dog", False)],
)
def test_the_sample_shows_the_numbers_where_the_truth_has_another_name(
    write: Write, truth: str, guess: str, checked: bool
) -> None:
    """A sample of whole numbers may also stand for labels."""
    program = body("return float((submission['y'].astype(str) == '').sum())")
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: false}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": sent([guess] * 5)}
    home = write(yaml, header=("id", "t", "Usage"), columns=(IDS[:5], [truth] * 5, SPLIT), files=files)
    challenge = scorer.load(home)
    codes = [problem.code for problem in refused(challenge, sent(["", "dog", guess, guess, guess]))]
    assert codes == ["EMPTY_VALUE", "NOT_A_NUMBER"][: 1 + checked]
    if not checked:
        assert challenge.task.cells("y").grammar == "filled"


TWO_RIGHT = ["1.5", *[""] * 2, "6.0", *[""] * 2]


@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
@pytest.mark.parametrize("guess", ["0", "0.0", "1", "0.5"])
@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("image", ["a.jpg"] * 6),
        ("date", ["2024-01-01", "2024-01-02", "", "2024-01-02", "NA", "x"]),
        ("flag", ["yes", "no", "True", "no", "yes", "?"]),
    ],
)
def test_a_text_column_of_the_solution_does_not_end_the_check_of_predictions(
    write: Write, name: str, others: list[str], guess: str, complete: str
) -> None:
    """A file that was blank except for two exact rows had the best score."""
    yaml = (
        f"title: Own\nmetric: {{file: metric.py, greater_is_better: false{complete}}}\n"
        "submission: {id: id, columns: [low, high]}\n"
    )
    sample = "id,low,high\n" + "".join(f"{key},{guess},{guess}\n" for key in IDS[:6])
    files = {"private/metric.py": body("return 1.0"), "public/sample_submission.csv": sample}
    truth = ["1.5", "3", "4.5", "6", "7.5", "unknown"]
    columns = (IDS[:6], truth, others, SIX)
    challenge = scorer.load(write(yaml, header=("id", "truth", name, "Usage"), columns=columns, files=files))
    assert (challenge.task.numeric if guess == "0.5" else challenge.task.either) == {"low", "high"}
    for cell, code in {"": "EMPTY_VALUE", "x": "NOT_A_NUMBER", "NaN": "NOT_FINITE"}.items():
        cells = [right or cell for right in TWO_RIGHT]
        rows = "".join(f"{key},{each},1\n" for key, each in zip(IDS[:6], cells, strict=True))
        (problem,) = refused(challenge, "id,low,high\n" + rows)
        assert (problem.code, problem.line, problem.column, problem.count) == (code, 3, "low", 4)


@pytest.mark.parametrize(
    ("truth", "sample", "refused_cells"),
    [
        (["a", "b", "", "a", "c", "a"], ["a"] * 6, ("", " ", "NaN", "<NA>", "NULL")),
        (["a", "b", "NaN", "a", "c", "a"], ["a"] * 6, ("", " ")),
        (["a", "b", "", "a", "c", "a"], ["nan"] * 6, ("", " ")),
        (["a", "b", "", "a", "c", "a"], ["a", "", "a", "a", "a", "a"], ()),
    ],
)
@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
def test_an_empty_cell_is_no_word_unless_the_sample_has_one(
    write: Write, truth: list[str], sample: list[str], refused_cells: tuple[str, ...], complete: str
) -> None:
    """An empty file was accepted, and right where the truth had a hole."""
    yaml = (
        f"title: Own\nmetric: {{file: metric.py, greater_is_better: true{complete}}}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": EQUAL, "public/sample_submission.csv": sent(sample, IDS[:6])}
    home = write(yaml, header=("id", "y", "Usage"), columns=(IDS[:6], truth, SIX), files=files)
    challenge = scorer.load(home)
    for cell in refused_cells:
        (problem,) = refused(challenge, sent([f'"{cell}"', "a", "b", "none", "NA", "-"], IDS[:6]))
        assert problem.code in ("EMPTY_VALUE", "NOT_FINITE", "BAD_FORM")
        assert (problem.line, problem.column) == (2, "y")
    if not complete:
        odd = [cell for cell in ("", "NaN") if cell not in refused_cells] or ["a"]
        report = scorer.score(challenge, sent([odd[0], odd[-1], "c", "a", "NA", "-"], IDS[:6]).encode())
        assert report.private == 0.5


def test_the_check_covers_columns_that_have_no_truth_of_their_name(write: Write) -> None:
    """It tries an empty cell, a word and a NaN, and says where a submission may hold any text."""
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: false}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    for truth, cell, expected in (
        ("1", "0", ["a missing value", "a word", "a NaN"]),
        ("cat", "0", ["a missing value", "a NaN"]),
        ("cat", "", []),
    ):
        files = {
            "private/metric.py": body("return float(len(submission))"),
            "public/sample_submission.csv": sent([cell] * 5),
        }
        home = write(
            yaml,
            header=("id", "t", "im", "Usage"),
            columns=(IDS[:5], [truth] * 5, ["x"] * 5, SPLIT),
            files=files,
        )
        challenge = scorer.load(home)
        notices = words_among_numbers(challenge)[1]
        assert [each.code for each in notices] == ["NOTICE_UNCHECKED_COLUMN"]
        said = "numbers or words" if truth == "1" else "not even empty" if not cell else "any other text"
        assert said in notices[0].message
        assert [what for what, _ in mistakes(challenge, "y", [cell] * 5)] == expected
        task = replace(challenge.task, numeric=frozenset(), texts={})
        loose = replace(challenge, solution=replace(challenge.solution, tasks=(task,)))
        tried = [what for what, _ in mistakes(loose, "y", [cell] * 5)]
        assert tried == [what for what in expected if truth == "1" or what == "a missing value"]


# --- true and false -------------------------------------------------------------------------------

EQUAL = body("return float((solution['y'] == submission['y']).mean())")
KINDS = body("raise ParticipantVisibleError(f\"{submission['y'].dtype} {submission['y'].tolist()}\")")
FLAGS = ["True", "False", "True", "False"]


def flagged(
    write: Write, truth: list[str], program: str = EQUAL, *, sample: list[str] = FLAGS, params: str = ""
) -> scorer.Challenge:
    yaml = (
        f"title: Own\nmetric: {{file: metric.py, greater_is_better: true{params}}}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": sent(sample, IDS[:4])}
    usage = ["Public", "Public", "Private", "Private"]
    return scorer.load(write(yaml, header=("id", "y", "Usage"), columns=(IDS[:4], truth, usage), files=files))


@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
def test_true_and_false_in_any_spelling_are_what_the_truth_holds(write: Write, complete: str) -> None:
    """TRUE, true and 1 were other texts than True, and blank cells passed."""
    for truth in (["TRUE", "FALSE", "true", "False"], [" True", "false ", "tRUE", "FALSE"], FLAGS):
        challenge = flagged(write, truth, KINDS, params=complete)
        assert (challenge.task.flags, challenge.task.numeric) == (frozenset({"y"}), frozenset())
    for cells in (["TRUE", "0", "1", "False"], ["true", "0.0", "1.0", " FALSE "], ["+1", "0e0", "tRue", "0"]):
        (problem,) = refused(challenge, sent(cells, IDS[:4]))
        seen = "[True, False, True, False]" if complete else "[True, False]"
        assert problem.message == f"bool {seen}"
    for cell, code in {
        "": "EMPTY_VALUE",
        " ": "EMPTY_VALUE",
        "NaN": "NOT_FINITE",
        "-inf": "NOT_FINITE",
        "abc": "BAD_FORM",
        "yes": "BAD_FORM",
        "2": "BAD_FORM",
        "0.7": "BAD_FORM",
    }.items():
        (problem,) = refused(challenge, sent(["True", f'"{cell}"', "1", "0"], IDS[:4]))
        assert (problem.code, problem.line, problem.id, problem.column) == (code, 3, "2", "y")
    assert "not its probability" in refused(challenge, sent(["True", "0.7", "1", "0"], IDS[:4]))[0].message


def test_flags_score_the_same_after_the_solution_was_saved(write: Write, tmp_path: Path) -> None:
    home = flagged(write, FLAGS).folder
    for _ in range(2):
        challenge = scorer.load(home, prepared=tmp_path / "kept")
        report = scorer.score(challenge, sent(["TRUE", "1", "true", "0"], IDS[:4]).encode())
        assert (report.public, report.private) == (0.5, 1.0)


@pytest.mark.parametrize("word", ["", "NA", "null", " - "])
def test_a_hole_among_true_flags_does_not_end_the_check_of_a_column(write: Write, word: str) -> None:
    program = body("""
        known = solution["y"].notna()
        return float((solution.loc[known, "y"] == submission.loc[known, "y"]).mean())
        """)
    challenge = flagged(write, ["True", word, "False", "True"], program)
    report = scorer.score(challenge, sent(["1", "0", "TRUE", "true"], IDS[:4]).encode())
    assert (report.public, report.private) == (1.0, 0.5)
    assert [problem.code for problem in refused(challenge, sent(["1", "", "1", "1"], IDS[:4]))] == [
        "EMPTY_VALUE"
    ]


def test_a_fraction_in_the_sample_asks_for_probabilities_of_true_flags(write: Write) -> None:
    program = body("return float((submission['y'] * solution['y']).sum())")
    for sample in (["0.5"] * 4, ["0", "1", "0", "1e-3"]):
        challenge = flagged(write, FLAGS, program, sample=sample)
        assert (challenge.task.flags, challenge.task.numeric) == (frozenset(), frozenset({"y"}))
        report = scorer.score(challenge, sent(["0.25", "1", "0.75", "0"], IDS[:4]).encode())
        assert (report.public, report.private) == (0.25, 0.75)
        assert [problem.code for problem in refused(challenge, sent(["", "True", "1", "1"], IDS[:4]))] == [
            "EMPTY_VALUE",
            "NOT_A_NUMBER",
        ]
    challenge = flagged(write, FLAGS, program, sample=["0", "1", "0", "1"])
    assert challenge.task.flags == {"y"}


@pytest.mark.parametrize(
    ("truth", "sample", "flags", "numeric"),
    [("True", "False", True, False), ("1", "true", True, False), ("True", "0", False, False)],
)
def test_the_sample_shows_the_flags_where_the_truth_has_another_name(
    write: Write, truth: str, sample: str, flags: bool, numeric: bool
) -> None:
    program = body("return float((solution['t'] == submission['y']).mean())")
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: true}\nsubmission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": sent([sample] * 5)}
    home = write(yaml, header=("id", "t", "Usage"), columns=(IDS[:5], [truth] * 5, SPLIT), files=files)
    challenge = scorer.load(home)
    assert (bool(challenge.task.flags), bool(challenge.task.numeric)) == (flags, numeric)
    assert scorer.score(challenge, sent(["1", "0", "1", "1", "1"]).encode()).public == 0.5
    assert refused(challenge, sent(["1", "", "1", "1", "1"]))[0].code == "EMPTY_VALUE"


def test_flags_among_other_words_stay_labels(write: Write) -> None:
    challenge = flagged(write, ["True", "unsure", "False", "True"], sample=["x"] * 4)
    assert challenge.task.flags == frozenset()
    report = scorer.score(challenge, sent(["True", "True", "False", "True"], IDS[:4]).encode())
    assert (report.public, report.private) == (0.5, 1.0)


def test_the_check_covers_flags(write: Write) -> None:
    """The self-test tries a hole, a word and a NaN; a rare word among flags is refused."""
    found = scorer.check(flagged(write, FLAGS, sample=["True", "True", "False", "False"]))
    assert found.problems == ()
    (message,) = [each.message for each in found.notices if each.code == "NOTICE_FLAG_COLUMN"]
    assert "write a fraction such as 0.5 into the sample submission" in message
    challenge = flagged(write, FLAGS, body("return float(len(submission))"))
    task = replace(challenge.task, flags=frozenset())
    unchecked = replace(challenge, solution=replace(challenge.solution, tasks=(task,)))
    assert [problem.message for problem in scorer.check(unchecked).problems] == [
        f"A submission with {what} was accepted." for what in ("a missing value", "a word", "a NaN")
    ]
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: true}\nsubmission: {id: id, columns: [y]}\n"
    )
    ids, truth = [str(i) for i in range(20)], ["True", "False"] * 9 + ["True", "unknown"]
    files = {"private/metric.py": EQUAL, "public/sample_submission.csv": sent(["True"] * 20, ids)}
    usage = ["Public"] * 10 + ["Private"] * 10
    home = write(yaml, header=("id", "y", "Usage"), columns=(ids, truth, usage), files=files)
    (problem,) = [each for each in scorer.check(scorer.load(home)).problems if each.column]
    assert (problem.code, problem.line, problem.value) == ("NOT_A_NUMBER", 21, "unknown")
    assert "among True and False" in problem.message


# --- ids and labels that are no numbers -----------------------------------------------------------

MERGED = body("""
    both = solution.merge(submission, on=row_id_column_name, suffixes=("_true", "_sent"))
    return float((both["y_true"] - both["y_sent"]).abs().sum())
    """)
SEEN = body("""
    raise ParticipantVisibleError(f"{submission['id'].tolist()} {submission['y'].tolist()}"
                                  f" {solution['y'].tolist()}")
    """)


def own(write: Write, ids: list[str], truth: list[str], program: str, params: str = "") -> scorer.Challenge:
    yaml = (
        f"title: Own\nmetric: {{file: metric.py, greater_is_better: false{params}}}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": program, "public/sample_submission.csv": sent(["0"] * 4, ids)}
    usage = ["Public", "Public", "Private", "Private"]
    return scorer.load(write(yaml, header=("id", "y", "Usage"), columns=(ids, truth, usage), files=files))


@pytest.mark.parametrize(
    "ids",
    [
        ["7", "07", "8", "08"],
        ["1.1", "1.10", "2.0", "2"],
        ["12e4", "120e3", "5", "5.0"],
        ["1e400", "2e400", "+1", "1"],
        ["-0", "0", "9223372036854775808", "9223372036854775809"],
    ],
)
@pytest.mark.parametrize("complete", ["", ", complete_submission: true"])
def test_distinct_ids_stay_distinct_in_an_own_metric(write: Write, ids: list[str], complete: str) -> None:
    """As floats two ids became equal, and the truth scored 10."""
    challenge = own(write, ids, ["0", "10", "20", "30"], MERGED, complete)
    report = scorer.score(challenge, sent(["0", "10", "20", "30"], ids).encode())
    assert (report.public, report.private) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("ids", "seen"),
    [
        (["1", "-2", "30", "9223372036854775807"], "[1, -2]"),
        (["0101", "0102", "0103", "0104"], "['0101', '0102']"),
        (["1", "2", "3", "a"], "['1', '2']"),
        (["1", "2", "3", "4.5"], "['1', '2']"),
    ],
)
def test_ids_are_whole_numbers_or_the_texts_they_are(write: Write, ids: list[str], seen: str) -> None:
    challenge = own(write, ids, ["5", "6", "7", "8"], SEEN)
    (problem,) = refused(challenge, sent(["5", "6.5", "7", "8"], ids))
    assert problem.message == f"{seen} [5.0, 6.5] [5, 6]"


@pytest.mark.parametrize(
    "truth",
    [
        ["01234", "10115", "01234", "99999"],
        ["1", "2", "3", "99999999999999999999"],
        ["1", "2", "unclear", "3"],
    ],
)
def test_labels_that_look_like_numbers_stay_texts(write: Write, truth: list[str]) -> None:
    """Also where a file names none with a leading zero, and no word."""
    challenge = own(write, ["1", "2", "3", "4"], truth, SEEN)
    (problem,) = refused(challenge, sent(["10115"] * 4, ["1", "2", "3", "4"]))
    assert problem.message == f"[1, 2] ['10115', '10115'] {truth[:2]}"


def test_codes_of_an_own_metric_without_their_leading_zeros_are_not_silently_wrong(
    write: Write, tmp_path: Path
) -> None:
    """All of them were wrong, and no message said so."""
    program = body("return float((solution['y'] == submission['y']).mean())")
    codes, ids = ["01234", "00017", "01234", "00017"], IDS[:4]
    home = own(write, ids, codes, program).folder
    for _ in range(2):
        challenge = scorer.load(home, prepared=tmp_path / "kept")
        report = scorer.score(challenge, sent(["01234", "00017.0", "00017", "00017"], ids).encode())
        assert (report.public, report.private) == (1.0, 0.5)
        (problem,) = refused(challenge, sent(["1234", "17", "1234", "17"], ids))
        assert (problem.code, problem.line, problem.value) == ("UNKNOWN_LABELS", 2, "1234")
        assert "write 01234: the leading zeros belong to the label" in problem.message
        assert [p.code for p in refused(challenge, sent(["", "abc", "nan", "00017"], ids))] == [
            "EMPTY_VALUE",
            "NOT_A_NUMBER",
            "NOT_FINITE",
        ]
    report = scorer.score(challenge, sent(["1234", "00017", "01234", "00017"], ids).encode())
    (notice,) = report.notices
    assert notice.code == "NOTICE_UNKNOWN_LABELS"
    assert 'the first is "1234" in line 2 - write 01234' in notice.message
    assert (report.public, report.private) == (0.5, 1.0)
    mixed = own(write, ids, ["01234", "10115", "99999", "20095"], program)
    report = scorer.score(mixed, sent(["1234", "10115", "99999", "20095"], ids).encode())
    assert [notice.code for notice in report.notices] == ["NOTICE_UNKNOWN_LABELS"]


def test_texts_reach_the_function_as_they_are(write: Write) -> None:
    program = body('return float((solution["y"] == submission["y"]).sum())')
    sample = sent(["", "x", "x", "x", "x"])
    challenge = scorer.load(folder(write, program, truth=["NA", "", "cat", "1e3", "x"], sample=sample))
    report = scorer.score(challenge, sent(["NA", "", "dog", "1e3", "x"]).encode())
    assert (report.public, report.private) == (2.0, 1.0)


# --- the complete submission ----------------------------------------------------------------------

MATCHING = body("""
    both = solution.merge(submission, on=row_id_column_name, suffixes=("_true", "_sent"))
    if both.empty:
        raise ParticipantVisibleError("No row matches")
    return float((both["y_true"] - both["y_sent"]).abs().max() + len(submission) / 100)
    """)


def test_a_metric_that_matches_rows_itself_gets_all_of_them(write: Write) -> None:
    """Several rows of one id, and no row: as in event detection."""
    rows = sent(["1", "2", "0", "4", "9"], ["1", "1", "3", "4", "77"])
    home = folder(write, MATCHING, params=", complete_submission: true", sample=rows)
    challenge = scorer.load(home)
    report = scorer.score(challenge, rows.encode())
    assert (report.public, report.private) == (1.05, 3.05)
    assert scorer.check(challenge).problems == ()
    assert [p.code for p in refused(challenge, "id,z\n1,2\n")] == ["COLUMN_NAME"]
    assert [p.code for p in refused(challenge, "id,y\n1,2,3\n")] == ["FIELD_COUNT"]
    assert [p.code for p in refused(challenge, "id,y\n")] == ["MISSING_IDS"]
    assert refused(challenge, "id,y\n88,2\n")[0].message == "No row matches"


COMPLETE = body("""
    raise ParticipantVisibleError(f"{submission['id'].tolist()} {submission['y'].tolist()}")
    """)


def test_a_complete_submission_is_read_like_any_other(write: Write) -> None:
    """Spaces around ids and cells were part of them, so that no row matched."""
    ids = [" 1", "2 ", "1", "9", ""]
    home = folder(write, COMPLETE, params=", complete_submission: true")
    (problem,) = refused(scorer.load(home), sent([" 5", "6\t", "7 ", "8", ""], ids))
    assert problem.message == "[1, 2, 1, 9] [5, 6, 7, 8]"
    home = folder(write, body("return float(len(submission))"), params=", complete_submission: true")
    report = scorer.score(scorer.load(home), sent([" 5", "6", "7 ", "8", ""], ids).encode())
    assert [notice.code for notice in report.notices] == ["NOTICE_ID_SPACES", "NOTICE_EMPTY_ROWS"]
    problems = refused(scorer.load(home), "id,y\n1,2\n3\n4\n5,6,7\n,8\nid,y\n1,x\n1,y\n")
    assert [(each.code, each.line, each.count) for each in problems] == [
        ("FIELD_COUNT", 3, 2),
        ("FIELD_COUNT", 5, 1),
        ("REPEATED_HEADER", 7, 1),
        ("EMPTY_VALUE", 6, 1),
        ("NOT_A_NUMBER", 8, 2),
    ]


@pytest.mark.parametrize(
    ("ids", "respelt", "words"),
    [
        (["1", "2", "3", "4", "5"], ["1.0", "2", "03", "4", "+77"], "astype(int)"),
        (["1", "2", "3", "4", "5"], ["id_1", "id_2", "id_3"], 'must not begin with "id_"'),
        (
            ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"],
            ["a", "b", "b", "x"],
            'add the file extension ".jpg"',
        ),
        (["A1", "B1", "C1", "D1", "E1"], ["a1", "B1", "c1"], "upper and lower case matter"),
        (["01", "02", "03", "04", "05"], ["1", "2"], "the leading zeros are lost"),
    ],
)
def test_respelt_ids_of_a_complete_submission_are_refused(
    write: Write, ids: list[str], respelt: list[str], words: str
) -> None:
    """1.0 for 1 matched no row, and no message said so; ids that the sample does not have are allowed."""
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: true, complete_submission: true}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": COMPLETE, "public/sample_submission.csv": sent(["0"] * 5, ids)}
    home = write(yaml, header=("id", "y", "Usage"), columns=(ids[:2], ["1", "2"], SPLIT[1:3]), files=files)
    (problem,) = refused(scorer.load(home), sent(["1"] * len(respelt), respelt))
    assert problem.code == "ID_FORMAT"
    assert problem.line == 2
    assert words in problem.message
    others = ["101", "102", *ids[:1]] if ids[0] == "1" else ["x", "y2", *ids[:1]]
    assert [each.code for each in refused(scorer.load(home), sent(["1"] * 3, others))] == ["METRIC_REFUSED"]


def test_messages_about_ids_do_not_tell_which_rows_a_solution_has(write: Write) -> None:
    """An image without objects has no row in the solution, which is for the private board to show."""
    yaml = (
        "title: Own\nmetric: {file: metric.py, greater_is_better: true, complete_submission: true}\n"
        "submission: {id: id, columns: [y]}\n"
    )
    files = {"private/metric.py": COMPLETE, "public/sample_submission.csv": sent(["0"] * 5)}
    text = sent(["1"] * 3, ["1.0", "4.0", "99.0"])
    said = []
    for ids in (["1", "2"], ["4", "99"]):
        home = write(yaml, header=("id", "y", "Usage"), columns=(ids, ["1", "2"], SPLIT[1:3]), files=files)
        said.append([problem.as_dict() for problem in refused(scorer.load(home), text)])
    assert said[0] == said[1]
    assert said[0][0]["count"] == 3


# --- weak machines --------------------------------------------------------------------------------


def weaken(monkeypatch: pytest.MonkeyPatch, level: levels.Level, layers: tuple[str, ...]) -> None:
    weak = levels.Isolation(level, "Linux 5.4", 0, layers, {"read a file": "open"})
    monkeypatch.setattr(sandbox, "isolation", lambda: weak)


def test_with_weak_isolation_nothing_runs_unless_it_is_allowed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge = scorer.load(folder(write, POWER, params=", power: 2"))
    weaken(monkeypatch, "basic", ("rlimits", "seccomp"))
    (problem,) = scorer.check(challenge).problems
    assert problem.code == "SANDBOX_TOO_WEAK"
    assert "needs isolation of level standard; this machine gives basic" in problem.message
    with pytest.raises(sandbox.SandboxTooWeak):
        scorer.score(challenge, sent(GUESS).encode())
    allowed = scorer.check(challenge, allow_weak_sandbox=True)
    assert allowed.problems == ()
    assert "at level basic only, which its settings allow" in str(allowed.notices)
    report = scorer.score(challenge, sent(GUESS).encode(), allow_weak_sandbox=True)
    assert (report.public, report.provenance["metric_isolation"]) == (0.125, "basic")


def test_the_check_reports_missing_isolation_even_where_weakness_is_allowed(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings allow weak isolation, but there is none."""
    challenge = scorer.load(folder(write, POWER, params=", power: 2"))
    weaken(monkeypatch, "none", ())
    (problem,) = scorer.check(challenge, allow_weak_sandbox=True).problems
    assert problem.code == "SANDBOX_TOO_WEAK"


def test_other_metrics_need_no_sandbox(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    weaken(monkeypatch, "none", ())
    home = write(
        "metric: mae\nsubmission: {id: id, columns: [y]}\n",
        header=("id", "y", "Usage"),
        columns=(IDS, IDS, USAGE),
    )
    report = scorer.score(scorer.load(home), csv_text(("id", "y"), IDS, IDS).encode())
    assert report.public == 0.0
    assert report.provenance["isolation"] == "none"
