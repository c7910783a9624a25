"""The scoring library: read challenges, check submissions, compute scores.

It uses no database, no network and no clock. Names are loaded on first use (PEP 562), so that `scorer.report`
can be imported without pandas or scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scorer.report import (
    NOT_CHECKED,
    Finding,
    HeldoutError,
    InvalidChallenge,
    InvalidSubmission,
    Notice,
    Problem,
    Report,
    ScoringFailed,
)

if TYPE_CHECKING:
    from scorer.challenges.challenge import Challenge, load
    from scorer.challenges.folder import folder_listing
    from scorer.challenges.scaffolding import scaffold
    from scorer.checkup import CheckResult, check, truth_problems
    from scorer.frames import measure
    from scorer.leakage.audit import Audit, audit
    from scorer.metrics import METRICS, Metric
    from scorer.reading.parsing import locked_in
    from scorer.resampling.resampling import read, replicates, se_of_difference, standard_error
    from scorer.resampling.units import Aligned, NotResampled
    from scorer.scoring import score
    from scorer.submission_schema import describe_submission

_HOME = {
    "Challenge": "scorer.challenges.challenge",
    "describe_submission": "scorer.submission_schema",
    "folder_listing": "scorer.challenges.folder",
    "load": "scorer.challenges.challenge",
    "CheckResult": "scorer.checkup",
    "check": "scorer.checkup",
    "truth_problems": "scorer.checkup",
    "METRICS": "scorer.metrics",
    "Metric": "scorer.metrics",
    "locked_in": "scorer.reading.parsing",
    "measure": "scorer.frames",
    "scaffold": "scorer.challenges.scaffolding",
    "score": "scorer.scoring",
    "Audit": "scorer.leakage.audit",
    "audit": "scorer.leakage.audit",
    "Aligned": "scorer.resampling.units",
    "NotResampled": "scorer.resampling.units",
    "read": "scorer.resampling.resampling",
    "replicates": "scorer.resampling.resampling",
    "se_of_difference": "scorer.resampling.resampling",
    "standard_error": "scorer.resampling.resampling",
}

__all__ = [
    "METRICS",
    "NOT_CHECKED",
    "Aligned",
    "Audit",
    "Challenge",
    "CheckResult",
    "Finding",
    "HeldoutError",
    "InvalidChallenge",
    "InvalidSubmission",
    "Metric",
    "NotResampled",
    "Notice",
    "Problem",
    "Report",
    "ScoringFailed",
    "audit",
    "check",
    "describe_submission",
    "folder_listing",
    "load",
    "locked_in",
    "measure",
    "read",
    "replicates",
    "scaffold",
    "score",
    "se_of_difference",
    "standard_error",
    "truth_problems",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scorer' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
