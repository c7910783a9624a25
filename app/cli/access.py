"""`heldout access`."""

from __future__ import annotations

import click

from app.base import db
from app.base.installation import Installation
from app.cli.console import pass_installation, print_rows
from app.competing import admissions, competitions

BY = "command line"


@click.group("access")
def access_group() -> None:
    """Admit accounts to a competition that is not public."""


@access_group.command("admit")
@click.argument("competition")
@click.argument("names", nargs=-1, required=True)
@pass_installation
def access_admit(installation: Installation, competition: str, names: tuple[str, ...]) -> None:
    """Put accounts on the list of a competition; with an unknown name none of them."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        new = admissions.admit(session, found, names, by=BY, now=db.now(session))
    click.echo(f"{competition}: {', '.join(new)} admitted" if new else f"{competition}: nothing changes")


@access_group.command("remove")
@click.argument("competition")
@click.argument("name")
@pass_installation
def access_remove(installation: Installation, competition: str, name: str) -> None:
    """Take an account off the list; one that has joined still sees the competition."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        admissions.remove(session, found, name, by=BY, now=db.now(session))
    click.echo(f"{competition}: {name} is not admitted any more")


@access_group.command("link")
@click.argument("competition")
@click.option("--revoke", is_flag=True, help="Only revoke the link.")
@pass_installation
def access_link(installation: Installation, competition: str, revoke: bool) -> None:
    """Make the private link of an unlisted competition; it is shown only once.

    The link before it is revoked.
    """
    with installation.database.begin() as session:
        found, now = competitions.by_slug(session, competition), db.now(session)
        if revoke:
            admissions.revoke_link(session, found, by=BY, now=now)
            click.echo(f"{competition}: the private link is revoked")
            return
        secret = admissions.make_link(session, found, by=BY, now=now)
    click.echo(f"/competitions/{competition}/enter/{secret}")


@access_group.command("list")
@click.argument("competition")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def access_list(installation: Installation, competition: str, as_json: bool) -> None:
    """List the accounts that are admitted, the newest first."""
    with installation.database.read() as session:
        rows = [
            {
                "name": one.name,
                "way": str(one.way),
                "admitted_by": one.admitted_by,
                "admitted_at": one.admitted_at.isoformat(),
                "has_joined": one.has_joined,
            }
            for one in admissions.listed(session, competitions.by_slug(session, competition))
        ]
    print_rows(rows, as_json=as_json)
