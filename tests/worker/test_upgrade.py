"""Data of an earlier release: rows, files and jobs that wait in its queue go on under today's program."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app import migrations
from app.base import db, queue
from app.base.config import Settings
from app.base.installation import Installation
from app.base.models import Evaluation, Inspection, InspectionState, Score, State
from app.operating import audit_log
from tests.servers import Forked, environment, eventually, valkey

OLDER = sorted((Path(__file__).parents[1] / "data/older").glob("*.tar.gz"))


@pytest.fixture(params=OLDER, ids=lambda path: path.name.removesuffix(".tar.gz"))
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    """An installation as an earlier release left it: five submissions and a scan wait for a worker."""
    with tarfile.open(request.param) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python below 3.11.4 has none
        archive.extractall(tmp_path / "data")
    for name in ("blobs", "vault"):
        (tmp_path / "data" / name).chmod(0o700)
    installation = Installation(Settings(data_dir=tmp_path / "data", lease_seconds=30))
    outdated = db.open_(installation.settings)
    migrations.upgrade(outdated)
    outdated.dispose()
    yield installation
    installation.database.dispose()


def fill_queue(settings: Settings) -> int:
    """Put the earlier release's own jobs into the queue, byte for byte; return how many."""
    recorded = json.loads((settings.data_dir / "jobs.json").read_text())
    redis = queue.connect(settings.redis)
    for key, fields in recorded["jobs"].items():
        redis.hset(key, mapping={name: base64.b64decode(value) for name, value in fields.items()})
    redis.rpush("rq:queue:scoring", *recorded["queue"])
    redis.close()
    return len(recorded["queue"])


def unfinished(installation: Installation) -> list[str]:
    with installation.database.read() as session:
        evaluations = session.scalars(select(Evaluation.state)).all()
        inspections = session.scalars(select(Inspection.state)).all()
    return [s for s in evaluations if not State(s).is_final] + [
        s for s in inspections if s != InspectionState.DONE
    ]


def test_jobs_queued_by_an_earlier_release_are_done_by_todays_worker(older: Installation) -> None:
    settings = older.settings
    with valkey(settings.data_dir):
        assert len(unfinished(older)) == fill_queue(settings) == 6
        # No sweeper runs: only these jobs wake the worker.
        worker = Forked("worker", env=environment(settings.data_dir, {}))
        try:
            eventually(lambda: unfinished(older) == [], seconds=60, what="the end of all that waited")
        finally:
            worker.terminate()
            worker.wait(20)
    with older.database.read() as session:
        states = dict(session.execute(select(Evaluation.submission_id, Evaluation.state)).all())
        assert states == {1: "scored", 2: "scored", 3: "scored", 4: "scored", 5: "rejected"}
        perfect = session.scalars(select(Score).where(Score.submission_id == 4)).one()
        assert (perfect.public, perfect.private) == pytest.approx((0.0, 0.0), abs=1e-9)
        assert audit_log.verify(session).faults == ()
