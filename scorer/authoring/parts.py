"""Make a challenge from given parts: data files that were divided elsewhere, with a solution."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scorer.authoring.columns import target_of
from scorer.authoring.metric_choice import propose_metric
from scorer.authoring.table import Table, Unusable, read_table
from scorer.authoring.writing import write_csv
from scorer.challenges.definition import DEFINITION_FILE
from scorer.metrics import METRICS
from scorer.wording import show, some

USAGE = "Usage"


@dataclass(frozen=True, slots=True)
class Parts:
    """The files by what they are; of train, test and sample each may be missing."""

    solution: Path
    train: Path | None = None
    test: Path | None = None
    sample: Path | None = None
    metric: Path | None = None
    """An own metric in Python."""
    data: Sequence[Path] = ()
    """Other files for download."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the solution is read: its id and what is predicted."""

    id: str
    columns: tuple[str, ...]
    rows: Mapping[str, int]
    """By usage, lower case."""


def form_of(parts: Parts, *, id: str | None, columns: Sequence[str] | None) -> Form:  # noqa: A002  the choice's name
    """Return the form of a solution; raises Unusable, without any of its cells.

    What is not chosen is taken from the sample submission, else from the solution: the first column is the
    id, the others are predicted.
    """
    solution = read_table(parts.solution)
    names = list(solution.frame.names)
    if USAGE not in names:
        raise Unusable(
            f"The solution has no column {USAGE}, which says of each row Public, Private or Ignored; it has "
            f"{some(names)}."
        )
    shape = [name for name in names if name != USAGE]
    if parts.sample is not None:
        shape = list(read_table(parts.sample).frame.names)
    if not shape:
        raise Unusable(f"The solution has no column beside {USAGE}: it needs an id and what is predicted.")
    id_column = id or shape[0]
    predicted = tuple(columns or [name for name in shape if name != id_column])
    missing = [
        name for name in (id_column, *(predicted if parts.sample is None else ())) if name not in names
    ]
    if missing:
        raise Unusable(f"The solution has no column {some(missing)}; it has {some(names)}.")
    if not predicted:
        raise Unusable("There is no column to predict beside the id.")
    usage = Counter(str(text).strip().lower() for text in solution.frame.texts(USAGE).to_pylist())
    rows = {name: usage.get(name, 0) for name in ("public", "private", "ignored")}
    return Form(id_column, predicted, rows)


def write_parts(
    parts: Parts,
    form: Form,
    folder: Path,
    *,
    metric: str | None,
    parameters: Mapping[str, Any],
    title: str,
    summary: str | None,
    description: str | None,
) -> None:
    """Write the folder of the challenge; raises Unusable where a part is missing."""
    if parts.metric is not None:
        named: Any = {"file": "metric.py", **parameters}
        _put(parts.metric, folder / "private/metric.py")
    elif (metric := metric or proposed_metric(parts, form)) not in METRICS:
        raise Unusable(f"There is no metric {show(metric)}; `docs/reference/metrics.md` lists all.")
    else:
        named = {"name": metric, **parameters} if parameters else metric
    if parts.sample is None:
        raise Unusable("Upload a sample submission: the header and one row for each row of the test.")
    _table(parts.solution, folder / "private/solution.csv")
    given = {"train": parts.train, "test": parts.test, "sample_submission": parts.sample}
    for name, path in given.items():
        if path is not None:
            _table(path, folder / f"public/{name}.csv")
    for path in parts.data:
        if (folder / "public" / path.name).exists():
            raise Unusable(f"Two files have the name {show(path.name)}; rename one.")
        _put(path, folder / "public" / path.name)
    definition = {
        "format": 1,
        "title": title,
        **({"summary": summary} if summary else {}),
        "metric": named,
        "submission": {"id": form.id, "columns": list(form.columns)},
    }
    _put_text(folder / DEFINITION_FILE, yaml.safe_dump(definition, sort_keys=False, allow_unicode=True))
    if description:
        _put_text(folder / "description.md", description)


def proposed_metric(parts: Parts, form: Form) -> str:
    """Return the metric that fits the one column of a solution; raises Unusable for several."""
    if len(form.columns) != 1:
        raise Unusable("Choose the metric: several columns are predicted.")
    target = target_of(read_table(parts.solution).frame, form.columns[0])
    # Probabilities need classes written 0 and 1; other words are predicted as they are.
    is_flag = target.kind == "binary" and set(target.classes) == {"0", "1"}
    return propose_metric(target, None if is_flag or target.kind == "number" else "labels").metric


def _table(path: Path, target: Path) -> None:
    """Put a table as CSV: one that is CSV byte for byte."""
    if path.suffix.lower() == ".csv":
        _put(path, target)
        return
    table: Table = read_table(path)
    write_csv(target, {name: table.frame.texts(name) for name in table.frame.names})


def _put(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _put_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
