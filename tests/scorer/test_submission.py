"""Tests of the reader of submissions: decisions, messages, speed."""

from __future__ import annotations

import base64
import gzip
import io
import json
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scorer
from scorer.reference import SUBMISSION_CODES
from scorer.submission.reader import read_submission
from scorer.submission.sinks import Collected
from tests.scorer.conftest import IDS, TRUTH, USAGE, YAML, Write, csv_text

CASES = json.loads((Path(__file__).parent / "vectors/bad_submissions.json").read_text(encoding="utf-8"))[
    "cases"
]
VALUES = [f"0.{number:02d}" for number in range(5, 25)]
GOOD = csv_text(("id", "target"), IDS, VALUES)


def payload(case: dict[str, Any]) -> bytes:
    if "text" in case:
        return str(case["text"]).encode()
    if "base64" in case:
        return base64.b64decode(case["base64"])
    assert case["generate"] == 'b"id,target\\n1,"+b"9"*5_000_000+b"\\n"'
    return b"id,target\n1," + b"9" * 5_000_000 + b"\n"


def refuse(challenge: scorer.Challenge, data: bytes | str) -> scorer.InvalidSubmission:
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(challenge, data.encode() if isinstance(data, str) else data)
    assert refusal.value.problems
    return refusal.value


def accept(challenge: scorer.Challenge, data: bytes | str) -> list[str]:
    report = scorer.score(challenge, data.encode() if isinstance(data, str) else data)
    return [notice.code for notice in report.notices]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_published_payloads_get_the_expected_decision(
    challenge: scorer.Challenge, case: dict[str, Any]
) -> None:
    expected = {code for code in case["code"].split("+") if code}
    if case["decision"] == "accept":
        assert set(accept(challenge, payload(case))) == expected
    else:
        assert {problem.code for problem in refuse(challenge, payload(case)).problems} == expected


def zipped(*members: tuple[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def edit(line: int, text: str) -> str:
    lines = GOOD.splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


ACCEPTED: dict[str, tuple[bytes | str, list[str]]] = {
    "shuffled rows": ("\n".join(["id,target", *GOOD.splitlines()[:0:-1]]), []),
    "swapped columns": (csv_text(("target", "id"), VALUES, IDS), ["NOTICE_COLUMN_ORDER"]),
    "spaces in the header": (GOOD.replace("id,target", "id, target"), ["NOTICE_HEADER_SPACES"]),
    "CRLF": (GOOD.replace("\n", "\r\n"), []),
    "no last newline": (GOOD.rstrip("\n"), []),
    "blank last lines": (GOOD + "\n\n", []),
    "blank lines between": (GOOD.replace("\n", "\n\n"), []),
    "a newline inside quotes": (edit(2, '1,"0.05\n"'), []),
    "everything quoted": (
        "".join(",".join(f'"{x}"' for x in line.split(",")) + "\n" for line in GOOD.split()),
        [],
    ),
    "gzip": (gzip.compress(GOOD.encode()), ["NOTICE_DECOMPRESSED"]),
    "zip that points upwards": (zipped(("../../sub.csv", GOOD)), ["NOTICE_DECOMPRESSED"]),
    "zip with a folder": (zipped(("out/", ""), ("out/sub.csv", GOOD)), ["NOTICE_DECOMPRESSED"]),
    "other spellings of numbers": (edit(2, "1,+5E-2"), []),
    "a number without a leading zero": (edit(2, "1,.5"), []),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_harmless_variation_is_accepted(challenge: scorer.Challenge, name: str) -> None:
    data, notices = ACCEPTED[name]
    assert accept(challenge, data) == notices


REFUSED: dict[str, tuple[bytes | str, set[str], str]] = {
    "unknown id": (GOOD + "999,0.5\n", {"UNKNOWN_IDS"}, "1 id is not in the test set: 999 (line 22)"),
    "duplicate id": (GOOD + "1,0.5\n", {"DUPLICATE_IDS"}, "Id 1 appears twice (lines 2 and 22)"),
    "wrong name": (GOOD.replace("target", "prediction"), {"COLUMN_NAME"}, "found id,prediction"),
    "a column is missing": ("id\n1\n", {"COLUMN_NAME"}, "expected the columns id,target"),
    "pandas index": (
        csv_text(("", "id", "target"), [str(i) for i in range(20)], IDS, VALUES),
        {"INDEX_COLUMN"},
        "index=False",
    ),
    "trailing commas": (
        GOOD.replace("\n", ",\n").replace("target,", "target", 1),
        {"FIELD_COUNT"},
        "Lines 2-21 have 3 values, expected 2 (trailing comma?)",
    ),
    "unclosed quote": (edit(6, '5,"0.143'), {"UNCLOSED_QUOTE"}, "Line 6: a quoted value is never closed"),
    "text after a quote": (edit(6, '5,"0.1"43'), {"BAD_QUOTE"}, "Line 6"),
    "UTF-16": (GOOD.encode("utf-16"), {"ENCODING"}, "UTF-16"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), {"ENCODING"}, "UTF-16"),
    "NUL": (edit(5, "4,0.\x005"), {"ENCODING"}, "Line 5 holds a NUL byte"),
    "semicolons": (GOOD.replace(",", ";").replace(".", ","), {"SEPARATOR"}, '";"'),
    "tabs": (GOOD.replace(",", "\t"), {"SEPARATOR"}, "tabs"),
    "trailing commas in the header too": (GOOD.replace("\n", ",\n"), {"EXTRA_COLUMN"}, "(trailing comma?)"),
    "decimal commas": (
        "id,target\n" + GOOD.partition("\n")[2].replace(".", ","),
        {"FIELD_COUNT"},
        'expected 2 (a comma inside a value? "0,05" with a decimal point is 0.05)',
    ),
    "sep= line": ("sep=,\n" + GOOD, {"NO_HEADER"}, "delete this line"),
    "a comment with bars": ("# mine | best\n" + GOOD, {"NO_HEADER"}, "delete this line"),
    "id as a nameless index": (GOOD.replace("id,", ","), {"COLUMN_NAME"}, "index_label='id'"),
    "blank first line": ("\n" + GOOD, {"NO_HEADER"}, "blank"),
    "web page": ("<!DOCTYPE html><html>", {"NOT_CSV"}, "web page"),
    "JSON lists": ("[[1, 0.5], [2, 0.5]]", {"NOT_CSV"}, "JSON"),
    "JSON": ('[{"id": 1, "target": 0.5}]', {"NOT_CSV"}, "JSON"),
    "workbook": (zipped(("[Content_Types].xml", "x"), ("xl/workbook.xml", "x")), {"NOT_CSV"}, "Excel"),
    "nan": (edit(2, "1,NaN"), {"NOT_FINITE"}, "Column target, line 2 (id 1): NaN is not allowed"),
    "1e400": (edit(2, "1,1e400"), {"NOT_FINITE"}, "1e400 is too large"),
    "1.2": (edit(2, "1,1.2"), {"OUT_OF_RANGE"}, "1.2 is outside [0, 1]"),
    "a word": (edit(3, "2,abc"), {"NOT_A_NUMBER"}, 'line 3 (id 2): "abc" is not a number'),
    "underscore": (edit(2, "1,0_5"), {"NOT_A_NUMBER"}, '"0_5" is not a number'),
    "typographic minus": (edit(2, "1,\u22120.5"), {"NOT_A_NUMBER"}, "minus"),
    "Arabic digits": (edit(2, "1,\u0660.\u0665"), {"NOT_A_NUMBER"}, "use the digits 0 to 9"),
    "one id as a float": (edit(2, "1.0,0.5"), {"ID_FORMAT"}, "(1 id)"),
    "True and False": (edit(2, "1,False"), {"NOT_A_NUMBER"}, "write 1 for True"),
    "NA": (edit(2, "1,NA"), {"NOT_A_NUMBER"}, "every row needs a prediction"),
    "padded ids": (
        csv_text(("id", "target"), [i.zfill(4) for i in IDS], VALUES),
        {"ID_FORMAT"},
        "Ids look like 0001 where 1 is expected (all 20)",
    ),
    "no-break space in an id": (edit(2, "1\u00a0,0.5"), {"ID_FORMAT"}, "U+00A0"),
    "header only": ("id,target\n", {"MISSING_IDS"}, "no rows; 20 ids are required"),
    "white space only": (" \n\n", {"EMPTY_FILE"}, "empty"),
    "an id is empty": (edit(2, ",0.5"), {"EMPTY_VALUE"}, "line 2: the id is empty"),
    "all ids are empty": (
        csv_text(("id", "target"), [""] * 20, VALUES),
        {"EMPTY_VALUE"},
        "20 lines have this problem",
    ),
    "some ids are missing beside an empty one": (
        csv_text(("id", "target"), ["", *IDS[3:]], VALUES[2:]),
        {"EMPTY_VALUE", "MISSING_IDS"},
        "3 of 20 required ids are missing",
    ),
    "two files in a zip": (
        zipped(("a.csv", GOOD), ("b.csv", GOOD)),
        {"SEVERAL_FILES"},
        "2 files (a.csv, b.csv)",
    ),
    "nothing in a zip": (zipped(), {"EMPTY_FILE"}, "no file"),
    "zip in a zip": (zipped(("a.zip", zipped(("a.csv", GOOD)))), {"NOT_CSV"}, "another archive"),
    "gzip in a zip": (zipped(("a.csv.gz", gzip.compress(GOOD.encode()))), {"NOT_CSV"}, "another archive"),
    "gzip bomb": (gzip.compress(b"0" * 50_000_000), {"TOO_LARGE"}, "10 MB"),
    "cut gzip": (gzip.compress(GOOD.encode())[:-9], {"NOT_CSV"}, "damaged"),
    "twelve megabytes": (b"1,2\n" * 3_075_000, {"TOO_LARGE"}, "12.3 MB; the limit is 10 MB"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_is_refused_with_a_message(challenge: scorer.Challenge, name: str) -> None:
    data, codes, words = REFUSED[name]
    refusal = refuse(challenge, data)
    assert {problem.code for problem in refusal.problems} == codes
    assert words in str(refusal)


def test_all_problems_are_reported_at_once(challenge: scorer.Challenge) -> None:
    lines = [
        "id,target",
        "1,abc",
        "2,1.5",
        "3,",
        "3,0.5",
        "99,0.5",
        "5,0.1,9",
        *(f"{i},0.5" for i in range(6, 20)),
    ]
    refusal = refuse(challenge, "\n".join(lines))
    assert {problem.code for problem in refusal.problems} == {
        "NOT_A_NUMBER",
        "OUT_OF_RANGE",
        "EMPTY_VALUE",
        "DUPLICATE_IDS",
        "UNKNOWN_IDS",
        "FIELD_COUNT",
        "MISSING_IDS",
    }
    missing = next(problem for problem in refusal.problems if problem.code == "MISSING_IDS")
    assert "4, 20" in missing.message
    assert missing.count == 2


def test_a_problem_names_line_id_column_and_value(challenge: scorer.Challenge) -> None:
    problem = refuse(challenge, edit(4, "3,12%")).problems[0]
    assert (problem.line, problem.id, problem.column, problem.value) == (4, "3", "target", "12%")
    assert problem.message.endswith("write 0.12.")


def test_the_first_line_of_a_repeated_mistake_is_named_and_the_rest_counted(
    challenge: scorer.Challenge,
) -> None:
    rows = "\n".join(["id,target", *(f"{i},oops" for i in reversed(IDS))])
    (problem,) = refuse(challenge, rows).problems
    assert (problem.line, problem.id, problem.count) == (2, "20", 20)


def test_lines_are_physical_even_after_a_quoted_newline(challenge: scorer.Challenge) -> None:
    data = edit(2, '"1","0.1\n"').replace("\n3,0.07", "\n3,abc")
    assert refuse(challenge, data).problems[0].line == 5


def test_received_text_is_cut_and_escaped(challenge: scorer.Challenge) -> None:
    problem = refuse(challenge, edit(2, "1,\x1b[31m" + "x" * 500)).problems[0]
    assert problem.value is not None
    assert "\x1b" not in problem.message
    assert "\\u001b" in problem.value
    assert len(problem.value) < 60


def test_at_most_twenty_problems_are_shown_and_all_are_counted(write: Write) -> None:
    names = [f"y{i}" for i in range(30)]
    yaml = f"metric: mse\nsubmission: {{id: id, columns: [{', '.join(names)}]}}\n"
    folder = write(yaml, header=("id", *names, "Usage"), columns=(IDS, *[TRUTH] * 30, USAGE))
    text = csv_text(("id", *names), IDS, *[["0_5"] * 20] * 30)
    refusal = refuse(scorer.load(folder), text)
    assert len(refusal.problems) == 20
    assert refusal.total == 600


@pytest.mark.parametrize("strange", ["NA", "None", "null", "9007199254740993", "1e5", "true", "ä b", "007"])
def test_ids_are_plain_text(write: Write, strange: str) -> None:
    ids = [strange, *IDS[1:-1], "9007199254740992"]
    challenge = scorer.load(write(columns=(ids, TRUTH, USAGE)))
    assert accept(challenge, csv_text(("id", "target"), ids, VALUES)) == []


def test_ids_that_are_equal_as_numbers_are_different(write: Write) -> None:
    ids = ["1", "1.0", "01", *IDS[3:]]
    challenge = scorer.load(write(columns=(ids, TRUTH, USAGE)))
    assert accept(challenge, csv_text(("id", "target"), ids, VALUES)) == []


def test_an_id_that_lost_its_last_zero_is_a_format_problem(write: Write) -> None:
    ids = [f"{500 + i / 1000:.4f}" for i in range(20)]
    challenge = scorer.load(write(columns=(ids, TRUTH, USAGE)))
    refusal = refuse(challenge, csv_text(("id", "target"), [str(float(i)) for i in ids], VALUES))
    assert {problem.code for problem in refusal.problems} == {"ID_FORMAT"}


def test_messages_do_not_depend_on_labels_or_splits(write: Write) -> None:
    broken = edit(3, "2,abc").replace("20,0.24\n", "77,1.5\n")
    outcomes = set()
    for truth, usage in (
        (TRUTH, USAGE),
        (TRUTH[::-1], USAGE[::-1]),
        (["1", "0"] * 10, ["Private", "Private", "Public", "Public"] * 5),
    ):
        challenge = scorer.load(write(columns=(IDS, truth, usage)))
        outcomes.add(str([problem.as_dict() for problem in refuse(challenge, broken).problems]))
    assert len(outcomes) == 1


HOSTILE: dict[str, Callable[[], bytes]] = {
    "newlines": lambda: b"id,target\n" + b"\n" * 30_000_000,
    "commas": lambda: b"id,target\n" + b",\n" * 15_000_000,
    "known rows": lambda: b"id,target\n" + b"1,0.5\n" * 5_000_000,
    "unknown rows": lambda: b"id,target\n" + b"".join(b"%d,0.5\n" % i for i in range(3_000_000)),
    "one quote": lambda: b'id,target\n"' + b"1,0.5\n" * 5_000_000,
    "a record of newlines": lambda: b"id,target\n" + b'"\n",' * 7_500_000,
    "a wide header": lambda: b"id," * 10_000_000,
    "wide lines": lambda: b"id,target\n" + (b"," * 900_000 + b"1\n") * 33,
    "digits": lambda: b"id,target\n" + b"1," + b"9" * 900_000 + b"x\n",
    "an id of digits": lambda: b"id,target\n" + b"1" * 900_000 + b",0.5\n",
    "a member of zeros": lambda: zipped(("a.csv", b"0" * 200_000_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_seconds(challenge: scorer.Challenge, name: str) -> None:
    data = HOSTILE[name]()
    start = time.process_time()
    with pytest.raises(scorer.InvalidSubmission):
        read_submission(data, challenge.solution, Collected(20), max_bytes=40_000_000)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    "name", ["one quote", "a record of newlines", "known rows", "a wide header", "a member of zeros"]
)
def test_a_hostile_file_is_refused_in_bounded_memory(challenge: scorer.Challenge, name: str) -> None:
    data = HOSTILE[name]()
    tracemalloc.start()
    with pytest.raises(scorer.InvalidSubmission):
        read_submission(data, challenge.solution, Collected(20), max_bytes=40_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 40_000_000


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: ("id,target\n" + text).encode("utf-8", "replace")),
        st.lists(
            st.tuples(st.sampled_from([*IDS, "", '"', "x", "1.0"]), st.text(max_size=8)), max_size=25
        ).map(
            lambda rows: ("id,target\n" + "\n".join(",".join(row) for row in rows)).encode("utf-8", "replace")
        ),
        st.binary(max_size=100).map(lambda tail: gzip.compress(GOOD.encode())[: len(tail)] + tail),
        st.tuples(st.integers(0, 400), st.integers(0, 255)).map(
            lambda at: _spoil(zipped(("a.csv", GOOD)), *at)
        ),
        st.tuples(st.integers(0, 400), st.integers(0, 255)).map(
            lambda at: _spoil(gzip.compress(GOOD.encode()), *at)
        ),
        st.tuples(st.integers(0, 400), st.integers(0, 255)).map(lambda at: _spoil(GOOD.encode(), *at)),
    )
)
def test_any_bytes_are_a_submission_or_refused(challenge: scorer.Challenge, data: bytes) -> None:
    try:
        kept = Collected(20)
        read_submission(data, challenge.solution, kept)
        lengths = [len(column) for column in kept.columns().values()]
        problems: Sequence[scorer.Problem] = ()
    except scorer.InvalidSubmission as refusal:
        lengths, problems = [], refusal.problems
    assert lengths == [20] or problems
    assert all(problem.message and problem.code in SUBMISSION_CODES for problem in problems)


def _spoil(data: bytes, at: int, byte: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([byte]) + data[at + 1 :]


def test_a_path_and_its_bytes_are_read_the_same(challenge: scorer.Challenge, tmp_path: Path) -> None:
    path = tmp_path / "any name at all"
    path.write_text(GOOD)
    assert scorer.score(challenge, path) == scorer.score(challenge, GOOD.encode())


def test_a_file_over_the_limit_is_not_read(challenge: scorer.Challenge, tmp_path: Path) -> None:
    path = tmp_path / "ten gigabytes.csv"
    with path.open("wb") as stream:
        stream.truncate(10_000_000_000)  # sparse: takes no room
    with pytest.raises(scorer.InvalidSubmission, match="10000 MB; the limit is 10 MB"):
        scorer.score(challenge, path)


CLASSES = YAML.replace("columns: [target]", 'columns: ["2", "10", cat]')


@pytest.mark.parametrize(
    ("rows", "row", "accepted"),
    [
        ("renormalise", "0,0,0", False),
        ("renormalise", "1,1,1", True),
        ("renormalise", "1e-300,0,0", True),
        ("reject", "0.4,0.4,0.4", False),
        ("reject", "0.333,0.333,0.333", True),
        ("reject", "0,0,0", False),
    ],
)
def test_rows_of_probabilities_are_renormalised_or_refused(
    write: Write, rows: str, row: str, accepted: bool
) -> None:
    yaml = CLASSES.replace("log_loss", f"{{name: log_loss, rows: {rows}}}")
    labels = ["2", "10", "cat", "cat"] * 5
    challenge = scorer.load(write(yaml, columns=(IDS, labels, USAGE)))
    lines = [
        "id,2,10,cat",
        *(f"{i},0.2,0.3,0.5" for i in IDS[:5]),
        f"6,{row}",
        *(f"{i},1,0,0" for i in IDS[6:]),
    ]
    if accepted:
        accept(challenge, "\n".join(lines))
    else:
        (problem,) = refuse(challenge, "\n".join(lines)).problems
        assert (problem.code, problem.line, problem.id) == ("ROW_SUM", 7, "6")


def test_wide_columns_are_matched_by_name(write: Write) -> None:
    labels = ["2", "10", "cat", "cat"] * 5
    challenge = scorer.load(write(CLASSES, columns=(IDS, labels, USAGE)))
    hot = {name: ["1" if label == name else "0" for label in labels] for name in ("2", "10", "cat")}
    one = scorer.score(challenge, csv_text(("id", "2", "10", "cat"), IDS, *hot.values()).encode())
    other = scorer.score(
        challenge, csv_text(("cat", "10", "id", "2"), hot["cat"], hot["10"], IDS, hot["2"]).encode()
    )
    assert one.public == other.public < 1e-9
