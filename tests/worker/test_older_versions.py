"""Versions that an older program published get the limits and forms of this one."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from sqlalchemy import select

from app.authoring import publishing
from app.base import form_rules
from app.base.models import ChallengeVersion
from app.operating import doctor
from tests.worker.conftest import Platform


def manifest(platform: Platform) -> dict[str, Any]:
    with platform.database.read() as session:
        (found,) = session.scalars(select(ChallengeVersion.manifest))
        return found


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_limits_and_schemas_of_an_older_program_are_computed_from_the_stored_files(
    platform: Platform,
) -> None:
    """The page refused files above the old limit that the scorer accepts, until the next publication."""
    published = manifest(platform)
    assert publishing.refresh_forms(platform.installation) == []
    with platform.database.begin() as session:
        (version,) = session.scalars(select(ChallengeVersion))
        old = {name: value for name, value in published["submission"].items() if name != "schema"}
        folds = {**published["folds"], **({"max_bytes": 5} if "sha256" in published["folds"] else {})}
        version.manifest = {**published, "submission": {**old, "max_bytes": 5}, "folds": folds}
        del version.manifest["form_rules"]
    with platform.database.read() as session:
        assert len(form_rules.older_versions(session)) == 1
    check = doctor.forms(["coins version 1"])
    assert not check.is_ok
    assert "heldout challenge refresh" in check.advice
    hidden = platform.installation.settings.vault / next(
        path.name for path in platform.installation.settings.vault.iterdir() if len(path.name) == 64
    )
    away = hidden.with_name("away")
    hidden.rename(away)
    (words,) = publishing.refresh_forms(platform.installation)
    assert words.startswith("coins version 1 stays as it is: Version ")
    assert manifest(platform)["submission"]["max_bytes"] == 5
    shutil.move(away, hidden)
    assert publishing.refresh_forms(platform.installation) == ["coins version 1: files up to 10 MB"]
    assert manifest(platform) == published
    assert doctor.forms([]).is_ok
