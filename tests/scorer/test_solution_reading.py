"""The solution is read as kindly as a submission, and explained as well to its author."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

import scorer
from scorer.public_ids import rows_without_truth
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text

LABELS = "title: T\nmetric: accuracy\nsubmission: {id: id, columns: [y]}\n"
PLAIN = "id,y,Usage\n1,a,Public\n2,b,Private\n"
SENT = b"id,y\n1,a\n2,b\n"


def challenge(tmp_path: Path, solution: str | bytes, yaml: str = LABELS, **files: str) -> Path:
    written = {"challenge.yaml": yaml, "private/solution.csv": solution, **files}
    for name, content in written.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return tmp_path


def refused(folder: Path) -> list[scorer.Problem]:
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder)
    return list(refusal.value.problems)


# --- what is read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "solution",
    [
        "id, y, Usage\n1, a, Public\n2, b, Private\n",
        "id ,y\t,Usage \n 1 , a ,\tPublic\n2 ,b, Private \n",
        "\ufeff" + PLAIN,
        "\ufeffid, y, Usage\r\n1, a, Public\r\n2, b, Private\r\n",
        '"id","y","Usage"\n"1","a","Public"\n"2","b","Private"\n',
        PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("1,", "é 1,"),
    ],
)
def test_spaces_marks_and_line_ends_are_no_part_of_a_solution(tmp_path: Path, solution: str) -> None:
    sent = SENT.replace(b"1,", "é 1,".encode()) if "é" in solution else SENT
    report = scorer.score(scorer.load(challenge(tmp_path, solution)), sent)
    assert (report.public, report.private) == (1.0, 1.0)


def test_an_own_metric_gets_names_and_cells_without_the_spaces(tmp_path: Path) -> None:
    metric = (
        "def score(solution, submission, row_id_column_name):\n"
        "    assert list(solution.columns) == ['id', 'y']\n"
        "    return float((solution['y'] == submission['y']).mean())\n"
    )
    yaml = LABELS.replace("accuracy", "{file: metric.py, greater_is_better: true}")
    solution = "id, y, Usage\n1, a b, Public\n2, b, Private\n"
    folder = challenge(tmp_path, solution, yaml, **{"private/metric.py": metric})
    report = scorer.score(scorer.load(folder), b"id,y\n1,a b\n2,b\n", allow_weak_sandbox=True)
    assert (report.public, report.private) == (1.0, 1.0)


# --- what is refused, and how it is explained -------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        (",", ";", "SEPARATOR", 'separated by ";"'),
        (",", "\t", "SEPARATOR", "separated by tabs"),
        (",", "|", "SEPARATOR", 'separated by "|"'),
        (",", " ", "SEPARATOR", "separated by spaces"),
        (PLAIN, "\n" + PLAIN, "NO_HEADER", "Line 1 is blank; delete it"),
        (PLAIN, " ,, \n" + PLAIN, "NO_HEADER", "Line 1 is blank; delete it"),
        (PLAIN, "# made by hand\n" + PLAIN, "NO_HEADER", 'Line 1 begins with "# made by hand"'),
        (PLAIN, "sep=,\n" + PLAIN, "NO_HEADER", 'Line 1 begins with "sep="'),
        (PLAIN, '"id,y,Usage"\n"1,a,Public"\n', "SEPARATOR", "one quoted value"),
        ("Usage", "usage", "MISSING_COLUMN", 'Did you mean "usage"?'),
        ("Usage", "USAGE", "MISSING_COLUMN", 'Did you mean "USAGE"?'),
        ("Usage", "Usgae", "MISSING_COLUMN", 'Did you mean "Usgae"?'),
        ("Usage", "split", "MISSING_COLUMN", 'Did you mean "split"?'),
        ("Usage", "Split ", "MISSING_COLUMN", 'Did you mean "Split"?'),
        ("Usage", "public", "MISSING_COLUMN", "instead of a flag"),
        ("Usage", "is_public", "MISSING_COLUMN", 'Did you mean "is_public"?'),
        ("Usage", "weather", "MISSING_COLUMN", "the columns are id, y, weather"),
        ("Public", "public", "BAD_USAGE", "did you mean Public?"),
        ("Public", "PUBLIC", "BAD_USAGE", "did you mean Public?"),
        ("Public", "Publc", "BAD_USAGE", "did you mean Public?"),
        ("Public", "lb", "BAD_USAGE", "did you mean Public?"),
        ("Private", "private", "BAD_USAGE", "did you mean Private?"),
        ("Private", "final", "BAD_USAGE", "did you mean Private?"),
        ("Private", "ignore", "BAD_USAGE", "did you mean Ignored?"),
        ("Private", "", "BAD_USAGE", "Usage is empty"),
        ("Private", "x9", "BAD_USAGE", 'Usage is "x9"; allowed are'),
        (",y,", ",Y,", "MISSING_COLUMN", "did you mean Y?"),
        ("id,", "ID,", "MISSING_COLUMN", "did you mean ID?"),
    ],
)
def test_a_slip_in_the_solution_is_explained(
    tmp_path: Path, old: str, new: str, code: str, words: str
) -> None:
    (problem,) = refused(challenge(tmp_path, PLAIN.replace(old, new)))
    assert (problem.code, problem.file) == (code, "private/solution.csv")
    assert words in problem.message


def test_a_name_that_begins_with_a_hash_is_not_taken_for_a_comment(tmp_path: Path) -> None:
    problems = refused(challenge(tmp_path, PLAIN.replace("id,y,Usage", "#id,y,usage")))
    assert [problem.code for problem in problems] == ["MISSING_COLUMN", "MISSING_COLUMN"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("{name: top_k_accuracy, k: 2}", "scores of the classes in y, write predictions: scores beside"),
        ("accuracy", "accuracy compares labels: name one column, columns: [y]"),
        ("mae", "The target columns a, b, c are missing; the columns are id, y, Usage."),
    ],
)
def test_columns_of_classes_are_one_problem_with_the_remedy(tmp_path: Path, metric: str, words: str) -> None:
    """Each class was a missing target column."""
    yaml = LABELS.replace("accuracy", metric).replace("[y]", "[a, b, c]")
    (problem,) = refused(challenge(tmp_path, PLAIN, yaml))
    assert (problem.code, problem.count) == ("MISSING_COLUMN", 3)
    assert words in problem.message


@pytest.mark.parametrize(
    "metric", ["log_loss", "roc_auc", "{name: top_k_accuracy, k: 1, predictions: scores}"]
)
def test_a_column_of_classes_for_columns_of_scores_is_explained(tmp_path: Path, metric: str) -> None:
    yaml = LABELS.replace("accuracy", metric).replace("[y]", "[a, b]")
    folder = challenge(tmp_path, PLAIN + "3,b,Public\n4,a,Private\n", yaml)
    with pytest.raises(scorer.InvalidSubmission, match="one column with the probability of each class"):
        scorer.score(scorer.load(folder), b"id,y\n1,a\n2,b\n3,b\n4,a\n")


def test_a_word_for_usage_is_one_problem_with_a_count(write: Write) -> None:
    usage = ["public"] * 8 + ["private"] * 12
    problems = refused(write(columns=(IDS, TRUTH, usage)))
    assert [(p.code, p.line, p.value, p.count) for p in problems] == [
        ("BAD_USAGE", 2, "public", 8),
        ("BAD_USAGE", 10, "private", 12),
    ]


def test_repeated_ids_are_one_problem_with_a_count(write: Write) -> None:
    (problem,) = refused(write(columns=(["1"] * 5 + ["2"] * 2 + IDS[7:], TRUTH, USAGE)))
    assert (problem.code, problem.line, problem.count) == ("DUPLICATE_IDS", 3, 5)
    assert "Id 1 appears 5 times (lines 2, 3, 4, 5, 6)." in problem.message
    assert "complete_submission" in problem.message


def test_mistakes_of_all_stages_are_reported_at_once(tmp_path: Path) -> None:
    """Header, rows, usage and cells, of which only the first stage was reported."""
    solution = (
        "id,a,Usage\n1,1,Public\n1,0,Private\n3,word,public\n,0,Private\n5,0\n6,,Private\n7,1,Private\n"
    )
    yaml = "title: T\nmetric: mae\nsubmission: {id: id, columns: [a, b]}\n"
    found = {problem.code for problem in refused(challenge(tmp_path, solution, yaml))}
    assert found == {
        "MISSING_COLUMN",
        "DUPLICATE_IDS",
        "BAD_USAGE",
        "BAD_ID",
        "FIELD_COUNT",
        "NOT_A_NUMBER",
        "EMPTY_VALUE",
    }


@pytest.mark.parametrize(
    "yaml",
    [LABELS.replace("accuracy", "acuracy"), LABELS.replace("title", "titel"), LABELS + "examples: [{}]\n"],
)
def test_mistakes_of_the_definition_and_the_solution_are_reported_at_once(tmp_path: Path, yaml: str) -> None:
    problems = refused(challenge(tmp_path, PLAIN.replace("Private", "private"), yaml))
    assert {problem.file for problem in problems} == {"challenge.yaml", "private/solution.csv"}
    assert "BAD_USAGE" in {problem.code for problem in problems}


# --- ids of the solution, the sample and the test table ---------------------------------------------


def problems_of_check(folder: Path) -> list[scorer.Problem]:
    return list(scorer.check(scorer.load(folder)).problems)


def test_ids_that_the_solution_lacks_are_its_mistake(write: Write) -> None:
    """The sample was refused with "300 ids are not in the test set", although they are in test.csv."""
    more = [*IDS, "21", "22", "23"]
    files = {
        "public/sample_submission.csv": csv_text(("id", "target"), more, ["0.5"] * 23),
        "public/test.csv": csv_text(("id", "x"), more, [str(i) for i in range(23)]),
    }
    (problem,) = problems_of_check(write(files=files))
    assert (problem.code, problem.file, problem.count) == ("TEST_WITHOUT_TRUTH", "private/solution.csv", 3)
    assert "21, 22, 23" in problem.message
    assert "Ignored" in problem.message


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_ids_of_the_test_table_are_compared_in_one_form(write: Write, form: Literal["NFC", "NFD"]) -> None:
    """NFD ids in both files were ids without truth; a blank in the header hid a row without truth."""
    ids = [unicodedata.normalize(form, f"é{key}") for key in IDS]
    loaded = scorer.load(write(columns=(ids, TRUTH, USAGE)))
    for test_form in ("NFC", "NFD"):
        rows = "".join(f"{unicodedata.normalize(test_form, key)},1\n" for key in ids)
        for header in ("id,x", "id , x", '" id",x', "\ufeffid\t,x"):
            test = loaded.folder / "public" / "test.csv"
            test.write_text(f"{header}\n{rows}", encoding="utf-8")
            assert rows_without_truth(loaded) == []
            test.write_text(f"{header}\n{rows}é21,1\n", encoding="utf-8")
            assert [problem.count for problem in rows_without_truth(loaded)] == [1]


@pytest.mark.parametrize("declared", ["Ignored", "extra_ids"])
def test_rows_without_truth_may_be_declared_as_decoys(write: Write, declared: str) -> None:
    more = [*IDS, "21", "22"]
    files = {"public/test.csv": csv_text(("id", "x"), more, [str(i) for i in range(22)])}
    yaml, columns = YAML, (IDS, TRUTH, USAGE)
    if declared == "Ignored":
        files["public/sample_submission.csv"] = csv_text(("id", "target"), more, ["0.5"] * 22)
        columns = (more, [*TRUTH, "", ""], [*USAGE, "Ignored", "Ignored"])
    else:
        yaml = YAML.replace("[target]", "[target], extra_ids: ignore")
    assert problems_of_check(write(yaml, columns=columns, files=files)) == []


def test_a_sample_with_ids_of_neither_names_the_sample(write: Write) -> None:
    more = [*IDS[1:], "99"]
    files = {
        "public/sample_submission.csv": csv_text(("id", "target"), more, ["0.5"] * 20),
        "public/test.csv": csv_text(("id", "x"), IDS, [str(i) for i in range(20)]),
    }
    found = {problem.code: problem for problem in problems_of_check(write(files=files))}
    assert set(found) == {"UNKNOWN_IDS", "MISSING_IDS"}
    assert {problem.file for problem in found.values()} == {"public/sample_submission.csv"}
    assert "private/solution.csv lacks" in found["UNKNOWN_IDS"].message
    assert "lacks 1 id (1) that private/solution.csv has" in found["MISSING_IDS"].message


# --- several rows per id ----------------------------------------------------------------------------

OBJECTS = """\
import pandas as pd


class ParticipantVisibleError(Exception):
    pass


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    images = solution[row_id_column_name].unique()
    shares = []
    for image in images:
        true, found = (
            set(frame[frame[row_id_column_name] == image]["EncodedPixels"])
            for frame in (solution, submission)
        )
        shares.append(len(true & found) / len(true | found))
    return sum(shares) / len(shares)
"""
OF_OBJECTS = (
    "title: T\n"
    "metric: {file: metric.py, greater_is_better: true, complete_submission: true}\n"
    "submission: {id: ImageId, columns: [EncodedPixels]}\n"
)


@pytest.mark.parametrize(("a", "b"), [("a", "b"), ("1", "2"), ("01", "2")])
def test_a_solution_may_repeat_ids_where_the_metric_gets_whole_frames(tmp_path: Path, a: str, b: str) -> None:
    """Data Science Bowl 2018 and Airbus: one row for each object."""
    solution = (
        f"ImageId,EncodedPixels,Usage\n{a},1 3,Public\n{a},10 3,Public\n{b},5 5,Private\n{b},9 1,Private\n"
    )
    folder = challenge(tmp_path, solution, OF_OBJECTS, **{"private/metric.py": OBJECTS})
    sent = f"ImageId,EncodedPixels\n{b},9 1\n{a},1 3\n{b},5 5\n{a},10 4\n"
    for prepared in (None, tmp_path / "kept", tmp_path / "kept"):
        found = scorer.load(folder, prepared=prepared)
        report = scorer.score(found, sent.encode(), allow_weak_sandbox=True)
        assert (report.public, report.private) == (1 / 3, 1.0)
        assert report.rows == {"public": 2, "private": 2, "ignored": 0}


def test_rows_of_one_id_have_one_usage(tmp_path: Path) -> None:
    solution = "ImageId,EncodedPixels,Usage\na,1 3,Public\na,10 3,Private\nb,5 5,Private\n"
    (problem,) = refused(challenge(tmp_path, solution, OF_OBJECTS, **{"private/metric.py": OBJECTS}))
    assert (problem.code, problem.line, problem.id) == ("BAD_USAGE", 3, "a")


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("1,5", " - use a decimal point: write 1.5"),
        ("5 %", " - write 0.05"),
        ("12,5\u00a0%", " - write 0.125"),
        ("5%", " - write 0.05"),
        ("1.234,5", " - use a decimal point: write 1234.5"),
        ("1,234,567.5", " - leave out the thousands separators: write 1234567.5"),
        ("1,234", " - write 1234 if the comma separates thousands"),
        ("1'234", " - leave out the thousands separators: write 1234"),
        ("\u22121", ' - the minus must be the plain "-" of the keyboard'),
        ("\u0661", " - use the digits 0 to 9"),
        ("#VALUE!", " - it is an error of an Excel formula"),
        ("Jan-23", " - Excel took a number for a date"),
        ("[1.5]", " - write 1.5, the number alone"),
        ("tensor(1.5, device='cpu')", " - write 1.5, the number alone"),
        ("true", " - write 1 for True and 0 for False"),
    ],
)
def test_the_solution_gets_the_hint_of_a_submission(cell: str, words: str) -> None:
    """A truth of 1,5 was refused without one, or with the advice to declare it as a word."""
    ids, numbers = [1, 2, 3], ["1", "2", "3"]
    right, wrong = (pd.DataFrame({"id": ids, "y": y}) for y in (numbers, ["1", cell, "3"]))
    with pytest.raises(scorer.InvalidSubmission) as sent:
        scorer.measure("mae", right, wrong)
    with pytest.raises(scorer.InvalidChallenge) as true:
        scorer.measure("mae", wrong, right)
    (of_file,), (of_truth,) = (found.value.problems for found in (sent, true))
    assert (of_file.line, of_file.column, of_file.value) == (of_truth.line, of_truth.column, of_truth.value)
    assert words in of_file.message
    hint = of_file.message.rstrip(".")
    assert of_truth.message.startswith(hint)
    assert ("truth_values" in of_truth.message) == (cell == "true")


def test_only_words_are_proposed_as_truth_values() -> None:
    """Numbers in another form were listed as words that may stand for numbers."""
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "y": ["ill", "1,5", "5%", "well"]})
    with pytest.raises(scorer.InvalidChallenge) as caught:
        scorer.measure("mae", frame, pd.DataFrame({"id": [1, 2, 3, 4], "y": [0, 0, 0, 0]}))
    assert "truth_values: {ill: ..., well: ...}" in str(caught.value)
    assert [(problem.line, problem.count) for problem in caught.value.problems] == [(2, 2), (3, 1), (4, 1)]


def test_a_misspelt_word_of_truth_values_is_named() -> None:
    solution = pd.DataFrame({"id": [1, 2], "y": ["Yes", "no"]})
    sent = pd.DataFrame({"id": [1, 2], "y": [1.0, 0.0]})
    with pytest.raises(scorer.InvalidChallenge, match=r"declares yes, no; did you mean yes\?"):
        scorer.measure("log_loss", solution, sent, truth_values={"yes": 1, "no": 0})
