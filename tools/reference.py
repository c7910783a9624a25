"""Write the reference pages that come from the code.

    python tools/reference.py            write them all
    python tools/reference.py --check    report which are out of date, write nothing

A test runs the check, so a new option, setting, metric or problem code cannot go undocumented.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import click

from app.base.config import Settings
from app.cli.main import cli
from scorer.reference import PAGES as SCORER_PAGES

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only report which are out of date")
    only_check = parser.parse_args().check
    stale = out_of_date()
    for name in stale:
        if only_check:
            print(f"docs/reference/{name} is out of date: run `python tools/reference.py`", file=sys.stderr)
        else:
            (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    return 1 if stale and only_check else 0


def out_of_date() -> list[str]:
    return [
        name
        for name, page in PAGES.items()
        if not (FOLDER / name).is_file() or (FOLDER / name).read_text(encoding="utf-8") != page()
    ]


# -- commands ----------------------------------------------------------------------------------


def commands(group: click.Group = cli, words: str = "heldout") -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, in alphabetical order."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def commands_page() -> str:
    lines = [
        "# Commands",
        "",
        "Written from the code by `python tools/reference.py`. `heldout COMMAND --help` says the same.",
        "",
        "The verbs of participants, from `login` to `pick`, have [exit codes of their own](../client.md).",
        "Those of the others: 0 done, 1 our fault, 2 the input is wrong (every problem is listed), 3 over a",
        "limit or closed, 4 not signed in, 130 interrupted. What a script may read goes to standard output,",
        "messages about a refusal go to standard error.",
    ]
    for words, command in commands():
        lines += ["", f"## {words}", "", *_paragraphs(command.help), "", f"    {_usage(words, command)}"]
        options = [p for p in command.params if isinstance(p, click.Option)]
        if options:
            lines += ["", "| option | means |", "|---|---|"]
            lines += [f"| `{_spelling(option)}` | {_meaning(option)} |" for option in options]
    return "\n".join(lines) + "\n"


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in (text or "").split("\n\n")]


def _usage(words: str, command: click.Command) -> str:
    arguments = [
        p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)
    ]
    options = ["[OPTIONS]"] if any(isinstance(p, click.Option) for p in command.params) else []
    return " ".join([words, *options, *arguments])


def _spelling(option: click.Option) -> str:
    names = ", ".join(option.opts)
    return names if option.is_flag else f"{names} {_value(option)}"


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.DateTime):
        return "TIME"
    return {
        "integer": "N",
        "integer range": "N",
        "text": "TEXT",
        "path": "FOLDER",
        "directory": "FOLDER",
    }.get(option.type.name, option.type.name.upper())


def _meaning(option: click.Option) -> str:
    words = [option.help.strip()] if option.help else []
    if isinstance(option.type, click.IntRange) and option.type.min is not None:
        words.append(f"At least {option.type.min}.")
    if isinstance(option.default, str) and option.default:
        words.append(f"Default: {option.default}.")
    return " ".join(words) or f"{option.name.replace('_', ' ').capitalize()}."


# -- settings ----------------------------------------------------------------------------------


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Written from the code by `python tools/reference.py`.",
        "`heldout config` prints them with their values.",
        "",
        "A value comes from the environment (`HELDOUT_PORT=8000`), else from `heldout.toml` in the data",
        "folder or the file that `heldout --config FILE` or `HELDOUT_CONFIG` names (`port = 8000`), else",
        "it is the default. A file of the current folder is not read. Unknown names and impossible",
        "values are refused at the start, all of them at once. A secret's value is never printed.",
        "",
        "| environment | heldout.toml | default | means |",
        "|---|---|---|---|",
    ]
    for setting in fields(Settings):
        default = f"`{setting.default}`" if str(setting.default) else "empty"
        secret = " Secret." if setting.metadata["secret"] else ""
        lines.append(
            f"| `HELDOUT_{setting.name.upper()}` | `{setting.name}` | {default} | "
            f"{setting.metadata['help']}{secret} |"
        )
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    **SCORER_PAGES,
}

if __name__ == "__main__":
    sys.exit(main())
