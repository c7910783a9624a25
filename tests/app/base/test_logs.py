from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from app.base import logs


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest) -> Iterator[tuple[str, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Json() if request.param == "json" else logs.Text())
    log = logging.getLogger("tests.logs")
    log.addHandler(handler)
    log.propagate = False
    yield request.param, stream
    log.removeHandler(handler)


def test_a_log_line_carries_its_subject_until_the_block_ends(written: tuple[str, io.StringIO]) -> None:
    form, stream = written
    log = logging.getLogger("tests.logs")

    def from_a_thread() -> None:
        log.warning("renewed")

    with logs.about(submission=7, attempt=1):
        log.warning("taken", extra={"facts": {"ms": 3}})
        thread = threading.Thread(target=copy_context().run, args=(from_a_thread,))
        thread.start()
        thread.join()
    log.warning("after")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    if form == "json":
        taken, renewed, after = map(json.loads, lines)
        assert (taken["message"], taken["level"], taken["ms"], taken["submission"]) == (
            "taken",
            "warning",
            3,
            7,
        )
        assert taken["at"].endswith("+00:00")
        assert renewed["attempt"] == 1
        assert "submission" not in after
    else:
        assert lines[0].endswith("tests.logs WARNING taken ms=3 submission=7 attempt=1")
        assert lines[1].endswith("renewed submission=7 attempt=1")
        assert lines[2].endswith("after")


def test_a_logged_value_cannot_forge_a_line(written: tuple[str, io.StringIO]) -> None:
    logging.getLogger("tests.logs").warning("GET %s", "/x\n2026-01-01 root INFO all is well\x1b[2J")
    assert len(written[1].getvalue().splitlines()) == 1
    assert "\x1b" not in written[1].getvalue()
