"""Mean cost or worth of predicted labels, by a matrix."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from scorer.metrics.registry import INFINITY, LABEL, Classes, LabelText, metric
from scorer.reading.cells import canonical_label
from scorer.reading.columns import FloatArray, Labels

Outcomes = Annotated[
    list[LabelText] | None, Field(min_length=2, description="Every class, in the order of the matrix.")
]
Matrix = Annotated[
    list[list[Annotated[float, Field(ge=-1e9, le=1e9)]]] | None,
    Field(description="One row for each true class, one column for each predicted class."),
]


def _wrong_matrix(parameters: Any, *, costs: bool) -> str | None:
    labels, matrix = parameters.labels, parameters.matrix
    if labels is None or matrix is None:
        return None  # they are required, which is checked elsewhere
    n = len({canonical_label(label) for label in labels})
    if n < len(labels):
        return "labels names a class twice"
    if len(matrix) != n or any(len(row) != n for row in matrix):
        return f"matrix must have {n} rows of {n} numbers, one for each of labels"
    for label, row, right in zip(labels, matrix, (matrix[i][i] for i in range(n)), strict=True):
        if costs and (right != 0.0 or min(row) < 0.0):
            return f"the matrix's row of {label} must be 0 where the answer is right and 0 or more elsewhere"
        if not costs and max(row) > right:
            return f"in the matrix's row of {label} a wrong answer is worth more than the right one"
    return None


def _unknown_outcome(truth: Labels, parameters: Any, classes: Classes | None = None) -> str | None:
    if classes is None:
        return None
    known = {canonical_label(label) for label in parameters.labels}
    unknown = [name for name in (classes.names[code] for code in np.unique(truth.codes)) if name not in known]
    return f'labels does not name the class "{unknown[0]}"' if unknown else None


def _outcomes(
    truth: Labels, predicted: Labels, classes: Classes, labels: list[str] | None, values: FloatArray
) -> FloatArray:
    """Return the value of each row's outcome.

    A last row and column of `values` is for labels that are not among `labels`.
    """
    number = {canonical_label(label): i for i, label in enumerate(labels or ())}
    place = np.array([number.get(name, len(number)) for name in classes.names], dtype=np.intp)
    found: FloatArray = values[place[truth.codes], place[predicted.codes]]
    return found


_UNNAMED = "A predicted label that is not among labels counts as the worst answer to its row."


@metric(
    "expected_cost",
    version=2,
    greater_is_better=False,
    bounds=(0.0, INFINITY),
    kind="label",
    cells=LABEL,
    finish="mean",
    required=("labels", "matrix"),
    check=lambda parameters, _: _wrong_matrix(parameters, costs=True),
    undefined=_unknown_outcome,
    convention=f"""A right answer costs 0: where it does not, take its cost off the matrix's whole row,
    which ranks files the same, or use utility. {_UNNAMED}""",
)
def expected_cost(
    truth: Labels, predicted: Labels, *, classes: Classes, labels: Outcomes = None, matrix: Matrix = None
) -> FloatArray:
    """Mean cost of the predicted classes by a matrix of costs.

    Lower is better, 0 is perfect.
    """
    values = np.array(matrix, dtype=np.float64)
    values = np.column_stack([values, values.max(axis=1)])
    return _outcomes(truth, predicted, classes, labels, np.vstack([values, values.max(axis=0)]))


@metric(
    "utility",
    version=2,
    greater_is_better=True,
    bounds=(-INFINITY, INFINITY),
    kind="label",
    cells=LABEL,
    finish="mean",
    required=("labels", "matrix"),
    check=lambda parameters, _: _wrong_matrix(parameters, costs=False),
    undefined=_unknown_outcome,
    attainable=False,
    convention=f"""The right answer is worth the most in each row of the matrix, but how much that is
    depends on the matrix and on the classes' shares, so there is no fixed best value. {_UNNAMED}""",
)
def mean_utility(
    truth: Labels, predicted: Labels, *, classes: Classes, labels: Outcomes = None, matrix: Matrix = None
) -> FloatArray:
    """Mean worth of the predicted classes by a matrix of values.

    Higher is better.
    """
    values = np.array(matrix, dtype=np.float64)
    values = np.column_stack([values, values.min(axis=1)])
    return _outcomes(truth, predicted, classes, labels, np.vstack([values, values.min(axis=0)]))
