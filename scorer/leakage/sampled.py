"""Rows: twins of each other, orders that tell the target, ids that do, and columns that say nothing.

The checks come first, then what they share: the search for twins with what chance would make of them,
the order tests, ids taken apart, and near twins of numbers and texts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import special, stats

from scorer.leakage.check import ALARM, AUC_FLOOR, BLOCK, Found, NotChecked, check
from scorer.leakage.material import MISSING, Codes, Feature, Mask, Material, Rows, Side, Target, joint_codes
from scorer.leakage.statistics import (
    association,
    association_of_codes,
    corrected,
    lag_one_z,
    log10p_of_chi2,
    log10p_of_z,
)
from scorer.reading.columns import FloatArray

Hashes = NDArray[np.uint64]

TWIN_SHARE = 0.01
"""Of the test rows; from here on twins in train block."""
COPIED_LABELS = 3
"""So many twins with the same label block however many rows there are."""
MODEL_SLACK = 3.0
"""How much more often than modelled rows may meet by chance."""
FAMILY_SHARE = 0.05
"""Up to here near twins that train has as well may be families of rows, not copies."""
NEAR_SHARE = 0.02
TEXT_NEAR = 0.8
"""Jaccard similarity of shingles from which two texts are near twins."""
PERIODS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24)
LAGS = (*range(1, 33), 50, 52, 60, 64, 100)


# --- twins ----------------------------------------------------------------------------------------


@check("duplicate_rows", scope="rows", needs=("train", "test"), cost="n d", blocks=True)
def duplicate_rows(material: Material) -> Iterator[Found]:
    """Test rows that also stand in train, beyond what chance makes of few distinct values.

    Effect: the share of test rows with a twin beyond chance. Two rows are twins if all columns that both tables
    have are equal: numbers to 6 significant digits, texts without case and outer spaces; row numbers are left out.
    """
    twins = _twins(material)
    test = material.test
    assert test is not None
    matched = twins.test_matched
    k, n = int(matched.sum()), len(matched)
    if not k:
        return
    by_model = twins.expected_share * n
    within = float(twins.train_repeated.mean())
    over_model = _log10p_of_count(k, MODEL_SLACK * by_model)
    over_train = _log10p_over_share(k, n, within, len(twins.train))
    log10p = min(over_model, over_train)
    expected = by_model if over_model <= -ALARM else within * n
    excess = max(0.0, (k - expected) / n)
    agreement, compared, equal = _agreement(material, twins)
    first = int(np.flatnonzero(matched)[0])
    place = int(np.flatnonzero(twins.train == twins.test[first])[0])
    words = (
        f"{k:,} of {n:,} test rows ({k / n:.1%}) equal a train row in all {len(twins.names)} compared columns; "
        f"chance would give about {expected:,.1f}. First: test row {first + 1} and train row {place + 1}."
    )
    if compared:
        words += f" In {agreement:.0%} of {compared:,} compared pairs the label is the same."
    if log10p > -ALARM:
        if k / n >= 0.05:
            yield Found(
                f"{words} With so few distinct values that is no more than chance.",
                "Nothing needs to change if the rows are different cases that merely look alike.",
                k / n,
                log10p,
                "info",
            )
        return
    # Rows of a coarse table repeat within train as often, and with other labels: that is no copying.
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
    """Rows that are repeated inside the test table, and whether how often tells the target.

    Effect: the share of test rows beyond chance, or the AUC of the number of copies.
    """
    twins = _twins(material)
    test = material.test
    assert test is not None
    _, group, counts = np.unique(twins.test, return_inverse=True, return_counts=True)
    k, n = int((counts[group] > 1).sum()), len(group)
    if k < 2 or n < 20:
        return
    expected = twins.expected_test_share * n
    log10p = _log10p_of_count(k / 2, MODEL_SLACK * expected / 2)
    if log10p > -ALARM:
        return
    # Copies of one row have one label: each distinct row counts once.
    first = np.unique(group, return_index=True)[1]
    for target in test.targets:
        found = association(counts.astype(np.float64), target.take(first))
        sure = corrected(found.log10p, len(test.targets))
        if sure <= -ALARM and found.auc >= AUC_FLOOR:
            yield Found(
                f"The number of copies of a test row orders the hidden {target.name} with AUC {found.auc:.3f} over "
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
            "Give each record once; else what is learnt of public rows pays on private ones.",
            (k - expected) / n,
            log10p,
        )


@check("conflicting_labels", scope="rows", needs=("train", "train_target"), cost="n d")
def conflicting_labels(material: Material) -> Iterator[Found]:
    """Equal rows with different labels, which no model can tell apart.

    Effect: the share of train rows in such groups. Numbers conflict if they differ by more than a twentieth of the
    target's standard deviation.
    """
    twins = _twins(material)
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
            f"{int(bad.sum()):,} of {len(y):,} train rows ({share:.1%}) equal a row with another {target.name}; {limit}."
            + (f" Chance alone would repeat about {natural:.1%} of the rows." if by_chance else ""),
            "Check how labels came to differ: noise is legitimate, a lost column or a bad join is not.",
            share,
            None,
            "warn" if share > 0.05 and not by_chance else "info",
            target.name,
        )


@check("near_duplicate_rows", scope="rows", needs=("train", "test"), cost="n log n, sampled")
def near_duplicate_rows(material: Material) -> Iterator[Found]:
    """Test rows that nearly equal a train row: numbers moved a little, or one cell changed.

    Effect: the share of test rows. Near is far below the distance to the next few train rows, by a law that holds
    for any smooth distribution: (r1/r6)^k is the least of five uniform numbers in k dimensions.
    """
    twins = _twins(material)
    if _near_numbers(material) is None and (len(twins.names) < 4 or len(twins.test_rows) < 10):
        raise NotChecked(
            "near twins need three columns of measured numbers, or four columns of any kind, and some rows"
        )
    inner: Material | None = None
    for way in (_near_by_numbers, _one_cell_apart):
        for found in way(material):
            # Real tables have families: files of one package, forms filled in alike. Then train has them too. But so
            # it has where copies were made before splitting, so only a few of them are taken for a family.
            inner = inner or _train_against_itself(material)
            usual = 2 * max((one.effect or 0.0 for one in way(inner)), default=0.0)
            if (found.effect or 0.0) <= 1.5 * usual:
                words = (
                    f" Within train it is much the same (about {usual:.1%}): this may be how the data are."
                )
                mild = found.severity if (found.effect or 0.0) > FAMILY_SHARE else "info"
                found = replace(found, severity=mild, evidence=found.evidence + words)
            yield found


def _train_against_itself(material: Material) -> Material:
    """A random half of train in the place of the test rows; its twins have half the rows to be found in."""
    assert material.train is not None
    shuffled = np.random.default_rng(material.seed).permutation(len(material.train))
    half = len(shuffled) // 2
    parts = (material.train.take(np.sort(rows)) for rows in (shuffled[:half], shuffled[half:]))
    train, test = parts
    return replace(material, train=train, test=replace(test, name="test"))


def _near_by_numbers(material: Material) -> Iterator[Found]:
    near = _near_numbers(material)
    if near is not None:
        k, n, expected, names, sampling, pair = near
        log10p = _log10p_of_count(k, MODEL_SLACK * expected)
        if _is_many(k, n, log10p):
            yield Found(
                f"{k:,} of {n:,} test rows ({k / n:.1%}) lie far closer to one train row than to the next ones in "
                f"{names} numeric columns; chance would give about {expected:.1f}. {pair}{sampling}",
                "Look at some pairs. Copies with noise, augmentations and repeated measurements belong on one side.",
                k / n,
                log10p,
            )


@check("near_duplicate_rows", scope="columns", needs=("train", "test"), cost="n, sampled")
def near_duplicate_texts(material: Material) -> Iterator[Found]:
    """Test texts that nearly equal a train text.

    Effect: the share of test rows. Texts are compared by the Jaccard similarity of 5-character shingles; candidates
    come from 64 minima of hashes in 16 bands (MinHash).
    """
    if not material.shared:
        raise NotChecked("train and test have no column in common")
    train, test = sampled(material, "train"), sampled(material, "test")
    for name in material.shared:
        own, other = test.frame.feature(name), train.frame.feature(name)
        if "text" not in (own.kind, other.kind) or own.is_numeric or other.is_numeric:
            continue
        found = _near_texts(own, other, material.seed)
        if found is None:
            continue
        k, n, typical, example = found
        # Texts made from one template are all alike.
        if k >= 2 and k / n > NEAR_SHARE and typical < 0.6:
            yield Found(
                f"{k:,} of {n:,} looked-at test texts ({k / n:.1%}) are at least {TEXT_NEAR:.0%} alike to a train text without "
                f"being equal; the middle one of all is {typical:.0%} alike to its nearest. {example}{test.sampling}",
                "Look at some pairs; keep edited copies and quotations of a text on one side.",
                k / n,
                None,
                where=name,
            )


def _is_many(k: int, n: int, log10p: float) -> bool:
    share = k / n if n else 0.0
    return k >= 2 and (
        (share >= NEAR_SHARE and log10p <= -ALARM) or (share >= NEAR_SHARE / 2 and log10p <= -BLOCK)
    )


# --- order ----------------------------------------------------------------------------------------


@check("row_order", scope="rows", needs=(), cost="n log n")
def row_order(material: Material) -> Iterator[Found]:
    """Whether the order of the rows tells the target: sorted files, positives first.

    Effect: AUC of the row number (0.5 + |rho| / 2 of a number).
    """
    views = _views(material)
    alarms = []
    for side, target in views:
        found = association(np.arange(len(side), dtype=np.float64), target)
        log10p = corrected(found.log10p, len(views))
        if log10p <= -ALARM and found.auc >= AUC_FLOOR:
            alarms.append((side, target, found.auc, log10p, found.detail))
    for side, target, auc, log10p, detail in alarms:
        about = f" (class {detail} against the rest)" if detail else ""
        yield _order_found(
            material,
            side,
            target,
            np.arange(len(side)),
            auc,
            log10p,
            f"{side.file}: the row number alone orders {_whose(side, target)} with AUC {auc:.3f}{about}."
            + _only_here(views, [alarm[0] for alarm in alarms]),
            "Shuffle the rows with a secret seed before writing the files, and give ids after that.",
        )


@check("row_blocks", scope="rows", needs=(), cost="n log n")
def row_blocks(material: Material) -> Iterator[Found]:
    """Whether neighbouring rows, or rows at fixed distances, have like targets.

    Effect: AUC of the mean of the two neighbours (of rows at the distance found) for a row's own target.
    """
    views = _views(material)
    alarms = []
    for side, target in views:
        rhythm = _rhythm(target)
        log10p = corrected(rhythm.log10p, len(views))
        if log10p <= -ALARM and rhythm.auc >= AUC_FLOOR:
            alarms.append((side, target, rhythm, log10p))
    for side, target, rhythm, log10p in alarms:
        yield _order_found(
            material,
            side,
            target,
            np.arange(len(side)),
            rhythm.auc,
            log10p,
            f"{side.file}: {rhythm.words} {_whose(side, target)} with AUC {rhythm.auc:.3f}."
            + _only_here(views, [alarm[0] for alarm in alarms]),
            "Shuffle the rows with a secret seed before writing the files, and give ids after that.",
        )


@check("id_signal", scope="columns", needs=(), cost="n log n")
def id_signal(material: Material) -> Iterator[Found]:
    """Whether an id tells the target: by its number, its first or last characters, its length.

    Effect: AUC of the part of the id that tells most.
    """
    views = [(side, target) for side, target in _views(material) if side.ids]
    if not views:
        raise NotChecked("no public table has ids beside a known target")
    for side, target in views:
        side = _sampled_side(side, material)
        target = next(t for t in side.targets if t.name == target.name)
        for name, texts in zip(side.id_names, side.ids, strict=True):
            yield from _id_parts(material, side, target, name, texts, len(views))


@check("id_overlap", scope="rows", needs=("train", "test"), cost="n", blocks=True)
def id_overlap(material: Material) -> Iterator[Found]:
    """Ids that stand in both train and test.

    Effect: the share of test ids. Ids that merely count from 0 or 1 in both tables name different rows.
    """
    train, test = material.train, material.test
    assert train is not None
    assert test is not None
    if not test.ids:
        raise NotChecked(f"{test.file} has no id column")
    if train.id_names != test.id_names:
        lacking = ", ".join(name for name in test.id_names if name not in train.id_names)
        raise NotChecked(f"{train.file} has no id column {lacking}")
    own, other = _joined(test.ids), _joined(train.ids)
    both = np.asarray(pc.is_in(own, value_set=other).to_numpy(zero_copy_only=False), dtype=np.bool_)
    k, n = int(both.sum()), len(both)
    if not k:
        return
    example = own[int(np.flatnonzero(both)[0])].as_py()
    words = f"{k:,} of {n:,} test ids ({k / n:.1%}) also stand in train; the first is {example!r}."
    first, second = _counting(own), _counting(other)
    if first is not None and second is not None and _restarts(first) and _restarts(second):
        yield Found(
            f"{words} In both tables the ids count from {int(first.min())}, so they name different rows.",
            "Let the ids of test go on where train ends, so that nobody joins the tables by mistake.",
            k / n,
            None,
            "info",
            ", ".join(test.id_names),
        )
        return
    log10p = None
    if first is not None and second is not None:
        span = max(first.max(), second.max()) - min(first.min(), second.min()) + 1
        if span > 100 * (len(first) + len(second)):  # drawn at random from a wide range: some meet
            log10p = _log10p_of_count(k, len(first) * len(second) / span)
    if log10p is not None and log10p > -ALARM:
        yield Found(
            f"{words} Numbers drawn at random from this range meet about as often.",
            "Draw the ids without replacement over both tables.",
            k / n,
            log10p,
            "info",
        )
        return
    yield Found(
        words,
        "An id in both tables links a test row to a labelled one: split by id, or give new ids if they name different cases.",
        k / n,
        log10p,
        "block",
        ", ".join(test.id_names),
    )


# --- columns that say nothing ---------------------------------------------------------------------


@check("constant_column", scope="columns", needs=(), cost="n d, sampled")
def constant_column(material: Material) -> Iterator[Found]:
    """Columns that hold one value, repeat another column, or mix numbers with words.

    Effect: the share of rows concerned.
    """
    if material.train is None and material.test is None:
        raise NotChecked("neither a train nor a test table could be read")
    sides = [_sampled_side(side, material) for side in material.sides]
    if not any(side.frame.names for side in sides):
        raise NotChecked("the public tables have no columns beside ids and targets")
    if max(len(side) for side in sides) < 10:
        raise NotChecked("the tables have fewer than 10 rows")
    yield from _constants(material, sides)
    few = [side.sampled(20_000, seed=material.seed) for side in sides]
    yield from _copies(few[0])
    yield from _mixed_types(few)


@check("new_categories", scope="columns", needs=("train", "test"), cost="n d, sampled")
def new_categories(material: Material) -> Iterator[Found]:
    """Values of test that train never shows, beyond what a random split leaves.

    Effect: the share of test rows. The expectation is exact for a random split: a value that stands c times in both
    tables together is new with the chance that all c fell into test.
    """
    if not material.shared:
        raise NotChecked("train and test have no column in common")
    train, test = sampled(material, "train"), sampled(material, "test")
    declared = {material.group, material.time}
    for name in material.shared:
        a, b = train.frame.feature(name), test.frame.feature(name)
        # With everything empty on one side there is no vocabulary to compare; other checks tell of that.
        if name in declared or a.missing.all() or b.missing.all() or "text" in (a.kind, b.kind):
            continue
        own, other = joint_codes(a, b)
        own, other = own[own >= 0], other[other >= 0]
        n_known = len(np.unique(own))
        if "time" in (a.kind, b.kind) or n_known > (0.2 if a.is_numeric else 0.5) * len(own):
            continue
        size = 1 + max(int(own.max()), int(other.max()))
        in_train, in_test = np.bincount(own, minlength=size), np.bincount(other, minlength=size)
        new = (in_train == 0) & (in_test > 0)
        k, n = int(in_test[new].sum()), len(other)
        if not k:
            continue
        counts = (in_train + in_test)[(in_train + in_test) > 0]
        m, total = len(other), len(own) + len(other)
        with np.errstate(invalid="ignore"):
            chance = np.where(
                counts <= m,
                np.exp(
                    special.gammaln(m + 1)
                    - special.gammaln(np.maximum(m - counts, 0) + 1)
                    - special.gammaln(total + 1)
                    + special.gammaln(total - counts + 1)
                ),
                0.0,
            )
        expected = float((counts * chance).sum())
        clump = float((counts**2 * chance).sum()) / max(expected, 1e-300) if expected > 0 else 1.0
        # Values come in clumps, and new ones may be one clump: each value counts once.
        n_values = int(new.sum())
        log10p = corrected(
            max(
                _log10p_of_count(k / clump, expected / clump), _log10p_of_count(n_values, float(chance.sum()))
            ),
            len(material.shared),
        )
        if k / n < 0.01 or log10p > -ALARM:
            continue
        examples = ", ".join(repr(text) for text in _examples(b, other_rows=new, codes=joint_codes(a, b)[1]))
        drifts = material.is_grouped or material.is_sequential or material.time is not None
        yield Found(
            f"Column {name}: {k:,} of {n:,} test rows ({k / n:.1%}) hold {n_values:,} values that train never shows, "
            f"such as {examples}; a random split would leave about {expected:.1f} such rows.{test.sampling}",
            "Check for other spellings or codes in test; if the values are truly new, say so in the description.",
            k / n,
            log10p,
            "info" if drifts else "warn",
            name,
        )


def _examples(feature: Feature, *, other_rows: Mask, codes: Codes) -> list[str]:
    rows = np.flatnonzero((codes >= 0) & other_rows[np.maximum(codes, 0)])
    return list(dict.fromkeys(feature.texts[int(row)].as_py()[:40] for row in rows[:200]))[:3]


def _constants(material: Material, sides: Sequence[Side]) -> Iterator[Found]:
    names = list(dict.fromkeys(name for side in sides for name in side.frame.names))
    tops: dict[str, float] = {}
    for name in names:
        features = [side.frame.feature(name) for side in sides if name in side.frame]
        codes = np.concatenate(joint_codes(*features)) if len(features) == 2 else features[0].codes
        tops[name] = float(np.bincount(codes + 1).max() / len(codes))
    constants = [name for name in names if tops[name] == 1.0 and _is_constant_in_full(material, name)]
    # Images and one-hot tables have dead columns by nature: there they are worth a note and no more.
    is_sparse = sum(tops[name] >= 0.97 for name in names) > max(2, len(constants))
    for name in constants:
        side = next(side for side in sides if name in side.frame)
        feature = side.frame.feature(name)
        what = (
            "is empty" if feature.missing.all() else f"holds {feature.texts[0].as_py()[:40]!r} in every row"
        )
        yield Found(
            f"Column {name} {what}.",
            "Leave it out, or check what was lost when it was written.",
            1.0,
            None,
            "info" if is_sparse else "warn",
            name,
        )
    if len(sides) < 2:
        return
    train, test = sides
    for name in material.shared:
        a, b = train.frame.feature(name), test.frame.feature(name)
        if name in constants or a.missing.all() or b.missing.all() or len(a) < 30 or len(b) < 30:
            continue
        own, other = joint_codes(a, b)
        if (own == own[0]).all() and (other != own[0]).mean() > 0.05:
            yield Found(
                f"Column {name} holds {a.texts[0].as_py()[:40]!r} in every train row, and something else in "
                f"{(other != own[0]).mean():.1%} of the test rows.",
                "A model can learn nothing from it; check how it was written for train.",
                float((other != own[0]).mean()),
                where=name,
            )


def _is_constant_in_full(material: Material, name: str) -> bool:
    values: set[str] = set()
    for side in material.sides:
        if name in side.frame:
            column = pc.utf8_lower(pc.utf8_trim_whitespace(side.frame.texts(name)))
            distinct = pc.unique(column)
            if len(distinct) > 100:
                return False
            values |= {"" if text in MISSING else text for text in distinct.to_pylist()}
    # Numbers may be spelt in several ways.
    try:
        return len({float(text) if text else math.inf for text in values}) == 1
    except ValueError:
        return len(values) == 1


def _copies(side: Side) -> Iterator[Found]:
    """Columns that are another one again: cell by cell, or with every value renamed."""
    equal: dict[bytes, str] = {}
    renamed: dict[bytes, str] = {}
    n = len(side)
    for name in side.frame.names:
        feature = side.frame.feature(name)
        if feature.missing.all() or n < 30:
            continue
        hashes = _cells([feature.texts]).hashes
        codes = pd.factorize(hashes)[0]
        counts = np.bincount(codes)
        if len(counts) < 2 or (len(counts) == 2 and counts.min() < 5) or n - counts.max() < 5:
            continue
        whole = hashes.tobytes()
        if whole in equal:
            yield Found(
                f"Column {name} repeats column {equal[whole]} in every row{side.sampling}.",
                "Leave one of them out.",
                1.0,
                None,
                "info" if len(counts) == 2 else "warn",
                name,
            )
            continue
        equal[whole] = name
        # Values that hardly repeat can always be renamed into each other; of numbers the order counts then.
        if len(counts) <= n / 2:
            key = codes.astype(np.int32).tobytes()
        elif feature.is_numeric and not feature.missing.any():
            ranks = stats.rankdata(feature.numbers, method="dense").astype(np.int32)
            key = min(ranks.tobytes(), (ranks.max() + 1 - ranks).tobytes())
        else:
            continue
        if key in renamed:
            yield Found(
                f"Column {name} says the same as column {renamed[key]} with other values{side.sampling}.",
                "Leave one of them out, unless both spellings are wanted.",
                1.0,
                None,
                "info",
                name,
            )
            continue
        renamed[key] = name


def _mixed_types(sides: Sequence[Side]) -> Iterator[Found]:
    kinds: dict[str, list[tuple[Side, Feature]]] = {}
    for side in sides:
        for name in side.frame.names:
            feature = side.frame.feature(name)
            if not feature.missing.all():
                kinds.setdefault(name, []).append((side, feature))
    for name, features in kinds.items():
        for side, feature in features:
            if feature.is_numeric:
                continue
            is_number = np.array([_is_number(text) for text in feature.names.to_pylist()] or [False])
            cells = is_number[np.maximum(feature.codes, 0)] & ~feature.missing
            share = float(cells.sum() / max(1, (~feature.missing).sum()))
            if 0.5 <= share < 1:
                odd = feature.texts[int(np.flatnonzero(~cells & ~feature.missing)[0])].as_py()[:40]
                yield Found(
                    f"Column {name} of {side.file} holds numbers in {share:.1%} of its cells and words such as {odd!r} "
                    "in the others.",
                    "Write one kind of value, and leave cells empty where there is none.",
                    1 - share,
                    None,
                    "warn" if share >= 0.95 and len(feature) >= 30 else "info",
                    name,
                )
                break
        else:
            if len(features) == 2 and features[0][1].is_numeric != features[1][1].is_numeric:
                yield Found(
                    f"Column {name} holds {_kind_words(features[0][1])} in {features[0][0].file} and "
                    f"{_kind_words(features[1][1])} in {features[1][0].file}.",
                    "Write the column in one way in both tables.",
                    1.0,
                    where=name,
                )


def _kind_words(feature: Feature) -> str:
    return {"number": "numbers", "time": "dates", "category": "words", "text": "texts"}[feature.kind]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


# --- what several checks need of one challenge ----------------------------------------------------

_TWINS: WeakKeyDictionary[Material, Twins] = WeakKeyDictionary()
_SAMPLES: WeakKeyDictionary[Material, dict[str, Side]] = WeakKeyDictionary()


def _sampled_side(side: Side, material: Material) -> Side:
    """A sample drawn once, so that its columns are made once."""
    samples = _SAMPLES.setdefault(material, {})
    if side.name not in samples:
        samples[side.name] = side.sampled(seed=material.seed)
    return samples[side.name]


def sampled(material: Material, name: str) -> Side:
    """At most 100,000 rows of train or of test, drawn once for all checks that ask."""
    side = material.train if name == "train" else material.test
    assert side is not None
    return _sampled_side(side, material)


def _views(material: Material) -> list[tuple[Side, Target]]:
    """The rows in the order in which participants get them, with each target that is known of them."""
    sides = [side for side in (material.train, material.listed) if side is not None and side.targets]
    views = [(side, target) for side in sides for target in side.targets if target.known.sum() >= 8]
    if not views:
        raise NotChecked(
            material.lacking.get("hidden")
            or material.lacking.get("train_target")
            or "fewer than 8 rows have a target"
        )
    return views


def _only_here(views: Sequence[tuple[Side, Target]], found: Sequence[Side]) -> str:
    """Train's order alone helps nobody: it is worth a look because the same script may have written the test."""
    hidden = any(side.name != "train" for side, _ in views)
    return (
        " The hidden test rows show no such order."
        if hidden and all(s.name == "train" for s in found)
        else ""
    )


def _whose(side: Side, target: Target) -> str:
    return f"{'the' if side.name == 'train' else 'the hidden'} {target.name}"


# --- twins and chance -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cells:
    """One column, over one or several tables: equal values have equal hashes."""

    hashes: Hashes
    is_key: bool
    """A row number or a made-up name: it never repeats and says nothing of the row."""


def _cells(columns: Sequence[pa.Array]) -> _Cells:
    """The column's cells in all tables, one table below the other."""
    texts = pc.utf8_trim_whitespace(pa.concat_arrays([pa.array(c, pa.string()) for c in columns]))
    lowered = pc.utf8_lower(texts)
    nothing = np.asarray(
        pc.is_in(lowered, value_set=pa.array(MISSING)).to_numpy(zero_copy_only=False), dtype=np.bool_
    )
    try:
        held = pc.if_else(pa.array(nothing), pa.scalar(None, pa.string()), texts)
        numbers = np.asarray(pc.cast(held, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
        hashes = _mixed(np.ascontiguousarray(_rounded(numbers)).view(np.uint64))
        is_key = bool(
            len(numbers) >= 20
            and np.isfinite(numbers).all()
            and (numbers == np.floor(numbers)).all()
            and numbers.max() - numbers.min() < 3 * len(numbers)
            and len(np.unique(numbers)) == len(numbers)
        )
    except pa.ArrowException:
        encoded = pc.utf8_normalize(lowered, form="NFC").dictionary_encode()
        names = np.array(encoded.dictionary.to_pylist(), dtype=np.object_)
        of_names = pd.util.hash_array(names) if len(names) else np.empty(0, np.uint64)
        hashes = of_names[np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)]
        is_key = bool(
            len(names) == len(texts) >= 20
            and not nothing.any()
            and pc.max(pc.utf8_length(texts)).as_py() <= 40
            and not pc.any(pc.match_substring(texts, " ")).as_py()
        )
    hashes = np.where(nothing, np.uint64(0x5EED), hashes)
    return _Cells(hashes, is_key)


def _rounded(numbers: FloatArray) -> FloatArray:
    """Whole numbers as they are, others to 6 significant digits, of the value or of the column's spread."""
    finite = np.isfinite(numbers)
    values = np.where(finite, numbers, 0.0)
    half = float(values.max() / 2 - values.min() / 2) if len(values) else 0.0  # the whole may be infinite
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        digits = np.floor(np.log10(np.abs(values)))
        digits = np.where(np.isfinite(digits), digits, 0.0)
        if half > 0:
            digits = np.minimum(digits, math.floor(math.log10(half)))
        steps = np.round(values / 10.0 ** np.clip(digits - 5, -300, 300))
    # Steps are whole; multiplied back, the last bit would be left to chance.
    key = np.where(values == np.floor(values), values, steps * 16 + digits / 1024)
    return np.asarray(np.where(finite, key, np.inf) + 0.0)


def _mixed(words: Hashes) -> Hashes:
    """splitmix64, so that sums of hashes do not meet by chance."""
    with np.errstate(over="ignore"):
        z = words + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


@dataclass(frozen=True, eq=False)
class Twins:
    """Every row of train and test as one hash, and how often chance would make two equal."""

    names: tuple[str, ...]
    """The compared columns."""
    train: Hashes
    test: Hashes
    cells: Hashes
    """Hashes by column of sampled train rows and, below, sampled test rows; shape (rows, columns)."""
    train_rows: Rows
    test_rows: Rows

    @cached_property
    def test_matched(self) -> Mask:
        return np.isin(self.test, self.train)

    @cached_property
    def train_repeated(self) -> Mask:
        return _repeated(self.train)

    @cached_property
    def log_chances(self) -> FloatArray:
        """Of each sampled row and column the log of the chance of its value given the column it hangs on most,
        as the other rows have it (Chow-Liu tree, without the row and its twins); shape as `cells`."""
        return _log_chances(self.cells)

    @cached_property
    def expected_share(self) -> float:
        """Of test rows that chance gives a twin in train."""
        return self._meeting(slice(len(self.train_rows), None), len(self.train))

    @cached_property
    def expected_test_share(self) -> float:
        return self._meeting(slice(len(self.train_rows), None), len(self.test) - 1)

    @cached_property
    def expected_train_share(self) -> float:
        return self._meeting(slice(0, len(self.train_rows)), len(self.train) - 1)

    def _meeting(self, rows: slice, others: int) -> float:
        logs = self.log_chances[rows].sum(axis=1)
        return float(-np.expm1(-np.exp(np.minimum(50.0, logs + math.log(max(1, others))))).mean())


def _repeated(hashes: Hashes) -> Mask:
    _, group, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(counts[group] > 1)


def _twins(material: Material) -> Twins:
    if material not in _TWINS:
        _TWINS[material] = _find_twins(material)
    return _TWINS[material]


def _find_twins(material: Material) -> Twins:
    train, test = material.train, material.test
    sides = [side for side in (train, test) if side is not None]
    names = material.shared if len(sides) == 2 else sides[0].frame.names
    if not names:
        raise NotChecked(
            "train and test have no column in common"
            if len(sides) == 2
            else "the table has no columns beside ids and targets"
        )
    if min(len(side) for side in sides) < 2:
        raise NotChecked("a table has fewer than two rows")
    rng = np.random.default_rng(material.seed)
    n_train, n_test = (0 if side is None else len(side) for side in (train, test))
    train_rows, test_rows = _some_rows(n_train, 30_000, rng), _some_rows(n_test, 10_000, rng)
    picked = np.concatenate([train_rows, n_train + test_rows])
    rows = np.zeros(n_train + n_test, dtype=np.uint64)
    kept: list[str] = []
    cells: list[Hashes] = []
    keys: list[tuple[str, Hashes]] = []
    for number, name in enumerate(names):
        column = _cells([side.frame.texts(name) for side in sides])
        if column.is_key:
            keys.append((name, column.hashes))
            continue
        kept.append(name)
        rows += _salted(column.hashes, number)
        cells.append(column.hashes[picked])
    if not kept:  # then the keys are all there is
        for number, (name, hashes) in enumerate(keys):
            kept.append(name)
            rows += _salted(hashes, number)
            cells.append(hashes[picked])
    return Twins(tuple(kept), rows[:n_train], rows[n_train:], np.column_stack(cells), train_rows, test_rows)


def _salted(hashes: Hashes, number: int) -> Hashes:
    with np.errstate(over="ignore"):
        return _mixed(hashes ^ _mixed(np.array([number + 1], dtype=np.uint64))[0])


def _some_rows(n: int, most: int, rng: np.random.Generator) -> Rows:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _log_chances(cells: Hashes) -> FloatArray:
    n, d = cells.shape
    codes = np.column_stack([np.unique(cells[:, j], return_inverse=True)[1] for j in range(d)])
    _, first, group, counts = np.unique(
        _row_hashes(cells), return_index=True, return_inverse=True, return_counts=True
    )
    twins = counts[group].astype(np.float64)  # of each row, itself among them
    alone: list[FloatArray] = []
    for j in range(d):
        each = np.bincount(codes[:, j])
        others = each[codes[:, j]] - twins
        # A value nobody else has: Chao's estimate of how many more there are, over distinct rows.
        distinct = np.bincount(codes[first, j])
        once, twice = int((distinct == 1).sum()), int((distinct == 2).sum())
        unseen = max(2 * twice, 1) / (n * max(1, once))
        alone.append(np.where(others > 0, others / np.maximum(1.0, n - twins), min(unseen, 1.0)))
    parents = _tree(codes[first[:: max(1, len(first) // 4000)]])
    logs = np.empty((n, d))
    for j, parent in enumerate(parents):
        if parent < 0:
            logs[:, j] = np.log(np.maximum(alone[j], 1e-12))
            continue
        _, joint, sizes = np.unique(
            codes[:, parent].astype(np.int64) * n + codes[:, j], return_inverse=True, return_counts=True
        )
        together = sizes[joint] - twins
        given = np.bincount(codes[:, parent])[codes[:, parent]] - twins
        logs[:, j] = np.log(np.maximum((together + alone[j]) / (given + 1.0), 1e-12))
    return np.minimum(logs, 0.0)


def _row_hashes(cells: Hashes) -> Hashes:
    rows = np.zeros(len(cells), dtype=np.uint64)
    for j in range(cells.shape[1]):
        rows += _salted(cells[:, j], j)
    return rows


def _tree(codes: Codes) -> list[int]:
    """Of each column the one it depends on most, as a tree (Chow and Liu 1968); -1 for none. Wide tables: the first 150."""
    n, d = codes.shape
    coarse = [_coarse(codes[:, j]) for j in range(min(d, 150))]
    sizes = [int(column.max()) + 1 for column in coarse]
    parents = [-1] * d
    if n < 20 or len(coarse) < 2:
        return parents
    entropies = [_entropy(np.bincount(column)) for column in coarse]
    best, link = np.full(len(coarse), 0.0), np.full(len(coarse), -1)
    waiting = set(range(1, len(coarse)))
    newest: int = 0
    while waiting:
        for j in waiting:
            both = _entropy(np.bincount(coarse[newest] * sizes[j] + coarse[j]))
            shared = entropies[newest] + entropies[j] - both - (sizes[newest] - 1) * (sizes[j] - 1) / (2 * n)
            if shared > best[j]:
                best[j], link[j] = shared, newest
        newest = int(max(waiting, key=lambda j: float(best[j])))
        waiting.remove(newest)
        parents[newest] = int(link[newest])
    return parents


def _coarse(codes: Codes) -> Codes:
    """At most 16 values: the most frequent ones, and the rest by chance in one."""
    _, dense, counts = np.unique(codes, return_inverse=True, return_counts=True)
    if len(counts) <= 16:
        return np.asarray(dense)
    order = np.argsort(-counts, kind="stable")
    names = np.full(len(counts), 15)
    names[order[:15]] = np.arange(15)
    return np.asarray(names[dense])


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _log10p_of_count(k: float, expected: float) -> float:
    """log10 of the chance of k or more where so many are expected (Poisson; for parts of counts its gamma form)."""
    if k <= expected or k <= 0:
        return 0.0
    if expected <= 0:
        expected = 1e-30
    p = float(stats.gamma.logcdf(expected, k))
    if not math.isfinite(p):  # its leading term
        p = k * math.log(expected) - expected - float(special.gammaln(k + 1))
    return min(0.0, p / math.log(10))


def _log10p_over_share(k: int, n: int, share: float, n_other: int) -> float:
    """log10 p of k of n against a share seen in another table, whose repeats come at least in pairs."""
    p = (k + share * n_other) / (n + n_other)
    if k / n <= share or p in (0.0, 1.0) or n_other < 20:
        return 0.0
    z = (k / n - share) / math.sqrt(p * (1 - p) * (1 / n + 2 / n_other))
    return log10p_of_z(z) if z > 0 else 0.0


def _agreement(material: Material, twins: Twins) -> tuple[float, int, int]:
    """Of the test rows with twins: the share with their label, how many could be compared, and how many are equal."""
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


# --- near twins -----------------------------------------------------------------------------------


def _near_numbers(material: Material) -> tuple[int, int, float, int, str, str] | None:
    """How many test rows are near one train row, of how many, how many by chance, in how many columns, the sampling in
    words, and a pair in words. None if the tables are not made of numbers."""
    train, test = sampled(material, "train"), sampled(material, "test")
    columns: list[FloatArray] = []
    for name in material.shared:
        a, b = train.frame.feature(name), test.frame.feature(name)
        if a.kind != "number" or b.kind != "number":
            continue
        values = np.concatenate([a.numbers, b.numbers])
        held = values[~np.isnan(values)]
        if len(np.unique(held)) < 10 or _cells([a.texts, b.texts]).is_key:
            continue
        low, high = np.quantile(held, [0.005, 0.995])
        # Of long tails the middle counts; where nearly all values are one, the few others do.
        spread = max(float(np.clip(held, low, high).std()), 0.2 * float(held.std()))
        if 0 < spread < math.inf:
            columns.append(np.nan_to_num((values - float(np.median(held))) / spread, nan=0.0))
    if len(columns) < 3 or len(train) < 50 or len(test) < 10:
        return None
    matrix = np.clip(np.column_stack(columns), -20, 20)
    rng = np.random.default_rng(material.seed)
    reference = matrix[: len(train)]
    rows = _some_rows(len(test), max(1_000, min(20_000, 200_000_000 // len(train))), rng)
    queries = matrix[len(train) :][rows]
    probe = queries[_some_rows(len(queries), 300, rng)]
    distances, _ = _six_nearest(reference[_some_rows(len(reference), 20_000, rng)], probe, math.inf)
    use = (distances[:, 0] > 1e-6) & (distances[:, 5] > 0)
    if use.sum() < 8:
        return None
    ratios = np.log(distances[use, 0] / distances[use, 5])
    # The dimension that the law needs to explain the ratios, from their upper half: planted twins lie below.
    q = float(np.quantile(ratios, 0.75))
    dimension = min(50.0, max(1.0, math.log(1 - 0.25**0.2) / q if q < 0 else 50.0))
    closeness = min(0.25, 0.0004 ** (1 / dimension))
    chance = 1 - (1 - closeness**dimension) ** 5
    reach = 1.5 * closeness * float(np.quantile(distances[use, 5], 0.95))
    six, places = _six_nearest(reference, queries, reach)
    close = (six[:, 0] < closeness * six[:, 5]) & (six[:, 0] > 1e-6)
    k = int(close.sum())
    pair = ""
    if close.any():
        at = int(np.flatnonzero(close)[0])
        pair = (
            f"First: test row {int(test.rows[rows[at]]) + 1} is {six[at, 0]:.2g} standard deviations from train "
            f"row {int(train.rows[places[at, 0]]) + 1}, and {six[at, 5]:.2g} from the sixth nearest."
        )
    return k, len(queries), len(queries) * chance, len(columns), test.sampling, pair


def _six_nearest(reference: FloatArray, queries: FloatArray, reach: float) -> tuple[FloatArray, Rows]:
    """Distances to the six nearest rows and where these are, in order; infinite where even the nearest is out of reach."""
    found, places = np.full((len(queries), 6), np.inf), np.zeros((len(queries), 6), dtype=np.int64)
    small = reference.astype(np.float32)
    squares = (small**2).sum(axis=1)
    for start in range(0, len(queries), 128):
        part = queries[start : start + 128].astype(np.float32)
        # Without the query's own square: that is the same for all it is compared with.
        apart = squares - 2 * (part @ small.T)
        own = (part**2).sum(axis=1)
        nearest = apart.min(axis=1) + own
        for i in np.flatnonzero(nearest <= reach**2 + 1e-4 * (1 + own)):
            some = np.argpartition(apart[i], 5)[:6]
            exact = np.sqrt(((reference[some] - queries[start + i]) ** 2).sum(axis=1))
            order = np.argsort(exact, kind="stable")
            if exact[order[0]] <= reach:
                found[start + i], places[start + i] = exact[order], some[order]
    return found, places


def _one_cell_apart(material: Material) -> Iterator[Found]:
    """Rows that are twins but for one column, whatever it holds."""
    twins = _twins(material)
    d = len(twins.names)
    if d < 4 or d > 200 or len(twins.test_rows) < 10:
        return
    n_train = len(twins.train_rows)
    rows = np.concatenate([twins.train[twins.train_rows], twins.test[twins.test_rows]])
    salted = _row_hashes(twins.cells)  # by place among the kept columns, which suffices within the sample
    is_twin = np.isin(rows[n_train:], twins.train)
    apart = np.zeros(len(twins.test_rows), dtype=np.int64)
    best = np.full(len(twins.test_rows), -1)
    with np.errstate(over="ignore"):
        for j in range(d):
            rest = salted - _salted(twins.cells[:, j], j)
            hit = np.isin(rest[n_train:], rest[:n_train]) & ~is_twin
            apart += hit
            best[hit] = j
    k, n = int((apart > 0).sum()), len(apart)
    if not k:
        return
    logs = twins.log_chances[n_train:]
    total = logs.sum(axis=1)
    # One column left out: its own term, and what hangs on it is taken as it is.
    rate = np.exp(np.minimum(50.0, special.logsumexp(total[:, None] - logs, axis=1) + math.log(n_train)))
    expected = float(-np.expm1(-np.minimum(rate, 50.0)).sum())
    log10p = _log10p_of_count(k, MODEL_SLACK * expected)
    if not _is_many(k, n, log10p):
        return
    which, counts = np.unique(best[best >= 0], return_counts=True)
    names = ", ".join(twins.names[j] for j in which[np.argsort(-counts)][:3])
    yield Found(
        f"{k:,} of {n:,} test rows ({k / n:.1%}) equal a train row in all of {d} columns but one (most often {names}); "
        f"chance would give about {expected:.1f}.",
        "Look at some pairs: copies with one cell changed belong on one side.",
        k / n,
        log10p,
    )


_SPACES = re.compile(r"\s+")
_SHINGLE = 5
_MINIMA = 64
_BAND = 4
_MERSENNE = np.uint64((1 << 31) - 1)


def _near_texts(own: Feature, other: Feature, seed: int) -> tuple[int, int, float, str] | None:
    """How many test texts are near a train text and not equal, of how many, the middle similarity to the nearest
    candidate, and an example in words. None for short texts, which are alike by chance."""
    rng = np.random.default_rng(seed)
    test_rows, train_rows = _some_rows(len(own), 5_000, rng), _some_rows(len(other), 20_000, rng)
    test = [_shingles(text) for text in own.texts.take(pa.array(test_rows)).to_pylist()]
    train = [_shingles(text) for text in other.texts.take(pa.array(train_rows)).to_pylist()]
    lengths = [len(text) for text in test if len(text)]
    if len(lengths) < 10 or float(np.median(lengths)) < 20:
        return None
    factors = rng.integers(1, int(_MERSENNE), (2, _MINIMA)).astype(np.uint64)
    own_minima, other_minima = _minima(test, factors), _minima(train, factors)
    candidates: list[set[int]] = [set() for _ in test]
    for start in range(0, _MINIMA, _BAND):
        a = _row_hashes(own_minima[:, start : start + _BAND])
        b = _row_hashes(other_minima[:, start : start + _BAND])
        order = np.argsort(b, kind="stable")
        low = np.searchsorted(b[order], a, side="left")
        high = np.searchsorted(b[order], a, side="right")
        for row in np.flatnonzero(high > low):
            candidates[row].update(order[low[row] : min(high[row], low[row] + 20)].tolist())
    nearest = np.zeros(len(test))
    is_equal = np.zeros(len(test), dtype=np.bool_)
    pair: tuple[int, int] | None = None
    for i, places in enumerate(candidates):
        if len(test[i]) < 20:
            continue
        for j in places:
            both = len(np.intersect1d(test[i], train[j], assume_unique=True))
            alike = both / (len(test[i]) + len(train[j]) - both)
            nearest[i] = max(nearest[i], alike)
            is_equal[i] |= alike == 1.0
            if TEXT_NEAR <= alike < 1 and pair is None:
                pair = (int(test_rows[i]), int(train_rows[j]))
    k = int(((nearest >= TEXT_NEAR) & ~is_equal).sum())
    if pair is None:
        return None
    example = f"First: row {pair[0] + 1} of those of test, {own.texts[pair[0]].as_py()[:60]!r}, and {other.texts[pair[1]].as_py()[:60]!r}."
    return k, len(test), float(np.median(nearest)), example


def _shingles(text: str) -> NDArray[np.uint64]:
    """Hashes of all runs of 5 characters, distinct and sorted."""
    letters = np.array([ord(c) for c in _SPACES.sub(" ", text.casefold().strip())[:20_000]], dtype=np.uint64)
    if len(letters) < _SHINGLE:
        return np.empty(0, dtype=np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(letters, _SHINGLE)
    return np.unique(_row_hashes(np.ascontiguousarray(windows)) % _MERSENNE)


def _minima(texts: Sequence[NDArray[np.uint64]], factors: NDArray[np.uint64]) -> Hashes:
    """Shape (texts, 64). A text without shingles gets numbers of its own."""
    found = np.empty((len(texts), _MINIMA), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for i, text in enumerate(texts):
            if len(text):
                found[i] = ((text[:, None] * factors[0] + factors[1]) % _MERSENNE).min(axis=0)
            else:
                found[i] = _MERSENNE + np.uint64(1 + i)
    return found


# --- orders ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rhythm:
    """How the targets of rows at a distance go together."""

    log10p: float
    auc: float
    words: str


def _rhythm(target: Target) -> _Rhythm:
    """The strongest of: like neighbours, like rows at a fixed distance, position modulo a small number."""
    known = target.known
    y = target.values[known]
    n = len(y)
    best = _Rhythm(0.0, 0.5, "")
    if n < 20 or y.min() == y.max():
        return best
    codes = y.astype(np.int64) if target.kind != "number" else None
    ranks = None
    if codes is None:
        ranks = stats.rankdata(y)
        ranks -= ranks.mean()
    best_lag = best_period = 0
    log10p = 0.0
    for lag in LAGS:
        if lag > n // 4:
            break
        # The neighbours are the question; other distances are many and share what is left.
        found = corrected(_log10p_of_lag(codes, ranks, lag), 3 if lag == 1 else 3 * len(LAGS))
        if found < log10p:
            log10p, best_lag = found, lag
    places = np.flatnonzero(known)
    for period in PERIODS:
        if n < 20 * period:
            break
        found = corrected(_log10p_of_codes(places % period, target.take(known)), 3 * len(PERIODS))
        if found < log10p:
            log10p, best_period = found, period
    if log10p > -ALARM:
        return best
    if best_period:
        auc = association_of_codes(places % best_period, target.take(known)).auc
        return _Rhythm(log10p, auc, f"the row number modulo {best_period} tells")
    what = "the two neighbouring rows" if best_lag == 1 else f"the rows {best_lag} before and after"
    return _Rhythm(log10p, _auc_of_neighbours(target.take(known), best_lag), f"{what} predict")


def _log10p_of_lag(codes: Codes | None, ranks: FloatArray | None, lag: int) -> float:
    if ranks is not None:
        if lag == 1:
            return log10p_of_z(max(0.0, lag_one_z(ranks)))
        total = float((ranks**2).sum())
        r = float((ranks[lag:] * ranks[:-lag]).sum()) / total if total else 0.0
        return log10p_of_z(max(0.0, (r + 1 / len(ranks)) * math.sqrt(len(ranks))))
    assert codes is not None
    n = len(codes)
    counts = np.bincount(codes).astype(np.float64)
    s2, s3 = float((counts**2).sum()), float((counts**3).sum())
    expected = (s2 - n) / n * (n - lag) / (n - 1)
    variance = (s2 * (s2 + n * (n + 1)) - 2 * n * s3 - n**3) / (n * n * (n - 1))
    equal = int(np.count_nonzero(codes[lag:] == codes[:-lag]))
    if variance <= 0 or equal <= expected:
        return 0.0
    # Rows of rare classes meet seldom, with a tail like Poisson's: a gamma law of its skewness, 1 / sqrt(meetings),
    # that is the normal one where there are many. The largest class adds nothing to what the others tell.
    # One less, because one row more or less of a class changes two pairs.
    meetings = (s2 - float(counts.max()) ** 2) / n
    z = (equal - 1 - expected) / math.sqrt(variance)
    shape = 4 * max(meetings, 1e-3)
    tail = float(stats.gamma.logsf(shape + z * math.sqrt(shape), shape)) / math.log(10)
    return min(0.0, tail if math.isfinite(tail) else -300.0) if z > 0 else 0.0


def _log10p_of_codes(codes: Codes, target: Target) -> float:
    """log10 p of one test of all codes against all classes (chi-squared) or numbers (Kruskal-Wallis).

    Rare classes and codes are put together until about 3 rows are expected in a cell: below, chi-squared cries wolf.
    """
    known = target.known
    y = target.values[known]
    _, group, sizes = np.unique(codes[known], return_inverse=True, return_counts=True)
    if len(y) < 20 or y.min() == y.max() or len(sizes) < 2:
        return 0.0
    if target.kind == "number":
        group = np.where(sizes[group] >= 5, group, len(sizes))
        _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
        ranks = stats.rankdata(y)
        if len(sizes) < 2 or sizes.min() < 3:
            return 0.0
        means = np.bincount(group, weights=ranks) / sizes
        statistic = float((sizes * (means - ranks.mean()) ** 2).sum() / ranks.var()) * (len(y) - 1) / len(y)
        return log10p_of_chi2(statistic, len(sizes) - 1)
    _, label, counts = np.unique(y, return_inverse=True, return_counts=True)
    label = np.where(counts[label] >= 3 * len(sizes), label, len(counts))
    counts = np.bincount(label)
    label = np.where(counts[label] >= 3 * len(sizes), label, int(counts.argmax()))
    _, label, counts = np.unique(label, return_inverse=True, return_counts=True)
    if len(counts) < 2:
        return 0.0
    least = 3 * len(y) / counts.min()
    group = np.where(sizes[group] >= least, group, len(sizes))
    sizes = np.bincount(group)
    group = np.where(sizes[group] >= least, group, int(sizes.argmax()))
    _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return 0.0
    cells = np.bincount(group * len(counts) + label, minlength=len(sizes) * len(counts))
    table = cells.reshape(len(sizes), len(counts))
    expected = np.outer(sizes, counts) / len(y)
    statistic = float(((table - expected) ** 2 / expected).sum())
    return log10p_of_chi2(statistic, (len(sizes) - 1) * (len(counts) - 1))


def _auc_of_neighbours(target: Target, lag: int) -> float:
    y = target.values
    if target.kind == "number":
        padded = np.concatenate([np.full(lag, np.nan), y, np.full(lag, np.nan)])
        both = np.stack([padded[: len(y)], padded[2 * lag :]])
        held = ~np.isnan(both)
        mean = np.where(held, both, 0.0).sum(axis=0) / np.maximum(1, held.sum(axis=0))
        return association(np.where(held.any(axis=0), mean, np.nan), target).auc
    best = 0.5
    for _, hot in target.hot:
        number = Target(target.name, "number", hot.astype(np.float64))
        if hot.sum() < 2 or (~hot).sum() < 2:
            continue
        padded = np.concatenate([np.full(lag, np.nan), number.values, np.full(lag, np.nan)])
        both = np.stack([padded[: len(y)], padded[2 * lag :]])
        held = ~np.isnan(both)
        mean = np.where(held, both, 0.0).sum(axis=0) / np.maximum(1, held.sum(axis=0))
        best = max(best, association(mean, Target(target.name, "binary", number.values)).auc)
    return best


def _order_found(
    material: Material,
    side: Side,
    target: Target,
    order: Rows,
    auc: float,
    log10p: float,
    words: str,
    advice: str,
    where: str = "",
) -> Found:
    """A finding about an order of rows; only a note if a public column has the same order and explains it."""
    sorting = _sorted_by(material, side, order)
    picture = _picture(side, target, order, words)
    place = where or f"{side.file}, {target.name}"
    if material.time is not None and material.time in sorting:
        return Found(
            f"{words} The rows are sorted by the declared time column {material.time}.",
            "Nothing, if the target simply changes with time.",
            auc,
            log10p,
            "info",
            place,
            picture,
        )
    if sorting and _explains(side, target, order, sorting):
        return Found(
            f"{words} The rows are sorted by {', '.join(sorting)}, which participants see and which explains it.",
            "Nothing needs to change if participants may know these columns; declare split.time or split.group if they "
            "are one.",
            auc,
            log10p,
            "info",
            place,
            picture,
        )
    return Found(words, advice, auc, log10p, "warn", place, picture)


def _sorted_by(material: Material, side: Side, order: Rows) -> dict[str, FloatArray]:
    """Public columns by which the rows stand sorted or together in blocks, with a bin for every row of the sample."""
    sample = _sampled_side(side, material)
    picked = _positions(side, sample, order)
    found: dict[str, FloatArray] = {}
    for name in sample.frame.names:
        feature = sample.frame.feature(name)
        scores = feature.scores[picked]
        held = scores[~np.isnan(scores)]
        if len(held) < 0.9 * len(scores) or len(held) < 20:
            continue
        steps = np.diff(held)
        distinct = len(np.unique(held))
        moves = int(np.count_nonzero(steps))
        if distinct < 3 or moves == 0:
            continue
        is_sorted = feature.is_numeric and max((steps > 0).sum(), (steps < 0).sum()) >= 0.99 * moves
        in_blocks = distinct <= len(held) / 2 and moves + 1 <= 1.05 * distinct
        if is_sorted and not in_blocks:
            ranks = stats.rankdata(feature.scores, method="average")
            found[name] = np.floor(32 * (ranks - 1) / max(1, len(ranks)))
        elif in_blocks:
            found[name] = np.nan_to_num(feature.scores, nan=-1.0)
    # Series one below the other: in time within each block.
    time = material.time
    if time is not None and time not in found and time in sample.frame and found:
        moments = sample.frame.feature(time).scores[picked]
        for bins in list(found.values()):
            same = np.diff(bins[picked]) == 0
            steps = np.diff(moments)[same]
            if len(steps) >= 0.5 * len(moments) and (steps >= 0).mean() >= 0.99:
                found[time] = np.nan_to_num(sample.frame.feature(time).scores, nan=-1.0)
                break
    return found


def _positions(side: Side, sample: Side, order: Rows) -> Rows:
    """The sample's rows in the order given for the side."""
    if len(sample) == len(side):
        return order
    rank = np.empty(len(side), dtype=np.int64)
    rank[order] = np.arange(len(side))
    place = np.searchsorted(side.rows, sample.rows)
    return np.argsort(rank[place], kind="stable")


def _explains(side: Side, target: Target, order: Rows, sorting: dict[str, FloatArray]) -> bool:
    """Whether nothing is left in this order of the target once its mean by these columns' bins is taken off."""
    y = target.values[order]
    known = ~np.isnan(y)
    length = len(next(iter(sorting.values())))
    if length != len(side):  # a sample: neighbours are lost, the columns' order is not
        return True
    levels = (
        [y]
        if target.kind == "number"
        else [np.where(known, (y == code).astype(np.float64), np.nan) for code in np.unique(y[known])[:20]]
    )
    for values in levels:
        rest = values[known].copy()
        for bins in sorting.values():
            _, group = np.unique(bins[order][known], return_inverse=True)
            rest -= (np.bincount(group, weights=rest) / np.bincount(group))[group]
        numbers = Target(target.name, "number", rest)
        if association(np.arange(len(rest), dtype=np.float64), numbers).log10p <= -ALARM:
            return False
        if lag_one_z(rest) > 4.5:
            return False
    return True


def _picture(side: Side, target: Target, order: Rows, words: str) -> dict[str, object]:
    """The mean target by row, in at most 60 steps."""
    y = target.values[order]
    if target.kind == "class":
        counts = np.bincount(y[~np.isnan(y)].astype(np.int64))
        top = int(counts.argmax())
        y = np.where(np.isnan(y), np.nan, (y == top).astype(np.float64))
        title = f"share of {target.name_of(top)}"
    else:
        title = f"mean {target.name}" if target.kind == "number" else f"share of {target.name_of(1)}"
    pieces = np.array_split(np.arange(len(y)), min(60, len(y)))
    held = [piece[~np.isnan(y[piece])] for piece in pieces]
    points = [(float(piece.mean()) + 1, float(y[piece].mean())) for piece in held if len(piece)]
    return {
        "kind": "line",
        "title": f"{title} along {side.file}",
        "x_title": "row",
        "y_title": title,
        "x": [x for x, _ in points],
        "y": [value for _, value in points],
        "text": words,
    }


# --- ids ------------------------------------------------------------------------------------------


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    trimmed = [pc.utf8_trim_whitespace(column) for column in columns]
    return trimmed[0] if len(trimmed) == 1 else pc.binary_join_element_wise(*trimmed, "\x1f")


_TAIL = re.compile(r"^(.*?)(\d{1,15})$", re.DOTALL)


def _counting(ids: pa.Array) -> FloatArray | None:
    """The numbers in ids that are numbers, or one word and a number; None for others."""
    texts = ids.to_pylist()
    head = _TAIL.match(texts[0]) if texts else None
    if head is None:
        return None
    prefix = head[1].rstrip("0123456789")
    try:
        return np.array([int(_digits(text, prefix)) for text in texts], dtype=np.float64)
    except ValueError:
        return None


def _digits(text: str, prefix: str) -> str:
    rest = text[len(prefix) :]
    if not text.startswith(prefix) or not rest.isascii() or not rest.isdigit() or len(rest) > 15:
        raise ValueError
    return rest


def _restarts(numbers: FloatArray) -> bool:
    """0 to n - 1 or 1 to n, in any order."""
    distinct = np.unique(numbers)
    return (
        len(distinct) == len(numbers)
        and distinct[0] in (0, 1)
        and distinct[-1] - distinct[0] == len(numbers) - 1
    )


def _run(text: str, number: int) -> str:
    """The so-manieth run of letters or of digits in an id, or nothing."""
    runs = _RUNS.findall(text)
    return runs[number] if number < len(runs) else ""


_RUNS = re.compile(r"[^\W\d_]+|\d+")


def _id_parts(
    material: Material, side: Side, target: Target, name: str, texts: pa.Array, n_views: int
) -> Iterator[Found]:
    words = texts.to_pylist()
    numbers = _counting(texts)
    if numbers is None:
        numbers = _hexadecimal(words)
    scores: list[tuple[str, FloatArray]] = [("length", np.array([len(w) for w in words], dtype=np.float64))]
    if numbers is not None:
        scores.insert(0, ("number", numbers))
    parts: list[tuple[str, Codes]] = []
    if numbers is not None:
        parts += [
            (f"number modulo {m}", np.mod(numbers, m).astype(np.int64))
            for m in PERIODS
            if len(words) >= 20 * m
        ]
    for size in (1, 2, 3):
        for end, cut in (("first", slice(None, size)), ("last", slice(-size, None))):
            codes = pd.factorize(np.array([w[cut] for w in words], dtype=np.object_))[0].astype(np.int64)
            parts.append((f"{end} {size} characters" if size > 1 else f"{end} character", codes))
    if len({len(w) for w in words}) == 1 and len(words[0]) <= 40:
        for place, characters in enumerate(zip(*words, strict=True), start=1):
            codes = pd.factorize(np.array(characters, dtype=np.object_))[0].astype(np.int64)
            parts.append((f"character {place}", codes))
    for run in range(4):
        codes = pd.factorize(np.array([_run(w, run) for w in words], dtype=np.object_))[0].astype(np.int64)
        parts.append((f"part {run + 1} (letters or digits)", codes))
    heads = pd.factorize(np.array([_before_number(w) for w in words], dtype=np.object_))[0].astype(np.int64)
    parts.append(("text before the number", heads))
    n_tests = (len(scores) + len(parts) + 1) * n_views
    best: tuple[float, float, str] | None = None
    for part, score in scores:
        found = association(score, target)
        log10p = corrected(found.log10p, n_tests)
        if log10p <= -ALARM and found.auc >= AUC_FLOOR and (best is None or found.auc > best[0]):
            best = found.auc, log10p, part
    for part, codes in parts:
        n_values = len(np.unique(codes))
        # Values of a few rows each are names again, and fit anything.
        if n_values < 2 or n_values > len(codes) / 5:
            continue
        log10p = corrected(_log10p_of_codes(codes, target), n_tests)
        if log10p > -ALARM:
            continue
        auc = association_of_codes(codes, target).auc
        if (
            auc >= AUC_FLOOR
            and (best is None or auc > best[0] + 0.01)
            and not _is_public(side, codes, target)
        ):
            best = auc, log10p, part
    # Explanations are looked for in the order of the ids as a whole.
    order = (
        np.argsort(numbers, kind="stable")
        if numbers is not None
        else np.argsort(np.array(words), kind="stable")
    )
    if numbers is not None and best is None and not side.is_sample:
        rhythm = _rhythm(target.take(order))
        log10p = corrected(rhythm.log10p, n_tests)
        if log10p <= -ALARM and rhythm.auc >= AUC_FLOOR:
            best = rhythm.auc, log10p, "order"
    if best is None:
        return
    auc, log10p, part = best
    yield _order_found(
        material,
        side,
        target,
        order,
        auc,
        log10p,
        f"{side.file}: the {part} of {name} orders {_whose(side, target)} with AUC {auc:.3f}.{side.sampling}",
        "Give ids after shuffling, or random ones, so that nothing of the source is left in them.",
        f"{side.file}, {name}",
    )


def _before_number(text: str) -> str:
    return text.rstrip("0123456789")


def _hexadecimal(words: Sequence[str]) -> FloatArray | None:
    """The leading digits of hexadecimal ids as numbers."""
    try:
        return np.array([int(word.replace("-", "")[:12], 16) for word in words], dtype=np.float64)
    except ValueError:
        return None


def _is_public(side: Side, codes: Codes, target: Target) -> bool:
    """Whether a public column tells all that this part of the id does, so that the id adds nothing to it."""
    for name in side.frame.names:
        feature = side.frame.feature(name)
        n_values = feature.n_unique
        if not 2 <= n_values <= len(codes) / 3:
            continue
        _, own = np.unique(feature.codes, return_inverse=True)
        n_pairs = len(np.unique(own * (int(codes.max()) + 1) + codes))
        # One must be a function of the other, or nearly so.
        if n_pairs > 1.05 * max(own.max() + 1, len(np.unique(codes))):
            continue
        rest = target.take(target.known)
        own, part = own[target.known], codes[target.known]
        if rest.kind == "number":
            levels = [stats.rankdata(rest.values)]
        else:
            levels = [(rest.values == code).astype(np.float64) for code in np.unique(rest.values)[:20]]
        if all(
            _log10p_of_codes(
                part, Target(rest.name, "number", y - (np.bincount(own, weights=y) / np.bincount(own))[own])
            )
            > -ALARM
            for y in levels
        ):
            return True
    return False
