"""The demo's accounts and its announcement."""

from __future__ import annotations

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from app import demo
from app.cli.users import user_password
from app.people import accounts
from tests.conftest import on_sqlite
from tests.worker.conftest import Platform


def printed(platform: Platform) -> str:
    text = io.StringIO()
    demo._print_accounts(platform.installation, Console(file=text, width=200))
    return text.getvalue()


def hash_of(platform: Platform, name: str) -> str | None:
    with platform.database.read() as session:
        return accounts.by_name(session, name).password_hash


@on_sqlite
def test_the_demo_gives_no_existing_account_a_password(platform: Platform) -> None:
    before = hash_of(platform, "ada")  # a person of this name, without a password
    first = printed(platform)
    assert hash_of(platform, "ada") == before
    line = next(line for line in first.splitlines() if line.startswith("grace"))
    password = line.split()[1]
    made = hash_of(platform, "grace")
    with platform.database.read() as session:
        assert accounts.verify(accounts.by_name(session, "grace"), password).is_organiser
    again = printed(platform)
    assert again.count("as before") == 2
    assert password not in again
    assert "heldout user password ada" in again
    assert hash_of(platform, "grace") == made


@on_sqlite
def test_a_lost_password_is_replaced_by_command(platform: Platform) -> None:
    ran = CliRunner().invoke(
        user_password, ["ada", "--password-stdin"], input="a new long one\n", obj=platform.installation
    )
    assert ran.output == "ada has a new password; all browsers are signed out and all tokens revoked.\n"
    with platform.database.read() as session:
        assert accounts.verify(accounts.by_name(session, "ada"), "a new long one").name == "ada"


@on_sqlite
def test_the_demo_is_ready_when_a_board_shows_a_score(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not demo._shows_scores(platform.installation)
    monkeypatch.setattr(demo, "SCORED_WITHIN_SECONDS", 0.5)
    assert not demo._wait_for_first_score(platform.installation)
