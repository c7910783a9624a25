"""`heldout class`: classes, their rosters and codes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from app.base import config, db
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models_classes import BoardNames, Enrolment
from app.classes import classes, codes, rosters, sheets, staff
from app.classes.columns import FIELDS
from app.classes.rosters import Plan, Student
from app.classes.staff import ROLES
from app.cli.console import err, out, pass_installation, print_json, print_problems, print_rows
from app.competing import competitions
from scorer.wording import printable

BY = "command line"


@click.group("class")
def class_group() -> None:
    """Run classes: rosters of students and codes to join.

    A class has students from a roster that a learning platform exports, and one or more competitions.
    """


@class_group.command("new")
@click.argument("name", metavar="CLASS")
@click.option("--title", default="", help="Title of the class. Default: its name.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def class_new(installation: Installation, name: str, title: str, as_json: bool) -> None:
    """Make a class."""
    with installation.database.begin() as session:
        made = classes.make(session, name, title=title, by=BY, now=db.now(session))
    if as_json:
        print_json({"class": made.slug, "title": made.title, "code": codes.shown(made.code)})
        return
    click.echo(f"Made the class {made.slug}. Its class code is {codes.shown(made.code)}.")
    click.echo(f"Next: heldout class import {made.slug} ROSTER.csv --dry-run")


@class_group.command("import")
@click.argument("name", metavar="CLASS")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Print what would change and store nothing.")
@click.option("--only-add", is_flag=True, help="The file is of a part of the class: none is gone.")
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="HEADER=FIELD",
    help="What a column holds, remembered for the class. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def class_import(
    installation: Installation,
    name: str,
    file: Path,
    dry_run: bool,
    only_add: bool,
    mapped: Sequence[str],
    as_json: bool,
) -> int:
    """Bring a class to the state of a roster: all of it or, with a problem, nothing.

    Reads the exports of Canvas, Moodle (grades, participants, worksheet), Blackboard, Brightspace,
    Gradescope, GitHub Classroom and nbgrader, any table whose header names its columns, and a plain list of
    names or addresses. Students that the roster no longer has become inactive and keep their files.
    """
    chosen = dict(_mapping(text) for text in mapped)
    content = _content(file)
    with installation.database.begin() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        classes.lock(session, classroom)
        present = rosters.members(session, classroom)
        roster = rosters.read(content, chosen, remembered=classroom.columns)
        plan = rosters.plan(roster, present, only_add=only_add)
        names = {one.id: one.name for one in present}
        gone, by_hand = ([names[one] for one in ids] for ids in (plan.gone, plan.by_hand))
        if not dry_run and not plan.problems:
            classroom.columns = {**classroom.columns, **chosen}
            rosters.apply(session, classroom, plan, by=BY, now=now)
    stored = not dry_run and not plan.problems
    if as_json:
        print_json(_as_dict(plan, gone, by_hand, stored=stored))
    else:
        _print(plan, gone, by_hand)
        if plan.problems:
            print_problems(plan.problems)
            err.print("Nothing was stored.", markup=False)
        else:
            out.print("Stored." if stored else "Nothing was stored: a dry run.", markup=False)
    return 2 if plan.problems else 0


@class_group.command("add")
@click.argument("name", metavar="CLASS")
@click.argument("student", metavar="NAME")
@click.option("--id", "external_id", help="Student number.")
@click.option("--login", help="Name at the learning platform.")
@click.option("--email", help="E-mail address.")
@click.option("--section", help="Section or tutorial.")
@pass_installation
def class_add(
    installation: Installation,
    name: str,
    student: str,
    external_id: str | None,
    login: str | None,
    email: str | None,
    section: str | None,
) -> None:
    """Add one student by hand and print the personal code.

    A later roster with the same id takes the student over.
    """
    given, family = rosters.divided(" ".join(student.split()))
    row = Student(0, given, family, external_id=external_id, login=login, email=email, section=section)
    with installation.database.begin() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        classes.lock(session, classroom)
        added = rosters.add(session, classroom, row, by=BY, now=now)
        key = config.secret_key(installation.settings)
        (issued,) = codes.issue(session, classroom, key=key, by=BY, now=now, only=[added.id])
    click.echo(f"Added {printable(added.name)}. The personal code, shown once:", err=True)
    click.echo(codes.shown(issued.code))


@class_group.command("list")
@click.argument("name", metavar="CLASS", required=False)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def class_list(installation: Installation, name: str | None, as_json: bool) -> None:
    """List the members of a class, or all classes."""
    with installation.database.read() as session:
        if name is None:
            rows = [
                {
                    "class": one.classroom.slug,
                    "title": one.classroom.title,
                    "code": codes.shown(one.classroom.code),
                    "members": one.active,
                    "joined": one.joined,
                }
                for one in classes.listed(session)
            ]
        else:
            rows = [_member(one) for one in rosters.members(session, classes.by_slug(session, name))]
    print_rows(rows, as_json=as_json)


@class_group.command("codes")
@click.argument("name", metavar="CLASS")
@click.option("--again", is_flag=True, help="Replace codes that were made and not used; the old ones end.")
@click.option("--student", "wanted", help="For one student alone: an id, login, address or the whole name.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def class_codes(
    installation: Installation, name: str, again: bool, wanted: str | None, as_json: bool
) -> None:
    """Make personal codes for the students that have none, and print them once.

    Only a hash of a code is stored. --student NAME --again replaces a code that is lost.
    """
    with installation.database.begin() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        classes.lock(session, classroom)
        only = None if wanted is None else [_one(rosters.members(session, classroom), wanted).id]
        key = config.secret_key(installation.settings)
        issued = codes.issue(session, classroom, key=key, by=BY, now=now, only=only, again=again)
        waiting = sum(
            one.user_id is None and one.left_at is None for one in rosters.members(session, classroom)
        )
        kept = waiting - sum(one.enrolment.user_id is None for one in issued)
        rows = [
            {
                "code": codes.shown(one.code),
                "name": one.enrolment.name,
                "id": one.enrolment.external_id or one.enrolment.canvas_id,
                "login": one.enrolment.login,
                "email": one.enrolment.email,
                "section": one.enrolment.section,
            }
            for one in issued
        ]
        shown = codes.shown(classroom.code)
    if as_json:
        print_json({"class": name, "code": shown, "codes": rows, "kept": kept})
        return
    click.echo(f"Class code {shown}.", err=True)
    if kept and only is None:
        click.echo(f"{kept} students have a code already; --again replaces it.", err=True)
    print_rows(rows, as_json=False)


@class_group.command("add-competition")
@click.argument("name", metavar="CLASS")
@click.argument("competition")
@pass_installation
def class_add_competition(installation: Installation, name: str, competition: str) -> None:
    """Make a competition one of the class."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        classes.add_competition(session, classes.by_slug(session, name), found, by=BY, now=db.now(session))
    click.echo(f"{found.slug} is a competition of the class {name}.")


@class_group.command("staff")
@click.argument("name", metavar="CLASS")
@click.argument("account")
@click.option("--role", type=click.Choice([*ROLES, "none"]), default="instructor", help="none ends the role.")
@pass_installation
def class_staff(installation: Installation, name: str, account: str, role: str) -> None:
    """Give an account the role of an instructor or assistant, or end it.

    An instructor may do everything in the class; an assistant sees how far students are and issues codes.
    """
    with installation.database.begin() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        classes.lock(session, classroom)
        if role == "none":
            found = [one.id for one, its in staff.listed(session, classroom) if its == account]
            staff.dismiss(session, classroom, found[0] if found else 0, by=BY, now=now)
        else:
            staff.appoint(session, classroom, account, role, by=BY, now=now)
    click.echo(f"{account}: {'no role' if role == 'none' else role} in the class {name}.")


@class_group.command("change")
@click.argument("name", metavar="CLASS")
@click.option("--title", help="Title of the class.")
@click.option("--names", type=click.Choice([*BoardNames]), help="Names of new accounts on the board.")
@click.option("--archive/--no-archive", default=None, help="End all its codes; its pages stay.")
@pass_installation
def class_change(
    installation: Installation, name: str, title: str | None, names: str | None, archive: bool | None
) -> None:
    """Change or archive a class."""
    with installation.database.begin() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        classes.change(session, classroom, title=title, names=names, is_archived=archive, by=BY, now=now)
    click.echo(f"Changed the class {name}.")


@class_group.command("copy")
@click.argument("name", metavar="CLASS")
@click.argument("new_name", metavar="NEW")
@click.option("--title", default="", help="Title of the new class. Default: the same.")
@pass_installation
def class_copy(installation: Installation, name: str, new_name: str, title: str) -> None:
    """Make a class for the next term: the same staff and columns, no students, no competitions."""
    with installation.database.begin() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        made = classes.copied(session, classroom, new_name, title=title, by=BY, now=now)
        shown = codes.shown(made.code)
    click.echo(f"Made the class {new_name}. Its class code is {shown}.")


def _mapping(text: str) -> tuple[str, str]:
    header, equals, name = text.rpartition("=")
    if not equals or not header.strip() or name.strip() not in FIELDS:
        raise Refused(f"--map {text!r}: write HEADER=FIELD, with one of the fields {', '.join(FIELDS)}.")
    return header.strip(), name.strip()


def _content(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(sheets.MOST_BYTES + 1)


def _one(members: Sequence[Enrolment], wanted: str) -> Enrolment:
    text = wanted.strip().casefold()
    found = [
        one
        for one in members
        if text
        in {value.casefold() for value in (one.name, *(getattr(one, n) for n in rosters.IDS)) if value}
    ]
    if len(found) != 1:
        raise Refused(f"{len(found)} students of the class are called {wanted!r}; give an id that one has.")
    return found[0]


def _member(one: Enrolment) -> dict[str, Any]:
    return {
        "name": one.name,
        "given": one.given,
        "family": one.family,
        "external_id": one.external_id,
        "login": one.login,
        "email": one.email,
        "section": one.section,
        "group": one.team,
        "role": one.role,
        "state": "inactive" if one.left_at is not None else "active",
        "joined": one.user_id is not None,
    }


def _print(plan: Plan, gone: Sequence[str], by_hand: Sequence[str]) -> None:
    roster = plan.roster
    columns = ", ".join(f"{header!r} is {name}" for name, header in roster.columns.items())
    out.print(f"read as    {roster.source}, {roster.encoding}; {printable(columns)}", markup=False)
    for words in roster.skipped:
        out.print(f"skipped    {printable(words)}", markup=False)
    for word, named in (
        ("new", [one.name or one.ids()[0][1] for one in plan.new]),
        ("changed", [_words(change.student.name, change.facts) for change in plan.changed]),
        ("gone", gone),
    ):
        out.print(f"{word:10} {len(named)}", markup=False)
        for text in named[:20]:
            out.print(f"           {printable(text)}", markup=False)
        if len(named) > 20:
            out.print(f"           and {len(named) - 20} more", markup=False)
    out.print(f"same       {len(plan.same)}", markup=False)
    if by_hand:
        names = printable(", ".join(by_hand))
        out.print(f"by hand    {names}: added by hand and not in the roster; they stay", markup=False)


def _words(name: str, facts: Any) -> str:
    changes = "; ".join(f"{fact} {before or 'none'} -> {after}" for fact, (before, after) in facts.items())
    return f"{name}: {changes}"


def _as_dict(plan: Plan, gone: Sequence[str], by_hand: Sequence[str], *, stored: bool) -> dict[str, Any]:
    return {
        "new": len(plan.new),
        "same": len(plan.same),
        "changed": len(plan.changed),
        "gone": len(plan.gone),
        "problems": [problem.as_dict() for problem in plan.problems],
        "stored": stored,
        "source": plan.roster.source,
        "encoding": plan.roster.encoding,
        "delimiter": plan.roster.delimiter,
        "columns": dict(plan.roster.columns),
        "skipped": list(plan.roster.skipped),
        "by_hand": list(by_hand),
        "details": {
            "new": [one.name for one in plan.new],
            "changed": [
                {"name": one.student.name, "facts": {name: list(pair) for name, pair in one.facts.items()}}
                for one in plan.changed
            ],
            "gone": list(gone),
        },
    }
