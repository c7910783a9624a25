"""A command that runs in a folder of another author trusts nothing there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT

MODULES = (
    *("rq", "redis", "json", "sqlalchemy", "gunicorn", "gunicorn.conf", "flask", "click", "yaml", "numpy"),
    *("pandas", "pyarrow", "sklearn", "scipy", "app", "scorer", "worker", "sitecustomize", "usercustomize"),
    *("string", "socket", "selectors", "ctypes", "typing_extensions", "readline", "challenge", "metric"),
)


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder whose modules leave a mark when they are imported, and with settings of its own."""
    folder = tmp_path / "planted"
    folder.mkdir()
    for name in MODULES:
        mark = f"import os; os.close(os.open({str(tmp_path / 'marks')!r} + '.{name}', os.O_CREAT))\n"
        (folder / f"{name}.py").write_text(mark)
    for name in ("heldout.toml", ".heldout.toml"):
        (folder / name).write_text('port = 1\nhost = "0.0.0.0"\nregistration = "closed"\n')
    (folder / ".env").write_text("HELDOUT_PORT=1\n")
    (folder / "pyproject.toml").write_text("[tool.heldout]\nport = 1\n")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(tmp_path),
        "HELDOUT_DATA_DIR": str(tmp_path / "data"),
        "HELDOUT_PORT": "0",
        "HELDOUT_WORKERS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def marks(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.glob("marks.*"))


@pytest.fixture
def serving(planted: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    script = Path(sys.executable).with_name("heldout")
    with subprocess.Popen(
        [script, "serve"], cwd=planted, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server, server.stdout.readline()
        server.terminate()
        server.wait(60)


def test_nothing_of_the_current_folder_runs_or_sets_anything(
    serving: tuple[subprocess.Popen[str], str], planted: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """`heldout serve` imported an `rq.py` of the folder it was started in, in every child."""
    server, line = serving
    assert line.startswith("Heldout is ready on http://127.0.0.1:"), line
    assert not line.rstrip().endswith(":1")
    script = Path(sys.executable).with_name("heldout")
    shutil.copytree(ROOT / "challenges/diabetes", tmp_path / "diabetes")
    kept = {"1_dummy.py"}
    for baseline in (tmp_path / "diabetes/baselines").iterdir():
        if baseline.name not in kept:
            baseline.unlink()

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([script, *words], cwd=planted, env=environment, capture_output=True, text=True)

    published = run("challenge", "publish", str(tmp_path / "diabetes"))
    assert "1 baselines posted" in published.stdout, published.stderr
    assert f"{planted / 'heldout.toml'} is not read" in published.stderr
    shown = run("config")
    assert "HELDOUT_REGISTRATION = 'open'" in shown.stdout
    assert server.poll() is None
    assert marks(tmp_path) == []


def test_a_module_started_by_python_m_in_another_folder_is_the_installed_one(
    planted: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (planted / "app.py").unlink()  # the name that the user typed is the user's choice
    command = [sys.executable, "-m", "app", "config"]
    done = subprocess.run(command, cwd=planted, env=environment, capture_output=True, text=True)
    assert "HELDOUT_REGISTRATION = 'open'" in done.stdout, done.stderr
    assert marks(tmp_path) == []


def test_a_named_file_holds_for_the_children_too(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('registration = "closed"\n')
    script = Path(sys.executable).with_name("heldout")
    done = subprocess.run(
        [script, "--config", "mine.toml", "config"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "HELDOUT_REGISTRATION = 'closed'" in done.stdout, done.stderr
    missing = subprocess.run(
        [script, "--config", "none.toml", "config"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert missing.returncode == 2
    assert "none.toml" in missing.stderr
