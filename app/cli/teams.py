"""`heldout team`."""

from __future__ import annotations

import click

from app.base import db
from app.base.installation import Installation
from app.cli.console import pass_installation
from app.competing import competitions, hosts, teams


@click.group("team")
def team_group() -> None:
    """Rename a team of a competition.

    A participant writes `heldout team COMPETITION` to see the own team, and adds `--rename NAME`.
    """


@team_group.command("rename")
@click.argument("competition")
@click.argument("team")
@click.argument("name")
@pass_installation
def team_rename(installation: Installation, competition: str, team: str, name: str) -> None:
    """Rename a team, also after the close.

    The audit log keeps both names.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        its = teams.by_name(session, found, team)
        teams.rename(session, found, its, name, by="command line", now=db.now(session), is_organiser=True)
    click.echo(f"The team {team} is now called {its.name}.")


@team_group.command("unrank")
@click.argument("competition")
@click.argument("team")
@pass_installation
def team_unrank(installation: Installation, competition: str, team: str) -> None:
    """Take a team of organisers off the board.

    Its files were sent before files of organisers were unranked; scores and files stay.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        its = teams.by_name(session, found, team)
        hosts.unrank(session, found, its, by="command line", now=db.now(session))
    click.echo(f"The team {team} is no longer on the board.")
