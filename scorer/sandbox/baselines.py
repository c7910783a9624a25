"""Run a challenge's baseline scripts, two at a time.

`python -m scorer.sandbox.baselines FOLDER OUT SCRIPT...`

Each script runs as `python SCRIPT OUT.csv` would, in the challenge's folder, but in a fork of this process,
which has imported the usual libraries once: importing them takes a plain run several times as long as fitting
a small model. This process imports and never computes, as OpenMP requires before a fork. One line of JSON is
written for every script that ends: {"script", "error"}.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

AT_ONCE = 2
LIMIT_SECONDS = 600.0
USUAL = (
    "pandas",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "sklearn.tree",
)


def run(folder: Path, out: Path, scripts: list[str]) -> None:
    """Run `baselines/SCRIPT` of the folder, each writing OUT/SCRIPT.csv."""
    for name in USUAL:
        import_module(name)
    waiting = list(scripts)
    running: dict[int, tuple[str, float]] = {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            script = waiting.pop(0)
            running[_start(folder, out, script)] = script, time.monotonic()
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in running:
            script, _ = running.pop(pid)
            error = _error(out, script) if status or not _csv(out, script).is_file() else None
            sys.stdout.write(json.dumps({"script": script, "error": error}) + "\n")
            sys.stdout.flush()
            continue
        for pid, (_, began) in running.items():
            if time.monotonic() - began > LIMIT_SECONDS:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _start(folder: Path, out: Path, script: str) -> int:
    pid = os.fork()
    if pid == 0:
        _become(folder, out, script)
    return pid


def _become(folder: Path, out: Path, script: str) -> NoReturn:
    """Become the script in the child; its output goes to a log."""
    log = os.open(_log(out, script), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    path = folder / "baselines" / script
    os.chdir(folder)
    sys.argv = [str(path), str(_csv(out, script))]
    sys.path[0] = str(path.parent)
    code = 1
    try:
        runpy.run_path(str(path), run_name="__main__")
        code = 0
    except SystemExit as left:
        code = 0 if left.code in (None, 0) else 1
        if isinstance(left.code, str):
            sys.stderr.write(left.code)
    except BaseException:  # noqa: BLE001  printed as Python prints what a script raises
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _error(out: Path, script: str) -> str:
    lines = _log(out, script).read_text(errors="replace").strip().splitlines()
    return lines[-1][:500] if lines else "it wrote no file"


def _csv(out: Path, script: str) -> Path:
    return out / f"{script}.csv"


def _log(out: Path, script: str) -> Path:
    return out / f"{script}.log"


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
