"""`heldout user` and `heldout token`."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from app.base import db, events
from app.base.errors import Conflict
from app.base.installation import Installation
from app.cli.console import pass_installation, print_rows
from app.competing import erasure
from app.people import accounts, rate_limits, tokens
from app.people.tokens import Scope


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
    """Give a user a new password, sign out all browsers of the account and revoke its tokens."""
    with installation.database.read() as session:
        accounts.by_name(session, name)  # refuse an unknown name before it asks
    hashed = accounts.hash_password(_password(from_stdin=password_stdin))
    with installation.database.begin() as session:
        now = db.now(session)
        user = accounts.by_name(session, name)
        accounts.set_password(session, user.id, hashed, now=now)
        events.log(session, "command line", "password set", user.name, now=now)
    click.echo(f"{user.name} has a new password; all browsers are signed out and all tokens revoked.")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


@user_group.command("rename")
@click.argument("name")
@click.argument("new_name")
@click.option("--release", is_flag=True, help="Free the former names of the account for others.")
@pass_installation
def user_rename(installation: Installation, name: str, new_name: str, release: bool) -> None:
    """Rename an account; the user signs in with the new name.

    Its teams keep their names: `heldout team rename` changes one. No other account or team can take the old
    name unless it is released.
    """
    with installation.database.begin() as session:
        user = accounts.by_name(session, name)
        now = db.now(session)
        accounts.rename(session, user, new_name, by="command line", now=now, releases_former=release)
    click.echo(f"{name} is now called {user.name}.{' Its former names are free.' if release else ''}")


@user_group.command("erase")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Erase without asking.")
@pass_installation
def user_erase(installation: Installation, name: str, yes: bool) -> None:
    """Erase an account: the person's data go, files, scores and ranks stay under a random name.

    Prints what is deleted and what stays, and asks.
    """
    with installation.database.read() as session:
        planned = erasure.preview(session, accounts.by_name(session, name))
    for sentence in planned.sentences():
        click.echo(sentence)
    if planned.problems:
        raise Conflict(f"The account was not erased. {' '.join(planned.problems)}")
    if not yes:
        click.confirm(f"Erase {planned.name}? This cannot be undone", abort=True)
    with installation.database.begin() as session:
        user = accounts.by_name(session, name)
        pseudonym = erasure.erase(session, user, by="command line", now=db.now(session))
    click.echo(f"{planned.name} is erased; its scores are those of {pseudonym} now.")
    if not installation.database.compact():
        click.echo(
            "Bytes of deleted rows are still in the database file: it is busy. Stop the server, then run"
        )
        click.echo("`heldout db compact`.")


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
@click.option("--all", "of_all", is_flag=True, help="Forget the count of all failed sign-ins together.")
@pass_installation
def user_unlock(installation: Installation, name: str | None, address: str | None, of_all: bool) -> None:
    """Let an account or an address sign in again.

    Forgets the failed attempts that are counted. The password stays as it is.
    """
    if not name and not address and not of_all:
        raise click.UsageError("Name an account, an address with --address, or --all.")
    with installation.database.begin() as session:
        account = accounts.by_name(session, name) if name else None
        now = db.now(session)
        rate_limits.lift(session, account=account, address=address, of_all=of_all, by="command line", now=now)
    click.echo(f"{name or address or 'Everyone'} can sign in again.")


@user_group.command("tokens")
@click.argument("name")
@click.option("--revoke", type=int, metavar="ID", help="Revoke this token first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_installation
def user_tokens(installation: Installation, name: str, revoke: int | None, as_json: bool) -> None:
    """List the API tokens of a user, without their secrets."""
    if revoke is not None:
        with installation.database.begin() as session:
            now = db.now(session)
            tokens.revoke(session, accounts.by_name(session, name).id, revoke, now=now)
            events.log(session, "command line", "token revoked", name, now=now, token=revoke)
    with installation.database.read() as session:
        now = db.now(session)
        rows = [
            {
                "id": token.id,
                "label": token.label,
                "begins": token.hint,
                "scope": token.scope,
                "state": "valid" if token.is_live(now) else "expired",
                "created": _time(token.created_at),
                "expires": _time(token.expires_at),
                "last used": _time(token.last_used_at),
            }
            for token in tokens.listed(session, accounts.by_name(session, name).id)
        ]
    print_rows(rows, as_json=as_json)


@click.command("token")
@click.argument("name")
@click.option("--label", default="command line", help="Purpose of the token, shown on the account page.")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    default=tokens.DEFAULT_SCOPE.value,
    show_default=True,
    help="What the token may do; organise, for organisers only, includes submit, which includes read.",
)
@click.option(
    "--days",
    type=click.IntRange(1, tokens.MOST_DAYS),
    default=tokens.DEFAULT_DAYS,
    show_default=True,
    help="Days until the token expires.",
)
@pass_installation
def token_command(installation: Installation, name: str, label: str, scope: str, days: int) -> None:
    """Make an API token for a user.

    The token is the last line printed. It cannot be shown again.
    """
    with installation.database.begin() as session:
        user = accounts.by_name(session, name)
        token = tokens.issue(session, user.id, label, now=db.now(session), scope=scope, days=days)
    click.echo(f"API token of {user.name}, scope {scope}, {days} days; it cannot be shown again:", err=True)
    click.echo(token)


def _time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
