"""Scores of ranked lists.

Every function takes two Lists of n_rows rows, the truth and the predicted. Nothing here loops over rows: a
challenge has a million of them, with a dozen items each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from scorer.metrics.registry import GRADED, LIST, WHOLE, RowFault, metric, spelt
from scorer.reading.columns import FloatArray, Lists

IntArray = NDArray[np.int64]

_FirstK = Annotated[
    int | None, Field(ge=1, le=10**6, description="Only the first k items of a list count."), WHOLE
]
_Denominator = Annotated[
    Literal["capped", "items"],
    Field(
        description="Divide by the number of true items, or by k where there are more (capped), or by "
        "the number of true items however many there are (items)."
    ),
]

_EMPTY_TRUTH = """A row without true items scores 0; mark such rows Ignored to leave them out."""


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """True items among the first k, by row and place."""

    rows: IntArray
    places: IntArray
    """From 0."""
    tokens: IntArray
    """Positions in the codes of the truth."""
    distinct: NDArray[np.bool_]
    """Which tokens of the truth are not an item's second mention."""
    n_true: IntArray
    """How many distinct true items each row has, shape (n_rows,)."""

    @property
    def per_row(self) -> IntArray:
        return np.bincount(self.rows, minlength=len(self.n_true))

    @property
    def ranks(self) -> IntArray:
        """The number of each hit among its row's, from 1."""
        return _numbered(self.rows, self.per_row) + 1


def _numbered(rows: IntArray, per_row: IntArray) -> IntArray:
    """Return each entry's number within its row, from 0; `rows` rise."""
    begins: IntArray = np.cumsum(per_row) - per_row
    return np.arange(len(rows)) - begins[rows]


def _hits(truth: Lists, predicted: Lists, k: int | None) -> _Hits:
    """Return what was found.

    An item named again is no second hit, and still takes up its place.
    """
    seen = predicted.lengths if k is None else np.minimum(predicted.lengths, k)
    short = (truth.lengths <= _SHORT_TRUTH) & (seen <= _SHORT_LIST)
    distinct = np.ones(len(truth.codes), dtype=np.bool_)
    rows = np.flatnonzero(short)
    found = [
        _search_short(truth, predicted, rows[at : at + _ROWS_AT_ONCE], seen, distinct)
        for at in range(0, len(rows), _ROWS_AT_ONCE)
    ]
    found.append(_search_long(truth, predicted, np.flatnonzero(~short), seen, distinct))
    hits = np.concatenate(found, axis=1)
    if not short.all():
        hits = hits[:, np.lexsort((hits[1], hits[0]))]
    n_true = np.diff(np.concatenate(([0], np.cumsum(distinct)))[truth.offsets])
    return _Hits(hits[0], hits[1], hits[2], distinct, n_true)


_SHORT_TRUTH, _SHORT_LIST = 16, 64
_ROWS_AT_ONCE = 1 << 15
"""So that the tables stay in the processor's cache."""


def _search_short(
    truth: Lists, predicted: Lists, rows: IntArray, seen: IntArray, distinct: NDArray[np.bool_]
) -> IntArray:
    """Return (rows, places, tokens) of the hits, compared pair by pair."""
    wanted = _table(truth, rows, truth.lengths[rows], filler=-1)
    received = _table(predicted, rows, seen[rows], filler=-2)
    begins = truth.offsets[:-1][rows]
    token_at = np.full(received.shape, -1, dtype=np.int64)
    for j in range(wanted.shape[1]):
        item = wanted[:, j, None]
        again = np.any(wanted[:, :j] == item, axis=1) & (item[:, 0] >= 0)
        distinct[begins[again] + j] = False
        if received.shape[1]:
            equal = received == item
            place = equal.argmax(axis=1)
            hit = np.flatnonzero(equal[np.arange(len(rows)), place] & ~again)
            token_at[hit, place[hit]] = begins[hit] + j
    at, places = np.nonzero(token_at >= 0)
    return np.stack((rows[at], places, token_at[at, places]))


def _table(lists: Lists, rows: IntArray, lengths: IntArray, *, filler: int) -> NDArray[np.int32]:
    """The first `lengths` tokens of these rows, side by side."""
    places = np.arange(lengths.max(initial=0))
    if not len(places):
        return np.empty((len(rows), 0), dtype=np.int32)
    codes = lists.codes.take(lists.offsets[:-1][rows, None] + places, mode="clip")
    codes[places >= lengths[:, None]] = filler
    return codes


def _search_long(
    truth: Lists, predicted: Lists, rows: IntArray, seen: IntArray, distinct: NDArray[np.bool_]
) -> IntArray:
    """Return the same by sorting, which stays fast for long lists."""
    width = 1 + int(max(truth.codes.max(initial=0), predicted.codes.max(initial=0)))
    tokens = _positions(truth, rows, truth.lengths)
    received = _positions(predicted, rows, seen)
    keys, first = np.unique(
        np.repeat(rows, truth.lengths[rows]) * width + truth.codes[tokens], return_index=True
    )
    distinct[tokens] = False
    distinct[tokens[first]] = True
    named, at = np.unique(np.repeat(rows, seen[rows]) * width + predicted.codes[received], return_index=True)
    hit, of_named, of_keys = np.intersect1d(named, keys, assume_unique=True, return_indices=True)
    found = hit // width
    return np.stack((found, received[at[of_named]] - predicted.offsets[:-1][found], tokens[first[of_keys]]))


def _positions(lists: Lists, rows: IntArray, lengths: IntArray) -> IntArray:
    """Where the first `lengths` tokens of these rows stand."""
    n = lengths[rows]
    steps: IntArray = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return steps + np.repeat(lists.offsets[:-1][rows], n)


def _ratio(numerators: NDArray[Any], denominators: NDArray[Any]) -> FloatArray:
    """Return the quotient, and 0 where the divisor is 0."""
    ratio: FloatArray = np.divide(
        numerators, denominators, out=np.zeros(len(numerators)), where=denominators > 0
    )
    return ratio


def _out_of(n_true: IntArray, k: int | None, denominator: str) -> IntArray:
    return n_true if k is None or denominator == "items" else np.minimum(n_true, k)


@metric(
    "map_at_k",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    finish="mean",
    required=("k",),
    convention=f"""The precision at the place of each true item found among the first k, summed and divided
    by the smaller of k and the number of true items (Kaggle, benhamner/Metrics); the KDD Cups' variant
    divides by the number of true items (denominator: items), and then more than k of them put 1 out of
    reach. An item named twice counts once, at its first place, and the second naming takes up a place
    (other reimplementations count it again and exceed 1). True items are a set. {_EMPTY_TRUTH}""",
)
def mean_average_precision_at_k(
    truth: Lists, predicted: Lists, *, k: _FirstK = None, denominator: _Denominator = "capped"
) -> FloatArray:
    """Mean average precision of the first k items (MAP@K).

    Higher is better, 1 is perfect.

    The submission's cell is a list of items, best first; the solution's is one item or a list of them.
    """
    hits = _hits(truth, predicted, k)
    sums = np.bincount(hits.rows, weights=hits.ranks / (hits.places + 1.0), minlength=len(truth))
    return _ratio(sums, _out_of(hits.n_true, k, denominator))


@metric(
    "mrr",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    finish="mean",
    convention=f"""1 divided by the place of the first true item, and 0 where none is found (TREC). Without
    k the whole list counts. {_EMPTY_TRUTH}""",
)
def mean_reciprocal_rank(truth: Lists, predicted: Lists, *, k: _FirstK = None) -> FloatArray:
    """Mean reciprocal rank of the first true item.

    Higher is better, 1 is perfect.
    """
    hits = _hits(truth, predicted, k)
    leading = hits.ranks == 1
    return np.bincount(
        hits.rows[leading], weights=1.0 / (hits.places[leading] + 1.0), minlength=len(truth)
    ).astype(np.float64, copy=False)


@metric(
    "recall_at_k",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    finish="mean",
    required=("k",),
    attainable=False,
    convention=f"""Averaged over rows, not over items. Divided by the number of true items, so that more
    than k of them put 1 out of reach; denominator: capped divides by k then. With one true item per row
    this is the hit rate. An item named twice counts once. {_EMPTY_TRUTH}""",
)
def recall_at_k(
    truth: Lists, predicted: Lists, *, k: _FirstK = None, denominator: _Denominator = "items"
) -> FloatArray:
    """Share of the true items that are among the first k.

    Higher is better, 1 is perfect.
    """
    hits = _hits(truth, predicted, k)
    return _ratio(hits.per_row, _out_of(hits.n_true, k, denominator))


@metric(
    "precision_at_k",
    version=2,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    finish="mean",
    required=("k",),
    attainable=False,
    convention="""Divided by k, also where the list is shorter or there are fewer true items (TREC's P@k),
    so rows with fewer than k true items put 1 out of reach. An item named twice counts once.""",
)
def precision_at_k(truth: Lists, predicted: Lists, *, k: _FirstK = None) -> FloatArray:
    """Share of the first k items that are true.

    Higher is better, 1 if all of them are.
    """
    hits = _hits(truth, predicted, k)
    return _ratio(hits.per_row, predicted.lengths if k is None else np.full(len(truth), k))


@metric(
    "ndcg_at_k",
    version=3,
    greater_is_better=True,
    bounds=(0.0, 1.0),
    kind="labels",
    cells=LIST,
    truth=lambda parameters: GRADED if parameters.graded else LIST,
    finish="mean",
    convention=f"""Gains are divided by log2(1 + place), and the sum by that of the best order of the true
    items, of which also only k count. Every true item has grade 1; with graded: true the solution writes
    item:grade, as in "b:3 a:0.5 c", in any order. The last colon begins the grade, a finite number of 0 or
    more in any spelling of numbers; an item without a colon has grade 1, and an item that has a colon itself
    needs a grade, as in chr1:100:2. Anything else is refused in the solution. A submission has no grades: its
    items are compared whole, so b:3 there is not b. The gain is the grade (linear: scikit-learn) or 2^grade -
    1 (exponential: Kaggle, LightGBM; only ratios within a row count, so no grade is too large). The
    participant gives an order, so there are no ties to break. An item named twice counts once, in the
    solution with its first grade. A row whose grades are all 0 scores 0. {_EMPTY_TRUTH}""",
)
def ndcg_at_k(
    truth: Lists,
    predicted: Lists,
    *,
    k: _FirstK = None,
    gain: Annotated[
        Literal["linear", "exponential"],
        spelt({"2^rel-1": "exponential", "2^rel - 1": "exponential"}),
        Field(description="What a found item is worth: its grade, or 2^grade - 1 (also 2^rel-1)."),
    ] = "linear",
    graded: Annotated[
        bool,
        Field(
            description="The solution writes its items as item:grade, the grade being a number of 0 or more; "
            "a submission names items only."
        ),
    ] = False,
) -> FloatArray:
    """Normalised discounted cumulative gain of the first k items.

    Higher is better, 1 is perfect.
    """
    hits = _hits(truth, predicted, k)
    gains = np.ones(len(truth.codes))  # of grade 1, in either form
    if graded and truth.grades is not None:
        gains = _gains(truth, truth.grades, gain)
    rows, ideal = truth.rows[hits.distinct], gains[hits.distinct]
    ideal = ideal[np.lexsort((-ideal, rows))]
    places = _numbered(rows, hits.n_true)
    if k is not None:
        ideal[places >= k] = 0.0
    best = np.bincount(rows, weights=ideal / np.log2(places + 2.0), minlength=len(truth))
    discounted = gains[hits.tokens] / np.log2(hits.places + 2.0)
    return _ratio(np.bincount(hits.rows, weights=discounted, minlength=len(truth)), best)


def _gains(truth: Lists, grades: FloatArray, gain: str) -> FloatArray:
    """Return the gain of each true token, scaled by a power of two per row.

    Only ratios within a row count. Without the scale 2^1024 and the sum of grades of 1e308 are infinite; it
    changes no digit of the ratio.
    """
    rows = truth.rows
    largest = np.zeros(len(truth))
    np.maximum.at(largest, rows, grades)
    if gain == "exponential":
        shift = np.where(largest >= _LARGE_GRADE, np.floor(largest), 0.0)[rows]
        # Near 0 the difference would lose the digits of 2^grade.
        gains = np.where(
            grades < 0.5, np.expm1(grades * np.log(2.0)), np.exp2(grades - shift) - np.exp2(-shift)
        )
        small = (grades < 0.5) & (shift > 0.0)
        gains[small] = 0.0  # beside 2^1000 there is no digit of it left
        largest = np.zeros(len(truth))
        np.maximum.at(largest, rows, gains)
    else:
        gains = grades
    _, exponents = np.frexp(largest)
    return np.asarray(np.ldexp(gains, -exponents[rows]), dtype=np.float64)


_LARGE_GRADE = 1000.0
"""Below it 2^grade is a number, and so is the sum of any row."""


def _order_faults(predicted: Lists, _: Any, *, truth: Lists, **__: Any) -> list[RowFault]:
    """Report rows that do not order exactly their items.

    Which items a row has is no secret, only their order is.
    """
    faults = []
    n_true, n_predicted = truth.lengths, predicted.lengths
    same_length = np.flatnonzero((n_true == n_predicted) & (n_true > 0))
    mine, theirs = predicted.take(same_length), truth.take(same_length)
    differs = mine.codes[_by_item(mine)] != theirs.codes[_by_item(theirs)]
    for row in same_length[np.unique(mine.rows[differs])]:
        words = "the list names an item twice, or one that does not belong to this row"
        faults.append(RowFault("NOT_AN_ORDERING", int(row), words))
    for row in np.flatnonzero((n_true != n_predicted) & (n_true > 0)):
        words = f"the list has {n_predicted[row]} items, and this row has {n_true[row]} to be put in order"
        faults.append(RowFault("NOT_AN_ORDERING", int(row), words))
    return faults


def _by_item(lists: Lists) -> IntArray:
    """Return positions of all tokens, by row and then by code."""
    width = 1 + int(lists.codes.max(initial=0))
    # Rows already rise, which a stable sort makes use of.
    return np.argsort(lists.rows * width + lists.codes, kind="stable")


def _repeated_items(truth: Lists, _: Any) -> str | None:
    order = _by_item(truth)
    codes, rows = truth.codes[order], truth.rows[order]
    if np.any((codes[1:] == codes[:-1]) & (rows[1:] == rows[:-1])):
        return "a true list names an item twice, so it is no order"
    return None


def _tau(sums: FloatArray, _: float, __: Any) -> float:
    return 1.0 - 4.0 * float(sums[0]) / float(sums[1]) if sums[1] > 0.0 else 1.0


@metric(
    "kendall_tau",
    version=2,
    greater_is_better=True,
    bounds=(-1.0, 1.0),
    kind="labels",
    cells=LIST,
    finish=_tau,
    row_faults=_order_faults,
    undefined=_repeated_items,
    convention="""1 - 4 * swaps / pairs over all rows together, where swaps are the exchanges of neighbours
    that restore the true order and pairs are n * (n - 1) (Kaggle's AI4Code); so long lists weigh more than
    short ones. A list must hold exactly the items of its row. If no row has two items the score is 1. Rows
    whose true list is empty count for nothing. For two columns of numbers see kendall.""",
)
def kendall_tau(truth: Lists, predicted: Lists) -> FloatArray:
    """Kendall's tau of orderings.

    Higher is better, 1 is the true order and -1 its reverse.
    """
    n_items = truth.lengths
    swaps = np.zeros(len(truth))
    rows = np.flatnonzero(n_items)
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[at : at + _ROWS_AT_ONCE]
        wanted, received = truth.take(some), predicted.take(some)
        true_places = np.empty(len(received.codes), dtype=np.int64)
        true_places[_by_item(received)] = wanted.places[_by_item(wanted)]
        swaps[some] = _inversions(true_places, received)
    return np.column_stack((swaps, n_items * (n_items - 1.0)))


def _inversions(values: IntArray, lists: Lists) -> FloatArray:
    """Return how many pairs of each row stand in falling order.

    A row of n holds each of 0 .. n - 1 once. Rows are sorted bit by bit from the highest, as in quicksort: a
    value whose bit is 0 passes every value of its group that stands before it and has a 1. As nothing is
    missing, a group's place follows from its values.
    """
    rows = lists.rows
    begins = lists.offsets[:-1][rows]
    group = begins
    positions = np.arange(len(values))
    counts = np.zeros(len(lists))
    for bit in reversed(range(int(values.max(initial=0)).bit_length())):
        is_one = (values >> bit) & 1
        ones = np.cumsum(is_one) - is_one
        ones_before = ones - ones[group]
        passed = np.where(is_one == 1, 0, ones_before)
        counts += np.bincount(rows, weights=passed, minlength=len(lists))
        new_group = begins + ((values >> bit) << bit)
        moved = new_group + np.where(is_one == 1, ones_before, positions - group - ones_before)
        sorted_values, sorted_group = np.empty_like(values), np.empty_like(group)
        sorted_values[moved], sorted_group[moved] = values, new_group
        values, group = sorted_values, sorted_group
    return counts
