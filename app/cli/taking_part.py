"""The verbs of a participant in the list of commands.

`heldout_client.commands` parses and runs them, before any setting of an installation is read.
"""

from __future__ import annotations

import click

from heldout_client import commands as client
from heldout_client.verbs import Argument, Verb


def _command(verb: Verb) -> click.Command:
    parameters = [_parameter(argument) for argument in (*verb.arguments, *client.COMMON)]
    return click.Command(verb.name, callback=_refuse, params=parameters, help=verb.help)


def _parameter(argument: Argument) -> click.Parameter:
    if not argument.is_option:
        is_many = argument.nargs in ("*", "+")
        is_required = argument.nargs in (None, "+")
        metavar = argument.metavar or argument.names[0].upper()
        return click.Argument(
            [argument.names[0]],
            nargs=-1 if is_many else 1,
            required=is_required,
            metavar=f"{metavar}{'...' if is_many else ''}" if is_required else f"[{metavar}]",
        )
    return click.Option(
        list(argument.names),
        is_flag=argument.is_flag,
        help=argument.help,
        metavar=None if argument.is_flag else argument.metavar,
    )


def _refuse(**_: object) -> None:
    raise click.UsageError("Write the verb of a participant first, as in: heldout submit FILE -c NAME")


COMMANDS = tuple(_command(verb) for verb in client.VERBS if verb.name != "team")  # see app.cli.teams
