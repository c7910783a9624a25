"""Ids that predict the target, and ids in both tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from scorer.leakage.check import ALARM, AUC_FLOOR, Found, check
from scorer.leakage.frame import Codes
from scorer.leakage.material import Material, NotChecked, Side
from scorer.leakage.row_orders import PERIODS, order_finding, regularity_of, whose_target
from scorer.leakage.sampled import labelled_sides, sampled_side
from scorer.leakage.statistics import (
    association,
    association_of_codes,
    corrected,
    log10p_of_codes,
    log10p_of_count,
)
from scorer.leakage.target import Target
from scorer.reading.columns import FloatArray


@check("id_signal", scope="columns", needs=(), cost="n log n")
def id_signal(material: Material) -> Iterator[Found]:
    """Ids that predict the target.

    By their number, first or last characters, or length.

    effect: AUC of the most predictive part of the id.
    """
    views = [(side, target) for side, target in labelled_sides(material) if side.ids]
    if not views:
        raise NotChecked("no public table has ids beside a known target")
    for side, target in views:
        side = sampled_side(side, material)
        target = next(t for t in side.targets if t.name == target.name)
        for name, texts in zip(side.id_names, side.ids, strict=True):
            yield from _id_parts(material, side, target, name, texts, len(views))


@check("id_overlap", scope="rows", needs=("train", "test"), cost="n", blocks=True)
def id_overlap(material: Material) -> Iterator[Found]:
    """Ids that are in both train and test.

    effect: the share of test ids. Ids that merely count from 0 or 1 in both tables name different rows.
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
    words = f"{k:,} of {n:,} test ids ({k / n:.1%}) are also in train; the first is {example!r}."
    first, second = _counting(own), _counting(other)
    if first is not None and second is not None and _restarts(first) and _restarts(second):
        yield Found(
            f"{words} In both tables the ids count from {int(first.min())}, so they name different rows.",
            "Continue the ids of test where train ends, so that the tables are not joined by mistake.",
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
            log10p = log10p_of_count(k, len(first) * len(second) / span)
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
        "An id in both tables links a test row to a labelled one: split by id, or give new ids if they "
        "name different cases.",
        k / n,
        log10p,
        "block",
        ", ".join(test.id_names),
    )


def _joined(columns: Sequence[pa.Array]) -> pa.Array:
    trimmed = [pc.utf8_trim_whitespace(column) for column in columns]
    return trimmed[0] if len(trimmed) == 1 else pc.binary_join_element_wise(*trimmed, "\x1f")


_TAIL = re.compile(r"^(.*?)(\d{1,15})$", re.DOTALL)


def _counting(ids: pa.Array) -> FloatArray | None:
    """Return the numbers in ids.

    Ids that are numbers, or one word and a number; None for others.
    """
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
    """Return whether ids are 0 to n - 1 or 1 to n."""
    distinct = np.unique(numbers)
    return (
        len(distinct) == len(numbers)
        and distinct[0] in (0, 1)
        and distinct[-1] - distinct[0] == len(numbers) - 1
    )


def _run(text: str, number: int) -> str:
    """Return a run of letters or digits of an id."""
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
        # Values of a few rows each are names, which fit any target.
        if n_values < 2 or n_values > len(codes) / 5:
            continue
        log10p = corrected(log10p_of_codes(codes, target), n_tests)
        if log10p > -ALARM:
            continue
        auc = association_of_codes(codes, target).auc
        if (
            auc >= AUC_FLOOR
            and (best is None or auc > best[0] + 0.01)
            and not _is_public(side, codes, target)
        ):
            best = auc, log10p, part
    # Public columns may explain the order of the ids as a whole.
    order = (
        np.argsort(numbers, kind="stable")
        if numbers is not None
        else np.argsort(np.array(words), kind="stable")
    )
    if numbers is not None and best is None and not side.is_sample:
        regularity = regularity_of(target.take(order))
        log10p = corrected(regularity.log10p, n_tests)
        if log10p <= -ALARM and regularity.auc >= AUC_FLOOR:
            best = regularity.auc, log10p, "order"
    if best is None:
        return
    auc, log10p, part = best
    yield order_finding(
        material,
        side,
        target,
        order,
        auc,
        log10p,
        f"{side.file}: the {part} of {name} orders {whose_target(side, target)} with AUC "
        f"{auc:.3f}.{side.sampling}",
        "Assign ids after shuffling, or at random, so that they do not depend on the source.",
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
    """Return whether a public column explains this part of the id."""
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
            log10p_of_codes(
                part, Target(rest.name, "number", y - (np.bincount(own, weights=y) / np.bincount(own))[own])
            )
            > -ALARM
            for y in levels
        ):
            return True
    return False
