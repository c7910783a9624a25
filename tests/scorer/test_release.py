"""Tests of release rules and what they reveal."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import scorer
from scorer.release.benchmark_figures import benchmark_figures
from scorer.release.modes import (
    coarse_step,
    ladder_accepts,
    ladder_release,
    nice_step,
    rounded,
    rounding_step,
)
from scorer.release.oracle_budget import OracleBudget, costs, oracle_budget

NOT_NUMBERS = (math.nan, math.inf, -math.inf)
steps = st.builds(lambda m, j: float(f"{m}e{j}"), st.sampled_from([1, 2, 5]), st.integers(-8, 4))
scores = st.floats(-1e6, 1e6)


def log_loss_budget(**changes: Any) -> OracleBudget:
    terms: dict[str, Any] = {
        "mode": "rounded",
        "n_public": 1000,
        "step": 1e-5,
        "bounds": (0.0, math.inf),
        "greater_is_better": False,
        "clip": 1e-15,
    }
    return oracle_budget("log_loss", **(terms | changes))


# -- rounding ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "step"),
    [
        (0.001, 0.001),
        (0.0011, 0.002),
        (0.003, 0.005),
        (0.0051, 0.01),
        (0.1, 0.1),
        (1.0, 1.0),
        (7.0, 10.0),
        (130.0, 200.0),
        (3e-9, 5e-9),
        (1 / 3, 0.5),
        (1 / 7000, 0.0002),
    ],
)
def test_a_step_is_rounded_up_to_one_two_or_five(value: float, step: float) -> None:
    assert nice_step(value) == step


@given(st.floats(1e-12, 1e12))
def test_no_nice_step_lies_between(value: float) -> None:
    step = nice_step(value)
    digits = Decimal(repr(step)).normalize().as_tuple().digits
    assert digits in ((1,), (2,), (5,))
    next_below = step * (0.4 if digits == (5,) else 0.5)
    assert value <= step
    assert value > next_below * (1 - 1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, *NOT_NUMBERS])
def test_a_step_that_is_not_positive_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite and above 0"):
        nice_step(value)
    with pytest.raises(ValueError, match="finite and above 0"):
        rounded(0.5, value)


def test_the_step_is_at_least_a_row_and_a_quarter_standard_error() -> None:
    assert rounding_step(1000, None) == 0.001
    assert rounding_step(1000, 0.009) == 0.005  # .00225, made nice
    assert rounding_step(1000, 0.0) == 0.001
    assert rounding_step(300, 0.001) == 0.005
    assert rounding_step(10_000, 500.0) == 200.0


@pytest.mark.parametrize("error", [-0.1, *NOT_NUMBERS])
def test_an_impossible_standard_error_is_refused(error: float) -> None:
    with pytest.raises(ValueError, match="standard error"):
        rounding_step(1000, error)
    with pytest.raises(ValueError, match="standard error"):
        ladder_release(0.4, 0.5, error, c=1, step=0.01, greater_is_better=False)


@given(scores, steps)
def test_a_rounded_score_is_the_nearest_multiple_in_few_digits(value: float, step: float) -> None:
    shown = rounded(value, step)
    unit = Fraction(Decimal(repr(step)))
    text = Fraction(Decimal(repr(shown)))
    assert text % unit == 0
    assert abs(text - Fraction(Decimal(repr(value)))) <= unit / 2
    assert rounded(shown, step) == shown


def test_halves_round_to_the_even_multiple_in_decimals() -> None:
    assert [rounded(v, 0.1) for v in (0.05, 0.15, 0.25, 0.35)] == [0.0, 0.2, 0.2, 0.4]
    assert rounded(0.1 + 0.2, 0.1) == 0.3
    assert rounded(151.0, 50.0) == 150.0
    assert repr(rounded(-0.0001, 0.01)) == "0.0"


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_a_value_that_is_no_score_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="a score must be finite"):
        rounded(value, 0.01)
    with pytest.raises(ValueError, match="a score must be finite"):
        ladder_release(value, 0.5, 0.01, c=1, step=0.01, greater_is_better=True)
    with pytest.raises(ValueError, match="released score must be finite"):
        ladder_accepts(0.5, value, 0.01, 1, greater_is_better=True)


# -- the ladder --------------------------------------------------------------------------------------


def test_a_coarse_step_is_four_times_the_step_or_the_next_nice_one() -> None:
    assert [coarse_step(step) for step in (0.005, 0.01, 0.02, 1000.0)] == [0.02, 0.05, 0.1, 5000.0]


def test_an_improvement_must_exceed_its_error_and_not_just_reach_it() -> None:
    assert not ladder_accepts(0.25, 0.5, 0.125, 2.0, greater_is_better=False)
    assert ladder_accepts(0.25 - 1e-9, 0.5, 0.125, 2.0, greater_is_better=False)
    assert not ladder_accepts(0.75, 0.5, 0.125, 2.0, greater_is_better=True)
    assert ladder_accepts(0.75 + 1e-9, 0.5, 0.125, 2.0, greater_is_better=True)


@given(scores, st.floats(0, 10), steps, st.booleans())
def test_the_leader_sent_again_is_never_an_improvement(score: float, c: float, step: float, up: bool) -> None:
    shown = rounded(score, step)
    assert ladder_release(score, shown, 0.0, c=c, step=step, greater_is_better=up) is None
    assert ladder_release(score, score, 0.0, c=c, step=step, greater_is_better=up) is None


def test_an_improvement_equal_in_every_row_is_shown_from_half_a_step() -> None:
    assert ladder_release(0.496, 0.5, 0.0, c=1, step=0.01, greater_is_better=False) is None
    assert ladder_release(0.494, 0.5, 0.0, c=1, step=0.01, greater_is_better=False) == 0.49


def test_an_improvement_that_rounds_back_is_not_shown() -> None:
    # From .6543 to .653 is better by much, and shown it would be .655: worse.
    assert ladder_release(0.653, 0.6543, 1e-5, c=1, step=0.005, greater_is_better=False) is None
    # .6515 is shown as .65 already, and so would be .648.
    assert ladder_release(0.648, 0.6515, 1e-5, c=1, step=0.005, greater_is_better=False) is None
    assert ladder_release(0.647, 0.6515, 1e-5, c=1, step=0.005, greater_is_better=False) == 0.645


@given(scores, scores, st.floats(0, 1), st.sampled_from([1.0, 2.0, 3.0]), steps)
def test_both_directions_are_symmetric(a: float, b: float, error: float, c: float, step: float) -> None:
    up = ladder_release(a, b, error, c=c, step=step, greater_is_better=True)
    down = ladder_release(-a, -b, error, c=c, step=step, greater_is_better=False)
    assert up == (None if down is None else -down)
    if up is not None:
        assert up > b - step / 2
        assert up > rounded(b, step)


# -- what a mode costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clip", "submissions"),
    [(1e-15, [63, 84, 112, 167, 500]), (1e-6, [72, 91, 125, 250, 1000]), (1e-3, [77, 100, 143, 334])],
)
def test_the_budget_of_log_loss_matches_the_attack(clip: float, submissions: list[int]) -> None:
    exact = log_loss_budget(mode="exact", step=0.0, clip=clip)
    assert (exact.submissions, exact.formula) == (25, "code")
    for decimals, expected in zip((6, 5, 4, 3, 2), submissions, strict=False):
        budget = log_loss_budget(step=10.0**-decimals, clip=clip)
        assert (budget.submissions, budget.formula) == (expected, "code"), decimals
        assert budget.fewest <= budget.submissions


def test_a_step_too_coarse_for_the_code_still_answers_one_question_a_file() -> None:
    budget = log_loss_budget(step=0.01, clip=1e-3)
    assert (budget.bits, budget.submissions, budget.formula) == (1.0, 1000, "comparison")


def test_the_code_reads_exactly_the_labels_of_the_budget() -> None:
    rng = np.random.default_rng(3)
    n, step, clip = 200, 1e-3, 1e-6
    y = rng.integers(0, 2, n)
    bits = int(log_loss_budget(n_public=n, step=step, clip=clip).bits)
    largest = math.log((1 - clip) / clip)
    z = np.zeros(n)
    z[:bits] = -n * step * 2.0 ** np.arange(bits)
    assert np.abs(z).max() <= largest < 2 * np.abs(z).max()
    shown = rounded(float((np.logaddexp(0, z) - y * z).mean()), step)
    spelt = round((shown - float(np.logaddexp(0, z).mean())) / step)
    assert [(spelt >> j) & 1 for j in range(bits)] == y[:bits].tolist()


def test_days_and_shares_follow_from_the_limits() -> None:
    budget = log_loss_budget(daily_limit=5)
    assert (budget.submissions, budget.days, budget.allowed, budget.share) == (84, 84 / 5, math.inf, 1.0)
    budget = log_loss_budget(daily_limit=5, days=8)
    assert (budget.allowed, budget.share) == (40, 0.48)
    budget = log_loss_budget(daily_limit=5, days=8, total_limit=10)
    assert (budget.allowed, budget.share) == (10, 0.12)
    assert log_loss_budget().days == math.inf


def test_a_metric_with_levels_cannot_hold_more_than_they_do() -> None:
    accuracy = {"n_public": 1000, "bounds": (0.0, 1.0), "greater_is_better": True}
    fine = oracle_budget("accuracy", mode="rounded", step=0.001, **accuracy)  # type: ignore[arg-type]
    coarse = oracle_budget("accuracy", mode="rounded", step=0.1, **accuracy)  # type: ignore[arg-type]
    assert fine.formula == "levels"
    assert 2**fine.bits >= 1001
    assert fine.submissions == 101
    assert 2**coarse.bits >= 11
    assert coarse.submissions > 2 * fine.submissions
    endless = oracle_budget(
        "rmse", mode="rounded", step=0.1, n_public=1000, bounds=(0.0, math.inf), greater_is_better=False
    )
    assert (endless.bits, endless.submissions) == (53, 19)


def test_ladder_histories_are_bounded_by_walks_over_its_steps() -> None:
    budget = log_loss_budget(mode="ladder", step=0.05, benchmark=0.65, n_public=60)
    # 13 steps from .65 to 0, and one for rounding; the bound used lies a few bits above the true count.
    k = int(budget.submissions)
    true_bits = math.log2(math.comb(k + 14, 14))
    assert 60 - 8 < true_bits <= 60
    assert budget.fewest == budget.submissions


def test_a_higher_start_and_a_finer_step_make_a_ladder_cheaper_to_mine() -> None:
    at_benchmark = log_loss_budget(mode="ladder", step=0.005, benchmark=0.65)
    finer = log_loss_budget(mode="ladder", step=0.001, benchmark=0.65)
    from_worst = log_loss_budget(mode="ladder", step=0.001)
    assert at_benchmark.submissions > 5000 > finer.submissions > from_worst.submissions
    # 168 files were enough in the benchmark; a bound above that would be wrong.
    assert from_worst.submissions <= 168


def test_a_ladder_of_two_levels_reveals_almost_nothing() -> None:
    budget = oracle_budget(
        "accuracy",
        mode="ladder",
        n_public=1000,
        step=1.0,
        bounds=(0.0, 1.0),
        benchmark=0.5,
        greater_is_better=True,
        daily_limit=5,
        days=10,
    )
    assert (budget.submissions, budget.days) == (math.inf, math.inf)
    assert budget.share < 0.02
    written = json.loads(json.dumps(budget.as_dict(), allow_nan=False))
    assert written["submissions"] is None


def test_costs_list_three_modes_with_a_sentence_each() -> None:
    exact, rounded_to, ladder = costs(
        "log_loss",
        n_public=1000,
        step=0.005,
        bounds=(0.0, math.inf),
        greater_is_better=False,
        clip=1e-15,
        benchmark=0.65,
        daily_limit=5,
        days=20,
    )
    assert [cost.mode for cost in (exact, rounded_to, ladder)] == ["exact", "rounded", "ladder"]
    assert exact.submissions < rounded_to.submissions < ladder.submissions
    assert exact.share > rounded_to.share > ladder.share
    assert exact.sentence == (
        "Shown exactly, log_loss reveals about 40 labels a file: all 1,000 public labels after 25 files "
        "(5 days at 5 a day); no attack can do it in fewer than 19. The 100 files allowed give all of them."
    )
    assert "334 files (67 days at 5 a day)" in rounded_to.sentence
    assert "give 30 % of them" in rounded_to.sentence
    assert "give at most" in ladder.sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_public": 0}, "at least one public row"),
        ({"step": 0.0}, "needs a step"),
        ({"step": 0.0, "mode": "ladder"}, "needs a step"),
        ({"step": math.nan}, "a step must be finite"),
        ({"clip": 0.5}, "between 0 and 0.5"),
        ({"daily_limit": 0}, "daily_limit is 0"),
        ({"bounds": (1.0, 1.0)}, "bounds"),
        ({"benchmark": 40.0}, "not within the bounds"),
    ],
)
def test_invalid_arguments_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        log_loss_budget(**changes)


def test_the_web_process_may_import_it_without_a_numeric_library() -> None:
    code = (
        "import sys, scorer.release.modes; "
        "print(sorted({'numpy', 'pandas', 'scipy', 'sklearn', 'pyarrow', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _figures_of(folder: Path, metric: str, y: NDArray[np.int64]) -> dict[str, Any]:
    (folder / "private").mkdir(parents=True)
    rows = pd.DataFrame(
        {"id": range(len(y)), "y": y, "Usage": np.where(np.arange(len(y)) % 2, "Public", "Private")}
    )
    rows.to_csv(folder / "private/solution.csv", index=False)
    (folder / "public").mkdir()
    rows[["id"]].assign(y=0.5).to_csv(folder / "public/sample_submission.csv", index=False)
    (folder / "challenge.yaml").write_text(f"metric: {metric}\nsubmission: {{id: id, columns: [y]}}\n")
    return benchmark_figures(scorer.load(folder))


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
def test_a_benchmark_without_spread_does_not_make_the_step_one_row(tmp_path: Path, metric: str) -> None:
    figures = _figures_of(tmp_path / "even", metric, np.arange(2000) // 2 % 2)
    assert figures["se_public"] > 0.005
    assert figures["step"] >= 0.002
