"""`heldout challenge export` of a published version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import scorer
from app.authoring import publishing
from app.base.config import Settings
from app.base.installation import Installation
from app.cli.bundles import challenge_export
from tests.conftest import on_sqlite

pytestmark = on_sqlite


@pytest.fixture
def installation(tmp_path: Path, database_url: str) -> Installation:
    settings = Settings(data_dir=tmp_path, secret_key="a secret", database_url=database_url)
    return Installation(settings)


def export(installation: Installation, *words: object) -> Result:
    return CliRunner().invoke(challenge_export, [str(word) for word in words], obj=installation)


def publish(installation: Installation, folder: Path) -> str:
    challenge = scorer.load(folder)
    published = publishing.publish(
        installation, challenge, actor="test", checked=scorer.CheckResult(), open_competition=False
    )
    return published.digest


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_exported_version_is_the_published_folder_byte_by_byte(
    tmp_path: Path, installation: Installation, challenge_folder: Path
) -> None:
    folder = tmp_path / "coins"
    shutil.copytree(challenge_folder, folder)
    before = contents(folder)
    first = publish(installation, folder)
    (folder / "description.md").write_bytes(b"Another text,\r\nwith the line ends of Windows \xe2\x82\xac")
    second = publish(installation, folder)

    done = export(installation, "coins@1", "--out", tmp_path / "first", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["digest"] == first
    assert contents(tmp_path / "first") == before
    assert scorer.load(tmp_path / "first").digest == first
    assert (tmp_path / "first").stat().st_mode & 0o077 == 0  # it holds the labels

    assert export(installation, "coins", "--out", tmp_path / "newest").exit_code == 0
    assert contents(tmp_path / "newest") == contents(folder)
    assert scorer.load(tmp_path / "newest").digest == second

    kaggle = export(installation, "coins@1", "--format", "kaggle", "--out", tmp_path / "kaggle")
    assert kaggle.exit_code == 0, kaggle.output
    assert (tmp_path / "kaggle/competition-metadata.json").is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("marbles", "There is no published challenge marbles"),
        ("coins@2", "coins has no version 2: its versions are 1 to 1."),
        ("coins@one", "coins has no version one"),
        ("coins", "exists; name a new folder."),
        (".", "is a folder already"),
    ],
)
def test_export_refuses_in_words_and_writes_nothing(
    tmp_path: Path, installation: Installation, challenge_folder: Path, name: str, words: str
) -> None:
    publish(installation, challenge_folder)
    target = tmp_path / "there"
    target.mkdir()
    done = export(installation, name, "--out", target)
    assert words in str(done.exception)
    assert list(target.iterdir()) == []


def test_damaged_version_is_not_exported(
    tmp_path: Path, installation: Installation, challenge_folder: Path
) -> None:
    digest = publish(installation, challenge_folder)
    solution = installation.vault.home(digest) / "private/solution.csv"
    solution.chmod(0o600)
    solution.write_bytes(solution.read_bytes()[:-2])
    done = export(installation, "coins", "--out", tmp_path / "damaged")
    assert "is not what was published" in str(done.exception)
    assert not (tmp_path / "damaged").exists()
