"""`heldout user` and `heldout token`."""

from __future__ import annotations

import sys

import click

from app.base import db, events
from app.base.installation import Installation
from app.cli.console import pass_installation, print_rows
from app.people import accounts, rate_limits


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
    hashed = accounts.hash_password(_password(from_stdin=password_stdin))
    with installation.database.begin() as session:
        now = db.now(session)
        user = accounts.register(session, name, hashed, now=now, is_organiser=organiser)
        events.log(session, "command line", "user added", user.name, now=now, organiser=organiser)
    click.echo(f"Added {user.name}{' as an organiser' if organiser else ''}.")


@user_group.command("password")
@click.argument("name")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@pass_installation
def user_password(installation: Installation, name: str, password_stdin: bool) -> None:
    """Give a user a new password, and sign out all browsers of the account."""
    with installation.database.read() as session:
        accounts.by_name(session, name)  # refuse an unknown name before it asks
    hashed = accounts.hash_password(_password(from_stdin=password_stdin))
    with installation.database.begin() as session:
        now = db.now(session)
        user = accounts.by_name(session, name)
        accounts.set_password(session, user.id, hashed, now=now)
        events.log(session, "command line", "password set", user.name, now=now)
    click.echo(f"{user.name} has a new password; all browsers of the account are signed out.")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


@user_group.command("limits")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_installation
def user_limits(installation: Installation, as_json: bool) -> None:
    """List accounts and addresses with too many failed sign-ins."""
    with installation.database.read() as session:
        held = rate_limits.held(session, now=db.now(session))
    rows = [
        {
            "account": one.account,
            "address": one.address,
            "attempts": one.attempts,
            "until": one.until.isoformat(timespec="seconds"),
        }
        for one in held
    ]
    print_rows(rows, as_json=as_json)


@user_group.command("unlock")
@click.argument("name", required=False)
@click.option("--address", help="Forget the failed sign-ins from this address, at all accounts.")
@pass_installation
def user_unlock(installation: Installation, name: str | None, address: str | None) -> None:
    """Let an account or an address sign in again.

    Forgets the failed attempts that are counted. The password stays as it is.
    """
    if not name and not address:
        raise click.UsageError("Name an account, or an address with --address.")
    with installation.database.begin() as session:
        account = accounts.by_name(session, name) if name else None
        now = db.now(session)
        rate_limits.lift(session, account=account, address=address, by="command line", now=now)
    click.echo(f"{name or address} can sign in again.")


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
