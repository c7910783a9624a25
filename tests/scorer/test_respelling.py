"""Ids that are the right ones spelt otherwise: one problem for one cause."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import pytest

import scorer
from scorer.submission import respelling, training
from scorer.submission.respelling import match
from scorer.wording import ID_JOINT
from tests.scorer.conftest import Write

LONG = [str(1234567890123456 + 7910 * i) for i in range(20)]
LONGER = [str(1234567890123456789 + 10**9 * i) for i in range(20)]
DATES = [(dt.date(2020, 1, 28) + dt.timedelta(days=i)).isoformat() for i in range(20)]
NAMES = [f"img_{i:03}" for i in range(20)]


def excel_date(text: str) -> str:
    day = dt.date.fromisoformat(text)
    return f"{day.month}/{day.day}/{day.year}"


def german_date(text: str) -> str:
    return dt.date.fromisoformat(text).strftime("%d.%m.%Y")


def excel_serial(text: str) -> str:
    return str((dt.date.fromisoformat(text) - dt.date(1899, 12, 30)).days)


RESPELT: dict[str, tuple[Sequence[str], Sequence[str], str]] = {
    "floats": ([str(i) for i in range(20)], [f"{i}.0" for i in range(20)], "astype(int)"),
    "lost zeros": ([f"{i:03}" for i in range(20)], [str(i) for i in range(20)], "leading zeros"),
    "R's 1e+05": (["100000", "200000"], ["1e+05", "2e+05"], "scientific = FALSE"),
    "Excel displays": (LONG, [f"{float(text):.5E}" for text in LONG], "Excel"),
    "Excel displays two digits": (LONG, [f"{float(text):.2E}" for text in LONG], "Excel"),
    "Excel with a decimal comma": (LONG, [f"{float(t):.5E}".replace(".", ",") for t in LONG], "Excel"),
    "Excel's 15 digits": (LONG, [text[:15] + "0" for text in LONG], "15 digits"),
    "Excel's 15 of 19 digits": (LONGER, [text[:15] + "0000" for text in LONGER], "15 digits"),
    "53 bits": (LONGER, [str(int(float(text))) for text in LONGER], "53 bits"),
    "53 bits as text": (LONGER, [str(float(text)) for text in LONGER], "53 bits"),
    "upper case": (NAMES, [name.upper() for name in NAMES], "case"),
    "blanks inside": (["a b c", "d e"], ["a  b c", "de"], "blanks"),
    "a no-break space": (NAMES, [name + "\u00a0" for name in NAMES], "U+00A0"),
    "with an extension": (NAMES, [name + ".jpg" for name in NAMES], "leave out"),
    "without an extension": ([name + ".jpg" for name in NAMES], NAMES, '- add the file extension ".jpg".'),
    "another extension": (
        [name + ".jpg" for name in NAMES],
        [name + ".png" for name in NAMES],
        '- replace the file extension ".png" with ".jpg".',
    ),
    "a folder instead of an extension": (
        [name + ".jpg" for name in NAMES],
        [f"test/{name}" for name in NAMES],
        '- leave out the folder "test" and add the file extension ".jpg".',
    ),
    "another folder": (
        [f"test/{name}.jpg" for name in NAMES],
        [f"images/{name}.jpg" for name in NAMES],
        '- replace the folder "images" with "test".',
    ),
    "with a folder": (NAMES, [f"data/test/{name}.png" for name in NAMES], "leave out"),
    "a Windows folder": (NAMES, [f"C:\\data\\{name}.png" for name in NAMES], "leave out"),
    "an American date": (DATES, [excel_date(text) for text in DATES], "dates"),
    "a German date": (DATES, [german_date(text) for text in DATES], "dates"),
    "midnight": (DATES, [text + " 00:00:00" for text in DATES], "dates"),
    "midnight in UTC": (DATES, [text + "T00:00:00Z" for text in DATES], "dates"),
    "compact dates": (DATES, [text.replace("-", "") for text in DATES], "dates"),
    "days since 1900": (DATES, [excel_serial(text) for text in DATES], "dates"),
    "dates for days since 1900": ([excel_serial(text) for text in DATES], DATES, "dates"),
    "29-Jan-20": (["2020-01-29"], ["29-Jan-20"], "dates"),
    "quotes": (NAMES, [f"'{name}'" for name in NAMES], "quotes"),
    "Python's bytes": (NAMES, [f"b'{name}'" for name in NAMES], "quotes"),
    "another encoding": (["café", "münchen"], ["cafÃ©", "mÃ¼nchen"], "encoding"),
    "a prefix more": (
        [str(i) for i in range(20)],
        [f"test_{i}" for i in range(20)],
        'must not begin with "test_"',
    ),
    "a prefix less": (
        [f"test_{i}" for i in range(20)],
        [str(i) for i in range(20)],
        'must begin with "test_"',
    ),
    "a suffix less": ([f"{i}_a" for i in range(20)], [str(i) for i in range(20)], 'must end with "_a"'),
    "other punctuation": (["a_1", "b_2"], ["a-1", "b-2"], "punctuation"),
    "case and extension": (NAMES, [f"{name.upper()}.JPG" for name in NAMES], "extension"),
}


@pytest.mark.parametrize("name", RESPELT)
def test_a_respelt_id_is_one_problem_that_names_the_cause(write: Write, name: str) -> None:
    ids, received, words = RESPELT[name]
    usage = ["Public", "Private"] * (len(ids) // 2) or ["Public"]
    ids, received, usage = [*ids, "zz"], [*received, "zz"], [*usage, "Private"]
    truth = [str(i % 2) for i in range(len(ids))]
    yaml = "metric: mae\nsubmission: {id: id, columns: [target]}\n"
    challenge = scorer.load(write(yaml, columns=(ids, truth, usage)))
    text = "id,target\n" + "".join(f'"{key}",0.5\n' for key in received)
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(challenge, text.encode())
    (problem,) = refusal.value.problems
    assert (problem.code, problem.count, problem.line) == ("ID_FORMAT", len(ids) - 1, 2)
    assert words in problem.message


@pytest.mark.parametrize("name", ["floats", "Excel's 15 digits", "an American date", "a prefix more"])
def test_pairs_are_of_the_same_row_wherever_one_id_becomes_one_text(name: str) -> None:
    ids, received, _ = RESPELT[name]
    (found,), unknown, missing = match([(text, 2) for text in received], ids, ["id"])
    assert [(mine, theirs) for mine, _, theirs in found.pairs] == list(zip(received, ids, strict=True))
    assert (unknown, missing) == ([], [])


def test_two_causes_are_two_problems() -> None:
    found, unknown, missing = match([("1.0", 2), ("IMG_A", 3), ("other", 4)], ["1", "img_a", "lost"], ["id"])
    assert [respelt.pairs for respelt in found] == [[("1.0", 2, "1")], [("IMG_A", 3, "img_a")]]
    assert (unknown, missing) == ([("other", 4)], ["lost"])


@pytest.mark.parametrize(
    ("ids", "received"),
    [
        (range(43831, 43835), range(202011, 202015)),
        (range(43831, 43835), range(20200101, 20200105)),
        (range(20200101, 20200105), range(43831, 43835)),
        (range(202011, 202015), range(43831, 43835)),
        (range(20200101, 20200105), range(2020011, 2020015)),
    ],
)
def test_whole_numbers_are_no_dates_of_each_other(ids: range, received: range) -> None:
    assert match([(str(key), 2) for key in received], list(map(str, ids)), ["id"])[0] == []


def test_a_tenth_of_many_unknown_ids_must_be_explained() -> None:
    ids = [f"img_{i}" for i in range(2000)]
    few = [f"IMG_{i}" if i % 50 == 0 else f"x{i}" for i in range(2000)]
    many = [f"IMG_{i}" if i % 5 == 0 else f"x{i}" for i in range(2000)]
    assert match([(text, 2) for text in few], ids, ["id"])[0] == []
    (found,), unknown, _ = match([(text, 2) for text in many], ids, ["id"])
    assert (len(found.pairs), len(unknown)) == (400, 1600)


def test_wrong_ids_need_few_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    computed = respelling._key

    def counted(key: respelling.Key, text: str) -> object:
        nonlocal calls
        calls += 1
        return computed(key, text)

    monkeypatch.setattr(respelling, "_key", counted)
    n = 20_000
    assert match([(str(i), 2) for i in range(n, 2 * n)], list(map(str, range(n))), ["id"])[0] == []
    assert calls < 5 * n  # two per id and way would be more than 25


PAIRS = [(str(store), day) for store in (1, 2, 10) for day in ("2020-01-01", "2020-01-02")]
PAIR_YAML = "metric: mae\nsubmission: {id: [store, date], columns: [y]}\n"


def score_pairs(write: Write, pairs: Sequence[tuple[str, str]]) -> Sequence[scorer.Problem]:
    stores, days = zip(*PAIRS, strict=True)
    numbers = [str(i) for i in range(len(PAIRS))]
    folder = write(
        PAIR_YAML,
        header=("store", "date", "y", "Usage"),
        columns=(stores, days, numbers, ["Public", "Private"] * 3),
    )
    text = "store,date,y\n" + "".join(f"{store},{day},0\n" for store, day in pairs)
    try:
        scorer.score(scorer.load(folder), text.encode())
    except scorer.InvalidSubmission as refusal:
        return refusal.problems
    return ()


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        (
            lambda store, day: (f"{store}.0", day),
            "store",
            "Ids look like (1.0, 2020-01-01) where (1, 2020-01-01)",
        ),
        (lambda store, day: (f"{int(store):03}", day), "store", "astype(int)"),
        (lambda store, day: (store, excel_date(day)), "date", "Excel"),
        (lambda store, day: (store, f"{day} 00:00:00"), "date", "dates are in another form"),
        (lambda store, day: (f"'{store}'", day), "", "quotes"),
    ],
)
def test_one_respelt_column_of_an_id_is_one_problem(write: Write, change, column: str, words: str) -> None:  # type: ignore[no-untyped-def]
    (problem,) = score_pairs(write, [change(*pair) for pair in PAIRS])
    assert (problem.code, problem.count) == ("ID_FORMAT", len(PAIRS))
    assert words in problem.message
    assert f"'{column}'" in problem.message or not column
    assert "\\u001f" not in str(problem)


def test_ids_of_several_columns_are_listed_in_brackets(write: Write) -> None:
    unknown, missing = score_pairs(write, [*PAIRS[2:], ("7", "2020-01-01"), ("7", "2020-01-02")])
    assert "(7, 2020-01-01) (line 6), (7, 2020-01-02) (line 7)" in unknown.message
    assert "(1, 2020-01-01), (1, 2020-01-02)" in missing.message
    assert "invisible" not in unknown.message + missing.message
    assert unknown.id == "(7, 2020-01-01)"


def test_the_empty_column_of_an_id_is_named(write: Write) -> None:
    problem = score_pairs(write, [*PAIRS[:-1], ("10", "")])[0]
    assert (problem.code, problem.column) == ("EMPTY_VALUE", "date")


def test_ids_of_the_training_data_are_one_problem(write: Write) -> None:
    train = "id,x,target\n" + "".join(f"{1000 + i},0,1\n" for i in range(300))
    challenge = scorer.load(write(files={"public/train.csv": train}))
    text = "id,target\n" + "".join(f"{1000 + i},0.5\n" for i in range(300))
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(challenge, text.encode())
    (problem,) = refusal.value.problems
    assert (problem.code, problem.line) == ("UNKNOWN_IDS", 2)
    assert "of the training data (public/train.csv)" in problem.message
    assert "whose ids are 1, 2, 3" in problem.message


@pytest.mark.parametrize(
    ("test", "train"),
    [
        ([f"test/{i}.png" for i in range(1, 21)], [f"train/{i}.png" for i in range(1, 91)]),
        ([str(i) for i in range(110, 200)], [str(i) for i in range(10, 100)]),
        ([f"test_{i}" for i in range(20)], [f"TEST-{i}" for i in range(20)]),
    ],
)
def test_ids_of_the_training_data_are_not_taken_for_respelt_ids(
    write: Write, test: Sequence[str], train: Sequence[str]
) -> None:
    yaml = "metric: mae\nsubmission: {id: id, columns: [target]}\n"
    usage = ["Public", "Private"] * (len(test) // 2)
    table = "id,x,target\n" + "".join(f"{key},0,1\n" for key in train)
    folder = write(yaml, columns=(test, ["1"] * len(test), usage), files={"public/train.csv": table})
    text = "id,target\n" + "".join(f"{key},0.5\n" for key in train)
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(scorer.load(folder), text.encode())
    (problem,) = refusal.value.problems
    assert (problem.code, problem.count) == ("UNKNOWN_IDS", len(train))
    assert "of the training data (public/train.csv)" in problem.message


def test_a_challenge_without_training_ids_names_unknown_ids(challenge: scorer.Challenge) -> None:
    text = "id,target\n" + "".join(f"x{1000 + i},0.5\n" for i in range(20))
    with pytest.raises(scorer.InvalidSubmission) as refusal:
        scorer.score(challenge, text.encode())
    assert [problem.code for problem in refusal.value.problems] == ["UNKNOWN_IDS", "MISSING_IDS"]


@pytest.mark.parametrize(
    ("respell", "words"),
    [
        (lambda shop, day: (f"{shop}.0", german_date(day)), ["astype(int)", "the dates are in another form"]),
        (lambda shop, day: (f"0{shop}", f"{day} 00:00:00"), ["astype(int)", "the dates are in another form"]),
        (lambda shop, day: (f"shop_{shop}", german_date(day)), ['must not begin with "shop_"', "the dates"]),
    ],
)
def test_columns_of_one_id_that_are_each_respelt_are_paired(
    respell: Callable[[str, str], tuple[str, str]], words: list[str]
) -> None:
    """Two causes at once were unknown ids beside missing ones."""
    expected = [(str(shop), day) for shop in range(1, 15) for day in DATES[:9]]
    missing = [ID_JOINT.join(each) for each in expected]
    unknown = [(ID_JOINT.join(respell(*each)), line) for line, each in enumerate(expected, start=2)]
    (found,), rest, lost = match([*unknown, ("x\x1fy", 99)], missing, ("shop", "day"))
    assert [each for _, _, each in found.pairs] == missing
    assert all(word in found.cause for word in words)
    assert (rest, lost) == ([("x\x1fy", 99)], [])


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_interchanged_id_columns_are_one_cause(order: tuple[int, int, int]) -> None:
    """Each id was unknown and each required one missing."""
    expected = [(f"shop {shop}", day, str(shop * 7)) for shop in range(1, 8) for day in DATES[:9]]
    missing = [ID_JOINT.join(each) for each in expected]
    sent = [ID_JOINT.join(each[place] for place in order) for each in expected]
    unknown = [(text, line) for line, text in enumerate([*sent, "x\x1fy\x1fz"], start=2)]
    (found,), rest, lost = match(unknown, missing, ("shop", "day", "number"))
    assert [each for _, _, each in found.pairs] == missing
    assert "the id columns are interchanged: those of shop in" in found.cause
    assert (rest, lost) == ([unknown[-1]], [])


@pytest.mark.parametrize("order", [(1, 0), (0, 1)])
@pytest.mark.parametrize(
    ("respell", "words"),
    [
        (lambda shop, day: (f"{shop}.0", day), "astype(int)"),
        (lambda shop, day: (shop, german_date(day)), "the dates are in another form"),
        (lambda shop, day: (f"{shop}.0", german_date(day)), "astype(int)"),
        (lambda shop, day: (f"shop_{shop}", f"{day} 00:00:00"), 'must not begin with "shop_"'),
        (lambda shop, day: (f"'{shop}'", excel_date(day)), "leave out quotes"),
    ],
)
def test_id_columns_that_are_interchanged_and_respelt_are_one_cause(
    respell: Callable[[str, str], tuple[str, str]], words: str, order: tuple[int, int]
) -> None:
    """All ids were unknown; the same without the exchange is no exchange."""
    expected = [(str(shop), day) for shop in range(1, 15) for day in DATES[:9]]
    missing = [ID_JOINT.join(each) for each in expected]
    sent = [ID_JOINT.join(respell(*each)[place] for place in order) for each in expected]
    unknown = [(text, line) for line, text in enumerate(sent, start=2)]
    (found,), rest, lost = match([*unknown, ("x\x1fy", 99)], missing, ("shop", "day"))
    assert found.pairs == [(text, line, right) for (text, line), right in zip(unknown, missing, strict=True)]
    assert words in found.cause
    exchange = "interchanged: those of shop in day and those of day in shop; besides, in their own columns: "
    assert (exchange in found.cause) == (order == (1, 0))
    assert (rest, lost) == ([("x\x1fy", 99)], [])


def test_columns_of_like_values_are_not_taken_for_interchanged() -> None:
    missing = [ID_JOINT.join((str(row), str(column))) for row in range(30) for column in range(30)]
    unknown = [(ID_JOINT.join((f"{row}.0", "77")), 2 + row) for row in range(30)]
    found, rest, _ = match(unknown, missing, ("row", "column"))
    assert "interchanged" not in "".join(each.cause for each in found)
    assert len(rest) == 30


def test_an_unknown_id_has_the_training_table_read_to_a_limit_only(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One unknown id in each upload had a million rows of it read."""
    train = 'id,x,target\n"1000",0,1\n' + "".join(f"{1001 + i},é,1\n" for i in range(3000))
    challenge = scorer.load(write(files={"public/train.csv": train}))
    monkeypatch.setattr(training, "_MOST_BYTES", 5000)
    for unknown, known in (("1000", True), ("1300", True), ("3999", False), ("x", False)):
        text = "id,target\n" + "".join(f"{i},0.5\n" for i in range(1, 20)) + f"{unknown},0.5\n"
        with pytest.raises(scorer.InvalidSubmission) as refusal:
            scorer.score(challenge, text.encode())
        assert ("of the training data" in refusal.value.problems[0].message) == known
