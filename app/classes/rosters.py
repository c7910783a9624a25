"""Rosters: which students a file names, what an import would change, and the import.

An import is a plan that is applied as a whole: students that are new, the same, changed or gone. A plan with
a problem is never applied. The gone become inactive and keep their files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.base import events
from app.base.errors import NotFound, Refused
from app.base.models_classes import Classroom, Enrolment, JoinCode, Role
from app.classes import columns, pseudonyms, sheets
from app.classes.columns import Columns, NotMapped
from app.classes.sheets import Row, line_list
from scorer.report import Problem

IDS = ("external_id", "canvas_id", "login", "email", "worksheet_id")
"""What names one student, the strongest first."""
FACTS = (*IDS, "given", "family", "section", "group")
LONGEST = dict.fromkeys(FACTS, 120) | {"email": 254}
_LOWER = ("login", "email")
"""Compared without case."""
_STORED = {"group": "team"}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\ufeff\u00ad"))
"""Removed: they are no part of a name."""
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
"""Kept: Persian and Indic names need them."""
_STRONG = ("external_id", "canvas_id")
"""Ids that contradict a match by another one."""


@dataclass(frozen=True)
class Student:
    """A row of a roster; None and an empty name are what it does not have."""

    line: int
    given: str = ""
    family: str = ""
    external_id: str | None = None
    canvas_id: str | None = None
    login: str | None = None
    email: str | None = None
    worksheet_id: str | None = None
    section: str | None = None
    group: str | None = None

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}".strip()

    def ids(self) -> list[tuple[str, str]]:
        return [key for name in IDS if (key := _key(name, getattr(self, name))) is not None]


@dataclass(frozen=True)
class Roster:
    """What a file names."""

    source: str
    encoding: str
    delimiter: str
    columns: Mapping[str, str]
    """Field to header."""
    students: Sequence[Student]
    skipped: Sequence[str]
    """Lines that are no students, in words."""
    problems: Sequence[Problem]
    header: int = 0
    """Which row of the sheet is the header."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """Field to its column, from 0."""


@dataclass(frozen=True)
class Change:
    enrolment_id: int
    student: Student
    facts: Mapping[str, tuple[str | None, str | None]]
    """Field to its value before and after; `state` where a student comes back."""


@dataclass(frozen=True)
class Plan:
    """What an import would do to a class."""

    roster: Roster
    new: Sequence[Student] = ()
    same: Sequence[int] = ()
    changed: Sequence[Change] = ()
    gone: Sequence[int] = ()
    by_hand: Sequence[int] = ()
    """Added by hand and not in the roster: they stay."""
    problems: Sequence[Problem] = field(default=())
    matched: Mapping[int, int] = field(default_factory=dict)
    """The enrolment of each line that is a present student's."""


def read(
    content: bytes, chosen: Mapping[str, str] | None = None, *, remembered: Mapping[str, str] | None = None
) -> Roster:
    """Return the students of a file; `chosen` maps headers to fields.

    `remembered` does so as far as the file has these headers; another platform's export has none of them.

    Raises Refused for a file that is no table or names no student; what is wrong with single rows is in its
    problems.
    """
    sheet = sheets.read(content)
    begin = columns.header_of([row.cells for row in sheet.rows], {**(remembered or {}), **(chosen or {})})
    first = sheet.rows[begin].cells
    present = {columns.folded(cell) for cell in first}
    known = {header: name for header, name in (remembered or {}).items() if columns.folded(header) in present}
    found = columns.find(first, {**known, **(chosen or {})})
    body = sheet.rows[begin + 1 :]
    if not found.header:  # a comma in a list of names divides a name
        body = [Row(row.line, [", ".join(row.cells)]) for row in sheet.rows]
        if wide := next((row for row in sheet.rows if sum(map(bool, row.cells)) > 2), None):
            raise NotMapped(
                f"The first row names no column that is known, and line {wide.line} has {len(wide.cells)} "
                "cells: neither a table nor a list of names. Begin the file with its header, or map a column "
                "with --map."
            )
    skipped = [f"Line {row.line}: above the header" for row in sheet.rows[:begin]]
    students, problems = [], []
    for row in body:
        if (why := _no_student(row, found)) is not None:
            skipped.append(f"Line {row.line}: {why}")
            continue
        student, wrong = _student(row, found)
        problems.extend(wrong)
        students.append(student)
    if not students and not problems:
        raise Refused("The file has a header and no student below it.")
    problems.extend(_repeated(students))
    return Roster(
        source=found.source,
        encoding=sheet.encoding,
        delimiter=sheet.delimiter,
        columns=found.as_dict(),
        students=students,
        skipped=skipped,
        problems=_in_order(problems),
        header=begin,
        positions=found.positions,
    )


def _no_student(row: Row, found: Columns) -> str | None:
    """Return why a row is no student's, in words."""
    if found.source != "Canvas":
        return None
    name = _cell(row, found.positions.get("name", 0))
    texts = [cell.strip() for cell in row.cells]
    has_id = any(_cell(row, found.positions[field]) for field in IDS if field in found.positions)
    if not has_id and (name == "" or row.cells[0][:1].isspace()):
        return "points possible, no student" if name else "settings of assignments, no student"
    if name == "Student, Test" or (name == "Test Student" and not _cell(row, found.positions.get("login"))):
        return "Canvas's test student"
    return "settings of assignments, no student" if "Manual Posting" in texts and not has_id else None


def _student(row: Row, found: Columns) -> tuple[Student, list[Problem]]:
    """Return the student of a row, with what is wrong with it."""
    values = {name: _cell(row, at).translate(_INVISIBLE) for name, at in found.positions.items()}
    whole = values.pop("name", "")
    for name in ("section", "group"):  # Gradescope joins several
        values[name] = values.get(name, "")[: LONGEST[name]]
    if found.source == "Brightspace":  # it writes ids and names as `#123`, so that Excel keeps them
        for name in ("external_id", "login"):
            values[name] = values.get(name, "").removeprefix("#")
    if whole:
        values["given"], values["family"] = _names(whole, values.get("given", ""), values.get("family", ""))
    problems = []
    for name, value in values.items():
        longest = LONGEST.get(name, sheets.MOST_CHARACTERS)
        if len(value) > longest:
            problems.append(
                _problem(
                    "TOO_LONG", row.line, f"{name} has {len(value):,} characters; at most {longest} are kept."
                )
            )
        elif not value.translate(_JOINERS).isprintable():
            problems.append(
                _problem("CONTROL_CHARACTER", row.line, f"{name} holds a character without a form.")
            )
    email = values.get("email", "")
    if email and (email.count("@") != 1 or email.startswith("@") or email.endswith("@") or " " in email):
        problems.append(_problem("NO_ADDRESS", row.line, f"{email[:80]!r} is no e-mail address."))
    if (
        found.header
        and len(row.cells) > len(found.header)
        and any(c.strip() for c in row.cells[len(found.header) :])
    ):
        words = (
            f"{len(row.cells)} cells, where the header has {len(found.header)}: a delimiter inside a cell?"
        )
        problems.append(_problem("TOO_MANY_CELLS", row.line, words))
    names = values.get("given", ""), values.get("family", "")
    kept: dict[str, Any] = {name: values.get(name) or None for name in (*IDS, "section", "group")}
    if not any(kept[name] for name in IDS) and not any(names):
        problems.append(_problem("NO_STUDENT", row.line, "the row names no student."))
    return Student(row.line, names[0], names[1], **kept), problems


def _cell(row: Row, at: int | None) -> str:
    if at is None or at >= len(row.cells):
        return ""
    return " ".join(row.cells[at].split())


def _names(whole: str, given: str, family: str) -> tuple[str, str]:
    """Return given and family name of a column of names and those beside it.

    `Name` beside `Vorname` is the family name, as in many German lists, unless it holds the given one too.
    """
    if given and family:
        return given, family
    if not given and not family:
        return divided(whole)
    other = given or family
    if other.casefold() in whole.casefold():
        return divided(whole)
    return (given, whole) if given else (whole, family)


def divided(whole: str) -> tuple[str, str]:
    """Return given and family name of a whole one; the last word is the family name without a comma."""
    family, comma, given = whole.partition(",")
    if comma:
        return given.strip(), family.strip()
    given, _, family = whole.rpartition(" ")
    return given, family


def _repeated(students: Sequence[Student]) -> list[Problem]:
    """Return a problem for each student that the file names twice."""
    problems = []
    listed: set[tuple[int, ...]] = set()
    lines: dict[tuple[str, str], list[int]] = defaultdict(list)
    for student in students:
        for key in student.ids() or [("name", student.name.casefold())]:
            lines[key].append(student.line)
    for (name, value), at in lines.items():
        if len(at) < 2 or tuple(at) in listed:
            continue
        listed.add(tuple(at))
        what = (
            f"the same {columns.FIELDS[name]} {value!r}" if name in IDS else f"the name {value!r} and no id"
        )
        problems.append(
            _problem(
                "REPEATED",
                at[1],
                f"{line_list(at)} have {what}. Remove all but one, or give each student an id of its own.",
            )
        )
    return problems


def plan(roster: Roster, present: Iterable[Enrolment], *, only_add: bool = False) -> Plan:
    """Return what importing a roster would change of the present enrolments.

    A row is a present student's if one of its ids is; else if its name is the only such one on both sides and
    no id differs. With `only_add` none is gone: the file is of one section, or of later students.
    """
    students = [one for one in present if one.role == Role.STUDENT]
    by_key: dict[tuple[str, str], list[Enrolment]] = defaultdict(list)
    by_name: dict[str, list[Enrolment]] = defaultdict(list)
    for enrolment in students:
        for name in IDS:
            if (key := _key(name, getattr(enrolment, name))) is not None:
                by_key[key].append(enrolment)
        by_name[enrolment.name.casefold()].append(enrolment)
    problems = list(roster.problems)
    new, changed, same = [], [], []
    taken: dict[int, int] = {}
    by_ids = {
        student.line: {one.id: one for key in student.ids() for one in by_key[key]}
        for student in roster.students
    }
    matched_by_ids = {id_ for found in by_ids.values() for id_ in found}
    named = Counter(student.name.casefold() for student in roster.students)
    for student in roster.students:
        found = by_ids[student.line]
        if not found and named[student.name.casefold()] == 1:
            others = [one for one in by_name[student.name.casefold()] if one.id not in matched_by_ids]
            # A name decides only where it is the only one and no id differs: two students may have one name.
            if len(others) == 1 and not _contradicts(others[0], student, IDS):
                found = {others[0].id: others[0]}
        if len(found) > 1:
            names = " and ".join(sorted(one.name or f"number {one.id}" for one in found.values()))
            words = f"its ids are those of {len(found)} students of the class: {names}. Correct one of them."
            problems.append(_problem("TWO_STUDENTS", student.line, words))
            continue
        if not found:
            new.append(student)
            continue
        ((enrolment_id, enrolment),) = found.items()
        is_named_so = enrolment.name.casefold() == student.name.casefold()
        if not is_named_so and _contradicts(enrolment, student, _STRONG):
            words = (
                f"an id is that of {enrolment.name or 'a student of the class'}, whose number and name are "
                "others. Correct the row, or the student's entry in the platform."
            )
            problems.append(_problem("TWO_STUDENTS", student.line, words))
            continue
        if enrolment_id in taken:
            words = f"{line_list([taken[enrolment_id], student.line])} are one student of the class."
            problems.append(_problem("REPEATED", student.line, words))
            continue
        taken[enrolment_id] = student.line
        facts = _differences(enrolment, student)
        if facts:
            changed.append(Change(enrolment_id, student, facts))
        else:
            same.append(enrolment_id)
    absent = [one for one in students if one.id not in taken and one.left_at is None]
    gone = [one.id for one in absent if not one.is_by_hand and not only_add]
    by_hand = [one.id for one in absent if one.is_by_hand and not only_add]
    matched = {line: enrolment_id for enrolment_id, line in taken.items()}
    return Plan(roster, new, same, changed, gone, by_hand, _in_order(problems), matched)


def _contradicts(enrolment: Enrolment, student: Student, names: Iterable[str]) -> bool:
    """Whether one of these ids is given on both sides and differs."""
    for name in names:
        before, after = getattr(enrolment, name), getattr(student, name)
        if before and after and _same(name, before) != _same(name, after):
            return True
    return False


def _differences(enrolment: Enrolment, student: Student) -> dict[str, tuple[str | None, str | None]]:
    """Return what a row changes. A cell that is empty changes nothing: rosters differ in their columns."""
    facts: dict[str, tuple[str | None, str | None]] = {}
    for name in FACTS:
        before, after = getattr(enrolment, _STORED.get(name, name)), getattr(student, name)
        if after and _same(name, before) != _same(name, after):
            facts[name] = before, after
    if enrolment.left_at is not None:
        facts["state"] = "inactive", "active"
    return facts


def _same(name: str, value: str | None) -> str | None:
    return value.casefold() if value and name in _LOWER else value


def apply(session: Session, classroom: Classroom, made: Plan, *, by: str, now: datetime) -> list[Enrolment]:
    """Change the class as the plan says; return the new enrolments. Refuses a plan with problems."""
    if made.problems:
        raise Refused(f"Nothing was imported: {_count(len(made.problems), 'problem')}.", made.problems)
    present = {one.id: one for one in members(session, classroom)}
    names = pseudonyms.Free(one.pseudonym for one in present.values())
    added = [
        Enrolment(classroom_id=classroom.id, pseudonym=names.take(), created_at=now, **_facts(student))
        for student in made.new
    ]
    session.add_all(added)
    for change in made.changed:
        enrolment = present[change.enrolment_id]
        for name, (_, after) in change.facts.items():
            if name == "state":
                enrolment.left_at = None
            else:
                setattr(enrolment, _STORED.get(name, name), after)
        enrolment.is_by_hand = False
    for enrolment_id in made.same:
        present[enrolment_id].is_by_hand = False
    for enrolment_id in made.gone:
        present[enrolment_id].left_at = now
    revoke_codes(session, made.gone, now=now)
    session.flush()
    events.log(
        session,
        by,
        "roster imported",
        f"class {classroom.slug}",
        now=now,
        new=len(made.new),
        same=len(made.same),
        changed=len(made.changed),
        gone=len(made.gone),
    )
    return added


def revoke_codes(session: Session, enrolment_ids: Iterable[int], *, now: datetime) -> None:
    """End the unused codes of these members."""
    listed = list(enrolment_ids)
    for begin in range(0, len(listed), 500):
        some = JoinCode.enrolment_id.in_(listed[begin : begin + 500])
        for code in session.scalars(
            select(JoinCode).where(some, JoinCode.used_at.is_(None), JoinCode.revoked_at.is_(None))
        ):
            code.revoked_at = now


def add(session: Session, classroom: Classroom, student: Student, *, by: str, now: datetime) -> Enrolment:
    """Add one student by hand, or bring one back; a later roster with the same ids takes it over."""
    row = Row(0, [getattr(student, name) or "" for name in FACTS])
    student, wrong = _student(row, Columns("by hand", FACTS, {name: at for at, name in enumerate(FACTS)}))
    if wrong:
        words = " ".join(problem.message.removeprefix("Line 0: ") for problem in wrong)
        raise Refused(f"No student was added: {words}")
    made = plan(Roster("by hand", "", "", {}, [student], [], ()), members(session, classroom), only_add=True)
    if made.problems:
        raise Refused("No student was added.", made.problems)
    back = [change.enrolment_id for change in made.changed if "state" in change.facts]
    if not made.new and not back:
        raise Refused("The student is in the class already.")
    added = apply(session, classroom, made, by=by, now=now)
    one = added[0] if added else session.get_one(Enrolment, back[0])
    one.is_by_hand = True
    return one


def set_active(
    session: Session, classroom: Classroom, enrolment_id: int, *, is_active: bool, by: str, now: datetime
) -> Enrolment:
    """Set a student inactive, which ends unused codes, or active again; files stay in both cases."""
    one = student_of(session, classroom, enrolment_id)
    if (one.left_at is None) == is_active:
        return one
    one.left_at = None if is_active else now
    if not is_active:
        revoke_codes(session, [one.id], now=now)
    session.flush()
    action = "student set active" if is_active else "student set inactive"
    events.log(session, by, action, f"class {classroom.slug}", now=now, enrolment=one.id)
    return one


def student_of(session: Session, classroom: Classroom, enrolment_id: int) -> Enrolment:
    """Return a student of the class, also an inactive one."""
    one = session.get(Enrolment, enrolment_id)
    if one is None or one.classroom_id != classroom.id or one.role != Role.STUDENT:
        raise NotFound(f"The class has no student {enrolment_id}.")
    return one


def headers(content: bytes) -> list[tuple[str, list[str], str]]:
    """Return of each column of a table its header, its first values and the field it is known to hold.

    A person confirms what each column holds; the field is "" where it is unknown.
    """
    sheet = sheets.read(content)
    begin = columns.header_of([row.cells for row in sheet.rows], {})
    first, body = sheet.rows[begin].cells, sheet.rows[begin + 1 : begin + 4]
    known = columns.known(first)
    return [
        (header, [row.cells[at][:60] for row in body if at < len(row.cells)], known[at])
        for at, header in enumerate(first)
    ]


def members(session: Session, classroom: Classroom) -> list[Enrolment]:
    """Return all members of a class, also inactive ones, by family name."""
    its = select(Enrolment).where(Enrolment.classroom_id == classroom.id)
    found = session.scalars(its)
    return sorted(found, key=lambda one: (one.family.casefold(), one.given.casefold(), one.id))


def _facts(student: Student) -> dict[str, Any]:
    return {_STORED.get(name, name): getattr(student, name) for name in FACTS}


def _key(name: str, value: str | None) -> tuple[str, str] | None:
    if not value:
        return None
    return name, value.casefold() if name in _LOWER else value


def _problem(code: str, line: int, words: str) -> Problem:
    return Problem(
        code, f"Line {line}: {words}" if not words.startswith("line") else _capital(words), line=line
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda one: one.line or 0)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
