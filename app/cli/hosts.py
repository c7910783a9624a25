"""`heldout host`."""

from __future__ import annotations

import click

from app.base import db
from app.base.installation import Installation
from app.base.models_roles import Role
from app.cli.console import pass_installation, print_rows
from app.competing import competitions, roles


@click.group("host")
def host_group() -> None:
    """Let an account organise one competition."""


@host_group.command("add")
@click.argument("competition")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.COHOST.value,
    show_default=True,
    help="An owner also adds hosts; an assistant sees and answers; a judge sees the final files.",
)
@pass_installation
def host_add(installation: Installation, competition: str, name: str, role: str) -> None:
    """Give an account a role in a competition.

    Its own files are scored and not ranked from then on, and its team leaves the board.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        competitions.lock(session, found)
        roles.add(session, found, name, role, by="command line", now=db.now(session))
    click.echo(f"{competition}: {name} is {role}.")


@host_group.command("remove")
@click.argument("competition")
@click.argument("name")
@pass_installation
def host_remove(installation: Installation, competition: str, name: str) -> None:
    """Take an account's role in a competition away.

    Its files stay unranked.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        roles.remove(session, found, name, by="command line", now=db.now(session))
    click.echo(f"{competition}: {name} is no host any more.")


@host_group.command("list")
@click.argument("competition")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def host_list(installation: Installation, competition: str, as_json: bool) -> None:
    """List the hosts of a competition, owners first."""
    with installation.database.read() as session:
        rows = [
            {
                "name": host.name,
                "role": str(host.role),
                "added_by": host.added_by,
                "added_at": host.added_at.isoformat(),
            }
            for host in roles.listed(session, competitions.by_slug(session, competition))
        ]
    print_rows(rows, as_json=as_json)
