"""Score with an organiser's own metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from scorer.challenges.solution import Solution
from scorer.custom import CustomMetric, MetricFailed, ParticipantRefusal
from scorer.custom_cells import flags, holds_labels, holds_numbers, numbers, true_cells, typed
from scorer.reading.columns import Column, Labels, Vocabulary
from scorer.reading.ids import canonical_numbers
from scorer.report import InvalidSubmission, Problem
from scorer.wording import how_many, show, show_id


def custom_values(
    solution: Solution, metric: CustomMetric, texts: Mapping[str, Sequence[str]], *, allow_weak: bool = False
) -> dict[str, float]:
    """Return an own metric's values on both splits.

    `texts` are the submission's columns as texts. Raises InvalidSubmission if the metric refuses them, and
    MetricFailed if it gives no finite number.
    """
    (id_column,) = solution.id_columns
    complete, scored = solution.task.complete, solution.scored
    # Ignored rows decide nothing, not even whether a column is one of numbers.
    true_texts = {name: column[scored].tolist() for name, column in solution.frame.items()}
    truth = {name: typed(true_cells(column)) for name, column in true_texts.items()}
    predicted = {}
    for name in solution.task.columns:
        column = texts[name] if complete else np.array(texts[name], dtype=np.object_)[scored].tolist()
        if holds_labels(true_texts.get(name, ())):
            predicted[name] = np.array(column, dtype=np.object_)
        elif name in solution.task.flags:
            predicted[name] = flags(column)
        else:
            predicted[name] = numbers(column) if name in solution.task.numeric else typed(column)
    # Ids of two types cannot be matched, and one text among a participant's ids makes all of them texts.
    ids = texts[id_column] if complete else true_texts[id_column]
    numeric = solution.ids.numeric
    if complete:
        # The solution may repeat ids too, and its index then holds more than the ids themselves.
        both = [*solution.frame[id_column].tolist(), *ids]
        numeric = canonical_numbers(pa.array(both)) is not None
    kind = np.int64 if numeric else np.object_
    truth[id_column] = np.array(true_texts[id_column], dtype=np.object_).astype(kind)
    predicted[id_column] = np.array(ids, dtype=np.object_).astype(kind)
    # Kaggle's order of columns: that of the sample submission.
    names = [id_column, *solution.task.columns]
    try:
        return metric.evaluate(
            pd.DataFrame(truth),
            pd.DataFrame({name: predicted[name] for name in names}),
            id_column,
            {"public": solution.public[scored], "private": solution.private[scored]},
            complete=complete,
            allow_weak=allow_weak,
        )
    except ParticipantRefusal as refusal:
        raise InvalidSubmission([Problem("METRIC_REFUSED", refusal.text)]) from None
    except MetricFailed:
        problem = _refused_words(solution, metric, texts, allow_weak=allow_weak)
        if problem is None:
            raise
    raise InvalidSubmission([problem])


def _refused_words(
    solution: Solution, metric: CustomMetric, texts: Mapping[str, Sequence[str]], *, allow_weak: bool
) -> Problem | None:
    """Return the problem of a file whose words make a metric fail that takes numbers in their place."""
    words = [name for name in sorted(solution.task.either) if not holds_numbers(texts[name])]
    if not words:
        return None
    zeros = {name: ["0"] * len(texts[name]) for name in words}
    try:
        custom_values(solution, metric, {**texts, **zeros}, allow_weak=allow_weak)
    except (MetricFailed, InvalidSubmission):
        return None
    row, text = next(((row, text) for row, text in enumerate(texts[words[0]]) if text), (0, ""))
    what = f'"{show(text)}" is not a number, and the metric cannot score words there'
    if not text:
        what = "an empty cell is not a number, and the metric cannot score a column without numbers"
    key = show_id(texts[solution.id_column][row] if solution.task.complete else solution.ids.text(row))
    message = (
        f"Column {show(words[0])} (id {key}): {what}. Write a number in each row."
        f"{how_many(len(texts[words[0]]))}"
    )
    return Problem(
        "NOT_A_NUMBER", message, id=key, column=show(words[0]), value=show(text), count=len(texts[words[0]])
    )


def texts_of(columns: Mapping[str, Column], vocabulary: Vocabulary) -> dict[str, list[str]]:
    """Return the columns of texts and labels, as an own metric gets them."""
    texts = {name: column.tolist() for name, column in columns.items() if isinstance(column, np.ndarray)}
    names = vocabulary.names
    labels = {name: column for name, column in columns.items() if isinstance(column, Labels)}
    return texts | {name: [names[code] for code in column.codes.tolist()] for name, column in labels.items()}
