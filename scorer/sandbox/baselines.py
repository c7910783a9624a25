"""Run a challenge's baseline scripts in the sandbox, two at a time.

A script runs as `python SCRIPT OUT.csv` would in the challenge's folder. It may read the libraries of Python,
`public/` and `baselines/`, and write the one file it is given, which is memory of this process. What it
prints last is its error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scorer.sandbox import sandbox
from scorer.sandbox.levels import Isolation, too_weak
from scorer.sandbox.sandbox import Limits, Outcome
from scorer.wording import megabytes, printable

AT_ONCE = 2
LIMIT_SECONDS = 600.0
READABLE = ("public", "baselines")
"""Folders of the challenge."""
MAY = "a baseline may read public/ and baselines/ and write the file it is given, nothing else"
MAX_ERROR = 500


@dataclass(frozen=True, slots=True)
class Made:
    """What one script made: the content of its file, unless `error`."""

    script: str
    content: bytes = b""
    error: str | None = None


def run(
    folder: Path, scripts: Sequence[str], *, max_bytes: int, memory_mb: int, allow_weak: bool = False
) -> Iterator[Made]:
    """Run `baselines/SCRIPT` of the folder; yield each result when the script ends.

    Parameters
    ----------
    max_bytes
        Of the file that a script writes.
    memory_mb
        Of each script, on top of Python and its libraries.
    allow_weak
        Run even where the isolation is below standard, in what there is.

    Raises
    ------
    SandboxTooWeak
        If the machine gives less than standard, without `allow_weak`.
    SandboxFailed
        If the sandbox could not do its work, whatever the scripts are.
    """
    given = sandbox.enough_isolation("A baseline", allow_weak=allow_weak)
    # One more: a file that reaches it was cut.
    limits = Limits(LIMIT_SECONDS, memory_mb, output_bytes=max_bytes + 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            runs = [pool.submit(_run, folder, script, limits, given) for script in scripts]
            for each in as_completed(runs):
                yield each.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            sandbox.stop("baseline")


def plan(given: Isolation, scripts: Sequence[str], *, allow_weak: bool = False) -> str:
    """Return in words what publishing does with the scripts on this machine."""
    listed = ", ".join(f"baselines/{script}" for script in scripts)
    if not given.is_enough and not (allow_weak and given.layers):
        return (
            f"Publishing will not run {listed}. {too_weak(given, 'A baseline')} Publish with --no-baselines."
        )
    weak = "" if given.is_enough else " only, which its settings allow: here a script can read other files"
    return (
        f"Publishing runs {listed} in a sandbox, each for at most {LIMIT_SECONDS / 60:g} minutes; {MAY}. "
        f"This machine isolates them at level {given.level}{weak}."
    )


def _run(folder: Path, script: str, limits: Limits, given: Isolation) -> Made:
    path = folder / "baselines" / script
    for name in READABLE:
        if (folder / name).is_symlink():
            return Made(script, error=f"{name} is a link; put the folder itself there")
    with ExitStack() as stack:
        output = os.memfd_create("output", os.MFD_CLOEXEC)
        stack.callback(os.close, output)
        inputs = [output]
        for name in READABLE:
            if (folder / name).is_dir():
                way = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                inputs.append(os.open(folder / name, way))
                stack.callback(os.close, inputs[-1])
        request = {"script": str(path), "folder": str(folder)}
        outcome, _ = sandbox.execute("baseline", path.read_bytes(), request, inputs, limits, given.layers)
        size = os.fstat(output).st_size
        error = _error(outcome)
        if error is None and not size:
            error = "it wrote nothing into the file that its first argument names"
        elif error is None and size >= limits.output_bytes:
            error = f"it wrote more than the {megabytes(limits.output_bytes - 1)} that a submission may have"
        return Made(script, error=error) if error is not None else Made(script, _content(output))


def _content(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", closefd=False) as file:
        return file.read()


def _error(outcome: Outcome) -> str | None:
    if outcome.stopped is not None:
        return f"it {outcome.stopped}"
    if outcome.raised is None:
        return None
    if outcome.raised == "SystemExit":
        return printable(outcome.message)[:MAX_ERROR] or "it ended with an exit code"
    words = printable(f"{outcome.raised}: {outcome.message}")[:MAX_ERROR]
    place = next((line.strip() for line in reversed(outcome.log.splitlines()) if "/baselines/" in line), "")
    where = place.rpartition(", line ")[2].partition(",")[0]
    words += f" (line {where})" if where.isdigit() else ""
    return f"{words}; {MAY}" if outcome.raised == "PermissionError" else words
