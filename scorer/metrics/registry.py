"""What a metric is, and the one decorator that makes a function one.

A metric here is a definition of our own: its direction, range and conventions are declared, its
parameters are typed, and its version is stored with every score. The function below the decorator
sees aligned arrays only; reading files, matching columns and refusing nonsense is done before it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from scorer.cells import Cells, Column, FloatArray

ANY_NUMBER = Cells("number")
ANY_FINITE = Cells("number", low=-math.inf, high=math.inf)
NOT_NEGATIVE = Cells("number", low=0.0)
PROBABILITY = Cells("number", low=0.0, high=1.0)
FLAG = Cells("flag", low=0.0, high=1.0)
LABEL = Cells("label")


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row whose cells are each fine and which is wrong as a whole."""

    code: str
    row: int
    message: str


class BadParameters(ValueError):
    """`faults` says of each parameter what is wrong, as (name or None, words)."""

    def __init__(self, faults: Sequence[tuple[str | None, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(words for _, words in faults))


@dataclass(frozen=True, slots=True)
class Metric:
    """One registered metric. `METRICS[name]` is the only way to get one."""

    name: str
    title: str
    version: int
    """Rises whenever any file could get another number than before."""
    greater_is_better: bool
    bounds: tuple[float, float]
    kind: str
    """What is predicted: probability, score, label, number or ordinal."""
    convention: str
    """What happens where published definitions differ, and whose convention that is."""
    function: Callable[..., float]
    parameters: type[BaseModel]
    required: tuple[str, ...]
    """Parameters a challenge must state although the function has a default."""
    layout: Literal["columns", "classes"]
    """columns: each predicted column is compared with the truth of the same name, one at a time.
    classes: one probability column per class, compared as a whole; a single column means binary."""
    max_columns: int | None
    predicted_cells: Callable[[BaseModel], Cells]
    truth_cells: Callable[[BaseModel], Cells]
    row_faults: Callable[[FloatArray, BaseModel], list[RowFault]] | None
    undefined: Callable[[Column, BaseModel], str | None] | None
    """Why the metric has no value for this column of truth, or None if it has."""
    needs_every_class: bool
    """Whether a class without rows in a split makes that split's score meaningless."""

    @property
    def best(self) -> float:
        return self.bounds[1] if self.greater_is_better else self.bounds[0]

    @property
    def worst(self) -> float:
        return self.bounds[0] if self.greater_is_better else self.bounds[1]

    @property
    def help(self) -> str:
        """The docstring's first paragraph."""
        return inspect.getdoc(self.function) or ""

    def read_parameters(self, given: Mapping[str, Any]) -> BaseModel:
        """The typed parameters, or BadParameters with everything that is wrong with them."""
        try:
            return self.parameters.model_validate(dict(given))
        except ValidationError as error:
            faults = []
            for detail in error.errors(include_url=False):
                name = str(detail["loc"][0]) if detail["loc"] else None
                if detail["type"] == "extra_forbidden":
                    known = ", ".join(self.parameters.model_fields) or "none"
                    words = f"{self.name} has no parameter {name!r}; it has: {known}"
                else:
                    words = f"{name}: {detail['msg'][:1].lower()}{detail['msg'][1:]}, got {detail['input']!r}"
                faults.append((name, words))
            raise BadParameters(faults) from None

    def digest(self, parameters: BaseModel) -> str:
        """sha256 of what decides the number: name, version and every parameter that is not the default."""
        identity = [self.name, self.version, parameters.model_dump(mode="json", exclude_defaults=True)]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def compute(
        self,
        truth: Sequence[Column],
        predicted: Sequence[Column],
        parameters: BaseModel,
        classes: Sequence[str] = (),
    ) -> float:
        """The metric over aligned columns; may be non-finite if finite predictions overflow.

        Parameters
        ----------
        truth, predicted : equally many arrays of shape (n_rows,)
            Column by column in the same order, n_rows >= 1.
        classes
            For labels: every class of the challenge, also those without a row here.
        """
        options = {name: getattr(parameters, name) for name in type(parameters).model_fields}
        modifier = options.pop("columns", "mean")
        weights = options.pop("column_weights", None)
        if self.kind == "label":
            options["classes"] = classes
        with np.errstate(all="ignore"):
            if self.layout == "classes":
                value = self.function(np.column_stack(truth), np.column_stack(predicted), **options)
            elif modifier == "pooled":
                value = self.function(np.concatenate(truth), np.concatenate(predicted), **options)
            else:
                each = [self.function(t, p, **options) for t, p in zip(truth, predicted, strict=True)]
                value = each[0] if len(each) == 1 else float(np.average(each, weights=weights))
        return float(value) + 0.0  # never -0.0, which a board would show


class _Parameters(BaseModel):
    # Strict, because `beta: "2"` in a challenge is a slip somebody should hear of.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_COLUMN_MODIFIER: dict[str, Any] = {
    "columns": (
        Annotated[
            Literal["mean", "weighted", "pooled"],
            Field(
                description="Several columns: mean of their scores, weighted mean, or all cells as one column."
            ),
        ],
        "mean",
    ),
    "column_weights": (
        Annotated[
            list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None,
            Field(description="With columns: weighted, one weight per column in the order of the challenge."),
        ],
        None,
    ),
}

METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    version: int,
    greater_is_better: bool,
    bounds: tuple[float, float],
    kind: Literal["probability", "score", "label", "number", "ordinal"],
    convention: str,
    cells: Cells | Callable[[Any], Cells],
    truth: Cells | Callable[[Any], Cells] | None = None,
    layout: Literal["columns", "classes"] = "columns",
    required: tuple[str, ...] = (),
    row_faults: Callable[[FloatArray, Any], list[RowFault]] | None = None,
    undefined: Callable[[Any, Any], str | None] | None = None,
    needs_every_class: bool = False,
) -> Callable[[Callable[..., float]], Callable[..., float]]:
    """Register the function below as a metric.

    The function takes truth and predicted (positional), then its own parameters, keyword-only,
    annotated, with defaults; `Annotated[..., Field(...)]` adds bounds and help. A label metric also
    takes `classes`. The first line of its docstring is the metric's title. The arrays are aligned
    and hold what `truth` and `cells` promise; layout "classes" gives shape (n_rows, n_columns),
    "columns" gives shape (n_rows,) and is called once per column.
    """

    def register(function: Callable[..., float]) -> Callable[..., float]:
        hints = get_type_hints(function, include_extras=True)
        own: dict[str, Any] = {
            p.name: (hints[p.name], p.default)
            for p in inspect.signature(function).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY and p.name != "classes"
        }
        single = layout == "classes" or kind == "label"
        fields = own if single else own | _COLUMN_MODIFIER
        parameters = create_model(f"{name}_parameters", __base__=_Parameters, **fields)
        predicted_cells = cells if callable(cells) else _always(cells)
        METRICS[name] = Metric(
            name=name,
            title=re.split(r"[;:.\n]", inspect.getdoc(function) or name)[0],
            version=version,
            greater_is_better=greater_is_better,
            bounds=bounds,
            kind=kind,
            convention=" ".join(convention.split()),
            function=function,
            parameters=parameters,
            required=required,
            layout=layout,
            max_columns=1 if kind == "label" else None,
            predicted_cells=predicted_cells,
            truth_cells=predicted_cells if truth is None else truth if callable(truth) else _always(truth),
            row_faults=row_faults,
            undefined=undefined,
            needs_every_class=needs_every_class,
        )
        return function

    return register


def _always(cells: Cells) -> Callable[[Any], Cells]:
    return lambda _: cells


def column_faults(parameters: BaseModel, n_columns: int) -> str | None:
    """What is wrong with the columns modifier for so many columns, in words."""
    modifier, weights = getattr(parameters, "columns", "mean"), getattr(parameters, "column_weights", None)
    if modifier != "weighted":
        return "column_weights needs columns: weighted" if weights is not None else None
    if weights is None or len(weights) != n_columns or not math.fsum(weights) > 0:
        return f"columns: weighted needs column_weights with {n_columns} numbers that are not all 0"
    return None
