"""`heldout mail`: try the mail server, and list letters that wait or were given up."""

from __future__ import annotations

import click

from app.base.errors import Refused, Unavailable
from app.base.installation import Installation
from app.cli.console import pass_installation, print_rows
from app.delivery import addresses, outbox, smtp
from app.delivery.letters import Composed


@click.group("mail")
def mail_group() -> None:
    """Try the mail server, and list letters that were not sent."""


@mail_group.command("test")
@click.argument("address")
@pass_installation
def mail_test(installation: Installation, address: str) -> None:
    """Send one letter to ADDRESS with the settings HELDOUT_MAIL_*."""
    settings = installation.settings
    if not settings.sends_mail:
        raise Refused(
            "This server sends no mail. Set HELDOUT_MAIL_HOST, HELDOUT_MAIL_FROM, HELDOUT_PUBLIC_URL."
        )
    to = addresses.valid(address)
    text = f"This letter was sent with `heldout mail test` by {settings.public_url}.\n"
    try:
        smtp.send(settings, Composed(to, "Test letter", text), key=f"test {to}")
    except smtp.NotSent as fault:
        raise Unavailable(
            f"{settings.mail_host}:{settings.mail_port} did not take the letter: {fault}"
        ) from None
    click.echo(f"{settings.mail_host}:{settings.mail_port} took a letter to {to}.")


@mail_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def mail_list(installation: Installation, as_json: bool) -> None:
    """List letters that wait or were given up, newest first; without addresses."""
    with installation.database.read() as session:
        rows = [
            {
                "id": one.id,
                "kind": one.kind,
                "account": one.user_id,
                "written_at": one.created_at.isoformat(timespec="seconds"),
                "attempts": one.attempts,
                "state": "given up" if one.ended_at else "waiting",
                "fault": one.fault,
            }
            for one in outbox.listed(session)
        ]
    print_rows(rows, as_json=as_json)
