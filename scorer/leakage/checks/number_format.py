"""Ways of writing values that go with the target."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from scorer.leakage.check import BLOCK, Found, check
from scorer.leakage.frame import Codes, dense_codes
from scorer.leakage.material import Material, NotChecked
from scorer.leakage.pool import Column, pool_of
from scorer.leakage.statistics import (
    MIN_ROWS,
    NONE,
    Strength,
    area_under_curve,
    commonest_count,
    corrected,
    log10p_of_z,
    pearson,
)
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray


@check("number_format", scope="columns", needs=(), cost="columns x n log n")
def number_format(material: Material) -> Iterator[Found]:
    """Ways of writing values that go with the target.

    Decimals, zeros, case or blanks.

    effect: AUC of the way of writing for the target, among rows of about the same value.
    """
    pool = pool_of(material)
    if not pool.target_names:
        raise NotChecked(material.lacking.get("hidden") or material.why_not("train_target"))
    for target_name in pool.target_names:
        target = pool.any_target(target_name)
        rows = pool.independent(target, tightly=False)
        if rows.sum() < MIN_ROWS:
            raise NotChecked(f"there are fewer than {MIN_ROWS} independent labelled rows")
        for name in pool.names:
            own = rows & pool.has(name)
            if name in pool.declared or own.sum() < MIN_ROWS:
                continue
            column = pool.column(name).take(own)
            best = NONE
            for way, strata in _ways(column):
                for kind, values in way.items():
                    found = _within(values, strata, target.take(own))
                    if found.log10p < best.log10p:
                        best = replace(found, detail=kind)
            log10p = corrected(best.log10p, 10 * len(pool.names))
            if log10p > -BLOCK or best.auc < 0.58:
                continue
            yield Found(
                f"column {name}: {best.detail} goes with {target_name} among rows of about the same value "
                f"(AUC {best.auc:.3f}){pool.sampling}.",
                f"Write {name} in one way in all rows: round to the same decimals, strip blanks, use one "
                "case. Different formats often mean different sources.",
                effect=best.auc,
                log10p=log10p,
                severity="warn",
                where=name,
            )


def _ways(column: Column) -> Iterator[tuple[dict[str, FloatArray], Codes]]:
    """Yield how cells are written, and rows of comparable value."""
    distinct = column.written_names
    codes = column.written
    if (
        len(distinct) > 0
        and column.missing.any()
        and len({distinct[c] for c in np.unique(codes[column.missing])}) > 1
    ):
        yield {"the spelling of a missing value": codes.astype(np.float64)}, np.where(column.missing, 0, -1)
    if column.is_numeric:
        ways = {kind: values[codes] for kind, values in _of_numbers(distinct).items()}
        ways = {kind: values for kind, values in ways.items() if values.min() != values.max()}
        if ways:
            yield ways, _strata(column)
        return
    styles = {
        kind: np.array([way(text) for text in distinct], dtype=np.float64)[codes]
        for kind, way in _OF_WORDS.items()
    }
    folded: dict[str, int] = {}
    same = np.array(
        [
            folded.setdefault(" ".join(unicodedata.normalize("NFKC", t).casefold().split()), len(folded))
            for t in distinct
        ]
    )
    if column.kind == "text":
        styles = {kind: values for kind, values in styles.items() if kind != "case"}
        yield styles, np.where(column.missing, -1, 0)
    else:
        yield styles, np.where(column.missing, -1, same[codes])


def _of_numbers(distinct: Sequence[str]) -> dict[str, FloatArray]:
    """Return how each number is written, by kind of way."""
    texts = pa.array(distinct, pa.string())
    trimmed = pc.utf8_trim_whitespace(texts)
    plain = pc.utf8_lower(trimmed)
    places = pc.replace_substring_regex(pc.replace_substring_regex(plain, "e.*", ""), r"^[^.]*\.?", "")
    zeros = pc.subtract(pc.utf8_length(places), pc.utf8_length(pc.utf8_rtrim(places, "0")))
    kinds = {
        "the number of decimals": pc.utf8_length(places),
        "the number of zeros at the end": zeros,
        "writing with an exponent, a sign or zeros in front": pc.match_substring_regex(
            plain, r"e|^\+|^-?0[0-9]"
        ),
        "blanks around the value": pc.not_equal(texts, trimmed),
    }
    return {
        kind: np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
        for kind, values in kinds.items()
    }


_OF_WORDS: dict[str, Callable[[str], float]] = {
    "blanks around or inside the value": lambda text: float(text != " ".join(text.split())),
    "case": lambda text: float(text.isupper()) - float(text.islower()),
    "the encoding of letters": lambda text: float(
        unicodedata.normalize("NFC", text) != text or "\ufffd" in text or "Ã" in text
    ),
}


def _strata(column: Column) -> Codes:
    """Return strata of rows of about the same value.

    And of the same digits before the point; -1 where missing. Instruments of so many significant digits
    change their decimals at powers of ten, and honestly large values may lie there: rows are only compared
    on one side of such a step.
    """
    known = ~column.missing
    strata = np.full(len(known), -1, dtype=np.int64)
    x = column.numbers[known]
    if not len(x):
        return strata
    decade = np.floor(np.log10(np.maximum(np.abs(x), 1e-12))) + 13
    key = decade * np.where(x < 0, -1, 1)
    order = np.lexsort((x, key))
    starts = (np.arange(len(x)) % 30 == 0) | (np.diff(key[order], prepend=key[order[0]]) != 0)
    own = np.empty(len(x), dtype=np.int64)
    own[order] = np.cumsum(starts) - 1
    strata[known] = own
    return strata


def _within(values: FloatArray, strata: Codes, target: Target) -> Strength:
    """Return the association of values and target within strata.

    By the exact mean and variance of all orders within them.
    """
    used = strata >= 0
    values, y, strata = values[used], target.values[used], strata[used]
    if len(y) < MIN_ROWS or values.min() == values.max():
        return NONE
    raw = values
    strata, sizes = dense_codes(strata)
    values = values - (np.bincount(strata, weights=values) / sizes)[strata]
    squares = np.bincount(strata, weights=values**2)
    moving = squares[strata] > 1e-12
    # With fewer than ten rows written differently, no sum is near normal.
    if not moving.any() or moving.sum() - commonest_count(raw[moving]) < 10:
        return NONE
    if target.kind == "number":
        levels = [("", stats.rankdata(y))]
    else:
        levels = [(target.name_of(c), (y == c).astype(np.float64)) for c in np.unique(y)]
        levels = levels[1:] if len(levels) == 2 else levels
    best = NONE
    for name, wanted in levels:
        wanted = wanted - (np.bincount(strata, weights=wanted) / sizes)[strata]
        own = np.bincount(strata, weights=wanted**2)
        variance = float((squares * own / np.maximum(sizes - 1, 1)).sum())
        if variance <= 0:
            continue
        z = float((values * wanted).sum()) / math.sqrt(variance)
        if target.kind == "number":
            auc = 0.5 + abs(pearson(values[moving], wanted[moving])) / 2
        else:
            hot = (
                y
                == (
                    np.unique(y)[-1] if len(levels) == 1 else np.unique(y)[[n for n, _ in levels].index(name)]
                )
            )[moving]
            auc = area_under_curve(values[moving], hot)[0]
        log10p = corrected(log10p_of_z(z), len(levels))
        if log10p < best.log10p:
            best = Strength(max(auc, 1 - auc), log10p, name)
    return best
