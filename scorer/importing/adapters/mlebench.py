"""Call grade(submission, answers) of mle-bench, with the helpers that its programs import.

The helpers have the names and the behaviour of mle-bench's, written anew.
"""

from __future__ import annotations

import importlib
import io
import logging
import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from scorer.importing.adapters.virtual_files import start

SETTINGS: dict[str, Any] = {}
PROGRAM: dict[str, bytes] = {}


class ParticipantVisibleError(Exception):
    """Its text is shown to the participant."""


class InvalidSubmissionError(Exception):
    """A file that cannot be graded."""


def score(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """Return the program's grade of these rows."""
    start({f"/app/program/competition/{name}": text for name, text in PROGRAM.items()}, "/app/program")
    _add_helpers()
    grade = importlib.import_module("competition." + SETTINGS["module"])
    if SETTINGS["whole"]:
        submission = submission[submission[row_id_column_name].isin(solution[row_id_column_name])]
    try:
        return float(getattr(grade, SETTINGS["function"])(_read_again(submission), _read_again(solution)))
    except InvalidSubmissionError as refusal:
        raise ParticipantVisibleError(str(refusal)) from refusal


def _read_again(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame as reading it from a CSV file gives it."""
    return pd.read_csv(io.StringIO(frame.to_csv(index=False)), float_precision="round_trip")


def _add_helpers() -> None:
    helpers: dict[str, dict[str, Any]] = {
        "mlebench": {},
        "mlebench.grade_helpers": {"InvalidSubmissionError": InvalidSubmissionError},
        "mlebench.utils": {"get_logger": logging.getLogger, "read_csv": pd.read_csv},
        "mlebench.competitions": {},
        "mlebench.competitions.utils": {
            function.__name__: function
            for function in (
                prepare_for_accuracy_metric,
                prepare_for_auroc_metric,
                one_hot_dfs_to_log_loss_inputs,
                df_to_one_hot,
                is_one_hot_encoded,
                rle_decode,
                rle_encode,
                rles_to_masks,
            )
        },
        "mlebench.metrics": {
            "average_precision_at_k": average_precision_at_k,
            "mean_average_precision_at_k": mean_average_precision_at_k,
            "dice_coefficient": dice_coefficient,
        },
    }
    for name, contents in helpers.items():
        module = types.ModuleType(name)
        module.__dict__.update(contents)
        module.__path__ = []
        sys.modules[name] = module


def _by_id(submission: pd.DataFrame, answers: pd.DataFrame, id_column: str, target: str) -> Any:
    if id_column not in submission.columns:
        raise InvalidSubmissionError(f"The submission has no column {id_column}")
    if target not in submission.columns:
        raise InvalidSubmissionError(f"The submission has no column {target}")
    if len(submission) != len(answers):
        raise InvalidSubmissionError("The submission must have as many rows as the answers")
    submission, answers = submission.sort_values(id_column), answers.sort_values(id_column)
    if (submission[id_column].to_numpy() != answers[id_column].to_numpy()).any():
        raise InvalidSubmissionError(f"The values of {id_column} are not those of the answers")
    return submission[target], answers[target].to_numpy()


def prepare_for_accuracy_metric(
    submission: pd.DataFrame, answers: pd.DataFrame, target_column: str, id_column: str
) -> dict[str, Any]:
    predicted, true = _by_id(submission, answers, id_column, target_column)
    return {"y_true": true, "y_pred": predicted.to_numpy()}


def prepare_for_auroc_metric(
    submission: pd.DataFrame, answers: pd.DataFrame, id_col: str, target_col: str
) -> dict[str, Any]:
    predicted, true = _by_id(submission, answers, id_col, target_col)
    try:
        pd.to_numeric(predicted)
    except ValueError:
        raise InvalidSubmissionError(f"The column {target_col} must hold numbers") from None
    if predicted.min() < 0 or predicted.max() > 1:
        raise InvalidSubmissionError(f"The column {target_col} must hold probabilities from 0 to 1")
    return {"y_true": true, "y_score": predicted.to_numpy()}


def one_hot_dfs_to_log_loss_inputs(
    submission_one_hot: pd.DataFrame,
    answers_one_hot: pd.DataFrame,
    id_column: str = "id",
    apply_softmax: bool = True,
) -> dict[str, Any]:
    missing = set(answers_one_hot.columns) - set(submission_one_hot.columns)
    if missing:
        raise InvalidSubmissionError(f"The submission lacks columns: {sorted(missing)}")
    sent = submission_one_hot[list(answers_one_hot.columns)].sort_values(id_column)
    true = answers_one_hot.sort_values(id_column)
    assert sent[id_column].tolist() == true[id_column].tolist(), f"The values of {id_column} differ"
    predicted = sent.drop(columns=[id_column]).to_numpy()
    if apply_softmax and not is_one_hot_encoded(predicted):
        from scipy.special import softmax

        predicted = softmax(predicted, axis=-1)
    return {"y_true": true.drop(columns=[id_column]).to_numpy(), "y_pred": predicted}


def is_one_hot_encoded(xs: Any) -> bool:
    return bool(((xs == 0) | (xs == 1)).all() and np.allclose(xs.sum(axis=-1), 1))


def df_to_one_hot(
    df: pd.DataFrame, id_column: str, target_column: str, classes: Sequence[str]
) -> pd.DataFrame:
    table = pd.DataFrame(0, index=df.index, columns=[id_column, *classes])
    table[id_column] = df[id_column]
    for row, label in df[target_column].items():
        table.loc[row, label] = 1
    return table


def rle_decode(rle_string: str, height: int, width: int) -> Any:
    """Return the mask of run lengths, counted down the columns from 1."""
    assert isinstance(rle_string, str), "run lengths must be text"
    numbers = [int(word) for word in rle_string.split()]
    starts, lengths = numbers[0::2], numbers[1::2]
    assert starts == sorted(starts), "the starts of runs must rise"
    assert all(number > 0 for number in numbers), "runs must be positive whole numbers"
    flat = np.zeros(height * width, dtype=bool)
    for first, length in zip(starts, lengths, strict=False):
        assert not flat[first - 1 : first - 1 + length].any(), "runs must not overlap"
        flat[first - 1 : first - 1 + length] = True
    return flat.reshape((width, height)).T


def rle_encode(x: Any, fg_val: int = 1) -> list[int]:
    runs: list[int] = []
    before = -2
    for place in np.where(x.T.flatten() == fg_val)[0]:
        if place > before + 1:
            runs.extend((int(place) + 1, 0))
        runs[-1] += 1
        before = place
    return runs


def rles_to_masks(
    rl_encodings: Sequence[str], image_heights: Sequence[int], image_widths: Sequence[int]
) -> list[Any]:
    return [rle_decode(*each) for each in zip(rl_encodings, image_heights, image_widths, strict=False)]


def average_precision_at_k(actual: Any, predicted: Sequence[Any], k: int) -> float:
    total = hits = 0.0
    for place, item in enumerate(predicted[:k]):
        if item in actual and item not in predicted[:place]:
            hits += 1.0
            total += hits / (place + 1.0)
    return total / min(len(actual), k) if actual else 0.0


def mean_average_precision_at_k(actual: Sequence[Any], predicted: Sequence[Any], k: int) -> Any:
    return np.mean([average_precision_at_k(a, p, k) for a, p in zip(actual, predicted, strict=False)])


def dice_coefficient(predicted_mask: Any, true_mask: Any, both_empty_value: float = float("nan")) -> Any:
    total = np.sum(predicted_mask) + np.sum(true_mask)
    return both_empty_value if total == 0 else 2 * np.sum(predicted_mask * true_mask) / total
