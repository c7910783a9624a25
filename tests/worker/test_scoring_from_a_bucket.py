"""The walk of a submission where files are in a bucket and the machine that scores has none of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import scorer
from app import accounts, config, db, migrations, publishing
from app.config import Settings
from app.installation import Installation
from tests.app.test_bucket import endpoint, pytestmark, settings
from tests.worker.conftest import Platform
from worker import jobs


def test_a_forked_work_horse_with_an_empty_cache_scores_from_the_bucket(
    settings: Settings, challenge_folder: Path, tmp_path: Path
) -> None:
    config.prepare_data_dir(settings)
    migrations.upgrade(db.open_(settings, pooled=False))
    installation = Installation(settings)
    publishing.publish(installation, scorer.load(challenge_folder), actor="test")
    with installation.database.begin() as session:
        accounts.register(session, "ada", None, now=db.now(session))
    platform = Platform(installation, challenge_folder)
    submission_id = platform.submit(platform.sample())
    there = replace(
        settings,
        data_dir=tmp_path / "elsewhere",
        database_url=settings.database,
        vault_dir=str(settings.vault),
    )
    runner = jobs.Runner(there, db.open_(there, pooled=False))
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if runner.run() == 1 else 1)
        except BaseException:  # noqa: BLE001  a forked pytest must never go on
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert platform.status(submission_id).state == "scored"
    assert len(list((tmp_path / "elsewhere/cache").glob("??/*"))) == 1
    installation.database.dispose()


__all__ = ["endpoint", "pytest", "pytestmark", "settings"]
