"""The database: engines, sessions, and its clock.

SQLite and PostgreSQL give the same guarantees here. On SQLite every writing transaction begins with BEGIN
IMMEDIATE: with a deferred BEGIN, two that both read before one writes end in "database is locked". Reads use
a second engine that cannot write.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import DateTime, Dialect, Engine, NullPool, create_engine, event, func, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.types import TypeDecorator

from app.base.config import Settings
from app.base.errors import Misconfigured


class Base(DeclarativeBase):
    pass


class UtcTime(TypeDecorator[datetime]):
    """Store aware times as UTC; refuse naive ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a naive datetime reached the database: {value!r}")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# No prepared statements, so that a pooler (PgBouncer in transaction mode) may stand between. A server that
# vanished is noticed within a minute: keepalives find it while we wait for an answer, and tcp_user_timeout
# while it has not acknowledged what we sent (the kernel sends no keepalives then and would retry for a
# quarter of an hour).
_POSTGRES_CONNECTION: Mapping[str, Any] = {
    "connect_timeout": 10,
    "application_name": "heldout",
    "prepare_threshold": None,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 55_000,
}


def open_(settings: Settings, *, pooled: bool = True) -> Database:
    """Return the database of an installation, not yet connected."""
    return Database(
        settings.database,
        pooled=pooled,
        pool_size=settings.database_pool or settings.web_threads + 2,
        statement_seconds=settings.statement_seconds,
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether the database cannot be reached: the request may be repeated."""
    if isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorname", "") == "SQLITE_ERROR":
        return False  # an error in a statement, which SQLite's driver reports as operational too
    return isinstance(error, OperationalError | InterfaceError | PoolExhausted) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    )


# Messages of libpq and PostgreSQL about a server that cannot be reached or does not accept connections now. A
# failed connection has no error code. Messages in another language do not match: then start-up fails at once.
SOON_SECONDS = 0.1
"""Longest wait for another writer of a transaction that may be left out."""
_SOON = "heldout_soon"

_TRANSIENT = (
    "connection refused",
    "timeout expired",
    "is the server running locally",  # a missing unix socket
    "failed to resolve host",
    "no route to host",
    "network is unreachable",
    "server closed the connection unexpectedly",
    "connection reset",
    "starting up",
    "shutting down",
    "recovery mode",
    "not yet accepting connections",
    "too many clients",
    "too many connections",
    "connection slots are reserved",
    "terminating connection",
)


def is_transient(error: BaseException) -> bool:
    """Whether waiting may help, unlike with a wrong password."""
    message = str(getattr(error, "orig", "")).lower()
    return is_unavailable(error) and any(known in message for known in _TRANSIENT)


def is_full(error: BaseException) -> bool:
    """Whether the database's disk is full.

    SQLite then rolls back by itself, and often the second rollback fails and hides the cause behind it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if (
            getattr(cause, "sqlite_errorname", None) == "SQLITE_FULL"
            or getattr(cause, "sqlstate", None) == "53100"
        ):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class Database:
    """One database; `begin()` writes, `read()` only reads.

    Both are one transaction that ends with their `with` block. Parameters of a failed statement (a password's
    hash, a private score) are in no error message, and so in no log.
    """

    def __init__(
        self, url: str, *, pooled: bool = True, pool_size: int = 10, statement_seconds: int = 60
    ) -> None:
        parsed = _parse(url)
        self.url = parsed
        self._statement_seconds = int(statement_seconds)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        # A forked child must not inherit connections, so workers take none from a pool.
        options: dict[str, Any] = {} if pooled else {"poolclass": NullPool}
        if self.is_sqlite:
            self.engine = _sqlite(parsed, options, read_only=False)
            reader = _sqlite(parsed, options, read_only=True)
        else:
            if pooled:
                # The wait for a connection ends before a browser's timeout, with a request to try again.
                options = {
                    "pool_size": pool_size,
                    "max_overflow": 0,
                    "pool_timeout": 10,
                    "pool_recycle": 1800,
                }
            self.engine = reader = create_engine(
                parsed, pool_pre_ping=True, hide_parameters=True, connect_args=_POSTGRES_CONNECTION, **options
            )
        self._reader = reader
        self._writing = sessionmaker(self.engine, expire_on_commit=False)
        self._reading = sessionmaker(reader, expire_on_commit=False, autoflush=False)
        # Waiting for SQLite's own lock is unfair (up to seconds), so threads of one process wait here
        # instead.
        self._writer_lock: Any = threading.Lock() if self.is_sqlite else nullcontext()

    @contextmanager
    def begin(self, *, pauses: bool = False) -> Iterator[Session]:
        """Open a writing transaction; an exception rolls it back.

        One that pauses may do long work between its statements: nothing else waits for its locks.
        """
        with self._writer_lock, self._writing.begin() as session:
            self._limit(
                session, "statement_timeout", *(() if pauses else ("idle_in_transaction_session_timeout",))
            )
            yield session

    def compact(self, *, most_bytes: int | None = None) -> bool:
        """Rewrite a database file without the bytes of deleted rows; False where it is busy or too large.

        PostgreSQL does so by itself, some time later.
        """
        if not self.is_sqlite:
            return True
        path = Path(self.url.database or "")
        if most_bytes is not None and path.stat().st_size > most_bytes:
            return False
        with self._writer_lock, closing(self.engine.raw_connection()) as connection:
            sqlite: Any = connection.driver_connection
            try:
                sqlite.execute("VACUUM")
                ((busy, *_),) = sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.OperationalError:
                return False
        return not busy

    @contextmanager
    def begin_soon(self) -> Iterator[Session]:
        """Open a writing transaction that hardly waits for other writers, for what may be left out.

        SQLAlchemyError if it would have to wait for longer.
        """
        if self.is_sqlite and not self._writer_lock.acquire(timeout=SOON_SECONDS):
            raise PoolExhausted("another thread is writing")
        try:
            with self._writing.begin() as session:
                session.connection(execution_options={_SOON: True})
                if not self.is_sqlite:
                    session.execute(select(func.set_config("lock_timeout", "100ms", True)))
                self._limit(session, "statement_timeout")
                yield session
        finally:
            if self.is_sqlite:
                self._writer_lock.release()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a reading transaction, a snapshot that never waits for writers."""
        with self._reading() as session:
            if not self.is_sqlite:
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            self._limit(session, "statement_timeout")
            yield session

    def _limit(self, session: Session, *names: str) -> None:
        """Set time limits for this transaction.

        Without them a hanging statement would hold its thread, and a client that vanished while writing its
        locks, for hours. They apply to one transaction only, because a pooler may give the connection to
        another client and an upgrade of the schema has no limit.
        """
        if not self.is_sqlite:
            limit = f"{self._statement_seconds}s"
            session.execute(select(*(func.set_config(name, limit, True) for name in names)))

    def dispose(self) -> None:
        self.engine.dispose()
        self._reader.dispose()

    def ping(self) -> None:
        """Refuse if the database does not answer."""
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except DBAPIError as wrong:
            reason = str(wrong.orig).strip().splitlines()[0]
            shown = self.url.render_as_string(hide_password=True)
            raise Misconfigured(
                f"The database {shown} does not answer: {reason}. Set HELDOUT_DATABASE_URL."
            ) from wrong


def now(session: Session) -> datetime:
    """Return the database's time, which all rules use."""
    if session.get_bind().dialect.name == "sqlite":
        # SQLite runs inside this process and uses the same clock, so no statement is needed. The transaction
        # must have begun: a writer reads the time after it has its lock.
        session.connection()
        return datetime.now(UTC)
    time: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return time.astimezone(UTC)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError) as wrong:
        # The URL may hold a password, so the message does not repeat it.
        raise Misconfigured(
            "HELDOUT_DATABASE_URL is not a database URL; "
            "expected sqlite:////PATH or postgresql://USER:PASSWORD@HOST/NAME."
        ) from wrong
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise Misconfigured(
            f"HELDOUT_DATABASE_URL: {parsed.get_backend_name()} is not supported; use sqlite or postgresql."
        )
    return parsed


def _sqlite(url: URL, options: dict[str, Any], *, read_only: bool) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": 30, "check_same_thread": False}, **options
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        connection.execute("PRAGMA busy_timeout = 30000")
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: an acknowledged upload survives a power cut; with NORMAL it might not.
            connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        is_soon = connection.get_execution_options().get(_SOON, False)
        if is_soon:
            connection.exec_driver_sql("PRAGMA busy_timeout = 100")
        try:
            connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
        finally:
            if is_soon:
                connection.exec_driver_sql("PRAGMA busy_timeout = 30000")

    return engine
