"""`heldout serve` and its parts: web, worker, sweep, and the demo."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from app import demo
from app.base import config, logs
from app.base.db import Database
from app.base.installation import Installation
from app.cli.console import out, pass_installation
from app.operating import serve
from app.people import first_organiser


@click.command("serve")
@click.option("--port", type=int, help="Port of the web server.")
@click.option("--host", help="Address to listen on.")
@click.option("--workers", type=int, help="Number of scoring workers.")
@pass_installation
def serve_command(installation: Installation, port: int | None, host: str | None, workers: int | None) -> int:
    """Run the web server, workers, sweeper and an embedded Valkey.

    All are supervised child processes on this machine.
    """
    given = {"port": port, "host": host, "workers": workers}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings = replace(installation.settings, **changes)
    logs.configure(settings.log_level, settings.log_format)

    def ready(address: str) -> None:
        click.echo(f"Heldout is ready on {address}")
        with Database(settings.database, pooled=False).read() as session:
            invitation = first_organiser.invitation(session, config.secret_key(settings), address)
        if invitation:
            click.echo(invitation)

    return serve.Supervisor(settings).run(ready)


@click.command("demo")
@click.option(
    "--port", type=int, help="Port of the web server (default: the setting; a free one with --once)."
)
@click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the demo keeps its data."
)
@click.option(
    "--once", is_flag=True, help="Submit a sample over HTTP, wait for its score, print the board, stop."
)
@pass_installation
def demo_command(installation: Installation, port: int | None, data_dir: Path | None, once: bool) -> int:
    """Start everything with three real challenges and their baselines."""
    return demo.run(installation.settings, port=port, data_dir=data_dir, once=once, console=out)


def _replace_process(module: str) -> None:
    """Replace this process, so that signals reach the module directly."""
    # -P: a module of the current folder, such as rq.py, must not stand for an installed one.
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606  no shell is wanted


@click.command("web")
def web_command() -> None:
    """Run only the web server.

    For scaling out; `heldout serve` runs everything.
    """
    _replace_process("app.web")


@click.command("worker")
def worker_command() -> None:
    """Run only a scoring worker."""
    _replace_process("worker")


@click.command("sweep")
def sweep_command() -> None:
    """Run only the sweeper.

    It repeats hints for unfinished work, expires leases and schedules inspections.
    """
    _replace_process("worker.sweeper")
