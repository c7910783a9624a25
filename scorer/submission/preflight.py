"""Read a file as a submission without scoring it."""

from __future__ import annotations

from pathlib import Path

from scorer.challenges.solution import Solution
from scorer.reading.tables import MIN_UNPACKED_BYTES
from scorer.report import Notice
from scorer.submission.complete import read_complete
from scorer.submission.reader import read_submission
from scorer.submission.sinks import Nowhere


def check_submission(
    source: Path | bytes, solution: Solution, *, max_bytes: int = MIN_UNPACKED_BYTES
) -> tuple[Notice, ...]:
    """Return the notices on a file that `read_submission` or `read_complete` accepts.

    Raises InvalidSubmission like them.
    """
    if solution.task.complete:
        return read_complete(source, solution, max_bytes=max_bytes)[1].notices
    return read_submission(source, solution, Nowhere(), max_bytes=max_bytes).notices
