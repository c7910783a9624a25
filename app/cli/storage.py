"""`heldout storage`, `vault`, `backup` and `restore`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

import scorer
from app.authoring import drafts
from app.base import config, db, storage
from app.base.errors import Refused
from app.base.installation import Installation
from app.cli.console import pass_installation
from app.operating import backup, doctor


@click.group("storage")
def storage_group() -> None:
    """Manage uploads and public files."""


@storage_group.command("gc")
@click.option("--dry-run", is_flag=True, help="List the files without removing them.")
@pass_installation
def storage_gc(installation: Installation, dry_run: bool) -> None:
    """Remove abandoned drafts, and unreferenced files that are older than a day."""
    if not dry_run:
        with installation.database.begin() as session:
            removed_drafts = drafts.delete_abandoned(session, now=db.now(session))
        for sha256 in removed_drafts:
            installation.storage.remove(sha256)
    with installation.database.read() as session:
        orphans = storage.unreferenced(session, installation.storage, now=db.now(session))
    removed = 0
    for orphan in orphans:
        if not dry_run:
            # One transaction for each: uploads wait while it lasts.
            with installation.database.begin(pauses=True) as session:
                if not storage.remove_orphan(session, installation.storage, orphan, now=db.now(session)):
                    continue
        removed += 1
        click.echo(f"{orphan.sha256} {orphan.size_bytes} bytes")
    click.echo(f"{removed} files {'would be ' if dry_run else ''}removed.")


@click.group("vault")
def vault_group() -> None:
    """Manage published versions with their hidden solutions."""


@vault_group.command("put")
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@pass_installation
def vault_put(installation: Installation, folders: Sequence[Path]) -> None:
    """Restore versions that the vault lacks.

    Takes the folders that were published, or folders of another vault.
    """
    with installation.database.read() as session:
        published = set(doctor.versions(session))
    unknown = []
    for folder in folders:
        challenge = scorer.load(folder)
        if challenge.digest not in published:
            unknown.append(str(folder))
            continue
        installation.vault.put(challenge)
        click.echo(f"{folder}: version {challenge.digest[:12]} is in {installation.vault}.")
    if unknown:
        raise Refused(
            f"No published version: {', '.join(unknown)}. The folder was never published or was changed "
            "since; publish it with `heldout challenge publish`."
        )


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--solutions",
    type=click.Choice(["exclude", "include", "encrypted"]),
    default="exclude",
    help="The hidden solutions: left out, included readable, or included only in an encrypted archive.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with a passphrase: encrypt the archive, and include the secret key.",
)
@pass_installation
def backup_command(
    installation: Installation, file: Path, solutions: str, passphrase_file: Path | None
) -> None:
    """Write one archive of rows and files.

    The installation may run meanwhile.
    """
    if solutions == "encrypted" and passphrase_file is None:
        raise click.UsageError("--solutions encrypted needs --passphrase-file.")
    summary = backup.write(
        installation.settings,
        installation.database,
        installation.storage,
        file,
        with_solutions=solutions != "exclude",
        passphrase=_passphrase(passphrase_file),
    )
    _print_summary(file, summary)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new or empty data folder; default: the setting.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the passphrase of an encrypted archive.",
)
@pass_installation
def restore_command(
    installation: Installation, file: Path, into: Path | None, passphrase_file: Path | None
) -> None:
    """Restore a backup into an empty installation.

    Its database may be SQLite or PostgreSQL. Repeated after a kill, it goes on.
    """
    settings = installation.settings
    if into is not None:
        if into.exists() and any(into.iterdir()) and not (into / config.RESTORING).exists():
            raise Refused(f"The folder {into} is not empty; restore into a new one.")
        settings = replace(settings, data_dir=into)
    _print_summary(file, backup.restore(settings, file, passphrase=_passphrase(passphrase_file)))


def _passphrase(file: Path | None) -> str | None:
    return None if file is None else file.read_text(encoding="utf-8").strip()


def _print_summary(file: Path, summary: backup.Summary) -> None:
    for name, count in sorted(summary.rows.items()):
        click.echo(f"{name}: {count} rows, sha256 {summary.checksums[name]}")
    click.echo(f"{file}: {summary.files} files, {summary.solutions} solutions.")
