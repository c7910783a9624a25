"""Print results, problems and tables for every command."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import scorer
from app.base.installation import Installation

# In a pipe there is no screen width to cut lines to.
out = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1000)
err = Console(stderr=True, soft_wrap=True, highlight=False)

pass_installation = click.make_pass_decorator(Installation)


def print_problems(problems: Sequence[scorer.Problem]) -> None:
    for problem in problems:
        place = ":".join(
            str(p) for p in (problem.file, problem.line if problem.file else None) if p is not None
        )
        err.print(f"{place + ': ' if place else ''}{problem.message}  [{problem.code}]", markup=False)
    err.print(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}.", markup=False)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, allow_nan=False))


def print_rows(rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("There are none yet.")
        return
    table = Table(*rows[0], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    out.print(table)
