"""Insecure settings stop start-up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.base.config import Settings, secret_key
from app.base.errors import Misconfigured
from app.base.startup_checks import refuse_unsafe

KEY = "9f2c61d07be845a3b1c4e6d8f0a27351"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("PGPASSWORD", "PGPASSFILE", "PGSSLCERT", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    return Settings(data_dir=tmp_path)


UNSAFE: list[tuple[dict[str, Any], str]] = [
    ({"redis_url": "redis://10.0.0.5:6379/0"}, "HELDOUT_REDIS_URL: 10.0.0.5 has no password"),
    ({"redis_url": "redis://user@redis"}, "HELDOUT_REDIS_URL"),
    ({"database_url": "postgresql://heldout@10.0.0.5/x"}, "HELDOUT_DATABASE_URL: 10.0.0.5"),
    ({"database_url": "postgresql+psycopg://heldout@/x?host=127.0.0.1,db2"}, "HELDOUT_DATABASE_URL: db2"),
    ({"secret_key": "x" * 40}, "HELDOUT_SECRET_KEY: it repeats itself"),
    ({"secret_key": "a1b2c3d4" * 4}, "HELDOUT_SECRET_KEY: it repeats itself"),
    ({"secret_key": "please-change-me-before-production"}, "HELDOUT_SECRET_KEY: it looks like an example"),
    ({"secret_key": "0123456789abcdef0123456789abcdeF"}, "HELDOUT_SECRET_KEY: it looks like an example"),
    ({"secret_key": KEY[:31]}, "HELDOUT_SECRET_KEY: it has 31 characters"),
    ({"host": "0.0.0.0"}, "HELDOUT_HOST=0.0.0.0: .* HELDOUT_COOKIE_SECURE=true"),
    ({"host": "heldout.example"}, "HELDOUT_INSECURE_HTTP=true"),
    ({"host": "::"}, "HELDOUT_HOST=::"),
    ({"proxies": 1}, "HELDOUT_PROXIES: other machines reach"),
]
SAFE: list[dict[str, Any]] = [
    {},
    {"redis_url": "none"},
    {"redis_url": "unix:///run/valkey.sock"},
    {"redis_url": "redis://localhost:6379/0"},
    {"redis_url": "redis://[::1]/0"},
    {"redis_url": "redis://:word@10.0.0.5/0"},
    {"redis_url": "redis://10.0.0.5/0?password=word"},
    {"redis_url": "rediss://10.0.0.5/0"},
    {"database_url": "postgresql://heldout:word@10.0.0.5/x"},
    {"database_url": "postgresql://heldout@127.0.0.1/x"},
    {"database_url": "postgresql+psycopg://heldout@/x?host=/run/postgresql"},
    {"database_url": "postgresql://heldout@db/x?sslcert=/etc/heldout.crt"},
    {"secret_key": KEY},
    {"host": "::1"},
    {"host": "0.0.0.0", "cookie_secure": True},
    {"host": "0.0.0.0", "insecure_http": True},
    {"proxies": 1, "cookie_secure": True},
]


@pytest.mark.parametrize(("changes", "words"), UNSAFE)
def test_insecure_settings_are_refused(changes: dict[str, Any], words: str, settings: Settings) -> None:
    with pytest.raises(Misconfigured, match=words):
        refuse_unsafe(replace(settings, **changes), listens=True)


@pytest.mark.parametrize("changes", SAFE)
def test_secure_settings_are_accepted(changes: dict[str, Any], settings: Settings) -> None:
    refuse_unsafe(replace(settings, **changes), listens=True)


def test_all_problems_are_reported_at_once_without_secrets(settings: Settings) -> None:
    unsafe = replace(
        settings, redis_url="redis://far/0", database_url="postgresql://h@far/x", secret_key="geheim" * 8
    )
    with pytest.raises(Misconfigured) as caught:
        refuse_unsafe(replace(unsafe, host="0.0.0.0"), listens=True)
    assert [p.message.partition(":")[0] for p in caught.value.problems] == [
        "HELDOUT_REDIS_URL",
        "HELDOUT_DATABASE_URL",
        "HELDOUT_SECRET_KEY",
        "HELDOUT_HOST=0.0.0.0",
    ]
    assert "geheim" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_process_that_serves_no_pages_may_have_any_host(settings: Settings) -> None:
    refuse_unsafe(replace(settings, host="0.0.0.0", proxies=1))


def test_a_database_password_may_come_from_libpqs_own_variables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSFILE", "/etc/heldout.pgpass")
    refuse_unsafe(replace(settings, database_url="postgresql://heldout@10.0.0.5/x"))


def test_a_secret_key_readable_by_others_is_refused(settings: Settings) -> None:
    secret_key(settings)
    refuse_unsafe(settings)
    file = settings.data_dir / "secret_key"
    file.chmod(0o644)
    with pytest.raises(Misconfigured, match=f"chmod 600 {file}"):
        refuse_unsafe(settings)
    file.chmod(0o640)
    refuse_unsafe(settings)
    file.write_text("k" * 64)
    with pytest.raises(Misconfigured, match=r"repeats itself.* delete the file"):
        refuse_unsafe(settings)
