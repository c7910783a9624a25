"""Define what a metric is, and the decorator that registers one.

A metric's direction, range and conventions are declared, its parameters are typed, and its version is stored
with every score. The function below the decorator sees aligned arrays only: files are read, columns matched
and nonsense refused before it, and weights, groups, several columns and transforms (`scorer.challenges.task`)
are done around it.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo

from scorer.reading.cells import Cells
from scorer.reading.columns import CodeArray, Column, FloatArray

ANY_NUMBER = Cells("number")
ANY_FINITE = Cells("number", low=-math.inf, high=math.inf)
NOT_NEGATIVE = Cells("number", low=0.0)
PROBABILITY = Cells("number", low=0.0, high=1.0)
FLAG = Cells("flag", low=0.0, high=1.0)
LABEL = Cells("label")
LIST = Cells("list")
GRADED = Cells("list", graded=True)
TEXT = Cells("text")
RLE = Cells("text", grammar="rle")

Layout = Literal["columns", "classes", "matrix"]
Bounds = tuple[float, float]
Kind = Literal["probability", "score", "label", "labels", "number", "ordinal", "text", "mask", "boxes"]

INFINITY = math.inf


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row that is wrong although each cell is fine."""

    code: str
    row: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The classes of a challenge.

    Every label or token that a scored row of the truth has.
    """

    codes: CodeArray
    """Ascending."""
    names: Sequence[str]
    """Of every code there is, also of labels that were only predicted; len(names) bounds all codes."""

    def code(self, name: str) -> int | None:
        """Return the code of a class by its name."""
        return next((int(code) for code in self.codes if self.names[code] == name), None)


@dataclass(frozen=True, slots=True)
class Role:
    """A column of the solution that a metric needs beside the truth."""

    cells: Cells
    help: str
    optional: bool = False


class BadParameters(ValueError):
    """Wrong parameters; `faults` are pairs of (name or None, words)."""

    def __init__(self, faults: Sequence[tuple[str | None, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(words for _, words in faults))


Finish = Callable[[FloatArray, float, Any], float]
"""(sums of the terms, sum of the weights, parameters) -> value."""


def _mean(sums: FloatArray, weight: float, _: Any) -> float:
    return float(sums[0] / weight)


def _root_mean(sums: FloatArray, weight: float, _: Any) -> float:
    return math.sqrt(sums[0] / weight)


def _total(sums: FloatArray, _: float, __: Any) -> float:
    return float(sums[0])


FINISHES: Mapping[str, Finish] = MappingProxyType({"mean": _mean, "root_mean": _root_mean, "sum": _total})


@dataclass(frozen=True, slots=True)
class Metric:
    """One registered metric, found as `METRICS[name]`."""

    name: str
    title: str
    version: int
    """Rises whenever any file could get another number than before."""
    greater_is_better: bool
    bounds: Bounds
    """With the parameters left at their defaults."""
    bounds_for: Callable[[Any], Bounds]
    """With these parameters."""
    kind: Kind
    """What is predicted."""
    convention: str
    """What happens where published definitions differ, with the source of the convention."""
    function: Callable[..., Any]
    parameters: type[BaseModel]
    required: tuple[str, ...]
    """Parameters a challenge must state although the function has a default."""
    layout: Callable[[Any], Layout]
    predicted_cells: Callable[[Any], Cells]
    truth_cells: Callable[[Any], Cells]
    n_truth: int | None
    """How many truth columns there are, where not one for each predicted column."""
    predicted_roles: tuple[str, ...]
    """What the predicted columns are, in the order in which the function takes them."""
    truth_roles: Mapping[str, Role]
    """The truth columns by name, where they are not those of the submission."""
    side_roles: Mapping[str, Role]
    """Columns of the solution that are given to the function by keyword."""
    finish: Finish | None
    """Of decomposable metrics: makes the value of the summed terms."""
    check: Callable[[Any, int], str | None] | None
    """What is wrong with the parameters together, given the number of predicted columns."""
    row_faults: Callable[..., list[RowFault]] | None
    undefined: Callable[..., str | None] | None
    """Why the metric has no value for this truth, or None if it has."""
    needs_every_class: bool
    """Whether a class without rows in a split makes that split's score meaningless."""
    lists: bool
    """Whether `split` may turn its labels or texts into lists."""
    attainable: bool
    """Whether the truth itself, sent in, scores `best`."""
    faults_need_truth: bool
    """Whether `row_faults` takes the truth."""
    compares_names: bool
    """Whether predicted labels are compared with true ones by name; clusters may have any."""
    _asks: frozenset[str] = field(repr=False)

    @property
    def decomposable(self) -> bool:
        """Return whether the value is made of sums over rows.

        Then a file can be scored in pieces.
        """
        return self.finish is not None

    def why_undefined(self, truth: Any, parameters: BaseModel, classes: Classes) -> str | None:
        """Return why this truth has no value, whatever is predicted, or None."""
        if self.undefined is None:
            return None
        if "classes" in inspect.signature(self.undefined).parameters:
            return self.undefined(truth, parameters, classes=classes)
        return self.undefined(truth, parameters)

    @property
    def takes_weights(self) -> bool:
        return self.decomposable or "weights" in self._asks

    @property
    def best(self) -> float:
        return self.bounds[1] if self.greater_is_better else self.bounds[0]

    @property
    def worst(self) -> float:
        return self.bounds[0] if self.greater_is_better else self.bounds[1]

    @property
    def help(self) -> str:
        """Return the docstring's first two paragraphs: what is measured, and the direction."""
        paragraphs = (inspect.getdoc(self.function) or "").split("\n\n")
        return " ".join(" ".join(paragraphs[:2]).split())

    def read_parameters(self, given: Mapping[str, Any]) -> BaseModel:
        """Return the typed parameters.

        Raises BadParameters with everything that is wrong with them.
        """
        try:
            return self.parameters.model_validate(dict(given))
        except ValidationError as error:
            raise BadParameters(parameter_faults(error, self.name, self.parameters)) from None

    def call(
        self,
        truth: Any,
        predicted: Any,
        parameters: BaseModel,
        *,
        weights: FloatArray | None,
        classes: Classes,
        sides: Mapping[str, Column | None],
    ) -> Any:
        """Call the function: a float, or the terms of a decomposable metric.

        Terms have shape (n_rows,) or (n_rows, m). `weights` is None where every row counts the same; the
        caller that sums terms weighs them.
        """
        options = {
            name: getattr(parameters, name) for name in self._asks & set(type(parameters).model_fields)
        }
        if "weights" in self._asks:
            options["weights"] = weights
        if "classes" in self._asks:
            options["classes"] = classes
        options.update({name: column for name, column in sides.items() if name in self._asks})
        with np.errstate(all="ignore"):
            return self.function(truth, predicted, **options)


def parameter_faults(
    error: ValidationError, owner: str, model: type[BaseModel]
) -> list[tuple[str | None, str]]:
    faults: dict[str | None, str] = {}
    for detail in error.errors(include_url=False):
        name = str(detail["loc"][0]) if detail["loc"] else None
        if detail["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields) or "none"
            meant = next((key for key, field in model.model_fields.items() if name in _aliases(field)), None)
            words = (
                f"{owner} has no parameter {name!r}; it has: {known}"
                if meant is None
                else f"{name} is another word for {meant}; state one of them"
            )
        elif detail["type"] == "value_error":
            words = f"{name}: {detail['ctx']['error']}" if name else str(detail["ctx"]["error"])
        else:
            words = f"{name}: {detail['msg'][:1].lower()}{detail['msg'][1:]}, got {detail['input']!r}"
        faults.setdefault(name, words)  # a union reports a wrong value once per member
    return list(faults.items())


def _aliases(field: FieldInfo) -> Sequence[object]:
    choices = field.validation_alias
    return choices.choices if isinstance(choices, AliasChoices) else ()


class Parameters(BaseModel):
    # Strict, because `beta: "2"` in a challenge is a mistake that must be reported.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
"""Takes 12.0 for 12, as JSON, numpy and pandas may write it; put after the Field of a whole number."""


def spelt(meant: Mapping[str | bool | None, str]) -> BeforeValidator:
    """Accept synonyms of the given words.

    Challenges that mean the same then have one digest.
    """
    return BeforeValidator(
        lambda value: meant.get(value, value) if isinstance(value, str | bool | None) else value
    )


METRICS: dict[str, Metric] = {}

ColumnName = Annotated[str, Field(min_length=1)]
LabelText = Annotated[
    str, BeforeValidator(lambda label: str(label) if isinstance(label, bool | int | float) else label)
]
"""A label as YAML may hold it: 1 and true are labels as well as words."""


def metric(
    name: str,
    *,
    version: int,
    greater_is_better: bool,
    bounds: Bounds | Callable[[Any], Bounds],
    kind: Kind,
    convention: str,
    cells: Cells | Callable[[Any], Cells],
    truth: Cells | Callable[[Any], Cells] | None = None,
    layout: Layout | Callable[[Any], Layout] = "columns",
    finish: Literal["mean", "root_mean", "sum"] | Finish | None = None,
    n_truth: int | None = None,
    predicted_roles: tuple[str, ...] = (),
    truth_roles: Mapping[str, Role] | None = None,
    side_roles: Mapping[str, Role] | None = None,
    required: tuple[str, ...] = (),
    check: Callable[[Any, int], str | None] | None = None,
    row_faults: Callable[..., list[RowFault]] | None = None,
    undefined: Callable[..., str | None] | None = None,
    needs_every_class: bool = False,
    lists: bool = False,
    attainable: bool = True,
    compares_names: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the function below as a metric.

    The function takes truth and predicted (positional), then its own parameters, keyword-only,
    annotated, with defaults; `Annotated[..., Field(...)]` adds bounds and help. The first line of
    its docstring is the metric's title. Truth and predicted are aligned and hold what `truth` and
    `cells` promise. By layout they are

    columns
        one column each, called once per column: float array, Labels, Lists or array of str.
    classes
        one predicted column per class: truth is an integer array of shape (n_rows,), the number of
        the true class's column, and predicted a float array of shape (n_rows, n_columns). With a
        single column: as "columns", truth being 0 or 1.
    matrix
        float arrays of shapes (n_rows, n_truth_columns) and (n_rows, n_columns).

    It may further take, keyword-only and without default,

    weights
        float array or None: how much each row counts; a weight of 2 must equal a repeated row.
    classes
        Classes, for labels and lists.
    the names in `side_roles`
        columns of the solution; None if optional and absent.

    With `finish` the metric is decomposable: the function returns terms, one number per row (or
    m numbers, shape (n_rows, m)), which are multiplied by the weights, summed exactly and turned
    into the value, so that neither the order nor the division into pieces can matter.

    Further arguments: `truth_roles` and `side_roles` name columns of the solution, and each gets a parameter
    of its name to say what the column is called; `predicted_roles` likewise for the submission.
    `check(parameters, n_columns)` and `undefined(truth, parameters)`, with classes= if they take it,
    return words or None. `row_faults(predicted, parameters, **sides)`, with truth= if it takes it, returns
    faults of whole rows, which must depend on nothing that is secret. Nothing may be nan for an acceptable
    file: say what 0/0 is. `lists=True`: where the challenge states `split`, the function gets Lists instead
    of Labels or texts. `attainable=False`: the truth itself cannot score `best`. `compares_names=False`:
    predicted labels may have any names.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = get_type_hints(function, include_extras=True)
        asks = {
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }
        sides, truths = dict(side_roles or {}), dict(truth_roles or {})
        given = {"weights", "classes", *sides}
        fields: dict[str, Any] = {key: (hints[key], asks[key]) for key in asks if key not in given}
        for role, what in (truths | sides).items():
            words = f"The solution's column with {what.help}." + (" May be absent." if what.optional else "")
            fields[role] = (Annotated[ColumnName, Field(description=words)], role)
        for position, role in enumerate(predicted_roles):
            words = (
                f"The submission's column with the {role}; "
                f"default: the one of that name, else column {position + 1}."
            )
            fields[role] = (Annotated[ColumnName | None, Field(description=words)], None)
        parameters = create_model(f"{name}_parameters", __base__=Parameters, **fields)
        bounds_for = _always(bounds)
        METRICS[name] = Metric(
            name=name,
            title=re.split(r"[;:.\n]", inspect.getdoc(function) or name)[0],
            version=version,
            greater_is_better=greater_is_better,
            bounds=bounds_for(parameters()),
            bounds_for=bounds_for,
            kind=kind,
            convention=" ".join(convention.split()),
            function=function,
            parameters=parameters,
            required=required,
            layout=_always(layout),
            predicted_cells=_always(cells),
            truth_cells=_always(cells if truth is None else truth),
            n_truth=len(truths) if truths else n_truth,
            predicted_roles=predicted_roles,
            truth_roles=MappingProxyType(truths),
            side_roles=MappingProxyType(sides),
            finish=FINISHES[finish] if isinstance(finish, str) else finish,
            check=check,
            row_faults=row_faults,
            undefined=undefined,
            needs_every_class=needs_every_class,
            lists=lists,
            attainable=attainable,
            faults_need_truth=row_faults is not None and "truth" in inspect.signature(row_faults).parameters,
            compares_names=compares_names,
            _asks=frozenset(asks),
        )
        return function

    return register


def _always(value: Any) -> Callable[[Any], Any]:
    return value if callable(value) else lambda _: value


def weighted_mean(values: NDArray[Any], weights: FloatArray | None) -> float:
    return float(np.mean(values) if weights is None else np.sum(values * weights) / np.sum(weights))


def counts(codes: CodeArray, n_codes: int, weights: FloatArray | None) -> FloatArray:
    """Return how many rows have each code, as floats.

    Codes below 0 are left out.
    """
    present = codes >= 0
    weighed = None if weights is None else weights[present]
    return np.asarray(np.bincount(codes[present], weighed, n_codes), dtype=np.float64)
