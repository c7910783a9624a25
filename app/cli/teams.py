"""`heldout team`."""

from __future__ import annotations

import click

from app.base import db
from app.base.installation import Installation
from app.cli.console import pass_installation
from app.competing import competitions, exclusions, teams

BY = "command line"


@click.group("team")
def team_group() -> None:
    """Rename a team of a competition, take it off the board or put it back.

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
@click.option("--reason", required=True, help="10 to 500 characters; the team reads it.")
@pass_installation
def team_unrank(installation: Installation, competition: str, team: str, reason: str) -> None:
    """Take a team off the board; it goes on taking part.

    Scores, picks and files stay, and `heldout team rank` puts it back.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        its = teams.by_name(session, found, team)
        exclusions.take_off_team(session, found, its, reason, by=BY, now=db.now(session))
    click.echo(f"The team {team} is off the board.")


@team_group.command("rank")
@click.argument("competition")
@click.argument("team")
@click.option("--reason", required=True, help="10 to 500 characters, for the log.")
@pass_installation
def team_rank(installation: Installation, competition: str, team: str, reason: str) -> None:
    """Put a team on the board again."""
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        its = teams.by_name(session, found, team)
        exclusions.put_back_team(session, found, its, reason, by=BY, now=db.now(session))
    click.echo(f"The team {team} is on the board again.")
