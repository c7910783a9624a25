"""A database that goes down: outcomes wait, and pages ask to try again."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.base import db
from app.base.db import Database
from app.web.application import create_app
from tests.worker.conftest import Platform
from worker import jobs
from worker.lease_keeper import write_outcome


def gone() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


@pytest.mark.parametrize("is_written", [True, False], ids=["after the commit", "before the commit"])
def test_an_outcome_whose_commit_got_no_answer_is_written_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, is_written: bool
) -> None:
    submission_id = platform.submit(platform.sample())
    runner = jobs.Runner(platform.installation.settings, platform.database)
    record, calls = runner._record, []

    def cut(*given: object) -> None:
        calls.append(given)
        if len(calls) == 1:
            if is_written:
                record(*given)  # type: ignore[arg-type]
            raise gone()
        record(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "_record", cut)
    claim = runner._claim("host/1/2")
    assert claim is not None
    runner.score(claim)
    assert len(calls) == 2
    status = platform.status(submission_id)
    assert (status.state, status.attempt) == ("scored", 1)


def test_the_wait_for_the_database_ends_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> None:
        raise gone()

    with pytest.raises(OperationalError):
        write_outcome(write, seconds=0.6)


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_requests_are_refused_while_the_database_restarts_and_served_afterwards(
    platform: Platform, database_url: str
) -> None:
    settings = platform.installation.settings
    app = create_app(settings)
    client = app.test_client()
    assert client.get("/").status_code == 200
    admin = Database(database_url)
    name = admin.url.database
    with Database(str(admin.url.set(database="postgres")), pooled=False).engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
        try:
            answer = client.get("/", headers={"Accept": "application/json"})
            page = client.get("/")
        finally:
            connection.execute(text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "database does not answer" in answer.get_json()["detail"]
    assert page.status_code == 503
    assert "database does not answer" in page.text
    assert client.get("/").status_code == 200
    app.extensions["heldout"].database.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_hanging_statement_is_cancelled(platform: Platform, database_url: str) -> None:
    database = Database(database_url, statement_seconds=1, pool_size=1)
    with pytest.raises(OperationalError, match="statement timeout"), database.read() as session:
        session.execute(text("SELECT pg_sleep(20)"))
    with database.begin() as session:
        assert db.now(session)
    database.dispose()
