from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_vendored_files_have_the_recorded_hashes() -> None:
    found = subprocess.run(
        [sys.executable, ROOT / "tools" / "vendor.py", "--check"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
