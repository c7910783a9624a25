"""Run the web under gunicorn: `python -m app.web`.

Either alone or as a child of `heldout serve`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from app import migrations
from app.base import config, db, logs, startup_checks
from app.base.config import Settings
from app.base.db import Database
from app.base.errors import Refused
from app.operating import startup_wait
from app.people import first_organiser
from app.web.application import create_app
from app.web.slow_clients import Worker


class GunicornLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """Send gunicorn's messages through our own log format."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__()

    def load_config(self) -> None:
        settings = self.settings
        inherited = os.environ.get("HELDOUT_LISTEN_FD")
        options: dict[str, Any] = {
            "bind": f"fd://{inherited}" if inherited else f"{settings.host}:{settings.port}",
            "workers": settings.web_processes,
            "worker_class": Worker,
            "threads": settings.web_threads,
            "timeout": 120,
            "graceful_timeout": 10,
            "keepalive": 5,
            "loglevel": "warning" if settings.log_level == "info" else settings.log_level,
            "logger_class": GunicornLog,
            "control_socket_disable": True,
            # No client may set SCRIPT_NAME or the like through a proxy's headers; see `HELDOUT_PROXIES`.
            "forwarder_headers": "",
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Any:
        return create_app(self.settings)


def _enter(settings: Settings, database: Database) -> None:
    migrations.check(database)
    if "HELDOUT_LISTEN_FD" not in os.environ:  # under `heldout serve` the supervisor prints it
        _invite(settings, database)


def _invite(settings: Settings, database: Database) -> None:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104  (compared)
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    with database.read() as session:
        invitation = first_organiser.invitation(session, config.secret_key(settings), address)
    if invitation:
        print(invitation, flush=True)


def main() -> int:
    try:
        # The supervisor sets this variable; it is not a setting.
        settings = config.load({k: v for k, v in os.environ.items() if k != "HELDOUT_LISTEN_FD"})
        logs.configure(settings.log_level, settings.log_format)
        startup_checks.refuse_unsafe(settings, listens=True)
        config.prepare_data_dir(settings)
        database = db.open_(settings)
        startup_wait.wait_for_database(lambda: _enter(settings, database))  # not listening until then
        database.dispose()
    except Refused as refusal:
        print(f"heldout web: {refusal.message}", file=sys.stderr)
        return refusal.exit_code
    Server(settings).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
