"""Run at most five failed tests once more, alone: a pytest plugin of `make test` and `make test-storm`.

A machine that is busy with the other tests can make a test fail that waits for something. One that passes
alone is named at the end of the output as unstable, to be mended; more than five failures are no accident.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

AT_MOST = 5
OUTPUT_VARIABLE = "UNSTABLE_TESTS"
"""Names a file to which `.ci/run` has the names written too, for the end of its own output."""


def failures(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = [*reporter.stats.get("failed", ()), *reporter.stats.get("error", ())]
    # pytest-xdist appends a group to a name.
    return list(dict.fromkeys(re.sub(r"@\w+$", "", report.nodeid) for report in reports))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    is_whole = exitstatus == pytest.ExitCode.TESTS_FAILED and not (session.shouldstop or session.shouldfail)
    if hasattr(session.config, "workerinput") or not is_whole:
        return
    failed = failures(session.config)
    if not 0 < len(failed) <= AT_MOST:
        return
    print(f"\n\n{len(failed)} failed; once more, alone:", *failed, sep="\n  ", flush=True)
    again = subprocess.run([sys.executable, "-m", "pytest", "--quiet", *failed], check=False)
    if again.returncode == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.OK
        session.config.stash[UNSTABLE] = failed


UNSTABLE = pytest.StashKey[list[str]]()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    if unstable := config.stash.get(UNSTABLE, []):
        lines = "".join(f"UNSTABLE, passed only alone: {name}\n" for name in unstable)
        print(lines, end="", flush=True)
        if path := os.environ.get(OUTPUT_VARIABLE):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(lines)
