"""Texts, labels, ids and columns that differ in Unicode form or line ends only."""

from __future__ import annotations

import io
import unicodedata

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scorer
from app.people import names
from scorer.frames import measure
from scorer.reading.forms import composed, composed_column, is_one_form, with_newlines
from tests.scorer.conftest import Write, csv_text

WORDS = ["café", "Ångström", "naïve", "Zürich", "한국", "tiếng Việt", "कि", "plain"]
NAMES = [f"{word}_{i}" for i, word in enumerate(WORDS)]
USAGE = ["Public", "Private"] * 4


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


LABELS_YAML = "metric: accuracy\nsubmission: {id: größe, columns: [straße é]}\n"
LISTS_YAML = "metric: {name: map_at_k, k: 3}\nsubmission: {id: größe, columns: [straße é]}\n"
TEXTS_YAML = "metric: levenshtein\nsubmission: {id: größe, columns: [straße é]}\n"
OWN_YAML = "metric: {file: metric.py, direction: maximize}\nsubmission: {id: größe, columns: [straße é]}\n"
HEADER = ("größe", "straße é")


@pytest.mark.parametrize("yaml", [LABELS_YAML, LISTS_YAML, TEXTS_YAML])
@pytest.mark.parametrize("solution_form", ["NFC", "NFD"])
@pytest.mark.parametrize("file_form", ["NFC", "NFD"])
@pytest.mark.parametrize("yaml_form", ["NFC", "NFD"])
def test_forms_of_unicode_are_equal_on_both_sides(
    write: Write, yaml: str, solution_form: str, file_form: str, yaml_form: str
) -> None:
    def solution(text: str) -> str:
        return unicodedata.normalize(solution_form, text)  # type: ignore[arg-type]

    words = [word.replace(" ", "") for word in WORDS]
    folder = write(
        unicodedata.normalize(yaml_form, yaml),  # type: ignore[arg-type]
        header=tuple(map(solution, (*HEADER, "Usage"))),
        columns=(list(map(solution, NAMES)), list(map(solution, words)), USAGE),
    )
    text = unicodedata.normalize(file_form, csv_text(HEADER, NAMES, words))  # type: ignore[arg-type]
    report = scorer.score(scorer.load(folder), text.encode())
    best = 0.0 if yaml is TEXTS_YAML else 1.0
    assert (report.public, report.private) == (best, best)
    codes = [notice.code for notice in report.notices]
    assert codes == (["NOTICE_UNICODE_FORM"] if file_form == "NFD" else [])


def test_the_notice_counts_cells_and_names_the_first_line(write: Write) -> None:
    folder = write(LABELS_YAML, header=(*HEADER, "Usage"), columns=(NAMES, WORDS, USAGE))
    labels = [*WORDS[:2], nfd(WORDS[2]), nfd(WORDS[3]), *WORDS[4:]]
    (notice,) = scorer.score(scorer.load(folder), csv_text(HEADER, NAMES, labels).encode()).notices
    assert notice.message.startswith("2 cells (first in line 4) were read in Unicode's form NFC")


@pytest.mark.parametrize("ends", ["\r\n", "\r\r\n", "\r", "\n"])
@pytest.mark.parametrize("lines", ["\r\n", "\r\r\n", "\n"])
@pytest.mark.parametrize("truth_ends", ["\r\n", "\n"])
def test_line_ends_inside_texts_are_equal_on_both_sides(
    write: Write, ends: str, lines: str, truth_ends: str
) -> None:
    texts = ["one\ntwo", "a\n\nb", "single", "\nlast\n"] * 2

    def cells(end: str) -> list[str]:
        return ['"' + text.replace("\n", end) + '"' for text in texts]

    folder = write(TEXTS_YAML, header=(*HEADER, "Usage"), columns=(NAMES, cells(truth_ends), USAGE))
    rows = zip(NAMES, cells(ends), strict=True)
    text = lines.join([",".join(row) for row in (HEADER, *rows)])
    report = scorer.score(scorer.load(folder), text.encode())
    assert (report.public, report.private) == (0.0, 0.0)
    codes = [notice.code for notice in report.notices]
    assert codes == (["NOTICE_LINE_BREAKS"] if "\r" in ends else [])


@pytest.mark.parametrize(
    ("text", "code"), [("a\r\nb", "NOTICE_LINE_BREAKS"), (nfd("é"), "NOTICE_UNICODE_FORM")]
)
def test_parquet_is_read_in_the_same_form(write: Write, text: str, code: str) -> None:
    yaml = TEXTS_YAML.replace("columns: [straße é]", "columns: [straße é], parquet: true")
    truth = composed(text.replace("\r\n", "\n"))
    folder = write(yaml, header=(*HEADER, "Usage"), columns=(NAMES, [f'"{truth}"'] * 8, USAGE))
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({HEADER[0]: list(map(nfd, NAMES)), HEADER[1]: [text] * 8}), stream)
    report = scorer.score(scorer.load(folder), stream.getvalue())
    assert report.public == report.private == 0.0
    assert code in [notice.code for notice in report.notices]


def test_frames_are_read_in_the_same_form() -> None:
    solution = pd.DataFrame({"id": NAMES, "é": WORDS})
    submission = pd.DataFrame({"id": list(map(nfd, NAMES)), nfd("é"): list(map(nfd, WORDS))})
    assert measure("accuracy", solution, submission) == 1.0


@pytest.mark.parametrize("yaml", [LABELS_YAML, LISTS_YAML])
def test_labels_that_become_equal_are_refused(write: Write, yaml: str) -> None:
    labels = [*[word.replace(" ", "") for word in WORDS[:-1]], nfd("café")]
    folder = write(yaml, header=(*HEADER, "Usage"), columns=(NAMES, labels, USAGE))
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder)
    (problem,) = refusal.value.problems
    assert (problem.code, problem.line) == ("SAME_LABEL", 9)
    assert "lines 2 and 9" in problem.message


def test_ids_that_become_equal_are_refused(write: Write) -> None:
    names = [*NAMES[:-1], nfd(NAMES[0])]
    folder = write(LABELS_YAML, header=(*HEADER, "Usage"), columns=(names, WORDS, USAGE))
    with pytest.raises(scorer.InvalidChallenge) as refusal:
        scorer.load(folder)
    (problem,) = refusal.value.problems
    assert problem.code == "DUPLICATE_IDS"
    assert "Unicode form only" in problem.message


def test_a_file_with_an_id_in_both_forms_has_it_twice(write: Write) -> None:
    folder = write(LABELS_YAML, header=(*HEADER, "Usage"), columns=(NAMES, WORDS, USAGE))
    text = csv_text(HEADER, [*NAMES, nfd(NAMES[0])], [*WORDS, "x"])
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(scorer.load(folder), text.encode())
    assert [problem.code for problem in refusal.value.problems] == ["DUPLICATE_IDS"]


@given(st.text(alphabet=st.sampled_from('ab\r\né\u0301\u0323,"')))
def test_one_form_is_a_fixed_point(text: str) -> None:
    form = composed(with_newlines(text))
    assert is_one_form(form)
    assert composed(with_newlines(form)) == form == composed(nfd(form))


def test_ids_that_are_one_in_nfc_are_called_so(write: Write) -> None:
    """Two ids that look equal were called one id that appears twice."""
    folder = write(TEXTS_YAML, header=(*HEADER, "Usage"), columns=(NAMES, ["a"] * 8, USAGE))
    for twice, words in ((nfd(NAMES[0]), "are one id in Unicode's form NFC"), (NAMES[0], "")):
        text = csv_text(HEADER, [*NAMES, twice], ["a"] * 9)
        with pytest.raises(scorer.InvalidSubmission) as caught:
            scorer.score(scorer.load(folder), text.encode())
        (problem,) = caught.value.problems
        assert problem.code == "DUPLICATE_IDS"
        assert words in problem.message
        assert ("NFC" in problem.message) == bool(words)


@pytest.mark.parametrize("vowel", ["\u0f73", "\u0f75", "\u0f81", "\u0344"])
def test_a_vowel_that_is_made_of_marks_counts_as_a_mark(vowel: str) -> None:
    """Tibetan vowels are no marks and become two, which were put in order: 40 s for 120 kB."""
    assert composed(vowel * 400_000) == vowel * 400_000
    assert composed(vowel * 10 + " " * 500) == unicodedata.normalize("NFC", vowel * 10) + " " * 500


def test_a_letter_with_a_megabyte_of_marks_is_left_as_it_is(write: Write) -> None:
    """To put them in order takes the square of their number: minutes of a worker, or of the sign-in page."""
    few, many = "e" + "\u0301\u0323" * 30, "e" + "\u0301\u0323" * 240_000
    assert composed(few + " " * 500) == unicodedata.normalize("NFC", few) + " " * 500
    assert composed(many) == many
    assert is_one_form(many)
    folder = write(LABELS_YAML, header=(*HEADER, "Usage"), columns=(NAMES, WORDS, USAGE), files={})
    cells = [nfd(word) for word in WORDS]
    challenge = scorer.load(folder)
    report = scorer.score(challenge, csv_text(HEADER, NAMES, [*cells[:7], many]).encode())
    assert report.public == 1.0  # the other cells are still composed
    with pytest.raises(scorer.InvalidSubmission) as caught:
        scorer.score(challenge, csv_text(HEADER, [*NAMES[:7], many], cells).encode())
    assert [problem.code for problem in caught.value.problems] == ["UNKNOWN_IDS", "MISSING_IDS"]
    assert len(names.canonical(many)) < 1000


def test_a_column_is_composed_as_its_texts_are_whatever_stacks_of_marks_it_holds() -> None:
    """A public table with such a cell took minutes in the audit."""
    stack = "a" + "\u0301" * 400_000
    texts = ["e\u0301", "plain", "", "o\u0308 " * 300, stack, "\u0f73" * 400_000]
    column = composed_column(pa.array(texts, pa.string()))
    assert column.to_pylist() == [composed(text) for text in texts]
    assert column[0].as_py() == "\u00e9"
    assert composed_column(pa.array(["a"])).to_pylist() == ["a"]
    assert composed_column(pa.array([], pa.string())).to_pylist() == []
