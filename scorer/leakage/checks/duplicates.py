"""Equal rows: in train and test, within test, with different labels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, check
from scorer.leakage.material import Material
from scorer.leakage.statistics import association, corrected, log10p_of_count, log10p_of_z
from scorer.leakage.twins import MODEL_SLACK, Twins, twins_of

TWIN_SHARE = 0.01
"""Share of the test rows from which twins in train block."""
COPIED_LABELS = 3
"""So many twins with the same label block, whatever the number of rows."""


@check("duplicate_rows", scope="rows", needs=("train", "test"), cost="n d", blocks=True)
def duplicate_rows(material: Material) -> Iterator[Found]:
    """Test rows that are also in train, beyond chance.

    effect: the share of test rows with a twin beyond chance. Two rows are twins if all columns that both
    tables have are equal: numbers to 6 significant digits, texts without case and outer spaces; row numbers
    are left out.
    """
    twins = twins_of(material)
    test = material.test
    assert test is not None
    matched = twins.test_matched
    k, n = int(matched.sum()), len(matched)
    if not k:
        return
    by_model = twins.expected_share * n
    within = float(twins.train_repeated.mean())
    over_model = log10p_of_count(k, MODEL_SLACK * by_model)
    over_train = _log10p_over_share(k, n, within, len(twins.train))
    log10p = min(over_model, over_train)
    expected = by_model if over_model <= -ALARM else within * n
    excess = max(0.0, (k - expected) / n)
    agreement, compared, equal = _agreement(material, twins)
    first = int(np.flatnonzero(matched)[0])
    place = int(np.flatnonzero(twins.train == twins.test[first])[0])
    words = (
        f"{k:,} of {n:,} test rows ({k / n:.1%}) equal a train row in all {len(twins.names)} compared "
        "columns; "
        f"chance would give about {expected:,.1f}. First: test row {first + 1} and train row {place + 1}."
    )
    if compared:
        words += f" In {agreement:.0%} of {compared:,} compared pairs the label is the same."
    if log10p > -ALARM:
        if k / n >= 0.05:
            yield Found(
                f"{words} With so few distinct values this is no more than chance.",
                "No change is needed if the rows are different cases that look alike.",
                k / n,
                log10p,
                "info",
            )
        return
    # Rows of a coarse table repeat within train as often, with other labels: they are not copies.
    is_copying = not compared or agreement >= 0.9 or over_train <= -BLOCK
    blocks = (
        log10p <= -BLOCK
        and is_copying
        and ((excess >= TWIN_SHARE and k >= 2) or (compared > 0 and equal >= COPIED_LABELS))
    )
    yield Found(
        words,
        "Remove repeated records before splitting, or keep all copies of a record on one side.",
        excess,
        log10p,
        "block" if blocks else "warn",
    )


@check("duplicate_rows", scope="rows", needs=("test",), cost="n d")
def duplicate_test_rows(material: Material) -> Iterator[Found]:
    """Rows repeated within test, and counts that predict the target.

    effect: the share of test rows beyond chance, or the AUC of the number of copies.
    """
    twins = twins_of(material)
    test = material.test
    assert test is not None
    _, group, counts = np.unique(twins.test, return_inverse=True, return_counts=True)
    k, n = int((counts[group] > 1).sum()), len(group)
    if k < 2 or n < 20:
        return
    expected = twins.expected_test_share * n
    log10p = log10p_of_count(k / 2, MODEL_SLACK * expected / 2)
    if log10p > -ALARM:
        return
    # Copies of one row have one label: each distinct row counts once.
    first = np.unique(group, return_index=True)[1]
    for target in test.targets:
        found = association(counts.astype(np.float64), target.take(first))
        sure = corrected(found.log10p, len(test.targets))
        if sure <= -ALARM and found.auc >= AUC_FLOOR:
            yield Found(
                f"The number of copies of a test row orders the hidden {target.name} with AUC "
                f"{found.auc:.3f} over "
                f"{len(counts):,} distinct rows, of which {int((counts > 1).sum()):,} are repeated.",
                "Merge the copies, or give each test row once.",
                found.auc,
                sure,
                where=target.name,
            )
    across = 0
    if test.public is not None and test.private is not None:
        in_public = np.bincount(group[test.public], minlength=len(counts)) > 0
        across = int((test.private & in_public[group]).sum())
    if (k - expected) / n >= TWIN_SHARE:
        yield Found(
            f"{k:,} of {n:,} test rows ({k / n:.1%}) have a twin in the test table; chance would give about "
            f"{expected:,.1f}. {across:,} private rows have a twin among the public ones.",
            "Give each record once; otherwise public scores reveal labels of private rows.",
            (k - expected) / n,
            log10p,
        )


@check("conflicting_labels", scope="rows", needs=("train", "train_target"), cost="n d")
def conflicting_labels(material: Material) -> Iterator[Found]:
    """Equal rows with different labels.

    No model can distinguish them.

    effect: the share of train rows in such groups. Numbers conflict if they differ by more than a twentieth
    of the target's standard deviation.
    """
    twins = twins_of(material)
    train = material.train
    assert train is not None
    for target in train.targets:
        known = target.known
        y = target.values[known]
        if len(y) < 10:
            continue
        _, group, counts = np.unique(twins.train[known], return_inverse=True, return_counts=True)
        low, high = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
        np.minimum.at(low, group, y)
        np.maximum.at(high, group, y)
        spread = 0.05 * float(y.std()) if target.kind == "number" else 0.5
        bad = (high - low > spread)[group]
        share = float(bad.mean())
        if share < 0.01:
            continue
        if target.kind == "number":
            means = np.bincount(group, weights=y) / counts
            lost = float(((y - means[group]) ** 2).sum() / max(1e-300, ((y - y.mean()) ** 2).sum()))
            limit = f"no model of these columns explains more than {1 - lost:.1%} of the variance"
        else:
            pairs, n_each = np.unique(
                np.column_stack([group, y.astype(np.int64)]), axis=0, return_counts=True
            )
            best = np.zeros(len(counts))
            np.maximum.at(best, pairs[:, 0], n_each)
            limit = f"no model of these columns is right on more than {best.sum() / len(y):.1%} of train"
        natural = twins.expected_train_share
        by_chance = MODEL_SLACK * natural >= share
        yield Found(
            (
                f"{int(bad.sum()):,} of {len(y):,} train rows ({share:.1%}) equal a row with another "
                f"{target.name}; {limit}."
            )
            + (f" Chance alone would repeat about {natural:.1%} of the rows." if by_chance else ""),
            "Check why labels differ: noise is legitimate, a lost column or a wrong join is not.",
            share,
            None,
            "warn" if share > 0.05 and not by_chance else "info",
            target.name,
        )


def _log10p_over_share(k: int, n: int, share: float, n_other: int) -> float:
    """Return log10 p of k of n against another table's share.

    Its repeats come at least in pairs.
    """
    p = (k + share * n_other) / (n + n_other)
    if k / n <= share or p in (0.0, 1.0) or n_other < 20:
        return 0.0
    z = (k / n - share) / math.sqrt(p * (1 - p) * (1 / n + 2 / n_other))
    return log10p_of_z(z) if z > 0 else 0.0


def _agreement(material: Material, twins: Twins) -> tuple[float, int, int]:
    """Return the twins' share of equal labels, pairs compared, pairs equal."""
    train, test = material.train, material.test
    if train is None or test is None or not train.targets or not test.targets:
        return 0.0, 0, 0
    equal, compared = 0.0, 0
    for target in test.targets[:1]:
        own = next((t for t in train.targets if t.name == target.name), None)
        if own is None:
            continue
        rows = np.flatnonzero(twins.test_matched & target.known)
        usable = np.flatnonzero(own.known)
        order = usable[np.argsort(twins.train[usable], kind="stable")]
        starts = np.searchsorted(twins.train[order], twins.test[rows], side="left")
        ends = np.searchsorted(twins.train[order], twins.test[rows], side="right")
        slack = 1e-9 * max(1.0, float(np.nanmax(np.abs(own.values)))) if target.kind == "number" else 0.5
        for row, start, end in zip(rows[:20_000], starts[:20_000], ends[:20_000], strict=True):
            if end > start:
                compared += 1
                labels = own.values[order[start : min(end, start + 50)]]
                equal += float((np.abs(labels - target.values[row]) <= slack).mean())
    return (equal / compared if compared else 0.0), compared, round(equal)
