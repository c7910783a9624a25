"""Grades by anchors, and the files of learning platforms that they fill."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app.base.errors import Closed, Refused
from app.base.installation import Installation
from app.base.models import Standing, Team
from app.base.models_classes import Enrolment
from app.classes import classes, filling, grades, rosters
from app.classes.grade_rules import Missing, Rule
from app.classes.grades import Anchor
from app.cli.grading import class_grades
from app.competing import competitions, exclusions, teams
from app.people import accounts
from tests.app.classes import test_rosters as files
from tests.app.conftest import NOON, World
from tests.conftest import on_sqlite

LADDER = [("dummy", 0.69), ("logistic", 0.4), ("boosting", 0.3)]


def test_default_anchors_are_at_the_worst_the_middle_and_the_best_baseline() -> None:
    found = grades.default_anchors(LADDER, 0.2, greater_is_better=False)
    assert [(one.score, one.percent) for one in found] == [(0.69, 0), (0.4, 60), (0.3, 85), (0.2, 100)]
    assert len(grades.default_anchors(LADDER, 0.35, greater_is_better=False)) == 3
    with pytest.raises(Refused, match="at least two baselines"):
        grades.default_anchors(LADDER[:1], 0.2, greater_is_better=False)


def test_a_grade_states_its_reason() -> None:
    anchors = grades.default_anchors(LADDER, 0.2, greater_is_better=False)
    for score, percent, why in (
        (0.8, 0, "not better than dummy"),
        (0.4, 60, "as good as logistic"),
        (0.35, 72.5, "between logistic and boosting"),
        (0.2, 100, "as good as best of the class"),
        (0.1, 100, "better than best of the class"),
    ):
        assert grades.percent(score, anchors, greater_is_better=False) == (percent, why)


def test_own_anchors_name_every_problem() -> None:
    baselines = dict(LADDER)
    found = grades.own_anchors([("boosting", 90), ("0.69", 10)], baselines, greater_is_better=False)
    assert [(one.score, one.percent) for one in found] == [(0.69, 10), (0.3, 90)]
    with pytest.raises(Refused) as refused:
        grades.own_anchors([("tree", 1), ("0.5", 120)], baselines, greater_is_better=False)
    assert "'tree' is neither a score nor a baseline" in refused.value.message
    assert "120 is not a percent" in refused.value.message
    for text in ("inf", "-inf", "nan"):
        with pytest.raises(Refused, match="is no finite score"):
            grades.own_anchors([(text, 0), ("0.2", 100)], baselines, greater_is_better=False)
    with pytest.raises(Refused, match="is worth less"):
        grades.own_anchors([("dummy", 50), ("boosting", 10)], baselines, greater_is_better=False)


SCORES = st.floats(-1e6, 1e6, allow_nan=False)


@given(
    st.lists(SCORES, min_size=2, max_size=6, unique=True),
    st.lists(st.floats(0, 100), min_size=6, max_size=6),
    st.lists(SCORES, min_size=2, max_size=10),
    st.booleans(),
)
def test_a_better_score_is_never_worth_less(
    at: list[float], percents: list[float], scores: list[float], upward: bool
) -> None:
    ordered = sorted(at, reverse=not upward)
    anchors = [
        Anchor(str(n), score, percent)
        for n, (score, percent) in enumerate(zip(ordered, sorted(percents), strict=False))
    ]
    found = [
        grades.percent(score, anchors, greater_is_better=upward)[0]
        for score in sorted(scores, reverse=not upward)
    ]
    assert found == sorted(found)
    assert all(0 <= one <= 100 for one in found)


def member(number: int, **facts: str) -> Enrolment:
    return Enrolment(id=number, role="student", is_by_hand=False, **facts)


CLASS = [
    member(1, given="Ada", family="Lovelace", external_id="S1", login="ada", email="ada@uni.example"),
    member(2, given="Grace", family="Hopper", external_id="S2", login="grace", email="grace@uni.example"),
    member(3, given="Alan", family="Turing", external_id="S3"),
]
GRADES = {1: 72.5, 2: 100.0, 3: 50.0}
SEMICOLONS, _ = files.FORMS["Canvas with semicolons"]
FILLS = [
    ("Canvas", files.CANVAS.encode(), "Coins", '"12,5"', '"72,5"', "80", "100"),
    ("Canvas with semicolons", SEMICOLONS, "Coins", '"12;5"', '"72,5"', "80", "100"),
    ("Moodle", files.MOODLE.encode("utf-8-sig"), "Coins", '"12,5"', '"72,5"', ",-,", ",100,"),
    ("Blackboard's .xls", files.BLACKBOARD.encode("utf-16"), "Coins", '"12,5"', '"72,5"', '""', '"100"'),
]


@pytest.mark.parametrize(
    ("name", "content", "title", *["old", "new", "old2", "new2"]), FILLS, ids=[f[0] for f in FILLS]
)
def test_one_column_is_filled_and_every_other_byte_stays(
    name: str, content: bytes, title: str, old: str, new: str, old2: str, new2: str
) -> None:
    done = filling.fill(content, GRADES, CLASS, title=title)
    encoding = "utf-16" if content[:2] == b"\xff\xfe" else "utf-8"
    lines = content.decode(encoding).splitlines(keepends=True)
    for at, line in enumerate(lines):
        if "Lovelace" in line:
            lines[at] = line.replace(old, new, 1)
        elif "Hopper" in line:
            head, _, tail = (
                line.rpartition(old2)
                if old2 != '""'
                else (line[: line.rindex('""')], "", line[line.rindex('""') + 2 :])
            )
            lines[at] = f"{head}{new2}{tail}"
    expected = "".join(lines).encode("utf-16" if encoding == "utf-16" else "utf-8")
    assert done.content == expected
    assert (done.filled, done.without, done.absent) == (2, [], ["Alan Turing"])


def test_points_of_the_file_scale_the_grade() -> None:
    canvas = files.CANVAS.replace("Points Possible,,,,,100", "Points Possible,,,,,20")
    assert ',"14,5",' in filling.fill(canvas.encode(), GRADES, CLASS, title="Coins").content.decode()
    worksheet = files.WORKSHEET.replace("100.00", "10.00").replace("\n", "\r\n")
    filled = filling.fill(worksheet.encode(), GRADES, CLASS).content.decode()
    assert "Ada Lovelace,S1,ada@uni.example,No submission,7.25,10.00,\r\n" in filled
    brightspace = filling.fill(files.BRIGHTSPACE.encode(), GRADES, CLASS, title="coins").content.decode()
    assert "#S1,#ada,Lovelace,Ada,72.5,#\r\n" in brightspace


def test_points_with_thousands_and_unreadable_ones() -> None:
    blackboard = files.BLACKBOARD.replace("Pts: 100", "Pts: 1,000").encode("utf-16")
    assert '"725"' in filling.fill(blackboard, GRADES, CLASS, title="Coins").content.decode("utf-16")
    canvas = files.CANVAS.replace("Points Possible,,,,,100", 'Points Possible,,,,,"1,000.00"')
    assert ",725," in filling.fill(canvas.encode(), GRADES, CLASS, title="Coins").content.decode().replace(
        '"', ""
    )
    with pytest.raises(Refused, match=r"states '\(read only\)' as the points of 'Coins \(1234\)'"):
        filling.fill(canvas.replace('"1,000.00"', "(read only)").encode(), GRADES, CLASS, title="Coins")


def test_a_comma_in_a_section_makes_no_decimal_comma() -> None:
    roster = 'ID number,Section,Other,Coins\nS1,"1,2",85.5,\n'
    assert filling.fill(roster.encode(), GRADES, CLASS, title="Coins").content.endswith(b",85.5,72.5\n")


def test_a_file_with_a_title_above_its_header_is_filled() -> None:
    text = "Course ML 2026\n\nID number,Name,Coins\nS1,Ada Lovelace,\n"
    done = filling.fill(text.encode(), GRADES, CLASS, title="Coins")
    assert done.content.decode() == text.replace("Lovelace,", "Lovelace,72.5")


def test_a_column_that_is_not_clear_is_asked_for() -> None:
    with pytest.raises(Refused, match=r"no column with the title 'Iris'.*'Student', 'ID'"):
        filling.fill(files.CANVAS.encode(), GRADES, CLASS, title="Iris")
    done = filling.fill(files.CANVAS.encode(), GRADES, CLASS, title="Iris", column="Final Score")
    assert done.column == "Final Score"
    twice = files.MOODLE.replace("Institution,Department", "Coins one,Coins two").replace(
        ",Coins,", ",Other,"
    )
    with pytest.raises(Refused, match="2 columns with the title 'Coins'"):
        filling.fill(twice.encode(), GRADES, CLASS, title="Coins")
    for title in ("Section", "Coin", "ID"):  # a column of names, a part of a word
        with pytest.raises(Refused, match="no column"):
            filling.fill(files.CANVAS.encode(), GRADES, CLASS, title=title)


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=6),
        min_size=2,
        max_size=4,
    ),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_filling_changes_one_column_and_nothing_else(texts: list[str], delimiter: str, end: str) -> None:
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=delimiter, lineterminator=end)
    writer.writerow(["ID number", *(f"column {n}" for n in range(len(texts))), "Coins"])
    writer.writerow(["S1", *texts, ""])
    writer.writerow(["S2", *reversed(texts), "old"])
    before = list(csv.reader(io.StringIO(made.getvalue(), newline=""), delimiter=delimiter))
    done = filling.fill(made.getvalue().encode(), GRADES, CLASS, title="Coins")
    after = list(csv.reader(io.StringIO(done.content.decode(), newline=""), delimiter=delimiter))
    assert [row[:-1] for row in after] == [row[:-1] for row in before]
    assert [row[-1].replace(",", ".") for row in after] == ["Coins", "72.5", "100"]


@pytest.fixture
def graded(world: World) -> World:
    """A closed competition of a class: Ada joined it, Bob has a score, Cyd has not joined the class."""
    roster = b"ID number,Name\nS1,Ada Lovelace\nS2,Bob Noyce\nS3,Cyd Charisse\n"
    world.score(0.5, 0.4)
    world.score(0.6, 0.2, by="bob")
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        classroom = classes.make(session, "ml", by="prof", now=NOON)
        rosters.apply(session, classroom, rosters.plan(rosters.read(roster), []), by="prof", now=NOON)
        for enrolment in rosters.members(session, classroom):
            if enrolment.given != "Cyd":
                enrolment.user_id = accounts.by_name(session, enrolment.given.lower()).id
        classes.add_competition(session, classroom, competition, by="prof", now=NOON)
    return world


def baseline(world: World, name: str, private: float) -> None:
    with world.database.begin() as session:
        competition = competitions.by_slug(session, world.slug)
        team = Team(competition_id=competition.id, name=name, is_baseline=True, created_at=NOON)
        session.add(team)
        session.flush()
        first = session.query(Standing).first()
        assert first is not None
        session.add(
            Standing(
                competition_id=competition.id,
                team_id=team.id,
                is_baseline=True,
                entries=1,
                last_at=NOON,
                public_key=private,
                public_at=NOON,
                public_submission_id=first.public_submission_id,
                public_also={},
                private_key=private,
                private_at=NOON,
                private_submission_id=first.private_submission_id,
                private_also={},
            )
        )


def test_class_is_graded_after_the_close_and_not_before(graded: World) -> None:
    baseline(graded, "dummy", 0.6)
    baseline(graded, "boosting", 0.3)
    later = NOON + timedelta(hours=1)
    with graded.database.begin() as session:
        competition = competitions.by_slug(session, graded.slug)
        classroom = classes.by_slug(session, "ml")
        with pytest.raises(Closed, match="no final results yet"):
            grades.compute(session, classroom, competition, now=NOON)
        competitions.close(session, competition, by="prof", now=NOON)
        found = grades.compute(session, classroom, competition, now=later).grades
        shown = {one.enrolment.given: (one.percent, one.why) for one in found}
        assert shown == {
            "Ada": (56.67, "between dummy and boosting"),
            "Bob": (100.0, "as good as best of the class"),
            "Cyd": (None, "has not joined the class"),
        }
        again = grades.compute(session, classroom, competition, now=later).grades
        assert [one.percent for one in again] == [one.percent for one in found]
        rule = Rule((("0.6", 0.0), ("0.2", 50.0)), Missing.ZERO)
        own = grades.compute(session, classroom, competition, rule=rule, now=later).grades
        assert {one.enrolment.given: one.percent for one in own} == {"Ada": 25.0, "Bob": 50.0, "Cyd": 0.0}
        team = teams.by_name(session, competition, "bob")
        exclusions.take_off_team(session, competition, team, "used the labels", by="prof", now=later)
        off = grades.compute(session, classroom, competition, now=later).grades
        assert {one.enrolment.given: one.why for one in off}["Bob"] == "the team is off the board"


@on_sqlite
def test_command_fills_the_platforms_file(graded: World, tmp_path: Path) -> None:
    with graded.database.begin() as session:
        competition = competitions.by_slug(session, graded.slug)
        competitions.close(session, competition, by="prof", now=NOON - timedelta(hours=1))
        title = competition.title
    installation = Installation.__new__(Installation)
    vars(installation)["database"] = graded.database
    export = tmp_path / "export.csv"
    export.write_bytes(f"ID number,Name,{title}\r\nS1,Ada Lovelace,\r\nS9,Eve Smith,\r\n".encode())
    words = ["ml", "--anchor", "0.6=0", "--anchor", "0.2=100", "--fill", str(export)]
    alone = CliRunner().invoke(class_grades, words, obj=installation)
    assert "Give --fill and --out together" in str(alone.exception)
    out = tmp_path / "filled.csv"
    done = CliRunner().invoke(class_grades, [*words, "--out", str(out), "--json"], obj=installation)
    assert done.exception is None, done.exception
    told = json.loads(done.stdout)
    assert told["filled"]["filled"] == 1
    assert told["filled"]["not_in_class"] == ["Eve Smith"]
    assert told["filled"]["not_in_file"] == ["Bob Noyce"]
    assert out.read_bytes() == export.read_bytes().replace(b"Lovelace,", b"Lovelace,50")
