"""A machine without a process or a descriptor to give: the worker lives, and scores when there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.base.models import State
from tests.conftest import on_sqlite
from tests.servers import eventually
from tests.worker.conftest import Platform
from tests.worker.test_workers import done, process


@on_sqlite
@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("processes", ["files cannot be read here", "the machine gave no process"]),
        ("descriptors", ["files cannot be read here", "polled again after a pause"]),
    ],
)
def test_a_worker_outlives_a_time_without_processes_or_descriptors(
    platform: Platform, tmp_path: Path, limit: str, words: list[str]
) -> None:
    log, limited = tmp_path / "worker.log", tmp_path / "limited"
    limited.touch()
    submission = platform.submit(platform.sample())
    more = {"HELDOUT_REDIS_URL": "none", "LIMIT": limit, "LIMITED": str(limited)}
    with process(platform, "tests.worker.limited", log=log, starts_afresh=True, **more) as worker:
        for each in words:
            eventually(lambda: each in log.read_text(), 60, what=f"the warning {each!r}")  # noqa: B023
        assert platform.status(submission).state is State.QUEUED
        limited.unlink()
        eventually(lambda: done(platform, submission), 60, what="the score")
        assert platform.status(submission).state is State.SCORED
        worker.terminate()
        assert worker.wait(20) == 0
