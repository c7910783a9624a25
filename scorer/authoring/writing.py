"""Write a challenge's folder from a table and the choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from scorer.authoring.choices import CHOICES_FILE, Choices
from scorer.authoring.columns import Profile, Target
from scorer.authoring.describing import describe
from scorer.authoring.scripts import scripts
from scorer.authoring.splitting import Rows, Split
from scorer.authoring.table import Table, Unusable
from scorer.challenges.definition import DEFINITION_FILE
from scorer.leakage.frame import Frame
from scorer.metrics import METRICS
from scorer.wording import show

_ROWS_AT_ONCE = 50_000
POSITIVE = (
    "yes",
    "true",
    "positive",
    "pos",
    "ja",
    "oui",
    "si",
    "spam",
    "malignant",
    "survived",
    "fraud",
    "churn",
)
ID = "id"


@dataclass(frozen=True, slots=True)
class Written:
    folder: Path
    n_train: int
    n_public: int
    n_private: int
    left_out: tuple[str, ...]
    """Columns of the table that are in no file."""


def positive_class(target: Target, choices: Choices) -> str | None:
    """Return the class whose probability is predicted; None of several columns."""
    if target.kind != "binary" or choices.predicted != "probabilities":
        return None
    words = [name for name in target.classes if name.casefold() in POSITIVE]
    if len(words) == 1:
        return words[0]
    if _are_flags(target):
        return target.classes[1]
    return target.classes[int(np.argmin(target.counts))]


def _are_flags(target: Target) -> bool:
    return target.classes == ("0", "1")


def write(
    table: Table, profile: Profile, target: Target, split: Split, choices: Choices, folder: Path
) -> Written:
    """Write every file of the challenge."""
    left_out = sorted({*choices.drop, *([choices.id] if choices.id else [])})
    frame = table.frame.without(left_out)
    features = [name for name in frame.names if name != target.name]
    if target.name in (ID, "Usage"):
        raise Unusable(f"The target cannot have the name {target.name}, which the solution needs; rename it.")
    if ID in features:
        raise Unusable(
            f"The column {ID} is a feature, but rows are named by a new column {ID}. Rename it, choose it "
            "as the id "
            f"(--id {ID}), or leave it out (--drop {ID})."
        )
    if not features:
        raise Unusable("No column is left beside the target, so there is nothing to learn from.")
    positive = positive_class(target, choices)
    width = len(str(int(split.numbers.max())))
    ids = pa.array([f"r{number:0{width}d}" for number in split.numbers.tolist()], pa.string())
    train, test = (pa.array(rows) for rows in (split.train, split.test))
    texts = {name: _plain(profile, frame, name) for name in frame.names}
    truth = _truth(target, frame)
    columns = {ID: ids} | {name: texts[name] for name in features}
    write_csv(folder / "public/train.csv", _taken(columns | {target.name: truth}, train))
    write_csv(folder / "public/test.csv", _taken(columns, test))
    usage = pa.array(np.where(split.is_public, "Public", "Private").tolist(), pa.string())
    write_csv(folder / "private/solution.csv", _taken({ID: ids, target.name: truth}, test) | {"Usage": usage})
    predicted = predicted_columns(target, choices, positive)
    sample = sample_cells(target, choices, positive, split.train)
    test_ids = ids.take(test)
    write_csv(
        folder / "public/sample_submission.csv",
        {ID: test_ids} | {name: pa.array([sample[name]] * len(test_ids), pa.string()) for name in predicted},
    )
    baselines = []
    for file, title, text in scripts(profile, target, choices, n_train=len(train), positive=positive):
        _write_text(folder / "baselines" / file, text)
        baselines.append({"name": title, "script": file})
    counts = Written(
        folder, len(train), int(split.is_public.sum()), int((~split.is_public).sum()), tuple(left_out)
    )
    best = METRICS[choices.metric].best
    perfect = {"file": "perfect.csv", "public": best, "private": best}
    perfect_cells = _perfect(target, choices, predicted, positive, split.test)
    write_csv(folder / "examples/perfect.csv", {ID: test_ids} | perfect_cells)
    short = len(test_ids) - 1
    write_csv(
        folder / "examples/missing_row.csv",
        {ID: test_ids.slice(0, short)}
        | {name: cells.slice(0, short) for name, cells in perfect_cells.items()},
    )
    examples: list[dict[str, Any]] = [perfect, {"file": "missing_row.csv", "refused": "missing_ids"}]
    definition = _definition(target, choices, predicted, positive, baselines, examples)
    _write_text(
        folder / DEFINITION_FILE, yaml.safe_dump(definition, sort_keys=False, allow_unicode=True, width=100)
    )
    drafted = describe(
        profile,
        target,
        choices,
        features=features,
        predicted=predicted,
        sample=sample,
        positive=positive,
        n_train=counts.n_train,
        n_public=counts.n_public,
        n_private=counts.n_private,
        first_ids=test_ids.slice(0, 2).to_pylist(),
    )
    _write_text(folder / "description.md", choices.description or drafted)
    _write_text(
        folder / CHOICES_FILE, yaml.safe_dump(choices.document(), sort_keys=False, allow_unicode=True)
    )
    return counts


def predicted_columns(target: Target, choices: Choices, positive: str | None) -> tuple[str, ...]:
    """Return the columns of a submission beside its id."""
    several = choices.predicted == "probabilities" and positive is None
    return target.classes if several else (target.name,)


def sample_cells(target: Target, choices: Choices, positive: str | None, train: Rows) -> dict[str, str]:
    """Return a constant prediction that knows the training rows alone."""
    values = target.values[train]
    if choices.predicted == "numbers":
        middle = float(np.median(values))
        return {target.name: f"{middle:.6g}"}
    counts = np.bincount(values.astype(np.int64), minlength=len(target.classes))
    if choices.predicted == "labels":
        return {target.name: target.classes[int(np.argmax(counts))]}
    if positive is not None:
        return {target.name: "0.5"}
    return {name: f"{1 / len(target.classes):.6g}" for name in target.classes}


def _perfect(
    target: Target, choices: Choices, predicted: Sequence[str], positive: str | None, rows: Rows
) -> dict[str, pa.Array]:
    """Return the truth as the columns of a submission."""
    values = target.values[rows]
    if choices.predicted == "numbers":
        return {target.name: pa.array([repr(value) for value in values.tolist()], pa.string())}
    codes = values.astype(np.int64)
    if choices.predicted == "labels":
        return {target.name: pa.array(list(target.classes), pa.string()).take(pa.array(codes))}
    of_column = {name: target.classes.index(name if positive is None else positive) for name in predicted}
    return {
        name: pa.array((codes == code).astype(np.int64).astype(str).tolist(), pa.string())
        for name, code in of_column.items()
    }


def _plain(profile: Profile, frame: Frame, name: str) -> pa.Array:
    """Return cells that every program reads in one way.

    Dates as ISO 8601, and missing values of numbers and dates empty, whatever they were spelt; other cells as
    they are.
    """
    dates, feature = profile.dates.get(name), frame.feature(name)
    if dates is not None and dates.form != "ISO 8601":
        return pa.array(dates.iso(), pa.string())
    if feature.is_numeric and feature.missing.any():
        return pc.if_else(pa.array(feature.missing), "", frame.texts(name))
    return frame.texts(name)


def _truth(target: Target, frame: Frame) -> pa.Array:
    """Return the target's cells in one spelling of each class."""
    if target.kind == "number":
        return pc.utf8_trim_whitespace(frame.texts(target.name))
    codes = np.where(np.isnan(target.values), 0, target.values).astype(np.int64)
    return pa.array(list(target.classes), pa.string()).take(pa.array(codes))


def _definition(
    target: Target,
    choices: Choices,
    predicted: Sequence[str],
    positive: str | None,
    baselines: Sequence[Mapping[str, str]],
    examples: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    metric: dict[str, Any] = {"name": choices.metric, **choices.metric_parameters}
    also: list[Any] = list(choices.also)
    if positive is not None and not _are_flags(target):
        metric["truth_values"] = {name: int(name == positive) for name in target.classes}
        also = [{"name": name, "truth_values": dict(metric["truth_values"])} for name in also]
    split: dict[str, Any] = {"strategy": choices.strategy}
    if choices.strategy == "grouped":
        split["group"] = choices.group
    if choices.strategy == "sequential":
        split["time"] = choices.time
    split["public_fraction"] = choices.public_share
    return {
        "format": 1,
        "title": choices.title,
        "summary": choices.summary or _summary(target, choices, positive),
        "metric": metric if len(metric) > 1 else choices.metric,
        **({"also": also} if also else {}),
        "submission": {"id": ID, "columns": list(predicted)},
        "split": split,
        "examples": list(examples),
        "baselines": list(baselines),
    }


def _summary(target: Target, choices: Choices, positive: str | None) -> str:
    if positive is not None:
        of = "" if _are_flags(target) else f" is {show(positive)}"
        return f"Predict how likely it is that {show(target.name)}{of or ' is 1'}."
    if choices.predicted == "probabilities":
        return f"Predict the probability of each class of {show(target.name)}."
    return f"Predict {show(target.name)}."


def _taken(columns: Mapping[str, pa.Array], rows: pa.Array) -> dict[str, pa.Array]:
    return {name: column.take(rows) for name, column in columns.items()}


def write_csv(path: Path, columns: Mapping[str, pa.Array]) -> None:
    """Write columns of text as CSV: UTF-8, LF, quotes where they are needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n_rows = len(next(iter(columns.values())))
    with path.open("wb") as stream:
        header = [_quoted(pa.array([name], pa.string()))[0].as_py() for name in columns]
        stream.write((",".join(header) + "\n").encode())
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            parts = [_quoted(column.slice(start, _ROWS_AT_ONCE)) for column in columns.values()]
            lines = pc.binary_join_element_wise(*parts, ",") if len(parts) > 1 else parts[0]
            stream.write(("\n".join(lines.to_pylist()) + "\n").encode())


def _quoted(cells: pa.Array) -> pa.Array:
    needs = pc.match_substring_regex(cells, r'[",\r\n]|^\s|\s$')
    if not pc.any(needs).as_py():
        return cells
    doubled = pc.replace_substring(cells, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), cells)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
