"""The points of the code at which a process may die between two steps; the crash tests let it die at each.

Nobody listens in an installation: `reach` then looks at one name and returns. No setting and no
environment variable arms it; only a process whose own code sets `listener`, as the tests' do.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = (
    # a file's way into storage
    "storage.written",
    "storage.synced",
    "storage.renamed",
    # from the file to the receipt
    "upload.kept",
    "accept.charged",
    "accept.inserted",
    "upload.accepted",
    "upload.announced",
    # a work-horse's way through one evaluation
    "claim.found",
    "claim.taken",
    "score.claimed",
    "score.measured",
    "renew.renewed",
    "record.locked",
    "record.guarded",
    "record.ranked",
    "reject.refunded",
    "reject.guarded",
    "give_back.refunded",
    "give_back.guarded",
    "score.finished",
    # what others do about runs that died
    "release.released",
    "sweep.marked",
    "sweep.stepped",
    "fail.guarded",
    "fail.refunded",
    # a rescore
    "rescore.drafted",
    "rescore.filled",
    "discard.cleared",
    "activate.retired",
    "activate.swapped",
    "activate.ranked",
    # long work about a competition
    "inspection.taken",
    "inspection.finished",
)

listener: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Say that this point is reached."""
    if listener is not None:
        listener(name)
