"""`heldout user` and `heldout token`."""

from __future__ import annotations

import sys

import click

from app.base import db, events
from app.base.installation import Installation
from app.cli.console import pass_installation
from app.people import accounts


@click.group("user")
def user_group() -> None:
    """Manage accounts."""


@user_group.command("add")
@click.argument("name")
@click.option("--organiser", is_flag=True, help="Allow the user to publish challenges and run competitions.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@pass_installation
def user_add(installation: Installation, name: str, organiser: bool, password_stdin: bool) -> None:
    """Add a user.

    Asks for a password, or reads it from standard input.
    """
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    hashed = accounts.hash_password(password)
    with installation.database.begin() as session:
        now = db.now(session)
        user = accounts.register(session, name, hashed, now=now, is_organiser=organiser)
        events.log(session, "command line", "user added", user.name, now=now, organiser=organiser)
    click.echo(f"Added {user.name}{' as an organiser' if organiser else ''}.")


@click.command("token")
@click.argument("name")
@click.option("--label", default="command line", help="Purpose of the token, shown on the account page.")
@pass_installation
def token_command(installation: Installation, name: str, label: str) -> None:
    """Make an API token for a user.

    The token is the last line printed. It cannot be shown again.
    """
    with installation.database.begin() as session:
        user = accounts.by_name(session, name)
        token = accounts.issue_token(session, user.id, label, now=db.now(session))
    click.echo(f"API token of {user.name}; it cannot be shown again:", err=True)
    click.echo(token)
