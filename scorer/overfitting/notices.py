"""Notices to a team about its own file: likely mistakes.

They report no suspicion of cheating.

They depend on the file and the team's earlier files only. A notice that depended on a hidden label, on the
split or on another team would be an oracle.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np

from scorer.overfitting.views import sample_rows
from scorer.ranks import average_ranks
from scorer.reading.columns import Column, FloatArray, Labels, Lists
from scorer.report import Notice

SIGNIFICANT_DIGITS = 6
FEW_VALUES = 10
INVERTED = -0.3
OWN_AGREEMENT = 0.5
"""Correlation of a team's earlier files above which a new one can contradict them."""

MAX_ROWS = 50_000
"""Rows on which files are correlated; a sample is exact to .01."""

MIN_ROWS = 50
MAX_HISTORY = 5


def notices(
    columns: Mapping[str, Column], kind: str, history: Sequence[Mapping[str, Column]]
) -> list[Notice]:
    """Return the notices about one accepted file, for its team.

    Parameters
    ----------
    columns
        What `scorer.submission.sinks.Collected.columns()` gives.
    kind
        The metric's kind, or "classes"; see `scorer.overfitting.views.kind_of`.
    history
        The team's latest accepted files, newest first, read with the same solution. The newest five count.

    Returns
    -------
    list of Notice
        NOTICE_CONSTANT, NOTICE_HARD_LABELS and NOTICE_FEW_VALUES exclude each other (the first that holds),
        and so do NOTICE_SAME_PREDICTIONS, NOTICE_LOOKS_PERMUTED and NOTICE_LOOKS_INVERTED. The reader of
        submissions also gives the first two: merge by code.
    """
    found = _of_values(columns, kind)
    recent = list(history)[:MAX_HISTORY]
    own = fingerprint(columns) if recent else ""
    same = next((age for age, earlier in enumerate(recent) if fingerprint(earlier) == own), None)
    if same is not None:
        which = "your last file" if same == 0 else f"the file you sent {same + 1} files ago"
        words = f"The predictions are those of {which}; the score will be the same."
        return [*found, Notice("NOTICE_SAME_PREDICTIONS", words)]
    if not any(notice.code == "NOTICE_CONSTANT" for notice in found):
        found += _of_order(columns, recent)
    return found


def fingerprint(columns: Mapping[str, Column], names: Sequence[str] = ()) -> str:
    """Return a SHA-256 of the predictions as parsed.

    Row order, spelling and digits beyond the sixth do not matter.

    Column order does not matter either. Labels and lists are hashed as codes, which are the same for all
    files of one solution unless a file brings labels of its own; with the vocabulary's `names` they are
    hashed as text.
    """
    digest = hashlib.sha256()
    for name in sorted(columns):
        column = columns[name]
        digest.update(f"{name}\0{type(column).__name__}\0{len(column)}\0".encode())
        if isinstance(column, Labels | Lists):
            digest.update(_spelt(column.codes, names))
            if isinstance(column, Lists):
                digest.update(column.offsets.astype("<i8").tobytes())
        elif column.dtype == np.object_:
            for text in column:
                digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
        else:
            digest.update(_rounded(np.asarray(column, dtype=np.float64)).astype("<f8").tobytes())
    return digest.hexdigest()


def _spelt(codes: np.ndarray[tuple[int, ...], np.dtype[np.int32]], names: Sequence[str]) -> bytes:
    if not names:
        return codes.astype("<i4").tobytes()
    used, places = np.unique(codes, return_inverse=True)
    spelt = [names[code] if code >= 0 else "" for code in used.tolist()]
    order = np.argsort(np.argsort(np.array(spelt, dtype=np.object_)))
    return "\0".join(sorted(spelt)).encode("utf-8", "surrogatepass") + order[places].astype("<i4").tobytes()


def _rounded(values: FloatArray) -> FloatArray:
    """Round to six significant digits; all nans and zeros alike."""
    size = np.abs(values)
    known = np.isfinite(values) & (size >= 1e-290)
    exponent = np.floor(np.log10(np.where(known, size, 1.0)))
    # In two halves: 10 ** 300 times 10 ** 5 would leave the range of a float.
    scale, more = 10.0 ** np.clip(-exponent, -290, 290), 10.0 ** (SIGNIFICANT_DIGITS - 1)
    mantissa = np.rint(np.where(known, values, 0.0) * scale * more)
    digits: FloatArray = mantissa * (1.0 / more) * 10.0 ** np.clip(exponent, -290, 290)
    return np.where(np.isnan(values), np.nan, np.where(np.isinf(values), values, digits + 0.0))


# --- the values of one file -----------------------------------------------------------------------------


def _of_values(columns: Mapping[str, Column], kind: str) -> list[Notice]:
    comparable = [column for column in columns.values() if not isinstance(column, Lists)]
    if len(comparable) < len(columns) or not comparable or len(comparable[0]) < 2:
        return []
    arrays = [column.codes if isinstance(column, Labels) else column for column in comparable]
    if all(bool((array == array[0]).all()) for array in arrays):
        words = (
            "All predictions are equal. That is a baseline; if you meant a model, look at how the file "
            "was written."
        )
        return [Notice("NOTICE_CONSTANT", words)]
    numbers = _numbers(columns)
    if not numbers or kind not in ("probability", "classes", "score"):
        return []
    if all(bool(((array == 0.0) | (array == 1.0)).all()) for array in numbers):
        words = (
            "All predictions are 0 or 1; this metric rewards probabilities (in scikit-learn: predict_proba)."
        )
        if kind == "score":
            words = (
                "All predictions are 0 or 1; this metric rewards an order of the rows, so send scores or "
                "probabilities."
            )
        return [Notice("NOTICE_HARD_LABELS", words)]
    n_values = max(_count_values(array) for array in numbers)
    if n_values <= FEW_VALUES < len(numbers[0]) // 10:
        words = (
            f"No column has more than {n_values} different values in {len(numbers[0])} rows; look whether "
            "they were rounded."
        )
        return [Notice("NOTICE_FEW_VALUES", words)]
    return []


def _numbers(columns: Mapping[str, Column]) -> list[FloatArray]:
    """Return the columns as numbers; none if one has no numbers."""
    numbers = [
        np.asarray(column, dtype=np.float64)
        for column in columns.values()
        if isinstance(column, np.ndarray) and column.dtype.kind in "fiu"
    ]
    return numbers if len(numbers) == len(columns) else []


def _count_values(array: FloatArray) -> int:
    """Return the number of different values.

    More than FEW_VALUES is not counted exactly.
    """
    first = len(np.unique(array[:1000]))
    return first if first > FEW_VALUES else len(np.unique(array))


# --- against own earlier files --------------------------------------------------------------------------


def _of_order(columns: Mapping[str, Column], history: Sequence[Mapping[str, Column]]) -> list[Notice]:
    """Return a notice if the file contradicts earlier ones.

    The earlier ones must agree among themselves.
    """
    now = _ranks(columns)
    if not len(now) or now.shape[1] < MIN_ROWS:
        return []
    earlier = [ranks for ranks in map(_ranks, history) if ranks.shape == now.shape and ranks.any()]
    agreeing = _agreeing(earlier)
    if not agreeing or not now.any():
        return []
    with_earlier = [_correlation(now, ranks) for ranks in agreeing]
    largest = max(with_earlier, key=abs)
    if abs(largest) < 3.0 / math.sqrt(now.shape[1]):
        words = (
            "The predictions have nothing to do with your earlier files, which agree with each other. "
            "If this is no new idea, the rows may be in another order than their ids: look at how ids "
            "and predictions were joined."
        )
        return [Notice("NOTICE_LOOKS_PERMUTED", words)]
    if max(with_earlier) < INVERTED:
        words = (
            "The predictions run against your earlier files: high where they were low. If this was "
            "not meant, look at the sign, or at which class the column stands for."
        )
        return [Notice("NOTICE_LOOKS_INVERTED", words)]
    return []


def _agreeing(earlier: Sequence[FloatArray]) -> list[FloatArray]:
    """Return the largest set of agreeing files.

    Those that agree with one of them.

    Empty if a file agrees only with itself.
    """
    sets = [
        [other for other in earlier if other is one or _correlation(one, other) > OWN_AGREEMENT]
        for one in earlier
    ]
    best = max(sets, key=len, default=[])
    return best if len(best) > 1 else []


def _ranks(columns: Mapping[str, Column]) -> FloatArray:
    """Return centred ranks of unit length, shape (k, m).

    Of each number column on the compared rows; k = 0 for other columns.
    """
    arrays = _numbers(columns)
    if not arrays:
        return np.empty((0, 0))
    rows = sample_rows(len(arrays[0]), MAX_ROWS)
    ranked = np.array([average_ranks(array[rows]) for array in arrays])
    ranked -= ranked.mean(axis=1, keepdims=True)
    lengths = np.sqrt(np.sum(ranked**2, axis=1, keepdims=True))
    unit: FloatArray = ranked / np.where(lengths > 0.0, lengths, 1.0)
    return unit


def _correlation(one: FloatArray, other: FloatArray) -> float:
    """Return Spearman's rho, averaged over columns.

    Constant columns are left out.
    """
    varies = one.any(axis=1) & other.any(axis=1)
    return float(np.mean(np.sum(one * other, axis=1)[varies])) if varies.any() else 0.0
