"""Failed tests are run once more, alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.second_look import AT_MOST, OUTPUT_VARIABLE
from tests.servers import ROOT

FLAKY = """
import pathlib

import pytest

@pytest.mark.parametrize("number", range({n}))
def test_of_a_busy_machine(number):
    seen = pathlib.Path(__file__).with_name(f"seen{{number}}")
    again = seen.exists()
    seen.touch()
    assert again and {passes_alone}
"""


@pytest.mark.parametrize(
    ("n", "passes_alone", "passes"), [(2, True, True), (1, False, False), (AT_MOST + 1, True, False)]
)
def test_a_run_passes_if_its_few_failures_pass_alone_and_names_them_last(
    tmp_path: Path, n: int, passes_alone: bool, passes: bool
) -> None:
    (tmp_path / "test_it.py").write_text(FLAKY.format(n=n, passes_alone=passes_alone))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(ROOT),
        OUTPUT_VARIABLE: str(tmp_path / "unstable"),
    }
    command = [sys.executable, "-m", "pytest", "-p", "tests.second_look"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if passes else 1), done.stdout
    names = [f"test_it.py::test_of_a_busy_machine[{number}]" for number in range(n)]
    lines = [f"UNSTABLE, passed only alone: {name}" for name in names] if passes else []
    assert done.stdout.splitlines()[-len(lines) :] == lines or not passes
    assert ("UNSTABLE" in done.stdout) == passes
    written = tmp_path / "unstable"
    assert (written.read_text().splitlines() if passes else []) == lines
