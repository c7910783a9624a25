"""Failpoints: where the crash tests kill a process.

In production `reach` does nothing. No setting and no environment variable enables it: only code that sets
`listener`, as the tests do.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = (
    # storing a file
    "storage.written",
    "storage.synced",
    "storage.renamed",
    # from the file to the receipt
    "upload.kept",
    "accept.charged",
    "accept.inserted",
    "upload.accepted",
    "upload.announced",
    # one evaluation in a work-horse
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
    # recovery of dead runs
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
    # an inspection
    "inspection.taken",
    "inspection.finished",
    # a merge of two teams
    "merge.offered",
    "merge.accepted",
    "merge.moved",
    "merge.added",
    "merge.ended",
    # a team's picks and train files, and the close
    "pick.written",
    "train_file.attached",
    "train_file.recorded",
    "close.revoked",
    "close.written",
)

listener: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """Report this failpoint to the listener, if there is one."""
    if listener is not None:
        listener(name)
