"""`heldout competition participants`, `submissions` and `files`: what the organisers' tables hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from app.base import db
from app.base.csv_cells import csv_lines
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import State
from app.cli.console import pass_installation, print_rows
from app.competing import all_submissions, bulk_files, competitions, participants
from app.competing.all_submissions import Kind
from app.competing.participants import Order, TeamPlace

MOST_ROWS = 200
"""Of a table in the terminal; CSV has all."""


@click.command("participants")
@click.argument("slug")
@click.option("--search", default="", help="A part of a team's or a member's name.")
@click.option("--state", type=click.Choice([place.value for place in TeamPlace]), help="Only these teams.")
@click.option("--sort", type=click.Choice([order.value for order in Order]), default=Order.NAME.value)
@click.option("--csv", "as_csv", is_flag=True, help="All rows as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def competition_participants(
    installation: Installation,
    slug: str,
    search: str,
    state: str | None,
    sort: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the teams of a competition, 200 at most; with --csv all."""
    place = TeamPlace(state) if state else None
    wanted = participants.Wanted(search=search, place=place, order=Order(sort))
    with installation.database.read() as session:
        competition = competitions.by_slug(session, slug)
        page = participants.page(session, competition, wanted, limit=MOST_ROWS)
    if as_csv:
        click.echo(csv_lines([participants.COLUMNS]), nl=False)
        for one in participants.walk(installation.database.read, competition.id, wanted):
            click.echo(csv_lines([participants.csv_row(one)]), nl=False)
        return
    rows = [dict(zip(participants.COLUMNS, participants.csv_row(one), strict=True)) for one in page.rows]
    _print(rows, is_cut=page.following is not None, as_json=as_json)


@click.command("submissions")
@click.argument("slug")
@click.option("--search", default="", help="A part of a team's or file's name, a SHA-256 or a number.")
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only these files.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these files.")
@click.option("--code", default="", help="Only files with this problem, such as MISSING_IDS.")
@click.option("--csv", "as_csv", is_flag=True, help="All rows as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def competition_submissions(
    installation: Installation,
    slug: str,
    search: str,
    state: str | None,
    kind: str | None,
    code: str,
    as_csv: bool,
    as_json: bool,
) -> None:
    """List the submissions of all teams, the newest 200; with --csv all."""
    wanted = all_submissions.Wanted(
        search=search, state=State(state) if state else None, kind=Kind(kind) if kind else None, code=code
    )
    with installation.database.read() as session:
        competition = competitions.by_slug(session, slug)
        found = all_submissions.page(session, competition, wanted, now=db.now(session), limit=MOST_ROWS + 1)
    if as_csv:
        click.echo(csv_lines([all_submissions.COLUMNS]), nl=False)
        for one in all_submissions.walk(installation.database.read, competition.id, wanted):
            click.echo(csv_lines([all_submissions.csv_row(one)]), nl=False)
        return
    rows = [
        dict(zip(all_submissions.COLUMNS, all_submissions.csv_row(one), strict=True))
        for one in found[:MOST_ROWS]
    ]
    _print(rows, is_cut=len(found) > MOST_ROWS, as_json=as_json)


@click.command("files")
@click.argument("slug")
@click.option(
    "--out", type=click.Path(dir_okay=False, writable=True, path_type=Path), required=True, help="The zip."
)
@click.option("--state", type=click.Choice([state.value for state in State]), help="Only these files.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only these files.")
@pass_installation
def competition_files(
    installation: Installation, slug: str, out: Path, state: str | None, kind: str | None
) -> None:
    """Write the files of all teams into one zip, with an index of team, sha256, state and scores.

    A file that cannot be read is a line of the index with the reason.
    """
    if out.exists():
        raise Refused(f"{out} exists; name another file.")
    wanted = all_submissions.Wanted(state=State(state) if state else None, kind=Kind(kind) if kind else None)
    partial = out.with_name(f"{out.name}.part")
    with installation.database.begin() as session:
        archive = bulk_files.begin(
            session,
            installation.storage,
            competitions.by_slug(session, slug),
            wanted,
            read=installation.database.read,
            by="command line",
            now=db.now(session),
        )
    try:
        with partial.open("wb") as target:
            bulk_files.save(archive, target)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    unread = f"; {archive.missing} could not be read, see index.csv" if archive.missing else ""
    click.echo(f"{slug}: {archive.files} files are in {out}{unread}.")


def _print(rows: list[dict[str, Any]], *, is_cut: bool, as_json: bool) -> None:
    print_rows(rows, as_json=as_json)
    if is_cut:
        click.echo(f"These are the first {MOST_ROWS}; --csv prints all.", err=True)
