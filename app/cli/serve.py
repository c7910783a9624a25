"""`heldout serve` and its parts: web, worker, sweep, and the demo."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

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
@click.option("--workers", type=int, help="How many scoring workers to run.")
@pass_installation
def serve_command(installation: Installation, port: int | None, host: str | None, workers: int | None) -> int:
    """Everything on one machine, supervised: web, workers, sweeper and an embedded Valkey."""
    given = {"port": port, "host": host, "workers": workers}
    settings = replace(installation.settings, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]  # each value has its own field's type
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
    "--once", is_flag=True, help="Prove it: submit a sample over HTTP, wait, print the board, stop, exit 0."
)
@pass_installation
def demo_command(installation: Installation, port: int | None, data_dir: Path | None, once: bool) -> int:
    """Start everything with three real challenges whose baselines are scored before your eyes."""
    return demo.run(installation.settings, port=port, data_dir=data_dir, once=once, console=out)


def _become(module: str) -> None:
    """Replace this process: a worker's memory is its own, and signals reach it directly."""
    os.execv(sys.executable, [sys.executable, "-m", module])  # noqa: S606  no shell is wanted


@click.command("web")
def web_command() -> None:
    """Only the web server (for scaling out; `serve` runs everything)."""
    _become("app.web")


@click.command("worker")
def worker_command() -> None:
    """Only a scoring worker."""
    _become("worker")


@click.command("sweep")
def sweep_command() -> None:
    """Only the sweeper, which announces unfinished work again."""
    _become("worker.sweeper")
