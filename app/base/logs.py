"""How a process speaks to its operator: one line an event, on stderr, as text or as JSON.

What a line is about (a request, a submission) is set once where that begins, and every line below carries it.
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

_subject: ContextVar[Mapping[str, object]] = ContextVar("subject", default={})  # noqa: B039  never changed in place


def configure(level: str, form: str = "text") -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # Alembic announces itself at every look at the schema.
    logging.getLogger("alembic").setLevel(logging.WARNING)


@contextmanager
def about(**facts: object) -> Iterator[None]:
    """Every line within carries these facts. A thread begun within needs `contextvars.copy_context().run`."""
    token = _subject.set({**_subject.get(), **facts})
    try:
        yield
    finally:
        _subject.reset(token)


def set_subject(**facts: object) -> None:
    """The same for what begins in one function and ends in another; without facts it ends."""
    _subject.set(facts)


class Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the name it has in logging
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        line = super().formatMessage(record) + facts
        # One line an event: a path or a name that somebody sent must not write lines of its own.
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
    """Of the line itself (`extra={"facts": ...}`) and of what it is about."""
    return {**getattr(record, "facts", {}), **_subject.get()}
