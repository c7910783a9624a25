"""`pip install heldout` without extras is a library: `scorer` works without any package of the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Run at the start of Python. The sandbox's own processes start isolated (-I) and import numeric libraries
# only.
HOOK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""

USE = """
import sys
import pandas as pd
import scorer
from scorer.leakage.audit import audit

challenge = scorer.load("challenges/biopsy")
report = scorer.score(challenge, "challenges/biopsy/public/sample_submission.csv")
print("score", report.public, report.private)
checked = scorer.check(challenge)
print("check", checked.ok, len(checked.outcomes), len(checked.passport))
solution = pd.DataFrame({"id": [1, 2, 3], "y": [1.0, 2.0, 3.0]})
predictions = pd.DataFrame({"id": [3, 2, 1], "y": [3.0, 2.0, 3.0]})
print("measure", scorer.measure("rmse", solution, predictions))
print("audit", [finding.code for finding in audit(challenge).findings])
print("loaded", sorted({name.partition(".")[0] for name in sys.modules}))
"""


def closure(requirements: list[str]) -> set[str]:
    """Return the names of the distributions that these bring along on this machine."""
    found: set[tuple[str, str]] = set()
    ahead = [Requirement(line) for line in requirements]
    while ahead:
        wanted = ahead.pop()
        for extra in {"", *wanted.extras}:
            if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
                continue
            if (key := (wanted.name.lower().replace("_", "-"), extra)) in found:
                continue
            found.add(key)
            for line in metadata.distribution(wanted.name).requires or ():
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    needed.marker = None
                    ahead.append(needed)
    return {name for name, _ in found}


@pytest.fixture(scope="module")
def server_packages() -> set[str]:
    """Return the import names of what only `heldout[server]` brings, and our own rooms above the library."""
    library = closure(PROJECT["dependencies"])
    server = closure(PROJECT["optional-dependencies"]["server"]) - library
    packages = metadata.packages_distributions().items()
    names = {
        name for name, homes in packages if {re.sub("[_.]", "-", home.lower()) for home in homes} <= server
    }
    assert {
        "flask",
        "sqlalchemy",
        "rq",
        "redis",
        "gunicorn",
        "alembic",
        "click",
        "botocore",
        "argon2",
    } <= names
    assert not names & {"numpy", "pandas", "scorer", "yaml"}
    return names


def run_without(blocked: set[str], folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(HOOK.format(blocked=blocked), encoding="utf-8")
    env = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, *words], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_library_works_without_any_package_of_the_server(
    server_packages: set[str], tmp_path: Path
) -> None:
    done = run_without(server_packages | {"app", "worker"}, tmp_path, "-c", USE)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    public, private = map(float, lines["score"].split())
    assert 0 < public < 1
    assert 0 < private < 1
    assert lines["check"].startswith("True ")
    assert float(lines["measure"]) == pytest.approx((4 / 3) ** 0.5)
    assert not server_packages & set(re.findall(r"\w+", lines["loaded"]))


def test_the_command_without_the_extra_names_it(server_packages: set[str], tmp_path: Path) -> None:
    done = run_without(server_packages, tmp_path, "-m", "app", "serve")
    assert done.returncode == 1
    assert not done.stdout
    [line] = done.stderr.splitlines()
    assert re.fullmatch(r"heldout: \w+ is not installed; .*: pip install '\.\[server\]' in a clone", line)


def test_a_missing_module_of_our_own_is_a_fault_and_shows_its_traceback(tmp_path: Path) -> None:
    done = run_without({"worker", "scorer"}, tmp_path, "-m", "app", "serve")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
