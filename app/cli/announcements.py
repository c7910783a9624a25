"""`heldout announcement`: announcements of a competition, or of the installation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TextIO

import click
from sqlalchemy.orm import Session

from app.base import db
from app.base.errors import Refused
from app.base.installation import Installation
from app.base.models import Competition
from app.cli.console import pass_installation, print_rows
from app.competing import competitions
from app.messages import announcements

BY = "command line"

competition_option = click.option(
    "--competition", metavar="NAME", help="Of this competition; without it, of the whole installation."
)
at_option = click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]),
    help="When it is shown, with the offset from UTC, such as 2026-03-01T08:00+01:00.",
)
draft_option = click.option("--draft", is_flag=True, help="Show it to organisers alone.")


@click.group("announcement")
def announcement_group() -> None:
    """Announce something on a competition's page, or on that of the installation."""


@announcement_group.command("list")
@competition_option
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def announcement_list(installation: Installation, competition: str | None, as_json: bool) -> None:
    """List announcements, also drafts, scheduled and withdrawn ones, newest first."""
    with installation.database.read() as session:
        now = db.now(session)
        rows = [
            {
                "id": entry.id,
                "state": str(entry.state),
                "shown_at": entry.publish_at.isoformat() if entry.publish_at else None,
                "title": entry.title,
            }
            for entry in announcements.listed(
                session, _found(session, competition), None, now=now, for_organiser=True
            )
        ]
    print_rows(rows, as_json=as_json)


@announcement_group.command("add")
@click.argument("title")
@click.argument("file", type=click.File(encoding="utf-8"))
@competition_option
@at_option
@draft_option
@pass_installation
def announcement_add(
    installation: Installation,
    title: str,
    file: TextIO,
    competition: str | None,
    at: datetime | None,
    draft: bool,
) -> None:
    """Publish the Markdown of a file (- reads standard input), at once or at a time."""
    _refuse_both(**{"--at": at is not None, "--draft": draft})
    words = announcements.read(title, _text(file))
    with installation.database.begin() as session:
        now = db.now(session)
        found = _found(session, competition)
        publish_at = None if draft else at or now
        made = announcements.create(session, found, words, publish_at=publish_at, by=BY, now=now)
        entry = announcements.get(session, found, made.id, now=now)
    click.echo(f"Announcement {entry.id} is {_said(entry)}.")


@announcement_group.command("edit")
@click.argument("id", type=int)
@click.argument("title")
@click.argument("file", type=click.File(encoding="utf-8"))
@competition_option
@at_option
@draft_option
@click.option("--now", "at_once", is_flag=True, help="Show it at once.")
@pass_installation
def announcement_edit(
    installation: Installation,
    id: int,  # noqa: A002  # what the help shows
    title: str,
    file: TextIO,
    competition: str | None,
    at: datetime | None,
    draft: bool,
    at_once: bool,
) -> None:
    """Replace the title and the text of an announcement, and keep its time unless another is given.

    A published one keeps its time always, and is marked as edited.
    """
    _refuse_both(**{"--at": at is not None, "--draft": draft, "--now": at_once})
    words = announcements.read(title, _text(file))
    with installation.database.begin() as session:
        now = db.now(session)
        found = _found(session, competition)
        before = announcements.get(session, found, id, now=now).publish_at
        publish_at = None if draft else now if at_once else at or before
        announcements.edit(session, found, id, words, publish_at=publish_at, by=BY, now=now)
        entry = announcements.get(session, found, id, now=now)
    click.echo(f"Announcement {entry.id} is {_said(entry)}.")


@announcement_group.command("withdraw")
@click.argument("id", type=int)
@competition_option
@pass_installation
def announcement_withdraw(
    installation: Installation,
    id: int,  # noqa: A002  # what the help shows
    competition: str | None,
) -> None:
    """Take an announcement off the page; one that was never shown is deleted."""
    with installation.database.begin() as session:
        found = _found(session, competition)
        before = announcements.withdraw(session, found, id, by=BY, now=db.now(session))
    was_shown = before is announcements.AnnouncementState.PUBLISHED
    click.echo(f"Announcement {id} is {'withdrawn' if was_shown else 'deleted'}.")


def _found(session: Session, slug: str | None) -> Competition | None:
    return competitions.by_slug(session, slug) if slug is not None else None


def _refuse_both(**given: bool) -> None:
    found = [option for option, is_given in given.items() if is_given]
    if len(found) > 1:
        raise Refused(f"{' and '.join(found)} contradict each other. Give one of them.")


def _text(file: TextIO) -> str:
    try:
        return str(file.read())
    except UnicodeDecodeError as wrong:
        raise Refused(f"{file.name} is not UTF-8 text, at byte {wrong.start}. Save it as UTF-8.") from None


def _said(entry: announcements.Entry) -> str:
    if entry.state is announcements.AnnouncementState.SCHEDULED and entry.publish_at is not None:
        return f"scheduled for {entry.publish_at.astimezone(UTC).isoformat()}"
    return str(entry.state)
