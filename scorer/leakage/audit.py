"""Run every check over a challenge and rank the findings."""

from __future__ import annotations

import logging
import math
import pkgutil
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import scipy
import sklearn

import scorer.leakage.checks as checks_package
from scorer.challenges.challenge import Challenge
from scorer.leakage.check import CHECKS, Check, Found
from scorer.leakage.material import Material, NotApplicable, NotChecked, gather
from scorer.report import NOT_CHECKED, Finding

log = logging.getLogger(__name__)

_SEVERITIES = ("block", "warn", "info")
MAX_PER_CHECK = 10
"""Listed findings of one check; the last names how many more there are."""


@dataclass(frozen=True, slots=True)
class Audit:
    findings: tuple[Finding, ...]
    """Blockers first, then by effect. For the organiser: evidence may reveal hidden labels."""
    passport: tuple[dict[str, Any], ...]
    """What participants may see of each check: code, title, version and result.

    The result is "pass", "warn", "not checked" or "not applicable"."""
    versions: dict[str, str]
    seconds: float

    @property
    def blockers(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "block")


def audit(challenge: Challenge, *, progress: Callable[[str], None] | None = None, seed: int = 0) -> Audit:
    """Return every finding that would let participants score without learning.

    Parameters
    ----------
    progress
        Called with a short text before each check.
    seed
        Of every sample, fold and permutation: the same folder gives the same findings.
    """
    report = progress or (lambda _: None)
    began = time.perf_counter()
    report("reading the public tables")
    return audit_material(gather(challenge, seed=seed), report, began)


def audit_material(material: Material, report: Callable[[str], None], began: float) -> Audit:
    findings: list[Finding] = []
    passport: list[dict[str, Any]] = []
    skipped: dict[str, list[str]] = {}
    every = all_checks()
    for number, (code, checks) in enumerate(every.items(), start=1):
        report(f"check {number} of {len(every)}: {code.replace('_', ' ')}")
        own: list[Finding] = []
        reasons: list[str] = []
        not_applicable = 0
        for check in checks:
            try:
                own += run_check(check, material)
            except NotApplicable:
                not_applicable += 1
            except NotChecked as unable:
                reasons.append(str(unable))
            except Exception as fault:
                # One check's fault must not hide the findings of the others; it is reported and logged.
                log.exception("the check %s failed on %s", code, material)
                reasons.append(
                    f"the check itself failed ({type(fault).__name__}: {str(fault)[:120]}); please report it"
                )
        for reason in dict.fromkeys(reasons):
            skipped.setdefault(reason, []).append(code)
        findings += own
        if any(f.severity != "info" for f in own):
            result = "warn"
        elif not_applicable == len(checks):
            result = "not applicable"
        else:
            result = "not checked" if reasons else "pass"
        passport.append(
            {
                "code": code,
                "title": checks[0].title,
                "version": max(c.version for c in checks),
                "result": result,
            }
        )
    for name in ("train", "test"):
        reason = material.lacking.get(name, "")
        if "could not be read" in reason or "two columns of one name" in reason:
            findings.append(
                Finding(
                    NOT_CHECKED,
                    "warn",
                    "challenge",
                    f"The {name} table was not checked: {reason}.",
                    f"Repair public/{name}.csv; most checks need it, and so do participants.",
                )
            )
    if "ids" in material.lacking:
        findings.append(
            Finding(
                NOT_CHECKED,
                "warn",
                "challenge",
                f"{material.lacking['ids']}.",
                "Write the test table from the solution's ids, or remove the other ids from the solution.",
            )
        )
    findings += _labels_not_judged(material)
    findings += [
        Finding(
            NOT_CHECKED,
            "info",
            "challenge",
            f"Not checked ({', '.join(codes)}): {reason}.",
            "Repair this if the check makes sense here; otherwise check these points yourself.",
        )
        for reason, codes in skipped.items()
    ]
    findings.sort(
        key=lambda f: (
            _SEVERITIES.index(f.severity),
            f.code == NOT_CHECKED,
            -abs(f.effect or 0.0),
            f.code,
            f.scope,
        )
    )
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
    return Audit(tuple(findings), tuple(passport), versions, time.perf_counter() - began)


def _labels_not_judged(material: Material) -> Iterator[Finding]:
    """Report the truth of an own metric that no check can compare.

    Without any label most checks are off. That blocks: silence would look like a sound challenge.
    """
    if material.challenge.task.custom is None:
        return
    if not material.hidden_targets:
        yield Finding(
            NOT_CHECKED,
            "block",
            "challenge",
            "The labels could not be judged, so no check compared the public files with them: "
            f"{material.why_not('hidden')}.",
            "Write the truth as numbers or classes into columns of the solution with the names of "
            "submission.columns. If that is not possible, look for the labels in public/ yourself, and state "
            "in the override how.",
        )
    elif "columns" in material.lacking:
        yield Finding(
            NOT_CHECKED,
            "info",
            "challenge",
            f"Not compared with the public files: {material.lacking['columns']}.",
            "Check that participants may know these columns of the solution, or that public/ lacks them.",
        )


def all_checks() -> dict[str, list[Check]]:
    """Return every check of checks/ by code.

    A new module in checks/ is found by itself.
    """
    for module in pkgutil.iter_modules(checks_package.__path__):
        import_module(f"{checks_package.__name__}.{module.name}")
    return dict(sorted(CHECKS.items()))


def run_check(check: Check, material: Material) -> Iterator[Finding]:
    for need in check.needs:
        if not material.has(need):
            raise NotChecked(material.why_not(need))
    with np.errstate(all="ignore"):
        found = list(check.run(material))
    found.sort(key=lambda f: (_SEVERITIES.index(f.severity), -abs(f.effect or 0.0), f.log10p or 0.0))
    for number, one in enumerate(found[:MAX_PER_CHECK]):
        more = len(found) - MAX_PER_CHECK
        evidence = one.evidence
        if number == MAX_PER_CHECK - 1 and more > 0:
            evidence += f" ({more} more like this.)"
        yield _finding(check, one, evidence)


def _finding(check: Check, found: Found, evidence: str) -> Finding:
    severity = "warn" if found.severity == "block" and not check.blocks else found.severity
    effect = None if found.effect is None or not math.isfinite(found.effect) else round(found.effect, 6)
    p = None if found.log10p is None else 10.0 ** max(found.log10p, -300.0)
    scope = f"{check.scope}: {found.where}" if found.where else check.scope
    return Finding(check.code, severity, scope, evidence, found.advice, effect, p, found.picture)
