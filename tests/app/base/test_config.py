"""Settings: their sources, and the report of all mistakes at once."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import pytest

from app.base import config
from app.base.config import Settings
from app.base.errors import Misconfigured
from app.base.startup_checks import wide_modes

NO_FILE = Path("/nonexistent/heldout.toml")


def test_environment_overrides_file_and_file_overrides_default(tmp_path: Path) -> None:
    file = tmp_path / "heldout.toml"
    file.write_text("port = 8000\nworkers = 4\ncookie_secure = true\n")
    settings = config.load({"HELDOUT_PORT": "9000", "OTHER": "x"}, file)
    assert (settings.port, settings.workers, settings.cookie_secure, settings.host) == (
        9000,
        4,
        True,
        "127.0.0.1",
    )


def test_the_settings_file_is_in_the_data_folder_or_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, port in ((".", 1), ("data", 2), ("elsewhere", 3), ("named", 4)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "heldout.toml").write_text(f"port = {port}\n")
    (tmp_path / ".env").write_text("HELDOUT_PORT=5\n")
    monkeypatch.chdir(tmp_path)
    elsewhere, named = str(tmp_path / "elsewhere"), str(tmp_path / "named/heldout.toml")
    assert config.load({}).port == 2
    assert config.load({"HELDOUT_DATA_DIR": elsewhere}).port == 3
    assert config.load({"HELDOUT_DATA_DIR": elsewhere, "HELDOUT_CONFIG": named}).port == 4
    assert config.load({"HELDOUT_DATA_DIR": str(tmp_path / "none")}).port == 7777
    for empty in ("", " "):
        assert config.load({"HELDOUT_DATA_DIR": empty, "HELDOUT_CONFIG": empty}).port == 2


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_value_is_no_value_except_of_a_text_that_may_be_empty(empty: str, tmp_path: Path) -> None:
    (tmp_path / "heldout.toml").write_text('data_dir = ""\nport = 8\nhost = ""\n')
    names = [f"HELDOUT_{field.name.upper()}" for field in fields(Settings) if field.default != ""]
    settings = config.load(dict.fromkeys(names, empty) | {"HELDOUT_DATA_DIR": str(tmp_path)})
    assert settings == replace(Settings(), data_dir=tmp_path, port=8)
    (tmp_path / "heldout.toml").write_text('redis_url = "none"\n')
    assert config.load({"HELDOUT_DATA_DIR": str(tmp_path), "HELDOUT_REDIS_URL": ""}).redis_url == ""


def test_a_data_folder_that_came_with_the_current_folder_leads_nothing_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A downloaded folder could hold `data/heldout.toml` with another author's bucket for the solutions."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "data/heldout.toml"
    monkeypatch.chdir(tmp_path)
    examples = {bool: "true", str: '"s3://elsewhere/x"'}
    kinds = {field.name: type(field.default) for field in fields(Settings)}
    for name in config.LEAD_OUT:
        file.write_text(f"{name} = {examples[kinds[name]]}\nport = 2\n")
        with pytest.raises(
            Misconfigured, match=f"{name} may not be set .* set HELDOUT_DATA_DIR={tmp_path}/data"
        ):
            config.load({})
    file.write_text("allow_weak_sandbox = true\n")
    assert config.load({"HELDOUT_DATA_DIR": "data"}).allow_weak_sandbox
    monkeypatch.setattr(os, "getuid", lambda: file.stat().st_uid + 1)
    file.unlink()
    if file.parent.stat().st_uid:
        with pytest.raises(Misconfigured, match="belongs to another user"):
            config.load({})


@pytest.mark.parametrize("name", ["run", "run/made_here", "run/serve.lock", "blobs", "vault", "secret_key"])
def test_a_link_that_came_with_the_current_folder_is_refused_before_anything_is_written_through_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data/run/made_here` of a downloaded folder could name any file of the user, which was overwritten."""
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "data" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misconfigured, match=f"{link} may have come with the current folder; if it is yours"):
        config.load({})


def test_a_database_that_came_with_the_current_folder_is_refused_until_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A downloaded folder could hold accounts and a signing key of another author."""
    monkeypatch.chdir(tmp_path)
    config.prepare_data_dir(config.load({}))
    for name in ("heldout.db", "secret_key"):
        (tmp_path / "data" / name).touch()
    assert config.load({}).data_dir == Path("data")  # made here
    (tmp_path / "data").rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "data")  # as unpacked: with a mark of another folder
    there = ("heldout.db", "secret_key", "blobs", "vault")
    files = " and ".join(str(tmp_path / "data" / name) for name in there)
    words = f"{files} may have come with the current folder"
    with pytest.raises(Misconfigured, match=f"{words}; if it is yours, set HELDOUT_DATA_DIR={tmp_path}/data"):
        config.load({})
    named = config.load({"HELDOUT_DATA_DIR": str(tmp_path / "data")})
    config.prepare_data_dir(named)
    assert config.load({}).data_dir == Path("data")


def test_a_file_that_a_group_of_others_may_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "heldout.toml"
    file.write_text("port = 1\n")
    file.chmod(0o660)
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("own", "x", gid, [])))
    monkeypatch.setattr(pwd, "getpwall", list)
    assert config.load({"HELDOUT_DATA_DIR": str(tmp_path)}).port == 1  # a group of the user alone
    tmp_path.chmod(0o770)
    assert wide_modes(Settings(data_dir=tmp_path)) == []
    monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group(("class", "x", gid, ["nobody"])))
    with pytest.raises(Misconfigured, match="other users can change this file"):
        config.load({"HELDOUT_DATA_DIR": str(tmp_path)})
    (words,) = wide_modes(Settings(data_dir=tmp_path))
    assert words.endswith(f"every user of its group may replace the files in it: chmod g-w {tmp_path}")


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("port = 1\n", 0o666, "other users can change this file"),
        ("data_dir = 'other'\n", 0o600, "data_dir names another folder"),
    ],
)
def test_a_settings_file_that_cannot_be_trusted_is_refused(
    content: str, mode: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "heldout.toml").write_text(content)
    (tmp_path / "heldout.toml").chmod(mode)
    with pytest.raises(Misconfigured, match=words):
        config.load({"HELDOUT_DATA_DIR": str(tmp_path)})


def test_a_named_settings_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="HELDOUT_CONFIG: there is no file"):
        config.load({"HELDOUT_CONFIG": str(tmp_path / "heldout.toml")})


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "heldout.toml"
    file.write_text("prot = 8000\n")
    with pytest.raises(Misconfigured) as refused:
        config.load({"HELDOUT_PORT": "http", "HELDOUT_COOKIE_SECURE": "maybe", "HELDOUT_WOKRERS": "2"}, file)
    assert len(refused.value.problems) == 4
    for word in ("prot", "HELDOUT_PORT: 'http' is not a number", "is not a truth value", "HELDOUT_WOKRERS"):
        assert word in refused.value.message


def test_all_values_out_of_range_are_reported_at_once() -> None:
    with pytest.raises(Misconfigured) as refused:
        config.load(
            {"HELDOUT_PORT": "70000", "HELDOUT_WORKERS": "0", "HELDOUT_REGISTRATION": "ajar"}, NO_FILE
        )
    assert len(refused.value.problems) == 3


def test_the_secret_key_is_generated_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    key = config.secret_key(settings)
    assert config.secret_key(settings) == key
    assert len(key) == 64
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_a_data_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        Misconfigured, match=r"The data folder .* cannot be written: Not a directory. Set HELDOUT_DATA_DIR"
    ):
        config.prepare_data_dir(Settings(data_dir=tmp_path / "file" / "data"))


def test_processes_that_start_together_prepare_one_folder(tmp_path: Path) -> None:
    """`serve` starts several at once, and each must succeed."""
    with ThreadPoolExecutor(8) as pool:
        starts = [pool.submit(config.prepare_data_dir, Settings(data_dir=tmp_path)) for _ in range(400)]
        for start in starts:
            start.result()
    assert not list(tmp_path.glob(".*"))
    assert [path.name for path in (tmp_path / "run").glob("made_here*")] == ["made_here"]


def test_a_long_data_folder_has_a_socket_path_that_the_kernel_accepts(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    assert len(str(Settings(data_dir=deep).redis_socket)) < 107
    assert Settings(data_dir=Path("/d")).redis == "unix:///d/run/valkey.sock"


def test_a_vault_bucket_must_not_be_shared_with_uploads_or_the_web() -> None:
    keys = {"HELDOUT_VAULT_KEY": "opener", "HELDOUT_VAULT_SECRET": "s"}
    uploads = {"HELDOUT_STORAGE_URL": "s3://files/of/teams", "HELDOUT_S3_KEY": "k", "HELDOUT_S3_SECRET": "s"}
    for url, more, words in (
        ("/mnt/vault", {}, "is not of the form s3://BUCKET/PREFIX"),
        ("s3://", {}, "is not of the form"),
        ("s3://files", {}, "one is inside the other"),
        ("s3://files/of/teams/vault/", {}, "one is inside the other"),
        ("s3://vault", {"HELDOUT_VAULT_SECRET": ""}, "set both or neither"),
        (
            "s3://vault",
            {"HELDOUT_VAULT_KEY": "k"},
            "is the key of the storage, which the web process also has",
        ),
    ):
        with pytest.raises(Misconfigured, match=words):
            config.load({"HELDOUT_VAULT_URL": url, **uploads, **keys, **more}, NO_FILE)
    for url in ("s3://vault/x", "s3://files/of/teams-vault"):
        config.load({"HELDOUT_VAULT_URL": url, **uploads, **keys}, NO_FILE)
    config.load({"HELDOUT_VAULT_URL": "s3://vault", **uploads}, NO_FILE)  # with the machine's role
