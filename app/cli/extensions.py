"""`heldout extension`."""

from __future__ import annotations

from datetime import datetime

import click

from app.base import db
from app.base.installation import Installation
from app.cli.console import pass_installation, print_rows
from app.competing import competitions, extensions


@click.group("extension")
def extension_group() -> None:
    """Give one team a later close or more uploads, with a reason."""


@extension_group.command("grant")
@click.argument("competition")
@click.argument("team")
@click.option(
    "--closes-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z"]),
    help="The team's own closing time, with UTC offset.",
)
@click.option("--daily-extra", type=click.IntRange(0), default=0, help="Uploads in a day above the limit.")
@click.option(
    "--total-extra",
    type=click.IntRange(0),
    default=0,
    help="Uploads in the whole competition above the limit.",
)
@click.option("--reason", required=True, help="Reason, kept in the log.")
@pass_installation
def extension_grant(
    installation: Installation,
    competition: str,
    team: str,
    closes_at: datetime | None,
    daily_extra: int,
    total_extra: int,
    reason: str,
) -> None:
    """Grant a team an extension.

    Private scores stay hidden from all teams until its own close.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        competitions.lock(session, found)  # before reading the clock: another transaction may be closing it
        granted = extensions.grant(
            session,
            found,
            team,
            closes_at=closes_at,
            daily_extra=daily_extra,
            total_extra=total_extra,
            reason=reason,
            by="command line",
            now=db.now(session),
        )
        number = granted.id
    click.echo(f"{competition}: extension {number} for {team}.")


@extension_group.command("revoke")
@click.argument("competition")
@click.argument("number", type=int)
@pass_installation
def extension_revoke(installation: Installation, competition: str, number: int) -> None:
    """Revoke an extension.

    Submissions sent under it stay.
    """
    with installation.database.begin() as session:
        found = competitions.by_slug(session, competition)
        extensions.revoke(session, found, number, by="command line", now=db.now(session))
    click.echo(f"{competition}: extension {number} is revoked.")


@extension_group.command("list")
@click.argument("competition")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def extension_list(installation: Installation, competition: str, as_json: bool) -> None:
    """List a competition's extensions, newest first."""
    with installation.database.read() as session:
        rows = [
            {
                "id": e.id,
                "team": team,
                "closes_at": e.closes_at.isoformat() if e.closes_at else None,
                "daily_extra": e.daily_extra,
                "total_extra": e.total_extra,
                "reason": e.reason,
                "by": e.granted_by,
                "revoked": e.revoked_at is not None,
            }
            for e, team in extensions.listed(session, competitions.by_slug(session, competition))
        ]
    print_rows(rows, as_json=as_json)
