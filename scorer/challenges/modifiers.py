"""Modifiers of a metric in challenge.yaml: columns, groups, weights, list cells, transforms, truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from scorer.metrics.registry import Metric, Parameters
from scorer.reading.cells import NUMERIC_KINDS, canonical_label

LOG_FLOOR = 1e-9
"""Lower bound of a score before the logarithm, as Kaggle's champs-scalar-coupling has for a perfect file."""


TRANSFORMS: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "1-x": lambda x: 1.0 - x,
        "2x-1": lambda x: 2.0 * x - 1.0,
        "log": lambda x: math.log(max(x, LOG_FLOOR)),
        "sqrt": lambda x: math.sqrt(x) if x >= 0.0 else math.nan,
    }
)


def _text_keys(value: object) -> object:
    return {str(key): number for key, number in value.items()} if isinstance(value, dict) else value


_Numbers = Annotated[
    dict[
        Annotated[str, AfterValidator(canonical_label), Field(min_length=1)],
        Annotated[float, Field(allow_inf_nan=False)],
    ],
    BeforeValidator(_text_keys),
    Field(min_length=1),
]
_Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class Modifiers(Parameters):
    """Keys allowed beside the parameters of any metric."""

    columns: Annotated[
        Literal["mean", "weighted", "pooled"],
        Field(
            description="Several columns: mean of their scores, weighted mean, or all cells as one column."
        ),
    ] = "mean"
    column_weights: Annotated[
        list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None,
        Field(
            description="With columns: weighted, one weight per column in the order of targets, "
            "or of submission.columns."
        ),
    ] = None
    group_by: Annotated[
        str | None,
        Field(min_length=1, description="A column of the solution: score each of its groups, then average."),
    ] = None
    group_aggregate: Annotated[
        Literal["mean", "mean_minus_std"],
        Field(
            description="Of the groups' scores: their mean, or it minus their standard deviation "
            "(Kaggle's stratified C-index)."
        ),
    ] = "mean"
    weight: Annotated[
        str | None,
        Field(min_length=1, description="A column of the solution: how much each row counts, 0 or more."),
    ] = None
    split: Annotated[
        str | None,
        Field(min_length=1, max_length=5, description="Cells are lists of labels separated by this text."),
    ] = None
    take: Annotated[
        Literal["first"] | None, Field(description="With split: only the first label counts.")
    ] = None
    transform: Annotated[
        Literal["1-x", "2x-1", "log", "sqrt"] | None,
        Field(description="Applied to the score of each group and column."),
    ] = None
    floor: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="Lower bound of a score, before it is transformed."),
    ] = None
    truth: Annotated[
        str | _Names | None,
        Field(description="The solution's columns with the truth, where not named like the submission's."),
    ] = None
    truth_values: Annotated[
        _Numbers | None,
        Field(
            description="The numbers that words of the truth stand for, such as {yes: 1, no: 0}. Every true "
            "value is then one of the words; predictions are numbers."
        ),
    ] = None
    truth_missing: Annotated[
        Literal["refuse", "skip"],
        Field(
            description="Empty or NA cells of the truth in scored rows: refuse the solution, or leave each "
            "such cell out of its column's score. Every cell must be predicted all the same."
        ),
    ] = "refuse"
    undefined: Annotated[
        Literal["refuse", "skip"],
        Field(
            description="A column or group for which the metric has no value, such as an AUC of one class: "
            "refuse the solution, or average over the others. It depends on the truth alone, not on a file."
        ),
    ] = "refuse"
    targets: Annotated[
        _Names | None, Field(description="Which of the submission's columns are scored; default: all.")
    ] = None


def modifier_faults(metric: Metric, modifiers: Modifiers) -> list[tuple[str | None, str]]:
    faults: list[tuple[str | None, str]] = []
    if modifiers.weight is not None and not metric.takes_weights:
        faults.append(("weight", f"{metric.name} takes no weights"))
    if modifiers.take is not None and modifiers.split is None:
        faults.append(("take", "take: first needs split"))
    if modifiers.group_aggregate != "mean" and modifiers.group_by is None:
        faults.append(("group_aggregate", "group_aggregate needs group_by"))
    highest = metric.bounds[1]
    if modifiers.floor is not None and modifiers.floor >= highest:
        faults.append(
            ("floor", f"a floor of {modifiers.floor:g} leaves nothing of a score up to {highest:g}")
        )
    if modifiers.group_aggregate == "mean_minus_std" and (
        metric.greater_is_better == (modifiers.transform == "1-x")
    ):
        words = "mean_minus_std would reward uneven groups where lower is better"
        faults.append(("group_aggregate", words))
    if modifiers.column_weights is not None and modifiers.columns != "weighted":
        faults.append(("column_weights", "column_weights needs columns: weighted"))
    low = metric.bounds[0] if modifiers.floor is None else modifiers.floor
    if modifiers.transform in ("log", "sqrt") and low < 0.0:
        words = f"transform: {modifiers.transform} needs a floor of 0 or more, as scores may be negative"
        faults.append(("transform", words))
    return faults


def truth_faults(metric: Metric, parameters: BaseModel, modifiers: Modifiers) -> list[tuple[str | None, str]]:
    """Return what is wrong with the modifiers of the truth's cells."""
    faults: list[tuple[str | None, str]] = []
    cells = metric.truth_cells(parameters)
    if modifiers.truth_missing == "skip" and cells.kind not in (*NUMERIC_KINDS, "label"):
        words = f"an empty cell is an answer of {metric.name}, {cells.words}; mark such rows Ignored"
        faults.append(("truth_missing", words))
    if modifiers.truth_values is None:
        return faults
    if cells.kind not in NUMERIC_KINDS:
        words = f"{metric.name} compares {cells.words} and no numbers, so truth_values means nothing"
        return [*faults, ("truth_values", words)]
    faults.extend(
        ("truth_values", f"{word}: {number:g} is not {cells.words}")
        for word, number in modifiers.truth_values.items()
        if not cells.low <= number <= cells.high or (cells.kind != "number" and number != math.floor(number))
    )
    return faults
