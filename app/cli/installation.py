"""`heldout config` and `heldout db`."""

from __future__ import annotations

from dataclasses import fields

import click

from app import migrations
from app.base import config, form_rules
from app.base.config import Settings
from app.base.db import Database
from app.base.installation import Installation
from app.cli.console import pass_installation, print_json


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@pass_installation
def config_command(installation: Installation, as_json: bool) -> None:
    """Print every setting with its value, default and meaning.

    Set one as HELDOUT_NAME in the environment or in heldout.toml in the data folder.
    """
    rows = [
        {
            "name": f"HELDOUT_{f.name.upper()}",
            "value": "(set)"
            if f.metadata["secret"] and getattr(installation.settings, f.name)
            else str(getattr(installation.settings, f.name)),
            "default": str(f.default),
            "help": f.metadata["help"],
        }
        for f in fields(Settings)
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['name']} = {row['value']!r}\n    {row['help']} Default: {row['default']!r}.")


@click.group("db")
def db_group() -> None:
    """Manage the database."""


@db_group.command("compact")
@pass_installation
def db_compact(installation: Installation) -> int:
    """Rewrite a SQLite file without the bytes of deleted rows.

    PostgreSQL does so by itself.
    """
    if not installation.database.compact():
        click.echo("The database is busy; stop the server and try again.", err=True)
        return 1
    click.echo("The database holds no bytes of deleted rows.")
    return 0


@db_group.command("upgrade")
@pass_installation
def db_upgrade(installation: Installation) -> None:
    """Upgrade the database schema to this version of Heldout."""
    config.prepare_data_dir(installation.settings)
    migrations.upgrade(Database(installation.settings.database))
    click.echo("The database is up to date.")
    with installation.database.read() as session:
        if older := len(form_rules.older_versions(session)):
            words = "has the limit" if older == 1 else "have the limits"
            click.echo(
                f"{older} published version{'s' * (older > 1)} {words} of an older program: run "
                "`heldout challenge refresh` on a machine with the vault."
            )
