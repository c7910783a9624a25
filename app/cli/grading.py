"""`heldout class grades`: grades from final scores, into a learning platform's own file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from app.base import db
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition
from app.base.models_classes import Classroom
from app.classes import classes, filling, grade_rules, grades, rosters, sheets
from app.classes.grade_rules import Missing, Rule
from app.cli.console import out, pass_installation, print_json, print_rows
from scorer.wording import printable


@click.command("grades")
@click.argument("name", metavar="CLASS")
@click.option("--competition", "slug", help="Which one, where the class has several.")
@click.option(
    "--anchor",
    "anchors",
    multiple=True,
    metavar="SCORE=PERCENT",
    help="What a score, or a baseline by its name, is worth; two or more. Default: by the baselines.",
)
@click.option(
    "--fill",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An export of the learning platform, to be filled.",
)
@click.option("--column", help="The header of the column to fill, or a part of it. Default: by the title.")
@click.option("--out", "target", type=click.Path(path_type=Path), help="Where the filled file is written.")
@click.option(
    "--missing",
    type=click.Choice([one.value for one in Missing]),
    help="The grade of students without a score: empty, or zero. Default: as set for the class, else empty.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def class_grades(
    installation: Installation,
    name: str,
    slug: str | None,
    anchors: Sequence[str],
    fill: Path | None,
    column: str | None,
    target: Path | None,
    missing: str | None,
    as_json: bool,
) -> None:
    """Grade a class by its final private scores, in percent.

    Between anchors a grade is linear. By default the worst baseline is worth 0, the middle one 60, the best
    one 85, and the best score of the class above it 100. A rule that the class has set on its page is used
    where no option is given. With --fill the platform's own export comes back
    with one column filled, in the points that it states, and every other byte as it was.
    """
    if (fill is None) != (target is None):
        raise Refused("Give --fill and --out together: the export to fill, and the file to write.")
    wished = [_anchor(text) for text in anchors]
    with installation.database.read() as session:
        now = db.now(session)
        classroom = classes.by_slug(session, name)
        competition = _competition(classes.competitions_of(session, classroom), classroom, slug)
        stored = grade_rules.of(session, classroom, competition)
        rule = Rule(wished or stored.anchors, Missing(missing) if missing else stored.missing)
        grading = grades.compute(session, classroom, competition, rule=rule, now=now)
        used, graded = grading.anchors, grading.grades
        members = rosters.members(session, classroom)
    filled = None
    if fill is not None and target is not None:
        with fill.open("rb") as stream:
            content = stream.read(sheets.MOST_BYTES + 1)
        filled = filling.fill(
            content,
            {one.enrolment.id: one.percent for one in graded},
            members,
            column=column,
            title=competition.title,
            chosen=classroom.columns,
        )
        try:
            with target.open("xb") as made:
                made.write(filled.content)
        except FileExistsError:
            raise Refused(f"{target} exists; name a new file.") from None
    rows = [
        {
            "name": one.enrolment.name,
            "id": one.enrolment.external_id or one.enrolment.canvas_id,
            "team": one.team,
            "score": one.score,
            "grade": one.percent,
            "why": one.why,
        }
        for one in graded
    ]
    listed = [{"anchor": one.name, "score": one.score, "percent": one.percent} for one in used]
    if as_json:
        print_json(
            {
                "class": classroom.slug,
                "competition": competition.slug,
                "anchors": listed,
                "grades": rows,
                "filled": None
                if filled is None
                else {
                    "file": str(target),
                    "column": filled.column,
                    "filled": filled.filled,
                    "without_grade": filled.kept,
                    "not_in_class": list(filled.without),
                    "not_in_file": list(filled.absent),
                },
            }
        )
        return
    print_rows(listed, as_json=False)
    if filled is None:
        print_rows(rows, as_json=False)
        return
    out.print(f"filled     {filled.filled} in the column {printable(filled.column)!r}", markup=False)
    for word, names in (("not in the class", filled.without), ("not in the file", filled.absent)):
        if names:
            out.print(f"{word}: {printable(', '.join(names))}", markup=False)
    out.print(f"Wrote {target}.", markup=False)


def _anchor(text: str) -> tuple[str, float]:
    score, equals, percent = text.rpartition("=")
    try:
        return score.strip(), float(percent) if equals else float("x")
    except ValueError:
        raise Refused(f"--anchor {text!r}: write SCORE=PERCENT, such as 0.25=60.") from None


def _competition(found: Sequence[Competition], classroom: Classroom, slug: str | None) -> Competition:
    chosen = [one for one in found if slug is None or one.slug == slug]
    if len(chosen) == 1:
        return chosen[0]
    if not found:
        raise Refused(
            f"The class {classroom.slug} has no competition; "
            f"`heldout class add-competition {classroom.slug} NAME` adds one."
        )
    names = ", ".join(one.slug for one in found)
    raise Refused(f"Name one competition of the class with --competition: {names}.")
