"""Attacks through what is handed on: links, cells of a CSV file, folders."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from app.base import queue
from app.base.config import Settings
from app.base.csv_cells import csv_cell
from app.base.startup_checks import wide_modes
from app.operating import doctor, serve
from app.web import markdown


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example/x",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/%09/evil.example\t",
        "&#47;&#47;evil.example",
        "javascript:ran()",
        "file:///etc/passwd",
        "ftp://evil.example",
        "tel:+1900",
        "blob:https://evil.example/1",
        "intent://evil.example#Intent;end",
    ],
)
def test_a_link_of_a_description_never_leaves_the_site_unseen(address: str) -> None:
    for text in (f"[x]({address})", f"[x](<{address}>)", f"[x][1]\n\n[1]: {address}", f"<{address}>"):
        for href in re.findall(r'href="([^"]*)"', markdown.render(text)):
            assert not re.match(r"[/\\]{2}|(?!https?:|mailto:)[a-z]+:", href), href


@pytest.mark.parametrize(
    "address", ["https://a.example/", "http://a.example", "/competitions", "#top", "a/b"]
)
def test_links_that_show_where_they_lead_remain(address: str) -> None:
    assert f'href="{address}"' in markdown.render(f"[x]({address})")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d", "\uff20"])
def test_a_text_that_begins_like_a_formula_is_written_as_text(start: str) -> None:
    assert csv_cell(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"


@given(st.floats(allow_nan=False) | st.integers())
def test_numbers_stay_numbers_in_a_csv_file(value: float) -> None:
    assert csv_cell(value) == value
    assert csv_cell(repr(value)) == repr(value)


@given(st.text(max_size=20))
def test_no_cell_begins_a_formula(text: str) -> None:
    cell = str(csv_cell(text))
    assert not re.match(r" *[=+@-]", cell) or float(cell) is not None
    assert cell.removeprefix("'") == text.removeprefix("'")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A data folder that every user of the machine may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_others_may_enter_is_named_with_the_command(shared: Path) -> None:
    settings = Settings(data_dir=shared)
    (words,) = wide_modes(settings)
    assert f"{shared} has mode 0755" in words
    assert words.endswith(f"chmod o-rwx {shared}")
    assert not doctor.modes(settings).is_ok
    shared.chmod(0o750)
    assert wide_modes(settings) == []
    assert doctor.modes(settings).is_ok


def test_a_folder_below_one_that_is_closed_is_not_named(shared: Path) -> None:
    (shared / "data").mkdir(mode=0o755)
    (shared / "data").chmod(0o755)
    shared.chmod(0o700)
    assert wide_modes(Settings(data_dir=shared / "data")) == []


@pytest.fixture(scope="module")
def queue_of_serve() -> Iterator[Settings]:
    """The embedded Valkey, started as `heldout serve` does."""
    folder = Path(tempfile.mkdtemp())
    settings = Settings(data_dir=folder)
    settings.run_dir.mkdir()
    with subprocess.Popen(serve.valkey_command(settings)) as valkey:
        client = queue.connect(settings.redis)
        until = time.monotonic() + 30
        while True:
            try:
                client.ping()
                break
            except RedisError:
                assert time.monotonic() < until, "Valkey did not start"
                time.sleep(0.05)
        client.close()
        yield settings
        valkey.terminate()
    assert valkey.returncode == 0
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "command",
    [
        "SHUTDOWN NOSAVE",
        "CONFIG SET dir /tmp",
        "CONFIG GET *",
        "DEBUG SLEEP 60",
        "FLUSHALL",
        "FLUSHDB",
        "MODULE LOAD /x.so",
        "REPLICAOF 192.0.2.1 6379",
        "SLAVEOF 192.0.2.1 6379",
        "SCRIPT FLUSH",
        "EVAL return 0",
        "FUNCTION FLUSH",
        "ACL SETUSER default allcommands",
        "PUBLISH rq:pubsub:worker shutdown",
        "SUBSCRIBE rq:pubsub:worker",
        "MONITOR",
        "KEYS *",
        "SAVE",
        "SWAPDB 0 1",
        "MIGRATE 192.0.2.1 6379 rq:x 0 1",
        "CLIENT KILL TYPE normal",
        "SET another:key 1",
    ],
)
def test_a_client_of_the_embedded_queue_can_neither_stop_nor_change_it(
    queue_of_serve: Settings, command: str
) -> None:
    client = queue.connect(queue_of_serve.redis)
    with pytest.raises((NoPermissionError, ResponseError)):
        client.execute_command(*command.split())
    client.close()
    assert queue.open_(queue_of_serve).send(7), "hints still work"
