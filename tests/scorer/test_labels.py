"""Labels and list items in another spelling: read, noticed or refused; and no message tells a row's label."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scorer
import scorer.submission.reader
from scorer.challenges import prepared
from scorer.challenges.label_checks import label_notices, label_problems
from scorer.challenges.spellings import with_spellings
from scorer.reading.columnar import NotColumnar
from scorer.reading.spelling import canonical_number, items_of
from tests.scorer.conftest import csv_text

Make = Callable[..., scorer.Challenge]

SPLITS = ("Public", "Private")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write and load a challenge with one column, with public and private rows in turn, two at a time."""

    def make(
        truth: Sequence[str],
        *,
        metric: str = "accuracy",
        files: Mapping[str, str] | None = None,
        usage: Sequence[str] | None = None,
    ) -> scorer.Challenge:
        ids = [str(number) for number in range(1, len(truth) + 1)]
        usage = usage or [SPLITS[i % 4 // 2] for i in range(len(truth))]
        folder = tmp_path / f"challenge-{random.randrange(10**12)}"
        texts = {
            "challenge.yaml": f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [y]}}\n",
            "private/solution.csv": table(("id", "y", "Usage"), ids, truth, usage),
            **(files or {}),
        }
        for name, text in texts.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        return scorer.load(folder)

    return make


def table(header: Sequence[str], *columns: Sequence[str]) -> str:
    """Return CSV text with every cell quoted that needs it."""
    quoted = [
        ['"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell for cell in column]
        for column in columns
    ]
    return csv_text(header, *quoted)


def sent(cells: Sequence[str]) -> bytes:
    return table(("id", "y"), [str(number) for number in range(1, len(cells) + 1)], cells).encode()


def outcome(challenge: scorer.Challenge, cells: Sequence[str]) -> tuple[float | None, list[tuple[str, str]]]:
    """Return the public score, None if refused, and every code and message."""
    try:
        report = scorer.score(challenge, sent(cells))
    except scorer.InvalidSubmission as error:
        return None, [(problem.code, problem.message) for problem in error.problems]
    return report.public, [(notice.code, notice.message) for notice in report.notices]


def score_of(challenge: scorer.Challenge, cells: Sequence[str]) -> tuple[float | None, list[str]]:
    score, messages = outcome(challenge, cells)
    return score, [code for code, _ in messages]


def refusal(challenge: scorer.Challenge, cells: Sequence[str], code: str) -> scorer.Problem:
    with pytest.raises(scorer.InvalidSubmission) as error:
        scorer.score(challenge, sent(cells))
    assert [problem.code for problem in error.value.problems] == [code]
    return error.value.problems[0]


# --- labels: the same value in another spelling -------------------------------------------------------

ZERO_ONE = ["0", "1", "0", "1"]

SAME_VALUE = {
    "Python's booleans": ["False", "True", "False", "True"],
    "R's booleans": ["FALSE", "TRUE", "FALSE", "TRUE"],
    "lower case": ["false", "true", "false", "true"],
    "numpy.savetxt": ["0.000000e+00", "1.000000e+00", "0.000000e+00", "1.000000e+00"],
    "an exponent": ["0e0", "1E+0", "0.0e-5", "10e-1"],
    "signs": ["-0", "+1", "+0", "+1.0"],
    "leading zeros": ["00", "01", "000", "0001"],
    "a bare point": ["0.", "1.", ".0", "1.000"],
}


@pytest.mark.parametrize("cells", SAME_VALUE.values(), ids=SAME_VALUE)
def test_a_label_that_is_the_same_value_is_read_as_the_label(make: Make, cells: list[str]) -> None:
    score, codes = score_of(make(ZERO_ONE), cells)
    assert (score, codes) in ((1.0, ["NOTICE_LABEL_SPELLING"]), (1.0, []))


@pytest.mark.parametrize(
    "metric",
    ["accuracy", "f1", "mcc", "balanced_accuracy", "cohen_kappa", "{name: fbeta, beta: 2}", "precision"],
)
def test_every_metric_of_labels_reads_the_same_value(make: Make, metric: str) -> None:
    challenge = make([*ZERO_ONE, *ZERO_ONE], metric=metric)
    assert score_of(challenge, ["FALSE", "1.0e+00"] * 4) == (1.0, ["NOTICE_LABEL_SPELLING"])


@pytest.mark.parametrize("cells", [["0", "1"] * 2, ["0.0", "1.0e0"] * 2, ["00", "+1"] * 2])
def test_zero_and_one_are_false_and_true_where_the_truth_says_so(make: Make, cells: list[str]) -> None:
    assert score_of(make(["False", "True"] * 2), cells) == (1.0, ["NOTICE_LABEL_SPELLING"])


@pytest.mark.parametrize(
    ("truth", "cells"),
    [
        (["3", "12", "3", "12"], ["3.0e+00", "1.2e1", "03", "+12"]),
        (["0.5", "2", "0.5", "2"], [".5", "2.0e0", "0.50", "02"]),
        (["-1", "1", "-1", "1"], ["-1.0e+00", "+1", "-01", "1"]),
        (["1", "2", "other", "1", "2", "other"], ["+1", "2e0", "other", "01", "2", "other"]),
    ],
)
def test_numbers_are_compared_as_numbers(make: Make, truth: list[str], cells: list[str]) -> None:
    assert score_of(make(truth), cells) == (1.0, ["NOTICE_LABEL_SPELLING"])


CODES = ["01234", "00017", "01234", "00017", "01234", "00017"]


def test_labels_that_are_codes_are_texts(make: Make) -> None:
    challenge = make(CODES)
    assert score_of(challenge, CODES) == (1.0, [])
    problem = refusal(challenge, [str(int(code)) for code in CODES], "UNKNOWN_LABELS")
    assert "write 01234: the leading zeros" in problem.message
    assert (problem.line, problem.value, problem.count) == (2, "1234", 6)


ZIPS = [f"{prefix}{number}" for number in range(210, 230) for prefix in ("0", "9")]
"""Codes that come once, of which half begin with a zero."""


@pytest.mark.parametrize(
    ("truth", "code"),
    [
        (["0123", "007", "045", "0999", "0012", "08"], "UNKNOWN_LABELS"),
        (["0123", "0771", "0451", "0999", "0012", "0810"], "UNKNOWN_LABELS"),
        (["0123", "0771"] * 30, "UNKNOWN_LABELS"),
        (ZIPS, "NOTICE_UNKNOWN_LABELS"),
        (ZIPS * 10, "NOTICE_UNKNOWN_LABELS"),
    ],
    ids=["codes of any length", "codes of one length", "classes", "zip codes", "classes of zip codes"],
)
def test_codes_without_their_leading_zeros_are_not_silently_wrong(
    make: Make, truth: list[str], code: str
) -> None:
    """Where codes come once and differ in length, any number fitted, and nothing was said."""
    challenge = make(truth)
    assert score_of(challenge, truth) == (1.0, [])
    assert score_of(challenge, [str(int(label)) for label in truth])[1] == [code]
    train = {"public/train.csv": csv_text(("id", "y"), list(map(str, range(len(truth)))), truth)}
    assert score_of(make(truth, files=train), [str(int(label)) for label in truth])[1] == [code]


def test_items_of_any_length_without_their_leading_zeros_are_refused(make: Make) -> None:
    truth = ["0123 007", "045", "0999 0012", "08"]
    challenge = make(truth, metric="{name: map_at_k, k: 12}")
    assert score_of(challenge, truth) == (1.0, [])
    problem = refusal(challenge, ["123 7", "45", "999 12", "8"], "BAD_FORM")
    assert '"123" has lost its leading zeros, with which all items here begin' in problem.message


def test_versions_are_no_numbers(make: Make) -> None:
    truth = ["1.1", "1.10", "1.1", "1.10"]
    assert score_of(make(truth), truth) == (1.0, [])
    assert score_of(make(truth), ["1.1"] * 4) == (0.5, ["NOTICE_CONSTANT"])


@given(st.integers(-(10**25), 10**25), st.integers(0, 8), st.sampled_from(["", "+", "0", "00"]))
@settings(max_examples=200, deadline=None)
def test_a_number_has_one_canonical_spelling_at_any_length(value: int, zeros: int, before: str) -> None:
    text = str(abs(value))
    sign = "-" if value < 0 else "" if before != "+" else "+"
    padding = before.strip("+")
    for spelt in (f"{padding}{text}.{'0' * zeros}", f"{padding}{text}{'0' * zeros}e-{zeros}"):
        assert canonical_number(sign + spelt) == str(value)


# --- labels: unknown ---------------------------------------------------------------------------------

NONE_KNOWN = {
    "brackets": ("[0]", "write 0, without brackets"),
    "bytes": ("b'0'", "write 0, without brackets, quotes"),
    "quotes": ("'0'", "write 0, without brackets, quotes"),
    "an array": ("array([0])", "write 0"),
    "a tensor": ("tensor(1)", "write 1"),
    "numpy": ("np.int64(1)", "write 1"),
    "a tuple": ("(1", "write 1"),
    "a probability": ("0.73", "takes labels, not probabilities"),
    "a word": ("benign", "numbers"),
}


@pytest.mark.parametrize(("cell", "words"), NONE_KNOWN.values(), ids=NONE_KNOWN)
def test_a_file_without_a_known_label_is_refused_with_the_cause(make: Make, cell: str, words: str) -> None:
    problem = refusal(make(ZERO_ONE), [cell] * 4, "UNKNOWN_LABELS")
    assert words in problem.message
    assert "The labels are 0, 1." in problem.message
    assert (problem.line, problem.id, problem.column, problem.value, problem.count) == (2, "1", "y", cell, 4)


def test_probabilities_are_refused_although_some_are_0_or_1(make: Make) -> None:
    problem = refusal(make(ZERO_ONE), ["0.0", "1.0", "0.2", "1.0"], "UNKNOWN_LABELS")
    assert problem.line == 4
    assert "takes labels, not probabilities" in problem.message


@pytest.mark.parametrize("cells", [["Cat", "Dog"] * 4, ["CAT", "DOG"] * 4, ["cat_", "Dog"] * 4])
def test_another_case_is_refused_with_the_known_spelling(make: Make, cells: list[str]) -> None:
    problem = refusal(make(["cat", "dog"] * 4), cells, "UNKNOWN_LABELS")
    assert "cat" in problem.message.partition(cells[0])[2]


def test_some_unknown_labels_are_a_notice_with_count_line_and_value(make: Make) -> None:
    challenge = make(["cat", "dog"] * 4)
    score, messages = outcome(challenge, ["cat", "dog", "Dog", "dog", "cat", "bird", "cat", "dog"])
    assert score == 0.75
    ((code, message),) = messages
    assert code == "NOTICE_UNKNOWN_LABELS"
    assert message == (
        'Column y: 2 of 8 labels are not known, the first is "Dog" in line 4 - write dog: '
        "small and capital letters are different. The labels are cat, dog."
    )


def test_a_class_of_the_training_data_alone_is_known(make: Make) -> None:
    """Else a notice would tell that the class does not occur among the hidden rows."""
    truth, cells = ["cat", "dog"] * 4, ["bird", *["cat", "dog"] * 3, "cat"]
    train = {"public/train.csv": "id,y\n90,cat\n91,bird\n"}
    assert score_of(make(truth), cells)[1] == ["NOTICE_UNKNOWN_LABELS"]
    assert score_of(make(truth, files=train), cells)[1] == []


def test_a_placeholder_of_the_sample_is_accepted(make: Make) -> None:
    sample = {"public/sample_submission.csv": sent(["x"] * 8).decode()}
    challenge = make(["cat", "dog"] * 4, files=sample)
    assert score_of(challenge, ["x"] * 8) == (0.0, ["NOTICE_CONSTANT"])
    assert score_of(challenge, ["Cat"] * 8) == (None, ["UNKNOWN_LABELS"])


def test_a_respelt_label_of_the_sample_is_no_placeholder(make: Make) -> None:
    sample = {"public/sample_submission.csv": sent(["Cat", "Dog"] * 4).decode()}
    assert score_of(make(["cat", "dog"] * 4, files=sample), ["Cat"] * 8) == (None, ["UNKNOWN_LABELS"])


def test_clusters_may_have_any_names(make: Make) -> None:
    challenge = make(["0", "1"] * 4, metric="adjusted_rand")
    assert score_of(challenge, ["Left", "Right"] * 4) == (1.0, [])
    assert score_of(challenge, ["00", "True"] * 4) == (1.0, [])


# --- lists --------------------------------------------------------------------------------------------

ITEMS = ["a b", "c", "d", "e f"]

OTHER_LISTS = {
    "Python": ["['a', 'b']", "['c']", "['d']", "['e', 'f']"],
    "numpy": ["['a' 'b']", "['c']", "['d']", "['e' 'f']"],
    "JSON": ['["a", "b"]', '["c"]', '["d"]', '["e", "f"]'],
    "a tuple": ["('a', 'b')", "('c',)", "('d',)", "('e', 'f')"],
    "a set": ["{'a', 'b'}", "{'c'}", "{'d'}", "{'e', 'f'}"],
    "an array": ["array(['a', 'b'], dtype=object)", "array(['c'])", "array(['d'])", "array(['e', 'f'])"],
    "an array of texts": ["array(['a', 'b'], dtype='<U1')", *["array(['c'], dtype='<U1')"] * 3],
    "R": ['c("a", "b")', 'c("c")', 'c("d")', 'c("e", "f")'],
    "brackets alone": ["[a b]", "[c]", "[d]", "[e f]"],
    "bytes": ["[b'a', b'b']", "[b'c']", "[b'd']", "[b'e', b'f']"],
    "commas": ["a,b", "c", "d", "e,f"],
    "commas and spaces": ["a, b", "c", "d", "e, f"],
    "semicolons": ["a;b", "c;x", "d;x", "e;f"],
    "bars": ["a|b", "c", "d", "e|f"],
}


@pytest.mark.parametrize("form", OTHER_LISTS)
def test_a_list_in_another_form_is_refused_with_the_right_one(make: Make, form: str) -> None:
    problem = refusal(make(ITEMS, metric="{name: map_at_k, k: 3}"), OTHER_LISTS[form], "BAD_FORM")
    assert "separated by spaces: a b." in problem.message
    assert (problem.line, problem.id, problem.column) == (2, "1", "y")


PRINTED_TITLES = {
    "Python": "['alpha one', 'beta two']",
    "JSON": '["alpha one", "beta two"]',
    "numpy": "['alpha one' 'beta two']",
    "an array": "array(['alpha one', 'beta two'], dtype=object)",
    "R": 'c("alpha one", "beta two")',
    "brackets": "[alpha one, beta two]",
}


@pytest.mark.parametrize("printed", PRINTED_TITLES.values(), ids=PRINTED_TITLES)
def test_printed_items_keep_their_blanks_where_another_sign_separates(make: Make, printed: str) -> None:
    """The remedy was alpha;one;beta;two, and the halves in train.csv were known labels."""
    assert items_of(printed, ";") == "alpha one;beta two"
    metric = '{name: map_at_k, k: 3, split: ";"}'
    truth = ["alpha one;beta two", "beta two;gamma", "gamma;alpha one"] * 4
    problem = refusal(make(truth, metric=metric), [printed] * 12, "BAD_FORM")
    assert 'separated by ";": alpha one;beta two.' in problem.message
    files = {"public/train.csv": table(("k", "y"), ["a", "b"], [printed, "gamma"])}
    known = make(truth, metric=metric, files=files).solution.spellings["y"].known
    assert known == {"alpha one", "beta two", "gamma"}


def test_quotes_within_printed_items_are_letters() -> None:
    assert items_of("""["don't stop", 'b "c" d']""", ";") == """don't stop;b "c" d"""
    assert items_of("[don't stop, can't wait]", ";") == "don't stop;can't wait"
    assert items_of(r"""['it\'s "so"', 'b']""", ";") == """it's "so";b"""
    assert items_of("[10 20]", ";") == "10;20"


@pytest.mark.parametrize("metric", ["ndcg_at_k", "mrr", "{name: recall_at_k, k: 2}", "kendall_tau"])
def test_every_metric_of_lists_refuses_another_form(make: Make, metric: str) -> None:
    refusal(make(ITEMS, metric=metric), OTHER_LISTS["JSON"], "BAD_FORM")


@pytest.mark.parametrize("cell", ["e,f", "e;f", "[e f]", "'e', 'f'"])
def test_one_list_in_another_form_is_a_notice(make: Make, cell: str) -> None:
    score, messages = outcome(make(ITEMS, metric="{name: map_at_k, k: 3}"), ["a b", "c", "d", cell])
    assert (score, [code for code, _ in messages]) == (1.0, ["NOTICE_UNKNOWN_LABELS"])
    assert f'1 of 4 lists may have another form, the first in line 5: "{cell}"' in messages[0][1]


FILMS = ["Alien|Heat", "Jaws|Psycho", "Brazil", "Fargo"]

ODD_TITLES = [
    "Alien|Good, Bad and Ugly",
    "Good, Bad and Ugly",
    "Alien|(500) Days of Summer",
    "Alien|[REC]",
    "[REC]",
    "Alien|Area: 51",
    "Alien|gene:7",
    "gene:7",
    "Alien|'Round Midnight",
    "Alien|Dr; No",
    "Star Wars",
    "Alien|Pulp Fiction",
]


@pytest.mark.parametrize("cell", ODD_TITLES)
@pytest.mark.parametrize(
    "others", [FILMS[1:], ["x|y", "Pulp Fiction|Star Wars", "Up|M"], ["x", "y|z", "nan"]]
)
def test_one_title_with_a_sign_of_another_form_leaves_the_file_accepted(
    make: Make, cell: str, others: list[str]
) -> None:
    challenge = make(FILMS, metric='{name: map_at_k, k: 3, split: "|"}')
    score, codes = score_of(challenge, [cell, *others])
    assert score is not None
    assert set(codes) <= {"NOTICE_UNKNOWN_LABELS"}


@pytest.mark.parametrize(
    ("truth", "cells"),
    [
        (ITEMS, ["a gene:7", "c", "d", "e f"]),
        (ITEMS, ["a x,y", "c", "d", "e f"]),
        (["0123 4567", "0004", "7777", "1234"], ["0123 9", "0004", "7777", "1234"]),
    ],
)
def test_one_item_in_no_item_s_form_is_a_wrong_guess(make: Make, truth: list[str], cells: list[str]) -> None:
    assert score_of(make(truth, metric="{name: map_at_k, k: 3}"), cells)[0] is not None


@pytest.mark.parametrize("mark", [",", ";", " ", "\t", ", ", "; "])
def test_titles_with_another_separator_in_nearly_every_list_are_refused(make: Make, mark: str) -> None:
    challenge = make(FILMS * 5, metric='{name: map_at_k, k: 3, split: "|"}')
    cells = ["x|y", *[f"x{mark}y{mark}z"] * 19]
    problem = refusal(challenge, cells, "BAD_FORM")
    assert 'separated by "|": x|y|z.' in problem.message
    assert (problem.line, problem.count) == (3, 19)


def test_a_few_cells_that_are_no_printed_list_do_not_hide_the_others(make: Make) -> None:
    challenge = make(ITEMS * 5, metric="{name: map_at_k, k: 3}")
    cells = ["nan", "None", "a", *["['a', 'b']"] * 17]
    assert refusal(challenge, cells, "BAD_FORM").count == 17


@pytest.mark.parametrize("mark", ["\n", "\u00a0"])
def test_a_separator_that_does_not_show_is_named(make: Make, mark: str) -> None:
    problem = refusal(make(ITEMS, metric="{name: map_at_k, k: 3}"), [f"a{mark}b"] * 4, "BAD_FORM")
    assert {"\n": "a line break", "\u00a0": "a no-break space (U+00A0)"}[mark] in problem.message


def test_a_no_break_space_in_a_label_is_named_in_one_sentence(make: Make) -> None:
    problem = refusal(make(ZERO_ONE), ["0\u00a0", "1\u00a0"] * 2, "UNKNOWN_LABELS")
    assert "write 0, without the no-break space (U+00A0). The labels are" in problem.message


def test_items_may_hold_what_items_of_the_truth_hold(make: Make) -> None:
    truth = ["a,b don't", "[c]", "foo(bar)", "x:1;2"]
    challenge = make(truth, metric="{name: map_at_k, k: 3}")
    assert score_of(challenge, truth) == (1.0, [])
    assert score_of(challenge, ["x,y", "[z]", "q(r)", "x:9"]) == (0.0, [])


def test_lists_separated_by_commas_are_refused_with_spaces(make: Make) -> None:
    challenge = make(["a,b", "b", "a", "b,a"], metric='{name: f1, average: samples, split: ","}')
    assert score_of(challenge, ["a, b", "b", "a", "b,a"]) == (1.0, [])
    assert score_of(challenge, ["a b", "b", "a", "b a"]) == (None, ["BAD_FORM"])


def test_a_graded_prediction_is_refused(make: Make) -> None:
    challenge = make(["a:3 b:1", "c", "d:2", "e:1 f:0.5"], metric="{name: ndcg_at_k, graded: true}")
    assert score_of(challenge, ["a b", "c", "d", "e f"]) == (1.0, [])
    for cells in (["a:3 b:1", "c:2", "d:2", "e:1"], ["a:0.9 b:.1", "c:1", "d:1e-3", "e:1 f:1"]):
        problem = refusal(challenge, cells, "BAD_FORM")
        assert "grade or score; write the items alone, best first: a b." in problem.message
    items = make(["chr1:100:3 chr2:7:1", *["chr1:5:1"] * 3], metric="{name: ndcg_at_k, graded: true}")
    assert score_of(items, ["chr1:100 chr2:7", *["chr1:5"] * 3]) == (1.0, [])
    assert score_of(items, ["chr1:100:3", *["chr1:5:1"] * 3]) == (None, ["BAD_FORM"])


def test_items_that_lost_their_leading_zeros_are_refused(make: Make) -> None:
    truth = ["0108775015 0706016001", "0568601006", "0108775044", "0751471001"]
    challenge = make(truth, metric="{name: map_at_k, k: 12}")
    assert score_of(challenge, truth) == (1.0, [])
    lost = [" ".join(str(int(item)) for item in cell.split()) for cell in truth]
    problem = refusal(challenge, lost, "BAD_FORM")
    assert "write 0108775015" in problem.message
    assert problem.count == 4


def test_items_that_are_numbers_are_read_as_numbers(make: Make) -> None:
    challenge = make(["11 12", "13", "14", "15 16"], metric="{name: map_at_k, k: 3}")
    cells = ["1.1e+01 +12", "013", "14.0", "15 16"]
    assert score_of(challenge, cells) == (1.0, ["NOTICE_LABEL_SPELLING"])


def test_items_of_another_case_are_refused(make: Make) -> None:
    challenge = make(ITEMS, metric="{name: map_at_k, k: 3}")
    assert score_of(challenge, [cell.upper() for cell in ITEMS]) == (None, ["UNKNOWN_LABELS"])


def test_tags_are_compared_with_the_tags_that_there_are(make: Make) -> None:
    truth = ["haze primary", "primary", "haze", "primary haze"]
    challenge = make(truth, metric="{name: f1, average: samples}")
    cells = ["haze primary", "Primary", "haze", "primary haze"]
    score, messages = outcome(challenge, cells)
    assert [code for code, _ in messages] == ["NOTICE_UNKNOWN_LABELS"]
    assert '1 of 6 items is not known, the first is "Primary" in line 3 - write primary' in messages[0][1]
    assert score == 0.5


# --- what is revealed -------------------------------------------------------------------------------

CATALOGUE = [f"p{number}" for number in range(400)]


def test_the_items_of_a_hidden_catalogue_are_not_compared(make: Make) -> None:
    """A notice about unknown items would tell which items a hidden row has."""
    truth = [f"p{2 * row} p{2 * row + 1}" for row in range(100)]
    challenge = make(truth, metric="{name: map_at_k, k: 3}")
    hidden, others = outcome(challenge, truth), outcome(challenge, [f"p{row + 300}" for row in range(100)])
    assert hidden == (1.0, [])
    assert others == (0.0, [])


def test_items_that_the_public_files_list_are_compared_with_these(make: Make) -> None:
    truth = [f"p{2 * row} p{2 * row + 1}" for row in range(100)]
    files = {"public/train.csv": table(("id", "y"), CATALOGUE, CATALOGUE)}
    challenge = make(truth, metric="{name: map_at_k, k: 3}", files=files)
    assert outcome(challenge, [f"p{row + 300}" for row in range(100)]) == (0.0, [])
    problem = refusal(challenge, [f"q{row}" for row in range(100)], "UNKNOWN_LABELS")
    assert "The items in the public files are p0, p1" in problem.message


def test_an_item_of_the_truth_that_no_public_file_lists_is_unknown_like_any_other(make: Make) -> None:
    truth = [f"p{2 * row} p{2 * row + 1}" for row in range(100)]
    files = {"public/train.csv": table(("id", "y"), CATALOGUE[1:], CATALOGUE[1:])}
    challenge = make(truth, metric="{name: map_at_k, k: 3}", files=files)
    right, wrong = (outcome(challenge, [item, *["p5"] * 99])[1] for item in ("p0", "p_"))
    assert [message.replace("p0", "p_") for _, message in right] == [message for _, message in wrong]


@pytest.mark.parametrize("respell", [str.upper, lambda label: label.replace(" ", "_")])
def test_other_spellings_of_public_labels_are_noticed_where_there_are_more_labels(
    make: Make, respell: Callable[[str], str]
) -> None:
    """With 20 of 25 classes in train.csv, SPECIES AX in each row scored 0 without a word."""
    classes = [f"Species {chr(65 + number)}x" for number in range(25)]
    truth, train = [*classes, *classes[:5]], table(("k", "y"), classes[:20], classes[:20])
    challenge = make(truth, files={"public/train.csv": train})
    assert outcome(challenge, truth) == (1.0, [])
    assert outcome(challenge, ["Species Zz", "Species Zy"] * 15) == (0.0, [])
    score, ((code, message),) = outcome(challenge, list(map(respell, truth)))
    assert (score, code) == (0.0, "NOTICE_UNKNOWN_LABELS")
    assert "25 of 30 labels are not known" in message
    assert "Species Ax" in message
    assert "Ux" not in message
    problem = refusal(challenge, list(map(respell, [*classes[:20], *classes[:10]])), "UNKNOWN_LABELS")
    assert "none" in problem.message


def test_no_message_tells_that_a_hidden_label_respells_a_public_one(make: Make) -> None:
    classes = [f"Species {chr(65 + number)}x" for number in range(25)]
    truth, train = [*classes[:-1], "SPECIES AX"], table(("k", "y"), classes[:20], classes[:20])
    challenge = make(truth, files={"public/train.csv": train})
    assert outcome(challenge, truth) == (1.0, [])
    assert outcome(challenge, ["SPECIES AX"] * 25)[1] == outcome(challenge, ["SPECIES BX"] * 25)[1]


@pytest.mark.parametrize(
    ("respell", "words"),
    [
        (str.upper, "write cat: small and capital letters are different"),
        (lambda text: text.replace("cat", "7").replace("dog", "8"), "the labels here are words, not numbers"),
        (lambda text: text.replace("cat", "'cat'").replace("dog", "'dog'"), "without brackets, quotes"),
    ],
)
def test_labels_of_boxes_are_compared_like_other_labels(
    make: Make, respell: Callable[[str], str], words: str
) -> None:
    """Detections named CAT scored 0 without a word where the truth says cat."""
    truth = ["cat 1 2 3 4", "dog 1 2 3 4 cat 5 6 7 8", "", "dog 1 2 3 4"] * 2
    right = ["cat 0.9 1 2 3 4", "dog 0.9 1 2 3 4 cat 0.8 5 6 7 8", "", "dog 0.9 1 2 3 4"] * 2
    challenge = make(truth, metric="detection_map")
    assert outcome(challenge, right) == (1.0, [])
    problem = refusal(challenge, list(map(respell, right)), "UNKNOWN_LABELS")
    assert problem.message.startswith("Column y, line 2 (id 1): none of the file's 8 labels ")
    assert words in problem.message
    score, ((code, message),) = outcome(challenge, [respell(right[0]), *right[1:]])
    assert (score is not None and score < 1.0, code) == (True, "NOTICE_UNKNOWN_LABELS")
    assert "1 of 8 labels is not known" in message


def test_labels_of_boxes_that_are_numbers_are_read_as_numbers(make: Make) -> None:
    challenge = make(["1 1 2 3 4", "2 1 2 3 4"] * 4, metric="detection_map")
    cells = ["1.0 0.9 1 2 3 4", "02 0.9 1 2 3 4"] * 4
    assert score_of(challenge, cells) == (1.0, ["NOTICE_LABEL_SPELLING"])
    assert score_of(challenge, ["cat 1 1 2 3", *cells[1:]]) == (None, ["BAD_FORM"])


def test_labels_of_boxes_in_the_training_data_are_known(make: Make) -> None:
    names = [f"Species-{chr(65 + number)}x" for number in range(10)]
    truth, train = [f"{name} 1 2 3 4" for name in names], [f"{name} 5 6 7 8" for name in [*names, "other"]]
    files = {"public/train.csv": table(("k", "y"), list(map(str, range(11))), train)}
    challenge = make(truth, metric="detection_map", files=files)
    right = [f"{name} 0.9 1 2 3 4" for name in [*names[:-1], "other"]]
    assert score_of(challenge, right)[1] == []
    refusal(challenge, list(map(str.upper, right)), "UNKNOWN_LABELS")
    no_train = make(truth, metric="detection_map")
    assert score_of(no_train, list(map(str.upper, right)))[1] == []


def test_answers_that_come_once_are_not_compared(make: Make) -> None:
    truth = [f"answer {number}" for number in range(60)]
    challenge = make(truth)
    assert outcome(challenge, truth) == (1.0, [])
    assert outcome(challenge, [f"reply {number}" for number in range(60)]) == (0.0, [])


LABELS = ["0", "1", "cat", "Dog", "01", "2.5"]


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_no_message_depends_on_which_row_has_which_label(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The same true labels on other rows, and the same splits on other rows, give the same messages."""
    draw = data.draw
    names = draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True))
    truth = draw(st.lists(st.sampled_from(names), min_size=12, max_size=12))
    is_list = draw(st.booleans())
    known = [*LABELS, "True", "[0]", "1.0", "CAT", "b'1'", "0,1", "cat:2", "7"]
    cells = draw(st.lists(st.sampled_from(known), min_size=12, max_size=12))
    usage = ["Public", "Private"] * 6
    metric = "{name: map_at_k, k: 3}" if is_list else "accuracy"
    seen = []
    for number in range(3):
        folder = tmp_path_factory.mktemp("permuted")
        order = list(range(12))
        random.Random(number).shuffle(order)
        (folder / "private").mkdir()
        rows = [str(row) for row in range(1, 13)]
        (folder / "private" / "solution.csv").write_text(
            table(("id", "y", "Usage"), rows, [truth[i] for i in order], [usage[i] for i in order[::-1]])
        )
        (folder / "challenge.yaml").write_text(
            f"title: T\nmetric: {metric}\nsubmission: {{id: id, columns: [y]}}\n"
        )
        seen.append(outcome(scorer.load(folder), cells)[1])
    assert seen[0] == seen[1] == seen[2]


def test_only_the_set_of_scored_labels_decides(make: Make) -> None:
    """A label of an ignored row is not known, whichever reader read the solution."""
    truth, usage = ["cat", "dog", "cat", "dog", "owl"], ["Public", "Public", "Private", "Private", "Ignored"]
    cells = ["cat", "dog", "cat", "owl", "owl"]
    plain = make(truth, usage=usage)
    spaced = make([*truth[:4], " owl"], usage=[*usage[:4], " Ignored"])  # the exact reader takes these
    assert outcome(plain, cells) == outcome(spaced, cells)
    assert outcome(plain, cells)[1][0][0] == "NOTICE_UNKNOWN_LABELS"


# --- readers, prepared solutions ------------------------------------------------------------------------

SENT = {
    "as they are": ["cat", "dog"] * 4,
    "the same value": ["1.0e0", "01"] * 4,
    "some unknown": ["cat", "dog", "Dog", "dog", "cat", "bird", "cat", "dog"],
    "none known": ["[0]"] * 8,
}


@pytest.mark.parametrize("cells", SENT.values(), ids=SENT)
@pytest.mark.parametrize("truth", [["cat", "dog"] * 4, ["1", "2"] * 4])
def test_both_readers_say_the_same_about_labels(
    make: Make, monkeypatch: pytest.MonkeyPatch, truth: list[str], cells: list[str]
) -> None:
    challenge = make(truth)
    fast = outcome(challenge, cells)

    def refuse(*_: Any, **__: Any) -> Any:
        raise NotColumnar("for the test")

    monkeypatch.setattr(scorer.submission.reader, "read_columnar", refuse)
    assert outcome(challenge, cells) == fast


def test_respelt_labels_are_read_by_the_fast_reader(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the exact reader was called")

    monkeypatch.setattr(scorer.submission.reader, "align", refuse)
    assert score_of(make(ZERO_ONE), SAME_VALUE["R's booleans"]) == (1.0, ["NOTICE_LABEL_SPELLING"])


def test_a_prepared_solution_keeps_what_is_known_of_its_labels(make: Make, tmp_path: Path) -> None:
    files = {"public/train.csv": "id,y\n90,cat\n91,bird\n", "public/sample_submission.csv": "id,y\n1,x\n"}
    challenge = make(["cat", "dog"] * 4, files=files)
    prepared.save(challenge.solution, tmp_path / "prepared")
    opened = prepared.open_(tmp_path / "prepared", challenge.solution.tasks)
    assert opened is not None
    assert opened.spellings == challenge.solution.spellings
    assert opened.spellings["y"].placeholders == {"x"}
    assert with_spellings(opened).spellings != opened.spellings


# --- organisers ------------------------------------------------------------------------------------


def checked(challenge: scorer.Challenge) -> tuple[dict[str, str], dict[str, str]]:
    """Return the messages of a whole check by code; see `labels_checked` for a quicker one."""
    result = scorer.check(challenge)
    return (
        {problem.code: problem.message for problem in result.problems},
        {notice.code: notice.message for notice in result.notices},
    )


def labels_checked(challenge: scorer.Challenge) -> tuple[dict[str, str], dict[str, str]]:
    return (
        {problem.code: problem.message for problem in label_problems(challenge)},
        {notice.code: notice.message for notice in label_notices(challenge)},
    )


def sample_of(cells: Sequence[str]) -> dict[str, str]:
    return {"public/sample_submission.csv": sent(cells).decode()}


@pytest.mark.parametrize(
    "form", ["Python", "numpy", "JSON", "a tuple", "a set", "an array", "brackets alone", "bytes"]
)
def test_a_truth_of_printed_lists_is_a_problem(make: Make, form: str) -> None:
    challenge = make(OTHER_LISTS[form], metric="{name: map_at_k, k: 3}", files=sample_of(["x"] * 4))
    problems, _ = labels_checked(challenge)
    assert f'line 2: "{OTHER_LISTS[form][0][:10]}' in problems["BAD_FORM"]
    assert "write a b. 4 lines have this problem." in problems["BAD_FORM"]


@pytest.mark.parametrize(
    "truth",
    [
        ["['a', 'b']", "nan", "['d']"],
        ["['a', 'b']", "c", "['d']"],
        ['c("a", "b")', "c", "d", 'c("e", "f")'],
        ["array(['a', 'b'], dtype='<U1')", "array(['c'], dtype='<U1')", "None"],
    ],
)
def test_a_truth_of_mostly_printed_lists_is_a_problem(make: Make, truth: list[str]) -> None:
    problems, _ = labels_checked(make([*truth, *truth], metric="{name: map_at_k, k: 3}"))
    assert "write a b." in problems["BAD_FORM"]


@pytest.mark.parametrize("mark", ["\n", "\u00a0"])
def test_a_truth_with_a_separator_that_does_not_show_is_noticed(make: Make, mark: str) -> None:
    _, notices = labels_checked(make([f"a{mark}b", "c"] * 4, metric="{name: map_at_k, k: 3}"))
    assert "line 2" in notices["NOTICE_ODD_LABELS"]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("x:3;y:2", '"x:3;y:2" has more than one grade'),
        ("x:3,y:2", '"x:3,y:2" has more than one grade'),
        ("x:3|y:2", '"x:3|y:2" has more than one grade'),
        ("x:3\u00a0y:2", "has more than one grade"),
        ("x=3 y=2", 'no item has a grade, the first is "x=3"'),
        ("x=3 u:3", '"x=3" has no grade that can be read; write item:grade, as in x:3.'),
        ("x y", 'no item has a grade, the first is "x"'),
    ],
)
def test_graded_lists_without_grades_that_can_be_read_are_a_problem(
    make: Make, cell: str, words: str
) -> None:
    problems, _ = labels_checked(make([cell] * 4, metric="{name: ndcg_at_k, graded: true}"))
    assert problems["BAD_FORM"].startswith("Column y, line 2: ")
    assert words in problems["BAD_FORM"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("{name: ndcg_at_k, k: 3}", "write graded: true beside the name of the metric"),
        ("{name: map_at_k, k: 3}", 'write the items alone, as in "x": this metric has no grades'),
        ("mrr", "this metric has no grades"),
    ],
)
def test_grades_that_are_not_declared_are_a_problem(make: Make, metric: str, words: str) -> None:
    """A file with the ideal order scored 0, because x is not x:3."""
    truth = ["x:3 y:1 z:0", "x:0.5 a:0", "b:1e-05 c:.9", "d:1000 e:1"]
    sample = sample_of(["x y"] * 4)
    problems, _ = labels_checked(make(truth, metric=metric, files=sample))
    assert 'line 2: every item ends in :number, the first is "x:3"' in problems["BAD_FORM"]
    assert words in problems["BAD_FORM"]
    problems, _ = labels_checked(make([*truth[:3], "d e"], metric=metric, files=sample))
    assert "7 of 9 items end in :number" in problems["BAD_FORM"]
    positions = ["chr1:100 chr2:5", "chr2:7"] * 2
    assert labels_checked(make(positions, metric=metric, files=sample_of(["chr1:1"] * 4)))[0] == {}


def test_graded_lists_with_colons_in_items_are_no_problem(make: Make) -> None:
    truth = ["chr1:100:3 chr2:7:1", "x", "a/b:2", "y:0.5", "a=1:2 b=3"] * 2
    assert labels_checked(make(truth, metric="{name: ndcg_at_k, graded: true}"))[0] == {}


@pytest.mark.parametrize("form", ["commas", "semicolons", "bars", "commas and spaces"])
def test_a_truth_with_other_separators_is_noticed_with_line_and_item(make: Make, form: str) -> None:
    challenge = make(OTHER_LISTS[form], metric="{name: map_at_k, k: 3}", files=sample_of(["x"] * 4))
    _, notices = labels_checked(challenge)
    assert f'line 2: the item "{OTHER_LISTS[form][0].split()[0]}"' in notices["NOTICE_ODD_LABELS"]


@pytest.mark.parametrize(
    "cells", [["[0]", "[1]"], ["b'0'", "b'1'"], ["'0'", "'1'"], ["tensor(0)", "tensor(1)"]]
)
def test_a_truth_of_printed_labels_is_a_problem(make: Make, cells: list[str]) -> None:
    problems, _ = labels_checked(make(cells * 2, files=sample_of(["0"] * 4)))
    assert f'line 2: "{cells[0]}" is a label as a program prints it; write 0.' in problems["BAD_FORM"]


def test_a_check_reports_a_truth_of_printed_lists(make: Make) -> None:
    challenge = make(OTHER_LISTS["Python"], metric="{name: map_at_k, k: 3}", files=sample_of(["x"] * 4))
    assert "write a b." in checked(challenge)[0]["BAD_FORM"]


def test_labels_in_parentheses_are_no_problem(make: Make) -> None:
    problems, notices = labels_checked(make(["(A)", "(B)"] * 4, files=sample_of(["(A)"] * 8)))
    assert not problems
    assert "NOTICE_ODD_LABELS" not in notices


def test_labels_of_the_truth_that_differ_in_spelling_only_are_noticed(make: Make) -> None:
    _, notices = labels_checked(make(["cat", "Cat", "dog", "cat"] * 2, files=sample_of(["cat"] * 8)))
    assert '"Cat" and "cat"' in notices["NOTICE_SIMILAR_LABELS"]


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        (["x"] * 4, "NOTICE_SAMPLE_LABELS"),
        (["True"] * 4, "NOTICE_LABEL_SPELLING"),
        (["0", "0", "0", "yes"], "NOTICE_SAMPLE_LABELS"),
    ],
)
def test_a_sample_with_other_labels_is_noticed(make: Make, sample: list[str], code: str) -> None:
    _, notices = checked(make(ZERO_ONE, files=sample_of(sample)))
    assert code in notices


@pytest.mark.parametrize("sample", [["0.5"] * 4, ["[0]"] * 4, ["yes", "no", "yes", "no"]])
def test_a_sample_that_participants_could_not_copy_is_refused(make: Make, sample: list[str]) -> None:
    problems, _ = checked(make(ZERO_ONE, files=sample_of(sample)))
    assert "The sample submission is refused." in problems["UNKNOWN_LABELS"]
