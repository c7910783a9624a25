"""The kill storm of benchmarks/chaos, as a command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT


@pytest.mark.long
@pytest.mark.timeout(600)
def test_kill_storm_loses_and_doubles_no_submission() -> None:
    storm = subprocess.run(
        [sys.executable, ROOT / "benchmarks/chaos", "storm", "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
        timeout=590,
    )
    assert storm.returncode == 0, storm.stdout + storm.stderr
