"""The requests and answers of the API about classes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.base.models_classes import BoardNames, Role
from app.classes.grade_rules import Missing
from app.classes.progress import Stage
from app.web.api.models import Answer, Problem, Request, Time

Title = Annotated[str, Field(min_length=1, max_length=200)]


class Class(Answer):
    """A class, as its staff sees it."""

    name: str
    title: str
    code: str = Field(description="The class code: it leads to the page to join and permits nothing alone.")
    names: BoardNames
    students: int = Field(description="Students that are active.")
    joined: int = Field(description="Of these, with an account.")
    archived_at: Time | None


class Classes(Answer):
    classes: list[Class]


class ClassMember(Answer):
    """An instructor or assistant."""

    id: int
    account: str
    role: Role


class ClassShown(Answer):
    """A class with its competitions and staff."""

    classroom: Class
    competitions: list[str]
    staff: list[ClassMember]
    columns: dict[str, str] = Field(description="Headers of rosters to what they hold, as mapped.")


class NewClass(Request):
    title: Title
    name: str = Field("", description="Of its address; empty: made of the title.", max_length=60)
    challenge: str = Field("", description="A competition of it is opened.", max_length=60)
    competition: str = Field("", description="A competition that is there.", max_length=60)
    closes_at: str | None = Field(None, description="Of the new competition, with UTC offset.", max_length=40)
    names: BoardNames = BoardNames.FREE


class ClassChange(Request):
    """What is absent stays."""

    title: Title | None = None
    names: BoardNames | None = None
    archived: bool | None = None
    columns: dict[str, str] | None = Field(None, description="Headers to fields, which are added.")


class ClassCopy(Request):
    title: Title


class ClassCompetitionName(Request):
    competition: str = Field(max_length=60)


class NewClassMember(Request):
    account: str = Field(max_length=40)
    role: str = Field("assistant", description="instructor or assistant", max_length=20)


class StudentsQuery(Request):
    competition: str = Field("", description="Whose files and scores; empty: the latest.", max_length=60)


class RefusedKind(Answer):
    """Why newest files of a stuck student were refused."""

    code: str
    message: str
    files: int


class ClassStudent(Answer):
    id: int
    name: str
    external_id: str | None
    login: str | None
    email: str | None
    section: str | None
    pseudonym: str
    state: Stage
    account: str | None
    has_code: bool
    team: str | None
    files: int
    last_at: Time | None
    best: float | None = Field(description="The shown score on the board.")
    refusals: list[RefusedKind]


class ClassStudents(Answer):
    competition: str | None
    students: list[ClassStudent]


class NewStudent(Request):
    name: str = Field(min_length=1, max_length=240)
    external_id: str | None = Field(None, max_length=120)
    login: str | None = Field(None, max_length=120)
    email: str | None = Field(None, max_length=254)
    section: str | None = Field(None, max_length=120)


class StudentChange(Request):
    active: bool


class RosterQuery(Request):
    dry_run: bool = Field(False, description="Only answer what would change.")
    only_add: bool = Field(False, description="The file is of a part of the class: none is gone.")


class Imported(Answer):
    """What an import changes; with a problem nothing."""

    new: int
    same: int
    changed: int
    gone: int
    problems: list[Problem]
    stored: bool
    source: str
    columns: dict[str, str]


class CodesWanted(Request):
    student: int | None = Field(None, description="One student alone, also one that has joined.")
    section: str = Field("", max_length=120)
    again: bool = Field(False, description="Replace codes that were not used; the old ones end.")


class PersonalCode(Answer):
    student: int
    name: str
    code: str


class PersonalCodes(Answer):
    """New codes, which are shown nowhere else."""

    code: str = Field(description="The class code.")
    codes: list[PersonalCode]


class AnchorShown(Answer):
    anchor: str
    score: float
    percent: float


class AnchorWanted(Request):
    anchor: str = Field(description="A score, or a baseline's name.", min_length=1, max_length=80)
    percent: float = Field(ge=0, le=100)


class GradeShown(Answer):
    student: int
    name: str
    external_id: str | None
    team: str | None
    score: float | None
    percent: float | None = Field(description="Null: left empty.")
    why: str


class Grades(Answer):
    competition: str
    is_preview: bool = Field(description="Of public scores, before the final results.")
    missing: Missing
    anchors: list[AnchorShown]
    grades: list[GradeShown]


class GradeRuleWanted(Request):
    competition: str = Field("", max_length=60)
    anchors: list[AnchorWanted] = Field([], description="None: by the baselines.", max_length=20)
    missing: Missing = Missing.EMPTY


class GradeRule(Answer):
    competition: str
    anchors: list[dict[str, Any]]
    missing: Missing


class FillQuery(Request):
    competition: str = Field("", max_length=60)
    column: str = Field("", description="Its header or a part; empty: by the title.", max_length=200)
