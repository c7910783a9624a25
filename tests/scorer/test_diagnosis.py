"""Tests of train files: scores, plots and diagnosis."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import scorer
from scorer.folds import CannotScoreTrain, assign
from scorer.overfitting.diagnosis import diagnose, score_oof, score_train, share_same
from scorer.report import InvalidSubmission
from tests.scorer.conftest import IDS, YAML, Write, csv_text

N = 300
TRAIN_IDS = [f"t{i}" for i in range(N)]
RNG = np.random.default_rng


def make(write: Write, target: Any, *, metric: str = "log_loss", yaml: str = "", **columns: Any) -> Any:
    """Return a challenge with this train table.

    Its small test table is of the same kind.
    """
    table = {"id": TRAIN_IDS, "target": list(map(str, target)), **columns}
    labels = sorted(set(map(str, target)))
    truth = [labels[i % len(labels)] for i in range(20)]
    usage = ["Public"] * 10 + ["Private"] * 10
    files = {"public/train.csv": csv_text(tuple(table), *(list(map(str, c)) for c in table.values()))}
    folder = write(YAML.replace("log_loss", metric) + yaml, columns=(IDS, truth, usage), files=files)
    return scorer.load(folder)


def sent(values: Any, ids: Any = TRAIN_IDS) -> bytes:
    return csv_text(("id", "target"), list(ids), list(map(str, values))).encode()


def binary() -> tuple[Any, Any]:
    rng = RNG(0)
    p = np.round(rng.uniform(0.02, 0.98, N), 4)
    return (rng.random(N) < p).astype(int), p


def test_out_of_fold_predictions_are_scored_by_the_same_metric_whole_and_by_fold(write: Write) -> None:
    y, p = binary()
    challenge = make(write, y)
    oof = score_oof(challenge, sent(p[::-1], TRAIN_IDS[::-1]))
    losses = -np.where(y == 1, np.log(p), np.log(1 - p))
    assert oof.value == pytest.approx(losses.mean())
    assert oof.se == pytest.approx(losses.std(ddof=1) / math.sqrt(N))
    assert [fold.fold for fold in oof.folds] == [1, 2, 3, 4, 5]
    assert sum(fold.rows for fold in oof.folds) == N
    fold = assign(challenge).fold
    assert oof.folds[2].value == pytest.approx(losses[fold == 3].mean())
    assert score_train(challenge, sent(p)).folds == ()


def test_the_first_block_of_a_sequential_split_may_be_left_out_or_not(write: Write) -> None:
    y, p = binary()
    challenge = make(write, y, yaml="split: {strategy: sequential, time: day}\n", day=range(N))
    late = slice(50, None)
    without = score_oof(challenge, sent(p[late], TRAIN_IDS[late]))
    spoilt = np.where(np.arange(N) < 50, 0.0001, p)
    whole = score_oof(challenge, sent(spoilt))
    assert len(without.rows) == len(whole.rows) == 250
    assert whole.value == pytest.approx(without.value)
    assert [fold.value for fold in whole.folds] == pytest.approx([fold.value for fold in without.folds])
    assert whole.picture == without.picture
    with pytest.raises(InvalidSubmission, match="missing"):
        score_oof(challenge, sent(p[100:], TRAIN_IDS[100:]))
    with pytest.raises(InvalidSubmission, match=r"not in public/train\.csv"):
        score_oof(challenge, sent(p, [f"x{i}" for i in range(N)]))


def test_groups_widen_the_error_of_a_grouped_challenge(write: Write) -> None:
    rng = RNG(1)
    who = np.arange(N) // 10
    y = np.round(rng.normal(size=N), 3)
    guess = y + np.repeat(rng.normal(size=30), 10)
    plain = score_oof(make(write, y, metric="mae"), sent(guess))
    yaml = "split: {strategy: grouped, group: who}\n"
    grouped = score_oof(make(write, y, metric="mae", yaml=yaml, who=who), sent(guess))
    assert plain.se is not None
    assert grouped.se is not None
    assert grouped.se == pytest.approx(plain.se * math.sqrt(10), rel=0.3)


def test_a_fold_of_one_class_has_no_area_under_the_curve(write: Write) -> None:
    y = [1] * 3 + [0] * (N - 3)
    challenge = make(write, y, metric="roc_auc")
    oof = score_oof(challenge, sent(np.arange(N)[::-1]))
    assert oof.value == 1.0
    assert None in [fold.value for fold in oof.folds]


@pytest.mark.parametrize(
    ("metric", "values", "code"),
    [("log_loss", ["0.5"] * (N - 1) + ["2"], "OUT_OF_RANGE"), ("mae", ["x"] * N, "NOT_A_NUMBER")],
)
def test_a_wrong_file_is_refused_like_a_submission(metric: str, values: Any, code: str, write: Write) -> None:
    challenge = make(write, [0, 1] * (N // 2), metric=metric)
    for look in (score_oof, score_train):
        with pytest.raises(InvalidSubmission) as refused:
            look(challenge, sent(values))
        assert refused.value.problems[0].code == code


def test_without_targets_in_train_nothing_is_scored(write: Write) -> None:
    challenge = scorer.load(write(files={"public/train.csv": "id,x\na,1\nb,2\n"}))
    with pytest.raises(CannotScoreTrain, match="no target"):
        score_oof(challenge, sent([0.5, 0.5], ["a", "b"]))


# --- pictures ---------------------------------------------------------------------------------------------


def test_calibration_bins_hold_equal_rows_and_show_overconfidence(write: Write) -> None:
    y, p = binary()
    honest = score_oof(make(write, y), sent(p)).picture
    assert honest["kind"] == "calibration"
    assert [b["rows"] for b in honest["bins"]] == [20] * 15
    logit = 3 * np.log(p / (1 - p))
    sure = score_oof(make(write, y), sent(np.round(1 / (1 + np.exp(-logit)), 4))).picture
    assert sure["error"] > 1.5 * honest["error"]
    far = [abs(b["observed"] - b["predicted"]) > 3 * b["se"] for b in honest["bins"]]
    assert sum(far) <= 1
    json.dumps(honest, allow_nan=False)


def test_confusion_counts_labels_and_also_those_that_do_not_exist(write: Write) -> None:
    y = ["ant", "bee", "cow"] * 100
    picture = score_train(make(write, y, metric="accuracy"), sent(["ant", "cow", "elk"] * 100)).picture
    assert picture["classes"] == ["ant", "bee", "cow", "elk"]
    assert picture["counts"] == [[100, 0, 0, 0], [0, 0, 100, 0], [0, 0, 0, 100], [0, 0, 0, 0]]


def test_rare_classes_are_merged(write: Write) -> None:
    y = [f"c{i % 30:02d}" for i in range(N)]
    picture = score_oof(make(write, y, metric="accuracy"), sent(y)).picture
    assert len(picture["classes"]) == 21
    assert picture["classes"][-1] == "(other)"
    assert np.sum(picture["counts"]) == N


def test_residuals_are_truth_minus_prediction(write: Write) -> None:
    y = np.arange(N) / 10
    picture = score_oof(make(write, y, metric="mae"), sent(y - 1)).picture
    assert picture["kind"] == "residuals"
    assert [b["residual"] for b in picture["bins"]] == pytest.approx([1.0] * 15)
    assert sum(b["rows"] for b in picture["bins"]) == N


def test_class_probabilities_show_confusion_and_calibration(write: Write) -> None:
    y = ["ant", "bee", "cow"] * 100
    yaml = YAML.replace("[target]", "[ant, bee, cow]")
    files = {"public/train.csv": csv_text(("id", "kind", "x"), TRAIN_IDS, y, ["0"] * N)}
    truth = ["ant", "bee", "cow", "ant"] * 5
    usage = ["Public"] * 10 + ["Private"] * 10
    folder = write(yaml, header=("id", "kind", "Usage"), columns=(IDS, truth, usage), files=files)
    columns = [["0.8" if name == own else "0.1" for own in y] for name in ("ant", "bee", "cow")]
    text = csv_text(("id", "ant", "bee", "cow"), TRAIN_IDS, *columns).encode()
    oof = score_oof(scorer.load(folder), text)
    assert oof.value == pytest.approx(-math.log(0.8))
    assert oof.picture["counts"] == [[100, 0, 0], [0, 100, 0], [0, 0, 100]]
    assert oof.picture["calibration"]["error"] == pytest.approx(0.2)


# --- the same predictions ---------------------------------------------------------------------------------


def test_out_of_fold_predictions_that_are_the_trained_ones_are_counted(write: Write) -> None:
    y, p = binary()
    challenge = make(write, y)
    train, honest = score_train(challenge, sent(p)), score_oof(challenge, sent(np.round(p * 0.98, 4)))
    assert share_same(train, score_oof(challenge, sent(p))) == 1.0
    assert share_same(train, honest) < 0.05
    constant = [0.5] * N
    assert share_same(score_train(challenge, sent(constant)), score_oof(challenge, sent(constant))) == 0.0


def test_agreeing_labels_are_not_counted(write: Write) -> None:
    y = ["ant", "bee"] * 150
    challenge = make(write, y, metric="accuracy")
    assert share_same(score_train(challenge, sent(y)), score_oof(challenge, sent(y))) == 0.0


# --- words ------------------------------------------------------------------------------------------------

SE = 0.01
BENCHMARK = (0.5, SE)


def readings(**values: float) -> dict[str, Any]:
    return {name: (value, SE) for name, value in values.items()}


@pytest.mark.parametrize(
    ("code", "scores"),
    [
        ("not_enough", {"train": 0.9}),
        ("not_enough", {"train": 0.9, "public": 0.8}),
        ("not_enough", {"oof": 0.8}),
        ("underfit", {"train": 0.51, "oof": 0.505}),
        ("overfit", {"train": 0.99, "oof": 0.8, "public": 0.8}),
        ("overfit", {"train": 0.99, "oof": 0.5, "public": 0.5}),
        ("leaky_cv_or_shift", {"train": 0.97, "oof": 0.92, "public": 0.7}),
        ("leaky_cv_or_shift", {"oof": 0.92, "public": 0.71, "private": 0.7}),
        ("leaderboard_overfit", {"train": 0.85, "oof": 0.8, "public": 0.92}),
        ("leaderboard_overfit", {"oof": 0.8, "public": 0.92, "private": 0.79}),
        ("in_sample_oof", {"train": 0.97, "oof": 0.97, "public": 0.8}),
        ("in_sample_oof", {"train": 0.8, "oof": 0.97}),
        ("consistent", {"train": 0.82, "oof": 0.8, "public": 0.79, "private": 0.81}),
        ("consistent", {"train": 0.81, "oof": 0.8}),
    ],
)
@pytest.mark.parametrize("greater_is_better", [True, False])
def test_scores_have_their_diagnosis_in_either_direction(
    code: str, scores: dict[str, float], greater_is_better: bool
) -> None:
    if not greater_is_better:
        scores = {name: 1.0 - value for name, value in scores.items()}
    given: dict[str, Any] = {"train": None, "oof": None} | readings(**scores)
    found = diagnose(greater_is_better=greater_is_better, benchmark=BENCHMARK, **given)
    assert found.code == code
    json.dumps(found.as_dict(), allow_nan=False)


def test_the_gap_to_the_board_is_in_the_stated_standard_errors() -> None:
    found = diagnose(
        greater_is_better=True, benchmark=None, train=None, oof=(0.80, 0.02), public=(0.75, 0.03)
    )
    (gap,) = found.gaps
    assert gap.z == pytest.approx(0.05 / math.sqrt(1.5 * 0.02**2 + 0.03**2))


def test_coarse_rounding_of_the_shown_score_is_no_gap() -> None:
    def code(step: float) -> str:
        return diagnose(
            greater_is_better=True,
            benchmark=None,
            train=None,
            oof=(0.84, 0.005),
            public=(0.8, 0.01),
            public_step=step,
        ).code

    assert code(0.0) == "leaky_cv_or_shift"
    assert code(0.1) == "consistent"


def test_the_same_predictions_are_in_sample_whatever_the_scores() -> None:
    found = diagnose(greater_is_better=True, benchmark=BENCHMARK, train=(0.9, SE), oof=(0.9, SE), same=0.99)
    assert found.code == "in_sample_oof"
    assert "99 %" in found.words


def test_scores_without_noise_give_finite_numbers() -> None:
    found = diagnose(greater_is_better=True, benchmark=None, train=(1.0, 0.0), oof=(0.9, 0.0))
    assert found.code == "overfit"
    assert all(math.isfinite(gap.z) for gap in found.gaps)
