"""Columns without information, and values of test that train lacks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from scipy import special, stats

from scorer.leakage.check import ALARM, Found, check
from scorer.leakage.frame import MISSING, Codes, Feature, Mask, is_number, joint_codes
from scorer.leakage.material import Material, NotChecked, Side
from scorer.leakage.sampled import sampled, sampled_side
from scorer.leakage.statistics import corrected, log10p_of_count
from scorer.leakage.twins import cells_of


@check("constant_column", scope="columns", needs=(), cost="n d, sampled")
def constant_column(material: Material) -> Iterator[Found]:
    """Columns that are constant, repeat another, or mix numbers with words.

    effect: the share of rows concerned.
    """
    if material.train is None and material.test is None:
        raise NotChecked("neither a train nor a test table could be read")
    sides = [sampled_side(side, material) for side in material.sides]
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
    """Values of test that train lacks, beyond chance.

    effect: the share of test rows. The expectation is exact for a random split: a value that stands c times
    in both tables together is new with the chance that all c fell into test.
    """
    if not material.shared:
        raise NotChecked("train and test have no column in common")
    train, test = sampled(material, "train"), sampled(material, "test")
    declared = {material.group, material.time}
    for name in material.shared:
        a, b = train.frame.feature(name), test.frame.feature(name)
        # An empty side has no values to compare; other checks report that.
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
        # Values are clustered, and the new ones may be one cluster: each value counts once.
        n_values = int(new.sum())
        log10p = corrected(
            max(log10p_of_count(k / clump, expected / clump), log10p_of_count(n_values, float(chance.sum()))),
            len(material.shared),
        )
        if k / n < 0.01 or log10p > -ALARM:
            continue
        examples = ", ".join(repr(text) for text in _examples(b, other_rows=new, codes=joint_codes(a, b)[1]))
        drifts = material.is_grouped or material.is_sequential or material.time is not None
        yield Found(
            f"Column {name}: {k:,} of {n:,} test rows ({k / n:.1%}) hold {n_values:,} values that train "
            "lacks, "
            f"such as {examples}; a random split would leave about {expected:.1f} such rows.{test.sampling}",
            "Check for other spellings or codes in test; if the values are really new, state it in the "
            "description.",
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
    # Images and one-hot tables always have constant columns: there they are only worth an info.
    is_sparse = sum(tops[name] >= 0.97 for name in names) > max(2, len(constants))
    for name in constants:
        side = next(side for side in sides if name in side.frame)
        feature = side.frame.feature(name)
        what = (
            "is empty" if feature.missing.all() else f"holds {feature.texts[0].as_py()[:40]!r} in every row"
        )
        yield Found(
            f"Column {name} {what}.",
            "Remove it, or check what was lost when it was written.",
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
                "A model learns nothing from it; check how it was written for train.",
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
    """Find columns that repeat another, also with renamed values."""
    equal: dict[bytes, str] = {}
    renamed: dict[bytes, str] = {}
    n = len(side)
    for name in side.frame.names:
        feature = side.frame.feature(name)
        if feature.missing.all() or n < 30:
            continue
        hashes = cells_of([feature.texts]).hashes
        codes = pd.factorize(hashes)[0]
        counts = np.bincount(codes)
        if len(counts) < 2 or (len(counts) == 2 and counts.min() < 5) or n - counts.max() < 5:
            continue
        whole = hashes.tobytes()
        if whole in equal:
            yield Found(
                f"Column {name} repeats column {equal[whole]} in every row{side.sampling}.",
                "Remove one of them.",
                1.0,
                None,
                "info" if len(counts) == 2 else "warn",
                name,
            )
            continue
        equal[whole] = name
        # Values that hardly repeat can always be renamed into each other; then the order of numbers decides.
        if len(counts) <= n / 2:
            key = codes.astype(np.int32).tobytes()
        elif feature.is_numeric and not feature.missing.any():
            ranks = stats.rankdata(feature.numbers, method="dense").astype(np.int32)
            key = min(ranks.tobytes(), (ranks.max() + 1 - ranks).tobytes())
        else:
            continue
        if key in renamed:
            yield Found(
                f"Column {name} has the same information as column {renamed[key]} with other "
                f"values{side.sampling}.",
                "Remove one of them, unless both spellings are wanted.",
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
            holds_number = np.array([is_number(text) for text in feature.names.to_pylist()] or [False])
            cells = holds_number[np.maximum(feature.codes, 0)] & ~feature.missing
            share = float(cells.sum() / max(1, (~feature.missing).sum()))
            if 0.5 <= share < 1:
                odd = feature.texts[int(np.flatnonzero(~cells & ~feature.missing)[0])].as_py()[:40]
                yield Found(
                    f"Column {name} of {side.file} holds numbers in {share:.1%} of its cells and words "
                    f"such as {odd!r} "
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
