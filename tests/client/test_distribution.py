"""The client as a distribution: its wheel, the page that shows it, Python 3.9, and no other package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_string
from io import BytesIO
from pathlib import Path

import pytest

import heldout_client
from app.web import client_wheel
from tests.servers import ROOT
from tests.web.site import Site

FILES = sorted((ROOT / "client" / "heldout_client").glob("*.py"))


def test_the_wheel_is_named_in_the_page_and_is_what_the_project_states(site: Site) -> None:
    page = site.visitor().get("/client/").text
    assert f"pip install http://localhost/client/{client_wheel.NAME}" in page
    found = re.search(r'href="(/client/[^"#]+\.whl)#sha256=([0-9a-f]{64})"', page)
    assert found is not None
    answer = site.visitor().get(found[1])
    assert answer.headers["ETag"] == f'"{found[2]}"'
    assert site.visitor().get("/client/other.whl").status_code == 404
    project = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(BytesIO(answer.data)) as archive:
        about = f"heldout_client-{heldout_client.VERSION}.dist-info"
        metadata = message_from_string(archive.read(f"{about}/METADATA").decode())
        entry_points = ConfigParser()
        entry_points.read_string(archive.read(f"{about}/entry_points.txt").decode())
        packed = {name.partition("/")[2] for name in archive.namelist() if name.startswith("heldout_client/")}
        record = archive.read(f"{about}/RECORD").decode()
    assert (metadata["Name"], metadata["Summary"]) == (project["name"], project["description"])
    assert metadata["Requires-Python"] == project["requires-python"]
    assert project["dependencies"] == []
    assert metadata.get_all("Requires-Dist") is None
    assert dict(entry_points["console_scripts"]) == project["scripts"]
    assert packed == {path.name for path in FILES} | {"py.typed"}
    assert len(record.splitlines()) == len(packed) + 4


def test_the_same_files_make_the_same_wheel() -> None:
    first = client_wheel.wheel()
    client_wheel.wheel.cache_clear()
    assert client_wheel.wheel().data == first.data


def test_the_page_fills_in_a_fresh_token_for_an_account(site: Site) -> None:
    assert "hld_..." in site.visitor().get("/client/").text
    assert site.visitor().post("/client/").status_code == 303
    browser = site.browser("ada")
    made = browser.post("/client/").text
    found = re.search(r"heldout login http://localhost --token (hld_[\w-]{43})", made)
    assert found is not None
    answer = site.visitor().get("/api/v1/me", headers={"Authorization": f"Bearer {found[1]}"})
    assert answer.status_code == 200
    assert "Heldout client" in browser.get("/account").text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_of_the_client_is_python_3_9_and_imports_python_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names) | {"heldout_client"}


def test_a_server_that_starts_loads_only_the_version_of_the_client() -> None:
    code = (
        "import app.web.application, sys; print([m for m in sys.modules if m.startswith('heldout_client')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "['heldout_client']"
