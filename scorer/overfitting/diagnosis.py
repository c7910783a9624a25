"""Diagnose one team's train, out-of-fold, public and private scores.

Before the close only the team's own files, the public training labels and the shown public score are used.
The noise of that score is the benchmark's, a constant: the team's own would depend on hidden rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.challenges.challenge import Challenge
from scorer.challenges.definition import TRAIN_FILE
from scorer.challenges.size_limit import train_file_max_bytes
from scorer.challenges.solution import Solution, known_truth, part_predicted, part_truth
from scorer.folds import CannotScoreTrain, Folds, assign, train_solution
from scorer.reading.columns import FloatArray, Labels, Vocabulary, take
from scorer.reading.ids import IdIndex
from scorer.report import InvalidSubmission, Problem
from scorer.resampling.resampling import standard_error
from scorer.resampling.units import Aligned, NotResampled, value
from scorer.submission.reader import read_submission
from scorer.submission.sinks import Collected

__all__ = [
    "CannotScoreTrain",
    "Diagnosis",
    "FoldValue",
    "Gap",
    "OwnRows",
    "diagnose",
    "score_oof",
    "score_train",
    "share_same",
    "train_solution",
]

Reading = tuple[float, float]
"""A value and its standard error, in the metric's unit."""

BINS = 15
"""Bins of equal size; fifteen, as in published calibration errors."""

_SHOWN_CLASSES = 20

LIMIT = 3.0
"""Standard errors from which a gap is reported."""

FOLD_DEPENDENCE = 1.5
"""Factor on the variance of the mean over folds, whose models share training rows. An assumption; values
between 1 and 2 are usual."""


@dataclass(frozen=True, slots=True)
class FoldValue:
    """One fold's own score."""

    fold: int
    rows: int
    value: float | None
    """None where the metric has none on these rows, as with one class only."""


@dataclass(frozen=True, slots=True, eq=False)
class OwnRows:
    """A team's predictions of training rows, scored.

    All of it may be shown to the team.
    """

    value: float
    se: float | None
    """None with the reason in `why_no_se`."""
    rows: NDArray[np.intp]
    """Positions in `solution` of those that were scored."""
    folds: tuple[FoldValue, ...]
    """Empty for predictions of rows that were trained on."""
    picture: Mapping[str, Any]
    """Data of a plot, ready for JSON; `kind` is calibration, confusion, residuals or none."""
    aligned: Aligned
    solution: Solution
    """The training table as a solution."""
    why_no_se: str = ""

    def __repr__(self) -> str:
        return f"OwnRows({self.value:g}, {len(self.rows)} rows)"

    @property
    def reading(self) -> Reading | None:
        return None if self.se is None else (self.value, self.se)


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference of two scores, positive if the first is better."""

    name: str
    difference: float
    se: float
    z: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The words for the team, and the gaps behind them."""

    code: str
    """underfit, overfit, leaky_cv_or_shift, leaderboard_overfit, in_sample_oof, consistent or not_enough."""
    words: str
    gaps: tuple[Gap, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


# --- scoring a team's own rows --------------------------------------------------------------------------


def score_oof(
    challenge: Challenge, source: Path | bytes, *, folds: Folds | None = None, seed: int = 0
) -> OwnRows:
    """Score a file of out-of-fold predictions.

    It is read like a submission, with the ids of public/train.csv.

    Of a sequential split rows of fold 0 may be left out, and are not scored if they are there. The standard
    error draws whole groups where folds keep groups whole.

    Raises
    ------
    CannotScoreTrain
        The challenge's training table has no ids or targets.
    InvalidSubmission
        The file is wrong, with the problems of a submission.
    """
    folds = assign(challenge) if folds is None else folds
    train = train_solution(challenge, without=folds.train_only)
    ids = IdIndex.build(folds.ids)
    try:
        aligned = _read(challenge, train, source, ids)
    except InvalidSubmission as error:
        unknown = any(problem.code in ("UNKNOWN_IDS", "ID_FORMAT") for problem in error.problems)
        if not folds.train_only or not unknown:
            raise
        # The file may also hold rows of fold 0; then it must hold all of them.
        train = train_solution(challenge)
        aligned = _read(challenge, train, source, ids)
    return _scored(train, aligned, folds, seed)


def score_train(challenge: Challenge, source: Path | bytes, *, seed: int = 0) -> OwnRows:
    """Score predictions of the rows a model was trained on.

    Raises like `score_oof`.
    """
    train = train_solution(challenge)
    return _scored(train, _read(challenge, train, source, train.ids), None, seed)


def share_same(train: OwnRows, oof: OwnRows) -> float:
    """Return the share of equal predictions in both files.

    Of the rows that both predict, with real-valued predictions equal in every column.

    Of labels, whole numbers and flags it is 0: honest models often agree on those.
    """
    cells = [train.solution.task.cells(name) for name in train.solution.task.columns]
    if not all(cell.kind == "number" for cell in cells):
        return 0.0
    place = train.solution.ids.finder()
    rows = np.array([place(oof.solution.ids.text(row)) for row in oof.rows.tolist()], dtype=np.intp)
    same = np.ones(len(rows), dtype=np.bool_)
    for name in train.solution.task.columns:
        mine, others = train.aligned.columns[name], oof.aligned.columns[name]
        assert isinstance(mine, np.ndarray)
        assert isinstance(others, np.ndarray)
        same &= np.asarray(mine[rows] == others[oof.rows])
        if len(np.unique(mine)) < len(mine) / 10:  # few different values agree by chance
            return 0.0
    return float(same.mean())


def _read(challenge: Challenge, train: Solution, source: Path | bytes, ids: IdIndex) -> Aligned:
    """Read a train file; `ids`, all of train.csv, bound its size."""
    kept = Collected(len(train.ids))
    size = (challenge.folder / TRAIN_FILE).stat().st_size
    limit = train_file_max_bytes(challenge.max_bytes, train.task, ids, table_bytes=size)
    try:
        read_submission(source, train, kept, max_bytes=limit)
    except InvalidSubmission as error:
        raise InvalidSubmission([_about_train(problem) for problem in error.problems], error.total) from None
    return Aligned(kept.columns(), kept.vocabulary)


def _about_train(problem: Problem) -> Problem:
    """Return the problem worded for the train file."""
    words = problem.message.replace("in the test set", f"in {TRAIN_FILE}")
    words = words.replace("of the sample submission", "of the fold file with a fold above 0")
    return replace(problem, message=words)


def _scored(train: Solution, aligned: Aligned, folds: Folds | None, seed: int) -> OwnRows:
    if folds is None:
        rows, fold, groups = np.arange(len(train.ids)), None, None
    else:
        fold, groups = folds.fold, folds.groups
        if len(train.ids) < len(fold):  # read without the rows that are only trained on
            predicted = fold > 0
            fold, groups = fold[predicted], None if groups is None else groups[predicted]
        rows = np.flatnonzero(fold > 0)
    why, se = "", None
    try:
        clusters = None if groups is None else groups[rows]
        se = standard_error(train, aligned, rows, seed=seed, clusters=clusters)
    except NotResampled as error:
        why = str(error)
    by_fold = []
    for number in [] if folds is None or fold is None else folds.numbers:
        own = np.flatnonzero(fold == number)
        found = value(train, aligned, own)
        by_fold.append(FoldValue(number, len(own), found if math.isfinite(found) else None))
    picture = _picture(train, aligned, rows)
    return OwnRows(value(train, aligned, rows), se, rows, tuple(by_fold), picture, aligned, train, why)


# --- pictures ---------------------------------------------------------------------------------------------


def _picture(train: Solution, aligned: Aligned, rows: NDArray[np.intp]) -> dict[str, Any]:
    part, given = train.task.parts[0], train.given[0][0]
    if part.metric.truth_roles or part.metric.kind in ("labels", "text", "mask", "boxes"):
        return {"kind": "none"}
    known = known_truth(part, given, rows)
    if known is not None and part.modifiers.columns != "pooled":
        rows = rows[known[0]]
    truth = part_truth(part, given, rows)[0]
    predicted = part_predicted(part, [take(aligned.columns[name], rows) for name in part.columns])[0]
    if part.layout == "classes":
        return _confusion(truth, np.argmax(predicted, axis=1), list(part.columns)) | {
            "calibration": _calibration(
                np.max(predicted, axis=1) / np.maximum(predicted.sum(axis=1), 1e-300),
                np.argmax(predicted, axis=1) == truth,
            )
        }
    if isinstance(truth, Labels) and isinstance(predicted, Labels):
        return _confusion_of_labels(truth, predicted, aligned.vocabulary)
    if (
        not (isinstance(truth, np.ndarray) and isinstance(predicted, np.ndarray))
        or truth.shape != predicted.shape
    ):
        return {"kind": "none"}
    if truth.dtype == np.object_ or predicted.dtype == np.object_ or truth.ndim != 1:
        return {"kind": "none"}
    if part.truth_cells.kind == "flag":
        inside = bool(((predicted >= 0.0) & (predicted <= 1.0)).all())
        if part.metric.kind in ("probability", "score") and inside:
            return {"kind": "calibration", **_calibration(predicted, truth == 1.0)}
        return {"kind": "none"}
    return _residuals(truth, predicted)


def _calibration(predicted: FloatArray, happened: NDArray[np.bool_]) -> dict[str, Any]:
    """Return predicted against observed shares in bins.

    Bins have about as many rows each; with the expected calibration error.
    """
    bins, error = [], 0.0
    for rows in _equal_mass(predicted):
        expected, observed = float(predicted[rows].mean()), float(happened[rows].mean())
        # The spread under the hypothesis that the predictions are right.
        se = math.sqrt(float(np.sum(predicted[rows] * (1.0 - predicted[rows])))) / len(rows)
        bins.append({"predicted": expected, "observed": observed, "se": se, "rows": len(rows)})
        error += abs(expected - observed) * len(rows) / len(predicted)
    return {"bins": bins, "error": error}


def _residuals(truth: FloatArray, predicted: FloatArray) -> dict[str, Any]:
    """Return truth minus prediction in bins of the prediction.

    Bins have about as many rows each.
    """
    bins = []
    for rows in _equal_mass(predicted):
        residual = truth[rows] - predicted[rows]
        sd = float(np.std(residual, ddof=1)) if len(rows) > 1 else 0.0
        bins.append(
            {
                "predicted": float(predicted[rows].mean()),
                "residual": float(residual.mean()),
                "sd": sd,
                "se": sd / math.sqrt(len(rows)),
                "rows": len(rows),
            }
        )
    return {"kind": "residuals", "bins": bins}


def _equal_mass(values: FloatArray) -> list[NDArray[np.intp]]:
    """Return rows in up to fifteen bins by value.

    Equal values stay together.
    """
    edges = np.unique(np.quantile(values, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    bin_of = np.searchsorted(edges, values, side="left")
    return [np.flatnonzero(bin_of == number) for number in np.unique(bin_of)]


def _confusion_of_labels(truth: Labels, predicted: Labels, vocabulary: Vocabulary) -> dict[str, Any]:
    codes, places = np.unique(np.concatenate([truth.codes, predicted.codes]), return_inverse=True)
    names = [vocabulary.names[code] for code in codes.tolist()]
    n = len(truth)
    return _confusion(places[:n], places[n:], names)


def _confusion(truth: NDArray[Any], predicted: NDArray[Any], names: list[str]) -> dict[str, Any]:
    """Return counts, with rows for the truth.

    Classes beyond the twenty most frequent are merged.
    """
    often = np.bincount(truth, minlength=len(names)) * 2 + np.bincount(predicted, minlength=len(names))
    shown = np.sort(np.argsort(-often, kind="stable")[:_SHOWN_CLASSES])
    place = np.full(len(names), len(shown))
    place[shown] = np.arange(len(shown))
    labels = [names[i] for i in shown.tolist()] + (["(other)"] if len(names) > len(shown) else [])
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, (place[truth], place[predicted]), 1)
    return {"kind": "confusion", "classes": labels, "counts": counts.tolist()}


# --- the diagnosis ------------------------------------------------------------------------------------------


def diagnose(
    *,
    greater_is_better: bool,
    benchmark: Reading | None,
    train: Reading | None,
    oof: Reading | None,
    public: Reading | None = None,
    private: Reading | None = None,
    public_step: float = 0.0,
    same: float = 0.0,
) -> Diagnosis:
    """Diagnose a team's four scores together.

    Each score is (value, standard error), or None if unknown.

    A gap counts from three standard errors on. That of an out-of-fold score is multiplied by sqrt(1.5), since
    folds share training rows: z = (CV - LB) / sqrt(1.5 s^2 / n_oof + s^2 / n_public).

    Parameters
    ----------
    benchmark
        Of the prediction without a model.
    public
        Before the close: the value as the board shows it, with the standard error of the *benchmark*.
    private
        Only after the close.
    public_step
        To which the shown value was rounded; adds step^2 / 12 to its variance.
    same
        See `share_same`.
    """
    sign = 1.0 if greater_is_better else -1.0

    def gap(name: str, a: Reading, b: Reading) -> Gap:
        difference, se = sign * (a[0] - b[0]), math.hypot(a[1], b[1])
        if se > 0.0:
            return Gap(name, difference, se, difference / se)
        return Gap(name, difference, 0.0, math.copysign(1e9, difference) if difference else 0.0)

    if oof is None:
        return Diagnosis(
            "not_enough",
            "Without out-of-fold predictions there is no diagnosis: "
            "upload them for the folds served with the challenge.",
        )
    cv = (oof[0], oof[1] * math.sqrt(FOLD_DEPENDENCE))
    shown = None if public is None else (public[0], math.hypot(public[1], public_step / math.sqrt(12.0)))
    gaps = {}
    if train is not None:
        gaps["train"] = gap("train - out-of-fold", train, cv)
    if benchmark is not None:
        gaps["benchmark"] = gap("out-of-fold - benchmark", cv, benchmark)
        if train is not None:
            gaps["train benchmark"] = gap("train - benchmark", train, benchmark)
    if shown is not None:
        gaps["public"] = gap("out-of-fold - public", cv, shown)
    if private is not None:
        gaps["private"] = gap("out-of-fold - private", cv, private)
        if shown is not None:
            gaps["drop"] = gap("public - private", shown, private)
    code, words = _code_and_words({name: found.z for name, found in gaps.items()}, same)
    return Diagnosis(code, words, tuple(gaps.values()))


def _code_and_words(z: Mapping[str, float], same: float) -> tuple[str, str]:
    """Return the diagnosis for gaps in standard errors, by name."""
    if not {"train", "public", "private"} & set(z):
        words = (
            "An out-of-fold score alone has nothing to be compared with; "
            "add predictions of the training rows, or submit."
        )
        return "not_enough", words
    optimistic = max(z.get("public", 0.0), z.get("private", 0.0))
    if same >= 0.95:
        words = (
            f"{100 * same:.0f} % of your out-of-fold predictions are exactly those of the model that "
            "was trained on the same rows. Each row must be predicted by a model that has not seen "
            "it; predict fold by fold."
        )
        return "in_sample_oof", words
    if "train" in z and (z["train"] < -LIMIT or (z["train"] <= 0.0 and optimistic > LIMIT)):
        words = (
            "Your out-of-fold score is as good as the one on rows the model was trained on, which "
            "honest out-of-fold predictions are not. Were these rows in the training data of the "
            "models that predicted them?"
        )
        return "in_sample_oof", words
    if "private" in z and z.get("drop", 0.0) > LIMIT and abs(z["private"]) <= LIMIT:
        words = (
            "The public score was better than the private one by more than chance, and your out-of-fold "
            "score was right: choosing among many files by their public score overfits the public rows. "
            "Trust your cross-validation."
        )
        return "leaderboard_overfit", words
    if optimistic > LIMIT:
        words = (
            "Your out-of-fold score is better than the board's by more than chance. Usual causes: "
            "something computed over all rows before the folds were cut (selection, scaling, target "
            "encoding), rows of one group or time on both sides, or test rows that differ from the "
            "training rows."
        )
        return "leaky_cv_or_shift", words
    if "private" not in z and z.get("public", 0.0) < -LIMIT:
        words = (
            "The public score is better than your out-of-fold score by more than chance. If you chose "
            "among many files by their public score, expect the private one near your out-of-fold "
            "score; else the test rows are easier."
        )
        return "leaderboard_overfit", words
    weak = "benchmark" in z and z["benchmark"] <= LIMIT
    if weak and z.get("train benchmark", math.inf) <= LIMIT:
        words = (
            "Even on rows it was trained on the model is hardly better than a prediction without a model: "
            "it underfits. Try features that carry more, a more flexible model, less regularisation, "
            "or look for a mistake."
        )
        return "underfit", words
    if z.get("train", 0.0) > LIMIT:
        words = (
            "The model is better on rows it was trained on than on new ones by more than chance: it "
            "overfits. Forests and boosted trees always do to some degree; what counts is whether "
            "more regularisation, fewer features or more data raise the out-of-fold score."
        )
        if weak:
            words += " Out of fold it is hardly better than a prediction without any model."
        return "overfit", words
    words = "Your scores agree with each other within their noise."
    if {"public", "private"} & set(z):
        words += " Your out-of-fold score is a good guide to the board."
    return "consistent", words
