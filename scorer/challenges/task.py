"""What is predicted and how it is scored: metrics with modifiers.

A challenge's `metric:` is read into a Task of one Part, or of several with coefficients (`combine`),
or into an organiser's own function. Modifiers work the same for every metric. In this order a part's
value is computed per group and column, raised to the floor, transformed, combined over the columns, then over
the groups.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError

from scorer.challenges.modifiers import TRANSFORMS, Modifiers, modifier_faults, truth_faults
from scorer.custom import CustomMetric
from scorer.metrics import METRICS
from scorer.metrics.registry import BadParameters, Layout, Metric, parameter_faults
from scorer.reading.cells import NUMERIC_KINDS, Cells

_UNEVEN = (math.sqrt(2.0) - 1.0) / 2.0
"""How far a mean minus the standard deviation may be below values between 0 and 1."""


@dataclass(frozen=True, slots=True)
class Part:
    """One metric with parameters and modifiers, on some columns."""

    metric: Metric
    parameters: BaseModel
    modifiers: Modifiers
    columns: tuple[str, ...]
    """Predicted columns, in the order of the metric's arguments."""
    coefficient: float = 1.0

    @property
    def layout(self) -> Layout:
        layout = self.metric.layout(self.parameters)
        return "columns" if layout == "classes" and len(self.columns) == 1 else layout

    @property
    def columns_are_classes(self) -> bool:
        """Whether the solution may name each row's class in one column."""
        return self.layout == "classes" or one_against_rest(self.metric, self.parameters, len(self.columns))

    @property
    def leaves_out(self) -> bool:
        """Whether cells, columns or groups may be left out of the score."""
        return self.modifiers.truth_missing == "skip" or self.modifiers.undefined == "skip"

    @property
    def greater_is_better(self) -> bool:
        return self.metric.greater_is_better != (self.modifiers.transform == "1-x")

    @property
    def bounds(self) -> tuple[float, float]:
        ends = [self.transformed(bound) for bound in self.metric.bounds_for(self.parameters)]
        low, high = min(ends), max(ends)
        if self.modifiers.group_aggregate == "mean_minus_std":
            low -= (high - low) * _UNEVEN
        return (low, high)

    @property
    def streams(self) -> bool:
        """Whether rows can be scored in pieces."""
        return (
            self.metric.decomposable
            and self.modifiers.group_by is None
            and self.modifiers.undefined == "refuse"
        )

    @property
    def predicted_cells(self) -> Cells:
        return self._listed(self.metric.predicted_cells(self.parameters))

    @property
    def truth_cells(self) -> Cells:
        cells = self.metric.truth_cells(self.parameters)
        # With a predicted list and a single true label, the label is no list.
        alike = cells.kind == self.metric.predicted_cells(self.parameters).kind
        return self._listed(cells) if alike else cells

    def _listed(self, cells: Cells) -> Cells:
        split, take = self.modifiers.split, self.modifiers.take
        if split is None or cells.kind in NUMERIC_KINDS or cells.grammar:
            return cells
        return (
            Cells("label", split=split, take=take)
            if take
            else Cells("list", split=split, graded=cells.graded)
        )

    def transformed(self, value: float) -> float:
        low, high = self.metric.bounds_for(self.parameters)
        inside = min(max(value, low), high)
        if abs(inside - value) <= 1e-9:  # rounding may pass a bound by some digits
            value = inside
        if self.modifiers.floor is not None:
            value = max(value, self.modifiers.floor)
        return TRANSFORMS[self.modifiers.transform](value) if self.modifiers.transform else value

    def over_columns(self, values: Sequence[float | None]) -> float | None:
        """Combine the columns' values; None for what is left out."""
        weights = self.modifiers.column_weights or [1.0] * len(values)
        kept = [(w, self.transformed(v)) for w, v in zip(weights, values, strict=True) if v is not None]
        if len(kept) == 1 == len(values):
            return kept[0][1]
        if self.modifiers.column_weights is None:
            return math.fsum(v for _, v in kept) / len(kept) if kept else None
        total = math.fsum(w for w, _ in kept)
        return math.fsum(w * v for w, v in kept) / total if total > 0.0 else None

    def over_groups(self, groups: Sequence[float | None]) -> float:
        """Combine the groups' values; nan if all are left out."""
        values = [value for value in groups if value is not None]
        if not values:
            return math.nan
        mean = math.fsum(values) / len(values)
        if self.modifiers.group_aggregate == "mean":
            return mean
        return mean - float(np.std(values))

    def describe(self) -> dict[str, Any]:
        """Return the parameters and modifiers as in challenge.yaml."""
        stated = self.modifiers.model_dump(mode="json", exclude_defaults=True)
        return self.parameters.model_dump(mode="json", exclude_none=True) | stated

    def identity(self) -> list[Any]:
        """Return what determines the score: name, version, non-default settings."""
        own = self.parameters.model_dump(mode="json", exclude_defaults=True)
        modifiers = self.modifiers.model_dump(mode="json", exclude_defaults=True)
        identity = [self.metric.name, self.metric.version, own | modifiers]
        return identity if self.coefficient == 1.0 else [*identity, self.coefficient]


@dataclass(frozen=True, slots=True)
class Task:
    """The columns of a submission and how they are scored."""

    columns: tuple[str, ...]
    """The prediction columns a submission must have beside the id."""
    parts: tuple[Part, ...] = ()
    custom: CustomMetric | None = None
    """An organiser's own metric; then there are no parts."""
    stated_direction: bool | None = None
    """greater_is_better where the challenge states it."""
    ignore_unknown_ids: bool = False
    """Whether rows with unknown ids are left out instead of refused."""
    parquet: bool = False
    """Whether a submission may also be a Parquet file."""
    complete: bool = False
    """Whether an own metric matches rows itself, so that ids are not checked."""
    numeric: frozenset[str] = frozenset()
    """Of an own metric: columns that hold numbers in the solution and must in a submission."""
    flags: frozenset[str] = frozenset()
    """Of an own metric: columns that hold true and false in the solution and must in a submission."""
    either: frozenset[str] = frozenset()
    """Of an own metric: columns whose answers are all numbers or all words, whichever a file has."""
    codes: frozenset[str] = frozenset()
    """Of `numeric`: columns of codes such as 01234, which are labels and compared as texts."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Of an own metric: the grammar of columns whose cells are texts that must not be empty."""
    _cells: Mapping[str, Cells] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        found: dict[str, Cells] = {}
        for part in self.parts:
            for name in part.columns:
                cells = part.predicted_cells
                if name not in found or cells.within(found[name]):
                    found[name] = cells
        found |= {name: Cells("text", grammar="number") for name in self.numeric}
        found |= {name: Cells("label", grammar="number") for name in self.codes}
        found |= {name: Cells("text", grammar="flag") for name in self.flags}
        found |= {name: Cells("text", grammar=grammar) for name, grammar in self.texts.items()}
        default = self.parts[0].predicted_cells if self.parts else Cells("text")
        object.__setattr__(self, "_cells", {name: found.get(name, default) for name in self.columns})

    def cells(self, column: str) -> Cells:
        """Return what a cell of that prediction column must hold."""
        return self._cells[column]

    @property
    def name(self) -> str:
        if self.custom is not None:
            return self.custom.name
        return self.parts[0].metric.name if len(self.parts) == 1 else "combine"

    @property
    def title(self) -> str:
        if self.custom is not None:
            return self.custom.title
        if len(self.parts) == 1:
            return self.parts[0].metric.title
        return "Weighted sum of " + ", ".join(part.metric.name for part in self.parts)

    @property
    def version(self) -> int:
        return 1 if self.custom is not None else max(part.metric.version for part in self.parts)

    @property
    def kind(self) -> str:
        kinds = {part.metric.kind for part in self.parts}
        return kinds.pop() if len(kinds) == 1 else "several"

    @property
    def convention(self) -> str:
        if self.custom is not None:
            return "The organiser's own function; see its description."
        return " ".join(dict.fromkeys(part.metric.convention for part in self.parts))

    @property
    def parameters(self) -> dict[str, Any]:
        if self.custom is not None:
            return dict(self.custom.params)
        if len(self.parts) == 1:
            return self.parts[0].describe()
        return {
            "combine": [
                {"name": part.metric.name, "coefficient": part.coefficient, **part.describe()}
                for part in self.parts
            ]
        }

    @property
    def greater_is_better(self) -> bool:
        if self.stated_direction is not None:
            return self.stated_direction
        return self.parts[0].greater_is_better == (self.parts[0].coefficient > 0)

    @property
    def bounds(self) -> tuple[float, float]:
        if self.custom is not None:
            return (-math.inf, math.inf)
        ends = [sorted(part.coefficient * bound for bound in part.bounds) for part in self.parts]
        return (math.fsum(low for low, _ in ends), math.fsum(high for _, high in ends))

    @property
    def best(self) -> float:
        return self.bounds[1] if self.greater_is_better else self.bounds[0]

    @property
    def worst(self) -> float:
        return self.bounds[0] if self.greater_is_better else self.bounds[1]

    @property
    def truth_is_best(self) -> bool:
        """Whether the truth as a submission must score `best`."""
        return self.custom is None and all(
            part.metric.attainable and part.modifiers.group_aggregate == "mean" for part in self.parts
        )

    @property
    def streams(self) -> bool:
        return bool(self.parts) and all(part.streams for part in self.parts)

    def digest(self) -> str:
        """Return the sha256 of what determines the score.

        Stating a default does not change it.
        """
        if self.custom is not None:
            identity: Any = ["custom", self.custom.sha256, dict(self.custom.params), self.complete]
        else:
            identity = [part.identity() for part in self.parts]
            identity = identity[0] if len(identity) == 1 else identity
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


ALIASES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "cost_matrix": ("expected_cost", {}),
        "gaussian_ll": ("gaussian_log_likelihood", {}),
        "interval": ("interval_score", {}),
        "laplace_ll": ("laplace_log_likelihood", {}),
        "rmse_pooled_columns": ("rmse", {"columns": "pooled"}),
        "stratified_cindex": (
            "c_index",
            {
                "time": "efs_time",
                "event": "efs",
                "group_by": "race_group",
                "group_aggregate": "mean_minus_std",
            },
        ),
        "wrmsse": ("rmsse", {}),
    }
)
"""Other names of metrics, with the settings they imply."""


def find_metric(name: str, given: Mapping[str, Any]) -> tuple[Metric, dict[str, Any]]:
    """Return the metric of that name and its parameters.

    Raises ValueError with the nearest name and all names.
    """
    if name in ALIASES:
        own, implied = ALIASES[name]
        return METRICS[own], {**implied, **given}
    if name in METRICS:
        return METRICS[name], dict(given)
    near = get_close_matches(name, [*METRICS, *ALIASES], n=1)
    hint = f"did you mean {near[0]}? Known are" if near else "known are"
    raise ValueError(f'there is no metric "{name}"; {hint} {", ".join(sorted(METRICS))}')


def one_against_rest(metric: Metric, parameters: BaseModel, n_columns: int) -> bool:
    """Whether each column asks of its own class yes or no, so that a row's class answers all of them."""
    apart = metric.layout(parameters) == "columns" and metric.n_truth is None and n_columns > 1
    return apart and metric.truth_cells(parameters).kind == "flag"


def read_part(
    metric: Metric,
    given: Mapping[str, Any],
    columns: Sequence[str] | None,
    *,
    coefficient: float = 1.0,
    for_challenge: bool = True,
) -> Part:
    """Return a part from the keys beside a metric's name.

    Raises BadParameters with every fault. Without `columns` (the submission's are not known yet) checks that
    need them are left out. With `for_challenge=False`, parameters that a challenge must state, such as the
    range of ratings, may be missing.
    """
    own = {key: value for key, value in given.items() if key not in Modifiers.model_fields}
    faults: list[tuple[str | None, str]] = []
    modifiers, parameters = Modifiers(), None
    try:
        modifiers = Modifiers.model_validate({k: v for k, v in given.items() if k in Modifiers.model_fields})
    except ValidationError as error:
        faults.extend(parameter_faults(error, metric.name, Modifiers))
    try:
        parameters = metric.read_parameters(own)
    except BadParameters as error:
        faults.extend(error.faults)
    if parameters is None or faults:
        raise BadParameters(faults)
    faults.extend(
        (None, f"{metric.name} needs the parameter {name}")
        for name in metric.required
        if for_challenge and getattr(parameters, name) is None
    )
    faults.extend(modifier_faults(metric, modifiers))
    faults.extend(truth_faults(metric, parameters, modifiers))
    scored = tuple(columns or ())
    if columns is not None:
        targets = modifiers.targets or []
        unknown = [name for name in targets if name not in columns]
        twice = sorted({name for name in targets if targets.count(name) > 1})
        if twice:
            faults.append(("targets", f"{', '.join(twice)} is listed twice"))
        elif unknown:
            faults.append(("targets", f"the submission has no column {', '.join(unknown)}"))
        else:
            scored = tuple(modifiers.targets or columns)
            scored, words = _in_order_of_roles(metric, parameters, scored)
            faults.extend(
                (None, fault) for fault in words or _column_faults(metric, parameters, modifiers, scored)
            )
    if faults:
        raise BadParameters(faults)
    return Part(metric, parameters, modifiers, scored, coefficient)


def _in_order_of_roles(
    metric: Metric, parameters: BaseModel, columns: tuple[str, ...]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns in the order of the metric's roles."""
    roles = metric.predicted_roles
    if not roles:
        return columns, []
    if len(columns) != len(roles):
        listed = " and ".join(roles)
        return columns, [
            f"{metric.name} scores {len(roles)} columns ({listed}), the submission has {len(columns)}"
        ]
    named = [getattr(parameters, role) for role in roles]
    if not any(named):
        # A column named like a role, or nearly so (lat, az), has that role at any position.
        claims = [[name for name in columns if name.lower().startswith(role[:2])] for role in roles]
        alike = all(len(claim) == 1 for claim in claims) and len({claim[0] for claim in claims}) == len(roles)
        return (tuple(claim[0] for claim in claims) if alike else columns), []
    ordered = tuple(name or columns[i] for i, name in enumerate(named))
    if sorted(ordered) != sorted(columns):
        return columns, [
            f"{role}: the submission has no column {name}"
            for role, name in zip(roles, named, strict=True)
            if name and name not in columns
        ] or [f"the columns {', '.join(ordered)} are not those of the submission"]
    return ordered, []


def _column_faults(
    metric: Metric, parameters: BaseModel, modifiers: Modifiers, columns: tuple[str, ...]
) -> list[str]:
    faults = []
    if metric.check is not None:
        words = metric.check(parameters, len(columns))
        faults.extend([words] if words else [])
    weights = modifiers.column_weights
    if modifiers.columns == "weighted" and (
        weights is None or len(weights) != len(columns) or not math.fsum(weights) > 0
    ):
        faults.append(
            f"columns: weighted needs column_weights with {len(columns)} numbers that are not all 0"
        )
    apart = metric.layout(parameters) == "columns"
    if modifiers.columns != "mean" and not apart:
        faults.append(
            f"{metric.name} scores all columns together, so columns: {modifiers.columns} means nothing"
        )
    if modifiers.split is not None:
        cells = metric.predicted_cells(parameters)
        listable = cells.kind == "list" or metric.lists
        if modifiers.take and cells.kind == "list":
            faults.append(f"{metric.name} scores lists, so take: first means nothing")
        elif not listable and not (cells.kind in ("label", "text") and modifiers.take):
            faults.append(
                f"{metric.name} does not score lists, so split means nothing; with take: first it would"
            )
    return faults
