"""Rosters as learning platforms export them, and what an import changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.db import Database
from app.base.errors import Refused
from app.base.models_classes import Classroom, Enrolment
from app.classes import classes, codes, rosters
from app.classes.pseudonyms import Free
from app.classes.rosters import Plan, Roster
from tests.app.conftest import NOON
from tests.conftest import on_sqlite

KEY = "the key of the installation"

CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,Coins (1234),Final Score
    Points Possible,,,,,100,
,,,,,Manual Posting,
"Lovelace, Ada",101,S1,ada,Monday,"12,5",
"Hopper, Grace",102,S2,grace,Tuesday,80,
"Student, Test",103,,b6f1c0ffee,Monday,,
"""
MOODLE = """\
First name,Last name,ID number,Institution,Department,Email address,Coins,Last downloaded from this course
Ada,Lovelace,S1,Uni,CS,ada@uni.example,"12,5",1764000000
Grace,Hopper,S2,Uni,CS,grace@uni.example,-,1764000000
"""
WORKSHEET = """\
Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,Feedback comments
Participant 12345,Ada Lovelace,S1,ada@uni.example,No submission,,100.00,
Participant 12346,Grace Hopper,S2,grace@uni.example,No submission,,100.00,
"""
BLACKBOARD = (
    '"Last Name"\t"First Name"\t"Username"\t"Student ID"\t"Availability"\t'
    '"Coins [Total Pts: 100 Score] |664617"\r\n'
    '"Lovelace"\t"Ada"\t"ada"\t"S1"\t"Yes"\t"12,5"\r\n"Hopper"\t"Grace"\t"grace"\t"S2"\t"Yes"\t""\r\n'
)
BRIGHTSPACE = (
    "OrgDefinedId,Username,Last Name,First Name,Coins Points Grade <Numeric MaxPoints:100>,"
    "End-of-Line Indicator\r\n"
    "#S1,#ada,Lovelace,Ada,,#\r\n#S2,#grace,Hopper,Grace,,#\r\n"
)
GRADESCOPE = """\
First Name,Last Name,SID,Email,Sections,Total Score
Ada,Lovelace,S1,ada@uni.example,Monday,
Grace,Hopper,S2,grace@uni.example,Tuesday,
"""
GITHUB = """\
"identifier","github_username","github_id","name"
"S1","ada","17","Ada Lovelace"
"S2","grace","18","Grace Hopper"
"""
NBGRADER = (
    "id,first_name,last_name,email\nS1,Ada,Lovelace,ada@uni.example\nS2,Grace,Hopper,grace@uni.example\n"
)
SPANISH = """\
Nombre;Apellido(s);ID de estudiante;Dirección de correo
Ada;Lovelace;S1;ada@uni.example
Grace;Hopper;S2;grace@uni.example
"""
GERMAN = """\
Vorname;Nachname;Matrikelnummer;E-Mail-Adresse;Übungsgruppe
Ada;Lovelace;S1;ada@uni.example;Mo
Grace;Hopper;S2;grace@uni.example;Di
"""
LIST = "Ada Lovelace\nHopper, Grace\n"

FORMS = {
    "Canvas": (CANVAS.encode(), "Canvas"),
    "Canvas with semicolons": (
        CANVAS.replace(",", ";")
        .replace('"Lovelace; Ada"', '"Lovelace, Ada"')
        .replace('"Hopper; Grace"', '"Hopper, Grace"')
        .replace('"Student; Test"', '"Student, Test"')
        .encode("utf-8-sig"),
        "Canvas",
    ),
    "Moodle": (MOODLE.encode("utf-8-sig"), "Moodle"),
    "Moodle worksheet": (WORKSHEET.replace("\n", "\r\n").encode(), "Moodle worksheet"),
    "Blackboard's .xls": (BLACKBOARD.encode("utf-16"), "Blackboard"),
    "Blackboard's .xls without its mark": (BLACKBOARD.encode("utf-16-le"), "Blackboard"),
    "Blackboard's CSV": (BLACKBOARD.replace("\t", ",").encode("utf-8-sig"), "Blackboard"),
    "Brightspace": (BRIGHTSPACE.encode(), "Brightspace"),
    "Gradescope": (GRADESCOPE.encode(), "Gradescope"),
    "GitHub Classroom": (GITHUB.encode(), "GitHub Classroom"),
    "nbgrader": (NBGRADER.encode(), "nbgrader"),
    "Spanish": (SPANISH.encode("utf-8-sig"), "table"),
    "German, saved by Excel": (b"sep=;\r\n" + GERMAN.replace("\n", "\r\n").encode("cp1252"), "table"),
}


@pytest.fixture
def database_of_a_class(database: Database) -> Database:
    with database.begin() as session:
        classes.make(session, "ml", title="Machine learning", by="prof", now=NOON)
    return database


def run(database: Database, content: bytes | str, *, only_add: bool = False) -> Plan:
    """Import a roster and return its plan; a plan with problems raises."""
    with database.begin() as session:
        classroom = classes.by_slug(session, "ml")
        roster = rosters.read(content if isinstance(content, bytes) else content.encode())
        plan = rosters.plan(roster, rosters.members(session, classroom), only_add=only_add)
        rosters.apply(session, classroom, plan, by="prof", now=NOON)
        return plan


def counts(plan: Plan) -> tuple[int, int, int, int]:
    return len(plan.new), len(plan.same), len(plan.changed), len(plan.gone)


def active(database: Database) -> list[str]:
    with database.read() as session:
        return [
            one.name for one in rosters.members(session, classes.by_slug(session, "ml")) if not one.left_at
        ]


@pytest.mark.parametrize("form", FORMS)
def test_roster_of_every_platform_names_its_students(form: str) -> None:
    content, source = FORMS[form]
    roster = rosters.read(content)
    assert roster.problems == []
    assert roster.source == source
    assert [(one.given, one.family) for one in roster.students] == [("Ada", "Lovelace"), ("Grace", "Hopper")]
    assert [one.external_id for one in roster.students] == ["S1", "S2"]


def test_rows_of_canvas_that_are_no_students_are_named() -> None:
    roster = rosters.read(CANVAS.encode())
    assert [words.partition(":")[0] for words in roster.skipped] == ["Line 2", "Line 3", "Line 6"]
    assert [one.canvas_id for one in roster.students] == ["101", "102"]
    assert [one.section for one in roster.students] == ["Monday", "Tuesday"]


def test_plain_list_needs_no_header() -> None:
    roster = rosters.read(LIST.encode())
    assert roster.source == "list"
    assert [one.name for one in roster.students] == ["Ada Lovelace", "Grace Hopper"]
    assert [one.name for one in rosters.read(b"Hopper, Grace\nAda Lovelace\n").students] == [
        "Grace Hopper",
        "Ada Lovelace",
    ]
    assert [one.email for one in rosters.read(b"ada@uni.example\ngrace@uni.example").students] == [
        "ada@uni.example",
        "grace@uni.example",
    ]


def test_unknown_header_is_read_after_it_was_mapped() -> None:
    content = b"Kursteilnehmerin,Kennziffer\nAda Lovelace,S1\n"
    with pytest.raises(Refused, match=r"No column .*'Kursteilnehmerin', 'Kennziffer'.*--map"):
        rosters.read(content)
    mapped = {"Kursteilnehmerin": "name", "kennziffer": "external_id"}
    (ada,) = rosters.read(content, mapped).students
    assert (ada.given, ada.family, ada.external_id) == ("Ada", "Lovelace", "S1")
    assert rosters.read(GERMAN.encode(), remembered=mapped).students[0].name == "Ada Lovelace"
    with pytest.raises(Refused, match="There is no column 'Kursteilnehmerin'"):
        rosters.read(GERMAN.encode(), mapped)


def test_a_mapped_header_keeps_the_platform() -> None:
    canvas = files_with(CANVAS, "Section", "Tutorgroup").encode()
    roster = rosters.read(canvas, {"Tutorgroup": "group"})
    assert roster.source == "Canvas"
    assert [(one.name, one.canvas_id, one.group) for one in roster.students] == [
        ("Ada Lovelace", "101", "Monday"),
        ("Grace Hopper", "102", "Tuesday"),
    ]
    brightspace = rosters.read(
        BRIGHTSPACE.encode(), remembered={"Last Name": "family", "Tutorgroup": "group"}
    )
    assert [one.external_id for one in brightspace.students] == ["S1", "S2"]


def files_with(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def test_lines_above_the_header_are_skipped_and_named() -> None:
    roster = rosters.read(b"Course ML 2026\n\nID number,Name\nS1,Ada Lovelace\n")
    assert [(one.external_id, one.name) for one in roster.students] == [("S1", "Ada Lovelace")]
    assert roster.skipped == ["Line 1: above the header"]
    with pytest.raises(Refused, match="line 2 has 3 cells: neither a table nor a list"):
        rosters.read(b"Course ML 2026\nS1,Ada,Lovelace\n")


def test_excels_line_names_the_tab() -> None:
    (ada,) = rosters.read(b"sep=\t\r\nID number\tName\r\nS1\tAda Lovelace\r\n").students
    assert (ada.external_id, ada.name) == ("S1", "Ada Lovelace")


LOCALISED = [
    ("Name;Vorname;Matrikelnummer\nLovelace;Ada;S1\n", "S1", None),
    ("Vollständiger Name;Vorname;Matrikelnummer\nAda Lovelace;Ada;S1\n", "S1", None),
    (
        "ID,Vollständiger Name,ID-Nummer,Bewertung\nTeilnehmer/in 12,Ada Lovelace,S1,\n",
        "S1",
        "Teilnehmer/in 12",
    ),
    ('Étudiant,ID,SIS User ID,SIS Login ID,Section\n    Points,,,,\n"Lovelace, Ada",1,S1,ada,\n', "S1", None),
]


@pytest.mark.parametrize(("text", "number", "worksheet"), LOCALISED)
def test_localised_headers_name_the_student(text: str, number: str, worksheet: str | None) -> None:
    (ada,) = rosters.read(text.encode()).students
    assert (ada.given, ada.family, ada.external_id, ada.worksheet_id) == (
        "Ada",
        "Lovelace",
        number,
        worksheet,
    )


def test_names_with_joiners_and_long_sections_are_read() -> None:
    (one,) = rosters.read(
        f"ID number,Name,Sections\nS1,\u0645\u06cc\u200c\u0631 Ada\u200b,{'x' * 175}\n".encode()
    ).students
    assert one.name == "\u0645\u06cc\u200c\u0631 Ada"
    assert one.section == "x" * 120


@on_sqlite
def test_rosters_without_a_common_id_are_matched_by_a_name_of_their_own(
    database_of_a_class: Database,
) -> None:
    run(database_of_a_class, "Name,Email\nAda Lovelace,ada@uni.example\nKim Lee,kim1@uni.example\n")
    later = CANVAS + '"Lee, Kim",104,S4,kim,Monday,,\n'
    assert counts(run(database_of_a_class, later)) == (
        1,
        0,
        2,
        0,
    )  # Grace is new, the others get their numbers


@on_sqlite
def test_an_address_of_one_student_beside_the_number_of_another_is_a_problem(
    database_of_a_class: Database,
) -> None:
    run(database_of_a_class, MOODLE)
    with pytest.raises(Refused) as refused:
        run(database_of_a_class, "ID number,Name,Email\nS4,Mary Shelley,ada@uni.example\n", only_add=True)
    assert "an id is that of Ada Lovelace" in refused.value.problems[0].message
    corrected = "ID number,Name,Email\nS5,Ada Lovelace,ada@uni.example\n"
    assert counts(run(database_of_a_class, corrected, only_add=True)) == (0, 0, 1, 0)


@on_sqlite
def test_student_who_left_is_brought_back_by_hand(database_of_a_class: Database) -> None:
    run(database_of_a_class, MOODLE)
    run(database_of_a_class, MOODLE.replace("Ada,Lovelace,S1,Uni,CS,ada@", "Eve,Moneypenny,S9,Uni,CS,eve@"))
    assert "Ada Lovelace" not in active(database_of_a_class)
    with database_of_a_class.begin() as session:
        classroom = classes.by_slug(session, "ml")
        row = rosters.Student(0, "Ada", "Lovelace", external_id=" S1 ")
        rosters.add(session, classroom, row, by="prof", now=NOON)
        for email in ("nowhere", "x" * 300 + "@uni.example"):
            with pytest.raises(Refused, match="No student was added"):
                wrong = rosters.Student(0, "Bob", "Noyce", email=email)
                rosters.add(session, classroom, wrong, by="prof", now=NOON)
    assert "Ada Lovelace" in active(database_of_a_class)


WRONG = [
    (b"", "The file is empty"),
    (b"\xff\xfe", "The file is empty"),
    (b"Name,Email\n", "no student below"),
    (b"PK\x03\x04rest", "Excel workbook"),
    (b"Name,Email\nAda,ada\0@uni.example", "Line 2 holds a NUL"),
    (b"\xef\xbb\xbfName,Email\nAda,a@b.c\nGr\xe4ce,g@b.c", "Line 3: the bytes are not UTF-8"),
    (b'Name,Email\nAda,"a@b.c\nGrace,g@b.c', "Line 2: a cell that begins with a quote"),
]


@pytest.mark.parametrize(("content", "words"), WRONG, ids=[words for _, words in WRONG])
def test_file_that_is_no_roster_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        rosters.read(content)


ROWS = [
    ("Name,Email\nAda,ada at uni\nGrace,g@b.c\n", 2, "'ada at uni' is no e-mail address"),
    ("ID number,Name\nS1,Ada\nS2,Grace\nS1,Ada\n", 4, "Lines 2 and 4 have the same student number"),
    ("Ada\nGrace\nada\n", 3, "Lines 1 and 3 have the name 'ada' and no id"),
    ("Login,Name\nada,Ada\nADA,Ada\n", 3, "Lines 2 and 3"),
    ("ID number,Name\nS1,Ada\n,\nS3,Eve,x,y\n", 4, "4 cells, where the header has 2"),
    (f"ID number,Name\nS1,{'A' * 200} B\n", 2, "given has 200 characters; at most 120"),
    ('ID number,Name\n"S\u202e1",Ada\n', 2, "external_id holds a character without a form"),
    ("Name,Grade\nAda,1\n   ,2\n", 3, "the row names no student"),
]


@pytest.mark.parametrize(("text", "line", "words"), ROWS, ids=[words for *_, words in ROWS])
def test_wrong_row_is_named_by_its_line(text: str, line: int, words: str) -> None:
    (problem,) = rosters.read(text.encode()).problems
    assert problem.line == line
    assert words in problem.message


def test_cell_of_several_lines_does_not_move_the_lines_of_problems() -> None:
    text = 'ID number,Name,Email\nS1,"Ada\nLovelace",ada@b.c\nS2,Grace,nowhere\n'
    roster = rosters.read(text.encode())
    assert roster.students[0].name == "Ada Lovelace"
    assert [problem.line for problem in roster.problems] == [4]


@on_sqlite
def test_import_is_an_upsert_and_the_gone_become_inactive(database_of_a_class: Database) -> None:
    database = database_of_a_class
    assert counts(run(database, MOODLE)) == (2, 0, 0, 0)
    assert counts(run(database, MOODLE)) == (0, 2, 0, 0)
    assert counts(run(database, GERMAN)) == (0, 0, 2, 0)  # it has sections
    assert counts(run(database, CANVAS)) == (0, 0, 2, 0)  # other sections, Canvas's ids, logins
    later = MOODLE.replace("Hopper", "Murray Hopper") + "Alan,Turing,S3,Uni,CS,alan@uni.example,,\n"
    later = later.replace("Ada,Lovelace,S1,Uni,CS,ada@uni.example", "Mary,Shelley,S4,Uni,CS,mary@uni.example")
    assert counts(run(database, later)) == (2, 0, 1, 1)
    assert active(database) == ["Grace Murray Hopper", "Mary Shelley", "Alan Turing"]
    assert counts(run(database, MOODLE)) == (0, 0, 2, 2)  # Ada comes back, Grace has her name again
    assert active(database) == ["Grace Hopper", "Ada Lovelace"]
    with database.read() as session:
        everyone = rosters.members(session, classes.by_slug(session, "ml"))
    assert len(everyone) == 4
    assert len({one.pseudonym for one in everyone}) == 4


@on_sqlite
def test_roster_with_a_problem_stores_nothing(database_of_a_class: Database) -> None:
    run(database_of_a_class, MOODLE)
    wrong = MOODLE + "Alan,Turing,S3,Uni,CS,nowhere,,\n"
    with pytest.raises(Refused, match="Nothing was imported: 1 problem") as refused:
        run(database_of_a_class, wrong)
    assert [problem.line for problem in refused.value.problems] == [4]
    assert active(database_of_a_class) == ["Grace Hopper", "Ada Lovelace"]


@on_sqlite
def test_two_students_of_one_name_stay_two(database_of_a_class: Database) -> None:
    twins = "ID number,Name,Email\nS1,Kim Lee,kim1@uni.example\nS2,Kim Lee,kim2@uni.example\n"
    assert counts(run(database_of_a_class, twins)) == (2, 0, 0, 0)
    assert counts(run(database_of_a_class, twins)) == (0, 2, 0, 0)
    # One of them without the other's id: a third student, since the name decides nothing beside an id.
    assert counts(run(database_of_a_class, "ID number,Name\nS3,Kim Lee\n", only_add=True)) == (1, 0, 0, 0)
    # A list of names cannot tell which of the three is meant.
    with pytest.raises(Refused) as refused:
        run(database_of_a_class, "ID number,Name,Email\nS1,Kim Lee,kim2@uni.example\n")
    assert "2 students of the class" in refused.value.problems[0].message


@on_sqlite
def test_student_added_by_hand_stays_until_a_roster_has_it(database_of_a_class: Database) -> None:
    database = database_of_a_class
    run(database, MOODLE)
    with database.begin() as session:
        classroom = classes.by_slug(session, "ml")
        row = rosters.Student(0, "Alan", "Turing", email="alan@uni.example")
        rosters.add(session, classroom, row, by="prof", now=NOON)
        with pytest.raises(Refused, match="in the class already"):
            rosters.add(session, classroom, row, by="prof", now=NOON)
    assert counts(run(database, MOODLE)) == (0, 2, 0, 0)
    assert len(active(database)) == 3
    assert counts(run(database, MOODLE + "Alan,Turing,S3,Uni,CS,alan@uni.example,,\n")) == (0, 2, 1, 0)
    assert counts(run(database, MOODLE)) == (0, 2, 0, 1)


@on_sqlite
def test_two_thousand_students_are_read_and_planned(database_of_a_class: Database) -> None:
    rows = "".join(f"S{n},Student Number{n},s{n}@uni.example\n" for n in range(2000))
    assert counts(run(database_of_a_class, "ID number,Name,Email\n" + rows)) == (2000, 0, 0, 0)
    assert counts(run(database_of_a_class, "ID number,Name,Email\n" + rows)) == (0, 2000, 0, 0)


@on_sqlite
def test_personal_code_joins_one_student_once(database_of_a_class: Database) -> None:
    database = database_of_a_class
    run(database, MOODLE)
    with database.begin() as session:
        classroom = classes.by_slug(session, "ml")
        issued = codes.issue(session, classroom, key=KEY, by="prof", now=NOON)
        assert [one.enrolment.name for one in issued] == ["Grace Hopper", "Ada Lovelace"]
        assert codes.issue(session, classroom, key=KEY, by="prof", now=NOON) == []
        text = codes.shown(issued[0].code).lower().replace("0", "o").replace("1", "l")
        row, enrolment = codes.owner(session, classroom, text, key=KEY)
        assert enrolment.name == "Grace Hopper"
        with pytest.raises(Refused, match="not valid"):
            codes.owner(session, classroom, text, key="another installation")
        (again,) = codes.issue(
            session, classroom, key=KEY, by="prof", now=NOON, only=[enrolment.id], again=True
        )
        with pytest.raises(Refused, match="not valid"):
            codes.owner(session, classroom, issued[0].code, key=KEY)
        row, _ = codes.owner(session, classroom, again.code, key=KEY)
        row.used_at = NOON + timedelta(hours=1)
        session.flush()
        with pytest.raises(Refused, match="not valid"):
            codes.owner(session, classroom, again.code, key=KEY)
    run(database, MOODLE.replace("Ada,Lovelace,S1,Uni,CS,ada@", "Eve,Moneypenny,S9,Uni,CS,eve@"))
    with database.read() as session, pytest.raises(Refused, match="not valid"):  # Ada is gone
        codes.owner(session, classes.by_slug(session, "ml"), issued[1].code, key=KEY)


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
IDS = st.lists(st.integers(1, 40), unique=True, max_size=12)


def enrolled(roster: Roster) -> list[Enrolment]:
    return [
        Enrolment(
            id=n,
            role="student",
            given=one.given,
            family=one.family,
            external_id=one.external_id,
            is_by_hand=False,
        )
        for n, one in enumerate(roster.students, start=1)
    ]


@given(IDS.filter(bool), IDS.filter(bool))
def test_plan_counts_each_student_once(before: list[int], after: list[int]) -> None:
    def text(ids: list[int]) -> bytes:
        return ("ID number,Name\n" + "".join(f"S{n},Student {n}\n" for n in ids)).encode()

    plan = rosters.plan(rosters.read(text(after)), enrolled(rosters.read(text(before))))
    assert not plan.problems
    assert counts(plan) == (
        len(set(after) - set(before)),
        len(set(after) & set(before)),
        0,
        len(set(before) - set(after)),
    )


@given(
    st.lists(NAMES, min_size=2, max_size=5, unique_by=str.casefold), st.sampled_from([",", ";", "\t", "|"])
)
def test_delimiter_and_encoding_do_not_change_a_roster(names: list[str], delimiter: str) -> None:
    rows = ["ID number", *(f"S{n}" for n in range(len(names)))], ["Surname", *names]
    text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in zip(*rows, strict=True))
    found = [rosters.read(text.encode(encoding)) for encoding in ("utf-8", "utf-8-sig", "utf-16")]
    assert [[one.family for one in roster.students] for roster in found] == 3 * [names]


def test_pseudonyms_of_a_class_are_all_different() -> None:
    free = Free([])
    assert len({free.take() for _ in range(8000)}) == 8000


def test_class_needs_a_name_of_its_own(database: Database) -> None:
    with database.begin() as session:
        made = classes.make(session, "ml-2026", by="prof", now=NOON)
        assert isinstance(made, Classroom)
        with pytest.raises(Refused, match="already"):
            classes.make(session, "ml-2026", by="prof", now=NOON)
        with pytest.raises(Refused, match="cannot name a class"):
            classes.make(session, "ML 2026", by="prof", now=NOON)
