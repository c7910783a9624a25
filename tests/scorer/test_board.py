"""Tests of board statistics and of the close report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats

import scorer
from scorer.overfitting import board, close_resampling
from scorer.overfitting.close_report import close_report
from scorer.overfitting.close_teams import BoardFile
from tests.scorer.conftest import YAML, Write, csv_text

RNG = np.random.default_rng


def rows_of(seed: int, n_teams: int, n_rows: int, spread: float = 0.0) -> Any:
    """Return losses by team and row, correlated like models'."""
    rng = RNG(seed)
    skill = spread * np.arange(n_teams)[:, None]
    return skill + rng.normal(size=n_rows) + 0.5 * rng.normal(size=(n_teams, n_rows))


def bootstrap(rows: Any, n: int = 500) -> Any:
    weights = RNG(9).multinomial(rows.shape[1], np.full(rows.shape[1], 1 / rows.shape[1]), n).T
    return rows @ weights / rows.shape[1]


def resplit(rows: Any, n_public: int, n: int = 199) -> Any:
    rng = RNG(8)
    orders = [rng.permutation(rows.shape[1]) for _ in range(n)]
    public = np.stack([rows[:, order[:n_public]].mean(axis=1) for order in orders], axis=1)
    private = np.stack([rows[:, order[n_public:]].mean(axis=1) for order in orders], axis=1)
    return public, private


def test_equal_scores_share_the_better_rank() -> None:
    values = np.array([0.3, 0.1, 0.3, 0.2])
    assert board.ranks(values, greater_is_better=True).tolist() == [1, 4, 1, 3]
    assert board.ranks(values, greater_is_better=False).tolist() == [3, 1, 3, 2]


def test_a_clear_winner_is_not_tied_and_equal_files_are() -> None:
    rows = rows_of(0, 6, 400, spread=0.3)
    rows[5] = rows[4]
    places = board.places(rows.mean(axis=1), bootstrap(rows), greater_is_better=True)
    assert places.tied.tolist() == [False] * 4 + [True] * 2
    assert places.may_be_best.tolist() == [False] * 4 + [True] * 2
    assert places.p_first[4] == places.p_first[5] == pytest.approx(0.5, abs=0.01)
    assert places.rank.tolist() == [6, 5, 4, 3, 1, 1]
    alone = board.places(rows[:5].mean(axis=1), bootstrap(rows[:5]), greater_is_better=True)
    assert "clear of noise" in alone.words
    assert not alone.tied.any()
    assert alone.may_be_best.tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("greater", [True, False])
@pytest.mark.parametrize(("not_ahead", "is_tied"), [(0, False), (49, False), (50, True), (500, True)])
def test_a_team_is_tied_from_five_in_a_hundred_resamples_on_and_the_winner_with_it(
    not_ahead: int, is_tied: bool, greater: bool
) -> None:
    sign = 1.0 if greater else -1.0
    lead = np.ones(1000)
    lead[:not_ahead] = [0.0, -1.0] * (not_ahead // 2) + [0.0] * (not_ahead % 2)
    drawn = sign * np.stack([lead, np.zeros(1000), np.full(1000, -9.0)])
    places = board.places(sign * np.array([1.0, 0.0, -9.0]), drawn, greater_is_better=greater)
    assert places.tied.tolist() == [is_tied, is_tied, False]
    assert ("clear of noise" in places.words) != is_tied
    assert ("2 teams are tied" in places.words) == is_tied


def test_the_only_team_is_not_tied() -> None:
    assert not board.places(np.array([0.5]), np.full((1, 100), 0.5), greater_is_better=True).tied.any()


def test_equal_scores_of_different_files_are_tied() -> None:
    right = np.tile(np.eye(2), 50)
    places = board.places(right.mean(axis=1), bootstrap(right), greater_is_better=True)
    assert places.tied.all()


def test_teams_that_differ_by_noise_only_are_tied_and_their_ranks_wide() -> None:
    rows = rows_of(1, 10, 300)
    places = board.places(rows.mean(axis=1), bootstrap(rows), greater_is_better=False)
    assert places.tied.sum() >= 4
    assert places.may_be_best.sum() >= places.tied.sum()
    assert places.p_first.sum() == pytest.approx(1.0)
    leader = int(rows.mean(axis=1).argmin())
    assert places.rank_low[leader] == 1
    assert places.rank_high[leader] >= 4
    assert f"{places.tied.sum()} teams are tied for first" in places.words


def test_the_joint_set_is_the_one_computed_pair_by_pair() -> None:
    sizes = []
    for seed in range(6):
        rows = rows_of(seed, 12, 200, spread=0.02)
        values, drawn = rows.mean(axis=1), bootstrap(rows)
        errors = drawn - drawn.mean(axis=1, keepdims=True)
        expected = []
        for i in range(12):
            spreads = [max(float(np.std(errors[j] - errors[i], ddof=1)), 1e-9) for j in range(12)]
            chance = np.max([(errors[j] - errors[i]) / spreads[j] for j in range(12) if j != i], axis=0)
            furthest = max((values[j] - values[i]) / spreads[j] for j in range(12) if j != i)
            expected.append(bool(furthest <= np.quantile(chance, 0.95)))
        found = board.places(values, drawn, greater_is_better=True).may_be_best
        assert found.tolist() == expected
        sizes.append(int(found.sum()))
    assert 1 < np.median(sizes) < 12


@pytest.mark.parametrize(("b", "c", "p"), [(0, 0, 1.0), (5, 0, 0.0625), (7, 3, 0.34375), (3, 7, 0.34375)])
def test_mcnemar_counts_the_rows_only_one_has_right(b: int, c: int, p: float) -> None:
    right = np.array([True] * b + [False] * c + [True] * 4 + [False] * 2)
    other = np.array([False] * b + [True] * c + [True] * 4 + [False] * 2)
    assert board.mcnemar(right, other) == pytest.approx(p)


def test_delong_is_the_sum_over_pairs_and_ties_count_one_half() -> None:
    rng = RNG(3)
    positive = rng.random(60) < 0.4
    a = np.round(positive + rng.normal(size=60), 1)
    b = np.round(0.5 * positive + rng.normal(size=60), 1)
    found = board.delong(a, b, positive)

    def wins(scores: Any) -> Any:
        difference = scores[positive][:, None] - scores[~positive][None, :]
        return (difference > 0) + 0.5 * (difference == 0)

    first, second = wins(a), wins(b)
    assert found.area == pytest.approx(first.mean())
    assert found.other == pytest.approx(second.mean())
    by_one, by_zero = (first - second).mean(axis=1), (first - second).mean(axis=0)
    variance = by_one.var(ddof=1) / len(by_one) + by_zero.var(ddof=1) / len(by_zero)
    assert found.se_difference == pytest.approx(math.sqrt(variance))
    z = (first.mean() - second.mean()) / math.sqrt(variance)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert board.delong(a, a, positive).p == 1.0


def test_holm_steps_down() -> None:
    assert board.holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert board.holm([]).tolist() == []
    assert board.holm([0.9, 0.8]).tolist() == [1.0, 1.0]


def test_an_honest_shake_up_is_noise_and_a_rigged_one_is_not() -> None:
    rows = rows_of(4, 40, 600, spread=0.002)
    public, private = rows[:, :200].mean(axis=1), rows[:, 200:].mean(axis=1)
    null = resplit(rows, 200)
    honest = board.shake_up(public, private, *null, greater_is_better=True)
    assert honest.p > 0.05
    assert honest.null_mean_move[0] <= honest.mean_move <= honest.null_mean_move[2]
    assert honest.mean_move > 0.1  # which is not suspicious
    assert "noise" in honest.words
    rigged = board.shake_up(-private, private, *null, greater_is_better=True)
    assert rigged.p == pytest.approx(1 / 200)
    assert rigged.kendall == pytest.approx(-1.0)
    assert rigged.top_kept == 0


def test_a_shake_up_is_the_mean_move_and_kendalls_tau() -> None:
    public, private = np.array([4.0, 3.0, 2.0, 1.0]), np.array([4.0, 2.0, 3.0, 1.0])
    found = board.shake_up(public, private, public[:, None], private[:, None], greater_is_better=True)
    pairs = [
        np.sign(public[i] - public[j]) * np.sign(private[i] - private[j])
        for i, j in combinations(range(4), 2)
    ]
    assert found.mean_move == pytest.approx(0.125)
    assert found.kendall == pytest.approx(np.mean(pairs))
    assert (found.top, found.top_kept) == (4, 4)


def test_the_one_team_that_knows_the_public_rows_has_the_largest_gap() -> None:
    rows = rows_of(5, 30, 600)
    honest = board.gaps(
        rows[:, :200].mean(axis=1), rows[:, 200:].mean(axis=1), *resplit(rows, 200), greater_is_better=False
    )
    assert honest.p > 0.05
    rows[7, :200] = rows.min()
    found = board.gaps(
        rows[:, :200].mean(axis=1), rows[:, 200:].mean(axis=1), *resplit(rows, 200), greater_is_better=False
    )
    assert found.p == pytest.approx(1 / 200)
    assert int(found.centred.argmax()) == 7
    assert found.centred[7] > board.SUSPICIOUS_Z
    assert np.delete(found.centred, 7).max() < board.SUSPICIOUS_Z


def test_the_gap_test_rejects_honest_boards_at_its_level() -> None:
    rejected = 0
    for seed in range(200):
        rows = rows_of(100 + seed, 15, 120)
        orders = [RNG([seed, i]).permutation(120) for i in range(39)]
        null = [
            np.stack([rows[:, o[part]].mean(axis=1) for o in orders], axis=1)
            for part in (slice(40), slice(40, None))
        ]
        found = board.gaps(
            rows[:, :40].mean(axis=1), rows[:, 40:].mean(axis=1), null[0], null[1], greater_is_better=True
        )
        rejected += found.p <= 0.05
    assert rejected <= 19  # the 99.5 % quantile of Bin(200, .05)
    assert rejected >= 2


def test_an_easier_public_part_is_reported_for_the_board_not_a_team() -> None:
    rows = rows_of(6, 30, 600)
    rows[:, :200] += 0.5
    found = board.gaps(
        rows[:, :200].mean(axis=1), rows[:, 200:].mean(axis=1), *resplit(rows, 200), greater_is_better=True
    )
    assert found.p_median < 0.05
    assert found.p > 0.05
    assert "as a whole" in found.words


# --- the report -------------------------------------------------------------------------------------------

N = 240
IDS = [f"r{i}" for i in range(N)]


def closed(
    write: Write, metric: str, truth: Any, predictions: list[Any], *, yaml: str = "", **files: str
) -> tuple[scorer.Challenge, list[BoardFile]]:
    usage = ["Public" if i % 3 == 0 else "Private" for i in range(N)]
    folder = write(
        YAML.replace("log_loss", metric) + yaml,
        columns=(IDS, list(map(str, truth)), usage),
        files={
            "public/sample_submission.csv": csv_text(("id", "target"), IDS, [str(predictions[0][0])] * N),
            **files,
        },
    )
    sent = [
        BoardFile(
            f"t{i}",
            f"Team {i}",
            csv_text(("id", "target"), IDS, list(map(str, predicted))).encode(),
            is_public_best=True,
            is_final=True,
        )
        for i, predicted in enumerate(predictions)
    ]
    return scorer.load(folder), sent


def reported(challenge: scorer.Challenge, files: list[BoardFile]) -> dict[str, Any]:
    shares: list[float] = []
    report = close_report(challenge, files, progress=lambda share, _: shares.append(share), seed=1)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    text = json.dumps(report.as_dict(), allow_nan=False)
    return dict(json.loads(text))


def test_only_the_team_of_an_unreadable_file_is_left_out(write: Write) -> None:
    rng = RNG(3)
    truth = (rng.random(N) > 0.5).astype(int)
    predictions = [np.clip(0.5 + (truth - 0.5) * share, 0.01, 0.99) for share in (0.2, 0.5, 0.8)]
    challenge, files = closed(write, "log_loss", truth, predictions)
    files[2] = replace(files[2], source=b"not what was accepted")
    report = reported(challenge, files)
    assert [team["name"] for team in report["public"]["board"]] == ["Team 1", "Team 0"]
    assert "A file of Team 2 could not be read again, so this team is left out." in report["notes"]


def cases() -> dict[str, Any]:
    rng = RNG(11)
    x = rng.normal(size=N)
    flags = (x + rng.normal(size=N) > 0).astype(int)
    chance = [np.round(1 / (1 + np.exp(-(k + 1) * x / 2 - 0.1 * rng.normal(size=N))), 4) for k in range(5)]
    labels = np.array(["ant", "bee", "cow"])[np.digitize(x, [-0.4, 0.4])]
    guesses = [np.where(rng.random(N) < 0.5 + 0.1 * k, labels, "bee") for k in range(5)]
    numbers = [np.round(x + (0.5 + 0.1 * k) * rng.normal(size=N), 4) for k in range(5)]
    return {
        "log_loss": (flags, chance, "bootstrap"),
        "roc_auc": (flags, chance, "DeLong"),
        "accuracy": (labels, guesses, "McNemar"),
        "{name: f1, average: macro}": (labels, guesses, "bootstrap"),
        "rmse": (np.round(x, 4), numbers, "bootstrap"),
        "spearman": (np.round(x, 4), numbers, "bootstrap"),
    }


@pytest.mark.parametrize("metric", cases())
def test_the_report_is_complete_for_every_kind_of_metric(metric: str, write: Write) -> None:
    truth, predictions, test = cases()[metric]
    challenge, files = closed(write, metric, truth, predictions)
    report = reported(challenge, files)
    rows = {row["team_id"]: row for row in report["public"]["board"]}
    for file in files:
        expected = scorer.score(challenge, file.source)
        assert rows[file.team_id]["private"] == pytest.approx(expected.private)
        assert rows[file.team_id]["public"] == pytest.approx(expected.public)
    first = report["public"]["board"][0]
    assert first["rank_private"] == 1
    assert first["tied_with_first"] == (report["public"]["ties"]["tied"] > 1)
    assert report["public"]["ties"]["tied"] == sum(row["tied_with_first"] for row in rows.values())
    assert first["rank_low"] == 1
    assert first["se_private"] > 0
    assert report["public"]["top"]["test"] == test
    assert len(report["public"]["top"]["against_first"]) == 4
    assert 0 <= report["public"]["shake_up"]["mean_move"] <= 1
    assert len(report["organiser"]["gaps"]["teams"]) == 5
    assert report["notes"] == []


@pytest.mark.parametrize("metric", ["roc_auc", "{name: f1, average: macro}", "spearman"])
def test_a_first_order_report_has_a_notice_and_agrees_with_the_exact_one(
    metric: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, predictions, _ = cases()[metric]
    challenge, files = closed(write, metric, truth, predictions)
    exact = reported(challenge, files)
    monkeypatch.setattr(close_resampling, "_MOST_SECONDS", 0.0)
    quick = reported(challenge, files)
    assert "to first order" in quick["notes"][0]
    for one, other in zip(exact["public"]["board"], quick["public"]["board"], strict=True):
        assert one["private"] == other["private"]
        assert other["se_private"] == pytest.approx(one["se_private"], rel=0.25)
        assert other["p_first"] == pytest.approx(one["p_first"], abs=0.12)
        assert abs(other["rank_high"] - one["rank_high"]) <= 1
    moves = [report["public"]["shake_up"]["null"]["mean_move"][1] for report in (exact, quick)]
    assert moves[0] == pytest.approx(moves[1], abs=0.1)


def test_a_file_fitted_to_the_public_rows_stands_out_for_organisers_only(write: Write) -> None:
    truth, predictions, _ = cases()["log_loss"]
    public = np.arange(N) % 3 == 0
    knows = np.where(public, np.clip(truth, 0.001, 0.999), predictions[1])
    rng = RNG(12)
    crowd = [np.round(np.clip(p + 0.02 * rng.normal(size=N), 0.01, 0.99), 4) for p in predictions * 3]
    report = reported(*closed(write, "log_loss", truth, [*crowd, knows]))
    gaps = report["organiser"]["gaps"]
    assert gaps["p"] < 0.01
    assert gaps["teams"][0]["team_id"] == "t15"
    assert [row["team_id"] for row in gaps["teams"] if row["look"]] == ["t15"]
    assert "z" not in report["public"]["board"][0]


def test_the_better_of_the_final_files_counts_and_diagnoses_are_written(write: Write) -> None:
    truth, predictions, _ = cases()["rmse"]
    challenge, files = closed(write, "rmse", truth, predictions)
    good, bad = files[0].source, files[4].source
    mine = [
        BoardFile("a", "A", bad, is_public_best=True, is_final=True, train=(0.3, 0.02), oof=(0.9, 0.04)),
        BoardFile("a", "A", good, is_public_best=False, is_final=True),
        BoardFile("nobody", "Only public", good, is_public_best=True, is_final=False),
    ]
    report = reported(challenge, [*mine, files[2]])
    rows = {row["team_id"]: row for row in report["public"]["board"]}
    assert set(rows) == {"a", "t2"}
    assert rows["a"]["private"] == pytest.approx(scorer.score(challenge, good).private)
    assert rows["a"]["public"] == pytest.approx(scorer.score(challenge, bad).public)
    assert rows["a"]["diagnosis"]["code"] == "overfit"
    assert rows["t2"]["diagnosis"] is None


def test_an_own_metric_gives_a_board_without_statistics_and_a_notice(write: Write) -> None:
    code = (
        "def score(solution, submission, row_id_column_name):\n"
        "    return float(submission['target'].mean())\n"
    )
    truth, predictions, _ = cases()["log_loss"]
    challenge, files = closed(
        write,
        "{file: metric.py, greater_is_better: true}",
        truth,
        predictions[:2],
        **{"private/metric.py": code},
    )
    report = reported(challenge, files)
    assert [row["rank_private"] for row in report["public"]["board"]] == [1, 2]
    assert report["public"]["ties"] is None
    assert report["public"]["shake_up"] is None
    assert "own function" in report["notes"][0]


def test_boards_of_one_team_or_none_are_reported_too(write: Write) -> None:
    truth, predictions, _ = cases()["roc_auc"]
    challenge, files = closed(write, "roc_auc", truth, predictions)
    one = reported(challenge, files[:1])
    assert reported(challenge, files[:1]) == one
    assert one["public"]["board"][0]["p_first"] == 1.0
    assert one["public"]["top"]["against_first"] == []
    assert reported(challenge, [])["public"]["board"] == []


def test_groups_of_the_test_table_are_drawn_whole(write: Write) -> None:
    truth, predictions, _ = cases()["rmse"]
    who = [str(i // 12) for i in range(N)]
    shared = np.repeat(RNG(13).normal(size=N // 12), 12)
    yaml = "split: {strategy: grouped, group: who}\n"
    test = {"public/test.csv": csv_text(("id", "who"), IDS, who)}
    predictions = [np.asarray(truth) + (k + 1) * shared for k in range(3)]
    grouped = reported(*closed(write, "mae", truth, predictions, yaml=yaml, **test))
    plain = reported(*closed(write, "mae", truth, predictions))
    ratio = grouped["public"]["board"][0]["se_private"] / plain["public"]["board"][0]["se_private"]
    assert 1.8 < ratio < 3.8  # sqrt(8) private rows to a group
    assert any("groups" in note for note in grouped["notes"])


def test_re_splits_of_a_stratified_split_keep_the_classes(write: Write) -> None:
    truth, predictions, _ = cases()["log_loss"]
    truth = np.sort(truth)
    challenge, files = closed(write, "log_loss", truth, predictions, yaml="split: {strategy: stratified}\n")
    plan = close_resampling.make_plan(challenge, 5, 0, [])
    public = close_resampling._random_resplits(challenge.solution, plan, 0)
    y = truth[plan.what.rows]
    as_is = int(y[plan.is_public].sum())
    assert {int(y[row == 1].sum()) for row in public} == {as_is}
    assert len({row.tobytes() for row in public}) == len(public)
    reported(challenge, files)
