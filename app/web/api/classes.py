"""Classes over the API: make, change, copy; staff; rosters, students and codes; grades."""

from __future__ import annotations

from datetime import datetime

from flask import Response, g, make_response
from sqlalchemy.orm import Session

from app.authoring import challenges
from app.base import config, db
from app.base.errors import Refused
from app.base.models_classes import BoardNames, Classroom, Role
from app.classes import classes, codes, columns, grade_rules, grades, opening, progress, rosters, staff
from app.classes.codes import Issued
from app.classes.grade_rules import Rule
from app.classes.rosters import Student
from app.classes.staff import Right
from app.competing import visibility
from app.people.accounts import Viewer
from app.people.tokens import Grant, Scope
from app.web.api import classes_models as models
from app.web.api import models as shared
from app.web.api.access import organiser_token
from app.web.api.operations import BYTES, operation, read_body, read_query
from app.web.classes import grading, strips
from app.web.classes.taught import table_of_body
from app.web.context import bearer, parts
from app.web.json_answers import time_text


def taught(session: Session, now: datetime, slug: str, right: Right) -> tuple[Viewer, Classroom]:
    """Return the owner of a token of a class's staff, and the class; to others it does not exist."""
    bearer(session, now)
    grant: Grant = g.grant
    classroom = staff.permitted(session, slug, grant.owner, right)
    grant.require(Scope.ORGANISE)
    return grant.owner, classroom


def _class(one: classes.Listed) -> models.Class:
    room = one.classroom
    return models.Class(
        name=room.slug,
        title=room.title,
        code=codes.shown(room.code),
        names=BoardNames(room.names),
        students=one.active,
        joined=one.joined,
        archived_at=time_text(room.archived_at),
    )


def _shown(session: Session, classroom: Classroom) -> models.ClassShown:
    session.flush()
    return models.ClassShown(
        classroom=_class(classes.counted(session, classroom)),
        competitions=[one.slug for one in classes.competitions_of(session, classroom)],
        staff=[
            models.ClassMember(id=one.id, account=name, role=Role(one.role))
            for one, name in staff.listed(session, classroom)
        ],
        columns=dict(classroom.columns),
    )


@operation(
    "GET",
    "/classes",
    name="classes",
    says="The classes in which you teach; to an organiser all",
    answer=models.Classes,
    refuses=(403,),
)
def class_index() -> models.Classes:
    """List classes."""
    with parts().database.read() as session:
        me = bearer(session, db.now(session))
        found = [
            one
            for one in classes.listed(session, me)
            if staff.role_of(session, one.classroom, me) in staff.ROLES
        ]
    return models.Classes(classes=[_class(one) for one in found])


@operation(
    "POST",
    "/classes",
    name="make_class",
    says="The class",
    answer=models.ClassShown,
    status=201,
    refuses=(403, 404, 409, 422),
    body=models.NewClass,
    scope=Scope.ORGANISE,
)
def class_create() -> models.ClassShown:
    """Make a class, and open its competition or add one that is there."""
    with parts().database.begin() as session:
        now = db.now(session)
        me = organiser_token(session, now)
        wanted = read_body(models.NewClass)
        if wanted.challenge and wanted.competition:
            raise Refused("Give a challenge or a competition, not both.")
        made = opening.begin(
            session,
            me,
            wanted.title,
            slug=wanted.name,
            names=wanted.names,
            version=challenges.latest(session, wanted.challenge) if wanted.challenge else None,
            competition=visibility.find(session, wanted.competition, me) if wanted.competition else None,
            closes_at=_moment(wanted.closes_at),
            max_upload_bytes=parts().settings.max_upload_mb * 1_000_000,
            now=now,
        )
        return _shown(session, made)


def _moment(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        raise Refused(f"closes_at {text!r} is no time, such as 2026-12-01T18:00+01:00.") from None


@operation(
    "GET",
    "/classes/<slug:slug>",
    name="show_class",
    says="The class",
    answer=models.ClassShown,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def class_show(slug: str) -> models.ClassShown:
    """Get a class with its competitions and staff."""
    with parts().database.read() as session:
        _, classroom = taught(session, db.now(session), slug, Right.LOOK)
        return _shown(session, classroom)


@operation(
    "PATCH",
    "/classes/<slug:slug>",
    name="change_class",
    says="The class",
    answer=models.ClassShown,
    refuses=(403, 404, 422),
    body=models.ClassChange,
    scope=Scope.ORGANISE,
)
def class_change(slug: str) -> models.ClassShown:
    """Change title, names and the meaning of roster columns; archive a class or take it back."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        wanted = read_body(models.ClassChange)
        classes.change(
            session,
            classroom,
            title=wanted.title,
            names=wanted.names,
            is_archived=wanted.archived,
            by=me.name,
            now=now,
        )
        if wanted.columns:
            classroom.columns = {**classroom.columns, **columns.checked(wanted.columns)}
        return _shown(session, classroom)


@operation(
    "POST",
    "/classes/<slug:slug>/copy",
    name="copy_class",
    says="The new class",
    answer=models.ClassShown,
    status=201,
    refuses=(403, 404, 409, 422),
    body=models.ClassCopy,
    scope=Scope.ORGANISE,
)
def class_copy(slug: str) -> models.ClassShown:
    """Make a class for the next term with the same staff, without students and competitions."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        title = read_body(models.ClassCopy).title
        name = classes.free_slug(session, title)
        made = classes.copied(session, classroom, name, title=title, by=me.name, now=now)
        return _shown(session, made)


@operation(
    "POST",
    "/classes/<slug:slug>/competitions",
    name="add_class_competition",
    says="The class",
    answer=models.ClassShown,
    refuses=(403, 404, 422),
    body=models.ClassCompetitionName,
    scope=Scope.ORGANISE,
)
def class_competition_add(slug: str) -> models.ClassShown:
    """Make a competition that you organise one of the class."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        found = opening.named(session, me, read_body(models.ClassCompetitionName).competition)
        opening.add_competition(session, classroom, found, me, now=now)
        return _shown(session, classroom)


@operation(
    "POST",
    "/classes/<slug:slug>/staff",
    name="appoint",
    says="The class",
    answer=models.ClassShown,
    refuses=(403, 404, 409, 422),
    body=models.NewClassMember,
    scope=Scope.ORGANISE,
)
def class_staff_add(slug: str) -> models.ClassShown:
    """Give an account the role of an instructor or an assistant."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        wanted = read_body(models.NewClassMember)
        classes.lock(session, classroom)
        staff.appoint(session, classroom, wanted.account, wanted.role, by=me.name, now=now)
        return _shown(session, classroom)


@operation(
    "DELETE",
    "/classes/<slug:slug>/staff/<id:enrolment_id>",
    name="dismiss",
    says="The class",
    answer=models.ClassShown,
    refuses=(403, 404),
    scope=Scope.ORGANISE,
)
def class_staff_end(slug: str, enrolment_id: int) -> models.ClassShown:
    """End the role of an instructor or an assistant."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.MANAGE)
        staff.dismiss(session, classroom, enrolment_id, by=me.name, now=now)
        return _shown(session, classroom)


@operation(
    "GET",
    "/classes/<slug:slug>/students",
    name="students",
    says="The students with their states",
    answer=models.ClassStudents,
    query=models.StudentsQuery,
    refuses=(403, 404, 422),
    scope=Scope.ORGANISE,
)
def student_index(slug: str) -> models.ClassStudents:
    """List the students: joined, uploading, stuck with the reasons, or scored."""
    with parts().database.read() as session:
        _, classroom = taught(session, db.now(session), slug, Right.LOOK)
        wanted = read_query(models.StudentsQuery)
        competition = classes.competition_of(session, classroom, wanted.competition)
        found = progress.of(session, classroom, competition)
    return models.ClassStudents(
        competition=competition.slug if competition else None,
        students=[
            models.ClassStudent(
                id=one.enrolment.id,
                name=one.enrolment.name,
                external_id=one.enrolment.external_id,
                login=one.enrolment.login,
                email=one.enrolment.email,
                section=one.enrolment.section,
                pseudonym=one.enrolment.pseudonym,
                state=one.stage,
                account=one.account,
                has_code=one.has_code,
                team=one.team,
                files=one.files,
                last_at=time_text(one.last_at),
                best=one.best,
                refusals=[
                    models.RefusedKind(code=r.code, message=r.words, files=r.files) for r in one.refusals
                ],
            )
            for one in found
        ],
    )


@operation(
    "POST",
    "/classes/<slug:slug>/students",
    name="add_student",
    says="The student's personal code, shown once",
    answer=models.PersonalCodes,
    status=201,
    refuses=(403, 404, 409, 422),
    body=models.NewStudent,
    scope=Scope.ORGANISE,
)
def student_add(slug: str) -> models.PersonalCodes:
    """Add one student by hand, or bring one back."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        wanted = read_body(models.NewStudent)
        classes.lock(session, classroom)
        given, family = rosters.divided(" ".join(wanted.name.split()))
        row = Student(0, given, family, **wanted.model_dump(exclude={"name"}))
        added = rosters.add(session, classroom, row, by=me.name, now=now)
        return _issue(session, classroom, me, [added.id], again=True, now=now)


@operation(
    "PATCH",
    "/classes/<slug:slug>/students/<id:enrolment_id>",
    name="change_student",
    says="The class",
    answer=models.ClassShown,
    refuses=(403, 404, 422),
    body=models.StudentChange,
    scope=Scope.ORGANISE,
)
def student_change(slug: str, enrolment_id: int) -> models.ClassShown:
    """Set a student inactive, which ends unused codes, or active again."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        is_active = read_body(models.StudentChange).active
        classes.lock(session, classroom)
        rosters.set_active(session, classroom, enrolment_id, is_active=is_active, by=me.name, now=now)
        return _shown(session, classroom)


@operation(
    "POST",
    "/classes/<slug:slug>/roster",
    name="import_roster",
    says="What the import changes, or would change",
    answer=models.Imported,
    refuses=(403, 404, 411, 413, 422),
    query=models.RosterQuery,
    takes_file=True,
    scope=Scope.ORGANISE,
)
def roster_import(slug: str) -> models.Imported:
    """Bring a class to the state of a roster: all of it or, with a problem, nothing."""
    with parts().database.read() as session:
        taught(session, db.now(session), slug, Right.ROSTER)
    wanted, content = read_query(models.RosterQuery), table_of_body()
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.ROSTER)
        classes.lock(session, classroom)
        roster = rosters.read(content, remembered=classroom.columns)
        plan = rosters.plan(roster, rosters.members(session, classroom), only_add=wanted.only_add)
        is_stored = not plan.problems and not wanted.dry_run
        if is_stored:
            rosters.apply(session, classroom, plan, by=me.name, now=now)
    return models.Imported(
        new=len(plan.new),
        same=len(plan.same),
        changed=len(plan.changed),
        gone=len(plan.gone),
        problems=[shared.Problem(**problem.as_dict()) for problem in plan.problems],
        stored=is_stored,
        source=roster.source,
        columns=dict(roster.columns),
    )


@operation(
    "POST",
    "/classes/<slug:slug>/codes",
    name="make_codes",
    says="The new codes, which are shown once",
    answer=models.PersonalCodes,
    status=201,
    refuses=(403, 404, 422),
    body=models.CodesWanted,
    scope=Scope.ORGANISE,
)
def code_issue(slug: str) -> models.PersonalCodes:
    """Make personal codes for the students that have none, for a section or for one student."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.HELP)
        wanted = read_body(models.CodesWanted)
        classes.lock(session, classroom)
        only = (
            [wanted.student]
            if wanted.student is not None
            else strips.of_section(session, classroom, wanted.section)
        )
        return _issue(session, classroom, me, only, again=wanted.again, now=now)


def _issue(
    session: Session, classroom: Classroom, me: Viewer, only: list[int] | None, *, again: bool, now: datetime
) -> models.PersonalCodes:
    key = config.secret_key(parts().settings)
    issued: list[Issued] = codes.issue(
        session, classroom, key=key, by=me.name, now=now, only=only, again=again
    )
    return models.PersonalCodes(
        code=codes.shown(classroom.code),
        codes=[
            models.PersonalCode(student=one.enrolment.id, name=one.enrolment.name, code=codes.shown(one.code))
            for one in issued
        ],
    )


@operation(
    "GET",
    "/classes/<slug:slug>/grades",
    name="class_grades",
    says="The grades with their reasons",
    answer=models.Grades,
    query=models.StudentsQuery,
    refuses=(403, 404, 422),
    scope=Scope.ORGANISE,
)
def grade_index(slug: str) -> models.Grades:
    """List the grades under the rule; before the final results a preview of public scores."""
    with parts().database.read() as session:
        now = db.now(session)
        _, classroom = taught(session, now, slug, Right.GRADES)
        wanted = read_query(models.StudentsQuery)
        competition = grading.needed(session, classroom, wanted.competition)
        rule = grade_rules.of(session, classroom, competition)
        found = grades.compute(session, classroom, competition, rule=rule, now=now, may_preview=True)
    return models.Grades(
        competition=competition.slug,
        is_preview=found.is_preview,
        missing=rule.missing,
        anchors=[
            models.AnchorShown(anchor=one.name, score=one.score, percent=one.percent) for one in found.anchors
        ],
        grades=[
            models.GradeShown(
                student=one.enrolment.id,
                name=one.enrolment.name,
                external_id=one.enrolment.external_id,
                team=one.team,
                score=one.score,
                percent=one.percent,
                why=one.why,
            )
            for one in found.grades
        ],
    )


@operation(
    "PUT",
    "/classes/<slug:slug>/grades/rule",
    name="set_grade_rule",
    says="The rule",
    answer=models.GradeRule,
    refuses=(403, 404, 422),
    body=models.GradeRuleWanted,
    scope=Scope.ORGANISE,
)
def grade_rule_set(slug: str) -> models.GradeRule:
    """Keep the anchors of the grades, and the grade of students without a score."""
    with parts().database.begin() as session:
        now = db.now(session)
        me, classroom = taught(session, now, slug, Right.GRADES)
        wanted = read_body(models.GradeRuleWanted)
        competition = grading.needed(session, classroom, wanted.competition)
        rule = Rule(tuple((one.anchor, one.percent) for one in wanted.anchors), wanted.missing)
        grades.try_rule(session, competition, rule, now=now)
        grade_rules.keep(session, classroom, competition, rule, by=me.name, now=now)
    return models.GradeRule(
        competition=competition.slug,
        anchors=[{"anchor": name, "percent": percent} for name, percent in rule.anchors],
        missing=rule.missing,
    )


@operation(
    "POST",
    "/classes/<slug:slug>/grades/fill",
    name="fill_grades",
    says="The same file with one column filled",
    answer=BYTES,
    refuses=(403, 404, 409, 411, 413, 422),
    query=models.FillQuery,
    takes_file=True,
    scope=Scope.ORGANISE,
)
def grade_fill(slug: str) -> Response:
    """Fill one column of a learning platform's own export with the final grades."""
    with parts().database.read() as session:
        taught(session, db.now(session), slug, Right.GRADES)
    wanted, content = read_query(models.FillQuery), table_of_body()
    with parts().database.read() as session:
        now = db.now(session)
        _, classroom = taught(session, now, slug, Right.GRADES)
        competition = grading.needed(session, classroom, wanted.competition)
        filled = grading.filled_file(session, classroom, competition, content, wanted.column, now=now)
    answer = make_response(filled.content)
    answer.mimetype = BYTES
    return answer
