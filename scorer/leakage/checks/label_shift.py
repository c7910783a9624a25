"""Targets distributed differently in train, public or private rows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import stats

from scorer.leakage.check import SOFT_ALARM, Found, check
from scorer.leakage.frame import Codes
from scorer.leakage.material import Material, groups_of_files
from scorer.leakage.separation import MIN_SIDE
from scorer.leakage.statistics import area_under_curve, corrected, log10p_of_chi2, log10p_of_z
from scorer.leakage.target import Target


@check("label_shift", scope="split", needs=("hidden",), cost="n log n")
def label_shift(material: Material) -> Iterator[Found]:
    """Targets that differ between train, public and private rows.

    effect: largest difference of a class's share, or the Kolmogorov-Smirnov distance of a number.
    """
    listed = material.listed
    train = material.train
    compared: list[tuple[str, Target, Target, Codes | None, Codes | None]] = []
    groups = groups_of_files(material)
    solution = material.challenge.solution
    for target in material.hidden_targets:
        usage = np.asarray(solution.usage)
        public, private = np.asarray(usage == 1), np.asarray(usage == 2)
        own = None
        if listed is not None and listed.public is not None and listed.private is not None:
            target = next(t for t in listed.targets if t.name == target.name)
            public, private, own = listed.public, listed.private, groups.get(listed.name)
        compared.append(
            (
                "public and private rows",
                target.take(public),
                target.take(private),
                None if own is None else own[public],
                None if own is None else own[private],
            )
        )
        labels = None if train is None else next((t for t in train.targets if t.name == target.name), None)
        if labels is not None:
            scored = public | private
            compared.append(
                (
                    "train and scored test rows",
                    labels,
                    target.take(scored),
                    groups.get("train"),
                    None if own is None else own[scored],
                )
            )
    for words, first, second, first_groups, second_groups in compared:
        shift = _shift(first, second, first_groups, second_groups)
        if shift is None:
            continue
        effect, log10p, seen = shift
        if corrected(log10p, len(compared)) > -SOFT_ALARM:
            continue
        clustered = material.is_grouped and (first_groups is None or second_groups is None)
        is_expected = material.is_sequential or clustered
        why = (
            " The split is in time: a drift may explain it."
            if material.is_sequential
            else " The groups of the rows are not known here, so this may be chance of a few groups."
            if clustered
            else ""
        )
        yield Found(
            f"{first.name} differs between {words}: {seen} (p = {10 ** max(log10p, -300):.1g}).{why}",
            "Draw the split again, stratified by the target; otherwise scores of the two sides cannot be "
            "compared, and a constant submission reveals the difference.",
            effect=effect,
            log10p=log10p,
            severity="info" if is_expected else "warn",
            where=words,
        )


def _shift(
    first: Target, second: Target, first_groups: Codes | None, second_groups: Codes | None
) -> tuple[float, float, str] | None:
    """Return effect, log10 p and description of a difference that matters."""
    if min(int(first.known.sum()), int(second.known.sum())) < MIN_SIDE:
        return None
    grouped = first_groups is not None and second_groups is not None
    a, b = first.values[first.known], second.values[second.known]
    if first.kind == "number":
        test = stats.ks_2samp(a, b, method="asymp")
        effect = float(test.statistic)
        n = len(a) * len(b) / (len(a) + len(b))
        # Kolmogorov's tail, which is a number long after the library's has become 0.
        log10p = min(0.0, (math.log(2) - 2 * n * effect**2) / math.log(10))
        if grouped:
            log10p = _between_groups(first, second, first_groups, second_groups, None)
        seen = (
            f"medians {np.median(a):.4g} and {np.median(b):.4g}, largest difference of the distributions "
            f"{effect:.3f}"
        )
        return (effect, log10p, seen) if effect >= 0.05 else None
    n_classes = max(len(first.classes), len(second.classes))
    counts = np.stack([np.bincount(side.astype(np.int64), minlength=n_classes) for side in (a, b)]).astype(
        np.float64
    )
    shares = counts / counts.sum(axis=1, keepdims=True)
    expected = counts.sum(axis=0) * counts.sum(axis=1, keepdims=True) / counts.sum()
    rare = expected.min(axis=0) < 5
    pooled = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    pooled = pooled[:, pooled.sum(axis=0) > 0]
    if pooled.shape[1] < 2:
        return None
    means = pooled.sum(axis=0) * pooled.sum(axis=1, keepdims=True) / pooled.sum()
    log10p = log10p_of_chi2(float(((pooled - means) ** 2 / means).sum()), pooled.shape[1] - 1)
    gaps = np.abs(shares[0] - shares[1])
    code = int(gaps.argmax())
    if grouped:
        hots = [code] if n_classes == 2 else list(range(min(n_classes, 30)))
        log10p = corrected(
            min(_between_groups(first, second, first_groups, second_groups, hot) for hot in hots), len(hots)
        )
    ratio = max(shares[0, code], shares[1, code]) / max(1e-12, min(shares[0, code], shares[1, code]))
    if gaps[code] < 0.02 and ratio < 1.3:
        return None
    name = (first if len(first.classes) >= len(second.classes) else second).name_of(code)
    return float(gaps[code]), log10p, f"class {name} is {shares[0, code]:.1%} and {shares[1, code]:.1%}"


def _between_groups(
    first: Target, second: Target, first_groups: Codes | None, second_groups: Codes | None, code: int | None
) -> float:
    """Return log10 p of a difference between the means of groups."""
    assert first_groups is not None
    assert second_groups is not None
    means = []
    for target, groups in ((first, first_groups), (second, second_groups)):
        values = target.values[target.known]
        values = values if code is None else (values == code).astype(np.float64)
        _, dense = np.unique(groups[target.known], return_inverse=True)
        means.append(np.bincount(dense, weights=values) / np.bincount(dense))
    if min(map(len, means)) < MIN_SIDE:
        return 0.0
    both = np.concatenate(means)
    return log10p_of_z(area_under_curve(both, np.arange(len(both)) < len(means[0]))[1])
