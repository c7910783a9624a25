"""Run everything with embedded parts and three published challenges.

With `once` it also acts as a participant over HTTP and then stops, which tests that a fresh clone works.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import scorer
from app.authoring import baselines, publishing
from app.base import config, db
from app.base.config import Settings
from app.base.errors import NotFound, Refused
from app.base.installation import Installation
from app.base.models import State
from app.base.processes import die_with_parent
from app.competing import statuses
from app.people import accounts, tokens

CHALLENGES = Path(__file__).resolve().parents[1] / "challenges"
SLUGS = ("biopsy", "diabetes", "digits")
SCORED_WITHIN_SECONDS = 180.0
NOT_EMBEDDED = ("database_url", "redis_url", "storage_url", "vault_dir", "vault_url")
READY = "Heldout is ready on "


def run(settings: Settings, *, port: int | None, data_dir: Path | None, once: bool, console: Console) -> int:
    """Serve until Ctrl-C or, with `once`, until the board is printed."""
    missing = [slug for slug in SLUGS if not (CHALLENGES / slug / "challenge.yaml").is_file()]
    if missing:
        raise Refused(
            f"The demo's challenges {', '.join(missing)} are not in {CHALLENGES}; run it from the repository."
        )
    temporary = tempfile.TemporaryDirectory(prefix="heldout-demo-") if once and data_dir is None else None
    with temporary or nullcontext(str(data_dir or settings.data_dir)) as folder:
        # Embedded parts only: a database in the environment's settings is a real one.
        settings = replace(
            settings,
            data_dir=Path(folder),
            port=port if port is not None else 0 if once else settings.port,
            database_url="",
            redis_url="",
            storage_url="",
            vault_dir="",
            vault_url="",
        )
        with _serving(settings) as (server, address):
            installation = Installation(settings)
            if not once:
                _print_accounts(installation, console)
            _publish_all(installation, address, console)
            if once:
                _participate(installation, address, console)
                return 0
            console.print(f"Ctrl-C stops everything; the data stays in {settings.data_dir}.")
            return server.wait()


@contextmanager
def _serving(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `heldout serve` as a child process during the block."""
    config.prepare_data_dir(settings)
    env = (
        {"HELDOUT_LOG_LEVEL": "warning"}
        | dict(os.environ)
        | {f"HELDOUT_{name.upper()}": "" for name in NOT_EMBEDDED}  # the settings file may hold them
        | {"HELDOUT_DATA_DIR": str(settings.data_dir.resolve()), "HELDOUT_PORT": str(settings.port)}
    )
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "app", "serve"],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line.startswith(READY):
            # Its stderr has the reason, in one line.
            sys.exit(server.wait() or 1)
        yield server, line.removeprefix(READY).strip()
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
        # Ctrl-C also reached the child, which is already stopping.
        server.wait(60)


def _publish_all(installation: Installation, address: str, console: Console) -> None:
    """Publish the challenges, and announce the server when a board shows scores."""
    ready = f"Heldout is ready on {address}"
    if is_ready := _shows_scores(installation):
        console.print(ready)
    else:
        console.print(f"{address} answers; the challenges are being checked and published.")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=len(SLUGS))
        for slug in SLUGS:
            progress.update(bar, description=f"Checking {slug}")
            challenge = scorer.load(CHALLENGES / slug)
            published = publishing.publish(installation, challenge, actor="demo")
            progress.update(bar, description=f"Running the baselines of {slug}")
            try:
                names = publishing.post_baselines(installation, challenge, published.competitions)
                console.print(f"{slug}: published, {len(names)} baselines posted")
            except baselines.CannotRun as weak:  # the demo is worth seeing without them
                names = []
                console.print(f"{slug}: published without baselines. {weak}", markup=False)
            if not is_ready:
                progress.update(bar, description=f"Scoring the baselines of {slug}")
                is_ready = not names or _wait_for_first_score(installation)
                console.print(ready if is_ready else f"{ready}; no score yet")
            progress.advance(bar)


def _shows_scores(installation: Installation) -> bool:
    with installation.database.read() as session:
        return statuses.state_counts(session)[State.SCORED] > 0


def _wait_for_first_score(installation: Installation) -> bool:
    until = time.monotonic() + SCORED_WITHIN_SECONDS
    while time.monotonic() < until:
        if _shows_scores(installation):
            return True
        time.sleep(0.2)
    return False


def _print_accounts(installation: Installation, console: Console) -> None:
    """Make the demo accounts that are missing, and print all."""
    table = Table("sign in as", "password", "is", box=None, pad_edge=False)
    known = []
    for name, is_organiser in (("ada", False), ("grace", True)):
        password = _new_account(installation, name, is_organiser=is_organiser)
        known += [] if password else [name]
        table.add_row(name, password or "as before", "organiser" if is_organiser else "participant")
    console.print(table)
    if known:
        folder = installation.settings.data_dir
        console.print(f"For a new password: HELDOUT_DATA_DIR={folder} heldout user password {known[0]}")


def _new_account(installation: Installation, name: str, *, is_organiser: bool) -> str | None:
    """Make a demo account and return its password; None if the account exists.

    No account has a default password, and an existing one keeps its own: it may be a person's.
    """
    password = secrets.token_urlsafe(9)
    hashed = accounts.hash_password(password)
    with installation.database.begin() as session:
        try:
            accounts.by_name(session, name)
        except NotFound:
            now = db.now(session)
            accounts.register(session, name, hashed, now=now, is_organiser=is_organiser)
            return password
    return None


# -- with --once: act as a participant ---------------------------------------------------------


def _participate(installation: Installation, address: str, console: Console) -> None:
    slug = SLUGS[0]
    _new_account(installation, "ada", is_organiser=False)
    with installation.database.begin() as session:
        token = tokens.issue(session, accounts.by_name(session, "ada").id, "demo", now=db.now(session))
    api = _Api(address, token)
    api.call("POST", f"competitions/{slug}/join")
    sample = api.fetch(f"competitions/{slug}/files/sample_submission.csv")
    receipt = api.call("POST", f"competitions/{slug}/submissions?filename=sample_submission.csv", sample)
    console.print(
        f"submitted {slug}/sample_submission.csv: receipt {receipt['id']}, sha256 {receipt['sha256'][:12]}"
    )
    console.print(receipt["receipt"], markup=False)
    status = _wait_for_score(api, receipt["id"])
    console.print(f"submission {receipt['id']}: {status['state']}, public score {status['public']:.5f}")
    for each in SLUGS:
        _wait_for_baselines(api, each, len(list((CHALLENGES / each / "baselines").glob("*.py"))))
        _print_board(api, each, console)


class _Api:
    def __init__(self, address: str, token: str) -> None:
        self._base, self._token = f"{address}/api/v1/", token

    def fetch(self, path: str, body: bytes | None = None, method: str = "GET") -> bytes:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "text/csv"}
        # The address was printed by our own server.
        url = self._base + path
        request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as wrong:
            detail = wrong.read().decode(errors="replace")
            raise RuntimeError(f"{method} {path} returned {wrong.code}: {detail}") from wrong

    def call(self, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.fetch(path, body if method == "POST" else None, method))
        return answer


def _wait_for_score(api: _Api, submission_id: int) -> dict[str, Any]:
    until = time.monotonic() + SCORED_WITHIN_SECONDS
    while time.monotonic() < until:
        status = api.call("GET", f"submissions/{submission_id}")
        if status["state"] == "scored":
            return status
        if status["state"] in ("rejected", "failed"):
            raise RuntimeError(f"the sample submission was {status['state']}: {status['problems']}")
        time.sleep(0.1)
    raise RuntimeError(f"the sample submission was not scored within {SCORED_WITHIN_SECONDS:g} s")


def _wait_for_baselines(api: _Api, slug: str, count: int) -> None:
    until = time.monotonic() + SCORED_WITHIN_SECONDS
    while time.monotonic() < until:
        rows = api.call("GET", f"competitions/{slug}/leaderboard")["rows"]
        if sum(row["is_baseline"] for row in rows) >= count:
            return
        time.sleep(0.2)
    raise RuntimeError(f"not all baselines of {slug} were scored within {SCORED_WITHIN_SECONDS:g} s")


def _print_board(api: _Api, slug: str, console: Console) -> None:
    table = Table("rank", "team", "public score", title=slug, title_justify="left", box=None, pad_edge=False)
    for row in api.call("GET", f"competitions/{slug}/leaderboard")["rows"]:
        name = f"{row['team']} (baseline)" if row["is_baseline"] else row["team"]
        table.add_row("" if row["rank"] is None else str(row["rank"]), name, f"{row['score']:.5f}")
    console.print(table)
