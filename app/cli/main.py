"""`heldout`: the command of participants, operators and organisers.

The verbs of participants are those of the client's distribution, with its exit codes. Exit codes of the other
commands: 0 done, 1 our fault, 2 the input is wrong (every problem is listed), 3 over a limit or closed,
4 not signed in, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

import scorer
from app.base import config
from app.base.errors import Refused
from app.base.installation import Installation
from app.cli import (
    access,
    announcements,
    bundles,
    catalogue,
    challenges,
    classes,
    competitions,
    extensions,
    grading,
    hosts,
    installation,
    integrity,
    mail,
    participants,
    rescores,
    serve,
    storage,
    tables,
    taking_part,
    teams,
    users,
    verification,
)
from app.cli.console import err, print_problems
from heldout_client import commands as client


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="heldout")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Settings file (default: heldout.toml in the data folder).",
)
@click.pass_context
def cli(context: click.Context, file: Path | None) -> None:
    """Run competitions with hidden labels on your own machines, and take part in them.

    `heldout demo` shows everything on this one.
    """
    if context.resilient_parsing:
        return
    named = file or os.environ.get(config.CONFIG_VARIABLE)
    if named:  # for the processes that this one starts, wherever they run
        os.environ[config.CONFIG_VARIABLE] = str(Path(named).absolute())
    used, here = config.settings_file(os.environ), Path(config.FILE_NAME)
    if here.is_file() and not (used.is_file() and used.samefile(here)):
        words = f"heldout: {here.absolute()} is not read; move it to {used}, or give it with --config."
        err.print(words, markup=False)
    context.obj = Installation(config.load())


challenges.challenge_group.add_command(tables.from_table)
challenges.challenge_group.add_command(bundles.challenge_import)
challenges.challenge_group.add_command(bundles.challenge_export)
challenges.challenge_group.add_command(catalogue.catalogue)
challenges.challenge_group.add_command(catalogue.build)
classes.class_group.add_command(grading.class_grades)
for table in (
    participants.competition_participants,
    participants.competition_submissions,
    participants.competition_files,
):
    competitions.competition_group.add_command(table)
for command in (
    serve.serve_command,
    serve.demo_command,
    serve.web_command,
    serve.worker_command,
    serve.sweep_command,
    installation.config_command,
    installation.db_group,
    users.user_group,
    users.token_command,
    challenges.challenge_group,
    challenges.score_command,
    competitions.competition_group,
    classes.class_group,
    extensions.extension_group,
    hosts.host_group,
    access.access_group,
    announcements.announcement_group,
    teams.team_group,  # the participants' verb `team` has the same name and is run before
    rescores.rescore_command,
    verification.verify_command,
    verification.receipt_group,
    verification.audit_group,
    verification.doctor_command,
    mail.mail_group,
    integrity.integrity_group,
    storage.storage_group,
    storage.vault_group,
    storage.backup_command,
    storage.restore_command,
    *taking_part.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """Run one command and exit with its code.

    Every refusal is one block on stderr.
    """
    # Needs no installation and no settings. These of `team` are the organiser's, for any team.
    is_organisers = sys.argv[1:3] in (["team", "rename"], ["team", "unrank"], ["team", "rank"])
    if sys.argv[1:2] and sys.argv[1] in client.NAMES and not is_organisers:
        sys.exit(client.main())
    try:
        code = cli.main(standalone_mode=False)
    except Refused as refusal:
        err.print(f"heldout: {refusal.message} {refusal.remedy}".rstrip(), markup=False)
        sys.exit(refusal.exit_code)
    except (scorer.InvalidChallenge, scorer.InvalidSubmission) as refusal:
        print_problems(refusal.problems)
        sys.exit(2)
    except scorer.HeldoutError as failure:  # an own metric that fails, or a sandbox that cannot start
        err.print(str(failure), markup=False)
        if log := getattr(failure, "log", ""):
            err.print(log, markup=False)
        sys.exit(1)
    except click.ClickException as wrong:
        wrong.show()
        sys.exit(wrong.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
