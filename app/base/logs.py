"""Logs: one line an event on stderr, as text or JSON.

The subject of a line (a request, a submission) is set once, where its processing begins; all lines until its
end carry it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

FORMATS = ("text", "json")

_subject: ContextVar[Mapping[str, object]] = ContextVar("subject", default={})  # noqa: B039  never mutated


def configure(level: str, form: str = "text") -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # Alembic logs two lines each time the schema is read.
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Add these facts to every log line of the block.

    A thread that starts in the block needs `contextvars.copy_context().run`.
    """
    token = _subject.set({**_subject.get(), **facts})
    try:
        yield
    finally:
        _subject.reset(token)


def set_subject(**facts: object) -> None:
    """Set the subject until the next call, where `about` is impossible."""
    _subject.set(facts)


class Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        line = super().formatMessage(record) + facts
        # One line an event: a path or a name in a request must not forge lines of its own.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _facts(record: logging.LogRecord) -> Mapping[str, object]:
    """Return the facts of the line and of its subject."""
    return {**getattr(record, "facts", {}), **_subject.get()}
