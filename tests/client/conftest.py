"""Fixtures: challenge folders, an installation, and a server in this process that the client talks to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from app.competing import competitions
from heldout_client import commands, connection, participant
from heldout_client.logins import Login
from heldout_client.participant import Participant
from tests.scorer.conftest import write
from tests.web.conftest import foundation, site
from tests.web.site import Site

__all__ = ["foundation", "site", "write"]


class Silent(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        """Keep the requests out of the tests' output."""


@dataclass
class Served:
    """A site behind a real socket, and a home folder of one participant."""

    site: Site
    address: str
    env: dict[str, str]
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, name: str = "ada") -> str:
        return self.site.token(name)["Authorization"].partition(" ")[2]

    def participant(self, name: str = "ada", address: str = "") -> Participant:
        return Participant(Login(address or self.address, self.token(name)), self.env)

    def heldout(self, *words: str, **env: str) -> int:
        """Run the command as Ada; return its exit code."""
        signed_in = {"HELDOUT_URL": self.address, "HELDOUT_TOKEN": self.token()}
        return commands.main(list(words), {**self.env, **signed_in, **env})


@pytest.fixture
def server(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    describe(site)
    monkeypatch.setattr(connection, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(participant, "LONG_PAUSES", (0.0, 0.0, 0.0))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    serving = make_server("127.0.0.1", 0, site.app, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Served(site, f"http://127.0.0.1:{serving.server_port}", {"XDG_CONFIG_HOME": str(tmp_path / "home")})
    serving.shutdown()
    thread.join()
    serving.server_close()


SCHEMA: dict[str, Any] = {
    "ids": {
        "columns": ["id"],
        "form": "integer",
        "rule": "exactly_once",
        "file": "sample_submission.csv",
        "count": 2,
        "sha256": "0" * 64,
        "values": ["1", "2"],
    },
    "columns": [
        {
            "name": "target",
            "kind": "number",
            "holds": "a number in [0, 1]",
            "low": 0.0,
            "high": 1.0,
            "may_be_empty": False,
            "separator": None,
            "graded": False,
            "grammar": None,
            "labels": None,
        }
    ],
    "rows": [],
    "metric": {"name": "log_loss", "kind": "probability"},
}
"""Of the site's competition, as publishing describes it."""


def describe(site: Site, schema: dict[str, Any] = SCHEMA) -> None:
    """Give the site's competition its schema."""
    with site.database.begin() as session:
        version = competitions.by_slug(session, site.slug).version
        submission = {**version.manifest["submission"], "schema": schema}
        version.manifest = {**version.manifest, "submission": submission}
